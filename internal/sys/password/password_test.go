package password

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for _, row := range []struct{ name, text, refused string }{
		{"HCL", "length = 20\nrule \"charset\" { charset = \"abc\" min-chars = 1 }", ""},
		{"JSON", `{"length":20,"rule":[{"charset":[{"charset":"abc","min-chars":1}]},{"charset":[{"charset":"0123"}]}]}`, ""},
		{"three characters", "length = 3\nrule \"charset\" { charset = \"abc\" }", "passwords must be between 4 and 100 characters"},
		{"101 characters", "length = 101\nrule \"charset\" { charset = \"abc\" }", "passwords must be between 4 and 100 characters"},
		{"no length", "rule \"charset\" { charset = \"abc\" }", "passwords must be between 4 and 100 characters"},
		{"no rule", "length = 20", "no rule"},
		{"more than fits", "length = 4\nrule \"charset\" { charset = \"abc\" min-chars = 5 }", "are the rules impossible?"},
		{"an unknown rule", "length = 20\nrule \"words\" { charset = \"abc\" }", "only kind of rule"},
		{"an unknown key", "size = 20", "unknown key"},
		{"an unknown key in a rule", "length = 20\nrule \"charset\" { set = \"abc\" }", "unknown key"},
		{"an empty charset", "length = 20\nrule \"charset\" { charset = \"\" }", "no charset"},
		{"a charset that cannot be printed", "length = 20\nrule \"charset\" { charset = \"a\\tb\" }", "cannot be printed"},
		{"a length that is no number", `length = "x"`, "whole number"},
		{"no HCL", "length = {", "not HCL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Parse(row.text)
			switch {
			case row.refused == "" && err != nil:
				t.Fatal(err)
			case row.refused != "" && (err == nil || !strings.Contains(err.Error(), row.refused)):
				t.Fatalf("error %v, want one with %q", err, row.refused)
			}
		})
	}
}

// Every password has its length, has what each rule asks for, and nothing else.
func TestGenerate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Policy{length: rapid.IntRange(minLength, maxLength).Draw(t, "length")}
		left := p.length
		for range rapid.IntRange(1, 4).Draw(t, "rules") {
			least := rapid.IntRange(0, left).Draw(t, "least")
			left -= least
			p.rules = append(p.rules, rule{charset: []rune(rapid.StringMatching(`[a-zA-Z0-9äß]{1,20}`).Draw(t, "charset")), least: least})
		}
		if err := p.judge(); err != nil {
			t.Fatal(err)
		}
		made := []rune(p.Generate())
		if len(made) != p.length {
			t.Fatalf("%d characters, want %d", len(made), p.length)
		}
		for _, r := range p.rules {
			have := 0
			for _, c := range made {
				if strings.ContainsRune(string(r.charset), c) {
					have++
				}
			}
			if have < r.least {
				t.Fatalf("%d characters of %q, want %d", have, string(r.charset), r.least)
			}
		}
		if rest := strings.Trim(string(made), string(p.all)); rest != "" {
			t.Fatalf("characters of no rule: %q", rest)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("length = 20\nrule \"charset\" { charset = \"abc\" min-chars = 1 }")
	f.Add(`{"length":20,"rule":[{"charset":[{"charset":"abc","min-chars":1}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(Decode(text))
		if err != nil {
			return
		}
		if n := len([]rune(p.Generate())); n < minLength || n > maxLength {
			t.Fatalf("a password of %d characters", n)
		}
	})
}
