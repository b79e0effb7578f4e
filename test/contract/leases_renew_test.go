package contract_test

import (
	"testing"
	"time"

	"jeton/internal/engine/leasetest"
)

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
