package seal

import (
	"bytes"
	"context"
	"fmt"

	"jeton/internal/record"
	"jeton/internal/store"
)

// Encrypted shows raw with every value sealed under ring and bound to its key. Keys, their
// order, positions and the feed of changes pass through; the seal's own records are hidden.
// An empty value says nothing that its key does not, and passes through as well: index entries
// are many, and sealing one would cost more than writing it. Who can write to the raw store can
// so make entries, and empty a value; a record is never empty, and an emptied one malformed.
// A value that does not open gives an error that wraps ErrUndecryptable; everything fails
// with ErrSealed once the ring's keys are gone.
func Encrypted(raw store.Store, ring *Keyring) store.Store {
	return &encrypted{raw: raw, ring: ring}
}

type encrypted struct {
	raw  store.Store
	ring *Keyring
}

// View runs fn on one consistent state, decrypted as it is read.
func (e *encrypted) View(ctx context.Context, fn func(store.Reader) error) error {
	if _, err := e.ring.load(); err != nil {
		return err
	}
	return e.raw.View(ctx, func(r store.Reader) error { return fn(reader{r, e.ring}) })
}

// Update runs fn in a transaction that encrypts what it puts. When the count of encryptions
// has gone a step further, the same transaction stores it.
func (e *encrypted) Update(ctx context.Context, fn func(store.Tx) error) error {
	var stored *countsRecord
	r, err := e.ring.load()
	if err != nil {
		return err
	}
	err = e.raw.Update(ctx, func(raw store.Tx) error {
		stored = nil
		if err := fn(&tx{reader: reader{raw, e.ring}, raw: raw}); err != nil {
			return err
		}
		if !r.countsDue() {
			return nil
		}
		counts := r.counts()
		stored = &counts
		sealed, err := sealCounts(e.ring, stored)
		if err != nil {
			return err
		}
		return raw.Put(countsKey, sealed)
	})
	if err == nil && stored != nil {
		r.countsStored(*stored)
	}
	return err
}

// Subscribe passes on the raw store's feed, but for the seal's own records.
func (e *encrypted) Subscribe(fn func(store.Commit)) (cancel func()) {
	return e.raw.Subscribe(func(c store.Commit) {
		if bytes.HasPrefix(reservedPrefix, c.Common) || bytes.HasPrefix(c.Common, reservedPrefix) {
			for i, key := range c.Keys {
				if isReserved(key) {
					c.Keys = withoutReserved(c.Keys, i)
					break
				}
			}
		}
		if len(c.Keys)+len(c.Ranges) > 0 {
			fn(c)
		}
	})
}

// withoutReserved copies keys but for the seal's own, of which first is the index of one.
func withoutReserved(keys [][]byte, first int) [][]byte {
	kept := append(make([][]byte, 0, len(keys)), keys[:first]...)
	for _, key := range keys[first:] {
		if !isReserved(key) {
			kept = append(kept, key)
		}
	}
	return kept
}

// Close closes the raw store.
func (e *encrypted) Close() error { return e.raw.Close() }

// reader decrypts one state of the raw store.
type reader struct {
	raw  store.Reader
	ring *Keyring
}

func (r reader) Get(key []byte) ([]byte, error) {
	if isReserved(key) {
		return nil, store.ErrNotFound
	}
	sealed, err := r.raw.Get(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 {
		_, err := r.ring.load()
		return sealed, err
	}
	return r.ring.openOwned(key, sealed)
}

func (r reader) Scan(whole store.Range, fn func(key, value []byte) (bool, error)) error {
	// buffer belongs to this scan: fn may scan or read again while it holds the value.
	var buffer []byte
	left, more := whole.Limit, true
	for _, part := range beside(whole) {
		if !more || whole.Limit > 0 && left == 0 {
			return nil
		}
		part.Limit = left
		err := r.raw.Scan(part, func(key, sealed []byte) (bool, error) {
			left--
			var value []byte
			if !whole.KeysOnly {
				var err error
				if value, err = r.value(buffer[:0], key, sealed); err != nil {
					return false, err
				}
				buffer = value
			}
			var err error
			more, err = fn(key, value)
			return more, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// value appends what sealed holds to dst.
func (r reader) value(dst, key, sealed []byte) ([]byte, error) {
	if len(sealed) > 0 {
		return r.ring.open(dst, key, sealed)
	}
	if dst == nil {
		dst = []byte{} // nil is for scans of keys alone
	}
	_, err := r.ring.load()
	return dst, err
}

func (r reader) Position() uint64 { return r.raw.Position() }

// usualValue holds most sealed values, in bytes.
const usualValue = 448

// tx encrypts what goes into one transaction. Like every store.Tx it serves one goroutine.
type tx struct {
	reader
	raw store.Tx
	// buffer is reused from Put to Put: the raw store copies before it returns.
	buffer []byte
}

func (t *tx) Put(key, value []byte) error {
	if isReserved(key) {
		return fmt.Errorf("%w: %q", ErrReserved, key)
	}
	if len(value) == 0 {
		if _, err := t.ring.load(); err != nil {
			return err
		}
		return t.raw.Put(key, nil)
	}
	if cap(t.buffer) < len(value)+overhead {
		t.buffer = make([]byte, 0, max(len(value)+overhead, usualValue))
	}
	sealed, err := t.ring.seal(t.buffer[:0], key, value)
	if err != nil {
		return err
	}
	t.buffer = sealed
	return t.raw.Put(key, sealed)
}

func (t *tx) Delete(key []byte) error {
	if isReserved(key) {
		return fmt.Errorf("%w: %q", ErrReserved, key)
	}
	return t.raw.Delete(key)
}

func (t *tx) Withdraw(key []byte) error {
	if isReserved(key) {
		return fmt.Errorf("%w: %q", ErrReserved, key)
	}
	return t.raw.Withdraw(key)
}

func (t *tx) DeleteRange(from, to []byte) error {
	for _, part := range beside(store.Range{From: from, To: to}) {
		if err := t.raw.DeleteRange(part.From, part.To); err != nil {
			return err
		}
	}
	return nil
}

// sealedCounts is the stored form of the ring's counts.
func sealedCounts(ring *Keyring) ([]byte, error) {
	r, err := ring.load()
	if err != nil {
		return nil, err
	}
	counts := r.counts()
	return sealCounts(ring, &counts)
}

func sealCounts(ring *Keyring, counts *countsRecord) ([]byte, error) {
	plain, err := record.Encode(counts)
	if err != nil {
		return nil, err
	}
	return ring.seal(nil, countsKey, plain)
}

// readCounts is what was last stored of the counts; none is all zero.
func readCounts(raw store.Reader, ring *ring) (countsRecord, error) {
	var c countsRecord
	sealed, err := raw.Get(countsKey)
	if err != nil {
		return c, err
	}
	plain, err := keyringOf(ring).openOwned(countsKey, sealed)
	if err != nil {
		return c, err
	}
	return c, record.Decode(plain, &c)
}
