package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"jeton/internal/audit"
	"jeton/internal/audit/file"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)

// rig is a broker over a store in memory, and what it told the server log.
type rig struct {
	*audit.Broker
	area store.Store
	deps audit.Deps
	logs *bytes.Buffer
}

// newRig loads a broker. change may alter what it is made of; nil for nothing.
func newRig(t testing.TB, change func(*audit.Deps)) *rig {
	t.Helper()
	whole, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { whole.Close() })
	r := &rig{area: store.NewArea(whole, []byte("audit/")), logs: new(bytes.Buffer)}
	r.deps = audit.Deps{
		Area:  r.area,
		Types: map[string]audit.Factory{"file": file.Factory(nil)},
		Clock: clock.NewManual(start),
		// A disk that is busy is no device that fails.
		Settings: audit.Settings{DeviceLimit: time.Minute},
		Log:      slog.New(slog.NewTextHandler(r.logs, nil)),
	}
	if change != nil {
		change(&r.deps)
	}
	r.reload(t)
	return r
}

// reload seals and unseals.
func (r *rig) reload(t testing.TB) {
	t.Helper()
	if r.Broker != nil {
		r.Broker.Close()
	}
	b, err := audit.Load(t.Context(), r.deps)
	if err != nil {
		t.Fatal(err)
	}
	r.Broker = b
	t.Cleanup(b.Close)
}

// enableFile enables a file device at name and returns its file's path.
func (r *rig) enableFile(t testing.TB, name string, options ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	o := map[string]string{"file_path": path}
	for i := 0; i < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	if err := r.Enable(t.Context(), name, audit.Spec{Type: "file", Options: o}); err != nil {
		t.Fatal(err)
	}
	return path
}

// lines reads a log; every line of it must be a JSON object.
func lines(t testing.TB, path string) []map[string]any {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []map[string]any
	s := bufio.NewScanner(f)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var v map[string]any
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("line %d of %s: %v", len(out)+1, path, err)
		}
		out = append(out, v)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// lookup is the entry of a usual request: a token looks itself up.
func lookup() *audit.Entry {
	return &audit.Entry{
		Auth: &audit.Auth{
			ClientToken: "hvs.canary-token", Accessor: "canary-accessor", DisplayName: "token",
			Policies: []string{"default", "dev"}, TokenPolicies: []string{"default", "dev"},
			PolicyResults: &audit.PolicyResults{Allowed: true, Granting: []string{"default"}},
			Metadata:      map[string]string{"team": "blue", "env": "prod"},
			TokenType:     "service", TokenTTL: time.Hour, IssueTime: start,
		},
		Request: &audit.RequestPart{
			ID: "0b6c1c1e-6a4f-4a53-9d2f-0c2f5d9a7b10", ClientID: "0DHqvq2D77kL2/JTPSZkTMJbkFVmUu0TzMi0jiXcFy8=",
			Operation:   "read",
			Mount:       audit.Mount{Point: "auth/token/", Type: "token", Accessor: "auth_token_1a2b3c4d", Class: "auth"},
			ClientToken: "hvs.canary-token", ClientTokenAccessor: "canary-accessor",
			Path: "auth/token/lookup-self", Remote: netip.MustParseAddrPort("127.0.0.1:54321"),
		},
	}
}

// answered adds the answer to lookup.
func answered() *audit.Entry {
	e := lookup()
	e.Response = &audit.ResponsePart{
		Mount: e.Request.Mount,
		Data: json.RawMessage(`{"accessor":"canary-accessor","creation_time":1767323045,"creation_ttl":3600,"display_name":"token",` +
			`"entity_id":"","expire_time":"2026-01-02T04:04:05Z","explicit_max_ttl":0,"id":"hvs.canary-token","issue_time":"2026-01-02T03:04:05Z",` +
			`"meta":{"team":"blue"},"num_uses":0,"orphan":true,"path":"auth/token/create","policies":["default","dev"],"renewable":true,"ttl":3600,"type":"service"}`),
	}
	return e
}

func TestEnabledFileGetsTestMessageThenEntries(t *testing.T) {
	r := newRig(t, nil)
	path := r.enableFile(t, "file")
	if err := r.LogRequest(context.Background(), lookup(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.LogResponse(context.Background(), answered(), nil, nil); err != nil {
		t.Fatal(err)
	}
	got := lines(t, path)
	if len(got) != 3 {
		t.Fatalf("%d lines", len(got))
	}
	if p := got[0]["request"].(map[string]any)["path"]; p != "sys/audit/test" {
		t.Errorf("first line's path is %v", p)
	}
	text, _ := os.ReadFile(path)
	if bytes.Contains(text, []byte("canary")) {
		t.Error("a secret is in the log")
	}
}

func BenchmarkEntry(b *testing.B) {
	for _, kind := range []string{"discard", "file"} {
		b.Run(kind, func(b *testing.B) {
			r := newRig(b, nil)
			path := "discard"
			if kind == "file" {
				path = filepath.Join(b.TempDir(), "audit.log")
			}
			if err := r.Enable(b.Context(), "file", audit.Spec{Type: "file", Options: map[string]string{"file_path": path}}); err != nil {
				b.Fatal(err)
			}
			e, a := lookup(), answered()
			b.ReportAllocs()
			for b.Loop() {
				if err := r.LogRequest(b.Context(), e, nil, nil); err != nil {
					b.Fatal(err)
				}
				if err := r.LogResponse(b.Context(), a, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParallel is many requests at once, each with both its entries, as the server makes them.
func BenchmarkParallel(b *testing.B) {
	r := newRig(b, nil)
	r.enableFile(b, "file")
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		e := answered()
		e.Kept = new(audit.Kept)
		for pb.Next() {
			if err := errors.Join(r.LogRequest(context.Background(), e, nil, nil), r.LogResponse(context.Background(), e, nil, nil)); err != nil {
				b.Error(err)
			}
		}
	})
}
