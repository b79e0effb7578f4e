package contract_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// creator is a policy with update on the ways to make tokens, and no sudo.
const creator = `path "auth/token/create" { capabilities = ["update"] }
path "auth/token/create/*" { capabilities = ["update"] }
path "auth/token/create-orphan" { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-orphan" { capabilities = ["update"] }`

const sudoCreator = `path "auth/token/create" { capabilities = ["update", "sudo"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/revoke-orphan" { capabilities = ["update", "sudo"] }`

// plain is a token that may make children, with its policies.
func (h *house) plain(more ...string) string {
	h.t.Helper()
	h.policy("creator", creator)
	return h.create(h.root, m{"policies": append([]string{"creator"}, more...)})
}

func (h *house) sudoer() string {
	h.t.Helper()
	h.policy("sudoer", sudoCreator)
	return h.create(h.root, m{"policies": []string{"sudoer"}})
}

func TestTokenEdgeCases(t *testing.T) {
	rows(t, []row{
		{"tokens §13.1 a comma does not part policies", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"policies": "a,b"}).is(200).has([]string{"a,b", "default"}, "auth", "policies")
		}},
		{"tokens §13.2 names are trimmed, lower-cased, de-duplicated", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"policies": []string{"Dev", " dev "}}).is(200).
				has([]string{"default", "dev"}, "auth", "policies").warns(`Policy "dev" does not exist`)
		}},
		{"tokens §13.3 more than the parent has", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.plain(), m{"policies": []string{"x"}}).fails(400, "child policies must be subset of parent")
		}},
		{"tokens §13.4 sudo gives any policy but root", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.sudoer(), m{"policies": []string{"x"}}).is(200).has([]string{"default", "x"}, "auth", "policies")
		}},
		{"tokens §13.5 sudo does not give root", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.sudoer(), m{"policies": []string{"root"}}).fails(400, "root tokens may not be created without parent token being root")
			h.do("POST", "auth/token/create", h.plain(), m{"policies": []string{"root"}}).fails(400, "child policies must be subset of parent")
		}},
		{"tokens §13.6 no default without a parent's", func(t *testing.T, h *house) {
			h.policy("creator", creator)
			parent := h.create(h.root, m{"policies": []string{"creator"}, "no_default_policy": true})
			h.do("POST", "auth/token/create", parent, m{}).is(200).has([]string{"creator"}, "auth", "policies")
		}},
		{"tokens §13.7 no_default_policy wins", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"policies": []string{"default", "a"}, "no_default_policy": true}).is(200).has([]string{"a"}, "auth", "policies")
		}},
		{"tokens §13.8 a token without policies", func(t *testing.T, h *house) {
			h.policy("default", creator)
			parent := h.create(h.root, m{"policies": []string{"default"}})
			a := h.do("POST", "auth/token/create", parent, m{"no_default_policy": true}).is(200).has([]string{}, "auth", "policies")
			h.lookup(a.text("auth", "client_token")).fails(403, denied)
			h.ask(a.text("auth", "client_token")).is(200).has([]string{}, "data", "policies")
		}},
		{"tokens §13.9 root without and with a ttl", func(t *testing.T, h *house) {
			for _, ttl := range []any{nil, "0", 0, "", "0s"} {
				token := h.create(h.root, m{"ttl": ttl})
				h.lookup(token).is(200).has(nil, "data", "expire_time").has(false, "data", "renewable").has(0, "data", "ttl").has([]string{"root"}, "data", "policies")
			}
			a := h.do("POST", "auth/token/create", h.root, m{"ttl": "1h"}).is(200).has(3600, "auth", "lease_duration").has(true, "auth", "renewable")
			h.lookup(a.text("auth", "client_token")).has(3600, "data", "ttl")
		}},
		{"tokens §13.10 an expiring root", func(t *testing.T, h *house) {
			expiring := h.create(h.root, m{"ttl": "1h"})
			h.do("POST", "auth/token/create", expiring, m{}).fails(400, "expiring root tokens cannot create non-expiring root tokens")
			h.do("POST", "auth/token/create", expiring, m{"ttl": "2h"}).is(200).has(7200, "auth", "lease_duration")
		}},
		{"tokens §13.11 ttl above the maximum", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"policies": "default", "ttl": "10000h"}).is(200).has(2764800, "auth", "lease_duration").
				warns(`TTL of "10000h" exceeded the effective max_ttl of "768h"; TTL value is capped accordingly`)
		}},
		{"tokens §13.12 period above the maximum", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"policies": "default", "period": "2000h"}).is(200).has(2764800, "auth", "lease_duration").
				warns(`period of "2000h" exceeded the effective max_ttl of "768h"; period value is capped accordingly`)
		}},
		{"tokens §13.13 period and explicit maximum", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "period": "30m", "explicit_max_ttl": "1h"})
			h.wall.advance(20 * time.Minute)
			h.do("POST", "auth/token/renew-self", token, m{}).is(200).has(1800, "auth", "lease_duration")
			h.wall.advance(25 * time.Minute)
			h.do("POST", "auth/token/renew-self", token, m{}).is(200).has(900, "auth", "lease_duration").
				warns(`TTL of "30m" exceeded the effective max_ttl of "15m"; TTL value is capped accordingly`)
			h.wall.advance(15 * time.Minute)
			h.dead(token)
		}},
		{"tokens §13.14 create-orphan needs update alone", func(t *testing.T, h *house) {
			parent := h.plain()
			a := h.do("POST", "auth/token/create-orphan", parent, m{}).is(200).has(true, "auth", "orphan")
			orphan := a.text("auth", "client_token")
			h.ask(orphan).has("auth/token/create-orphan", "data", "path")
			h.do("POST", "auth/token/revoke", h.root, m{"token": parent}).empty()
			h.lives(orphan)
		}},
		{"tokens §13.15 no_parent needs sudo", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.plain(), m{"no_parent": true}).fails(400, "root or sudo privileges required to create orphan token")
			h.do("POST", "auth/token/create-orphan", h.plain(), m{"no_parent": true}).fails(400, "root or sudo privileges required to create orphan token")
			h.do("POST", "auth/token/create", h.sudoer(), m{"no_parent": true}).is(200).has(true, "auth", "orphan")
		}},
		{"tokens §13.16 display names", func(t *testing.T, h *house) {
			for asked, shown := range map[string]string{"": "token", "a/b c": "token-a-b-c", "foo!!": "token-foo-", "foo_bar.baz!": "token-foo-bar-baz", "é": "token-"} {
				if asked == "é" {
					shown = "token" // one odd character, one dash, and that dash is cut
				}
				token := h.create(h.root, m{"policies": "default", "display_name": asked})
				if got := h.ask(token).text("data", "display_name"); got != shown && got != shown+"-" {
					t.Errorf("%q is shown as %q, want %q", asked, got, shown)
				}
			}
		}},
		{"tokens §13.17 one use", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "num_uses": 1})
			h.lookup(token).is(200).has(-1, "data", "num_uses")
			h.dead(token)
		}},
		{"tokens §13.18 denied requests spend uses", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "num_uses": 2})
			h.do("GET", "sys/mounts", token, nil).fails(403, denied)
			h.ask(token).has(1, "data", "num_uses")
			h.do("GET", "sys/mounts", token, nil).fails(403, denied)
			h.dead(token)
		}},
		{"tokens §13.19 a limited token has no children", func(t *testing.T, h *house) {
			h.policy("creator", creator)
			token := h.create(h.root, m{"policies": []string{"creator"}, "num_uses": 5})
			h.do("POST", "auth/token/create", token, m{}).fails(400, "restricted use token cannot generate child tokens")
		}},
		{"tokens §13.20 unknown role", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create/x", h.root, m{}).fails(400, "unknown role x")
		}},
		{"tokens §13.21 orphan role", func(t *testing.T, h *house) {
			parent := h.plain()
			h.role("r", m{"orphan": true})
			child := h.do("POST", "auth/token/create/r", parent, m{}).is(200).has(true, "auth", "orphan").text("auth", "client_token")
			h.do("POST", "auth/token/revoke", h.root, m{"token": parent}).empty()
			h.lives(child)
		}},
		{"tokens §13.22 allowed policies are given when none are asked", func(t *testing.T, h *house) {
			h.role("r", m{"allowed_policies": "a"})
			h.do("POST", "auth/token/create/r", h.plain(), m{}).is(200).has([]string{"a", "default"}, "auth", "policies")
		}},
		{"tokens §13.23 globs give nothing of themselves", func(t *testing.T, h *house) {
			h.role("r", m{"allowed_policies_glob": []string{"a*"}})
			h.do("POST", "auth/token/create/r", h.plain(), m{}).is(200).has([]string{"default"}, "auth", "policies")
			h.do("POST", "auth/token/create/r", h.plain(), m{"policies": []string{"abc"}}).is(200).has([]string{"abc", "default"}, "auth", "policies")
			h.do("POST", "auth/token/create/r", h.plain(), m{"policies": []string{"b"}}).
				fails(400, `token policies (["b" "default"]) must be subset of the role's allowed policies (["default"]) or glob policies (["a*"])`)
		}},
		{"tokens §13.24 default disallowed", func(t *testing.T, h *house) {
			h.role("r", m{"disallowed_policies": "default"})
			h.policy("creator", creator)
			parent := h.create(h.root, m{"policies": []string{"creator"}, "no_default_policy": true})
			h.do("POST", "auth/token/create/r", parent, m{}).is(200).has([]string{"creator"}, "auth", "policies")
		}},
		{"tokens §13.25 the role's period", func(t *testing.T, h *house) {
			h.role("r", m{"token_period": "10m"})
			token := h.do("POST", "auth/token/create/r", h.root, m{"policies": "default"}).is(200).has(600, "auth", "lease_duration").text("auth", "client_token")
			h.lookup(token).lacks("data", "period").has("r", "data", "role").has("auth/token/create/r", "data", "path")
			h.role("r", m{"token_period": "20m"})
			h.do("POST", "auth/token/renew-self", token, m{}).is(200).has(1200, "auth", "lease_duration")
		}},
		{"tokens §13.26 the role is gone", func(t *testing.T, h *house) {
			h.role("r", m{})
			token := h.do("POST", "auth/token/create/r", h.root, m{"policies": "default"}).is(200).text("auth", "client_token")
			h.do("DELETE", "auth/token/roles/r", h.root, nil).empty()
			h.do("POST", "auth/token/renew-self", token, m{}).
				fails(500, wrap1(`failed to renew entry: original token role "r" could not be found, not renewing`))
		}},
		{"tokens §13.27 revocation reaches all below and nobody beside", func(t *testing.T, h *house) {
			parent, sibling := h.plain(), h.plain()
			child := h.create(parent, m{})
			grandchild := h.create(child, m{})
			h.do("POST", "auth/token/revoke", h.root, m{"token": parent}).empty()
			for _, token := range []string{parent, child, grandchild} {
				h.dead(token)
			}
			h.lives(sibling)
		}},
		{"tokens §13.28 revoke-orphan in the middle", func(t *testing.T, h *house) {
			parent := h.plain()
			child := h.create(parent, m{})
			grandchild := h.create(child, m{})
			below := h.create(grandchild, m{})
			h.do("POST", "auth/token/revoke-orphan", h.root, m{"token": child}).empty()
			h.dead(child)
			h.lookup(grandchild).is(200).has(true, "data", "orphan")
			h.lookup(below).is(200).has(false, "data", "orphan")
			h.do("POST", "auth/token/revoke", h.root, m{"token": parent}).empty()
			h.lives(grandchild)
			h.lives(below)
		}},
		{"tokens §13.29 unknown tokens", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/revoke", h.root, m{"token": "nope"}).empty()
			h.do("POST", "auth/token/revoke-accessor", h.root, m{"accessor": "nope"}).is(200).warns("No token found with this accessor").has(nil, "data")
			h.ask("nope").fails(403, "bad token")
		}},
		{"tokens §13.30 accessors show no token", func(t *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(200)
			accessor := m{"accessor": a.text("auth", "accessor")}
			h.do("POST", "auth/token/lookup-accessor", h.root, accessor).is(200).has("", "data", "id")
			h.do("POST", "auth/token/renew-accessor", h.root, accessor).is(200).has("", "auth", "client_token")
		}},
		{"tokens §13.31 renewal repeats the last increment", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "ttl": "1h"})
			h.do("POST", "auth/token/renew-self", token, m{"increment": 5}).is(200).has(5, "auth", "lease_duration")
			h.do("POST", "auth/token/renew-self", token, m{}).is(200).has(5, "auth", "lease_duration")
			h.do("POST", "auth/token/renew-self", token, m{"increment": "0"}).is(200).has(5, "auth", "lease_duration")
		}},
		{"tokens §13.32 what cannot be renewed", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "renewable": false})
			h.do("POST", "auth/token/renew-self", token, m{}).fails(400, "lease is not renewable")
			accessor := h.ask(token).text("data", "accessor")
			h.do("POST", "auth/token/renew-accessor", h.root, m{"accessor": accessor}).fails(400, "lease is not renewable")
			h.do("POST", "auth/token/renew-self", h.root, m{}).fails(400, "invalid lease ID")
			h.do("POST", "auth/token/renew-self", h.create(h.root, m{}), m{}).fails(400, "lease is not renewable")
		}},
		{"tokens §13.33 batch", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"policies": "default", "type": "batch", "num_uses": 1}).fails(400, `batch tokens cannot have "num_uses" set`)
			token := h.create(h.root, m{"policies": "default", "type": "batch", "ttl": "1h"})
			h.lookup(token).is(200).has("", "data", "accessor").has(false, "data", "renewable").has("batch", "data", "type").
				has("2026-03-01T12:00:00.123456789Z", "data", "issue_time").has("2026-03-01T13:00:00.123456789Z", "data", "expire_time")
			h.do("POST", "auth/token/revoke-self", token, nil).fails(400, "batch tokens cannot be revoked")
			h.do("POST", "auth/token/revoke", h.root, m{"token": token}).fails(400, "batch tokens cannot be revoked")
			h.do("POST", "auth/token/renew", h.root, m{"token": token}).fails(400, "batch tokens cannot be renewed")
			h.wall.advance(time.Hour)
			h.dead(token)
		}},
		{"tokens §13.34 a batch child dies with its parent", func(t *testing.T, h *house) {
			parent := h.plain()
			child := h.create(parent, m{"type": "batch"})
			h.do("POST", "auth/token/revoke", h.root, m{"token": parent}).empty()
			h.dead(child)
		}},
		{"tokens §13.35 sudo by the router and by the handler", func(t *testing.T, h *house) {
			token := h.holder("lists", `path "auth/token/accessors" { capabilities = ["list"] } path "auth/token/accessors/" { capabilities = ["list"] }
				path "auth/token/revoke-orphan" { capabilities = ["update"] }`)
			h.do("LIST", "auth/token/accessors", token, nil).fails(403, denied)
			h.do("POST", "auth/token/revoke-orphan", token, m{"token": token}).fails(400, "root or sudo privileges required to revoke and orphan")
		}},
		{"tokens §13.36 custom ids", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"id": "a.b"}).fails(400, "custom token ID cannot have a '.' in the value")
			h.do("POST", "auth/token/create", h.root, m{"id": "hvs.x"}).fails(400, "custom token ID cannot have the 'hvs.' prefix")
			h.do("POST", "auth/token/create", h.root, m{"id": "s.x"}).fails(400, "custom token ID cannot have the 's.' prefix")
			h.do("POST", "auth/token/create", h.root, m{"id": "mine", "ttl": "1h"}).is(200).has("mine", "auth", "client_token").
				warns("Supplying a custom ID for the token uses the weaker SHA1 hashing instead of the more secure SHA2-256 HMAC for token obfuscation. SHA1 hashed tokens on the wire leads to less secure lookups.")
			h.do("POST", "auth/token/create", h.root, m{"id": "mine"}).fails(400, "cannot create a token with a duplicate ID")
			h.do("POST", "auth/token/revoke", h.root, m{"token": "mine"}).empty()
			h.do("POST", "auth/token/create", h.root, m{"id": "mine", "ttl": "1h"}).is(200)
			h.lookup("mine").is(200).has("mine", "data", "id")
			h.do("POST", "auth/token/create", h.plain(), m{"id": "other"}).fails(400, "root or sudo privileges required to specify token id")
		}},
		{"tokens §13.37 bound networks", boundNetworks},
		{"tokens §13.38 metadata becomes text", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "meta": m{"n": 3, "b": true, "s": "x"}})
			h.lookup(token).has(m{"n": "3", "b": "true", "s": "x"}, "data", "meta")
			token = h.create(h.root, m{"policies": "default", "meta": []string{"a=b=c"}})
			h.lookup(token).has(m{"a": "b=c"}, "data", "meta")
		}},
		{"tokens §13.39 fifty at once on ten uses", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "num_uses": 10})
			var won, lost atomic.Int64
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					switch a := h.do("GET", "auth/token/lookup-self", token, nil); a.status {
					case 200:
						won.Add(1)
					case 403:
						lost.Add(1)
					}
				})
			}
			all.Wait()
			if won.Load() != 10 || lost.Load() != 40 {
				t.Fatalf("%d won and %d were refused", won.Load(), lost.Load())
			}
		}},
		{"tokens §13.40 unknown field", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"foo": 1}).is(200).warns("Endpoint ignored these unrecognized parameters: [foo]")
		}},
	})
}

