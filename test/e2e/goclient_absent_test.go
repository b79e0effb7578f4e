package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// failure is the error of a call whose value is of no interest.
func failure[T any](_ T, err error) error { return err }

// absent is a call for something that this server does not have, and the refusal that says so.
type absent struct {
	name   string
	err    error
	status int
	text   string
}

// What the client can ask and this server does not have is refused with an error that names it:
// nothing is answered as done that was not. Contract: sys §21, §22; the issue: nothing pretends.
func TestGoClientAbsent(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		c := s.client(s.root)
		rows := append(absentRaft(t, c), absentPlugins(t, c)...)
		rows = append(rows, absentShares(t, c)...)
		rows = append(rows, absentReports(t, c)...)
		rows = append(rows, absentSnapshots(t, c)...)
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) { refusal(t, row.err, row.status, row.text) })
		}
	})
}

func absentRaft(t *testing.T, c *api.Client) []absent {
	const raft = "this server does not store with Raft"
	sys, bucket := c.Sys(), &url.URL{Scheme: "s3", Host: "bucket"}
	// The client itself makes nothing out of a 404 here. It keeps the token it is given: root's.
	if state, err := sys.RaftAutopilotState(); state != nil || err != nil {
		t.Errorf("RaftAutopilotState: %+v %v", state, err)
	}
	if state, err := sys.RaftAutopilotStateWithDRToken(c.Token()); state != nil || err != nil {
		t.Errorf("RaftAutopilotStateWithDRToken: %+v %v", state, err)
	}
	if config, err := sys.RaftAutopilotConfiguration(); config != nil || err != nil {
		t.Errorf("RaftAutopilotConfiguration: %+v %v", config, err)
	}
	if config, err := sys.RaftAutopilotConfigurationWithDRToken(c.Token()); config != nil || err != nil {
		t.Errorf("RaftAutopilotConfigurationWithDRToken: %+v %v", config, err)
	}
	return []absent{
		{"RaftJoin", failure(sys.RaftJoin(&api.RaftJoinRequest{LeaderAPIAddr: "https://127.0.0.1:1"})), 404, raft},
		{"PutRaftAutopilotConfiguration", sys.PutRaftAutopilotConfiguration(&api.AutopilotConfig{}), 404, raft},
		// What is no JSON is refused before anyone asks where it was going.
		{"RaftLoadLocalSnapshot", failure(sys.RaftLoadLocalSnapshot(strings.NewReader("x"))), 400, "error parsing JSON"},
		{"RaftLoadCloudSnapshot", failure(sys.RaftLoadCloudSnapshot("one", bucket)), 404, raft},
		{"RaftUnloadSnapshot", failure(sys.RaftUnloadSnapshot("one")), 404, raft},
		{"RaftForceUnloadSnapshot", failure(sys.RaftForceUnloadSnapshot("one")), 404, raft},
	}
}

func absentPlugins(t *testing.T, c *api.Client) []absent {
	const plugins = "external plugins are not supported"
	ctx, sys := t.Context(), c.Sys()
	register := &api.RegisterPluginInput{Name: "mine", Type: api.PluginTypeSecrets, Command: "mine", SHA256: "00"}
	runtime := api.PluginRuntimeTypeContainer
	// The client looks for data in the error.
	if got, err := sys.ListPluginRuntimes(ctx, &api.ListPluginRuntimesInput{Type: runtime}); got != nil || err == nil {
		t.Errorf("ListPluginRuntimes: %+v %v", got, err)
	}
	return []absent{
		{"RegisterPlugin", sys.RegisterPlugin(register), 400, plugins},
		{"RegisterPluginDetailed", failure(sys.RegisterPluginDetailed(register)), 400, plugins},
		{"RegisterPluginWithContextDetailed", failure(sys.RegisterPluginWithContextDetailed(ctx, register)), 400, plugins},
		{"DeregisterPlugin", sys.DeregisterPlugin(&api.DeregisterPluginInput{Name: "mine", Type: api.PluginTypeSecrets}), 400, plugins},
		{"ReloadPlugin", failure(sys.ReloadPlugin(&api.ReloadPluginInput{Plugin: "kv"})), 404, plugins},
		{"RootReloadPlugin", failure(sys.RootReloadPlugin(ctx, &api.RootReloadPluginInput{Type: api.PluginTypeSecrets, Plugin: "kv"})), 404, plugins},
		{"ReloadPluginStatus", failure(sys.ReloadPluginStatus(&api.ReloadPluginStatusInput{ReloadID: "x"})), 404, plugins},
		{"GetPluginRuntime", failure(sys.GetPluginRuntime(ctx, &api.GetPluginRuntimeInput{Name: "r", Type: runtime})), 404, plugins},
		{"RegisterPluginRuntime", sys.RegisterPluginRuntime(ctx, &api.RegisterPluginRuntimeInput{Name: "r", Type: runtime}), 404, plugins},
		{"DeregisterPluginRuntime", sys.DeregisterPluginRuntime(ctx, &api.DeregisterPluginRuntimeInput{Name: "r", Type: runtime}), 404, plugins},
	}
}

