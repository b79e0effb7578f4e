package approle

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
)

// Whatever is accepted reads the same when written as JSON, plain or in base64, and no error
// repeats its text.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{"", "a=b", "a=b,c=d", `{"a":"b"}`, "YT1i", "eyJhIjoiYiJ9", "=", ",", "a=b=c", `{"a":1}`, "{"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pairs, err := parseMetadata(text)
		if err != nil {
			if err != errMetadata {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		object, err := json.Marshal(pairs)
		if err != nil {
			t.Fatal(err)
		}
		if pairs == nil {
			return
		}
		for _, again := range []string{string(object), base64.StdEncoding.EncodeToString(object)} {
			got, err := parseMetadata(again)
			if err != nil {
				t.Fatalf("%q: %v", again, err)
			}
			if valid := json.Valid([]byte(again)); valid && !maps.Equal(got, reencoded(t, object)) {
				t.Fatalf("%q reads %v", again, got)
			}
		}
	})
}

// reencoded is object as JSON reads it: invalid UTF-8 becomes U+FFFD on the way.
func reencoded(t *testing.T, object []byte) map[string]string {
	t.Helper()
	var pairs map[string]string
	if err := json.Unmarshal(object, &pairs); err != nil {
		t.Fatal(err)
	}
	return pairs
}
