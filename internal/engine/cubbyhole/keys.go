package cubbyhole

import (
	"jeton/internal/backend"
	"jeton/internal/store"
)

// The keys of the cubbyhole mount, within its area:
//
//	<token id: 16 bytes> <path>   one object (objectRecord)
//
// The id is a keyed hash, so that whoever sees raw storage cannot tell whose box it is; its
// length is fixed, so that no box's keys begin another's.

func objectKey(id backend.TokenID, path string) []byte {
	key := make([]byte, 0, len(id)+len(path))
	return append(append(key, id[:]...), path...)
}

// boxRange is everything that the token id owns.
func boxRange(id backend.TokenID) store.Range { return store.PrefixRange(id[:]) }
