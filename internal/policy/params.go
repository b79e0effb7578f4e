package policy

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// judged are the operations whose parameters rules can constrain (contract: policies §6).
const judged = Create | Read | Update | Patch

// parametersAllowed holds the parameters of a request against the rule.
func (g *grant) parametersAllowed(req *Request) bool {
	if req.Capability&judged == 0 || len(g.required)+len(g.allowed)+len(g.denied) == 0 {
		return true
	}
	for _, name := range g.required {
		if !hasParameter(req.Data, name) {
			return false
		}
	}
	if len(req.Data) == 0 {
		opaque := req.HasBody && req.Data == nil
		return !opaque || len(g.allowed)+len(g.denied) == 0
	}
	for key, value := range req.Data {
		name := fold(key)
		if g.denies(name, value) || !g.admits(name, value) {
			return false
		}
	}
	return true
}

// hasParameter says whether data holds a parameter of this folded name.
func hasParameter(data map[string]any, name string) bool {
	if _, ok := data[name]; ok {
		return true
	}
	for key := range data {
		if fold(key) == name {
			return true
		}
	}
	return false
}

// denies is generous: it also matches another case, surrounding blanks, a number written as
// a string, and each element of a list or of a comma-separated string, because whatever
// reads the parameter later may take them as the same.
func (g *grant) denies(name string, value any) bool {
	if _, ok := g.denied["*"]; ok {
		return true
	}
	values, ok := g.denied[name]
	if !ok {
		return false
	}
	if len(values) == 0 {
		return true
	}
	forms := loosened(value)
	return slices.ContainsFunc(values, func(rule any) bool {
		// A rule's list names one value that is a list: it is met by a list or
		// comma-separated string with the same elements.
		if list, ok := rule.([]any); ok {
			return equalValues(rule, value) || sameElements(list, value)
		}
		loose, scalar := looseScalar(rule)
		return slices.ContainsFunc(forms, func(form any) bool {
			if text, ok := looseScalar(form); ok && scalar {
				return matchText(loose, text)
			}
			return equalValues(rule, form)
		})
	})
}

// admits is strict: the value must be one of those listed.
func (g *grant) admits(name string, value any) bool {
	if len(g.allowed) == 0 {
		return true
	}
	values, listed := g.allowed[name]
	if !listed {
		// "*" admits names that are not listed; its own values, if any, constrain them.
		if values, listed = g.allowed["*"]; !listed {
			return false
		}
	}
	return len(values) == 0 || slices.ContainsFunc(values, func(rule any) bool {
		pattern, ok := rule.(string)
		if text, isText := value.(string); ok && isText {
			return matchText(pattern, text)
		}
		return equalValues(rule, value)
	})
}

// loosened lists value and whatever in it could be read as a value of its own.
func loosened(value any) []any {
	forms := []any{value}
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			forms = append(forms, loosened(item)...)
		}
	case string:
		if strings.Contains(v, ",") {
			for part := range strings.SplitSeq(v, ",") {
				forms = append(forms, part)
			}
		}
	}
	return forms
}

// sameElements compares a rule's list with a list or comma-separated string, loosely.
func sameElements(list []any, value any) bool {
	var items []any
	switch v := value.(type) {
	case []any:
		items = v
	case string:
		for part := range strings.SplitSeq(v, ",") {
			items = append(items, part)
		}
	default:
		return false
	}
	return slices.EqualFunc(list, items, func(a, b any) bool {
		x, xok := looseScalar(a)
		y, yok := looseScalar(b)
		if xok && yok {
			return x == y
		}
		return equalValues(a, b)
	})
}

// looseScalar is the text of a string, number or boolean with its case and blanks removed.
func looseScalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		text := fold(strings.TrimSpace(v))
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return plainNumber(text), true
		}
		return text, true
	case number:
		return plainNumber(string(v)), true
	case json.Number:
		return plainNumber(v.String()), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// matchText compares a value with a rule's text, which may begin or end with "*". A text
// shorter than two bytes is literal (contract: policies §6.6).
func matchText(pattern, text string) bool {
	if len(pattern) < 2 {
		return pattern == text
	}
	rest, before := strings.CutPrefix(pattern, "*")
	rest, after := strings.CutSuffix(rest, "*")
	switch {
	case before && after:
		return strings.Contains(text, rest)
	case before:
		return strings.HasSuffix(text, rest)
	case after:
		return strings.HasPrefix(text, rest)
	}
	return pattern == text
}

// equalValues compares a rule's value with a request's: numbers by what they are worth, the
// rest by kind and content.
func equalValues(rule, value any) bool {
	switch r := rule.(type) {
	case nil:
		return value == nil
	case number:
		v, ok := value.(json.Number)
		return ok && plainNumber(string(r)) == plainNumber(v.String())
	case string:
		v, ok := value.(string)
		return ok && r == v
	case bool:
		v, ok := value.(bool)
		return ok && r == v
	case []any:
		v, ok := value.([]any)
		return ok && slices.EqualFunc(r, v, equalValues)
	case map[string]any:
		v, ok := value.(map[string]any)
		if !ok || len(r) != len(v) {
			return false
		}
		for key, inner := range r {
			other, ok := v[key]
			if !ok || !equalValues(inner, other) {
				return false
			}
		}
		return true
	}
	return false
}

// plainNumber is one text for each numeric value. Whole numbers keep all their digits; others
// are rounded as a float64, which also bounds what "1e999999999" can cost.
func plainNumber(text string) string {
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(v, 10)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	if whole := int64(f); float64(whole) == f && whole > -1<<53 && whole < 1<<53 {
		return strconv.FormatInt(whole, 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// fold is the lower-case form of a name. Letters outside ASCII that decoders take for ASCII
// ones (the Kelvin sign for k, the long s for s) become those.
func fold(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(foldRune, s)
		}
	}
	return strings.ToLower(s)
}

func foldRune(r rune) rune {
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if f < utf8.RuneSelf {
			return unicode.ToLower(f)
		}
	}
	return unicode.ToLower(r)
}
