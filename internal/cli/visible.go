package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible is what somebody else named, in one line that a terminal shows and does not obey: control
// characters, line ends and marks that turn text round are written as Go writes them.
func visible(text string) string {
	var out strings.Builder
	for i, r := range text {
		switch _, size := utf8.DecodeRuneInString(text[i:]); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			out.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&out, `\x%02x`, r)
		default:
			out.WriteString(asJSON(r))
		}
	}
	return out.String()
}

// asJSON writes a character as JSON escapes it.
func asJSON(r rune) string {
	if r > 0xffff {
		r -= 0x10000
		return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// visibleJSON is the same document in JSON, without characters that a terminal obeys. The encoder
// escapes those below U+0020; what is left of them stands in strings, where escapes are at home.
func visibleJSON(document string) string {
	hidden := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if strings.IndexFunc(document, hidden) < 0 {
		return document
	}
	var out strings.Builder
	for _, r := range document {
		if hidden(r) {
			out.WriteString(asJSON(r))
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}
