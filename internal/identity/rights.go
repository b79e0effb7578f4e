package identity

import (
	"context"
	"slices"

	"jeton/internal/backend"
	"jeton/internal/policy"
	"jeton/internal/store"
)

// errNobody refuses a token whose entity is disabled or gone. Contract: tokens §3.
var errNobody = backend.Errorf(backend.Denied, "permission denied")

// Subject is the entity behind a token as templates see it, with the policies that it adds to
// the token's own. An entity that is disabled or gone is a backend.Denied; no id is no entity
// and costs nothing. Contract: identity §1, §4.
func (s *Store) Subject(ctx context.Context, entityID string) (*policy.Subject, []string, error) {
	if entityID == "" {
		return nil, nil, nil
	}
	known, err := s.standing(ctx, entityID)
	switch {
	case err != nil:
		return nil, nil, err
	case known == nil || known.disabled:
		return nil, nil, errNobody
	}
	return known.subject, known.policies, nil
}

// Rights are a token's own policies and those of its entity, as the ACL wants them.
type Rights struct {
	// Policies is the sorted union.
	Policies []string
	// Identity are the entity's part of it.
	Identity []string
	Subject  *policy.Subject
}

// Rights joins the token's own policies to what its entity adds.
func (s *Store) Rights(ctx context.Context, entityID string, own []string) (Rights, error) {
	subject, identity, err := s.Subject(ctx, entityID)
	if err != nil || len(identity) == 0 {
		return Rights{Policies: own, Subject: subject}, err
	}
	all := slices.Concat(own, identity)
	slices.Sort(all)
	return Rights{Policies: slices.Compact(all), Identity: identity, Subject: subject}, nil
}

// Admit refuses an entity that is disabled or gone.
func (s *Store) Admit(ctx context.Context, entityID string) error {
	_, _, err := s.Subject(ctx, entityID)
	return err
}

// Policies are what the entity adds to its tokens, for showing: nothing where it is gone.
func (s *Store) Policies(ctx context.Context, entityID string) ([]string, error) {
	if entityID == "" {
		return nil, nil
	}
	known, err := s.standing(ctx, entityID)
	if known == nil || err != nil {
		return nil, err
	}
	return known.policies, nil
}

// standing resolves an entity, or remembers it; nil when there is none. An id that was merged
// away stands for the entity it became part of.
func (s *Store) standing(ctx context.Context, id string) (*standing, error) {
	target, moves := s.cache.target(id)
	asked := id
	if target != "" {
		id = target
	}
	known, changes := s.cache.get(id)
	if known != nil {
		return known, nil
	}
	known = &standing{groups: s.cache.groups.Load()}
	found := ""
	err := s.area.View(ctx, func(r store.Reader) error {
		found = ""
		e, err := loadMerged(r, id)
		if e == nil || err != nil {
			return err
		}
		found = e.ID
		return s.resolve(r, e, known)
	})
	switch {
	case err != nil:
		return nil, wrapped("resolve an entity", err)
	case found == "":
		if target != "" {
			// What asked was merged into is gone since. The commit that removed it forgets
			// where asked went too, but may not have come to it yet.
			s.cache.drop(asked)
			return s.standing(ctx, asked)
		}
		return nil, nil
	case found == id:
		s.cache.put(id, known, changes)
	case found != id && asked == id:
		s.cache.redirect(asked, found, moves)
	}
	return known, nil
}

// resolve fills in what an entity is worth in this state.
func (s *Store) resolve(r store.Reader, e *Entity, into *standing) error {
	groups, _, err := s.groupsOf(r, e)
	if err != nil {
		return err
	}
	subject := &policy.Subject{ID: e.ID, Name: e.Name, Metadata: e.Metadata}
	for i := range e.Aliases {
		a := &e.Aliases[i]
		subject.Aliases = append(subject.Aliases, policy.Alias{MountAccessor: a.Mount, ID: a.ID, Name: a.Name,
			Metadata: a.Metadata, CustomMetadata: a.Custom})
	}
	policies := grantable(e.Policies)
	for _, g := range groups {
		subject.Groups = append(subject.Groups, policy.Group{ID: g.ID, Name: g.Name, Metadata: g.Metadata})
		policies = append(policies, grantable(g.Policies)...)
	}
	slices.Sort(policies)
	into.subject, into.policies, into.disabled = subject, slices.Compact(policies), e.Disabled
	return nil
}

// groupsOf are all groups that contain the entity: the first direct ones contain it themselves,
// the others contain a group that does.
func (s *Store) groupsOf(r store.Reader, e *Entity) (groups []*Group, direct int, err error) {
	ids, err := seconds(r, memberKey, e.ID, 0)
	if err != nil {
		return nil, 0, err
	}
	seen := map[string]bool{}
	add := func(id string, counts func(*Group) bool) error {
		if seen[id] {
			return nil
		}
		g, err := loadGroup(r, id)
		if g != nil && err == nil && counts(g) {
			seen[id] = true
			groups = append(groups, g)
		}
		return err
	}
	for _, id := range ids {
		if err := add(id, func(g *Group) bool { return !g.External }); err != nil {
			return nil, 0, err
		}
	}
	for _, m := range e.External {
		if err := add(m.Group, func(g *Group) bool { return g.holds(m) }); err != nil {
			return nil, 0, err
		}
	}
	direct = len(groups)
	for i := 0; i < len(groups); i++ {
		parents, err := seconds(r, parentGroupKey, groups[i].ID, 0)
		if err != nil {
			return nil, 0, err
		}
		for _, id := range parents {
			if err := add(id, func(g *Group) bool { return !g.External }); err != nil {
				return nil, 0, err
			}
		}
	}
	return groups, direct, nil
}
