package token

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/backend"
)

// parents are callers as the tables below name them.
type parents struct {
	root, plain, sudo, bare, expiringRoot, limited, batch *Issued
}

func newParents(w *world) *parents {
	return &parents{
		root:         w.root,
		plain:        w.plain(),
		sudo:         w.plain(),
		bare:         w.create(w.root, func(a *Ask) { a.Policies, a.NoDefaultPolicy = []string{"web"}, true }),
		expiringRoot: w.create(w.root, func(a *Ask) { a.TTL = "1h" }),
		limited:      w.create(w.root, func(a *Ask) { a.NumUses = 3 }),
		batch:        w.create(w.root, func(a *Ask) { a.Type, a.Policies = "batch", []string{"web"} }),
	}
}

// as makes the holder of i ask, with sudo where the table says so.
func as(i *Issued, sudo bool, change func(*Ask)) Ask {
	a := ask(i, change)
	a.Caller = caller(i, sudo)
	return a
}

// Contract: tokens §4.2, §1, §4.4, §4.5, §10, §13: what is refused, with its text.
func TestCreateRefuses(t *testing.T) {
	w := newWorld(t)
	p := newParents(w)
	w.ok(w.UpdateRole(w.ctx, "aliases", func(r *Role) error {
		r.AllowedEntityAliases = []string{"ci-*"}
		return nil
	}))
	w.create(w.root, func(a *Ask) { a.ID = "taken" })
	const sudo = true
	for _, tt := range []struct {
		line   string
		parent *Issued
		sudo   bool
		change func(*Ask)
		text   string
	}{
		{"§4.2-1 unknown role", p.root, sudo, func(a *Ask) { a.Role = "x" }, "unknown role x"},
		{"§4.2-1 before the parent", p.limited, sudo, func(a *Ask) { a.Role = "x" }, "unknown role x"},
		{"§4.2-3 batch parent", p.batch, false, nil, "batch tokens cannot create more tokens"},
		{"§4.2-4 limited parent", p.limited, false, nil, "restricted use token cannot generate child tokens"},
		{"§4.2-4 before the type", p.limited, false, func(a *Ask) { a.Type = "x" }, "restricted use token cannot generate child tokens"},
		{"§4.2-6 type", p.root, false, func(a *Ask) { a.Type, a.NumUses = "x", -1 }, "invalid 'token_type' value"},
		{"§4.2-7 batch explicit max", p.root, false, func(a *Ask) { a.Type, a.ExplicitMaxTTL, a.NumUses, a.Period = "batch", "1h", 1, "1h" },
			`batch tokens cannot have "explicit_max_ttl" set`},
		{"§4.2-7 batch uses", p.root, false, func(a *Ask) { a.Type, a.NumUses, a.Period = "batch", 1, "1h" }, `batch tokens cannot have "num_uses" set`},
		{"§4.2-7 batch period", p.root, false, func(a *Ask) { a.Type, a.Period = "batch", "1h" }, `batch tokens cannot have "period" set`},
		{"§4.2-7 batch explicit max unreadable", p.root, false, func(a *Ask) { a.Type, a.ExplicitMaxTTL = "batch", "x" }, "'explicit_max_ttl' value could not be parsed"},
		{"§4.2-7 batch period unreadable", p.root, false, func(a *Ask) { a.Type, a.Period = "batch", "x" }, "'period' value could not be parsed"},
		{"§4.2-8 negative uses", p.root, false, func(a *Ask) { a.NumUses, a.EntityAlias = -1, "x" }, "number of uses cannot be negative"},
		{"§4.7 alias without role", p.root, false, func(a *Ask) { a.EntityAlias = "x" }, "'entity_alias' is only allowed in combination with token role"},
		{"§4.7 alias not allowed", p.root, false, func(a *Ask) { a.EntityAlias, a.Role = "admin", "aliases" }, "invalid 'entity_alias' value"},
		{"§1.1 id without sudo", p.plain, false, func(a *Ask) { a.ID, a.Policies = "x", []string{"other"} }, "root or sudo privileges required to specify token id"},
		{"§1.3 hvs.", p.root, false, func(a *Ask) { a.ID = "hvs.x" }, "custom token ID cannot have the 'hvs.' prefix"},
		{"§1.3 s.", p.root, false, func(a *Ask) { a.ID = "s.x" }, "custom token ID cannot have the 's.' prefix"},
		{"§1.3 dot, §13.36", p.root, false, func(a *Ask) { a.ID = "a.b" }, "custom token ID cannot have a '.' in the value"},
		{"§1.3 hvb.", p.root, false, func(a *Ask) { a.ID = "hvb.x" }, "custom token ID cannot have a '.' in the value"},
		{"§1.4 duplicate, §13.36", p.root, false, func(a *Ask) { a.ID = "taken" }, "cannot create a token with a duplicate ID"},
		{"§1 id with a space", p.root, false, func(a *Ask) { a.ID = "a b" }, "custom token ID has a character that no header can carry"},
		{"§1 id with a line break", p.root, false, func(a *Ask) { a.ID = "a\nb" }, "custom token ID has a character that no header can carry"},
		{"§1 long id", p.root, false, func(a *Ask) { a.ID = strings.Repeat("a", 513) }, "custom token ID is longer than 512 bytes"},
		{"§4.3 subset, §13.3", p.plain, false, with("web", "other"), "child policies must be subset of parent"},
		{"§4.3 subset before root", p.plain, false, with("root"), "child policies must be subset of parent"},
		{"§4.3 default that the parent lacks", p.bare, false, with("default"), "child policies must be subset of parent"},
		{"§4.3 wrapping", p.root, false, with("response-wrapping"), `cannot assign policy "response-wrapping"`},
		{"§4.4-1 root by sudo, §13.5", p.sudo, sudo, with("root"), "root tokens may not be created without parent token being root"},
		{"§4.4-1 root by other names", p.sudo, sudo, with("web", " ROOT"), "root tokens may not be created without parent token being root"},
		{"§4.4-2 batch root", p.root, false, func(a *Ask) { a.Type, a.Policies = "batch", []string{"root"} }, "batch tokens cannot be root tokens"},
		{"§4.4-2 batch root by inheritance", p.root, false, func(a *Ask) { a.Type = "batch" }, "batch tokens cannot be root tokens"},
		{"§4.4-4 endless from expiring, §13.10", p.expiringRoot, false, nil, "expiring root tokens cannot create non-expiring root tokens"},
		{"§4.5 orphan without sudo, §13.15", p.plain, false, func(a *Ask) { a.NoParent = true }, "root or sudo privileges required to create orphan token"},
		{"§4.5 create-orphan asks for sudo too", p.plain, false, func(a *Ask) { a.NoParent, a.Orphan = true, true }, "root or sudo privileges required to create orphan token"},
		{"§5.9 period without sudo", p.plain, false, func(a *Ask) { a.Period = "1h" }, "root or sudo privileges required to create periodic token"},
		{"§5.9 ttl", p.root, false, func(a *Ask) { a.TTL = "-1" }, "ttl must be positive"},
		{"§5.9 lease", p.root, false, func(a *Ask) { a.Lease = "-1" }, "lease must be positive"},
		{"§5.9 explicit max", p.root, false, func(a *Ask) { a.ExplicitMaxTTL = "-1" }, "explicit_max_ttl must be positive"},
		{"§5.9 period", p.root, false, func(a *Ask) { a.Period = "-1" }, "period must be positive"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := w.in(t)
			before := w.records()
			a := as(tt.parent, tt.sudo, tt.change)
			w.refused(a, tt.text)
			if after := w.records(); after != before {
				t.Errorf("%d records after a refusal, %d before", after, before)
			}
		})
	}
}

