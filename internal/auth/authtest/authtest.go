// Package authtest owns the bench on which login methods are tested: a method mounted on a
// real store in memory, with a clock that is set by hand, driven by way of its routes.
package authtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// Start is the time that a bench's clock shows at first.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Bench is one mounted method.
type Bench struct {
	// Backend is the method, Store what it lives in.
	Backend backend.Backend
	Store   store.Store
	Area    *store.Area
	Clock   *clock.Manual
	// Mount is what calls see; its limits are the default 768 hours.
	Mount backend.Mount
	// Remote is where calls come from.
	Remote netip.AddrPort
	// TLS is the connection that calls and renewals come over; nil for one without TLS.
	TLS *tls.ConnectionState

	factory backend.Factory
	table   *backend.Table
}

// New mounts a method on a store of its own.
func New(t testing.TB, factory backend.Factory) *Bench {
	t.Helper()
	whole, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { whole.Close() })
	return On(t, whole, factory)
}

// OnCounting runs a method over a store in memory whose use is counted.
func OnCounting(t testing.TB, factory backend.Factory) (*Bench, *storetest.Counting) {
	t.Helper()
	inner, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	counted := &storetest.Counting{Store: inner}
	return On(t, counted, factory), counted
}

// On mounts a method on whole, which may inject faults.
func On(t testing.TB, whole store.Store, factory backend.Factory) *Bench {
	t.Helper()
	const month = 768 * time.Hour
	b := &Bench{
		Store: whole, Area: store.NewArea(whole, []byte("mount/")), Clock: clock.NewManual(Start),
		Mount:   backend.Mount{Path: "auth/test/", Type: "test", Accessor: "auth_test_1", DefaultTTL: month, MaxTTL: month},
		Remote:  netip.MustParseAddrPort("127.0.0.1:40000"),
		factory: factory,
	}
	b.Remount(t)
	return b
}

