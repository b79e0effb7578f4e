package contract_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"jeton/internal/engine/leasetest"
)

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
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
