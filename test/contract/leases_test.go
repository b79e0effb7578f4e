package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/leasetest"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store/embedded"
)

// leasing is a server with an engine at db/ whose secrets are valid in a world of the test's.
type leasing struct {
	*house
	world *leasetest.World
}

func openLeasing(t *testing.T) *leasing {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	l := &leasing{world: leasetest.NewWorld()}
	l.house = &house{t: t, wall: &wall{}, store: raw, log: &lockedBuffer{}, audit: &recorder{},
		kinds: []mount.Kind{{Name: "leasing", Class: mount.SecretClass, New: l.world.New}}}
	l.wall.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC).UnixNano())
	l.start(raw)
	dev, err := l.node.StartDev(context.Background(), node.DevOptions{NoKV: true})
	if err != nil {
		t.Fatal(err)
	}
	l.unseal, l.root = dev.UnsealKey, dev.RootToken
	l.do("POST", "sys/mounts/db", l.root, m{"type": "leasing"}).empty()
	l.world.SetRole("ro", leasetest.Role{TTL: time.Hour})
	return l
}

// leaseRow is one line of contract leases.
type leaseRow struct {
	name string
	run  func(t *testing.T, l *leasing)
}

func leaseRows(t *testing.T, list []leaseRow) {
	t.Helper()
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.run(t, openLeasing(t))
		})
	}
}

// creds reads a secret and returns its lease and its name in the world.
func (l *leasing) creds(token, path string) (id, name string) {
	l.t.Helper()
	a := l.do("GET", path, token, nil).is(200)
	return a.text("lease_id"), a.text("data", "name")
}

// reader is a token that may read db/ and see to leases.
func (l *leasing) reader(body m) string {
	l.t.Helper()
	l.policy("reader", `path "db/*" { capabilities = ["read", "update"] } path "sys/leases/*" { capabilities = ["update"] }`)
	if body == nil {
		body = m{}
	}
	body["policies"] = []string{"reader"}
	return l.create(l.root, body)
}

// tune tunes the mount of the engine.
func (l *leasing) tune(tuning m) {
	l.t.Helper()
	if a := l.do("POST", "sys/mounts/db/tune", l.root, tuning); a.status != 204 && a.status != 200 {
		l.t.Fatalf("tune: status %d, body %s", a.status, a.body)
	}
}

// sweep does all that is due.
func (l *leasing) sweep() {
	l.t.Helper()
	h, leave := l.node.Enter()
	if h == nil {
		l.t.Fatal("sealed")
	}
	defer leave()
	ctx := context.Background()
	for {
		tokens, err := h.Tokens.Sweep(ctx)
		if err != nil {
			l.t.Fatal(err)
		}
		h.Leases.Wait()
		started, err := h.Leases.Sweep(ctx)
		if err != nil {
			l.t.Fatal(err)
		}
		h.Leases.Wait()
		if tokens+started == 0 {
			break
		}
	}
	if err := h.Mounts.Resume(ctx); err != nil {
		l.t.Fatal(err)
	}
}

// restart is what a server does between two lives, but for its memory.
func (l *leasing) restart(downtime time.Duration) {
	l.t.Helper()
	ctx := context.Background()
	if err := l.node.Seal(ctx); err != nil {
		l.t.Fatal(err)
	}
	l.wall.advance(downtime)
	if _, err := l.node.SubmitShare(ctx, "", l.unseal); err != nil {
		l.t.Fatal(err)
	}
}

func (l *leasing) lookupLease(id string) *answer {
	l.t.Helper()
	return l.do("POST", "sys/leases/lookup", l.root, m{"lease_id": id})
}

// gone checks that a lease is no more, and that its secret was taken back exactly once.
func (l *leasing) gone(id, name string) {
	l.t.Helper()
	l.lookupLease(id).fails(400, "invalid lease")
	if n := l.world.Revoked(name); n != 1 {
		l.t.Fatalf("the secret of %s was taken back %d times, want once", name, n)
	}
}

// stays checks that a lease and its secret are untouched.
func (l *leasing) stays(id, name string) {
	l.t.Helper()
	l.lookupLease(id).is(200)
	if n := l.world.Revoked(name); n != 0 {
		l.t.Fatalf("the secret of %s was taken back %d times, want never", name, n)
	}
}

// away is the engine's other system being away.
func away(context.Context, string) error { return errors.New("the database is away") }

// denies is the engine refusing for good.
func denies(context.Context, string) error { return backend.Invalidf("no such user") }

