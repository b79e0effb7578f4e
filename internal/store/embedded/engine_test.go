package embedded

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jeton/internal/store"
)

// A panic of Pebble in the middle of a commit becomes an error: the store takes no more
// writes, still reads, closes without hanging on locks that Pebble may hold, and gives the
// directory free.
func TestEnginePanicsCVE202655776(t *testing.T) {
	disk := vfs.NewMem()
	open := func() *Store {
		s, err := Open(t.Context(), Options{Path: "data", FS: disk, CacheBytes: memoryCacheBytes})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	put := func(tx store.Tx) error { return tx.Put([]byte("k"), []byte("v")) }
	s := open()
	if err := s.Update(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	other, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	foreign := other.db.NewIndexedBatch()
	defer foreign.Close()
	if err := foreign.Set([]byte("k"), nil, nil); err != nil {
		t.Fatal(err)
	}

	if err := s.apply(foreign, true); err == nil || !strings.Contains(err.Error(), "store: write failed") {
		t.Errorf("apply of another store's batch = %v, want a failed write", err)
	}
	if err := s.Update(t.Context(), put); err == nil {
		t.Error("Update succeeds after the engine panicked")
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		_, err := r.Get([]byte("k"))
		return err
	})
	if err != nil {
		t.Errorf("View after the engine panicked: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	again := open()
	defer again.Close()
	if err := again.Update(t.Context(), put); err != nil {
		t.Error(err)
	}
}

// Where Pebble finds its own data in contradiction it must not exit the process by itself.
func TestEngineFatal(t *testing.T) {
	s, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer func() {
		p, ok := recover().(error)
		if !ok || !strings.Contains(p.Error(), "file 7 is missing") {
			t.Errorf("recovered %v, want Pebble's message", p)
		}
		if !errors.Is(s.Err(), p) {
			t.Errorf("Err = %v, want %v", s.Err(), p)
		}
	}()
	engineLogger{s}.Fatalf("file %d is missing", 7)
}

// Views share a snapshot, and none outlives the commit that makes it old: it would hold back
// compactions.
func TestSnapshotsAreRetired(t *testing.T) {
	s, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	count := func(when string, want int) {
		t.Helper()
		if got := s.db.Metrics().Snapshots.Count; got != want {
			t.Errorf("%d snapshots %s, want %d", got, when, want)
		}
	}
	commit := func() {
		t.Helper()
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("k"), nil) }); err != nil {
			t.Fatal(err)
		}
	}
	view := func(fn func()) {
		t.Helper()
		if err := s.View(t.Context(), func(store.Reader) error { fn(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	count("of a new store", 0)
	view(func() {
		view(func() { count("in two Views", 1) })
		commit()
		count("in a View while its state has become old", 1)
		view(func() { count("in a View of each state", 2) })
	})
	count("after the last View", 1)
	commit()
	count("after a commit", 0)
}

// Commits do not wait for each other's sync, readers wait for none, and one sync serves all
// that are waiting.
func TestCommitsShareSyncs(t *testing.T) {
	const commits = 50
	var (
		counting atomic.Bool
		syncs    atomic.Int64
		proceed  = make(chan struct{})
	)
	slow := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && filepath.Ext(op.Path) == ".log" && counting.Load() {
			syncs.Add(1)
			<-proceed // the first sync stands still
		}
		return nil
	})
	s, err := Open(t.Context(), Options{Path: "data", FS: errorfs.Wrap(vfs.NewMem(), slow), CacheBytes: memoryCacheBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	visible := make(chan struct{}, commits)
	defer s.Subscribe(func(store.Commit) { visible <- struct{}{} })()
	counting.Store(true)
	done := make(chan error, commits)
	for i := range commits {
		go func() {
			done <- s.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte{byte(i)}, nil) })
		}()
	}
	for range commits {
		<-visible
	}
	select {
	case err := <-done:
		t.Errorf("Update = %v before its sync", err)
		done <- err
	default:
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		if r.Position() != commits {
			t.Errorf("View is at position %d, want %d", r.Position(), commits)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	close(proceed)
	for range commits {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := syncs.Load(); n < 1 || n > commits/5 {
		t.Errorf("%d commits took %d syncs", commits, n)
	}
}

// The log is synced at once for a few writers, and less often the more there are, up to a bound.
// However an Update ends, it no longer counts.
func TestSyncPause(t *testing.T) {
	s, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ended := make(chan struct{})
	for _, fn := range []func(store.Tx) error{
		func(tx store.Tx) error { return tx.Put([]byte("k"), nil) },
		func(store.Tx) error { return nil },
		func(store.Tx) error { return errors.New("fails") },
		func(store.Tx) error { panic("fails") },
		func(store.Tx) error { runtime.Goexit(); return nil },
	} {
		go func() {
			defer func() { ended <- struct{}{} }()
			defer func() { _ = recover() }()
			_ = s.Update(t.Context(), fn)
		}()
		<-ended
	}
	for _, tt := range []struct {
		inside int64
		want   time.Duration
	}{{0, 0}, {1, 0}, {pauseLeast - 1, 0}, {4, 256 * time.Microsecond}, {10, 640 * time.Microsecond}, {16, pauseMost}, {5000, pauseMost}} {
		s.line.inside.Add(tt.inside)
		if got := s.syncPause(); got != tt.want {
			t.Errorf("with %d Updates under way it is %v, want %v", tt.inside, got, tt.want)
		}
		s.line.inside.Add(-tt.inside)
	}
}
