package sys

import (
	"context"

	"jeton/internal/backend"
	"jeton/internal/quota"
)

func (s *System) listLeaseCounts(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Keys, error) {
	all, err := s.Quotas.All(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, q := range all {
		names = append(names, q.Name)
	}
	return backend.Listing(names), nil
}

type leaseCountRequest struct {
	Name        string `json:"name" doc:"The name of the quota."`
	Type        string `json:"type" doc:"lease-count, if anything."`
	Path        string `json:"path" doc:"Empty for every path, a mount, or a path below one; it may end in *."`
	MaxLeases   int64  `json:"max_leases" doc:"How many leases there may be at a time. Service tokens are leases; batch tokens are refused with them but do not count."`
	Role        string `json:"role" doc:"Not offered: quotas hold for paths."`
	Inheritable *bool  `json:"inheritable" doc:"Kept and shown: there are no namespaces."`
}

type leaseCountReply struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Path        string `json:"path"`
	Role        string `json:"role"`
	MaxLeases   int64  `json:"max_leases"`
	Counter     int64  `json:"counter"`
	Inheritable bool   `json:"inheritable"`
}

func (s *System) readLeaseCount(ctx context.Context, _ *backend.Call, req *quotaName) (*leaseCountReply, error) {
	q, err := s.Quotas.Find(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, backend.Missing()
	}
	return &leaseCountReply{Type: "lease-count", Name: q.Name, Path: q.Path, MaxLeases: q.MaxLeases, Counter: q.Counter, Inheritable: q.Inheritable}, nil
}

func (s *System) writeLeaseCount(ctx context.Context, _ *backend.Call, req *leaseCountRequest) (*backend.None, error) {
	if req.Role != "" {
		return nil, backend.Invalidf("quotas for the role of a login are not supported: a lease count quota holds for a path")
	}
	scope, err := s.scopeOf(req.Path)
	if err != nil {
		return nil, err
	}
	return nil, s.Quotas.Put(ctx, quota.Quota{Name: req.Name, Path: scope.Path, Mount: scope.Mount, MaxLeases: req.MaxLeases, Inheritable: inheritable(scope, req.Inheritable)})
}

func (s *System) deleteLeaseCount(ctx context.Context, _ *backend.Call, req *quotaName) (*backend.None, error) {
	return nil, s.Quotas.Delete(ctx, req.Name)
}
