package kv_test

import (
	"testing"

	"jeton/internal/engine/document"
	"jeton/internal/engine/kv"
)

// reference is RFC 7396, section 2, word for word: it copies and never changes.
func reference(target, patch any) any {
	object, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	result := map[string]any{}
	if old, ok := target.(map[string]any); ok {
		for name, value := range old {
			result[name] = value
		}
	}
	for name, value := range object {
		if value == nil {
			delete(result, name)
		} else {
			result[name] = reference(result[name], value)
		}
	}
	return result
}

// The cases of RFC 7396, appendix A, whose target and patch are objects.
var mergeCases = []struct{ target, patch, result string }{
	{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
	{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
	{`{"a":"b"}`, `{"a":null}`, `{}`},
	{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
	{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
	{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
	{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
	{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
	{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
	{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	{`{"n":1234567890123456789}`, `{"m":1.10}`, `{"m":1.10,"n":1234567890123456789}`},
}

func TestMergePatch(t *testing.T) {
	for _, tt := range mergeCases {
		if got := mergeTexts(t, tt.target, tt.patch); got != tt.result {
			t.Errorf("%s with %s is %s, want %s", tt.target, tt.patch, got, tt.result)
		}
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	object, err := document.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func encode(t *testing.T, object map[string]any) string {
	t.Helper()
	text, err := document.Encode(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mergeTexts merges twice with the same patch, as a repeated attempt does, and expects that
// the patch is left as it was.
func mergeTexts(t *testing.T, target, patch string) string {
	t.Helper()
	p := decode(t, patch)
	kept := encode(t, p)
	first := encode(t, kv.MergePatch(decode(t, target), p))
	second := encode(t, kv.MergePatch(decode(t, target), p))
	if first != second || encode(t, p) != kept {
		t.Errorf("merging %s into %s changed the patch", patch, target)
	}
	return first
}

func FuzzMergePatch(f *testing.F) {
	for _, tt := range mergeCases {
		f.Add(tt.target, tt.patch)
	}
	f.Fuzz(func(t *testing.T, target, patch string) {
		if _, err := document.Decode([]byte(target)); err != nil {
			return
		}
		if _, err := document.Decode([]byte(patch)); err != nil {
			return
		}
		want := encode(t, reference(decode(t, target), decode(t, patch)).(map[string]any))
		if got := mergeTexts(t, target, patch); got != want {
			t.Errorf("%s with %s is %s, want %s", target, patch, got, want)
		}
	})
}
