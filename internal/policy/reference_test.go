package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// refRule and refPolicy are a policy as the reference sees it: no parsing, no merging.
type refRule struct {
	Pattern string
	Caps    []string
}

type refPolicy struct {
	Name  string
	Rules []refRule
}

// hcl writes the policy as text, which is how the fast side gets it.
func (p refPolicy) hcl() string {
	var b strings.Builder
	for _, r := range p.Rules {
		fmt.Fprintf(&b, "path %q {\n  capabilities = [", r.Pattern)
		for _, c := range r.Caps {
			fmt.Fprintf(&b, "%q, ", c)
		}
		b.WriteString("]\n}\n")
	}
	return b.String()
}

// refMatches is contract policies §2 as a regular expression.
func refMatches(pattern, path string) bool {
	glob := strings.HasSuffix(pattern, "*")
	var parts []string
	for _, segment := range strings.Split(strings.TrimSuffix(pattern, "*"), "/") {
		if segment == "+" {
			parts = append(parts, "[^/]*")
		} else {
			parts = append(parts, regexp.QuoteMeta(segment))
		}
	}
	expr := `(?s)\A` + strings.Join(parts, "/")
	if !glob {
		expr += `\z`
	}
	return regexp.MustCompile(expr).MatchString(path)
}

func refExact(pattern string) bool {
	return !strings.HasSuffix(pattern, "*") && !slices.Contains(strings.Split(pattern, "/"), "+")
}

// refLower says that pattern a has lower priority than b: contract policies §3.5, line by line.
func refLower(a, b string) bool {
	first := func(p string) int {
		at := 0
		for _, segment := range strings.Split(p, "/") {
			if segment == "+" {
				return at
			}
			at += len(segment) + 1
		}
		return len(strings.TrimSuffix(p, "*"))
	}
	plus := func(p string) (n int) {
		for _, segment := range strings.Split(p, "/") {
			if segment == "+" {
				n++
			}
		}
		return n
	}
	ends := func(p string) bool { return strings.HasSuffix(p, "*") }
	switch {
	case first(a) != first(b):
		return first(a) < first(b)
	case ends(a) != ends(b):
		return ends(a)
	case plus(a) != plus(b):
		return plus(a) > plus(b)
	case len(a) != len(b):
		return len(a) < len(b)
	}
	return a < b
}

// refWinner is the one pattern that applies to path: all that match, the exact one or the
// highest of the rest.
func refWinner(patterns []string, path string) (winner string, found bool) {
	for _, p := range patterns {
		if refExact(p) {
			if p == path {
				return p, true
			}
			continue
		}
		if refMatches(p, path) && (!found || refLower(winner, p)) {
			winner, found = p, true
		}
	}
	return winner, found
}

// refCaps are the merged capabilities of a pattern: deny swallows all others.
func refCaps(policies []refPolicy, pattern string) map[string]bool {
	caps := make(map[string]bool)
	for _, p := range policies {
		for _, r := range p.Rules {
			if r.Pattern == pattern {
				for _, c := range r.Caps {
					caps[c] = true
				}
			}
		}
	}
	if caps["deny"] {
		return map[string]bool{"deny": true}
	}
	return caps
}

// refLookup is the capabilities that hold for path; list adds the other form of the path.
func refLookup(policies []refPolicy, path string, list bool) map[string]bool {
	var patterns []string
	for _, p := range policies {
		for _, r := range p.Rules {
			patterns = append(patterns, r.Pattern)
		}
	}
	caps := func(pattern string) map[string]bool { return refCaps(policies, pattern) }
	slashed, ok := refWinner(patterns, path)
	if !list || !strings.HasSuffix(path, "/") {
		if !ok {
			return nil
		}
		return caps(slashed)
	}
	bare, bareOK := refWinner(patterns, strings.TrimSuffix(path, "/"))
	switch {
	case !ok && !bareOK:
		return nil
	case !bareOK:
		return caps(slashed)
	case !ok:
		return caps(bare)
	}
	// A deny on an exact form holds; any other deny yields only to something more specific.
	for _, form := range [][2]string{{slashed, bare}, {bare, slashed}} {
		denying, other := form[0], form[1]
		if caps(denying)["deny"] && (refExact(denying) || refLower(other, denying) || other == denying) {
			return caps(denying)
		}
	}
	switch {
	case caps(slashed)["deny"]:
		return caps(bare)
	case caps(bare)["deny"]:
		return caps(slashed)
	case refExact(slashed):
		return caps(slashed)
	case refExact(bare):
		return caps(bare)
	}
	return caps(slashed)
}

