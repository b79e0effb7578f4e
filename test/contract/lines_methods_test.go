package contract_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"jeton/internal/auth/ldap/ldaptest"
)

// approle makes a role at auth/approle and returns what logs in by it.
func (h *house) approle(name string, role m) (roleID string) {
	h.t.Helper()
	if h.do("GET", "sys/auth/approle", h.root, nil).status != http.StatusOK {
		h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
	}
	h.do("POST", "auth/approle/role/"+name, h.root, role).empty()
	return h.do("GET", "auth/approle/role/"+name+"/role-id", h.root, nil).is(200).text("data", "role_id")
}

// secretID makes a secret id of a role.
func (h *house) secretID(name string, body m) string {
	h.t.Helper()
	return h.do("POST", "auth/approle/role/"+name+"/secret-id", h.root, body).is(200).text("data", "secret_id")
}

// appLogin logs in by approle.
func (h *house) appLogin(roleID, secretID string, options ...with) *answer {
	h.t.Helper()
	return h.do("POST", "auth/approle/login", "", m{"role_id": roleID, "secret_id": secretID}, options...)
}

const noRole = "invalid role or secret ID"

// Contract: auth-methods §1, its shared tests, over the method that has all parameters.
func TestLoginLines(t *testing.T) {
	rows(t, []row{
		{"auth-methods §1 test 1 policies as given and as granted", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"token_policies": []string{"B", "a", "a "}})
			h.do("GET", "auth/approle/role/r", h.root, nil).is(200).has([]string{"B", "a", "a"}, "data", "token_policies")
			h.appLogin(id, h.secretID("r", nil)).is(200).has([]string{"a", "b", "default"}, "auth", "token_policies")
		}},
		{"auth-methods §1 test 2 no policies at all", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"token_no_default_policy": true})
			a := h.appLogin(id, h.secretID("r", nil)).is(200).has([]string{}, "auth", "policies").lacks("auth", "token_policies")
			token := a.text("auth", "client_token")
			h.lookup(token).fails(403, denied)
			h.do("POST", "auth/token/renew-self", token, nil).fails(403, denied)
			h.do("GET", "sys/health", token, nil).is(200)
		}},
		{"auth-methods §1 test 3 root is no policy of a login", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
			before := len(listed(t, h.do("LIST", "auth/token/accessors", h.root, nil).is(200), "data", "keys"))
			// Refused where it is written (decision 0006) or where it is used: no token comes of it.
			if a := h.do("POST", "auth/approle/role/r", h.root, m{"token_policies": "root"}); a.status == 204 {
				id := h.do("GET", "auth/approle/role/r/role-id", h.root, nil).is(200).text("data", "role_id")
				h.appLogin(id, h.secretID("r", nil)).fails(400, "auth methods cannot create root tokens")
			} else {
				a.is(400)
				h.do("GET", "auth/approle/role/r", h.root, nil).fails(404)
			}
			if after := len(listed(t, h.do("LIST", "auth/token/accessors", h.root, nil).is(200), "data", "keys")); after != before {
				t.Errorf("%d tokens, %d before", after, before)
			}
		}},
		{"auth-methods §1 test 4 the mount decides for batch", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"token_type": "service"})
			h.do("POST", "sys/auth/approle/tune", h.root, m{"token_type": "batch"}).empty()
			h.appLogin(id, h.secretID("r", nil)).is(200).has("batch", "auth", "token_type").has(false, "auth", "renewable").has("", "auth", "accessor")
		}},
		{"auth-methods §1 test 5 a period above the mount's maximum", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"token_period": "72h"})
			h.do("POST", "sys/auth/approle/tune", h.root, m{"max_lease_ttl": "24h", "default_lease_ttl": "1h"}).empty()
			h.appLogin(id, h.secretID("r", nil)).is(200).has(86400, "auth", "lease_duration").
				warns(`period of "72h" exceeded the effective max_ttl of "24h"; period value is capped accordingly`)
		}},
		{"auth-methods §1 test 6 a maximum that is over", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"token_ttl": "1h"})
			token := h.appLogin(id, h.secretID("r", nil)).is(200).text("auth", "client_token")
			h.wall.advance(30 * time.Minute)
			h.do("POST", "auth/approle/role/r", h.root, m{"token_ttl": "5m", "token_max_ttl": "10m"}).empty()
			// The status of tokens §7.4.
			h.do("POST", "auth/token/renew-self", token, nil).failsLike(500, "past the max TTL, cannot renew")
			h.lookup(token).is(200)
			h.wall.advance(30 * time.Minute)
			h.dead(token)
		}},
		{"auth-methods §1 test 7 an explicit maximum that came later", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"token_ttl": "30m", "token_explicit_max_ttl": "1h"})
			token := h.appLogin(id, h.secretID("r", nil)).is(200).text("auth", "client_token")
			h.do("POST", "auth/approle/role/r", h.root, m{"token_explicit_max_ttl": "10h"}).empty()
			h.lookup(token).has(3600, "data", "explicit_max_ttl")
			h.wall.advance(20 * time.Minute)
			h.do("POST", "auth/token/renew-self", token, m{"increment": "5h"}).is(200).has(2400, "auth", "lease_duration")
			h.wall.advance(40 * time.Minute)
			h.dead(token)
		}},
		{"auth-methods §1 test 8 a wrapped login", func(_ *testing.T, h *house) {
			id := h.approle("r", m{})
			a := h.appLogin(id, h.secretID("r", nil), wrapped("60s")).is(200).has(nil, "auth").has("auth/approle/login", "wrap_info", "creation_path")
			inside := h.unwrapped(a.text("wrap_info", "token")).is(200).has(a.at("wrap_info", "wrapped_accessor"), "auth", "accessor")
			h.lives(inside.text("auth", "client_token"))
			h.unwrapped(a.text("wrap_info", "token")).fails(400, noWrapping)
		}},
	})
}

