package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// The first byte of a stored key. Pebble orders keys by their bytes, so each space is one range.
const (
	ownSpace    = 0x00
	callerSpace = 0x01
	afterCaller = 0x02
)

// positionText is the key that holds the number of the newest commit; in ownSpace.
const positionText = "\x00position"

func positionKey() []byte { return []byte(positionText) }

// storedKey appends to buf the stored form of a caller's key.
func storedKey(buf, key []byte) []byte { return append(append(buf, callerSpace), key...) }

// storedEnd is the stored form of an exclusive end, where an empty one is the end of all keys.
func storedEnd(to []byte) []byte {
	if len(to) == 0 {
		return []byte{afterCaller}
	}
	return storedKey(make([]byte, 0, len(to)+1), to)
}

// callerKey is the caller's form of a stored key of theirs.
func callerKey(stored []byte) []byte { return stored[1:] }

// callerEnd is the inverse of storedEnd.
func callerEnd(stored []byte) []byte {
	if stored[0] == afterCaller {
		return nil
	}
	return stored[1:]
}

// readPosition is the number of the newest commit that from contains; 0 when there is none.
func readPosition(from pebble.Reader) (uint64, error) {
	value, closer, err := from.Get(positionKey())
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("store: read position: %w", err)
	}
	defer closer.Close()
	if len(value) != 8 {
		return 0, fmt.Errorf("store: read position: %d bytes, want 8", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
