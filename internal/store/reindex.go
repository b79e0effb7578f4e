package store

import (
	"bytes"
	"slices"
)

// Reindex brings the index entries of one record from before to after: what only before has
// is deleted, what only after has is put, with an empty value. Rooms derive both lists from
// the record, old and new, so that no entry can be forgotten.
func Reindex(tx Tx, before, after [][]byte) error {
	for _, k := range before {
		if !HasKey(after, k) {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
	}
	for _, k := range after {
		if !HasKey(before, k) {
			if err := tx.Put(k, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// HasKey says whether k is among keys.
func HasKey(keys [][]byte, k []byte) bool {
	return slices.ContainsFunc(keys, func(have []byte) bool { return bytes.Equal(have, k) })
}
