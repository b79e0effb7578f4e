package identity

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// AliasChange is what a writer asks of an alias. Empty fields stay as they are.
type AliasChange struct {
	// ID names an alias that exists; else Mount and Name name one that may not.
	ID          string
	Name, Mount string
	// EntityID is whom it is to belong to.
	EntityID string
	Custom   *map[string]string
}

// AliasView is an alias and whose it is.
type AliasView struct {
	Alias
	EntityID string
}

// WriteAlias makes an alias, changes it, or moves it to another entity. changed is false when
// all was as asked. It never joins two entities into one (CVE-2021-41802).
// Contract: identity §2.3.
func (s *Store) WriteAlias(ctx context.Context, c AliasChange) (view AliasView, changed bool, err error) {
	if c.Custom != nil {
		if err := checkPairs("alias custom metadata", *c.Custom); err != nil {
			return view, false, err
		}
	}
	if err := checkName("the alias", c.Name); err != nil {
		return view, false, err
	}
	if c.ID == "" && c.Mount == "" || canonical(c.Name) == "" && (c.ID == "" || c.Name != "") {
		return view, false, backend.Invalidf("'id' or 'mount_accessor' and 'name' must be provided")
	}
	err = s.area.Update(ctx, func(tx store.Tx) error {
		// Asked here, so that no alias can come after the removal of its mount has swept.
		if c.Mount != "" {
			if _, ok := s.mounts.Mount(c.Mount); !ok {
				return backend.Invalidf("invalid mount accessor %q", c.Mount)
			}
		}
		target, err := s.targetOf(tx, c.EntityID)
		if err != nil {
			return err
		}
		owner, i, err := s.aliasMeant(tx, &c)
		if err != nil {
			return err
		}
		if owner == nil {
			changed = true
			view, err = s.newAlias(tx, &c, target)
			return err
		}
		view, changed, err = s.changeAlias(tx, &c, owner, i, target)
		return err
	})
	return view, changed, err
}

// targetOf is the entity that an alias is to belong to; nil when none was named.
func (s *Store) targetOf(r store.Reader, id string) (*Entity, error) {
	if id == "" {
		return nil, nil
	}
	e, err := load(r, id)
	if e == nil && err == nil {
		return nil, backend.Invalidf("invalid canonical ID")
	}
	return e, err
}

// aliasMeant is the alias that a change is for, as its entity and the place in it; nil for a
// new one.
func (s *Store) aliasMeant(r store.Reader, c *AliasChange) (owner *Entity, i int, err error) {
	if c.ID == "" {
		if owner, err = loadAt(r, s.aliasEntry(c.Mount, c.Name)); owner == nil || err != nil {
			return nil, 0, err
		}
		return owner, owner.aliasOn(c.Mount), nil
	}
	if owner, err = loadAt(r, key(aliasIDKey, c.ID)); err != nil {
		return nil, 0, err
	}
	if owner == nil {
		return nil, 0, backend.Invalidf("invalid alias ID provided")
	}
	return owner, owner.alias(c.ID), nil
}

// newAlias gives target an alias, or a new entity of its own.
func (s *Store) newAlias(tx store.Tx, c *AliasChange, target *Entity) (AliasView, error) {
	now := s.clock.Now().UnixNano()
	a := Alias{ID: newID(), Name: c.Name, Mount: c.Mount, Created: now, Updated: now}
	if c.Custom != nil {
		a.Custom = optional(maps.Clone(*c.Custom))
	}
	var e *Entity
	if target == nil {
		name, err := s.freeName(tx)
		if err != nil {
			return AliasView{}, err
		}
		e = &Entity{ID: newID(), Name: name, Created: now}
	} else {
		if target.aliasOn(c.Mount) >= 0 {
			return AliasView{}, backend.Invalidf("Alias already exists for requested entity and mount accessor")
		}
		e = target.clone()
	}
	e.Aliases, e.Updated = append(e.Aliases, a), now
	return AliasView{a, e.ID}, s.put(tx, target, e)
}

