package cert_test

import (
	"testing"

	"jeton/internal/backend"
)

// The check of all that a mount keeps.
func TestCheck(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM()})
	alice, bob := root.Issue("alice"), root.Issue("bob")
	mustLogin(t, b, alice, nil)
	root.Revoke(bob)
	b.Must(t, backend.Update, "crls/l", object{"crl": root.CRLPEM()})
	b.Must(t, backend.Update, "config", object{"disable_binding": true})
	b.CheckBites(t)
}