// Few segments and few patterns, so that rules meet often.
var (
	segmentGen = rapid.SampledFrom([]string{"a", "b", "ab", "+", "+", "a+", "+b", "", "a*b"})
	pathGen    = rapid.Custom(func(t *rapid.T) string {
		segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "a+", "+b", "a*b", "+", ""}), 1, 4).Draw(t, "path")
		return strings.Join(segments, "/")
	})
	patternGen = rapid.Custom(func(t *rapid.T) string {
		p := strings.Join(rapid.SliceOfN(segmentGen, 1, 4).Draw(t, "segments"), "/")
		p = strings.TrimLeft(p, "/") // Parse strips one
		if rapid.Bool().Draw(t, "glob") && !strings.HasSuffix(p, "+") {
			p += "*"
		}
		return p
	})
	capsGen = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"create", "read", "update", "delete", "list", "list", "patch", "sudo", "deny"}), 0, 3, rapid.ID[string])
	policiesGen = rapid.Custom(func(t *rapid.T) []refPolicy {
		policies := make([]refPolicy, rapid.IntRange(1, 4).Draw(t, "policies"))
		for i := range policies {
			policies[i].Name = fmt.Sprintf("p%d", i)
			for range rapid.IntRange(0, 5).Draw(t, "rules") {
				policies[i].Rules = append(policies[i].Rules, refRule{patternGen.Draw(t, "pattern"), capsGen.Draw(t, "caps")})
			}
		}
		return policies
	})
)

func compileRef(t interface{ Fatalf(string, ...any) }, policies []refPolicy) *ACL {
	var parsed []*Policy
	for _, p := range policies {
		q, err := Parse(p.Name, p.hcl())
		if err != nil {
			t.Fatalf("parse:\n%s\n%v", p.hcl(), err)
		}
		parsed = append(parsed, q)
	}
	return Compile(parsed, nil)
}

var operations = []Capability{Create, Read, Update, Delete, List, Patch}

// TestEvaluationAgainstReference compares every answer of the fast evaluator with the slow one.
func TestEvaluationAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policies := policiesGen.Draw(t, "policies")
		acl := compileRef(t, policies)
		for range 8 {
			path := pathGen.Draw(t, "path")
			for _, op := range operations {
				asked := path
				if op == List && !strings.HasSuffix(asked, "/") {
					asked += "/"
				}
				caps := refLookup(policies, asked, op == List)
				want := caps[op.String()] && !caps["deny"]
				got := acl.Check(Request{Capability: op, Path: asked})
				if got.Allowed != want || want && got.Sudo != caps["sudo"] {
					t.Fatalf("%s %q: got %+v, reference %v", op, asked, got, caps)
				}
				if got.Allowed && len(got.Granting) == 0 {
					t.Fatalf("%s %q: allowed by nobody", op, asked)
				}
			}
			caps := refLookup(policies, path, true)
			want := []string{"deny"}
			if len(caps) > 0 && !caps["deny"] {
				want = nil
				for c := range caps {
					want = append(want, c)
				}
				slices.Sort(want)
			}
			if got := acl.Capabilities(path); !slices.Equal(got, want) {
				t.Fatalf("capabilities of %q: got %v, reference %v", path, got, want)
			}
		}
	})
}