// exhaust fails all attempts of the sweeper.
func (l *leasing) exhaust() {
	l.t.Helper()
	for range 6 {
		l.sweep()
		l.wall.advance(10 * time.Minute)
	}
}

func TestLeasesIssue(t *testing.T) {
	leaseRows(t, []leaseRow{
		{"leases §1.2 the id is the path and 24 base62 characters", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			suffix, ok := strings.CutPrefix(id, "db/creds/ro/")
			if !ok || len(suffix) != 24 || strings.Trim(suffix, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
				t.Fatalf("lease id %q", id)
			}
		}},
		{"leases §2.1 the backend's TTL", func(t *testing.T, l *leasing) {
			l.do("GET", "db/creds/ro", l.root, nil).is(200).has(3600, "lease_duration").has(true, "renewable").warns()
		}},
		{"leases §2.1 without one the mount's default", func(t *testing.T, l *leasing) {
			l.tune(m{"default_lease_ttl": "10m"})
			l.do("GET", "db/creds/other", l.root, nil).is(200).has(600, "lease_duration")
		}},
		{"leases §2.6 the system's default", func(t *testing.T, l *leasing) {
			l.do("GET", "db/creds/other", l.root, nil).is(200).has(2764800, "lease_duration")
		}},
		{"leases §7.10 §2.1 TTL over the mount's max is capped with a warning", func(t *testing.T, l *leasing) {
			l.tune(m{"default_lease_ttl": "10m", "max_lease_ttl": "20m"})
			l.do("GET", "db/creds/ro", l.root, nil).is(200).has(1200, "lease_duration").
				warns(`TTL of "1h" exceeded the effective max_ttl of "20m"; TTL value is capped accordingly`)
		}},
		{"leases §2.1 the backend's max bounds too", func(t *testing.T, l *leasing) {
			l.world.SetRole("capped", leasetest.Role{TTL: time.Hour, MaxTTL: time.Minute})
			l.do("GET", "db/creds/capped", l.root, nil).is(200).has(60, "lease_duration").
				warns(`TTL of "1h" exceeded the effective max_ttl of "1m"; TTL value is capped accordingly`)
		}},
		{"leases §7.14 §2.2 a batch token's lease ends with it", func(t *testing.T, l *leasing) {
			batch := l.reader(m{"type": "batch", "ttl": "60s"})
			a := l.do("GET", "db/creds/ro", batch, nil).is(200).warns()
			if d := a.number("lease_duration"); d > 60 || d < 59 {
				t.Fatalf("lease_duration %d", d)
			}
		}},
		{"CVE-2020-25816 a batch token's lease is revoked when the token ends, also across a restart", func(t *testing.T, l *leasing) {
			batch := l.reader(m{"type": "batch", "ttl": "2s"})
			id, name := l.creds(batch, "db/creds/ro")
			l.restart(2001 * time.Millisecond)
			l.sweep()
			l.gone(id, name)
		}},
		{"leases §5.2 a non-orphan batch token's leases hang off the parent", func(t *testing.T, l *leasing) {
			parent := l.reader(m{"ttl": "1h"})
			l.policy("reader2", `path "auth/token/create" { capabilities = ["update"] }`)
			maker := l.create(l.root, m{"policies": []string{"reader", "reader2"}})
			batch := l.create(maker, m{"type": "batch", "ttl": "30m", "policies": []string{"reader"}})
			id, name := l.creds(batch, "db/creds/ro")
			kept, keptName := l.creds(parent, "db/creds/ro")
			l.do("POST", "auth/token/revoke", l.root, m{"token": maker}).empty()
			l.do("POST", "sys/leases/renew", l.root, m{"lease_id": id}).failsLike(400, "lease")
			l.sweep()
			l.gone(id, name)
			l.stays(kept, keptName)
		}},
		{"leases §5.2 an orphan batch token's leases are only bound by its time", func(t *testing.T, l *leasing) {
			batch := l.reader(m{"type": "batch", "ttl": "30m", "no_parent": true})
			id, name := l.creds(batch, "db/creds/ro")
			l.sweep()
			l.stays(id, name)
			l.wall.advance(30 * time.Minute)
			l.sweep()
			l.gone(id, name)
		}},
		{"leases §2.3 a service token's lease may outlast it on paper", func(t *testing.T, l *leasing) {
			token := l.reader(m{"ttl": "10m"})
			id, name := l.creds(token, "db/creds/ro")
			l.lookupLease(id).is(200).has(3600, "data", "ttl")
			l.wall.advance(10 * time.Minute)
			l.sweep()
			l.gone(id, name)
		}},
		{"leases §2.5 tuning changes new leases and renewals only", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.tune(m{"default_lease_ttl": "1m", "max_lease_ttl": "2m"})
			l.lookupLease(id).is(200).has(3600, "data", "ttl")
			l.do("GET", "db/creds/ro", l.root, nil).is(200).has(120, "lease_duration")
			l.do("POST", "sys/leases/renew", l.root, m{"lease_id": id}).is(200).has(120, "lease_duration")
		}},
		{"tokens §9.2 the last use gets no secret, and it is revoked", func(t *testing.T, l *leasing) {
			token := l.reader(m{"num_uses": 1})
			l.do("GET", "db/creds/ro", token, nil).
				fails(400, "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.")
			if l.world.Issued() != 1 || l.world.Revoked("ro-1") != 1 {
				t.Fatalf("issued %d, revoked %d", l.world.Issued(), l.world.Revoked("ro-1"))
			}
			l.do("LIST", "sys/leases/lookup/db", l.root, nil).fails(404)
		}},
		{"tokens §9.2 if the engine fails then, the sweeper takes the secret back", func(t *testing.T, l *leasing) {
			token := l.reader(m{"num_uses": 1})
			l.world.FailRevoke(away)
			l.do("GET", "db/creds/ro", token, nil).failsLike(400, "Secret cannot be returned")
			l.world.FailRevoke(nil)
			l.wall.advance(time.Minute)
			l.sweep()
			if l.world.Revoked("ro-1") != 1 {
				t.Fatalf("revoked %d times", l.world.Revoked("ro-1"))
			}
		}},
		{"cves, Vault 0.6.4 (b): uses run out with live leases: revoked once", func(t *testing.T, l *leasing) {
			token := l.reader(m{"num_uses": 2})
			id, name := l.creds(token, "db/creds/ro")
			l.lookup(token).is(200)
			l.sweep()
			l.gone(id, name)
		}},
		{"a leased answer to a request without a token is refused and its secret taken back", func(t *testing.T, l *leasing) {
			l.do("GET", "db/open/ro", "", nil).is(403)
			if l.world.Revoked("ro-1") != 1 {
				t.Fatal("the secret is still valid")
			}
		}},
		{"leases §4.5 a secret that could not be audited is taken back", func(t *testing.T, l *leasing) {
			l.devices()
			l.audit.refuseIf(func(line string) bool {
				return strings.Contains(line, `"type":"response"`) && strings.Contains(line, "db/creds/ro")
			})
			l.do("GET", "db/creds/ro", l.root, nil).is(500)
			l.audit.refuseIf(nil)
			l.sweep()
			if l.world.Revoked("ro-1") != 1 {
				t.Fatal("the secret is still valid")
			}
		}},
		{"audit §5.3 the response entry names the lease in clear", func(t *testing.T, l *leasing) {
			l.devices()
			id, _ := l.creds(l.root, "db/creds/ro")
			found := false
			for _, e := range l.audit.all(t) {
				if response, ok := e["response"].(m); ok {
					if secret, ok := response["secret"].(m); ok {
						found = found || secret["lease_id"] == id
					}
				}
			}
			if !found {
				t.Fatal("no entry has the lease")
			}
		}},
		{"the end of a lease is an event of the audit log", func(t *testing.T, l *leasing) {
			l.devices()
			id, _ := l.creds(l.root, "db/creds/ro")
			l.wall.advance(time.Hour)
			l.sweep()
			found := false
			for _, e := range l.audit.all(t) {
				text, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				found = found || strings.Contains(string(text), "lease.ended") && strings.Contains(string(text), id)
			}
			if !found {
				t.Fatal("no event names the lease")
			}
		}},
		{"a wrapped secret keeps its lease inside", func(t *testing.T, l *leasing) {
			a := l.do("GET", "db/creds/ro", l.root, nil, wrapped("5m")).is(200).has("", "lease_id").has(0, "lease_duration")
			inner := l.do("POST", "sys/wrapping/unwrap", a.text("wrap_info", "token"), nil).is(200).has(3600, "lease_duration")
			l.lookupLease(inner.text("lease_id")).is(200)
		}},
		{"leases §7.21 §1.7 kv version 1 has no lease", func(t *testing.T, l *leasing) {
			l.mount("kv1")
			l.do("POST", "kv1/a", l.root, m{"x": "y"}).empty()
			l.do("GET", "kv1/a", l.root, nil).is(200).has("", "lease_id").has(2764800, "lease_duration").has(false, "renewable")
			l.do("LIST", "sys/leases/lookup/kv1", l.root, nil).fails(404)
		}},
	})
}

