// Package mac owns keyed hashes of short texts: HMAC-SHA256 under one key, by which names and
// secrets are found without being seen in keys.
package mac

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// Size is the length of a hash, in bytes.
const Size = sha256.Size

// Key makes hashes. It lends states from a pool: to make one costs four times what a short text
// does, as it hashes the key, twice. It is safe for concurrent use.
type Key struct{ states sync.Pool }

// state is ready for a message, with scratch space.
type state struct {
	hash    hash.Hash
	in, out []byte
}

// NewKey is for hashes under key, which must not be changed afterwards.
func NewKey(key []byte) *Key {
	return &Key{sync.Pool{New: func() any { return &state{hash: hmac.New(sha256.New, key)} }}}
}

// Append adds to into the hash of what write puts into the empty slice that it is given.
func (k *Key) Append(into []byte, write func(message []byte) []byte) []byte {
	s := k.states.Get().(*state)
	s.in = write(s.in[:0])
	s.hash.Write(s.in)
	s.out = s.hash.Sum(s.out[:0])
	into = append(into, s.out...)
	// A secret must not outlive its request here.
	clear(s.in)
	s.hash.Reset()
	k.states.Put(s)
	return into
}
