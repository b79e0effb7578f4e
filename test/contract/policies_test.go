package contract_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// kv is a server with version 1 of kv at kv/ and at foo/.
func (h *house) kv(names ...string) {
	h.t.Helper()
	h.mount("kv")
	for _, name := range names {
		h.do("PUT", "kv/"+name, h.root, m{"k": "v"}).empty()
	}
}

// TestPolicyPriority is the table of policies §3: the winner allows update, the loser read.
func TestPolicyPriority(t *testing.T) {
	h := open(t)
	h.mount("foo")
	for i, c := range []struct{ loser, winner, path string }{
		{"+/*", "*", "foo/bar/bar/baz"},
		{"+/*", "foo/+/*", "foo/bar/bar/baz"},
		{"foo/+/+/*", "foo/+/bar/baz", "foo/bar/bar/baz"},
		{"foo/+/+/baz", "foo/+/bar/baz", "foo/bar/bar/baz"},
		{"foo/+/(ar/baz", "foo/(ar/+/baz", "foo/(ar/(ar/baz"},
		{"foo/bar/+/baz*", "foo/bar/+/baz", "foo/bar/bar/baz"},
		{"foo/bar/+/b*", "foo/bar/+/ba*", "foo/bar/bar/baz"},
	} {
		t.Run("policies §13.1 "+c.loser+" loses against "+c.winner, func(t *testing.T) {
			h.t = t
			for _, both := range []string{
				`path "` + c.loser + `" { capabilities = ["read"] } path "` + c.winner + `" { capabilities = ["create","update"] }`,
				`path "` + c.winner + `" { capabilities = ["create","update"] } path "` + c.loser + `" { capabilities = ["read"] }`,
			} {
				token := h.holder("prio", both)
				h.do("PUT", c.path, token, m{"n": i}).empty()
				h.do("GET", c.path, token, nil).fails(403, denied)
			}
			// In two policies it is the same.
			h.policy("lose", `path "`+c.loser+`" { capabilities = ["read"] }`)
			h.policy("win", `path "`+c.winner+`" { capabilities = ["create","update"] }`)
			token := h.create(h.root, m{"policies": []string{"lose", "win"}})
			h.do("PUT", c.path, token, m{"n": i}).empty()
			h.do("GET", c.path, token, nil).fails(403, denied)
		})
	}
	h.t = t
}

