package quota

import (
	"encoding/hex"
	"testing"

	"jeton/internal/record"
)

// TestStoredForm: what older versions wrote stays readable (docs/storage-format.md).
func TestStoredForm(t *testing.T) {
	for name, row := range map[string]struct {
		value any
		want  string
	}{
		"quota":       {&Quota{Name: "q", Path: "kv/a", Mount: "kv/", MaxLeases: 3, Inheritable: true, Counting: true, Begun: 7}, "01a701617102646b762f6103636b762f040305f506f50707"},
		"plain quota": {&Quota{Name: "q", MaxLeases: 3, Begun: 7}, "01a301617104030707"},
		"tally":       {&tally{Count: -2}, "01a10121"},
	} {
		encoded, err := record.Encode(row.value)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(encoded); got != row.want {
			t.Errorf("%s is stored as %s, want %s", name, got, row.want)
		}
	}
}
