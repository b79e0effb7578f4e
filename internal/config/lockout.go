package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lockout is when a user who fails to log in is kept out for a while.
type Lockout struct {
	// Threshold is how many failures in a row lock a user out.
	Threshold int64
	// Duration is how long the user stays locked out.
	Duration time.Duration
	// CounterReset is after how long without a failure they are forgotten.
	CounterReset time.Duration
	Disabled     bool
}

// Lockouts holds the lockout of each login method that has one.
type Lockouts struct {
	UserPass, LDAP Lockout
	// Off is the environment's word, which comes before what mounts are tuned to.
	Off bool
}

// lockoutStanza holds what was set; nil fields are inherited.
type lockoutStanza struct {
	threshold              *int64
	duration, counterReset *time.Duration
	disabled               *bool
}

func parseLockouts(s scope, _ *Config, e entry) error {
	found, err := e.val.blocks(1)
	if err != nil {
		return fmt.Errorf("error parsing 'user_lockout': %w", err)
	}
	for _, b := range found {
		name := "all"
		if len(b.labels) > 0 {
			name = strings.ToLower(b.labels[0])
		}
		if !slices.Contains([]string{"all", "userpass", "ldap", "approle"}, name) {
			return fmt.Errorf("error parsing 'user_lockout': unsupported auth method %q (supported: all, userpass, ldap, approle)", b.labels[0])
		}
		var got lockoutStanza
		decode(scope{d: s.d, path: "user_lockout." + name, preface: "error parsing 'user_lockout': "}, &got, b.body, lockoutGrammar())
		if name == "approle" && (got.disabled == nil || !*got.disabled) {
			s.warn(b.pos, "user_lockout", "user_lockout %q has no effect: nobody is ever locked out of AppRole, whose secrets are random and cannot be guessed", name)
		}
		if s.d.lockouts == nil {
			s.d.lockouts = make(map[string]lockoutStanza)
		}
		s.d.lockouts[name] = got
	}
	return nil
}

func lockoutGrammar() grammar[lockoutStanza] {
	fresh := func(field **time.Duration) *time.Duration { *field = new(time.Duration); return *field }
	return grammar[lockoutStanza]{keys: map[string]setter[lockoutStanza]{
		"lockout_threshold":     count(func(l *lockoutStanza) *int64 { l.threshold = new(int64); return l.threshold }),
		"lockout_duration":      period(func(l *lockoutStanza) *time.Duration { return fresh(&l.duration) }),
		"lockout_counter_reset": period(func(l *lockoutStanza) *time.Duration { return fresh(&l.counterReset) }),
		"disable_lockout":       toggle(func(l *lockoutStanza) *bool { l.disabled = new(bool); return l.disabled }),
	}}
}

// finishLockouts lets each method inherit what it does not set from "all", and that from
// the defaults.
func (d *decoder) finishLockouts() {
	base := d.lockouts["all"].over(Lockout{Threshold: 5, Duration: 15 * time.Minute, CounterReset: 15 * time.Minute})
	d.cfg.Lockouts = Lockouts{
		UserPass: d.lockouts["userpass"].over(base),
		LDAP:     d.lockouts["ldap"].over(base),
		Off:      d.env.isTrue("DISABLE_USER_LOCKOUT"),
	}
}

// over is base with what the stanza sets. A threshold or time of 0 means the base's, as
// locking out after no failure at all is nobody's wish.
func (l lockoutStanza) over(base Lockout) Lockout {
	if l.threshold != nil && *l.threshold > 0 {
		base.Threshold = *l.threshold
	}
	if l.duration != nil && *l.duration > 0 {
		base.Duration = *l.duration
	}
	if l.counterReset != nil && *l.counterReset > 0 {
		base.CounterReset = *l.counterReset
	}
	if l.disabled != nil {
		base.Disabled = *l.disabled
	}
	return base
}
