package embedded_test

import (
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
