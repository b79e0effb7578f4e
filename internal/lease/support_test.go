package lease

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/engine/leasetest"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const month = 768 * time.Hour

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// tokens are the holders: one key for each that lives, below "token/" in the whole store.
type tokens struct{}

func tokenKey(id backend.TokenID) []byte { return append([]byte("token/"), id[:]...) }

func (tokens) Holds(r store.Reader, id backend.TokenID) (bool, error) {
	_, err := r.Get(tokenKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// engines are the mounts.
type engines struct {
	mu sync.Mutex
	// mounts is guarded by mu.
	mounts map[string]backend.Mount
	engine backend.LeaseIssuer
}

func (e *engines) Issuer(accessor string) (backend.LeaseIssuer, backend.Mount, func(), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, ok := e.mounts[accessor]
	if !ok {
		return nil, m, nil, ErrNoIssuer
	}
	return e.engine, m, func() {}, nil
}

func (e *engines) set(m backend.Mount) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mounts[m.Accessor] = m
}

func (e *engines) remove(accessor string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.mounts, accessor)
}

func (e *engines) mount(accessor string) backend.Mount {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mounts[accessor]
}

// endings is a witness that remembers.
type endings struct {
	mu sync.Mutex
	// seen has the last record of every lease told of; guarded by mu.
	seen map[string]*Lease
}

func (e *endings) LeaseEnded(_ context.Context, l *Lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen[l.ID] = l
}

func (e *endings) of(id string) *Lease {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[id]
}

// room is a lease room over a store in memory, and what surrounds it.
type room struct {
	*Store
	t       fatal
	ctx     context.Context
	clock   *clock.Manual
	raw     store.Store
	outside *leasetest.World
	engines *engines
	told    *endings
	holders int
}

func memory(t testing.TB) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// newRoom opens a room with one mount, db; at the end of the test it is checked.
func newRoom(t testing.TB) *room {
	t.Helper()
	r := roomOver(t, memory(t))
	t.Cleanup(func() {
		r.Store.Close()
		r.mustCheck()
	})
	return r
}

func roomOver(t fatal, s store.Store) *room {
	r := &room{t: t, ctx: context.Background(), clock: clock.NewManual(epoch), raw: s, outside: leasetest.NewWorld(),
		told: &endings{seen: map[string]*Lease{}}}
	engine, err := r.outside.New(r.ctx, backend.Env{})
	r.ok(err)
	r.engines = &engines{mounts: map[string]backend.Mount{}, engine: engine.(backend.LeaseIssuer)}
	r.engines.set(backend.Mount{Path: "db/", Type: "leasing", Accessor: "leasing_1", DefaultTTL: month, MaxTTL: month})
	r.Store = r.open(s)
	return r
}

func (r *room) open(s store.Store) *Store {
	return New(Config{Store: s, Prefix: []byte("lease/"), Clock: r.clock, Log: slog.New(slog.DiscardHandler),
		Holders: tokens{}, Issuers: r.engines, Witness: r.told,
		Unreadable: func(err error) bool { return errors.Is(err, errGarbled) }})
}

// reopen is what a restart does: nothing is left but the store.
func (r *room) reopen(s store.Store) {
	r.Store.Close()
	r.raw = s
	r.Store = r.open(s)
}

func (r *room) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("unexpected error: %v", err)
	}
}

// token makes a living holder.
func (r *room) token() (id backend.TokenID) {
	r.t.Helper()
	r.holders++
	id[0], id[1] = byte(r.holders), byte(r.holders>>8)
	id[15] = 1
	r.ok(r.raw.Update(r.ctx, func(tx store.Tx) error { return tx.Put(tokenKey(id), nil) }))
	return id
}

// dies ends a holder as the token room does: with all that it can release at once, and the rest
// in later transactions.
func (r *room) dies(id backend.TokenID) {
	r.t.Helper()
	for more := true; more; {
		r.ok(r.raw.Update(r.ctx, func(tx store.Tx) (err error) {
			if more, err = r.Release(tx, id, 64); err != nil {
				return err
			}
			return tx.Delete(tokenKey(id))
		}))
	}
}

