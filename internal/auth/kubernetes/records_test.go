package kubernetes

import (
	"testing"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record/recordtest"
)

// What is stored keeps its form: a later version must read these bytes.
func TestStoredForm(t *testing.T) {
	recordtest.Pinned(t, []recordtest.Pin{
		{Name: "roleRecord", In: &roleRecord{
			TokenRecord: auth.TokenRecord{TTL: time.Second, Policies: []string{"p"}, Type: backend.ServiceType},
			UID:         []byte{1}, Revision: []byte{2}, Accounts: []string{"a"}, Namespaces: []string{"n"}, Selector: "s", Audience: "x", AliasSource: byName,
		}, Out: &roleRecord{}, Golden: "01aa011a3b9aca00058161700901144101154102168161611781616e1818617318196178181a73736572766963656163636f756e745f6e616d65"},
		{Name: "configRecord", In: &configRecord{
			Host: "h", CACert: "c", ReviewerJWT: "j", PEMKeys: []string{"k"}, Issuer: "i", CheckIssuer: true, DisableLocalCA: true,
			Annotations: true, UnprovedRenewal: true, Timeout: time.Second,
		}, Out: &configRecord{}, Golden: "01aa01616802616303616a0481616b05616906f507f508f509f50a1a3b9aca00"},
		{Name: "loginState", In: &loginState{UID: []byte{1}, Role: "r", Namespace: "n", Account: "a", AccountUID: "u", JWT: "j", Ends: 5}, Out: &loginState{}, Golden: "01a701410102617203616e04616105617506616a0705"},
	})
}
