package embedded_test

import (
	"runtime"
	"sync"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// openAt opens the store at path on the real disk.
func openAt(t testing.TB, path string) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openMemory(t testing.TB) *embedded.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformanceInMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return openMemory(t) })
}

func TestConformanceOnDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return openAt(t, t.TempDir()) })
}

func TestDurable(t *testing.T) {
	storetest.RunDurable(t, func(t *testing.T, path string) store.Store { return openAt(t, path) })
}

func Benchmark(b *testing.B) {
	b.Run("disk", func(b *testing.B) {
		storetest.Benchmark(b, func(b *testing.B) store.Store { return openAt(b, b.TempDir()) })
	})
	b.Run("memory", func(b *testing.B) {
		storetest.Benchmark(b, func(b *testing.B) store.Store { return openMemory(b) })
	})
}

// Queued counts the Updates that wait for one that runs, and none else.
func TestQueued(t *testing.T) {
	s := openMemory(t)
	defer s.Close()
	const waiting = 5
	running, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.Update(t.Context(), func(tx store.Tx) error {
			close(running)
			<-release
			return tx.Put([]byte("a"), nil)
		}); err != nil {
			t.Error(err)
		}
	})
	<-running
	if n := s.Queued(); n != 0 {
		t.Errorf("the one that runs is counted: %d", n)
	}
	for range waiting {
		group.Go(func() {
			if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("b"), nil) }); err != nil {
				t.Error(err)
			}
		})
	}
	for s.Queued() != waiting { // It must come to that, or the test times out.
		runtime.Gosched()
	}
	close(release)
	group.Wait()
	if n := s.Queued(); n != 0 {
		t.Errorf("%d are left", n)
	}
}
