package kv

import (
	"encoding/binary"

	"jeton/internal/store"
)

// The keys of one kv mount, within its area. The first byte says what a key holds:
//
//	p <path>                               version 1: the object (plainRecord)
//	u                                      present once the upgrade to version 2 has begun
//	c                                      version 2: the mount's settings (configRecord)
//	m <path>                               version 2: what is known of a key (keyRecord)
//	v <uvarint: length of path> <path> <8> version 2: one version's object (versionRecord),
//	                                       its number big-endian
//
// Paths stand in keys as they are, so that p and m keys sort as a listing shows them ("a",
// "a-b", "a/…", "a0"), and a folder is the range of keys that begin with its path and a
// slash; a path never ends in one, so the key "a" is no part of the folder "a/".
// Versions are never listed by folder; the length before the path makes the keys of one path
// a range that no other path's keys fall into, whatever bytes either path is made of.
const (
	plainSpace   = 'p'
	upgradeSpace = 'u'
	configSpace  = 'c'
	keySpace     = 'm'
	versionSpace = 'v'
)

func plainKey(path string) []byte { return spaceKey(plainSpace, path) }

func keyKey(path string) []byte { return spaceKey(keySpace, path) }

func configKey() []byte { return []byte{configSpace} }

func upgradeKey() []byte { return []byte{upgradeSpace} }

func spaceKey(space byte, path string) []byte {
	key := make([]byte, 0, 1+len(path))
	return append(append(key, space), path...)
}

// versionKey is where version n of path is kept.
func versionKey(path string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(versionPrefix(path), n)
}

// versionPrefix begins the keys of all versions of path, and of nothing else.
func versionPrefix(path string) []byte {
	key := make([]byte, 0, 1+binary.MaxVarintLen64+len(path)+8)
	key = binary.AppendUvarint(append(key, versionSpace), uint64(len(path)))
	return append(key, path...)
}

// versionRange is where versions first to last of path are kept, both included.
func versionRange(path string, first, last uint64) store.Range {
	return store.Range{From: versionKey(path, first), To: store.After(versionKey(path, last))}
}

// plainRange is where the data of version 1 is kept.
func plainRange() store.Range { return store.PrefixRange([]byte{plainSpace}) }
