package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// logins is a server where a machine logs in by AppRole and by a JWT, over a store that counts.
type logins struct {
	*benched
	t       *testing.T
	counted *storetest.Counting
	// bodies are the logins by mount.
	bodies map[string]string
}

func newLogins(t *testing.T) *logins {
	t.Helper()
	inner, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	counted := &storetest.Counting{Store: inner}
	l := &logins{benched: benchedOver(t, counted), t: t, counted: counted, bodies: map[string]string{}}
	l.do("POST", "sys/policies/acl/other", `{"policy":"path \"secret/data/*\" { capabilities = [\"read\"] }"}`)
	l.do("POST", "auth/approle/role/bench", `{"role_id":"r-1"}`)
	l.do("POST", "auth/approle/role/bench/custom-secret-id", `{"secret_id":"s-1"}`)
	l.bodies["approle"] = `{"role_id":"r-1","secret_id":"s-1"}`
	key := oidctest.NewKey(t, jose.RS256, "")
	l.do("POST", "sys/auth/jwt", `{"type":"jwt"}`)
	l.do("POST", "auth/jwt/config", fmt.Sprintf(`{"jwt_validation_pubkeys":%q}`, key.PEM(t)))
	l.do("POST", "auth/jwt/role/bench", `{"role_type":"jwt","user_claim":"sub","bound_audiences":"a","groups_claim":"groups","token_policies":"bench","token_ttl":"1h"}`)
	l.bodies["jwt"] = fmt.Sprintf(`{"role":"bench","jwt":%q}`, key.Sign(t, map[string]any{"sub": "bench", "aud": "a", "groups": []string{"ops"}, "exp": 4102444800}))
	return l
}

// do sends a request of the operator, which must succeed.
func (l *logins) do(method, path, body string) map[string]any {
	l.t.Helper()
	k := &kept{header: http.Header{}}
	if err := l.send(k, method, "/v1/"+path, l.token, body); err != nil {
		l.t.Fatal(err)
	}
	var answer struct {
		Data map[string]any `json:"data"`
	}
	if k.body.Len() > 0 {
		if err := json.Unmarshal(k.body.Bytes(), &answer); err != nil {
			l.t.Fatal(err)
		}
	}
	return answer.Data
}

// earned is the token block of a login.
type earned struct {
	EntityID      string   `json:"entity_id"`
	Policies      []string `json:"policies"`
	TokenPolicies []string `json:"token_policies"`
	LeaseDuration int      `json:"lease_duration"`
	TokenType     string   `json:"token_type"`
}

func (l *logins) login(mount string) (earned, error) {
	l.t.Helper()
	var answer struct {
		Auth earned `json:"auth"`
	}
	k := &kept{header: http.Header{}}
	if err := l.send(k, "POST", "/v1/auth/"+mount+"/login", "", l.bodies[mount]); err != nil {
		return earned{}, err
	}
	return answer.Auth, json.Unmarshal(k.body.Bytes(), &answer)
}

func (l *logins) must(mount string) earned {
	l.t.Helper()
	e, err := l.login(mount)
	if err != nil {
		l.t.Fatal(err)
	}
	return e
}

// A login of somebody known is one durable transaction and no other look at the store, and reads
// and writes no more than the making of a token does, which hangs below its maker: what it proves,
// it knows.
func TestCostOfLogins(t *testing.T) {
	l := newLogins(t)
	create := func() { l.do("POST", "auth/token/create", `{"policies":["bench"],"ttl":"1h","display_name":"bench"}`) }
	// The counts of facets are folded every so many changes, and the sweeper looks in now and then:
	// what is compared is an average. One look or read more in each login is found all the same.
	const times, some = 96, 96 / 2
	average := func(operation func()) storetest.Cost {
		operation()
		operation()
		return l.counted.Of(func() {
			for range times {
				operation()
			}
		})
	}
	made := average(create)
	for mount := range l.bodies {
		got := average(func() { l.must(mount) })
		if got.Views > some || got.Updates < times || got.Updates > times+some {
			t.Errorf("%s: %d logins are %d views and %d transactions", mount, times, got.Views, got.Updates)
		}
		// A login's token is found by its entity and a pair of metadata as well, but hangs below nobody.
		if got.Reads() > made.Reads()+some || got.Writes > made.Writes+times+some {
			t.Errorf("%s: %d reads and %d writes, where tokens are made with %d and %d", mount, got.Reads(), got.Writes, made.Reads(), made.Writes)
		}
	}
}

// Whatever a login rests on is as it was written last, at the very next login, however often the
// same login was made before.
func TestLoginsAreNeverStale(t *testing.T) {
	l := newLogins(t)
	for mount := range l.bodies {
		t.Run(mount, func(t *testing.T) {
			l.t = t
			for range 3 {
				l.must(mount)
			}
			before := l.must(mount)
			role, entity := "auth/"+mount+"/role/bench", "identity/entity/id/"+before.EntityID
			rows := []struct {
				name string
				path string
				body string
				want func(e earned) bool
			}{
				{"the role's policies", role, `{"token_policies":"other"}`, func(e earned) bool { return slices.Equal(e.TokenPolicies, []string{"default", "other"}) }},
				{"without default", role, `{"token_no_default_policy":true}`, func(e earned) bool { return slices.Equal(e.TokenPolicies, []string{"other"}) }},
				{"the role's ttl", role, `{"token_ttl":"2h"}`, func(e earned) bool { return e.LeaseDuration == 7200 }},
				{"the role's type", role, `{"token_type":"batch"}`, func(e earned) bool { return e.TokenType == "batch" }},
				{"the role's type again", role, `{"token_type":"service"}`, func(e earned) bool { return e.TokenType == "service" }},
				{"the mount's longest life", "sys/auth/" + mount + "/tune", `{"max_lease_ttl":"30m"}`, func(e earned) bool { return e.LeaseDuration == 1800 }},
				{"the mount's type of tokens", "sys/auth/" + mount + "/tune", `{"token_type":"batch"}`, func(e earned) bool { return e.TokenType == "batch" }},
				{"the entity's policies", entity, `{"policies":["more"]}`, func(e earned) bool { return slices.Equal(e.Policies, []string{"more", "other"}) }},
			}
			for _, row := range rows {
				l.do("POST", row.path, row.body)
				for range 2 {
					if e := l.must(mount); !row.want(e) || e.EntityID != before.EntityID {
						t.Errorf("%s: %+v", row.name, e)
					}
				}
			}
			l.do("POST", entity, `{"disabled":true}`)
			if _, err := l.login(mount); err == nil {
				t.Error("a disabled entity logs in")
			}
			l.do("POST", entity, `{"disabled":false}`)
			l.must(mount)
			l.do("DELETE", entity, "")
			if e := l.must(mount); e.EntityID == before.EntityID {
				t.Error("a login finds the entity that was deleted")
			}
			l.do("DELETE", role, "")
			if _, err := l.login(mount); err == nil {
				t.Error("a login by a role that was deleted")
			}
		})
	}
}
