package contract_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/engine/leasetest"
)

// bound writes a lease count quota.
func (h *house) bound(name, path string, most int) {
	h.t.Helper()
	h.do("POST", "sys/quotas/lease-count/"+name, h.root, m{"path": path, "max_leases": most}).empty()
}

// counts checks how many leases a quota counts.
func (h *house) counts(name string, want int) {
	h.t.Helper()
	h.do("GET", "sys/quotas/lease-count/"+name, h.root, nil).is(200).has(want, "data", "counter")
}

// full is the refusal of a lease.
func full(path string) string {
	return fmt.Sprintf("request path %q: lease count quota exceeded", path)
}

func TestLeaseCountQuotas(t *testing.T) {
	rows(t, []row{
		{"sys §17 lease-count: the shapes", func(t *testing.T, h *house) {
			h.do("LIST", "sys/quotas/lease-count", h.root, nil).fails(404)
			h.do("GET", "sys/quotas/lease-count/none", h.root, nil).fails(404)
			h.bound("b", "auth/token", 7)
			h.do("GET", "sys/quotas/lease-count/b", h.root, nil).is(200).
				has(m{"type": "lease-count", "name": "b", "path": "auth/token/", "role": "", "max_leases": 7, "counter": 0, "inheritable": false}, "data")
			h.bound("a", "", 5)
			h.do("GET", "sys/quotas/lease-count/a", h.root, nil).has(true, "data", "inheritable").has("", "data", "path")
			h.do("LIST", "sys/quotas/lease-count", h.root, nil).has([]string{"a", "b"}, "data", "keys")
			h.do("DELETE", "sys/quotas/lease-count/b", h.root, nil).empty()
			h.do("DELETE", "sys/quotas/lease-count/b", h.root, nil).empty()
			h.do("GET", "sys/quotas/lease-count/b", h.root, nil).fails(404)
		}},
		{"sys §17 lease-count: what is refused", func(t *testing.T, h *house) {
			at := "sys/quotas/lease-count/x"
			h.do("POST", at, h.root, m{"max_leases": 0}).fails(400, "'max_leases' is invalid")
			h.do("POST", at, h.root, m{"max_leases": -1}).fails(400, "'max_leases' is invalid")
			h.do("POST", at, h.root, m{"max_leases": 1, "path": "not-exist/"}).fails(400, `invalid mount path "not-exist/"`)
			h.do("POST", at, h.root, m{"max_leases": 1, "role": "r", "path": "auth/token"}).failsLike(400, "not supported")
			h.bound("first", "", 1000)
			h.do("POST", at, h.root, m{"max_leases": 1}).fails(400, `quota rule with similar properties exists under the name "first"`)
			h.bound("first", "", 2000)
		}},
		{"sys §17 what is there counts, what ends counts no more", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/ann", h.root, m{"password": "horse"}).empty()
			login := func() *answer { return h.do("POST", "auth/userpass/login/ann", "", m{"password": "horse"}) }
			first := login().is(200).text("auth", "client_token")
			h.bound("q", "auth/userpass", 2)
			h.counts("q", 1)
			login().is(200)
			h.counts("q", 2)
			login().fails(429, full("auth/userpass/login/ann"))
			h.counts("q", 2)
			h.create(h.root, nil) // another mount's
			h.do("POST", "auth/token/revoke-self", first, nil).empty()
			h.counts("q", 1)
			login().is(200)
			login().is(429)
			h.do("DELETE", "sys/auth/userpass", h.root, nil).empty()
			h.counts("q", 0)
		}},
		{"sys §17 a login that is refused consumes nothing", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
			h.do("POST", "auth/approle/role/r", h.root, m{"secret_id_num_uses": 1}).empty()
			id := h.do("GET", "auth/approle/role/r/role-id", h.root, nil).text("data", "role_id")
			secret := h.do("POST", "auth/approle/role/r/secret-id", h.root, nil).text("data", "secret_id")
			other := h.do("POST", "auth/approle/role/r/secret-id", h.root, nil).text("data", "secret_id")
			h.bound("q", "auth/approle", 1)
			token := h.do("POST", "auth/approle/login", "", m{"role_id": id, "secret_id": other}).is(200).text("auth", "client_token")
			h.do("POST", "auth/approle/login", "", m{"role_id": id, "secret_id": secret}).is(429)
			h.do("POST", "auth/token/revoke", h.root, m{"token": token}).empty()
			h.do("POST", "auth/approle/login", "", m{"role_id": id, "secret_id": secret}).is(200)
		}},
		{"sys §17 the most specific quota alone counts", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			for _, name := range []string{"ann", "bob"} {
				h.do("POST", "auth/userpass/users/"+name, h.root, m{"password": "horse"}).empty()
			}
			login := func(name string) *answer {
				return h.do("POST", "auth/userpass/login/"+name, "", m{"password": "horse"})
			}
			h.bound("mount", "auth/userpass", 1)
			login("ann").is(200)
			login("bob").is(429)
			h.bound("bob", "auth/userpass/login/bob", 2)
			login("bob").is(200)
			login("bob").is(200)
			login("bob").is(429)
			h.counts("mount", 1)
			h.counts("bob", 2)
			// Without the more specific one its leases are the mount's.
			h.do("DELETE", "sys/quotas/lease-count/bob", h.root, nil).empty()
			h.counts("mount", 3)
			h.bound("all", "auth/userpass/login/*", 4)
			h.counts("all", 3)
			h.counts("mount", 0)
			login("ann").is(200)
			login("ann").is(429)
		}},
		{"sys §17 root tokens are never refused; batch tokens are, and do not count", func(t *testing.T, h *house) {
			h.bound("q", "auth/token", 1)
			h.counts("q", 0) // init's root token has no lease
			h.create(h.root, m{"policies": "default"})
			h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).fails(429, full("auth/token/create"))
			h.do("POST", "auth/token/create", h.root, m{"policies": "default", "type": "batch"}).is(429)
			h.do("POST", "auth/token/create", h.root, m{"ttl": "1h"}).is(200)
			h.counts("q", 2)
			h.bound("q", "auth/token", 3)
			h.do("POST", "auth/token/create", h.root, m{"policies": "default", "type": "batch"}).is(200)
			h.counts("q", 2)
		}},
		{"sys §17 an expired token makes room at once", func(t *testing.T, h *house) {
			h.bound("q", "auth/token", 2)
			h.create(h.root, m{"policies": "default", "ttl": "10s"})
			h.create(h.root, m{"policies": "default", "ttl": "20s"})
			h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(429)
			h.wall.advance(15 * time.Second)
			h.create(h.root, m{"policies": "default"})
			h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(429)
		}},
		{"sys §17 a token revoked alone counts no more, its children do", func(t *testing.T, h *house) {
			h.bound("q", "auth/token", 10)
			parent := h.create(h.root, m{"policies": "root", "ttl": "1h"})
			h.create(parent, m{"policies": "default"})
			h.counts("q", 2)
			h.do("POST", "auth/token/revoke-orphan", h.root, m{"token": parent}).empty()
			h.counts("q", 1)
		}},
		{"sys §17 exact under concurrency", func(t *testing.T, h *house) {
			h.bound("q", "auth/token", 8)
			var made atomic.Int32
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					switch a := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}); a.status {
					case 200:
						made.Add(1)
					case 429:
					default:
						t.Errorf("status %d: %s", a.status, a.body)
					}
				})
			}
			all.Wait()
			if made.Load() != 8 {
				t.Errorf("%d tokens were made, want 8", made.Load())
			}
			h.counts("q", 8)
		}},
		{"sys §17 exact though made while tokens come and go", func(t *testing.T, h *house) {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					for range 10 {
						text := h.create(h.root, m{"policies": "default"})
						h.create(h.root, m{"policies": "default"})
						h.do("POST", "auth/token/revoke", h.root, m{"token": text}).empty()
					}
				})
			}
			for i := range 10 {
				h.bound("q", []string{"auth/token", ""}[i%2], 1000)
			}
			all.Wait()
			h.counts("q", 40)
		}},
		{"sys §17 the count outlives a sealing", func(t *testing.T, h *house) {
			h.bound("q", "auth/token", 2)
			h.create(h.root, m{"policies": "default"})
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.do("PUT", "sys/unseal", "", m{"key": hex.EncodeToString(h.unseal)}).is(200)
			h.counts("q", 1)
			h.create(h.root, m{"policies": "default"})
			h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(429)
		}},
		{"sys §17 wrapping tokens are leases", func(t *testing.T, h *house) {
			h.bound("q", "", 1)
			at := "auth/token/lookup-self"
			text := h.do("GET", at, h.root, nil, wrapped("5m")).is(200).text("wrap_info", "token")
			h.do("GET", at, h.root, nil, wrapped("5m")).fails(429, full(at))
			h.do("PUT", "sys/wrapping/unwrap", text, nil).is(200)
			h.do("GET", at, h.root, nil, wrapped("5m")).is(200)
		}},
		{"sys §18 the quotas are measured", func(t *testing.T, h *house) {
			h.bound("q", "auth/token", 1)
			h.create(h.root, m{"policies": "default"})
			h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(429)
			body := h.do("GET", "sys/metrics", h.root, nil).is(200).body
			for _, name := range []string{"quota.lease_count.counter", "quota.lease_count.max"} {
				if !strings.Contains(body, name) {
					t.Errorf("sys/metrics lacks %s", name)
				}
			}
		}},
	})
}

