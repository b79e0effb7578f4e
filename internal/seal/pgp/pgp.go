// Package pgp owns the envelopes that key shares and root tokens travel in: messages that only
// the holder of a PGP key can open. Contract: sys §1, §15, §16.
package pgp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"jeton/internal/backend"
)

// Bounds in bytes. Strangers may send keys too (docs/decisions/0003), and each identity of a key
// costs a verification. A usual key has one to five thousand bytes.
const (
	maxKeySize = 64 << 10
	maxAllKeys = 1 << 20
	// maxHolders is how many keys are taken at all: there are no more shares.
	maxHolders = 255
)

// Key is somebody's public key, able to encrypt when it was parsed.
type Key struct{ entity *openpgp.Entity }

// Parse reads a public key as clients send it, base64 of its binary form, and judges it at now.
// Its errors say what is wrong with the key and never repeat it.
func Parse(text string, now time.Time) (*Key, error) {
	binary, _, err := weigh(text)
	if err != nil {
		return nil, err
	}
	return read(binary, now)
}

// weigh decodes a key and returns the work of verifying it, see bounded. It is cheap.
func weigh(text string) (binary []byte, work int, err error) {
	if base64.StdEncoding.DecodedLen(len(text)) <= maxKeySize+2 {
		binary, err = base64.StdEncoding.DecodeString(text)
	}
	switch {
	case err != nil:
		return nil, 0, backend.Invalidf("error decoding given PGP key: it is not base64")
	case binary == nil || len(binary) > maxKeySize:
		return nil, 0, backend.Invalidf("error parsing given PGP key: it is larger than %d bytes; export it without photos and foreign signatures", maxKeySize)
	}
	work, err = bounded(binary)
	return binary, work, err
}

// read verifies a key that was weighed.
func read(binary []byte, now time.Time) (*Key, error) {
	source := bytes.NewReader(binary)
	packets := packet.NewReader(source)
	entity, err := openpgp.ReadEntity(packets)
	if err != nil {
		return nil, backend.Invalidf("error parsing given PGP key: it is not a PGP public key in binary form").Because(err)
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return nil, backend.Invalidf("error parsing given PGP key: there is more than one key in it")
	}
	k := &Key{entity}
	return k, k.usable(now)
}

// ParseAll reads one key for each holder. All are weighed before any is verified.
func ParseAll(texts []string, now time.Time) ([]*Key, error) {
	if len(texts) > maxHolders {
		return nil, backend.Invalidf("error parsing given PGP key: there are more than %d keys", maxHolders)
	}
	total := 0
	for _, text := range texts {
		total += base64.StdEncoding.DecodedLen(len(text))
	}
	if total > maxAllKeys {
		return nil, backend.Invalidf("error parsing given PGP key: the keys together are larger than %d bytes; export them without photos and foreign signatures", maxAllKeys)
	}
	// numbered says which of several keys an error is about.
	numbered := func(err error, i int) error {
		var known *backend.Error
		if errors.As(err, &known) && len(texts) > 1 {
			return backend.Invalidf("%s (key %d of %d)", known.Text, i+1, len(texts))
		}
		return err
	}
	binaries, all := make([][]byte, len(texts)), 0
	for i, text := range texts {
		binary, work, err := weigh(text)
		if err != nil {
			return nil, numbered(err, i)
		}
		binaries[i], all = binary, all+work
	}
	if all > maxAllWork {
		return nil, backend.Invalidf("error parsing given PGP key: the keys together have too many signatures for keys of their kinds; export minimal ones, or use kinds that are quicker to verify")
	}
	keys := make([]*Key, 0, len(texts))
	for i, binary := range binaries {
		k, err := read(binary, now)
		if err != nil {
			return nil, numbered(err, i)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// clockSkew is how far the clock of who made a key may be ahead of ours.
const clockSkew = 10 * time.Minute

// moment is now, or a little later for a key that has only just been made elsewhere.
func (k *Key) moment(now time.Time) time.Time {
	if made := k.entity.PrimaryKey.CreationTime; made.After(now) && made.Sub(now) <= clockSkew {
		return now.Add(clockSkew)
	}
	return now
}

// usable says why the key cannot encrypt at now, if it cannot.
func (k *Key) usable(now time.Time) error {
	now = k.moment(now)
	if _, ok := k.entity.EncryptionKey(now); ok {
		return nil
	}
	self, _ := k.entity.PrimarySelfSignature()
	switch {
	case k.entity.Revoked(now):
		return k.refused("it has been revoked")
	case self != nil && now.Before(k.entity.PrimaryKey.CreationTime):
		return k.refused("it was made in the future: the clock of this server or of the key's maker is wrong")
	case self != nil && k.entity.PrimaryKey.KeyExpired(self, now):
		return k.refused("it has expired")
	}
	for _, subkey := range k.entity.Subkeys {
		switch {
		case !subkey.PublicKey.PubKeyAlgo.CanEncrypt():
		case subkey.Revoked(now):
			return k.refused("its encryption subkey has been revoked")
		case subkey.Sig != nil && subkey.PublicKey.KeyExpired(subkey.Sig, now):
			return k.refused("its encryption subkey has expired")
		}
	}
	return k.refused("it cannot encrypt: it has no subkey for encryption")
}

func (k *Key) refused(why string) error {
	return backend.Invalidf("error parsing given PGP key: the key %s cannot be used: %s", k.Fingerprint(), why)
}

// Fingerprint is that of the primary key, in lower-case hex.
func (k *Key) Fingerprint() string { return hex.EncodeToString(k.entity.PrimaryKey.Fingerprint) }

// Encrypt makes a binary PGP message that the key's holder can read. It fails when the key is of
// no use any more at now.
func (k *Key) Encrypt(plain []byte, now time.Time) ([]byte, error) {
	if err := k.usable(now); err != nil {
		return nil, err
	}
	now = k.moment(now)
	var message bytes.Buffer
	config := &packet.Config{
		DefaultCipher: packet.CipherAES256,
		Time:          func() time.Time { return now },
		// A share does not get shorter, and its length tells nothing.
		DefaultCompressionAlgo: packet.CompressionNone,
	}
	w, err := openpgp.Encrypt(&message, []*openpgp.Entity{k.entity}, nil, &openpgp.FileHints{IsBinary: true}, config)
	if err != nil {
		return nil, fmt.Errorf("pgp: encrypt: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("pgp: encrypt: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pgp: encrypt: %w", err)
	}
	return message.Bytes(), nil
}
