package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// consulTemplate builds the program that template/go.mod pins.
func consulTemplate(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "consul-template")
	build := exec.Command("go", "build", "-o", program, "github.com/hashicorp/consul-template")
	build.Dir = "template"
	if out, err := build.CombinedOutput(); err != nil {
		lacking(t, fmt.Sprintf("consul-template cannot be built: %v\n%s", err, out))
	}
	return program
}

// consul-template renders a secret of each kind of KV, renders it again when it has changed, and
// keeps its token alive beyond the token's own period.
func TestConsulTemplate(t *testing.T) {
	program := consulTemplate(t)
	eachMode(t, func(t *testing.T, s *server) {
		s.must("vault", "secrets", "enable", "-path=plain", "-version=1", "kv")
		s.must("vault", "kv", "put", "secret/app", "password=tiger")
		// Version 1 says by ttl when to read again.
		s.must("vault", "kv", "put", "plain/app", "user=scott", "ttl=2s")
		s.policy("app", `path "secret/data/app" { capabilities = ["read"] } path "plain/app" { capabilities = ["read"] }`)
		const period = 8 * time.Second
		holder := auth(t, s, map[string]any{"policies": []string{"app"}, "period": period.String()}).ClientToken
		rendered := s.render(program, holder, `user={{ with secret "plain/app" }}{{ .Data.user }}{{ end }} password={{ with secret "secret/app" }}{{ .Data.data.password }}{{ end }}`)

		await(t, patience, "the first rendering", func() bool { return rendered() == "user=scott password=tiger" })
		s.must("vault", "kv", "put", "secret/app", "password=lion")
		await(t, patience, "the second rendering", func() bool { return rendered() == "user=scott password=lion" })
		await(t, patience, "the token is as old as three periods", func() bool {
			a := s.raw("GET", "auth/token/lookup-self", holder, nil)
			if a.status != 200 {
				t.Fatalf("the token is at its end: %d %s", a.status, a.text)
			}
			issued, err := time.Parse(time.RFC3339Nano, fmt.Sprint(a.Data["issue_time"]))
			return err == nil && time.Since(issued) > 3*period
		})
		s.must("vault", "kv", "put", "plain/app", "user=ada", "ttl=2s")
		await(t, patience, "the third rendering", func() bool { return rendered() == "user=ada password=lion" })
	})
}

// policy writes a policy.
func (s *server) policy(name, rules string) {
	s.t.Helper()
	if a := s.raw("PUT", "sys/policies/acl/"+name, s.root, object{"policy": rules}); a.status != 204 {
		s.t.Fatalf("policy: %d %s", a.status, a.text)
	}
}

// render starts consul-template with a token and a template, until the test ends, and returns
// what reads its rendering.
func (s *server) render(program, token, template string) (read func() string) {
	s.t.Helper()
	in, out, config := filepath.Join(s.dir, "app.tmpl"), filepath.Join(s.dir, "app.txt"), filepath.Join(s.dir, "template.hcl")
	text := fmt.Sprintf(`
vault {
  address                = %q
  token                  = %q
  renew_token            = true
  default_lease_duration = "2s"
  lease_renewal_threshold = 0.5
  ssl { ca_cert = %q }
}
template {
  source      = %q
  destination = %q
}
`, s.addr, token, s.ca, in, out)
	for path, text := range map[string]string{in: template, config: text} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	var log strings.Builder
	cmd := s.command([]string{"VAULT_TOKEN="}, program, "-config="+config, "-log-level=info")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			s.t.Errorf("consul-template is gone: %v", err)
		}
		// It says by its code that it was interrupted.
		if err := cmd.Wait(); s.t.Failed() {
			s.t.Logf("consul-template: %v\n%s", err, log.String())
		}
	})
	return func() string {
		got, err := os.ReadFile(out)
		if err != nil {
			return ""
		}
		return string(got)
	}
}