// role writes a token role.
func (h *house) role(name string, body m) {
	h.t.Helper()
	h.do("POST", "auth/token/roles/"+name, h.root, body).empty()
}

func boundNetworks(t *testing.T, h *house) {
	h.policy("creator", creator)
	h.role("bound", m{"token_bound_cidrs": []string{"192.0.2.0/24", "10.1.1.1"}})
	a := h.do("POST", "auth/token/create/bound", h.root, m{"policies": []string{"creator"}}).is(200)
	token := a.text("auth", "client_token")
	h.lookup(token).is(200).has([]string{"192.0.2.0/24", "10.1.1.1"}, "data", "bound_cidrs")
	h.do("GET", "auth/token/lookup-self", token, nil, from("10.1.1.1:1")).is(200)
	h.do("GET", "auth/token/lookup-self", token, nil, from("[::ffff:10.1.1.1]:1")).is(200)
	for _, elsewhere := range []string{"198.51.100.1:1", "10.1.1.2:1", "[::1]:1", "@"} {
		h.do("GET", "auth/token/lookup-self", token, nil, from(elsewhere)).fails(403, "permission denied")
	}
	child := h.create(token, m{})
	h.do("GET", "auth/token/lookup-self", child, nil, from("198.51.100.1:1")).fails(403, "permission denied")
	h.lookup(child).is(200)
	root := h.do("POST", "auth/token/create/bound", h.root, m{"policies": []string{"root"}}).is(200).text("auth", "client_token")
	h.do("GET", "auth/token/lookup-self", root, nil, from("198.51.100.1:1")).is(200).lacks("data", "bound_cidrs")
}

