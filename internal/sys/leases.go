package sys

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/lease"
	"jeton/internal/token"
)

// leaseRoutes are sys/leases and the paths that old clients know. Contract: leases §3. Tokens
// have leases too: they are in the token room, all others in the lease room.
func (s *System) leaseRoutes() []backend.Route {
	row := func(pattern, summary string, sudo bool, e backend.Endpoint) backend.Route {
		return backend.Route{Pattern: pattern, Summary: summary, Sudo: sudo, Write: e}
	}
	renew, revoke := backend.Handle(s.renewLease), backend.Handle(s.revokeLease)
	prefix, force := backend.Handle(s.revokePrefix), backend.Handle(s.revokeForce)
	return []backend.Route{
		{Pattern: "leases", Summary: "List the leases that could not be revoked.", Sudo: true, Read: backend.Handle(s.listIrrevocable)},
		{Pattern: "leases/count", Summary: "Count the leases that could not be revoked.", Read: backend.Handle(s.countLeases)},
		{Pattern: "leases/lookup/{prefix...}", Summary: "List the leases below a path.", Sudo: true, List: backend.Handle(s.listLeases)},
		row("leases/lookup", "Look a lease up.", false, backend.Handle(s.lookupLease)),
		row("leases/renew", "Renew a lease.", false, renew),
		row("leases/renew/{url_lease_id...}", "Renew a lease.", false, renew),
		row("leases/revoke", "Revoke a lease.", false, revoke),
		row("leases/revoke/{url_lease_id...}", "Revoke a lease.", false, revoke),
		row("leases/revoke-prefix/{prefix...}", "Revoke all leases and tokens below a path.", true, prefix),
		row("leases/revoke-force/{prefix...}", "Revoke all leases and tokens below a path, whatever their engines say.", true, force),
		row("leases/tidy", "Have what is due revoked now.", false, backend.Handle(s.tidyLeases)),
		row("renew", "Renew a lease; the old path.", false, renew),
		row("renew/{url_lease_id...}", "Renew a lease; the old path.", false, renew),
		row("revoke", "Revoke a lease; the old path.", false, revoke),
		row("revoke/{url_lease_id...}", "Revoke a lease; the old path.", false, revoke),
		row("revoke-prefix/{prefix...}", "Revoke all below a path; the old path.", true, prefix),
		row("revoke-force/{prefix...}", "Revoke all below a path, whatever their engines say; the old path.", true, force),
	}
}

type leaseRequest struct {
	// LeaseID is anything: what is no string has an answer of its own.
	LeaseID    any             `json:"lease_id" doc:"The lease."`
	URLLeaseID string          `json:"url_lease_id" doc:"The lease, in the path."`
	Increment  backend.Seconds `json:"increment" doc:"The life asked for, from now; 0 leaves it to the engine."`
	Sync       *bool           `json:"sync" doc:"Whether the answer waits until the secret is taken back; it does by default."`
}

// id is the lease of the body, else of the path. Contract: leases §3.
func (r *leaseRequest) id() (string, error) {
	id, ok := r.LeaseID.(string)
	if r.LeaseID != nil && !ok {
		return "", backend.Invalidf("invalid lease ID")
	}
	if id == "" {
		id = r.URLLeaseID
	}
	if id == "" {
		return "", backend.Invalidf("lease_id must be specified")
	}
	return id, nil
}

// leaseData is what lookup answers. Contract: leases §3.1.
type leaseData struct {
	ID          string  `json:"id"`
	IssueTime   string  `json:"issue_time"`
	ExpireTime  *string `json:"expire_time"`
	LastRenewal *string `json:"last_renewal"`
	Path        string  `json:"path"`
	Renewable   bool    `json:"renewable"`
	TTL         int64   `json:"ttl"`
	RevokeError string  `json:"revoke_error,omitempty"`
}

// timeText is a time of an answer; nil for the zero time.
func timeText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.Format(time.RFC3339Nano)
	return &text
}

// leased is the token whose lease id is; nil when there is none.
func (s *System) leased(ctx context.Context, id string) (*token.Token, error) {
	tokenID, ok := token.ParseLeaseID(id)
	if !ok {
		return nil, nil
	}
	t, err := s.Tokens.FindID(ctx, tokenID)
	if t == nil || err != nil || !t.Life.Leased || t.LeaseID() != id {
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
	if t != nil {
		d := &leaseData{ID: id, IssueTime: *timeText(t.Created()), ExpireTime: timeText(t.Expires()), Path: t.Origin.Path,
			Renewable: t.Life.Renewable, TTL: int64(t.TTL(s.Clock.Now()) / time.Second)}
		if t.Life.Renewed != 0 {
			d.LastRenewal = timeText(time.Unix(0, t.Life.Renewed).UTC())
		}
		return d, nil
	}
	l, err := s.Leases.Lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, backend.Invalidf("invalid lease")
	}
	cause, _ := l.Irrevocable()
	return &leaseData{ID: id, IssueTime: *timeText(l.IssueTime()), ExpireTime: timeText(l.ExpireTime()), LastRenewal: timeText(l.RenewTime()),
		Path: l.Path(), Renewable: l.Renewable, TTL: int64(l.TTL(s.Clock.Now()) / time.Second), RevokeError: cause}, nil
}

