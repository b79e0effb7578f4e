package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/api"

	"jeton/internal/porttest"
)

// The document's last practice: token usage can be followed in the audit file, by the hash
// of an accessor that an operator has kept, without anybody seeing the token.
func TestSeedTokenUsageIsAudited(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		path := filepath.Join(s.dir, "usage.log")
		c := s.client(s.root)
		none(t, "enable", c.Sys().EnableAuditWithOptions("usage", &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": path}}))
		app := auth(t, s, map[string]any{"policies": []string{"default"}, "display_name": "followed"})
		hash := want[string](t)(c.Sys().AuditHash("usage", app.Accessor))
		for _, r := range []struct {
			verb, path string
			status     int
		}{
			{"GET", "auth/token/lookup-self", 200}, {"POST", "auth/token/renew-self", 200}, {"GET", "secret/data/forbidden", 403}, {"POST", "auth/token/revoke-self", 204},
		} {
			if a := s.raw(r.verb, r.path, app.ClientToken, nil); a.status != r.status {
				t.Errorf("%s: %d %s", r.path, a.status, a.text)
			}
		}
		var used []string
		for _, e := range auditEntries(t, path) {
			if e.Type == "response" && e.Auth.Accessor == hash && e.Request.Path != "auth/token/create" {
				used = append(used, e.Request.Operation+" "+e.Request.Path)
				if (e.Error != "") != (e.Request.Path == "secret/data/forbidden") || e.Auth.DisplayName != "token-followed" {
					t.Errorf("entry: %+v", e)
				}
			}
		}
		wanted := []string{"read auth/token/lookup-self", "update auth/token/renew-self", "read secret/data/forbidden", "update auth/token/revoke-self"}
		if len(used) != len(wanted) {
			t.Fatalf("the file tells of %q", used)
		}
		for i := range wanted {
			if used[i] != wanted[i] {
				t.Errorf("entry %d: want %q, got %q", i, wanted[i], used[i])
			}
		}
	})
}

// auditEntry is what a reader of the file looks at.
type auditEntry struct {
	Type  string `json:"type"`
	Error string `json:"error"`
	Auth  struct {
		Accessor    string `json:"accessor"`
		DisplayName string `json:"display_name"`
	} `json:"auth"`
	Request struct {
		Operation string `json:"operation"`
		Path      string `json:"path"`
	} `json:"request"`
}

func auditEntries(t *testing.T, path string) []auditEntry {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var entries []auditEntry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e auditEntry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("a line that is no JSON: %v", err)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return entries
}

// Contract: tokens §13.39 and §9.3, over real connections: of fifty requests at once by a
// token of ten uses exactly ten are served, whatever happens to the server afterwards.
func TestUsesAreSpentOnce(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	few := token(t, s, map[string]any{"policies": []string{"default"}, "num_uses": 10})
	var served, refused, other atomic.Int64
	var done sync.WaitGroup
	for range 50 {
		done.Go(func() {
			switch status := s.get(t, "auth/token/lookup-self", few); status {
			case http.StatusOK:
				served.Add(1)
			case http.StatusForbidden:
				refused.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	done.Wait()
	if served.Load() != 10 || refused.Load() != 40 {
		t.Errorf("%d served, %d refused, %d neither", served.Load(), refused.Load(), other.Load())
	}
	three := token(t, s, map[string]any{"policies": []string{"default"}, "num_uses": 3})
	for range 2 {
		if !alive(t, s, three) {
			t.Fatal("a use too few")
		}
	}
	s.kill()
	s.start("server started!")
	s.unseal()
	if alive(t, s, few) {
		t.Error("a used-up token came back with the server")
	}
	if !alive(t, s, three) || alive(t, s, three) {
		t.Error("a token of three uses did not have exactly one left after the second")
	}
}

// get is for goroutines, which may not end a test; 0 is no answer.
func (s *server) get(t *testing.T, path, token string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.addr+"/v1/"+path, nil)
	if err != nil {
		return 0
	}
	req.Header.Set("X-Vault-Token", token)
	resp, err := s.web().Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// A development server leaves its root token where the command line finds it.
func TestDevServerLogsInItsOwner(t *testing.T) {
	t.Parallel()
	s := &server{t: t, dir: t.TempDir(), root: "a-root-of-my-own"}
	host := porttest.Free(t)
	s.addr = "http://" + host
	s.args = []string{"server", "-dev", "-dev-root-token-id=" + s.root, "-dev-listen-address=" + host}
	s.start("Root Token:")
	t.Cleanup(s.stop)
	r := s.run([]string{"VAULT_TOKEN="}, "vault", "token", "lookup", "-format=json")
	var l looked
	if err := json.Unmarshal([]byte(r.out), &l); err != nil || l.Data.ID != s.root {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
	info, err := os.Stat(filepath.Join(s.dir, "home", ".vault-token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token file: %v %v", info, err)
	}
}