func TestLeasesLookup(t *testing.T) {
	leaseRows(t, []leaseRow{
		{"leases §3.1 lookup", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.wall.advance(42 * time.Second)
			l.lookupLease(id).is(200).has(id, "data", "id").has("db/creds/ro", "data", "path").has(true, "data", "renewable").
				has(nil, "data", "last_renewal").has(3558, "data", "ttl").has("2026-03-01T12:00:00.123456789Z", "data", "issue_time").
				has("2026-03-01T13:00:00.123456789Z", "data", "expire_time").lacks("data", "revoke_error")
		}},
		{"leases §3.1 last_renewal once renewed", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.wall.advance(time.Minute)
			l.do("POST", "sys/leases/renew", l.root, m{"lease_id": id}).is(200)
			l.lookupLease(id).is(200).has("2026-03-01T12:01:00.123456789Z", "data", "last_renewal")
		}},
		{"leases §3.1 missing id", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/leases/lookup", l.root, m{}).fails(400, "lease_id must be specified")
		}},
		{"leases §3 non-string id", func(t *testing.T, l *leasing) {
			for _, path := range []string{"lookup", "renew", "revoke"} {
				l.do("POST", "sys/leases/"+path, l.root, m{"lease_id": 5}).fails(400, "invalid lease ID")
			}
		}},
		{"leases §7.1 §3.1 unknown id", func(t *testing.T, l *leasing) {
			l.lookupLease("db/creds/ro/nothing").fails(400, "invalid lease")
		}},
		{"leases §3.1 token leases are looked up too", func(t *testing.T, l *leasing) {
			l.create(l.root, m{"ttl": "1h"})
			keys := l.do("LIST", "sys/leases/lookup/auth/token/create", l.root, nil).is(200).at("data", "keys").([]any)
			id := "auth/token/create/" + keys[0].(string)
			l.lookupLease(id).is(200).has("auth/token/create", "data", "path").has(id, "data", "id")
		}},
		{"leases §1.6 an init root has no lease", func(t *testing.T, l *leasing) {
			l.do("LIST", "sys/leases/lookup/auth/token", l.root, nil).fails(404)
		}},
		{"leases §7.9 §3.2 LIST is a directory, with and without a slash", func(t *testing.T, l *leasing) {
			a, _ := l.creds(l.root, "db/creds/ro")
			b, _ := l.creds(l.root, "db/creds/ro")
			l.creds(l.root, "db/creds/rw")
			l.creds(l.root, "db/deep/ro/creds")
			l.create(l.root, m{"ttl": "1h"})
			l.do("POST", "auth/token/create-orphan", l.root, m{"ttl": "1h"}).is(200)
			names := []string{strings.TrimPrefix(a, "db/creds/ro/"), strings.TrimPrefix(b, "db/creds/ro/")}
			if names[0] > names[1] {
				names[0], names[1] = names[1], names[0]
			}
			for _, slash := range []string{"", "/"} {
				l.do("LIST", "sys/leases/lookup"+slash, l.root, nil).is(200).has([]string{"auth/", "db/"}, "data", "keys")
				l.do("LIST", "sys/leases/lookup/db"+slash, l.root, nil).is(200).has([]string{"creds/", "deep/"}, "data", "keys")
				l.do("LIST", "sys/leases/lookup/db/creds"+slash, l.root, nil).is(200).has([]string{"ro/", "rw/"}, "data", "keys")
				l.do("LIST", "sys/leases/lookup/db/creds/ro"+slash, l.root, nil).is(200).has(names, "data", "keys")
				l.do("LIST", "sys/leases/lookup/auth/token"+slash, l.root, nil).is(200).has([]string{"create-orphan/", "create/"}, "data", "keys")
				l.do("LIST", "sys/leases/lookup/nothing"+slash, l.root, nil).fails(404)
			}
		}},
		{"leases §3 LIST needs sudo", func(t *testing.T, l *leasing) {
			plain := l.holder("lister", `path "sys/leases/lookup/*" { capabilities = ["list"] }`)
			l.do("LIST", "sys/leases/lookup/db", plain, nil).fails(403, denied)
			sudo := l.holder("sudoer", `path "sys/leases/lookup/*" { capabilities = ["list", "sudo"] }`)
			l.do("LIST", "sys/leases/lookup/db", sudo, nil).fails(404)
		}},
		{"leases §3 the default policy looks up and renews at the bare paths", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			plain := l.create(l.root, m{"policies": []string{"default"}})
			l.do("PUT", "sys/leases/lookup", plain, m{"lease_id": id}).is(200)
			l.do("PUT", "sys/leases/renew", plain, m{"lease_id": id}).is(200)
			l.do("PUT", "sys/leases/renew/"+id, plain, nil).fails(403, denied)
			l.do("PUT", "sys/leases/revoke", plain, m{"lease_id": id}).fails(403, denied)
		}},
	})
}

