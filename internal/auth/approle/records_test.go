package approle

import (
	"testing"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record/recordtest"
)

// What is stored keeps its form: a later version must read these bytes.
func TestStoredForm(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Local() // what is read back is local
	recordtest.Pinned(t, []recordtest.Pin{
		{Name: "roleRecord", In: &roleRecord{
			TokenRecord: auth.TokenRecord{TTL: time.Second, Policies: []string{"p"}, Type: backend.ServiceType},
			UID:         []byte{1, 2}, Name: "r", RoleID: "id", BindSecretID: true, SecretIDBoundCIDRs: []string{"::1"},
			SecretIDNumUses: 3, SecretIDTTL: time.Second, LocalSecretIDs: true,
		}, Out: &roleRecord{}, Golden: "01ab011a3b9aca00058161700901144201021561721662696417f5181881633a3a31181903181a1a3b9aca00181bf5"},
		{Name: "secretRecord", In: &secretRecord{
			Accessor: "a", NumUses: 2, TTL: time.Second, Created: at, Updated: at, Expires: at.Add(time.Second),
			Metadata: map[string]string{"k": "v"}, CIDRs: []string{"::1"}, TokenCIDRs: []string{"::2"},
		}, Out: &secretRecord{}, Golden: "01a90161610202031a3b9aca0004fb41da690a9000000005fb41da690a9000000006fb41da690a9040000007a1616b61760881633a3a310981633a3a32"},
		{Name: "secretRecord without end", In: &secretRecord{Accessor: "a", Created: at, Updated: at}, Out: &secretRecord{}, Golden: "01a401616104fb41da690a9000000005fb41da690a9000000006f6"},
		{Name: "accessorRecord", In: &accessorRecord{Accessor: "a", Hash: []byte{9}, Expires: at}, Out: &accessorRecord{}, Golden: "01a301616102410903fb41da690a90000000"},
		{Name: "loginState", In: &loginState{UID: []byte{1}, Name: "r"}, Out: &loginState{}, Golden: "01a2014101026172"},
	})
}