// TestOrderOfChecksCVE202025594CVE202129653 asks for things that break two rules: the earlier rule answers.
// Contract: tokens §4.2.
func TestOrderOfChecksCVE202025594CVE202129653(t *testing.T) {
	h := open(t)
	h.role("forced-batch", m{"token_type": "batch", "orphan": true, "renewable": false})
	plain := h.plain()
	batch := h.create(plain, m{"type": "batch"})
	limited := h.create(h.root, m{"policies": []string{"creator"}, "num_uses": 100})
	for _, c := range []struct {
		name, path, token string
		body              m
		want              string
	}{
		{"1 before 3: unknown role, batch parent", "create/nope", batch, m{}, "unknown role nope"},
		{"1 before 4: unknown role, limited parent", "create/nope", limited, m{}, "unknown role nope"},
		{"3 before 6: batch parent, bad type", "create", batch, m{"type": "x"}, "batch tokens cannot create more tokens"},
		{"4 before 6: limited parent, bad type", "create", limited, m{"type": "x"}, "restricted use token cannot generate child tokens"},
		{"6 before 8: bad type, negative uses", "create", plain, m{"type": "x", "num_uses": -1}, "invalid 'token_type' value"},
		{"7 before 8: batch with negative uses", "create", plain, m{"type": "batch", "num_uses": -1}, `batch tokens cannot have "num_uses" set`},
		{"7: explicit_max_ttl is looked at before num_uses", "create", plain, m{"type": "batch", "explicit_max_ttl": "1h", "num_uses": 1, "period": "1h"}, `batch tokens cannot have "explicit_max_ttl" set`},
		{"7: num_uses is looked at before period", "create", plain, m{"type": "batch", "num_uses": 1, "period": "1h"}, `batch tokens cannot have "num_uses" set`},
		{"7: period", "create", plain, m{"type": "batch", "period": "1h"}, `batch tokens cannot have "period" set`},
		{"7: explicit_max_ttl that is none", "create", plain, m{"type": "batch", "explicit_max_ttl": "x", "num_uses": 1}, "'explicit_max_ttl' value could not be parsed"},
		{"7: period that is none", "create", plain, m{"type": "batch", "period": "x"}, "'period' value could not be parsed"},
		{"7 by the role's type", "create/forced-batch", plain, m{"num_uses": 1}, `batch tokens cannot have "num_uses" set`},
		{"8 before 9: negative uses, alias", "create", plain, m{"num_uses": -1, "entity_alias": "x"}, "number of uses cannot be negative"},
		{"9 before 10: alias, custom id", "create", plain, m{"entity_alias": "x", "id": "x"}, "'entity_alias' is only allowed in combination with token role"},
		{"9 with a role that does not allow it", "create/forced-batch", plain, m{"entity_alias": "x", "id": "x"}, "invalid 'entity_alias' value"},
		{"10 before 11: custom id, foreign policy", "create", plain, m{"id": "x", "policies": []string{"y"}}, "root or sudo privileges required to specify token id"},
		{"11 before 12: foreign policy that is root", "create", plain, m{"policies": []string{"root"}}, "child policies must be subset of parent"},
		{"11 before 13: foreign policy, no_parent", "create", plain, m{"policies": []string{"y"}, "no_parent": true}, "child policies must be subset of parent"},
		{"11: response-wrapping", "create", h.root, m{"policies": []string{"response-wrapping"}, "ttl": "x"}, `cannot assign policy "response-wrapping"`},
		{"12 before 13: batch root, bad ttl", "create", h.root, m{"policies": []string{"root"}, "type": "batch", "ttl": "x"}, "batch tokens cannot be root tokens"},
		{"13 before 14: no_parent, bad ttl", "create", plain, m{"no_parent": true, "ttl": "x"}, "root or sudo privileges required to create orphan token"},
		{"14: negative ttl", "create", plain, m{"ttl": "-1s"}, "ttl must be positive"},
		{"14: negative lease", "create", plain, m{"lease": "-1s"}, "lease must be positive"},
		{"14: negative explicit_max_ttl", "create", plain, m{"explicit_max_ttl": "-1s"}, "explicit_max_ttl must be positive"},
		{"14: negative period", "create", plain, m{"period": "-1s"}, "period must be positive"},
		{"14: period without sudo", "create", plain, m{"period": "1h"}, "root or sudo privileges required to create periodic token"},
		{"14 before 16: negative ttl, malformed id", "create", h.root, m{"ttl": "-1s", "id": "a.b"}, "ttl must be positive"},
		{"15 before 16: expiring root, malformed id", "create", h.create(h.root, m{"ttl": "1h"}), m{"id": "a.b"}, "expiring root tokens cannot create non-expiring root tokens"},
		{"16: malformed id", "create", h.root, m{"id": "a.b"}, "custom token ID cannot have a '.' in the value"},
	} {
		t.Run("tokens §4.2 "+c.name, func(t *testing.T) {
			h.t = t
			h.do("POST", "auth/token/"+c.path, c.token, c.body).fails(400, c.want)
		})
	}
	h.t = t
	t.Run("tokens §4.2-2 the caller's last use", func(t *testing.T) {
		h.t = t
		last := h.create(h.root, m{"policies": []string{"creator"}, "num_uses": 1})
		h.do("POST", "auth/token/create", last, m{}).fails(400, "parent token lookup failed: no parent found")
	})
	h.t = t
}

