package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// node-vault from npm, at the version that its lock file pins.
func TestNodeVault(t *testing.T) {
	need(t, "node")
	script, err := filepath.Abs("node/life.js")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("node/node_modules/node-vault"); err != nil {
		lacking(t, "node-vault is not installed (test/install/all installs it)")
	}
	eachMode(t, func(t *testing.T, s *server) {
		r := s.run(nil, "node", script)
		if r.code != 0 || strings.Count(r.out, "as promised") != 4 {
			t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
		}
	})
}
