package identity

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/seal"
	"jeton/internal/store"
)

// compare orders memberships, so that equal sets are equal lists.
func (m Membership) compare(o Membership) int {
	return cmp.Or(strings.Compare(m.Group, o.Group), strings.Compare(m.Mount, o.Mount), strings.Compare(m.Name, o.Name))
}

// clone copies what a change may touch. Maps are replaced whole, never written.
func (e *Entity) clone() *Entity {
	c := *e
	c.Aliases, c.Merged, c.External = slices.Clone(e.Aliases), slices.Clone(e.Merged), slices.Clone(e.External)
	return &c
}

// aliasOn is the index of the entity's alias on a mount, -1 when it has none.
func (e *Entity) aliasOn(mount string) int {
	return slices.IndexFunc(e.Aliases, func(a Alias) bool { return a.Mount == mount })
}

// alias is the index of the alias with an id, -1 when it has none.
func (e *Entity) alias(id string) int {
	return slices.IndexFunc(e.Aliases, func(a Alias) bool { return a.ID == id })
}

// dropAlias takes an alias away, and the groups that logins by it led to (CVE-2020-10660).
func (e *Entity) dropAlias(i int) {
	mount := e.Aliases[i].Mount
	e.Aliases = slices.Delete(e.Aliases, i, i+1)
	e.External = slices.DeleteFunc(e.External, func(m Membership) bool { return m.Mount == mount })
}

// EntityChange is what a writer asks for. Nil fields stay as they are.
type EntityChange struct {
	// ID and ByName say which entity is meant; with neither it is a new one. Both must mean
	// the same one.
	ID     string
	ByName string
	// Name is the new name, "" for no change.
	Name     string
	Metadata *map[string]string
	Policies *[]string
	Disabled *bool
}

// apply checks the change and puts it into e.
func (c *EntityChange) apply(e *Entity) error {
	if c.Metadata != nil {
		if err := checkPairs("entity metadata", *c.Metadata); err != nil {
			return err
		}
		e.Metadata = optional(maps.Clone(*c.Metadata))
	}
	if c.Policies != nil {
		policies, err := canonicalPolicies(*c.Policies)
		if err != nil {
			return err
		}
		e.Policies = policies
	}
	if c.Disabled != nil {
		e.Disabled = *c.Disabled
	}
	return nil
}

// WriteEntity makes an entity or changes one; created says which. Contract: identity §2.1.
func (s *Store) WriteEntity(ctx context.Context, c EntityChange) (e *Entity, created bool, err error) {
	if err := cmp.Or(checkName("the entity", c.Name), checkName("the entity", c.ByName)); err != nil {
		return nil, false, err
	}
	err = s.area.Update(ctx, func(tx store.Tx) error {
		old, err := s.meant(tx, &c)
		if err != nil {
			return err
		}
		now := s.clock.Now().UnixNano()
		created = old == nil
		if created {
			e = &Entity{ID: newID(), Created: now}
		} else {
			e = old.clone()
		}
		e.Updated = now
		if err := s.rename(tx, &c, e); err != nil {
			return err
		}
		if err := c.apply(e); err != nil {
			return err
		}
		return s.put(tx, old, e)
	})
	return e, created, err
}

// meant is the entity that a change is for; nil for a new one.
func (s *Store) meant(r store.Reader, c *EntityChange) (*Entity, error) {
	var named *Entity
	var err error
	if c.ByName != "" {
		if named, err = loadAt(r, s.nameEntry(c.ByName)); err != nil {
			return nil, err
		}
	}
	if c.ID == "" {
		return named, nil
	}
	e, err := load(r, c.ID)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return nil, backend.Invalidf("entity not found from id")
	case c.ByName != "" && (named == nil || named.ID != e.ID):
		return nil, backend.Invalidf("the name in the path and the id are not of one entity")
	}
	return e, nil
}

// rename gives e the name asked for, or one of its own when it is new.
func (s *Store) rename(r store.Reader, c *EntityChange, e *Entity) (err error) {
	name := cmp.Or(c.Name, c.ByName)
	switch {
	case name == "" && e.Name == "":
		e.Name, err = s.freeName(r)
		return err
	case name == "" || name == e.Name || c.Name == "" && e.Name != "":
		return nil
	}
	owner, err := text(r, s.nameEntry(name))
	if err != nil {
		return err
	}
	if owner != "" && owner != e.ID {
		return backend.Invalidf("entity name is already in use")
	}
	e.Name = name
	return nil
}

// Selector finds a record by one of its names.
type Selector struct {
	ID, Name, AliasID string
	// AliasName is looked for on the mount of AliasMount, an accessor.
	AliasName, AliasMount string
}

