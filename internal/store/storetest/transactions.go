package storetest

import (
	"context"
	"errors"
	"testing"

	"jeton/internal/store"
)

func transactionTests() []test {
	return []test{
		{"a transaction reads its own writes", testOwnWrites},
		{"an error of fn leaves nothing and is returned as it is", testErrorLeavesNothing},
		{"a panic of fn leaves nothing and the store usable", testPanicLeavesNothing},
		{"a panic in a View leaves the store usable", testPanicInView},
		{"position counts commits", testPosition},
		{"a View inside an Update sees the state before it", testViewInsideUpdate},
		{"a View keeps its state while others commit", testViewIsolated},
		{"a cancelled context is refused before fn runs", testCancelledBefore},
		{"what only reads cannot write", testReading},
		{"a scan ends when its context is cancelled", testCancelledScan},
		{"a context cancelled after the writes are made still gives the true outcome", testCancelledInside},
		{"a Reader or Tx is of no use after its closure", testUseAfterEnd},
	}
}

var errAbort = errors.New("abort")

func testOwnWrites(t *testing.T, s store.Store) {
	putKeys(t, s, "old", "gone")
	update(t, s, func(tx store.Tx) error {
		if err := errors.Join(tx.Put([]byte("new"), []byte("1")), tx.Put([]byte("old"), []byte("2")), tx.Delete([]byte("gone"))); err != nil {
			return err
		}
		wantValue(t, tx, "new", "1")
		wantValue(t, tx, "old", "2")
		wantAbsent(t, tx, "gone")
		if err := tx.Put([]byte("gone"), []byte("back")); err != nil {
			return err
		}
		wantValue(t, tx, "gone", "back")
		return nil
	})
	wantContents(t, s, pair{"gone", "back"}, pair{"new", "1"}, pair{"old", "2"})
}

// writeAll uses every kind of write.
func writeAll(tx store.Tx) error {
	return errors.Join(
		tx.Put([]byte("new"), []byte("x")),
		tx.Put([]byte("a"), []byte("changed")),
		tx.Delete([]byte("b")),
		tx.DeleteRange([]byte("c"), []byte("d")),
	)
}

func testErrorLeavesNothing(t *testing.T, s store.Store) {
	putKeys(t, s, "a", "b", "c")
	before := position(t, s)
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := writeAll(tx); err != nil {
			return err
		}
		return errAbort
	})
	if err != errAbort {
		t.Errorf("Update = %v, want fn's error as it is", err)
	}
	wantContents(t, s, pair{"a", "a"}, pair{"b", "b"}, pair{"c", "c"})
	if got := position(t, s); got != before {
		t.Errorf("position went from %d to %d though nothing was committed", before, got)
	}
	if err := s.View(t.Context(), func(store.Reader) error { return errAbort }); err != errAbort {
		t.Errorf("View = %v, want fn's error as it is", err)
	}
}

// mustPanic runs fn, which panics with errAbort.
func mustPanic(t *testing.T, fn func()) {
	t.Helper()
	defer func() {
		if p := recover(); p != any(errAbort) {
			t.Errorf("recovered %v, want fn's panic", p)
		}
	}()
	fn()
}

func testPanicLeavesNothing(t *testing.T, s store.Store) {
	putKeys(t, s, "a", "b", "c")
	mustPanic(t, func() {
		_ = s.Update(context.Background(), func(tx store.Tx) error {
			if err := writeAll(tx); err != nil {
				return err
			}
			panic(errAbort)
		})
	})
	wantContents(t, s, pair{"a", "a"}, pair{"b", "b"}, pair{"c", "c"})
	putKeys(t, s, "d")
	wantContents(t, s, pair{"a", "a"}, pair{"b", "b"}, pair{"c", "c"}, pair{"d", "d"})
	if err := s.Close(); err != nil {
		t.Errorf("Close after a panic: %v", err)
	}
}

func testPanicInView(t *testing.T, s store.Store) {
	putKeys(t, s, "a", "b")
	mustPanic(t, func() {
		_ = s.View(context.Background(), func(store.Reader) error { panic(errAbort) })
	})
	mustPanic(t, func() {
		_ = s.View(context.Background(), func(r store.Reader) error {
			return r.Scan(store.Range{}, func(_, _ []byte) (bool, error) { panic(errAbort) })
		})
	})
	wantContents(t, s, pair{"a", "a"}, pair{"b", "b"})
	if err := s.Close(); err != nil {
		t.Errorf("Close after a panic: %v", err)
	}
}

func testPosition(t *testing.T, s store.Store) {
	last := position(t, s)
	for range 5 {
		var mine uint64
		update(t, s, func(tx store.Tx) error {
			mine = tx.Position()
			return tx.Put([]byte("k"), []byte("v"))
		})
		if mine <= last {
			t.Errorf("a commit has position %d after %d", mine, last)
		}
		if got := position(t, s); got != mine {
			t.Errorf("View is at position %d after the commit of %d", got, mine)
		}
		last = mine
	}
	update(t, s, func(store.Tx) error { return nil })
	if got := position(t, s); got < last {
		t.Errorf("position fell from %d to %d", last, got)
	}
}

