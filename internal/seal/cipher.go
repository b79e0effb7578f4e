package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
)

// The stored form of an encrypted value (docs/storage-format.md, "Encryption"):
//
//	byte 0       format, 1
//	bytes 1-4    term of the key, big endian; 0 where the key is not one of the keyring's
//	bytes 5-16   nonce, random
//	the rest     AES-256-GCM: ciphertext, then a tag of 16 bytes
//
// The associated data is the format and the term as they stand, then the whole storage key:
// a ciphertext that was moved to another key, or whose header was changed, does not open.
const (
	cipherFormat = 1
	nonceSize    = 12
	tagSize      = 16
	termSize     = 4
	headerSize   = 1 + termSize
	// overhead is how much longer than its value a ciphertext is, in bytes.
	overhead = headerSize + nonceSize + tagSize
	// keySize is the size in bytes of every key in the hierarchy.
	keySize = 32
)

// newAEAD makes the cipher of a key. The expanded key lives inside it for as long as it is
// referred to and cannot be wiped: that is as far as Go lets us go.
func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("seal: a key has %d bytes, not %d", keySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

// newKey draws a random key.
func newKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key)
	return key
}

// header is the first bytes of a ciphertext and of its associated data.
func header(dst []byte, term uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, cipherFormat), term)
}

// sealInto appends to dst (which is empty) the stored form of value. ad is scratch space for
// the associated data; both are returned for reuse.
func sealInto(dst, ad []byte, aead cipher.AEAD, term uint32, key, value []byte) (sealed, adUsed []byte) {
	ad = append(header(ad[:0], term), key...)
	dst = header(dst[:0], term)
	dst = slices.Grow(dst, nonceSize+len(value)+tagSize)[:headerSize+nonceSize]
	nonce := dst[headerSize:]
	rand.Read(nonce)
	return aead.Seal(dst, nonce, value, ad), ad
}

// termOf reads the term of a stored form; false when it is too short or of another format.
func termOf(sealed []byte) (term uint32, ok bool) {
	if len(sealed) < overhead || sealed[0] != cipherFormat {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:headerSize]), true
}

// openInto appends the value inside sealed to dst, which may be sealed[headerSize+nonceSize:]
// cut to no length in order to decrypt in place. termOf must have accepted sealed.
func openInto(dst, ad []byte, aead cipher.AEAD, key, sealed []byte) (value, adUsed []byte, err error) {
	ad = append(append(ad[:0], sealed[:headerSize]...), key...)
	body := sealed[headerSize:]
	value, err = aead.Open(dst, body[:nonceSize], body[nonceSize:], ad)
	return value, ad, err
}

// wrapKey is the stored form of secret under a key that is not one of the keyring's.
func wrapKey(key, storageKey, secret []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	sealed, _ := sealInto(nil, nil, aead, 0, storageKey, secret)
	return sealed, nil
}

// unwrapKey undoes wrapKey. Its error says nothing but that the key is the wrong one or the
// stored form was changed.
func unwrapKey(key, storageKey, sealed []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	if term, ok := termOf(sealed); !ok || term != 0 {
		return nil, fmt.Errorf("%w: %q", ErrUndecryptable, storageKey)
	}
	secret, _, err := openInto(nil, nil, aead, storageKey, sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrUndecryptable, storageKey)
	}
	return secret, nil
}
