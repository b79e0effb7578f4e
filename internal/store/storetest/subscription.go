package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"jeton/internal/store"
)

func subscriptionTests() []test {
	return []test{
		{"a commit is told with its keys and ranges before Update returns", testToldBeforeReturn},
		{"what is not committed is not told", testAbortNotTold},
		{"commits are told in order, each once", testToldInOrder},
		{"a change is told before or together with its being seen by its writer", testCacheStaysTrue},
		{"a commit is told before a later transaction begins", testToldBeforeTheNext},
		{"subscribers come and go", testSubscribersComeAndGo},
		{"cancel during commits waits until fn is done", testCancelWaits},
		{"who subscribes during commits is told of whole ones", testSubscribeAmidCommits},
	}
}

// heard is a copy of a store.Commit.
type heard struct {
	position uint64
	keys     []string
	ranges   []pair // from, to
}

// listener notes the commits that it is told of. Its methods may be called at any time.
type listener struct {
	mu      sync.Mutex
	commits []heard
}

func (l *listener) hear(c store.Commit) {
	h := heard{position: c.Position}
	for _, k := range c.Keys {
		h.keys = append(h.keys, string(k))
		if !bytes.HasPrefix(k, c.Common) {
			// No key of any test begins so, and none of them expects this one.
			h.keys = append(h.keys, fmt.Sprintf("%q does not begin with the common %q", k, c.Common))
		}
	}
	for _, r := range c.Ranges {
		h.ranges = append(h.ranges, pair{string(r.From), string(r.To)})
	}
	// A key that was written twice may be told twice.
	slices.Sort(h.keys)
	h.keys = slices.Compact(h.keys)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commits = append(l.commits, h)
}

func (l *listener) heard() []heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.commits)
}

func testToldBeforeReturn(t *testing.T, s store.Store) {
	putKeys(t, s, "a", "b", "once")
	var l listener
	defer s.Subscribe(l.hear)()
	var at uint64
	update(t, s, func(tx store.Tx) error {
		at = tx.Position()
		return errors.Join(
			tx.Put([]byte("new"), []byte("x")),
			tx.Delete([]byte("a")),
			tx.Delete([]byte("absent")),
			tx.Withdraw([]byte("once")),
			tx.Put([]byte(""), []byte("empty key")),
			tx.DeleteRange([]byte("b"), []byte("c")),
			tx.DeleteRange([]byte("y"), nil),
			tx.Put([]byte("new"), []byte("y")),
		)
	})
	got := l.heard()
	if len(got) != 1 {
		t.Fatalf("told of %d commits, want 1", len(got))
	}
	if got[0].position != at || !slices.Equal(got[0].keys, []string{"", "a", "absent", "new", "once"}) {
		t.Errorf("told of keys %q at position %d, want those written at %d", got[0].keys, got[0].position, at)
	}
	if want := []pair{{"b", "c"}, {"y", ""}}; !slices.Equal(got[0].ranges, want) {
		t.Errorf("told of ranges %v, want %v", got[0].ranges, want)
	}
}

func testAbortNotTold(t *testing.T, s store.Store) {
	var l listener
	defer s.Subscribe(l.hear)()
	_ = s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(writeAll(tx), errAbort) })
	view(t, s, func(store.Reader) error { return nil })
	update(t, s, func(tx store.Tx) error { return nil })
	for _, h := range l.heard() {
		if len(h.keys)+len(h.ranges) > 0 {
			t.Errorf("told of %v, which was not committed", h)
		}
	}
}

func testToldInOrder(t *testing.T, s store.Store) {
	var l listener
	defer s.Subscribe(l.hear)()
	var mu sync.Mutex
	written := map[uint64]string{} // by position; guarded by mu
	each(t, func(w int, _ *rand.Rand) error {
		for turn := range turnsOfWorker {
			key := fmt.Sprintf("%d/%d", w, turn)
			var at uint64
			err := s.Update(context.Background(), func(tx store.Tx) error {
				at = tx.Position()
				return tx.Put([]byte(key), nil)
			})
			if err != nil {
				return err
			}
			mu.Lock()
			written[at] = key
			mu.Unlock()
			if !slices.ContainsFunc(l.heard(), func(h heard) bool { return h.position == at }) {
				return fmt.Errorf("Update of position %d returned before it was told", at)
			}
		}
		return nil
	})
	var last uint64
	for _, h := range l.heard() {
		if h.position <= last {
			t.Errorf("position %d told after %d", h.position, last)
		}
		last = h.position
		if len(h.keys) != 1 || h.keys[0] != written[h.position] {
			t.Errorf("position %d told with keys %q, want %q", h.position, h.keys, written[h.position])
		}
		delete(written, h.position)
	}
	if len(written) > 0 {
		t.Errorf("%d commits were not told", len(written))
	}
}

