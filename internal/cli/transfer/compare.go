package transfer

import (
	"encoding/json"
	"fmt"
	"slices"
)

// same tells whether what the destination has is what the source has, for the fields that are wanted.
func same(have, want map[string]any) bool {
	for field, value := range want {
		if canonical(have[field]) != canonical(value) {
			return false
		}
	}
	return true
}

// identical compares secrets: every member and every digit counts.
func identical(a, b map[string]any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// canonical is a setting as text. Servers show one that is not set as null, as an empty list or as
// zero, and lists of names in an order of their own.
func canonical(v any) string {
	if unset(v) {
		return ""
	}
	if list, ok := v.([]any); ok {
		texts := make([]string, len(list))
		for i, e := range list {
			texts[i] = canonical(e)
		}
		slices.Sort(texts)
		v = texts
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

func unset(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == "" || v == "0s"
	case json.Number:
		return v == "0"
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// settle compares settings field by field: missing are those that the destination has not set,
// differing those that it has set otherwise.
func settle(have, want map[string]any, fields []string) (missing map[string]any, differing []string) {
	missing = make(map[string]any)
	for _, f := range fields {
		switch {
		case unset(want[f]) || canonical(have[f]) == canonical(want[f]):
		case unset(have[f]):
			missing[f] = want[f]
		default:
			differing = append(differing, f)
		}
	}
	return missing, differing
}

// pick returns the fields that are set.
func pick(from map[string]any, fields []string) map[string]any {
	picked := make(map[string]any)
	for _, f := range fields {
		if v, ok := from[f]; ok && v != nil {
			picked[f] = v
		}
	}
	return picked
}

// beyond returns the fields that are set and not among those known: settings that will be lost.
func beyond(from map[string]any, known ...[]string) []string {
	var more []string
	for f, v := range from {
		if !unset(v) && !slices.ContainsFunc(known, func(list []string) bool { return slices.Contains(list, f) }) {
			more = append(more, f)
		}
	}
	slices.Sort(more)
	return more
}

func text(m map[string]any, field string) string {
	s, _ := m[field].(string)
	return s
}

func number(v any) int {
	n, _ := v.(json.Number)
	i, err := n.Int64()
	if err != nil {
		return 0
	}
	return int(i)
}

func object(m map[string]any, field string) map[string]any {
	o, _ := m[field].(map[string]any)
	return o
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
