package kv

import (
	"encoding/json"
	"testing"

	"jeton/internal/backend/backendtest"
)

// What is stored as data is compact JSON, and a version is always described.
func TestVersionsAreWrittenAlike(t *testing.T) {
	backendtest.WritesAlike[versionReply](t, nil)
	stored := []string{`{}`, `{"a":1,"b":["x y",null,true]}`, "{\"a\":\"<&>\u2028é\"}", `{"a":"\\\"\u0001"}`}
	n := 0
	backendtest.WritesAlike(t, func(r *secretReply) {
		if n++; r.Data != nil {
			r.Data = json.RawMessage(stored[n%len(stored)])
		}
		if r.Metadata == nil {
			r.Metadata = &versionReply{}
		}
	})
}