func TestPolicyEdgeCases(t *testing.T) {
	rows(t, []row{
		{"policies §13.2 deny of one path", func(t *testing.T, h *house) {
			h.kv("x", "y", "x/z")
			token := h.holder("p", `path "kv/*" { capabilities = ["create","read","update","delete","list"] } path "kv/x" { capabilities = ["deny"] }`)
			h.do("GET", "kv/y", token, nil).is(200)
			for _, verb := range []string{"GET", "PUT", "DELETE", "LIST"} {
				h.do(verb, "kv/x", token, nil).fails(403, denied)
			}
			h.do("GET", "kv/x?list=true", token, nil).fails(403, denied)
		}},
		{"policies §13.3 deny and read of the same pattern", func(t *testing.T, h *house) {
			h.kv("x")
			h.policy("deny", `path "kv/x" { capabilities = ["deny"] }`)
			h.policy("read", `path "kv/x" { capabilities = ["read"] }`)
			h.do("GET", "kv/x", h.create(h.root, m{"policies": []string{"deny", "read"}}), nil).fails(403, denied)
			h.do("GET", "kv/x", h.create(h.root, m{"policies": []string{"read"}}), nil).is(200)
		}},
		{"policies §13.4 the more specific wins over a deny", func(t *testing.T, h *house) {
			h.kv("a", "b")
			token := h.holder("p", `path "kv/*" { capabilities = ["deny"] } path "kv/a" { capabilities = ["read"] }`)
			h.do("GET", "kv/a", token, nil).is(200)
			h.do("GET", "kv/b", token, nil).fails(403, denied)
		}},
		{"policies §13.5 a list with and without its slash", func(t *testing.T, h *house) {
			h.kv("foo/a")
			for _, pattern := range []string{"kv/foo", "kv/foo/"} {
				token := h.holder("p", `path "`+pattern+`" { capabilities = ["list"] }`)
				h.do("LIST", "kv/foo", token, nil).is(200)
				h.do("LIST", "kv/foo/", token, nil).is(200)
				h.do("GET", "kv/foo?list=true", token, nil).is(200)
			}
		}},
		{"policies §13.6 create and update", func(t *testing.T, h *house) {
			h.kv()
			token := h.holder("c", `path "kv/*" { capabilities = ["create"] }`)
			h.do("POST", "kv/new", token, m{"k": "v"}).empty()
			h.do("POST", "kv/new", token, m{"k": "v"}).fails(403, denied)
			token = h.holder("u", `path "kv/*" { capabilities = ["update"] }`)
			h.do("POST", "kv/new", token, m{"k": "w"}).empty()
			h.do("POST", "kv/other", token, m{"k": "w"}).fails(403, denied)
		}},
		{"policies §13.7 no existence check is update", func(t *testing.T, h *house) {
			token := h.holder("p", `path "auth/token/create" { capabilities = ["create"] }`)
			h.do("POST", "auth/token/create", token, m{}).fails(403, denied)
		}},
		{"policies §13.8 PATCH needs patch", func(t *testing.T, h *house) {
			h.do("POST", "secret/data/a", h.root, m{"data": m{"k": "v"}}).is(200)
			merge := header("Content-Type", "application/merge-patch+json")
			token := h.holder("u", `path "secret/data/*" { capabilities = ["create", "update"] }`)
			h.do("PATCH", "secret/data/a", token, m{"data": m{"k": "w"}}, merge).fails(403, denied)
			token = h.holder("p", `path "secret/data/*" { capabilities = ["patch"] }`)
			h.do("PATCH", "secret/data/a", token, m{"data": m{"k": "w"}}, merge).is(200)
		}},
		{"policies §13.9 list and sudo of accessors", func(t *testing.T, h *house) {
			for text, ok := range map[string]bool{`["list"]`: false, `["sudo"]`: false, `["list","sudo"]`: true, `["read","sudo"]`: false} {
				token := h.holder("p", `path "auth/token/accessors/" { capabilities = `+text+` }`)
				a := h.do("LIST", "auth/token/accessors", token, nil)
				if ok {
					a.is(200)
				} else {
					a.fails(403, denied)
				}
			}
		}},
		{"policies §13.10 allowed_parameters and no body", func(t *testing.T, h *house) {
			token := h.holder("p", `path "auth/token/create" { capabilities = ["update"] allowed_parameters = { "ttl" = [] } }`)
			h.do("POST", "auth/token/create", token, nil).is(200)
			h.do("POST", "auth/token/create", token, m{"ttl": "1m"}).is(200)
			h.do("POST", "auth/token/create", token, m{"ttl": "1m", "meta": m{"a": "b"}}).fails(403, denied)
		}},
		{"policies §13.11 denied *", func(t *testing.T, h *house) {
			token := h.holder("p", `path "auth/token/create" { capabilities = ["update"] denied_parameters = { "*" = [] } }`)
			h.do("POST", "auth/token/create", token, m{"ttl": "1m"}).fails(403, denied)
			h.do("POST", "auth/token/create", token, nil).is(200)
		}},
		{"policies §13.12 globs of values", func(t *testing.T, h *house) {
			token := h.holder("p", `path "auth/token/create" { capabilities = ["update"] allowed_parameters = { "display_name" = ["ab*", "*yz", "*mid*", "*"] } }`)
			for name, ok := range map[string]bool{"abc": true, "xyz": true, "amidst": true, "*": true, "q": false, "": false} {
				a := h.do("POST", "auth/token/create", token, m{"display_name": name})
				if ok {
					a.is(200)
				} else {
					a.fails(403, denied)
				}
			}
		}},
		{"policies §13.13 required parameters in any case", func(t *testing.T, h *house) {
			token := h.holder("p", `path "auth/token/create" { capabilities = ["update"] required_parameters = ["TTL"] }`)
			h.do("POST", "auth/token/create", token, m{"ttl": "1m"}).is(200)
			h.do("POST", "auth/token/create", token, m{"Ttl": "1m"}).is(200)
			h.do("POST", "auth/token/create", token, m{}).fails(403, denied)
			h.do("POST", "auth/token/create", token, nil).fails(403, denied)
		}},
		{"policies §13.14 wildcards that are none", func(t *testing.T, h *house) {
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": `path "foo/+*" { capabilities = ["read"] }`}).
				failsLike(400, `invalid use of wildcards ('+*' is forbidden)`)
			h.mount("foo")
			h.do("PUT", "foo/+bar", h.root, m{"k": "v"}).empty()
			h.do("PUT", "foo/xbar", h.root, m{"k": "v"}).empty()
			token := h.holder("p", `path "foo/+bar" { capabilities = ["read"] }`)
			h.do("GET", "foo/+bar", token, nil).is(200)
			h.do("GET", "foo/xbar", token, nil).fails(403, denied)
		}},
		{"policies §13.15 a template without an entity", func(t *testing.T, h *house) {
			h.kv("a", "id/x")
			token := h.holder("p", `path "kv/{{identity.entity.id}}/*" { capabilities = ["read"] } path "kv/a" { capabilities = ["read"] }`)
			h.do("GET", "kv/a", token, nil).is(200)
			h.do("GET", "kv/id/x", token, nil).fails(403, denied)
			h.do("GET", "kv//x", token, nil).is(400)
		}},
		{"policies §13.16 unbalanced template", func(t *testing.T, h *house) {
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": `path "kv/{{identity.entity.id" { capabilities = ["read"] }`}).
				failsLike(400, "failed to validate policy templating: unbalanced templating characters")
		}},
		{"policies §13.17 languages and unknown keys", func(t *testing.T, h *house) {
			h.kv("a")
			json := `{"path":{"kv/*":{"capabilities":["read"]}}}`
			hcl := `path "kv/*" { capabilities = ["read"] }`
			for _, text := range []string{json, hcl, base64.StdEncoding.EncodeToString([]byte(hcl)), base64.StdEncoding.EncodeToString([]byte(json))} {
				h.do("GET", "kv/a", h.holder("p", text), nil).is(200)
			}
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": "\nfoo \"a\" {}"}).
				fails(400, "failed to parse policy: 1 error occurred:\n\t* invalid key \"foo\" on line 2\n\n")
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": "path \"a\" {\n nope = 1\n}"}).failsLike(400, `invalid key "nope" on line 2`)
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": `path "a" { capabilities = ["nope"] }`}).failsLike(400, `failed to parse policy: path "a": invalid capability "nope"`)
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": `{"path":{`}).failsLike(400, "failed to parse policy")
			h.do("GET", "sys/policies/acl/p", h.root, nil).is(200).has(json, "data", "policy")
		}},
		{"policies §13.18 names", func(t *testing.T, h *house) {
			h.do("PUT", "sys/policies/acl/DEV", h.root, m{"policy": `path "a" { capabilities = ["read"] }`}).is(200).warns("policy name was converted to dev")
			h.do("GET", "sys/policies/acl/dev", h.root, nil).is(200).has("dev", "data", "name")
			h.do("GET", "sys/policies/acl/Dev", h.root, nil).is(200).has("dev", "data", "name")
			h.do("PUT", "sys/policies/acl/team/a", h.root, m{"policy": `path "a" { capabilities = ["read"] }`}).empty()
			h.do("GET", "sys/policies/acl/team/a", h.root, nil).is(200)
			h.do("DELETE", "sys/policies/acl/DEV", h.root, nil).empty()
			h.do("GET", "sys/policies/acl/dev", h.root, nil).fails(404)
		}},
		{"CVE-2026-89322: no other form of a name leads past a deny", func(t *testing.T, h *house) {
			h.policy("prod", `path "a" { capabilities = ["read"] }`)
			for _, base := range []string{"sys/policies/acl/", "sys/policy/"} {
				token := h.holder("editor", `path "`+base+`*" { capabilities = ["create", "read", "update", "delete"] }
path "`+base+`prod" { capabilities = ["deny"] }`)
				h.do("GET", base+"default", token, nil).is(200)
				for _, form := range []string{"prod", "PROD", "Prod", "%20prod", "prod%20", "pro%44"} {
					for _, method := range []string{"GET", "PUT", "DELETE"} {
						if a := h.do(method, base+form, token, m{"policy": `path "b" { capabilities = ["read"] }`}); a.status != 403 && a.status != 400 {
							t.Errorf("%s %s%s: %d", method, base, form, a.status)
						}
					}
				}
			}
			h.do("GET", "sys/policies/acl/prod", h.root, nil).is(200).has(`path "a" { capabilities = ["read"] }`, "data", "policy")
		}},
		{"policies §13.19 built-in policies", func(t *testing.T, h *house) {
			for _, base := range []string{"sys/policies/acl/", "sys/policy/"} {
				h.do("PUT", base+"root", h.root, m{"policy": "#"}).fails(400, `cannot update "root" policy`)
				h.do("DELETE", base+"root", h.root, nil).fails(400, `cannot delete "root" policy`)
				h.do("PUT", base+"response-wrapping", h.root, m{"policy": "#"}).fails(400, `cannot update "response-wrapping" policy`)
				h.do("DELETE", base+"response-wrapping", h.root, nil).fails(400, `cannot delete "response-wrapping" policy`)
				h.do("DELETE", base+"default", h.root, nil).fails(400, "cannot delete default policy")
				h.do("DELETE", base+"Default", h.root, nil).fails(400, "cannot delete default policy")
			}
			h.do("GET", "sys/policies/acl/root", h.root, nil).is(200).has("", "data", "policy")
		}},
		{"policies §13.20 a change is in force at once", func(t *testing.T, h *house) {
			h.kv("a", "b")
			token := h.holder("p", `path "kv/a" { capabilities = ["read"] }`)
			h.do("GET", "kv/a", token, nil).is(200)
			h.policy("p", `path "kv/b" { capabilities = ["read"] }`)
			h.do("GET", "kv/a", token, nil).fails(403, denied)
			h.do("GET", "kv/b", token, nil).is(200)
			h.do("DELETE", "sys/policies/acl/p", h.root, nil).empty()
			h.do("GET", "kv/b", token, nil).fails(403, denied)
			h.ask(token).has([]string{"p"}, "data", "policies")
			h.policy("p", `path "kv/b" { capabilities = ["read"] }`)
			h.do("GET", "kv/b", token, nil).is(200)
		}},
		{"policies §13.21 capabilities of nothing and of root", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default"})
			h.do("POST", "sys/capabilities-self", token, m{"paths": "nope"}).is(200).has([]string{"deny"}, "capabilities")
			h.do("POST", "sys/capabilities-self", h.root, m{"path": "nope"}).is(200).has([]string{"root"}, "data", "nope")
		}},
		{"policies §13.22 capabilities of two paths", func(t *testing.T, h *house) {
			token := h.holder("p", `path "a" { capabilities = ["read","delete"] } path "sys/capabilities-self" { capabilities = ["update"] }`)
			h.do("POST", "sys/capabilities-self", token, m{"paths": []string{"a", "b"}}).is(200).lacks("capabilities").
				has([]string{"delete", "read"}, "a").has([]string{"deny"}, "data", "b")
			h.do("POST", "sys/capabilities-self", token, m{"paths": "a,b"}).is(200).has([]string{"delete", "read"}, "data", "a")
		}},
		{"policies §13.23 the list", func(t *testing.T, h *house) {
			h.policy("dev", `path "a" { capabilities = ["read"] }`)
			h.do("LIST", "sys/policies/acl", h.root, nil).is(200).has([]string{"default", "dev", "root"}, "data", "keys")
			h.do("GET", "sys/policies/acl?list=true", h.root, nil).is(200).has([]string{"default", "dev", "root"}, "data", "keys")
			for _, a := range []*answer{h.do("GET", "sys/policy", h.root, nil), h.do("LIST", "sys/policy", h.root, nil)} {
				a.is(200)
				for _, at := range [][]string{{"keys"}, {"policies"}, {"data", "keys"}, {"data", "policies"}} {
					a.has([]string{"default", "dev", "root"}, at...)
				}
			}
		}},
		{"policies §13.24 help on a forbidden path", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default"})
			h.do("GET", "sys/mounts", token, nil).fails(403, denied)
			h.do("GET", "sys/mounts?help=1", token, nil).is(200)
			h.do("GET", "sys/audit?help=1", token, nil).is(200)
			h.do("GET", "sys/mounts?help=1", "", nil).fails(403, "permission denied")
		}},
	})
}

