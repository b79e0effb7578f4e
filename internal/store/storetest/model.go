package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"jeton/internal/store"
)

// model is the slow, obviously correct store: a map.
type model map[string]string

// scan is what a scan of rng over the model yields.
func (m model) scan(rng store.Range) []pair {
	var got []pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= string(rng.From) && (len(rng.To) == 0 || k < string(rng.To)) {
			got = append(got, pair{k, m[k]})
		}
	}
	if rng.Reverse {
		slices.Reverse(got)
	}
	if rng.Limit > 0 && len(got) > rng.Limit {
		got = got[:rng.Limit]
	}
	if rng.KeysOnly {
		for i := range got {
			got[i].value = ""
		}
	}
	return got
}

// runModel drives the store and the model in lockstep, with transactions of random operations
// of which some abort, and compares every answer.
func runModel(t *testing.T, open func(t *testing.T) store.Store) {
	s := open(t)
	t.Cleanup(func() { closeOnce(t, s) })
	rapid.Check(t, func(rt *rapid.T) {
		// One store serves all runs: opening one is slow on some backends.
		update(t, s, func(tx store.Tx) error { return tx.DeleteRange(nil, nil) })
		committed := model{}
		at := position(t, s)
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			at = modelTransaction(rt, s, committed, at)
			err := s.View(context.Background(), func(r store.Reader) error {
				if r.Position() != at {
					rt.Errorf("View is at position %d, want %d", r.Position(), at)
				}
				compareScan(rt, r, committed, drawRange(rt))
				compareScan(rt, r, committed, store.Range{})
				compareGet(rt, r, committed, drawKey(rt, "key"))
				return nil
			})
			if err != nil {
				rt.Fatalf("View: %v", err)
			}
		}
	})
}

// operation is one step of a transaction. It is drawn before the transaction runs, since a
// closure may run more than once.
type operation struct {
	kind       string
	key, value string
	rng        store.Range
}

// brief is a key that is put once before it is withdrawn, and that no other kind names.
func (op operation) brief() string { return "w" + op.key }

func drawOperation(rt *rapid.T) operation {
	return operation{
		kind:  rapid.SampledFrom([]string{"put", "put", "put", "delete", "deleteRange", "once", "once", "withdraw", "get", "scan"}).Draw(rt, "kind"),
		key:   drawKey(rt, "key"),
		value: string(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(rt, "value")),
		rng:   drawRange(rt),
	}
}

// modelTransaction runs one transaction on s and committed; it returns the position after it.
func modelTransaction(rt *rapid.T, s store.Store, committed model, at uint64) uint64 {
	operations := make([]operation, rapid.IntRange(0, 10).Draw(rt, "operations"))
	for i := range operations {
		operations[i] = drawOperation(rt)
	}
	abort := rapid.IntRange(0, 3).Draw(rt, "abort") == 0
	var pending model
	var mine uint64
	err := s.Update(context.Background(), func(tx store.Tx) error {
		pending, mine = maps.Clone(committed), tx.Position()
		if mine <= at {
			rt.Errorf("transaction has position %d after %d", mine, at)
		}
		for _, op := range operations {
			if err := op.apply(rt, tx, pending); err != nil {
				return err
			}
		}
		compareScan(rt, tx, pending, store.Range{})
		if abort {
			return errAbort
		}
		return nil
	})
	if abort {
		if err != errAbort {
			rt.Fatalf("Update = %v, want fn's error", err)
		}
		return at
	}
	if err != nil {
		rt.Fatalf("Update: %v", err)
	}
	clear(committed)
	maps.Copy(committed, pending)
	// A transaction without writes may or may not be a commit.
	writes := slices.ContainsFunc(operations, func(op operation) bool { return op.kind != "get" && op.kind != "scan" })
	if !writes {
		mine = at
		_ = s.View(context.Background(), func(r store.Reader) error { mine = r.Position(); return nil })
		return mine
	}
	var now uint64
	_ = s.View(context.Background(), func(r store.Reader) error { now = r.Position(); return nil })
	if now != mine && now != at {
		rt.Errorf("position is %d after a commit of %d on %d", now, mine, at)
	}
	return now
}

// apply does op to the transaction and the model.
func (op operation) apply(rt *rapid.T, tx store.Tx, pending model) error {
	switch op.kind {
	case "put":
		pending[op.key] = op.value
		return tx.Put([]byte(op.key), []byte(op.value))
	case "delete":
		delete(pending, op.key)
		return tx.Delete([]byte(op.key))
	case "deleteRange":
		for _, p := range pending.scan(store.Range{From: op.rng.From, To: op.rng.To}) {
			delete(pending, p.key)
		}
		return tx.DeleteRange(op.rng.From, op.rng.To)
	case "once":
		if _, there := pending[op.brief()]; there {
			return nil
		}
		pending[op.brief()] = op.value
		return tx.Put([]byte(op.brief()), []byte(op.value))
	case "withdraw":
		if _, there := pending[op.brief()]; !there {
			return nil
		}
		delete(pending, op.brief())
		return tx.Withdraw([]byte(op.brief()))
	case "get":
		compareGet(rt, tx, pending, op.key)
	case "scan":
		compareScan(rt, tx, pending, op.rng)
	}
	return nil
}

// drawKey makes keys of few bytes, so that they meet, with the bytes that are special.
func drawKey(rt *rapid.T, label string) string {
	alphabet := rapid.SampledFrom([]byte{0x00, 0x01, 'a', 'b', 0xfe, 0xff})
	return string(rapid.SliceOfN(alphabet, 0, 3).Draw(rt, label))
}

func drawRange(rt *rapid.T) store.Range {
	return store.Range{
		From:     []byte(drawKey(rt, "from")),
		To:       []byte(drawKey(rt, "to")),
		Reverse:  rapid.Bool().Draw(rt, "reverse"),
		Limit:    rapid.IntRange(0, 4).Draw(rt, "limit"),
		KeysOnly: rapid.Bool().Draw(rt, "keysOnly"),
	}
}

func compareScan(rt *rapid.T, r store.Reader, m model, rng store.Range) {
	got, err := collect(r, rng)
	if want := m.scan(rng); err != nil || !slices.Equal(got, want) {
		rt.Errorf("scan %s: %v, %v, want %v", describe(rng), got, err, want)
	}
}

func compareGet(rt *rapid.T, r store.Reader, m model, key string) {
	got, err := r.Get([]byte(key))
	want, ok := m[key]
	switch {
	case ok && (err != nil || string(got) != want):
		rt.Errorf("Get(%q) = %q, %v, want %q", key, got, err, want)
	case !ok && !errors.Is(err, store.ErrNotFound):
		rt.Errorf("Get(%q) = %q, %v, want ErrNotFound", key, got, err)
	}
}

func describe(rng store.Range) string {
	return fmt.Sprintf("[%q, %q) reverse=%v limit=%d keysOnly=%v", rng.From, rng.To, rng.Reverse, rng.Limit, rng.KeysOnly)
}
