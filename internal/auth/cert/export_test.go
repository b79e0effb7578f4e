package cert

import (
	"jeton/internal/record"
	"jeton/internal/store"
)

// Spoil breaks a stored revocation list.
func Spoil(name string) func(store.Tx) error {
	return func(tx store.Tx) error { return record.Put(tx, crlKey(name), &crlRecord{DER: []byte("spoilt")}) }
}
