package store_test

import (
	"context"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// What both lists have is left alone, the rest comes and goes.
func TestReindex(t *testing.T) {
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	keys := func(names ...string) (out [][]byte) {
		for _, n := range names {
			out = append(out, []byte(n))
		}
		return out
	}
	var before []string
	for _, after := range [][]string{{"a", "b"}, {"b", "c", "d"}, {"c"}, {}} {
		got := ""
		err := s.Update(context.Background(), func(tx store.Tx) error {
			return store.Reindex(tx, keys(before...), keys(after...))
		})
		if err == nil {
			err = s.View(context.Background(), func(r store.Reader) error {
				return r.Scan(store.Range{}, func(k, _ []byte) (bool, error) { got += string(k); return true, nil })
			})
		}
		want := ""
		for _, k := range after {
			want += k
		}
		if err != nil || got != want {
			t.Errorf("from %q to %q: %q, %v", before, after, got, err)
		}
		before = after
	}
}
