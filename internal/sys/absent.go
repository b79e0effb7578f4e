package sys

import (
	"context"

	"jeton/internal/backend"
)

// absentRoutes answer for known features of Vault that are not here.
func (s *System) absentRoutes() []backend.Route {
	routes := backend.AbsentRoutes([]backend.Feature{
		{Text: "this server has no namespaces", Patterns: []string{"namespaces", "namespaces/{path...}"}},
		{Text: "this server does not store with Raft", Patterns: []string{"storage/raft/{path...}"}},
		{Text: "this server does not replicate", Patterns: []string{"replication/{path...}"}},
		{Text: "this server needs no license", Patterns: []string{"license", "license/{path...}", "config/reload/license"}},
		{Text: "wrapping tokens are no JWTs", Patterns: []string{"wrapping/pubkey"}, Open: true},
		{Text: "this server has no Sentinel policies", Patterns: []string{"policies/rgp", "policies/rgp/{path...}", "policies/egp", "policies/egp/{path...}"}},
		{Text: "this server has no control groups", Patterns: []string{"control-group/{path...}", "config/control-group"}},
		{Text: "this server has no login MFA", Patterns: []string{"mfa/{path...}"}},
		{Text: "this server has no managed keys", Patterns: []string{"managed-keys", "managed-keys/{path...}"}},
		{Text: "this server does not sync secrets elsewhere", Patterns: []string{"sync/{path...}"}},
		{Text: "this server sends no events", Patterns: []string{"events/{path...}"}},
		{Text: "this server counts no client activity", Patterns: []string{"internal/counters/activity", "internal/counters/activity/{path...}", "internal/counters/config"}},
		{Text: "external plugins are not supported", Patterns: []string{"plugins/pins", "plugins/pins/{path...}", "plugins/reload/{path...}", "plugins/runtimes/{path...}"}},
		{Text: "this server has no recovery mode", Patterns: []string{"generate-recovery-token/{path...}"}},
		{Text: "this server has no custom messages", Patterns: []string{"config/ui/custom-messages", "config/ui/custom-messages/{path...}", "internal/ui/authenticated-messages"}},
		{Text: "this server has no custom messages", Patterns: []string{"internal/ui/unauthenticated-messages"}, Open: true},
		{Text: "this server has one seal", Patterns: []string{"seal-backend-status", "seal-wrap/{path...}", "sealwrap/{path...}"}},
		{Text: "this server rekeys by sys/rekey", Patterns: []string{"rotate/root/{path...}", "rotate/recovery/{path...}"}},
		{Text: "this server makes no usage reports", Patterns: []string{"reporting/{path...}", "utilization-report", "billing/{path...}"}},
		{Text: "this server has no switches for experiments", Patterns: []string{"experiments", "activation-flags", "activation-flags/{path...}"}},
		{Text: "this server does not show its memory", Patterns: []string{"internal/inspect/{path...}"}},
	}...)
	gone := backend.Handle(func(context.Context, *backend.Call, *backend.None) (*backend.None, error) {
		return nil, backend.Errorf(backend.NotFound, "The functionality has been removed on this path")
	})
	return append(routes, backend.Route{Pattern: "internal/counters/requests", Summary: "Removed.", Absent: true, Read: gone})
}
