package cli

import "fmt"

// cell is a value in a table; nothing is shown as n/a rather than <nil>.
func cell(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// text and object read a field of an answer's data, zero when it is
// missing or of another type.
func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func object(m map[string]any, key string) map[string]any {
	o, _ := m[key].(map[string]any)
	return o
}