// testToldBeforeTheNext: when a transaction runs, all commits before it have been told, so that
// what a cache holds is true of the transaction's own state.
func testToldBeforeTheNext(t *testing.T, s store.Store) {
	var told atomic.Uint64
	defer s.Subscribe(func(c store.Commit) { told.Store(c.Position) })()
	if err := s.Update(context.Background(), func(tx store.Tx) error { return putNumber(tx, "first", 0) }); err != nil {
		t.Fatal(err)
	}
	each(t, func(w int, _ *rand.Rand) error {
		for n := range uint64(turnsOfWorker) {
			var before, heard uint64
			if err := s.Update(context.Background(), func(tx store.Tx) error {
				before, heard = tx.Position()-1, told.Load()
				return putNumber(tx, fmt.Sprintf("own/%d", w), n)
			}); err != nil {
				return err
			}
			if heard != before {
				return fmt.Errorf("a transaction after commit %d began when %d was told", before, heard)
			}
		}
		return nil
	})
}

// testCacheStaysTrue keeps a cache by the feed alone, as the rooms above do: once an Update has
// returned, nobody may find the value before it in the cache.
func testCacheStaysTrue(t *testing.T, s store.Store) {
	var mu sync.Mutex
	cache, changed := map[string]uint64{}, map[string]uint64{} // guarded by mu
	defer s.Subscribe(func(c store.Commit) {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range c.Keys {
			delete(cache, string(k))
			changed[string(k)] = c.Position
		}
	})()
	read := func(key string) (n uint64, err error) {
		mu.Lock()
		n, ok := cache[key]
		mu.Unlock()
		if ok {
			return n, nil
		}
		err = s.View(context.Background(), func(r store.Reader) error {
			if n, err = getNumber(r, key); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if r.Position() >= changed[key] {
				cache[key] = n
			}
			return nil
		})
		return n, err
	}
	each(t, func(w int, _ *rand.Rand) error {
		own := fmt.Sprintf("own/%d", w)
		for n := range uint64(turnsOfWorker) {
			if err := s.Update(context.Background(), func(tx store.Tx) error { return putNumber(tx, own, n) }); err != nil {
				return err
			}
			if got, err := read(own); err != nil || got != n {
				return fmt.Errorf("cache gives %d, %v after %d was written", got, err, n)
			}
			if _, err := read(fmt.Sprintf("own/%d", (w+1)%workers)); err != nil {
				return err
			}
		}
		return nil
	})
}

func testSubscribersComeAndGo(t *testing.T, s store.Store) {
	var first, second listener
	putKeys(t, s, "before")
	cancelFirst := s.Subscribe(first.hear)
	putKeys(t, s, "one")
	cancelSecond := s.Subscribe(second.hear)
	putKeys(t, s, "both")
	cancelFirst()
	putKeys(t, s, "two")
	cancelSecond()
	cancelSecond() // cancelling twice is no harm
	putKeys(t, s, "after")
	for name, tt := range map[string]struct {
		l    *listener
		want []string
	}{
		"first":  {&first, []string{"one", "both"}},
		"second": {&second, []string{"both", "two"}},
	} {
		var got []string
		for _, h := range tt.l.heard() {
			got = append(got, h.keys...)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s subscriber heard %q, want %q", name, got, tt.want)
		}
	}
}

func testCancelWaits(t *testing.T, s store.Store) {
	for range 10 {
		var mu sync.Mutex
		cancelled := false // guarded by mu
		cancel := s.Subscribe(func(store.Commit) {
			mu.Lock()
			defer mu.Unlock()
			if cancelled {
				t.Error("fn called after cancel returned")
			}
		})
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() { putKeys(t, s, fmt.Sprint(w)) })
		}
		cancel()
		mu.Lock()
		cancelled = true
		mu.Unlock()
		wg.Wait()
	}
}

// testSubscribeAmidCommits has subscribers come while commits are on their way: of each commit
// that they are told of they are told all.
func testSubscribeAmidCommits(t *testing.T, s store.Store) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					putKeys(t, s, fmt.Sprint(w))
				}
			}
		})
	}
	for range turnsOfWorker {
		before := position(t, s)
		var l listener
		cancel := s.Subscribe(l.hear)
		putKeys(t, s, "own")
		cancel()
		last := before
		for _, h := range l.heard() {
			if len(h.keys) != 1 {
				t.Errorf("told of keys %q at position %d, want one", h.keys, h.position)
			}
			if h.position <= last {
				t.Errorf("position %d told after %d", h.position, last)
			}
			last = h.position
		}
		if !slices.ContainsFunc(l.heard(), func(h heard) bool { return slices.Contains(h.keys, "own") }) {
			t.Error("not told of a commit begun after Subscribe and ended before cancel")
		}
	}
	close(stop)
	wg.Wait()
}
