package ldap_test

import (
	"net/netip"
	"strings"
	"testing"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/ldap"
	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
)

// Contract: auth-methods §4.1, "GET before any write returns defaults with 200".
func TestConfigDefaults(t *testing.T) {
	b := authtest.New(t, ldap.Refusing(0))
	got := b.Must(t, backend.Read, "config", nil)
	want := object{
		"url": "ldap://127.0.0.1", "userdn": "", "groupdn": "", "binddn": "", "upndomain": "", "userattr": "cn",
		"userfilter":  "({{.UserAttr}}={{.Username}})",
		"groupfilter": "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))", "groupattr": "cn",
		"discoverdn": false, "starttls": false, "insecure_tls": false, "use_token_groups": false, "anonymous_group_search": false,
		"username_as_alias": false, "deny_null_bind": true, "case_sensitive_names": false, "tls_min_version": "tls12", "tls_max_version": "tls12",
		"certificate": "", "request_timeout": 90.0, "connection_timeout": 30.0, "dereference_aliases": "never", "max_page_size": 0.0,
		"use_pre111_group_cn_behavior": false, "enable_samaccountname_login": false, "token_type": "default", "token_ttl": 0.0,
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s reads as %v, want %v", key, got[key], value)
		}
	}
	for _, key := range []string{"bindpass", "client_tls_cert", "client_tls_key"} {
		if _, ok := got[key]; ok {
			t.Errorf("%s is read back", key)
		}
	}
	// Nobody's password goes to whoever listens on the default address.
	_, err := login(t, b, "alice", "x")
	authtest.Is(t, err, backend.Invalid, "ldap backend not configured")
}

// Contract: auth-methods §4.1, the error texts; none repeats what was sent (CVE-2026-115358).
func TestConfigErrors(t *testing.T) {
	const canary = "canary-4711"
	rows := []struct {
		name string
		data object
		text string
	}{
		{"tls_min_version", object{"tls_min_version": canary}, "invalid 'tls_min_version'"},
		{"tls_max_version", object{"tls_max_version": canary}, "invalid 'tls_max_version'"},
		{"max below min", object{"tls_min_version": "tls13", "tls_max_version": "tls12"}, "'tls_max_version' must be greater than or equal to 'tls_min_version'"},
		{"half a client certificate", object{"client_tls_cert": canary}, "both client_tls_cert and client_tls_key must be set"},
		{"the other half", object{"client_tls_key": canary}, "both client_tls_cert and client_tls_key must be set"},
		{"bad client certificate", object{"client_tls_cert": canary, "client_tls_key": canary}, "failed to parse client X509 key pair: the certificate and the key are not PEM, or do not belong together"},
		{"certificate", object{"certificate": canary}, "failed to parse server tls cert: failed to decode PEM block in the certificate"},
		{"PEM, but no certificate", object{"certificate": "-----BEGIN X-----\nAA==\n-----END X-----\n"}, "failed to parse server tls cert: there is no certificate in it, or none that is well-formed (a negative serial number is not)"},
		{"userfilter", object{"userfilter": "({{.Nope" + canary}, "invalid userfilter: it is not a well-formed template of names such as {{.Username}}"},
		{"userfilter with a function", object{"userfilter": `(uid={{printf "%99999999d" 1}})`}, "invalid userfilter: it is not a well-formed template of names such as {{.Username}}"},
		{"userfilter cuts escapes", object{"userfilter": `(uid={{slice .Username 0 2}})`}, "invalid userfilter: it is not a well-formed template of names such as {{.Username}}"},
		{"userfilter with an unknown name", object{"userfilter": "(uid={{.UserDN}})"}, "invalid userfilter: what it makes is not an LDAP filter"},
		{"userfilter is no filter", object{"userfilter": "uid={{.Username}}"}, "invalid userfilter: what it makes is not an LDAP filter"},
		{"groupfilter", object{"groupfilter": "(member={{.UserDN}" + canary}, "invalid groupfilter: it is not a well-formed template of names such as {{.Username}}"},
		{"groupfilter is no filter", object{"groupfilter": "(&(member={{.UserDN}})"}, "invalid groupfilter: what it makes is not an LDAP filter"},
		{"dereference_aliases", object{"dereference_aliases": canary}, "invalid 'dereference_aliases': want never, finding, searching or always"},
		{"scheme", object{"url": "ldap://a,http://" + canary}, "invalid LDAP scheme in url: entry 2 begins with neither ldap:// nor ldaps://"},
		{"a socket", object{"url": "ldapi://%2frun%2fslapd"}, "url: entry 1 is not a URL such as ldaps://ldap.example.com"},
		{"credentials in the url", object{"url": "ldap://user:" + canary + "@a"}, "url: entry 1 has more in it than a host and a port"},
		{"a base in the url", object{"url": "ldap://a/dc=" + canary}, "url: entry 1 has more in it than a host and a port"},
		{"no url", object{"url": " , "}, "url: there is none"},
		{"userattr", object{"userattr": "uid)(a=" + canary}, "invalid userattr: it is not the name of an attribute"},
		{"groupattr", object{"groupattr": ""}, "invalid groupattr: it is not the name of an attribute"},
		{"max_page_size", object{"max_page_size": -1}, "'max_page_size' is out of range"},
		{"time-outs", object{"request_timeout": "2h"}, "'request_timeout' and 'connection_timeout' cannot be longer than an hour"},
		{"password policies", object{"password_policy": canary}, "'password_policy' is not served: config/rotate-root makes passwords of its own"},
		{"rotation by itself", object{"rotation_period": "1h"}, "rotation by itself is not served: call config/rotate-root when the password is to change"},
		{"token parameters", object{"token_ttl": 20, "token_max_ttl": 10}, "'token_ttl' cannot be greater than 'token_max_ttl'"},
		{"CIDRs", object{"token_bound_cidrs": canary}, "failed to parse token_bound_cidrs: entry 1 is neither an IP address nor a CIDR block"},
	}
	b := authtest.New(t, ldap.Refusing(0))
	before := b.Must(t, backend.Read, "config", nil)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := b.Do(t.Context(), backend.Update, "config", row.data)
			authtest.Is(t, err, backend.Invalid, row.text)
			if strings.Contains(err.Error(), canary) {
				t.Error("the error repeats what was sent")
			}
		})
	}
	after := b.Must(t, backend.Read, "config", nil)
	for key, value := range before {
		if _, list := value.([]any); !list && after[key] != value {
			t.Errorf("a refused write changed %s", key)
		}
	}
}

