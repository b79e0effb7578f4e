package store

import (
	"bytes"
	"context"
)

// Area is the part of a store below one prefix, seen as a store of its own: what is mounted
// in an area cannot name a key outside it.
type Area struct {
	whole  Store
	prefix []byte
}

// NewArea returns the part of whole below prefix.
func NewArea(whole Store, prefix []byte) *Area {
	return &Area{whole: whole, prefix: bytes.Clone(prefix)}
}

// View runs fn on one consistent state of the area.
func (a *Area) View(ctx context.Context, fn func(Reader) error) error {
	return a.whole.View(ctx, func(r Reader) error { return fn(a.Reading(r)) })
}

// Update runs fn in a transaction of the whole store that can touch the area only.
func (a *Area) Update(ctx context.Context, fn func(Tx) error) error {
	return a.whole.Update(ctx, func(tx Tx) error { return fn(a.Within(tx)) })
}

// Joint is Update for a room that has to read what another one keeps, in the same transaction:
// own is the area, whole the whole store.
func (a *Area) Joint(ctx context.Context, fn func(own, whole Tx) error) error {
	return a.whole.Update(ctx, func(tx Tx) error { return fn(a.Within(tx), tx) })
}

// Within shows the area inside tx, a transaction of the whole store, so that rooms with
// areas of their own can commit together (a login that spends a secret id and stores the
// token it earned, say).
func (a *Area) Within(tx Tx) Tx { return &areaTx{areaReader{r: tx, prefix: a.prefix}, tx} }

// Reading shows the area inside r, a state of the whole store.
func (a *Area) Reading(r Reader) Reader { return &areaReader{r: r, prefix: a.prefix} }

// Subscribe tells fn of changes inside the area, in the area's own keys.
func (a *Area) Subscribe(fn func(Commit)) (cancel func()) {
	// Commits are told one after the other, and their keys are good for that long.
	var keys [][]byte
	return a.whole.Subscribe(func(c Commit) {
		common, inside := bytes.CutPrefix(c.Common, a.prefix)
		switch {
		case inside:
		case len(c.Ranges) == 0 && !bytes.HasPrefix(a.prefix, c.Common):
			return // none of it is here
		default:
			common = nil
		}
		mine := Commit{Position: c.Position, Keys: keys[:0], Common: common}
		for _, k := range c.Keys {
			if rest, ok := bytes.CutPrefix(k, a.prefix); ok {
				mine.Keys = append(mine.Keys, rest)
			}
		}
		keys = mine.Keys[:0]
		for _, r := range c.Ranges {
			if inner, ok := a.clip(r); ok {
				mine.Ranges = append(mine.Ranges, inner)
			}
		}
		if len(mine.Keys)+len(mine.Ranges) > 0 {
			fn(mine)
		}
	})
}

// Close does nothing: an area ends with the store it is part of.
func (a *Area) Close() error { return nil }

// clip is the part of r that lies in the area, in the area's own keys.
func (a *Area) clip(r Range) (Range, bool) {
	end := prefixEnd(a.prefix)
	if len(r.To) > 0 && bytes.Compare(r.To, a.prefix) <= 0 {
		return Range{}, false
	}
	if end != nil && bytes.Compare(r.From, end) >= 0 {
		return Range{}, false
	}
	var inner Range
	if rest, ok := bytes.CutPrefix(r.From, a.prefix); ok {
		inner.From = rest
	}
	if rest, ok := bytes.CutPrefix(r.To, a.prefix); ok {
		inner.To = rest
	}
	return inner, true
}

type areaReader struct {
	r      Reader
	prefix []byte
	// scratch is the last key of a Get, Put or Delete: none of them keeps its key.
	scratch []byte
	short   [96]byte
}

// brief is key for the length of one call.
func (a *areaReader) brief(k []byte) []byte {
	if a.scratch == nil {
		a.scratch = a.short[:0]
	}
	a.scratch = append(append(a.scratch[:0], a.prefix...), k...)
	return a.scratch
}

func (a *areaReader) key(k []byte) []byte {
	full := make([]byte, 0, len(a.prefix)+len(k))
	return append(append(full, a.prefix...), k...)
}

// end is the exclusive end of a range in the area's keys: an empty one ends with the area.
func (a *areaReader) end(to []byte) []byte {
	if len(to) == 0 {
		return prefixEnd(a.prefix)
	}
	return a.key(to)
}

func (a *areaReader) Get(key []byte) ([]byte, error) { return a.r.Get(a.brief(key)) }

func (a *areaReader) Position() uint64 { return a.r.Position() }

func (a *areaReader) Scan(r Range, fn func(key, value []byte) (bool, error)) error {
	r.From, r.To = a.key(r.From), a.end(r.To)
	return a.r.Scan(r, func(k, v []byte) (bool, error) { return fn(k[len(a.prefix):], v) })
}

type areaTx struct {
	areaReader
	tx Tx
}

func (a *areaTx) Put(key, value []byte) error { return a.tx.Put(a.brief(key), value) }

func (a *areaTx) Delete(key []byte) error { return a.tx.Delete(a.brief(key)) }

func (a *areaTx) Withdraw(key []byte) error { return a.tx.Withdraw(a.brief(key)) }

func (a *areaTx) DeleteRange(from, to []byte) error {
	return a.tx.DeleteRange(a.key(from), a.end(to))
}
