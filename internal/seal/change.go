package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// changeTries is how often a change of keys is tried while the store fails.
const changeTries = 3

// durably makes a change that may be made twice, and tries again when the store fails for a
// reason of its own: that may or may not have stored it, and with keys there must be no doubt.
// An error of fn itself ends it at once. When doubt is left the error wraps ErrOutcomeUnknown.
func (k *Keeper) durably(ctx context.Context, fn func(store.Tx) error) error {
	// What a failed try stored comes with no commit to tell of it.
	defer k.generation.Add(1)
	var err error
	for range changeTries {
		var refused error
		err = k.raw.Update(ctx, func(tx store.Tx) error {
			refused = fn(tx)
			return refused
		})
		switch {
		case err == nil:
			return nil
		case refused != nil:
			return refused
		case ctx.Err() != nil, errors.Is(err, store.ErrClosed):
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

// openKeyring opens the stored keyring with the root key, whichever that is.
// REQUIRES: change is held; the keeper is unsealed.
func (k *Keeper) openKeyring(r store.Reader) (*keyringRecord, error) {
	sealed, err := r.Get(keyringKey)
	if err != nil {
		return nil, err
	}
	rec, err := openKeyringRecord(k.root, sealed)
	if errors.Is(err, ErrUndecryptable) && k.nextRoot != nil {
		if rec, err = openKeyringRecord(k.nextRoot, sealed); err == nil {
			clear(k.root)
			k.root, k.nextRoot = k.nextRoot, nil
		}
	}
	return rec, err
}

// promote puts new shares in force and replaces the root key. All
// is one transaction: the old shares open the store until it, the new ones from it on.
// REQUIRES: change is held; the keeper is unsealed.
func (k *Keeper) promote(ctx context.Context, made newShares) error {
	root := newKey()
	wrapped, err := k.wrapRoot(ctx, root, made.key)
	if err != nil {
		return err
	}
	complete := false
	err = k.durably(ctx, func(tx store.Tx) error {
		if before, err := tx.Get(rootKeyKey); err != nil {
			return err
		} else if !bytes.Equal(before, wrapped) {
			rec, err := k.openKeyring(tx)
			if err != nil {
				return err
			}
			defer rec.wipe()
			sealed, err := rec.sealed(root)
			if err != nil {
				return err
			}
			if err := tx.Put(keyringKey, sealed); err != nil {
				return err
			}
		}
		// From here on the same bytes every time: a second run makes the first durable.
		if err := k.putShares(tx, made.set, made.key); err != nil {
			return err
		}
		if err := tx.Put(rootKeyKey, wrapped); err != nil {
			return err
		}
		if err := putBackup(tx, made.backup); err != nil {
			return err
		}
		complete = true
		return tx.Delete(candidateKey)
	})
	switch {
	case err == nil:
		clear(k.root)
		k.root, k.nextRoot = root, nil
	case errors.Is(err, ErrOutcomeUnknown) && complete:
		// The run that came this far has seen which root key was in use before: an older
		// nextRoot is not.
		k.nextRoot = root
	default:
		clear(root)
	}
	return err
}

// wrapRoot is the stored form of the root key: under the seal key, or the Wrapper's.
func (k *Keeper) wrapRoot(ctx context.Context, root, sealKey []byte) ([]byte, error) {
	if k.wrapper != nil {
		wrapped, err := k.wrapper.Wrap(ctx, rootKeyKey, root)
		if err != nil {
			return nil, k.elsewhere("wrap the root key", k.wrapper, err)
		}
		return wrapped, nil
	}
	return wrapKey(sealKey, rootKeyKey, root)
}

// elsewhere is an error of a Wrapper where operators wait for the answer: they have to know what
// the other system said, which is theirs too.
func (k *Keeper) elsewhere(doing string, w Wrapper, err error) error {
	return backend.Errorf(backend.Upstream, "the %s seal could not %s: %s", w.Type(), doing, err).Because(err)
}

// putShares stores the kind of seal, what is known of the shares of key and, with auto-unseal,
// what proves key.
func (k *Keeper) putShares(tx store.Tx, set shareSet, key []byte) error {
	if k.wrapper == nil {
		// Left of a seal that this one took over from.
		if err := tx.Delete(recoveryKey); err != nil {
			return err
		}
	} else {
		proof, err := wrapKey(key, recoveryKey, nil)
		if err != nil {
			return err
		}
		if err := tx.Put(recoveryKey, proof); err != nil {
			return err
		}
	}
	return record.Put(tx, configKey, &configRecord{Type: k.kind(), Set: set})
}
