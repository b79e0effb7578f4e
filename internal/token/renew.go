package token

import (
	"context"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Renewed is a token after its renewal.
type Renewed struct {
	Token    *Token
	TTL      time.Duration
	Warnings []string
}

// Renew gives the token of id a new life from now. increment 0 is the last one again. call is
// the request, whose mount is the token method's own. Contract: tokens §7.
func (s *Store) Renew(ctx context.Context, id ID, increment time.Duration, call *backend.Call) (*Renewed, error) {
	t, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := renewable(t); err != nil {
		return nil, err
	}
	// Tokens of an entity that may not act age out. Contract: identity §4.
	if err := s.admit(ctx, t); err != nil {
		return nil, err
	}
	terms, mount := backend.Terms{Period: durationOf(t.Life.Period)}, call.Mount
	if t.Origin.Mount != "" {
		// Asked outside the transaction: a directory may take its time.
		if terms, mount, err = s.vouch.Vouch(ctx, t, call); err != nil {
			return nil, err
		}
	}
	var out *Renewed
	var proof *cached
	var wrote written
	err = s.area.Update(ctx, func(tx store.Tx) error {
		now := s.clock.Now()
		wrote = s.writing(tx)
		proof, err = s.proveNow(tx, id, now)
		if err != nil {
			return err
		}
		if proof == nil {
			return renewable(nil)
		}
		living, old := proof.token, proof.stored
		if err := renewable(living); err != nil {
			return err
		}
		bounds := span{now: now, issued: old.Created(), asked: increment, period: terms.Period,
			explicitMax: durationOf(old.Life.ExplicitMax), maxTTL: terms.MaxTTL, mount: mount}
		if err := s.roleBounds(tx, old, &bounds); err != nil {
			return err
		}
		if bounds.asked <= 0 {
			if bounds.asked = terms.TTL; old.Origin.Mount == "" || terms.TTL <= 0 {
				bounds.asked = durationOf(old.Life.LastTTL)
			}
		}
		out, err = s.renewed(tx, old, living, bounds)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.keep(out.Token, wrote, proof.until)
	return out, nil
}

// renewable says why a token cannot be renewed. Contract: tokens §7.2; observed, tokens §7.2.
func renewable(t *Token) error {
	switch {
	case t == nil:
		return backend.Invalidf("token not found")
	case !t.Life.Leased:
		return backend.Invalidf("invalid lease ID")
	case t.Life.Expires == 0 || !t.Life.Renewable:
		return backend.Invalidf("lease is not renewable")
	}
	return nil
}

// roleBounds takes period and explicit max from the role as it now is. Contract: tokens §7.6.
func (s *Store) roleBounds(tx store.Tx, t *Token, bounds *span) error {
	if t.Origin.Role == "" {
		return nil
	}
	role, err := record.Get[Role](tx, roleRecord(t.Origin.Role))
	if err != nil {
		return err
	}
	if role == nil {
		return backend.Errorf(backend.Failed, "failed to renew entry: original token role %q could not be found, not renewing", t.Origin.Role)
	}
	bounds.period, _ = lesser(durationOf(t.Life.Period), role.Period)
	bounds.explicitMax, _ = lesser(durationOf(t.Life.AskedExplicitMax), role.ExplicitMaxTTL)
	return nil
}

// renewed writes the new end. When it comes earlier than the old one, whoever hangs below
// must look again.
func (s *Store) renewed(tx store.Tx, old, living *Token, bounds span) (*Renewed, error) {
	ttl, warnings, err := bounds.resolve()
	if err != nil {
		return nil, err
	}
	// living differs from old where its parent was revoked alone and it was not freed yet.
	t := living.clone()
	t.expireAfter(bounds.now, ttl)
	t.Life.Renewed = bounds.now.UnixNano()
	if t.Life.Expires < old.Life.Expires {
		parent, err := hasChildren(tx, t.ID)
		if err != nil {
			return nil, err
		}
		if parent {
			if err := mark(tx); err != nil {
				return nil, err
			}
		}
	}
	if err := s.put(tx, old, t); err != nil {
		return nil, err
	}
	return &Renewed{Token: t, TTL: ttl, Warnings: warnings}, nil
}
