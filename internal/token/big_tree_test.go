package token

import (
	"testing"

	"jeton/internal/store/storetest"
)

// The promise in full: a tree of 100,000 tokens, ten deep, is dead when its revocation is
// answered, at once; strangers are served throughout; and wherever the sweep is cut off and the
// server started again, no token of the tree is alive and the sweep comes to its end.
func TestRevokingAHundredThousandTokens(t *testing.T) {
	if !testing.Short() {
		t.Run("the beginning of the sweep of 100,000", func(t *testing.T) { revokeBigTree(t, 100_000, false) })
	}
	t.Run("the whole sweep of 4,000", func(t *testing.T) { revokeBigTree(t, 4_000, true) })
}

func revokeBigTree(t *testing.T, size int, toTheEnd bool) {
	inner := &storetest.Counting{Store: memory(t)}
	faulty := storetest.Faulty(inner)
	w := worldOver(t, faulty)
	top := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "10h" })
	leaves := w.tree(top, size, 10)
	stranger := w.child(w.plain())
	sample := make([]*Issued, 0, 40)
	for n := 0; n < len(leaves); n += max(1, len(leaves)/40) {
		sample = append(sample, leaves[n])
	}
	w.mustLive(sample...)
	// Whatever hangs below: it is answered after as little work as that of a tree of two.
	few := w.plain()
	w.mustLive(w.child(few))
	little := inner.Of(func() { w.revoke(few) })
	if all := inner.Of(func() { w.revoke(top) }); all != little || little.Writes == 0 {
		t.Errorf("the revocation cost %+v, and that of a tree of two %+v", all, little)
	}
	w.mustBeDead(sample...)
	all := []storetest.Outcome{storetest.DiedBefore, storetest.DiedAfter}
	for crash := 0; crash < 12; crash++ {
		faulty.InjectAt(1+crash, all[crash%len(all)])
		for !faulty.Died() {
			n, err := w.Sweep(w.ctx)
			if err != nil {
				break
			}
			if n == 0 {
				t.Fatalf("nothing is left to sweep before crash %d", crash)
			}
			w.mustLive(stranger)
		}
		faulty = storetest.Faulty(inner)
		w = restart(w, faulty)
		w.mustBeDead(sample...)
		w.mustBeDead(top)
		w.mustLive(stranger)
		w.refused(ask(sample[crash], nil), "parent token lookup failed: no parent found")
	}
	if !toTheEnd {
		return
	}
	w.sweepAll()
	w.mustBeDead(sample...)
	w.mustLive(stranger)
	if n := w.records(); n != 3 {
		t.Errorf("%d records are left, want root's, the stranger's and its parent's", n)
	}
	w.mustCheck()
}
