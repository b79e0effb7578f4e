package kubernetes

import (
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
)

// What is stored keeps its form: a later version must read these bytes.
func TestStoredForm(t *testing.T) {
	rows := []struct {
		name   string
		in     any
		out    any
		golden string
	}{
		{"roleRecord", &roleRecord{
			TokenRecord: auth.TokenRecord{TTL: time.Second, Policies: []string{"p"}, Type: backend.ServiceType},
			UID:         []byte{1}, Revision: []byte{2}, Accounts: []string{"a"}, Namespaces: []string{"n"}, Selector: "s", Audience: "x", AliasSource: byName,
		}, &roleRecord{}, "01aa011a3b9aca00058161700901144101154102168161611781616e1818617318196178181a73736572766963656163636f756e745f6e616d65"},
		{"configRecord", &configRecord{
			Host: "h", CACert: "c", ReviewerJWT: "j", PEMKeys: []string{"k"}, Issuer: "i", CheckIssuer: true, DisableLocalCA: true,
			Annotations: true, UnprovedRenewal: true, Timeout: time.Second,
		}, &configRecord{}, "01aa01616802616303616a0481616b05616906f507f508f509f50a1a3b9aca00"},
		{"loginState", &loginState{UID: []byte{1}, Role: "r", Namespace: "n", Account: "a", AccountUID: "u", JWT: "j", Ends: 5}, &loginState{}, "01a701410102617203616e04616105617506616a0705"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			data, err := record.Encode(row.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(data); got != row.golden {
				t.Errorf("stored as %s", got)
			}
			stored, err := hex.DecodeString(row.golden)
			if err != nil {
				t.Fatal(err)
			}
			if err := record.Decode(stored, row.out); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(row.in, row.out) {
				t.Errorf("read back as %+v, want %+v", row.out, row.in)
			}
		})
	}
}
