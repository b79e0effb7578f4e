package cubbyhole

import (
	"bytes"
	"encoding/json"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// The functions below let the rooms of tokens and of response wrapping use the cubbyhole
// inside transactions of their own. tx and r are the cubbyhole mount's area, which the caller
// gets from its transaction of the whole store with store.Area.Within.

// objectRecord is what is kept of a path.
type objectRecord struct {
	// JSON is one object, as document.Encode writes it.
	JSON []byte `cbor:"1,keyasint,omitempty"`
}

// Put keeps object, the text of one JSON object, at path in the cubbyhole of id.
func Put(tx store.Tx, id backend.TokenID, path string, object json.RawMessage) error {
	return record.Put(tx, objectKey(id, path), &objectRecord{JSON: object})
}

// Get returns the object at path in the cubbyhole of id; nil when there is none.
func Get(r store.Reader, id backend.TokenID, path string) (json.RawMessage, error) {
	found, err := record.Get[objectRecord](r, objectKey(id, path))
	if err != nil || found == nil {
		return nil, err
	}
	return found.JSON, nil
}

// Take is Get, and leaves nothing behind.
func Take(tx store.Tx, id backend.TokenID, path string) (json.RawMessage, error) {
	object, err := Get(tx, id, path)
	if err != nil || object == nil {
		return nil, err
	}
	return object, tx.Delete(objectKey(id, path))
}

// eraseOneByOne is up to how many objects are deleted each by its key. A range deletion stays
// in the store until it is compacted away and slows down what is read near it; a token's end
// is frequent and its box mostly empty.
const eraseOneByOne = 64

// Erase removes the whole cubbyhole of id; an empty one costs no write. It belongs into the
// transaction that removes the token's own record, and into the one that issues a token with
// a text that was chosen rather than drawn: such a text, and with it the id, can come again.
func Erase(tx store.Tx, id backend.TokenID) error {
	all := boxRange(id)
	few := all
	few.KeysOnly, few.Limit = true, eraseOneByOne+1
	var keys [][]byte
	err := tx.Scan(few, func(k, _ []byte) (bool, error) {
		keys = append(keys, bytes.Clone(k))
		return true, nil
	})
	if err != nil {
		return err
	}
	if len(keys) > eraseOneByOne {
		return tx.DeleteRange(all.From, all.To)
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
