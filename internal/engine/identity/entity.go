package identity

import (
	"context"
	"slices"

	"jeton/internal/backend"
	rooms "jeton/internal/identity"
)

func (e *Engine) entityRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "entity", Summary: "Make an entity, or change the one of that name or id.",
			Write: backend.Handle(e.writeEntity)},
		{Pattern: "entity/batch-delete", Summary: "Delete many entities.", Write: backend.Handle(e.deleteEntities)},
		{Pattern: "entity/id", Summary: "List the entities by id.", List: backend.Handle(e.listEntityIDs)},
		{Pattern: "entity/id/{id|lower}", Summary: "An entity, by its id.",
			Read: backend.Handle(e.readEntityID), Write: backend.Handle(e.writeEntityID), Delete: backend.Handle(e.deleteEntityID)},
		{Pattern: "entity/name", Summary: "List the entities by name.", List: backend.Handle(e.listEntityNames)},
		{Pattern: "entity/name/{name|lower}", Summary: "An entity, by its name.",
			Detail: "Names are the same in upper and lower case; policies see them in lower case.",
			Read:   backend.Handle(e.readEntityName), Write: backend.Handle(e.writeEntityName), Delete: backend.Handle(e.deleteEntityName)},
	}
}

type entityRequest struct {
	ID       string             `json:"id" doc:"The id of the entity to change."`
	Name     string             `json:"name" doc:"The name; one is made up where there is none."`
	Metadata *backend.Pairs     `json:"metadata" doc:"Names and values for policies' templates; they replace those that were there."`
	Policies *backend.CommaList `json:"policies" doc:"Policies that the entity adds to its tokens; they replace those that were there."`
	Disabled *bool              `json:"disabled" doc:"Refuse the entity's logins and tokens."`
}

func (r *entityRequest) change() rooms.EntityChange {
	return rooms.EntityChange{ID: r.ID, Metadata: pairsOf(r.Metadata), Policies: listOf(r.Policies), Disabled: r.Disabled}
}

// entityMade is the answer to a write that made an entity.
type entityMade struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Aliases *struct{} `json:"aliases"`
}

// aliasData is an alias as clients see it.
type aliasData struct {
	CanonicalID    string            `json:"canonical_id"`
	CreationTime   string            `json:"creation_time"`
	CustomMetadata map[string]string `json:"custom_metadata"`
	ID             string            `json:"id"`
	LastUpdateTime string            `json:"last_update_time"`
	Local          bool              `json:"local"`
	MergedFrom     []string          `json:"merged_from_canonical_ids"`
	Metadata       map[string]string `json:"metadata"`
	MountAccessor  string            `json:"mount_accessor"`
	MountPath      string            `json:"mount_path"`
	MountType      string            `json:"mount_type"`
	Name           string            `json:"name"`
	NamespaceID    string            `json:"namespace_id"`
}

// entityData is what reading an entity answers.
type entityData struct {
	Aliases           []*aliasData      `json:"aliases"`
	CreationTime      string            `json:"creation_time"`
	DirectGroupIDs    []string          `json:"direct_group_ids"`
	Disabled          bool              `json:"disabled"`
	GroupIDs          []string          `json:"group_ids"`
	ID                string            `json:"id"`
	InheritedGroupIDs []string          `json:"inherited_group_ids"`
	LastUpdateTime    string            `json:"last_update_time"`
	MergedEntityIDs   []string          `json:"merged_entity_ids"`
	Metadata          map[string]string `json:"metadata"`
	Name              string            `json:"name"`
	NamespaceID       string            `json:"namespace_id"`
	Policies          []string          `json:"policies"`
}

func (e *Engine) writeEntity(ctx context.Context, _ *backend.Call, req *entityRequest) (*backend.Response, error) {
	c := req.change()
	if c.ID == "" {
		c.ByName = req.Name
	} else {
		c.Name = req.Name
	}
	return e.write(ctx, c)
}

func (e *Engine) writeEntityID(ctx context.Context, _ *backend.Call, req *entityRequest) (*backend.Response, error) {
	c := req.change()
	c.Name = req.Name
	return e.write(ctx, c)
}

func (e *Engine) writeEntityName(ctx context.Context, _ *backend.Call, req *entityRequest) (*backend.Response, error) {
	c := req.change()
	c.ByName = req.Name
	return e.write(ctx, c)
}

