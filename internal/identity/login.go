package identity

import (
	"context"
	"errors"
	"maps"
	"slices"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// ErrRaced says that the alias changed hands during the login, by another first login of it for
// one: the caller begins anew, and finds what there is now.
var ErrRaced = errors.New("identity: the alias changed during the login")

// Known is who logged in.
type Known struct {
	EntityID string
	// Created says that this is the first login of anybody by that name, Changed that Remember
	// has something to write.
	Created, Changed bool
	// Remember proves inside tx, a transaction of the whole store (that of the token that was
	// earned), that Recognise's answer still holds, and writes what the login has changed. It may
	// fail with ErrRaced.
	Remember func(tx store.Tx) error
}

// Recognise finds who logged in at the mount of an accessor, and what of it has to be
// remembered: the entity and alias of a first login, metadata that is not as it was, the
// groups that the directory named. A disabled entity is a backend.Denied. Who logged in before
// costs no look at the store. Contract: identity §3.
func (s *Store) Recognise(ctx context.Context, mount string, alias *backend.Alias, groups []string) (*Known, error) {
	if canonical(alias.Name) == "" {
		return nil, backend.Errorf(backend.Failed, "missing name in alias")
	}
	at := s.aliasEntry(mount, alias.Name)
	known := &Known{}
	look := func(r store.Reader) error {
		old, next, err := s.afterLogin(r, at, mount, alias, groups, "")
		if err == nil {
			known.EntityID, known.Created, known.Changed = next.ID, old == nil, old != next
		}
		return err
	}
	err := look(record.Unread{})
	if errors.Is(err, record.ErrUnread) {
		err = s.area.View(ctx, look)
	}
	if err != nil {
		return nil, err
	}
	known.Remember = func(tx store.Tx) error { return s.remember(s.area.Within(tx), at, mount, alias, groups, known) }
	return known, nil
}

// remember does in tx what Recognise saw to be needed. The entity must still be the one that
// the token was made out to, and must not be disabled.
func (s *Store) remember(tx store.Tx, at []byte, mount string, alias *backend.Alias, groups []string, known *Known) error {
	old, next, err := s.afterLogin(tx, at, mount, alias, groups, known.EntityID)
	switch {
	case err != nil:
		return err
	case next.ID != known.EntityID || known.Created != (old == nil):
		// The alias was made, moved or deleted since. An entity that is there must not be
		// written over by a new one of its id.
		return ErrRaced
	case old == next:
		return nil
	}
	return s.put(tx, old, next)
}

// afterLogin is the entity of the alias at a key before and after a login: old is nil for a new
// one, next is old itself when the login changes nothing. fresh is the id of a new one, "" for any.
func (s *Store) afterLogin(r store.Reader, at []byte, mount string, alias *backend.Alias, groups []string, fresh string) (old, next *Entity, err error) {
	if old, err = s.entityAt(r, at); err != nil {
		return nil, nil, err
	}
	if old != nil && old.Disabled {
		return nil, nil, errNobody
	}
	now := s.clock.Now().UnixNano()
	metadata := optional(alias.Metadata)
	if old == nil {
		if fresh == "" {
			fresh = newID()
		}
		next = &Entity{ID: fresh, Created: now, Updated: now}
		if next.Name, err = s.freeName(r); err != nil {
			return nil, nil, err
		}
		next.Aliases = []Alias{{ID: newID(), Name: alias.Name, Mount: mount, Metadata: maps.Clone(metadata), Created: now, Updated: now}}
	} else {
		next = old
		if i := next.aliasOn(mount); i >= 0 && !maps.Equal(next.Aliases[i].Metadata, metadata) {
			next = next.clone()
			next.Aliases[i].Metadata, next.Aliases[i].Updated = maps.Clone(metadata), now
		}
	}
	external, err := s.externalAfter(r, next, mount, groups)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Equal(external, next.External) {
		if next == old {
			next = next.clone()
		}
		next.External = external
	}
	return old, next, nil
}

// entityAt is loadAt from what is remembered of earlier logins, where it is.
func (s *Store) entityAt(r store.Reader, at []byte) (*Entity, error) {
	id, err := s.pointers.Read(r, at, asText)
	if err != nil || *id == "" {
		return nil, err
	}
	return s.entities.Read(r, key(entityKey, *id), func(value []byte) (*Entity, error) {
		e := &Entity{}
		err := record.Decode(value, e)
		e.ID = *id
		return e, err
	})
}

func asText(value []byte) (*string, error) {
	text := string(value)
	return &text, nil
}

// mostGroups bounds what a directory or provider may say of one person: each name is looked up,
// in the transaction that stores the token too. Active Directory has at most 1,015.
const mostGroups = 10_000

// externalAfter are the entity's external groups once a login at mount has named groups: those
// of other mounts stay, those of this one are replaced. Contract: identity §3.5.
func (s *Store) externalAfter(r store.Reader, e *Entity, mount string, groups []string) ([]Membership, error) {
	if len(groups) > mostGroups {
		return nil, backend.Invalidf("the login names more than %d groups", mostGroups)
	}
	var out []Membership
	for _, m := range e.External {
		if m.Mount != mount {
			out = append(out, m)
		}
	}
	for _, name := range groups {
		id, err := s.pointers.Read(r, s.groupAliasEntry(mount, name), asText)
		if err != nil {
			return nil, err
		}
		if *id != "" {
			out = append(out, Membership{Group: *id, Mount: mount, Name: canonical(name)})
		}
	}
	slices.SortFunc(out, Membership.compare)
	return slices.Compact(out), nil
}

// Regroup replaces the groups that logins at a mount have put the entity into: a method that
// asks its directory again at a renewal says so by this. Contract: identity §3.5.
func (s *Store) Regroup(ctx context.Context, entityID, mount string, groups []string) error {
	change := func(r store.Reader) (old, next *Entity, err error) {
		old, err = loadMerged(r, entityID)
		if old == nil || err != nil || old.aliasOn(mount) < 0 {
			return nil, nil, err
		}
		external, err := s.externalAfter(r, old, mount, groups)
		if err != nil || slices.Equal(external, old.External) {
			return nil, nil, err
		}
		next = old.clone()
		next.External = external
		return old, next, nil
	}
	var next *Entity
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		_, next, err = change(r)
		return err
	})
	if next == nil || err != nil {
		return wrapped("look at an entity's groups", err)
	}
	err = s.area.Update(ctx, func(tx store.Tx) error {
		old, next, err := change(tx)
		if next == nil || err != nil {
			return err
		}
		return s.put(tx, old, next)
	})
	return wrapped("change an entity's groups", err)
}

// EntityOf returns, inside tx (a transaction of the whole store), the entity of an alias of
// the token method's, and makes both where there is none. Contract: tokens §4.7.
func (s *Store) EntityOf(tx store.Tx, mount, name string) (id string, err error) {
	area := s.area.Within(tx)
	old, next, err := s.afterLogin(area, s.aliasEntry(mount, name), mount, &backend.Alias{Name: name}, nil, "")
	if errors.Is(err, errNobody) {
		return "", backend.Errorf(backend.Denied, "entity from given entity alias is disabled")
	}
	if err != nil || old != nil {
		// The token method knows no groups, and has no metadata to bring up to date.
		if old != nil {
			id = old.ID
		}
		return id, err
	}
	return next.ID, s.put(area, nil, next)
}

// freeName draws a name that no entity has.
func (s *Store) freeName(r store.Reader) (string, error) {
	for {
		name := newName("entity")
		taken, err := text(r, s.nameEntry(name))
		if taken == "" || err != nil {
			return name, err
		}
	}
}
