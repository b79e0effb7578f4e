package approle_test

import (
	"testing"
	"time"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

const never = "0001-01-01T00:00:00Z"

func lastUsed(t *testing.T, b *authtest.Bench, accessor string) string {
	t.Helper()
	s := b.Must(t, backend.Update, "role/r/secret-id-accessor/lookup", object{"secret_id_accessor": accessor})
	return s["last_used_time"].(string)
}

func at(after time.Duration) string { return authtest.Start.Add(after).Format(time.RFC3339) }

// Beyond the contract (issue 6.2): each secret id tells when it was last used.
func TestLastUse(t *testing.T) {
	rows := []struct {
		name string
		role object
		// uses are the moments of logins, seen what is told right after each.
		uses []time.Duration
		seen []time.Duration
	}{
		{"without limit, to the minute", nil, []time.Duration{10 * time.Second, 40 * time.Second, 70 * time.Second, time.Hour},
			[]time.Duration{10 * time.Second, 10 * time.Second, 70 * time.Second, time.Hour}},
		{"limited, exactly", object{"secret_id_num_uses": 5}, []time.Duration{10 * time.Second, 40 * time.Second},
			[]time.Duration{10 * time.Second, 40 * time.Second}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := roleWith(t, row.role)
			id := roleID(t, b, "r")
			secret, accessor := generate(t, b, "r", nil)
			if got := lastUsed(t, b, accessor); got != never {
				t.Fatalf("unused, but last used at %s", got)
			}
			past := time.Duration(0)
			for i, use := range row.uses {
				b.Clock.Add(use - past)
				past = use
				mustLogin(t, b, id, secret)
				if got := lastUsed(t, b, accessor); got != at(row.seen[i]) {
					t.Errorf("used at %s, told %s", use, got)
				}
			}
			want := lastUsed(t, b, accessor)
			b.Remount(t)
			if got := lastUsed(t, b, accessor); got != want {
				t.Errorf("after a restart %s, before it %s", got, want)
			}
			bySecret := b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": secret})
			if bySecret["last_used_time"] != want {
				t.Errorf("by the secret id %v", bySecret["last_used_time"])
			}
		})
	}
}

// A login that fails is no use, and a secret id made anew has no uses of its namesake.
func TestLastUseIsItsOwn(t *testing.T) {
	b := roleWith(t, nil)
	id := roleID(t, b, "r")
	custom := func() string {
		s := b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "s-1"})
		return s["secret_id_accessor"].(string)
	}
	accessor := custom()
	refused(t, b, id, "s-2", invalid)
	if got := lastUsed(t, b, accessor); got != never {
		t.Errorf("after a wrong guess: %s", got)
	}
	mustLogin(t, b, id, "s-1")
	b.Must(t, backend.Update, "role/r/secret-id/destroy", object{"secret_id": "s-1"})
	if n := b.Stored(t, "of/"); n != 0 {
		t.Errorf("%d keys of a destroyed secret id", n)
	}
	accessor = custom()
	if got := lastUsed(t, b, accessor); got != never {
		t.Errorf("made anew: %s", got)
	}
	// Within the minute of the namesake's use.
	mustLogin(t, b, id, "s-1")
	if got := lastUsed(t, b, accessor); got != at(0) {
		t.Errorf("used: %s", got)
	}
}

// A use whose transaction failed leaves no trace; the next one does, even within the minute.
func TestLastUseFaults(t *testing.T) {
	inner, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	faulty := storetest.Faulty(inner)
	b := authtest.On(t, faulty, approle.New)
	b.Must(t, backend.Update, "role/r", object{})
	id := roleID(t, b, "r")
	secret, accessor := generate(t, b, "r", nil)
	faulty.InjectAt(1, storetest.Failed)
	if _, err := login(t, b, id, secret); err == nil {
		t.Fatal("the fault did not show")
	}
	if got := lastUsed(t, b, accessor); got != never {
		t.Errorf("after a failed login: %s", got)
	}
	mustLogin(t, b, id, secret)
	if got := lastUsed(t, b, accessor); got != at(0) {
		t.Errorf("after a login: %s", got)
	}
}
