package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// rules writes a policy from lines "pattern: capability capability".
func rules(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		pattern, caps, _ := strings.Cut(line, ": ")
		quoted, _ := json.Marshal(strings.Fields(caps))
		fmt.Fprintf(&b, "path %q { capabilities = %s }\n", pattern, quoted)
	}
	return b.String()
}

func may(a *ACL, c Capability, path string) bool {
	return a.Check(Request{Capability: c, Path: path}).Allowed
}

// contract: policies §2, the table of patterns.
func TestPatterns(t *testing.T) {
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"secret/foo", "secret/foo", true},
		{"secret/foo", "secret/foo/", false},
		{"secret/foo", "secret/foobar", false},
		{"secret/foo*", "secret/foo", true},
		{"secret/foo*", "secret/foobar/x/y", true},
		{"secret/foo*", "secret/fo", false},
		{"secret/*", "secret", false},
		{"secret/*", "secret/", true},
		{"*", "anything/at/all", true},
		{"a*b", "a*b", true},
		{"a*b", "axb", false},
		{"a*b*", "a*bc", true},
		{"a*b*", "axbc", false},
		{"secret/+/x", "secret/foo/x", true},
		{"secret/+/x", "secret/foo/bar/x", false},
		{"secret/+/x", "secret//x", true},
		{"secret/+", "secret/", true},
		{"secret/+", "secret/a", true},
		{"secret/+", "secret", false},
		{"secret/+", "secret/a/", false},
		{"secret/+/x*", "secret/foo/xyz/deep", true},
		{"secret/+/x*", "secret/foo/y", false},
		{"secret/+/*", "secret/foo/", true},
		{"secret/+/*", "secret/foo", false},
		{"+", "a", true},
		{"+", "a/b", false},
		{"+/b", "a/b", true},
		{"foo/+bar", "foo/+bar", true},
		{"foo/+bar", "foo/xbar", false},
		{"foo+", "foo+", true},
		{"foo+", "foox", false},
		{"foo+/bar", "foo+/bar", true},
		{"foo+/bar", "foox/bar", false},
	}
	for _, tt := range tests {
		if got := may(aclOf(t, rules(tt.pattern+": read")), Read, tt.path); got != tt.want {
			t.Errorf("%s on %s: %v", tt.pattern, tt.path, got)
		}
	}
}

// contract: policies §3, the priority table: the update rule wins over the read rule.
func TestPriority(t *testing.T) {
	tests := []struct{ loser, winner, path string }{
		{"+/*", "*", "foo/bar/bar/baz"},
		{"+/*", "foo/+/*", "foo/bar/bar/baz"},
		{"foo/+/+/*", "foo/+/bar/baz", "foo/bar/bar/baz"},
		{"foo/+/+/baz", "foo/+/bar/baz", "foo/bar/bar/baz"},
		{"foo/+/(ar/baz", "foo/(ar/+/baz", "foo/(ar/(ar/baz"},
		{"foo/bar/+/baz*", "foo/bar/+/baz", "foo/bar/bar/baz"},
		{"foo/bar/+/b*", "foo/bar/+/ba*", "foo/bar/bar/baz"},
		// Beyond the table: the same order at work.
		{"foo/*", "foo/bar/*", "foo/bar/bar/baz"},
		{"foo/*", "foo/+/bar/baz", "foo/bar/bar/baz"},
		{"foo/+/bar/baz", "foo/bar/*", "foo/bar/bar/baz"},
		{"foo/bar/bar/ba*", "foo/bar/bar/baz", "foo/bar/bar/baz"},
		{"+/+/+/+", "+/bar/+/baz", "foo/bar/bar/baz"},
	}
	for _, tt := range tests {
		// In one policy and in two, in either order: a rule for another pattern never adds.
		both := rules(tt.loser+": read", tt.winner+": update")
		for name, acl := range map[string]*ACL{
			"one":       aclOf(t, both),
			"two":       aclOf(t, rules(tt.loser+": read"), rules(tt.winner+": update")),
			"two, back": aclOf(t, rules(tt.winner+": update"), rules(tt.loser+": read")),
		} {
			if may(acl, Read, tt.path) || !may(acl, Update, tt.path) {
				t.Errorf("%s over %s (%s): capabilities %v", tt.winner, tt.loser, name, acl.Capabilities(tt.path))
			}
		}
	}
}

