package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// What is left of Sys() and Logical() after the other tests of the Go client.
func TestGoClientMore(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		c := s.client(s.root)
		t.Run("tuning and moves", func(t *testing.T) { tuneAndMove(t, c) })
		t.Run("leases by force", func(t *testing.T) { leasesByForce(t, s, c) })
		t.Run("plugins", func(t *testing.T) { pluginsThere(t, c) })
		t.Run("old forms", func(t *testing.T) { oldForms(t, s, c) })
		t.Run("snapshots", func(t *testing.T) { snapshots(t, c) })
		t.Run("raw forms", func(t *testing.T) { rawForms(t, c) })
		t.Run("requests", func(t *testing.T) { requests(t, c) })
	})
}

func tuneAndMove(t *testing.T, c *api.Client) {
	sys := c.Sys()
	none(t, "mount", sys.Mount("t", &api.MountInput{Type: "kv"}))
	//lint:ignore SA1019 every method is called, the old ones too
	none(t, "TuneMount", sys.TuneMount("t", api.MountConfigInput{DefaultLeaseTTL: "30m", MaxLeaseTTL: "45m", ListingVisibility: "unauth"}))
	if m := want[*api.MountConfigOutput](t)(sys.MountConfig("t")); m.DefaultLeaseTTL != 1800 || m.MaxLeaseTTL != 2700 || m.ListingVisibility != "unauth" {
		t.Errorf("tuned: %+v", m)
	}
	begun := want[*api.MountMigrationOutput](t)(sys.StartRemount("t", "u"))
	if begun.MigrationID == "" {
		t.Fatal("a move without an id")
	}
	if st := want[*api.MountMigrationStatusOutput](t)(sys.RemountStatus(begun.MigrationID)); st.MigrationID != begun.MigrationID ||
		st.MigrationInfo == nil || st.MigrationInfo.MigrationStatus != "success" || st.MigrationInfo.SourceMount != "t/" || st.MigrationInfo.TargetMount != "u/" {
		t.Errorf("move: %+v", st)
	}
	none(t, "unmount", sys.Unmount("u"))
}

// Leases are ended one by one, by prefix, and by force; with Sync before the answer.
func leasesByForce(t *testing.T, s *server, c *api.Client) {
	sys := c.Sys()
	none(t, "EnableAuth", sys.EnableAuth("gate", "userpass", "by the old method"))
	want[*api.Secret](t)(c.Logical().Write("auth/gate/users/ada", map[string]any{"password": "pw", "token_policies": "default"}))
	in := func() string {
		return want[*api.Secret](t)(c.Logical().Write("auth/gate/login/ada", map[string]any{"password": "pw"})).Auth.ClientToken
	}
	for name, revoke := range map[string]func() error{
		"RevokeForce": func() error { return sys.RevokeForce("auth/gate/login/") },
		"RevokeWithOptions: prefix": func() error {
			return sys.RevokeWithOptions(&api.RevokeOptions{LeaseID: "auth/gate/login/", Prefix: true, Sync: true})
		},
		"RevokeWithOptions: force": func() error {
			return sys.RevokeWithOptions(&api.RevokeOptions{LeaseID: "auth/gate/login/", Prefix: true, Force: true})
		},
	} {
		token := in()
		none(t, name, revoke())
		if alive(t, s, token) {
			t.Errorf("%s left the token alive", name)
		}
	}
	none(t, "disable", sys.DisableAuth("gate"))
}

func pluginsThere(t *testing.T, c *api.Client) {
	list := want[*api.ListPluginsResponse](t)(c.Sys().ListPlugins(&api.ListPluginsInput{Type: api.PluginTypeUnknown}))
	if names := list.PluginsByType[api.PluginTypeCredential]; !slices.Contains(names, "approle") || !slices.Contains(names, "userpass") {
		t.Errorf("auth methods: %v", names)
	}
	if names := list.PluginsByType[api.PluginTypeSecrets]; !slices.Contains(names, "kv") || len(list.Details) == 0 {
		t.Errorf("secret engines: %v, details %v", names, list.Details)
	}
	if one := want[*api.GetPluginResponse](t)(c.Sys().GetPlugin(&api.GetPluginInput{Name: "kv", Type: api.PluginTypeSecrets})); !one.Builtin || one.Name != "kv" || one.Version == "" {
		t.Errorf("kv: %+v", one)
	}
}

// oldForms are methods that the library keeps for old programs.
func oldForms(t *testing.T, s *server, c *api.Client) {
	sys := c.Sys()
	path := filepath.Join(s.dir, "old-audit.log")
	none(t, "EnableAudit", sys.EnableAudit("old", "file", "by the old method", map[string]string{"file_path": path}))
	if written, err := os.ReadFile(path); err != nil {
		t.Error(err)
	} else if _, err := sys.ListAudit(); err != nil || len(written) == 0 {
		t.Errorf("the device has %d bytes, %v", len(written), err)
	}
	none(t, "DisableAudit", sys.DisableAudit("old"))
	none(t, "StepDown", sys.StepDown())
	if h := want[*api.HealthResponse](t)(sys.Health()); h.Sealed || h.Standby {
		t.Errorf("after step-down: %+v", h)
	}
}

