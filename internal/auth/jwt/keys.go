package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// mostKeys bounds a key set: a token that names no key is tried with all of them.
const mostKeys = 100

// algorithms are those that a configuration may allow, and what is allowed where it says
// nothing. All have a key pair: with a shared key, who can verify can forge, and a public key
// could be taken for a shared one (CVE-2024-5798). Contract: auth-methods §5.3.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// errUnverified says that no key fits. The reason is not told: it would help to forge.
var errUnverified = errors.New("no known key verifies its signature")

// staticKey is a public key of the configuration.
type staticKey struct {
	key any
	// mark is a hash of the key.
	mark []byte
}

// parsePublicKeys reads PEM texts, each of one key or more. Certificates stand for their keys.
func parsePublicKeys(texts []string) ([]staticKey, error) {
	var keys []staticKey
	for _, text := range texts {
		rest, found := []byte(text), false
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			key, err := parsePublicKey(block)
			if err != nil {
				return nil, err
			}
			der, err := x509.MarshalPKIXPublicKey(key)
			if err != nil {
				return nil, errors.New("the key is of a kind that signs no tokens")
			}
			keys, found = append(keys, staticKey{key, mark("key", string(der))}), true
		}
		if !found {
			return nil, errors.New("no PEM block is in it")
		}
	}
	return keys, nil
}

func parsePublicKey(block *pem.Block) (any, error) {
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		return nil, errors.New("want a PUBLIC KEY, an RSA PUBLIC KEY or a CERTIFICATE")
	}
	if err != nil {
		return nil, errors.New("the PEM block holds no such key")
	}
	switch key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return key, nil
	}
	return nil, errors.New("the key is of a kind that signs no tokens")
}

// mark names a key or a key set in the state of logins.
func mark(kind, what string) []byte {
	sum := sha256.Sum256([]byte(kind + "\x00" + what))
	return sum[:16]
}

// remoteKeys is a key set that another server publishes.
type remoteKeys struct {
	set  *fetched[[]jose.JSONWebKey]
	mark []byte
}

func newRemoteKeys(f fetching, c *clients, address string) *remoteKeys {
	return &remoteKeys{
		mark: mark("jwks", address),
		set:  newFetched(f, func(ctx context.Context) ([]jose.JSONWebKey, error) { return fetchKeys(ctx, c, address) }),
	}
}

// fetchKeys reads a key set. Keys that are no use here are passed over (RFC 7517 §5): those
// of other algorithms, for encryption, and shared ones.
func fetchKeys(ctx context.Context, c *clients, address string) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := c.document(ctx, address, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil || len(set.Keys) > mostKeys {
		return nil, errForm
	}
	keys := []jose.JSONWebKey{}
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(text, &key); err != nil {
			continue
		}
		if key.Valid() && key.IsPublic() && key.Use != "enc" {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// verify returns what is signed. A key that is not known is asked for.
func (k *remoteKeys) verify(ctx context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
	keys, err := k.set.get(ctx)
	if err != nil {
		return nil, away(err)
	}
	payload, known := try(keys, jws)
	if payload != nil {
		return payload, nil
	}
	if known {
		return nil, errUnverified
	}
	keys, err = k.set.again(ctx)
	if err != nil {
		return nil, away(err)
	}
	if payload, _ = try(keys, jws); payload != nil {
		return payload, nil
	}
	return nil, errUnverified
}

// try tries the keys that the token may mean. known says that it named one that is here.
// Whatever else a header says (jwk, jku, x5u) is the sender's word and counts for nothing.
func try(keys []jose.JSONWebKey, jws *jose.JSONWebSignature) (payload []byte, known bool) {
	header := jws.Signatures[0].Protected
	for i := range keys {
		key := &keys[i]
		if header.KeyID != "" && key.KeyID != header.KeyID {
			continue
		}
		known = known || header.KeyID != ""
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, true
		}
	}
	return nil, known
}

// parseAlgorithms reads jwt_supported_algs.
func parseAlgorithms(names []string) ([]jose.SignatureAlgorithm, error) {
	if len(names) == 0 {
		return algorithms(), nil
	}
	allowed := make([]jose.SignatureAlgorithm, len(names))
	for i, name := range names {
		allowed[i] = jose.SignatureAlgorithm(name)
		if !slices.Contains(algorithms(), allowed[i]) {
			return nil, errors.New("want some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA")
		}
	}
	return allowed, nil
}
