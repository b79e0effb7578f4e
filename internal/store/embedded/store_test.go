package embedded_test

import (
	"errors"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

func TestOpenMemory(t *testing.T) {
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("k"), []byte("v")) }); err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		v, err := r.Get([]byte("k"))
		if string(v) != "v" || r.Position() != 1 {
			t.Errorf("Get = %q at position %d, want v at 1", v, r.Position())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("second Close = %v, want ErrClosed", err)
	}
}
