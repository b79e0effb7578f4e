package kv

import (
	"encoding/hex"
	"testing"

	"jeton/internal/record"
)

// TestStoredFormat pins what is on disk: data written by one version is read by all later ones.
func TestStoredFormat(t *testing.T) {
	key := &keyRecord{
		Current: 12, Oldest: 11, Created: 1, Updated: 2, MaxVersions: 2, CASRequired: true, DeleteAfter: 3,
		Custom:   map[string]string{"a": "b"},
		Versions: []versionState{{Created: 4, Deleted: 5}, {Created: 6, Destroyed: true}},
	}
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"key", key, "01" + "a9" + "010c" + "020b" + "0301" + "0402" + "0502" + "06f5" + "0703" + "08a161616162" + "0982a201040205a2010603f5"},
		{"version", &versionRecord{JSON: []byte("{}")}, "01" + "a1" + "01427b7d"},
		{"config", &configRecord{MaxVersions: 5, CASRequired: true, DeleteAfter: -1}, "01" + "a3" + "0105" + "02f5" + "0320"},
		{"plain", &plainRecord{JSON: []byte("{}"), Advice: 7}, "01" + "a2" + "01427b7d" + "0207"},
	} {
		got, err := record.Encode(tt.v)
		if err != nil || hex.EncodeToString(got) != tt.want {
			t.Errorf("%s: %x, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{plainKey("a/b"), "pa/b"}, {keyKey("a/b"), "ma/b"}, {configKey(), "c"}, {upgradeKey(), "u"},
		{versionKey("a/b", 258), "v\x03a/b\x00\x00\x00\x00\x00\x00\x01\x02"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("key %q, want %q", tt.got, tt.want)
		}
	}
}
