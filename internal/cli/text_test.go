package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// contract: cli §1 "Duration flags"
func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "30s": 30 * time.Second, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute,
		"1d": 24 * time.Hour, "3600": time.Hour, "0": 0, "-1": -time.Second,
	} {
		got, err := parseDuration(text)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "1x", "9999999999999", "999999999d", "d", "1.5d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

// contract: cli §5, humanised durations
func TestHumanDuration(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{2764800, "768h"}, {5400, "1h30m"}, {3630, "1h30s"}, {0, "0s"}, {60, "1m"}, {int64(-90), "-1m30s"},
		{json.Number("3600"), "1h"}, {json.Number("1.5"), "1.5"}, {"1h0m0s", "1h0m0s"}, {nil, "<nil>"},
		{json.Number("99999999999999999"), "99999999999999999"},
	} {
		rows := dataRows(map[string]any{"ttl": c.in})
		if rows[0][1] != c.want {
			t.Errorf("%v: %q, want %q", c.in, rows[0][1], c.want)
		}
	}
	for key, want := range map[string]bool{
		"ttl": true, "period": true, "duration": true, "lease_max": true, "ttl_max": true,
		"token_max_ttl": true, "token_period": true, "lease_duration": true, "ttls": false, "creation_time": false,
	} {
		if isDurationKey(key) != want {
			t.Errorf("%s: %v", key, !want)
		}
	}
}

func TestColumns(t *testing.T) {
	got := table([][]string{{"Key", "Value"}, {"é", ""}, {"long", "a\nb"}})
	want := "Key     Value\n---     -----\né       n/a\nlong    a\nb"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWrap(t *testing.T) {
	text := "* " + strings.Repeat("word ", 40)
	for _, line := range strings.Split(wrap(text, 78), "\n") {
		if len(line) > 78 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
	if got := wrap("one\n\ntwo  three", 5); got != "one\n\ntwo\nthree" {
		t.Errorf("%q", got)
	}
	if long := strings.Repeat("x", 90); wrap(long, 78) != long {
		t.Error("a long word was broken")
	}
}

// contract: cli §6 "kv", the widths of headings
func TestHeading(t *testing.T) {
	for _, c := range []struct {
		title string
		width int
		want  string
	}{
		{"Secret Path", 17, "== Secret Path =="},
		{"Secret Path", 3, "== Secret Path =="},
		{"Secret Path", 18, "=== Secret Path ==="},
		{"Metadata", 24, "======= Metadata ======="},
		{"Data", 17, "====== Data ======"},
	} {
		if got := heading(c.title, c.width); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestClosest(t *testing.T) {
	known := []string{"token", "policy", "kv", "status"}
	for word, want := range map[string]string{"tokn": "token", "polcy": "policy", "vk": "", "stauts": "status", "xyz": "", "": ""} {
		if got := closest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// Nothing that is typed may crash the argument reader, and what looks like a
// token must not come back in its errors.
func FuzzParseData(f *testing.F) {
	for _, s := range []string{"a=1", "@", "=", "a=@", `a=\@`, "-", "hvs.CAESIJlRabcdefgh", "s.abcdefghijklmnop", ""} {
		f.Add(s, "{}")
	}
	f.Fuzz(func(t *testing.T, arg, stdin string) {
		if strings.HasPrefix(arg, "@") || strings.Contains(arg, "=@") {
			t.Skip("names a file")
		}
		c := &console{in: strings.NewReader(stdin)}
		_, err := c.parseData([]string{arg})
		if err != nil && strings.HasPrefix(arg, "hvs.") && len(arg) > 12 && strings.Contains(err.Error(), arg[4:]) {
			t.Errorf("the error repeats the token: %v", err)
		}
	})
}

// contract: cli §5, "Numbers exact" and yaml
func TestYAMLKeepsNumbersAndQuotesWords(t *testing.T) {
	in := map[string]any{
		"n": json.Number("123456789012345678901234567890"), "f": json.Number("1.10"), "e": json.Number("1e400"),
		"word": "n", "digits": "0123", "none": nil, "list": []any{json.Number("18446744073709551616"), "yes", true},
		"empty": map[string]any{},
	}
	want := `digits: "0123"
e: 1e400
empty: {}
f: 1.10
list:
- 18446744073709551616
- "yes"
- true
"n": 123456789012345678901234567890
none: null
word: "n"
`
	if got, err := yamlText(in); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
