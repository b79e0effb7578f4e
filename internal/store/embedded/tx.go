package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"jeton/internal/store"
)

// errEnded says that a Reader or Tx was used after its closure returned.
var errEnded = errors.New("store: used after its transaction ended")

// reader reads one state: a snapshot, or the writes of a transaction over the newest state.
type reader struct {
	ctx      context.Context
	from     pebble.Reader // nil when the closure has returned
	position uint64
	// state is the position of the commit that from ends with; rows remembers what such have.
	state uint64
	rows  *rows
	key   []byte // scratch for stored keys; valid during one Get, Put or Delete
	short [96]byte
}

func (r *reader) end() { r.from = nil }

// stored is the stored form of key, valid until the next call.
func (r *reader) stored(key []byte) []byte {
	if r.key == nil {
		r.key = r.short[:0] // spares most readers a second allocation
	}
	r.key = storedKey(r.key[:0], key)
	return r.key
}

// Get returns a copy of the value of key.
func (r *reader) Get(key []byte) ([]byte, error) {
	if r.from == nil {
		return nil, errEnded
	}
	stored := r.stored(key)
	return r.getStored(stored, maphash.Bytes(r.rows.seed, stored))
}

func (r *reader) getStored(stored []byte, hash uint64) ([]byte, error) {
	value, known := r.rows.get(stored, hash, r.state)
	if known && value == nil {
		return nil, store.ErrNotFound
	}
	if known {
		return append(make([]byte, 0, len(value)), value...), nil
	}
	own, err := getFrom(r.from, stored)
	if err == nil || errors.Is(err, store.ErrNotFound) {
		r.rows.put(stored, hash, own, r.state)
	}
	return own, err
}

// getFrom returns a copy of the value of a stored key. It is never nil: an empty value is a value.
func getFrom(from pebble.Reader, stored []byte) ([]byte, error) {
	value, closer, err := from.Get(stored)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("store: read: %w", err)
	}
	own := append(make([]byte, 0, len(value)), value...)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("store: read: %w", err)
	}
	return own, nil
}

// Position is the number of the commit that the state ends with, or that the Tx will become.
func (r *reader) Position() uint64 { return r.position }

// Scan walks the range. What fn writes to the same Tx meanwhile is not seen by this scan.
// It ends with the context's error once that is cancelled.
func (r *reader) Scan(rng store.Range, fn func(key, value []byte) (bool, error)) (err error) {
	if r.from == nil {
		return errEnded
	}
	lower, upper := storedKey(make([]byte, 0, len(rng.From)+1), rng.From), storedEnd(rng.To)
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	it, err := r.from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("store: scan: %w", err)
	}
	defer func() {
		if closeErr := it.Close(); closeErr != nil && err == nil {
			err = fmt.Errorf("store: scan: %w", closeErr)
		}
	}()

	start, next := it.First, it.Next
	if rng.Reverse {
		start, next = it.Last, it.Prev
	}
	n := 0
	var ended <-chan struct{} // from the second entry on
	for ok := start(); ok; ok = next() {
		// To ask is cheap once, to be told costs something once and nothing after that.
		switch n {
		case 0:
			if err := r.ctx.Err(); err != nil {
				return err
			}
		case 1:
			ended = r.ctx.Done()
		}
		select {
		case <-ended:
			return r.ctx.Err()
		default:
		}
		var value []byte
		if !rng.KeysOnly {
			if value, err = it.ValueAndErr(); err != nil {
				return fmt.Errorf("store: scan: %w", err)
			}
		}
		more, err := fn(callerKey(it.Key()), value)
		if err != nil {
			return err
		}
		n++
		if !more || n == rng.Limit {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("store: scan: %w", err)
	}
	return nil
}

