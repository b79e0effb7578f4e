package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"jeton/internal/backend"
	"jeton/internal/mac"
	"jeton/internal/record"
)

// What tokens look like on the wire. A service token's body is base64url of
//
//	version (1) | position (8, big-endian) | random (30) | HMAC-SHA256 of what precedes (32)
//
// 95 characters, the length that scanners for leaked secrets know. A token that this server
// did not make is refused by its HMAC before any storage is touched. The position is the
// commit that stored the token: a node that has not seen that commit yet knows that it lags.
const (
	servicePrefix = "hvs."
	batchPrefix   = "hvb."

	textVersion  = 1
	textRandom   = 30
	textSigned   = 1 + 8 + textRandom
	textBody     = textSigned + mac.Size
	serviceChars = (textBody*8 + 5) / 6

	// plainChars is the length of the random part of a root token ("hvs." and 24 of base62),
	// and of an accessor. Contract: tokens §1.2, §1.5.
	plainChars = 24
	// maxText bounds what is looked at.
	maxText = 16 << 10
)

// texts makes and reads tokens as clients hold them.
type texts struct {
	sign, hash *mac.Key
	// names turns ids into accessors and back: a permutation of blocks of the size of an id.
	names cipher.Block
	// batch seals the records of batch tokens; XChaCha20-Poly1305, because its nonce is long
	// enough to be random for ever under one key, which AES-GCM's is not.
	batch cipher.AEAD
	// strict decodes no text that it would not have written.
	strict *base64.Encoding
}

func newTexts(derive func(purpose string) [32]byte) (*texts, error) {
	batchKey := derive("token/batch")
	batch, err := chacha20poly1305.NewX(batchKey[:])
	if err != nil {
		return nil, fmt.Errorf("token: batch cipher: %w", err)
	}
	signKey, hashKey, nameKey := derive("token/sign"), derive("token/hash"), derive("token/accessor")
	names, err := aes.NewCipher(nameKey[:])
	if err != nil {
		return nil, fmt.Errorf("token: accessor cipher: %w", err)
	}
	return &texts{names: names, sign: mac.NewKey(signKey[:]), hash: mac.NewKey(hashKey[:]), batch: batch, strict: base64.RawURLEncoding.Strict()}, nil
}

// placed is how many bytes of an id are the position of the commit that stored the token.
const placed = 6

// id is what the store knows a token by: where its text has a position, that and then the text's
// keyed hash, else the hash alone. Tokens that are made together so lie together: a record and
// what points to it then cost a third of what keys at random places cost to write and to merge.
// Ten bytes of the hash are left, which have to tell apart only what one commit stored.
func (x *texts) id(text string) ID {
	id := x.unplacedID(text)
	if position, ok := positionOf(text); ok {
		var be [8]byte
		binary.BigEndian.PutUint64(be[:], position)
		copy(id[:placed], be[len(be)-placed:])
	}
	return id
}

// unplacedID is the keyed hash of a token's text: the id of a token whose text has no position,
// and of one that was stored before ids had places.
func (x *texts) unplacedID(text string) ID { return x.keyed("token", text) }

// positionOf is the commit position that the text of a service token has. It is not proved.
func positionOf(text string) (position uint64, ok bool) {
	if len(text) != len(servicePrefix)+serviceChars || !strings.HasPrefix(text, servicePrefix) {
		return 0, false
	}
	// Twelve characters are nine bytes: the version and the position.
	var head [9]byte
	n, err := base64.RawURLEncoding.Decode(head[:], []byte(text[len(servicePrefix):len(servicePrefix)+12]))
	return binary.BigEndian.Uint64(head[1:]), err == nil && n == len(head)
}

func (x *texts) keyed(what, text string) ID {
	var sum [mac.Size]byte
	return ID(x.hash.Append(sum[:0], func(m []byte) []byte { return append(append(append(m, what...), 0), text...) })[:len(ID{})])
}

