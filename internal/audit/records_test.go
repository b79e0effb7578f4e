package audit

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
		"device": {
			&deviceRecord{Type: "file", Description: "d", Options: map[string]string{"path": "/a"}, Local: true, Salt: "s"},
			"01a5016466696c6502616403a16470617468622f6104f5056173",
		},
		"salt":    {&saltRecord{Salt: "s"}, "01a1016173"},
		"headers": {&headersRecord{Headers: map[string]bool{"x-a": true}}, "01a101a163782d61f5"},
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
	if got := string(deviceKey("file/")) + " " + string(configuredKey("file/")) + " " + string(headersKey); got != "d/file/ c/file/ h" {
		t.Errorf("keys %q", got)
	}
}
