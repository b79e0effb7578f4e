package docs_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMigratingRuns runs the examples of docs/migrating-from-vault.md between two servers. "vault" is
// the symlink that the page recommends.
func TestMigratingRuns(t *testing.T) {
	program, err := filepath.Abs(filepath.Join(root, "bin", "jeton"))
	if err != nil {
		t.Fatal(err)
	}
	links := t.TempDir()
	if err := os.Symlink(program, filepath.Join(links, "vault")); err != nil {
		t.Fatal(err)
	}
	runDocument(t, "docs/migrating-from-vault.md", "JETON_SOURCE_ADDR=http://"+startServer(t),
		"PATH="+links+string(os.PathListSeparator)+binFirst(t))
}
