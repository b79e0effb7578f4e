// Package contract_test owns the proof that the server answers as the contract says: every
// edge case and every row of its tables that can be seen over HTTP is a row here, named after
// its section and number. The server runs in the test's own process, over a store in memory
// and a clock that the test moves.
package contract_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/audit"
	"jeton/internal/clock"
	"jeton/internal/config"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/seal"
	"jeton/internal/server"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// systemTTL is the system's default and greatest lease. Contract: tokens §5.
const systemTTL = 768 * time.Hour

// wall is a wall clock that the test moves.
type wall struct{ nanos atomic.Int64 }

func (w *wall) now() time.Time          { return time.Unix(0, w.nanos.Load()).UTC() }
func (w *wall) advance(d time.Duration) { w.nanos.Add(int64(d)) }

// house is one server under test.
type house struct {
	t       *testing.T
	node    *node.Node
	handler http.Handler
	wall    *wall
	store   store.Store
	log     *lockedBuffer
	audit   *recorder
	unseal  []byte
	root    string
	// wrapper is a seal that opens by itself; nil is Shamir.
	wrapper seal.Wrapper
	// kinds are backends that only tests mount.
	kinds []mount.Kind
}

// lockedBuffer is the server's log.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// recorder is an audit device that keeps its lines, and refuses them on demand.
type recorder struct {
	mu    sync.Mutex
	lines []string
	// refuse judges a line; nil takes all.
	refuse func(line string) bool
}

var errRefused = errors.New("the device refuses the line")

func (r *recorder) Write(_ context.Context, line []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil && r.refuse(string(line)) {
		return errRefused
	}
	r.lines = append(r.lines, string(line))
	return nil
}

func (r *recorder) Reopen() error { return nil }
func (r *recorder) Close() error  { return nil }

// refuseIf makes the device refuse lines from now on; nil takes all.
func (r *recorder) refuseIf(f func(line string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = f
}

// all are the entries so far, decoded.
func (r *recorder) all(t *testing.T) []map[string]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	entries := make([]map[string]any, len(r.lines))
	for i, line := range r.lines {
		if err := json.Unmarshal([]byte(line), &entries[i]); err != nil {
			t.Fatalf("audit line %q: %v", line, err)
		}
	}
	return entries
}

// open starts a server that is initialised, unsealed, and has secret/ as version 2.
func open(t *testing.T) *house {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := sealed(t, raw)
	dev, err := h.node.StartDev(context.Background(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.unseal, h.root = dev.UnsealKey, dev.RootToken
	return h
}

// sealed starts a server over raw that knows no keys.
func sealed(t *testing.T, raw store.Store) *house {
	t.Helper()
	return sealedBy(t, raw, nil)
}

// sealedBy is sealed with a seal that opens by itself.
func sealedBy(t *testing.T, raw store.Store, w seal.Wrapper) *house {
	t.Helper()
	h := &house{t: t, wall: &wall{}, store: raw, wrapper: w, log: &lockedBuffer{}, audit: &recorder{}}
	h.wall.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC).UnixNano())
	h.start(raw)
	return h
}

// start makes node and server over raw.
func (h *house) start(raw store.Store) {
	h.t.Helper()
	log := slog.New(slog.NewTextHandler(h.log, nil))
	h.node = node.New(raw, h.wrapper, clock.NewSteady(h.wall.now, time.Time{}), node.Settings{
		Limits:      mount.Limits{DefaultTTL: systemTTL, MaxTTL: systemTTL},
		ClusterName: "contract",
		StorageType: "inmem",
		AuditTypes: map[string]audit.Factory{
			"recorder": func(context.Context, audit.Opening) (audit.Device, error) { return h.audit, nil },
		},
		Kinds: h.kinds,
		Log:   log,
	})
	h.handler = server.New(h.node, config.Listener{}, 90*time.Second, server.About{}, log)
	n := h.node
	h.t.Cleanup(func() {
		h.sound(n)
		if err := n.Close(context.Background()); err != nil {
			h.t.Logf("closing: %v", err)
		}
	})
}