// listLeases shows what lies below a path, leases of secrets and of tokens alike.
// Contract: leases §3.2.
func (s *System) listLeases(ctx context.Context, _ *backend.Call, req *prefixRequest) (*backend.Keys, error) {
	prefix := req.Prefix
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	names, err := s.Leases.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	tokens, err := s.Tokens.LeasesBelow(ctx, prefix)
	if err != nil {
		return nil, err
	}
	names = append(names, tokens...)
	slices.Sort(names)
	return backend.Listing(slices.Compact(names)), nil
}

// renewLease answers with the lease on the envelope itself. Contract: leases §3.3.
func (s *System) renewLease(ctx context.Context, _ *backend.Call, req *leaseRequest) (*backend.Response, error) {
	id, err := req.id()
	if err != nil {
		return nil, err
	}
	t, err := s.leased(ctx, id)
	if err != nil {
		return nil, err
	}
	if t != nil {
		if t.Expires().IsZero() || !t.Life.Renewable {
			return nil, backend.Invalidf("lease is not renewable")
		}
		return nil, backend.Invalidf("tokens cannot be renewed through this endpoint")
	}
	renewed, err := s.Leases.Renew(ctx, id, req.Increment.Duration())
	if err != nil {
		return nil, err
	}
	return &backend.Response{
		Secret:   &backend.Secret{LeaseID: renewed.ID, TTL: renewed.TTL, Renewable: renewed.Renewable},
		Warnings: renewed.Warnings,
	}, nil
}

func (s *System) revokeLease(ctx context.Context, c *backend.Call, req *leaseRequest) (*backend.Response, error) {
	id, err := req.id()
	if err != nil {
		return nil, err
	}
	return revokedReply(req.Sync), s.revokeOne(ctx, c, id, req.Sync)
}

// revokeOne revokes a lease of either kind; an unknown one is no error. Contract: leases §3.4.
func (s *System) revokeOne(ctx context.Context, c *backend.Call, id string, sync *bool) error {
	t, err := s.leased(ctx, id)
	switch {
	case err != nil:
		return err
	case t != nil:
		return s.Tokens.Revoke(ctx, t.ID, token.Revoked, c.Caller.Accessor)
	case waits(sync):
		return s.Leases.Revoke(ctx, id)
	}
	return s.Leases.End(ctx, id)
}

// waits says whether a client wants the work done before the answer. Contract: leases §3.
func waits(sync *bool) bool { return sync == nil || *sync }

// revokedReply is nothing (204), or 202 for a client that did not want to wait.
func revokedReply(sync *bool) *backend.Response {
	if !waits(sync) {
		return &backend.Response{Status: 202, Raw: &backend.Raw{ContentType: "application/json"}}
	}
	return nil
}

type prefixRequest struct {
	Prefix string `json:"prefix" doc:"The path."`
	Sync   *bool  `json:"sync" doc:"Whether the answer waits until the secrets are taken back; it does by default."`
}

// revokePrefix ends every lease and token that the path, or a path below it, issued. Without a
// slash at its end the prefix is a lease, or that path and those below it, not its neighbours.
// Contract: leases §3.5.
func (s *System) revokePrefix(ctx context.Context, c *backend.Call, req *prefixRequest) (*backend.Response, error) {
	exact, err := s.isLease(ctx, req.Prefix)
	if err != nil {
		return nil, err
	}
	if exact {
		return revokedReply(req.Sync), s.revokeOne(ctx, c, req.Prefix, req.Sync)
	}
	path, err := s.revokeTokensBelow(ctx, c, req.Prefix)
	if err != nil {
		return nil, err
	}
	if waits(req.Sync) {
		return nil, s.Leases.RevokePrefix(ctx, path+"/")
	}
	return revokedReply(req.Sync), s.Leases.QueuePrefix(ctx, path+"/")
}

