package auth

import (
	"errors"

	"jeton/internal/record"
	"jeton/internal/store"
)

// CheckEach is the walk of a method's own check (backend.Checker). judge says what is wrong with
// what is kept at k, "" for nothing; an error that wraps record.ErrMalformed is reported, too.
func CheckEach(r store.Reader, judge func(k []byte) (what string, err error), report func(what string)) error {
	return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
		what, err := judge(k)
		if errors.Is(err, record.ErrMalformed) {
			what, err = "a record that cannot be read", nil
		}
		if what != "" {
			report(what)
		}
		return true, err
	})
}

// What the checks of several methods find.
const (
	StrangeKey   = "a key of no known kind"
	UselessRole  = "a role that cannot log in anybody"
	UselessSetup = "a configuration that cannot be used"
)
