package token

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"math/bits"
	"strings"

	"jeton/internal/record"
	"jeton/internal/store"
)

// An accessor is the token's id, encrypted as one block of AES under a key of its own and written
// in 22 characters of base62, after two random ones. Who holds one learns nothing of the token nor
// of other accessors, and cannot make one; the store needs no entry to find the token by it. The two
// are there because ids can come again, where a client chooses them: the record says whether an
// accessor is really the token's.
//
// Older tokens have random accessors, which an entry leads from: a <hash of accessor>.
const blockChars = 22

// accessor makes one for a token.
func (x *texts) accessor(id ID) string {
	var block ID
	x.names.Encrypt(block[:], id[:])
	high, low := binary.BigEndian.Uint64(block[:8]), binary.BigEndian.Uint64(block[8:])
	var text [plainChars]byte
	copy(text[:], randomBase62(plainChars-blockChars))
	for i := plainChars - 1; i >= plainChars-blockChars; i-- {
		var rest uint64
		high, rest = high/uint64(len(base62)), high%uint64(len(base62))
		low, rest = bits.Div64(rest, low, uint64(len(base62)))
		text[i] = base62[rest]
	}
	return string(text[:])
}

// named is the id of the one token that an accessor may name; ok is false where there is none.
func (x *texts) named(accessor string) (id ID, ok bool) {
	if len(accessor) != plainChars {
		return ID{}, false
	}
	var high, low uint64
	for i := plainChars - blockChars; i < plainChars; i++ {
		digit := strings.IndexByte(base62, accessor[i])
		if digit < 0 {
			return ID{}, false
		}
		over, top := bits.Mul64(high, uint64(len(base62)))
		carry, bottom := bits.Mul64(low, uint64(len(base62)))
		var c uint64
		low, c = bits.Add64(bottom, uint64(digit), 0)
		high, c = bits.Add64(top, carry, c)
		if over != 0 || c != 0 {
			return ID{}, false
		}
	}
	var block ID
	binary.BigEndian.PutUint64(block[:8], high)
	binary.BigEndian.PutUint64(block[8:], low)
	x.names.Decrypt(id[:], block[:])
	return id, true
}

// accessorID is the keyed hash of an accessor that an entry leads from.
func (x *texts) accessorID(accessor string) ID { return x.keyed("accessor", accessor) }

// accessorEntry is what an accessor leads to that does not name its token by itself.
type accessorEntry struct {
	ID       ID     `cbor:"1,keyasint"`
	Accessor string `cbor:"2,keyasint"`
}

// accessorEntry is the entry that t must have, if it must have one.
func (x *texts) accessorEntry(t *Token) (k []byte, needed bool) {
	if id, ok := x.named(t.Accessor); ok && id == t.ID {
		return nil, false
	}
	return idKey(accessorKey, x.accessorID(t.Accessor)), true
}

// FindAccessor returns the living token of an accessor. known says that the accessor is on
// record: its token may be dead already.
func (s *Store) FindAccessor(ctx context.Context, accessor string) (t *Token, known bool, err error) {
	id, ok := s.texts.named(accessor)
	if ok {
		if t, err = s.find(ctx, id); t != nil && t.hasAccessor(accessor) {
			return t, true, nil
		}
		if err != nil && !unreadable(err) {
			return nil, false, err
		}
	}
	var entry *accessorEntry
	var damaged error
	err = s.area.View(ctx, func(r store.Reader) (err error) {
		entry, damaged = nil, nil
		if ok {
			dead, err := load(r, id)
			if known = dead != nil && dead.hasAccessor(accessor); known {
				return nil
			}
			if damaged = err; err != nil && !unreadable(err) {
				return err
			}
		}
		entry, err = record.Get[accessorEntry](r, idKey(accessorKey, s.texts.accessorID(accessor)))
		return err
	})
	if entry == nil || err != nil {
		// Whose record is damaged must not be taken for one that is gone.
		return nil, known, errors.Join(err, damaged)
	}
	t, err = s.find(ctx, entry.ID)
	return t, true, err
}

// hasAccessor compares in constant time.
func (t *Token) hasAccessor(accessor string) bool {
	return subtle.ConstantTimeCompare([]byte(t.Accessor), []byte(accessor)) == 1
}

// Accessors calls fn with the accessors of at most limit tokens after the one whose cursor is
// given ("" for the first), in no particular order, and returns the next cursor, "" at the end.
// Tokens that are dead are left out, by an ancestor's end too; one that cannot be read stops
// nothing. Contract: tokens §12.
func (s *Store) Accessors(ctx context.Context, cursor string, limit int, fn func(accessor string)) (next string, err error) {
	r := store.PrefixRange([]byte{recordKey})
	if cursor != "" {
		r.From = store.After([]byte(cursor))
	}
	r.Limit, r.KeysOnly = limit, true
	now := s.clock.Now()
	err = s.area.View(ctx, func(view store.Reader) error {
		next = ""
		n := 0
		return view.Scan(r, func(k, _ []byte) (bool, error) {
			if n++; limit > 0 && n == limit {
				next = string(k)
			}
			if len(k) != 1+len(ID{}) {
				return true, nil // nothing of ours: Check says so
			}
			t, _, err := s.alive(view, lastID(k), now)
			if t != nil {
				fn(t.Accessor)
			}
			if unreadable(err) {
				s.log.Warn("an accessor is left out of a listing: its token cannot be read", "error", err)
				err = nil
			}
			return true, err
		})
	})
	return next, err
}
