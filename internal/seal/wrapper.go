package seal

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"jeton/internal/record"
)

// TypeShamir is the kind of seal that operators open with their shares.
const TypeShamir = "shamir"

// TypeStatic is the kind of seal that a key in the server's surroundings opens.
const TypeStatic = "static"

// Wrapper protects the root key without operators: by a static key today, by a key service
// some day. A Keeper that has one unseals by itself, and the operators' shares are then
// recovery shares: they authorise (rekey, generate-root) but open nothing.
type Wrapper interface {
	// Type is the kind of seal, as sys/seal-status shows it.
	Type() string
	// Wrap encrypts secret and binds it to name.
	Wrap(ctx context.Context, name, secret []byte) ([]byte, error)
	// Unwrap undoes Wrap. stale says that it should be wrapped anew, because the key that
	// it is under is on its way out.
	Unwrap(ctx context.Context, name, wrapped []byte) (secret []byte, stale bool, err error)
}

// Static is the Wrapper of a key that is simply there.
type Static struct {
	current staticKey
	// previous is what the current key replaces; its key is nil when there is none.
	previous staticKey
}

type staticKey struct {
	id  string
	key []byte
}

// NewStatic makes the Wrapper of a 32-byte key that is known by id.
func NewStatic(id string, key []byte) (*Static, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("seal: the static key has %d bytes, not %d", len(key), keySize)
	}
	return &Static{current: staticKey{id, append([]byte(nil), key...)}}, nil
}

// Replacing adds the key that the current one takes over from: what it wrapped still opens,
// and is wrapped anew when it does.
func (s *Static) Replacing(id string, key []byte) (*Static, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("seal: the previous static key has %d bytes, not %d", len(key), keySize)
	}
	if id == s.current.id {
		return nil, errors.New("seal: the static keys have the same id")
	}
	return &Static{current: s.current, previous: staticKey{id, append([]byte(nil), key...)}}, nil
}

// StaticKey reads a key as the configuration names it: `file://PATH`, `env://NAME`, or the
// key itself; in each case as 32 raw bytes, hex or standard base64 (contract: config §5).
// Its errors name the source, never what was found there.
func StaticKey(source string) ([]byte, error) {
	text, from := source, "the configuration"
	if path, ok := strings.CutPrefix(source, "file://"); ok {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("seal: static key: %w", err)
		}
		text, from = string(data), path
	} else if name, ok := strings.CutPrefix(source, "env://"); ok {
		text, from = os.Getenv(name), "environment variable "+name
	}
	if len(text) == keySize {
		return []byte(text), nil
	}
	text = strings.TrimSpace(text)
	if key, err := hex.DecodeString(text); err == nil && len(key) == keySize {
		return key, nil
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == keySize {
		return key, nil
	}
	return nil, fmt.Errorf("seal: static key: %s does not hold %d bytes, raw, hex or base64", from, keySize)
}

// staticRecord is the stored form of what a Static wrapped.
type staticRecord struct {
	KeyID  string `cbor:"1,keyasint,omitempty"`
	Sealed []byte `cbor:"2,keyasint,omitempty"`
}

// Type is TypeStatic.
func (s *Static) Type() string { return TypeStatic }

// Wrap encrypts secret under the current key.
func (s *Static) Wrap(_ context.Context, name, secret []byte) ([]byte, error) {
	sealed, err := wrapKey(s.current.key, name, secret)
	if err != nil {
		return nil, err
	}
	return record.Encode(&staticRecord{KeyID: s.current.id, Sealed: sealed})
}

// Unwrap decrypts what the current or the previous key wrapped. Errors wrap ErrUndecryptable
// where neither fits.
func (s *Static) Unwrap(_ context.Context, name, wrapped []byte) ([]byte, bool, error) {
	var rec staticRecord
	if err := record.Decode(wrapped, &rec); err != nil {
		return nil, false, fmt.Errorf("seal: static: %w", err)
	}
	key, stale := s.current.key, false
	if rec.KeyID != s.current.id {
		if s.previous.key == nil || rec.KeyID != s.previous.id {
			return nil, false, fmt.Errorf("seal: static: the root key is under key id %q, which is not configured: %w", rec.KeyID, ErrUndecryptable)
		}
		key, stale = s.previous.key, true
	}
	secret, err := unwrapKey(key, name, rec.Sealed)
	return secret, stale, err
}