// Contract: tokens §4.2-2: the caller's token has died since it was authenticated.
func TestCreateNeedsALivingParent(t *testing.T) {
	w := newWorld(t)
	for name, kill := range map[string]func(*Issued){
		"revoked": w.revoke,
		"grandparent dead": func(i *Issued) {
			middle, err := w.FindID(w.ctx, i.Token.Parent)
			w.ok(err)
			w.ok(w.Revoke(w.ctx, middle.Parent, Revoked, ""))
		},
		"expired": func(*Issued) { w.clock.Add(month) },
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			parent := w.child(w.child(w.plain()))
			w.mustLive(parent)
			kill(parent)
			w.refused(ask(parent, nil), "parent token lookup failed: no parent found")
		})
	}
}

func (w *world) must(i *Issued, err error) *Issued { w.t.Helper(); w.ok(err); return i }

// Contract: tokens §4.3, §4.1, §13.1-8; §4.4-1.
func TestCreatePolicies(t *testing.T) {
	w := newWorld(t)
	p := newParents(w)
	onlyDefault := w.create(w.root, with("default"))
	for _, tt := range []struct {
		line   string
		parent *Issued
		sudo   bool
		change func(*Ask)
		want   []string
	}{
		{"none given: the parent's", p.plain, false, nil, []string{"default", "web"}},
		{"none given by sudo: the parent's", p.sudo, true, nil, []string{"default", "web"}},
		{"none given by root: root", p.root, false, nil, []string{"root"}},
		{"§13.6 none given, the parent lacks default", p.bare, false, nil, []string{"web"}},
		{"§13.1 one name with a comma", p.root, false, with("a,b"), []string{"a,b", "default"}},
		{"§13.2 trimmed, lower-cased, once", p.root, false, with("Dev", " dev "), []string{"default", "dev"}},
		{"subset, default comes along", p.plain, false, with("web"), []string{"default", "web"}},
		{"subset, default is not the parent's", p.bare, false, with("web"), []string{"web"}},
		{"§13.4 sudo asks for any", p.sudo, true, with("other"), []string{"default", "other"}},
		{"sudo without default in the parent", p.bare, true, with("other"), []string{"default", "other"}},
		{"no_default_policy", p.root, false, func(a *Ask) { a.Policies, a.NoDefaultPolicy = []string{"a"}, true }, []string{"a"}},
		{"§13.7 no_default_policy and default", p.root, false, func(a *Ask) { a.Policies, a.NoDefaultPolicy = []string{"default", "a"}, true }, []string{"a"}},
		{"§13.8 nothing results", onlyDefault, false, func(a *Ask) { a.NoDefaultPolicy = true }, nil},
		{"no_default_policy, inherited", p.plain, false, func(a *Ask) { a.NoDefaultPolicy = true }, []string{"web"}},
		{"root collapses", p.root, false, with("a", "Root", "b"), []string{"root"}},
		{"names of nothing are none", p.plain, false, with(" ", ""), []string{"default", "web"}},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := w.in(t)
			out, err := w.Create(w.ctx, as(tt.parent, tt.sudo, tt.change))
			w.ok(err)
			if !slices.Equal(out.Token.Policies, tt.want) {
				t.Errorf("policies %q, want %q", out.Token.Policies, tt.want)
			}
			if root := len(tt.want) == 1 && tt.want[0] == "root"; out.Token.Root != root {
				t.Errorf("root %t, want %t", out.Token.Root, root)
			}
		})
	}
}

