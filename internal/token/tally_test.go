package token

import (
	"errors"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// Counts stay those of the records when transactions fail after they moved them: alone, or
// with the answer lost.
func TestCountsOverFailures(t *testing.T) {
	faulty := storetest.Faulty(memory(t))
	w := worldOver(t, faulty)
	first := w.plain()
	abort := errors.New("aborted")
	for range 3 {
		err := w.whole.Update(w.ctx, func(tx store.Tx) error {
			next := &Issued{Token: first.Token.clone()}
			next.Token.Accessor = randomBase62(plainChars)
			if err := w.insert(tx, next, "", newRandomness()); err != nil {
				return err
			}
			return abort
		})
		if !errors.Is(err, abort) {
			t.Fatal(err)
		}
		w.plain()
		for _, outcome := range []storetest.Outcome{storetest.Failed, storetest.Persisted} {
			faulty.InjectAt(1, outcome)
			if _, err := w.Create(w.ctx, ask(w.root, with("web"))); err == nil {
				t.Fatal("a failed commit says yes")
			}
			w.mustCheck()
		}
		w.plain()
	}
	w.mustCheck()
	counts, total, err := w.Count(w.ctx, CountByPolicy)
	w.ok(err)
	if total != 11 || len(counts) != 3 {
		t.Errorf("%d tokens by %v", total, counts)
	}
}

// A token's creation reads no count that the commit before it wrote.
func TestCreationReadsNoCounts(t *testing.T) {
	s := &storetest.Counting{Store: memory(t)}
	w := worldOver(t, s)
	w.plain()
	s.Reset()
	w.plain()
	// The parent, twice: it is asked for again where it counts.
	if n := s.Gets.Load(); n > 2 {
		t.Errorf("a creation reads %d records", n)
	}
}

// A transaction reads what it wrote itself: many tokens of one policy end in one.
func TestCountsWithinATransaction(t *testing.T) {
	w := newWorld(t)
	w.ok(w.whole.Update(w.ctx, func(tx store.Tx) error {
		for range 5 {
			next := &Issued{Token: w.root.Token.clone()}
			next.Token.Accessor = randomBase62(plainChars)
			if err := w.insert(tx, next, "", newRandomness()); err != nil {
				return err
			}
		}
		return nil
	}))
	_, total, err := w.Count(w.ctx, CountByType)
	w.ok(err)
	if total != 6 {
		t.Errorf("%d tokens, want 6", total)
	}
}
