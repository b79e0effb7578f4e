package docs_test

import (
	"path/filepath"
	"testing"
)

// certificates starts a server of its own for docs/auth/cert.md, which speaks TLS: a client
// certificate is shown in the handshake. The page makes its certificates itself.
func certificates(t *testing.T) []string {
	t.Helper()
	need(t, "openssl")
	dir := t.TempDir()
	address := startWith(t, "-dev-tls", "-dev-tls-cert-dir="+dir)
	return []string{"VAULT_ADDR=https://" + address, "VAULT_CACERT=" + filepath.Join(dir, "vault-ca.pem")}
}
