package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// snapshotServer answers snapshots with body, and restores with a warning.
func snapshotServer(t *testing.T, status int, body string) (*httptest.Server, *[]string) {
	t.Helper()
	var asked []string
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		if r.Method != http.MethodGet {
			w.Header().Set("Warning", `299 jeton "the data is as it was 3h ago"`)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(ts.Close)
	return ts, &asked
}

// contract: sys §21. A backup that is not whole leaves the file of yesterday alone.
func TestSnapshotSaveIsWholeOrNothing(t *testing.T) {
	ts, _ := snapshotServer(t, 200, "half of a snapshot")
	dir := t.TempDir()
	file := filepath.Join(dir, "jeton.snap")
	if err := os.WriteFile(file, []byte("yesterday"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"operator snapshot save", "operator raft snapshot save"} {
		sh := newShell(t, nil)
		sh.vars["VAULT_ADDR"], sh.vars["VAULT_TOKEN"] = ts.URL, "t"
		sh.run(append(strings.Fields(name), file)...).wantErr(t, 2, "Error taking the snapshot")
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != "yesterday" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	newShell(t, nil).run("operator", "snapshot", "save").wantErr(t, 1, "Not enough arguments")
}

// contract: sys §21. The age of what was restored is said.
func TestSnapshotRestoreWarns(t *testing.T) {
	ts, asked := snapshotServer(t, 200, "")
	file := filepath.Join(t.TempDir(), "jeton.snap")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	sh := newShell(t, nil)
	sh.vars["VAULT_ADDR"], sh.vars["VAULT_TOKEN"] = ts.URL, "t"
	r := sh.run("operator", "snapshot", "restore", file)
	r.wantCode(t, 0)
	if !strings.Contains(r.err, "WARNING! The data is as it was 3h ago.") || !strings.Contains(r.out, "The server is sealed") {
		t.Errorf("out %q, err %q", r.out, r.err)
	}
	sh.run("operator", "raft", "snapshot", "restore", "-force", file).wantCode(t, 0)
	want := "POST /v1/sys/storage/raft/snapshot POST /v1/sys/storage/raft/snapshot-force"
	if got := strings.Join(*asked, " "); got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	sh.run("operator", "snapshot", "restore", file+".none").wantErr(t, 1, "Error opening the file")
}

// Exit codes of the check: 0 sound, 2 problems or no answer, 1 local mistakes.
func TestCheck(t *testing.T) {
	const path = "GET sys/internal/check"
	sound := newFake(t, map[string]answer{path: ok(`{"records":7,"problems":0}`)})
	newShell(t, sound).run("operator", "check").want(t, 0, "Success! Nothing is wrong in 7 records.\n", "")
	broken := newFake(t, map[string]answer{path: ok("{\"room\":\"token\",\"what\":\"a child of a token that is gone\"}\n{\"records\":7,\"problems\":1}")})
	newShell(t, broken).run("operator", "check").want(t, 2, "token: a child of a token that is gone\n", "1 problems in 7 records\n")
	cut := newFake(t, map[string]answer{path: ok("{\"room\":\"token\",\"what\":\"x\"}\n")})
	newShell(t, cut).run("operator", "check").wantErr(t, 2, "unexpected EOF")
	newShell(t, nil).run("operator", "check", "-config=x").wantErr(t, 1, "This program has no server")
}