func TestLeasesRenew(t *testing.T) {
	renew := func(l *leasing, id string, increment any) *answer {
		body := m{"lease_id": id}
		if increment != nil {
			body["increment"] = increment
		}
		return l.do("POST", "sys/leases/renew", l.root, body)
	}
	leaseRows(t, []leaseRow{
		{"leases §3.3 the answer is on the envelope", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			renew(l, id, nil).is(200).has(id, "lease_id").has(true, "renewable").has(3600, "lease_duration").has(nil, "data").warns().has(nil, "auth")
			if l.world.Renewed(name) != 1 {
				t.Fatal("the engine was not asked")
			}
			l.stays(id, name)
		}},
		{"leases §3.3.1 no id", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/leases/renew", l.root, nil).fails(400, "lease_id must be specified")
		}},
		{"leases §7.2 §3.3.2 unknown", func(t *testing.T, l *leasing) {
			renew(l, "db/creds/ro/nothing", nil).fails(400, "lease not found")
		}},
		{"leases §3.3.2 irrevocable", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(denies)
			l.wall.advance(time.Hour)
			l.sweep()
			renew(l, id, nil).fails(400, "lease is expired and has failed previous revocation attempts")
		}},
		{"leases §3.3.2 not renewable", func(t *testing.T, l *leasing) {
			l.world.SetRole("once", leasetest.Role{TTL: time.Hour, NotRenewable: true})
			id, _ := l.creds(l.root, "db/creds/once")
			renew(l, id, nil).fails(400, "lease is not renewable")
		}},
		{"leases §3.3.2 past its expiry", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(away)
			l.wall.advance(time.Hour)
			renew(l, id, nil).fails(400, "lease expired")
		}},
		{"leases §7.3 §3.3.3 a token's lease", func(t *testing.T, l *leasing) {
			l.create(l.root, m{"ttl": "1h"})
			keys := l.do("LIST", "sys/leases/lookup/auth/token/create", l.root, nil).is(200).at("data", "keys").([]any)
			renew(l, "auth/token/create/"+keys[0].(string), nil).fails(400, "tokens cannot be renewed through this endpoint")
		}},
		{"leases §3.3.3 a created root's lease never ends", func(t *testing.T, l *leasing) {
			l.create(l.root, nil)
			keys := l.do("LIST", "sys/leases/lookup/auth/token/create", l.root, nil).is(200).at("data", "keys").([]any)
			renew(l, "auth/token/create/"+keys[0].(string), nil).fails(400, "lease is not renewable")
		}},
		{"leases §3.3.4 the engine refuses", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.world.FailRenew(denies)
			renew(l, id, nil).fails(400, "failed to renew entry: no such user")
			l.world.FailRenew(away)
			renew(l, id, nil).failsLike(400, "failed to renew entry: ")
			l.lookupLease(id).is(200).has(nil, "data", "last_renewal").has(3600, "data", "ttl")
		}},
		{"leases §3.3.5 the increment, then what the engine gives, then the last TTL", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			renew(l, id, 600).is(200).has(600, "lease_duration")
			renew(l, id, 0).is(200).has(600, "lease_duration")
			l.world.SetRole("ro", leasetest.Role{RenewTTL: 30 * time.Minute})
			renew(l, id, nil).is(200).has(1800, "lease_duration")
			renew(l, id, "10m").is(200).has(600, "lease_duration")
		}},
		{"leases §7.11 §3.3.5 an increment below what is left shortens", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			renew(l, id, 10).is(200).has(10, "lease_duration").warns()
			l.wall.advance(10 * time.Second)
			l.sweep()
			l.gone(id, name)
		}},
		{"leases §7.12 issue with max 1h, renew 2h at 30m", func(t *testing.T, l *leasing) {
			l.world.SetRole("hour", leasetest.Role{TTL: 40 * time.Minute, MaxTTL: time.Hour})
			id, _ := l.creds(l.root, "db/creds/hour")
			l.wall.advance(30 * time.Minute)
			renew(l, id, "2h").is(200).has(1800, "lease_duration").
				warns(`TTL of "2h" exceeded the effective max_ttl of "30m"; TTL value is capped accordingly`)
		}},
		{"CVE-2021-32923 nothing is left to renew in the last second", func(t *testing.T, l *leasing) {
			l.world.SetRole("hour", leasetest.Role{TTL: time.Hour, MaxTTL: time.Hour})
			id, name := l.creds(l.root, "db/creds/hour")
			l.wall.advance(time.Hour - 500*time.Millisecond)
			renew(l, id, nil).fails(400, "past the max TTL, cannot renew")
			l.wall.advance(500 * time.Millisecond)
			l.sweep()
			l.gone(id, name)
		}},
		{"leases §3.3.6 a batch holder's end caps the renewal", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.reader(m{"type": "batch", "ttl": "10m"}), "db/creds/ro")
			l.wall.advance(4 * time.Minute)
			a := renew(l, id, "1h").is(200)
			if d := a.number("lease_duration"); d > 360 || d < 359 {
				t.Fatalf("lease_duration %d", d)
			}
		}},
		{"leases §3.3.6 the holder is gone", func(t *testing.T, l *leasing) {
			token := l.reader(m{"ttl": "5m"})
			id, _ := l.creds(token, "db/creds/ro")
			// The sweeper cannot settle it: the lease is still there.
			l.world.FailRevoke(away)
			l.wall.advance(5 * time.Minute)
			a := renew(l, id, nil).is(400)
			if text := a.at("errors").([]any)[0]; text != "cannot renew lease, no valid associated token" && text != "lease expired" {
				t.Fatalf("error %v", text)
			}
		}},
		{"leases §3.3 a revoked holder's leases cannot be renewed from the acknowledgement on", func(t *testing.T, l *leasing) {
			token := l.reader(nil)
			id, _ := l.creds(token, "db/creds/ro")
			l.world.FailRevoke(away)
			l.do("POST", "auth/token/revoke", l.root, m{"token": token}).empty()
			renew(l, id, nil).fails(400, "lease expired")
		}},
		{"leases §3.3 negative increment", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			renew(l, id, -1).failsLike(400, `Field validation failed: error converting input for field "increment"`)
		}},
		{"leases §3.3 somebody else's lease", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/leases/renew", l.reader(nil), m{"lease_id": id}).is(200)
		}},
		{"leases §3 the id in the path", func(t *testing.T, l *leasing) {
			id, _ := l.creds(l.root, "db/creds/ro")
			l.do("PUT", "sys/leases/renew/"+id, l.root, m{"increment": 60}).is(200).has(id, "lease_id").has(60, "lease_duration")
		}},
		{"leases §7.22 §3 the body's id beats the path's", func(t *testing.T, l *leasing) {
			a, _ := l.creds(l.root, "db/creds/ro")
			b, _ := l.creds(l.root, "db/creds/ro")
			l.do("PUT", "sys/leases/renew/"+a, l.root, m{"lease_id": b}).is(200).has(b, "lease_id")
			l.do("PUT", "sys/leases/revoke/"+a, l.root, m{"lease_id": b}).empty()
			l.lookupLease(a).is(200)
			l.lookupLease(b).fails(400, "invalid lease")
		}},
		{"leases §7.20 CVE-2026-45808 the old paths are the same handlers", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.do("PUT", "sys/renew", l.root, m{"lease_id": id}).is(200).has(id, "lease_id")
			l.do("PUT", "sys/renew/"+id, l.root, nil).is(200).has(id, "lease_id")
			plain := l.holder("old", `path "sys/revoke-prefix/*" { capabilities = ["update"] } path "sys/revoke-force/*" { capabilities = ["update"] }`)
			l.do("PUT", "sys/revoke-prefix/db", plain, nil).fails(403, denied)
			l.do("PUT", "sys/revoke-force/db", plain, nil).fails(403, denied)
			l.stays(id, name)
			l.do("PUT", "sys/revoke", l.root, m{"lease_id": id}).empty()
			l.gone(id, name)
			id, name = l.creds(l.root, "db/creds/ro")
			l.do("PUT", "sys/revoke/"+id, l.root, nil).empty()
			l.gone(id, name)
			id, name = l.creds(l.root, "db/creds/ro")
			l.do("PUT", "sys/revoke-prefix/db", l.root, nil).empty()
			l.gone(id, name)
			id, _ = l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(away)
			l.do("PUT", "sys/revoke-force/db", l.root, nil).empty()
			l.lookupLease(id).fails(400, "invalid lease")
		}},
	})
}

