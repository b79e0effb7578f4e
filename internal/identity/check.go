package identity

import (
	"bytes"
	"context"
	"errors"

	"jeton/internal/store"
)

// Problem is something among the stored identities that must not be there.
type Problem struct {
	// What says it in words that do not depend on the data.
	What string
	// ID is the entity's or the group's, "" when it belongs to none.
	ID string
}

// String is one line for a person.
func (p Problem) String() string {
	if p.ID == "" {
		return p.What
	}
	return p.What + ": " + p.ID
}

// Check walks everything that the room stores, in one state, and reports each place where
// records and entries disagree. It changes nothing. Its error is one of reading the store.
func (s *Store) Check(ctx context.Context, report func(Problem)) error {
	return s.area.View(ctx, func(r store.Reader) error {
		c := &checker{s: s, r: r, report: report}
		return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			return true, c.key(bytes.Clone(k))
		})
	})
}

// checker is one walk.
type checker struct {
	s      *Store
	r      store.Reader
	report func(Problem)
}

func (c *checker) problem(id, what string) { c.report(Problem{What: what, ID: id}) }

// key checks what is kept at k.
func (c *checker) key(k []byte) error {
	if len(k) < 2 {
		c.problem("", "a key that is none")
		return nil
	}
	switch k[0] {
	case entityKey:
		return c.entity(string(k[1:]))
	case groupKey:
		return c.group(string(k[1:]))
	case nameKey, aliasKey, aliasIDKey, mergedKey:
		id, err := text(c.r, k)
		if err != nil {
			return c.unreadable("", err)
		}
		return c.entityEntry(k, id)
	case onMountKey, externalKey:
		return c.entityEntry(k, lastOf(k))
	case groupNameKey, groupAliasKey, groupAliasID:
		id, err := text(c.r, k)
		if err != nil {
			return c.unreadable("", err)
		}
		return c.groupEntry(k, id)
	case groupOnMount, memberKey, parentGroupKey:
		return c.groupEntry(k, lastOf(k))
	}
	c.problem("", "a key of no known kind")
	return nil
}

// lastOf is the second of a pair.
func lastOf(k []byte) string { return string(k[bytes.LastIndexByte(k, '/')+1:]) }

// unreadable reports a record that cannot be read; any other error ends the walk.
func (c *checker) unreadable(id string, err error) error {
	if !unreadable(err) {
		return err
	}
	c.problem(id, "a record that cannot be read")
	return nil
}

func (c *checker) entity(id string) error {
	e, err := load(c.r, id)
	if err != nil {
		return c.unreadable(id, err)
	}
	mounts := map[string]bool{}
	for i := range e.Aliases {
		if mounts[e.Aliases[i].Mount] {
			c.problem(id, "an entity with two aliases on one mount")
		}
		mounts[e.Aliases[i].Mount] = true
	}
	for _, m := range e.External {
		if !mounts[m.Mount] {
			c.problem(id, "an entity in a group by a login that it has no alias for")
		}
	}
	if len(grantable(e.Policies)) != len(e.Policies) {
		c.problem(id, "an entity with a policy that nobody may be given")
	}
	return c.entries(id, "an entity without one of its entries", c.s.entries(e))
}

func (c *checker) group(id string) error {
	g, err := loadGroup(c.r, id)
	if err != nil {
		return c.unreadable(id, err)
	}
	for _, member := range g.Entities {
		if e, err := load(c.r, member); err == nil && e == nil {
			c.problem(id, "a group with an entity that is not there")
		}
	}
	for _, member := range g.Groups {
		if m, err := loadGroup(c.r, member); err == nil && m == nil {
			c.problem(id, "a group with a group that is not there")
		}
	}
	above, err := c.s.above(c.r, id)
	if err != nil {
		return err
	}
	switch {
	case above[id]:
		c.problem(id, "a group that contains itself")
	case g.External && len(g.Entities)+len(g.Groups) > 0:
		c.problem(id, "an external group with members of its own")
	case !g.External && g.Alias != nil:
		c.problem(id, "an internal group with an alias")
	case len(grantable(g.Policies)) != len(g.Policies):
		c.problem(id, "a group with a policy that nobody may be given")
	}
	return c.entries(id, "a group without one of its entries", c.s.groupEntries(g))
}

// entries checks that everything that must point to a record does.
func (c *checker) entries(id, what string, want []entry) error {
	for _, e := range want {
		value, err := c.r.Get(e.key)
		switch {
		case errors.Is(err, store.ErrNotFound) || err == nil && string(value) != e.value:
			c.problem(id, what)
		case err != nil:
			return c.unreadable(id, err)
		}
	}
	return nil
}

// entityEntry checks that an entry is one of its entity's.
func (c *checker) entityEntry(k []byte, id string) error {
	e, err := load(c.r, id)
	if err != nil {
		return nil // reported with its record
	}
	if e == nil || !has(c.s.entries(e), k) {
		c.problem(id, "an entry that its entity does not have")
	}
	return nil
}

// groupEntry checks that an entry is one of its group's.
func (c *checker) groupEntry(k []byte, id string) error {
	g, err := loadGroup(c.r, id)
	if err != nil {
		return nil // reported with its record
	}
	if g == nil || !has(c.s.groupEntries(g), k) {
		c.problem(id, "an entry that its group does not have")
	}
	return nil
}

func has(entries []entry, k []byte) bool {
	for _, e := range entries {
		if bytes.Equal(e.key, k) {
			return true
		}
	}
	return false
}