// snapshots writes one to a file's worth of memory, and puts it back.
func snapshots(t *testing.T, c *api.Client) {
	l, sys := c.Logical(), c.Sys()
	write := func(value string) {
		t.Helper()
		want[*api.Secret](t)(l.Write("secret/data/snapped", map[string]any{"data": map[string]any{"at": value}}))
	}
	write("before")
	var taken bytes.Buffer
	none(t, "RaftSnapshot", sys.RaftSnapshot(&taken))
	if taken.Len() == 0 {
		t.Fatal("an empty snapshot")
	}
	write("after")
	if err := sys.RaftSnapshotRestore(strings.NewReader("no snapshot at all"), false); err == nil {
		t.Error("rubbish was restored")
	}
	if got := want[*api.Secret](t)(l.Read("secret/data/snapped")); fmt.Sprint(got.Data["data"]) != "map[at:after]" {
		t.Errorf("after a restore that was refused: %v", got.Data["data"])
	}
}

// The log comes while it is written. The server logs each request, so that there is something.
func TestGoClientMonitor(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "requests.hcl")
	if err := os.WriteFile(config, []byte(`log_requests_level = "debug"`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startDev(t, "-config="+config).client("root")
	lines := want[chan string](t)(c.Sys().Monitor(t.Context(), "debug", "standard"))
	await(t, patience, "a request in the log", func() bool {
		want[*api.HealthResponse](t)(c.Sys().Health())
		select {
		case line := <-lines:
			return strings.Contains(line, "completed_request")
		default:
			return false
		}
	})
}

// rawForms are the methods that give the HTTP answer itself.
func rawForms(t *testing.T, c *api.Client) {
	l := c.Logical()
	body := func(r *api.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(r.StatusCode, " ", string(text))
	}
	// WriteRaw ends its request when it returns: the body is for nobody.
	wrote := want[*api.Response](t)(l.WriteRaw("secret/data/raw", []byte(`{"data":{"big":12345678901234567890}}`)))
	wrote.Body.Close()
	if wrote.StatusCode != 200 {
		t.Errorf("WriteRaw: %d", wrote.StatusCode)
	}
	want[*api.Secret](t)(l.Write("secret/data/raw", map[string]any{"data": map[string]any{"big": "no more"}}))
	if got := body(l.ReadRawWithData("secret/data/raw", map[string][]string{"version": {"1"}})); !strings.Contains(got, `"big":12345678901234567890`) {
		t.Errorf("ReadRawWithData: %s", got)
	}
	// PatchRaw is for SCIM: its content type is not that of a merge patch.
	r, err := l.PatchRaw("secret/data/raw", []byte(`{"data":{"a":1}}`))
	if r != nil {
		r.Body.Close()
	}
	refusal(t, err, 415, "PATCH requires Content-Type of application/merge-patch+json, provided application/scim+json")
	if got := body(l.DeleteRaw("secret/data/raw")); got != "204 " {
		t.Errorf("DeleteRaw: %s", got)
	}
	secret := want[*api.Secret](t)(l.ParseRawResponseAndCloseBody(l.ReadRaw("secret/metadata/raw")))
	if fmt.Sprint(secret.Data["current_version"]) != "2" {
		t.Errorf("ParseRawResponseAndCloseBody: %v", secret.Data)
	}
}

// requests are the methods that take a request with data and headers.
func requests(t *testing.T, c *api.Client) {
	l, secret := c.Logical(), want[*api.Secret](t)
	secret(l.WriteWithRequest(t.Context(), api.NewLogicalWriteRequest("cubbyhole/req", map[string]any{"a": "b"}, nil)))
	if got := secret(l.ReadWithRequest(t.Context(), api.NewLogicalReadRequest("cubbyhole/req", nil, nil))); got == nil || got.Data["a"] != "b" {
		t.Errorf("ReadWithRequest: %+v", got)
	}
	secret(l.DeleteWithRequest(t.Context(), api.NewDeleteRequest("cubbyhole/req", nil, nil)))
	if got := secret(l.Read("cubbyhole/req")); got != nil {
		t.Errorf("after DeleteWithRequest: %+v", got)
	}
	secret(l.Write("cubbyhole/req", map[string]any{"a": "b"}))
	secret(l.DeleteWithData("cubbyhole/req", map[string][]string{}))
	if got := secret(l.Read("cubbyhole/req")); got != nil {
		t.Errorf("after DeleteWithData: %+v", got)
	}
}
