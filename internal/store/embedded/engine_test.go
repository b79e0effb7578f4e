package embedded

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"jeton/internal/store"
)

// A panic of Pebble in the middle of a commit becomes an error: the store takes no more
// writes, still reads, closes without hanging on locks that Pebble may hold, and gives the
// directory free.
func TestEnginePanics(t *testing.T) {
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

	if err := s.apply(foreign); err == nil || !strings.Contains(err.Error(), "store: write failed") {
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
