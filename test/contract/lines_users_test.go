package contract_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/auth/ldap/ldaptest"
)

const badCredentials = "invalid username or password"

// passes logs in at userpass.
func (h *house) passes(name, password string) *answer {
	h.t.Helper()
	return h.do("POST", "auth/userpass/login/"+name, "", m{"password": password})
}

// bob is a user of userpass whose password is "right".
func (h *house) bob(more m) {
	h.t.Helper()
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "auth/userpass/users/bob", h.root, maps(m{"password": "right", "token_ttl": "1h"}, more)).empty()
}

// Contract: auth-methods §3, its tests, in their order.
func TestUserpassLines(t *testing.T) {
	rows(t, []row{
		{"auth-methods §3 tests: Bob and bob, and a new password", func(_ *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/Bob", h.root, m{"password": "right"}).empty()
			h.passes("bob", "right").is(200)
			h.do("POST", "auth/userpass/users/BOB/password", h.root, m{"password": "newer"}).empty()
			h.passes("bob", "newer").is(200)
			h.passes("bob", "right").fails(400, badCredentials)
			h.do("LIST", "auth/userpass/users", h.root, nil).is(200).has([]string{"bob"}, "data", "keys")
		}},
		{"auth-methods §3 tests: a deleted user", func(_ *testing.T, h *house) {
			h.bob(nil)
			token := h.passes("bob", "right").is(200).text("auth", "client_token")
			h.do("DELETE", "auth/userpass/users/bob", h.root, nil).empty()
			h.passes("bob", "right").fails(400, badCredentials)
			h.lookup(token).is(200)
			if a := h.do("POST", "auth/token/renew-self", token, nil); a.status < 400 {
				h.t.Errorf("renewed: %d %s", a.status, a.body)
			}
		}},
		{"auth-methods §3 tests: other policies, and default alone", func(_ *testing.T, h *house) {
			h.bob(m{"token_policies": "a"})
			token := h.passes("bob", "right").is(200).text("auth", "client_token")
			h.do("POST", "auth/userpass/users/bob/policies", h.root, m{"token_policies": "a,default"}).empty()
			h.do("POST", "auth/token/renew-self", token, nil).is(200)
			h.do("POST", "auth/userpass/users/bob/policies", h.root, m{"token_policies": "a,b"}).empty()
			if a := h.do("POST", "auth/token/renew-self", token, nil); a.status < 400 || !strings.Contains(a.body, "policies have changed, not renewing") {
				h.t.Errorf("renewed: %d %s", a.status, a.body)
			}
		}},
		{"auth-methods §3 tests: passwords that are none, or too long", func(_ *testing.T, h *house) {
			h.bob(nil)
			h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "", "token_ttl": "2h"}).empty()
			h.passes("bob", "right").is(200).has(7200, "auth", "lease_duration")
			h.passes("bob", "").is(400)
			h.do("POST", "auth/userpass/users/ann", h.root, m{"password": strings.Repeat("x", 73)}).is(400)
			h.do("GET", "auth/userpass/users/ann", h.root, nil).fails(404)
		}},
		{"auth-methods §3 tests: names", func(_ *testing.T, h *house) {
			h.bob(nil)
			for _, name := range []string{"a.b", "a-b"} {
				h.do("POST", "auth/userpass/users/"+name, h.root, m{"password": "right"}).empty()
				h.passes(name, "right").is(200)
			}
			h.do("POST", "auth/userpass/users/-b", h.root, m{"password": "right"}).is(404)
		}},
	})
}

// Contract: auth-methods §8, its tests.
func TestLockoutLines(t *testing.T) {
	const attempts = 5
	rows(t, []row{
		{"auth-methods §8 tests: five wrong, then the right one waits", func(_ *testing.T, h *house) {
			h.bob(nil)
			for range attempts {
				h.passes("bob", "wrong").fails(400, badCredentials)
			}
			h.passes("BOB", "right").fails(403, "permission denied")
			h.wall.advance(15*time.Minute + time.Second)
			h.passes("bob", "right").is(200)
		}},
		{"auth-methods §8 tests: unlocked by hand", func(_ *testing.T, h *house) {
			h.bob(nil)
			for range attempts {
				h.passes("bob", "wrong").is(400)
			}
			at := "sys/locked-users/" + h.accessorOf("userpass") + "/unlock/bob"
			h.do("POST", at, h.root, nil).empty()
			h.do("POST", at, h.root, nil).empty()
			h.passes("bob", "right").is(200)
		}},
		{"auth-methods §8 tests: four wrong and one right", func(_ *testing.T, h *house) {
			h.bob(nil)
			for range 3 {
				for range attempts - 1 {
					h.passes("bob", "wrong").is(400)
				}
				h.passes("bob", "right").is(200)
			}
		}},
		{"auth-methods §8 tests: 20 wrong ones at once", func(t *testing.T, h *house) {
			h.bob(nil)
			var all sync.WaitGroup
			got := make([]int, 20)
			for i := range got {
				all.Go(func() { got[i] = h.passes("bob", "wrong").status })
			}
			all.Wait()
			judged := 0
			for _, status := range got {
				if status == http.StatusBadRequest {
					judged++
				}
			}
			if judged > attempts {
				t.Errorf("%d guesses were judged, the lock is at %d", judged, attempts)
			}
			h.passes("bob", "right").fails(403, "permission denied")
		}},
		{"auth-methods §8 tests: switched off while locked", func(_ *testing.T, h *house) {
			h.bob(nil)
			for range attempts {
				h.passes("bob", "wrong").is(400)
			}
			h.do("POST", "sys/auth/userpass/tune", h.root, m{"user_lockout_config": m{"lockout_disable": true}}).empty()
			h.passes("bob", "right").is(200)
		}},
	})
}

