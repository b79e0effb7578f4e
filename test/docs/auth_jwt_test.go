package docs_test

import (
	"os"
	"path/filepath"
	"testing"

	"jeton/internal/auth/jwt/oidctest"
)

// identityProvider starts a stand-in for the provider of docs/auth/jwt.md, and writes what a
// reader would have of it: its CA, the client's secret, and the token of a program.
func identityProvider(t *testing.T) []string {
	t.Helper()
	p := oidctest.NewTLS(t)
	dir := t.TempDir()
	env := []string{"ISSUER=" + p.URL}
	for name, content := range map[string]string{
		"CA_FILE": p.CA, "CLIENT_SECRET_FILE": oidctest.ClientSecret,
		"JWT_FILE": p.Sign(t, map[string]any{"sub": "runner", "aud": "jeton", "project": "shop/web"}),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+path)
	}
	return env
}
