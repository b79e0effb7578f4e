// Package record owns the encoding of everything that is stored: one version byte, then
// CBOR with integer keys. Old versions stay readable; docs/storage-format.md lists them.
package record

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"jeton/internal/store"
)

// format is the version byte that today's records begin with.
const format = 1

// usualSize holds most records, in bytes.
const usualSize = 320

// ErrMalformed says that stored bytes are not a record this version can read. It never
// carries the bytes.
var ErrMalformed = errors.New("record: malformed")

// modes are what the CBOR library calls its settings: canonical on the way out so that equal
// values are equal bytes, strict on the way in.
var (
	encoding = must(cbor.EncOptions{Sort: cbor.SortCanonical, Time: cbor.TimeUnixMicro, ShortestFloat: cbor.ShortestFloat16}.UserBufferEncMode())
	decoding = must(cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxArrayElements: 1 << 24, MaxMapPairs: 1 << 24}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Bytes is a string that is stored as bytes: it need not be UTF-8.
type Bytes = cbor.ByteString

// Encode returns the stored form of v, a pointer to a struct whose fields carry
// `cbor:"N,keyasint,omitempty"` tags. A field number is never used again for another meaning.
func Encode(v any) ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, usualSize))
	buf.WriteByte(format)
	if err := encoding.MarshalToBuffer(v, buf); err != nil {
		return nil, fmt.Errorf("record: encode %T: %w", v, err)
	}
	return buf.Bytes(), nil
}

// Decode reads the stored form into v. Its errors wrap ErrMalformed.
func Decode(data []byte, v any) error {
	if len(data) == 0 || data[0] != format {
		return fmt.Errorf("%w: unknown format of %T", ErrMalformed, v)
	}
	if err := decoding.Unmarshal(data[1:], v); err != nil {
		return fmt.Errorf("%w: %T", ErrMalformed, v)
	}
	return nil
}

// Get reads the record at key; nil when there is none.
func Get[T any](r store.Reader, key []byte) (*T, error) {
	data, err := r.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := Decode(data, v); err != nil {
		return nil, err
	}
	return v, nil
}

// Each calls fn for the records of a range in order, each read by itself: one that cannot be
// read comes with an error that wraps ErrMalformed, in place of its value, and ends nothing
// unless fn says so.
func Each[T any](r store.Reader, in store.Range, fn func(key []byte, v *T, malformed error) error) error {
	in.KeysOnly = true
	return r.Scan(in, func(key, _ []byte) (bool, error) {
		v, err := Get[T](r, key)
		if err != nil && !errors.Is(err, ErrMalformed) {
			return false, err
		}
		return true, fn(key, v, err)
	})
}

// Readable is Get of a record that can be done without: one that cannot be read is nil, and is
// told to malformed.
func Readable[T any](r store.Reader, key []byte, malformed func(key []byte, err error)) (*T, error) {
	v, err := Get[T](r, key)
	if errors.Is(err, ErrMalformed) {
		malformed(key, err)
		return nil, nil
	}
	return v, err
}

// Put writes v at key.
func Put(tx store.Tx, key []byte, v any) error {
	data, err := Encode(v)
	if err != nil {
		return err
	}
	return tx.Put(key, data)
}
