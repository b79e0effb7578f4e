package policy

import (
	"slices"
	"strings"
	"time"
)

// Request is what Check judges.
type Request struct {
	// Capability is the one bit that the operation needs.
	Capability Capability
	// Path is the canonical path, without "/v1/". Where Capability is List it ends in a slash.
	Path string
	// Data is the request's body or query, numbers decoded as json.Number.
	Data map[string]any
	// HasBody says that a body was sent. With a body but nil Data, the body is no object:
	// its parameters cannot be judged, and rules about parameters refuse it.
	HasBody bool
	// WrapTTL is the requested TTL of response wrapping; 0 when none was asked for.
	WrapTTL time.Duration
	// Help says that the request only asks for a description of the path.
	Help bool
}

// Decision is the answer to a Request.
type Decision struct {
	Allowed bool
	// Sudo says that the rule that allowed the request contains sudo. A root-protected path
	// needs both (contract: policies §5).
	Sudo bool
	// Root says that everything is allowed.
	Root bool
	// Granting names the policies that gave the capability used (contract: policies §12).
	// It is shared and must not be changed.
	Granting []string
}

// rootGranting is what every root decision shows.
var rootGranting = []string{RootName}

// Check decides one request. It allocates nothing unless parameter rules are involved.
func (a *ACL) Check(req Request) Decision {
	switch {
	case a == nil:
		return Decision{}
	case a.root:
		return Decision{Allowed: true, Sudo: true, Root: true, Granting: rootGranting}
	case req.Help:
		return Decision{Allowed: true}
	}
	r := a.ruleFor(req.Path, req.Capability&List != 0)
	if r == nil || r.caps&Deny != 0 || req.Capability == 0 || r.caps&req.Capability != req.Capability {
		return Decision{}
	}
	if !r.wrapAllowed(req.WrapTTL) || !r.parametersAllowed(&req) {
		return Decision{}
	}
	return Decision{Allowed: true, Sudo: r.caps&Sudo != 0, Granting: r.granting(req.Capability)}
}

// wrapAllowed holds a wrap TTL against the bounds of the rule. Bounds that merging has
// crossed admit nothing (contract: policies §7).
func (g *grant) wrapAllowed(ttl time.Duration) bool {
	switch {
	case g.minWrap == 0 && g.maxWrap == 0:
		return true
	case ttl <= 0 || ttl < g.minWrap:
		return false
	}
	return g.maxWrap == 0 || ttl <= g.maxWrap
}

// Capabilities lists the names of what the ACL grants on path, which is taken as given:
// sorted, {"root"} for root, {"deny"} for nothing (contract: policies §11).
func (a *ACL) Capabilities(path string) []string {
	if a.IsRoot() {
		return []string{RootName}
	}
	if r := a.lookup(path, true); r != nil {
		return r.caps.shown()
	}
	return Deny.Names()
}

// ruleFor is lookup for a request: a list request without its trailing slash is judged as
// if it had one, so that no caller's omission evades a rule.
func (a *ACL) ruleFor(path string, list bool) *rule {
	if list && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	return a.lookup(path, list)
}

// lookup returns the one rule that applies to path, nil when none does. For a list the rule
// may be written for the path with or without its trailing slash.
func (a *ACL) lookup(path string, list bool) *rule {
	if a == nil {
		return nil
	}
	r := a.winner(path)
	if bare, ok := strings.CutSuffix(path, "/"); list && ok {
		return ofBothForms(r, a.winner(bare))
	}
	return r
}

// ofBothForms picks between the rules that apply to a listed path with its slash and without.
// Without a deny: exact rules go before wildcards, the slashed form before the bare one. A
// deny on either form holds unless the other form's rule is more specific, and a deny by an
// exact rule always holds: no broad rule that happens to match one form can lift a deny that
// was written for the other (CVE-2026-63131).
func ofBothForms(slashed, bare *rule) *rule {
	if slashed == nil || bare == nil || slashed == bare {
		if slashed == nil {
			return bare
		}
		return slashed
	}
	first, second := slashed, bare
	if bare.exact() && !slashed.exact() {
		first, second = bare, slashed
	}
	if second.caps&Deny != 0 && (second.exact() || first.compare(&second.pattern) < 0) {
		return second
	}
	if first.caps&Deny != 0 && !first.exact() && first.compare(&second.pattern) < 0 {
		return second
	}
	return first
}

