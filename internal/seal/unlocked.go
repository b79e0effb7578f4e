package seal

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"jeton/internal/store"
)

// Unlocked is what an open seal gives: the encrypting store and keys derived from the seal's
// own secret. After Seal all of it fails with ErrSealed.
type Unlocked struct {
	// Store is the encrypted view of the whole store.
	Store store.Store
	ring  *Keyring
}

// Keyring is the keyring behind Store.
func (u *Unlocked) Keyring() *Keyring { return u.ring }

// DeriveKey gives the key for a purpose ("token ids", say): always the same one for the same
// purpose, whatever is rotated or rekeyed, and unrelated to that of any other. It is for
// values that must be found again, such as hashes in storage keys.
func (u *Unlocked) DeriveKey(purpose string) ([32]byte, error) {
	var key [32]byte
	r, err := u.ring.load()
	if err != nil {
		return key, err
	}
	// The secret is uniform, so HKDF's extraction would add nothing.
	derived, err := hkdf.Expand(sha256.New, r.secret, "jeton/derive/1\x00"+purpose, len(key))
	if err != nil {
		return key, fmt.Errorf("seal: derive: %w", err)
	}
	copy(key[:], derived)
	clear(derived)
	return key, nil
}

// inTx is a store that lives inside one transaction: what is done by its Update becomes
// durable with that transaction or not at all. Init uses it so that rooms which know only a
// store.Store take part in the one transaction that makes the keys.
type inTx struct {
	tx store.Tx
	// failed is the first error of an Update, whose writes cannot be taken back alone: the
	// whole transaction must fail with it.
	failed error
}

func (s *inTx) View(ctx context.Context, fn func(store.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(s.tx)
}

func (s *inTx) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := fn(s.tx)
	s.failed = errors.Join(s.failed, err)
	return err
}

// Subscribe never calls fn: nothing commits while the store exists.
func (s *inTx) Subscribe(func(store.Commit)) (cancel func()) { return func() {} }

func (s *inTx) Close() error { return nil }
