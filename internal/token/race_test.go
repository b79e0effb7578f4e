package token

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/store"
)

// together runs fn n times at once, as nearly as it can be had.
func together(n int, fn func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			fn(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// Contract: tokens §13.39, §9.3: 50 clients race for 10 uses and exactly 10 win.
func TestRaceForUses(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		i := w.limited(10)
		var won, last atomic.Int64
		together(50, func(int) {
			after, err := w.request(i)
			if err == nil {
				won.Add(1)
				if after.LastUse() {
					last.Add(1)
				}
			}
		})
		if won.Load() != 10 || last.Load() != 1 {
			t.Fatalf("%d of 50 won 10 uses, %d of them the last", won.Load(), last.Load())
		}
		w.mustBeDead(i)
	}
}

// The promise: a wrapping token under 1,000 unwraps at once is opened once.
func TestRaceForOneAnswer(t *testing.T) {
	w := newWorld(t)
	i := w.must(w.IssueWrapping(w.ctx, time.Minute, "a", func(tx store.Tx, id ID) error { return w.boxes.put(tx, id, "response") }))
	var won atomic.Int64
	together(1000, func(int) {
		found := false
		err := w.whole.Update(w.ctx, func(tx store.Tx) (err error) {
			found, err = w.UseUp(tx, i.Token.ID)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if found {
			won.Add(1)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d of 1,000 won", won.Load())
	}
}

// The promise: a child made while its parent is revoked is never alive afterwards.
func TestRaceOfCreateAndRevoke(t *testing.T) {
	w := newWorld(t)
	for round := range 1500 {
		top := w.plain()
		parent := top
		if round%2 == 0 {
			parent = w.child(top) // then it is the grandparent that is revoked
		}
		var children [3]*Issued
		together(4, func(n int) {
			if n == 3 {
				if err := w.Revoke(w.ctx, top.Token.ID, Revoked, ""); err != nil {
					t.Error(err)
				}
				return
			}
			kind := ""
			if n == 2 {
				kind = "batch"
			}
			children[n], _ = w.Create(w.ctx, ask(parent, func(a *Ask) { a.Type = kind }))
		})
		for _, child := range children {
			if child != nil && w.lives(child) {
				t.Fatalf("round %d: a living child of a dead parent", round)
			}
		}
		if round%100 == 0 {
			w.sweepAll()
			for _, child := range children {
				if child != nil && w.lives(child) {
					t.Fatalf("round %d: a living child of a dead parent that was swept", round)
				}
			}
		}
	}
}

// A lookup that begins after Revoke has returned never succeeds, however hot the cache is.
func TestRaceOfLookupAndRevoke(t *testing.T) {
	w := newWorld(t)
	for round := range 300 {
		parent := w.plain()
		child := w.child(parent)
		leaf := w.child(child)
		victim := []*Issued{parent, child, leaf}[round%3]
		var revoked atomic.Bool
		together(5, func(n int) {
			if n == 0 {
				if err := w.Revoke(w.ctx, victim.Token.ID, Revoked, ""); err != nil {
					t.Error(err)
				}
				revoked.Store(true)
				return
			}
			for range 40 {
				after := revoked.Load()
				found, err := w.Find(w.ctx, leaf.Text)
				if err != nil {
					t.Error(err)
				}
				if after && found != nil {
					t.Errorf("round %d: found after its revocation was answered", round)
					return
				}
			}
		})
		w.mustBeDead(leaf)
	}
}

// Renewal and revocation: the token is dead afterwards, and a renewal that says it won came first.
func TestRaceOfRenewAndRevoke(t *testing.T) {
	w := newWorld(t)
	for range 300 {
		parent := w.plain()
		child := w.child(parent)
		together(4, func(n int) {
			switch n {
			case 0:
				if err := w.Revoke(w.ctx, parent.Token.ID, Revoked, ""); err != nil {
					t.Error(err)
				}
			case 1:
				_, _ = w.renew(parent, time.Hour)
			default:
				_, _ = w.renew(child, time.Duration(n)*time.Hour)
			}
		})
		w.mustBeDead(parent, child)
	}
}

// Several sweepers at once do the work once: every end is told of exactly once.
func TestRaceOfSweepers(t *testing.T) {
	w := newWorld(t)
	const trees, children = 20, 30
	for n := range trees {
		parent := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1m" })
		for range children {
			w.child(parent)
		}
		if n%2 == 0 {
			w.revoke(parent)
		}
	}
	w.clock.Add(time.Minute)
	together(6, func(int) {
		for {
			n, err := w.Sweep(w.ctx)
			if err != nil {
				t.Error(err)
			}
			if n == 0 || err != nil {
				return
			}
		}
	})
	w.sweepAll()
	told := map[ID]int{}
	for _, e := range w.heard.endings {
		told[e.Token.ID]++
	}
	for id, n := range told {
		if n != 1 {
			t.Errorf("the end of %x was told %d times", id, n)
		}
	}
	if want := trees*children + trees/2; len(told) != want {
		t.Errorf("%d ends were told, want %d", len(told), want)
	}
	if n := w.records(); n != 1 {
		t.Errorf("%d records are left", n)
	}
}

// Everything at once, under the race detector: at the end nothing dangles.
func TestEverythingAtOnce(t *testing.T) {
	w := newWorld(t)
	var all struct {
		sync.Mutex
		issued []*Issued
	}
	all.issued = []*Issued{w.plain(), w.plain()}
	pick := func(n int) *Issued {
		all.Lock()
		defer all.Unlock()
		return all.issued[n%len(all.issued)]
	}
	together(8, func(worker int) {
		for n := range 60 {
			i := pick(n * (worker + 3))
			switch (n + worker) % 7 {
			case 0, 1, 2:
				if child, err := w.Create(w.ctx, ask(i, nil)); err == nil {
					all.Lock()
					all.issued = append(all.issued, child)
					all.Unlock()
				}
			case 3:
				_, _ = w.RevokeOrphan(w.ctx, i.Token.ID, "")
			case 4:
				_, _ = w.renew(i, time.Minute)
			case 5:
				if n%4 == 0 {
					_ = w.Revoke(w.ctx, i.Token.ID, Revoked, "")
				}
			case 6:
				_, _ = w.Sweep(w.ctx)
			}
			_, _ = w.Find(w.ctx, i.Text)
		}
	})
	cached := map[*Issued]bool{}
	for _, i := range all.issued {
		cached[i] = w.lives(i)
	}
	w.reopen()
	for i, was := range cached {
		if w.lives(i) != was {
			t.Fatalf("living %t from the cache, %t from the store", was, !was)
		}
	}
}
