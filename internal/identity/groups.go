package identity

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// GroupChange is what a writer asks of a group. Nil fields stay as they are.
type GroupChange struct {
	// ID and ByName say which group is meant; with neither it is a new one. Both must mean the
	// same one.
	ID     string
	ByName string
	// Name is the new name, "" for no change.
	Name string
	// Type is "internal", "external" or "" for what it is, or internal.
	Type     string
	Metadata *map[string]string
	Policies *[]string
	// Entities and Groups replace the members.
	Entities *[]string
	Groups   *[]string
}

// WriteGroup makes a group or changes one; created says which. Contract: identity §2.4.
func (s *Store) WriteGroup(ctx context.Context, c GroupChange) (g *Group, created bool, err error) {
	if err := cmp.Or(checkName("the group", c.Name), checkName("the group", c.ByName)); err != nil {
		return nil, false, err
	}
	err = s.area.Update(ctx, func(tx store.Tx) error {
		old, err := s.groupMeant(tx, &c)
		if err != nil {
			return err
		}
		if created = old == nil; created {
			g = &Group{ID: newID(), External: c.Type == "external", Created: s.clock.Now().UnixNano()}
		} else {
			g = old.clone()
		}
		if err := c.checkType(g); err != nil {
			return err
		}
		if err := s.renameGroup(tx, &c, g); err != nil {
			return err
		}
		if err := c.apply(g); err != nil {
			return err
		}
		if err := s.setMembers(tx, &c, g); err != nil {
			return err
		}
		return s.putGroup(tx, old, s.touched(g))
	})
	return g, created, err
}

// groupMeant is the group that a change is for; nil for a new one.
func (s *Store) groupMeant(r store.Reader, c *GroupChange) (named *Group, err error) {
	if c.ByName != "" {
		if named, err = loadGroupAt(r, s.groupNameEntry(c.ByName)); err != nil {
			return nil, err
		}
	}
	if c.ID == "" {
		return named, nil
	}
	g, err := loadGroup(r, c.ID)
	switch {
	case err != nil:
		return nil, err
	case g == nil:
		return nil, backend.Invalidf("invalid group ID")
	case c.ByName != "" && (named == nil || named.ID != g.ID):
		return nil, backend.Invalidf("the name in the path and the id are not of one group")
	}
	return g, nil
}

// checkType holds the type asked for against the group's.
func (c *GroupChange) checkType(g *Group) error {
	switch {
	case c.Type != "" && c.Type != "internal" && c.Type != "external":
		return backend.Invalidf("invalid group type %q", c.Type)
	case c.Type != "" && g.External != (c.Type == "external"):
		return backend.Invalidf("group type cannot be changed")
	case g.External && c.Entities != nil && len(*c.Entities) > 0:
		return backend.Invalidf("member entities can't be set manually for external groups")
	case g.External && c.Groups != nil && len(*c.Groups) > 0:
		return backend.Invalidf("member groups can't be set for external groups")
	}
	return nil
}

func (c *GroupChange) apply(g *Group) (err error) {
	if c.Metadata != nil {
		if err := checkPairs("group metadata", *c.Metadata); err != nil {
			return err
		}
		g.Metadata = optional(maps.Clone(*c.Metadata))
	}
	if c.Policies != nil {
		g.Policies, err = canonicalPolicies(*c.Policies)
	}
	return err
}

// renameGroup gives g the name asked for, or one of its own when it is new.
func (s *Store) renameGroup(r store.Reader, c *GroupChange, g *Group) error {
	name := cmp.Or(c.Name, c.ByName)
	switch {
	case name == "" && g.Name == "":
		free, err := s.freeGroupName(r)
		g.Name = free
		return err
	case name == "" || name == g.Name || c.Name == "" && g.Name != "":
		return nil
	}
	owner, err := text(r, s.groupNameEntry(name))
	if err != nil {
		return err
	}
	if owner != "" && owner != g.ID {
		return backend.Invalidf("group name is already in use")
	}
	g.Name = name
	return nil
}

func (s *Store) freeGroupName(r store.Reader) (string, error) {
	for {
		name := newName("group")
		taken, err := text(r, s.groupNameEntry(name))
		if taken == "" || err != nil {
			return name, err
		}
	}
}

// setMembers replaces the members that the change names, all of which must be there.
func (s *Store) setMembers(r store.Reader, c *GroupChange, g *Group) error {
	if c.Entities != nil {
		g.Entities = sortedIDs(*c.Entities)
		for _, id := range g.Entities {
			e, err := load(r, id)
			if err != nil {
				return err
			}
			if e == nil {
				return backend.Invalidf("invalid entity ID %q", id)
			}
		}
	}
	if c.Groups == nil {
		return nil
	}
	g.Groups = sortedIDs(*c.Groups)
	above, err := s.above(r, g.ID)
	if err != nil {
		return err
	}
	for _, id := range g.Groups {
		if id == g.ID {
			return backend.Invalidf("member group ID %q is same as the ID of the group", id)
		}
		member, err := loadGroup(r, id)
		switch {
		case err != nil:
			return err
		case member == nil:
			return backend.Invalidf("invalid member group ID %q", id)
		case above[id]:
			return backend.Invalidf("cyclic relationship detected for member group ID %q", id)
		}
	}
	return nil
}

