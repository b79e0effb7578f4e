package token

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
)

// downgrade makes what form 1 derived from the records out of what the store has: each facet in
// two orders, each count in one record, and no form.
func (w *world) downgrade() {
	w.t.Helper()
	w.ok(w.area.Update(w.ctx, func(tx store.Tx) error {
		if err := w.dropDerived(tx); err != nil {
			return err
		}
		if err := tx.Delete([]byte{formKey}); err != nil {
			return err
		}
		if err := tx.DeleteRange(expiryPrefix(never), store.PrefixRange([]byte{expiryKey}).To); err != nil {
			return err
		}
		keys, err := keysIn(tx, keysBelow([]byte{recordKey}))
		if err != nil {
			return err
		}
		counts := map[facet]int64{}
		for _, k := range keys {
			t, err := load(tx, lastID(k))
			if err != nil {
				return err
			}
			for _, f := range livingFacets(t) {
				counts[f]++
				for order, at := range map[byte]int64{'s': t.Life.Created, 'e': t.Life.Expires} {
					entry := binary.BigEndian.AppendUint64(w.facetPrefix(order, f), uint64(at))
					if err := tx.Put(append(entry, t.ID[:]...), nil); err != nil {
						return err
					}
				}
			}
		}
		for f, n := range counts {
			if err := record.Put(tx, w.facetPrefix(countKey, f), &facetCount{Value: []byte(f.value), Count: n}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Data of form 1 is brought to today's when the server is unsealed: all is found and counted
// as before, a job under way goes on, and Check has nothing to say. Doing it again, or half of it
// before, changes nothing.
func TestUpgrade(t *testing.T) {
	w := newWorld(t)
	parent := w.plain()
	for n := range 40 {
		w.clock.Add(time.Second)
		w.create(parent, func(a *Ask) { a.DisplayName = fmt.Sprintf("runner-%d", n%3) })
	}
	w.must(w.IssueLogin(w.ctx, loginOf("web"), loginMount, "auth/userpass/login/a", ""))
	w.clock.Add(time.Second)
	job := w.revokeMatching(Filter{DisplayName: "token-runner-1"})
	if _, err := w.SweepJobs(w.ctx); err != nil { // a part of it
		t.Fatal(err)
	}
	ids := func(q Query) (out []ID) {
		for q.Limit = 7; ; {
			page, err := w.Search(w.ctx, q)
			w.ok(err)
			for _, row := range page.Rows {
				out = append(out, row.Token.ID)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				return out
			}
		}
	}
	queries := []Query{{Sort: ByCreated}, {Sort: ByExpires}, {Sort: ByLastUsed}, {Filter: Filter{Parent: parent.Token.ID}, Sort: ByCreated, Reverse: true},
		{Filter: Filter{Path: "auth/token/"}, Sort: ByExpires}, {Filter: Filter{Policy: "default"}, Sort: ByCreated}}
	var want [][]ID
	for _, q := range queries {
		want = append(want, ids(q))
	}
	counts, total, err := w.Count(w.ctx, CountByPolicy)
	w.ok(err)
	for _, broken := range []bool{false, true} {
		w.downgrade()
		if broken {
			w.ok(w.area.Update(w.ctx, func(tx store.Tx) error {
				_, _, err := w.derive(tx, nil)
				return err
			}))
		}
		w.reopen()
		if len(w.problems()) == 0 {
			t.Fatal("Check takes form 1 for today's")
		}
		for range 2 {
			w.ok(w.Upgrade(w.ctx))
			w.mustCheck()
		}
		for i, q := range queries {
			if got := ids(q); !slices.Equal(got, want[i]) {
				t.Errorf("%+v: %d tokens, before %d, or in another order", q, len(got), len(want[i]))
			}
		}
		again, totalAgain, err := w.Count(w.ctx, CountByPolicy)
		w.ok(err)
		if totalAgain != total || !slices.Equal(again, counts) {
			t.Errorf("counts %v of %d, before %v of %d", again, totalAgain, counts, total)
		}
	}
	for n := 1; n > 0; {
		n, err = w.SweepJobs(w.ctx)
		w.ok(err)
	}
	done, err := w.Job(w.ctx, job.ID)
	w.ok(err)
	if left := ids(Query{Filter: Filter{DisplayName: "token-runner-1"}, Sort: ByCreated}); len(left) != 0 || done.Finished == 0 {
		t.Errorf("%d tokens of a job are left, finished %d", len(left), done.Finished)
	}
	w.mustCheck()
}

// A part of a count that cannot be read keeps no token from being made, and is made anew when
// the server is next unsealed (pain 3).
func TestDamagedCountsHeal(t *testing.T) {
	w := newWorld(t)
	w.ok(w.Upgrade(w.ctx))
	for range 2 * foldAt {
		w.plain()
	}
	counts, total, err := w.Count(w.ctx, CountByPolicy)
	w.ok(err)
	for _, kind := range []byte{countKey, movedKey, formKey} {
		w.plain() // so that a change waits
		damaged := 0
		w.ok(w.area.Update(w.ctx, func(tx store.Tx) error {
			keys, err := keysIn(tx, keysBelow([]byte{kind}))
			for _, k := range keys {
				damaged++
				if err == nil {
					err = tx.Put(k, []byte("damaged"))
				}
			}
			return err
		}))
		if damaged == 0 {
			t.Fatalf("there was nothing to damage at %c", kind)
		}
		w.reopen()
		for range 2 * foldAt { // so that what is damaged is folded
			w.revoke(w.plain())
		}
		w.reopen()
		w.ok(w.Upgrade(w.ctx))
		w.mustCheck()
		again, totalAgain, err := w.Count(w.ctx, CountByPolicy)
		w.ok(err)
		total++
		if totalAgain != total || len(again) != len(counts) {
			t.Errorf("after damage at %c %d tokens are counted, want %d", kind, totalAgain, total)
		}
	}
}
