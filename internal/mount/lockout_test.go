package mount

import (
	"testing"
	"time"

	"jeton/internal/backend"
)

// Contract: auth-methods §8, precedence: environment, mount tuning, stanza of the kind.
func TestLockoutPrecedence(t *testing.T) {
	yes, no := true, false
	stanza := backend.Lockout{Threshold: 3, Duration: time.Minute, CounterReset: 2 * time.Minute}
	off := stanza
	off.Disabled = true
	rows := []struct {
		name    string
		stanzas Lockouts
		tuned   *Lockout
		want    backend.Lockout
	}{
		{"the stanza of the kind", Lockouts{ByKind: map[string]backend.Lockout{"userpass": stanza}}, nil, stanza},
		{"another kind's is no matter", Lockouts{ByKind: map[string]backend.Lockout{"ldap": stanza}}, nil, backend.Lockout{}},
		{"the mount's before it, one by one", Lockouts{ByKind: map[string]backend.Lockout{"userpass": stanza}}, &Lockout{Threshold: 9},
			backend.Lockout{Threshold: 9, Duration: time.Minute, CounterReset: 2 * time.Minute}},
		{"all of the mount's", Lockouts{}, &Lockout{Threshold: 9, Duration: 1, CounterReset: 2, Disabled: &yes},
			backend.Lockout{Threshold: 9, Duration: 1, CounterReset: 2, Disabled: true}},
		{"the mount turns on what the stanza turns off", Lockouts{ByKind: map[string]backend.Lockout{"userpass": off}}, &Lockout{Disabled: &no}, stanza},
		{"a mount that says nothing of it does not", Lockouts{ByKind: map[string]backend.Lockout{"userpass": off}}, &Lockout{Duration: time.Minute}, off},
		{"the environment before all", Lockouts{ByKind: map[string]backend.Lockout{"userpass": stanza}, Off: true}, &Lockout{Disabled: &no}, off},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := row.stanzas.effective(&Entry{Type: "userpass", Tuning: Tuning{Lockout: row.tuned}})
			if got != row.want {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
		})
	}
}
