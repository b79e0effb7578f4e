package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// hashPrefix stands before the 64 hex digits of every hash.
const hashPrefix = "hmac-sha256:"

// newMAC returns the hash of a device. The key is the salt's text (the 36 ASCII characters of a
// UUID, not its 16 bytes), as in Vault: one can then move a salt between the two and still find
// old lines. Contract: audit §6.
func newMAC(salt string) hash.Hash { return hmac.New(sha256.New, []byte(salt)) }

// appendHash appends the hash of value to dst. mac is used and left dirty, sum is its scratch.
func appendHash(dst []byte, mac hash.Hash, sum *[sha256.Size]byte, value []byte) []byte {
	mac.Reset()
	mac.Write(value)
	dst = append(dst, hashPrefix...)
	return hex.AppendEncode(dst, mac.Sum(sum[:0]))
}

// hashText is the hash of one value, for audit-hash.
func hashText(salt, value string) string {
	var sum [sha256.Size]byte
	return string(appendHash(nil, newMAC(salt), &sum, []byte(value)))
}
