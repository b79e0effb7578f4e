package contract_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRoles holds what a role does to the tokens made by it. Contract: tokens §4.6, §4.8, §11.
func TestRoles(t *testing.T) {
	rows(t, []row{
		{"tokens §4.8.5 a policy that the role disallows", func(t *testing.T, h *house) {
			h.role("r", m{"disallowed_policies": "x", "disallowed_policies_glob": []string{"ops-*"}})
			for _, name := range []string{"x", "ops-a"} {
				h.do("POST", "auth/token/create/r", h.root, m{"policies": []string{name}}).fails(400, fmt.Sprintf("token policy %q is disallowed by this role", name))
			}
			h.do("POST", "auth/token/create/r", h.root, m{"policies": []string{"y"}}).is(200).has([]string{"default", "y"}, "auth", "policies")
		}},
		{"tokens §4.8.3 what the role does not allow", func(t *testing.T, h *house) {
			h.role("r", m{"allowed_policies": "b"})
			h.do("POST", "auth/token/create/r", h.root, m{"policies": []string{"a"}}).
				fails(400, `token policies (["a" "default"]) must be subset of the role's allowed policies (["b" "default"]) or glob policies ([])`)
		}},
		{"tokens §4.8.6 a role gives more than the parent has, but not root", func(t *testing.T, h *house) {
			h.role("r", m{"allowed_policies": "root,ops"})
			h.do("POST", "auth/token/create/r", h.plain(), m{"policies": []string{"ops"}}).is(200).has([]string{"default", "ops"}, "auth", "policies")
			h.do("POST", "auth/token/create/r", h.plain(), m{"policies": []string{"root"}}).fails(400, "root tokens may not be created without parent token being root")
		}},
		{"tokens §4.8.7 the smaller number of uses", func(t *testing.T, h *house) {
			h.role("r", m{"token_num_uses": 5})
			for asked, given := range map[int]int{0: 5, 3: 3, 9: 5} {
				h.do("POST", "auth/token/create/r", h.root, m{"policies": "default", "num_uses": asked}).is(200).has(given, "auth", "num_uses")
			}
		}},
		{"tokens §4.8.7 renewable", func(t *testing.T, h *house) {
			h.role("never", m{"renewable": false})
			h.role("may", m{"renewable": true})
			h.do("POST", "auth/token/create/never", h.root, m{"policies": "default", "renewable": true}).is(200).has(false, "auth", "renewable")
			h.do("POST", "auth/token/create/may", h.root, m{"policies": "default", "renewable": false}).is(200).has(false, "auth", "renewable")
		}},
		{"tokens §4.6 the path's suffix", func(t *testing.T, h *house) {
			h.role("r", m{"path_suffix": "edge-1"})
			token := h.do("POST", "auth/token/create/r", h.root, m{"policies": "default"}).is(200).text("auth", "client_token")
			h.ask(token).has("auth/token/create/r/edge-1", "data", "path")
			h.do("POST", "sys/leases/revoke-prefix/auth/token/create/r/edge-1", h.root, nil).empty()
			h.dead(token)
		}},
		{"tokens §4.2-6 types of roles", func(t *testing.T, h *house) {
			for role, kinds := range map[string][3]string{
				"service": {"service", "service", "service"}, "default-service": {"service", "service", "batch"}, "default-batch": {"batch", "service", "batch"},
			} {
				h.role(role, m{"token_type": role})
				for i, asked := range []string{"", "service", "batch"} {
					h.do("POST", "auth/token/create/"+role, h.root, m{"policies": "default", "type": asked}).is(200).has(kinds[i], "auth", "token_type")
				}
			}
			h.role("batch", m{"token_type": "batch", "orphan": true, "renewable": false})
			a := h.do("POST", "auth/token/create/batch", h.root, m{"policies": "default", "type": "service"}).is(200).has("batch", "auth", "token_type").has("", "auth", "accessor")
			if !strings.HasPrefix(a.text("auth", "client_token"), "hvb.") {
				t.Error("a batch token begins with hvb.")
			}
		}},
		{"tokens §4.5 no_parent means nothing with a role", func(t *testing.T, h *house) {
			h.role("r", m{})
			h.do("POST", "auth/token/create/r", h.plain(), m{"no_parent": true}).is(200).has(false, "auth", "orphan")
		}},
		{"tokens §11 a role's edit does not alter its tokens", func(t *testing.T, h *house) {
			h.role("r", m{"allowed_policies": "default", "token_bound_cidrs": "192.0.2.0/24"})
			token := h.do("POST", "auth/token/create/r", h.root, m{}).is(200).text("auth", "client_token")
			h.role("r", m{"allowed_policies": "other", "token_bound_cidrs": "10.0.0.0/8", "orphan": true})
			h.lookup(token).is(200).has([]string{"default"}, "data", "policies").has(false, "data", "orphan")
		}},
		{"tokens §11 names of roles", func(t *testing.T, h *house) {
			for _, name := range []string{"a", "a-b", "a.b", "A_b"} {
				h.role(name, m{})
				h.do("GET", "auth/token/roles/"+name, h.root, nil).is(200).has(name, "data", "name")
			}
			for _, name := range []string{"-a", "a-", "a%20b", "a/b", ".a"} {
				h.do("POST", "auth/token/roles/"+name, h.root, m{}).is(404)
			}
		}},
	})
}

