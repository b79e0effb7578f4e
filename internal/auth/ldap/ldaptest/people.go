package ldaptest

import (
	"encoding/base64"
	"fmt"
	"strings"

	ldap "github.com/go-ldap/ldap/v3"
)

// Crowd is how many users named u0000, u0001, … there are; each has the password of Password.
const Crowd = 300

// Huge is how many groups u0000 is in, more than slapd hands out without pages.
const Huge = 600

// Odd are names with characters that mean something in a DN or a filter. Each is the uid, and part of
// the DN, of a user; "odd" is a group of them all.
func Odd() []string {
	return []string{
		"comma, name", "plus+name", `quo"te"d`, `back\slash`, "#hash", "ha#sh", "semi;colon", "angle<>", "equals=x", "star*",
		"paren(s)", "a)(uid=*", `esc\2aped`, `esc\,aped`, "slash/name", "two words", "at@sign", "ünïcödé", "日本", "percent%41", "quote'", "{{.userdn}}", "-dash", "trailing.",
	}
}

// Password is the password of a user.
func Password(uid string) string { return "pw of " + uid }

// DN is the DN of a user.
func DN(uid string) string { return "uid=" + ldap.EscapeDN(uid) + "," + People }

// people is the directory's first content, as LDIF.
func people() string {
	var b strings.Builder
	entry := func(dn string, pairs ...string) {
		fmt.Fprintf(&b, "dn:: %s\n", base64.StdEncoding.EncodeToString([]byte(dn)))
		for i := 0; i < len(pairs); i += 2 {
			fmt.Fprintf(&b, "%s:: %s\n", pairs[i], base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
		}
		b.WriteString("\n")
	}
	entry(Base, "objectClass", "dcObject", "objectClass", "organization", "o", "Example", "dc", "example")
	for _, unit := range []string{"people", "groups", "services", "hidden"} {
		entry("ou="+unit+","+Base, "objectClass", "organizationalUnit", "ou", unit)
	}
	entry(Reader, "objectClass", "organizationalRole", "objectClass", "simpleSecurityObject", "cn", "reader", "userPassword", ReaderPassword)
	// more comes first: slapadd wants the values of an attribute to follow one another.
	user := func(uid string, more ...string) {
		entry(DN(uid), append(more, "cn", uid, "objectClass", "inetOrgPerson", "objectClass", "securityPrincipal", "uid", uid, "sn", "x",
			"sAMAccountName", uid, "userPrincipalName", uid+"@example.org", "userPassword", Password(uid))...)
	}
	user("alice", "mail", "al@example.org", "objectSid", Sid(1001), "tokenGroups", Sid(2001), "tokenGroups", Sid(2002), "cn", "Alice Liddell")
	user("bob", "mail", "bob@example.org")
	user("carol")
	user("René")
	// Two entries of one name, which is nobody's then.
	user("twin")
	entry("uid=twin,ou=hidden,"+Base, "objectClass", "inetOrgPerson", "uid", "twin", "cn", "twin", "sn", "x", "userPassword", Password("twin"))
	for i := range Crowd {
		user(fmt.Sprintf("u%04d", i))
	}
	for _, uid := range Odd() {
		user(uid)
	}
	// What a referral leads to must not be asked.
	entry("ou=elsewhere,"+People, "objectClass", "referral", "objectClass", "extensibleObject", "ou", "elsewhere", "ref", "ldap://127.0.0.1:1/"+People)
	return b.String()
}

// Sid is a security identifier of Active Directory, in its octets.
func Sid(rid uint32) string {
	head := []byte{1, 2, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0}
	return string(append(head, byte(rid), byte(rid>>8), byte(rid>>16), byte(rid>>24)))
}

// addGroups makes the groups by the protocol, so that the memberof overlay sees them.
//
//	engineers  alice, bob        platform  the group engineers, so alice and bob by nesting
//	Admins     carol             Ops, EU   alice; the name has a comma
//	unix       memberUid alice   odd       all of Odd
//	sid-*      for tokenGroups   huge-*    u0000, Huge times
func addGroups(c *ldap.Conn) error {
	group := func(name string, attributes map[string][]string) error {
		r := ldap.NewAddRequest("cn="+ldap.EscapeDN(name)+","+Groups, nil)
		r.Attribute("cn", []string{name})
		for attribute, values := range attributes {
			r.Attribute(attribute, values)
		}
		return c.Add(r)
	}
	members := func(name string, dns ...string) error {
		return group(name, map[string][]string{"objectClass": {"groupOfNames"}, "member": dns})
	}
	var odd []string
	for _, uid := range Odd() {
		odd = append(odd, DN(uid))
	}
	for _, err := range []error{
		members("engineers", DN("alice"), DN("bob")),
		members("platform", "cn=engineers,"+Groups),
		members("Admins", DN("carol")),
		members("Ops, EU", DN("alice")),
		members("odd", odd...),
		group("unix", map[string][]string{"objectClass": {"posixGroup"}, "gidNumber": {"5000"}, "memberUid": {"alice"}}),
		group("sid-direct", map[string][]string{"objectClass": {"groupOfNames", "securityPrincipal"}, "member": {Reader}, "objectSid": {Sid(2001)}}),
		group("sid-nested", map[string][]string{"objectClass": {"groupOfNames", "securityPrincipal"}, "member": {Reader}, "objectSid": {Sid(2002)}}),
		group("sid-other", map[string][]string{"objectClass": {"groupOfNames", "securityPrincipal"}, "member": {Reader}, "objectSid": {Sid(2003)}}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// AddHugeGroups puts u0000 into Huge groups.
func (s *Server) AddHugeGroups() {
	s.t.Helper()
	s.Admin(func(c *ldap.Conn) error {
		for i := range Huge {
			r := ldap.NewAddRequest(fmt.Sprintf("cn=huge-%04d,%s", i, Groups), nil)
			r.Attribute("cn", []string{fmt.Sprintf("huge-%04d", i)})
			r.Attribute("objectClass", []string{"groupOfNames"})
			r.Attribute("member", []string{DN("u0000")})
			if err := c.Add(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// Join puts a user into a group.
func (s *Server) Join(uid, group string) {
	s.t.Helper()
	s.modify("cn="+ldap.EscapeDN(group)+","+Groups, func(r *ldap.ModifyRequest) { r.Add("member", []string{DN(uid)}) })
}

// Leave takes a user out of a group.
func (s *Server) Leave(uid, group string) {
	s.t.Helper()
	s.modify("cn="+ldap.EscapeDN(group)+","+Groups, func(r *ldap.ModifyRequest) { r.Delete("member", []string{DN(uid)}) })
}

// SetPassword gives an entry another password.
func (s *Server) SetPassword(dn, password string) {
	s.t.Helper()
	s.modify(dn, func(r *ldap.ModifyRequest) { r.Replace("userPassword", []string{password}) })
}

// Remove deletes a user.
func (s *Server) Remove(uid string) {
	s.t.Helper()
	s.Admin(func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(DN(uid), nil)) })
}

func (s *Server) modify(dn string, change func(*ldap.ModifyRequest)) {
	s.t.Helper()
	s.Admin(func(c *ldap.Conn) error {
		r := ldap.NewModifyRequest(dn, nil)
		change(r)
		return c.Modify(r)
	})
}