// Contract: auth-methods §4, its tests, over HTTP.
func TestLDAPLines(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	rows(t, []row{
		{"auth-methods §4 tests: names that are filters", func(_ *testing.T, h *house) {
			h.directory(s, nil)
			for _, name := range []string{"*", "a*", "a)(uid=*", "alice)(uid=*"} {
				h.do("POST", "auth/ldap/login/"+strings.ReplaceAll(name, ")", "%29"), "", m{"password": ldaptest.Password("alice")}).is(400)
			}
		}},
		{"auth-methods §4 tests: space and case are no other name", func(t *testing.T, h *house) {
			h.directory(s, nil)
			entity := h.ldapLogin("alice").is(200).text("auth", "entity_id")
			a := h.do("POST", "auth/ldap/login/Alice%20", "", m{"password": ldaptest.Password("alice")}).is(200)
			if a.text("auth", "entity_id") != entity {
				t.Error("another entity")
			}
			for range 5 {
				h.do("POST", "auth/ldap/login/ALICE%20", "", m{"password": "wrong"}).fails(400, "ldap operation failed: failed to bind as user")
			}
			h.ldapLogin("alice").fails(403, "permission denied")
		}},
		{"auth-methods §4 tests: groups in any case", func(_ *testing.T, h *house) {
			h.directory(s, nil)
			h.do("DELETE", "auth/ldap/groups/engineers", h.root, nil).empty()
			h.do("POST", "auth/ldap/groups/Engineers", h.root, m{"policies": "build"}).empty()
			h.ldapLogin("alice").is(200).has([]string{"build", "default"}, "auth", "policies")
		}},
		{"auth-methods §4 tests: two entries are nobody", func(_ *testing.T, h *house) {
			h.directory(s, m{"userfilter": "(|({{.UserAttr}}={{.Username}})(uid=bob))"})
			h.ldapLogin("alice").fails(400, "ldap operation failed: failed to bind as user")
			h.ldapLogin("bob").is(200)
		}},
		{"auth-methods §4 tests: the bind's password is not read back", func(_ *testing.T, h *house) {
			h.directory(s, nil)
			h.do("GET", "auth/ldap/config", h.root, nil).is(200).has(ldaptest.Reader, "data", "binddn").lacks("data", "bindpass")
		}},
	})
}

// Contract: auth-methods §5.3, its tests, over HTTP.
func TestJWTLines(t *testing.T) {
	t.Parallel()
	h, p := withProvider(t)
	login := func(claims m) *answer {
		t.Helper()
		return h.do("POST", "auth/jwt/login", "", signed(t, p, claims))
	}
	role := func(name string, body m) *answer {
		t.Helper()
		return h.do("POST", "auth/jwt/role/"+name, h.root, maps(m{"role_type": "jwt", "user_claim": "sub"}, body))
	}
	t.Run("auth-methods §5 tests: a role without a bound", func(t *testing.T) {
		role("open", nil).fails(400, "must have at least one bound constraint when creating/updating a role")
	})
	t.Run("auth-methods §5 tests: an audience that nobody asked for", func(t *testing.T) {
		role("r", m{"bound_audiences": "", "bound_subject": "ann"}).empty()
		login(nil).failsLike(400, "audience claim found in JWT but no audiences bound to the role")
		role("r", m{"bound_audiences": "a"}).empty()
		login(nil).is(200)
	})
	t.Run("auth-methods §5 tests: over for 100 s", func(t *testing.T) {
		past := m{"exp": h.wall.now().Add(-100 * time.Second).Unix(), "iat": nil, "nbf": nil}
		login(past).is(200)
		role("r", m{"bound_audiences": "a", "expiration_leeway": -1}).empty()
		login(past).failsLike(400, "error validating token")
	})
	t.Run("auth-methods §5 tests: a claim within a claim", func(t *testing.T) {
		role("r", m{"bound_audiences": "a", "bound_claims": m{"/a/b": "c"}}).empty()
		login(m{"a": m{"b": "c"}}).is(200)
		login(m{"a": m{"b": "d"}}).failsLike(400, "does not match any associated bound claim values")
		login(nil).failsLike(400, "is missing")
	})
	t.Run("auth-methods §5 tests: an unknown role", func(t *testing.T) {
		h.do("POST", "auth/jwt/login", "", m{"role": "nobody", "jwt": "x"}).fails(400, `role "nobody" could not be found`)
	})
}

