package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// seedDir holds the programs of the document that Jeton was ordered by.
const seedDir = "../seed"

// program is the absolute path of one of them.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(seedDir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// created is what `token create -format=json` prints, as the document shows it.
type created struct {
	Auth struct {
		ClientToken   string   `json:"client_token"`
		Accessor      string   `json:"accessor"`
		Policies      []string `json:"policies"`
		TokenPolicies []string `json:"token_policies"`
		LeaseDuration int      `json:"lease_duration"`
		Renewable     bool     `json:"renewable"`
	} `json:"auth"`
}

// looked is what `token lookup -format=json` prints.
type looked struct {
	Data struct {
		ID          string   `json:"id"`
		Accessor    string   `json:"accessor"`
		DisplayName string   `json:"display_name"`
		Policies    []string `json:"policies"`
		Orphan      bool     `json:"orphan"`
		Path        string   `json:"path"`
		Period      int      `json:"period"`
		Role        string   `json:"role"`
		TTL         int      `json:"ttl"`
		Type        string   `json:"type"`
	} `json:"data"`
}

// The document's commands, word by word, under both names of the program.
func TestSeedShellCommands(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		for _, name := range []string{"jeton", "vault"} {
			t.Run(name, func(t *testing.T) { shellCommands(t, s, name) })
		}
	})
}

func shellCommands(t *testing.T, s *server, name string) {
	s = &server{t: t, dir: s.dir, addr: s.addr, ca: s.ca, root: s.root}
	var c created
	s.jsonOf(&c, name, "token", "create", "-format=json", "-policy=app-secrets-read", "-ttl=24h", "-display-name=my-application")
	want := []string{"app-secrets-read", "default"}
	if a := c.Auth; !strings.HasPrefix(a.ClientToken, "hvs.") || a.Accessor == "" || !slices.Equal(a.Policies, want) ||
		!slices.Equal(a.TokenPolicies, want) || a.LeaseDuration != 86400 || !a.Renewable {
		t.Errorf("created %+v", a)
	}
	table := s.must(name, "token", "create", "-policy=app-secrets-read", "-ttl=24h", "-display-name=my-application")
	for _, row := range []string{"token ", "token_accessor ", "token_duration       24h", "token_renewable      true", `token_policies       ["app-secrets-read" "default"]`} {
		if !strings.Contains(table, row) {
			t.Errorf("no %q in\n%s", row, table)
		}
	}

	var l looked
	s.jsonOf(&l, name, "token", "lookup", "-format=json", "-accessor", c.Auth.Accessor)
	if d := l.Data; d.ID != "" || d.Accessor != c.Auth.Accessor || d.DisplayName != "token-my-application" || d.Orphan ||
		d.Type != "service" || d.TTL > 86400 || d.TTL < 86300 {
		t.Errorf("looked up by accessor: %+v", d)
	}
	if out := s.must(name, "token", "lookup", "-accessor", c.Auth.Accessor); strings.Contains(out, c.Auth.ClientToken) {
		t.Errorf("a lookup by accessor shows the token:\n%s", out)
	}
	var accessors []string
	s.jsonOf(&accessors, name, "list", "-format=json", "auth/token/accessors")
	if !slices.Contains(accessors, c.Auth.Accessor) {
		t.Errorf("accessor not in the list of %d", len(accessors))
	}
	if out := s.must(name, "list", "auth/token/accessors"); !strings.Contains(out, c.Auth.Accessor) || !strings.HasPrefix(out, "Keys\n----\n") {
		t.Errorf("list of accessors:\n%s", out)
	}
	if out := s.must(name, "token", "revoke", "-accessor", c.Auth.Accessor); out != "Success! Revoked token (if it existed)\n" {
		t.Errorf("revoke says %q", out)
	}
	if r := s.run(nil, name, "token", "lookup", "-accessor", c.Auth.Accessor); r.code != 2 || !strings.Contains(r.errOut, "invalid accessor") {
		t.Errorf("lookup of a revoked accessor: %d %s", r.code, r.errOut)
	}
	if r := s.run([]string{"VAULT_TOKEN=" + c.Auth.ClientToken}, name, "token", "lookup"); r.code != 2 || !strings.Contains(r.errOut, "permission denied") {
		t.Errorf("lookup by a revoked token: %d %s", r.code, r.errOut)
	}

	shellOrphan(t, s, name)
	shellPeriodic(t, s, name)
	shellRole(t, s, name)
}

