package storetest

import (
	"context"
	"sync/atomic"

	"jeton/internal/store"
)

// Counting is a store that counts what is asked of it: what an operation costs is asserted in
// these, not in time.
type Counting struct {
	store.Store
	// Views and Updates are transactions. Gets are single values, Scanned the pairs of scans; Writes
	// are of any kind.
	Views, Updates, Gets, Scanned, Writes atomic.Int64
}

// Cost is what an operation asked of the store.
type Cost struct{ Views, Updates, Gets, Scanned, Writes int64 }

// Reads are values of either kind.
func (c Cost) Reads() int64 { return c.Gets + c.Scanned }

// Reset begins all counts anew.
func (c *Counting) Reset() {
	for _, n := range []*atomic.Int64{&c.Views, &c.Updates, &c.Gets, &c.Scanned, &c.Writes} {
		n.Store(0)
	}
}

// Of runs an operation and says what it asked.
func (c *Counting) Of(operation func()) Cost {
	before := c.now()
	operation()
	after := c.now()
	return Cost{after.Views - before.Views, after.Updates - before.Updates, after.Gets - before.Gets, after.Scanned - before.Scanned, after.Writes - before.Writes}
}

func (c *Counting) now() Cost {
	return Cost{c.Views.Load(), c.Updates.Load(), c.Gets.Load(), c.Scanned.Load(), c.Writes.Load()}
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
	r.c.Gets.Add(1)
	return r.Reader.Get(key)
}

func (r countingReader) Scan(in store.Range, fn func(key, value []byte) (bool, error)) error {
	return r.Reader.Scan(in, func(key, value []byte) (bool, error) {
		r.c.Scanned.Add(1)
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