// revokeForce is revokePrefix for engines that are gone: their leases are dropped whatever they say.
func (s *System) revokeForce(ctx context.Context, c *backend.Call, req *prefixRequest) (*backend.None, error) {
	exact, err := s.isLease(ctx, req.Prefix)
	if err != nil {
		return nil, err
	}
	if exact {
		if t, err := s.leased(ctx, req.Prefix); t != nil || err != nil {
			return nil, s.revokeOne(ctx, c, req.Prefix, nil)
		}
		return nil, s.Leases.RevokeForce(ctx, req.Prefix)
	}
	path, err := s.revokeTokensBelow(ctx, c, req.Prefix)
	if err != nil {
		return nil, err
	}
	return nil, s.Leases.RevokeForce(ctx, path+"/")
}

// isLease says whether a prefix is the id of a lease.
func (s *System) isLease(ctx context.Context, prefix string) (bool, error) {
	if strings.HasSuffix(prefix, "/") {
		return false, nil
	}
	t, err := s.leased(ctx, prefix)
	if t != nil || err != nil {
		return t != nil, err
	}
	l, err := s.Leases.Lookup(ctx, prefix)
	return l != nil, err
}

// revokeTokensBelow ends the tokens of a path and of those below it, and returns the path.
func (s *System) revokeTokensBelow(ctx context.Context, c *backend.Call, prefix string) (path string, err error) {
	path = strings.TrimSuffix(prefix, "/")
	for _, issuers := range []string{path + "\x00", path + "/"} {
		if err := s.Tokens.RevokePath(ctx, issuers, c.Caller.Accessor); err != nil {
			return path, err
		}
	}
	return path, nil
}

// tidyLeases has the sweeper look now. There is nothing else to tidy: a lease and all that
// points to it are one record in one transaction. Contract: leases §3.6.
func (s *System) tidyLeases(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Response, error) {
	s.Leases.Nudge()
	return &backend.Response{Status: 202, Warnings: []string{
		"Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.",
	}}, nil
}

type irrevocableRequest struct {
	Type                   string  `json:"type" doc:"irrevocable, the only type."`
	Limit                  *string `json:"limit" doc:"How many at most, or none for all."`
	IncludeChildNamespaces bool    `json:"include_child_namespaces" doc:"Accepted; there is one namespace."`
}

// irrevocableType is the only one there is. Contract: leases §3.6.
const irrevocableType = "irrevocable"

type countData struct {
	LeaseCount int            `json:"lease_count"`
	Counts     map[string]int `json:"counts"`
}

func (s *System) countLeases(ctx context.Context, _ *backend.Call, req *irrevocableRequest) (*countData, error) {
	if req.Type != irrevocableType {
		return nil, backend.Missing()
	}
	counts, err := s.Leases.CountIrrevocable(ctx)
	d := &countData{Counts: counts}
	for _, n := range counts {
		d.LeaseCount += n
	}
	return d, err
}

type irrevocableData struct {
	LeaseCount int                `json:"lease_count"`
	Leases     []irrevocableLease `json:"leases"`
}

type irrevocableLease struct {
	LeaseID string `json:"lease_id"`
	MountID string `json:"mount_id"`
	Error   string `json:"error"`
}

// irrevocableShown is how many are listed where the client sets no limit. Contract: leases §3.6.
const irrevocableShown = 10_000

func (s *System) listIrrevocable(ctx context.Context, c *backend.Call, req *irrevocableRequest) (*irrevocableData, error) {
	if req.Type != irrevocableType {
		return nil, backend.Missing()
	}
	limit, err := req.limit()
	if err != nil {
		return nil, err
	}
	leases, more, err := s.Leases.Irrevocable(ctx, limit)
	if err != nil {
		return nil, err
	}
	if more && req.Limit == nil {
		c.Warn("Command halted because many irrevocable leases were found. To emit the entire list, re-run the command with force set true.")
	}
	d := &irrevocableData{LeaseCount: len(leases), Leases: make([]irrevocableLease, 0, len(leases))}
	for _, l := range leases {
		d.Leases = append(d.Leases, irrevocable(l))
	}
	return d, nil
}

func irrevocable(l *lease.Lease) irrevocableLease {
	cause, _ := l.Irrevocable()
	return irrevocableLease{LeaseID: l.ID, MountID: l.Mount, Error: cause}
}

// limit is how many leases a client wants to see; 0 is all.
func (r *irrevocableRequest) limit() (int, error) {
	switch {
	case r.Limit == nil:
		return irrevocableShown, nil
	case *r.Limit == "none":
		return 0, nil
	}
	n, err := strconv.Atoi(*r.Limit)
	if err != nil {
		return 0, backend.Errorf(backend.Failed, "invalid 'limit' provided: not a whole number")
	}
	if n <= 0 {
		return 0, backend.Errorf(backend.Failed, "limit must be 'none' or a positive integer")
	}
	return n, nil
}