// TestLifetimes is the arithmetic as clients see it. Contract: tokens §5.
func TestLifetimes(t *testing.T) {
	rows(t, []row{
		{"tokens §5.1 the mount's limits", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/token/tune", h.root, m{"default_lease_ttl": "1h", "max_lease_ttl": "2h"}).empty()
			h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(200).has(3600, "auth", "lease_duration")
			h.do("POST", "auth/token/create", h.root, m{"policies": "default", "ttl": "3h"}).is(200).has(7200, "auth", "lease_duration").
				warns(`TTL of "3h" exceeded the effective max_ttl of "2h"; TTL value is capped accordingly`)
		}},
		{"tokens §5.3 a deadline counts from the issue", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "ttl": "1h", "explicit_max_ttl": "90m"})
			h.wall.advance(time.Hour - time.Second)
			h.do("POST", "auth/token/renew-self", token, m{"increment": "1h"}).is(200).has(1801, "auth", "lease_duration").
				warns(`TTL of "1h" exceeded the effective max_ttl of "30m1s"; TTL value is capped accordingly`)
			h.wall.advance(1801 * time.Second)
			h.dead(token)
		}},
		{"tokens §5.2, observed §5.7: a period never outlives its explicit maximum", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "period": "10s", "explicit_max_ttl": "25s"})
			for range 2 {
				h.wall.advance(9900 * time.Millisecond)
				h.do("POST", "auth/token/renew-self", token, nil).is(200)
			}
			h.wall.advance(5200 * time.Millisecond)
			h.dead(token)
		}},
		{"tokens §5 a periodic token lives for ever in steps", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "period": "24h"})
			for range 60 {
				h.wall.advance(23 * time.Hour)
				h.do("POST", "auth/token/renew-self", token, m{"increment": "1s"}).is(200).has(86400, "auth", "lease_duration")
			}
			h.wall.advance(24 * time.Hour)
			h.dead(token)
		}},
		{"tokens §5 renewals end at the mount's maximum", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "ttl": "400h"})
			h.wall.advance(399 * time.Hour)
			h.do("POST", "auth/token/renew-self", token, nil).is(200).has(1328400, "auth", "lease_duration")
			h.wall.advance(369 * time.Hour)
			h.dead(token)
		}},
		{"the wall clock jumps back: nothing comes to life again", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "ttl": "1h"})
			h.wall.advance(2 * time.Hour)
			h.dead(token)
			h.wall.advance(-3 * time.Hour)
			h.dead(token)
			h.lookup(h.create(h.root, m{"policies": "default", "ttl": "1h"})).is(200).has(3600, "data", "ttl")
		}},
		{"a child does not outlive its parent", func(t *testing.T, h *house) {
			h.policy("creator", creator)
			parent := h.create(h.root, m{"policies": []string{"creator"}, "ttl": "1m"})
			child := h.create(parent, m{"ttl": "1h"})
			batch := h.create(parent, m{"ttl": "1h", "type": "batch"})
			h.wall.advance(time.Minute)
			h.dead(parent)
			h.dead(child)
			h.dead(batch)
		}},
		{"a parent shortened by a renewal takes its children along", func(t *testing.T, h *house) {
			parent := h.plain()
			child := h.create(parent, m{})
			h.lookup(child).is(200)
			h.do("POST", "auth/token/renew-self", parent, m{"increment": 5}).is(200)
			h.wall.advance(5 * time.Second)
			h.dead(child)
		}},
	})
}

// TestGrantingPolicies is policies §12.
func TestGrantingPolicies(t *testing.T) {
	h := open(t)
	h.devices()
	h.policy("one", `path "sys/mounts" { capabilities = ["read"] }`)
	h.policy("two", `path "sys/mounts" { capabilities = ["read", "update"] }`)
	h.policy("three", `path "sys/mounts" { capabilities = ["update"] }`)
	token := h.create(h.root, m{"policies": []string{"one", "two", "three"}})
	entry := func(name string) m { return m{"name": name, "namespace_id": "root", "type": "acl"} }
	request, response := h.entries(func() *answer { return h.do("GET", "sys/mounts", token, nil).is(200) })
	for _, e := range []m{request, response} {
		want(t, e, m{"allowed": true, "granting_policies": []m{entry("one"), entry("two")}}, "auth", "policy_results")
	}
	request, _ = h.entries(func() *answer { return h.do("DELETE", "sys/mounts", token, nil).fails(403, denied) })
	want(t, request, m{"allowed": false}, "auth", "policy_results")
	request, _ = h.entries(func() *answer { return h.lookup(h.root).is(200) })
	want(t, request, m{"allowed": true, "granting_policies": []m{entry("root")}}, "auth", "policy_results")
}

// TestLoginTokens holds what logins give. Contract: tokens §4.4-6, §4.5, §7.7.
func TestLoginTokens(t *testing.T) {
	h := open(t)
	h.do("POST", "sys/auth/team/up", h.root, m{"type": "userpass"}).empty()
	user := func(body m) string {
		t.Helper()
		body["password"] = "correct horse"
		h.do("POST", "auth/team/up/users/bob", h.root, body).empty()
		return h.do("POST", "auth/team/up/login/bob", "", m{"password": "correct horse"}).is(200).text("auth", "client_token")
	}
	token := user(m{"token_policies": "web"})
	h.lookup(token).is(200).has("team-up-bob", "data", "display_name").has("auth/team/up/login/bob", "data", "path").has(true, "data", "orphan").
		has([]string{"default", "web"}, "data", "policies").has(m{"username": "bob"}, "data", "meta")
	h.do("POST", "auth/token/renew-self", token, nil).is(200)
	h.do("POST", "auth/team/up/users/bob", h.root, m{"token_policies": "root"})
	h.do("POST", "auth/team/up/login/bob", "", m{"password": "correct horse"}).fails(400, "auth methods cannot create root tokens")
	h.do("DELETE", "auth/team/up/users/bob", h.root, nil).empty()
	if a := h.do("POST", "auth/token/renew-self", token, nil); a.status == 200 {
		t.Errorf("tokens §7.7: renewed for a user that is gone: %s", a.body)
	}
	h.lookup(token).is(200)
}
