package contract_test

import "testing"

// TestEntitiesBehindTokens holds what the entity behind a token does to it. Contract: tokens
// §3, §4.3, §4.5, §4.7, §6.
func TestEntitiesBehindTokens(t *testing.T) {
	login := func(h *house) (token, entity string) {
		h.t.Helper()
		h.policy("creator", creator)
		h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
		h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse", "token_policies": "creator"}).empty()
		a := h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}).is(200)
		return a.text("auth", "client_token"), a.text("auth", "entity_id")
	}
	rows(t, []row{
		{"tokens §3 a disabled entity", func(t *testing.T, h *house) {
			token, entity := login(h)
			h.lookup(token).is(200).has(entity, "data", "entity_id")
			h.do("POST", "identity/entity/id/"+entity, h.root, m{"disabled": true})
			h.lookup(token).fails(403, "permission denied")
			h.do("POST", "identity/entity/id/"+entity, h.root, m{"disabled": false})
			h.lookup(token).is(200)
		}},
		{"tokens §3 an entity that is gone", func(t *testing.T, h *house) {
			token, entity := login(h)
			h.do("DELETE", "identity/entity/id/"+entity, h.root, nil).empty()
			h.lookup(token).fails(403, "permission denied")
		}},
		{"tokens §6, §4.3 policies of the entity", func(t *testing.T, h *house) {
			token, entity := login(h)
			h.do("GET", "sys/mounts", token, nil).fails(403, denied)
			h.policy("mounts", `path "sys/mounts" { capabilities = ["read"] }`)
			h.do("POST", "identity/entity/id/"+entity, h.root, m{"policies": []string{"mounts"}})
			h.do("GET", "sys/mounts", token, nil).is(200)
			h.lookup(token).is(200).has([]string{"mounts"}, "data", "identity_policies").has([]string{"creator", "default"}, "data", "policies")
			h.do("POST", "auth/token/create", token, m{"policies": []string{"mounts"}}).fails(400, "child policies must be subset of parent")
			h.do("POST", "auth/token/create", token, m{}).is(200).has([]string{"creator", "default", "mounts"}, "auth", "policies").
				has([]string{"creator", "default"}, "auth", "token_policies").has([]string{"mounts"}, "auth", "identity_policies")
		}},
		{"tokens §4.5 children have the entity, orphans have none", func(t *testing.T, h *house) {
			token, entity := login(h)
			h.do("POST", "auth/token/create", token, m{}).is(200).has(entity, "auth", "entity_id")
			h.do("POST", "auth/token/create-orphan", token, m{}).is(200).has("", "auth", "entity_id")
		}},
		{"tokens §4.4, CVE: no entity makes root", func(t *testing.T, h *house) {
			token, entity := login(h)
			h.do("POST", "identity/entity/id/"+entity, h.root, m{"policies": []string{"root"}})
			h.do("GET", "sys/mounts", token, nil).fails(403, denied)
			h.do("POST", "auth/token/create", token, m{"policies": []string{"root"}}).is(400)
		}},
		{"tokens §4.7 an alias that the role allows", func(t *testing.T, h *house) {
			h.role("r", m{"allowed_entity_aliases": []string{"web-*"}})
			a := h.do("POST", "auth/token/create/r", h.root, m{"policies": "default", "entity_alias": "Web-1"}).is(200)
			entity := a.text("auth", "entity_id")
			if entity == "" {
				t.Fatal("no entity")
			}
			h.do("POST", "auth/token/create/r", h.root, m{"policies": "default", "entity_alias": "web-1"}).is(200).has(entity, "auth", "entity_id")
			h.do("POST", "auth/token/create/r", h.root, m{"policies": "default", "entity_alias": "db"}).fails(400, "invalid 'entity_alias' value")
			h.do("POST", "identity/entity/id/"+entity, h.root, m{"disabled": true})
			h.do("POST", "auth/token/create/r", h.root, m{"policies": "default", "entity_alias": "web-1"}).
				fails(403, "entity from given entity alias is disabled")
		}},
	})
}
