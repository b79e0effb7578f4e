package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// node-vault from npm, at the version that its lock file pins: the life of a token, and every
// function that has a server side here, from init on.
func TestNodeVault(t *testing.T) {
	need(t, "node")
	if _, err := os.Stat("node/node_modules/node-vault"); err != nil {
		lacking(t, "node-vault is not installed (test/install/all installs it)")
	}
	run := func(t *testing.T, s *server, name string, parts int) {
		t.Helper()
		script, err := filepath.Abs(filepath.Join("node", name))
		if err != nil {
			t.Fatal(err)
		}
		r := s.run([]string{"SCRATCH=" + s.dir, "VAULT_TOKEN=" + s.root}, "node", script)
		if r.code != 0 || strings.Count(r.out, "as promised") != parts {
			t.Errorf("%s: exit code %d\n%s%s", name, r.code, r.out, r.errOut)
		}
	}
	eachMode(t, func(t *testing.T, s *server) {
		run(t, s, "life.js", 4)
		run(t, s, "house.js", 6)
	})
	t.Run("from init on", func(t *testing.T) {
		t.Parallel()
		s := newProduction(t)
		s.start("server started!")
		t.Cleanup(s.stop)
		run(t, s, "house.js", 6)
	})
}
