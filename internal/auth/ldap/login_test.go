package ldap_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"jeton/internal/auth"
	"jeton/internal/auth/authtest"
	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
)

// Contract: auth-methods §4.3, the ways to find a user and to bind.
func TestWaysToLogIn(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	// slapd knows no principal names: the relay binds as whom Active Directory would find.
	relay := ldaptest.NewRelay(t, s.Address())
	relay.Rename(func(name string) string {
		if uid, ok := strings.CutSuffix(name, "@example.org"); ok {
			return ldaptest.DN(uid)
		}
		return name
	})
	groups := []string{"Ops, EU", "engineers", "unix"}
	rows := []struct {
		name   string
		config object
		alias  string
		groups []string
	}{
		{"an account that searches", nil, "alice", groups},
		{"the entry's own attribute names the entity", object{"userattr": "mail", "userfilter": "(&(uid={{.Username}})({{.UserAttr}}=*))"}, "al@example.org", groups},
		{"username_as_alias", object{"userattr": "mail", "userfilter": "(&(uid={{.Username}})({{.UserAttr}}=*))", "username_as_alias": true}, "alice", groups},
		{"discoverdn, as nobody", without(object{"discoverdn": true}), "alice", groups},
		{"a composed DN", without(nil), "uid=alice," + ldaptest.People, groups},
		{"upndomain", without(object{"url": relay.URL(), "upndomain": "example.org"}), "alice@example.org", groups},
		{"upndomain and sAMAccountName", without(object{"url": relay.URL(), "upndomain": "example.org", "enable_samaccountname_login": true}), "alice@example.org", groups},
		{"upndomain without userdn: memberUid only", without(object{"url": relay.URL(), "upndomain": "example.org", "userdn": ""}), "alice@example.org", []string{"unix"}},
		{"principal names are searched for", object{"userattr": "userPrincipalName", "upndomain": "example.org"}, "alice@example.org", groups},
		{"anonymous_group_search", object{"anonymous_group_search": true}, "alice", groups},
		{"anonymous_group_search without an account", without(object{"anonymous_group_search": true}), "uid=alice," + ldaptest.People, groups},
		{"memberOf of the entry", object{"groupdn": ldaptest.People, "groupattr": "memberOf", "groupfilter": "(uid={{.Username}})"}, "alice", []string{"Ops, EU", "engineers"}},
		{"use_token_groups", object{"use_token_groups": true}, "alice", []string{"sid-direct", "sid-nested"}},
		{"use_token_groups in the whole domain", object{"use_token_groups": true, "groupdn": ""}, "alice", []string{"sid-direct", "sid-nested"}},
		{"no groupdn, no groups", object{"groupdn": ""}, "alice", nil},
		{"no groupfilter, no groups", object{"groupfilter": ""}, "alice", nil},
		{"no userfilter", object{"userfilter": ""}, "alice", groups},
		{"dereference_aliases", object{"dereference_aliases": "always"}, "alice", groups},
		{"pages", object{"max_page_size": 2}, "alice", groups},
		{"upper case in DNs only", object{"groupdn": ldaptest.People, "groupattr": "memberOf", "groupfilter": "(uid={{.Username}})", "use_pre111_group_cn_behavior": true}, "alice",
			[]string{`cn=Ops\2C EU,` + ldaptest.Groups, "cn=engineers," + ldaptest.Groups}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := mounted(t, with(bySearch(s), row.config))
			l, err := login(t, b, "Alice", ldaptest.Password("alice"))
			if err != nil {
				t.Fatal(err)
			}
			if l.Alias.Name != row.alias || l.Alias.Metadata["name"] != "alice" || l.Metadata["username"] != "alice" || l.DisplayName != "alice" {
				t.Errorf("alias %v, metadata %v, name %q; want alias %q", l.Alias, l.Metadata, l.DisplayName, row.alias)
			}
			if !slices.Equal(l.GroupAliases, row.groups) {
				t.Errorf("groups %q, want %q", l.GroupAliases, row.groups)
			}
			refused(t, b, "alice", "wrong")
			refused(t, b, "nobody", "wrong")
			if _, err := b.Renew(t.Context(), l); err != nil {
				t.Errorf("renewal: %v", err)
			}
		})
	}
}

