package policy

import (
	"slices"
	"strings"
	"time"
)

// ACL is what a set of policies grants together. The nil *ACL grants nothing.
type ACL struct {
	root bool
	// base holds the rules that are the same for every subject and is shared by all of them.
	base *table
	// own holds the subject's: rules from templates, each already merged with the rule of
	// base for the same pattern, which it replaces. nil when there are none.
	own *table
}

// Root returns the ACL that allows everything. A policy called root in a list given to
// Compile has no such meaning: whether a token is root is its owner's to know.
func Root() *ACL { return &ACL{root: true} }

// IsRoot says whether the ACL allows everything.
func (a *ACL) IsRoot() bool { return a != nil && a.root }

// Set is policies compiled as far as they can be without knowing the subject.
type Set struct {
	base *table
	// templated are the stanzas that wait for a subject.
	templated []templated
	// variables are what their templates ask for, each once.
	variables []string
}

type templated struct {
	policy *Policy
	stanza *stanza
}

// Compile joins policies into an ACL for subject (nil when the token has no entity).
func Compile(policies []*Policy, subject *Subject) *ACL { return Prepare(policies).For(subject) }

// Prepare joins policies; nil ones are passed over. Rules for the same pattern merge
// (contract: policies §3.7).
func Prepare(policies []*Policy) *Set {
	s := &Set{}
	rules := make(ruleSet)
	for _, p := range policies {
		if p == nil {
			continue
		}
		for i := range p.stanzas {
			stanza := &p.stanzas[i]
			if stanza.template == nil {
				rules.add(p, stanza.pattern, stanza.grant)
				continue
			}
			s.templated = append(s.templated, templated{p, stanza})
			for _, piece := range stanza.template {
				if piece.variable && !slices.Contains(s.variables, piece.text) {
					s.variables = append(s.variables, piece.text)
				}
			}
		}
	}
	s.base = newTable(rules)
	return s
}

// For is the ACL of the policies for subject. It costs as much as the policies have
// templated stanzas, whatever else they hold.
func (s *Set) For(subject *Subject) *ACL {
	rules := make(ruleSet)
	for _, t := range s.templated {
		text, granted, ok := t.stanza.resolve(subject)
		if !ok {
			continue
		}
		if shared := s.base.rules[text]; shared != nil && rules[text] == nil {
			rules[text] = shared.clone()
		}
		rules.add(t.policy, text, granted)
	}
	if len(rules) == 0 {
		return &ACL{base: s.base}
	}
	return &ACL{base: s.base, own: newTable(rules)}
}

// Templated says whether subjects get different ACLs.
func (s *Set) Templated() bool { return len(s.templated) > 0 }

// Size is the number of rules that the ACLs of the set share, plus those that each subject
// may have of its own: a measure of memory.
func (s *Set) Size() (shared, own int) { return len(s.base.rules), len(s.templated) }

// Values is what the variables of the set stand for with this subject, in a fixed order;
// empty for those without a usable value. Subjects with equal values get equal ACLs: it is
// the part of a subject that a cache of ACLs needs to compare.
func (s *Set) Values(subject *Subject) []string {
	if len(s.variables) == 0 {
		return nil
	}
	values := make([]string, len(s.variables))
	for i, variable := range s.variables {
		if v, ok := subject.value(variable); ok {
			values[i] = v
		}
	}
	return values
}

// ruleSet collects rules by the text of their pattern.
type ruleSet map[string]*rule

func (rs ruleSet) add(p *Policy, text string, granted grant) {
	r := rs[text]
	if r == nil {
		r = &rule{pattern: newPattern(text), grant: granted}
		rs[text] = r
	} else {
		r.merge(granted)
	}
	r.credit(p, granted.caps)
}

// clone is a copy that may be merged into.
func (r *rule) clone() *rule {
	c := *r
	c.from, c.merged = slices.Clone(r.from), false
	return &c
}

