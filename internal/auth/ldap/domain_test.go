package ldap_test

import (
	"slices"
	"strings"
	"testing"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
	"jeton/internal/store/storetest"
)

// These are the ways of contract auth-methods §4 that are Active Directory's, against a domain controller.
func TestActiveDirectory(t *testing.T) {
	d := ldaptest.StartDomain(t)
	t.Log(d.Version)
	d.Populate()
	t.Run("ways to log in", func(t *testing.T) { waysIntoDomain(t, d) })
	t.Run("groups", func(t *testing.T) { groupsOfDomain(t, d) })
	t.Run("names", func(t *testing.T) { namesOfDomain(t, d) })
	t.Run("accounts that may not log in", func(t *testing.T) { refusedByDomain(t, d) })
	t.Run("transport", func(t *testing.T) { transportToDomain(t, d) })
	t.Run("renewal", func(t *testing.T) { renewalInDomain(t, d) })
	t.Run("rotation", func(t *testing.T) { rotationInDomain(t, d) })
	t.Run("rotation after a tool wrote the old password", func(t *testing.T) { rotationAfterOldPassword(t, d) })
	t.Run("rotation that was interrupted", func(t *testing.T) { rotationFaultsInDomain(t, d) })
}

const inChain = "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={{.UserDN}}))"

// inDomain is a configuration with an account that searches the whole domain.
func inDomain(d *ldaptest.Domain) object {
	return object{
		"url": d.SecureURL(), "certificate": d.CA(), "binddn": ldaptest.AccountDN("svc-reader"), "bindpass": ldaptest.DomainPassword("svc-reader"),
		"userdn": ldaptest.DomainBase, "userattr": "sAMAccountName", "groupdn": ldaptest.DomainGroups,
	}
}

func inDomainLogin(t *testing.T, b *authtest.Bench, name, sam string) *backend.Login {
	t.Helper()
	l, err := login(t, b, name, ldaptest.DomainPassword(sam))
	if err != nil {
		t.Fatalf("login of %s: %v", name, err)
	}
	return l
}

func waysIntoDomain(t *testing.T, d *ldaptest.Domain) {
	direct := []string{"Ops, EU", "engineers"}
	nested := []string{"Ops, EU", "engineers", "platform"}
	const upn = "alice.liddell@" + ldaptest.Realm
	rows := []struct {
		name, user string
		config     object
		alias      string
		groups     []string
	}{
		{"sAMAccountName", "ALICE", nil, "alice", direct},
		{"userPrincipalName", "Alice.Liddell@AD.example.org", object{"userattr": "userPrincipalName"}, upn, direct},
		{"userPrincipalName without its domain", "alice.liddell", object{"userattr": "userPrincipalName", "upndomain": ldaptest.Realm}, upn, direct},
		{"either name, one entity", "alice", object{"userfilter": "(|(sAMAccountName={{.Username}})(userPrincipalName={{.Username}}))"}, "alice", direct},
		{"either name, the other", upn, object{"userfilter": "(|(sAMAccountName={{.Username}})(userPrincipalName={{.Username}}))"}, "alice", direct},
		{"upndomain", "alice.liddell", without(object{"upndomain": ldaptest.Realm}), upn, direct},
		{"upndomain, tokenGroups read by the user", "alice.liddell", without(object{"upndomain": ldaptest.Realm, "use_token_groups": true}), upn, nested},
		{"enable_samaccountname_login", "alice", without(object{"upndomain": ldaptest.Realm, "enable_samaccountname_login": true}), upn, direct},
		{"enable_samaccountname_login, the principal name", "alice.liddell", without(object{"upndomain": ldaptest.Realm, "enable_samaccountname_login": true}), upn, direct},
		{"enable_samaccountname_login, an account without a principal name", "plain", without(object{"upndomain": ldaptest.Realm, "enable_samaccountname_login": true}), "plain@" + ldaptest.Realm, nil},
		{"another suffix of principal names", "carol", without(object{"upndomain": "example.org"}), "carol@example.org", nil},
		{"another suffix of principal names, by search", "carol", object{"userattr": "userPrincipalName", "upndomain": "example.org"}, "carol@example.org", nil},
		{"nested groups by the rule in chain", "alice", object{"groupfilter": inChain}, "alice", nested},
		{"nested groups by tokenGroups", "alice", object{"use_token_groups": true}, "alice", nested},
		{"the account by its principal name", "alice", object{"binddn": "reader@" + ldaptest.Realm}, "alice", direct},
		{"the account by its logon name", "alice", object{"binddn": `EXAMPLE\svc-reader`}, "alice", direct},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := mounted(t, with(inDomain(d), row.config))
			sam, _, _ := strings.Cut(row.alias, "@")
			l := inDomainLogin(t, b, row.user, strings.TrimSuffix(sam, ".liddell"))
			if l.Alias.Name != row.alias || !slices.Equal(l.GroupAliases, row.groups) {
				t.Errorf("alias %q, groups %q; want %q, %q", l.Alias.Name, l.GroupAliases, row.alias, row.groups)
			}
			refused(t, b, row.user, "wrong")
			refused(t, b, "nobody", "wrong")
			if _, err := b.Renew(t.Context(), l); err != nil {
				t.Errorf("renewal: %v", err)
			}
		})
	}
	t.Run("a logon name is nobody's where principal names are asked for", func(t *testing.T) {
		// The directory takes alice@… for her; her principal name is another, and she would have two entities.
		b := mounted(t, with(inDomain(d), without(object{"upndomain": ldaptest.Realm})))
		_, err := login(t, b, "alice", ldaptest.DomainPassword("alice"))
		says(t, err, "ldap operation failed: userdn has not exactly one entry with the user's principal name")
	})
	t.Run("nobody may search", func(t *testing.T) {
		b := mounted(t, with(inDomain(d), without(object{"discoverdn": true})))
		_, err := login(t, b, "alice", ldaptest.DomainPassword("alice"))
		says(t, err, "ldap operation failed: failed to search for the user: Operations Error")
	})
}