// TestGrantingAgainstReference: exactly the policies that have the capability used at the
// winning pattern are named (contract: policies §12).
func TestGrantingAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policies := policiesGen.Draw(t, "policies")
		path := pathGen.Draw(t, "path")
		got := compileRef(t, policies).Check(Request{Capability: Read, Path: path})
		if !got.Allowed {
			return
		}
		var patterns []string
		for _, p := range policies {
			for _, r := range p.Rules {
				patterns = append(patterns, r.Pattern)
			}
		}
		winner, _ := refWinner(patterns, path)
		var want []string
		for _, p := range policies {
			if slices.ContainsFunc(p.Rules, func(r refRule) bool {
				return r.Pattern == winner && slices.Contains(r.Caps, "read")
			}) {
				want = append(want, p.Name)
			}
		}
		if !slices.Equal(got.Granting, want) {
			t.Fatalf("%q at %q: granted by %v, reference %v", path, winner, got.Granting, want)
		}
	})
}

// refBelow are paths that begin with prefix: for each pattern all the ways to put a segment
// of prefix, or one that no pattern names, for its "+", and rests of every depth for its "*".
func refBelow(patterns []string, prefix string) []string {
	fillings := append(strings.Split(prefix, "/"), "zz")
	var below []string
	for _, p := range patterns {
		paths := []string{""}
		segments := strings.Split(strings.TrimSuffix(p, "*"), "/")
		for i, segment := range segments {
			var longer []string
			for _, path := range paths {
				if i > 0 {
					path += "/"
				}
				if segment != "+" {
					longer = append(longer, path+segment)
					continue
				}
				for _, f := range fillings {
					longer = append(longer, path+f)
				}
			}
			paths = longer
		}
		for _, path := range paths {
			below = append(below, path)
			if !strings.HasSuffix(p, "*") {
				continue
			}
			if strings.HasPrefix(prefix, path) {
				path = prefix
			}
			for range 6 {
				below = append(below, path, path+"zz")
				path += "zz/"
			}
		}
	}
	return slices.DeleteFunc(below, func(path string) bool { return !strings.HasPrefix(path, prefix) })
}

// TestTouchesAgainstReference: Touches is true exactly where some path at or below the
// prefix is usable.
func TestTouchesAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policies := policiesGen.Draw(t, "policies")
		prefix := rapid.SampledFrom([]string{"a/", "b/", "ab/", "zz/", "a/b/"}).Draw(t, "prefix")
		acl := compileRef(t, policies)
		var patterns []string
		for _, p := range policies {
			for _, r := range p.Rules {
				patterns = append(patterns, r.Pattern)
			}
		}
		got := acl.Touches(prefix)
		want, why := !slices.Equal(acl.Capabilities(prefix), []string{"deny"}), prefix
		for _, path := range refBelow(patterns, prefix) {
			if want {
				break
			}
			caps := refLookup(policies, path, false)
			want, why = len(caps) > 0 && !caps["deny"], path
		}
		if got != want {
			t.Fatalf("Touches(%q) = %v, reference %v (%q)", prefix, got, want, why)
		}
	})
}

// TestSubjectsShareNothing: an ACL made in two steps, shared rules and then a subject's own,
// is the ACL of the same documents with the values written out.
func TestSubjectsShareNothing(t *testing.T) {
	subject := &Subject{ID: "b", Name: "ab"}
	rapid.Check(t, func(t *rapid.T) {
		policies := policiesGen.Draw(t, "policies")
		var templated, plain []*Policy
		for _, p := range policies {
			for i := range p.Rules {
				if rapid.Bool().Draw(t, "templated") {
					p.Rules[i].Pattern = strings.Replace(p.Rules[i].Pattern, "b", "{{identity.entity.id}}", 1)
				}
			}
			text := p.hcl()
			q, err := Parse(p.Name, text)
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			templated = append(templated, q)
			q, err = Parse(p.Name, strings.ReplaceAll(text, "{{identity.entity.id}}", "b"))
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			plain = append(plain, q)
		}
		got, want := Compile(templated, subject), Compile(plain, nil)
		for range 6 {
			path := pathGen.Draw(t, "path")
			if g, w := got.Capabilities(path), want.Capabilities(path); !slices.Equal(g, w) {
				t.Fatalf("capabilities of %q: %v, written out %v", path, g, w)
			}
		}
		if g, w := fmt.Sprint(got.Rules()), fmt.Sprint(want.Rules()); g != w {
			t.Fatalf("rules\n%s\nwritten out\n%s", g, w)
		}
	})
}
