package contract_test

import (
	"bufio"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jeton/internal/clock"
	"jeton/internal/config"
	"jeton/internal/logging"
	"jeton/internal/metrics"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/openapi"
	"jeton/internal/server"
	"jeton/internal/store/embedded"
	"jeton/internal/sys"
)

// process is a server as a process has it: it measures, and its log has levels.
type process struct {
	*house
	levels *logging.Levels
	log    *slog.Logger
}

// measured starts a server that measures.
func measured(t *testing.T, settings metrics.Settings, l config.Listener) *process {
	t.Helper()
	return configured(t, config.Sanitized{}, settings, l)
}

// configured starts a server that measures and knows its configuration.
func configured(t *testing.T, known config.Sanitized, settings metrics.Settings, l config.Listener) *process {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, wall: &wall{}, store: raw, log: &lockedBuffer{}, audit: &recorder{}}
	h.wall.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	p := &process{house: h, levels: logging.New(slog.LevelInfo)}
	p.log = slog.New(p.levels.Handler(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	steady := clock.NewSteady(h.wall.now, time.Time{})
	h.node = node.New(raw, nil, steady, node.Settings{
		Limits: mount.Limits{DefaultTTL: systemTTL, MaxTTL: systemTTL}, ClusterName: "contract", StorageType: "inmem", Log: p.log,
		Process: sys.Process{Config: known, Levels: p.levels, Metrics: metrics.New(settings, steady)},
	})
	h.handler = server.New(h.node, l, 90*time.Second, server.About{Levels: p.levels}, p.log)
	n := h.node
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Logf("closing: %v", err)
		}
	})
	dev, err := h.node.StartDev(context.Background(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.unseal, h.root = dev.UnsealKey, dev.RootToken
	return p
}

func TestSystemMetrics(t *testing.T) {
	on := metrics.Settings{Prometheus: true, Prefix: "vault", ShowByDefault: true}
	t.Run("sys §18 JSON: the members", func(t *testing.T) {
		h := measured(t, metrics.Settings{Prefix: "vault", ShowByDefault: true}, config.Listener{})
		h.create(h.root, nil)
		a := h.do("GET", "sys/metrics", h.root, nil).is(200)
		for _, name := range []string{"Timestamp", "Gauges", "Points", "Counters", "Samples"} {
			if _, ok := a.object()[name]; !ok {
				t.Errorf("%s is missing", name)
			}
		}
		a.lacks("data").has("2026-03-01 12:00:00 +0000 UTC", "Timestamp")
		for _, name := range []string{"vault.core.unsealed", "vault.token.count", "vault.token.creation", "vault.core.handle_request", "vault.runtime.num_goroutines"} {
			if !strings.Contains(a.body, `"Name":"`+name+`"`) {
				t.Errorf("%s is missing", name)
			}
		}
	})
	t.Run("sys §18 prometheus, by query and by Accept", func(t *testing.T) {
		h := measured(t, on, config.Listener{})
		h.create(h.root, nil)
		for _, a := range []*answer{
			h.do("GET", "sys/metrics?format=prometheus", h.root, nil).is(200),
			h.do("GET", "sys/metrics", h.root, nil, header("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")).is(200),
		} {
			if !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || !strings.Contains(a.body, "vault_core_unsealed 1\n") ||
				!strings.Contains(a.body, `vault_token_creation{auth_method="token",token_type="service"} 1`) {
				t.Errorf("%s: %s", a.header.Get("Content-Type"), a.body)
			}
		}
	})
	t.Run("sys tests (tail) 6, §18 what is refused, in plain text", func(t *testing.T) {
		h := measured(t, metrics.Settings{Prefix: "vault", ShowByDefault: true}, config.Listener{})
		for query, want := range map[string]string{"xml": `metric response format "xml" unknown`, "prometheus": "prometheus is not enabled"} {
			a := h.do("GET", "sys/metrics?format="+query, h.root, nil).is(400)
			if a.body != want || a.header.Get("Content-Type") != "text/plain" {
				t.Errorf("%s: %q", a.header.Get("Content-Type"), a.body)
			}
		}
		h.do("GET", "sys/metrics", "", nil).fails(403, "permission denied")
		h.do("GET", "sys/metrics", h.create(h.root, m{"policies": "default"}), nil).fails(403, denied)
	})
	t.Run("config §3 unauthenticated access, where the listener says so", func(t *testing.T) {
		var l config.Listener
		l.Exposure.UnauthenticatedMetrics, l.Exposure.UnauthenticatedInFlight, l.Exposure.UnauthenticatedPprof = true, true, true
		h := measured(t, on, l)
		if a := h.do("GET", "sys/metrics?format=prometheus", "", nil).is(200); !strings.Contains(a.body, "vault_core_unsealed") {
			t.Errorf("body %s", a.body)
		}
		h.do("GET", "sys/in-flight-req", "", nil).is(200)
		h.do("GET", "sys/pprof/goroutine?debug=1", "", nil).is(200)
		h.do("GET", "sys/pprof/", "", nil).is(200)
		h.do("POST", "sys/metrics", "", nil).is(405)
		h.do("GET", "sys/mounts", "", nil).is(403)
	})
}

func TestSystemInFlight(t *testing.T) {
	h := measured(t, metrics.Settings{}, config.Listener{})
	a := h.do("GET", "sys/in-flight-req", h.root, nil).is(200)
	if len(a.object()) != 1 {
		t.Fatalf("body %s", a.body)
	}
	for _, flight := range a.object() {
		f := flight.(m)
		if f["request_path"] != "/sys/in-flight-req" || f["request_method"] != "GET" || f["client_remote_address"] != "192.0.2.1:1234" || f["start_time"] == nil {
			t.Fatalf("flight %v", f)
		}
		if _, ok := f["client_id"]; !ok {
			t.Fatal("client_id is missing")
		}
	}
	h.do("GET", "sys/in-flight-req", "", nil).fails(403, "permission denied")
}

func TestSystemProfiles(t *testing.T) {
	h := measured(t, metrics.Settings{}, config.Listener{})
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate", "cmdline"} {
		if a := h.do("GET", "sys/pprof/"+name, h.root, nil).is(200); a.body == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if a := h.do("GET", "sys/pprof/goroutine?debug=1", h.root, nil).is(200); !strings.HasPrefix(a.body, "goroutine profile:") {
		t.Errorf("body %.60s", a.body)
	}
	h.do("GET", "sys/pprof/profile?seconds=90", h.root, nil).failsLike(400, "exceeds")
	h.do("GET", "sys/pprof/nope", h.root, nil).is(404)
	h.do("GET", "sys/pprof/heap", "", nil).fails(403, "permission denied")
}

func TestSystemLoggers(t *testing.T) {
	h := measured(t, metrics.Settings{}, config.Listener{})
	h.do("GET", "sys/loggers", h.root, nil).is(200).has("info", "data", "core").has("info", "data", "seal")
	h.do("POST", "sys/loggers", h.root, m{"level": "warning"}).empty()
	h.do("GET", "sys/loggers", h.root, nil).has("warn", "data", "core").has("warn", "data", "seal")
	h.do("POST", "sys/loggers/seal", h.root, m{"level": "trace"}).empty()
	h.do("GET", "sys/loggers/seal", h.root, nil).has(m{"seal": "debug"}, "data")
	h.do("DELETE", "sys/loggers/seal", h.root, nil).empty()
	h.do("GET", "sys/loggers", h.root, nil).has("warn", "data", "core").has("info", "data", "seal")
	h.do("DELETE", "sys/loggers", h.root, nil).empty()
	h.do("GET", "sys/loggers", h.root, nil).has("info", "data", "core")
	h.do("POST", "sys/loggers/core", h.root, m{"level": "error"}).empty()
	h.house.log.mu.Lock()
	h.house.log.buf.Reset()
	h.house.log.mu.Unlock()
	h.log.Warn("not to be seen")
	h.log.With(logging.RoomKey, "seal").Info("to be seen")
	if text := h.house.log.String(); strings.Contains(text, "not to be seen") || !strings.Contains(text, "to be seen") {
		t.Fatalf("log %q", text)
	}
}

func TestSystemMonitor(t *testing.T) {
	h := measured(t, metrics.Settings{}, config.Listener{})
	h.do("GET", "sys/monitor?log_level=loud", h.root, nil).fails(400, "unknown log level")
	h.do("GET", "sys/monitor?log_format=xml", h.root, nil).fails(400, "unknown log format")
	h.do("GET", "sys/monitor", "", nil).fails(403, "permission denied")
	h.do("GET", "sys/monitor", h.create(h.root, m{"policies": "default"}), nil).fails(403, denied)

	web := httptest.NewServer(h.handler)
	defer web.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", web.URL+"/v1/sys/monitor?log_level=debug&log_format=json", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", h.root)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	h.log.With("who", "me").Debug("below what the server itself writes")
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"msg":"below what the server itself writes","who":"me"`) {
			if strings.Contains(h.house.log.String(), "below what") {
				t.Fatal("the server's own log has the line too")
			}
			return
		}
	}
	t.Fatalf("the line did not come: %v", lines.Err())
}

// The document's list of raw paths is the server's: each answers, and not as an unknown path.
func TestSystemRawPathsAreDescribed(t *testing.T) {
	h := open(t)
	for _, p := range openapi.RawPaths() {
		a := h.do("PATCH", p.Path, h.root, m{}, header("Content-Type", "application/merge-patch+json"))
		if a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: PATCH is %d, want 405 of a raw handler", p.Path, a.status)
		}
		if p.Get {
			if a := h.do("GET", p.Path, h.root, nil); a.status == http.StatusMethodNotAllowed || a.status == http.StatusNotFound {
				t.Errorf("%s: GET is %d", p.Path, a.status)
			}
		}
	}
}

// A log that somebody follows does not hold up the end of the server.
func TestSystemMonitorEndsWithTheListener(t *testing.T) {
	h := measured(t, metrics.Settings{}, config.Listener{})
	s := server.New(h.node, config.Listener{Network: "tcp", Address: "127.0.0.1:0", TLS: config.TLS{Disable: true}}, 90*time.Second, server.About{Levels: h.levels}, h.log)
	run, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+run.Address.String()+"/v1/sys/monitor", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", h.root)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run.Stop(ctx); err != nil {
		t.Fatalf("stopping: %v", err)
	}
}