func TestLeasesRevoke(t *testing.T) {
	leaseRows(t, []leaseRow{
		{"leases §3.4 no id", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/leases/revoke", l.root, nil).fails(400, "lease_id must be specified")
		}},
		{"leases §7.4 §3.4 unknown", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": "db/creds/ro/x"}).empty()
			a := l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": "db/creds/ro/x", "sync": false}).is(202)
			if a.body != "" || a.header.Get("Content-Type") != "application/json" {
				t.Fatalf("body %q, type %q", a.body, a.header.Get("Content-Type"))
			}
		}},
		{"leases §7.5 §3 the default waits", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": id}).empty()
			l.gone(id, name)
		}},
		{"leases §3 sync false answers 202 and the sweeper does the work at once", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": id, "sync": false}).is(202)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			// Nobody sweeps here but the server itself.
			if err := l.world.Await(ctx, func(w *leasetest.World) bool { return w.Revoked(name) == 1 }); err != nil {
				t.Fatal(err)
			}
			l.sweep()
			l.gone(id, name)
		}},
		{"leases §3.4 the engine fails: 400 with its text, the lease stays", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(away)
			l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": id}).failsLike(400, "the database is away")
			l.lookupLease(id).is(200)
			l.world.FailRevoke(nil)
			l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": id}).empty()
			l.gone(id, name)
		}},
		{"leases §3.4 a token's lease revokes its tree", func(t *testing.T, l *leasing) {
			l.policy("maker", `path "auth/token/create" { capabilities = ["update"] }`)
			parent := l.create(l.root, m{"policies": []string{"maker"}})
			child := l.create(parent, nil)
			keys := l.do("LIST", "sys/leases/lookup/auth/token/create", l.root, nil).is(200).at("data", "keys").([]any)
			if len(keys) != 2 {
				t.Fatalf("keys %v", keys)
			}
			// Whichever of the two is the parent: both die when both leases go.
			for _, k := range keys {
				l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": "auth/token/create/" + k.(string)}).empty()
			}
			l.dead(parent)
			l.dead(child)
		}},
		{"leases §7.6 §3.5 revoke-prefix and revoke-force need sudo", func(t *testing.T, l *leasing) {
			plain := l.holder("plain", `path "sys/leases/*" { capabilities = ["update"] }`)
			l.do("POST", "sys/leases/revoke-prefix/db", plain, nil).fails(403, denied)
			l.do("POST", "sys/leases/revoke-force/db", plain, nil).fails(403, denied)
			l.do("POST", "sys/leases/tidy", plain, nil).is(202)
		}},
		{"leases §3.5 a prefix is a path and what is below it, not its neighbours", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			other, otherName := l.creds(l.root, "db/creds/rodeo")
			l.do("POST", "sys/leases/revoke-prefix/db/creds/ro", l.root, nil).empty()
			l.gone(id, name)
			l.stays(other, otherName)
			l.do("POST", "sys/leases/revoke-prefix/db/creds", l.root, nil).empty()
			l.gone(other, otherName)
		}},
		{"leases §3.5 an exact lease id as prefix", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			other, otherName := l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/leases/revoke-prefix/"+id, l.root, nil).empty()
			l.gone(id, name)
			l.world.FailRevoke(away)
			l.do("POST", "sys/leases/revoke-force/"+other, l.root, nil).empty()
			l.lookupLease(other).fails(400, "invalid lease")
			if l.world.Revoked(otherName) != 0 {
				t.Fatal("revoked")
			}
		}},
		{"leases §7.7 revoke-prefix auth/token/create leaves create-orphan alone", func(t *testing.T, l *leasing) {
			child := l.create(l.root, m{"ttl": "1h"})
			orphan := l.do("POST", "auth/token/create-orphan", l.root, m{"ttl": "1h"}).is(200).text("auth", "client_token")
			l.do("POST", "sys/leases/revoke-prefix/auth/token/create", l.root, nil).empty()
			l.dead(child)
			l.lives(orphan)
		}},
		{"leases §7.8 revoke-prefix on a login path kills its tokens and their secrets", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/auth/userpass", l.root, m{"type": "userpass"}).empty()
			l.reader(nil)
			l.do("POST", "auth/userpass/users/al", l.root, m{"password": "p", "policies": "reader"}).empty()
			token := l.do("POST", "auth/userpass/login/al", "", m{"password": "p"}).is(200).text("auth", "client_token")
			id, name := l.creds(token, "db/creds/ro")
			kept, keptName := l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/leases/revoke-prefix/auth/userpass", l.root, nil).empty()
			l.dead(token)
			l.sweep()
			l.gone(id, name)
			l.stays(kept, keptName)
		}},
		{"cves §1 a prefix of secrets touches no token, and the other way round", func(t *testing.T, l *leasing) {
			token := l.reader(nil)
			id, name := l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/leases/revoke-prefix/db", l.root, nil).empty()
			l.gone(id, name)
			l.lives(token)
			id, name = l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/leases/revoke-prefix/auth", l.root, nil).empty()
			l.stays(id, name)
		}},
		{"leases §3.5 revoke-prefix says where it failed", func(t *testing.T, l *leasing) {
			ids := map[string]string{}
			for range 5 {
				id, name := l.creds(l.root, "db/creds/ro")
				ids[name] = id
			}
			l.world.FailRevoke(func(ctx context.Context, name string) error {
				if name == "ro-3" {
					return away(ctx, name)
				}
				return nil
			})
			a := l.do("POST", "sys/leases/revoke-prefix/db", l.root, nil).is(400)
			text := a.at("errors").([]any)[0].(string)
			if !strings.HasPrefix(text, fmt.Sprintf("failed to revoke %q (", ids["ro-3"])) || !strings.HasSuffix(text, " / 5): the database is away") {
				t.Fatalf("error %q", text)
			}
			l.lookupLease(ids["ro-3"]).is(200)
			// Those that were not come to are ended too.
			l.sweep()
			for name, id := range ids {
				if name != "ro-3" {
					l.gone(id, name)
				}
			}
		}},
		{"leases §3.5 revoke-prefix with sync false queues", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.do("POST", "sys/leases/revoke-prefix/db", l.root, m{"sync": false}).is(202)
			l.sweep()
			l.gone(id, name)
		}},
		{"leases §3.5 revoke-force drops what the engine does not take back", func(t *testing.T, l *leasing) {
			id, name := l.creds(l.root, "db/creds/ro")
			l.world.FailRevoke(denies)
			l.wall.advance(time.Hour)
			l.sweep()
			l.do("GET", "sys/leases/count?type=irrevocable", l.root, nil).is(200).has(1, "data", "lease_count")
			l.do("POST", "sys/leases/revoke-force/db", l.root, nil).empty()
			l.lookupLease(id).fails(400, "invalid lease")
			l.do("GET", "sys/leases/count?type=irrevocable", l.root, nil).is(200).has(0, "data", "lease_count").has(m{}, "data", "counts")
			if l.world.Revoked(name) != 0 {
				t.Fatal("the engine cannot have taken it back")
			}
		}},
		{"leases §3.5 no matches", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/leases/revoke-prefix/nothing/here", l.root, nil).empty()
			l.do("POST", "sys/leases/revoke-force/nothing/here", l.root, nil).empty()
		}},
		{"leases §3.5 revoke-prefix without a prefix", func(t *testing.T, l *leasing) {
			l.do("POST", "sys/leases/revoke-prefix", l.root, nil).fails(404, wrap1("unsupported path"))
		}},
		{"leases §1.4 a path's pending wrapping tokens go too", func(t *testing.T, l *leasing) {
			wrapping := l.do("GET", "db/creds/ro", l.root, nil, wrapped("5m")).is(200).text("wrap_info", "token")
			l.do("POST", "sys/leases/revoke-prefix/db/creds/ro", l.root, nil).empty()
			l.do("POST", "sys/wrapping/unwrap", wrapping, nil).is(400)
		}},
		{"leases §7.13 a token's end ends its leases", func(t *testing.T, l *leasing) {
			token := l.reader(nil)
			id, name := l.creds(token, "db/creds/ro")
			l.do("POST", "auth/token/revoke", l.root, m{"token": token}).empty()
			l.sweep()
			l.gone(id, name)
		}},
		{"leases §5.1 so does the end of an ancestor", func(t *testing.T, l *leasing) {
			l.policy("maker", `path "auth/token/create" { capabilities = ["update"] }`)
			l.reader(nil)
			parent := l.create(l.root, m{"policies": []string{"maker", "reader"}})
			child := l.create(parent, m{"policies": []string{"reader"}})
			id, name := l.creds(child, "db/creds/ro")
			l.world.FailRenew(func(context.Context, string) error { t.Error("the engine was asked to renew"); return nil })
			l.do("POST", "auth/token/revoke", l.root, m{"token": parent}).empty()
			l.do("POST", "sys/leases/renew", l.root, m{"lease_id": id}).is(400)
			l.sweep()
			l.gone(id, name)
		}},
	})
}

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
			h, leave := l.node.Enter()
			defer leave()
			if _, err := h.Leases.Sweep(context.Background()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
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
