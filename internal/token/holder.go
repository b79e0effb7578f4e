package token

import "jeton/internal/store"

// Stored says whether the record of id is in r, a state of the whole store, and has not ended.
// What other rooms keep for a token they must write in a state in which it is, as it is
// erased when the token ends. It is looser than Holds: a request that spends the last use
// still acts for its token.
func (s *Store) Stored(r store.Reader, id ID) (bool, error) {
	t, err := load(s.area.Reading(r), id)
	return t != nil && t.End == nil, err
}
