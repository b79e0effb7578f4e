package ldap_test

import (
	"slices"
	"strings"
	"testing"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
)

const elsewhere = "this write would send the stored bindpass to another server, or with less protection than before (url, starttls, insecure_tls, certificate, tls_min_version): " +
	"add bindpass to the same write"

// Who may write the configuration, and does not know the password of the account that searches, gets it
// sent nowhere: neither to a host of their own nor past TLS. Decision 0027.
func TestStoredBindpassIsSentNowhereElse(t *testing.T) {
	home, foreign := ldaptest.Start(t, ldaptest.Options{}), ldaptest.Start(t, ldaptest.Options{})
	trap := ldaptest.NewRelay(t, foreign.Address())
	before := with(bySearch(home), object{"url": home.SecureURL() + "," + home.URL(), "certificate": home.CA(), "starttls": true})
	for name, row := range map[string]struct {
		write  object
		refuse bool
	}{
		"another host":                        {object{"url": trap.URL()}, true},
		"another host, in clear":              {object{"url": trap.URL(), "starttls": false}, true},
		"another host besides":                {object{"url": home.SecureURL() + "," + trap.URL()}, true},
		"another host, and another account":   {object{"url": trap.URL(), "binddn": "cn=else"}, true},
		"the same host without ldaps":         {object{"url": strings.Replace(home.SecureURL(), "ldaps:", "ldap:", 1)}, true},
		"no StartTLS":                         {object{"starttls": false}, true},
		"no check of certificates":            {object{"insecure_tls": true}, true},
		"another authority":                   {object{"certificate": foreign.CA()}, true},
		"the system's authorities":            {object{"certificate": ""}, true},
		"older TLS":                           {object{"tls_min_version": "tls10"}, true},
		"another host, and no password":       {object{"url": trap.URL(), "bindpass": ""}, false},
		"another host, with a password":       {object{"url": trap.URL(), "bindpass": "theirs"}, false},
		"the same hosts, in another order":    {object{"url": home.URL() + " , " + strings.ToUpper(home.SecureURL())}, false},
		"fewer hosts":                         {object{"url": home.SecureURL()}, false},
		"newer TLS":                           {object{"tls_min_version": "tls13", "tls_max_version": "tls13"}, false},
		"the whole, again, as Terraform does": {before, false},
		"nothing of it":                       {object{"groupdn": "", "token_ttl": 60, "request_timeout": 5}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := mounted(t, before)
			_, err := b.Do(t.Context(), backend.Update, "config", row.write)
			if !row.refuse {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				authtest.Is(t, err, backend.Invalid, elsewhere)
				if read := b.Must(t, backend.Read, "config", nil); read["url"] != before["url"] || read["insecure_tls"] != false {
					t.Errorf("a write that was refused has changed %v", read)
				}
				mustLogin(t, b, "alice")
			}
			_, _ = login(t, b, "alice", "x")
			if secrets := trap.Secrets(); slices.Contains(secrets, ldaptest.ReaderPassword) {
				t.Errorf("the foreign host heard the stored password: %q", secrets)
			}
		})
	}
}

// A password that a rotation made, and the one that came before it, do not go along to another host: not
// even with a password that is given anew, which the host only has to refuse.
func TestRotatedBindpassStaysWithItsDirectory(t *testing.T) {
	home, foreign := ldaptest.Start(t, ldaptest.Options{}), ldaptest.Start(t, ldaptest.Options{})
	relay, trap := ldaptest.NewRelay(t, home.Address()), ldaptest.NewRelay(t, foreign.Address())
	b := mounted(t, with(bySearch(home), object{"url": relay.URL()}))
	if err := rotate(t, b); err != nil {
		t.Fatal(err)
	}
	// A spare one: the account is written with its old password again.
	b.Must(t, backend.Update, "config", object{"bindpass": "an older one"})
	response, err := b.Do(t.Context(), backend.Update, "config", object{"url": trap.URL(), "bindpass": "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	if response == nil || !slices.Contains(response.Warnings, "the password that a rotation gave to binddn is forgotten: it goes to no other server. Where the account is the same, set its password there") {
		t.Errorf("warnings of the write: %v", response)
	}
	_, _ = login(t, b, "alice", "x")
	if secrets := trap.Secrets(); !slices.Equal(secrets, []string{"theirs"}) {
		t.Errorf("the foreign host heard %q, want only what was written for it", secrets)
	}
	if pending(t, b) {
		t.Error("the password of the rotation is stored still")
	}
}

// A move with the true password, also one that a rotation made, is the operator's: nothing is lost.
func TestMoveWithTheTrueBindpass(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	b := mounted(t, bySearch(s))
	b.Must(t, backend.Update, "config", object{"url": relay.URL(), "bindpass": ldaptest.ReaderPassword})
	mustLogin(t, b, "alice")
	if !slices.Contains(relay.Binds(), ldaptest.Reader) {
		t.Error("the new address was not asked")
	}
}