// sound checks that no test leaves anything behind that contradicts itself.
func (h *house) sound(n *node.Node) {
	if n.Sealed() {
		return
	}
	if _, err := n.Check(context.Background(), func(p node.Problem) { h.t.Errorf("the data after the test: %s", p) }); err != nil && !errors.Is(err, store.ErrClosed) {
		h.t.Errorf("the data after the test: %v", err)
	}
}

// answer is what came back.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   string
}

// request is everything of a request that a row can set.
type request struct {
	method, path, token string
	body                any
	header              http.Header
	remote              string
	ctx                 context.Context
	// tls is what a connection over TLS has shown; nil for plain HTTP.
	tls *tls.ConnectionState
}

// with is a request option.
type with func(*request)

// header sets a request header.
func header(name, value string) with {
	return func(r *request) {
		if r.header == nil {
			r.header = http.Header{}
		}
		r.header.Add(name, value)
	}
}

// wrapped asks for wrapping.
func wrapped(ttl string) with { return header("X-Vault-Wrap-TTL", ttl) }

// from sets the client's address.
func from(addr string) with { return func(r *request) { r.remote = addr } }

// under sets the request's context.
func under(ctx context.Context) with { return func(r *request) { r.ctx = ctx } }

// do sends a request. A string body goes as it is; anything else as JSON.
func (h *house) do(method, path, token string, body any, options ...with) *answer {
	h.t.Helper()
	r := &request{method: method, path: path, token: token, body: body, remote: "192.0.2.1:1234", ctx: context.Background()}
	for _, o := range options {
		o(r)
	}
	var reader io.Reader
	switch b := r.body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		reader = bytes.NewReader(encoded)
	}
	target := r.path
	if !strings.HasPrefix(target, "/") {
		target = "/v1/" + target
	}
	req := httptest.NewRequestWithContext(r.ctx, r.method, target, reader)
	req.RemoteAddr = r.remote
	req.TLS = r.tls
	if r.token != "" {
		req.Header.Set("X-Vault-Token", r.token)
	}
	for name, values := range r.header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, req)
	return &answer{t: h.t, what: method + " " + path, status: w.Code, header: w.Header(), body: w.Body.String()}
}

// m is a JSON object.
type m = map[string]any

// wrap1 and wrap2 are the aggregate texts. Contract: tokens, conventions.
func wrap1(text string) string { return "1 error occurred:\n\t* " + text + "\n\n" }

func wrap2(a, b string) string { return "2 errors occurred:\n\t* " + a + "\n\t* " + b + "\n\n" }

var (
	denied   = wrap1("permission denied")
	badToken = wrap2("permission denied", "invalid token")
)

// is checks the status.
func (a *answer) is(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d; body %s", a.what, a.status, status, a.body)
	}
	return a
}

// fails checks the status and the whole error body; no text is an empty list.
func (a *answer) fails(status int, texts ...string) *answer {
	a.t.Helper()
	a.is(status)
	if texts == nil {
		texts = []string{}
	}
	want, err := json.Marshal(m{"errors": texts})
	if err != nil {
		a.t.Fatal(err)
	}
	if a.body != string(want)+"\n" {
		a.t.Fatalf("%s: body %q, want %q", a.what, a.body, want)
	}
	return a
}

// failsLike checks the status and a part of the text.
func (a *answer) failsLike(status int, part string) *answer {
	a.t.Helper()
	a.is(status)
	var body struct{ Errors []string }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || len(body.Errors) != 1 || !strings.Contains(body.Errors[0], part) {
		a.t.Fatalf("%s: body %q, want an error with %q", a.what, a.body, part)
	}
	return a
}

// empty checks a 204.
func (a *answer) empty() *answer {
	a.t.Helper()
	a.is(204)
	if a.body != "" {
		a.t.Fatalf("%s: a 204 has a body: %q", a.what, a.body)
	}
	return a
}

