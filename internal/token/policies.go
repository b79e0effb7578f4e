package token

import (
	"slices"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/policy"
)

// canonicalPolicies trims, lower-cases, sorts and de-duplicates policy names, and refuses
// names that no policy can have. A root among them leaves nothing else.
// Contract: tokens §4.1, §4.3; observed, policies.
func canonicalPolicies(names []string) ([]string, error) {
	out := make([]string, 0, len(names))
	for _, name := range names {
		if strings.TrimSpace(name) == "" {
			continue
		}
		canonical, err := policy.CanonicalName(name)
		if err != nil {
			return nil, backend.Invalidf("invalid policy name").Because(err)
		}
		out = append(out, canonical)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if slices.Contains(out, rootPolicy) {
		return []string{rootPolicy}, nil
	}
	return out, nil
}

// assignable refuses what only the server itself may hold.
func assignable(names []string) error {
	if slices.Contains(names, WrappingPolicy) {
		return backend.Invalidf("cannot assign policy %q", WrappingPolicy)
	}
	return nil
}

// Union is the sorted union of a token's policies and its entity's, which answers show.
func Union(own, identity []string) []string {
	if len(identity) == 0 {
		if own == nil {
			return []string{}
		}
		return own
	}
	all := append(slices.Clone(own), identity...)
	slices.Sort(all)
	return slices.Compact(all)
}

// grant works out the policies of a child. asked nil means that none were named; sudo is the
// caller's on this very path. Contract: tokens §4.3, §4.8.
func grant(asked []string, given, noDefault, sudo bool, parent *Token, role *Role) ([]string, error) {
	asked, err := canonicalPolicies(asked)
	if err != nil {
		return nil, err
	}
	given = given && len(asked) > 0
	var final []string
	if role != nil && role.limitsPolicies() {
		if final, err = role.grant(asked, given, noDefault, parent); err != nil {
			return nil, err
		}
	} else {
		addDefault := !noDefault && (role == nil || !role.NoDefaultPolicy)
		switch {
		case !given:
			final = slices.Clone(parent.Policies)
			addDefault = false
		case sudo:
			final = asked
		default:
			if !subset(asked, parent.Policies) {
				return nil, backend.Invalidf("child policies must be subset of parent")
			}
			final = asked
			addDefault = addDefault && slices.Contains(parent.Policies, defaultPolicy)
		}
		if addDefault {
			final = append(slices.Clip(final), defaultPolicy)
		}
	}
	if noDefault || (role != nil && role.NoDefaultPolicy) {
		final = without(final, defaultPolicy)
	}
	if final, err = canonicalPolicies(final); err != nil {
		return nil, err
	}
	return final, assignable(final)
}

// grant applies the role's lists. That a child's policies be a subset of its parent's does
// not hold here: a role is made to allow more. Contract: tokens §4.8.
func (r *Role) grant(asked []string, given, noDefault bool, parent *Token) ([]string, error) {
	addDefault := !noDefault && !r.NoDefaultPolicy && !r.disallows(defaultPolicy)
	final := asked
	if len(r.AllowedPolicies)+len(r.AllowedPoliciesGlob) > 0 {
		allowed := slices.Clone(r.AllowedPolicies)
		if addDefault {
			allowed = append(allowed, defaultPolicy)
		}
		if !given {
			final = allowed
		}
		slices.Sort(allowed)
		for _, name := range final {
			if !slices.Contains(allowed, name) && !matchesAny(r.AllowedPoliciesGlob, name) {
				shown := withDefault(final, addDefault)
				return nil, backend.Invalidf("token policies (%q) must be subset of the role's allowed policies (%q) or glob policies (%q)",
					shown, allowed, r.AllowedPoliciesGlob)
			}
		}
	} else if !given {
		final = parent.Policies
	}
	final = withDefault(final, addDefault)
	for _, name := range final {
		if r.disallows(name) {
			return nil, backend.Invalidf("token policy %q is disallowed by this role", name)
		}
	}
	return final, nil
}

// withDefault is names, sorted, with default among them when add says so.
func withDefault(names []string, add bool) []string {
	out := slices.Clone(names)
	if add {
		out = append(out, defaultPolicy)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

func subset(names, of []string) bool {
	for _, name := range names {
		if !slices.Contains(of, name) {
			return false
		}
	}
	return true
}

// matchesAny says whether a glob, where `*` stands for anything, matches s.
func matchesAny(globs []string, s string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return globMatch(g, s) })
}

func globMatch(glob, s string) bool {
	parts := strings.Split(glob, "*")
	if len(parts) == 1 {
		return glob == s
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
