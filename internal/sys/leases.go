package sys

import (
	"context"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/token"
)

func (s *System) leaseRoutes() []backend.Route {
	row := func(pattern, summary string, sudo bool, e backend.Endpoint) backend.Route {
		return backend.Route{Pattern: pattern, Summary: summary, Sudo: sudo, Write: e}
	}
	renew, revoke := backend.Handle(s.renewLease), backend.Handle(s.revokeLease)
	prefix := backend.Handle(s.revokePrefix)
	return []backend.Route{
		row("leases/lookup", "Look a lease up.", false, backend.Handle(s.lookupLease)),
		row("leases/renew", "Renew a lease.", false, renew),
		row("leases/renew/{url_lease_id...}", "Renew a lease.", false, renew),
		row("leases/revoke", "Revoke a lease.", false, revoke),
		row("leases/revoke/{url_lease_id...}", "Revoke a lease.", false, revoke),
		row("leases/revoke-prefix/{prefix...}", "Revoke all leases and tokens below a path.", true, prefix),
		row("leases/revoke-force/{prefix...}", "Revoke all leases and tokens below a path, whatever their engines say.", true, prefix),
		row("renew", "Renew a lease; the old path.", false, renew),
		row("renew/{url_lease_id...}", "Renew a lease; the old path.", false, renew),
		row("revoke", "Revoke a lease; the old path.", false, revoke),
		row("revoke/{url_lease_id...}", "Revoke a lease; the old path.", false, revoke),
		row("revoke-prefix/{prefix...}", "Revoke all below a path; the old path.", true, prefix),
		row("revoke-force/{prefix...}", "Revoke all below a path; the old path.", true, prefix),
	}
}

type leaseRequest struct {
	LeaseID    string          `json:"lease_id" doc:"The lease."`
	URLLeaseID string          `json:"url_lease_id" doc:"The lease, in the path."`
	Increment  backend.Seconds `json:"increment" doc:"The life asked for, from now."`
	Sync       *bool           `json:"sync" doc:"Answer when the work is done; it always is."`
}

// id is the lease of the body, else of the path. Contract: leases §3.
func (r *leaseRequest) id() (string, error) {
	id := r.LeaseID
	if id == "" {
		id = r.URLLeaseID
	}
	if id == "" {
		return "", backend.Invalidf("lease_id must be specified")
	}
	return id, nil
}

type leaseData struct {
	ID          string          `json:"id"`
	IssueTime   string          `json:"issue_time"`
	ExpireTime  *string         `json:"expire_time"`
	LastRenewal *string         `json:"last_renewal"`
	Path        string          `json:"path"`
	Renewable   bool            `json:"renewable"`
	TTL         backend.Seconds `json:"ttl"`
}

// leased is the token whose lease id is; nil when there is none.
func (s *System) leased(ctx context.Context, id string) (*token.Token, error) {
	tokenID, ok := token.ParseLeaseID(id)
	if !ok {
		return nil, nil
	}
	t, err := s.Tokens.FindID(ctx, tokenID)
	if t == nil || err != nil || t.LeaseID() != id {
		return nil, err
	}
	return t, nil
}

func (s *System) lookupLease(ctx context.Context, _ *backend.Call, req *leaseRequest) (*leaseData, error) {
	id, err := req.id()
	if err != nil {
		return nil, err
	}
	t, err := s.leased(ctx, id)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, backend.Invalidf("invalid lease")
	}
	d := &leaseData{ID: id, IssueTime: t.Created().Format(time.RFC3339Nano), Path: t.Origin.Path,
		Renewable: t.Life.Renewable, TTL: backend.Seconds(t.TTL(s.Clock.Now()))}
	if end := t.Expires(); !end.IsZero() {
		text := end.Format(time.RFC3339Nano)
		d.ExpireTime = &text
	}
	if t.Life.Renewed != 0 {
		text := time.Unix(0, t.Life.Renewed).UTC().Format(time.RFC3339Nano)
		d.LastRenewal = &text
	}
	return d, nil
}

func (s *System) renewLease(ctx context.Context, _ *backend.Call, req *leaseRequest) (*backend.None, error) {
	id, err := req.id()
	if err != nil {
		return nil, err
	}
	t, err := s.leased(ctx, id)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, backend.Invalidf("lease not found")
	}
	return nil, backend.Invalidf("tokens cannot be renewed through this endpoint")
}

func (s *System) revokeLease(ctx context.Context, c *backend.Call, req *leaseRequest) (*backend.Response, error) {
	id, err := req.id()
	if err != nil {
		return nil, err
	}
	t, err := s.leased(ctx, id)
	if err != nil {
		return nil, err
	}
	if t != nil {
		if err := s.Tokens.Revoke(ctx, t.ID, token.Revoked, c.Caller.Accessor); err != nil {
			return nil, err
		}
	}
	return revokedReply(req.Sync), nil
}

// revokedReply is nothing (204), or 202 for a client that did not want to wait. Contract: leases §3.
func revokedReply(sync *bool) *backend.Response {
	if sync != nil && !*sync {
		return &backend.Response{Status: 202, Raw: &backend.Raw{ContentType: "application/json"}}
	}
	return nil
}

type prefixRequest struct {
	Prefix string `json:"prefix" doc:"The path."`
	Sync   *bool  `json:"sync" doc:"Answer when the work is done; it always is."`
}

// revokePrefix ends every token that the path, or a path below it, issued. Without a slash at
// its end the prefix is that path and those below it, not its neighbours. Contract: leases §3.5.
func (s *System) revokePrefix(ctx context.Context, c *backend.Call, req *prefixRequest) (*backend.Response, error) {
	if t, err := s.leased(ctx, req.Prefix); err != nil {
		return nil, err
	} else if t != nil {
		return revokedReply(req.Sync), s.Tokens.Revoke(ctx, t.ID, token.Revoked, c.Caller.Accessor)
	}
	path := strings.TrimSuffix(req.Prefix, "/")
	for _, prefix := range []string{path + "\x00", path + "/"} {
		if err := s.Tokens.RevokePath(ctx, prefix, c.Caller.Accessor); err != nil {
			return nil, err
		}
	}
	return revokedReply(req.Sync), nil
}
