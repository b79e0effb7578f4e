package token

import (
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// Whatever goes wrong between an end and its telling, the audit log hears of each end: an entry
// too many where the server died after telling, never one too few.
func TestSweptAreToldOfOverFaults(t *testing.T) {
	const leaves = sweepBatch + 3
	for _, outcome := range []storetest.Outcome{storetest.Failed, storetest.Persisted, storetest.DiedBefore, storetest.DiedAfter} {
		for at := 1; at <= 8; at++ {
			inner := memory(t)
			faulty := storetest.Faulty(inner)
			w := worldOver(t, faulty)
			// A tree that expires, so that its leaves go with it, and as many that expire by themselves.
			top := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1m" })
			for range leaves {
				w.child(top)
				w.create(w.root, func(a *Ask) { a.TTL = "1m" })
			}
			w.clock.Add(time.Minute)
			faulty.InjectAt(at, outcome)
			for range 100 {
				n, err := w.Sweep(w.ctx)
				if faulty.Died() && w.raw != inner {
					w = restart(w, inner)
				} else if n == 0 && err == nil {
					break
				}
			}
			w.mustCheck()
			told := map[string]int{}
			for _, e := range w.heard.endings {
				told[e.Token.Accessor]++
			}
			if len(told) != 2*leaves+1 {
				t.Errorf("%s at %d: %d ends were told, want %d", outcome, at, len(told), 2*leaves+1)
			}
			again := 0
			for _, n := range told {
				again += n - 1
			}
			if again != 0 && (outcome != storetest.DiedBefore && outcome != storetest.DiedAfter || again > sweepBatch) {
				t.Errorf("%s at %d: %d ends were told twice", outcome, at, again)
			}
			w.Store.Close()
		}
	}
}

// A server that stops in good order tells of nothing twice, and keeps nothing of it.
func TestSweptAreToldOfOnceOverRestart(t *testing.T) {
	w := newWorld(t)
	for range 3 * sweepBatch {
		w.create(w.root, func(a *Ask) { a.TTL = "1m" })
	}
	w.clock.Add(time.Minute)
	for range 20 {
		_, err := w.Sweep(w.ctx)
		w.ok(err)
		w.ok(w.FlushUses(w.ctx)) // as sealing does
		w.reopen()
	}
	told := map[string]int{}
	for _, e := range w.heard.endings {
		if told[e.Token.Accessor]++; told[e.Token.Accessor] > 1 {
			t.Fatal("an end was told twice")
		}
	}
	if len(told) != 3*sweepBatch {
		t.Errorf("%d ends were told", len(told))
	}
	w.ok(w.area.View(w.ctx, func(r store.Reader) error {
		if batch, err := record.Get[swept](r, []byte{sweptKey}); batch != nil || err != nil {
			t.Errorf("a batch is kept: %v, %v", batch, err)
		}
		return nil
	}))
}

// What is stored keeps its form.
func TestSweptForm(t *testing.T) {
	in := &swept{[]sweptEnding{{ID: ID{1}, Token: &Token{Accessor: "a"}, End: End{Cause: Expired, At: 2}}}, 3}
	data, err := record.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "01a20181a301500100000000000000000000000000000002a501616102500000000000000000000000000000000006f60aa101600ba1010003a201676578706972656402020203"
	if got := hex.EncodeToString(data); got != golden {
		t.Errorf("stored as %s", got)
	}
	out := &swept{}
	if err := record.Decode(data, out); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("read back as %+v, %v", out, err)
	}
}