// Remount closes the method and makes it anew from what is stored, as a restart does.
func (b *Bench) Remount(t testing.TB) {
	t.Helper()
	if closer, ok := b.Backend.(backend.Closer); ok {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	made, err := b.factory(t.Context(), backend.Env{
		Area: b.Area, Clock: b.Clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Backend, b.table = made, backend.NewTable(made.Routes())
}

// Do makes a call as the edge does: op Update becomes Create where the route says that
// nothing is there. data is whatever marshals to a JSON object, or nil.
func (b *Bench) Do(ctx context.Context, op backend.Operation, path string, data any) (*backend.Response, error) {
	match, ok := b.table.Find(op, path)
	if !ok {
		return nil, backend.Errorf(backend.UnsupportedPath, "unsupported path")
	}
	endpoint := match.Route.Endpoint(op)
	if !endpoint.Defined() {
		return nil, backend.Errorf(backend.UnsupportedOperation, "unsupported operation")
	}
	body, err := wire(data)
	if err != nil {
		return nil, err
	}
	c := &backend.Call{
		Operation: op, Path: match.Path, Mount: b.Mount, Captures: match.Captures, Data: body, Remote: b.Remote, TLS: b.TLS,
	}
	if op == backend.Update && match.Route.Exists != nil {
		exists, err := match.Route.Exists(ctx, c)
		if err != nil {
			return nil, err
		}
		if !exists {
			c.Operation = backend.Create
		}
	}
	return endpoint.Serve(ctx, c)
}

// wire is data as it comes out of the decoder of requests.
func wire(data any) (map[string]any, error) {
	if data == nil {
		return nil, nil
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var body map[string]any
	err = decoder.Decode(&body)
	return body, err
}

// Login logs in and does what the pipeline does with the result: it runs Consume in a
// transaction of the whole store.
func (b *Bench) Login(ctx context.Context, path string, data any) (*backend.Login, error) {
	response, err := b.Do(ctx, backend.Update, path, data)
	if err != nil {
		return nil, err
	}
	login := response.Login
	if login.Consume != nil {
		if err := b.Store.Update(ctx, login.Consume); err != nil {
			return nil, err
		}
	}
	return login, nil
}

// Renew asks the method about a token that login earned.
func (b *Bench) Renew(ctx context.Context, login *backend.Login) (*backend.Login, error) {
	return b.Backend.(backend.Renewer).RenewLogin(ctx, backend.Renewal{
		State: login.State, Policies: login.Policies, Metadata: login.Metadata, Mount: b.Mount, TLS: b.TLS,
	})
}

// Crowd makes logins that wait for another system until one is turned away, has the others give
// up, and says whether one was.
func (b *Bench) Crowd(ctx context.Context, path string, data any) bool {
	const crowd = 2000
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	turned := make(chan struct{}, crowd)
	for range crowd {
		all.Go(func() {
			if _, err := b.Login(ctx, path, data); backend.KindOf(err) == backend.Overloaded {
				turned <- struct{}{}
			}
		})
	}
	over := make(chan struct{})
	go func() { // Ends with the logins.
		all.Wait()
		close(over)
	}()
	select {
	case <-turned:
		cancel()
		<-over
		return true
	case <-over:
		return false
	}
}

// Problems is what the method's own check finds.
func (b *Bench) Problems(t testing.TB) []string {
	t.Helper()
	var found []string
	err := b.Area.View(t.Context(), func(r store.Reader) error {
		found = nil
		return b.Backend.(backend.Checker).Check(r, func(what string) { found = append(found, what) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// CheckBites holds the method's own check against what is stored: it finds nothing, until any
// record is cut short, or there is a key that the method does not know.
func (b *Bench) CheckBites(t testing.TB) {
	t.Helper()
	if found := b.Problems(t); len(found) > 0 {
		t.Fatalf("a sound mount: %q", found)
	}
	records := map[string][]byte{}
	err := b.Area.View(t.Context(), func(r store.Reader) error {
		return r.Scan(store.Range{}, func(k, v []byte) (bool, error) {
			records[string(k)] = bytes.Clone(v)
			return true, nil
		})
	})
	put := func(key string, value []byte) {
		if err == nil {
			err = b.Area.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte(key), value) })
		}
	}
	for key, value := range records {
		if len(value) == 0 {
			continue
		}
		put(key, value[:len(value)-1])
		if len(b.Problems(t)) == 0 {
			t.Errorf("the record %q cut short is not found", key)
		}
		put(key, value)
	}
	put("?", nil)
	if found := b.Problems(t); len(found) != 1 {
		t.Errorf("a strange key: %q", found)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Must makes a call that must succeed, and returns its data as clients read it; nil when
// there is none.
func (b *Bench) Must(t testing.TB, op backend.Operation, path string, data any) map[string]any {
	t.Helper()
	response, err := b.Do(t.Context(), op, path, data)
	if err != nil {
		t.Fatalf("%s %s: %v", op, path, err)
	}
	return Data(t, response)
}

// Refused makes a call that must fail with an error of that kind and text.
func (b *Bench) Refused(t testing.TB, op backend.Operation, path string, data any, kind backend.Kind, text string) {
	t.Helper()
	_, err := b.Do(t.Context(), op, path, data)
	Is(t, err, kind, text)
}

// Is checks an error's kind and text.
func Is(t testing.TB, err error, kind backend.Kind, text string) {
	t.Helper()
	if err == nil || backend.KindOf(err) != kind || err.Error() != text {
		t.Fatalf("error of kind %d: %v; want kind %d: %s", backend.KindOf(err), err, kind, text)
	}
}

// Data is the data of an answer as clients read it.
func Data(t testing.TB, response *backend.Response) map[string]any {
	t.Helper()
	if response == nil || response.Data == nil {
		return nil
	}
	text, err := json.Marshal(response.Data)
	if err != nil {
		t.Fatal(err)
	}
	var data map[string]any
	if err := json.Unmarshal(text, &data); err != nil {
		t.Fatal(err)
	}
	return data
}

// Keys is the listing at path; nil when it is empty.
func (b *Bench) Keys(t testing.TB, path string) []string {
	t.Helper()
	response, err := b.Do(t.Context(), backend.List, path, nil)
	if err != nil {
		t.Fatalf("list %s: %v", path, err)
	}
	if response == nil {
		return nil
	}
	return response.Data.(*backend.Keys).Keys
}

// Stored counts the keys of the mount's area below prefix.
func (b *Bench) Stored(t testing.TB, prefix string) int {
	t.Helper()
	n := 0
	err := b.Area.View(t.Context(), func(r store.Reader) error {
		n = 0
		return r.Scan(store.PrefixRange([]byte(prefix)), func(_, _ []byte) (bool, error) {
			n++
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
