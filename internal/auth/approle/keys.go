package approle

import (
	"encoding/binary"
	"strings"
	"time"

	"jeton/internal/mac"
)

// The area of a mount:
//
//	key                              32 random bytes, the HMAC key of this mount
//	role/NAME                        roleRecord
//	id/HASH                          the name of the role whose role id hashes to HASH
//	of/UID/secret/HASH               secretRecord of the secret id that hashes to HASH
//	of/UID/accessor/HASH             accessorRecord of the accessor that hashes to HASH
//	of/UID/used/HASH                 SECONDS of the last login with a secret id without limit
//	of/UID/expiry/SECONDS HASH       empty: when the secret id HASH ends, in order of time
//
// UID is the 16 random bytes that a role gets when it is made, so that all that belongs to a
// role goes with one DeleteRange, and a later role of the same name inherits nothing. HASH is
// 32 bytes of HMAC-SHA256. SECONDS is 8 bytes, big endian, Unix time.
var mountKey = []byte("key")

const (
	rolePrefix   = "role/"
	roleIDPrefix = "id/"
	ownedPrefix  = "of/"

	secretPart   = "/secret/"
	accessorPart = "/accessor/"
	expiryPart   = "/expiry/"

	hashSize = mac.Size
	uidSize  = 16
)

func roleKey(name string) []byte { return []byte(rolePrefix + name) }

func roleIDKey(hash []byte) []byte { return append([]byte(roleIDPrefix), hash...) }

// ownedKey is the prefix of all that belongs to a role.
func ownedKey(uid []byte) []byte {
	key := make([]byte, 0, len(ownedPrefix)+uidSize+len(accessorPart)+8+hashSize)
	return append(append(key, ownedPrefix...), uid...)
}

func secretKey(uid, hash []byte) []byte {
	return append(append(ownedKey(uid), secretPart...), hash...)
}

func accessorKey(uid, hash []byte) []byte {
	return append(append(ownedKey(uid), accessorPart...), hash...)
}

// expiryKey is where the secret id is in the order of time. An empty hash gives the first key
// of that second.
func expiryKey(uid []byte, end time.Time, hash []byte) []byte {
	key := append(ownedKey(uid), expiryPart...)
	key = binary.BigEndian.AppendUint64(key, uint64(end.Unix()))
	return append(key, hash...)
}

// hashes turns what callers present into parts of keys. The HMAC keeps ids out of the keys,
// which are not encrypted, bounds their length, and makes a lookup by key a comparison whose
// time tells nothing. The first byte keeps the kinds of id apart.
type hashes struct{ key *mac.Key }

func (h hashes) of(kind byte, uid []byte, text string) []byte {
	return h.key.Append(make([]byte, 0, hashSize), func(message []byte) []byte {
		return append(append(append(message, kind), uid...), strings.TrimSpace(text)...)
	})
}

// roleID is trimmed, as at login. Contract: auth-methods §2.4.
func (h hashes) roleID(id string) []byte { return h.of('r', nil, id) }

func (h hashes) secret(uid []byte, id string) []byte { return h.of('s', uid, id) }

func (h hashes) accessor(uid []byte, accessor string) []byte { return h.of('a', uid, accessor) }
