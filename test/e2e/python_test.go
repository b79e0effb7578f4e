package e2e

import (
	"path/filepath"
	"testing"
)

// hvac beyond tokens, from init on.
func TestHvacWholeHouse(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	script, err := filepath.Abs("python/house.py")
	if err != nil {
		t.Fatal(err)
	}
	s := newProduction(t)
	s.start("server started!")
	t.Cleanup(s.stop)
	r := s.run([]string{"PYTHONDONTWRITEBYTECODE=1", "SCRATCH=" + s.dir, "VAULT_TOKEN="}, interpreter, script)
	if r.code != 0 || r.out != "as promised\n" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}
