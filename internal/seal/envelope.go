package seal

import (
	"context"
	"fmt"

	"jeton/internal/record"
)

// TypeTransit is the kind of seal that the transit engine of another server opens.
const TypeTransit = "transit"

// KeyService is another system that encrypts small things with a key it never gives away.
type KeyService interface {
	// Type is the kind of seal, as sys/seal-status shows it.
	Type() string
	// Encrypt encrypts key.
	Encrypt(ctx context.Context, key []byte) (sealed []byte, err error)
	// Decrypt undoes Encrypt. stale says that the service has a newer key by now.
	Decrypt(ctx context.Context, sealed []byte) (key []byte, stale bool, err error)
}

// Envelope is the Wrapper that a KeyService makes possible: what it protects is encrypted here,
// under a key of its own, and only that key goes to the service. So the service, and whoever
// reads along there, never sees the root key; and the name that it is bound to is bound here,
// whatever the service can do.
type Envelope struct{ service KeyService }

// NewEnvelope makes the Wrapper of a service.
func NewEnvelope(service KeyService) *Envelope { return &Envelope{service} }

// envelopeRecord is the stored form of what an Envelope wrapped.
type envelopeRecord struct {
	// Key is the envelope's key as the service encrypted it.
	Key []byte `cbor:"1,keyasint,omitempty"`
	// Sealed is the secret under the envelope's key.
	Sealed []byte `cbor:"2,keyasint,omitempty"`
}

// Type is the service's.
func (e *Envelope) Type() string { return e.service.Type() }

// Wrap encrypts secret under a fresh key, and that key by the service.
func (e *Envelope) Wrap(ctx context.Context, name, secret []byte) ([]byte, error) {
	key := newKey()
	defer clear(key)
	sealed, err := wrapKey(key, name, secret)
	if err != nil {
		return nil, err
	}
	held, err := e.service.Encrypt(ctx, key)
	if err != nil {
		return nil, err
	}
	return record.Encode(&envelopeRecord{Key: held, Sealed: sealed})
}

// Unwrap asks the service for the envelope's key and decrypts with it.
func (e *Envelope) Unwrap(ctx context.Context, name, wrapped []byte) ([]byte, bool, error) {
	var rec envelopeRecord
	if err := record.Decode(wrapped, &rec); err != nil {
		return nil, false, fmt.Errorf("seal: %s: %w", e.Type(), err)
	}
	key, stale, err := e.service.Decrypt(ctx, rec.Key)
	if err != nil {
		return nil, false, err
	}
	defer clear(key)
	secret, err := unwrapKey(key, name, rec.Sealed)
	return secret, stale, err
}
