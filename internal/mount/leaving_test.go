package mount

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/engine/leasetest"
	"jeton/internal/lease"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// building is a mount table and the leases of what is mounted.
type building struct {
	*Table
	t       *testing.T
	ctx     context.Context
	clock   *clock.Manual
	outside *leasetest.World
	leases  *lease.Store
}

// everybody holds.
type everybody struct{}

func (everybody) Holds(store.Reader, backend.TokenID) (bool, error) { return true, nil }

// Issuer finds engines as node does.
func (b *building) Issuer(accessor string) (backend.LeaseIssuer, backend.Mount, func(), error) {
	m, ok := b.ByAccessor(accessor)
	if !ok || !m.Enter() {
		if m, ok = b.Leaving(accessor); !ok || !m.Enter() {
			return nil, backend.Mount{}, nil, lease.ErrNoIssuer
		}
	}
	engine, ok := m.Backend.(backend.LeaseIssuer)
	if !ok {
		m.Leave()
		return nil, backend.Mount{}, nil, lease.ErrNoIssuer
	}
	return engine, m.Info, m.Leave, nil
}

func (b *building) RevokeMount(ctx context.Context, path string) error {
	return b.leases.RevokePrefix(ctx, path)
}

func (b *building) EndMount(ctx context.Context, path string) (bool, error) {
	n, err := b.leases.EndPrefix(ctx, path)
	return n > 0, err
}

// raise builds on s, as at unseal.
func (b *building) raise(s store.Store) {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	b.leases = lease.New(lease.Config{Store: s, Prefix: []byte("lease/"), Clock: b.clock, Log: log, Holders: everybody{}, Issuers: b})
	table, err := Load(b.ctx, Config{Store: s, Kinds: []Kind{{Name: "leasing", Class: SecretClass, New: b.outside.New}},
		System: Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour}, Clock: b.clock, Log: log, Revoker: b})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Table = table
}

func newBuilding(t *testing.T, s store.Store) *building {
	t.Helper()
	b := &building{t: t, ctx: context.Background(), clock: clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), outside: leasetest.NewWorld()}
	b.raise(s)
	return b
}

func memory(t *testing.T) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (b *building) mount(path string) {
	b.t.Helper()
	if err := b.Add(b.ctx, Entry{Path: path, Type: "leasing"}); err != nil {
		b.t.Fatal(err)
	}
}

// issue hands out a secret of the mount at path.
func (b *building) issue(path string) (name string) {
	b.t.Helper()
	m, ok := b.At(path)
	if !ok {
		b.t.Fatalf("nothing at %s", path)
	}
	return b.issueFrom(m)
}

func (b *building) issueFrom(m *Mounted) (name string) {
	b.t.Helper()
	secret, name := b.outside.Issue("ro")
	_, err := b.leases.Register(b.ctx, lease.Fresh{Path: m.Entry.Path + "creds/ro", Mount: m.Info, Engine: m.Backend.(backend.LeaseIssuer),
		Secret: secret, Holder: backend.TokenID{1}})
	if err != nil {
		b.t.Fatal(err)
	}
	return name
}

// work is what the background does in the time d.
func (b *building) work(d time.Duration) {
	b.t.Helper()
	b.clock.Add(d)
	for range 2 { // what a removal ends, the next sweep takes back
		for started := 1; started > 0; {
			var err error
			if started, err = b.leases.Sweep(b.ctx); err != nil {
				b.t.Fatal(err)
			}
			b.leases.Wait()
		}
		if err := b.Resume(b.ctx); err != nil {
			b.t.Fatal(err)
		}
	}
}

func away(context.Context, string) error { return errors.New("the database is away") }

