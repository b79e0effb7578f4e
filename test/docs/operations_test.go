package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jeton/internal/config"
)

// TestOperationsRun runs the examples of docs/operations.md that are marked "run".
func TestOperationsRun(t *testing.T) { runDocument(t, "docs/operations.md") }

// TestSealStanzasLoad: the seal stanzas of docs/operations.md are configurations that load.
func TestSealStanzasLoad(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"seal-key", "seal-token"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("k", 32)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const rest = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n"
	seen := 0
	for _, b := range fences(t, "docs/operations.md") {
		if b.language != "hcl" || b.mark != "seal" {
			continue
		}
		seen++
		path := filepath.Join(dir, "jeton.hcl")
		text := strings.ReplaceAll(b.text, "/run/credentials/jeton.service", dir)
		if err := os.WriteFile(path, []byte(rest+text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load([]string{path}, config.Options{LookupEnv: func(string) (string, bool) { return "", false }})
		if err != nil {
			t.Fatalf("docs/operations.md:%d: %v", b.line, err)
		}
		if len(c.Warnings) > 0 || !strings.Contains(b.text, `seal "`+c.Seal.Type+`"`) || (c.OldSeal != nil) != strings.Contains(b.text, "disabled") {
			t.Errorf("docs/operations.md:%d: %+v, old %+v, warnings %v", b.line, c.Seal, c.OldSeal, c.Warnings)
		}
	}
	if seen < 3 {
		t.Errorf("%d stanzas", seen)
	}
}

// TestTransitRuns runs the examples of docs/transit.md.
func TestTransitRuns(t *testing.T) { runDocument(t, "docs/transit.md") }
