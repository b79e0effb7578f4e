package idtoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"jeton/internal/backend"
)

// Algorithms are the signatures that keys can make. Contract: identity §6.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// rsaBits is the size of RSA keys: the least that is thought safe until 2030 (NIST SP 800-57).
const rsaBits = 2048

// pair is a key pair as it is stored.
type pair struct {
	// ID is the "kid" of what it signs.
	ID string `cbor:"1,keyasint"`
	// Private is PKCS #8 in DER.
	Private []byte `cbor:"2,keyasint"`
	// Algorithm is one of Algorithms.
	Algorithm string `cbor:"3,keyasint"`
	// Public is the other half, PKIX in DER: strangers ask for it, and reading a private RSA key costs
	// a hundred times as much. Pairs of before have none.
	Public []byte `cbor:"4,keyasint,omitempty"`
}

// generate makes a pair. RSA takes some tenths of a second: not to be done in a transaction.
func generate(algorithm string) (*pair, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case "RS256", "RS384", "RS512":
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, unknownAlgorithm()
	}
	if err != nil {
		return nil, fmt.Errorf("idtoken: make a key pair: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("idtoken: encode a key pair: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("idtoken: encode a public key: %w", err)
	}
	return &pair{ID: uuid.NewString(), Private: der, Algorithm: algorithm, Public: public}, nil
}

func unknownAlgorithm() error {
	return backend.Invalidf("unknown signing algorithm; it is one of %v", Algorithms())
}

func knownAlgorithm(name string) bool { return slices.Contains(Algorithms(), name) }

// signer is the private key. Its errors never carry the bytes.
func (p *pair) signer() (crypto.Signer, error) {
	private, err := x509.ParsePKCS8PrivateKey(p.Private)
	if err != nil {
		return nil, fmt.Errorf("idtoken: the stored key %s cannot be read", p.ID)
	}
	s, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("idtoken: the stored key %s cannot sign", p.ID)
	}
	return s, nil
}

// public is the half that others may see.
func (p *pair) public() (jose.JSONWebKey, error) {
	if len(p.Public) > 0 {
		return published(p.ID, p.Algorithm, p.Public)
	}
	s, err := p.signer()
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	return jose.JSONWebKey{Key: s.Public(), KeyID: p.ID, Algorithm: p.Algorithm, Use: "sig"}, nil
}

// retired is the public half of a pair that signs no more.
type retired struct {
	ID string `cbor:"1,keyasint"`
	// Public is PKIX in DER.
	Public    []byte `cbor:"2,keyasint"`
	Algorithm string `cbor:"3,keyasint"`
	// Until is when the last of what it signed is over, in Unix seconds.
	Until int64 `cbor:"4,keyasint"`
}

// retire drops the private half.
func (p *pair) retire(until int64) (*retired, error) {
	key, err := p.public()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Key)
	if err != nil {
		return nil, fmt.Errorf("idtoken: encode a public key: %w", err)
	}
	return &retired{ID: p.ID, Public: der, Algorithm: p.Algorithm, Until: until}, nil
}

func (r *retired) public() (jose.JSONWebKey, error) { return published(r.ID, r.Algorithm, r.Public) }

// published is a public key as others see it, from PKIX in DER.
func published(id, algorithm string, der []byte) (jose.JSONWebKey, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("idtoken: the stored key %s cannot be read", id)
	}
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: algorithm, Use: "sig"}, nil
}
