package contract_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

// Contract: sys §1, its tests.
func TestInitLines(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	for _, body := range []any{m{}, nil} {
		h.do("PUT", "sys/init", "", body).fails(400, "invalid seal configuration: shares must be at least one")
	}
	h.do("PUT", "sys/init", "", m{"secret_shares": 5, "secret_threshold": 1}).fails(400, "invalid seal configuration: threshold must be greater than one for multiple shares")
	h.do("DELETE", "sys/init", "", nil).fails(405)
	for _, share := range h.initialised(5, 3) {
		if len(share) != 66 {
			t.Errorf("a share of %d digits", len(share))
		}
	}
	h.do("POST", "sys/init", "", m{"secret_shares": 5, "secret_threshold": 3}).fails(400, "Vault is already initialized")
	// What is wrong in the request is said first.
	h.do("POST", "sys/init", "", m{"secret_shares": 5, "secret_threshold": 1}).fails(400, "invalid seal configuration: threshold must be greater than one for multiple shares")
	h.do("DELETE", "sys/init", "", nil).fails(405)
	h.do("GET", "sys/init", "", nil).is(200).has(true, "initialized")
}

// Contract: sys §3, its tests, in their order.
func TestUnsealLines(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	keys := h.initialised(5, 3)
	h.key(keys[0]).is(200).has(1, "progress")
	first := h.key(keys[1]).is(200).has(2, "progress").text("nonce")
	h.do("PUT", "sys/unseal", "", m{"reset": true}).is(200).has(0, "progress").has("", "nonce")
	h.key(keys[1]).is(200).has(1, "progress")
	second := h.key(keys[2]).is(200).has(2, "progress").text("nonce")
	if first == "" || second == "" || first == second {
		t.Errorf("the nonces are %q and, after a reset, %q", first, second)
	}
	// The same share again, in either form, changes nothing.
	h.key(keys[2]).is(200).has(2, "progress").has(second, "nonce")
	h.key(inBase64(t, keys[2])).is(200).has(2, "progress").has(second, "nonce")
	h.do("POST", "sys/unseal", "", `{"KEY":"`+keys[0]+`"}`).is(200).has(false, "sealed").has(0, "progress").has("", "nonce")
}

// Contract: sys, tests (tail) 10: base64 that can be read as hex too is told apart by its length.
func TestShareThatReadsAsHexToo(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	h.initialised(1, 1)
	// 24 digits are 12 bytes as hex, which no share has, and 18 bytes in base64, which one could have.
	text := strings.Repeat("ab12", 6)
	if _, err := hex.DecodeString(text); err != nil {
		t.Fatal(err)
	}
	if b, err := base64.StdEncoding.DecodeString(text); err != nil || len(b) != 18 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	h.key(text).failsLike(400, "invalid key")
	// 32 digits are 16 bytes as hex: hex it is, and too short for nothing.
	h.key(strings.Repeat("ab12", 8)).failsLike(400, "invalid key")
	// 20 digits are 10 bytes as hex and 15 in base64: too short either way.
	h.key(strings.Repeat("ab12", 5)).fails(400, "key is shorter than minimum 16 bytes")
}

// Contract: sys §5, its tests.
func TestHealthLines(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	health := func(verb, query string) *answer { return h.do(verb, "sys/health"+query, "junk", nil) }
	health("GET", "").is(501).has(false, "initialized").has(true, "sealed")
	health("GET", "?sealedcode=200").is(501)
	keys := h.initialised(1, 1)
	health("GET", "?uninitcode=200").is(503).lacks("errors").has(true, "sealed")
	if a := health("HEAD", "").is(503); a.body != "" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD of a sealed server: %q, %q", a.header.Get("Content-Type"), a.body)
	}
	health("GET", "?sealedcode=200").is(200).has(true, "sealed")
	health("GET", "?sealedcode=abc").fails(400)
	// Go's client.
	health("GET", "?uninitcode=299&sealedcode=299&standbycode=299&drsecondarycode=299&performancestandbycode=299").is(299).has(true, "sealed")
	h.key(keys[0]).is(200)
	health("GET", "?standbyok=true").is(200).has(false, "standby")
	health("HEAD", "?activecode=299").is(299)
}

