package e2e

import (
	"path/filepath"
	"testing"
)

// curl and jq over the raw API.
func TestShellRawAPI(t *testing.T) {
	need(t, "bash", "curl", "jq")
	script, err := filepath.Abs("shell/raw_api.sh")
	if err != nil {
		t.Fatal(err)
	}
	eachMode(t, func(t *testing.T, s *server) {
		if r := s.run(nil, "bash", script); r.code != 0 || r.out != "as promised\n" {
			t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
		}
	})
}
