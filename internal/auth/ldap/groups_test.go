package ldap

import (
	"slices"
	"testing"

	ldap "github.com/go-ldap/ldap/v3"
)

// Contract: auth-methods §4.3 step 8, what names an entry stands for.
func TestNamesOfEntries(t *testing.T) {
	const alice = "CN=Admins,OU=People,DC=example,DC=org"
	const group = "CN=engineers,OU=Groups,DC=example,DC=org"
	rows := []struct {
		name, attribute, dn string
		values              map[string][]string
		want                []string
		err                 error
	}{
		{"the attribute's value", "cn", group, map[string][]string{"CN": {"Engineers"}}, []string{"Engineers"}, nil},
		{"the CN of a value that is a DN", "memberOf", alice, map[string][]string{"memberOf": {group}}, []string{"engineers"}, nil},
		{"the entry's CN where the attribute is absent", "cn", group, nil, []string{"engineers"}, nil},
		{"a user without memberOf is in no group, however the user is called", "memberOf", alice, nil, nil, nil},
		{"the same for other attributes of the user's own entry", "isMemberOf", "cn=admins, ou=people, dc=example, dc=org", nil, nil, nil},
		{"some of too many values are not the values", "memberOf", alice, map[string][]string{"memberOf": {}, "memberOf;range=0-1499": {group}}, nil, errCut},
		{"other options are none of our business", "memberOf", alice, map[string][]string{"memberOf": {group}, "memberOf;lang-en": {"x"}}, []string{"engineers"}, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := defaults()
			c.Groups.Attribute = row.attribute
			d := &directory{config: c}
			got, err := d.namesOf(ldap.NewEntry(row.dn, row.values), &candidate{dn: alice})
			if err != row.err || !slices.Equal(got, row.want) {
				t.Errorf("%q, %v; want %q, %v", got, err, row.want, row.err)
			}
		})
	}
}