// absentShares are the recovery keys, which a server with shares to unseal it does not have, and
// the tokens of replication and of recovery mode.
func absentShares(t *testing.T, c *api.Client) []absent {
	const (
		recovery    = "recovery rekeying not supported"
		replication = "this server does not replicate"
		mode        = "this server has no recovery mode"
	)
	ctx, sys := t.Context(), c.Sys()
	return []absent{
		{"RekeyRecoveryKeyStatus", failure(sys.RekeyRecoveryKeyStatus()), 400, recovery},
		{"RekeyRecoveryKeyInit", failure(sys.RekeyRecoveryKeyInit(&api.RekeyInitRequest{SecretShares: 1, SecretThreshold: 1})), 400, recovery},
		{"RekeyRecoveryKeyUpdate", failure(sys.RekeyRecoveryKeyUpdate("x", "y")), 400, recovery},
		{"RekeyRecoveryKeyCancelWithNonce", sys.RekeyRecoveryKeyCancelWithNonce("x"), 400, recovery},
		{"RekeyRecoveryKeyCancelWithContextWithNonce", sys.RekeyRecoveryKeyCancelWithContextWithNonce(ctx, "x"), 400, recovery},
		{"RekeyRecoveryKeyVerificationStatus", failure(sys.RekeyRecoveryKeyVerificationStatus()), 400, recovery},
		{"RekeyRecoveryKeyVerificationUpdate", failure(sys.RekeyRecoveryKeyVerificationUpdate("x", "y")), 400, recovery},
		{"RekeyRecoveryKeyVerificationCancel", sys.RekeyRecoveryKeyVerificationCancel(), 400, recovery},
		{"RekeyRetrieveBackup", failure(sys.RekeyRetrieveBackup()), 400, "no backed-up keys found"},
		{"RekeyRetrieveRecoveryBackup", failure(sys.RekeyRetrieveRecoveryBackup()), 400, "no backed-up keys found"},
		{"GenerateDROperationTokenStatus", failure(sys.GenerateDROperationTokenStatus()), 404, replication},
		{"GenerateDROperationTokenInit", failure(sys.GenerateDROperationTokenInit("", "")), 404, replication},
		{"GenerateDROperationTokenUpdate", failure(sys.GenerateDROperationTokenUpdate("x", "y")), 404, replication},
		{"GenerateDROperationTokenCancel", sys.GenerateDROperationTokenCancel(), 404, replication},
		{"GenerateRecoveryOperationTokenStatus", failure(sys.GenerateRecoveryOperationTokenStatus()), 404, mode},
		{"GenerateRecoveryOperationTokenInit", failure(sys.GenerateRecoveryOperationTokenInit("", "")), 404, mode},
		{"GenerateRecoveryOperationTokenUpdate", failure(sys.GenerateRecoveryOperationTokenUpdate("x", "y")), 404, mode},
		{"GenerateRecoveryOperationTokenCancel", sys.GenerateRecoveryOperationTokenCancel(), 404, mode},
	}
}

func absentReports(t *testing.T, c *api.Client) []absent {
	const messages = "this server has no custom messages"
	ctx, sys := t.Context(), c.Sys()
	message := api.UICustomMessageRequest{Title: "t", Message: "bQ==", Type: "banner", StartTime: "2026-01-01T00:00:00Z"}
	return []absent{
		{"MFAValidate", failure(sys.MFAValidate("id", map[string]any{})), 404, "this server has no login MFA"},
		{"ReportingScan", failure(sys.ReportingScan(&api.ReportingScanRequest{})), 404, "this server makes no usage reports"},
		{"UtilizationReport", failure(sys.UtilizationReport()), 404, "this server makes no usage reports"},
		{"UtilizationReportWithNamespace", failure(sys.UtilizationReportWithNamespace("")), 404, "this server makes no usage reports"},
		{"BillingOverview", failure(sys.BillingOverview(false)), 404, "this server makes no usage reports"},
		{"ListUICustomMessages", failure(sys.ListUICustomMessages(api.UICustomMessageListRequest{})), 404, messages},
		{"CreateUICustomMessage", failure(sys.CreateUICustomMessage(message)), 404, messages},
		{"ReadUICustomMessage", failure(sys.ReadUICustomMessage("x")), 404, messages},
		{"UpdateUICustomMessage", sys.UpdateUICustomMessage("x", message), 404, messages},
		{"DeleteUICustomMessage", sys.DeleteUICustomMessageWithContext(ctx, "x"), 404, messages},
		{"ReplicationDRStatus", failure(sys.ReplicationDRStatusWithContext(ctx)), 404, "this server does not replicate"},
		{"ReplicationPerformanceStatus", failure(sys.ReplicationPerformanceStatusWithContext(ctx)), 404, "this server does not replicate"},
	}
}

// absentSnapshots: a read from a loaded snapshot must not be answered with what is there now, and
// a recovery must write nothing.
func absentSnapshots(t *testing.T, c *api.Client) []absent {
	const snapshots = "this server reads no snapshots"
	l := c.Logical()
	want[*api.Secret](t)(l.Write("secret/data/now", map[string]any{"data": map[string]any{"a": "b"}}))
	return []absent{
		{"ReadFromSnapshot", failure(l.ReadFromSnapshot("secret/data/now", "one")), 400, snapshots},
		{"ReadRawFromSnapshot", failure(l.ReadRawFromSnapshot("secret/data/now", "one")), 400, snapshots},
		{"ListFromSnapshot", failure(l.ListFromSnapshot("secret/metadata", "one")), 400, snapshots},
		{"Recover", failure(l.Recover(t.Context(), "secret/data/now", "one")), 400, snapshots},
		{"RecoverFromPath", failure(l.RecoverFromPath(t.Context(), "secret/data/new", "one", "secret/data/now")), 400, snapshots},
	}
}