// tx is a reader of its own batch over the newest state. REQUIRES: whoever runs it has the turn
// for as long as it lives.
//
// The batch has no index as long as nothing that was written is read: most transactions read
// first, and an index costs them as much as the rest of the batch.
type tx struct {
	reader
	db    *pebble.DB
	batch *pebble.Batch
	// written are hashes of the keys that were written; indexed says that the batch has an
	// index, and from is the batch.
	written []uint64
	few     [16]uint64 // spares most transactions an allocation of written
	indexed bool
	// all says that any key may have been.
	all bool
}

// fewWritten is how many keys are looked through for one that may have been written.
const fewWritten = 64

// Get returns a copy of the value of key, that which was written before in the same transaction.
func (t *tx) Get(key []byte) ([]byte, error) {
	if t.from == nil {
		return nil, errEnded
	}
	stored := t.stored(key)
	if hash := maphash.Bytes(t.rows.seed, stored); !t.mayHaveWritten(hash) {
		return t.getCommitted(stored, hash)
	}
	if err := t.index(); err != nil {
		return nil, err
	}
	return getFrom(t.batch, stored)
}

// getCommitted is the value of a key that this transaction has not written.
func (t *tx) getCommitted(stored []byte, hash uint64) ([]byte, error) {
	committed := reader{from: t.db, state: t.state, rows: t.rows}
	return committed.getStored(stored, hash)
}

func (t *tx) mayHaveWritten(hash uint64) bool {
	return t.all || len(t.written) > fewWritten || slices.Contains(t.written, hash)
}

// Scan walks the range. See reader.Scan.
func (t *tx) Scan(rng store.Range, fn func(key, value []byte) (bool, error)) error {
	if t.from == nil {
		return errEnded
	}
	if err := t.index(); err != nil {
		return err
	}
	return t.reader.Scan(rng, fn)
}

// index makes what was written readable.
func (t *tx) index() error {
	if t.indexed || t.batch.Empty() {
		return nil
	}
	batch := t.db.NewIndexedBatch()
	if err := batch.Apply(t.batch, nil); err != nil {
		return errors.Join(fmt.Errorf("store: read: %w", err), batch.Close())
	}
	err := t.batch.Close()
	t.batch, t.from, t.indexed = batch, batch, true
	return err
}

// wrote notes that a stored key is written.
func (t *tx) wrote(stored []byte) []byte {
	if t.written == nil {
		t.written = t.few[:0]
	}
	if len(t.written) <= fewWritten {
		t.written = append(t.written, maphash.Bytes(t.rows.seed, stored))
	}
	return stored
}

// Put sets key to value.
func (t *tx) Put(key, value []byte) error {
	if t.from == nil {
		return errEnded
	}
	if err := t.batch.Set(t.wrote(t.stored(key)), value, nil); err != nil {
		return fmt.Errorf("store: put: %w", err)
	}
	return nil
}

// Delete removes key.
func (t *tx) Delete(key []byte) error {
	if t.from == nil {
		return errEnded
	}
	if err := t.batch.Delete(t.wrote(t.stored(key)), nil); err != nil {
		return fmt.Errorf("store: delete: %w", err)
	}
	return nil
}

// Withdraw removes key, which was put once. The deletion and what it deletes vanish when they meet,
// most often before either reaches a table; a tombstone would have to sink through all levels, and
// tables full of them are rewritten together with all that lies below.
func (t *tx) Withdraw(key []byte) error {
	if t.from == nil {
		return errEnded
	}
	if err := t.batch.SingleDelete(t.wrote(t.stored(key)), nil); err != nil {
		return fmt.Errorf("store: withdraw: %w", err)
	}
	return nil
}

// DeleteRange removes every key in [from, to); as in a Range, an empty to is the end of all keys.
func (t *tx) DeleteRange(from, to []byte) error {
	if t.from == nil {
		return errEnded
	}
	start, end := storedKey(make([]byte, 0, len(from)+1), from), storedEnd(to)
	if bytes.Compare(start, end) >= 0 {
		return nil
	}
	if err := t.batch.DeleteRange(start, end, nil); err != nil {
		return fmt.Errorf("store: delete range: %w", err)
	}
	// Any key may be in the range: from here on all are asked of the batch.
	t.all = true
	return nil
}
