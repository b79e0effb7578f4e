package seal

import (
	"bytes"
	"context"
	"errors"

	"jeton/internal/store"
)

// UnderSameShares says whether the root key as a snapshot has it is the one in force: then the
// shares that open this server open the snapshot too. A rekey between the two makes it false.
func (k *Keeper) UnderSameShares(ctx context.Context, snapshot []byte) (same bool, err error) {
	err = k.raw.View(ctx, func(r store.Reader) error {
		current, err := r.Get(rootKeyKey)
		if errors.Is(err, store.ErrNotFound) {
			same = false
			return nil
		}
		same = err == nil && bytes.Equal(current, snapshot)
		return err
	})
	return same, err
}

// IsRootKey says whether a key of the raw store is that of the root key's record, which every
// store that was initialised has.
func IsRootKey(key []byte) bool { return bytes.Equal(key, rootKeyKey) }
