package docs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAPIRuns runs every block of docs/api.md that is marked "run", in order, against one dev
// server, and looks for the lines of the "output" block that follows it.
func TestAPIRuns(t *testing.T) { runDocument(t, "docs/api.md") }

// runDocument runs every block of a document that is marked "run", in order, against one dev
// server, each with VAULT_ADDR, VAULT_TOKEN=root, a home of the document's own and more. The
// lines of the "output" block that follows must be printed, in that order.
func runDocument(t *testing.T, name string, more ...string) {
	t.Helper()
	runMarked(t, name, "run", more...)
}

// runMarked is runDocument for the blocks with another mark.
func runMarked(t *testing.T, name, mark string, more ...string) {
	t.Helper()
	need(t, "curl")
	need(t, "jq")
	address := startServer(t)
	env := append(cleanEnvironment(), "HOME="+t.TempDir(), "VAULT_ADDR=http://"+address, "VAULT_TOKEN=root", "PATH="+binFirst(t))
	env = append(env, more...)
	blocks := fences(t, name)
	ran := 0
	for i, b := range blocks {
		if b.mark != mark {
			continue
		}
		ran++
		if i+1 == len(blocks) || blocks[i+1].mark != "output" {
			t.Fatalf("%s:%d: no output block follows", name, b.line)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", b.text)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%s:%d: %v\n%s", name, b.line, err, out)
		}
		rest := string(out)
		for want := range strings.SplitSeq(strings.TrimSpace(blocks[i+1].text), "\n") {
			_, after, ok := strings.Cut(rest, want+"\n")
			if !ok {
				t.Fatalf("%s:%d: the output lacks %q in its place:\n%s", name, b.line, want, out)
			}
			rest = after
		}
	}
	if ran == 0 {
		t.Errorf("%s has no block marked %s", name, mark)
	}
}

// binFirst is a PATH on which the program of this source comes first.
func binFirst(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	return bin + string(os.PathListSeparator) + os.Getenv("PATH")
}
