package contract_test

import (
	"strings"
	"testing"
)

// Contract: identity §6 over HTTP.
func TestIdentityTokens(t *testing.T) {
	bob := func(h *house) (token, entity string) {
		h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
		h.policy("signer", `path "identity/oidc/token/*" { capabilities = ["read"] }`)
		h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse", "token_policies": "signer"}).empty()
		a := h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}).is(200)
		return a.text("auth", "client_token"), a.text("auth", "entity_id")
	}
	signing := func(h *house) {
		h.do("POST", "identity/oidc/key/k", h.root, m{"algorithm": "ES256", "allowed_client_ids": "*"}).empty()
		h.do("POST", "identity/oidc/role/r", h.root, m{"key": "k", "template": `{"name": {{identity.entity.name}}}`, "ttl": "1h"}).empty()
	}
	rows(t, []row{
		{"identity §6 oidc/config: read, written with a warning, judged", func(_ *testing.T, h *house) {
			h.do("GET", "identity/oidc/config", h.root, nil).is(200).has("", "data", "issuer")
			h.do("POST", "identity/oidc/config", h.root, m{"issuer": "https://example.com:8200"}).is(200).
				warns("Identity tokens name this issuer from now on; those that name another are not valid here any more.")
			h.do("GET", "identity/oidc/config", h.root, nil).is(200).has("https://example.com:8200", "data", "issuer")
			h.do("POST", "identity/oidc/config", h.root, m{"issuer": "https://example.com/x"}).
				fails(400, "invalid issuer, which must include only a scheme, host, and optional port (e.g. https://example.com:8200)")
		}},
		{"identity §6 oidc/key: made, read, listed, rotated, deleted", func(_ *testing.T, h *house) {
			h.do("LIST", "identity/oidc/key", h.root, nil).fails(404)
			h.do("POST", "identity/oidc/key/k", h.root, m{"algorithm": "EdDSA", "rotation_period": "1h", "verification_ttl": 7200, "allowed_client_ids": []string{"a"}}).empty()
			h.do("GET", "identity/oidc/key/k", h.root, nil).is(200).
				has(m{"algorithm": "EdDSA", "allowed_client_ids": []string{"a"}, "rotation_period": 3600, "verification_ttl": 7200}, "data")
			h.do("LIST", "identity/oidc/key", h.root, nil).is(200).has([]string{"k"}, "data", "keys")
			h.do("POST", "identity/oidc/key/k/rotate", h.root, m{"verification_ttl": "1h"}).empty()
			h.do("POST", "identity/oidc/key/absent/rotate", h.root, m{}).is(404)
			h.do("POST", "identity/oidc/key/k", h.root, m{"rotation_period": "30s"}).fails(400, "rotation_period must be at least one minute")
			h.do("DELETE", "identity/oidc/key/k", h.root, nil).empty()
			h.do("GET", "identity/oidc/key/k", h.root, nil).fails(404)
			h.do("DELETE", "identity/oidc/key/default", h.root, nil).fails(400, `deletion of key "default" not allowed.`)
		}},
		{"identity §6 oidc/role: made, read, listed, deleted; ✔ the reserved claims", func(_ *testing.T, h *house) {
			signing(h)
			h.do("POST", "identity/oidc/role/x", h.root, m{}).fails(400, "the key parameter is required")
			h.do("POST", "identity/oidc/role/x", h.root, m{"key": "x"}).fails(400, `cannot find key "x"`)
			h.do("POST", "identity/oidc/role/x", h.root, m{"key": "k", "template": `{"sub": "root"}`}).
				fails(400, `top level key "sub" not allowed. Restricted keys: iat, aud, exp, iss, sub, namespace, nonce, auth_time, at_hash, c_hash`)
			r := h.do("GET", "identity/oidc/role/r", h.root, nil).is(200).has("k", "data", "key").has(3600, "data", "ttl").has(`{"name": {{identity.entity.name}}}`, "data", "template")
			if len(r.text("data", "client_id")) == 0 {
				t.Error("no client id was made up")
			}
			h.do("LIST", "identity/oidc/role", h.root, nil).is(200).has([]string{"r"}, "data", "keys")
			h.do("DELETE", "identity/oidc/key/k", h.root, nil).failsLike(400, "referenced by these roles: r")
			h.do("DELETE", "identity/oidc/role/r", h.root, nil).empty()
			h.do("GET", "identity/oidc/role/r", h.root, nil).fails(404)
		}},
		{"identity §6 oidc/token: signed for the entity behind the token, ✔ for no other", func(t *testing.T, h *house) {
			signing(h)
			token, entity := bob(h)
			h.do("GET", "identity/oidc/token/r", h.root, nil).fails(400, "no entity associated with the request's token")
			h.do("GET", "identity/oidc/token/x", token, nil).fails(400, `role "x" not found`)
			signed := h.do("GET", "identity/oidc/token/r", token, nil).is(200).has(3600, "data", "ttl")
			text := signed.text("data", "token")
			if strings.Count(text, ".") != 2 {
				t.Errorf("the token has another form: %q", text)
			}
			introspect := func(body m) *answer { return h.do("POST", "identity/oidc/introspect", h.root, body).is(200) }
			introspect(m{"token": text}).has(m{"active": true})
			introspect(m{"token": text, "client_id": signed.text("data", "client_id")}).has(m{"active": true})
			introspect(m{"token": text, "client_id": "other"}).has(false, "active").has("the token is not for this client", "error")
			introspect(m{"token": "x"}).has(false, "active")
			h.do("POST", "identity/entity/id/"+entity, h.root, m{"disabled": true})
			introspect(m{"token": text}).has("the token's entity is gone or disabled", "error")
			h.do("GET", "identity/oidc/token/r", token, nil).is(403)
		}},
		{"identity §6 the discovery document and the keys are open and bare", func(_ *testing.T, h *house) {
			h.do("POST", "identity/oidc/config", h.root, m{"issuer": "https://example.com"}).is(200)
			h.do("GET", "identity/oidc/.well-known/openid-configuration", "", nil).is(200).
				has("https://example.com/v1/identity/oidc", "issuer").has("https://example.com/v1/identity/oidc/.well-known/keys", "jwks_uri").
				has([]string{"id_token"}, "response_types_supported").has([]string{"public"}, "subject_types_supported")
			h.do("GET", "identity/oidc/.well-known/keys", "", nil).is(200).has(m{"keys": []string{}})
			signing(h)
			keys := h.do("GET", "identity/oidc/.well-known/keys", "", nil).is(200)
			if list, ok := keys.at("keys").([]any); !ok || len(list) != 2 || strings.Contains(keys.body, `"d"`) {
				t.Errorf("the published keys are %s", keys.body)
			}
		}},
	})
}
