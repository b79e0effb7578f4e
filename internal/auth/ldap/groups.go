package ldap

import (
	"slices"
	"strings"

	ldap "github.com/go-ldap/ldap/v3"

	"jeton/internal/backend"
)

// groups are the names of the candidate's groups, sorted, each once.
func (d *directory) groups(l *link, c *candidate) ([]string, error) {
	var entries []*ldap.Entry
	var err error
	if d.config.Groups.TokenGroups {
		entries, err = d.tokenGroups(l, c)
	} else {
		entries, err = d.filteredGroups(l, c)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		mine, err := d.namesOf(e, c)
		if err != nil {
			return nil, err
		}
		names = append(names, mine...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// namesOf are the groups that an entry stands for. Contract: auth-methods §4.3 step 8, but for entries that list
// groups and have none.
func (d *directory) namesOf(e *ldap.Entry, c *candidate) ([]string, error) {
	upper := d.config.Groups.UpperCN
	if isCut(e, d.config.Groups.Attribute) {
		return nil, errCut
	}
	values := e.GetEqualFoldAttributeValues(d.config.Groups.Attribute)
	switch {
	case len(values) == 0 && d.listsGroups(e, c):
		return nil, nil
	case len(values) == 0:
		return []string{groupName(e.DN, upper)}, nil
	}
	names := make([]string, 0, len(values))
	for _, value := range values {
		if name := groupName(value, upper); name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// listsGroups says that an entry is asked for the groups that it is in, as a user's memberOf is. Where it is in
// none, its own name is no group's: who is called as a group is would be in that group.
func (d *directory) listsGroups(e *ldap.Entry, c *candidate) bool {
	return strings.EqualFold(d.config.Groups.Attribute, "memberOf") || sameDN(e.DN, c.dn)
}

func sameDN(a, b string) bool {
	one, err := ldap.ParseDN(a)
	if err != nil {
		return false
	}
	other, err := ldap.ParseDN(b)
	return err == nil && one.EqualFold(other)
}

var errCut = backend.Invalidf("ldap operation failed: the directory hands out a part of the values of groupattr only; " +
	"ask for the groups by use_token_groups or by a groupfilter that finds them")

// isCut says that Active Directory has left out values of an attribute, of which there are too many for it: it
// answers attribute;range=0-1499 then (MS-ADTS §3.1.1.3.1.3.3).
func isCut(e *ldap.Entry, attribute string) bool {
	return slices.ContainsFunc(e.Attributes, func(a *ldap.EntryAttribute) bool {
		name, option, _ := strings.Cut(strings.ToLower(a.Name), ";")
		return strings.HasPrefix(option, "range=") && strings.EqualFold(name, attribute)
	})
}

// filteredGroups asks by the operator's filter; without filter or base there is nothing to ask.
func (d *directory) filteredGroups(l *link, c *candidate) ([]*ldap.Entry, error) {
	if d.filters.group == nil || d.config.Groups.DN == "" {
		return nil, nil
	}
	filter, err := render(d.filters.group, memberName{UserDN: escapeFilter(c.dn), Username: escapeFilter(c.name)})
	if err != nil {
		return nil, ldap.NewError(ldap.ErrorFilterCompile, err)
	}
	return d.entries(l, d.config.Groups.DN, filter)
}

// entries searches below base, in pages if so configured. A directory that cuts its answer short
// is an error: half of the groups are not the groups.
func (d *directory) entries(l *link, base, filter string) ([]*ldap.Entry, error) {
	request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, dereferences[d.config.Server.Dereference],
		0, wholeSeconds(d.config.Server.RequestTimeout), false, filter, []string{d.config.Groups.Attribute}, nil)
	search := l.Search
	if size := d.config.Groups.PageSize; size > 0 {
		search = func(r *ldap.SearchRequest) (*ldap.SearchResult, error) { return l.SearchWithPaging(r, uint32(size)) }
	}
	result, err := search(request)
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}

// sidsAtATime bounds the filter of one search for groups by their SIDs.
const sidsAtATime = 100

// tokenGroups reads the SIDs of all the groups that the user is in, directly or through others
// (Active Directory computes them), and asks for the groups by them: below groupdn, or in the
// user's whole domain.
func (d *directory) tokenGroups(l *link, c *candidate) ([]*ldap.Entry, error) {
	result, err := l.Search(ldap.NewSearchRequest(c.dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases,
		1, wholeSeconds(d.config.Server.RequestTimeout), false, "(objectClass=*)", []string{"tokenGroups"}, nil))
	if err != nil || len(result.Entries) != 1 {
		return nil, err
	}
	sids := result.Entries[0].GetEqualFoldRawAttributeValues("tokenGroups")
	base := d.config.Groups.DN
	if base == "" {
		base = domainOf(c.dn)
	}
	var all []*ldap.Entry
	for some := range slices.Chunk(sids, sidsAtATime) {
		var filter strings.Builder
		filter.WriteString("(|")
		for _, sid := range some {
			filter.WriteString("(objectSid=" + escapeFilter(string(sid)) + ")")
		}
		filter.WriteString(")")
		entries, err := d.entries(l, base, filter.String())
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// domainOf is the part of a DN that names its domain ("DC=example,DC=com").
func domainOf(text string) string {
	dn, err := ldap.ParseDN(text)
	if err != nil {
		return ""
	}
	for i, rdn := range dn.RDNs {
		if len(rdn.Attributes) > 0 && strings.EqualFold(rdn.Attributes[0].Type, "dc") {
			return (&ldap.DN{RDNs: dn.RDNs[i:]}).String()
		}
	}
	return ""
}