func TestPolicies(t *testing.T) {
	rows(t, []row{
		{"policies §5 sudo alone grants nothing", func(t *testing.T, h *house) {
			token := h.holder("p", `path "sys/audit" { capabilities = ["sudo"] }`)
			h.do("GET", "sys/audit", token, nil).fails(403, denied)
			h.do("GET", "sys/audit", h.holder("p", `path "sys/audit" { capabilities = ["read"] }`), nil).fails(403, denied)
			h.do("GET", "sys/audit", h.holder("p", `path "sys/audit" { capabilities = ["read", "sudo"] }`), nil).is(200)
		}},
		{"policies §5, sys §0.7 which paths need sudo", func(t *testing.T, h *house) {
			all := `["create","read","update","delete","list","patch"]`
			token := h.holder("p", `path "*" { capabilities = `+all+` }`)
			for _, c := range []struct{ verb, path string }{
				{"LIST", "auth/token/accessors"}, {"GET", "sys/auth/token"}, {"POST", "sys/auth/x"}, {"DELETE", "sys/auth/x"}, {"GET", "sys/auth/token/tune"},
				{"POST", "sys/remount"}, {"GET", "sys/audit"}, {"PUT", "sys/audit/x"}, {"DELETE", "sys/audit/x"}, {"PUT", "sys/rotate"},
				{"GET", "sys/config/auditing/request-headers"}, {"PUT", "sys/config/auditing/request-headers/x"},
				{"PUT", "sys/revoke-prefix/x"}, {"PUT", "sys/revoke-force/x"}, {"PUT", "sys/leases/revoke-prefix/x"}, {"PUT", "sys/leases/revoke-force/x"},
				{"PUT", "sys/seal"}, {"PUT", "sys/step-down"},
			} {
				h.do(c.verb, c.path, token, nil).fails(403, denied)
			}
			for _, path := range []string{"sys/auth", "sys/mounts", "sys/mounts/secret", "sys/mounts/secret/tune", "sys/policies/acl/default", "sys/key-status"} {
				h.do("GET", path, token, nil).is(200)
			}
			h.do("POST", "sys/mounts/mine", token, m{"type": "kv"}).empty()
			h.do("POST", "sys/leases/lookup", token, m{"lease_id": "nope"}).fails(400, "invalid lease")
		}},
		{"policies §3.8 a narrower rule takes rights away", func(t *testing.T, h *house) {
			h.kv("a/b")
			h.policy("wide", `path "kv/*" { capabilities = ["read","delete"] }`)
			h.policy("narrow", `path "kv/a/*" { capabilities = ["list"] }`)
			token := h.create(h.root, m{"policies": []string{"wide", "narrow"}})
			h.do("GET", "kv/a/b", token, nil).fails(403, denied)
		}},
		{"policies §6.4 a listed name stays bound beside *", func(t *testing.T, h *house) {
			token := h.holder("p", `path "auth/token/create" { capabilities = ["update"] allowed_parameters = { "ttl" = ["1m"] "*" = [] } }`)
			h.do("POST", "auth/token/create", token, m{"ttl": "1m", "display_name": "x"}).is(200)
			h.do("POST", "auth/token/create", token, m{"ttl": "2m"}).fails(403, denied)
			h.do("POST", "auth/token/create", token, `{"ttl":"1m","TTL":"2m"}`).fails(403, denied)
			h.do("POST", "auth/token/create", token, `{"ttl":"2m","ttl":"1m"}`).is(200).has(60, "auth", "lease_duration")
		}},
		{"policies §7 a maximum below the minimum", func(t *testing.T, h *house) {
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": `path "a" { capabilities = ["read"] min_wrapping_ttl = 10 max_wrapping_ttl = 5 }`}).
				failsLike(400, "max_wrapping_ttl cannot be less than min_wrapping_ttl")
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": `path "a" { capabilities = ["read"] min_wrapping_ttl = "x" }`}).failsLike(400, "error parsing min_wrapping_ttl")
		}},
		{"policies §9 what default grants", func(t *testing.T, h *house) {
			token := h.create(h.root, m{"policies": "default"})
			h.lookup(token).is(200)
			h.do("POST", "auth/token/renew-self", token, nil).is(200)
			h.do("POST", "sys/capabilities-self", token, m{"paths": "a"}).is(200)
			h.do("PUT", "cubbyhole/a", token, m{"k": "v"}).empty()
			h.do("LIST", "cubbyhole", token, nil).is(200)
			h.do("POST", "sys/wrapping/wrap", token, m{}, wrapped("60")).is(200)
			h.do("POST", "sys/leases/lookup", token, m{"lease_id": "nope"}).fails(400, "invalid lease")
			h.do("POST", "sys/leases/renew", token, m{"lease_id": "nope"}).fails(400, "lease not found")
			h.do("PUT", "sys/renew", token, m{"lease_id": "nope"}).fails(400, "lease not found")
			for path, verb := range map[string]string{"auth/token/create": "POST", "auth/token/lookup": "POST", "sys/policies/acl": "LIST", "sys/mounts": "GET"} {
				h.do(verb, path, token, nil).fails(403, denied)
			}
			h.do("POST", "sys/wrapping/rewrap", token, m{"token": h.wrap("60", m{}).text("wrap_info", "token")}).fails(403, denied)
			h.do("POST", "auth/token/revoke-self", token, nil).empty()
		}},
		{"policies §10 rules is the old name", func(t *testing.T, h *house) {
			h.do("PUT", "sys/policy/dev", h.root, m{"rules": `path "a" { capabilities = ["read"] }`}).is(200).warns("'rules' is deprecated, please use 'policy' instead")
			h.do("PUT", "sys/policy/dev", h.root, m{"policy": `path "a" { capabilities = ["read"] }`}).empty()
			h.do("GET", "sys/policy/nope", h.root, nil).fails(404)
			h.do("GET", "sys/policies/acl/nope", h.root, nil).fails(404)
			h.do("DELETE", "sys/policies/acl/nope", h.root, nil).empty()
		}},
		{"observed, clients 8: policies/acl/NAME is name and policy alone", func(t *testing.T, h *house) {
			h.policy("dev", `path "a" { capabilities = ["read"] }`)
			h.do("GET", "sys/policies/acl/dev", h.root, nil).is(200).has(m{"name": "dev", "policy": `path "a" { capabilities = ["read"] }`}, "data")
		}},
		{"policies §11 capabilities of others", func(t *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(200)
			token, accessor := a.text("auth", "client_token"), a.text("auth", "accessor")
			h.do("POST", "sys/capabilities", h.root, m{"paths": "a"}).fails(500, wrap1("no token found"))
			h.do("POST", "sys/capabilities", h.root, m{"paths": "a", "token": "nope"}).fails(400, wrap1("invalid token"))
			h.do("POST", "sys/capabilities", h.root, m{"paths": "cubbyhole/a", "token": token}).is(200).
				has([]string{"create", "delete", "list", "read", "update"}, "capabilities")
			h.do("POST", "sys/capabilities-accessor", h.root, m{"paths": "a"}).fails(400, "missing accessor")
			h.do("POST", "sys/capabilities-accessor", h.root, m{"paths": "a", "accessor": "nope"}).fails(400, wrap1("invalid accessor"))
			h.do("POST", "sys/capabilities-accessor", h.root, m{"paths": "auth/token/lookup-self", "accessor": accessor}).is(200).has([]string{"read"}, "capabilities")
			h.do("POST", "sys/capabilities-self", h.root, m{}).fails(400, "paths must be supplied")
			h.do("POST", "sys/capabilities-self", h.root, m{"paths": []string{}}).fails(400, "paths must be supplied")
			h.do("POST", "sys/capabilities-self", h.root, m{"paths": []string{""}}).fails(400, wrap1("missing path"))
		}},
		{"observed, policies §11: the fallback holds for + patterns", func(t *testing.T, h *house) {
			token := h.holder("p", `path "foo/+" { capabilities = ["list"] } path "sys/capabilities-self" { capabilities = ["update"] }`)
			h.do("POST", "sys/capabilities-self", token, m{"paths": "foo/a/"}).is(200).has([]string{"list"}, "capabilities")
		}},
		{"CVE-2026-89322 a deny of the form as written holds too", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
			token := h.holder("p", `path "auth/userpass/users/*" { capabilities = ["read"] } path "auth/userpass/users/BOB" { capabilities = ["deny"] }`)
			h.do("GET", "auth/userpass/users/BOB", token, nil).fails(403, denied)
			h.do("GET", "auth/userpass/users/bob", token, nil).is(200)
			h.do("GET", "auth/userpass/users/Bob", token, nil).is(200)
		}},
		{"CVE-2026-89322 a deny holds for names that differ in case", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
			token := h.holder("p", `path "auth/userpass/users/*" { capabilities = ["read","update","create"] } path "auth/userpass/users/bob" { capabilities = ["deny"] }`)
			for _, name := range []string{"bob", "BOB", "Bob"} {
				h.do("GET", "auth/userpass/users/"+name, token, nil).fails(403, denied)
				h.do("POST", "auth/userpass/users/"+name+"/password", h.holder("q", `path "auth/userpass/users/*" { capabilities = ["update"] } path "auth/userpass/users/bob/*" { capabilities = ["deny"] }`), m{"password": "x"}).fails(403, denied)
			}
		}},
	})
}