// Contract: tokens §4.8, §13.22-24.
func TestCreateByRolePolicies(t *testing.T) {
	w := newWorld(t)
	p := newParents(w)
	bare := []string{"web"}
	for _, tt := range []struct {
		line   string
		role   Role
		parent *Issued
		change func(*Ask)
		want   []string
		text   string
	}{
		{"no lists: as without a role", Role{}, p.plain, nil, []string{"default", "web"}, ""},
		{"no lists: subset", Role{}, p.plain, with("other"), nil, "child policies must be subset of parent"},
		{"no lists, no default", Role{NoDefaultPolicy: true}, p.plain, nil, bare, ""},
		{"§13.22 allowed, none asked", Role{AllowedPolicies: []string{"a"}}, p.plain, nil, []string{"a", "default"}, ""},
		{"allowed, asked", Role{AllowedPolicies: []string{"a", "b"}}, p.plain, with("b"), []string{"b", "default"}, ""},
		{"§4.8-3 not allowed", Role{AllowedPolicies: []string{"b"}}, p.plain, with("a"), nil,
			`token policies (["a" "default"]) must be subset of the role's allowed policies (["b" "default"]) or glob policies ([])`},
		{"§13.23 globs, none asked", Role{AllowedPoliciesGlob: []string{"a*"}}, p.plain, nil, []string{"default"}, ""},
		{"globs, asked", Role{AllowedPoliciesGlob: []string{"a*"}}, p.plain, with("abc"), []string{"abc", "default"}, ""},
		{"globs, not matched", Role{AllowedPoliciesGlob: []string{"a*"}}, p.plain, with("b"), nil,
			`token policies (["b" "default"]) must be subset of the role's allowed policies (["default"]) or glob policies (["a*"])`},
		{"§13.24 default disallowed, none asked", Role{DisallowedPolicies: []string{"default"}}, p.bare, nil, bare, ""},
		{"default disallowed, the parent has it", Role{DisallowedPolicies: []string{"default"}}, p.plain, nil, nil, `token policy "default" is disallowed by this role`},
		{"default disallowed by glob", Role{DisallowedPoliciesGlob: []string{"def*"}}, p.bare, nil, bare, ""},
		{"§4.8-4 disallowed, none asked", Role{DisallowedPolicies: []string{"x"}}, p.bare, nil, []string{"default", "web"}, ""},
		{"§4.8-5 disallowed", Role{DisallowedPolicies: []string{"x"}}, p.plain, with("x"), nil, `token policy "x" is disallowed by this role`},
		{"§4.8-5 disallowed by glob", Role{DisallowedPoliciesGlob: []string{"*x"}}, p.plain, with("yx"), nil, `token policy "yx" is disallowed by this role`},
		{"§4.8-5 allowed and disallowed", Role{AllowedPolicies: []string{"x"}, DisallowedPolicies: []string{"x"}}, p.plain, nil, nil, `token policy "x" is disallowed by this role`},
		{"§4.8-6 more than the parent has", Role{AllowedPolicies: []string{"admin"}}, p.plain, with("admin"), []string{"admin", "default"}, ""},
		{"§4.8-6 root needs a root parent", Role{AllowedPolicies: []string{"root"}}, p.plain, with("root"), nil, "root tokens may not be created without parent token being root"},
		{"§4.8-6 root by glob", Role{AllowedPoliciesGlob: []string{"*"}}, p.plain, with("root"), nil, "root tokens may not be created without parent token being root"},
		{"§4.8-1 request without default", Role{AllowedPolicies: []string{"a"}}, p.plain, func(a *Ask) { a.NoDefaultPolicy = true }, []string{"a"}, ""},
		{"§4.8-1 role without default", Role{AllowedPolicies: []string{"a"}, NoDefaultPolicy: true}, p.plain, nil, []string{"a"}, ""},
		{"wrapping is never assigned", Role{AllowedPoliciesGlob: []string{"*"}}, p.plain, with("response-wrapping"), nil, `cannot assign policy "response-wrapping"`},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := w.in(t)
			w.ok(w.UpdateRole(w.ctx, "r", func(r *Role) error {
				*r = tt.role
				r.Name, r.Renewable = "r", true
				return nil
			}))
			a := as(tt.parent, false, tt.change)
			a.Role, a.Path = "r", "auth/token/create/r"
			if tt.text != "" {
				w.refused(a, tt.text)
				return
			}
			out, err := w.Create(w.ctx, a)
			w.ok(err)
			if !slices.Equal(out.Token.Policies, tt.want) {
				t.Errorf("policies %q, want %q", out.Token.Policies, tt.want)
			}
		})
	}
}