func TestTokenEndpoints(t *testing.T) {
	rows(t, []row{
		{"tokens §2 lookup with an empty token is the caller's", func(t *testing.T, h *house) {
			h.ask("").is(200).has(h.root, "data", "id")
			h.do("GET", "auth/token/lookup", h.root, nil).is(200).has(h.root, "data", "id")
		}},
		{"tokens §2 default grants read of lookup-self alone", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default"})
			h.lookup(token).is(200)
			h.do("POST", "auth/token/lookup-self", token, m{}).fails(403, denied)
			h.do("POST", "auth/token/create", token, m{}).fails(403, denied)
			h.ask(token).is(200)
		}},
		{"tokens §6 empty and unknown accessors", func(t *testing.T, h *house) {
			for _, path := range []string{"lookup-accessor", "renew-accessor", "revoke-accessor"} {
				h.do("POST", "auth/token/"+path, h.root, m{}).fails(400, wrap1("missing accessor"))
			}
			for _, path := range []string{"lookup-accessor", "renew-accessor"} {
				h.do("POST", "auth/token/"+path, h.root, m{"accessor": "nope"}).fails(400, wrap1("invalid accessor"))
			}
		}},
		{"tokens §6 nothing is shown of a token after its end", func(t *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, m{"policies": "default", "ttl": "10s"}).is(200)
			token, accessor := a.text("auth", "client_token"), a.text("auth", "accessor")
			h.wall.advance(10 * time.Second)
			h.dead(token)
			if b := h.do("POST", "auth/token/lookup-accessor", h.root, m{"accessor": accessor}); b.status != 403 && b.status != 400 {
				t.Fatalf("by accessor: %d %s", b.status, b.body)
			}
			if strings.Contains(h.do("LIST", "auth/token/accessors", h.root, nil).is(200).body, accessor) {
				t.Error("its accessor is listed")
			}
		}},
		{"tokens §6 fields of a renewed token", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "ttl": "1h", "explicit_max_ttl": "2h"})
			h.lookup(token).lacks("data", "last_renewal").lacks("data", "last_renewal_time").lacks("data", "period").lacks("data", "role").
				lacks("data", "bound_cidrs").has(7200, "data", "explicit_max_ttl").has(3600, "data", "creation_ttl").has(false, "data", "orphan")
			h.wall.advance(time.Minute)
			h.do("POST", "auth/token/renew-self", token, nil).is(200)
			h.lookup(token).has("2026-03-01T12:01:00.123456789Z", "data", "last_renewal").has(1772366460, "data", "last_renewal_time").
				has("2026-03-01T12:00:00.123456789Z", "data", "issue_time")
		}},
		{"tokens §6 period of the request is shown", func(t *testing.T, h *house) {
			h.lookup(h.create(h.root, m{"policies": "default", "period": "1h"})).has(3600, "data", "period").has(3600, "data", "ttl")
		}},
		{"tokens §7.1 renew", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/renew", h.root, m{}).fails(400, "missing token ID")
			h.do("POST", "auth/token/renew", h.root, m{"token": "nope"}).fails(400, "token not found")
		}},
		{"tokens §7.3 negative increment", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default"})
			h.do("POST", "auth/token/renew-self", token, m{"increment": -1}).
				fails(400, `Field validation failed: error converting input for field "increment": cannot provide negative value '-1'`)
		}},
		{"tokens §7.4 nothing left", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "ttl": "10s", "explicit_max_ttl": "10s"})
			h.wall.advance(9500 * time.Millisecond)
			h.do("POST", "auth/token/renew-self", token, m{}).fails(500, wrap1("past the max TTL, cannot renew"))
		}},
		{"tokens §7.4 an increment counts from now and may shorten", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "ttl": "1h"})
			h.wall.advance(time.Minute)
			h.do("POST", "auth/token/renew-self", token, m{"increment": "30s"}).is(200).has(30, "auth", "lease_duration")
			h.wall.advance(30 * time.Second)
			h.dead(token)
		}},
		{"tokens §7 renew-self takes the caller whatever the body says", func(t *testing.T, h *house) {
			one, two := h.create(h.root, m{"policies": "default", "ttl": "1h"}), h.create(h.root, m{"policies": "default", "ttl": "1h"})
			h.do("POST", "auth/token/renew-self", one, m{"token": two, "increment": 60}).is(200).has(one, "auth", "client_token")
			h.lookup(two).has(3600, "data", "ttl")
		}},
		{"tokens §8.3 missing ids", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/revoke", h.root, m{}).fails(400, "missing token ID")
			h.do("POST", "auth/token/revoke-orphan", h.root, m{}).fails(400, "missing token ID")
			h.do("POST", "auth/token/revoke-orphan", h.root, m{"token": "nope"}).fails(400, "token to revoke not found")
		}},
		{"tokens §8.1 revoke-accessor and revoke-self", func(t *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(200)
			h.do("POST", "auth/token/revoke-accessor", h.root, m{"accessor": a.text("auth", "accessor")}).empty()
			h.dead(a.text("auth", "client_token"))
			token := h.create(h.root, m{"policies": "default"})
			h.do("POST", "auth/token/revoke-self", token, nil).empty()
			h.dead(token)
		}},
		{"tokens §9.4 revoke-self on the last use", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "num_uses": 1})
			h.do("POST", "auth/token/revoke-self", token, nil).empty()
			h.dead(token)
		}},
		{"tokens §3 open paths spend nothing", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "num_uses": 2})
			h.do("GET", "sys/health", token, nil).is(200)
			h.do("GET", "sys/seal-status", token, nil).is(200)
			h.do("GET", "sys/wrapping/lookup", token, nil).is(400)
			h.do("GET", "sys/internal/ui/mounts", token, nil).is(200)
			h.ask(token).has(2, "data", "num_uses")
		}},
		{"tokens §3 what is no path or no verb spends a use too", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default", "num_uses": 3})
			h.do("GET", "nope", token, nil).fails(403, denied)
			h.do("DELETE", "sys/seal-status-not", token, nil).fails(403, denied)
			h.ask(token).has(1, "data", "num_uses")
		}},
		{"tokens §12 tidy answers", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/tidy", h.root, nil).is(202).
				warns("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.").has(nil, "data")
		}},
		{"tokens §12 accessors", func(t *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(200)
			batch := h.create(h.root, m{"policies": "default", "type": "batch"})
			list := h.do("LIST", "auth/token/accessors", h.root, nil).is(200)
			if keys, ok := list.at("data", "keys").([]any); !ok || len(keys) != 2 || !strings.Contains(list.body, a.text("auth", "accessor")) {
				t.Fatalf("accessors: %s (batch %v)", list.body, batch != "")
			}
		}},
		{"tokens §4.4 root with only an explicit maximum", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"explicit_max_ttl": "2h"}).is(200).has(7200, "auth", "lease_duration")
		}},
		{"tokens §4.4 root among others is root alone", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"policies": []string{"a", "ROOT"}}).is(200).has([]string{"root"}, "auth", "policies")
		}},
		{"tokens §5.8 the lesser of the role's and the request's", func(t *testing.T, h *house) {
			h.role("r", m{"token_explicit_max_ttl": 60, "token_period": 60})
			h.do("POST", "auth/token/create/r", h.root, m{"policies": "default", "explicit_max_ttl": "90s", "period": "90s"}).is(200).
				warns("Explicit max TTL specified both during creation call and in role; using the lesser value of 60 seconds",
					"Period specified both during creation call and in role; using the lesser value of 60 seconds")
		}},
		{"tokens §10 batch tokens have no children", func(t *testing.T, h *house) {
			batch := h.create(h.plain(), m{"type": "batch"})
			h.do("POST", "auth/token/create", batch, m{}).fails(400, "batch tokens cannot create more tokens")
		}},
		{"tokens §11 roles", roleRows},
		{"observed, policies: names that have two readings", func(t *testing.T, h *house) {
			for _, name := range []string{"./root", "root/../root", "../root", "a//b", "roo\u200bt", "a%2fb"} {
				h.do("POST", "auth/token/create", h.root, m{"policies": []string{name}}).is(400)
				h.do("POST", "auth/token/roles/r", h.root, m{"allowed_policies": []string{name}})
				if a := h.do("POST", "auth/token/create/r", h.root, m{}); a.status == 200 && strings.Contains(a.body, name) {
					t.Errorf("policy %q was given through a role", name)
				}
			}
		}},
		{"tokens §5.9 durations", func(t *testing.T, h *house) {
			for text, seconds := range map[string]int{"90": 90, "90s": 90, "1h30m": 5400, "2d": 172800, "1500ms": 1, "500ms": 1} {
				h.do("POST", "auth/token/create", h.root, m{"policies": "default", "ttl": text}).is(200).has(seconds, "auth", "lease_duration")
			}
			h.do("POST", "auth/token/create", h.root, m{"policies": "default", "ttl": 90}).is(200).has(90, "auth", "lease_duration")
			for _, bad := range []string{"x", "1x", "d", "1.5d", "99999999999999999999", "9223372036854775807", "1e3h"} {
				if a := h.do("POST", "auth/token/create", h.root, m{"policies": "default", "ttl": bad}).is(400); len(bad) > 2 && strings.Contains(a.body, bad) {
					t.Errorf("%q is echoed: %s", bad, a.body)
				}
			}
		}},
		{"CVE-2021-32923: no life of nothing is a life without end", func(t *testing.T, h *house) {
			for i, body := range []m{{"ttl": "1ms"}, {"ttl": "1s", "explicit_max_ttl": "1s"}, {"period": "1ms"}, {"explicit_max_ttl": "1ms"}} {
				body["policies"] = "default"
				token := h.create(h.root, body)
				if h.ask(token).is(200).at("data", "expire_time") == nil {
					t.Errorf("row %d lives for ever", i)
				}
				h.wall.advance(2 * time.Second)
				h.dead(token)
			}
		}},
	})
}

