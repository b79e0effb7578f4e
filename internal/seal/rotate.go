package seal

import (
	"context"
	"fmt"

	"jeton/internal/store"
)

// Rotate adds a term to the keyring, which encrypts from then on; what older terms encrypted
// stays readable. Errors: ErrSealed, the store's. When the outcome is unknown the old term goes
// on encrypting, which is right either way.
func (k *Keeper) Rotate(ctx context.Context) error {
	return k.rewriteKeyring(ctx, func(rec *keyringRecord) { rec.addTerm(k.clock.Now()) })
}

// RotateIfDue rotates when the newest term has reached its bounds, and says whether it did.
func (k *Keeper) RotateIfDue(ctx context.Context) (bool, error) {
	u := k.open.Load()
	if u == nil {
		return false, ErrSealed
	}
	r, err := u.ring.load()
	if err != nil || !r.due(k.clock.Now()) {
		return false, err
	}
	return true, k.Rotate(ctx)
}

// Rotation is when the keyring rotates by itself.
func (k *Keeper) Rotation() (Rotation, error) {
	u := k.open.Load()
	if u == nil {
		return Rotation{}, ErrSealed
	}
	r, err := u.ring.load()
	if err != nil {
		return Rotation{}, err
	}
	return r.rotation, nil
}

// SetRotation changes when the keyring rotates by itself (bounds: contract: sys §14).
func (k *Keeper) SetRotation(ctx context.Context, to Rotation) error {
	if err := to.validate(); err != nil {
		return err
	}
	return k.rewriteKeyring(ctx, func(rec *keyringRecord) { rec.Rotation = to })
}

// rewriteKeyring changes the stored keyring, then the one in memory. It starts from what is
// stored, not from memory: an earlier change whose outcome was unknown may be there.
func (k *Keeper) rewriteKeyring(ctx context.Context, change func(*keyringRecord)) error {
	k.change.Lock()
	defer k.change.Unlock()
	u := k.open.Load()
	if u == nil {
		return ErrSealed
	}
	before, err := u.ring.load()
	if err != nil {
		return err
	}
	var next *ring
	err = k.raw.Update(ctx, func(tx store.Tx) error {
		rec, err := k.openKeyring(tx)
		if err != nil {
			return err
		}
		defer rec.wipe()
		change(rec)
		sealed, err := rec.sealed(k.root)
		if err != nil {
			return err
		}
		if next, err = ringOf(rec, countsRecord{}, before); err != nil {
			return err
		}
		return tx.Put(keyringKey, sealed)
	})
	if err != nil {
		return fmt.Errorf("seal: change the keyring: %w", err)
	}
	u.ring.current.Store(next)
	return nil
}
