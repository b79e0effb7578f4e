package token

import (
	"testing"
	"time"

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
	inner := memory(t)
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
	began := time.Now()
	w.revoke(top)
	// Milliseconds are promised; the bound leaves room for a machine that is busy with else.
	if took := time.Since(began); took > time.Second {
		t.Errorf("the revocation took %s", took)
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