func groupsOfDomain(t *testing.T, d *ldaptest.Domain) {
	d.Set(ldaptest.AccountDN("bob"), "primaryGroupID", d.Get(ldaptest.DomainGroup("primaries"), "primaryGroupToken")...)
	rows := []struct {
		name   string
		sam    string
		config object
		groups []string
	}{
		{"direct members", "bob", nil, []string{"engineers"}},
		{"the rule in chain knows no primary group", "bob", object{"groupfilter": inChain}, []string{"Ops, EU", "engineers", "platform"}},
		{"tokenGroups has the primary group", "bob", object{"use_token_groups": true}, []string{"Ops, EU", "engineers", "platform", "primaries"}},
		{"tokenGroups of the whole domain", "bob", object{"use_token_groups": true, "groupdn": ldaptest.DomainBase},
			[]string{"Domain Users", "Ops, EU", "Users", "engineers", "platform", "primaries"}},
		{"tokenGroups without groupdn", "bob", object{"use_token_groups": true, "groupdn": ""},
			[]string{"Domain Users", "Ops, EU", "Users", "engineers", "platform", "primaries"}},
		{"named by sAMAccountName", "bob", object{"use_token_groups": true, "groupattr": "sAMAccountName"}, []string{"g-Ops EU", "g-engineers", "g-platform", "g-primaries"}},
		{"in pages", "bob", object{"groupfilter": inChain, "max_page_size": 1}, []string{"Ops, EU", "engineers", "platform"}},
		{"tokenGroups in pages", "bob", object{"use_token_groups": true, "max_page_size": 1}, []string{"Ops, EU", "engineers", "platform", "primaries"}},
		{"memberOf", "alice", object{"groupdn": ldaptest.DomainBase, "groupfilter": "(sAMAccountName={{.Username}})", "groupattr": "memberOf"}, []string{"Ops, EU", "engineers"}},
		{"memberOf of nobody's member", "plain", object{"groupdn": ldaptest.DomainBase, "groupfilter": "(sAMAccountName={{.Username}})", "groupattr": "memberOf"}, nil},
		{"the primary group only", "plain", object{"use_token_groups": true, "groupdn": ldaptest.DomainBase}, []string{"Domain Users", "Users"}},
		{"a DN with commas and umlauts", "jmüller", object{"groupfilter": inChain}, []string{"Ops, EU", "engineers", "platform", "Ürün"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := mounted(t, with(inDomain(d), row.config))
			if l := inDomainLogin(t, b, row.sam, row.sam); !slices.Equal(l.GroupAliases, row.groups) {
				t.Errorf("groups %q, want %q", l.GroupAliases, row.groups)
			}
		})
	}
	t.Run("policies", func(t *testing.T) {
		b := mounted(t, with(inDomain(d), object{"use_token_groups": true}))
		for _, group := range []string{"platform", "ops, eu", "ürün", "primaries"} {
			b.Must(t, backend.Update, "groups/"+group, object{"policies": "of-" + group[:3]})
		}
		if l := inDomainLogin(t, b, "jmüller", "jmüller"); !slices.Equal(l.Policies, []string{"of-ops", "of-pla", "of-ür"}) {
			t.Errorf("policies %q", l.Policies)
		}
	})
}