// Contract: auth-methods §2.4, its edge tests, over HTTP. Those of the store are in internal/auth/approle.
func TestAppRoleLines(t *testing.T) {
	rows(t, []row{
		{"auth-methods §2 edge: names in lower case", func(_ *testing.T, h *house) {
			id := h.approle("Foo", m{})
			h.do("GET", "auth/approle/role/foo/role-id", h.root, nil).is(200).has(id, "data", "role_id")
			h.do("LIST", "auth/approle/role", h.root, nil).is(200).has([]string{"foo"}, "data", "keys")
		}},
		{"auth-methods §2 edge: another role's role_id", func(_ *testing.T, h *house) {
			id := h.approle("a", m{})
			h.do("POST", "auth/approle/role/b", h.root, m{"role_id": id}).is(400)
			h.do("GET", "auth/approle/role/b", h.root, nil).fails(404)
		}},
		{"auth-methods §2 edge: the uses of secret ids", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"secret_id_num_uses": 3})
			h.do("POST", "auth/approle/role/r/secret-id", h.root, m{"num_uses": 0}).is(400)
			for _, c := range []struct {
				body m
				uses int
			}{{m{"num_uses": 2}, 2}, {nil, 3}} {
				secret := h.secretID("r", c.body)
				for range c.uses {
					h.appLogin(id, secret).is(200)
				}
				h.appLogin(id, secret).fails(400, noRole)
			}
		}},
		{"auth-methods §2 edge: secret_id_ttl to the second", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"secret_id_ttl": "1s"})
			secret := h.secretID("r", nil)
			h.wall.advance(2 * time.Second)
			h.appLogin(id, secret).fails(400, noRole)
		}},
		{"auth-methods §2 edge: 50 logins at once, 10 uses", func(t *testing.T, h *house) {
			id := h.approle("r", m{"secret_id_num_uses": 10})
			secret := h.secretID("r", nil)
			var all sync.WaitGroup
			got := make([]*answer, 50)
			for i := range got {
				all.Go(func() { got[i] = h.appLogin(id, secret) })
			}
			all.Wait()
			won := 0
			for _, a := range got {
				if a.status == http.StatusOK {
					won++
				} else {
					a.fails(400, noRole)
				}
			}
			if won != 10 {
				t.Errorf("%d logins with 10 uses", won)
			}
			h.do("LIST", "auth/approle/role/r/secret-id", h.root, nil).fails(404)
		}},
		{"auth-methods §2 edge: the role is deleted", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"token_ttl": "1h"})
			secret := h.secretID("r", nil)
			token := h.appLogin(id, secret).is(200).text("auth", "client_token")
			h.do("DELETE", "auth/approle/role/r", h.root, nil).empty()
			h.appLogin(id, secret).fails(400, noRole)
			h.lookup(token).is(200)
			if a := h.do("POST", "auth/token/renew-self", token, nil); a.status < 400 || !strings.Contains(a.body, "does not exist during renewal") {
				h.t.Errorf("renewed: %d %s", a.status, a.body)
			}
		}},
		{"auth-methods §2 edge: another role_id is another entity", func(t *testing.T, h *house) {
			id := h.approle("r", m{})
			secret := h.secretID("r", nil)
			before := h.appLogin(id, secret).is(200).text("auth", "entity_id")
			h.do("POST", "auth/approle/role/r/role-id", h.root, m{"role_id": "rotated"}).empty()
			h.appLogin(id, secret).fails(400, noRole)
			if after := h.appLogin("rotated", secret).is(200).text("auth", "entity_id"); after == before || after == "" {
				t.Errorf("entity %q, before %q", after, before)
			}
		}},
		{"auth-methods §2 edge: a custom secret id twice", func(_ *testing.T, h *house) {
			h.approle("a", m{})
			h.approle("b", m{})
			h.do("POST", "auth/approle/role/a/custom-secret-id", h.root, m{"secret_id": "chosen"}).is(200)
			if a := h.do("POST", "auth/approle/role/a/custom-secret-id", h.root, m{"secret_id": "chosen"}); a.status < 400 || strings.Contains(a.body, "chosen") {
				h.t.Errorf("%d %s", a.status, a.body)
			}
			h.do("POST", "auth/approle/role/b/custom-secret-id", h.root, m{"secret_id": "chosen"}).is(200)
		}},
		{"auth-methods §2 edge: a newline at the end; an accessor is no secret", func(_ *testing.T, h *house) {
			id := h.approle("r", m{})
			made := h.do("POST", "auth/approle/role/r/secret-id", h.root, nil).is(200)
			h.appLogin(id, made.text("data", "secret_id")+"\n").is(200)
			h.appLogin(id, made.text("data", "secret_id_accessor")).fails(400, noRole)
		}},
		{"auth-methods §2 edge: token_bound_cidrs hold for the token", func(_ *testing.T, h *house) {
			id := h.approle("r", m{"bind_secret_id": false, "token_bound_cidrs": "10.0.0.0/8"})
			a := h.do("POST", "auth/approle/login", "", m{"role_id": id})
			if a.status == http.StatusOK {
				h.lookup(a.text("auth", "client_token")).is(403)
			} else {
				a.is(403)
			}
			inside := from("10.1.1.1:1")
			token := h.do("POST", "auth/approle/login", "", m{"role_id": id}, inside).is(200).text("auth", "client_token")
			h.do("GET", "auth/token/lookup-self", token, nil, inside).is(200)
			h.lookup(token).is(403)
		}},
	})
}