// keysOf counts the keys of a mount's data and its entry.
func keysOf(t *testing.T, s store.Store) (n int) {
	t.Helper()
	err := s.View(context.Background(), func(r store.Reader) error {
		n = 0
		return r.Scan(store.PrefixRange([]byte("mount/")), func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Whatever becomes of a removal at any of its steps, the mount is there with its secrets, or it
// is gone with them. Nothing in between lasts.
func TestRemovalFaults(t *testing.T) {
	for _, engineAway := range []bool{false, true} {
		name := "engine there"
		if engineAway {
			name = "engine away"
		}
		t.Run(name, func(t *testing.T) {
			storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
				f := storetest.Faulty(memory(t))
				b := newBuilding(t, f)
				b.mount("db/")
				b.mount("other/")
				secrets := []string{b.issue("db/"), b.issue("db/")}
				kept := b.issue("other/")
				b.outside.FailRevoke(func(ctx context.Context, name string) error {
					if engineAway || f.Died() {
						return away(ctx, name)
					}
					return nil
				})
				inject(f)
				err := b.Remove(b.ctx, "db/")
				if err == nil && engineAway {
					t.Fatal("removed with its secrets still out")
				}
				b.leases.Close()
				b.raise(f.Inner())
				if m, ok := b.At("db/"); ok {
					// The removal had not begun. It is done again.
					if m.Entry.Tainted || err == nil {
						t.Fatalf("it serves: tainted %t, error %v", m.Entry.Tainted, err)
					}
					b.outside.FailRevoke(nil)
					if err := b.Remove(b.ctx, "db/"); err != nil {
						t.Fatal(err)
					}
				} else if b.outside.Valid() > 1 {
					if err := b.Add(b.ctx, Entry{Path: "db/", Type: "leasing"}); err == nil || !strings.Contains(err.Error(), "already in use") {
						t.Fatalf("the path is taken while its secrets are out: %v", err)
					}
				}
				b.outside.FailRevoke(nil)
				b.work(5 * time.Minute)
				for _, s := range secrets {
					if n := b.outside.Revoked(s); n < 1 || n > 2 {
						t.Fatalf("a secret was taken back %d times", n)
					}
				}
				if b.outside.Revoked(kept) != 0 {
					t.Fatal("another mount's secret went too")
				}
				if n := keysOf(t, f.Inner()); n != 1 {
					t.Fatalf("%d keys of mounts are left, want the other's entry alone", n)
				}
				b.mount("db/")
			})
		})
	}
}

// A backend that cannot be made any more must not keep the server from its other mounts.
func TestLeavingWithoutBackend(t *testing.T) {
	s := memory(t)
	b := newBuilding(t, s)
	b.mount("db/")
	b.issue("db/")
	b.outside.FailRevoke(away)
	if err := b.Remove(b.ctx, "db/"); err == nil {
		t.Fatal("removed")
	}
	b.leases.Close()
	log := slog.New(slog.DiscardHandler)
	b.leases = lease.New(lease.Config{Store: s, Prefix: []byte("lease/"), Clock: b.clock, Log: log, Holders: everybody{}, Issuers: b})
	var err error
	b.Table, err = Load(b.ctx, Config{Store: s, System: Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour}, Clock: b.clock, Log: log, Revoker: b})
	if err != nil {
		t.Fatal(err)
	}
	b.work(time.Minute)
	stuck, _, err := b.leases.Irrevocable(b.ctx, 0)
	if err != nil || len(stuck) != 1 {
		t.Fatalf("irrevocable: %v, %v", stuck, err)
	}
	if err := b.leases.RevokeForce(b.ctx, "db/"); err != nil {
		t.Fatal(err)
	}
	b.work(0)
	if n := keysOf(t, s); n != 0 {
		t.Fatalf("%d keys are left", n)
	}
}

// What a request obtains that was under way when its mount is removed is taken back too.
func TestRemoveWaitsForCalls(t *testing.T) {
	b := newBuilding(t, memory(t))
	b.mount("db/")
	m, _ := b.At("db/")
	if !m.Enter() {
		t.Fatal("closed")
	}
	removed := make(chan error, 1)
	go func() { removed <- b.Remove(b.ctx, "db/") }()
	for there := true; there; _, there = b.At("db/") {
		runtime.Gosched()
	}
	for range 10_000 {
		runtime.Gosched() // give the removal every chance to go ahead
	}
	name := b.issueFrom(m)
	m.Leave()
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if n := b.outside.Revoked(name); n != 1 {
		t.Fatalf("taken back %d times", n)
	}
}

// A move revokes what was issued under the old path while nobody can be served, and leaves the
// mount where it is when that fails. A removal that is resumed meanwhile must not take it.
func TestMoveRevokes(t *testing.T) {
	s := memory(t)
	b := newBuilding(t, s)
	b.mount("db/")
	name := b.issue("db/")
	b.outside.FailRevoke(func(ctx context.Context, name string) error {
		if err := b.Resume(b.ctx); err != nil {
			t.Error(err)
		}
		if _, ok := b.At("db/"); ok {
			t.Error("the mount is served while it moves")
		}
		return away(ctx, name)
	})
	if err := b.Move(b.ctx, "db/", "db2/"); err == nil {
		t.Fatal("moved with its secrets still out")
	}
	if m, ok := b.At("db/"); !ok || !m.Enter() {
		t.Fatal("the mount is gone")
	} else {
		m.Leave()
	}
	b.outside.FailRevoke(nil)
	if err := b.Move(b.ctx, "db/", "db2/"); err != nil {
		t.Fatal(err)
	}
	if b.outside.Revoked(name) != 1 {
		t.Fatalf("taken back %d times", b.outside.Revoked(name))
	}
	b.work(time.Minute)
	name = b.issue("db2/")
	if err := b.Remove(b.ctx, "db2/"); err != nil || b.outside.Revoked(name) != 1 || keysOf(t, s) != 0 {
		t.Fatalf("error %v, taken back %d times, %d keys", err, b.outside.Revoked(name), keysOf(t, s))
	}
}

// Neither above nor below a mount that is leaving may another come.
func TestLeavingHoldsItsPath(t *testing.T) {
	b := newBuilding(t, memory(t))
	b.mount("a/b/")
	b.mount("z/")
	b.issue("a/b/")
	b.outside.FailRevoke(away)
	if err := b.Remove(b.ctx, "a/b/"); err == nil {
		t.Fatal("removed")
	}
	for _, path := range []string{"a/", "a/b/", "a/b/c/"} {
		if err := b.Add(b.ctx, Entry{Path: path, Type: "leasing"}); err == nil {
			t.Errorf("mounted at %s", path)
		}
		if err := b.Move(b.ctx, "z/", path); err == nil {
			t.Errorf("moved to %s", path)
		}
	}
	var paths []string
	for _, m := range b.All(SecretClass) {
		paths = append(paths, m.Entry.Path)
	}
	if !slices.Equal(paths, []string{"z/"}) {
		t.Fatalf("listed: %q", paths)
	}
	b.outside.FailRevoke(nil)
	if err := b.Remove(b.ctx, "a/b/"); err != nil {
		t.Fatal(err)
	}
	b.mount("a/")
}
