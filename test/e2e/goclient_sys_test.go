package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// The methods of Sys() for what this server has.
func TestGoClientSys(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		c := s.client(s.root)
		t.Run("status", func(t *testing.T) { sysStatus(t, c) })
		t.Run("policies", func(t *testing.T) { sysPolicies(t, s, c) })
		t.Run("mounts", func(t *testing.T) { sysMounts(t, c) })
		t.Run("auth", func(t *testing.T) { sysAuth(t, c) })
		t.Run("keys", func(t *testing.T) { sysKeys(t, c) })
		t.Run("leases", func(t *testing.T) { sysLeases(t, s, c) })
		t.Run("audit", func(t *testing.T) { sysAudit(t, s, c) })
	})
	t.Run("seal", sysSeal)
}

func none(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func sysStatus(t *testing.T, c *api.Client) {
	if h := want[*api.HealthResponse](t)(c.Sys().Health()); !h.Initialized || h.Sealed || h.Standby || h.Version == "" || h.ServerTimeUTC == 0 {
		t.Errorf("health: %+v", h)
	}
	if st := want[*api.SealStatusResponse](t)(c.Sys().SealStatus()); st.Sealed || st.Type != "shamir" || st.N < st.T || st.T < 1 {
		t.Errorf("seal status: %+v", st)
	}
	if !want[bool](t)(c.Sys().InitStatus()) {
		t.Error("not initialised")
	}
	want[*api.LeaderResponse](t)(c.Sys().Leader())
	if ha := want[*api.HAStatusResponse](t)(c.Sys().HAStatus()); len(ha.Nodes) != 1 || !ha.Nodes[0].ActiveNode {
		t.Errorf("nodes: %+v", ha)
	}
	want[*api.ReplicationStatusResponse](t)(c.Sys().ReplicationStatus())
	none(t, "configure CORS", c.Sys().ConfigureCORS(&api.CORSRequest{AllowedOrigins: []string{"https://ui.example"}, AllowedHeaders: []string{"X-Own"}}))
	if cors := want[*api.CORSResponse](t)(c.Sys().CORSStatus()); !cors.Enabled || !slices.Equal(cors.AllowedOrigins, []string{"https://ui.example"}) || !slices.Contains(cors.AllowedHeaders, "X-Own") {
		t.Errorf("CORS: %+v", cors)
	}
	none(t, "disable CORS", c.Sys().DisableCORS())
	if cors := want[*api.CORSResponse](t)(c.Sys().CORSStatus()); cors.Enabled {
		t.Errorf("CORS after it is disabled: %+v", cors)
	}
	_, err := c.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	refusal(t, err, 400, "Vault is already initialized")
}

func sysPolicies(t *testing.T, s *server, c *api.Client) {
	const rules = `path "secret/data/sys" { capabilities = ["read", "update"] }`
	none(t, "put", c.Sys().PutPolicy("Sys-Test", rules))
	if names := want[[]string](t)(c.Sys().ListPolicies()); !slices.Contains(names, "sys-test") || !slices.Contains(names, "default") || !slices.Contains(names, "root") {
		t.Errorf("policies: %v", names)
	}
	if got := want[string](t)(c.Sys().GetPolicy("sys-test")); got != rules {
		t.Errorf("policy: %s", got)
	}
	made := auth(t, s, map[string]any{"policies": []string{"sys-test"}})
	for name, got := range map[string][]string{
		"token":    want[[]string](t)(c.Sys().Capabilities(made.ClientToken, "secret/data/sys")),
		"accessor": want[[]string](t)(c.Sys().CapabilitiesAccessor(made.Accessor, "secret/data/sys")),
		"self":     want[[]string](t)(s.client(made.ClientToken).Sys().CapabilitiesSelf("secret/data/sys")),
	} {
		if !slices.Equal(got, []string{"read", "update"}) {
			t.Errorf("capabilities by %s: %v", name, got)
		}
	}
	none(t, "delete", c.Sys().DeletePolicy("sys-test"))
	if got := want[string](t)(c.Sys().GetPolicy("sys-test")); got != "" {
		t.Errorf("deleted policy: %s", got)
	}
	refusal(t, c.Sys().PutPolicy("bad", `path "a" { capabilities = ["fly"] }`), 400, "")
	refusal(t, c.Sys().DeletePolicy("default"), 400, "cannot delete")
	// The policy is gone, and with it what the token could do.
	if got := want[[]string](t)(c.Sys().Capabilities(made.ClientToken, "secret/data/sys")); !slices.Equal(got, []string{"deny"}) {
		t.Errorf("capabilities without the policy: %v", got)
	}
}

func sysMounts(t *testing.T, c *api.Client) {
	none(t, "mount", c.Sys().Mount("m", &api.MountInput{Type: "kv", Description: "one", Config: api.MountConfigInput{MaxLeaseTTL: "2h"}}))
	if m := want[map[string]*api.MountOutput](t)(c.Sys().ListMounts())["m/"]; m == nil || m.Type != "kv" || m.Description != "one" || m.Config.MaxLeaseTTL != 7200 {
		t.Errorf("mounts: %+v", m)
	}
	if m := want[*api.MountOutput](t)(c.Sys().GetMount("m")); m.Type != "kv" || m.Accessor == "" {
		t.Errorf("mount: %+v", m)
	}
	hour, two := "1h", "two"
	none(t, "tune", c.Sys().TuneMountAllowNil("m", api.TuneMountConfigInput{DefaultLeaseTTL: &hour, Description: &two}))
	if m := want[*api.MountOutput](t)(c.Sys().GetMount("m")); m.Description != "two" {
		t.Errorf("tuned: %+v", m)
	}
	if m := want[*api.MountConfigOutput](t)(c.Sys().MountConfig("m")); m.DefaultLeaseTTL != 3600 || m.MaxLeaseTTL != 7200 {
		t.Errorf("tuned: %+v", m)
	}
	want[*api.Secret](t)(c.Logical().Write("m/a", map[string]any{"x": "y"}))
	none(t, "remount", c.Sys().Remount("m", "moved"))
	if got := want[*api.Secret](t)(c.Logical().Read("moved/a")); got == nil || got.Data["x"] != "y" {
		t.Errorf("moved: %+v", got)
	}
	refusal(t, c.Sys().Mount("moved", &api.MountInput{Type: "kv"}), 400, "path is already in use")
	none(t, "unmount", c.Sys().Unmount("moved"))
	_, err := c.Logical().Read("moved/a")
	if got, _ := c.Logical().Read("moved/a"); err == nil && got != nil {
		t.Errorf("read of a disabled mount: %+v", got)
	}
}

func sysAuth(t *testing.T, c *api.Client) {
	none(t, "enable", c.Sys().EnableAuthWithOptions("people", &api.EnableAuthOptions{Type: "userpass", Description: "people"}))
	if m := want[map[string]*api.AuthMount](t)(c.Sys().ListAuth())["people/"]; m == nil || m.Type != "userpass" {
		t.Errorf("auth methods: %+v", m)
	}
	if m := want[*api.AuthMount](t)(c.Sys().GetAuth("people")); m.Description != "people" || !strings.HasPrefix(m.Accessor, "auth_userpass_") {
		t.Errorf("auth method: %+v", m)
	}
	want[*api.Secret](t)(c.Logical().Write("auth/people/users/ada", map[string]any{"password": "correct horse", "token_policies": "default", "token_ttl": "5m"}))
	login := want[*api.Secret](t)(c.Logical().Write("auth/people/login/ada", map[string]any{"password": "correct horse"}))
	if login.Auth == nil || login.Auth.LeaseDuration != 300 || login.Auth.Metadata["username"] != "ada" {
		t.Errorf("login: %+v", login)
	}
	_, err := c.Logical().Write("auth/people/login/ada", map[string]any{"password": "wrong"})
	refusal(t, err, 400, "invalid username or password")
	none(t, "disable", c.Sys().DisableAuth("people"))
	_, err = c.Auth().Token().Lookup(login.Auth.ClientToken)
	refusal(t, err, 403, "bad token")
}

func sysKeys(t *testing.T, c *api.Client) {
	before := want[*api.KeyStatus](t)(c.Sys().KeyStatus())
	want[*api.Secret](t)(c.Logical().Write("secret/data/rotated", map[string]any{"data": map[string]any{"a": "b"}}))
	none(t, "rotate", c.Sys().Rotate())
	if after := want[*api.KeyStatus](t)(c.Sys().KeyStatus()); after.Term != before.Term+1 {
		t.Errorf("term %d after %d", after.Term, before.Term)
	}
	if got := want[*api.Secret](t)(c.Logical().Read("secret/data/rotated")); fmt.Sprint(got.Data["data"]) != "map[a:b]" {
		t.Errorf("read under the old term: %v", got.Data)
	}
}

// The lease of a token is named by its path and a hash; a prefix of the path ends all below it.
func sysLeases(t *testing.T, s *server, c *api.Client) {
	none(t, "enable", c.Sys().EnableAuthWithOptions("crowd", &api.EnableAuthOptions{Type: "userpass"}))
	want[*api.Secret](t)(c.Logical().Write("auth/crowd/users/ada", map[string]any{"password": "pw", "token_policies": "default"}))
	in := want[*api.Secret](t)(c.Logical().Write("auth/crowd/login/ada", map[string]any{"password": "pw"})).Auth.ClientToken
	other := token(t, s, map[string]any{"policies": []string{"default"}})
	none(t, "revoke-prefix", c.Sys().RevokePrefix("auth/crowd/login/ada"))
	if alive(t, s, in) || !alive(t, s, other) {
		t.Error("revoke-prefix revoked too little or too much")
	}
	_, err := c.Sys().Lookup("no/such/lease")
	refusal(t, err, 400, "invalid lease")
	_, err = c.Sys().Renew("no/such/lease", 0)
	refusal(t, err, 400, "lease not found")
	none(t, "revoke of an unknown lease", c.Sys().Revoke("no/such/lease"))
	none(t, "disable", c.Sys().DisableAuth("crowd"))
}

func sysAudit(t *testing.T, s *server, c *api.Client) {
	path := filepath.Join(s.dir, "sys-audit.log")
	none(t, "enable", c.Sys().EnableAuditWithOptions("f", &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": path}}))
	if d := want[map[string]*api.Audit](t)(c.Sys().ListAudit())["f/"]; d == nil || d.Type != "file" || d.Options["file_path"] != path {
		t.Errorf("devices: %+v", d)
	}
	if h := want[string](t)(c.Sys().AuditHash("f", "some value")); !strings.HasPrefix(h, "hmac-sha256:") || len(h) != len("hmac-sha256:")+64 {
		t.Errorf("hash: %s", h)
	}
	none(t, "disable", c.Sys().DisableAudit("f"))
	if left := want[map[string]*api.Audit](t)(c.Sys().ListAudit()); len(left) != 0 {
		t.Errorf("devices left: %v", left)
	}
}

// Seal and open, with the client's own methods.
func sysSeal(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	c := s.client(s.root)
	app := token(t, s, map[string]any{"policies": []string{"default"}, "ttl": "1h"})
	none(t, "seal", c.Sys().Seal())
	if st := want[*api.SealStatusResponse](t)(c.Sys().SealStatus()); !st.Sealed || st.T != 3 || st.N != 5 {
		t.Errorf("sealed: %+v", st)
	}
	for _, token := range []string{s.root, app, "junk"} {
		_, err := s.client(token).Logical().Read("secret/data/x")
		refusal(t, err, 503, "Vault is sealed")
	}
	unseal := func(share string) *api.SealStatusResponse {
		return want[*api.SealStatusResponse](t)(c.Sys().Unseal(share))
	}
	if st := unseal(s.shares[1]); st.Progress != 1 || st.Nonce == "" {
		t.Errorf("one share: %+v", st)
	}
	if st := unseal(s.shares[1]); st.Progress != 1 {
		t.Errorf("the same share again: %+v", st)
	}
	if st := want[*api.SealStatusResponse](t)(c.Sys().ResetUnsealProcess()); st.Progress != 0 {
		t.Errorf("reset: %+v", st)
	}
	for i, share := range []string{s.shares[3], s.shares[1], s.shares[0]} {
		if st := unseal(share); st.Sealed != (i < 2) {
			t.Errorf("after %d shares: %+v", i+1, st)
		}
	}
	if !alive(t, s, app) || !alive(t, s, s.root) {
		t.Error("a token did not survive sealing")
	}
}
