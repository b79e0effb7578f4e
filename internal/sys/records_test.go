package sys

import (
	"encoding/hex"
	"testing"

	"jeton/internal/record"
)

// The stored forms must stay readable for ever (docs/storage-format.md).
func TestStoredForms(t *testing.T) {
	for name, c := range map[string]struct {
		record any
		want   string
	}{
		"password": {&passwordRecord{Text: "p"}, "01a1016170"},
		"version":  {&versionRecord{Installed: 1, BuildDate: "d"}, "01a20101026164"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := record.Encode(c.record)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(data); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	if got := string(passwordKey("p")) + " " + string(versionKey("v")); got != "password/p version/v" {
		t.Errorf("keys %q", got)
	}
}
