package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// Merge says which entities become part of another.
type Merge struct {
	From []string
	To   string
	// Keep are the aliases that stay where two entities have one each on one mount; the other
	// one of the two goes.
	Keep []string
}

// Clash is one mount on which both entities have an alias.
type Clash struct {
	Mount               string
	EntityID, AliasID   string
	ToEntityID, ToAlias string
}

// ClashError refuses a merge that would give an entity two aliases on one mount.
type ClashError struct{ Clashes []Clash }

// Error is the text that clients know. Contract: identity §2.2.
func (e *ClashError) Error() string {
	var b strings.Builder
	b.WriteString("toEntity and at least one fromEntity have aliases with the same mount accessor, repeat the merge request specifying exactly one fromEntity, clashes: ")
	for _, c := range e.Clashes {
		fmt.Fprintf(&b, "\nmountAccessor: %s, fromEntity ID: %s, fromAlias ID: %s, toEntity ID: %s, toAlias ID: %s", c.Mount, c.EntityID, c.AliasID, c.ToEntityID, c.ToAlias)
	}
	return b.String()
}

// MergeEntities moves aliases and group memberships of some entities to another and removes
// them. Their ids go on to stand for it; their policies and metadata are dropped. All is
// checked first, and done in one transaction. Contract: identity §2.2.
func (s *Store) MergeEntities(ctx context.Context, m Merge) error {
	m.From = sortedIDs(m.From)
	switch {
	case m.To == "":
		return backend.Invalidf("missing entity id to merge to")
	case len(m.From) == 0:
		return backend.Invalidf("missing entity ids to merge from")
	case slices.Contains(m.From, m.To):
		return backend.Invalidf("to_entity_id should not be present in from_entity_ids")
	case len(m.Keep) > 0 && len(m.From) > 1:
		return backend.Invalidf("aliases conflicts cannot be resolved with multiple from entity ids - merge one entity at a time")
	}
	return s.area.Update(ctx, func(tx store.Tx) error {
		to, from, err := mergeable(tx, &m)
		if err != nil {
			return err
		}
		return s.merge(tx, &m, to, from)
	})
}

// mergeable reads the entities of a merge and refuses one that cannot be.
func mergeable(r store.Reader, m *Merge) (to *Entity, from []*Entity, err error) {
	if to, err = load(r, m.To); err != nil {
		return nil, nil, err
	}
	if to == nil {
		return nil, nil, backend.Invalidf("entity id to merge to is invalid")
	}
	mounts := map[string]bool{}
	for _, id := range m.From {
		e, err := load(r, id)
		if err != nil {
			return nil, nil, err
		}
		if e == nil {
			return nil, nil, backend.Invalidf("entity id to merge from is invalid")
		}
		from = append(from, e)
		for i := range e.Aliases {
			if mount := e.Aliases[i].Mount; mounts[mount] {
				return nil, nil, backend.Invalidf("mount accessor %s found in multiple fromEntities, merge should be done with one fromEntity at a time", mount)
			}
		}
		for i := range e.Aliases {
			mounts[e.Aliases[i].Mount] = true
		}
	}
	return to, from, m.checkClashes(to, from)
}

// checkClashes refuses clashes that Keep does not settle.
func (m *Merge) checkClashes(to *Entity, from []*Entity) error {
	clashes := clashesOf(to, from)
	if len(clashes) == 0 {
		return nil
	}
	if len(m.Keep) == 0 {
		return &ClashError{Clashes: clashes}
	}
	for _, c := range clashes {
		theirs, ours := slices.Contains(m.Keep, c.AliasID), slices.Contains(m.Keep, c.ToAlias)
		if theirs == ours {
			return backend.Invalidf("conflicting mount accessors in following alias IDs and neither were present in conflicting_alias_ids_to_keep: %s, %s",
				c.AliasID, c.ToAlias)
		}
	}
	return nil
}

func clashesOf(to *Entity, from []*Entity) (clashes []Clash) {
	for _, e := range from {
		for i := range e.Aliases {
			a := &e.Aliases[i]
			if j := to.aliasOn(a.Mount); j >= 0 {
				clashes = append(clashes, Clash{Mount: a.Mount, EntityID: e.ID, AliasID: a.ID, ToEntityID: to.ID, ToAlias: to.Aliases[j].ID})
			}
		}
	}
	return clashes
}

// merge does what was found to be possible.
func (s *Store) merge(tx store.Tx, m *Merge, to *Entity, from []*Entity) error {
	now := s.clock.Now().UnixNano()
	next := to.clone()
	for _, e := range from {
		for _, a := range e.Aliases {
			if j := next.aliasOn(a.Mount); j >= 0 {
				if slices.Contains(m.Keep, next.Aliases[j].ID) {
					continue // theirs goes with the entity
				}
				next.dropAlias(j)
			}
			a.MergedFrom, a.Updated = append(slices.Clone(a.MergedFrom), e.ID), now
			next.Aliases = append(next.Aliases, a)
			for _, membership := range e.External {
				if membership.Mount == a.Mount {
					next.External = append(next.External, membership)
				}
			}
		}
		next.Merged = append(next.Merged, append(slices.Clone(e.Merged), e.ID)...)
		if err := s.replaceMember(tx, e.ID, to.ID); err != nil {
			return err
		}
		if err := s.put(tx, e, nil); err != nil {
			return err
		}
	}
	slices.SortFunc(next.External, Membership.compare)
	next.External = slices.Compact(next.External)
	next.Updated = now
	return s.put(tx, to, next)
}