// Groups of groups: by a filter over what the directory computes.
func TestNestedGroups(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Nested: true})
	b := mounted(t, with(bySearch(s), object{"groupdn": ldaptest.People, "groupattr": "memberOf", "groupfilter": "(&(objectClass=inetOrgPerson)(uid={{.Username}}))"}))
	b.Must(t, backend.Update, "groups/platform", object{"policies": "platform"})
	if l := mustLogin(t, b, "bob"); !slices.Equal(l.GroupAliases, []string{"engineers", "platform"}) || !slices.Equal(l.Policies, []string{"platform"}) {
		t.Errorf("groups %q, policies %q", l.GroupAliases, l.Policies)
	}
	t.Run("the rule of Active Directory goes over the wire as it is written", func(t *testing.T) {
		relay := ldaptest.NewRelay(t, s.Address())
		b := mounted(t, with(bySearch(s), object{"url": relay.URL(), "groupfilter": "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={{.UserDN}}))"}))
		mustLogin(t, b, "bob")
		want := "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:=" + ldaptest.DN("bob") + "))"
		if !slices.Contains(relay.Filters(), want) {
			t.Errorf("filters %q, want %q among them", relay.Filters(), want)
		}
	})
}

// Who is in no group is not in one that is called as the user is.
func TestMemberOfNobodysMember(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	for way, more := range map[string]object{"search": nil, "composed": without(nil)} {
		b := mounted(t, with(bySearch(s), with(object{"groupdn": ldaptest.People, "groupattr": "memberOf", "groupfilter": "(uid={{.Username}})"}, more)))
		b.Must(t, backend.Update, "groups/rené", object{"policies": "not-for-the-user"})
		if l := mustLogin(t, b, "René"); len(l.GroupAliases) != 0 || len(l.Policies) != 0 {
			t.Errorf("%s: groups %q, policies %q", way, l.GroupAliases, l.Policies)
		}
	}
}

// Active Directory takes sAMAccountName@domain for whoever has that logon name, whatever the principal name
// is: both are one entity (CVE-2025-6013).
func TestBothNamesOneEntityCVE20256013(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	relay.Rename(func(name string) string {
		if strings.HasSuffix(name, "@Example.org") {
			return ldaptest.DN("alice")
		}
		return name
	})
	config := with(bySearch(s), without(object{"url": relay.URL(), "upndomain": "Example.org", "enable_samaccountname_login": true}))
	rename := func(principal ...string) {
		s.Admin(func(c *goldap.Conn) error {
			r := goldap.NewModifyRequest(ldaptest.DN("alice"), nil)
			r.Replace("userPrincipalName", principal)
			return c.Modify(r)
		})
	}
	for _, row := range []struct {
		principal []string
		user      string
		alias     string
	}{
		{[]string{"A.Liddell@EXAMPLE.org"}, "alice", "a.liddell@Example.org"},
		{[]string{"A.Liddell@EXAMPLE.org"}, "a.liddell", "a.liddell@Example.org"},
		{[]string{"Alice@other.example"}, "alice", "alice@other.example"},
		{[]string{"ALICE@example.ORG"}, "alice", "alice@Example.org"},
		{nil, "alice", "alice@Example.org"},
	} {
		rename(row.principal...)
		b := mounted(t, config)
		l, err := login(t, b, row.user, ldaptest.Password("alice"))
		if err != nil || l.Alias.Name != row.alias {
			t.Fatalf("%s of %q: %v, %v; want %s", row.user, row.principal, l, err, row.alias)
		}
	}
}

