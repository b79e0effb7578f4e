package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrName says that a policy name is not one that can be written.
var ErrName = errors.New("invalid policy name")

// maxName is the greatest length of a name, in bytes.
const maxName = 512

// CanonicalName is the one form of a policy name: trimmed and lower-case. It refuses, with
// an error that wraps ErrName and does not repeat the name, whatever could be read as
// another name somewhere: control and invisible characters, "." and ".." segments, empty
// segments, percent signs, backslashes, scripts mixed with Latin
// (contract: observed, row "policies, tokens"; policies §10).
//
// It is the same for every place that writes a list of policies. Names that are reserved
// (root, response-wrapping) are canonical; who may use them is the writer's to say.
func CanonicalName(name string) (string, error) {
	if !utf8.ValidString(name) {
		// Before ToLower, which puts a valid character in the place of an invalid one.
		return "", fmt.Errorf("%w: it is not valid UTF-8", ErrName)
	}
	name = strings.ToLower(strings.TrimSpace(name))
	if why := refusedName(name); why != "" {
		return "", fmt.Errorf("%w: %s", ErrName, why)
	}
	return name, nil
}

// refusedName says why a trimmed, lower-case name is refused; empty when it is not.
func refusedName(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > maxName:
		return "it is too long"
	}
	latin, other := false, false
	for _, r := range name {
		switch {
		case !unicode.IsPrint(r):
			return "it contains a control or invisible character"
		case r == '%' || r == '\\':
			return "it contains '%' or '\\'"
		case r >= 0xff00 && r <= 0xffef:
			return "it contains a full-width or half-width form"
		case unicode.Is(unicode.Latin, r):
			latin = true
		case unicode.IsLetter(r):
			other = true
		}
	}
	if latin && other {
		return "it mixes Latin letters with those of another script"
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "it has an empty, '.' or '..' segment"
		}
	}
	return ""
}