func roleRows(t *testing.T, h *house) {
	h.do("LIST", "auth/token/roles", h.root, nil).fails(404)
	h.do("GET", "auth/token/roles/nomad", h.root, nil).fails(404)
	h.do("DELETE", "auth/token/roles/nomad", h.root, nil).empty()
	h.role("nomad", m{"allowed_policies": "Dev"})
	like(t, h.do("GET", "auth/token/roles/nomad", h.root, nil), `{"request_id":"UUID","lease_id":"","renewable":false,"lease_duration":0,"data":{"allowed_entity_aliases":null,"allowed_policies":["dev"],"allowed_policies_glob":[],"disallowed_policies":[],"disallowed_policies_glob":[],"explicit_max_ttl":0,"name":"nomad","orphan":false,"path_suffix":"","period":0,"renewable":true,"token_explicit_max_ttl":0,"token_no_default_policy":false,"token_period":0,"token_type":"default-service"},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"token"}`)
	h.role("alpha", m{})
	h.do("LIST", "auth/token/roles", h.root, nil).is(200).has([]string{"alpha", "nomad"}, "data", "keys")
	for _, c := range []struct {
		body m
		want string
	}{
		{m{"path_suffix": "a"}, `given role path suffix contains invalid characters; must match \w[\w-.]+\w`},
		{m{"path_suffix": "abc..d"}, "error registering path suffix: path cannot contain parent references"},
		{m{"token_num_uses": -1}, "error parsing role fields: 'token_num_uses' cannot be negative"},
		{m{"token_type": "x"}, `invalid 'token_type' value "x"`},
		{m{"token_type": nil}, "Invalid 'token_type' value: null"},
		{m{"token_type": "batch", "renewable": false}, "'token_type' cannot be 'batch' when role is set to generate non-orphan tokens"},
		{m{"token_type": "batch", "orphan": true, "renewable": false, "token_period": 1}, "'token_type' cannot be 'batch' when role is set to generate periodic tokens"},
		{m{"token_type": "batch", "orphan": true}, "'token_type' cannot be 'batch' when role is set to generate renewable tokens"},
		{m{"token_type": "batch", "orphan": true, "renewable": false, "token_explicit_max_ttl": 1}, "'token_type' cannot be 'batch' when role is set to generate tokens with an explicit max TTL"},
	} {
		h.do("POST", "auth/token/roles/bad", h.root, c.body).fails(400, c.want)
	}
	h.do("POST", "auth/token/roles/bad", h.root, m{"token_bound_cidrs": "300.1.2.3/8"}).failsLike(400, "error parsing role fields: ")
	h.do("GET", "auth/token/roles/bad", h.root, nil).fails(404)
	for _, name := range []string{"period", "explicit_max_ttl", "bound_cidrs"} {
		value, other := "10.0.0.1", "10.0.0.2"
		if name != "bound_cidrs" {
			value, other = "60", "70"
		}
		h.do("POST", "auth/token/roles/r", h.root, m{"token_" + name: value, name: other}).is(200).
			warns(fmt.Sprintf("Both 'token_%s' and deprecated '%s' value supplied, ignoring the deprecated value", name, name))
	}
	h.role("old", m{"period": "60"})
	h.do("GET", "auth/token/roles/old", h.root, nil).has(60, "data", "period").has(60, "data", "token_period")
	h.role("new", m{"token_period": "60"})
	h.do("GET", "auth/token/roles/new", h.root, nil).has(0, "data", "period").has(60, "data", "token_period")
	// Only what is named changes.
	h.role("new", m{"renewable": false})
	h.do("GET", "auth/token/roles/new", h.root, nil).has(60, "data", "token_period").has(false, "data", "renewable")
	// create and update are told apart.
	token := h.holder("roles", `path "auth/token/roles/*" { capabilities = ["create"] }`)
	h.do("POST", "auth/token/roles/fresh", token, m{}).empty()
	h.do("POST", "auth/token/roles/fresh", token, m{}).fails(403, denied)
	h.do("POST", "auth/token/roles/big", h.root, m{"token_explicit_max_ttl": "10000h"}).is(200)
}