func TestLeaseCountQuotasOfEngines(t *testing.T) {
	leaseRows(t, []leaseRow{
		{"sys §17 a lease counts until its secret is taken back; one too many is taken back at once", func(t *testing.T, l *leasing) {
			l.bound("q", "db/", 2)
			first := l.do("GET", "db/creds/ro", l.root, nil).is(200).text("lease_id")
			l.do("GET", "db/creds/ro", l.root, nil).is(200)
			l.do("GET", "db/creds/ro", l.root, nil).fails(429, full("db/creds/ro"))
			l.counts("q", 2)
			issued := l.world.Issued()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := l.world.Await(ctx, func(w *leasetest.World) bool { return w.Asked() > 0 }); err != nil {
				t.Fatalf("the secret of the refused lease was not taken back: %v", err)
			}
			if issued != 3 {
				t.Fatalf("%d secrets", issued)
			}
			l.do("PUT", "sys/leases/revoke", l.root, m{"lease_id": first}).empty()
			l.counts("q", 1)
			l.do("GET", "db/creds/ro", l.root, nil).is(200)
		}},
		{"sys §17 a lease whose engine refuses to take it back counts on", func(t *testing.T, l *leasing) {
			l.bound("q", "db/creds/ro", 1)
			id := l.do("GET", "db/creds/ro", l.root, nil).is(200).text("lease_id")
			l.world.FailRevoke(func(context.Context, string) error { return fmt.Errorf("away") })
			l.do("PUT", "sys/leases/revoke", l.root, m{"lease_id": id, "sync": true}).is(400)
			l.do("GET", "db/creds/ro", l.root, nil).is(429)
			l.do("PUT", "sys/leases/revoke-force/db", l.root, nil).empty()
			l.counts("q", 0)
			l.world.FailRevoke(nil)
			l.do("GET", "db/creds/ro", l.root, nil).is(200)
		}},
	})
}
