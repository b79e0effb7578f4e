package transit

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"hash"

	"github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// wrappingBits is the size of the key that imported material is wrapped for. Its public part
// encrypts an AES-256 key with OAEP, and that one the material with AES-KWP (RFC 5649).
const wrappingBits = 4096

// wrappingRecord is that key, in PKCS #8.
type wrappingRecord struct {
	Key []byte `cbor:"1,keyasint,omitempty"`
}

var errImported = backend.Invalidf("imported key does not allow rotation within this server: import a new version")

var errDerivedPublic = backend.Invalidf("keys cannot be derived from a public key")

type wrappingReply struct {
	PublicKey string `json:"public_key"`
}

func (e *engine) readWrappingKey(ctx context.Context, _ *backend.Call, _ *backend.None) (*wrappingReply, error) {
	private, err := e.wrapping(ctx)
	if err != nil {
		return nil, err
	}
	m := material{public: private.Public()}
	text, err := m.publicText()
	return &wrappingReply{text}, err
}

// wrapping is the mount's wrapping key; it is made when it is first asked for.
func (e *engine) wrapping(ctx context.Context) (*rsa.PrivateKey, error) {
	stored, err := e.storedWrapping(ctx)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		private, err := rsa.GenerateKey(rand.Reader, wrappingBits)
		if err != nil {
			return nil, fmt.Errorf("transit: make the wrapping key: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return nil, err
		}
		err = e.area.Update(ctx, func(tx store.Tx) error {
			// Another may have been faster.
			if stored, err = record.Get[wrappingRecord](tx, []byte(wrappingKey)); err != nil || stored != nil {
				return err
			}
			stored = &wrappingRecord{Key: der}
			return record.Put(tx, []byte(wrappingKey), stored)
		})
		if err != nil {
			return nil, err
		}
	}
	private, err := x509.ParsePKCS8PrivateKey(stored.Key)
	if err != nil {
		return nil, errMaterial
	}
	key, ok := private.(*rsa.PrivateKey)
	if !ok {
		return nil, errMaterial
	}
	return key, nil
}

func (e *engine) storedWrapping(ctx context.Context) (stored *wrappingRecord, err error) {
	err = e.area.View(ctx, func(r store.Reader) (err error) {
		stored, err = record.Get[wrappingRecord](r, []byte(wrappingKey))
		return err
	})
	return stored, err
}

// brought is the material of an import.
type brought struct {
	Ciphertext string `json:"ciphertext" doc:"Base64: an AES-256 key encrypted with RSA-OAEP for the wrapping key, then the material wrapped with it by AES-KWP (RFC 5649)."`
	Hash       string `json:"hash_function" default:"SHA256" doc:"That of OAEP: SHA1, SHA224, SHA256, SHA384 or SHA512."`
	PublicKey  string `json:"public_key" doc:"PEM; instead of ciphertext, for a key that only verifies and encrypts."`
}

type importRequest struct {
	traits
	brought
	Name     string `json:"name" doc:"The key's name."`
	Rotation bool   `json:"allow_rotation" doc:"Whether this server may make new versions of the key."`
	Context  string `json:"context" doc:"Accepted for clients that send it; without effect."`
}

func (e *engine) importKey(ctx context.Context, _ *backend.Call, req *importRequest) (*backend.None, error) {
	k, kind, err := req.record()
	if err != nil {
		return nil, err
	}
	if k.Derived && req.PublicKey != "" {
		return nil, errDerivedPublic
	}
	k.Import = imported
	if req.Rotation {
		k.Import = importedRotating
	}
	if k.AutoRotate != 0 && k.Import == imported {
		return nil, errImported
	}
	first, err := e.unwrap(ctx, kind, req.brought)
	if err != nil {
		return nil, err
	}
	defer first.wipe()
	if kind.name == typeHMAC {
		k.Size = len(first.Key)
	}
	made, err := e.add(ctx, req.Name, k, first, e.clock.Now())
	if err == nil && !made {
		err = backend.Invalidf("the import path cannot be used with an existing key; use import-version to rotate an existing imported key")
	}
	return nil, err
}

type importVersionRequest struct {
	brought
	Name    string `json:"name" doc:"The key's name."`
	Version int    `json:"version" doc:"The version of an imported public key to bring the private key of; 0 makes a new version."`
}

func (e *engine) importVersion(ctx context.Context, _ *backend.Call, req *importVersionRequest) (*backend.None, error) {
	u, err := e.use(ctx, req.Name, backend.Invalidf("no key found with that name; to import a new key, use the import endpoint"))
	if err != nil {
		return nil, err
	}
	if u.rec.Import == madeHere {
		return nil, backend.Invalidf("the import_version endpoint can only be used with an imported key")
	}
	if u.rec.Derived && req.PublicKey != "" {
		return nil, errDerivedPublic
	}
	next, err := e.unwrap(ctx, u.typ, req.brought)
	if err != nil {
		return nil, err
	}
	defer next.wipe()
	now := e.clock.Now()
	return nil, e.area.Update(ctx, func(tx store.Tx) error {
		k, err := getKey(tx, req.Name)
		if err != nil {
			return err
		}
		if k == nil || !bytes.Equal(k.ID, u.rec.ID) {
			return errNoSuchKey
		}
		if req.Version != 0 {
			return k.complete(tx, u.typ, req.Version, next)
		}
		after := *k
		if err := addVersion(tx, &after, next); err != nil {
			return err
		}
		after.schedule(now)
		return putKey(tx, req.Name, k, &after)
	})
}

