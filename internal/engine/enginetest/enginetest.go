// Package enginetest owns the way engines are tested: calls against a mounted engine over the
// real memory store, answered as a client would see them.
package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// DefaultTTL is that of every mount here.
const DefaultTTL = 768 * time.Hour

// start is what the clock of a new mount shows.
var start = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// Mount is one mounted engine.
type Mount struct {
	// Caller is who calls; tests change it to call as somebody else.
	Caller  *backend.Caller
	Clock   *clock.Manual
	Area    *store.Area
	Backend backend.Backend

	t     testing.TB
	table *backend.Table
}

// OpenStore is a new memory store that ends with the test.
func OpenStore(t testing.TB) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Open mounts an engine over a new memory store.
func Open(t testing.TB, factory backend.Factory, options map[string]string) *Mount {
	t.Helper()
	return OpenOver(t, OpenStore(t), clock.NewManual(start), factory, options)
}

// OpenOver mounts an engine over s, always in the same area of it.
func OpenOver(t testing.TB, s store.Store, now *clock.Manual, factory backend.Factory, options map[string]string) *Mount {
	t.Helper()
	m := &Mount{
		Caller: &backend.Caller{ID: backend.TokenID{1}, Policies: []string{"default"}},
		Clock:  now,
		Area:   store.NewArea(s, []byte("mount/7/")),
		t:      t,
	}
	env := backend.Env{Area: m.Area, Options: options, Clock: now, Log: slog.New(slog.DiscardHandler)}
	engine, err := factory(context.Background(), env)
	if err != nil {
		t.Fatal(err)
	}
	m.Backend = engine
	m.table = backend.NewTable(engine.Routes())
	if closer, ok := engine.(backend.Closer); ok {
		t.Cleanup(func() {
			if err := closer.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return m
}

// For is the same mount in the hands of another test: a fuzz target makes one for all its inputs.
func (m *Mount) For(t testing.TB) *Mount {
	other := *m
	other.t = t
	return &other
}

// Answer is what a client sees of a call.
type Answer struct {
	Status int
	// Data is the JSON text of the answer's data; "" when there is none.
	Data string
	// Error is the text of a refusal.
	Error    string
	Warnings []string
	Lease    time.Duration
	// Operation is what the ACL would have been asked for.
	Operation backend.Operation
	// Err is the error itself.
	Err error
}

// Do makes a call with a JSON body ("" for none) and fails the test when the answer could not
// be sent. A write is Update: whether it is a create is found out as the edge does.
func (m *Mount) Do(op backend.Operation, path, body string) Answer {
	m.t.Helper()
	c := &backend.Call{
		Operation: op,
		Caller:    m.Caller,
		Mount:     backend.Mount{Path: "mount/", DefaultTTL: DefaultTTL, MaxTTL: DefaultTTL},
	}
	if body != "" {
		decoder := json.NewDecoder(strings.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&c.Data); err != nil {
			m.t.Fatalf("body of %s %s: %v", op, path, err)
		}
	}
	return m.serve(c, path)
}

func (m *Mount) serve(c *backend.Call, path string) Answer {
	m.t.Helper()
	ctx := context.Background()
	match, ok := m.table.Find(c.Operation, path)
	if !ok {
		return Answer{Status: http.StatusNotFound, Error: "unsupported path"}
	}
	endpoint := match.Route.Endpoint(c.Operation)
	if !endpoint.Defined() {
		return Answer{Status: http.StatusMethodNotAllowed, Error: "unsupported operation"}
	}
	c.Path, c.Captures = match.Path, match.Captures
	if c.Operation == backend.Update && match.Route.Exists != nil {
		exists, err := match.Route.Exists(ctx, c)
		if err != nil {
			return refused(c, err)
		}
		if !exists {
			c.Operation = backend.Create
		}
	}
	reply, err := endpoint.Serve(ctx, c)
	if err != nil {
		return refused(c, err)
	}
	return m.answer(c, reply)
}

// answer does what the edge does with a handler's answer.
func (m *Mount) answer(c *backend.Call, reply *backend.Response) Answer {
	m.t.Helper()
	a := Answer{Status: http.StatusOK, Operation: c.Operation}
	if reply == nil {
		a.Status = http.StatusNoContent
		if c.Operation == backend.Read || c.Operation == backend.List {
			a.Status = http.StatusNotFound
		}
		return a
	}
	if reply.Status != 0 {
		a.Status = reply.Status
	}
	a.Warnings, a.Lease = reply.Warnings, reply.LeaseDuration.Duration()
	if reply.Data != nil {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(reply.Data); err != nil {
			m.t.Fatalf("answer to %s %s: %v", c.Operation, c.Path, err)
		}
		a.Data = strings.TrimSuffix(text.String(), "\n")
	}
	return a
}

func refused(c *backend.Call, err error) Answer {
	status := map[backend.Kind]int{
		backend.Invalid:  http.StatusBadRequest,
		backend.NotFound: http.StatusNotFound,
		backend.TooLarge: http.StatusRequestEntityTooLarge,
	}[backend.KindOf(err)]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	a := Answer{Status: status, Operation: c.Operation, Err: err}
	var known *backend.Error
	if errors.As(err, &known) {
		a.Error = known.Text
	}
	return a
}

// Member is the JSON text of a member of the answer's data, named by a path with dots; ""
// when there is none.
func (a Answer) Member(path string) string {
	text := json.RawMessage(a.Data)
	for _, name := range strings.Split(path, ".") {
		var object map[string]json.RawMessage
		if json.Unmarshal(text, &object) != nil {
			return ""
		}
		text = object[name]
	}
	return string(text)
}
