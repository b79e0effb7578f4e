package server

import (
	"context"
	"fmt"
	"time"

	"jeton/internal/backend"
	"jeton/internal/lease"
	"jeton/internal/token"
)

// registerLease gives a leased answer its lease. A secret whose lease could not be stored, or
// whose holder has died meanwhile, is taken back and not answered. Contract: leases §2, §4.5.
func (x *exchange) registerLease(ctx context.Context) error {
	if x.response == nil || x.response.Secret == nil {
		return nil
	}
	secret := x.response.Secret
	if secret.LeaseID != "" {
		x.lease = &lease.Issued{ID: secret.LeaseID, TTL: secret.TTL, Renewable: secret.Renewable}
		return nil
	}
	engine, ok := x.mounted.Backend.(backend.LeaseIssuer)
	if !ok {
		return fmt.Errorf("server: a leased answer of a backend of type %s, which takes none back", x.mounted.Entry.Type)
	}
	fresh := lease.Fresh{Path: x.path, Mount: x.mounted.Info, Engine: engine, Secret: secret}
	if t := x.token; t != nil {
		fresh.Holder, fresh.Bound = holderOf(t)
		fresh.LastUse = t.LastUse()
	}
	issued, err := x.house.Leases.Register(ctx, fresh)
	if err != nil {
		return err
	}
	x.lease = issued
	x.response.Warnings = append(x.response.Warnings, issued.Warnings...)
	return nil
}

// holderOf is what a token's leases die with: the token; for a batch token its parent, and its
// own end. Contract: leases §5.2.
func holderOf(t *token.Token) (holder backend.TokenID, bound time.Time) {
	if t.Batch {
		return t.Parent, t.Expires()
	}
	return t.ID, time.Time{}
}

// freshLease is the lease that this request obtained, "" when there is none.
func (x *exchange) freshLease() string {
	if x.lease == nil || x.response.Secret.LeaseID != "" {
		return ""
	}
	return x.lease.ID
}