// Contract: tokens §4.5, §13.14, §13.21.
func TestCreateParents(t *testing.T) {
	w := newWorld(t)
	cidr := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	roleCIDR := []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}
	for name, orphan := range map[string]bool{"free": true, "bound": false} {
		w.ok(w.UpdateRole(w.ctx, name, func(r *Role) error {
			r.Orphan, r.BoundCIDRs = orphan, roleCIDR
			return nil
		}))
	}
	parent, err := w.IssueLogin(w.ctx, &backend.Login{Policies: []string{"web"}, BoundCIDRs: cidr}, loginMount, "auth/userpass/login/a", "entity-1")
	w.ok(err)
	if !parent.Token.Orphan() {
		t.Error("a login's token has a parent")
	}
	for _, tt := range []struct {
		line   string
		sudo   bool
		change func(*Ask)
		orphan bool
		entity string
		cidrs  []netip.Prefix
	}{
		{"create", false, nil, false, "entity-1", cidr},
		{"create, no_parent, sudo", true, func(a *Ask) { a.NoParent = true }, true, "", nil},
		{"create-orphan, no sudo", false, func(a *Ask) { a.Orphan = true }, true, "", nil},
		{"role with orphan", false, func(a *Ask) { a.Role = "free" }, true, "", roleCIDR},
		{"role without orphan", false, func(a *Ask) { a.Role = "bound" }, false, "entity-1", roleCIDR},
		{"role: no_parent is ignored", false, func(a *Ask) { a.Role, a.NoParent = "bound", true }, false, "entity-1", roleCIDR},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := w.in(t)
			out, err := w.Create(w.ctx, as(parent, tt.sudo, tt.change))
			w.ok(err)
			got := out.Token
			if got.Orphan() != tt.orphan || got.EntityID != tt.entity || !slices.Equal(got.BoundCIDRs, tt.cidrs) {
				t.Errorf("orphan %t, entity %q, cidrs %v; want %t, %q, %v", got.Orphan(), got.EntityID, got.BoundCIDRs, tt.orphan, tt.entity, tt.cidrs)
			}
		})
	}
}

