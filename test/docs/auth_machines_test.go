package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth/cert/certtest"
	"jeton/internal/auth/kubernetes/kubetest"
	"jeton/internal/porttest"
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
	dir, proxied := t.TempDir(), porttest.Free(t)
	address := launchServer(t, "-dev-tls", "-dev-tls-cert-dir="+dir, "-config="+behindProxy(t, dir, proxied))
	ca := certtest.New(t, "clients", time.Now())
	web, old := ca.Issue("web-1.example.org"), ca.Issue("web-2.example.org")
	ca.Revoke(old)
	return append(put(t, map[string]string{
		"CLIENTS_CA": ca.PEM(), "CLIENTS_CRL": ca.CRLPEM(), "CERT_FILE": web.ChainPEM(), "KEY_FILE": web.KeyPEM(t),
		"OLD_CERT_FILE": old.ChainPEM(), "OLD_KEY_FILE": old.KeyPEM(t),
	}), "BEHIND_PROXY=https://"+proxied, "VAULT_ADDR=https://"+address, "VAULT_CACERT="+filepath.Join(dir, "vault-ca.pem"))
}

// behindProxy is a file with the page's own listener, at an address of this machine and with the certificate
// that the dev server makes in dir.
func behindProxy(t *testing.T, dir, address string) string {
	t.Helper()
	for _, b := range fences(t, "docs/auth/cert.md") {
		if b.mark != "proxied" {
			continue
		}
		text := strings.NewReplacer("10.0.0.9:8200", address, "10.0.0.1", "127.0.0.1", "/etc/jeton/cert.pem", filepath.Join(dir, "vault-cert.pem"),
			"/etc/jeton/key.pem", filepath.Join(dir, "vault-key.pem")).Replace(b.text)
		path := filepath.Join(t.TempDir(), "proxied.hcl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Fatal("docs/auth/cert.md shows no listener behind a proxy")
	return ""
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
