package ldap

import (
	"context"
	"errors"

	"jeton/internal/auth"
	"jeton/internal/store"
)

// Where users are searched for, the directory says who is there. Where their DNs are composed, it
// says so to nobody but the user. Who has logged in once is then remembered here, so that the lock
// of a user is told from that of a name that a stranger has made up (decision 0023).

func knownKey(name string) []byte { return []byte(knownPrefix + auth.Canonical(name)) }

// remember notes that name has logged in. It writes once for each user.
func remember(tx store.Tx, name string) error {
	key := knownKey(name)
	if has, err := holds(tx, key); has || err != nil {
		return err
	}
	return tx.Put(key, nil)
}

// knows says that there is such a user: one that has logged in, or to whom an operator gave
// policies or groups here.
func (m *Method) knows(ctx context.Context, name string) (known bool, err error) {
	err = m.area.View(ctx, func(r store.Reader) error {
		loggedIn, err := holds(r, knownKey(name))
		if err != nil {
			return err
		}
		mapped, err := holds(r, userKey(name))
		known = loggedIn || mapped
		return err
	})
	return known, err
}

func holds(r store.Reader, key []byte) (bool, error) {
	_, err := r.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
