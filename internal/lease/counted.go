package lease

import (
	"jeton/internal/backend"
	"jeton/internal/store"
)

// Quotas bound how many leases a path may have. A lease counts until its engine has taken the
// secret back: until then the secret is of use to somebody.
type Quotas interface {
	// Enter counts a new lease of path inside tx, a transaction of the whole store, or refuses
	// it with an error of kind TooMany; with always it counts it in any case.
	Enter(tx store.Tx, path string, always bool) error
	// Leave counts its end.
	Leave(tx store.Tx, path string) error
}

// add stores a new lease inside tx, a transaction of the whole store, and counts it.
func (s *Store) add(tx store.Tx, l *Lease) error {
	if s.quotas != nil {
		if err := s.quotas.Enter(tx, l.Path(), false); err != nil {
			return err
		}
	}
	return put(s.area.Within(tx), nil, l)
}

// remove is the end of a lease, inside tx, a transaction of the whole store.
func (s *Store) remove(tx store.Tx, l *Lease) error {
	if s.quotas != nil {
		if err := s.quotas.Leave(tx, l.Path()); err != nil {
			return err
		}
	}
	return put(s.area.Within(tx), l, nil)
}

// CountIn counts the leases whose paths are in a scope, in r, a state of the whole store.
func (s *Store) CountIn(r store.Reader, scope backend.Scope) (n int64, err error) {
	prefix, _ := scope.Prefix()
	in := store.PrefixRange(recordOf(prefix))
	in.KeysOnly = true
	err = s.area.Reading(r).Scan(in, func(k, _ []byte) (bool, error) {
		l := Lease{ID: idFrom(k, recordHead)}
		if scope.Rank(l.Path()) >= 0 {
			n++
		}
		return true, nil
	})
	return n, err
}