// Contract: auth-methods §4.3, TLS: StartTLS and ldaps with the directory's CA, client certificates.
func TestTLS(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{OnlyTLS: true})
	demanding := ldaptest.Start(t, ldaptest.Options{ClientCertificates: true})
	certificate, key := demanding.Client()
	plainURL := func(s *ldaptest.Server) string { return s.URL() }
	secureURL := func(s *ldaptest.Server) string { return s.SecureURL() }
	rows := []struct {
		name   string
		server *ldaptest.Server
		url    func(*ldaptest.Server) string
		config object
		part   string
	}{
		{"ldaps", s, secureURL, object{"certificate": s.CA()}, ""},
		{"ldaps with TLS 1.3", s, secureURL, object{"certificate": s.CA(), "tls_max_version": "tls13", "tls_min_version": "tls13"}, ""},
		{"StartTLS", s, plainURL, object{"certificate": s.CA(), "starttls": true}, ""},
		{"insecure_tls", s, secureURL, object{"insecure_tls": true}, ""},
		{"ldaps, unknown CA", s, secureURL, nil, "x509: certificate signed by unknown authority"},
		{"ldaps, another CA", s, secureURL, object{"certificate": demanding.CA()}, "x509: certificate signed by unknown authority"},
		{"StartTLS, unknown CA", s, plainURL, object{"starttls": true}, "x509: certificate signed by unknown authority"},
		{"in clear to a directory that wants TLS", s, plainURL, nil, "ldap operation failed: failed to bind with the BindDN user: Confidentiality Required"},
		{"TLS to a port in clear", s, func(s *ldaptest.Server) string { return strings.Replace(s.URL(), "ldap:", "ldaps:", 1) }, object{"connection_timeout": 1}, "error connecting to host"},
		{"client certificate", demanding, secureURL, object{"certificate": demanding.CA(), "client_tls_cert": certificate, "client_tls_key": key}, ""},
		{"client certificate, StartTLS", demanding, plainURL, object{"certificate": demanding.CA(), "client_tls_cert": certificate, "client_tls_key": key, "starttls": true}, ""},
		{"no client certificate", demanding, secureURL, object{"certificate": demanding.CA()}, "error connecting to host"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := mounted(t, with(with(bySearch(row.server), object{"url": row.url(row.server)}), row.config))
			_, err := login(t, b, "alice", ldaptest.Password("alice"))
			if row.part == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.part) || !isBadRequest(err) {
				t.Errorf("%v, want %q", err, row.part)
			}
			notLocked(t, b)
		})
	}
}

func isBadRequest(err error) bool {
	return backend.KindOf(err) == backend.Invalid || backend.KindOf(err) == backend.InvalidAggregate
}

// notLocked says that what happened before was not counted: eight logins later nobody is locked.
func notLocked(t *testing.T, b *authtest.Bench) {
	t.Helper()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := login(t, b, "alice", ldaptest.Password("alice")); err == nil || backend.KindOf(err) == backend.Denied {
				t.Errorf("it counts as a guess, or succeeds: %v", err)
			}
		})
	}
	wg.Wait()
	if locked, err := b.Backend.(auth.Lockable).Locked(t.Context()); err != nil || len(locked) != 0 {
		t.Errorf("locked: %v, %v", locked, err)
	}
}

// Names with characters that mean something in DNs and filters (CVE-2026-55770): each user gets in as
// himself and sees his own groups, by search and by composed DN, and no name is anybody else's.
func TestOddNamesCVE202655770(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	config := with(bySearch(s), object{"url": relay.URL()})
	ways := map[string]object{"search": config, "composed": with(config, object{"binddn": nil, "bindpass": nil})}
	for way, config := range ways {
		b := mounted(t, config)
		for _, name := range ldaptest.Odd() {
			t.Run(way+" "+name, func(t *testing.T) {
				l := mustLogin(t, b, name)
				if !slices.Equal(l.GroupAliases, []string{"odd"}) {
					t.Errorf("groups %q", l.GroupAliases)
				}
				if way == "search" && l.Alias.Name != name {
					t.Errorf("alias %q", l.Alias.Name)
				}
				for _, other := range ldaptest.Odd() {
					if other != name && len(other) > 5 {
						refused(t, b, name, ldaptest.Password(other))
						mustLogin(t, b, name)
						break
					}
				}
			})
		}
	}
	onTheWire(t, relay.Filters())
}