// resolve gives the pattern of a templated stanza for subject, and what it grants there. A stanza whose
// template has no value is left out; but one that denies must not vanish for want of a value,
// and denies everything from its literal beginning on (contract: identity §5).
func (s *stanza) resolve(subject *Subject) (string, grant, bool) {
	if text, ok := expand(s.template, subject); ok {
		return text, s.grant, true
	}
	if s.caps&Deny != 0 {
		return s.template[0].text + "*", s.grant, true
	}
	return "", grant{}, false
}

// table holds rules where lookups find them.
type table struct {
	// rules holds every rule under the text of its pattern.
	rules    ruleSet
	prefixes prefixSet
	// segments holds the rules with "+"; nil when there are none.
	segments *segmentTree
	// depth is the greatest number of segments in a rule with "+".
	depth int
}

func newTable(rules ruleSet) *table {
	t := &table{rules: rules}
	var wild []*rule
	for _, r := range rules {
		switch {
		case r.exact():
			continue
		case r.plus == 0:
			t.prefixes.add(r.fixed, r)
		default:
			if t.segments == nil {
				t.segments = &segmentTree{}
			}
			t.segments.add(r)
			t.depth = max(t.depth, 1+strings.Count(r.text, "/"))
		}
		wild = append(wild, r)
	}
	slices.SortFunc(wild, func(x, y *rule) int { return x.compare(&y.pattern) })
	for i, r := range wild {
		r.rank = i
	}
	t.prefixes.seal()
	if t.segments != nil {
		t.segments.seal()
	}
	return t
}

// exact returns the rule without wildcards for path. A path may look like a pattern; the
// rule of that pattern is not the path's.
func (t *table) exact(path string) *rule {
	if r := t.rules[path]; r != nil && r.exact() {
		return r
	}
	return nil
}

// wild returns the most specific rule with wildcards that matches path.
func (t *table) wild(path string) *rule {
	r := t.prefixes.find(path)
	if t.segments != nil {
		r = t.segments.find(path, r)
	}
	return r
}

// merge adds a second grant for the same pattern (contract: policies §3.7).
func (r *rule) merge(more grant) {
	switch {
	case r.caps&Deny != 0:
		return
	case more.caps&Deny != 0:
		r.grant = grant{caps: Deny}
		return
	}
	if !r.merged {
		// So far the maps and lists are those of the policy, which others share.
		r.allowed, r.denied = ownParameters(r.allowed), ownParameters(r.denied)
		r.required = slices.Clone(r.required)
		r.merged = true
	}
	r.caps |= more.caps
	r.minWrap = lower(r.minWrap, more.minWrap)
	r.maxWrap = lower(r.maxWrap, more.maxWrap)
	for name, values := range more.allowed {
		addValues(r.allowed, name, values)
	}
	for name, values := range more.denied {
		addValues(r.denied, name, values)
	}
	r.required = append(r.required, more.required...)
}

// ownParameters is a copy that addValues may change.
func ownParameters(shared map[string][]any) map[string][]any {
	own := make(map[string][]any, len(shared))
	for name, values := range shared {
		own[name] = slices.Clip(values)
	}
	return own
}

// lower is the smaller of two bounds, where 0 is no bound.
func lower(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// credit notes that p grants caps through the rule.
func (r *rule) credit(p *Policy, caps Capability) {
	last := len(r.from) - 1
	if last >= 0 && r.from[last].policy == p {
		r.from[last].caps |= caps
		return
	}
	r.from = append(r.from, contribution{p, caps})
	if r.names == nil {
		r.names = p.names
	} else {
		r.names = append(slices.Clip(r.names), p.Name)
	}
}

// granting names the policies that give c through the rule. It allocates only where some of
// several policies do not.
func (r *rule) granting(c Capability) []string {
	if !slices.ContainsFunc(r.from, func(f contribution) bool { return f.caps&c == 0 }) {
		return r.names
	}
	var names []string
	for _, f := range r.from {
		if f.caps&c != 0 {
			names = append(names, f.policy.Name)
		}
	}
	return names
}