func namesOfDomain(t *testing.T, d *ldaptest.Domain) {
	searched := mounted(t, inDomain(d))
	principal := mounted(t, with(inDomain(d), without(object{"upndomain": ldaptest.Realm})))
	for _, a := range ldaptest.Accounts() {
		if a.More != nil {
			continue
		}
		t.Run(a.SAM, func(t *testing.T) {
			if l := inDomainLogin(t, searched, strings.ToUpper(a.SAM), a.SAM); l.Alias.Name != a.SAM {
				t.Errorf("alias %q", l.Alias.Name)
			}
			refused(t, searched, a.SAM, ldaptest.DomainPassword("other"))
			if name, ok := strings.CutSuffix(a.UPN, "@"+ldaptest.Realm); ok {
				if l := inDomainLogin(t, principal, name, a.SAM); l.Alias.Name != a.UPN {
					t.Errorf("alias %q", l.Alias.Name)
				}
			}
		})
	}
	for _, name := range []string{"*", "a*", "alice)(objectClass=*", "jmuller", "alice@" + ldaptest.Realm, "EXAMPLE\\alice", "cn=alice liddell"} {
		t.Run("nobody is "+name, func(t *testing.T) {
			refused(t, searched, name, ldaptest.DomainPassword("alice"))
			refused(t, principal, name, ldaptest.DomainPassword("alice"))
		})
	}
}

// Whoever may not log in there gets the one answer, with the right password too (CVE-2020-35177, CVE-2023-3462).
func refusedByDomain(t *testing.T, d *ldaptest.Domain) {
	ways := map[string]object{
		"search":    inDomain(d),
		"upndomain": with(inDomain(d), without(object{"upndomain": ldaptest.Realm})),
	}
	for way, config := range ways {
		b := mounted(t, config)
		for _, sam := range []string{"out", "past", "must", "nobody"} {
			t.Run(way+" "+sam, func(t *testing.T) {
				refused(t, b, sam, ldaptest.DomainPassword(sam))
				refused(t, b, sam, "wrong")
			})
		}
		t.Run(way+", locked there", func(t *testing.T) {
			d.Set(ldaptest.DomainBase, "lockoutThreshold", "3")
			for range 3 {
				if d.Takes(ldaptest.AccountDN("bob"), "wrong") == nil {
					t.Fatal("the directory takes a wrong password")
				}
			}
			refused(t, b, "bob", ldaptest.DomainPassword("bob"))
			d.Set(ldaptest.DomainBase, "lockoutThreshold", "0")
			d.Set(ldaptest.AccountDN("bob"), "lockoutTime", "0")
			inDomainLogin(t, b, "bob", "bob")
		})
	}
}

func transportToDomain(t *testing.T, d *ldaptest.Domain) {
	rows := []struct {
		name   string
		config object
		part   string
	}{
		{"ldaps", nil, ""},
		{"ldaps with TLS 1.3", object{"tls_max_version": "tls13", "tls_min_version": "tls13"}, ""},
		{"StartTLS", object{"url": d.URL(), "starttls": true}, ""},
		{"in clear", object{"url": d.URL()}, "ldap operation failed: failed to bind with the BindDN user: Strong Auth Required"},
		{"in clear, as the user", without(object{"url": d.URL(), "upndomain": ldaptest.Realm, "enable_samaccountname_login": true}), "ldap operation failed: failed to ask for a bind as user: Strong Auth Required"},
		{"ldaps, unknown CA", object{"certificate": nil}, "x509: certificate signed by unknown authority"},
		{"StartTLS, unknown CA", object{"url": d.URL(), "starttls": true, "certificate": nil}, "x509: certificate signed by unknown authority"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := mounted(t, with(inDomain(d), row.config))
			_, err := login(t, b, "alice", ldaptest.DomainPassword("alice"))
			if row.part == "" && err != nil || row.part != "" && (err == nil || !strings.Contains(err.Error(), row.part)) {
				t.Errorf("%v, want %q", err, row.part)
			}
		})
	}
}

