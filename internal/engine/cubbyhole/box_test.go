package cubbyhole

import (
	"encoding/hex"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/record"
)

// TestStoredFormat pins what is on disk: data written by one version is read by all later ones.
func TestStoredFormat(t *testing.T) {
	got, err := record.Encode(&objectRecord{JSON: []byte("{}")})
	if want := "01" + "a1" + "01427b7d"; err != nil || hex.EncodeToString(got) != want {
		t.Errorf("object: %x, %v, want %s", got, err, want)
	}
	id := backend.TokenID{0: 'i', 15: 'd'}
	if key := string(objectKey(id, "a/b")); key != string(id[:])+"a/b" {
		t.Errorf("key %q", key)
	}
}
