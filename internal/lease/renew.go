package lease

import (
	"context"
	"errors"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// The refusals of a renewal. Contract: leases §3.3.
var (
	errNotFound     = backend.Invalidf("lease not found")
	errStuck        = backend.Invalidf("lease is expired and has failed previous revocation attempts")
	errNotRenewable = backend.Invalidf("lease is not renewable")
	errOver         = backend.Invalidf("lease expired")
	errNoHolder     = backend.Invalidf("cannot renew lease, no valid associated token")
	errPastMax      = backend.Invalidf("%s", ErrPastMax.Error())
)

// Renew gives the lease of id a new life from now. increment 0 leaves it to the engine, and
// then to what the lease had last. Contract: leases §3.3.
func (s *Store) Renew(ctx context.Context, id string, increment time.Duration) (*Issued, error) {
	unlock, err := s.busy.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var l *Lease
	err = s.whole.View(ctx, func(r store.Reader) (err error) {
		l, err = s.renewable(r, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	terms, mount, err := s.extend(ctx, l, increment)
	if err != nil {
		return nil, err
	}
	var out *Issued
	err = s.whole.Update(ctx, func(tx store.Tx) error {
		// Asked again where it counts: the holder may have died while the engine was asked.
		old, err := s.renewable(tx, id)
		if err != nil {
			return err
		}
		var renewed *Lease
		if renewed, out, err = old.renew(s.clock.Now(), increment, terms, mount); err != nil {
			return err
		}
		return put(s.area.Within(tx), old, renewed)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// renewable returns the lease of id, or says why it cannot be renewed. r is a state of the
// whole store.
func (s *Store) renewable(r store.Reader, id string) (*Lease, error) {
	l, err := load(s.area.Reading(r), id)
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	switch {
	case l == nil:
		return nil, errNotFound
	case stuck(l):
		return nil, errStuck
	case !l.Renewable:
		return nil, errNotRenewable
	case l.over(now.UnixNano()):
		return nil, errOver
	}
	held, err := s.held(r, l, now)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, errNoHolder
	}
	return l, nil
}

// extend asks the engine, outside any transaction. The secret it returns may be nil.
func (s *Store) extend(ctx context.Context, l *Lease, increment time.Duration) (*backend.Secret, backend.Mount, error) {
	engine, mount, leave, err := s.issuers.Issuer(l.Mount)
	if err != nil {
		return nil, mount, refusal(err)
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	terms, err := engine.RenewLease(ctx, l.call(mount, increment))
	if err != nil {
		return nil, mount, refusal(err)
	}
	return terms, mount, nil
}

// refusal is an engine's refusal as the client sees it. The text of an error without a kind is
// for the log alone.
func refusal(err error) error {
	text := "the engine failed"
	var known *backend.Error
	switch {
	case errors.As(err, &known) && known.Kind != backend.Internal:
		text = known.Text
	case errors.Is(err, ErrNoIssuer):
		text = ErrNoIssuer.Error()
	}
	return backend.Invalidf("failed to renew entry: %s", text).Because(err)
}

// renew is the lease with its new end. A smaller increment than what is left shortens it.
func (l *Lease) renew(now time.Time, increment time.Duration, terms *backend.Secret, mount backend.Mount) (*Lease, *Issued, error) {
	renewed := *l
	asked := increment
	if terms != nil {
		renewed.Renewable = terms.Renewable
		if terms.MaxTTL > 0 {
			renewed.MaxTTL = boundOf(terms.MaxTTL)
		}
		if terms.State != nil {
			renewed.State = terms.State
		}
		if asked <= 0 {
			asked = terms.TTL
		}
	}
	if asked <= 0 {
		asked = durationOf(l.LastTTL)
	}
	span := Span{Now: now, Issued: l.IssueTime(), Asked: asked, MaxTTL: durationOf(renewed.MaxTTL), Mount: mount}
	ttl, warnings, err := span.Resolve()
	if err != nil {
		return nil, nil, errPastMax
	}
	ttl = renewed.live(now, ttl)
	renewed.Renewed = now.UnixNano()
	return &renewed, &Issued{ID: l.ID, TTL: ttl, Renewable: renewed.Renewable, Warnings: warnings}, nil
}