// complete adds the private key to a version of which only the public one is there.
func (k *keyRecord) complete(tx store.Tx, t keyType, n int, private *versionRecord) error {
	if n < 1 || uint64(n) > k.Latest {
		return backend.Invalidf("the key has no such version")
	}
	v, err := record.Get[versionRecord](tx, versionKey(k.ID, uint64(n)))
	if err != nil {
		return err
	}
	if v == nil || v.Public == nil {
		return backend.Invalidf("that version has its private key, or was deleted")
	}
	whole, err := t.ready(uint64(n), private)
	if err != nil {
		return err
	}
	if whole.public == nil || whole.private == nil {
		return backend.Invalidf("a private key is required")
	}
	der, err := x509.MarshalPKIXPublicKey(whole.public)
	if err != nil {
		return err
	}
	if !bytes.Equal(der, v.Public) {
		return backend.Invalidf("the private key does not belong to the public key of that version")
	}
	filled := *private
	filled.Created = v.Created
	return record.Put(tx, versionKey(k.ID, uint64(n)), &filled)
}

var errCiphertext = backend.Invalidf("the ciphertext does not hold a key that is wrapped for this mount's wrapping key")

// unwrap reads what was brought along.
func (e *engine) unwrap(ctx context.Context, t keyType, b brought) (*versionRecord, error) {
	switch {
	case b.Ciphertext == "" && b.PublicKey == "":
		return nil, backend.Invalidf("either public_key or ciphertext must be provided")
	case b.Ciphertext != "" && b.PublicKey != "":
		return nil, backend.Invalidf("only one of public_key and ciphertext can be provided")
	case b.PublicKey != "":
		return e.public(t, b.PublicKey)
	}
	newHash, ok := map[string]func() hash.Hash{"SHA1": sha1.New, "SHA224": sha256.New224, "SHA256": sha256.New, "SHA384": sha512.New384, "SHA512": sha512.New}[b.Hash]
	if !ok {
		return nil, backend.Invalidf("unsupported hash_function: want SHA1, SHA224, SHA256, SHA384 or SHA512")
	}
	wrapped, err := base64.StdEncoding.DecodeString(b.Ciphertext)
	if err != nil {
		return nil, backend.Invalidf("failed to base64-decode ciphertext")
	}
	const size = wrappingBits / 8
	if len(wrapped) <= size {
		return nil, errCiphertext
	}
	private, err := e.wrapping(ctx)
	if err != nil {
		return nil, err
	}
	// One error for both steps: which of the two failed is nobody's business.
	ephemeral, err := rsa.DecryptOAEP(newHash(), nil, private, wrapped[:size], nil)
	if err != nil {
		return nil, errCiphertext
	}
	defer clear(ephemeral)
	kwp, err := subtle.NewKWP(ephemeral)
	if err != nil {
		return nil, errCiphertext
	}
	target, err := kwp.Unwrap(wrapped[size:])
	if err != nil {
		return nil, errCiphertext
	}
	return e.private(t, target)
}

// private makes a version of raw material: a symmetric key as it is, any other in PKCS #8.
func (e *engine) private(t keyType, target []byte) (*versionRecord, error) {
	v := &versionRecord{Created: e.clock.Now().UnixNano(), Key: target, HMAC: random(hmacSize)}
	if t.asymmetric() {
		parsed, err := x509.ParsePKCS8PrivateKey(target)
		if err != nil {
			return nil, backend.Invalidf("the imported key is not in PKCS #8 form")
		}
		if private, ok := parsed.(ed25519.PrivateKey); ok {
			v.Key = private.Seed()
		}
	} else if t.name == typeHMAC {
		v.HMAC = target
	}
	if _, err := t.ready(1, v); err != nil {
		return nil, backend.Invalidf("the imported key is not one of type %s", t.name)
	}
	return v, nil
}

// public makes a version of a public key alone.
func (e *engine) public(t keyType, text string) (*versionRecord, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, backend.Invalidf("public_key is not in PEM form")
	}
	v := &versionRecord{Created: e.clock.Now().UnixNano(), Public: block.Bytes}
	m, err := t.ready(1, v)
	if err != nil {
		return nil, backend.Invalidf("the imported public key is not one of type %s", t.name)
	}
	switch m.public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, backend.Invalidf("the imported public key is not one of type %s", t.name)
	}
	// The canonical form: what is compared later must be the same bytes.
	if v.Public, err = x509.MarshalPKIXPublicKey(m.public); err != nil {
		return nil, err
	}
	return v, nil
}
