package identity

import (
	"context"

	"jeton/internal/backend"
	rooms "jeton/internal/identity"
)

func (e *Engine) groupRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "group", Summary: "Make a group, or change the one of that name or id.",
			Write: backend.Handle(e.writeGroup)},
		{Pattern: "group/id", Summary: "List the groups by id.", List: backend.Handle(e.listGroupIDs)},
		{Pattern: "group/id/{id|lower}", Summary: "A group, by its id.",
			Read: backend.Handle(e.readGroupID), Write: backend.Handle(e.writeGroupID), Delete: backend.Handle(e.deleteGroupID)},
		{Pattern: "group/name", Summary: "List the groups by name.", List: backend.Handle(e.listGroupNames)},
		{Pattern: "group/name/{name|lower}", Summary: "A group, by its name.",
			Detail: "Names are the same in upper and lower case; policies see them in lower case.",
			Read:   backend.Handle(e.readGroupName), Write: backend.Handle(e.writeGroupName), Delete: backend.Handle(e.deleteGroupName)},
		{Pattern: "group-alias", Summary: "Make the alias of an external group, or move it to another.",
			Write: backend.Handle(e.writeGroupAlias)},
		{Pattern: "group-alias/id", Summary: "List the groups' aliases.", List: backend.Handle(e.listGroupAliases)},
		{Pattern: "group-alias/id/{id|lower}", Summary: "A group's alias, by its id.",
			Read: backend.Handle(e.readGroupAlias), Write: backend.Handle(e.writeGroupAlias), Delete: backend.Handle(e.deleteGroupAlias)},
	}
}

type groupRequest struct {
	ID       string             `json:"id" doc:"The id of the group to change."`
	Name     string             `json:"name" doc:"The name; one is made up where there is none."`
	Type     string             `json:"type" doc:"internal, or external for a group whose members come from a directory."`
	Metadata *backend.Pairs     `json:"metadata" doc:"Names and values for policies' templates; they replace those that were there."`
	Policies *backend.CommaList `json:"policies" doc:"Policies that the group adds to its members' tokens; they replace those that were there."`
	Entities *backend.CommaList `json:"member_entity_ids" doc:"The entities in the group; they replace those that were there."`
	Groups   *backend.CommaList `json:"member_group_ids" doc:"The groups in the group; they replace those that were there."`
}

func (r *groupRequest) change() rooms.GroupChange {
	return rooms.GroupChange{ID: r.ID, Type: r.Type, Metadata: pairsOf(r.Metadata), Policies: listOf(r.Policies),
		Entities: listOf(r.Entities), Groups: listOf(r.Groups)}
}

// groupMade is the answer to a write that made a group.
type groupMade struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (e *Engine) writeGroup(ctx context.Context, _ *backend.Call, req *groupRequest) (*backend.Response, error) {
	c := req.change()
	if c.ID == "" {
		c.ByName = req.Name
	} else {
		c.Name = req.Name
	}
	return e.putGroup(ctx, c)
}

func (e *Engine) writeGroupID(ctx context.Context, _ *backend.Call, req *groupRequest) (*backend.Response, error) {
	c := req.change()
	c.Name = req.Name
	return e.putGroup(ctx, c)
}

func (e *Engine) writeGroupName(ctx context.Context, _ *backend.Call, req *groupRequest) (*backend.Response, error) {
	c := req.change()
	c.ByName = req.Name
	return e.putGroup(ctx, c)
}

func (e *Engine) putGroup(ctx context.Context, c rooms.GroupChange) (*backend.Response, error) {
	g, created, err := e.room.WriteGroup(ctx, c)
	if err != nil || !created {
		return nil, err
	}
	return &backend.Response{Data: &groupMade{ID: g.ID, Name: g.Name}}, nil
}

// groupData is what reading a group answers.
type groupData struct {
	// Alias is {} where there is none.
	Alias           any               `json:"alias"`
	CreationTime    string            `json:"creation_time"`
	ID              string            `json:"id"`
	LastUpdateTime  string            `json:"last_update_time"`
	MemberEntityIDs []string          `json:"member_entity_ids"`
	MemberGroupIDs  []string          `json:"member_group_ids"`
	Metadata        map[string]string `json:"metadata"`
	ModifyIndex     uint64            `json:"modify_index"`
	Name            string            `json:"name"`
	NamespaceID     string            `json:"namespace_id"`
	ParentGroupIDs  []string          `json:"parent_group_ids"`
	Policies        []string          `json:"policies"`
	Type            string            `json:"type"`
}

// groupAliasData is a group's alias as clients see it.
type groupAliasData struct {
	CanonicalID    string            `json:"canonical_id"`
	CreationTime   string            `json:"creation_time"`
	ID             string            `json:"id"`
	LastUpdateTime string            `json:"last_update_time"`
	MergedFrom     []string          `json:"merged_from_canonical_ids"`
	Metadata       map[string]string `json:"metadata"`
	MountAccessor  string            `json:"mount_accessor"`
	MountPath      string            `json:"mount_path"`
	MountType      string            `json:"mount_type"`
	Name           string            `json:"name"`
	NamespaceID    string            `json:"namespace_id"`
}

func (e *Engine) readGroupID(ctx context.Context, _ *backend.Call, req *idRequest) (*groupData, error) {
	return e.readGroup(ctx, rooms.Selector{ID: req.ID})
}

func (e *Engine) readGroupName(ctx context.Context, _ *backend.Call, req *nameRequest) (*groupData, error) {
	return e.readGroup(ctx, rooms.Selector{Name: req.Name})
}