func testViewInsideUpdate(t *testing.T, s store.Store) {
	putKeys(t, s, "k")
	update(t, s, func(tx store.Tx) error {
		if err := tx.Put([]byte("k"), []byte("new")); err != nil {
			return err
		}
		return s.View(t.Context(), func(r store.Reader) error {
			wantValue(t, r, "k", "k")
			if r.Position() >= tx.Position() {
				t.Errorf("View is at position %d inside the transaction of %d", r.Position(), tx.Position())
			}
			return nil
		})
	})
}

func testViewIsolated(t *testing.T, s store.Store) {
	putKeys(t, s, "a", "b", "c")
	view(t, s, func(r store.Reader) error {
		before := r.Position()
		// In the closure of a View: a store whose writers wait for readers hangs here.
		update(t, s, writeAll)
		wantAbsent(t, r, "new")
		wantValue(t, r, "a", "a")
		wantValue(t, r, "b", "b")
		wantValue(t, r, "c", "c")
		got, err := collect(r, store.Range{})
		if len(got) != 3 || r.Position() != before {
			t.Errorf("View holds %v at position %d, want what it began with at %d", got, r.Position(), before)
		}
		return err
	})
	wantContents(t, s, pair{"a", "changed"}, pair{"new", "x"})
}

func testCancelledBefore(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	if err := s.View(ctx, func(store.Reader) error { ran = true; return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("View = %v, want context.Canceled", err)
	}
	if err := s.Update(ctx, func(store.Tx) error { ran = true; return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want context.Canceled", err)
	}
	if ran {
		t.Error("fn ran under a cancelled context")
	}
}

func testReading(t *testing.T, s store.Store) {
	ctx, ran := store.Reading(context.Background()), false
	if err := s.Update(ctx, func(store.Tx) error { ran = true; return nil }); !errors.Is(err, store.ErrReading) || ran {
		t.Errorf("Update = %v, want ErrReading; fn ran: %v", err, ran)
	}
	if err := s.View(ctx, func(store.Reader) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("View = %v, fn ran: %v", err, ran)
	}
}

func testCancelledScan(t *testing.T, s store.Store) {
	putKeys(t, s, rangeKeys()...)
	scan := func(r store.Reader, cancel func()) error {
		n := 0
		err := r.Scan(store.Range{}, func(_, _ []byte) (bool, error) {
			if n++; n == 2 {
				cancel()
			}
			return true, nil
		})
		if !errors.Is(err, context.Canceled) || n != 2 {
			t.Errorf("Scan = %v after %d pairs, want context.Canceled after 2", err, n)
		}
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.View(ctx, func(r store.Reader) error { return scan(r, cancel) }); !errors.Is(err, context.Canceled) {
		t.Errorf("View = %v, want context.Canceled", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	if err := s.Update(ctx, func(tx store.Tx) error { return scan(tx, cancel) }); !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want context.Canceled", err)
	}
}

func testCancelledInside(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Update(ctx, func(tx store.Tx) error {
		cancel()
		return tx.Put([]byte("k"), []byte("v"))
	})
	// Either outcome is fair, but it must be the true one.
	if err == nil {
		wantContents(t, s, pair{"k", "v"})
	} else if errors.Is(err, context.Canceled) {
		wantContents(t, s)
	} else {
		t.Errorf("Update = %v", err)
	}
}

func testUseAfterEnd(t *testing.T, s store.Store) {
	putKeys(t, s, "k")
	var r store.Reader
	view(t, s, func(inner store.Reader) error { r = inner; return nil })
	var tx store.Tx
	update(t, s, func(inner store.Tx) error { tx = inner; return inner.Put([]byte("k"), []byte("k")) })
	never := func(_, _ []byte) (bool, error) {
		t.Error("a scan after the end calls fn")
		return false, nil
	}
	_, getErr := r.Get([]byte("k"))
	_, txGetErr := tx.Get([]byte("k"))
	for call, err := range map[string]error{
		"Reader.Get":     getErr,
		"Reader.Scan":    r.Scan(store.Range{}, never),
		"Tx.Get":         txGetErr,
		"Tx.Scan":        tx.Scan(store.Range{}, never),
		"Tx.Put":         tx.Put([]byte("late"), []byte("x")),
		"Tx.Delete":      tx.Delete([]byte("k")),
		"Tx.DeleteRange": tx.DeleteRange([]byte("a"), []byte("z")),
	} {
		if err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s after the end = %v, want an error", call, err)
		}
	}
	wantContents(t, s, pair{"k", "k"})
}
