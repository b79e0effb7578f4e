package identity

import (
	"context"
	"errors"

	"jeton/internal/backend"
	rooms "jeton/internal/identity"
)

func (e *Engine) lookupRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "lookup/entity", Summary: "Find an entity by its id, its name or an alias.", Write: backend.Handle(e.lookupEntity)},
		{Pattern: "lookup/group", Summary: "Find a group by its id, its name or its alias.", Write: backend.Handle(e.lookupGroup)},
		{Pattern: "entity/merge", Summary: "Make entities part of another.",
			Detail: "Aliases and memberships move; policies and metadata of the merged entities are dropped. Their tokens go on as the other's.",
			Write:  backend.Handle(e.merge)},
	}
}

// lookupRequest asks by exactly one of its members, or by the pair of an alias's. A member that
// was sent counts even if it is empty. Contract: identity §2.6.
type lookupRequest struct {
	ID         *string `json:"id" doc:"The id."`
	Name       *string `json:"name" doc:"The name."`
	AliasID    *string `json:"alias_id" doc:"The id of an alias."`
	AliasName  *string `json:"alias_name" doc:"The name of an alias, with alias_mount_accessor."`
	AliasMount *string `json:"alias_mount_accessor" doc:"The mount of the alias, with alias_name."`
}

func (r *lookupRequest) selector() (by rooms.Selector, err error) {
	given := 0
	for _, p := range []struct {
		sent *string
		into *string
	}{{r.ID, &by.ID}, {r.Name, &by.Name}, {r.AliasID, &by.AliasID}} {
		if p.sent != nil {
			*p.into = *p.sent
			given++
		}
	}
	if r.AliasName != nil || r.AliasMount != nil {
		given++
	}
	switch {
	case given == 0:
		return by, backend.Invalidf("query parameter not supplied")
	case given > 1:
		return by, backend.Invalidf("query parameter conflict; please supply distinct set of query parameters")
	case (r.AliasName == nil) != (r.AliasMount == nil):
		return by, backend.Invalidf("both 'alias_name' and 'alias_mount_accessor' needs to be set")
	case r.AliasName != nil:
		by.AliasName, by.AliasMount = *r.AliasName, *r.AliasMount
	}
	return by, nil
}

func (e *Engine) lookupEntity(ctx context.Context, _ *backend.Call, req *lookupRequest) (*entityData, error) {
	by, err := req.selector()
	if err != nil {
		return nil, err
	}
	return e.readEntity(ctx, by)
}

func (e *Engine) lookupGroup(ctx context.Context, _ *backend.Call, req *lookupRequest) (*groupData, error) {
	by, err := req.selector()
	if err != nil {
		return nil, err
	}
	return e.readGroup(ctx, by)
}

type mergeRequest struct {
	From  backend.CommaList `json:"from_entity_ids" doc:"The ids of the entities to merge."`
	To    string            `json:"to_entity_id" doc:"The id of the entity that they become part of."`
	Keep  backend.CommaList `json:"conflicting_alias_ids_to_keep" doc:"Where both have an alias on one mount: the id of the one that stays."`
	Force bool              `json:"force" doc:"Decides nothing: there are no secrets of entities that could clash."`
}

// clashData is what a refused merge says of each clash.
type clashData struct {
	MountAccessor string `json:"mount_accessor"`
	FromEntityID  string `json:"from_entity_id"`
	FromAliasID   string `json:"from_alias_id"`
	ToEntityID    string `json:"to_entity_id"`
	ToAliasID     string `json:"to_alias_id"`
}

func (e *Engine) merge(ctx context.Context, _ *backend.Call, req *mergeRequest) (*backend.None, error) {
	err := e.room.MergeEntities(ctx, rooms.Merge{From: req.From, To: req.To, Keep: req.Keep})
	var clash *rooms.ClashError
	if errors.As(err, &clash) {
		var data []clashData
		for _, c := range clash.Clashes {
			data = append(data, clashData{c.Mount, c.EntityID, c.AliasID, c.ToEntityID, c.ToAlias})
		}
		return nil, &backend.Error{Kind: backend.Invalid, Text: clash.Error(), Data: data}
	}
	return nil, err
}