// Contract: identity §7, the lines that need several mounts, a key, or a seal.
func TestIdentityLines(t *testing.T) {
	rows(t, []row{
		{"identity §7.7 a group of another mount is left alone", func(t *testing.T, h *house) {
			s := ldaptest.Start(t, ldaptest.Options{})
			h.directory(s, nil)
			h.do("POST", "sys/auth/other", h.root, m{"type": "userpass"}).empty()
			external := func(name, mount, alias string) string {
				id := h.do("POST", "identity/group", h.root, m{"name": name, "type": "external"}).is(200).text("data", "id")
				h.do("POST", "identity/group-alias", h.root, m{"name": alias, "mount_accessor": h.accessorOf(mount), "canonical_id": id}).is(200)
				return id
			}
			mine, theirs := external("mine", "ldap", "Admins"), external("theirs", "other", "Admins")
			entity := h.ldapLogin("carol").is(200).text("auth", "entity_id")
			has := func(group string, is bool) {
				t.Helper()
				list, _ := h.do("GET", "identity/group/id/"+group, h.root, nil).is(200).at("data", "member_entity_ids").([]any)
				if slices.Contains(list, any(entity)) != is {
					t.Errorf("members of %s: %v", group, list)
				}
			}
			has(mine, true)
			has(theirs, false)
			s.Join("bob", "Admins") // a group has at least one member
			s.Leave("carol", "Admins")
			h.ldapLogin("carol").is(200)
			has(mine, false)
			has(theirs, false)
		}},
		{"identity §7.14 lists of nothing", func(_ *testing.T, h *house) {
			for _, path := range []string{"entity/id", "entity/name", "entity-alias/id", "group/id", "group/name", "group-alias/id", "oidc/role"} {
				h.do("LIST", "identity/"+path, h.root, nil).fails(404)
			}
		}},
		{"identity §7.17 what hvac expects", func(_ *testing.T, h *house) {
			if id := h.do("POST", "identity/entity", h.root, m{"name": "e"}).is(200).text("data", "id"); id == "" {
				h.t.Error("no id")
			}
			h.do("POST", "identity/entity", h.root, m{"name": "e", "policies": "p"}).empty()
			h.do("POST", "identity/lookup/entity", h.root, m{"name": "nobody"}).empty()
			h.do("POST", "identity/entity-alias", h.root, m{"name": "a", "mount_accessor": "auth_none_1"}).fails(400, `invalid mount accessor "auth_none_1"`)
		}},
		{"identity §7.18 a token that others can verify", func(t *testing.T, h *house) {
			login := h.user("up", "ann")
			h.policy("own", `path "identity/oidc/token/r" { capabilities = ["read"] }`)
			h.do("POST", "identity/oidc/key/k", h.root, m{"allowed_client_ids": "*"}).empty()
			h.do("POST", "identity/oidc/role/r", h.root, m{"key": "k", "client_id": "client"}).empty()
			in := login().is(200)
			h.do("GET", "identity/oidc/token/r", h.root, nil).is(400)
			text := h.do("GET", "identity/oidc/token/r", in.text("auth", "client_token"), nil).is(200).text("data", "token")
			parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
			if err != nil {
				t.Fatal(err)
			}
			var keys jose.JSONWebKeySet
			if err := json.Unmarshal([]byte(h.do("GET", "identity/oidc/.well-known/keys", "", nil).is(200).body), &keys); err != nil {
				t.Fatal(err)
			}
			of := keys.Key(parsed.Headers[0].KeyID)
			if len(of) != 1 {
				t.Fatalf("%d published keys have the token's id", len(of))
			}
			var claims jwt.Claims
			if err := parsed.Claims(of[0].Key, &claims); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(claims.Audience, []string{"client"}) || claims.Subject != in.text("auth", "entity_id") {
				t.Errorf("aud %v, sub %q", claims.Audience, claims.Subject)
			}
		}},
		{"identity §7.19 what outlives a seal", func(t *testing.T, h *house) {
			one, two := h.user("up", "one"), h.user("up2", "two")
			to, from := one().is(200).text("auth", "entity_id"), two().is(200).text("auth", "entity_id")
			group := h.do("POST", "identity/group", h.root, m{"name": "g", "member_entity_ids": from}).is(200).text("data", "id")
			h.do("POST", "identity/entity/merge", h.root, m{"to_entity_id": to, "from_entity_ids": from}).empty()
			for range 5 {
				h.do("POST", "auth/up/login/one", "", m{"password": "wrong"}).is(400)
			}
			one().fails(403, "permission denied")
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.reopen()
			two().is(200).has(to, "auth", "entity_id")
			h.do("GET", "identity/group/id/"+group, h.root, nil).is(200).has([]string{to}, "data", "member_entity_ids")
			h.do("GET", "identity/entity/id/"+to, h.root, nil).is(200).has([]string{from}, "data", "merged_entity_ids")
			one().fails(403, "permission denied")
		}},
	})
}