// Contract: tokens §4.6, §13.16, §11 path_suffix, §4.8-7.
func TestCreateNames(t *testing.T) {
	for _, tt := range []struct{ asked, want string }{
		{"", "token"}, {"foo_bar.baz!", "token-foo-bar-baz"}, {"a/b c", "token-a-b-c"}, {"foo!!", "token-foo-"},
		{"-", "token-"}, {"é", "token-"}, {"A9", "token-A9"},
	} {
		if got := displayName(tt.asked); got != tt.want {
			t.Errorf("display name of %q is %q, want %q", tt.asked, got, tt.want)
		}
	}
	w := newWorld(t)
	w.ok(w.UpdateRole(w.ctx, "nomad", func(r *Role) error {
		r.PathSuffix, r.NumUses, r.Renewable = "team-a", 5, false
		return nil
	}))
	for asked, want := range map[int]int{0: 5, 3: 3, 9: 5} {
		out := w.create(w.root, func(a *Ask) {
			a.Role, a.Path, a.NumUses, a.Policies = "nomad", "auth/token/create/nomad", asked, []string{"web"}
		})
		if out.Token.Uses != want {
			t.Errorf("asked for %d uses of a role's 5: %d, want %d", asked, out.Token.Uses, want)
		}
		if got := out.Token.Origin; got.Path != "auth/token/create/nomad/team-a" || got.Role != "nomad" || out.Token.Life.Renewable {
			t.Errorf("origin %+v, renewable %t", got, out.Token.Life.Renewable)
		}
	}
}

