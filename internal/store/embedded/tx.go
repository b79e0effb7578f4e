package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"

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
	key      []byte // scratch for stored keys; valid during one Get, Put or Delete
	short    [96]byte
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
	value, closer, err := r.from.Get(r.stored(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("store: read: %w", err)
	}
	// Never nil: an empty value is a value.
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
	for ok := start(); ok; ok = next() {
		select {
		case <-r.ctx.Done():
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

// tx is a reader of its own batch over the newest state. REQUIRES: Store.commit is held for
// as long as it lives.
type tx struct {
	reader
	batch *pebble.Batch
}

// Put sets key to value.
func (t *tx) Put(key, value []byte) error {
	if t.from == nil {
		return errEnded
	}
	if err := t.batch.Set(t.stored(key), value, nil); err != nil {
		return fmt.Errorf("store: put: %w", err)
	}
	return nil
}

// Delete removes key.
func (t *tx) Delete(key []byte) error {
	if t.from == nil {
		return errEnded
	}
	if err := t.batch.Delete(t.stored(key), nil); err != nil {
		return fmt.Errorf("store: delete: %w", err)
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
	return nil
}
