package approle_test

import (
	"testing"
	"time"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
	"jeton/internal/store/storetest"
)

// A login with what has logged in before reads nothing, so that nothing is decoded: not before its
// transaction, which every login has, and not in it. It writes what it changes.
func TestCostOfLogin(t *testing.T) {
	b, counted := authtest.OnCounting(t, approle.New)
	b.Must(t, backend.Update, "role/r", object{"token_policies": "p", "secret_id_bound_cidrs": "127.0.0.0/8"})
	b.Must(t, backend.Update, "role/open", object{"bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.1"})
	id, open := roleID(t, b, "r"), roleID(t, b, "open")
	unlimited, _ := generate(t, b, "r", object{"metadata": object{"k": "v"}, "cidr_list": "127.0.0.1"})
	limited, _ := generate(t, b, "r", object{"num_uses": 10})
	once, _ := generate(t, b, "r", object{"num_uses": 1, "ttl": "1h"})
	rows := []struct {
		name, role, secret string
		before             func()
		want               storetest.Cost
	}{
		{"the first", id, unlimited, nil, storetest.Cost{Views: 1, Updates: 1, Gets: 3, Writes: 1}},
		{"another", id, unlimited, nil, storetest.Cost{Updates: 1}},
		{"a minute later", id, unlimited, func() { b.Clock.Add(time.Minute) }, storetest.Cost{Updates: 1, Writes: 1}},
		{"with the last of its uses", id, once, nil, storetest.Cost{Views: 1, Updates: 1, Gets: 1, Writes: 3}},
		{"of few uses", id, limited, nil, storetest.Cost{Views: 1, Updates: 1, Gets: 1, Writes: 1}},
		{"of fewer uses", id, limited, nil, storetest.Cost{Views: 1, Updates: 1, Gets: 1, Writes: 1}},
		{"without a secret id, the first", open, "", nil, storetest.Cost{Views: 1, Updates: 1, Gets: 2}},
		{"without a secret id", open, "", nil, storetest.Cost{Updates: 1}},
		{"after the role was changed", id, unlimited, func() { b.Must(t, backend.Update, "role/r", object{"token_ttl": "1h"}) },
			storetest.Cost{Views: 1, Updates: 1, Gets: 2}},
		{"after another role was changed", id, unlimited, func() { b.Must(t, backend.Update, "role/open", object{"token_ttl": "1h"}) },
			storetest.Cost{Updates: 1}},
		{"after another secret id came", id, unlimited, func() { generate(t, b, "r", nil) }, storetest.Cost{Updates: 1}},
	}
	for _, row := range rows {
		if row.before != nil {
			row.before()
		}
		if got := counted.Of(func() { mustLogin(t, b, row.role, row.secret) }); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}
