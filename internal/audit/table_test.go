package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/audit"
	"jeton/internal/audit/file"
	"jeton/internal/backend"
)

// Contract: sys §10, audit §3 and §4.
func TestEnableRefusals(t *testing.T) {
	r := newRig(t, withSockets)
	r.enableFile(t, "taken/deep")
	path := filepath.Join(t.TempDir(), "a.log")
	for name, c := range map[string]struct {
		path, kind string
		options    map[string]string
		want       string
	}{
		"no path":             {"/", "file", nil, "backend path must be specified"},
		"same path":           {"taken/deep", "file", nil, "path already in use"},
		"path above":          {"taken", "file", nil, "path already in use"},
		"path below":          {"taken/deep/er", "file", nil, "path already in use"},
		"unknown type":        {"a", "x", nil, `unknown backend type: "x"`},
		"http is OpenBao's":   {"a", "http", nil, `unknown backend type: "http"`},
		"file_path":           {"a", "file", nil, "file_path is required"},
		"address":             {"a", "socket", nil, "address is required"},
		"format":              {"a", "file", map[string]string{"path": path, "format": "x"}, `unknown format type "x"`},
		"jsonx":               {"a", "file", map[string]string{"path": path, "format": "jsonx"}, `unknown format type "jsonx"`},
		"bad boolean":         {"a", "file", map[string]string{"path": path, "log_raw": "maybe"}, `strconv.ParseBool: parsing "maybe": invalid syntax`},
		"prefix not allowed":  {"a", "file", map[string]string{"path": path, "prefix": "@cee: "}, "audit log prefixing is not allowed"},
		"enterprise's filter": {"a", "file", map[string]string{"path": path, "filter": "x"}, `unsupported option "filter"`},
		"control characters":  {"a\nb", "file", map[string]string{"path": path}, "backend path must be printable"},
	} {
		t.Run(name, func(t *testing.T) {
			err := r.Enable(t.Context(), c.path, audit.Spec{Type: c.kind, Options: c.options})
			if err == nil || err.Error() != c.want || backend.KindOf(err) != backend.Invalid {
				t.Errorf("%v", err)
			}
			if len(r.List()) != 1 {
				t.Error("it is enabled")
			}
		})
	}
	t.Run("a path that shares letters is another path", func(t *testing.T) {
		if err := r.Enable(t.Context(), "tak", audit.Spec{Type: "file", Options: map[string]string{"path": path}}); err != nil {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct{ path, input, want string }{
		"empty input":    {"taken/deep", "", `the "input" parameter is empty`},
		"unknown device": {"foo", "x", `unknown audit backend "foo/"`},
	} {
		t.Run("hash: "+name, func(t *testing.T) {
			if _, err := r.Hash(c.path, c.input); err == nil || err.Error() != c.want {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestPrefixWhereAllowed(t *testing.T) {
	r := newRig(t, func(d *audit.Deps) { d.Settings.AllowPrefix = true })
	path := r.enableFile(t, "file", "prefix", "@cee: ")
	r.request(t, lookup())
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "@cee: {"); !ok || !json.Valid([]byte("{"+rest)) {
			t.Errorf("line %q", line)
		}
	}
	// What was allowed once is not allowed for ever: the device no longer opens, and as it
	// is the only one the server stays sealed.
	r.Close()
	r.deps.Settings.AllowPrefix = false
	if _, err := audit.Load(t.Context(), r.deps); !errors.Is(err, audit.ErrTable) || err.Error() != "failed to setup audit table" {
		t.Errorf("%v", err)
	}
}

// Contract: audit §2: none of the table opens, the server stays sealed; some do, it unseals.
func TestLoadWithDevicesThatDoNotOpen(t *testing.T) {
	r := newRig(t, nil)
	dir := filepath.Join(t.TempDir(), "gone")
	path := filepath.Join(dir, "a.log")
	if err := r.Enable(t.Context(), "gone", audit.Spec{Type: "file", Options: map[string]string{"path": path}}); err != nil {
		t.Fatal(err)
	}
	block := func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	block()
	r.Close()
	if _, err := audit.Load(t.Context(), r.deps); !errors.Is(err, audit.ErrTable) {
		t.Fatalf("%v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	r.reload(t)
	kept := r.enableFile(t, "kept")
	block()
	r.reload(t)
	r.request(t, lookup())
	if len(r.List()) != 2 {
		t.Error("a device left the table")
	}
	// The dead one alone fails closed, and is back as soon as it can be opened.
	if err := r.Disable(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if err := r.LogRequest(t.Context(), lookup(), nil, nil); !errors.Is(err, audit.ErrNoDevice) {
		t.Errorf("%v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	r.request(t, lookup())
	if len(lines(t, kept)) != 2 || len(lines(t, path)) != 1 {
		t.Error("lines are missing")
	}
}

func TestConfiguredDevicesBelongToTheConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	r := newRig(t, func(d *audit.Deps) {
		d.Types["file"] = file.Factory([]string{t.TempDir()})
		d.Settings.Configured = map[string]audit.Spec{"main": {Type: "file", Options: map[string]string{"path": path}}}
	})
	r.request(t, lookup())
	if len(lines(t, path)) != 1 {
		t.Error("no line")
	}
	before := r.hash(t, "main", "x")
	if err := r.Disable(t.Context(), "main"); backend.KindOf(err) != backend.Invalid {
		t.Errorf("%v", err)
	}
	if err := r.Enable(t.Context(), "main", audit.Spec{Type: "file", Options: map[string]string{"path": path}}); err == nil || err.Error() != "path already in use" {
		t.Errorf("%v", err)
	}
	r.reload(t)
	if r.hash(t, "main", "x") != before {
		t.Error("a restart changed the salt")
	}
}

// Disabling and enabling while requests are on their way costs none of them.
func TestChangingTheTableFailsNoRequest(t *testing.T) {
	r := newRig(t, nil)
	path := filepath.Join(t.TempDir(), "a.log")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := r.LogRequest(context.Background(), lookup(), nil, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 50 {
		if err := r.Enable(t.Context(), "file", audit.Spec{Type: "file", Options: map[string]string{"path": path}}); err != nil {
			t.Error(err)
		}
		if err := r.Disable(t.Context(), "file"); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	lines(t, path)
}

// Contract: audit §3: configured devices come and go with the configuration.
func TestReconfigure(t *testing.T) {
	spec := func(path string) audit.Spec {
		return audit.Spec{Type: "file", Options: map[string]string{"path": path}}
	}
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.log"), filepath.Join(dir, "two.log")
	r := newRig(t, func(d *audit.Deps) { d.Settings.Configured = map[string]audit.Spec{"one": spec(one)} })
	api := r.enableFile(t, "api")
	for _, c := range []struct {
		name       string
		configured map[string]audit.Spec
		devices    []string
		err        string
	}{
		{"nothing new", map[string]audit.Spec{"one": spec(one)}, []string{"api/", "one/"}, ""},
		{"one more", map[string]audit.Spec{"one": spec(one), "two/": spec(two)}, []string{"api/", "one/", "two/"}, ""},
		{"a change is refused", map[string]audit.Spec{"one": spec(two), "two": spec(two)}, []string{"api/", "one/", "two/"},
			`configured audit device "one/" cannot change while the server runs`},
		{"a path of the API's", map[string]audit.Spec{"one": spec(one), "api/x": spec(two)}, []string{"api/", "one/"},
			`configured audit device "api/x/": path already in use`},
		{"one that does not open", map[string]audit.Spec{"bad": {Type: "file"}, "two": spec(two)}, []string{"api/", "two/"},
			`configured audit device "bad/": file_path is required`},
		{"none", nil, []string{"api/"}, ""},
	} {
		err := r.Reconfigure(t.Context(), c.configured)
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := slices.Sorted(maps.Keys(r.List())); !slices.Equal(got, c.devices) {
			t.Errorf("%s: %v", c.name, got)
		}
		r.request(t, lookup())
	}
	for path, want := range map[string]int{one: 4, two: 3, api: 7} {
		if n := len(lines(t, path)); n != want {
			t.Errorf("%s has %d lines, want %d", filepath.Base(path), n, want)
		}
	}
}

// gate is a device whose writes wait until it is disabled, and then fail.
type gate struct{ entered chan struct{} }

func (g gate) Write(ctx context.Context, _ []byte) error {
	g.entered <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (gate) Reopen() error { return nil }
func (gate) Close() error  { return nil }

// A request whose only device is disabled under its hands is judged by the table as it is then.
func TestDisabledMeanwhileIsNoFailure(t *testing.T) {
	g := gate{make(chan struct{}, 1)}
	r := newRig(t, func(d *audit.Deps) {
		d.Settings.DeviceLimit = time.Minute
		d.Types["gate"] = func(context.Context, audit.Opening) (audit.Device, error) { return g, nil }
	})
	err := r.Enable(t.Context(), "gate", audit.Spec{Type: "gate", Options: map[string]string{"skip_test": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.LogRequest(context.Background(), lookup(), nil, nil) }()
	<-g.entered
	if err := r.Disable(t.Context(), "gate"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("%v", err)
	}
}
