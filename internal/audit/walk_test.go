package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// timestamp is the form of RFC 3339 with nanoseconds at most.
var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

const testSalt = "5c0d8a0e-0f6a-4f3b-9d3f-3a1d2c4b5e6f"

// reference is hashing as one would explain it: decode, visit every value, hash every string
// that no rule exempts. It is slow and obviously right.
func reference(v any, key string, exempt []string, salt string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = reference(e, k, exempt, salt)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, reference(e, key, exempt, salt))
		}
		return out
	case string:
		if slices.Contains(exempt, key) && key != "" {
			return v
		}
		if _, err := time.Parse(time.RFC3339, v); err == nil && timestamp.MatchString(v) {
			return v
		}
		return hashText(salt, v)
	}
	return v
}

// decode reads exactly one JSON value.
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errData
	}
	return v, nil
}

// walked is what the walk makes of data, as a member of an object.
func walked(t testing.TB, f *format, data []byte, exempt []string) (any, error) {
	t.Helper()
	l := newLine(f)
	l.reset()
	l.buf = append(l.buf, '{')
	if err := l.requestData(data, exempt); err != nil {
		return nil, err
	}
	l.close()
	v, err := decode(l.buf)
	if err != nil {
		t.Fatalf("walk wrote what is not JSON: %v", err)
	}
	return v.(map[string]any)["data"], nil
}

// emptied is v, but nil where an entry leaves it out.
func emptied(v any) any {
	if m, ok := v.(map[string]any); ok && len(m) == 0 {
		return nil
	}
	return v
}

func FuzzWalkAgreesWithReference(f *testing.F) {
	for _, seed := range []string{
		`{"a":{"b":["x",1,true,null]},"policies":["p",["q",{"z":"w","policies":"c"}],"r"]}`,
		`{"t":"2024-01-01T00:00:00Z","u":"2024-01-01T00:00:00.123456789+02:00","v":"2024-13-01T00:00:00Z"}`,
		`"just text"`, `""`, `[]`, `{}`, `null`, `-0.5e+10`, `[1,-0,1e5,0.25]`, `01`, `1.`, `.5`, `1e`, `+1`,
		`{"\u0070olicies":"in clear","é":"\ud83d\ude00","s":"\ud83d","x":"\\\"\/\b\f\n\r\t"}`,
		"{\"bad\":\"\xff\xfe\"}", "{\"k\xc3\":1}", `{"a":1,"a":"2"}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,1]`, `{,}`,
		`tru`, `nulL`, "\"\x01\"", `"\x"`, `"\u12g4"`, `"open`, `{"a":"b"} x`, ` { "a" : [ ] } `, `{"keys":["a","b"],"key_info":{"a":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	exempt := []string{"policies", "é"}
	format := &format{salt: testSalt, hashAccessors: true}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, refErr := decode(data)
		out, err := walked(t, format, data, exempt)
		if len(bytes.TrimSpace(data)) == 0 {
			return // No data at all is no member.
		}
		if bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxDepth {
			return // Depth has a test of its own.
		}
		if (err == nil) != (refErr == nil) {
			t.Fatalf("walk says %v, encoding/json says %v", err, refErr)
		}
		if err != nil {
			return
		}
		if want := emptied(reference(in, "", exempt, testSalt)); !reflect.DeepEqual(emptied(out), want) {
			t.Fatalf("walk %v, reference %v", out, want)
		}
	})
}

func TestWalkDepthIsBoundedCVE202559043(t *testing.T) {
	deep := func(n int) []byte {
		return []byte(strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	f := &format{salt: testSalt}
	if _, err := walked(t, f, deep(maxDepth), nil); err != nil {
		t.Errorf("depth %d: %v", maxDepth, err)
	}
	if _, err := walked(t, f, deep(maxDepth+1), nil); err == nil {
		t.Errorf("depth %d was walked", maxDepth+1)
	}
}

// Each byte, at each place of the eight that are looked at together, beside bytes of the other kind.
func TestPlainLengthStopsAtWhatIsNotPlain(t *testing.T) {
	for c := range 256 {
		plain := c >= ' ' && c < 0x80 && c != '"' && c != '\\'
		for at := range 24 {
			for _, beside := range []byte{' ', '~', '!', '#', '[', ']'} {
				s := bytes.Repeat([]byte{beside}, 24)
				s[at] = byte(c)
				want := 24
				if !plain {
					want = at &^ 7
				}
				if got := plainLength(s); got != want || plainLength(string(s)) != want {
					t.Fatalf("%#x at %d beside %q: %d, want %d", c, at, beside, got, want)
				}
			}
		}
	}
}

// Whatever bytes a member in clear holds, it is one JSON string, and encoding/json agrees which.
func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "\xff", "é\u2028\U0001F600", "\xed\xa0\x80", "a\xc3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := appendString(nil, s)
		if both := appendString(nil, []byte(s)); string(both) != string(out) {
			t.Fatalf("string %s, bytes %s", out, both)
		}
		var got string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		encoded, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(encoded, &want); err != nil {
			t.Fatal(err)
		}
		if got != want || bytes.ContainsAny(out, "\n\r") {
			t.Fatalf("%q became %q, want %q", s, got, want)
		}
	})
}

// CVE-2025-6203: a small body must not make a huge line.
func TestCVE20256203StringsOfARequestAreBounded(t *testing.T) {
	list := func(n int) []byte { return []byte("[" + strings.Repeat(`"",`, n-1) + `""]`) }
	f := &format{salt: testSalt}
	if _, err := walked(t, f, list(maxStrings), nil); err != nil {
		t.Errorf("%d strings: %v", maxStrings, err)
	}
	if _, err := walked(t, f, list(maxStrings+1), nil); !errors.Is(err, errStrings) {
		t.Errorf("%d strings: %v", maxStrings+1, err)
	}
	for _, elide := range []bool{false, true} {
		l := newLine(f)
		l.reset()
		l.buf = append(l.buf, '{')
		data := append(append([]byte(`{"keys":`), list(maxStrings+1)...), '}')
		if err := l.responseData(data, nil, elide); err != nil {
			t.Errorf("an answer, elided %v: %v", elide, err)
		}
		if elide && cap(l.buf) > 4*maxStrings {
			t.Errorf("counting took %d bytes", cap(l.buf))
		}
	}
}

// What stays in clear is what package time reads as RFC 3339, written with the usual digits.
func TestTimestampsAreRealOnes(t *testing.T) {
	shape := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)
	check := func(s string) {
		t.Helper()
		var parsed time.Time
		want := shape.MatchString(s) && parsed.UnmarshalText([]byte(s)) == nil
		if got := isTimestamp([]byte(s)); got != want {
			t.Errorf("isTimestamp(%q) = %v, want %v", s, got, want)
		}
	}
	for _, year := range []string{"0000", "1900", "2000", "2023", "2024", "9999"} {
		for month := range 14 {
			for day := range 33 {
				check(fmt.Sprintf("%s-%02d-%02dT23:59:59Z", year, month, day))
			}
		}
	}
	for _, zone := range []string{"", "Z", "z", "+00:00", "-23:59", "+24:00", "+00:60", "+0:000", "+00:00Z", "ZZ"} {
		for _, fraction := range []string{"", ".", ".0", ".123456789", ".1234567890", ",5", ".5a"} {
			for _, clock := range []string{"00:00:00", "24:00:00", "23:60:00", "23:59:60", "99:99:99", "1:02:03", "01.02.03"} {
				check("2024-02-29T" + clock + fraction + zone)
			}
		}
	}
}