// Contract: sys §7 to §20, lines that no other table names.
func TestSystemLines(t *testing.T) {
	rows(t, []row{
		{"sys §0 test 1 sys/ itself at both levels", func(_ *testing.T, h *house) {
			h.do("GET", "sys/mounts", h.root, nil).is(200).has("system", "sys/", "type").has("system", "data", "sys/", "type")
		}},
		{"sys §0 test 3 an unknown field of a mount", func(_ *testing.T, h *house) {
			// Decision 0006: 200 with the warning instead of a bare 204.
			h.do("POST", "sys/mounts/x", h.root, m{"type": "kv", "nope": 1}).is(200).warns("Endpoint ignored these unrecognized parameters: [nope]")
		}},
		{"sys §0.5 a captured name in the body", func(_ *testing.T, h *house) {
			h.do("POST", "auth/token/roles/r", h.root, m{"role_name": "other", "orphan": true}).is(200).
				warns("Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [role_name]")
			h.do("GET", "auth/token/roles/other", h.root, nil).fails(404)
			h.do("GET", "auth/token/roles/r", h.root, nil).is(200)
		}},
		{"sys §0.3 other verbs", func(_ *testing.T, h *house) {
			h.do("HEAD", "auth/token/lookup-self", h.root, nil).is(405)
			h.do("TRACE", "auth/token/lookup-self", h.root, nil).fails(405)
			h.do("BREW", "auth/token/lookup-self", h.root, nil).fails(405)
		}},
		{"sys §0.3 URLs outside of the API", func(_ *testing.T, h *house) {
			h.do("GET", "/nope", h.root, nil).fails(404)
			h.do("GET", "/v2/sys/health", h.root, nil).fails(404)
		}},
		{"sys §7 GET one mount that is not there", func(_ *testing.T, h *house) {
			h.do("GET", "sys/mounts/foo", h.root, nil).fails(400, "No secret engine mount at foo/")
		}},
		{"sys §7 tests: numbers as options", func(_ *testing.T, h *house) {
			h.do("POST", "sys/mounts/n", h.root, m{"type": "kv", "options": m{"version": 1}}).empty()
			h.do("GET", "sys/mounts/n", h.root, nil).is(200).has(m{"version": "1"}, "data", "options")
		}},
		{"sys §8 what the API can enable and what not", func(_ *testing.T, h *house) {
			h.do("POST", "sys/auth/gh", h.root, m{"type": "github"}).fails(400, "plugin not found in the catalog: github")
			h.do("POST", "sys/auth/tok", h.root, m{"type": "token"}).fails(400, "token credential backend cannot be instantiated")
			h.do("GET", "sys/auth/foo", h.root, nil).fails(400, "No auth engine at foo/")
			h.do("DELETE", "sys/auth/token", h.root, nil).fails(400, "token credential backend cannot be disabled")
			h.do("DELETE", "sys/auth/nothing", h.root, nil).empty()
			h.do("POST", "sys/auth/kv", h.root, m{"type": "userpass"}).empty()
			h.mount("kv")
		}},
		{"sys §10 audit devices", func(_ *testing.T, h *house) {
			h.do("GET", "sys/audit", h.root, nil).is(200).has(m{}, "data")
			h.do("PUT", "sys/audit/x", h.root, m{"type": "carrier-pigeon"}).fails(400, `unknown backend type: "carrier-pigeon"`)
			h.devices()
			h.do("GET", "sys/audit", h.root, nil).is(200).has("recorder", "data", "rec/", "type").has("rec/", "rec/", "path").has(false, "data", "rec/", "local")
			h.do("PUT", "sys/audit/rec", h.root, m{"type": "recorder"}).fails(400, "path already in use")
			h.do("PUT", "sys/audit/rec/in", h.root, m{"type": "recorder"}).fails(400, "path already in use")
			h.do("POST", "sys/audit-hash/rec", h.root, m{"input": ""}).fails(400, `the "input" parameter is empty`)
			h.do("POST", "sys/audit-hash/foo", h.root, m{"input": "x"}).fails(400, `unknown audit backend "foo/"`)
			h.do("DELETE", "sys/audit/absent", h.root, nil).empty()
			h.do("DELETE", "sys/audit/rec", h.root, nil).empty()
			h.do("GET", "sys/audit", h.root, nil).is(200).has(m{}, "data")
		}},
		{"sys §10 headers of requests", func(_ *testing.T, h *house) {
			const at = "sys/config/auditing/request-headers"
			h.do("GET", at+"/X-Foo", h.root, nil).fails(400, "Could not find header in config")
			h.do("PUT", at+"/X-Foo", h.root, m{"hmac": true}).empty()
			h.do("GET", at+"/x-FOO", h.root, nil).is(200).has(m{"x-FOO": m{"hmac": true}}, "data")
			h.do("GET", at, h.root, nil).is(200).has(m{"x-foo": m{"hmac": true}}, "data", "headers").has(m{"x-foo": m{"hmac": true}}, "headers")
			h.do("DELETE", at+"/X-Foo", h.root, nil).empty()
			h.do("GET", at+"/X-Foo", h.root, nil).fails(400, "Could not find header in config")
		}},
		{"sys §13 reload of a licence there is not", func(_ *testing.T, h *house) {
			h.do("POST", "sys/config/reload/license", h.root, nil).failsLike(404, "unsupported path")
		}},
		{"sys §14 rotate/config: the bounds", func(_ *testing.T, h *house) {
			h.do("GET", "sys/rotate/config", h.root, nil).is(200).has(m{"enabled": true, "max_operations": 3865470566, "interval": 0}, "data")
			h.do("POST", "sys/rotate/config", h.root, m{"interval": "1h"}).failsLike(400, "interval must be greater or equal to 24h0m0s")
			h.do("POST", "sys/rotate/config", h.root, m{"max_operations": 5}).failsLike(400, "max_operations must be in the range [1000000,3865470566]")
			h.do("POST", "sys/rotate/config", h.root, m{"interval": "48h"}).empty()
			h.do("GET", "sys/rotate/config", h.root, nil).is(200).has("48h0m0s", "data", "interval")
		}},
		{"sys §20 password policies: what is not there", func(_ *testing.T, h *house) {
			h.do("GET", "sys/policies/password/none", h.root, nil).fails(404, wrap1("policy does not exist"))
			h.do("GET", "sys/policies/password/none/generate", h.root, nil).fails(404, wrap1("policy does not exist"))
			h.do("LIST", "sys/policies/password", h.root, nil).fails(404)
			h.do("DELETE", "sys/policies/password/none", h.root, nil).empty()
			h.do("POST", "sys/policies/password/p", h.root, m{}).failsLike(400, "missing policy")
		}},
		{"sys §19 nobody inspects the memory", func(_ *testing.T, h *house) {
			// Vault answers 400 and names a setting that turns it on; here there is none.
			h.do("GET", "sys/internal/inspect/router/root", h.root, nil).failsLike(404, "unsupported path")
		}},
		{"sys §22 namespaces", func(_ *testing.T, h *house) {
			for _, ns := range []string{"team", "team/", "/team"} {
				if a := h.do("GET", "auth/token/lookup-self", h.root, nil, header("X-Vault-Namespace", ns)); a.status != 404 && a.status != 400 {
					h.t.Errorf("namespace %q: %d", ns, a.status)
				}
			}
			h.do("GET", "auth/token/lookup-self", h.root, nil, header("X-Vault-Namespace", "root")).is(200)
		}},
	})
}
