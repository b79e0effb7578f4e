package cert_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/cert"
	"jeton/internal/auth/cert/certtest"
	"jeton/internal/backend"
)

type object = map[string]any

const (
	noCertificate = "no client certificate found"
	untrusted     = "invalid certificate or no client certificate supplied"
	noMatch       = "no chain matching all constraints could be found for this login certificate"
)

// bench is a mounted method; it is closed with the test.
func bench(t *testing.T) *authtest.Bench {
	t.Helper()
	b := authtest.New(t, cert.New)
	t.Cleanup(func() {
		if err := b.Backend.(backend.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func ca(t *testing.T, name string) *certtest.Authority {
	return certtest.New(t, name, authtest.Start)
}

// as has the bench's connection show a certificate; nil shows none.
func as(b *authtest.Bench, l *certtest.Leaf) {
	b.TLS = &tls.ConnectionState{}
	if l != nil {
		b.TLS = l.Connection()
	}
}

func entry(t *testing.T, b *authtest.Bench, name string, data object) {
	t.Helper()
	b.Must(t, backend.Update, "certs/"+name, data)
}

func mustLogin(t *testing.T, b *authtest.Bench, l *certtest.Leaf, data object) *backend.Login {
	t.Helper()
	as(b, l)
	login, err := b.Login(t.Context(), "login", data)
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	return login
}

func refused(t *testing.T, b *authtest.Bench, l *certtest.Leaf, text string) {
	t.Helper()
	as(b, l)
	_, err := b.Login(t.Context(), "login", nil)
	authtest.Is(t, err, backend.Invalid, text)
}

// Contract: auth-methods §7, what a login without a certificate is told.
func TestNoCertificate(t *testing.T) {
	b := bench(t)
	b.TLS = nil
	_, err := b.Login(t.Context(), "login", nil)
	authtest.Is(t, err, backend.Invalid, noCertificate)
	refused(t, b, nil, noCertificate)
	refused(t, b, ca(t, "a").Issue("alice"), untrusted)
}

// Contract: auth-methods §7, result: metadata, display name, alias; by CA, with an intermediate.
func TestLogin(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	oid := asn1.ObjectIdentifier{1, 2, 3, 4}
	leaf := root.Below("middle").Issue("Alice", func(c *x509.Certificate) {
		c.SubjectKeyId = []byte{1, 0xab}
		c.ExtraExtensions = []pkix.Extension{certtest.Extension(t, oid, "text"), certtest.Extension(t, asn1.ObjectIdentifier{1, 2, 5}, []byte{0xff, 1})}
	})
	entry(t, b, "Web", object{
		"certificate": root.PEM(), "token_policies": "p,q", "token_ttl": 60, "token_num_uses": 3,
		"allowed_metadata_extensions": "1.2.3.4,1.2.5",
	})
	login := mustLogin(t, b, leaf, nil)
	want := map[string]string{
		"cert_name": "web", "common_name": "Alice", "serial_number": leaf.Cert.SerialNumber.String(), "subject_key_id": "01:ab",
		"authority_key_id": colons(leaf.Cert.AuthorityKeyId), "1-2-3-4": "text", "1-2-5": "ff01",
	}
	if !maps.Equal(login.Metadata, want) {
		t.Errorf("metadata %v, want %v", login.Metadata, want)
	}
	if login.DisplayName != "web" || login.Alias.Name != "Alice" || login.Alias.Metadata != nil || login.NumUses != 3 || login.Terms.TTL != time.Minute {
		t.Errorf("%+v, alias %+v", login, login.Alias)
	}
	b.Must(t, backend.Update, "config", object{"enable_identity_alias_metadata": true})
	entry(t, b, "web", object{"display_name": "the web"})
	login = mustLogin(t, b, leaf, object{"name": "WEB"})
	if login.DisplayName != "the web" || !maps.Equal(login.Alias.Metadata, want) {
		t.Errorf("%+v, alias %+v", login, login.Alias)
	}
	// Without the intermediate there is no chain.
	leaf.Chain = nil
	refused(t, b, leaf, untrusted)
}

func colons(id []byte) string {
	var parts []string
	for _, b := range id {
		parts = append(parts, string("0123456789abcdef"[b>>4])+string("0123456789abcdef"[b&15]))
	}
	return strings.Join(parts, ":")
}

// Contract: auth-methods §7, matching: any within a list, AND between lists; globs; extensions.
func TestConstraints(t *testing.T) {
	root := ca(t, "root")
	text, number := asn1.ObjectIdentifier{1, 2, 3, 4, 5}, asn1.ObjectIdentifier{2, 3, 4}
	uri, err := url.Parse("spiffe://example.org/web")
	if err != nil {
		t.Fatal(err)
	}
	full := root.Issue("web.example.org", func(c *x509.Certificate) {
		c.Subject.OrganizationalUnit = []string{"ops", "dev"}
		c.DNSNames = []string{"a.example.org", "b.example.net"}
		c.EmailAddresses = []string{"web@example.org"}
		c.URIs = []*url.URL{uri}
		c.ExtraExtensions = []pkix.Extension{certtest.Extension(t, text, "a hello"), certtest.Extension(t, number, 7)}
	})
	bare := root.Issue("bare")
	rows := []struct {
		name string
		data object
		leaf *certtest.Leaf
		in   bool
	}{
		{"no constraint", object{}, bare, true},
		{"allowed_names by common name", object{"allowed_names": "x,web.*"}, full, true},
		{"allowed_names by DNS name", object{"allowed_names": "*.net"}, full, true},
		{"allowed_names by e-mail", object{"allowed_names": "*@example.org"}, full, true},
		{"allowed_names not by URI", object{"allowed_names": "spiffe://*"}, full, false},
		{"allowed_common_names", object{"allowed_common_names": []string{"no", "*.example.org"}}, full, true},
		{"allowed_common_names, not the DNS name", object{"allowed_common_names": "a.example.org"}, full, false},
		{"a glob is the whole name", object{"allowed_common_names": "web"}, full, false},
		{"other characters are no pattern", object{"allowed_common_names": "web.example.or?"}, full, false},
		{"allowed_dns_sans: any of them", object{"allowed_dns_sans": "b.*"}, full, true},
		{"allowed_dns_sans without any", object{"allowed_dns_sans": "*"}, bare, false},
		{"allowed_email_sans", object{"allowed_email_sans": "web@*"}, full, true},
		{"allowed_email_sans without any", object{"allowed_email_sans": "*"}, bare, false},
		{"allowed_uri_sans", object{"allowed_uri_sans": "spiffe://example.org/*"}, full, true},
		{"allowed_uri_sans of another", object{"allowed_uri_sans": "spiffe://example.net/*"}, full, false},
		{"allowed_organizational_units: any", object{"allowed_organizational_units": "dev"}, full, true},
		{"allowed_organizational_units of another", object{"allowed_organizational_units": "de"}, full, false},
		{"AND between lists", object{"allowed_dns_sans": "a.*", "allowed_organizational_units": "nobody"}, full, false},
		{"both lists", object{"allowed_dns_sans": "a.*", "allowed_organizational_units": "ops"}, full, true},
		{"required_extensions", object{"required_extensions": "1.2.3.4.5:a*"}, full, true},
		{"required_extensions by exact text", object{"required_extensions": "1.2.3.4.5:a hello"}, full, true},
		{"required_extensions of another text", object{"required_extensions": "1.2.3.4.5:hello"}, full, false},
		{"required_extensions: all must match", object{"required_extensions": []string{"1.2.3.4.5:*", "1.2.3.4.6:*"}}, full, false},
		{"required_extensions that are no text", object{"required_extensions": "2.3.4:*"}, full, false},
		{"required_extensions in hex", object{"required_extensions": "hex:2.3.4:0201*"}, full, true},
		{"required_extensions in upper-case hex", object{"required_extensions": "hex:1.2.3.4.5:13072061*,hex:2.3.4:020107"}, full, false},
		{"required_extensions in hex, both", object{"required_extensions": "hex:1.2.3.4.5:1307612068656C6C6F,hex:2.3.4:020107"}, full, true},
		{"required_extensions without any", object{"required_extensions": "1.2.3.4.5:*"}, bare, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := bench(t)
			row.data["certificate"] = root.PEM()
			entry(t, b, "e", row.data)
			if row.in {
				mustLogin(t, b, row.leaf, nil)
			} else {
				refused(t, b, row.leaf, noMatch)
			}
		})
	}
}

// Contract: auth-methods §7, errors of certs/:name.
func TestEntryErrors(t *testing.T) {
	root := ca(t, "root")
	server := root.Issue("server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	leaf := root.Issue("leaf")
	const badPEM = "failed to parse certificate"
	const noEKU = "nonCA certificates should have TLS client authentication set as an extended key usage"
	rows := []struct {
		name string
		data object
		text string
	}{
		{"no certificate", object{}, badPEM},
		{"nonsense", object{"certificate": "nonsense"}, badPEM},
		{"PEM of nonsense", object{"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, badPEM},
		{"with text after it", object{"certificate": root.PEM() + "nonsense"}, badPEM},
		{"with its private key", object{"certificate": leaf.PEM() + leaf.KeyPEM(t)}, badPEM},
		{"too many", object{"certificate": strings.Repeat(root.PEM(), 101)}, badPEM},
		{"a server's", object{"certificate": server.PEM()}, noEKU},
		{"no usage at all", object{"certificate": root.Issue("x", func(c *x509.Certificate) { c.ExtKeyUsage = nil }).PEM()}, noEKU},
		{"CA and leaf", object{"certificate": root.PEM() + leaf.PEM()}, "a certificate that begins with a CA may hold nothing but CAs"},
		{"ttl above max_ttl", object{"certificate": root.PEM(), "ttl": 20, "max_ttl": 10}, "ttl should be shorter than max_ttl"},
		{"lease above max_ttl", object{"certificate": root.PEM(), "lease": 20, "max_ttl": 10}, "ttl should be shorter than max_ttl"},
		{"token_ttl above token_max_ttl", object{"certificate": root.PEM(), "token_ttl": 20, "token_max_ttl": 10}, "'token_ttl' cannot be greater than 'token_max_ttl'"},
		{"extension without value", object{"certificate": root.PEM(), "required_extensions": "1.2.3"}, "required_extensions: entry 1 is not of the form oid:value or hex:oid:value"},
		{"extension without OID", object{"certificate": root.PEM(), "required_extensions": "1.2.3:a,x:y"}, "required_extensions: entry 2 is not of the form oid:value or hex:oid:value"},
		{"metadata of no OID", object{"certificate": root.PEM(), "allowed_metadata_extensions": "cn"}, "allowed_metadata_extensions: want OIDs such as 1.2.3.4"},
		{"OCSP server of no URL", object{"certificate": root.PEM(), "ocsp_servers_override": "ldap://x"}, "ocsp_servers_override: want URLs that begin with http:// or https://"},
		{"OCSP CA of nonsense", object{"certificate": root.PEM(), "ocsp_ca_certificates": "x"}, "failed to parse certificate in ocsp_ca_certificates"},
		{"OCSP age below zero", object{"certificate": root.PEM(), "ocsp_this_update_max_age": -1}, "ocsp_this_update_max_age cannot be a negative duration"},
		{"OCSP retries without end", object{"certificate": root.PEM(), "ocsp_max_retries": 11}, "ocsp_max_retries must be from 0 to 10"},
	}
	b := bench(t)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b.Refused(t, backend.Update, "certs/e", row.data, backend.Invalid, row.text)
		})
	}
	if keys := b.Keys(t, "certs"); keys != nil {
		t.Errorf("a refused write left %v", keys)
	}
	b.Refused(t, backend.Update, "config", object{"ocsp_cache_size": 1}, backend.Invalid, "invalid cache size, must be >= 2 and <= 100000")
	b.Refused(t, backend.Update, "config", object{"role_cache_size": -2}, backend.Invalid, "invalid role cache size, must be >= -1 and <= 100000")
}

// Contract: auth-methods §7, read-back of certs/:name and config, LIST, DELETE, partial update.
func TestReadBack(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	if b.Must(t, backend.Read, "certs/e", nil) != nil || b.Keys(t, "certs") != nil {
		t.Error("something is there")
	}
	entry(t, b, "e", object{"certificate": root.PEM(), "allowed_names": "a,b", "lease": 60, "policies": "p", "ocsp_this_update_max_age": "1h"})
	entry(t, b, "d", object{"certificate": root.PEM()})
	entry(t, b, "E", object{"allowed_dns_sans": "c", "ocsp_enabled": true})
	got := b.Must(t, backend.Read, "certs/E", nil)
	for key, want := range map[string]any{
		"certificate": root.PEM(), "display_name": "e", "token_ttl": 60.0, "ttl": 60.0, "ocsp_enabled": true, "ocsp_fail_open": false,
		"ocsp_query_all_servers": false, "ocsp_max_retries": 4.0, "ocsp_this_update_max_age": 3600.0, "token_type": "default",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	for key, want := range map[string]int{
		"allowed_names": 2, "allowed_dns_sans": 1, "allowed_common_names": 0, "allowed_email_sans": 0, "allowed_uri_sans": 0,
		"allowed_organizational_units": 0, "required_extensions": 0, "allowed_metadata_extensions": 0, "ocsp_servers_override": 0, "policies": 1,
	} {
		if list, ok := got[key].([]any); !ok || len(list) != want {
			t.Errorf("%s is %v, want %d", key, got[key], want)
		}
	}
	if keys := b.Keys(t, "certs"); !slices.Equal(keys, []string{"d", "e"}) {
		t.Errorf("listed %v", keys)
	}
	if keys := b.Must(t, backend.List, "certs", object{"after": "d", "limit": 1})["keys"].([]any); len(keys) != 1 || keys[0] != "e" {
		t.Errorf("listed %v after d", keys)
	}
	b.Must(t, backend.Delete, "certs/e", nil)
	b.Must(t, backend.Delete, "certs/e", nil)
	mustLogin(t, b, root.Issue("a"), nil)
	b.Must(t, backend.Delete, "certs/d", nil)
	refused(t, b, root.Issue("a"), untrusted)
}

// Contract: auth-methods §7, the settings, each kept when another is written.
func TestConfig(t *testing.T) {
	b := bench(t)
	want := object{
		"disable_binding": false, "enable_identity_alias_metadata": false, "ocsp_cache_size": 100.0, "role_cache_size": 200.0,
		"enable_metadata_on_failures": false, "shared_common_names": false,
	}
	if got := b.Must(t, backend.Read, "config", nil); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	b.Must(t, backend.Update, "config", object{"disable_binding": true, "ocsp_cache_size": 2})
	b.Must(t, backend.Update, "config", object{"role_cache_size": -1, "enable_metadata_on_failures": true})
	want["disable_binding"], want["ocsp_cache_size"], want["role_cache_size"], want["enable_metadata_on_failures"] = true, 2.0, -1.0, true
	if got := b.Must(t, backend.Read, "config", nil); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	as(b, ca(t, "x").Issue("alice"))
	_, err := b.Login(t.Context(), "login", nil)
	if e, ok := err.(*backend.Error); !ok || e.Data.(map[string]string)["common_name"] != "alice" {
		t.Errorf("the certificate is not described: %v", err)
	}
}

// Contract: auth-methods §7, a pinned certificate is compared byte for byte, and is still judged by
// time and use. CVE-2024-2048: the same names, serial, issuer and key id with another key;
// CVE-2025-6037: the same key with another name.
func TestPinnedCVE20242048CVE20256037(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	alice := root.Issue("alice")
	entry(t, b, "alice", object{"certificate": alice.PEM(), "token_policies": "a"})
	mustLogin(t, b, alice, nil)
	if alias := mustLogin(t, b, alice, object{"name": "alice"}).Alias.Name; alias != "alice" {
		t.Errorf("alias %q", alias)
	}
	same := func(c *x509.Certificate) {
		c.SerialNumber = alice.Cert.SerialNumber
		c.NotBefore, c.NotAfter = alice.Cert.NotBefore, alice.Cert.NotAfter
	}
	forged := ca(t, "root") // Names and serial are the authority's to choose: another one can.
	for name, leaf := range map[string]*certtest.Leaf{
		"CVE-2024-2048 another key":                   root.Issue("alice", same),
		"CVE-2024-2048 another authority":             forged.Issue("alice", same, func(c *x509.Certificate) { c.AuthorityKeyId = alice.Cert.AuthorityKeyId }),
		"CVE-2025-6037 the same key and another name": root.IssueFor(alice.Key, "root-admin", same),
		"the same key, another serial":                root.IssueFor(alice.Key, "alice"),
		"self-signed by the same key":                 {Cert: certtest.SelfSigned(t, "alice", authtest.Start, same).Cert, Key: alice.Key},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, b, leaf, untrusted)
			as(b, leaf)
			_, err := b.Login(t.Context(), "login", object{"name": "alice"})
			authtest.Is(t, err, backend.Invalid, untrusted)
		})
	}
	t.Run("the pinned one first, the forged one after it", func(t *testing.T) {
		other := root.Issue("mallory")
		refused(t, b, &certtest.Leaf{Cert: other.Cert, Chain: []*x509.Certificate{alice.Cert}}, untrusted)
	})
	t.Run("expired", func(t *testing.T) {
		b.Clock.Add(31 * 24 * time.Hour)
		refused(t, b, alice, untrusted)
	})
	t.Run("not valid yet", func(t *testing.T) {
		b.Clock.Add(-40 * 24 * time.Hour)
		refused(t, b, alice, untrusted)
	})
}

// Contract: auth-methods §7, time, use and signature of a certificate that a CA vouches for.
func TestCAJudges(t *testing.T) {
	root, other := ca(t, "root"), ca(t, "root")
	b := bench(t)
	entry(t, b, "root", object{"certificate": root.PEM()})
	good := root.Issue("good")
	refused(t, b, other.Issue("good"), untrusted)
	refused(t, b, root.Issue("server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), untrusted)
	refused(t, b, certtest.SelfSigned(t, "self", authtest.Start), untrusted)
	// A client certificate is no authority: what it signs is nobody's.
	fake := certtest.SelfSigned(t, "fake", authtest.Start)
	fake.Chain = []*x509.Certificate{good.Cert}
	refused(t, b, fake, untrusted)
	mustLogin(t, b, good, nil)
	b.Clock.Add(31 * 24 * time.Hour)
	refused(t, b, good, untrusted)
}

// Contract: auth-methods §7, by name or in order; the first full match wins. And token_bound_cidrs.
func TestEntriesInOrder(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	leaf := root.Issue("alice")
	entry(t, b, "a", object{"certificate": root.PEM(), "allowed_common_names": "bob", "token_policies": "a"})
	entry(t, b, "b", object{"certificate": ca(t, "other").PEM(), "token_policies": "b"})
	entry(t, b, "c", object{"certificate": root.PEM(), "token_policies": "c"})
	entry(t, b, "d", object{"certificate": root.PEM(), "token_policies": "d", "token_bound_cidrs": "127.0.0.1"})
	for i := range 70 { // More than a page of others before it.
		entry(t, b, "b"+big.NewInt(int64(i)).String(), object{"certificate": root.PEM(), "allowed_common_names": "bob"})
	}
	if l := mustLogin(t, b, leaf, nil); l.Policies[0] != "c" {
		t.Errorf("logged in by %v", l.Policies)
	}
	if l := mustLogin(t, b, leaf, object{"name": "d"}); l.Policies[0] != "d" || len(l.BoundCIDRs) != 1 {
		t.Errorf("logged in by %v, bound %v", l.Policies, l.BoundCIDRs)
	}
	for name, text := range map[string]string{"a": noMatch, "b": untrusted, "nobody": untrusted, "../c": untrusted} {
		_, err := b.Login(t.Context(), "login", object{"name": name})
		authtest.Is(t, err, backend.Invalid, text)
	}
	entry(t, b, "d", object{"token_bound_cidrs": "10.0.0.0/8"})
	_, err := b.Login(t.Context(), "login", object{"name": "d"})
	authtest.Is(t, err, backend.Denied, "permission denied")
	entry(t, b, "c", object{"allowed_common_names": "bob"})
	_, err = b.Login(t.Context(), "login", nil)
	authtest.Is(t, err, backend.Denied, "permission denied")
}

// Contract: auth-methods §7 [!], an empty common name is a 400.
func TestEmptyCommonName(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "root", object{"certificate": root.PEM()})
	refused(t, b, root.Issue("", func(c *x509.Certificate) { c.DNSNames = []string{"x"} }), "missing name in alias")
}

// Contract: auth-methods §7 [!] and decision 0020: two authorities with one common name.
func TestAliasesOfTwoAuthorities(t *testing.T) {
	one, two := ca(t, "one"), ca(t, "two")
	alias := func(b *authtest.Bench, l *certtest.Leaf, name string) string {
		return mustLogin(t, b, l, object{"name": name}).Alias.Name
	}
	start := func() *authtest.Bench {
		b := bench(t)
		entry(t, b, "one", object{"certificate": one.PEM()})
		entry(t, b, "two", object{"certificate": two.PEM()})
		return b
	}
	t.Run("the second one is not taken for the first", func(t *testing.T) {
		b := start()
		if got := alias(b, one.Issue("alice"), "one"); got != "alice" {
			t.Errorf("the first is %q", got)
		}
		second := alias(b, two.Issue("Alice"), "two")
		if second == "Alice" || !strings.HasPrefix(second, "Alice [") {
			t.Errorf("the second is %q", second)
		}
		if again := alias(b, two.Issue("Alice"), "two"); again != second {
			t.Errorf("then %q", again)
		}
		if got := alias(b, two.Issue("bob"), "two"); got != "bob" {
			t.Errorf("a name of its own is %q", got)
		}
		b.Remount(t)
		if got := alias(b, one.Issue("ALICE"), "one"); got != "ALICE" {
			t.Errorf("the first is %q after a restart", got)
		}
		// Whoever takes the second's name literally does not become it.
		if got := alias(b, one.Issue(second), "one"); got == second {
			t.Error("a common name that reads like a qualified one took it over")
		}
	})
	t.Run("several entries of one authority are one", func(t *testing.T) {
		b := start()
		entry(t, b, "more", object{"certificate": one.PEM(), "token_policies": "more"})
		middle := one.Below("middle")
		entry(t, b, "middle", object{"certificate": middle.PEM()})
		leaf := middle.Issue("alice")
		for _, name := range []string{"one", "more", "middle"} {
			if got := alias(b, leaf, name); got != "alice" {
				t.Errorf("by %s: %q", name, got)
			}
		}
	})
	t.Run("a new key in the same entry is the same authority", func(t *testing.T) {
		b := start()
		alias(b, one.Issue("alice"), "one")
		renewed := one.Renewed()
		entry(t, b, "both", object{"certificate": one.PEM() + renewed.PEM()})
		if got := alias(b, renewed.Issue("alice"), "both"); got != "alice" {
			t.Errorf("side by side: %q", got)
		}
		entry(t, b, "both", object{"certificate": renewed.PEM()})
		if got := alias(b, renewed.Issue("alice"), "both"); got != "alice" {
			t.Errorf("after the old one has gone: %q", got)
		}
		third := one.Renewed()
		entry(t, b, "one", object{"certificate": third.PEM()})
		if got := alias(b, third.Issue("alice"), "one"); got != "alice" {
			t.Errorf("in place of the old one: %q", got)
		}
	})
	t.Run("pinned certificates", func(t *testing.T) {
		b := start()
		alice := one.Issue("alice")
		entry(t, b, "pin", object{"certificate": alice.PEM()})
		entry(t, b, "self", object{"certificate": certtest.SelfSigned(t, "alice", authtest.Start).PEM()})
		if got := alias(b, alice, "pin"); got != "alice" {
			t.Errorf("the pinned one is %q", got)
		}
		if got := alias(b, two.Issue("alice"), "two"); got == "alice" {
			t.Error("another authority's certificate is the pinned one's entity")
		}
	})
	t.Run("shared_common_names is the old way", func(t *testing.T) {
		b := start()
		b.Must(t, backend.Update, "config", object{"shared_common_names": true})
		if a, c := alias(b, one.Issue("alice"), "one"), alias(b, two.Issue("alice"), "two"); a != "alice" || c != "alice" {
			t.Errorf("%q and %q", a, c)
		}
	})
	t.Run("first logins at once", func(t *testing.T) {
		b := start()
		as(b, one.Issue("alice"))
		first, err := b.Do(t.Context(), backend.Update, "login", object{"name": "one"})
		if err != nil {
			t.Fatal(err)
		}
		same, err := b.Do(t.Context(), backend.Update, "login", object{"name": "one"})
		if err != nil {
			t.Fatal(err)
		}
		as(b, two.Issue("alice"))
		other, err := b.Do(t.Context(), backend.Update, "login", object{"name": "two"})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*backend.Response{first, same} {
			if err := b.Store.Update(t.Context(), r.Login.Consume); err != nil {
				t.Errorf("the same authority: %v", err)
			}
		}
		err = b.Store.Update(t.Context(), other.Login.Consume)
		authtest.Is(t, err, backend.Conflict, "what this login was judged by has been changed meanwhile: try again")
	})
	t.Run("a login that brings nothing new writes nothing", func(t *testing.T) {
		b := start()
		alias(b, one.Issue("alice"), "one")
		names := b.Stored(t, "cn/")
		alias(b, one.Issue("alice"), "one")
		if got := b.Stored(t, "cn/"); got != names || names != 1 {
			t.Errorf("%d names, then %d", names, got)
		}
	})
}

// An entry that is deleted or rewritten, or a list that is written, between the proof and the token.
func TestChangedDuringLogin(t *testing.T) {
	const changed = "what this login was judged by has been changed meanwhile: try again"
	root := ca(t, "root")
	for _, row := range []struct {
		name   string
		change func(*authtest.Bench)
		kind   backend.Kind
		text   string
	}{
		{"deleted", func(b *authtest.Bench) { b.Must(t, backend.Delete, "certs/e", nil) }, backend.Invalid, untrusted},
		{"rewritten", func(b *authtest.Bench) { entry(t, b, "e", object{"allowed_common_names": "bob"}) }, backend.Conflict, changed},
		{"a list is written", func(b *authtest.Bench) { b.Must(t, backend.Update, "crls/l", object{"crl": root.CRLPEM()}) }, backend.Conflict, changed},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := bench(t)
			entry(t, b, "e", object{"certificate": root.PEM()})
			as(b, root.Issue("alice"))
			response, err := b.Do(t.Context(), backend.Update, "login", nil)
			if err != nil {
				t.Fatal(err)
			}
			row.change(b)
			authtest.Is(t, b.Store.Update(t.Context(), response.Login.Consume), row.kind, row.text)
		})
	}
}

// CVE-2026-89322: no route takes a name as it is written.
func TestRoutesFoldNames(t *testing.T) {
	for _, route := range bench(t).Backend.Routes() {
		if strings.Contains(route.Pattern, "{name}") {
			t.Errorf("%s takes a name as it is written", route.Pattern)
		}
	}
}

// CVE-2025-4166: no error repeats what was sent.
func TestErrorsRepeatNothing(t *testing.T) {
	const canary = "canary-4711"
	b := bench(t)
	root := ca(t, "root")
	for path, data := range map[string][]object{
		"certs/e": {{"certificate": canary}, {"certificate": root.PEM(), "required_extensions": canary}, {"certificate": root.PEM(), "token_bound_cidrs": canary}, {"certificate": root.PEM(), "ocsp_servers_override": canary}},
		"crls/l":  {{"crl": canary}, {"url": canary}, {"url": "http://u:" + canary + "@127.0.0.1:1/" + canary}},
		"login":   {{"name": canary}, {"name": []string{canary, canary}}},
	} {
		for _, d := range data {
			as(b, root.Issue(canary))
			if _, err := b.Do(t.Context(), backend.Update, path, d); err == nil || bytes.Contains([]byte(err.Error()), []byte("canary")) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}