// above are the groups that contain a group, directly or through others.
func (s *Store) above(r store.Reader, id string) (map[string]bool, error) {
	found := map[string]bool{}
	next := []string{id}
	for len(next) > 0 {
		parents, err := seconds(r, parentGroupKey, next[0], 0)
		if err != nil {
			return nil, err
		}
		next = next[1:]
		for _, p := range parents {
			if !found[p] {
				found[p] = true
				next = append(next, p)
			}
		}
	}
	return found, nil
}

// GroupView is a group with what points to it, as read in one state.
type GroupView struct {
	*Group
	// Members are the entities in it, of an external group too. Parents are the groups that it
	// is a member of itself.
	Members, Parents []string
}

// ReadGroup reads a group; nil when there is none.
func (s *Store) ReadGroup(ctx context.Context, by Selector) (view *GroupView, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		view = nil
		g, err := s.selectGroup(r, by)
		if g == nil || err != nil {
			return err
		}
		v := &GroupView{Group: g, Members: g.Entities}
		if g.External {
			if v.Members, err = s.externalMembers(r, g); err != nil {
				return err
			}
		}
		if v.Parents, err = seconds(r, parentGroupKey, g.ID, 0); err != nil {
			return err
		}
		view = v
		return nil
	})
	return view, wrapped("read a group", err)
}

func (s *Store) selectGroup(r store.Reader, by Selector) (*Group, error) {
	switch {
	case by.ID != "":
		return loadGroup(r, by.ID)
	case by.Name != "":
		return loadGroupAt(r, s.groupNameEntry(by.Name))
	case by.AliasID != "":
		return loadGroupAt(r, key(groupAliasID, by.AliasID))
	case by.AliasName != "":
		return loadGroupAt(r, s.groupAliasEntry(by.AliasMount, by.AliasName))
	}
	return nil, nil
}

// externalMembers are the entities that the last logins at the group's mount put into it.
func (s *Store) externalMembers(r store.Reader, g *Group) (members []string, err error) {
	ids, err := seconds(r, externalKey, g.ID, 0)
	if err != nil || g.Alias == nil {
		return nil, err
	}
	for _, id := range ids {
		e, err := load(r, id)
		if err != nil {
			return nil, err
		}
		if e != nil && slices.ContainsFunc(e.External, g.holds) {
			members = append(members, id)
		}
	}
	return members, nil
}

// Groups calls fn with every group after the id given, in the order of ids, until it returns
// false. The groups are fn's to keep; parents are those that each is a member of.
func (s *Store) Groups(ctx context.Context, after string, fn func(g *Group, parents []string) bool) error {
	all := store.PrefixRange([]byte{groupKey})
	if after != "" {
		all.From = store.After(key(groupKey, after))
	}
	all.KeysOnly = true
	err := s.area.View(ctx, func(r store.Reader) error {
		return r.Scan(all, func(k, _ []byte) (bool, error) {
			g, err := loadGroup(r, string(k[1:]))
			if unreadable(err) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
			parents, err := seconds(r, parentGroupKey, g.ID, 0)
			return err == nil && fn(g, parents), err
		})
	})
	return wrapped("list groups", err)
}

// DeleteGroup removes a group; none is no error. Its members lose it with their next request.
// What entities remember of having been put into it means nothing from then on, and goes with
// their next login.
func (s *Store) DeleteGroup(ctx context.Context, by Selector) error {
	err := s.area.Update(ctx, func(tx store.Tx) error {
		g, err := s.selectGroup(tx, by)
		if g == nil || err != nil {
			return err
		}
		parents, err := seconds(tx, parentGroupKey, g.ID, 0)
		if err != nil {
			return err
		}
		for _, id := range parents {
			old, err := loadGroup(tx, id)
			if old == nil || err != nil {
				return cmp.Or(err, errDangling)
			}
			parent := old.clone()
			parent.Groups = slices.DeleteFunc(parent.Groups, func(member string) bool { return member == g.ID })
			if err := s.putGroup(tx, old, s.touched(parent)); err != nil {
				return err
			}
		}
		return s.putGroup(tx, g, nil)
	})
	return wrapped("delete a group", err)
}

// GroupAliasView is a group's alias and whose it is.
type GroupAliasView struct {
	GroupAlias
	GroupID string
}

