package jwt_test

import (
	"testing"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/jwt/oidctest"
)

// A login without its token's transaction: the signature is most of it.
func BenchmarkLogin(b *testing.B) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		b.Run(string(algorithm), func(b *testing.B) {
			key := oidctest.NewKey(b, algorithm, "")
			bench := withKeys(b, key)
			writeRole(b, bench, object{"bound_claims": object{"project": "site"}, "groups_claim": "groups"})
			token := key.Sign(b, of(bench, object{"project": "site", "groups": []string{"dev", "ops"}}))
			for b.Loop() {
				mustLogin(b, bench, token)
			}
		})
	}
}