// winner returns the rule that applies to path in exactly this form (contract: policies §3).
func (a *ACL) winner(path string) *rule {
	if a.own == nil {
		if r := a.base.exact(path); r != nil {
			return r
		}
		return a.base.wild(path)
	}
	if r := a.own.exact(path); r != nil {
		return r
	}
	if r := a.base.exact(path); r != nil {
		return r
	}
	shared, own := a.base.wild(path), a.own.wild(path)
	if own == nil || shared != nil && shared.compare(&own.pattern) > 0 {
		return shared
	}
	return own
}

// tables are the parts of the ACL that exist.
func (a *ACL) tables() []*table {
	if a.own == nil {
		return []*table{a.base}
	}
	return []*table{a.own, a.base}
}

// Touches says whether the ACL grants anything on prefix or on any path that begins with it:
// whether a mount at prefix is of any use to the holder (contract: sys §19).
func (a *ACL) Touches(prefix string) bool {
	switch {
	case a == nil:
		return false
	case a.root:
		return true
	}
	if r := a.lookup(prefix, true); r != nil && r.caps.usable() {
		return true
	}
	for _, t := range a.tables() {
		for _, r := range t.rules {
			if r.caps.usable() && a.appliesBelow(r, prefix) {
				return true
			}
		}
	}
	return false
}

// unlikely stands for "any text" in an example path. Request paths hold no control
// characters, so only wildcards match it: a rule that wins here wins for some real path, and
// one that loses here loses for all of the same depth.
const unlikely = "\x01"

// maxExamples bounds the depths that are tried for one rule.
const maxExamples = 32

// appliesBelow says whether r decides about some path that begins with prefix, and is not
// everywhere behind a rule that is more specific.
func (a *ACL) appliesBelow(r *rule, prefix string) bool {
	// Most rules are elsewhere, which the text before their first wildcard tells at once.
	before := r.text[:r.first]
	if !strings.HasPrefix(before, prefix) && !strings.HasPrefix(prefix, before) {
		return false
	}
	example, ok := r.exampleBelow(prefix)
	if !ok {
		return false
	}
	depth := 1
	if r.glob {
		// A glob reaches to any depth, and at each another "+" rule may be before it.
		for _, t := range a.tables() {
			depth = max(depth, min(t.depth+1, maxExamples))
		}
	}
	for range depth {
		if applies := a.winner(example); applies != nil && applies.caps.usable() {
			return true
		}
		example += "/" + unlikely
	}
	return false
}

// exampleBelow makes a path that begins with prefix and that the pattern matches; ok is
// false when there is none.
func (p *pattern) exampleBelow(prefix string) (example string, ok bool) {
	var b strings.Builder
	rest := prefix // what of the prefix is still to be matched
	pieces := strings.Split(p.fixed, "/")
	for i, piece := range pieces {
		last := i == len(pieces)-1
		segment, after, more := strings.Cut(rest, "/")
		switch {
		case last && p.glob:
			if !strings.HasPrefix(rest, piece) && !strings.HasPrefix(piece, rest) {
				return "", false
			}
			b.WriteString(longer(piece, rest) + unlikely)
			return b.String(), true
		case piece == "+" && more:
			b.WriteString(segment)
		case piece == "+":
			b.WriteString(segment + unlikely)
		case more && piece != segment, !more && !strings.HasPrefix(piece, segment):
			return "", false
		default:
			b.WriteString(piece)
		}
		if last {
			return b.String(), !more
		}
		b.WriteByte('/')
		rest = after
	}
	return "", false
}

func longer(a, b string) string {
	if len(b) > len(a) {
		return b
	}
	return a
}

// RuleView is one rule as the resultant-acl endpoint shows it (contract: sys §19).
type RuleView struct {
	// Path is the pattern, without the "*" of a glob; "+" segments are kept.
	Path string
	// Glob says that the rule holds for everything that begins with Path.
	Glob bool
	// Capabilities are sorted names; {"deny"} for a rule that grants nothing.
	Capabilities []string
}

// Rules lists all rules, sorted by path. A root ACL has none: ask IsRoot.
func (a *ACL) Rules() []RuleView {
	if a == nil || a.root {
		return nil
	}
	var views []RuleView
	for _, t := range a.tables() {
		for text, r := range t.rules {
			if t == a.base && a.own != nil && a.own.rules[text] != nil {
				continue
			}
			views = append(views, RuleView{Path: r.fixed, Glob: r.glob, Capabilities: r.caps.shown()})
		}
	}
	slices.SortFunc(views, func(x, y RuleView) int {
		if c := strings.Compare(x.Path, y.Path); c != 0 {
			return c
		}
		return byBool(x.Glob, y.Glob)
	})
	return views
}