func (e *Engine) write(ctx context.Context, c rooms.EntityChange) (*backend.Response, error) {
	entity, created, err := e.room.WriteEntity(ctx, c)
	if err != nil || !created {
		return nil, err
	}
	return &backend.Response{Data: &entityMade{ID: entity.ID, Name: entity.Name}}, nil
}

func (e *Engine) readEntityID(ctx context.Context, _ *backend.Call, req *idRequest) (*entityData, error) {
	return e.readEntity(ctx, rooms.Selector{ID: req.ID})
}

func (e *Engine) readEntityName(ctx context.Context, _ *backend.Call, req *nameRequest) (*entityData, error) {
	return e.readEntity(ctx, rooms.Selector{Name: req.Name})
}

func (e *Engine) readEntity(ctx context.Context, by rooms.Selector) (*entityData, error) {
	view, err := e.room.Entity(ctx, by)
	if view == nil || err != nil {
		return nil, err
	}
	d := &entityData{
		Aliases:           []*aliasData{},
		CreationTime:      stamp(view.Created),
		DirectGroupIDs:    never(view.Direct),
		Disabled:          view.Disabled,
		GroupIDs:          never(slices.Concat(view.Direct, view.Inherited)),
		ID:                view.ID,
		InheritedGroupIDs: never(view.Inherited),
		LastUpdateTime:    stamp(view.Updated),
		MergedEntityIDs:   view.Merged,
		Metadata:          view.Metadata,
		Name:              view.Name,
		NamespaceID:       rootNamespace,
		Policies:          never(view.Policies),
	}
	for i := range view.Aliases {
		d.Aliases = append(d.Aliases, e.aliasData(&view.Aliases[i], view.ID))
	}
	return d, nil
}

func (e *Engine) deleteEntityID(ctx context.Context, _ *backend.Call, req *idRequest) (*backend.None, error) {
	return nil, e.room.DeleteEntity(ctx, rooms.Selector{ID: req.ID})
}

func (e *Engine) deleteEntityName(ctx context.Context, _ *backend.Call, req *nameRequest) (*backend.None, error) {
	return nil, e.room.DeleteEntity(ctx, rooms.Selector{Name: req.Name})
}

type batchDeleteRequest struct {
	IDs backend.CommaList `json:"entity_ids" doc:"The ids of the entities to delete."`
}

func (e *Engine) deleteEntities(ctx context.Context, _ *backend.Call, req *batchDeleteRequest) (*backend.None, error) {
	if len(req.IDs) == 0 {
		return nil, backend.Invalidf("missing entity ids to delete")
	}
	return nil, e.room.DeleteEntities(ctx, req.IDs)
}

// entityInfo is what a list says of an entity.
type entityInfo struct {
	ID      string       `json:"id,omitempty"`
	Name    string       `json:"name,omitempty"`
	Aliases []*aliasInfo `json:"aliases,omitempty"`
}

// aliasInfo is what a list says of an entity's alias.
type aliasInfo struct {
	ID            string            `json:"id"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	MountAccessor string            `json:"mount_accessor"`
	MountPath     string            `json:"mount_path,omitempty"`
	MountType     string            `json:"mount_type,omitempty"`
	Name          string            `json:"name"`
}

func (e *Engine) aliasInfos(entity *rooms.Entity) []*aliasInfo {
	var out []*aliasInfo
	for i := range entity.Aliases {
		a := &entity.Aliases[i]
		m, _ := e.room.MountOf(a.Mount)
		out = append(out, &aliasInfo{ID: a.ID, Metadata: a.Metadata, MountAccessor: a.Mount, MountPath: m.Path, MountType: m.Type, Name: a.Name})
	}
	return out
}

func (e *Engine) listEntityIDs(ctx context.Context, _ *backend.Call, req *pageRequest) (*backend.Keys, error) {
	var keys []string
	info := map[string]any{}
	err := e.room.Entities(ctx, req.After, func(entity *rooms.Entity) bool {
		keys = append(keys, entity.ID)
		info[entity.ID] = &entityInfo{Name: entity.Name, Aliases: e.aliasInfos(entity)}
		return !req.full(keys)
	})
	return listing(keys, info), err
}

func (e *Engine) listEntityNames(ctx context.Context, _ *backend.Call, req *pageRequest) (*backend.Keys, error) {
	var names []string
	info := map[string]any{}
	err := e.room.Entities(ctx, "", func(entity *rooms.Entity) bool {
		names = append(names, entity.Name)
		info[entity.Name] = &entityInfo{ID: entity.ID, Aliases: e.aliasInfos(entity)}
		return true
	})
	page := req.page(names)
	return listing(page, only(info, page)), err
}