// onTheWire looks at the filters that a directory heard for users with odd names: values of
// equality, whole, and the DN among them is the user's.
func onTheWire(t *testing.T, filters []string) {
	t.Helper()
	value := func(p *ber.Packet) string { return p.Children[1].Data.String() }
	searched, grouped := map[string]bool{}, map[string]bool{}
	for _, text := range filters {
		filter, err := goldap.CompileFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case filter.Tag == goldap.FilterEqualityMatch:
			searched[value(filter)] = true
		case filter.Tag == goldap.FilterOr && len(filter.Children) == 3:
			name := value(filter.Children[0])
			dn, err := goldap.ParseDN(value(filter.Children[1]))
			if err != nil || dn.RDNs[0].Attributes[0].Value != name || len(dn.RDNs) != 4 {
				t.Errorf("the groups of %q are looked for as %q", name, value(filter.Children[1]))
			}
			grouped[name] = true
		default:
			t.Errorf("a filter that is none of ours: %s", text)
		}
	}
	for _, name := range ldaptest.Odd() {
		if !searched[name] || !grouped[name] {
			t.Errorf("%q never reached the directory as it is", name)
		}
	}
}

// Contract: auth-methods §4 tests, names that would match others, unescaped.
func TestInjection(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	ways := map[string]object{"search": bySearch(s), "composed": with(bySearch(s), object{"binddn": nil, "bindpass": nil})}
	for way, config := range ways {
		b := mounted(t, config)
		for _, name := range []string{"*", "a*", "alice)(uid=*", "alice)(|(uid=*", `\2a`, "alice,ou=people", "alice," + ldaptest.People, `alice\00`, "alice\x00", "uid=alice",
			"alice)(&)", "u0000*", "alice#", `"alice"`} {
			t.Run(way+" "+name, func(t *testing.T) {
				for _, password := range []string{ldaptest.Password("alice"), ldaptest.Password(name)} {
					refused(t, b, name, password)
				}
			})
		}
	}
}

// CVE-2023-3462, CVE-2020-35177: a user who is not there, one whom the filter leaves out, one who is
// there twice and a wrong password get the same answer, for the same work on the wire.
func TestNobodyIsToldApartCVE20233462CVE202035177(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	var first string
	for _, name := range []string{"alice", "nobody", "twin", "reader", "rene"} {
		relay := ldaptest.NewRelay(t, s.Address())
		b := mounted(t, with(bySearch(s), object{"url": relay.URL(), "userdn": ldaptest.Base}))
		_, err := login(t, b, name, "wrong")
		authtest.Is(t, err, backend.Invalid, wrong)
		said := fmt.Sprint(relay.Operations())
		if name == "twin" {
			refused(t, b, name, ldaptest.Password(name))
		}
		if first == "" {
			first = said
		}
		if said != first {
			t.Errorf("%s: operations %s, for a user who is there %s", name, said, first)
		}
	}
}

// CVE-2025-6013: one person is one entity, however the name is written.
func TestOneEntityCVE20256013(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	spellings := []string{"alice", "Alice", "ALICE", " alice", "alice ", "ａｌｉｃｅ", "alicE  "}
	configs := map[string]object{
		"attribute":         nil,
		"username_as_alias": {"username_as_alias": true},
		"composed":          {"binddn": nil, "bindpass": nil},
		"composed, aliased": {"binddn": nil, "bindpass": nil, "username_as_alias": true},
		"principal":         {"userattr": "userprincipalname", "upndomain": "example.org"},
	}
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			b := mounted(t, with(bySearch(s), config))
			aliases := map[string]bool{}
			for _, spelling := range spellings {
				l, err := login(t, b, spelling, ldaptest.Password("alice"))
				if err != nil {
					t.Fatalf("%q: %v", spelling, err)
				}
				aliases[l.Alias.Name] = true
			}
			if len(aliases) != 1 {
				t.Errorf("aliases %v", aliases)
			}
		})
	}
	t.Run("several values of the attribute", func(t *testing.T) {
		b := mounted(t, with(bySearch(s), object{"userattr": "cn"}))
		for _, name := range []string{"alice", "Alice Liddell", "alice  liddell"} {
			l, err := login(t, b, name, ldaptest.Password("alice"))
			if err != nil {
				t.Fatal(err)
			}
			if l.Alias.Name != "Alice Liddell" {
				t.Errorf("%q is the entity %q", name, l.Alias.Name)
			}
		}
	})
	t.Run("an attribute that the entry lacks", func(t *testing.T) {
		b := mounted(t, with(bySearch(s), object{"userattr": "employeeNumber", "userfilter": "(|(uid={{.Username}})({{.UserAttr}}=x))"}))
		_, err := login(t, b, "alice", ldaptest.Password("alice"))
		authtest.Is(t, err, backend.Invalid, "missing entity alias attribute value")
	})
}

