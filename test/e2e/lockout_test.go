package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// Contract: auth-methods §8, config §2: the user_lockout stanza of the configuration holds where
// a mount is not tuned, the command line's tuning before it, and the environment before both.
func TestLockoutConfigured(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "lockout.hcl")
	if err := os.WriteFile(file, []byte(`user_lockout "userpass" { lockout_threshold = "2" }`), 0o600); err != nil {
		t.Fatal(err)
	}
	// locksAfter says after how many wrong passwords out of five the right one is refused.
	locksAfter := func(s *server, user string) int {
		s.must("jeton", "write", "auth/userpass/users/"+user, "password=right")
		for wrong := 1; wrong <= 5; wrong++ {
			if a := s.raw("POST", "auth/userpass/login/"+user, "", map[string]any{"password": "wrong"}); a.status == 403 {
				return wrong - 1
			}
		}
		if a := s.raw("POST", "auth/userpass/login/"+user, "", map[string]any{"password": "right"}); a.status == 403 {
			return 5
		}
		return 0
	}
	s := startDev(t, "-config="+file)
	s.must("jeton", "auth", "enable", "userpass")
	if n := locksAfter(s, "a"); n != 2 {
		t.Errorf("the stanza says 2, it was %d", n)
	}
	s.must("jeton", "auth", "tune", "-user-lockout-threshold=3", "userpass/")
	if n := locksAfter(s, "b"); n != 3 {
		t.Errorf("the mount is tuned to 3, it was %d", n)
	}
	s.must("jeton", "auth", "tune", "-user-lockout-disable=true", "userpass/")
	if n := locksAfter(s, "c"); n != 0 {
		t.Errorf("the mount is tuned to no lockout, it was %d", n)
	}
}
