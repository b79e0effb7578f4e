package transit

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"jeton/internal/backend"
)

// Sizes of hmac keys, and of the one that every version of another type has, in bytes.
const (
	hmacSize    = 32
	minHMACSize = 32
	maxHMACSize = 512
)

// keyType is one row of the table of contract: secrets §5, key types.
type keyType struct {
	name string
	// size is that of a symmetric key in bytes; aead makes its cipher.
	size int
	aead func(key []byte) (cipher.AEAD, error)
	// curve is an ECDSA key's, bits an RSA key's.
	curve elliptic.Curve
	bits  int
	// shown is what the type is called beside its public keys.
	shown string
}

const (
	typeEd25519 = "ed25519"
	typeHMAC    = "hmac"
)

// typeOf finds a type; false when there is none of that name.
func typeOf(name string) (keyType, bool) {
	for _, t := range []keyType{
		{name: "aes128-gcm96", size: 16, aead: newGCM},
		{name: "aes256-gcm96", size: 32, aead: newGCM},
		{name: "chacha20-poly1305", size: chacha20poly1305.KeySize, aead: chacha20poly1305.New},
		{name: "xchacha20-poly1305", size: chacha20poly1305.KeySize, aead: chacha20poly1305.NewX},
		{name: typeEd25519, size: ed25519.SeedSize, shown: "ed25519"},
		{name: "ecdsa-p256", curve: elliptic.P256(), shown: "P-256"},
		{name: "ecdsa-p384", curve: elliptic.P384(), shown: "P-384"},
		{name: "ecdsa-p521", curve: elliptic.P521(), shown: "P-521"},
		{name: "rsa-2048", bits: 2048, shown: "rsa-2048"},
		{name: "rsa-3072", bits: 3072, shown: "rsa-3072"},
		{name: "rsa-4096", bits: 4096, shown: "rsa-4096"},
		{name: typeHMAC},
	} {
		if t.name == name {
			return t, true
		}
	}
	return keyType{}, false
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (t keyType) encrypts() bool   { return t.aead != nil || t.bits > 0 }
func (t keyType) signs() bool      { return t.asymmetric() }
func (t keyType) derives() bool    { return t.aead != nil || t.name == typeEd25519 }
func (t keyType) asymmetric() bool { return t.shown != "" }

// generate draws the material of a new version. With RSA it takes long: not in a transaction.
func (t keyType) generate(size int, now time.Time) (*versionRecord, error) {
	v := &versionRecord{Created: now.UnixNano()}
	var private any
	var err error
	switch {
	case t.bits > 0:
		private, err = rsa.GenerateKey(rand.Reader, t.bits)
	case t.curve != nil:
		private, err = ecdsa.GenerateKey(t.curve, rand.Reader)
	case t.name == typeHMAC:
		v.Key = random(size)
	default:
		v.Key = random(t.size)
	}
	if err == nil && private != nil {
		v.Key, err = x509.MarshalPKCS8PrivateKey(private)
	}
	if err != nil {
		return nil, fmt.Errorf("transit: make a key: %w", err)
	}
	v.HMAC = v.Key
	if t.name != typeHMAC {
		v.HMAC = random(hmacSize)
	}
	return v, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// material is one version of a key, ready for use. It is immutable.
type material struct {
	number  uint64
	created time.Time
	// secret is a symmetric key or an Ed25519 seed.
	secret []byte
	hmac   []byte
	// private is nil for a symmetric key, an imported public key, and a key that is derived
	// for each context; public is nil for a symmetric or a derived key.
	private crypto.Signer
	public  crypto.PublicKey
}

var errMaterial = errors.New("transit: stored key material is not of the key's type")

// ready makes v, version number of a key of type t, ready for use.
func (t keyType) ready(number uint64, v *versionRecord) (*material, error) {
	m := &material{number: number, created: time.Unix(0, v.Created).UTC(), hmac: v.HMAC}
	switch {
	case v.Public != nil:
		public, err := x509.ParsePKIXPublicKey(v.Public)
		if err != nil {
			return nil, errMaterial
		}
		m.public = public
	case t.name == typeEd25519:
		if len(v.Key) != ed25519.SeedSize {
			return nil, errMaterial
		}
		m.secret = v.Key
		private := ed25519.NewKeyFromSeed(v.Key)
		m.private, m.public = private, private.Public()
	case t.asymmetric():
		private, err := x509.ParsePKCS8PrivateKey(v.Key)
		if err != nil {
			return nil, errMaterial
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			return nil, errMaterial
		}
		m.private, m.public = signer, signer.Public()
	default:
		m.secret = v.Key
	}
	return m, t.fits(m)
}

// fits refuses material of another type.
func (t keyType) fits(m *material) error {
	ok := false
	switch {
	case t.bits > 0:
		public, is := m.public.(*rsa.PublicKey)
		ok = is && public.N.BitLen() == t.bits
	case t.curve != nil:
		public, is := m.public.(*ecdsa.PublicKey)
		ok = is && public.Curve == t.curve
	case t.name == typeEd25519:
		_, ok = m.public.(ed25519.PublicKey)
	case t.name == typeHMAC:
		ok = len(m.secret) >= minHMACSize && len(m.secret) <= maxHMACSize
	default:
		ok = len(m.secret) == t.size
	}
	if !ok {
		return errMaterial
	}
	return nil
}

// subkey is the key for a context: HKDF-SHA256 (RFC 5869) without salt. Contract: secrets §5, derived.
func (m *material) subkey(context []byte, size int) ([]byte, error) {
	if len(m.secret) == 0 {
		// Of nothing, anybody could derive the same.
		return nil, errMaterial
	}
	return hkdf.Key(sha256.New, m.secret, nil, string(context), size)
}

// nonceKey is what the nonces of convergent encryption come from: another key than the one that
// encrypts, for the same context.
func (m *material) nonceKey(context []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, m.secret, []byte("jeton/transit/convergent nonce/1"), string(context), sha256.Size)
}

// forContext is the Ed25519 key of a context.
func (m *material) forContext(context []byte) (*material, error) {
	seed, err := m.subkey(context, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	return &material{number: m.number, created: m.created, hmac: m.hmac, secret: seed, private: private, public: private.Public()}, nil
}

// errNoContext is contract: secrets §5, errors.
var errNoContext = backend.Invalidf("missing 'context' for key derivation; the key was created using a derived key, which means additional, " +
	"per-request information must be included in order to perform operations with the key")
