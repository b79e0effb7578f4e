package ldap

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	ldap "github.com/go-ldap/ldap/v3"
	"pgregory.net/rapid"

	"jeton/internal/auth/ldap/ldaptest"
)

// nasty draws text of what means something in filters and DNs, between anything.
func nasty() *rapid.Generator[string] {
	special := rapid.SampledFrom([]rune{' ', '#', '"', '+', ',', ';', '<', '>', '\\', '=', '*', '(', ')', '&', '|', '!', '~', 0, '\n', '2', 'a', 'é', '日', 0x1f600})
	return rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOf(rapid.OneOf(special, rapid.Rune())).Draw(t, "runes"))
	})
}

// checkFilter says that an escaped value is read as that value and no more: one test of
// equality, of no other value.
func checkFilter(t interface{ Fatalf(string, ...any) }, value string) {
	packet, err := ldap.CompileFilter("(uid=" + escapeFilter(value) + ")")
	if value == "" {
		return // (uid=) is what the library makes of it; no name is empty
	}
	if err != nil {
		t.Fatalf("%q: %v", value, err)
	}
	if packet.Tag != ldap.FilterEqualityMatch || len(packet.Children) != 2 {
		t.Fatalf("%q became another kind of filter: %d", value, packet.Tag)
	}
	if got := packet.Children[1].Data.String(); got != value {
		t.Fatalf("%q is looked for as %q", value, got)
	}
	// Between others it stays where it is.
	packet, err = ldap.CompileFilter("(&(a=b)(uid=" + escapeFilter(value) + ")(c=d))")
	if err != nil || len(packet.Children) != 3 || packet.Children[1].Children[1].Data.String() != value {
		t.Fatalf("%q breaks out of its place: %v", value, err)
	}
}

// checkDN says the same of a DN.
func checkDN(t interface{ Fatalf(string, ...any) }, value string) {
	if value == "" || !utf8.ValidString(value) {
		return
	}
	dn, err := ldap.ParseDN("uid=" + escapeDN(value) + ",ou=people,dc=example")
	if err != nil {
		t.Fatalf("%q: %v", value, err)
	}
	if len(dn.RDNs) != 3 || len(dn.RDNs[0].Attributes) != 1 || dn.RDNs[0].Attributes[0].Type != "uid" {
		t.Fatalf("%q breaks out of its place: %s", value, dn)
	}
	if got := dn.RDNs[0].Attributes[0].Value; got != value {
		t.Fatalf("%q is read as %q", value, got)
	}
	// CVE-2026-55770: a DN in a filter is escaped as a filter's value, over its own escapes.
	checkFilter(t, "uid="+escapeDN(value)+",ou=people")
}

// checkFold says that a name has one spelling: folding again changes nothing, and neither case
// nor spaces make another.
func checkFold(t interface{ Fatalf(string, ...any) }, name string) {
	once, err := fold(name, false)
	if err != nil {
		return
	}
	for _, other := range []string{once, " " + once + " ", strings.ReplaceAll(once, " ", "  ")} {
		if again, err := fold(other, false); err != nil || again != once {
			t.Fatalf("%q folds to %q, and that to %q (%v)", name, once, again, err)
		}
	}
	if exact, err := fold(name, true); err == nil {
		if again, err := fold(exact, true); err != nil || again != exact {
			t.Fatalf("%q with its case folds to %q, and that to %q", name, exact, again)
		}
		if lower, err := fold(exact, false); err != nil || lower != once {
			t.Fatalf("%q without its case is %q, by way of %q it is %q (%v)", name, once, exact, lower, err)
		}
	}
}

