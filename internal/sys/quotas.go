package sys

import (
	"context"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/edge"
)

func (s *System) quotaRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "quotas/config", Summary: "What holds for all quotas.", Read: backend.Handle(s.readQuotaConfig), Write: backend.Handle(s.writeQuotaConfig)},
		{Pattern: "quotas/rate-limit", Summary: "List the rate limits.", List: backend.Handle(s.listQuotas)},
		{Pattern: "quotas/rate-limit/{name}", Summary: "A limit on the requests of one client address.",
			Read: backend.Handle(s.readQuota), Write: backend.Handle(s.writeQuota), Delete: backend.Handle(s.deleteQuota)},
		{Pattern: "quotas/lease-count", Summary: "List the quotas of leases.", List: backend.Handle(s.listLeaseCounts)},
		{Pattern: "quotas/lease-count/{name}", Summary: "How many leases, service tokens among them, the paths of a quota may have at a time.",
			Read: backend.Handle(s.readLeaseCount), Write: backend.Handle(s.writeLeaseCount), Delete: backend.Handle(s.deleteLeaseCount)},
	}
}

type quotaConfig struct {
	AuditLogging    bool              `json:"enable_rate_limit_audit_logging" doc:"Write refused requests to the audit log."`
	ResponseHeaders bool              `json:"enable_rate_limit_response_headers" doc:"Tell clients how much is left."`
	ExemptPaths     backend.CommaList `json:"rate_limit_exempt_paths" doc:"Paths without a limit; one may end in *."`
}

type quotaConfigReply struct {
	AuditLogging        bool     `json:"enable_rate_limit_audit_logging"`
	ResponseHeaders     bool     `json:"enable_rate_limit_response_headers"`
	AbsoluteExemptPaths []string `json:"absolute_rate_limit_exempt_paths"`
	ExemptPaths         []string `json:"rate_limit_exempt_paths"`
}

func (s *System) readQuotaConfig(context.Context, *backend.Call, *backend.None) (*quotaConfigReply, error) {
	c := s.Edge.QuotaConfig()
	// There are no namespaces: every exempt path is absolute as it is, and none is so besides.
	return &quotaConfigReply{AuditLogging: c.Audit, ResponseHeaders: c.Headers, ExemptPaths: append([]string{}, c.Exempt...), AbsoluteExemptPaths: []string{}}, nil
}

// writeQuotaConfig replaces all of it: what is left out is reset. Contract: sys §17.
func (s *System) writeQuotaConfig(ctx context.Context, _ *backend.Call, req *quotaConfig) (*backend.None, error) {
	return nil, s.Edge.SetQuotaConfig(ctx, edge.QuotaConfig{Audit: req.AuditLogging, Headers: req.ResponseHeaders, Exempt: req.ExemptPaths})
}

func (s *System) listQuotas(context.Context, *backend.Call, *backend.None) (*backend.Keys, error) {
	var names []string
	for _, q := range s.Edge.Quotas() {
		names = append(names, q.Name)
	}
	return backend.Listing(names), nil
}

type quotaName struct {
	Name string `json:"name" doc:"The name of the quota."`
}

type quotaRequest struct {
	Name          string           `json:"name" doc:"The name of the quota."`
	Type          string           `json:"type" doc:"rate-limit, if anything."`
	Path          string           `json:"path" doc:"Empty for every path, a mount, or a path below one; it may end in *."`
	Rate          float64          `json:"rate" doc:"How many requests in each interval."`
	Interval      *backend.Seconds `json:"interval" doc:"The interval, a second unless given."`
	BlockInterval backend.Seconds  `json:"block_interval" doc:"How long a client that went over is refused; 0 until the next interval."`
	Role          string           `json:"role" doc:"Not offered: quotas hold for addresses."`
	Inheritable   *bool            `json:"inheritable" doc:"Kept and shown: there are no namespaces."`
}

type quotaReply struct {
	Type          string          `json:"type"`
	Name          string          `json:"name"`
	Path          string          `json:"path"`
	Role          string          `json:"role"`
	Rate          float64         `json:"rate"`
	Interval      backend.Seconds `json:"interval"`
	BlockInterval backend.Seconds `json:"block_interval"`
	Inheritable   bool            `json:"inheritable"`
}

func (s *System) readQuota(_ context.Context, _ *backend.Call, req *quotaName) (*quotaReply, error) {
	for _, q := range s.Edge.Quotas() {
		if q.Name == req.Name {
			return &quotaReply{Type: "rate-limit", Name: q.Name, Path: q.Path, Rate: q.Rate, Interval: backend.Seconds(q.Interval),
				BlockInterval: backend.Seconds(q.BlockInterval), Inheritable: q.Inheritable}, nil
		}
	}
	return nil, backend.Missing()
}

func (s *System) writeQuota(ctx context.Context, _ *backend.Call, req *quotaRequest) (*backend.None, error) {
	q := edge.Quota{Name: req.Name, Rate: req.Rate, Interval: time.Second, BlockInterval: req.BlockInterval.Duration()}
	if req.Interval != nil && req.Interval.Duration() != 0 {
		q.Interval = req.Interval.Duration()
	}
	if req.Role != "" {
		return nil, backend.Invalidf("quotas for the role of a login are not supported: a rate limit holds for a path and a client address")
	}
	scope, err := s.scopeOf(req.Path)
	if err != nil {
		return nil, err
	}
	q.Path, q.Mount, q.Inheritable = scope.Path, scope.Mount, inheritable(scope, req.Inheritable)
	return nil, s.Edge.PutQuota(ctx, q)
}

// scopeOf reads the path of a quota: none, or one of a mount or below it.
func (s *System) scopeOf(path string) (scope backend.Scope, err error) {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return scope, nil
	}
	m, below, ok := s.Mounts.Find(strings.TrimSuffix(path, "/") + "/")
	if !ok {
		return scope, backend.Invalidf("invalid mount path %q", path)
	}
	return backend.Scope{Mount: m.Entry.Path, Path: m.Entry.Path + strings.TrimSuffix(below, "/")}, nil
}

// inheritable is what was asked for; without a word it is true of the quota of every path.
func inheritable(scope backend.Scope, asked *bool) bool {
	if asked != nil {
		return *asked
	}
	return scope.Path == ""
}

func (s *System) deleteQuota(ctx context.Context, _ *backend.Call, req *quotaName) (*backend.None, error) {
	return nil, s.Edge.DeleteQuota(ctx, req.Name)
}
