package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"jeton/internal/porttest"
)

// What real clients lean on, by the contract's numbers (observed: what real clients lean on).

// 1: the configuration as JSON, with "backend", a listener as one object or a list, relative
// certificate paths, and TTLs as text.
func TestLeanedOn1Configuration(t *testing.T) {
	for name, listener := range map[string]string{
		"listener is an object": `{"tcp": {"address": %q, "tls_cert_file": "cert.pem", "tls_key_file": "key.pem"}}`,
		"listener is a list":    `{"tcp": [{"address": %q, "tls_cert_file": "cert.pem", "tls_key_file": "key.pem"}]}`,
		"list of listeners":     `[{"tcp": {"address": %q, "tls_cert_file": "cert.pem", "tls_key_file": "key.pem"}}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{t: t, dir: t.TempDir()}
			host := porttest.Free(t)
			s.addr, s.ca = "https://"+host, writeCertificates(t, s.dir).ca
			config := fmt.Sprintf(`{"backend": {"inmem": {}}, "listener": `+listener+`, "disable_mlock": true, "default_lease_ttl": "768h", "max_lease_ttl": "768h"}`, host)
			path := filepath.Join(s.dir, "server.json")
			if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			s.args = []string{"server", "-config=" + path}
			s.start("server started!")
			t.Cleanup(s.stop)
			if a := s.raw("GET", "sys/health", "", nil); a.status != 501 {
				t.Errorf("health before init: %d %s", a.status, a.text)
			}
		})
	}
}

// 2: clients switch features on the version that is the second word.
func TestLeanedOn2Version(t *testing.T) {
	s := &server{t: t, dir: t.TempDir()}
	for _, arg := range []string{"-version", "--version", "version", "-v"} {
		out := s.must("vault", arg)
		words := strings.Fields(out)
		if len(words) < 2 || !regexp.MustCompile(`^v1\.(19|[2-9][0-9])\.\d+$`).MatchString(words[1]) {
			t.Errorf("%s prints %q", arg, out)
		}
	}
}

// 3: the flags and the banner of development servers.
func TestLeanedOn3DevFlags(t *testing.T) {
	t.Parallel()
	s := &server{t: t, dir: t.TempDir(), root: "two-words"}
	host := porttest.Free(t)
	certs := filepath.Join(s.dir, "certs")
	if err := os.Mkdir(certs, 0o700); err != nil {
		t.Fatal(err)
	}
	s.addr, s.ca = "https://"+host, filepath.Join(certs, "vault-ca.pem")
	s.args = []string{"server", "-dev", "-dev-root-token-id", s.root, "-dev-listen-address", host, "-dev-no-store-token", "-dev-tls", "-dev-tls-cert-dir", certs}
	s.start("Root Token:")
	t.Cleanup(s.stop)
	await(t, patience, "the banner is whole", func() bool { return strings.Contains(s.proc.output(), "Root Token: two-words") })
	if !regexp.MustCompile(`(?m)^Unseal Key: \S+$`).MatchString(s.proc.output()) {
		t.Errorf("no unseal key in\n%s", s.proc.output())
	}
	if _, err := os.Stat(filepath.Join(s.dir, "home", ".vault-token")); !os.IsNotExist(err) {
		t.Errorf("a token file in spite of -dev-no-store-token: %v", err)
	}
	if m := want[*api.MountOutput](t)(s.client(s.root).Sys().GetMount("secret")); m.Options["version"] != "2" {
		t.Errorf("secret/ is %+v", m)
	}
}

// 5 and 6: texts that are compared.
func TestLeanedOn5And6Texts(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	for _, row := range []struct {
		verb, path string
		body       any
		status     int
		text       string
	}{
		{"GET", "secret/config", nil, 200, `"cas_required":false`},
		{"POST", "sys/mounts/secret", object{"type": "kv"}, 400, "path is already in use"},
		{"POST", "sys/init", object{"secret_shares": 1, "secret_threshold": 1}, 400, "Vault is already initialized"},
		{"POST", "sys/audit-hash/nothing", object{"input": "x"}, 400, "unknown audit backend"},
	} {
		if a := s.raw(row.verb, row.path, s.root, row.body); a.status != row.status || !strings.Contains(a.text, row.text) {
			t.Errorf("%s %s: %d %s", row.verb, row.path, a.status, a.text)
		}
	}
}

// 8: some answers are compared whole.
func TestLeanedOn8WholeAnswers(t *testing.T) {
	t.Parallel()
	s := startDev(t)
	rules := `path "a" { capabilities = ["read"] }`
	if a := s.raw("PUT", "sys/policies/acl/p", s.root, object{"policy": rules}); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	a := s.raw("GET", "sys/policies/acl/p", s.root, nil)
	if len(a.Data) != 2 || a.Data["name"] != "p" || a.Data["policy"] != rules {
		t.Errorf("policy: %v", a.Data)
	}
}

// 9: exit codes.
func TestLeanedOn9ExitCodes(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	s.must("vault", "kv", "put", "secret/a", "b=c")
	s.must("vault", "kv", "delete", "secret/a")
	s.must("vault", "auth", "enable", "-path=a", "userpass")
	rows := []struct {
		want int
		env  []string
		args string
	}{
		{0, nil, "status"},
		{0, nil, "kv get secret/a"},
		{0, nil, "auth move auth/a/ auth/b/"},
		{1, nil, "token create -no-such-flag"},
		{1, nil, "token create -ttl=soon"},
		{2, nil, "read secret/data/nothing"},
		{2, nil, "list nowhere/at/all"},
		{2, []string{"VAULT_TOKEN=junk"}, "token lookup"},
		{1, []string{"VAULT_ADDR=http://" + porttest.Free(t)}, "status"},
		{2, []string{"VAULT_ADDR=http://" + porttest.Free(t)}, "token lookup"},
		{127, nil, "no-such-command"},
		{0, nil, "operator seal"},
		{2, nil, "status"},
		{2, nil, "token lookup"},
	}
	for _, row := range rows {
		if r := s.run(row.env, "vault", strings.Fields(row.args)...); r.code != row.want {
			t.Errorf("%s %v: want exit code %d, got %d\n%s%s", row.args, row.env, row.want, r.code, r.out, r.errOut)
		}
	}
}

// 10: wrapping by sys/wrapping/wrap, with the header, and the life of what it gives.
func TestLeanedOn10Wrapping(t *testing.T) {
	t.Parallel()
	s := startDev(t)
	a := s.raw("POST", "sys/wrapping/wrap", s.root, object{"k": "v"}, "X-Vault-Wrap-TTL", "2")
	_, rest, _ := strings.Cut(a.text, `"token":"`)
	wrapped, _, _ := strings.Cut(rest, `"`)
	if a.status != 200 || wrapped == "" {
		t.Fatalf("wrap: %d %s", a.status, a.text)
	}
	// A wrapping token is good for nothing else.
	if a := s.raw("GET", "secret/data/a", wrapped, nil); a.status != 403 {
		t.Errorf("as a token: %d %s", a.status, a.text)
	}
	await(t, patience, "the end of a wrapping token of two seconds", func() bool {
		return s.raw("POST", "sys/wrapping/lookup", "", object{"token": wrapped}).status == 400
	})
	if a := s.raw("POST", "sys/wrapping/unwrap", wrapped, nil); a.status != 400 || !strings.Contains(a.text, "wrapping token is not valid or does not exist") {
		t.Errorf("unwrap after its end: %d %s", a.status, a.text)
	}
}