// changeAlias changes the alias at i of owner, and moves it to target if that is another.
func (s *Store) changeAlias(tx store.Tx, c *AliasChange, owner *Entity, i int, target *Entity) (view AliasView, changed bool, err error) {
	if target == nil {
		target = owner
	}
	was := owner.Aliases[i]
	a := was
	a.Name, a.Mount = cmp.Or(c.Name, a.Name), cmp.Or(c.Mount, a.Mount)
	if c.ID == "" {
		// It was found by these, whatever their case: they are no new ones.
		a.Name = was.Name
	}
	if c.Custom != nil {
		a.Custom = optional(maps.Clone(*c.Custom))
	}
	moved := target.ID != owner.ID
	if !moved && a.Name == was.Name && a.Mount == was.Mount && maps.Equal(a.Custom, was.Custom) {
		return AliasView{was, owner.ID}, false, nil
	}
	if err := s.aliasFits(tx, &a, &was, owner, target); err != nil {
		return view, false, err
	}
	now := s.clock.Now().UnixNano()
	a.Updated = now
	from, to := owner.clone(), target.clone()
	if !moved && a.Mount == was.Mount {
		from.Aliases[i], from.Updated = a, now
		return AliasView{a, owner.ID}, true, s.put(tx, owner, from)
	}
	if a.Mount != was.Mount || canonical(a.Name) != canonical(was.Name) {
		// What the old login said of whoever that was is not said of this one.
		a.Metadata = nil
	}
	from.dropAlias(i)
	from.Updated = now
	if moved {
		if err := s.put(tx, owner, from); err != nil {
			return view, false, err
		}
	} else {
		to = from
	}
	to.Aliases, to.Updated = append(to.Aliases, a), now
	return AliasView{a, to.ID}, true, s.put(tx, target, to)
}

// aliasFits refuses an alias that two entities would have, or a second one on one mount.
func (s *Store) aliasFits(r store.Reader, a, was *Alias, owner, target *Entity) error {
	if a.Mount != was.Mount || canonical(a.Name) != canonical(was.Name) {
		taken, err := text(r, s.aliasEntry(a.Mount, a.Name))
		if err != nil {
			return err
		}
		if taken != "" {
			return backend.Invalidf("alias with combination of mount accessor and name already exists")
		}
	}
	switch j := target.aliasOn(a.Mount); {
	case j < 0 || target.Aliases[j].ID == a.ID:
		return nil
	case target.ID != owner.ID:
		return backend.Invalidf("Alias cannot be updated as the given entity already has an alias for this mount ")
	}
	return backend.Invalidf("Alias cannot be updated as the entity already has an alias for the given 'mount_accessor' ")
}

// Alias reads an alias by its id; ok is false when there is none.
func (s *Store) Alias(ctx context.Context, id string) (view AliasView, ok bool, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		ok = false
		e, err := loadAt(r, key(aliasIDKey, id))
		if e == nil || err != nil {
			return err
		}
		i := e.alias(id)
		if ok = i >= 0; ok {
			view = AliasView{e.Aliases[i], e.ID}
		}
		return nil
	})
	return view, ok, wrapped("read an alias", err)
}

// DeleteAlias removes an alias; none is no error. Tokens keep the entity that they have.
func (s *Store) DeleteAlias(ctx context.Context, id string) error {
	err := s.area.Update(ctx, func(tx store.Tx) error {
		e, err := loadAt(tx, key(aliasIDKey, id))
		if e == nil || err != nil {
			return err
		}
		next := e.clone()
		next.dropAlias(next.alias(id))
		next.Updated = s.clock.Now().UnixNano()
		return s.put(tx, e, next)
	})
	return wrapped("delete an alias", err)
}

// errDangling says that the stored data does not agree with itself; Check says where.
var errDangling = errors.New("identity: an entry points to nothing")

// forgetAtOnce bounds the entities that one transaction changes for a mount that goes.
const forgetAtOnce = 64

// ForgetMount removes every alias of a mount, of entities and of groups. It may be called
// again. The mount must be out of the index that Mounts reads.
func (s *Store) ForgetMount(ctx context.Context, accessor string) error {
	for more := true; more; {
		err := s.area.Update(ctx, func(tx store.Tx) (err error) {
			more, err = s.forgetSome(tx, accessor)
			return err
		})
		if err != nil {
			return wrapped("forget a mount", err)
		}
	}
	return nil
}

func (s *Store) forgetSome(tx store.Tx, accessor string) (more bool, err error) {
	ids, err := seconds(tx, onMountKey, accessor, forgetAtOnce)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		e, err := load(tx, id)
		if e == nil || err != nil {
			return false, cmp.Or(err, errDangling)
		}
		next := e.clone()
		next.dropAlias(next.aliasOn(accessor))
		if err := s.put(tx, e, next); err != nil {
			return false, err
		}
	}
	groups, err := seconds(tx, groupOnMount, accessor, forgetAtOnce)
	if err != nil {
		return false, err
	}
	for _, id := range groups {
		old, err := loadGroup(tx, id)
		if old == nil || err != nil {
			return false, cmp.Or(err, errDangling)
		}
		g := old.clone()
		g.Alias = nil
		if err := s.putGroup(tx, old, s.touched(g)); err != nil {
			return false, err
		}
	}
	return max(len(ids), len(groups)) == forgetAtOnce, nil
}

// sortedIDs is a list of ids without doubles.
func sortedIDs(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}
