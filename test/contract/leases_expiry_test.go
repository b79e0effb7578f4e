package contract_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/leasetest"
)

func TestLeasesExpiry(t *testing.T) {
	leaseRows(t, []leaseRow{
		{"leases §4.1 six attempts, then irrevocable: kept, counted, listed, and shown with its cause", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(away)
			l.wall.advance(time.Hour)
			l.exhaust()
			if n := l.world.Asked(); n != 6 {
				t.Fatalf("the engine was asked %d times, want 6", n)
			}
			accessor := l.do("GET", "sys/mounts", l.root, nil).is(200).text("data", "db/", "accessor")
			l.lookupLease(id).is(200).has("out of retries: the database is away", "data", "revoke_error")
			l.do("GET", "sys/leases/count?type=irrevocable", l.root, nil).is(200).has(1, "data", "lease_count").has(m{accessor: 1}, "data", "counts")
			l.do("GET", "sys/leases?type=irrevocable", l.root, nil).is(200).has(1, "data", "lease_count").
				has([]m{{"lease_id": id, "mount_id": accessor, "error": "out of retries: the database is away"}}, "data", "leases").warns()
			// About a day later it is tried again, and works.
			l.world.FailRevoke(nil)
			l.wall.advance(36 * time.Hour)
			l.sweep()
			l.gone(id, name)
			l.do("GET", "sys/leases/count?type=irrevocable", l.root, nil).is(200).has(0, "data", "lease_count")
		}},
		{"leases §4.1 an unrecoverable failure is irrevocable at once", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(denies)
			l.wall.advance(time.Hour)
			l.sweep()
			l.lookupLease(id).is(200).has("no such user", "data", "revoke_error")
			if n := l.world.Asked(); n != 1 {
				t.Fatalf("the engine was asked %d times, want once", n)
			}
		}},
		{"leases §4.1 the cause has at most 240 characters", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(func(context.Context, string) error { return backend.Invalidf("%s", strings.Repeat("ä", 500)) })
			l.wall.advance(time.Hour)
			l.sweep()
			l.lookupLease(id).is(200).has(strings.Repeat("ä", 120), "data", "revoke_error")
		}},
		{"leases §7.17 §4.2 a restart changes nothing, and what expired meanwhile is revoked then", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.world.SetRole("short", leasetest.Role{TTL: time.Minute})
			short, shortName := l.creds(l.root, "db/creds/short")
			l.restart(10 * time.Minute)
			l.lookupLease(id).is(200).has(3000, "data", "ttl")
			l.do("POST", "sys/leases/renew", l.root, m{"lease_id": short}).is(400)
			l.sweep()
			l.gone(short, shortName)
			l.stays(id, name)
		}},
		{"leases §4.2 an end that was not settled before a restart is settled after it, once", func(t *testing.T, l *leasing) {
			token := l.reader(nil)
			id, name := l.creds(token, "db/creds/ro")
			l.world.FailRevoke(away)
			l.do("POST", "auth/token/revoke", l.root, m{"token": token}).empty()
			l.world.FailRevoke(nil)
			l.restart(time.Minute)
			l.sweep()
			l.gone(id, name)
		}},
		{"a wall clock that is set back brings no lease to life", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.wall.advance(time.Hour)
			l.lookup(l.root).is(200) // the time is acted on
			l.wall.advance(-2 * time.Hour)
			l.do("POST", "sys/leases/renew", l.root, m{"lease_id": id}).is(400)
			l.sweep()
			l.gone(id, name)
		}},
		{"pain 10: an engine that hangs holds up no other", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/mounts/slow", l.root, m{"type": "leasing"}).empty()
			_, stuck := l.creds(l.root, "slow/creds/ro")
			id, name := l.creds(l.root, "db/creds/ro")
			release := make(chan struct{})
			l.world.FailRevoke(func(ctx context.Context, name string) error {
				if name != stuck {
					return nil
				}
				select {
				case <-release:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			l.wall.advance(time.Hour)
			h := l.node.Enter()
			defer h.Leave()
			if _, err := h.Leases.Sweep(context.Background()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := l.world.Await(ctx, func(w *leasetest.World) bool { return w.Revoked(name) == 1 }); err != nil {
				t.Fatal(err)
			}
			close(release)
			h.Leases.Wait()
			l.lookupLease(id).fails(400, "invalid lease")
			if l.world.Revoked(stuck) != 1 {
				t.Fatal("the slow one was not revoked in the end")
			}
		}},
	})
}

