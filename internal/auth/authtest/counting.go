package authtest

import (
	"context"
	"sync/atomic"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// Counting is a store that counts what is asked of it: what an operation costs is asserted in
// these, not in time.
type Counting struct {
	store.Store
	// Views and Updates are transactions. Reads are single values and the pairs of scans; Writes
	// are of any kind.
	Views, Updates, Reads, Writes atomic.Int64
}

// OnCounting runs a method over a store in memory whose use is counted.
func OnCounting(t testing.TB, factory backend.Factory) (*Bench, *Counting) {
	t.Helper()
	inner, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	counted := &Counting{Store: inner}
	return On(t, counted, factory), counted
}

// Cost is what an operation asked of the store.
type Cost struct{ Views, Updates, Reads, Writes int64 }

// Of runs an operation and says what it asked.
func (c *Counting) Of(operation func()) Cost {
	before := c.now()
	operation()
	after := c.now()
	return Cost{after.Views - before.Views, after.Updates - before.Updates, after.Reads - before.Reads, after.Writes - before.Writes}
}

func (c *Counting) now() Cost {
	return Cost{c.Views.Load(), c.Updates.Load(), c.Reads.Load(), c.Writes.Load()}
}

// View counts, and counts what fn reads.
func (c *Counting) View(ctx context.Context, fn func(store.Reader) error) error {
	c.Views.Add(1)
	return c.Store.View(ctx, func(r store.Reader) error { return fn(countingReader{r, c}) })
}

// Update counts, and counts what fn reads and writes.
func (c *Counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.Updates.Add(1)
	return c.Store.Update(ctx, func(tx store.Tx) error { return fn(countingTx{countingReader{tx, c}, tx}) })
}

type countingReader struct {
	store.Reader
	c *Counting
}

func (r countingReader) Get(key []byte) ([]byte, error) {
	r.c.Reads.Add(1)
	return r.Reader.Get(key)
}

func (r countingReader) Scan(in store.Range, fn func(key, value []byte) (bool, error)) error {
	return r.Reader.Scan(in, func(key, value []byte) (bool, error) {
		r.c.Reads.Add(1)
		return fn(key, value)
	})
}

type countingTx struct {
	countingReader
	tx store.Tx
}

func (t countingTx) Put(key, value []byte) error {
	t.c.Writes.Add(1)
	return t.tx.Put(key, value)
}

func (t countingTx) Delete(key []byte) error {
	t.c.Writes.Add(1)
	return t.tx.Delete(key)
}

func (t countingTx) Withdraw(key []byte) error {
	t.c.Writes.Add(1)
	return t.tx.Withdraw(key)
}

func (t countingTx) DeleteRange(from, to []byte) error {
	t.c.Writes.Add(1)
	return t.tx.DeleteRange(from, to)
}
