package contract_test

import (
	"strings"
	"testing"
)

func TestMounts(t *testing.T) {
	rows(t, []row{
		{"sys §7 GET sys/mounts", func(t *testing.T, h *house) {
			a := h.do("GET", "sys/mounts", h.root, nil).is(200)
			for path, kind := range map[string]string{"sys/": "system", "cubbyhole/": "cubbyhole", "secret/": "kv"} {
				a.has(kind, path, "type").has(kind, "data", path, "type")
				if accessor := a.text("data", path, "accessor"); !strings.HasPrefix(accessor, kind+"_") || len(accessor) != len(kind)+9 {
					t.Errorf("accessor %q", accessor)
				}
			}
			a.has(true, "data", "cubbyhole/", "local").has("per-token private secret storage", "data", "cubbyhole/", "description").
				has(m{"version": "2"}, "data", "secret/", "options").has("supported", "data", "secret/", "deprecation_status").
				has(0, "data", "secret/", "config", "default_lease_ttl").has(false, "data", "secret/", "config", "force_no_cache")
			for _, name := range []string{"uuid", "plugin_version", "running_plugin_version", "running_sha256", "description", "seal_wrap", "external_entropy_access"} {
				if _, ok := member(a.object(), "data", "secret/").(m)[name]; !ok {
					t.Errorf("%s is not there", name)
				}
			}
		}},
		{"sys §7 GET one mount", func(t *testing.T, h *house) {
			h.do("GET", "sys/mounts/secret", h.root, nil).is(200).has("kv", "type").has("kv", "data", "type")
			h.do("GET", "sys/mounts/foo", h.root, nil).fails(400, "No secret engine mount at foo/")
		}},
		{"sys §7 POST errors", func(t *testing.T, h *house) {
			for _, c := range []struct {
				path string
				body m
				want string
			}{
				{"x", m{}, "backend type must be specified as a string"},
				{"x", m{"type": "nope"}, "plugin not found in the catalog: nope"},
				{"x", m{"type": "plugin"}, "plugin_name must be provided for plugin backend"},
				{"x", m{"type": "cubbyhole"}, `mount type of "cubbyhole" is not mountable`},
				{"x", m{"type": "system"}, `mount type of "system" is not mountable`},
				{"sys/foo", m{"type": "kv"}, `cannot mount "sys/foo/"`},
				{"auth/foo", m{"type": "kv"}, `cannot mount "auth/foo/"`},
				{"cubbyhole", m{"type": "kv"}, `cannot mount "cubbyhole/"`},
				{"identity/x", m{"type": "kv"}, `cannot mount "identity/x/"`},
				{"secret", m{"type": "kv"}, "path is already in use at secret/"},
				{"secret/below", m{"type": "kv"}, "path is already in use at secret/"},
				{"x", m{"type": "kv", "config": m{"default_lease_ttl": "2h", "max_lease_ttl": "1h"}}, "given default lease TTL greater than given max lease TTL"},
				{"x", m{"type": "kv", "config": m{"default_lease_ttl": "10000h"}}, "given default lease TTL greater than system max lease TTL of 2764800"},
			} {
				h.do("POST", "sys/mounts/"+c.path, h.root, c.body).fails(400, c.want)
			}
			h.do("POST", "sys/mounts/x", h.root, m{"type": "kv", "config": m{"listing_visibility": "some"}}).failsLike(400, "invalid listing_visibility")
			h.do("POST", "sys/mounts/x", h.root, m{"type": "kv", "config": m{"default_lease_ttl": "nope"}}).failsLike(400, "unable to parse default TTL")
			h.do("GET", "sys/mounts/x", h.root, nil).is(400)
		}},
		{"sys §7 nested paths", func(t *testing.T, h *house) {
			h.do("POST", "sys/mounts/team/a/kv", h.root, m{"type": "kv"}).empty()
			h.do("POST", "sys/mounts/team/a", h.root, m{"type": "kv"}).fails(400, "path is already in use at team/a/kv/")
			h.do("PUT", "team/a/kv/x", h.root, m{"k": "v"}).empty()
			h.do("GET", "team/a/kv/x", h.root, nil).is(200)
			h.do("POST", "sys/mounts/a", h.root, m{"type": "kv"}).empty()
			h.do("POST", "sys/mounts/a/b", h.root, m{"type": "kv"}).fails(400, "path is already in use at a/")
		}},
		{"sys §7 types of kv", func(t *testing.T, h *house) {
			h.do("POST", "sys/mounts/v1", h.root, m{"type": "kv-v1"}).empty()
			h.do("POST", "sys/mounts/v2", h.root, m{"type": "kv-v2"}).empty()
			h.do("POST", "sys/mounts/n", h.root, m{"type": "kv", "options": m{"version": 1}}).empty()
			h.do("POST", "sys/mounts/g", h.root, m{"type": "generic"}).empty()
			a := h.do("GET", "sys/mounts", h.root, nil).is(200).has(m{"version": "1"}, "data", "v1/", "options").has(m{"version": "2"}, "data", "v2/", "options").
				has(m{"version": "1"}, "data", "n/", "options").has("generic", "data", "g/", "type")
			if !strings.HasPrefix(a.text("data", "g/", "accessor"), "generic_") {
				t.Error("accessor of generic")
			}
		}},
		{"sys §7 tests", func(t *testing.T, h *house) {
			h.do("POST", "sys/mounts/k", h.root, m{"type": "kv", "config": m{"default_lease_ttl": "3600s"}}).empty()
			h.do("GET", "sys/mounts/k/tune", h.root, nil).is(200).has(3600, "data", "default_lease_ttl").has(2764800, "data", "max_lease_ttl")
			h.do("GET", "sys/mounts", h.root, nil).has(3600, "data", "k/", "config", "default_lease_ttl")
			h.do("GET", "sys/mounts/secret/tune", h.root, nil).is(200).has(2764800, "data", "default_lease_ttl").has(2764800, "max_lease_ttl")
			h.do("POST", "sys/mounts/secret/tune", h.root, m{}).empty()
			h.do("DELETE", "sys/mounts/nothing", h.root, nil).empty()
		}},
		{"sys §7 DELETE", func(t *testing.T, h *house) {
			for _, path := range []string{"sys/", "cubbyhole/", "identity/"} {
				h.do("DELETE", "sys/mounts/"+strings.TrimSuffix(path, "/"), h.root, nil).fails(400, `cannot unmount "`+path+`"`)
			}
			h.mount("kv1")
			h.do("PUT", "kv1/a", h.root, m{"k": "v"}).empty()
			h.do("DELETE", "sys/mounts/kv1/inside", h.root, nil).empty()
			h.do("GET", "kv1/a", h.root, nil).is(200)
			h.do("DELETE", "sys/mounts/kv1", h.root, nil).empty()
			h.do("GET", "kv1/a", h.root, nil).fails(404, `no handler for route "kv1/a". route entry not found.`)
			h.mount("kv1")
			h.do("GET", "kv1/a", h.root, nil).fails(404)
		}},
		{"sys §7 tune", func(t *testing.T, h *house) {
			h.mount("k")
			h.do("POST", "sys/mounts/k/tune", h.root, m{"default_lease_ttl": "120", "max_lease_ttl": "60"}).
				fails(400, "backend max lease TTL of 60 would be less than backend default lease TTL of 120")
			h.do("POST", "sys/mounts/k/tune", h.root, m{"description": "d", "token_type": "batch"}).fails(400, "'token_type' can only be modified on auth mounts")
			h.do("GET", "sys/mounts/k/tune", h.root, nil).is(200).has("", "data", "description").has(2764800, "data", "max_lease_ttl")
			h.do("POST", "sys/mounts/k/tune", h.root, m{"default_lease_ttl": 60, "max_lease_ttl": "2m", "description": "d", "audit_non_hmac_request_keys": "a,b"}).empty()
			h.do("GET", "sys/mounts/k/tune", h.root, nil).is(200).has(60, "data", "default_lease_ttl").has(120, "data", "max_lease_ttl").
				has("d", "data", "description").has([]string{"a", "b"}, "data", "audit_non_hmac_request_keys")
			h.do("POST", "sys/mounts/k/tune", h.root, m{"default_lease_ttl": "system", "max_lease_ttl": "system"}).empty()
			h.do("GET", "sys/mounts/k/tune", h.root, nil).is(200).has(2764800, "data", "default_lease_ttl")
			h.do("POST", "sys/mounts/nope/tune", h.root, m{"description": "d"}).fails(400, `tune of path "nope/" failed: no mount entry found`)
			h.do("GET", "sys/mounts/nope/tune", h.root, nil).fails(400, `cannot fetch sysview for path "nope/"`)
			h.do("POST", "sys/mounts/sys/tune", h.root, m{"description": "d"}).failsLike(400, "cannot tune")
			h.do("POST", "sys/mounts/sys/tune", h.root, m{"audit_non_hmac_request_keys": "a"}).empty()
			h.do("POST", "sys/mounts/secret/tune", h.root, m{"options": m{"version": 1}}).fails(400, "cannot downgrade mount from version 2")
			h.do("POST", "sys/mounts/k/tune", h.root, m{"options": m{"version": 3}}).failsLike(400, "invalid version provided")
			h.do("PUT", "k/a", h.root, m{"k": "v"}).empty()
			if a := h.do("POST", "sys/mounts/k/tune", h.root, m{"options": m{"version": 2}}).is(200); len(listed(t, a, "warnings")) != 1 {
				t.Error("no warning of the upgrade")
			}
			h.do("GET", "k/data/a", h.root, nil).is(200).has("v", "data", "data", "k")
		}},
		{"sys §8 auth methods", func(t *testing.T, h *house) {
			a := h.do("GET", "sys/auth", h.root, nil).is(200).has("token", "token/", "type").has("default-service", "data", "token/", "config", "token_type").
				has("token based credentials", "data", "token/", "description")
			if !strings.HasPrefix(a.text("data", "token/", "accessor"), "auth_token_") {
				t.Error("accessor of token/")
			}
			h.do("POST", "sys/auth/t2", h.root, m{"type": "token"}).fails(400, "token credential backend cannot be instantiated")
			h.do("POST", "sys/auth/token", h.root, m{"type": "userpass"}).fails(400, "path is already in use at token/")
			h.do("POST", "sys/auth/gh", h.root, m{"type": "github"}).fails(400, "plugin not found in the catalog: github")
			h.do("POST", "sys/auth/kv", h.root, m{"type": "kv"}).fails(400, "plugin not found in the catalog: kv")
			h.do("POST", "sys/auth/up", h.root, m{"type": "userpass", "options": m{"version": "1"}}).fails(400, `auth method "userpass" does not allow setting a version`)
			h.do("DELETE", "sys/auth/token", h.root, nil).fails(400, "token credential backend cannot be disabled")
			h.do("DELETE", "sys/auth/nothing", h.root, nil).empty()
			h.do("GET", "sys/auth/foo", h.root, nil).fails(400, "No auth engine at foo/")
			h.do("POST", "sys/auth/kv", h.root, m{"type": "userpass"}).empty()
			h.mount("kv")
			h.do("GET", "sys/auth/kv", h.root, nil).is(200).has("userpass", "data", "type")
			h.do("POST", "sys/auth/kv/tune", h.root, m{"default_lease_ttl": 12345, "token_type": "batch"}).empty()
			h.do("GET", "sys/auth/kv/tune", h.root, nil).is(200).has(12345, "data", "default_lease_ttl").has("batch", "data", "token_type")
			h.do("GET", "sys/mounts/auth/kv/tune", h.root, nil).is(200).has(12345, "data", "default_lease_ttl")
			h.do("POST", "sys/auth/token/tune", h.root, m{"token_type": "batch"}).fails(400, "'token_type' cannot be set for 'token' or 'ns_token' auth mounts")
			h.do("POST", "sys/auth/kv/tune", h.root, m{"token_type": "x"}).failsLike(400, "invalid value for 'token_type'")
			h.do("POST", "sys/auth/token/tune", h.root, m{"user_lockout_config": m{"lockout_threshold": 3}}).
				fails(400, `tuning of user lockout configuration for auth type "token" not allowed`)
		}},
		{"sys §9 remount", func(t *testing.T, h *house) {
			h.mount("one")
			h.do("PUT", "one/a", h.root, m{"k": "v"}).empty()
			before := h.do("GET", "sys/mounts/one", h.root, nil).text("data", "accessor")
			a := h.do("POST", "sys/remount", h.root, m{"from": "one", "to": "two"}).is(200)
			if len(listed(t, a, "warnings")) != 1 || a.text("migration_id") != a.text("data", "migration_id") {
				t.Errorf("answer %s", a.body)
			}
			h.do("GET", "two/a", h.root, nil).is(200).has("v", "data", "k")
			h.do("GET", "one/a", h.root, nil).is(404)
			h.do("GET", "sys/mounts/two", h.root, nil).has(before, "data", "accessor")
			h.do("GET", "sys/remount/status/"+a.text("migration_id"), h.root, nil).is(200).has("success", "data", "migration_info", "status").
				has("one/", "data", "migration_info", "source_mount").has("two/", "data", "migration_info", "target_mount")
			h.do("GET", "sys/remount/status/nope", h.root, nil).fails(404)
			for _, c := range []struct{ from, to, want string }{
				{"", "x", "both 'from' and 'to' path must be specified as a string"},
				{"sys", "x", `cannot remount "sys/"`},
				{"nope", "x", `no matching mount at "nope/"`},
				{"two", "secret", `path already in use at "secret/"`},
				{"auth/token", "auth/x", `cannot remount "auth/token/"`},
			} {
				h.do("POST", "sys/remount", h.root, m{"from": c.from, "to": c.to}).fails(400, c.want)
			}
			h.do("POST", "sys/remount", h.root, m{"from": " two", "to": "x"}).failsLike(400, "whitespace")
			h.do("POST", "sys/remount", h.root, m{"from": "two", "to": "sys/x"}).failsLike(400, "cannot remount to destination")
			h.do("POST", "sys/remount", h.root, m{"from": "two", "to": "x//y"}).is(400)
			h.do("POST", "sys/remount", h.root, m{"from": "two", "to": "x\u200by"}).is(400)
			h.do("GET", "two/a", h.root, nil).is(200)
		}},
		{"sys §9 a login method moves", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/up", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/up/users/bob", h.root, m{"password": "correct horse"}).empty()
			token := h.do("POST", "auth/up/login/bob", "", m{"password": "correct horse"}).is(200).text("auth", "client_token")
			h.do("POST", "sys/remount", h.root, m{"from": "auth/up", "to": "kv"}).fails(400, `cannot remount auth mount to non-auth mount "kv/"`)
			h.do("POST", "sys/remount", h.root, m{"from": "auth/up", "to": "auth/down"}).is(200)
			h.dead(token)
			h.do("POST", "auth/down/login/bob", "", m{"password": "correct horse"}).is(200)
		}},
		{"sys tests (tail) 1 and 2: the preflight of kv", func(t *testing.T, h *house) {
			token := h.holder("p", `path "secret/data/app/*" { capabilities = ["read"] }`)
			h.do("GET", "sys/internal/ui/mounts/secret/data/app/x", token, nil).is(200).has("secret/", "data", "path").has("kv", "data", "type").
				has(m{"version": "2"}, "data", "options")
			h.do("GET", "sys/internal/ui/mounts/nope", h.root, nil).
				fails(403, `preflight capability check returned 403, please ensure client's policies grant access to path "nope/"`)
			h.do("GET", "sys/internal/ui/mounts/cubbyhole", token, nil).is(403)
			h.do("GET", "sys/internal/ui/mounts/secret", "", nil).is(403)
		}},
		{"CVE-2020-7220: a batch token is as dead as its login method, whoever is asked", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/up", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/up/users/bob", h.root, m{"password": "correct horse", "token_type": "batch"}).empty()
			token := h.do("POST", "auth/up/login/bob", "", m{"password": "correct horse"}).is(200).text("auth", "client_token")
			h.do("GET", "sys/internal/ui/resultant-acl", token, nil).is(200)
			h.do("POST", "auth/token/lookup", h.root, m{"token": token}).is(200)
			h.do("DELETE", "sys/auth/up", h.root, nil).empty()
			for _, path := range []string{"auth/token/lookup-self", "sys/internal/ui/resultant-acl", "sys/internal/ui/mounts"} {
				h.do("GET", path, token, nil).is(403)
			}
			h.do("POST", "auth/token/lookup", h.root, m{"token": token}).is(403)
			h.do("POST", "sys/capabilities", h.root, m{"token": token, "path": "a"}).is(400)
		}},
		{"sys §0.7 no way round the sudo of sys/auth", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/up", h.root, m{"type": "userpass"}).empty()
			token := h.holder("p", `path "sys/mounts/*" { capabilities = ["create","read","update","delete"] }`)
			h.do("DELETE", "sys/mounts/auth/up", token, nil).fails(400, `cannot unmount "auth/up/"`)
			h.do("DELETE", "sys/mounts/auth/token", token, nil).fails(400, `cannot unmount "auth/token/"`)
			h.do("POST", "sys/mounts/auth/new", token, m{"type": "userpass"}).fails(400, `cannot mount "auth/new/"`)
			h.do("POST", "sys/mounts/auth", token, m{"type": "kv"}).fails(400, `cannot mount "auth/"`)
			// GetAuth of the official Go client reads here; the list of sys/auth needs no sudo either.
			h.do("GET", "sys/mounts/auth/up", token, nil).is(200).has("userpass", "data", "type")
			h.do("DELETE", "sys/auth/up", token, nil).fails(403, denied)
			h.do("GET", "sys/auth/up", h.root, nil).is(200)
		}},
		{"sys §9 paths that no request could name", func(t *testing.T, h *house) {
			h.mount("one")
			for _, to := range []string{"a/../sys", "..", "../x", ".", "./x", "a/.", "a//b", "x\u0000", "\u202ex"} {
				h.do("POST", "sys/remount", h.root, m{"from": "one", "to": to}).is(400)
			}
			h.do("GET", "sys/mounts/one", h.root, nil).is(200)
		}},
		{"paths of mounts have one reading", func(t *testing.T, h *house) {
			for _, path := range []string{"x%2F..%2Fsys", "a%20", "x%00", "a%2F%2Fb", "%E2%80%8Bsecret"} {
				if a := h.do("POST", "sys/mounts/"+path, h.root, m{"type": "kv"}); a.status != 400 && a.status != 204 {
					t.Errorf("%s: %d", path, a.status)
				}
			}
		}},
	})
}
