package auth

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Globs agree with the regular expressions that they stand for.
func TestGlob(t *testing.T) {
	for _, row := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a/b", true}, {"a", "A", false}, {"a*a", "a", false}, {"a*a", "aa", true},
		{"app-*", "app-", true}, {"app-*", "xapp-1", false}, {"*.org", "a.org", true}, {"*.org", "a.org.net", false}, {"a*b*c", "abc", true}, {"?", "a", false},
	} {
		if got := Glob(row.pattern, row.s); got != row.want {
			t.Errorf("%q on %q: %v", row.pattern, row.s, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,6}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "s")
		want := regexp.MustCompile("^" + strings.ReplaceAll(pattern, "*", ".*") + "$").MatchString(s)
		if got := Glob(pattern, s); got != want {
			t.Errorf("%q on %q: %v", pattern, s, got)
		}
	})
}