// GroupAliasChange is what a writer asks of a group's alias. Empty fields stay as they are.
type GroupAliasChange struct{ ID, Name, Mount, GroupID string }

// WriteGroupAlias makes a group's alias, changes it, or moves it to another group.
// Contract: identity §2.5.
func (s *Store) WriteGroupAlias(ctx context.Context, c GroupAliasChange) (view GroupAliasView, err error) {
	if err := checkName("the group alias", c.Name); err != nil {
		return view, err
	}
	err = s.area.Update(ctx, func(tx store.Tx) error {
		view, err = s.writeGroupAlias(tx, c)
		return err
	})
	return view, err
}

func (s *Store) writeGroupAlias(tx store.Tx, c GroupAliasChange) (view GroupAliasView, err error) {
	var owner *Group
	if c.ID != "" {
		if owner, err = loadGroupAt(tx, key(groupAliasID, c.ID)); err != nil {
			return view, err
		}
		if owner == nil {
			return view, backend.Invalidf("invalid group alias ID")
		}
		c.Name, c.Mount = cmp.Or(c.Name, owner.Alias.Name), cmp.Or(c.Mount, owner.Alias.Mount)
	}
	if err := s.checkGroupAlias(&c); err != nil {
		return view, err
	}
	taken, err := loadGroupAt(tx, s.groupAliasEntry(c.Mount, c.Name))
	switch {
	case err != nil:
		return view, err
	case owner == nil:
		owner = taken // posting what is there updates it
	case taken != nil && taken.ID != owner.ID:
		return view, backend.Invalidf("combination of mount and group alias name is already in use")
	}
	now := s.clock.Now().UnixNano()
	a := GroupAlias{ID: newID(), Created: now}
	if owner != nil {
		a = *owner.Alias
	}
	a.Name, a.Mount, a.Updated = c.Name, c.Mount, now
	target, err := s.aliasGroup(tx, c.GroupID, owner, a.ID)
	if err != nil {
		return view, err
	}
	if owner != nil && (target == nil || target.ID != owner.ID) {
		from := owner.clone()
		from.Alias = nil
		if err := s.putGroup(tx, owner, s.touched(from)); err != nil {
			return view, err
		}
	}
	g := &Group{ID: newID(), External: true, Created: now}
	if target != nil {
		g = target.clone()
	} else if g.Name, err = s.freeGroupName(tx); err != nil {
		return view, err
	}
	g.Alias = &a
	return GroupAliasView{a, g.ID}, s.putGroup(tx, target, s.touched(g))
}

func (s *Store) checkGroupAlias(c *GroupAliasChange) error {
	if canonical(c.Name) == "" {
		return backend.Invalidf("missing alias name")
	}
	if c.Mount == "" {
		return backend.Invalidf("missing mount_accessor")
	}
	// Asked inside the transaction, as for aliases of entities.
	m, ok := s.mounts.Mount(c.Mount)
	switch {
	case !ok:
		return backend.Invalidf("invalid mount accessor %q", c.Mount)
	case m.Local:
		return backend.Invalidf("mount accessor %q is a local mount", c.Mount)
	}
	return nil
}

// aliasGroup is the group that an alias is to be of: the one named, or owner; nil for a new one.
func (s *Store) aliasGroup(r store.Reader, id string, owner *Group, alias string) (*Group, error) {
	if id == "" {
		return owner, nil
	}
	g, err := loadGroup(r, id)
	switch {
	case err != nil:
		return nil, err
	case g == nil:
		return nil, backend.Invalidf("invalid group ID given in 'canonical_id'")
	case !g.External:
		return nil, backend.Invalidf("alias can't be set on an internal group")
	case g.Alias != nil && g.Alias.ID != alias:
		return nil, backend.Invalidf("the group given in 'canonical_id' already has an alias")
	}
	return g, nil
}

// GroupAlias reads a group's alias by its id; ok is false when there is none.
func (s *Store) GroupAlias(ctx context.Context, id string) (view GroupAliasView, ok bool, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		g, err := loadGroupAt(r, key(groupAliasID, id))
		if ok = g != nil && g.Alias != nil; ok {
			view = GroupAliasView{*g.Alias, g.ID}
		}
		return err
	})
	return view, ok, wrapped("read a group alias", err)
}

// DeleteGroupAlias removes a group's alias; none is no error. Nobody is in the group through
// it any more.
func (s *Store) DeleteGroupAlias(ctx context.Context, id string) error {
	err := s.area.Update(ctx, func(tx store.Tx) error {
		old, err := loadGroupAt(tx, key(groupAliasID, id))
		if old == nil || err != nil {
			return err
		}
		g := old.clone()
		g.Alias = nil
		return s.putGroup(tx, old, s.touched(g))
	})
	return wrapped("delete a group alias", err)
}