// Contract: secrets §5, its tests, over HTTP.
func TestTransitLines(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString([]byte("secret"))
	key := func(h *house, name string, body m) {
		h.t.Helper()
		if h.do("GET", "sys/mounts/transit", h.root, nil).status != http.StatusOK {
			h.do("POST", "sys/mounts/transit", h.root, m{"type": "transit"}).empty()
		}
		h.do("POST", "transit/keys/"+name, h.root, body).is(200)
	}
	encrypt := func(h *house, name string) string {
		h.t.Helper()
		return h.do("POST", "transit/encrypt/"+name, h.root, m{"plaintext": secret}).is(200).text("data", "ciphertext")
	}
	decrypt := func(h *house, name, ciphertext string) *answer {
		h.t.Helper()
		return h.do("POST", "transit/decrypt/"+name, h.root, m{"ciphertext": ciphertext})
	}
	rows(t, []row{
		{"secrets §5 tests: old versions, until they are too old", func(_ *testing.T, h *house) {
			key(h, "k", nil)
			old := encrypt(h, "k")
			h.do("POST", "transit/keys/k/rotate", h.root, nil).is(200)
			decrypt(h, "k", old).is(200).has(secret, "data", "plaintext")
			h.do("POST", "transit/keys/k/config", h.root, m{"min_decryption_version": 2}).is(200)
			decrypt(h, "k", old).failsLike(400, "too old")
			decrypt(h, "k", encrypt(h, "k")).is(200)
		}},
		{"secrets §5 tests: a byte is changed", func(_ *testing.T, h *house) {
			key(h, "k", nil)
			text := []byte(encrypt(h, "k"))
			at := len("vault:v1:") + 20
			if text[at]++; text[at] == '{' || text[at] == '[' || text[at] == ':' {
				text[at] = 'A'
			}
			decrypt(h, "k", string(text)).is(400)
		}},
		{"secrets §5 tests: a batch of good and bad", func(t *testing.T, h *house) {
			key(h, "k", nil)
			batch := m{"batch_input": []m{{"ciphertext": encrypt(h, "k")}, {"ciphertext": "vault:v1:AAAA"}}}
			a := h.do("POST", "transit/decrypt/k", h.root, batch).is(400)
			results, _ := a.at("data", "batch_results").([]any)
			if len(results) != 2 || results[0].(m)["plaintext"] != secret || results[1].(m)["error"] == nil {
				t.Errorf("results %v", results)
			}
			batch["partial_failure_response_code"] = 207
			h.do("POST", "transit/decrypt/k", h.root, batch).is(207)
		}},
		{"secrets §5 tests: what the key does not allow", func(_ *testing.T, h *house) {
			key(h, "k", nil)
			h.do("GET", "transit/export/encryption-key/k", h.root, nil).failsLike(400, "not exportable")
			h.do("DELETE", "transit/keys/k", h.root, nil).failsLike(400, "deletion is not allowed for this key")
			h.do("POST", "transit/keys/k/config", h.root, m{"deletion_allowed": true}).is(200)
			h.do("DELETE", "transit/keys/k", h.root, nil).empty()
		}},
		{"secrets §5 tests: a wrong hmac is an answer", func(_ *testing.T, h *house) {
			key(h, "k", nil)
			h.do("POST", "transit/keys/other", h.root, nil).is(200)
			right := h.do("POST", "transit/hmac/k", h.root, m{"input": secret}).is(200).text("data", "hmac")
			wrong := h.do("POST", "transit/hmac/other", h.root, m{"input": secret}).is(200).text("data", "hmac")
			h.do("POST", "transit/verify/k", h.root, m{"input": secret, "hmac": right}).is(200).has(true, "data", "valid")
			h.do("POST", "transit/verify/k", h.root, m{"input": secret, "hmac": wrong}).is(200).has(false, "data", "valid")
		}},
		{"secrets §5 tests: derived without a context", func(_ *testing.T, h *house) {
			key(h, "k", m{"derived": true})
			h.do("POST", "transit/encrypt/k", h.root, m{"plaintext": secret}).failsLike(400, "context")
		}},
		{"secrets §5 tests: a key made by its first use takes create", func(_ *testing.T, h *house) {
			key(h, "k", nil)
			update := h.holder("u", `path "transit/encrypt/*" { capabilities = ["update"] }`)
			h.do("POST", "transit/encrypt/made", update, m{"plaintext": secret}).fails(400, "encryption key not found")
			h.do("GET", "transit/keys/made", h.root, nil).is(404)
			create := h.holder("c", `path "transit/encrypt/*" { capabilities = ["create"] }`)
			h.do("POST", "transit/encrypt/made", create, m{"plaintext": secret}).is(200)
			h.do("POST", "transit/encrypt/made", create, m{"plaintext": secret}).fails(403, denied)
			h.do("POST", "transit/encrypt/made", update, m{"plaintext": secret}).is(200)
		}},
	})
}
