package cli

import (
	"encoding/json"
	"testing"
	"unicode"
)

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"prod/db": "prod/db", "Überraschung 日": "Überraschung 日", "": "",
		"a\x1b[2J": `a\x1b[2J`, "a\r\nb\tc": `a\x0d\x0ab\x09c`, "a\u202eb": `a\u202eb`, "\u009b": `\u009b`, "\u2028": `\u2028`, "a\xffb": `a\xffb`, "\U000e0041": `\udb40\udc41`,
		"\ufffd": "\ufffd", "a\u00a0b": `a\u00a0b`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x1b\u202e\U000e0041\xff")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range visible(text) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q is shown with %q", text, r)
			}
		}
		plain, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var before, after string
		escaped := visibleJSON(string(plain))
		if json.Unmarshal(plain, &before) != nil || json.Unmarshal([]byte(escaped), &after) != nil || before != after {
			t.Fatalf("%q became %q", before, escaped)
		}
	})
}
