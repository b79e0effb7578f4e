package pgp

import (
	"bytes"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"jeton/internal/backend"
)

// Bounds on what a key may cost, judged before anything in it is verified: an exponentiation with
// numbers as large as a packet can hold takes minutes.
const (
	// maxNumbers is the bytes of a key's numbers: RSA of 16384 bits and the kinds that withstand
	// quantum computers have about half.
	maxNumbers = 4 << 10
	// maxPrimes is the same for DSA and ElGamal, whose cost grows faster: 4096 bits.
	maxPrimes = 1700
	// maxOwn is the signatures by the key itself, of which each is verified.
	maxOwn = 64
)

// The packets of private keys (RFC 9580 §5).
const (
	tagSecretKey    = 5
	tagSecretSubkey = 7
)

// bounded judges the packets of a key one by one. What cannot be read ends the reading of all of it
// in the same place, and is left for that.
func bounded(binary []byte) error {
	packets := packet.NewOpaqueReader(bytes.NewReader(binary))
	var primary *packet.PublicKey
	own := 0
	for {
		raw, err := packets.Next()
		if err != nil {
			return nil
		}
		if raw.Tag == tagSecretKey || raw.Tag == tagSecretSubkey {
			return backend.Invalidf("error parsing given PGP key: it is a private key; export the public key, and keep this one to yourself")
		}
		p, err := raw.Parse()
		if err != nil {
			continue
		}
		switch p := p.(type) {
		case *packet.PublicKey:
			if len(raw.Contents) > mostOf(p.PubKeyAlgo) {
				return backend.Invalidf("error parsing given PGP key: its numbers are larger than %d bytes", mostOf(p.PubKeyAlgo))
			}
			if primary == nil {
				primary = p
			}
		case *packet.Signature:
			if primary != nil && p.CheckKeyIdOrFingerprint(primary) {
				own++
			}
		}
		if own > maxOwn {
			return backend.Invalidf("error parsing given PGP key: it has more than %d signatures of its own; export a minimal one", maxOwn)
		}
	}
}

func mostOf(kind packet.PublicKeyAlgorithm) int {
	if kind == packet.PubKeyAlgoDSA || kind == packet.PubKeyAlgoElGamal {
		return maxPrimes
	}
	return maxNumbers
}