// randomness is what makes a service token unguessable.
type randomness [textRandom]byte

func newRandomness() (r randomness) {
	// crypto/rand.Read never fails: the program ends when the system has no randomness.
	_, _ = rand.Read(r[:])
	return r
}

// service writes a service token stored by commit position.
func (x *texts) service(r randomness, position uint64) string {
	var body [textBody]byte
	body[0] = textVersion
	binary.BigEndian.PutUint64(body[1:9], position)
	copy(body[9:textSigned], r[:])
	x.signature(body[:textSigned], body[textSigned:textSigned])
	var text [len(servicePrefix) + serviceChars]byte
	copy(text[:], servicePrefix)
	base64.RawURLEncoding.Encode(text[len(servicePrefix):], body[:])
	return string(text[:])
}

func (x *texts) signature(signed, into []byte) []byte {
	return x.sign.Append(into, func(m []byte) []byte { return append(m, signed...) })
}

// plausible says whether a presented text can name a stored token at all. It touches no storage.
func (x *texts) plausible(text string) bool {
	if text == "" || len(text) > maxText {
		return false
	}
	body, isService := strings.CutPrefix(text, servicePrefix)
	if !isService {
		// A custom id has no dot; everything else with one was never issued here.
		return !strings.Contains(text, ".")
	}
	if len(body) == plainChars {
		return isBase62(body)
	}
	if len(body) != serviceChars {
		return false
	}
	var raw [textBody]byte
	if n, err := x.strict.Decode(raw[:], []byte(body)); err != nil || n != textBody {
		return false
	}
	var sum [mac.Size]byte
	return raw[0] == textVersion && subtle.ConstantTimeCompare(x.signature(raw[:textSigned], sum[:0]), raw[textSigned:]) == 1
}

// sealBatch writes a batch token: the record itself, sealed.
func (x *texts) sealBatch(t *Token) (string, error) {
	plain, err := record.Encode(t)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, x.batch.NonceSize(), x.batch.NonceSize()+len(plain)+x.batch.Overhead())
	_, _ = rand.Read(nonce)
	sealed := x.batch.Seal(nonce, nonce, plain, []byte(batchPrefix))
	text := batchPrefix + base64.RawURLEncoding.EncodeToString(sealed)
	if len(text) > maxText {
		return "", backend.Invalidf("a batch token carries all its data, and this is more than one can hold")
	}
	return text, nil
}

// openBatch reads a batch token; nil when this server did not make it.
func (x *texts) openBatch(text string) *Token {
	body, ok := strings.CutPrefix(text, batchPrefix)
	// The decoder passes over line breaks: with them one token would have many texts.
	if !ok || len(text) > maxText || strings.ContainsAny(body, "\r\n") {
		return nil
	}
	sealed, err := x.strict.DecodeString(body)
	if err != nil || len(sealed) < x.batch.NonceSize() {
		return nil
	}
	nonce, box := sealed[:x.batch.NonceSize()], sealed[x.batch.NonceSize():]
	plain, err := x.batch.Open(nil, nonce, box, []byte(batchPrefix))
	if err != nil {
		return nil
	}
	t := new(Token)
	if record.Decode(plain, t) != nil || !t.Batch {
		return nil
	}
	return t
}

// equalMAC compares in constant time.
func equalMAC(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomBase62 is n characters of uniform base62.
func randomBase62(n int) string {
	// 248 is the greatest multiple of 62 that a byte holds: greater bytes would favour some letters.
	const fair = 248
	out := make([]byte, 0, n)
	var buf [64]byte
	for {
		_, _ = rand.Read(buf[:])
		for _, b := range buf {
			if b >= fair {
				continue
			}
			if out = append(out, base62[b%62]); len(out) == n {
				return string(out)
			}
		}
	}
}

func isBase62(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// newRootText is a root token: its length is part of the generate-root protocol.
func newRootText() string { return servicePrefix + randomBase62(plainChars) }