// Contract: auth-methods §4 tests: case_sensitive_names off, `Engineers` is `engineers`; on, it is not.
func TestCaseOfNames(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	for _, row := range []struct {
		sensitive bool
		want      []string
	}{{false, []string{"lower", "upper", "user"}}, {true, []string{"upper"}}} {
		b := mounted(t, with(bySearch(s), object{"case_sensitive_names": row.sensitive}))
		b.Must(t, backend.Update, "groups/Admins", object{"policies": "upper"})
		if row.sensitive {
			b.Must(t, backend.Update, "groups/admins", object{"policies": "lower"})
		} else {
			b.Must(t, backend.Update, "groups/admins", object{"policies": "upper,lower"})
		}
		b.Must(t, backend.Update, "users/carol", object{"policies": "user"})
		l, err := login(t, b, "CAROL", ldaptest.Password("carol"))
		if err != nil || !slices.Equal(l.Policies, row.want) {
			t.Errorf("case_sensitive_names=%v: %v, %v; want %v", row.sensitive, l, err, row.want)
		}
		if want := map[bool]string{false: "carol", true: "CAROL"}[row.sensitive]; l.Metadata["username"] != want {
			t.Errorf("metadata %v, want %s", l.Metadata, want)
		}
	}
}

// Contract: auth-methods §4.3 step 9.
func TestPoliciesAndGroups(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, with(bySearch(s), object{"token_policies": "everybody", "token_ttl": "1h", "token_no_default_policy": true}))
	b.Must(t, backend.Update, "groups/engineers", object{"policies": "build,shared"})
	b.Must(t, backend.Update, "groups/ops, eu", object{"policies": "operate"})
	b.Must(t, backend.Update, "groups/local", object{"policies": "here"})
	b.Must(t, backend.Update, "groups/other", object{"policies": "never"})
	b.Must(t, backend.Update, "users/alice", object{"policies": "hers,shared", "groups": "Local,unmapped"})
	l := mustLogin(t, b, "alice")
	if want := []string{"build", "everybody", "here", "hers", "operate", "shared"}; !slices.Equal(l.Policies, want) {
		t.Errorf("policies %v, want %v", l.Policies, want)
	}
	if l.Terms.TTL.Hours() != 1 || !l.NoDefaultPolicy {
		t.Errorf("token parameters: %+v", l)
	}
	response, err := b.Do(t.Context(), backend.Update, "login/u0001", object{"password": ldaptest.Password("u0001")})
	if err != nil {
		t.Fatal(err)
	}
	const warning = `no LDAP groups found in groupDN "` + ldaptest.Groups + `"; only policies from locally-defined groups available`
	if !slices.Equal(response.Warnings, []string{warning}) || response.Login.GroupAliases == nil {
		t.Errorf("warnings %q, groups %#v", response.Warnings, response.Login.GroupAliases)
	}
	if !slices.Equal(response.Login.Policies, []string{"everybody"}) {
		t.Errorf("policies %v", response.Login.Policies)
	}
}

// A directory that hands out a part of the groups only is an error, never a part of the policies.
func TestHugeGroups(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	s.AddHugeGroups()
	b := mounted(t, bySearch(s))
	_, err := login(t, b, "u0000", ldaptest.Password("u0000"))
	says(t, err, "ldap operation failed: failed to search for groups: Size Limit Exceeded (set max_page_size to read in pages)")
	b.Must(t, backend.Update, "config", object{"max_page_size": 100})
	if l := mustLogin(t, b, "u0000"); len(l.GroupAliases) != ldaptest.Huge {
		t.Errorf("%d groups", len(l.GroupAliases))
	}
}

