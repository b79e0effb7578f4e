package ldaptest

import (
	"strings"

	ldap "github.com/go-ldap/ldap/v3"
)

// Account is a user of a domain.
type Account struct {
	CN, SAM string
	// UPN is the explicit user principal name; some accounts have none.
	UPN string
	// More are further attributes.
	More map[string]string
}

// DN is the account's.
func (a Account) DN() string { return "CN=" + ldap.EscapeDN(a.CN) + "," + DomainPeople }

// DomainPassword is the password of an account, good enough for the domain's rules.
func DomainPassword(sam string) string { return "Pw-of-" + sam + "-1" }

// Control values of accounts (userAccountControl).
const (
	normal   = "512"
	disabled = "514"
)

// Accounts of a domain. Their names are what Active Directory makes hard: the logon name, the principal
// name and the CN differ, and have spaces, umlauts and commas.
func Accounts() []Account {
	return []Account{
		{CN: "Alice Liddell", SAM: "alice", UPN: "alice.liddell@" + Realm},
		{CN: "Bob", SAM: "bob", UPN: "bob@" + Realm},
		{CN: "Müller, Jürgen", SAM: "jmüller", UPN: "jürgen.müller@" + Realm},
		{CN: `Doe, "Jane" #1 (x)`, SAM: "jane doe", UPN: "jane.doe@" + Realm},
		{CN: "Plain", SAM: "plain"},
		{CN: "Carol", SAM: "carol", UPN: "carol@example.org"},
		{CN: "Out", SAM: "out", UPN: "out@" + Realm, More: map[string]string{"userAccountControl": disabled}},
		{CN: "Past", SAM: "past", UPN: "past@" + Realm, More: map[string]string{"accountExpires": "132000000000000000"}},
		{CN: "Must", SAM: "must", UPN: "must@" + Realm, More: map[string]string{"pwdLastSet": "0"}},
		{CN: "Reader", SAM: "svc-reader", UPN: "reader@" + Realm},
	}
}

// Populate fills the domain:
//
//	engineers  alice, bob, jmüller, jane doe     platform  the group engineers
//	Ops, EU    alice, platform                   Ürün      jmüller
//	primaries  the primary group of bob
func (d *Domain) Populate() {
	d.t.Helper()
	d.Admin(func(c *ldap.Conn) error {
		for _, unit := range []string{DomainPeople, DomainGroups} {
			r := ldap.NewAddRequest(unit, nil)
			r.Attribute("objectClass", []string{"organizationalUnit"})
			if err := c.Add(r); err != nil {
				return err
			}
		}
		for _, a := range Accounts() {
			if err := addAccount(c, a); err != nil {
				return err
			}
		}
		for _, g := range []struct {
			name    string
			members []string
		}{
			{"engineers", accountDNs("alice", "bob", "jmüller", "jane doe")},
			{"platform", []string{DomainGroup("engineers")}},
			{"Ops, EU", append(accountDNs("alice"), DomainGroup("platform"))},
			{"Ürün", accountDNs("jmüller")},
			{"primaries", accountDNs("bob")},
		} {
			r := ldap.NewAddRequest(DomainGroup(g.name), nil)
			r.Attribute("objectClass", []string{"group"})
			r.Attribute("sAMAccountName", []string{"g-" + strings.ReplaceAll(g.name, ",", "")})
			r.Attribute("member", g.members)
			if err := c.Add(r); err != nil {
				return err
			}
		}
		return nil
	})
}

func addAccount(c *ldap.Conn, a Account) error {
	r := ldap.NewAddRequest(a.DN(), nil)
	r.Attribute("objectClass", []string{"user"})
	r.Attribute("sAMAccountName", []string{a.SAM})
	if a.UPN != "" {
		r.Attribute("userPrincipalName", []string{a.UPN})
	}
	r.Attribute("unicodePwd", []string{unicodePassword(DomainPassword(a.SAM))})
	if a.More["userAccountControl"] == "" {
		r.Attribute("userAccountControl", []string{normal})
	}
	for attribute, value := range a.More {
		r.Attribute(attribute, []string{value})
	}
	return c.Add(r)
}

// DomainGroup is the DN of a group.
func DomainGroup(name string) string { return "CN=" + ldap.EscapeDN(name) + "," + DomainGroups }

// AccountDN is the DN of the account with a logon name.
func AccountDN(sam string) string { return accountDNs(sam)[0] }

func accountDNs(sams ...string) []string {
	var dns []string
	for _, sam := range sams {
		for _, a := range Accounts() {
			if a.SAM == sam {
				dns = append(dns, a.DN())
			}
		}
	}
	return dns
}

// SetPassword gives an account another password, as an administrator does.
func (d *Domain) SetPassword(sam, password string) {
	d.t.Helper()
	d.Set(AccountDN(sam), "unicodePwd", unicodePassword(password))
}
