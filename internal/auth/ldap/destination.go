package ldap

import (
	"slices"
	"strings"

	"jeton/internal/backend"
)

// The password of the account that searches cannot be read back. Who may write the configuration must not
// get it by having it sent to a host of their own (decision 0027).

var errElsewhere = backend.Invalidf("this write would send the stored bindpass to another server, or with less protection than before " +
	"(url, starttls, insecure_tls, certificate, tls_min_version): add bindpass to the same write")

// holdsPassword says that a password is stored, be it one that is tried last.
func (s *serviceRecord) holdsPassword() bool {
	return slices.ContainsFunc(s.passwords(), func(p string) bool { return p != "" })
}

// keepAtHome judges c, written over before. Where it leads elsewhere, what before stored stays behind: the
// password has to be given anew, and those of rotations, which nobody can give, are forgotten.
// forgotten says that there was one.
func (c *configRecord) keepAtHome(before *configRecord, given *string) (forgotten bool, err error) {
	stored := &before.Service
	if !stored.holdsPassword() || c.Server.within(&before.Server) {
		return false, nil
	}
	if given == nil {
		return false, errElsewhere
	}
	forgotten = (stored.Rotated || len(stored.passwords()) > 1) && !samePassword(*given, stored.Password)
	c.Service = serviceRecord{BindDN: c.Service.BindDN, Password: *given, Rotated: stored.Rotated && samePassword(*given, stored.Password)}
	return forgotten, nil
}

// within says that s talks to no server that before does not talk to, and to none with less protection.
// Addresses that cannot be parsed are judged elsewhere; those of before were, when they were written.
func (s *serverRecord) within(before *serverRecord) bool {
	now, _ := parseURLs((&configRecord{Server: *s}).urls())
	known, _ := parseURLs((&configRecord{Server: *before}).urls())
	for _, a := range now {
		same := func(b address) bool { return a.host == b.host && a.port == b.port && (a.tls || !b.tls) }
		i := slices.IndexFunc(known, same)
		if i < 0 || !s.protects(a, before, known[i]) {
			return false
		}
	}
	return true
}

// protects says that a connection to a is protected no less than one to b was.
func (s *serverRecord) protects(a address, before *serverRecord, b address) bool {
	switch {
	case !b.tls && !before.StartTLS:
		return true // It was in clear.
	case !a.tls && !s.StartTLS, tlsVersions[s.TLSMin] < tlsVersions[before.TLSMin]:
		return false
	case before.InsecureTLS:
		return true // Anybody could have answered.
	}
	return !s.InsecureTLS && strings.TrimSpace(s.Certificate) == strings.TrimSpace(before.Certificate)
}
