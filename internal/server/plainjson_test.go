package server

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// reference reads an object with encoding/json, as bodies that are not plain are read.
func reference(body []byte) (object map[string]any, end int, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	err = d.Decode(&object)
	return object, int(d.InputOffset()), err
}

// comparePlain holds the two readers against each other, and says whether the body is plain.
func comparePlain(t *testing.T, body []byte) bool {
	t.Helper()
	object, end, ok := readPlain(body)
	if !ok {
		return false
	}
	want, wantEnd, err := reference(body)
	if err != nil || end != wantEnd || !reflect.DeepEqual(object, want) {
		t.Fatalf("%q is read as %v up to %d; encoding/json: %v up to %d, %v", body, object, end, want, wantEnd, err)
	}
	return true
}

func TestPlainJSON(t *testing.T) {
	for body, plain := range map[string]bool{
		`{}`: true, ` { } tail`: true, `{"a":"b"}`: true, "{\n\t\"a\" : [ 1 , -2, 0, \"x\" ] ,\r\n \"b\" : { \"c\" : null , \"d\" : [ ] } }": true,
		`{"a":true,"b":false,"a":"last"}`: true, `{"policies":["web"],"ttl":"1h","num_uses":5}{"more":1}`: true, `{"":""}`: true,
		`{"a":-0}`: true, `{"a":123456789012345678901234567890}`: true, `{"a":[[[[[[[]]]]]]]}`: true,
		"": false, `[]`: false, `null`: false, `{`: false, `{"a"`: false, `{"a":`: false, `{"a":1`: false, `{"a":1,`: false, `{"a":1,}`: false, `{,}`: false,
		`{"a":01}`: false, `{"a":-}`: false, `{"a":1.5}`: false, `{"a":1e3}`: false, `{"a":+1}`: false, `{"a":.5}`: false, `{"a":[1,]}`: false, `{"a":[,]}`: false, `{"a":[`: false,
		`{"a":tru}`: false, `{"a":nul`: false, `{"a":True}`: false, `{"a":"\n"}`: false, "{\"a\":\"\n\"}": false, `{"a":"é"}`: false, "{\"a\":\"\x7f\"}": false,
		"{\"a\":\"\xff\"}": false, `{"a":"`: false, `{'a':1}`: false, `{a:1}`: false, `{"a" 1}`: false, `{"a":1 "b":2}`: false, `{"a":1]`: false, `{"a":[1}`: false, "{\"a\":\x00}": false,
		"{\"a\":1\x00}": false, `{"a":` + strings.Repeat("[", plainDepth) + strings.Repeat("]", plainDepth) + `}`: false, strings.Repeat(`{"a":`, plainDepth) + `{}` + strings.Repeat("}", plainDepth): false,
	} {
		if comparePlain(t, []byte(body)) != plain {
			t.Errorf("%q: plain %t, want %t", body, !plain, plain)
		}
	}
}

// Whatever the one reader takes the other reads alike.
func FuzzPlainJSON(f *testing.F) {
	for _, seed := range []string{`{"a":"b"}`, `{"a":[1,-2,{"b":null}],"c":true} x`, `{"a":{"b":{"c":[false,""]}}}`, `{"a":1.5}`, `{"a":"\u0041"}`, `{"a":0,"a":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) { comparePlain(t, body) })
}

func BenchmarkReadJSON(b *testing.B) {
	body := []byte(`{"policies":["bench"],"ttl":"1h","display_name":"bench"}`)
	for name, read := range map[string]func(){
		"plain":    func() { readPlain(body) },
		"standard": func() { _, _, _ = reference(body) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read()
			}
		})
	}
}
