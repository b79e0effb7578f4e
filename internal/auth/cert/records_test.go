package cert

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
		{"entryRecord", &entryRecord{
			TokenRecord: auth.TokenRecord{TTL: time.Second, Policies: []string{"p"}, Type: backend.ServiceType},
			UID:         []byte{1}, Revision: []byte{2}, Certificate: "pem", DisplayName: "d", MetadataExtensions: []string{"1.2"},
			Constraints: constraintsRecord{
				Names: []string{"a"}, CommonNames: []string{"b"}, DNSNames: []string{"c"}, Emails: []string{"d"}, URIs: []string{"e"},
				Units: []string{"f"}, Extensions: []string{"g"},
			},
			OCSP: ocspRecord{Enabled: true, CAs: "ca", Servers: []string{"s"}, FailOpen: true, QueryAll: true, Retries: 3, MaxAge: time.Second},
		}, &entryRecord{}, "01aa011a3b9aca00058161700901144101154102166370656d1761641818a70181616102816162038161630481616405816165068161660781616718198163312e32181aa701f5026263610381617304f505f50603071a3b9aca00"},
		{"crlRecord", &crlRecord{URL: "u", DER: []byte{1, 2}}, &crlRecord{}, "01a201617502420102"},
		{"nameRecord", &nameRecord{Entry: []byte{1}, Authorities: [][]byte{{2}, {3}}}, &nameRecord{}, "01a2014101028241024103"},
		{"configRecord", &configRecord{
			DisableBinding: true, AliasMetadata: true, OCSPCacheSize: 2, RoleCacheSize: -1, MetadataOnFailure: true, SharedCommonNames: true,
		}, &configRecord{}, "01a601f502f50302042005f506f5"},
		{"loginState", &loginState{UID: []byte{1}, Name: "n", Chain: [][]byte{{2}}}, &loginState{}, "01a301410102616e03814102"},
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