// Contract: tokens §4.4, §5, §13.9-13: the life that comes out, and what is said about it.
func TestCreateLife(t *testing.T) {
	w := newWorld(t)
	w.ok(w.UpdateRole(w.ctx, "capped", func(r *Role) error {
		r.Period, r.ExplicitMaxTTL = time.Minute, time.Minute
		return nil
	}))
	w.ok(w.UpdateRole(w.ctx, "batch", func(r *Role) error {
		r.TokenType, r.Orphan, r.Renewable = "batch", true, false
		return nil
	}))
	web := []string{"web"}
	for _, tt := range []struct {
		line      string
		change    func(*Ask)
		ttl       time.Duration
		renewable bool
		warnings  []string
	}{
		{"§5.3 nothing asked: the mount's default", with("web"), month, true, nil},
		{"ttl", func(a *Ask) { a.TTL, a.Policies = "1h", web }, time.Hour, true, nil},
		{"§4.1 lease is ttl's old name", func(a *Ask) { a.Lease, a.Policies = "2h", web }, 2 * time.Hour, true, nil},
		{"§4.1 ttl wins", func(a *Ask) { a.TTL, a.Lease, a.Policies = "1h", "2h", web }, time.Hour, true, nil},
		{"not renewable", func(a *Ask) { a.TTL, a.Policies, a.Renewable = "1h", web, false }, time.Hour, false, nil},
		{"§13.11 capped", func(a *Ask) { a.TTL, a.Policies = "10000h", web }, month, true,
			[]string{`TTL of "10000h" exceeded the effective max_ttl of "768h"; TTL value is capped accordingly`}},
		{"§13.12 period capped", func(a *Ask) { a.Period, a.Policies = "2000h", web }, month, true,
			[]string{`period of "2000h" exceeded the effective max_ttl of "768h"; period value is capped accordingly`}},
		{"period", func(a *Ask) { a.Period, a.TTL, a.Policies = "1h", "5h", web }, time.Hour, true, nil},
		{"explicit max", func(a *Ask) { a.ExplicitMaxTTL, a.TTL, a.Policies = "1h", "2h", web }, time.Hour, true,
			[]string{`TTL of "2h" exceeded the effective max_ttl of "1h"; TTL value is capped accordingly`}},
		{"§5.7 whole seconds", func(a *Ask) { a.TTL, a.Policies = "1500ms", web }, time.Second, true, nil},
		{"less than a second is a second (CVE-2021-32923)", func(a *Ask) { a.TTL, a.Policies = "1ms", web }, time.Second, true, nil},
		{"an explicit max of less than a second", func(a *Ask) { a.ExplicitMaxTTL, a.TTL, a.Policies = "1ms", "1s", web }, time.Second, true, nil},
		{"§4.4-3 root", nil, 0, false, nil},
		{"§4.4-5 root with ttl, §13.9", func(a *Ask) { a.TTL = "1h" }, time.Hour, true, nil},
		{"§4.4-5 root with explicit max alone", func(a *Ask) { a.ExplicitMaxTTL = "1h" }, time.Hour, true, nil},
		{"§5.8 role and request", func(a *Ask) { a.Role, a.Policies, a.Period, a.ExplicitMaxTTL = "capped", web, "2m", "2m" }, time.Minute, true,
			[]string{"Explicit max TTL specified both during creation call and in role; using the lesser value of 60 seconds",
				"Period specified both during creation call and in role; using the lesser value of 60 seconds"}},
		{"§4.2-7 batch is never renewable", func(a *Ask) { a.Type, a.TTL, a.Policies = "batch", "1h", web }, time.Hour, false, nil},
		{"§4.2-6 batch by role", func(a *Ask) { a.Role, a.Type, a.TTL, a.Policies = "batch", "service", "1h", web }, time.Hour, false, nil},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := w.in(t)
			out := w.create(w.root, tt.change)
			got := out.Token
			if out.TTL != tt.ttl || got.TTL(w.clock.Now()) != tt.ttl || got.Life.Renewable != tt.renewable {
				t.Errorf("ttl %s (%s), renewable %t; want %s, %t", out.TTL, got.TTL(w.clock.Now()), got.Life.Renewable, tt.ttl, tt.renewable)
			}
			if (got.Life.Expires == 0) != (tt.ttl == 0) {
				t.Errorf("expires at %d with a ttl of %s", got.Life.Expires, tt.ttl)
			}
			if !slices.Equal(out.Warnings, tt.warnings) {
				t.Errorf("warnings %q, want %q", out.Warnings, tt.warnings)
			}
			if tt.ttl > 0 {
				w.mustLive(out)
			}
		})
	}
}

// Contract: tokens §1.5, §1.7, §13.36.
func TestCreateWithAnIDOfOnesOwn(t *testing.T) {
	w := newWorld(t)
	first := w.create(w.root, func(a *Ask) { a.ID, a.Policies = "myroot", []string{"web"} })
	if first.Text != "myroot" || !slices.Contains(first.Warnings, customIDWarning) {
		t.Errorf("text %q, warnings %q", first.Text, first.Warnings)
	}
	w.mustLive(first)
	child := w.child(first)
	w.revoke(first)
	w.mustBeDead(first, child)
	// §1.4: not while its children are still to be swept.
	w.refused(ask(w.root, func(a *Ask) { a.ID = "myroot" }), "cannot create a token with a duplicate ID")
	w.sweepAll()
	second := w.create(w.root, func(a *Ask) { a.ID, a.Policies = "myroot", []string{"web"} })
	w.mustLive(second)
	w.mustBeDead(child)
	if found, _, err := w.FindAccessor(w.ctx, first.Token.Accessor); found != nil || err != nil {
		t.Errorf("the old accessor leads to the new token: %v, %v", found, err)
	}
}

