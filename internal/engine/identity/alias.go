package identity

import (
	"cmp"
	"context"

	"jeton/internal/backend"
	rooms "jeton/internal/identity"
)

func (e *Engine) aliasRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "entity-alias", Summary: "Make an alias, change it, or move it to another entity.",
			Write: backend.Handle(e.writeAlias)},
		{Pattern: "entity-alias/id", Summary: "List the aliases.", List: backend.Handle(e.listAliases)},
		{Pattern: "entity-alias/id/{id|lower}", Summary: "An alias, by its id.",
			Read: backend.Handle(e.readAlias), Write: backend.Handle(e.writeAlias), Delete: backend.Handle(e.deleteAlias)},
	}
}

type aliasRequest struct {
	ID             string         `json:"id" doc:"The id of the alias to change."`
	Name           string         `json:"name" doc:"What the login method calls the entity."`
	CanonicalID    string         `json:"canonical_id" doc:"The id of the entity; a new one where there is none."`
	EntityID       string         `json:"entity_id" doc:"The old name of canonical_id."`
	MountAccessor  string         `json:"mount_accessor" doc:"The accessor of the login method's mount."`
	CustomMetadata *backend.Pairs `json:"custom_metadata" doc:"Names and values for policies' templates, which logins leave alone."`
}

// aliasMade is the answer to a write that changed an alias.
type aliasMade struct {
	CanonicalID string `json:"canonical_id"`
	ID          string `json:"id"`
}

func (e *Engine) writeAlias(ctx context.Context, _ *backend.Call, req *aliasRequest) (*backend.Response, error) {
	alias, changed, err := e.room.WriteAlias(ctx, rooms.AliasChange{
		ID: req.ID, Name: req.Name, Mount: req.MountAccessor, EntityID: cmp.Or(req.CanonicalID, req.EntityID), Custom: pairsOf(req.CustomMetadata),
	})
	if err != nil || !changed {
		return nil, err
	}
	return &backend.Response{Data: &aliasMade{CanonicalID: alias.EntityID, ID: alias.ID}}, nil
}

func (e *Engine) readAlias(ctx context.Context, _ *backend.Call, req *idRequest) (*aliasData, error) {
	alias, ok, err := e.room.Alias(ctx, req.ID)
	if !ok || err != nil {
		return nil, err
	}
	return e.aliasData(&alias.Alias, alias.EntityID), nil
}

func (e *Engine) aliasData(a *rooms.Alias, entity string) *aliasData {
	m, _ := e.room.MountOf(a.Mount)
	d := &aliasData{
		CanonicalID:    entity,
		CreationTime:   stamp(a.Created),
		CustomMetadata: a.Custom,
		ID:             a.ID,
		LastUpdateTime: stamp(a.Updated),
		Local:          m.Local,
		MergedFrom:     a.MergedFrom,
		Metadata:       a.Metadata,
		MountAccessor:  a.Mount,
		MountPath:      m.Path,
		MountType:      m.Type,
		Name:           a.Name,
		NamespaceID:    rootNamespace,
	}
	if d.CustomMetadata == nil {
		d.CustomMetadata = map[string]string{}
	}
	return d
}

func (e *Engine) deleteAlias(ctx context.Context, _ *backend.Call, req *idRequest) (*backend.None, error) {
	return nil, e.room.DeleteAlias(ctx, req.ID)
}

// aliasKey is what the list of aliases says of one.
type aliasKey struct {
	CanonicalID string `json:"canonical_id"`
	aliasInfo
}

func (e *Engine) listAliases(ctx context.Context, _ *backend.Call, req *pageRequest) (*backend.Keys, error) {
	var keys []string
	info := map[string]any{}
	err := e.room.Entities(ctx, "", func(entity *rooms.Entity) bool {
		for _, a := range e.aliasInfos(entity) {
			keys = append(keys, a.ID)
			info[a.ID] = &aliasKey{entity.ID, *a}
		}
		return true
	})
	page := req.page(keys)
	return listing(page, only(info, page)), err
}
