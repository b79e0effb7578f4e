package contract_test

import (
	"slices"
	"testing"
	"time"
)

// CVE-2025-6010, CVE-2025-6011, auth-methods §3: by the time that a login takes, an unknown user is
// not told from a known one with a wrong password. The logins take turns, so that what else the
// machine does falls on both; a decoy that did no work would be faster by a hundred times, and
// the bound of three is far from both.
func TestCVE_2025_6010_CVE_2025_6011_UnknownUsersTakeTheirTime(t *testing.T) {
	h := open(t)
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	h.do("POST", "sys/auth/userpass/tune", h.root, m{"user_lockout_config": m{"lockout_disable": true}}).empty()
	h.do("POST", "auth/userpass/users/known", h.root, m{"password": "right"}).empty()
	const turns = 9
	took := map[string][]time.Duration{}
	for range turns {
		for _, user := range []string{"known", "unknown"} {
			at := time.Now()
			h.do("POST", "auth/userpass/login/"+user, "", m{"password": "wrong"}).fails(400, "invalid username or password")
			took[user] = append(took[user], time.Since(at))
		}
	}
	median := func(user string) time.Duration {
		slices.Sort(took[user])
		return took[user][turns/2]
	}
	known, unknown := median("known"), median("unknown")
	if known > 3*unknown || unknown > 3*known {
		t.Errorf("a known user takes %s, an unknown one %s", known, unknown)
	}
}