// Contract: secrets §2, its tests, and §3.
func TestSecretLines(t *testing.T) {
	rows(t, []row{
		{"secrets §2 test 2 [!] the key's max_versions wins over the mount's", func(_ *testing.T, h *house) {
			h.do("POST", "secret/config", h.root, m{"max_versions": 5}).empty()
			h.do("POST", "secret/metadata/a", h.root, m{"max_versions": 2}).empty()
			for _, key := range []string{"a", "b"} {
				for n := range 7 {
					h.version(key, m{"data": m{"n": n + 1}}).is(200)
				}
			}
			for key, oldest := range map[string]int{"a": 6, "b": 3} {
				h.do("GET", "secret/metadata/"+key, h.root, nil).is(200).has(oldest, "data", "oldest_version").has(7, "data", "current_version")
				h.do("GET", fmt.Sprintf("secret/data/%s?version=%d", key, oldest), h.root, nil).is(200).has(oldest, "data", "data", "n")
				h.do("GET", fmt.Sprintf("secret/data/%s?version=%d", key, oldest-1), h.root, nil).fails(404)
			}
		}},
		{"secrets §3 tests: gone with the last use", func(_ *testing.T, h *house) {
			h.create(h.root, m{"policies": "default", "id": "twice", "num_uses": 1})
			h.do("PUT", "cubbyhole/a", "twice", m{"k": 1}).empty()
			h.do("GET", "cubbyhole/a", "twice", nil).fails(403, badToken)
			h.create(h.root, m{"policies": "default", "id": "twice"})
			h.do("GET", "cubbyhole/a", "twice", nil).fails(404)
		}},
		{"secrets §3 tests: the wrapped answer by the old way, once", func(_ *testing.T, h *house) {
			box := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.do("GET", "cubbyhole/response", box, nil).is(200)
			h.do("GET", "cubbyhole/response", box, nil).is(403)
			h.unwrapped(box).fails(400, noWrapping)
		}},
	})
}
