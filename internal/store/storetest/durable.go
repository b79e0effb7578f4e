package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"jeton/internal/store"
)

// RunDurable proves a backend that keeps its data when it is closed. open opens the store at
// path, which is a new directory at first.
func RunDurable(t *testing.T, open func(t *testing.T, path string) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, reopen func() store.Store)
	}{
		{"data survives", testDataSurvives},
		{"position survives and goes on", testPositionSurvives},
		{"deletions survive", testDeletionsSurvive},
		{"what was not committed does not appear", testAbortedStaysAway},
		{"many generations", testGenerations},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir()
			var s store.Store
			tt.run(t, func() store.Store {
				if s != nil {
					if err := s.Close(); err != nil {
						t.Fatalf("Close: %v", err)
					}
				}
				s = open(t, path)
				return s
			})
			closeOnce(t, s)
		})
	}
}

func testDataSurvives(t *testing.T, reopen func() store.Store) {
	put(t, reopen(), pair{"", "empty key"}, pair{"a", "1"}, pair{"empty", ""}, pair{"\xff", "last"})
	wantContents(t, reopen(), pair{"", "empty key"}, pair{"a", "1"}, pair{"empty", ""}, pair{"\xff", "last"})
}

func testPositionSurvives(t *testing.T, reopen func() store.Store) {
	s := reopen()
	for range 3 {
		putKeys(t, s, "k")
	}
	before := position(t, s)
	s = reopen()
	if got := position(t, s); got != before {
		t.Errorf("position is %d after reopening, was %d", got, before)
	}
	var mine uint64
	update(t, s, func(tx store.Tx) error {
		mine = tx.Position()
		return tx.Put([]byte("k"), nil)
	})
	if mine <= before {
		t.Errorf("position %d was given out after %d", mine, before)
	}
}

func testDeletionsSurvive(t *testing.T, reopen func() store.Store) {
	s := reopen()
	putKeys(t, s, rangeKeys()...)
	s = reopen() // what is deleted is older than the log
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Delete([]byte("a")), tx.DeleteRange([]byte("b"), []byte("c")))
	})
	wantContents(t, reopen(), pair{"c", "c"}, pair{"d", "d"})
}

func testAbortedStaysAway(t *testing.T, reopen func() store.Store) {
	s := reopen()
	putKeys(t, s, "a", "b", "c")
	_ = s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(writeAll(tx), errAbort) })
	mustPanic(t, func() {
		_ = s.Update(context.Background(), func(tx store.Tx) error {
			if err := writeAll(tx); err != nil {
				return err
			}
			panic(errAbort)
		})
	})
	wantContents(t, reopen(), pair{"a", "a"}, pair{"b", "b"}, pair{"c", "c"})
}

func testGenerations(t *testing.T, reopen func() store.Store) {
	var want []pair
	for generation := range 8 {
		s := reopen()
		wantContents(t, s, want...)
		for i := range 5 {
			p := pair{fmt.Sprintf("%d/%d", generation, i), fmt.Sprintf("value of %d", generation)}
			put(t, s, p)
			want = append(want, p)
		}
		if got := position(t, s); got < uint64(len(want)) {
			t.Errorf("position is %d after %d commits", got, len(want))
		}
	}
}
