package backend_test

import (
	"testing"

	"jeton/internal/backend"
	"jeton/internal/backend/backendtest"
)

// Members writes every kind of value as encoding/json does, those included that need escaping.
func TestAuthIsWrittenAlike(t *testing.T) {
	backendtest.WritesAlike(t, func(a *backend.Auth) { a.MFARequirement = nil })
}

func BenchmarkAuth(b *testing.B) {
	until := "2026-12-01T00:00:00Z"
	a := &backend.Auth{ClientToken: "hvs.abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", Accessor: "abcdefghijklmnopqrstuvwx",
		Policies: []string{"default", "web"}, TokenPolicies: []string{"default", "web"}, TokenType: "service", RenewalPlan: &backend.RenewalPlan{RenewableUntil: &until}}
	b.ReportAllocs()
	buf := make([]byte, 0, 1024)
	for b.Loop() {
		if _, err := a.AppendJSON(buf); err != nil {
			b.Fatal(err)
		}
	}
}