func TestLeaseEdgeCases(t *testing.T) {
	rows(t, []row{
		{"leases §7.1 unknown lease", func(t *testing.T, h *house) {
			h.do("POST", "sys/leases/lookup", h.root, m{"lease_id": "nope"}).fails(400, "invalid lease")
			h.do("POST", "sys/leases/lookup", h.root, m{}).fails(400, "lease_id must be specified")
		}},
		{"leases §7.2 renew unknown", func(t *testing.T, h *house) {
			h.do("POST", "sys/leases/renew", h.root, m{"lease_id": "nope"}).fails(400, "lease not found")
			h.do("POST", "sys/leases/renew", h.root, m{}).fails(400, "lease_id must be specified")
			h.do("POST", "sys/leases/renew/nope/x", h.root, m{}).fails(400, "lease not found")
		}},
		{"leases §7.3 a token's lease is not renewed here", func(t *testing.T, h *house) {
			_, lease := h.tokenLease("auth/token/create/")
			h.do("POST", "sys/leases/renew", h.root, m{"lease_id": lease}).fails(400, "tokens cannot be renewed through this endpoint")
			h.do("POST", "sys/leases/lookup", h.root, m{"lease_id": lease}).is(200).has(lease, "data", "id").has(nil, "data", "last_renewal").
				has("2026-03-01T12:00:00.123456789Z", "data", "issue_time").has(3600, "data", "ttl").has(true, "data", "renewable")
		}},
		{"leases §7.4 revoke unknown", func(t *testing.T, h *house) {
			h.do("POST", "sys/leases/revoke", h.root, m{"lease_id": "nope"}).empty()
			if a := h.do("POST", "sys/leases/revoke", h.root, m{"lease_id": "nope", "sync": false}).is(202); a.body != "" || a.header.Get("Content-Type") != "application/json" {
				t.Fatalf("202 with body %q and type %q", a.body, a.header.Get("Content-Type"))
			}
			h.do("POST", "sys/leases/revoke", h.root, m{}).fails(400, "lease_id must be specified")
		}},
		{"leases §7.5 without sync the work is done on return", func(t *testing.T, h *house) {
			token, lease := h.tokenLease("auth/token/create/")
			h.do("POST", "sys/leases/revoke", h.root, m{"lease_id": lease}).empty()
			h.dead(token)
			h.do("POST", "sys/leases/lookup", h.root, m{"lease_id": lease}).fails(400, "invalid lease")
		}},
		{"leases §7.6 revoke-prefix needs sudo", func(t *testing.T, h *house) {
			token := h.holder("p", `path "sys/leases/revoke-prefix/*" { capabilities = ["update"] } path "sys/revoke-prefix/*" { capabilities = ["update"] }`)
			h.do("POST", "sys/leases/revoke-prefix/auth/token", token, nil).fails(403, denied)
			h.do("POST", "sys/revoke-prefix/auth/token", token, nil).fails(403, denied)
		}},
		{"leases §7.7 a prefix ends at a slash", func(t *testing.T, h *house) {
			child := h.create(h.root, m{"policies": "default"})
			orphan := h.do("POST", "auth/token/create-orphan", h.root, m{"policies": "default"}).is(200).text("auth", "client_token")
			h.do("POST", "sys/leases/revoke-prefix/auth/token/create", h.root, nil).empty()
			h.dead(child)
			h.lives(orphan)
		}},
		{"leases §7.8 revoke-prefix of a login path", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
			token := h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}).is(200).text("auth", "client_token")
			h.do("PUT", "sys/revoke-prefix/auth/userpass", h.root, nil).empty()
			h.dead(token)
		}},
		{"leases §7.9 LIST lookup", func(t *testing.T, h *house) {
			h.do("LIST", "sys/leases/lookup/auth/token/create", h.root, nil).fails(404)
			_, lease := h.tokenLease("auth/token/create/")
			a := h.do("LIST", "sys/leases/lookup/auth/token/create", h.root, nil).is(200)
			a.has([]string{strings.TrimPrefix(lease, "auth/token/create/")}, "data", "keys")
			h.do("LIST", "sys/leases/lookup/auth/token/create/", h.root, nil).is(200)
		}},
		{"leases §7.13 a revoked token's lease", func(t *testing.T, h *house) {
			token, lease := h.tokenLease("auth/token/create/")
			h.do("POST", "auth/token/revoke", h.root, m{"token": token}).empty()
			h.do("POST", "sys/leases/lookup", h.root, m{"lease_id": lease}).fails(400, "invalid lease")
		}},
		{"leases §7.15 cubbyholes are private and die with their token", func(t *testing.T, h *house) {
			one := h.do("POST", "auth/token/create", h.root, m{"policies": "default", "id": "mine"}).is(200).text("auth", "client_token")
			two := h.create(h.root, m{"policies": "default"})
			h.do("PUT", "cubbyhole/a", one, m{"k": "v"}).empty()
			h.do("GET", "cubbyhole/a", two, nil).fails(404)
			h.do("GET", "cubbyhole/a", h.root, nil).fails(404)
			h.do("GET", "cubbyhole/a", one, nil).is(200).has("v", "data", "k").has("", "lease_id").has(0, "lease_duration")
			h.do("POST", "auth/token/revoke", h.root, m{"token": one}).empty()
			h.do("POST", "auth/token/create", h.root, m{"policies": "default", "id": "mine"}).is(200)
			h.do("GET", "cubbyhole/a", one, nil).fails(404)
			h.do("LIST", "cubbyhole", one, nil).fails(404)
		}},
		{"leases §7.16 batch tokens have no cubbyhole", func(t *testing.T, h *house) {
			batch := h.create(h.root, m{"policies": "default", "type": "batch"})
			for _, verb := range []string{"GET", "PUT", "DELETE", "LIST"} {
				h.do(verb, "cubbyhole/a", batch, m{"k": "v"}).fails(400, "cubbyhole operations are only supported by 'service' type tokens")
			}
		}},
		{"leases §7.17 time goes on while sealed", func(t *testing.T, h *house) {
			short, long := h.create(h.root, m{"policies": "default", "ttl": "1m"}), h.create(h.root, m{"policies": "default", "ttl": "1h"})
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.wall.advance(2 * time.Minute)
			h.reopen()
			h.dead(short)
			h.lookup(long).is(200).has(3480, "data", "ttl")
		}},
		{"leases §7.19 count without type", func(t *testing.T, h *house) {
			h.do("GET", "sys/leases/count", h.root, nil).fails(404)
		}},
		{"leases §7.20 the old paths", func(t *testing.T, h *house) {
			token, lease := h.tokenLease("auth/token/create/")
			h.do("PUT", "sys/renew", h.root, m{"lease_id": lease}).fails(400, "tokens cannot be renewed through this endpoint")
			h.do("PUT", "sys/renew/"+lease, h.root, nil).fails(400, "tokens cannot be renewed through this endpoint")
			h.do("PUT", "sys/revoke/"+lease, h.root, nil).empty()
			h.dead(token)
		}},
		{"leases §7.21 a read of kv version 1", func(t *testing.T, h *house) {
			h.kv("a")
			h.do("GET", "kv/a", h.root, nil).is(200).has(2764800, "lease_duration").has("", "lease_id").has(false, "renewable")
			h.do("POST", "secret/data/a", h.root, m{"data": m{"k": "v"}}).is(200)
			h.do("GET", "secret/data/a", h.root, nil).is(200).has(0, "lease_duration")
		}},
		{"leases §7.22 the body's lease wins over the path's", func(t *testing.T, h *house) {
			one, first := h.tokenLease("auth/token/create/")
			two, second := h.tokenLease("auth/token/create/")
			h.do("PUT", "sys/leases/revoke/"+first, h.root, m{"lease_id": second}).is(204)
			h.lives(one)
			h.dead(two)
		}},
		{"leases §3.5 a prefix that nothing is under", func(t *testing.T, h *house) {
			h.do("POST", "sys/leases/revoke-prefix/nothing", h.root, nil).empty()
			h.do("POST", "sys/leases/revoke-force/nothing", h.root, nil).empty()
			h.do("POST", "sys/leases/revoke-prefix", h.root, nil).fails(404, wrap1("unsupported path"))
		}},
		{"leases §3.6 tidy", func(t *testing.T, h *house) {
			h.do("POST", "sys/leases/tidy", h.root, nil).is(202).
				warns("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.")
		}},
		{"leases §6.6 the root of the cubbyhole", func(t *testing.T, h *house) {
			h.do("GET", "cubbyhole/", h.root, nil).fails(404)
			h.do("GET", "cubbyhole", h.root, nil).fails(404)
			h.do("PUT", "cubbyhole/", h.root, m{"k": "v"}).fails(400, "cannot write to a path ending in '/'")
			h.do("DELETE", "cubbyhole/nope", h.root, nil).empty()
		}},
	})
}

// tokenLease makes a token and finds the id of its lease: the last part is a keyed hash, which
// the listing of leases shows.
func (h *house) tokenLease(path string) (token, lease string) {
	h.t.Helper()
	before := h.do("LIST", "sys/leases/lookup/"+path, h.root, nil).body
	token = h.create(h.root, m{"policies": "default", "ttl": "1h"})
	keys, ok := h.do("LIST", "sys/leases/lookup/"+path, h.root, nil).is(200).at("data", "keys").([]any)
	if !ok {
		h.t.Fatal("no list of leases")
	}
	for _, k := range keys {
		if name, ok := k.(string); ok && !strings.Contains(before, name) {
			lease = path + name
		}
	}
	if lease == "" {
		h.t.Fatalf("no new lease in %v", keys)
	}
	return token, lease
}