func TestLeasesCountAndList(t *testing.T) {
	leaseRows(t, []leaseRow{
		{"leases §3.6 tidy", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/leases/tidy", l.root, nil).is(202).
				warns("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.").has(nil, "data")
		}},
		{"leases §7.19 §3.6 count without type, or of another", func(t *testing.T, l *leasing) {
			l.do("GET", "sys/leases/count", l.root, nil).fails(404)
			l.do("GET", "sys/leases/count?type=live", l.root, nil).fails(404)
			l.do("GET", "sys/leases", l.root, nil).fails(404)
		}},
		{"leases §3.6 none", func(t *testing.T, l *leasing) {
			l.do("GET", "sys/leases/count?type=irrevocable&include_child_namespaces=true", l.root, nil).is(200).
				has(0, "data", "lease_count").has(m{}, "data", "counts").warns()
			l.do("GET", "sys/leases?type=irrevocable", l.root, nil).is(200).has(0, "data", "lease_count").has([]m{}, "data", "leases")
		}},
		{"leases §3 the list needs sudo, the count does not", func(t *testing.T, l *leasing) {
			plain := l.holder("plain", `path "sys/leases*" { capabilities = ["read"] }`)
			l.do("GET", "sys/leases?type=irrevocable", plain, nil).fails(403, denied)
			l.do("GET", "sys/leases/count?type=irrevocable", plain, nil).is(200)
		}},
		{"leases §3.6 the limit", func(t *testing.T, l *leasing) {
			l.world.FailRevoke(denies)
			for i := range 3 {
				l.world.SetRole("r", leasetest.Role{TTL: time.Duration(3-i) * time.Minute})
				l.creds(l.root, "db/creds/r")
			}
			l.wall.advance(time.Hour)
			l.sweep()
			list := func(limit string) *answer {
				return l.do("GET", "sys/leases?type=irrevocable&limit="+limit, l.root, nil)
			}
			list("2").is(200).has(2, "data", "lease_count").warns()
			list("none").is(200).has(3, "data", "lease_count").warns()
			list("0").fails(500, wrap1("limit must be 'none' or a positive integer"))
			list("-1").fails(500, wrap1("limit must be 'none' or a positive integer"))
			list("many").failsLike(500, "invalid 'limit' provided: ")
			// Sorted by expiry: the last issued ends first.
			first := list("1").is(200).at("data", "leases").([]any)[0].(m)["lease_id"].(string)
			l.lookupLease(first).is(200).has("2026-03-01T12:01:00.123456789Z", "data", "expire_time")
		}},
	})
}

func TestLeasesOfMounts(t *testing.T) {
	leaseRows(t, []leaseRow{
		{"sys §7 removing a mount revokes its secrets", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.do("DELETE", "sys/mounts/db", l.root, nil).empty()
			l.gone(id, name)
			l.do("GET", "db/creds/ro", l.root, nil).is(404)
			l.do("POST", "sys/mounts/db", l.root, m{"type": "leasing"}).empty()
		}},
		{"sys §7 one whose engine fails serves nothing, stays until it succeeds, and then goes by itself", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(away)
			l.do("DELETE", "sys/mounts/db", l.root, nil).failsLike(400, "the database is away")
			l.do("GET", "db/creds/ro", l.root, nil).is(404)
			l.do("POST", "sys/mounts/db", l.root, m{"type": "leasing"}).failsLike(400, "path is already in use")
			l.world.FailRevoke(nil)
			l.wall.advance(time.Minute)
			l.sweep()
			l.gone(id, name)
			l.do("POST", "sys/mounts/db", l.root, m{"type": "leasing"}).empty()
		}},
		{"sys §7 asking again, or dropping the leases, ends the waiting", func(t *testing.T, l *leasing) {
			l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(away)
			l.do("DELETE", "sys/mounts/db", l.root, nil).is(400)
			l.do("DELETE", "sys/mounts/db", l.root, nil).is(400)
			l.do("POST", "sys/leases/revoke-force/db", l.root, nil).empty()
			l.do("DELETE", "sys/mounts/db", l.root, nil).empty()
			l.do("POST", "sys/mounts/db", l.root, m{"type": "leasing"}).empty()
		}},
		{"CVE-2026-42186 a restart in the middle of a removal goes on with it: revoked once, path free", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(away)
			l.do("DELETE", "sys/mounts/db", l.root, nil).is(400)
			l.restart(time.Minute)
			l.do("GET", "db/creds/ro", l.root, nil).is(404)
			l.do("POST", "sys/mounts/db", l.root, m{"type": "leasing"}).failsLike(400, "path is already in use")
			l.world.FailRevoke(nil)
			l.wall.advance(time.Minute)
			l.sweep()
			l.gone(id, name)
			l.do("POST", "sys/mounts/db", l.root, m{"type": "leasing"}).empty()
			l.do("LIST", "sys/leases/lookup/db", l.root, nil).fails(404)
		}},
		{"sys §9 moving a mount revokes what was issued under its old path", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/remount", l.root, m{"from": "db", "to": "db2"}).is(200)
			l.gone(id, name)
			id, name = l.creds(l.root, "db2/creds/ro")
			l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": id}).empty()
			l.gone(id, name)
		}},
		{"a request that is under way when its mount is removed leaves no secret behind", func(t *testing.T, l *leasing) {
			// The secret of an answer on the way is registered before the removal revokes.
			done := make(chan *answer)
			var calls atomic.Int64
			for range 8 {
				go func() {
					calls.Add(1)
					done <- l.do("GET", "db/creds/ro", l.root, nil)
				}()
			}
			l.do("DELETE", "sys/mounts/db", l.root, nil).empty()
			for range 8 {
				if a := <-done; a.status != 200 && a.status != 404 {
					t.Errorf("status %d: %s", a.status, a.body)
				}
			}
			l.sweep()
			if n := l.world.Valid(); n != 0 {
				t.Fatalf("%d of %d secrets are still valid", n, l.world.Issued())
			}
		}},
	})
}