// object is the body.
func (a *answer) object() m {
	a.t.Helper()
	out := m{}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		a.t.Fatalf("%s: body %q: %v", a.what, a.body, err)
	}
	return out
}

// at walks the body along names; nil where there is nothing.
func (a *answer) at(names ...string) any {
	a.t.Helper()
	var v any = a.object()
	for _, name := range names {
		object, ok := v.(m)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// has checks one value of the body, as JSON.
func (a *answer) has(want any, names ...string) *answer {
	a.t.Helper()
	if got, expected := asJSON(a.t, a.at(names...)), asJSON(a.t, want); got != expected {
		a.t.Fatalf("%s: %s is %s, want %s", a.what, strings.Join(names, "."), got, expected)
	}
	return a
}

// lacks checks that a member is not there at all.
func (a *answer) lacks(names ...string) *answer {
	a.t.Helper()
	object, ok := a.at(names[:len(names)-1]...).(m)
	if !ok {
		a.t.Fatalf("%s: %v is no object", a.what, names[:len(names)-1])
	}
	if v, there := object[names[len(names)-1]]; there {
		a.t.Fatalf("%s: %v is there: %v", a.what, names, v)
	}
	return a
}

// warns checks the warnings.
func (a *answer) warns(want ...string) *answer {
	a.t.Helper()
	if want == nil {
		return a.has(nil, "warnings")
	}
	return a.has(want, "warnings")
}

// text is a string of the body.
func (a *answer) text(names ...string) string {
	a.t.Helper()
	s, ok := a.at(names...).(string)
	if !ok {
		a.t.Fatalf("%s: %v is not a string in %s", a.what, names, a.body)
	}
	return s
}

// number is a whole number of the body.
func (a *answer) number(names ...string) int64 {
	a.t.Helper()
	n, ok := a.at(names...).(json.Number)
	if !ok {
		a.t.Fatalf("%s: %v is not a number in %s", a.what, names, a.body)
	}
	i, err := n.Int64()
	if err != nil {
		a.t.Fatal(err)
	}
	return i
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// create makes a token at auth/token/create and returns its text.
func (h *house) create(token string, body m) string {
	h.t.Helper()
	return h.do("POST", "auth/token/create", token, body).is(200).text("auth", "client_token")
}

// policy writes a policy.
func (h *house) policy(name, text string) {
	h.t.Helper()
	h.do("POST", "sys/policies/acl/"+name, h.root, m{"policy": text}).empty()
}

// holder makes a policy and an orphan with that policy alone.
func (h *house) holder(name, text string) string {
	h.t.Helper()
	h.policy(name, text)
	return h.create(h.root, m{"policies": []string{name}, "no_default_policy": true, "no_parent": true, "ttl": "1h"})
}

// mount mounts version 1 of kv.
func (h *house) mount(path string) {
	h.t.Helper()
	h.do("POST", "sys/mounts/"+path, h.root, m{"type": "kv", "options": m{"version": "1"}}).empty()
}

// lookup is lookup-self.
func (h *house) lookup(token string) *answer {
	h.t.Helper()
	return h.do("GET", "auth/token/lookup-self", token, nil)
}

// ask is lookup by root: what is on record of a token.
func (h *house) ask(token string) *answer {
	h.t.Helper()
	return h.do("POST", "auth/token/lookup", h.root, m{"token": token})
}

// lives and dead check what becomes of a token that may look itself up.
func (h *house) lives(token string) {
	h.t.Helper()
	h.ask(token).is(200)
}

func (h *house) dead(token string) {
	h.t.Helper()
	h.lookup(token).fails(403, badToken)
	h.ask(token).fails(403, "bad token")
}

// devices enables the recorder.
func (h *house) devices() {
	h.t.Helper()
	h.do("PUT", "sys/audit/rec", h.root, m{"type": "recorder"}).empty()
}

// row is one line of the contract.
type row struct {
	name string
	run  func(t *testing.T, h *house)
}

// rows runs each against a server of its own.
func rows(t *testing.T, list []row) {
	t.Helper()
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.run(t, open(t))
		})
	}
}
