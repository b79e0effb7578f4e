package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sound runs the check of all data.
func (s *server) sound() {
	s.t.Helper()
	if out := s.must("jeton", "operator", "check"); !strings.Contains(out, "Nothing is wrong") {
		s.t.Errorf("check: %s", out)
	}
}

// token makes one by the command line and returns its text.
func (s *server) token() string {
	s.t.Helper()
	return strings.TrimSpace(s.must("jeton", "token", "create", "-ttl=1h", "-field=token"))
}

// value writes or reads secret/x, which tells one state of the data from another.
func (s *server) value() string {
	s.t.Helper()
	return strings.TrimSpace(s.must("jeton", "kv", "get", "-field=state", "secret/x"))
}

// A snapshot by the name that existing scripts use, its restore, and the check with the server
// running and stopped. Contract: sys §21, cli §6.
func TestSnapshotAndCheck(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	s.must("vault", "kv", "put", "secret/x", "state=old")
	before := s.token()
	file := filepath.Join(t.TempDir(), "backup.snap")
	s.must("vault", "operator", "raft", "snapshot", "save", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file is %v, %v", info, err)
	}
	s.must("vault", "kv", "put", "secret/x", "state=new")
	s.must("jeton", "token", "revoke", before)
	after := s.token()
	s.must("jeton", "operator", "snapshot", "restore", file)
	if r := s.run(s.environ(), "jeton", "status"); r.code != 2 {
		t.Errorf("after a restore the status is %d", r.code)
	}
	s.unseal()
	if got := s.value(); got != "old" {
		t.Errorf("the value is %q", got)
	}
	for token, want := range map[string]int{before: 200, after: 403} {
		if a := s.raw("GET", "auth/token/lookup-self", token, nil); a.status != want {
			t.Errorf("a token is answered by %d, want %d", a.status, want)
		}
	}
	s.sound()
}

// A server that is killed in the middle of a restore has the data of before or of the snapshot,
// whole, and opens with the same shares.
func TestKilledWhileRestoring(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	s.must("jeton", "kv", "put", "secret/x", "state=old")
	for i := range 40 {
		s.must("jeton", "kv", "put", fmt.Sprintf("secret/many/%d", i), "v="+strings.Repeat("x", 4000))
	}
	file := filepath.Join(t.TempDir(), "backup.snap")
	s.must("jeton", "operator", "snapshot", "save", file)
	s.must("jeton", "kv", "put", "secret/x", "state=new")
	seen := map[string]int{}
	for round := range 9 {
		restored := make(chan struct{})
		command := s.command(s.environ(), "jeton", "operator", "snapshot", "restore", file)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(restored)
			_ = command.Wait() // its server may be killed under it
		}()
		if round%3 == 0 {
			// Some way into reading the file; asking for health is the clock here.
			for range rand.IntN(400) {
				s.raw("GET", "sys/health", "", nil)
			}
		} else {
			// The server seals itself just before it exchanges the data.
			await(t, patience, "a sealed server", func() bool { return s.raw("GET", "sys/health", "", nil).status == 503 })
		}
		if round%3 == 2 {
			<-restored
		}
		s.kill()
		<-restored
		s.start("server started!")
		s.unseal()
		got := s.value()
		if got != "old" && got != "new" {
			t.Fatalf("the value is %q", got)
		}
		if round%3 == 2 && got != "old" {
			t.Error("a restore that was acknowledged is lost")
		}
		seen[got]++
		s.sound()
		s.must("jeton", "kv", "put", "secret/x", "state=new")
	}
	t.Logf("killed with the old data in %d, the snapshot's in %d", seen["new"], seen["old"])
}