// EntityView is an entity and the groups it is in, as read in one state.
type EntityView struct {
	*Entity
	// Direct groups contain it themselves, Inherited ones through other groups. They are ids.
	Direct, Inherited []string
}

// Entity reads an entity; nil when there is none. An id that was merged away is none.
func (s *Store) Entity(ctx context.Context, by Selector) (view *EntityView, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		view = nil
		var e *Entity
		var err error
		switch {
		case by.ID != "":
			e, err = load(r, by.ID)
		case by.Name != "":
			e, err = loadAt(r, s.nameEntry(by.Name))
		case by.AliasID != "":
			e, err = loadAt(r, key(aliasIDKey, by.AliasID))
		case by.AliasName != "":
			e, err = loadAt(r, s.aliasEntry(by.AliasMount, by.AliasName))
		}
		if e == nil || err != nil {
			return err
		}
		groups, direct, err := s.groupsOf(r, e)
		if err != nil {
			return err
		}
		view = &EntityView{Entity: e}
		for i, g := range groups {
			if i < direct {
				view.Direct = append(view.Direct, g.ID)
			} else {
				view.Inherited = append(view.Inherited, g.ID)
			}
		}
		return nil
	})
	return view, wrapped("read an entity", err)
}

// Entities calls fn with every entity after the id given, in the order of ids, until it
// returns false. The entities are fn's to keep. One that cannot be read is left out: Check
// reports it, and it must not hide the others.
func (s *Store) Entities(ctx context.Context, after string, fn func(*Entity) bool) error {
	all := store.PrefixRange([]byte{entityKey})
	if after != "" {
		all.From = store.After(key(entityKey, after))
	}
	all.KeysOnly = true // a value that does not decrypt would end the scan
	err := s.area.View(ctx, func(r store.Reader) error {
		return r.Scan(all, func(k, _ []byte) (bool, error) {
			e, err := load(r, string(k[1:]))
			if unreadable(err) {
				return true, nil
			}
			return err == nil && fn(e), err
		})
	})
	return wrapped("list entities", err)
}

// unreadable says that a record is there and cannot be read.
func unreadable(err error) bool {
	return errors.Is(err, record.ErrMalformed) || errors.Is(err, seal.ErrUndecryptable)
}

// DeleteEntity removes an entity with its aliases and memberships; none is no error. Tokens of
// it are refused from now on. Contract: identity §4.
func (s *Store) DeleteEntity(ctx context.Context, by Selector) error {
	err := s.area.Update(ctx, func(tx store.Tx) error {
		id := by.ID
		if id == "" {
			var err error
			if id, err = text(tx, s.nameEntry(by.Name)); err != nil {
				return err
			}
		}
		return s.remove(tx, id)
	})
	return wrapped("delete an entity", err)
}

// removeAtOnce bounds the entities that one transaction removes.
const removeAtOnce = 64

// DeleteEntities removes many, some at a time.
func (s *Store) DeleteEntities(ctx context.Context, ids []string) error {
	for batch := range slices.Chunk(ids, removeAtOnce) {
		err := s.area.Update(ctx, func(tx store.Tx) error {
			for _, id := range batch {
				if err := s.remove(tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return wrapped("delete entities", err)
		}
	}
	return nil
}

// remove takes an entity out of its groups and removes it.
func (s *Store) remove(tx store.Tx, id string) error {
	e, err := load(tx, id)
	if e == nil || err != nil {
		return err
	}
	if err := s.replaceMember(tx, id, ""); err != nil {
		return err
	}
	return s.put(tx, e, nil)
}

// replaceMember puts to in the place of the entity from in every internal group that has it;
// "" leaves the place empty.
func (s *Store) replaceMember(tx store.Tx, from, to string) error {
	ids, err := seconds(tx, memberKey, from, 0)
	if err != nil {
		return err
	}
	for _, id := range ids {
		old, err := loadGroup(tx, id)
		if old == nil || err != nil {
			return err
		}
		g := old.clone()
		g.Entities = slices.DeleteFunc(g.Entities, func(member string) bool { return member == from })
		if to != "" && !slices.Contains(g.Entities, to) {
			g.Entities = append(g.Entities, to)
		}
		if err := s.putGroup(tx, old, s.touched(g)); err != nil {
			return err
		}
	}
	return nil
}

// touched marks a group as changed now.
func (s *Store) touched(g *Group) *Group {
	g.Modified++
	g.Updated = s.clock.Now().UnixNano()
	return g
}

// clone copies what a change may touch. Maps are replaced whole, never written.
func (g *Group) clone() *Group {
	c := *g
	c.Entities, c.Groups = slices.Clone(g.Entities), slices.Clone(g.Groups)
	if g.Alias != nil {
		alias := *g.Alias
		c.Alias = &alias
	}
	return &c
}
