package contract_test

import (
	"testing"
	"time"
)

// Contract: auth-methods §8 over HTTP: what a mount is tuned to holds from the next attempt on.
func TestLockoutTuning(t *testing.T) {
	login := func(h *house, password string) *answer {
		return h.do("POST", "auth/userpass/login/bob", "", m{"password": password})
	}
	tune := func(h *house, to m) *answer {
		return h.do("POST", "sys/auth/userpass/tune", h.root, m{"user_lockout_config": to})
	}
	guess := func(h *house, times int) {
		for range times {
			login(h, "wrong").fails(400, "invalid username or password")
		}
	}
	locked := func(h *house) { login(h, "right").fails(403, "permission denied") }
	free := func(h *house) { login(h, "right").is(200) }
	list := []row{
		{"the default is five", func(_ *testing.T, h *house) { guess(h, 4); free(h); guess(h, 5); locked(h) }},
		{"a lower threshold", func(_ *testing.T, h *house) {
			tune(h, m{"lockout_threshold": "2"}).empty()
			guess(h, 1)
			free(h)
			guess(h, 2)
			locked(h)
			h.wall.advance(15*time.Minute + time.Second)
			free(h)
		}},
		{"a shorter lock", func(_ *testing.T, h *house) {
			tune(h, m{"lockout_threshold": 1, "lockout_duration": "1m"}).empty()
			guess(h, 1)
			locked(h)
			h.wall.advance(time.Minute + time.Second)
			free(h)
		}},
		{"failures are remembered for so long", func(_ *testing.T, h *house) {
			tune(h, m{"lockout_threshold": 2, "lockout_counter_reset_duration": "1m"}).empty()
			guess(h, 1)
			h.wall.advance(time.Minute)
			guess(h, 1)
			free(h)
		}},
		{"turning it off frees who is locked", func(_ *testing.T, h *house) {
			guess(h, 5)
			locked(h)
			tune(h, m{"lockout_disable": true}).empty()
			free(h)
			guess(h, 20)
			free(h)
		}},
		{"it is read back, and holds after an unseal", func(_ *testing.T, h *house) {
			tune(h, m{"lockout_threshold": 1, "lockout_duration": "90s"}).empty()
			h.do("GET", "sys/auth/userpass/tune", h.root, nil).is(200).has(1.0, "data", "user_lockout_threshold").has(90.0, "data", "user_lockout_duration").
				has(false, "data", "user_lockout_disable")
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.reopen()
			guess(h, 1)
			locked(h)
		}},
		{"a negative threshold is refused", func(_ *testing.T, h *house) {
			tune(h, m{"lockout_threshold": -1}).failsLike(400, "lockout_threshold")
		}},
		{"[!] AppRole locks nobody out, and says so", func(_ *testing.T, h *house) {
			h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
			h.do("POST", "sys/auth/approle/tune", h.root, m{"user_lockout_config": m{"lockout_threshold": 1}}).is(200).
				warns("Nobody is ever locked out of this method: its secrets are random and cannot be guessed, and a lock would let strangers keep services out.")
			h.do("POST", "sys/auth/approle/tune", h.root, m{"user_lockout_config": m{"lockout_disable": true}}).empty()
		}},
	}
	for i, r := range list {
		list[i].run = func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "right"}).empty()
			r.run(t, h)
		}
	}
	rows(t, list)
}