func shellOrphan(t *testing.T, s *server, name string) {
	var c created
	var l looked
	s.jsonOf(&c, name, "token", "create", "-format=json", "-orphan", "-policy=background-job-policy", "-ttl=168h", "-display-name=weekly-batch-processor")
	s.jsonOf(&l, name, "token", "lookup", "-format=json", c.Auth.ClientToken)
	if d := l.Data; !d.Orphan || c.Auth.LeaseDuration != 604800 || d.DisplayName != "token-weekly-batch-processor" {
		t.Errorf("orphan: %+v, lease %d", d, c.Auth.LeaseDuration)
	}
}

func shellPeriodic(t *testing.T, s *server, name string) {
	var c created
	var l looked
	s.jsonOf(&c, name, "token", "create", "-format=json", "-policy=long-running-service", "-period=1h", "-display-name=eternal-worker")
	s.jsonOf(&l, name, "token", "lookup", "-format=json", c.Auth.ClientToken)
	if l.Data.Period != 3600 || c.Auth.LeaseDuration != 3600 || !c.Auth.Renewable {
		t.Errorf("periodic: %+v, %+v", l.Data, c.Auth)
	}
	// The document: orphans and periodic tokens need sudo.
	plain := token(t, s, map[string]any{"policies": []string{"default"}, "ttl": "1m"})
	s.must("bash", "-c", `printf 'path "auth/token/create" { capabilities = ["create", "update"] }' | jeton policy write may-create -`)
	may := token(t, s, map[string]any{"policies": []string{"may-create"}, "ttl": "1m"})
	for _, row := range []struct{ token, flag, text string }{
		{plain, "-orphan", "permission denied"},
		{plain, "-period=1h", "permission denied"},
		{may, "-orphan", "root or sudo privileges required to create orphan token"},
		{may, "-period=1h", "root or sudo privileges required to create periodic token"},
	} {
		if r := s.run([]string{"VAULT_TOKEN=" + row.token}, name, "token", "create", row.flag); r.code != 2 || !strings.Contains(r.errOut, row.text) {
			t.Errorf("%s without sudo: %d %s", row.flag, r.code, r.errOut)
		}
	}
}

func shellRole(t *testing.T, s *server, name string) {
	out := s.must(name, "write", "auth/token/roles/app-service-token",
		"allowed_policies=app-secrets-read,app-database-creds", "disallowed_policies=admin,root",
		"orphan=true", "renewable=true", "token_period=1h", "token_explicit_max_ttl=0")
	if out != "Success! Data written to: auth/token/roles/app-service-token\n" {
		t.Errorf("role write says %q", out)
	}
	var c created
	var l looked
	s.jsonOf(&c, name, "token", "create", "-format=json", "-role=app-service-token", "-display-name=payment-service-prod")
	s.jsonOf(&l, name, "token", "lookup", "-format=json", c.Auth.ClientToken)
	if d := l.Data; !d.Orphan || d.Role != "app-service-token" || d.Path != "auth/token/create/app-service-token" ||
		c.Auth.LeaseDuration != 3600 || !slices.Equal(d.Policies, []string{"app-database-creds", "app-secrets-read", "default"}) {
		t.Errorf("by role: %+v", d)
	}
	for _, policy := range []string{"admin", "root", "other"} {
		if r := s.run(nil, name, "token", "create", "-role=app-service-token", "-policy="+policy); r.code != 2 {
			t.Errorf("the role gave policy %s: %d %s", policy, r.code, r.out)
		}
	}
}

// The document's script as it stands: bash, jq and the program under the name vault.
func TestSeedBatchRevocationScript(t *testing.T) {
	need(t, "bash", "jq")
	eachMode(t, func(t *testing.T, s *server) {
		bad := []*tokenAuth{
			auth(t, s, map[string]any{"policies": []string{"compromised-app-policy"}, "ttl": "1h"}),
			auth(t, s, map[string]any{"policies": []string{"other", "compromised-app-policy"}, "no_parent": true, "ttl": "1h"}),
			auth(t, s, map[string]any{"policies": []string{"compromised-app-policy"}, "period": "1h"}),
		}
		child := childOf(t, s, bad[2])
		good := auth(t, s, map[string]any{"policies": []string{"other"}, "ttl": "1h"})
		out := s.must("bash", program(t, "revoke_by_policy.sh"))
		for _, b := range bad {
			if !strings.Contains(out, "Revoking token with accessor: "+b.Accessor+"\n") || alive(t, s, b.ClientToken) {
				t.Errorf("left alive or unmentioned: a token with the policy\n%s", out)
			}
		}
		if alive(t, s, child) {
			t.Error("the child of a revoked token lives")
		}
		if !strings.HasSuffix(out, "Revocation complete\n") || strings.Contains(out, good.Accessor) || !alive(t, s, good.ClientToken) || !alive(t, s, s.root) {
			t.Errorf("the script went too far, or not to its end:\n%s", out)
		}
	})
}