// Contract: auth-methods §4.3 step 2 and §4 tests: empty passwords, and what a directory may take for one.
func TestNullBinds(t *testing.T) {
	permissive := ldaptest.Start(t, ldaptest.Options{NullBinds: true})
	strict := ldaptest.Start(t, ldaptest.Options{})
	const text = "password cannot be of zero length when passwordless binds are being denied"
	relay := ldaptest.NewRelay(t, permissive.Address())
	b := mounted(t, with(bySearch(permissive), object{"url": relay.URL()}))
	for _, password := range []string{"", "\x00", "\x00\x00", "\x00x"} {
		_, err := login(t, b, "alice", password)
		authtest.Is(t, err, backend.Invalid, text)
	}
	if relay.Opened() != 0 {
		t.Error("the directory was asked")
	}
	b.Must(t, backend.Update, "config", object{"deny_null_bind": false})
	if l, err := login(t, b, "alice", ""); err != nil || l.Alias.Name != "alice" {
		t.Errorf("what was allowed is not: %v", err)
	}
	refused(t, b, "nobody", "")
	b = mounted(t, with(bySearch(strict), object{"deny_null_bind": false}))
	refused(t, b, "alice", "")
}

// Referrals are not followed, and do not spoil a search that meets one.
func TestReferrals(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, bySearch(s))
	mustLogin(t, b, "alice")
	b = mounted(t, with(bySearch(s), object{"userdn": "ou=elsewhere," + ldaptest.People}))
	_, err := login(t, b, "alice", ldaptest.Password("alice"))
	says(t, err, "ldap operation failed: failed to search for the user: Referral")
	notLocked(t, b)
}

// Hundreds of people, two hundred at a time. Connections that search are used again, those of users never.
func TestCrowd(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	b := mounted(t, with(bySearch(s), object{"url": relay.URL(), "request_timeout": 60, "connection_timeout": 30}))
	var wg sync.WaitGroup
	at := make(chan struct{}, 200)
	for i := range ldaptest.Crowd {
		at <- struct{}{}
		wg.Go(func() {
			defer func() { <-at }()
			uid := fmt.Sprintf("u%04d", i)
			l, err := login(t, b, uid, ldaptest.Password(uid))
			if err != nil || l.Alias.Name != uid {
				t.Errorf("%s: %v", uid, err)
			}
		})
	}
	wg.Wait()
	opened := relay.Opened()
	for range 10 {
		mustLogin(t, b, "alice")
	}
	if grown := relay.Opened() - opened; grown != 10 {
		t.Errorf("ten logins made %d connections, want one for each user", grown)
	}
	// Whoever binds as a user has a connection that serves nothing else.
	if err := b.Backend.(backend.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	if open := relay.WaitOpen(0); open != 0 {
		t.Errorf("%d connections outlived the mount", open)
	}
}

// A connection that was bound as a user is never handed to another: after the bind as a user, the
// searches go over connections of the account that searches.
func TestUsersConnectionsAreNotReused(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	b := mounted(t, with(bySearch(s), object{"url": relay.URL()}))
	mustLogin(t, b, "alice")
	mustLogin(t, b, "bob")
	if open := relay.WaitOpen(1); open != 1 {
		t.Errorf("%d connections are kept, want the one that searches", open)
	}
	if want := []string{ldaptest.Reader, ldaptest.DN("alice"), ldaptest.DN("bob")}; !slices.Equal(relay.Binds(), want) {
		t.Errorf("binds %q, want %q", relay.Binds(), want)
	}
	b = mounted(t, with(bySearch(s), object{"url": relay.URL(), "binddn": nil, "bindpass": nil}))
	mustLogin(t, b, "alice")
	if open := relay.WaitOpen(1); open != 1 {
		t.Errorf("a user's connection was kept: %d are open", open)
	}
}
