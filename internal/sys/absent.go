package sys

import (
	"context"

	"jeton/internal/backend"
)

// absentSummary marks the routes of features that this server does not have; they are left out
// of the OpenAPI document.
const absentSummary = "Not part of this server."

// anything takes whatever a client sends.
type anything struct {
	All backend.Payload `json:"all"`
}

// absentRoutes answer for known features of Vault that are not here: as an unknown path, with a
// text that names what is missing.
func (s *System) absentRoutes() []backend.Route {
	var routes []backend.Route
	for _, feature := range []struct {
		text     string
		patterns []string
		open     bool
	}{
		{"this server has no namespaces", []string{"namespaces", "namespaces/{path...}"}, false},
		{"this server does not store with Raft", []string{"storage/raft/{path...}"}, false},
		{"this server does not replicate", []string{"replication/{path...}"}, false},
		{"this server needs no license", []string{"license/{path...}", "config/reload/license"}, false},
		{"wrapping tokens are no JWTs", []string{"wrapping/pubkey"}, true},
		{"this server has no Sentinel policies", []string{"policies/rgp", "policies/rgp/{path...}", "policies/egp", "policies/egp/{path...}"}, false},
		{"this server has no control groups", []string{"control-group/{path...}", "config/control-group"}, false},
		{"this server has no login MFA", []string{"mfa/{path...}"}, false},
		{"this server has no managed keys", []string{"managed-keys/{path...}"}, false},
		{"this server does not sync secrets elsewhere", []string{"sync/{path...}"}, false},
		{"this server sends no events", []string{"events/{path...}"}, false},
		{"this server counts no client activity", []string{"internal/counters/activity", "internal/counters/activity/{path...}", "internal/counters/config"}, false},
		{"external plugins are not supported", []string{"plugins/pins", "plugins/pins/{path...}", "plugins/reload/{path...}", "plugins/runtimes/{path...}"}, false},
		{"this server does not show its memory", []string{"internal/inspect/{path...}"}, false},
	} {
		missing := func(context.Context, *backend.Call, *anything) (*backend.None, error) {
			return nil, backend.Errorf(backend.NotFound, "unsupported path: %s", feature.text)
		}
		e := backend.Handle(missing)
		for _, pattern := range feature.patterns {
			routes = append(routes, backend.Route{Pattern: pattern, Summary: absentSummary, Detail: feature.text, Open: feature.open,
				Read: e, Write: e, Patch: e, Delete: e, List: e})
		}
	}
	gone := backend.Handle(func(context.Context, *backend.Call, *backend.None) (*backend.None, error) {
		return nil, backend.Errorf(backend.NotFound, "The functionality has been removed on this path")
	})
	return append(routes, backend.Route{Pattern: "internal/counters/requests", Summary: absentSummary, Read: gone})
}
