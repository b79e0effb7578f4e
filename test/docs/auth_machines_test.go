package docs_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"jeton/internal/auth/cert/certtest"
	"jeton/internal/auth/kubernetes/kubetest"
)

// put writes what a reader would have in files, and names each file in the environment.
func put(t *testing.T, files map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	var env []string
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+path)
	}
	return env
}

// authority is a CA with two clients, and a dev server with TLS: a certificate is shown to no other.
func authority(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	address := launchServer(t, "-dev-tls", "-dev-tls-cert-dir="+dir)
	ca := certtest.New(t, "clients", time.Now())
	web, old := ca.Issue("web-1.example.org"), ca.Issue("web-2.example.org")
	ca.Revoke(old)
	return append(put(t, map[string]string{
		"CLIENTS_CA": ca.PEM(), "CLIENTS_CRL": ca.CRLPEM(), "CERT_FILE": web.ChainPEM(), "KEY_FILE": web.KeyPEM(t),
		"OLD_CERT_FILE": old.ChainPEM(), "OLD_KEY_FILE": old.KeyPEM(t),
	}), "VAULT_ADDR=https://"+address, "VAULT_CACERT="+filepath.Join(dir, "vault-ca.pem"))
}

// cluster is a stand-in of a Kubernetes API server, with the tokens of a pod and of a reviewer.
func cluster(t *testing.T) []string {
	t.Helper()
	c := kubetest.Start(t, time.Now)
	reviewer := c.AddAccount("jeton", "reviewer")
	c.LetRead(reviewer, true)
	web := c.AddAccount("shop", "web")
	c.Label("shop", map[string]string{"env": "prod"})
	other := c.AddAccount("shop", "other")
	return append(put(t, map[string]string{
		"K8S_CA": c.CA, "REVIEWER_JWT": c.Token(reviewer), "POD_JWT": c.Token(web), "OTHER_JWT": c.Token(other),
	}), "K8S_HOST="+c.URL)
}
