package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// mounts are what is mounted in a test; not for concurrent change.
type mounts map[string]Mount

func (m mounts) Mount(accessor string) (Mount, bool) {
	found, ok := m[accessor]
	return found, ok
}

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// room is an identity store over memory.
type room struct {
	*Store
	t      fatal
	ctx    context.Context
	raw    store.Store
	clock  *clock.Manual
	mounts mounts
}

func memory(t testing.TB) store.Store {
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

func newRoom(t *testing.T) *room {
	t.Helper()
	r := roomOver(t, memory(t))
	t.Cleanup(func() {
		r.t = t
		r.checked()
		r.Close()
	})
	return r
}

func roomOver(t fatal, raw store.Store) *room {
	r := &room{t: t, ctx: context.Background(), raw: raw, clock: clock.NewManual(epoch),
		mounts: mounts{"up": {Path: "auth/up/", Type: "userpass"}, "ldap": {Path: "auth/ldap/", Type: "ldap"}, "token": {Path: "auth/token/", Type: "token"}}}
	r.open(raw)
	return r
}

// open is what a start does: nothing is left but the store.
func (r *room) open(raw store.Store) {
	r.Store = New(Config{Store: raw, Prefix: []byte("identity/"), Secret: [32]byte{1}, Clock: r.clock, Mounts: r.mounts})
}

func (r *room) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("unexpected error: %v", err)
	}
}

// refused checks the class of an error.
func (r *room) refused(err error, kind backend.Kind) {
	r.t.Helper()
	if err == nil || backend.KindOf(err) != kind {
		r.t.Fatalf("error %v, want one of kind %d", err, kind)
	}
}

// checked walks everything that is stored.
func (r *room) checked() {
	r.t.Helper()
	r.ok(r.Check(r.ctx, func(p Problem) { r.t.Fatalf("the stored data: %s", p) }))
}

// login is a login whose token costs nothing: what it earns is the entity. It begins anew when
// another came first, as the pipeline does.
func (r *room) login(mount, name string, groups ...string) (*Known, error) {
	return r.loginWith(mount, &backend.Alias{Name: name}, groups...)
}

func (r *room) loginWith(mount string, alias *backend.Alias, groups ...string) (*Known, error) {
	for {
		known, err := r.Recognise(r.ctx, mount, alias, groups)
		if err != nil || !known.Changed {
			return known, err
		}
		if err = r.raw.Update(r.ctx, known.Remember); !errors.Is(err, ErrRaced) {
			return known, err
		}
	}
}

func (r *room) mustLogin(mount, name string, groups ...string) string {
	r.t.Helper()
	known, err := r.login(mount, name, groups...)
	r.ok(err)
	return known.EntityID
}

func (r *room) entity(name string, policies ...string) string {
	r.t.Helper()
	e, _, err := r.WriteEntity(r.ctx, EntityChange{ByName: name, Policies: &policies})
	r.ok(err)
	return e.ID
}

func (r *room) group(c GroupChange) string {
	r.t.Helper()
	g, _, err := r.WriteGroup(r.ctx, c)
	r.ok(err)
	return g.ID
}

// has checks what an entity adds to its tokens; no policies and no entity are different things.
func (r *room) has(id string, policies ...string) {
	r.t.Helper()
	_, got, err := r.Subject(r.ctx, id)
	r.ok(err)
	if !slices.Equal(got, policies) {
		r.t.Fatalf("entity %s adds %v, want %v", id, got, policies)
	}
}

// gone checks that the tokens of an entity are refused.
func (r *room) gone(id string) {
	r.t.Helper()
	_, _, err := r.Subject(r.ctx, id)
	r.refused(err, backend.Denied)
}

// keys is everything that is stored, as text.
func (r *room) keys() []string {
	var keys []string
	r.ok(r.raw.View(r.ctx, func(view store.Reader) error {
		keys = nil
		return view.Scan(store.Range{}, func(k, _ []byte) (bool, error) {
			keys = append(keys, string(k))
			return true, nil
		})
	}))
	return keys
}

func ptr[T any](v T) *T { return &v }

func name(prefix string, i int) string { return fmt.Sprintf("%s%d", prefix, i) }