// Contract: auth-methods §4.1, "Partial updates keep unspecified fields"; url and userattr in lower case.
func TestConfigPartialUpdate(t *testing.T) {
	b := authtest.New(t, ldap.Refusing(0))
	b.Must(t, backend.Update, "config", object{
		"url": "LDAPS://Ldap.Example.com,ldap://other", "userattr": "sAMAccountName", "binddn": "cn=Reader", "bindpass": "secret",
		"token_ttl": 60, "request_timeout": "5s", "connection_timeout": 0,
	})
	b.Must(t, backend.Update, "config", object{"groupdn": "ou=Groups", "token_policies": "a,b"})
	got := b.Must(t, backend.Read, "config", nil)
	want := object{"url": "ldaps://ldap.example.com,ldap://other", "userattr": "samaccountname", "binddn": "cn=Reader",
		"groupdn": "ou=Groups", "token_ttl": 60.0, "request_timeout": 5.0, "connection_timeout": 30.0}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s reads as %v, want %v", key, got[key], value)
		}
	}
}

// CVE-2025-13357: empty passwords are refused unless somebody says otherwise, whatever else is written.
func TestDenyNullBindIsTheDefaultCVE202513357(t *testing.T) {
	b := authtest.New(t, ldap.Refusing(0))
	writes := []object{{"url": "ldap://a"}, {"url": "ldap://b", "binddn": "x", "bindpass": "y"}, {"deny_null_bind": nil}}
	for _, write := range writes {
		b.Must(t, backend.Update, "config", write)
		if b.Must(t, backend.Read, "config", nil)["deny_null_bind"] != true {
			t.Fatalf("after %v empty passwords are let in", write)
		}
	}
}

// Contract: auth-methods §4.1, the warnings; and those for what gives passwords away.
func TestConfigWarnings(t *testing.T) {
	rows := []struct {
		name string
		data object
		part string
	}{
		{"nothing to say", object{"url": "ldap://127.0.0.1"}, ""},
		{"userfilter without userattr", object{"url": "ldaps://a", "userattr": "uid", "userfilter": "(mail={{.Username}})"}, "userfilter does not mention userattr"},
		{"userfilter with the literal userattr", object{"url": "ldaps://a", "userattr": "mail", "userfilter": "(mail={{.Username}})"}, ""},
		{"null binds", object{"url": "ldaps://a", "deny_null_bind": false}, "deny_null_bind is false"},
		{"in clear", object{"url": "ldaps://a,ldap://b"}, "in clear"},
		{"StartTLS", object{"url": "ldap://b", "starttls": true}, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := authtest.New(t, ldap.Refusing(0))
			response, err := b.Do(t.Context(), backend.Update, "config", row.data)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if response != nil {
				got = strings.Join(response.Warnings, "; ")
			}
			if (row.part == "") != (got == "") || !strings.Contains(got, row.part) {
				t.Errorf("warnings %q, want %q", got, row.part)
			}
		})
	}
}