// fresh is a secret of a role for a holder.
func (r *room) fresh(role string, holder backend.TokenID) (Fresh, string) {
	secret, name := r.outside.Issue(role)
	return Fresh{Path: "db/creds/" + role, Mount: r.engines.mount("leasing_1"), Engine: r.engines.engine, Secret: secret, Holder: holder}, name
}

// issue registers a secret that must come out, and returns its lease and its name.
func (r *room) issue(role string, holder backend.TokenID) (id, name string) {
	r.t.Helper()
	f, name := r.fresh(role, holder)
	out, err := r.Register(r.ctx, f)
	r.ok(err)
	return out.ID, name
}

func (r *room) lookup(id string) *Lease {
	r.t.Helper()
	l, err := r.Lookup(r.ctx, id)
	r.ok(err)
	return l
}

// sweepAll sweeps until nothing is due.
func (r *room) sweepAll() {
	r.t.Helper()
	for range 100_000 {
		n, err := r.Sweep(r.ctx)
		r.ok(err)
		r.Wait()
		if n == 0 {
			return
		}
	}
	r.t.Fatalf("the sweeper never ends")
}

// gone checks that a lease is no more and that its secret was taken back exactly once.
func (r *room) gone(id, name string) {
	r.t.Helper()
	if r.lookup(id) != nil {
		r.t.Fatalf("the lease is still there")
	}
	if n := r.outside.Revoked(name); n != 1 {
		r.t.Fatalf("the secret was taken back %d times, want once", n)
	}
}

// fails makes sure that err is the contract's text, as a client would see it.
func (r *room) fails(err error, kind backend.Kind, text string) {
	r.t.Helper()
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Text != text {
		r.t.Fatalf("error %v, want kind %d, text %q", err, kind, text)
	}
}

func (r *room) problems() (found []Problem) {
	r.t.Helper()
	r.ok(r.Check(r.ctx, func(p Problem) { found = append(found, p) }))
	return found
}

func (r *room) mustCheck() {
	r.t.Helper()
	for _, p := range r.problems() {
		r.t.Fatalf("check: %s", p)
	}
}

// keys are all keys of the room.
func (r *room) keys() (keys []string) {
	r.t.Helper()
	r.ok(r.area.View(r.ctx, func(s store.Reader) error {
		keys = nil
		return s.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			keys = append(keys, string(k))
			return true, nil
		})
	}))
	return keys
}

// empty checks that nothing at all is left.
func (r *room) empty() {
	r.t.Helper()
	if keys := r.keys(); len(keys) != 0 {
		r.t.Fatalf("%d keys are left, the first is %q", len(keys), keys[0])
	}
}

// errGarbled is a value that does not decrypt.
var errGarbled = errors.New("garbled")

// garbling is a store with one value that cannot be read.
type garbling struct {
	store.Store
	mu  sync.Mutex
	key []byte // guarded by mu
}

func (g *garbling) garble(key []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.key = key
}

func (g *garbling) garbled(key []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.key != nil && bytes.Equal(g.key, key)
}

func (g *garbling) View(ctx context.Context, fn func(store.Reader) error) error {
	return g.Store.View(ctx, func(r store.Reader) error { return fn(garbledReader{r, g}) })
}

func (g *garbling) Update(ctx context.Context, fn func(store.Tx) error) error {
	return g.Store.Update(ctx, func(tx store.Tx) error { return fn(garbledTx{garbledReader{tx, g}, tx}) })
}

type garbledReader struct {
	store.Reader
	g *garbling
}

func (r garbledReader) Get(key []byte) ([]byte, error) {
	v, err := r.Reader.Get(key)
	if err == nil && r.g.garbled(key) {
		return nil, errGarbled
	}
	return v, err
}

type garbledTx struct {
	garbledReader
	tx store.Tx
}

func (t garbledTx) Put(k, v []byte) error             { return t.tx.Put(k, v) }
func (t garbledTx) Delete(k []byte) error             { return t.tx.Delete(k) }
func (t garbledTx) Withdraw(k []byte) error           { return t.tx.Withdraw(k) }
func (t garbledTx) DeleteRange(from, to []byte) error { return t.tx.DeleteRange(from, to) }