func (e *Engine) readGroup(ctx context.Context, by rooms.Selector) (*groupData, error) {
	g, err := e.room.ReadGroup(ctx, by)
	if g == nil || err != nil {
		return nil, err
	}
	d := &groupData{
		Alias:           struct{}{},
		CreationTime:    stamp(g.Created),
		ID:              g.ID,
		LastUpdateTime:  stamp(g.Updated),
		MemberEntityIDs: g.Members,
		MemberGroupIDs:  g.Group.Groups,
		Metadata:        g.Metadata,
		ModifyIndex:     g.Modified,
		Name:            g.Name,
		NamespaceID:     rootNamespace,
		ParentGroupIDs:  g.Parents,
		Policies:        g.Policies,
		Type:            typeOf(g.Group),
	}
	if g.Alias != nil {
		d.Alias = e.groupAliasData(g.Alias, g.ID)
	}
	return d, nil
}

func typeOf(g *rooms.Group) string {
	if g.External {
		return "external"
	}
	return "internal"
}

func (e *Engine) groupAliasData(a *rooms.GroupAlias, group string) *groupAliasData {
	m, _ := e.room.MountOf(a.Mount)
	return &groupAliasData{CanonicalID: group, CreationTime: stamp(a.Created), ID: a.ID, LastUpdateTime: stamp(a.Updated),
		MountAccessor: a.Mount, MountPath: m.Path, MountType: m.Type, Name: a.Name, NamespaceID: rootNamespace}
}

func (e *Engine) deleteGroupID(ctx context.Context, _ *backend.Call, req *idRequest) (*backend.None, error) {
	return nil, e.room.DeleteGroup(ctx, rooms.Selector{ID: req.ID})
}

func (e *Engine) deleteGroupName(ctx context.Context, _ *backend.Call, req *nameRequest) (*backend.None, error) {
	return nil, e.room.DeleteGroup(ctx, rooms.Selector{Name: req.Name})
}

// groupInfo is what a list says of a group.
type groupInfo struct {
	ID        string     `json:"id,omitempty"`
	Name      string     `json:"name,omitempty"`
	Entities  int        `json:"num_member_entities"`
	Groups    int        `json:"num_parent_groups"`
	AliasInfo *aliasInfo `json:"alias,omitempty"`
}

func (e *Engine) groupInfo(g *rooms.Group, parents []string) *groupInfo {
	info := &groupInfo{Entities: len(g.Entities), Groups: len(parents)}
	if a := g.Alias; a != nil {
		m, _ := e.room.MountOf(a.Mount)
		info.AliasInfo = &aliasInfo{ID: a.ID, MountAccessor: a.Mount, MountPath: m.Path, MountType: m.Type, Name: a.Name}
	}
	return info
}

func (e *Engine) listGroupIDs(ctx context.Context, _ *backend.Call, req *pageRequest) (*backend.Keys, error) {
	var keys []string
	info := map[string]any{}
	err := e.room.Groups(ctx, req.After, func(g *rooms.Group, parents []string) bool {
		keys = append(keys, g.ID)
		about := e.groupInfo(g, parents)
		about.Name = g.Name
		info[g.ID] = about
		return !req.full(keys)
	})
	return listing(keys, info), err
}

func (e *Engine) listGroupNames(ctx context.Context, _ *backend.Call, req *pageRequest) (*backend.Keys, error) {
	var names []string
	info := map[string]any{}
	err := e.room.Groups(ctx, "", func(g *rooms.Group, parents []string) bool {
		names = append(names, g.Name)
		about := e.groupInfo(g, parents)
		about.ID = g.ID
		info[g.Name] = about
		return true
	})
	page := req.page(names)
	return listing(page, only(info, page)), err
}

type groupAliasRequest struct {
	ID            string `json:"id" doc:"The id of the alias to change."`
	Name          string `json:"name" doc:"What the directory calls the group."`
	MountAccessor string `json:"mount_accessor" doc:"The accessor of the login method's mount."`
	CanonicalID   string `json:"canonical_id" doc:"The id of the external group; a new one where there is none."`
}

func (e *Engine) writeGroupAlias(ctx context.Context, _ *backend.Call, req *groupAliasRequest) (*aliasMade, error) {
	a, err := e.room.WriteGroupAlias(ctx, rooms.GroupAliasChange{ID: req.ID, Name: req.Name, Mount: req.MountAccessor, GroupID: req.CanonicalID})
	if err != nil {
		return nil, err
	}
	return &aliasMade{CanonicalID: a.GroupID, ID: a.ID}, nil
}

func (e *Engine) readGroupAlias(ctx context.Context, _ *backend.Call, req *idRequest) (*groupAliasData, error) {
	a, ok, err := e.room.GroupAlias(ctx, req.ID)
	if !ok || err != nil {
		return nil, err
	}
	return e.groupAliasData(&a.GroupAlias, a.GroupID), nil
}

func (e *Engine) deleteGroupAlias(ctx context.Context, _ *backend.Call, req *idRequest) (*backend.None, error) {
	return nil, e.room.DeleteGroupAlias(ctx, req.ID)
}

func (e *Engine) listGroupAliases(ctx context.Context, _ *backend.Call, req *pageRequest) (*backend.Keys, error) {
	var keys []string
	info := map[string]any{}
	err := e.room.Groups(ctx, "", func(g *rooms.Group, parents []string) bool {
		if g.Alias != nil {
			keys = append(keys, g.Alias.ID)
			info[g.Alias.ID] = &aliasKey{g.ID, *e.groupInfo(g, parents).AliasInfo}
		}
		return true
	})
	page := req.page(keys)
	return listing(page, only(info, page)), err
}