// A development server's root id is checked as any other: a token that nobody could use is not made.
func TestRootWithAnIDOfOnesOwn(t *testing.T) {
	w := newWorld(t)
	_, err := w.IssueRoot(w.ctx, "a.b", nil)
	w.fails(err, backend.Invalid, "custom token ID cannot have a '.' in the value")
	dev, err := w.IssueRoot(w.ctx, "dev", nil)
	w.ok(err)
	w.mustLive(dev)
	if !dev.Token.Root || !dev.Token.Life.Leased || dev.Token.Origin.Path != "auth/token/create" {
		t.Errorf("development root: %+v", dev.Token)
	}
	_, err = w.IssueRoot(w.ctx, "dev", nil)
	w.fails(err, backend.Invalid, "cannot create a token with a duplicate ID")
}

// The hierarchy is bounded, and handing over for ever is no hierarchy.
func TestDepth(t *testing.T) {
	w := newWorld(t)
	leaf := w.chain(w.root, MaxDepth-1)
	leaf = w.child(leaf)
	w.mustLive(leaf)
	w.refused(ask(leaf, nil), fmt.Sprintf("a token hierarchy has at most %d levels", MaxDepth))
	w.revoke(w.root)
	w.mustBeDead(leaf)

	t.Run("handing over", func(t *testing.T) {
		w := w.in(t)
		w.root = w.must(w.IssueRoot(w.ctx, "", nil))
		holder := w.plain()
		for i := range MaxDepth + 10 {
			next := w.child(holder)
			found, err := w.RevokeOrphan(w.ctx, holder.Token.ID, "")
			w.ok(err)
			if !found {
				t.Fatal("the holder is not there")
			}
			if i%3 == 0 {
				w.sweepAll()
			}
			holder = next
		}
		w.mustLive(holder)
	})
}

// Contract: tokens §4.4-6, §4.6, auth-methods §1.1.
func TestLogin(t *testing.T) {
	w := newWorld(t)
	login := func(l *backend.Login, m backend.Mount) (*Issued, error) {
		return w.IssueLogin(w.ctx, l, m, "auth/userpass/login/alice", "")
	}
	for _, names := range [][]string{{"root"}, {" ROOT "}, {"a", "Root"}} {
		out, err := login(&backend.Login{Policies: names}, loginMount)
		w.fails(err, backend.Invalid, "auth methods cannot create root tokens")
		if out != nil {
			t.Error("a refused login got a token too")
		}
	}
	_, err := login(&backend.Login{Policies: []string{"response-wrapping"}}, loginMount)
	w.fails(err, backend.Invalid, `cannot assign policy "response-wrapping"`)

	out, err := login(&backend.Login{DisplayName: "alice", Policies: []string{"Web"}, NumUses: 4,
		Terms: backend.Terms{TTL: 2 * time.Hour, MaxTTL: time.Hour, Renewable: true}}, backend.Mount{Path: "auth/a/b/", DefaultTTL: month, MaxTTL: month})
	w.ok(err)
	got := out.Token
	if got.Origin.DisplayName != "a-b-alice" || !slices.Equal(got.Policies, []string{"default", "web"}) || got.Uses != 4 || out.TTL != time.Hour || !got.Orphan() {
		t.Errorf("login: %+v, ttl %s", got, out.TTL)
	}
	w.mustLive(out)

	for _, tt := range []struct {
		tuned string
		asked backend.TokenType
		batch bool
	}{
		{"", backend.DefaultType, false}, {"", backend.BatchType, true},
		{"default-service", backend.BatchType, true}, {"default-service", backend.DefaultType, false},
		{"default-batch", backend.DefaultType, true}, {"default-batch", backend.ServiceType, false},
		{"service", backend.BatchType, false}, {"batch", backend.ServiceType, true},
	} {
		m := loginMount
		m.TokenType = tt.tuned
		out, err := login(&backend.Login{Type: tt.asked, State: []byte("password")}, m)
		w.ok(err)
		if kept := len(out.Token.Origin.State) > 0; kept == tt.batch {
			t.Errorf("tuned %q, asked %s: what a renewal needs is kept: %v", tt.tuned, tt.asked, kept)
		}
		if out.Token.Batch != tt.batch {
			t.Errorf("a mount of %q, a role of %s: batch %t", tt.tuned, tt.asked, out.Token.Batch)
		}
		w.mustLive(out)
	}
}