// Contract: auth-methods §1.3 (CVE-2026-115356): a renewal asks the directory again.
func renewalInDomain(t *testing.T, d *ldaptest.Domain) {
	for way, config := range map[string]object{
		"search":    with(inDomain(d), object{"use_token_groups": true}),
		"upndomain": with(inDomain(d), without(object{"upndomain": ldaptest.Realm, "enable_samaccountname_login": true, "groupfilter": inChain})),
	} {
		t.Run(way, func(t *testing.T) {
			b := mounted(t, config)
			b.Must(t, backend.Update, "groups/platform", object{"policies": "platform"})
			l := inDomainLogin(t, b, "bob", "bob")
			if _, err := b.Renew(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			bob := ldaptest.AccountDN("bob")
			members := d.Get(ldaptest.DomainGroup("engineers"), "member")
			d.Set(ldaptest.DomainGroup("engineers"), "member", slices.DeleteFunc(slices.Clone(members), func(dn string) bool { return dn == bob })...)
			_, err := b.Renew(t.Context(), l)
			says(t, err, "failed to renew entry: policies have changed, not renewing")
			d.Set(ldaptest.DomainGroup("engineers"), "member", members...)
			if _, err := b.Renew(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			for name, change := range map[string][2]string{
				"disabled": {"userAccountControl", "514"}, "expired": {"accountExpires", "132000000000000000"}, "must change": {"pwdLastSet", "0"},
			} {
				before := d.Get(bob, change[0])
				d.Set(bob, change[0], change[1])
				_, err := b.Renew(t.Context(), l)
				if says(t, err, wrong); t.Failed() {
					t.Fatal(name)
				}
				if change[0] == "pwdLastSet" {
					before = []string{"-1"} // now: nothing else can be written
				}
				d.Set(bob, change[0], before...)
				if _, err := b.Renew(t.Context(), l); err != nil {
					t.Fatalf("no longer %s: %v", name, err)
				}
			}
		})
	}
}

func rotationInDomain(t *testing.T, d *ldaptest.Domain) {
	b := mounted(t, inDomain(d))
	// The domain's rules ask for a password to be a day old before its owner changes it.
	says(t, rotate(t, b), "ldap operation failed: failed to change the password of the BindDN user: Constraint Violation")
	inDomainLogin(t, b, "alice", "alice")
	d.Set(ldaptest.DomainBase, "minPwdAge", "0")
	rows := map[string]object{
		"by its DN":                         nil,
		"by its principal name":             {"binddn": "reader@" + ldaptest.Realm},
		"by its logon name":                 {"binddn": `EXAMPLE\svc-reader`},
		"by its logon name with the domain": {"binddn": "svc-reader@" + ldaptest.Realm},
		"elsewhere than users":              {"userdn": ldaptest.DomainGroups, "binddn": "reader@" + ldaptest.Realm},
		"with StartTLS":                     {"url": d.URL(), "starttls": true},
	}
	for name, config := range rows {
		t.Run(name, func(t *testing.T) {
			d.SetPassword("svc-reader", ldaptest.DomainPassword("svc-reader"))
			b := mounted(t, with(inDomain(d), config))
			for range 2 {
				if err := rotate(t, b); err != nil {
					t.Fatal(err)
				}
			}
			if config["userdn"] == nil {
				b.Remount(t)
				inDomainLogin(t, b, "alice", "alice")
			}
		})
	}
}

// A tool writes the password from before a rotation again, which the directory takes for an hour more: the next
// rotation is none the worse.
func rotationAfterOldPassword(t *testing.T, d *ldaptest.Domain) {
	d.SetPassword("svc-reader", ldaptest.DomainPassword("svc-reader"))
	b := mounted(t, inDomain(d))
	for round := range 2 {
		if err := rotate(t, b); err != nil {
			t.Fatal(err)
		}
		if err := d.Takes(ldaptest.AccountDN("svc-reader"), ldaptest.DomainPassword("svc-reader")); round == 0 && err != nil {
			t.Fatalf("the old password is not taken, so this tests nothing: %v", err)
		}
		b.Must(t, backend.Update, "config", inDomain(d))
		inDomainLogin(t, b, "alice", "alice")
	}
	if err := rotate(t, b); err != nil {
		t.Fatal(err)
	}
	b.Remount(t)
	inDomainLogin(t, b, "alice", "alice")
}

// As TestRotationFaults, where the directory takes the old password beside the new one for an hour.
func rotationFaultsInDomain(t *testing.T, d *ldaptest.Domain) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		d.SetPassword("svc-reader", ldaptest.DomainPassword("svc-reader"))
		after := rotatedOverFault(t, inDomain(d), inject)
		inDomainLogin(t, after, "alice", "alice")
		if err := rotate(t, after); err != nil {
			t.Errorf("the next rotation: %v", err)
		}
		inDomainLogin(t, after, "alice", "alice")
	})
}
