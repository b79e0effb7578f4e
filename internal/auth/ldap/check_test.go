package ldap_test

import (
	"testing"

	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
)

// The check of all that a mount keeps, with somebody who is locked out.
func TestCheck(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, bySearch(s))
	b.Must(t, backend.Update, "groups/engineers", object{"policies": "build"})
	b.Must(t, backend.Update, "users/bob", object{"policies": "his", "groups": "local"})
	for range 5 {
		refused(t, b, "alice", "wrong")
	}
	b.CheckBites(t)
}
