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
	// maxOwn is the signatures that are verified, those within others included.
	maxOwn = 64
	// maxPackets is how many packets are looked at.
	maxPackets = 512
	// maxName is the bytes of a user's name, which every signature on it hashes again. GnuPG has the same.
	maxName = 2 << 10
)

// Work is what verifying costs, in tenths of a millisecond of a slow processor.
const (
	// maxKeyWork is for one key: ten signatures of the dearest curves, or all of maxOwn of RSA.
	maxKeyWork = 2_000
	// maxAllWork is for all keys of a request: some twenty holders with dear keys, or as many as there
	// can be with usual ones.
	maxAllWork = 12_000
)

// The packets of private keys (RFC 9580 §5).
const (
	tagSecretKey    = 5
	tagSecretSubkey = 7
)

// bounded judges the packets of a key one by one, and returns the work of verifying it. What cannot be
// read ends the reading of all of it in the same place, and is left for that.
func bounded(binary []byte) (work int, err error) {
	packets := packet.NewOpaqueReader(bytes.NewReader(binary))
	var k parts
	for n := 0; ; n++ {
		raw, err := packets.Next()
		if err != nil {
			break
		}
		if n == maxPackets {
			return 0, backend.Invalidf("error parsing given PGP key: it has more than %d parts; export a minimal one", maxPackets)
		}
		if raw.Tag == tagSecretKey || raw.Tag == tagSecretSubkey {
			return 0, backend.Invalidf("error parsing given PGP key: it is a private key; export the public key, and keep this one to yourself")
		}
		p, err := raw.Parse()
		if err != nil {
			continue
		}
		if err := k.take(p, len(raw.Contents)); err != nil {
			return 0, err
		}
	}
	if work = k.verified * k.dearest; work > maxKeyWork {
		return 0, backend.Invalidf("error parsing given PGP key: it has too many signatures for a key of its kind; export a minimal one")
	}
	return work, nil
}

// parts is what was seen of a key.
type parts struct {
	primary *packet.PublicKey
	// verified counts the signatures that are verified, dearest is the work of one by any key in it.
	verified, dearest int
}

func (k *parts) take(p packet.Packet, size int) error {
	switch p := p.(type) {
	case *packet.PublicKey:
		if size > mostOf(p.PubKeyAlgo) {
			return backend.Invalidf("error parsing given PGP key: its numbers are larger than %d bytes", mostOf(p.PubKeyAlgo))
		}
		if p.CanSign() {
			k.dearest = max(k.dearest, workOf(p, size))
		}
		if k.primary == nil {
			k.primary = p
		}
	case *packet.UserId:
		if len(p.Id) > maxName {
			return backend.Invalidf("error parsing given PGP key: a name in it is longer than %d bytes", maxName)
		}
	case *packet.Signature:
		if !k.foreign(p) {
			k.verified++
		}
		if p.EmbeddedSignature != nil {
			k.verified++
		}
	}
	if k.verified > maxOwn {
		return backend.Invalidf("error parsing given PGP key: it has more than %d signatures of its own; export a minimal one", maxOwn)
	}
	return nil
}

// foreign says that a signature is kept and not verified: somebody else's on a name. Those on subkeys,
// and revocations, are verified whoever they say they are from.
func (k *parts) foreign(s *packet.Signature) bool {
	switch s.SigType {
	case packet.SigTypeGenericCert, packet.SigTypePersonaCert, packet.SigTypeCasualCert, packet.SigTypePositiveCert, packet.SigTypeCertificationRevocation:
		return k.primary != nil && !s.CheckKeyIdOrFingerprint(k.primary)
	}
	return false
}

// workOf is the work of verifying one signature by p, whose numbers have size bytes; measured, with
// the library's own arithmetic, and rounded up.
func workOf(p *packet.PublicKey, size int) int {
	square := func(n int) int { return 1 + n*n }
	switch p.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		return square(size / 256)
	case packet.PubKeyAlgoDSA:
		return square(size / 150)
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519, packet.PubKeyAlgoEd448:
		return 5
	case packet.PubKeyAlgoECDSA:
		switch curve, _ := p.Curve(); curve {
		case packet.CurveNistP256:
			return 5
		case packet.CurveNistP384:
			return 60
		}
		return 200
	}
	return 50 // Those that withstand quantum computers.
}

func mostOf(kind packet.PublicKeyAlgorithm) int {
	if kind == packet.PubKeyAlgoDSA || kind == packet.PubKeyAlgoElGamal {
		return maxPrimes
	}
	return maxNumbers
}
