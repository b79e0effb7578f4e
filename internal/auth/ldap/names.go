package ldap

import (
	"errors"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	ldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"

	"jeton/internal/backend"
)

// longestName bounds names of users and groups, in bytes.
const longestName = 512

var errName = errors.New("ldap: a name that no directory tells from another")

// fold is the one spelling of a name: what a directory takes for the same name must be the same
// user here, or a lock and an entity could be gone round by another spelling (CVE-2025-6004,
// CVE-2025-6013). It follows the preparation of RFC 4518: compatibility forms are composed
// (NFKC), spaces around and doubled ones are dropped, case is dropped unless it matters here.
// Names with characters that this preparation would remove are refused.
func fold(name string, caseSensitive bool) (string, error) {
	if !utf8.ValidString(name) || len(name) > longestName {
		return "", errName
	}
	if !caseSensitive {
		name = strings.Map(caseless, name)
	}
	name = norm.NFKC.String(name)
	if !caseSensitive {
		// Compatibility forms may compose to upper case.
		name = norm.NFKC.String(strings.Map(caseless, name))
	}
	for _, r := range name {
		if !unicode.IsPrint(r) || vanishes(r) {
			return "", errName
		}
	}
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == ' ' }), " ")
	// Composing may make a name many times longer.
	if name == "" || len(name) > longestName {
		return "", errName
	}
	return name, nil
}

// caseless is the one letter for all that differ from r by case alone. The small letter is not
// enough: a sigma has two (RFC 3454 B.2). Foldings that make two letters of one are left out: a
// directory may know both Strauß and Strauss.
func caseless(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return unicode.ToLower(least)
}

// vanishes says that RFC 4518 §2.2 maps a printable character to nothing.
func vanishes(r rune) bool {
	switch {
	case r == 0x034f, r == 0x1806, r == 0xfffc, r >= 0x180b && r <= 0x180d, r >= 0xfe00 && r <= 0xfe0f:
		return true
	}
	return false
}

// canonical checks the name of a mapping, which the ACL has seen: it must be written in the one
// spelling already, so that a rule for a name holds for all there is of it (CVE-2026-89322).
func (m *Method) canonical(name string) error {
	if folded, err := fold(name, m.asWritten.Load()); err != nil || folded != name {
		return backend.Invalidf("invalid name: write it without spaces around it, doubled spaces, invisible characters, compatibility forms and final sigmas (σ for ς)")
	}
	return nil
}

// isAttribute accepts the name of an attribute, or its number (RFC 4512 §2.5).
func isAttribute(name string) bool {
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case (r == '-' || r == '.' || r == ';' || r == '_') && i > 0:
		default:
			return false
		}
	}
	return name != ""
}

// filters are the operator's templates, compiled.
type filters struct{ user, group *template.Template }

// userName is what the template of a user's filter sees. Both are escaped already.
type userName struct{ UserAttr, Username string }

// memberName is what the template of a group's filter sees. Both are escaped already.
type memberName struct{ UserDN, Username string }

// parseFilters compiles the templates and tries them: what they make has to be a filter.
func parseFilters(c *configRecord) (*filters, error) {
	user, err := parseFilter("userfilter", c.Users.Filter, userName{c.Users.Attribute, escapeFilter("a*)(b")})
	if err != nil {
		return nil, err
	}
	group, err := parseFilter("groupfilter", c.Groups.Filter, memberName{escapeFilter(`cn=a\2c(b,dc=c`), escapeFilter("a*)(b")})
	if err != nil {
		return nil, err
	}
	return &filters{user: user, group: group}, nil
}

// parseFilter is nil for an empty one, which asks for nothing.
func parseFilter(field, text string, sample any) (*template.Template, error) {
	if text == "" {
		return nil, nil
	}
	t, err := template.New(field).Parse(text)
	if err != nil || !plain(t) {
		// The library's text repeats parts of what was sent.
		return nil, backend.Invalidf("invalid %s: it is not a well-formed template of names such as {{.Username}}", field)
	}
	if _, err := render(t, sample); err != nil {
		return nil, backend.Invalidf("invalid %s: what it makes is not an LDAP filter", field)
	}
	return t, nil
}

// plain says that a template puts in names and does nothing else. Functions could cut an escaped
// value in two, or fill the memory.
func plain(t *template.Template) bool {
	for _, node := range t.Root.Nodes {
		switch node := node.(type) {
		case *parse.TextNode:
		case *parse.ActionNode:
			if len(node.Pipe.Decl) > 0 || len(node.Pipe.Cmds) != 1 || len(node.Pipe.Cmds[0].Args) != 1 {
				return false
			}
			if _, field := node.Pipe.Cmds[0].Args[0].(*parse.FieldNode); !field {
				return false
			}
		default:
			return false
		}
	}
	return len(t.Templates()) == 1
}

// longestFilter bounds what a template may make, in bytes.
const longestFilter = 64 << 10

var errLong = errors.New("ldap: the filter is too long")

// bounded stops a template that makes no end.
type bounded struct{ strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > longestFilter {
		return 0, errLong
	}
	return b.Builder.Write(p)
}

// render makes a filter. names holds escaped values only.
func render(t *template.Template, names any) (string, error) {
	var out bounded
	if err := t.Execute(&out, names); err != nil {
		return "", err
	}
	if _, err := ldap.CompileFilter(out.String()); err != nil {
		return "", err
	}
	return out.String(), nil
}

// escapeFilter makes a value of a filter that matches only itself (RFC 4515 §3). A DN that goes
// into a filter is a value like any other: how its parts were escaped does not count there
// (CVE-2026-55770).
func escapeFilter(value string) string { return ldap.EscapeFilter(value) }

// escapeDN makes a value of a DN (RFC 4514 §2.4). Characters that cannot be printed are written
// in hexadecimal.
func escapeDN(value string) string {
	escaped := ldap.EscapeDN(value)
	if strings.IndexFunc(escaped, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return escaped
	}
	var out strings.Builder
	for _, r := range escaped {
		if unicode.IsPrint(r) {
			out.WriteRune(r)
			continue
		}
		for _, b := range []byte(string(r)) {
			out.WriteByte('\\')
			out.WriteByte("0123456789abcdef"[b>>4])
			out.WriteByte("0123456789abcdef"[b&15])
		}
	}
	return out.String()
}

// groupName is what a value that names a group stands for: the CN of a DN, else itself.
// Contract: auth-methods §4.3 step 8.
func groupName(value string, upperOnly bool) string {
	dn, err := ldap.ParseDN(value)
	if err != nil {
		return value
	}
	for _, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			if a.Type == "CN" || (!upperOnly && strings.EqualFold(a.Type, "cn")) {
				return a.Value
			}
		}
	}
	return value
}