// Contract: auth-methods §4.3, escaping (RFC 4514, RFC 4515).
func TestEscapedValuesMatchThemselves(t *testing.T) {
	for _, name := range append(ldaptest.Odd(), " lead", "trail ", "#lead", "\x00", "a\x00b", `\`, `\\2a`, "*)(uid=*))(|(uid=*", " ", "  ", "a\r\nb", "Ϲ", "ς", "ὈΔΥΣΣΕΎΣ", "ᲀ", "ẞ", "ſ", "K", "İ", "ͅ", "ǅ") {
		checkFilter(t, name)
		checkDN(t, name)
		checkFold(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		value := nasty().Draw(t, "value")
		checkFilter(t, value)
		checkDN(t, value)
		checkFold(t, value)
	})
}

// RFC 4518 §2.2, RFC 3454 B.2: letters that differ by case alone are one, however many there are.
func TestLettersOfOneCase(t *testing.T) {
	for _, names := range [][]string{
		{"οδυσσευς", "ΟΔΥΣΣΕΥΣ", "οδυσσευσ", "ΟΔΥΣΣΕΥϹ", "οδυϲϲευϲ"}, {"вода", "ВОДА", "ᲀода"}, {"Strauß", "STRAUẞ", "strauß"}, {"ǆ", "Ǆ", "ǅ"}, {"kelvin", "Kelvin"},
	} {
		first, err := fold(names[0], false)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names[1:] {
			if got, err := fold(name, false); err != nil || got != first {
				t.Errorf("%q is %q, %q is %q (%v)", names[0], first, name, got, err)
			}
		}
	}
	if a, _ := fold("Strauß", false); a == "strauss" {
		t.Error("Strauß is Strauss")
	}
}

func FuzzFilter(f *testing.F) {
	for _, name := range ldaptest.Odd() {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, value string) { checkFilter(t, value) })
}

func FuzzDN(f *testing.F) {
	for _, name := range ldaptest.Odd() {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, value string) { checkDN(t, value) })
}

func FuzzFold(f *testing.F) {
	for _, name := range append(ldaptest.Odd(), "ALICE", "ａｌｉｃｅ", "İ", "ﬁ", "ẛ̣") {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) { checkFold(t, name) })
}

// FuzzTemplate: whatever an operator writes, it is refused or makes filters; nothing panics.
func FuzzTemplate(f *testing.F) {
	f.Add(defaultUserFilter, "a")
	f.Add("(&(uid={{.Username}})(!(x={{.UserAttr}})))", "*)(")
	f.Add("({{range .Username}}{{end}}", "b")
	f.Fuzz(func(t *testing.T, text, name string) {
		filter, err := parseFilter("userfilter", text, userName{"uid", escapeFilter("a")})
		if err != nil || filter == nil {
			return
		}
		if out, err := render(filter, userName{"uid", escapeFilter(name)}); err == nil {
			if _, err := ldap.CompileFilter(out); err != nil {
				t.Errorf("%q: %v", out, err)
			}
		}
	})
}

// CVE-2025-6004, CVE-2025-6013: what a directory takes for one name is one name here.
func TestFoldCVE20256013(t *testing.T) {
	same := [][]string{
		{"alice", "Alice", " ALICE ", "ａｌｉｃｅ", "alic\u0065"},
		{"two words", "Two  Words", "two\u00a0words", "two\u3000words"},
		{"renée", "rene\u0301e", "RENÉE"},
		{"fig", "ﬁg"},
	}
	for _, group := range same {
		for _, name := range group {
			if got, err := fold(name, false); err != nil || got != group[0] {
				t.Errorf("%q folds to %q, %v; want %q", name, got, err, group[0])
			}
		}
	}
	for _, name := range []string{"", " ", "a\x00", "al\u00adice", "al\u200bice", "alice\ufe0f", "a\nb", "a\xff", strings.Repeat("x", longestName+1), strings.Repeat("\ufdfa", 100), "a\u034fb"} {
		if got, err := fold(name, false); err == nil {
			t.Errorf("%q is taken, as %q", name, got)
		}
	}
	if got, _ := fold(" Al  Ice", true); got != "Al Ice" {
		t.Errorf("with its case: %q", got)
	}
}

// Contract: auth-methods §4.3 step 8.
func TestGroupName(t *testing.T) {
	rows := []struct {
		value string
		upper bool
		name  string
	}{
		{"engineers", false, "engineers"},
		{"cn=engineers,ou=groups,dc=example", false, "engineers"},
		{`CN=Ops\, EU,OU=x`, false, "Ops, EU"},
		{"ou=no common name,dc=example", false, "ou=no common name,dc=example"},
		{"cn=lower,dc=example", true, "cn=lower,dc=example"},
		{"CN=upper,dc=example", true, "upper"},
	}
	for _, row := range rows {
		if got := groupName(row.value, row.upper); got != row.name {
			t.Errorf("%q (%v): %q, want %q", row.value, row.upper, got, row.name)
		}
	}
}

// The urls of a configuration, one by one.
func TestParseURLs(t *testing.T) {
	list, err := parseURLs([]string{"ldap://a", "ldaps://b:1636/", "ldap://[::1]:390", "ldaps://c"})
	if err != nil {
		t.Fatal(err)
	}
	var dials []string
	for _, a := range list {
		dials = append(dials, a.dial())
	}
	if want := []string{"a:389", "b:1636", "[::1]:390", "c:636"}; !slices.Equal(dials, want) {
		t.Errorf("%v, want %v", dials, want)
	}
	if list[0].loopback() || !list[2].loopback() {
		t.Error("what leaves the machine is not told from what stays")
	}
}

// Active Directory takes a password in quotes, in UTF-16.
func TestQuoted(t *testing.T) {
	if got := quoted("aé"); got != "\"\x00a\x00\xe9\x00\"\x00" {
		t.Errorf("%q", got)
	}
	if a, b := newPassword(), newPassword(); a == b || len(a) < 26 {
		t.Errorf("passwords %d characters long", len(a))
	}
}
