package token

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"jeton/internal/store/storetest"
)

// seen is what a search says of a token's last use.
func (w *world) seen(i *Issued) *Row {
	w.t.Helper()
	tree, err := w.Tree(w.ctx, i.Token.ID, 1, 1, "")
	w.ok(err)
	return &tree.Root
}

func (w *world) use(i *Issued, from string) {
	w.t.Helper()
	found, err := w.Authenticate(w.ctx, i.Text, anywhere)
	w.ok(err)
	w.Used(found, netip.MustParseAddr(from))
}

// The promise: last use with time, address and count, without a write for each request.
func TestLastUseWritesNothingByItself(t *testing.T) {
	s := &storetest.Counting{Store: memory(t)}
	w := worldOver(t, s)
	i := w.plain()
	w.mustLive(i)
	s.Reset()
	for n := range 1000 {
		w.clock.Add(time.Millisecond)
		w.use(i, []string{"192.0.2.1", "2001:db8::1"}[n%2])
	}
	if n := s.Updates.Load() + s.Views.Load(); n != 0 {
		t.Fatalf("a thousand uses looked at the store %d times", n)
	}
	w.ok(w.FlushUses(w.ctx))
	if s.Updates.Load() != 1 || s.Writes.Load() > 3 {
		t.Errorf("the flush is %d transactions with %d writes", s.Updates.Load(), s.Writes.Load())
	}
	s.Reset()
	w.ok(w.FlushUses(w.ctx))
	if s.Updates.Load() != 0 {
		t.Error("a flush of nothing writes")
	}
	for range 2 {
		row := w.seen(i)
		if row.Uses != 1000 || !row.LastUsed.Equal(w.clock.Now()) || row.LastUsedFrom != "2001:db8::1" {
			t.Fatalf("last used %s from %q, %d times", row.LastUsed, row.LastUsedFrom, row.Uses)
		}
		w.reopen() // a restart keeps the counts
	}
}

// A flush of many is many bounded transactions.
func TestFlushIsBounded(t *testing.T) {
	s := &storetest.Counting{Store: memory(t)}
	w := worldOver(t, s)
	const size = 2*flushBatch + 1
	crowded(w, size)
	page, err := w.Search(w.ctx, Query{Filter: Filter{Policy: "web"}, Sort: ByCreated, Limit: MaxPage})
	w.ok(err)
	for i := range page.Rows {
		w.Used(page.Rows[i].Token, anywhere)
	}
	s.Reset()
	w.ok(w.FlushUses(w.ctx))
	if n, m := s.Updates.Load(), s.Writes.Load(); n != 3 || m != 3*int64(len(page.Rows)) {
		t.Errorf("%d transactions with %d writes for %d tokens", n, m, len(page.Rows))
	}
}

// A flush that fails loses nothing and counts nothing twice; a crash loses at most what was
// not flushed yet.
func TestLastUseOverFailures(t *testing.T) {
	inner := memory(t)
	faulty := storetest.Faulty(inner)
	w := worldOver(t, faulty)
	i := w.plain()
	w.use(i, "192.0.2.1")
	faulty.InjectAt(1, storetest.Failed)
	if w.FlushUses(w.ctx) == nil {
		t.Fatal("a failed flush says yes")
	}
	w.use(i, "192.0.2.1")
	if n := w.seen(i).Uses; n != 2 {
		t.Errorf("%d uses after a failed flush, want 2", n)
	}
	w.ok(w.FlushUses(w.ctx))
	if n := w.seen(i).Uses; n != 2 {
		t.Errorf("%d uses after the flush, want 2", n)
	}
	w.use(i, "192.0.2.1")
	w = restart(w, inner)
	if n := w.seen(i).Uses; n != 2 {
		t.Errorf("%d uses after a crash, want the 2 that were flushed", n)
	}
}

// A token that ended leaves no trace of its uses, whenever they were gathered.
func TestLastUseGoesWithTheToken(t *testing.T) {
	w := newWorld(t)
	w.sweepAll() // counts take their final form
	before := len(w.keys())
	for name, flush := range map[string][2]bool{"never written": {}, "written": {true, true}, "written too late": {false, true}} {
		i := w.plain()
		w.use(i, "192.0.2.1")
		if flush[0] {
			w.ok(w.FlushUses(w.ctx))
		}
		w.revoke(i)
		w.Used(i.Token, anywhere)
		if flush[1] {
			w.ok(w.FlushUses(w.ctx))
		}
		w.sweepAll()
		if n := len(w.keys()); n != before {
			t.Errorf("%s: %d keys are left behind", name, n-before)
		}
	}
	// A later token of the same custom id has not been used by its predecessor's holder.
	custom := func(a *Ask) { a.Policies, a.ID, a.Caller.Sudo = []string{"web"}, "my-own", true }
	first := w.create(w.root, custom)
	w.use(first, "192.0.2.1")
	w.revoke(first)
	w.clock.Add(time.Second)
	second := w.create(w.root, custom)
	w.ok(w.FlushUses(w.ctx))
	if n := w.seen(second).Uses; n != 0 {
		t.Errorf("a new token has %d uses", n)
	}
	w.revoke(second)
}

// Any number of requests and flushes at once lose no use.
func TestLastUseConcurrently(t *testing.T) {
	w := newWorld(t)
	i := w.plain()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				w.use(i, "192.0.2.1")
			}
		})
		all.Go(func() {
			for range 10 {
				w.ok(w.FlushUses(w.ctx))
			}
		})
	}
	all.Wait()
	w.ok(w.FlushUses(w.ctx))
	if n := w.seen(i).Uses; n != 800 {
		t.Errorf("%d uses, want 800", n)
	}
}
