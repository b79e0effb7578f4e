package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
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
	h := l.node.Enter()
	if h == nil {
		l.t.Fatal("sealed")
	}
	defer h.Leave()
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
		{"leases §1.3 a token's lease is its path and its id: with another path it is nobody's", func(t *testing.T, l *leasing) {
			token := l.create(l.root, m{"ttl": "1h"})
			keys := l.do("LIST", "sys/leases/lookup/auth/token/create", l.root, nil).is(200).at("data", "keys").([]any)
			for _, path := range []string{"auth/token/create-orphan/", "db/creds/ro/", "/"} {
				id := path + keys[0].(string)
				l.lookupLease(id).fails(400, "invalid lease")
				l.do("POST", "sys/leases/renew", l.root, m{"lease_id": id}).fails(400, "lease not found")
				l.do("POST", "sys/leases/revoke", l.root, m{"lease_id": id}).empty()
			}
			l.lives(token)
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
