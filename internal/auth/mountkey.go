package auth

import (
	"context"
	"crypto/rand"
	"errors"

	"jeton/internal/store"
)

// MountKey returns the secret of a mount that is stored at the key at of its area, and makes it,
// size random bytes, the first time. Of two nodes that make one, the first wins.
func MountKey(ctx context.Context, area *store.Area, at []byte, size int) ([]byte, error) {
	var secret []byte
	read := func(r store.Reader) (err error) {
		secret, err = r.Get(at)
		return err
	}
	err := area.View(ctx, read)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return secret, err
	}
	fresh := make([]byte, size)
	rand.Read(fresh)
	err = area.Update(ctx, func(tx store.Tx) error {
		if err := read(tx); err == nil || !errors.Is(err, store.ErrNotFound) {
			return err
		}
		secret = fresh
		return tx.Put(at, fresh)
	})
	return secret, err
}