// contract: policies §13, the rows that are about evaluation.
func TestEdgeCases(t *testing.T) {
	const readX = "path \"secret/x\" { capabilities = [\"read\", \"update\"]"
	tests := []struct {
		name     string
		policies []string
		req      Request
		want     bool
	}{
		{"13.2 deny on x, read", []string{rules("secret/*: read list", "secret/x: deny")}, Request{Capability: Read, Path: "secret/x"}, false},
		{"13.2 deny on x, list", []string{rules("secret/*: read list", "secret/x: deny")}, Request{Capability: List, Path: "secret/x/"}, false},
		{"13.2 others are read", []string{rules("secret/*: read list", "secret/x: deny")}, Request{Capability: Read, Path: "secret/y"}, true},
		{"13.3 deny and read of the same pattern", []string{rules("secret/*: deny"), rules("secret/*: read")}, Request{Capability: Read, Path: "secret/x"}, false},
		{"13.4 more specific than a deny", []string{rules("secret/*: deny", "secret/a: read list")}, Request{Capability: Read, Path: "secret/a"}, true},
		{"13.4 the same for a list", []string{rules("secret/*: deny", "secret/a: read list")}, Request{Capability: List, Path: "secret/a/"}, true},
		{"13.5 list by the bare exact rule", []string{rules("secret/foo: list")}, Request{Capability: List, Path: "secret/foo/"}, true},
		{"13.5 list by the slashed exact rule", []string{rules("secret/foo/: list")}, Request{Capability: List, Path: "secret/foo/"}, true},
		{"13.5 the bare form is for lists only", []string{rules("secret/foo: read")}, Request{Capability: Read, Path: "secret/foo/"}, false},
		{"13.6 create where update is needed", []string{rules("secret/a: create")}, Request{Capability: Update, Path: "secret/a"}, false},
		{"13.6 create", []string{rules("secret/a: create")}, Request{Capability: Create, Path: "secret/a"}, true},
		{"13.8 patch with update", []string{rules("secret/a: update")}, Request{Capability: Patch, Path: "secret/a"}, false},
		{"13.9 sudo alone grants nothing", []string{rules("auth/token/accessors/: sudo")}, Request{Capability: List, Path: "auth/token/accessors/"}, false},
		{"13.10 allowed_parameters, no body", []string{readX + ` allowed_parameters = { a = [] } }`}, Request{Capability: Update, Path: "secret/x"}, true},
		{"13.11 denied *, a body", []string{readX + ` denied_parameters = { "*" = [] } }`},
			Request{Capability: Update, Path: "secret/x", HasBody: true, Data: map[string]any{"a": "b"}}, false},
		{"13.14 a literal plus", []string{rules("foo/+bar: read")}, Request{Capability: Read, Path: "foo/+bar"}, true},
		{"13.15 a template without an entity", []string{rules("a/{{identity.entity.id}}: read", "b: read")}, Request{Capability: Read, Path: "a/"}, false},
		{"13.15 the other stanza", []string{rules("a/{{identity.entity.id}}: read", "b: read")}, Request{Capability: Read, Path: "b"}, true},
		{"13.24 help on any path", []string{rules("b: read")}, Request{Help: true, Path: "secret/x"}, true},
		{"3.1 no rule", []string{rules("b: read")}, Request{Capability: Read, Path: "secret/x"}, false},
		{"3.4 list of a mount by its glob", []string{rules("secret/*: list")}, Request{Capability: List, Path: "secret/"}, true},
		{"3.8 a narrower rule takes away", []string{rules("secret/*: read update"), rules("secret/a*: read")}, Request{Capability: Update, Path: "secret/abc"}, false},
		{"no capability asked for", []string{rules("secret/*: read")}, Request{Path: "secret/x"}, false},
		{"observed: the bare form of a + rule", []string{rules("foo/+: list")}, Request{Capability: List, Path: "foo/a/"}, true},
		{"a list without its slash", []string{rules("foo/*: list", "foo/a/*: deny")}, Request{Capability: List, Path: "foo/a"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := aclOf(t, tt.policies...).Check(tt.req); got.Allowed != tt.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// CVE-2026-63131: LIST has two forms of its path; no broad rule that matches one of them may
// lift a deny written for the other.
func TestCVE202663131ListNeverLiftsDeny(t *testing.T) {
	tests := []struct {
		policy string
		want   bool
	}{
		{rules("secret/+: list", "secret/foo/*: deny"), false},
		{rules("+/+: list", "secret/foo/*: deny"), false},
		{rules("secret/+: list", "secret/foo/: deny"), false},
		{rules("secret/*: list", "secret/foo: deny"), false},
		{rules("secret/*: list", "secret/+: deny"), false},
		{rules("secret/foo/*: list", "secret/foo: deny"), false},
		{rules("secret/foo/: list", "secret/foo: deny"), false},
		{rules("secret/foo: list", "secret/foo/: deny"), false},
		{rules("secret/foo: list", "secret/foo/*: deny"), false},
		// A deny that is the broader one yields, as it does everywhere.
		{rules("secret/*: deny", "secret/foo: list"), true},
		{rules("secret/+: deny", "secret/foo: list"), true},
		{rules("secret/+: deny", "secret/foo/*: list"), true},
		{rules("+/+: deny", "secret/foo/*: list"), true},
		{rules("secret/*: deny", "secret/+: list"), true},
	}
	for _, tt := range tests {
		if got := may(aclOf(t, tt.policy), List, "secret/foo/"); got != tt.want {
			t.Errorf("list allowed = %v with\n%s", got, tt.policy)
		}
	}
}

// contract: policies §5: a decision carries sudo of the rule that allowed it, and only then.
func TestSudo(t *testing.T) {
	acl := aclOf(t, rules("sys/auth/*: update sudo", "sys/*: read", "sys/raw/*: sudo"))
	tests := []struct {
		cap           Capability
		path          string
		allowed, sudo bool
	}{
		{Update, "sys/auth/github", true, true},
		{Read, "sys/auth/github", false, false},
		{Read, "sys/mounts", true, false},
		{Read, "sys/raw/core", false, false},
	}
	for _, tt := range tests {
		got := acl.Check(Request{Capability: tt.cap, Path: tt.path})
		if got.Allowed != tt.allowed || got.Sudo != tt.sudo {
			t.Errorf("%s %s: %+v", tt.cap, tt.path, got)
		}
	}
}

func TestRootIsAProperty(t *testing.T) {
	got := Root().Check(Request{Capability: Delete, Path: "sys/raw/x", HasBody: true})
	if !got.Allowed || !got.Sudo || !got.Root || !slices.Equal(got.Granting, []string{"root"}) {
		t.Errorf("root: %+v", got)
	}
	if caps := Root().Capabilities("x"); !slices.Equal(caps, []string{"root"}) {
		t.Errorf("root: %v", caps)
	}
	if !Root().Touches("x/") || !Root().IsRoot() || Root().Rules() != nil {
		t.Error("root does not touch, is not root, or has rules")
	}
	// A policy that happens to be called root is only a policy.
	named := Compile([]*Policy{mustParse(t, "root", rules("a: read"))}, nil)
	if named.IsRoot() || may(named, Read, "b") || !may(named, Read, "a") {
		t.Error("the name root means something")
	}
	var none *ACL
	if none.IsRoot() || may(none, Read, "a") || none.Touches("") || none.Rules() != nil ||
		none.Check(Request{Help: true}).Allowed || !slices.Equal(none.Capabilities("a"), []string{"deny"}) {
		t.Error("no ACL grants something")
	}
	if empty := Compile([]*Policy{nil}, nil); may(empty, Read, "a") || empty.Touches("") {
		t.Error("an empty ACL grants something")
	}
}

// contract: policies §12
func TestGranting(t *testing.T) {
	policies := []*Policy{
		mustParse(t, "a", rules("secret/*: read")),
		mustParse(t, "b", rules("secret/*: read list")),
		mustParse(t, "c", rules("*: read")),
		mustParse(t, "d", rules("secret/*: list", "secret/*: read")),
	}
	acl := Compile(policies, nil)
	for c, want := range map[Capability]string{Read: "[a b d]", List: "[b d]"} {
		if got := fmt.Sprint(acl.Check(Request{Capability: c, Path: "secret/x/"}).Granting); got != want {
			t.Errorf("%s granted by %s, want %s", c, got, want)
		}
	}
	if got := acl.Check(Request{Capability: Update, Path: "secret/x"}); got.Granting != nil {
		t.Errorf("a denial is granted by %v", got.Granting)
	}
}

// contract: policies §3.7
func TestMergeOfSamePattern(t *testing.T) {
	type row struct {
		name string
		a, b string
		data map[string]any
		wrap time.Duration
		want bool
	}
	tests := []row{
		{name: "capabilities add up", a: `capabilities=["create"]`, b: `capabilities=["update"]`, want: true},
		{name: "the lower max holds", a: `capabilities=["update"] max_wrapping_ttl=100`, b: `max_wrapping_ttl=10`, wrap: 50 * time.Second, want: false},
		{name: "the lower min holds", a: `capabilities=["update"] min_wrapping_ttl=100`, b: `min_wrapping_ttl=10`, wrap: 50 * time.Second, want: true},
		{name: "crossed bounds admit nothing", a: `capabilities=["update"] min_wrapping_ttl=100`, b: `max_wrapping_ttl=10`, wrap: 50 * time.Second, want: false},
		{name: "allowed values add up", a: `capabilities=["update"] allowed_parameters={k=["x"]}`, b: `allowed_parameters={k=["y"]}`, data: map[string]any{"k": "y"}, want: true},
		{name: "an empty allowed list means any", a: `capabilities=["update"] allowed_parameters={k=["x"]}`, b: `allowed_parameters={k=[]}`, data: map[string]any{"k": "z"}, want: true},
		{name: "allowed names add up", a: `capabilities=["update"] allowed_parameters={k=[]}`, b: `allowed_parameters={l=[]}`, data: map[string]any{"k": "z", "l": "z"}, want: true},
		{name: "the restrictive side wins", a: `capabilities=["update"]`, b: `allowed_parameters={l=[]}`, data: map[string]any{"k": "z"}, want: false},
		{name: "denied values add up", a: `capabilities=["update"] denied_parameters={k=["x"]}`, b: `denied_parameters={k=["y"]}`, data: map[string]any{"k": "x"}, want: false},
		{name: "an empty denied list means any", a: `capabilities=["update"] denied_parameters={k=["x"]}`, b: `denied_parameters={k=[]}`, data: map[string]any{"k": "z"}, want: false},
		{name: "required names add up", a: `capabilities=["update"] required_parameters=["k"]`, b: `required_parameters=["l"]`, data: map[string]any{"k": "z"}, want: false},
		{name: "deny drops the rest", a: `capabilities=["update"]`, b: `capabilities=["deny"]`, want: false},
	}
	for _, tt := range tests {
		// The keys stand on one line for the eye; HCL wants one a line.
		stanza := func(keys string) string {
			return "path \"secret/*\" {\n" + strings.NewReplacer(" max", "\nmax", " min", "\nmin", " allowed", "\nallowed",
				" denied", "\ndenied", " required", "\nrequired").Replace(keys) + "\n}\n"
		}
		req := Request{Capability: Update, Path: "secret/x", Data: tt.data, HasBody: tt.data != nil, WrapTTL: tt.wrap}
		for name, acl := range map[string]*ACL{
			"one policy":   aclOf(t, stanza(tt.a)+stanza(tt.b)),
			"two policies": aclOf(t, stanza(tt.a), stanza(tt.b)),
			"back to back": aclOf(t, stanza(tt.b), stanza(tt.a)),
		} {
			if got := acl.Check(req); got.Allowed != tt.want {
				t.Errorf("%s (%s): %+v", tt.name, name, got)
			}
		}
	}
}

// Merging must not change the policies merged: they are shared by all ACLs.
func TestMergeLeavesPoliciesAlone(t *testing.T) {
	a := mustParse(t, "a", "path \"x\" {\n capabilities=[\"update\"]\n allowed_parameters={k=[\"x\"]}\n required_parameters=[\"k\"]\n}")
	b := mustParse(t, "b", "path \"x\" {\n capabilities=[\"update\"]\n allowed_parameters={k=[\"y\"]}\n required_parameters=[\"l\"]\n}")
	Compile([]*Policy{a, b}, nil)
	Compile([]*Policy{b, a}, nil)
	alone := Compile([]*Policy{a}, nil)
	for value, want := range map[string]bool{"x": true, "y": false} {
		req := Request{Capability: Update, Path: "x", Data: map[string]any{"k": value}}
		if got := alone.Check(req).Allowed; got != want {
			t.Errorf("k=%s: allowed = %v", value, got)
		}
	}
}

// contract: wrapping §6, §8.15; policies §7, §13.25
func TestWrappingBounds(t *testing.T) {
	acl := aclOf(t, `
path "min"  {
  capabilities = ["read"]
  min_wrapping_ttl = "1s"
}
path "both" {
  capabilities = ["read"]
  min_wrapping_ttl = "1m"
  max_wrapping_ttl = "1h"
}
path "max"  {
  capabilities = ["read"]
  max_wrapping_ttl = "1h"
}`)
	tests := []struct {
		path string
		ttl  time.Duration
		want bool
	}{
		{"min", 0, false}, {"min", 60 * time.Second, true}, {"min", time.Millisecond, false},
		{"both", 0, false}, {"both", time.Second, false}, {"both", time.Minute, true}, {"both", time.Hour, true}, {"both", time.Hour + 1, false},
		{"max", 0, false}, {"max", time.Second, true}, {"max", 2 * time.Hour, false},
	}
	for _, tt := range tests {
		if got := acl.Check(Request{Capability: Read, Path: tt.path, WrapTTL: tt.ttl}).Allowed; got != tt.want {
			t.Errorf("%s with %v: %v", tt.path, tt.ttl, got)
		}
	}
	if !Root().Check(Request{Capability: Read, Path: "min"}).Allowed {
		t.Error("root is bound")
	}
}

// contract: policies §11, §13.21
func TestCapabilities(t *testing.T) {
	acl := aclOf(t, rules("secret/foo: update read", "secret/+: list", "secret/no: deny", "secret/data/*: create"))
	for path, want := range map[string]string{
		"secret/foo":    "[read update]",
		"secret/foo/":   "[read update]",
		"secret/bar":    "[list]",
		"secret/bar/":   "[list]",
		"secret/no":     "[deny]",
		"secret/no/":    "[deny]",
		"secret/data/x": "[create]",
		"other":         "[deny]",
		"":              "[deny]",
	} {
		if got := fmt.Sprint(acl.Capabilities(path)); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
}

// contract: sys §19 and its test 1
func TestTouches(t *testing.T) {
	tests := []struct {
		policy, prefix string
		want           bool
	}{
		{rules("secret/data/app/*: read"), "secret/", true},
		{rules("secret/data/app: read"), "secret/", true},
		{rules("secret/: list"), "secret/", true},
		{rules("sec*: read"), "secret/", true},
		{rules("+/data/x: read"), "secret/", true},
		{rules("+/*: sudo"), "secret/", true},
		{rules("secret2/x: read"), "secret/", false},
		{rules("secret: read"), "secret/", true}, // a list of the mount itself
		{rules("secret/x: deny"), "secret/", false},
		{rules("secret/x: "), "secret/", false},
		{rules("+/x: read", "secret/*: deny"), "secret/", false},
		{rules("secret*: read", "secret/*: deny"), "secret/", false},
		{rules("secret/*: deny", "secret/a: read"), "secret/", true},
		{rules("a*: read", "ab/+: "), "ab/", true},
		{"", "secret/", false},
	}
	for _, tt := range tests {
		if got := aclOf(t, tt.policy).Touches(tt.prefix); got != tt.want {
			t.Errorf("Touches(%s) = %v with\n%s", tt.prefix, got, tt.policy)
		}
	}
}

// contract: sys §19 resultant-acl
func TestRules(t *testing.T) {
	acl := aclFor(t, &Subject{ID: "e1"}, rules("a: read", "b/*: deny", "c/+/x: list", "c/+/*: update read", "{{identity.entity.id}}/*: list"), rules("e1/*: read"))
	want := "[{a false [read]} {b/ true [deny]} {c/+/ true [read update]} {c/+/x false [list]} {e1/ true [list read]}]"
	if got := fmt.Sprint(acl.Rules()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A path that looks like a pattern is a path.
func TestPathsThatLookLikePatterns(t *testing.T) {
	acl := aclOf(t, rules("secret/*: read", "secret/a*: deny", "x/+: list"))
	if !may(acl, Read, "secret/*") || may(acl, Read, "secret/a*") || !may(acl, List, "x/+/") || may(acl, Read, "x/+") {
		t.Error("a literal path was taken for the rule of its pattern")
	}
}