// TestRefusedRequestsChangeNothing holds that bad input leaves nothing half done: no token, no
// role, no policy.
func TestRefusedRequestsChangeNothing(t *testing.T) {
	h := open(t)
	count := func() int {
		keys, ok := h.do("LIST", "auth/token/accessors", h.root, nil).is(200).at("data", "keys").([]any)
		if !ok {
			t.Fatal("no list")
		}
		return len(keys)
	}
	before := count()
	for _, body := range []any{
		m{"id": "a.b"}, m{"id": strings.Repeat("x", 600)}, m{"id": "a b"}, m{"policies": []string{"response-wrapping"}}, m{"ttl": "-1"}, m{"num_uses": -1},
		m{"policies": []any{m{}}}, m{"meta": 3}, m{"meta": m{"a": m{}}}, m{"type": "x"}, m{"num_uses": 1e300}, m{"num_uses": "1.5"}, m{"period": "x"},
		m{"renewable": "maybe"}, m{"no_parent": m{}}, m{"display_name": []any{1, 2}}, m{"id": "\x00"}, m{"policies": []string{"\x00"}}, `{"policies":["\ud800"]`,
	} {
		h.do("POST", "auth/token/create", h.root, body).is(400)
		h.do("POST", "auth/token/create-orphan", h.root, body).is(400)
		h.do("POST", "auth/token/create", h.root, body, wrapped("60")).is(400)
	}
	if after := count(); after != before {
		t.Fatalf("%d tokens before, %d after", before, after)
	}
}