// Contract: auth-methods §4.3 step 1: the network is judged before the directory hears of it.
func TestBoundCIDRs(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	b := mounted(t, with(bySearch(s), object{"url": relay.URL(), "token_bound_cidrs": "10.0.0.0/8"}))
	_, err := login(t, b, "alice", ldaptest.Password("alice"))
	authtest.Is(t, err, backend.Denied, "permission denied")
	if relay.Opened() != 0 {
		t.Error("the directory was asked")
	}
	b.Remote = netip.MustParseAddrPort("10.1.2.3:4")
	if l := mustLogin(t, b, "alice"); len(l.BoundCIDRs) != 1 {
		t.Errorf("the token is bound to %v", l.BoundCIDRs)
	}
}

// Contract: auth-methods §4.2. Names in one spelling on every verb; [!] DELETE too.
func TestMappings(t *testing.T) {
	b := authtest.New(t, ldap.Refusing(0))
	b.Must(t, backend.Update, "groups/Engineers", object{"policies": "Dev, ops"})
	b.Must(t, backend.Update, "groups/a/b", object{"policies": []string{"x"}})
	b.Must(t, backend.Update, "users/AL", object{"groups": "Admins,Devs", "policies": []string{"P", "p"}})
	if got := b.Must(t, backend.Read, "groups/ENGINEERS", nil)["policies"].([]any); len(got) != 2 || got[0] != "dev" || got[1] != "ops" {
		t.Errorf("policies %v", got)
	}
	got := b.Must(t, backend.Read, "users/al", nil)
	if got["groups"] != "admins,devs" || len(got["policies"].([]any)) != 1 || got["policies"].([]any)[0] != "p" {
		t.Errorf("user %v", got)
	}
	b.Must(t, backend.Update, "users/al", object{"policies": "q"})
	if got := b.Must(t, backend.Read, "users/al", nil); got["groups"] != "admins,devs" || got["policies"].([]any)[0] != "q" {
		t.Errorf("a partial write: %v", got)
	}
	if keys := b.Keys(t, "groups"); len(keys) != 2 || keys[0] != "a/b" || keys[1] != "engineers" {
		t.Errorf("groups %v", keys)
	}
	b.Must(t, backend.Delete, "users/Al", nil)
	b.Must(t, backend.Delete, "groups/A/B", nil)
	if keys := append(b.Keys(t, "users"), b.Keys(t, "groups")...); len(keys) != 1 {
		t.Errorf("left: %v", keys)
	}
	for _, path := range []string{"users/al", "groups/nope"} {
		if b.Must(t, backend.Read, path, nil) != nil {
			t.Errorf("%s can be read", path)
		}
	}
	const spelling = "invalid name: write it without spaces around it, doubled spaces, invisible characters, compatibility forms and final sigmas (σ for ς)"
	for _, name := range []string{"ａl", " al", "a  l", "al\u00adice"} {
		b.Refused(t, backend.Update, "users/"+name, object{"policies": "x"}, backend.Invalid, spelling)
		b.Refused(t, backend.Update, "groups/"+name, object{"policies": "x"}, backend.Invalid, spelling)
	}
	b.Refused(t, backend.Update, "groups/x", object{"policies": "a,../root"}, backend.Invalid, "policies: entry 2: invalid policy name: it has an empty, '.' or '..' segment")
	b.Refused(t, backend.Update, "users/x", object{"groups": []string{"a\x00"}}, backend.Invalid, "groups: entry 1 has a character that no name of a group has")
}

// CVE-2026-89322: the policies judge the very name that is looked up; where names differ by case,
// as it is written.
func TestRoutesFoldLDAPNamesCVE202689322(t *testing.T) {
	b := authtest.New(t, ldap.Refusing(0))
	path := func() string {
		match, ok := backend.NewTable(b.Backend.Routes()).Find(backend.Update, "users/BOB/x")
		if !ok {
			t.Fatal("no route")
		}
		return match.Path
	}
	for _, row := range []struct {
		sensitive bool
		want      string
	}{{false, "users/bob/x"}, {true, "users/BOB/x"}, {false, "users/bob/x"}} {
		b.Must(t, backend.Update, "config", object{"case_sensitive_names": row.sensitive})
		for range 2 {
			if got := path(); got != row.want {
				t.Errorf("case_sensitive_names=%v: %s, want %s", row.sensitive, got, row.want)
			}
			b.Remount(t)
		}
	}
	for _, route := range b.Backend.Routes() {
		if strings.Contains(route.Pattern, "name") && !strings.Contains(route.Pattern, "|lower...}") {
			t.Errorf("%s takes a name as it is written", route.Pattern)
		}
	}
}
