package e2e

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Contract: secrets §5, by hvac.
func TestHvacTransit(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	script, err := filepath.Abs("python/transit.py")
	if err != nil {
		t.Fatal(err)
	}
	s := startProduction(t)
	r := s.run([]string{"PYTHONDONTWRITEBYTECODE=1"}, interpreter, script)
	if r.code != 0 || r.out != "as promised\n" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

// Contract: secrets §5, by the official Go client and by the command line; keys outlive the process.
func TestGoClientTransit(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	c := s.client(s.root)
	none(t, "mount", c.Sys().Mount("transit", &api.MountInput{Type: "transit"}))
	write := func(c *api.Client, path string, data map[string]any) *api.Secret {
		t.Helper()
		return want[*api.Secret](t)(c.Logical().Write("transit/"+path, data))
	}
	text := base64.StdEncoding.EncodeToString([]byte("a secret"))
	made := write(c, "keys/app", map[string]any{"type": "chacha20-poly1305"})
	if made.Data["type"] != "chacha20-poly1305" || made.Data["name"] != "app" {
		t.Errorf("made: %v", made.Data)
	}
	sealed, _ := write(c, "encrypt/app", map[string]any{"plaintext": text}).Data["ciphertext"].(string)
	if !strings.HasPrefix(sealed, "vault:v1:") {
		t.Fatalf("ciphertext %q", sealed)
	}

	// Who may encrypt and create makes a key by encrypting; who may only update does not.
	none(t, "policy", c.Sys().PutPolicy("maker", `path "transit/encrypt/*" { capabilities = ["create"] }`))
	none(t, "policy", c.Sys().PutPolicy("user", `path "transit/encrypt/*" { capabilities = ["update"] }`))
	maker := s.client(token(t, s, map[string]any{"policies": []string{"maker"}}))
	user := s.client(token(t, s, map[string]any{"policies": []string{"user"}}))
	_, err := user.Logical().Write("transit/encrypt/fresh", map[string]any{"plaintext": text})
	refusal(t, err, 400, "encryption key not found")
	write(maker, "encrypt/fresh", map[string]any{"plaintext": text})
	write(user, "encrypt/fresh", map[string]any{"plaintext": text})
	_, err = maker.Logical().Write("transit/encrypt/fresh", map[string]any{"plaintext": text})
	refusal(t, err, 403, "permission denied")
	_, err = user.Logical().Write("transit/decrypt/app", map[string]any{"ciphertext": sealed})
	refusal(t, err, 403, "permission denied")

	if out := s.must("vault", "write", "-f", "transit/keys/app/rotate"); !strings.Contains(out, "latest_version") {
		t.Errorf("rotate prints\n%s", out)
	}
	s.kill()
	s.start("server started!")
	s.unseal()
	if got := s.must("vault", "write", "-field=plaintext", "transit/decrypt/app", "ciphertext="+sealed); got != text {
		t.Errorf("after a crash: %q, want %q", got, text)
	}
	if keys := s.must("jeton", "list", "transit/keys"); !strings.Contains(keys, "app\nfresh\n") {
		t.Errorf("keys:\n%s", keys)
	}
}
