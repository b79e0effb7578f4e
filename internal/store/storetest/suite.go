// Package storetest owns the proof of what package store promises: a conformance suite and
// benchmarks that every backend runs, and a store that fails on demand, for the rooms above.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"jeton/internal/store"
)

// test is one promise. s is empty, and belongs to the test alone.
type test struct {
	name string
	run  func(t *testing.T, s store.Store)
}

// Run proves a backend. open returns a new, empty store, which Run closes.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"keys", keyTests()},
		{"ranges", rangeTests()},
		{"transactions", transactionTests()},
		{"concurrency", concurrencyTests()},
		{"subscription", subscriptionTests()},
		{"life", lifeTests()},
	}
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			for _, tt := range group.tests {
				t.Run(tt.name, func(t *testing.T) {
					s := open(t)
					t.Cleanup(func() { closeOnce(t, s) })
					tt.run(t, s)
				})
			}
		})
	}
	t.Run("model", func(t *testing.T) { runModel(t, open) })
}

// closeOnce closes s unless the test has done so.
func closeOnce(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
}

// pair is what a scan yields.
type pair struct{ key, value string }

func (p pair) String() string { return fmt.Sprintf("%q=%q", p.key, p.value) }

// update runs fn in a transaction that must succeed.
func update(t testing.TB, s store.Store, fn func(tx store.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// view runs fn on a state; it must succeed.
func view(t testing.TB, s store.Store, fn func(r store.Reader) error) {
	t.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// put writes key=value for each of pairs, in one transaction.
func put(t testing.TB, s store.Store, pairs ...pair) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		for _, p := range pairs {
			if err := tx.Put([]byte(p.key), []byte(p.value)); err != nil {
				return err
			}
		}
		return nil
	})
}

// putKeys writes keys whose values are the keys themselves.
func putKeys(t testing.TB, s store.Store, keys ...string) {
	t.Helper()
	pairs := make([]pair, 0, len(keys))
	for _, k := range keys {
		pairs = append(pairs, pair{k, k})
	}
	put(t, s, pairs...)
}

// collect is everything that a scan of rng yields.
func collect(r store.Reader, rng store.Range) ([]pair, error) {
	var got []pair
	err := r.Scan(rng, func(k, v []byte) (bool, error) {
		if rng.KeysOnly && v != nil {
			return false, fmt.Errorf("KeysOnly scan gives value %q for %q", v, k)
		}
		got = append(got, pair{string(k), string(v)})
		return true, nil
	})
	return got, err
}

// contents is all that s holds, in order.
func contents(t testing.TB, s store.Store) []pair {
	t.Helper()
	var got []pair
	view(t, s, func(r store.Reader) (err error) {
		got, err = collect(r, store.Range{})
		return err
	})
	return got
}

// position is the position of a View taken now.
func position(t testing.TB, s store.Store) (n uint64) {
	t.Helper()
	view(t, s, func(r store.Reader) error {
		n = r.Position()
		return nil
	})
	return n
}

// wantContents checks everything that s holds.
func wantContents(t testing.TB, s store.Store, want ...pair) {
	t.Helper()
	if got := contents(t, s); !slices.Equal(got, want) {
		t.Errorf("store holds %v, want %v", got, want)
	}
}

// wantValue checks the value of key in r.
func wantValue(t testing.TB, r store.Reader, key, want string) {
	t.Helper()
	got, err := r.Get([]byte(key))
	if err != nil || !bytes.Equal(got, []byte(want)) {
		t.Errorf("Get(%q) = %q, %v, want %q", key, got, err, want)
	}
}

// wantAbsent checks that key has no value in r.
func wantAbsent(t testing.TB, r store.Reader, key string) {
	t.Helper()
	if got, err := r.Get([]byte(key)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get(%q) = %q, %v, want ErrNotFound", key, got, err)
	}
}
