package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"jeton/internal/config"
	"jeton/internal/node"
	"jeton/internal/store"
)

// TestSnapshotWithTheOfficialClient is contract sys §21: the client's own verification accepts
// what the server sends, and its restore brings it back.
func TestSnapshotWithTheOfficialClient(t *testing.T) {
	s, at, root := serving(t, config.Listener{}, newBounds(100, 100, 1<<10), About{})
	cfg := api.DefaultConfig()
	cfg.Address = at
	c, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(root)
	var file bytes.Buffer
	if err := c.Sys().RaftSnapshotWithContext(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	if err := c.Sys().RaftSnapshotRestoreWithContext(t.Context(), strings.NewReader("nonsense"), false); err == nil || !strings.Contains(err.Error(), "nothing has changed") {
		t.Errorf("nonsense: %v", err)
	}
	if s.node.Sealed() {
		t.Fatal("a refused snapshot sealed the server")
	}
	// Larger than all bodies together may be: a snapshot goes past them.
	if file.Len() <= 1<<10 {
		t.Fatalf("the snapshot has %d bytes only", file.Len())
	}
	status, h, body := send(t, "POST", at+"/v1/sys/storage/raft/snapshot", bytes.NewReader(file.Bytes()), "X-Vault-Token", root)
	if status != http.StatusNoContent || !strings.Contains(h.Get("Warning"), "revoke again") {
		t.Errorf("restore: %d %v %s", status, h, body)
	}
	if !s.node.Sealed() {
		t.Error("the server is open after a restore")
	}
	for _, path := range []string{"sys/storage/raft/snapshot", "sys/internal/check"} {
		if status, _, _ := send(t, "GET", at+"/v1/"+path, nil, "X-Vault-Token", root); status != http.StatusServiceUnavailable {
			t.Errorf("GET %s while sealed: %d", path, status)
		}
	}
}

// TestBulkNeedsRightsCVE20213282: who may not is refused before a byte of the body is read.
func TestBulkNeedsRightsCVE20213282(t *testing.T) {
	s, at, root := serving(t, config.Listener{}, nil, About{})
	status, _, body := send(t, "POST", at+"/v1/auth/token/create", strings.NewReader(`{"policies":["default"]}`), "X-Vault-Token", root)
	var made struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		} `json:"auth"`
	}
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, body, err)
	}
	for _, token := range []string{"", "nonsense", made.Auth.ClientToken} {
		for _, ask := range [][2]string{{"GET", "sys/storage/raft/snapshot"}, {"POST", "sys/storage/raft/snapshot"},
			{"POST", "sys/storage/raft/snapshot-force"}, {"GET", "sys/internal/check"}} {
			if status, _, body := send(t, ask[0], at+"/v1/"+ask[1], unread{}, "X-Vault-Token", token); status != http.StatusForbidden {
				t.Errorf("%s %s with token %q: %d %s", ask[0], ask[1], token, status, body)
			}
		}
	}
	for _, path := range []string{"sys/storage/raft/snapshot-force"} {
		if status, _, _ := send(t, "GET", at+"/v1/"+path, nil, "X-Vault-Token", root); status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, status)
		}
	}
	if s.node.Sealed() {
		t.Error("the server was sealed")
	}
}

// unread is a body of unknown length, with nothing in it.
type unread struct{}

func (unread) Read(p []byte) (int, error) { return 0, io.EOF }

// TestCheckOverHTTP streams the problems, and says at the end how much was read.
func TestCheckOverHTTP(t *testing.T) {
	s, at, root := serving(t, config.Listener{}, nil, About{})
	last := func() (lines []string, records, problems float64) {
		status, _, body := send(t, "GET", at+"/v1/sys/internal/check", nil, "X-Vault-Token", root)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		lines = strings.Split(strings.TrimSpace(body), "\n")
		end := map[string]float64{}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return lines[:len(lines)-1], end["records"], end["problems"]
	}
	if lines, records, problems := last(); len(lines) != 0 || records == 0 || problems != 0 {
		t.Errorf("of sound data: %q, %g records, %g problems", lines, records, problems)
	}
	house := s.node.Enter()
	err := house.Store.Update(context.Background(), func(tx store.Tx) error { return tx.Put([]byte("attic/x"), nil) })
	house.Leave()
	if err != nil {
		t.Fatal(err)
	}
	if lines, _, problems := last(); len(lines) != 1 || problems != 1 || !strings.Contains(lines[0], `"room":"record"`) {
		t.Errorf("of damaged data: %q, %g problems", lines, problems)
	}
}

// TestStreamCutOff: a stream that fails half-way does not look whole.
func TestStreamCutOff(t *testing.T) {
	s, _, _ := serving(t, config.Listener{}, nil, About{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.write(w, r, s.streaming("text/plain", func(_ context.Context, _ *node.House, w io.Writer) error {
			if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
				return err
			}
			return io.ErrUnexpectedEOF
		}))
	})
	ts := httptest.NewServer(handler)
	defer ts.Close()
	r, err := http.Get(ts.URL)
	if err != nil {
		return // cut off before the headers were out
	}
	defer r.Body.Close()
	if got, err := io.ReadAll(r.Body); err == nil {
		t.Errorf("%d bytes, and they look whole", len(got))
	}
}
