package cert

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
		{Name: "entryRecord", In: &entryRecord{
			TokenRecord: auth.TokenRecord{TTL: time.Second, Policies: []string{"p"}, Type: backend.ServiceType},
			UID:         []byte{1}, Revision: []byte{2}, Certificate: "pem", DisplayName: "d", MetadataExtensions: []string{"1.2"},
			Constraints: constraintsRecord{
				Names: []string{"a"}, CommonNames: []string{"b"}, DNSNames: []string{"c"}, Emails: []string{"d"}, URIs: []string{"e"},
				Units: []string{"f"}, Extensions: []string{"g"},
			},
			OCSP: ocspRecord{Enabled: true, CAs: "ca", Servers: []string{"s"}, FailOpen: true, QueryAll: true, Retries: 3, MaxAge: time.Second},
		}, Out: &entryRecord{}, Golden: "01aa011a3b9aca00058161700901144101154102166370656d1761641818a70181616102816162038161630481616405816165068161660781616718198163312e32181aa701f5026263610381617304f505f50603071a3b9aca00"},
		{Name: "crlRecord", In: &crlRecord{URL: "u", DER: []byte{1, 2}}, Out: &crlRecord{}, Golden: "01a201617502420102"},
		{Name: "nameRecord", In: &nameRecord{Entry: []byte{1}, Authorities: [][]byte{{2}, {3}}}, Out: &nameRecord{}, Golden: "01a2014101028241024103"},
		{Name: "configRecord", In: &configRecord{
			DisableBinding: true, AliasMetadata: true, OCSPCacheSize: 2, RoleCacheSize: -1, MetadataOnFailure: true, SharedCommonNames: true,
		}, Out: &configRecord{}, Golden: "01a601f502f50302042005f506f5"},
		{Name: "loginState", In: &loginState{UID: []byte{1}, Name: "n", Chain: [][]byte{{2}}}, Out: &loginState{}, Golden: "01a301410102616e03814102"},
	})
}
