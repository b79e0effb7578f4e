package cert

import (
	"errors"

	"jeton/internal/backend"
)

// What can be wrong with what was fetched or sent. None repeats it.
var (
	errTooLarge        = errors.New("it is too large")
	errNotCertificates = errors.New("it is no list of certificates in PEM")
	errRedirects       = errors.New("too many redirects")
	errStatus          = errors.New("the server answered with another status than 200")
	errRevoked         = errors.New("the certificate is revoked")
	errForgedList      = errors.New("a revocation list names the certificate's authority and its key, but is not signed by it")
)

// The answers to a login that proves nothing. Contract: auth-methods §7.
func errNoCertificate() *backend.Error { return backend.Invalidf("no client certificate found") }

func errUntrusted() *backend.Error {
	return backend.Invalidf("invalid certificate or no client certificate supplied")
}

func errNoMatch() *backend.Error {
	return backend.Invalidf("no chain matching all constraints could be found for this login certificate")
}
