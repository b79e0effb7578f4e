package policy

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// contract: policies §10, observed row "policies, tokens"; CVE-2025-5999, CVE-2026-105820.
func TestCanonicalName(t *testing.T) {
	accepted := map[string]string{
		"dev": "dev", "DEV": "dev", " dev\n": "dev", "Dev-1_x.y": "dev-1_x.y", "team/dev": "team/dev",
		"a,b": "a,b", "my policy": "my policy", "ROOT": "root", " root": "root", "root\t": "root",
		"équipe": "équipe", "КОМАНДА": "команда", "a..b": "a..b", "~x": "~x", "...": "...",
	}
	for name, want := range accepted {
		if got, err := CanonicalName(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	refused := []string{
		"", "  ", ".", "..", "./root", "root/../root", "../root/x", "a/./b", "a/..", "/root", "root/", "a//b",
		"root\x00", "ro\x00ot", "a\nb", "a\tb", "root%00", "%72oot", `a\b`, "a\x7f", "ro\u200bot", "ro\u202eot",
		"ｒｏｏｔ", "r\u043e\u043et", "\xff\xfe", "a\u00a0b", strings.Repeat("a", 513),
	}
	for _, name := range refused {
		got, err := CanonicalName(name)
		if !errors.Is(err, ErrName) || got != "" {
			t.Errorf("%q is %q, %v", name, got, err)
		}
		if err != nil && len(name) > 3 && strings.Contains(err.Error(), name) {
			t.Errorf("the error repeats %q", name)
		}
	}
}

// A canonical name is its own canonical form: what is stored under it is found under it.
func TestCanonicalNameIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		once, err := CanonicalName(name)
		if err != nil {
			return
		}
		if twice, err := CanonicalName(once); err != nil || twice != once {
			t.Fatalf("%q becomes %q becomes %q, %v", name, once, twice, err)
		}
	})
}
