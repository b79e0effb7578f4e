package transit

import (
	"encoding/hex"
	"testing"

	"jeton/internal/record"
)

// TestStoredFormat pins what is on disk: data written by one version is read by all later ones.
func TestStoredFormat(t *testing.T) {
	key := &keyRecord{ID: []byte{1}, Type: "t", Derived: true, Convergent: true, Exportable: true, PlainBackup: true, DeletionAllowed: true,
		AutoRotate: 2, Rotates: 3, Latest: 4, MinDecrypt: 5, MinEncrypt: 6, MinAvailable: 7, Size: 8, Import: importedRotating}
	version := versionRecord{Created: 1, Key: []byte{2}, HMAC: []byte{3}, Public: []byte{4}}
	const keyHex = "af" + "014101" + "026174" + "03f5" + "04f5" + "05f5" + "06f5" + "07f5" + "0802" + "0903" + "0a04" + "0b05" + "0c06" + "0d07" + "0e08" + "0f02"
	const versionHex = "a4" + "0101" + "024102" + "034103" + "044104"
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"key", key, "01" + keyHex},
		{"version", &version, "01" + versionHex},
		{"settings", &settingsRecord{CacheSize: 1, DisableUpsert: true}, "01" + "a2" + "0101" + "02f5"},
		{"wrapping key", &wrappingRecord{Key: []byte{1}}, "01" + "a1" + "014101"},
		{"backup", &backupRecord{Name: "n", Key: *key, Versions: []versionRecord{version}}, "01" + "a3" + "01616e" + "02" + keyHex + "0381" + versionHex},
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
		{keyKey("a"), "ka"}, {versionKey([]byte("id"), 258), "vid\x00\x00\x00\x00\x00\x00\x01\x02"},
		{key.rotations("a")[0], "r\x00\x00\x00\x00\x00\x00\x00\x03a"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("key %q, want %q", tt.got, tt.want)
		}
	}
}
