package edge

import (
	"encoding/hex"
	"testing"
	"time"

	"jeton/internal/record"
)

// The stored forms must stay readable for ever (docs/storage-format.md).
func TestStoredForms(t *testing.T) {
	for name, c := range map[string]struct {
		record any
		want   string
	}{
		"config": {&QuotaConfig{Audit: true, Exempt: []string{"a"}}, "01a201f503816161"},
		"quota":  {&Quota{Name: "q", Path: "kv/a", Mount: "kv/", Rate: 2.5, Interval: time.Second, BlockInterval: time.Minute, Inheritable: true}, "01a701617102646b762f6103636b762f04f94100051a3b9aca00061b0000000df847580007f5"},
		"cors":   {&CORS{Enabled: true, Origins: []string{"*"}, Headers: []string{"H"}}, "01a301f50281612a03816148"},
		"header": {&headerRecord{Values: []string{"v"}}, "01a101816176"},
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
	if got := string(quotaConfigKey) + " " + string(quotaKey("q")) + " " + string(corsKey) + " " + string(headerKey("H")); got != "quota/config quota/rate/q cors header/H" {
		t.Errorf("keys %q", got)
	}
}
