package approle

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
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rows := []struct {
		name   string
		in     any
		out    any
		golden string
	}{
		{"roleRecord", &roleRecord{
			TokenRecord: auth.TokenRecord{TTL: time.Second, Policies: []string{"p"}, Type: backend.ServiceType},
			UID:         []byte{1, 2}, Name: "r", RoleID: "id", BindSecretID: true, SecretIDBoundCIDRs: []string{"::1"},
			SecretIDNumUses: 3, SecretIDTTL: time.Second, LocalSecretIDs: true,
		}, &roleRecord{}, "01ab011a3b9aca00058161700901144201021561721662696417f5181881633a3a31181903181a1a3b9aca00181bf5"},
		{"secretRecord", &secretRecord{
			Accessor: "a", NumUses: 2, TTL: time.Second, Created: at, Updated: at, Expires: at.Add(time.Second),
			Metadata: map[string]string{"k": "v"}, CIDRs: []string{"::1"}, TokenCIDRs: []string{"::2"},
		}, &secretRecord{}, "01a90161610202031a3b9aca0004fb41da690a9000000005fb41da690a9000000006fb41da690a9040000007a1616b61760881633a3a310981633a3a32"},
		{"secretRecord without end", &secretRecord{Accessor: "a", Created: at, Updated: at}, &secretRecord{}, "01a401616104fb41da690a9000000005fb41da690a9000000006f6"},
		{"accessorRecord", &accessorRecord{Accessor: "a", Hash: []byte{9}, Expires: at}, &accessorRecord{}, "01a301616102410903fb41da690a90000000"},
		{"loginState", &loginState{UID: []byte{1}, Name: "r"}, &loginState{}, "01a2014101026172"},
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
			if s, ok := row.out.(*secretRecord); ok {
				s.Created, s.Updated, s.Expires = s.Created.UTC(), s.Updated.UTC(), s.Expires.UTC()
			}
			if a, ok := row.out.(*accessorRecord); ok {
				a.Expires = a.Expires.UTC()
			}
			if !reflect.DeepEqual(row.in, row.out) {
				t.Errorf("read back as %+v, want %+v", row.out, row.in)
			}
		})
	}
}
