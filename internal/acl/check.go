package acl

import (
	"bytes"
	"errors"

	"jeton/internal/policy"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Check reports policies in r, a state of the area, that cannot be used: requests of tokens that
// have such a one are refused. It changes nothing. Its error is one of reading the store.
func (s *Store) Check(r store.Reader, report func(what string)) error {
	return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
		name, ok := bytes.CutPrefix(k, policyPrefix)
		if !ok {
			report("a key of no known kind")
			return true, nil
		}
		found, err := record.Get[stored](r, k)
		if err != nil && !errors.Is(err, record.ErrMalformed) {
			return false, err
		}
		if found == nil {
			report("a policy that cannot be read: " + string(name))
			return true, nil
		}
		if _, err := policy.Parse(string(name), found.Text); err != nil {
			report("a policy that cannot be parsed: " + string(name))
		}
		return true, nil
	})
}
