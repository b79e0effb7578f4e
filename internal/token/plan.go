package token

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"jeton/internal/backend"
)

// Plan says how long a token can be kept alive and by what it is bounded: the arithmetic that
// clients otherwise have to guess from mount, role, period and explicit maximum.
type Plan struct {
	// RenewableUntil is the end that no renewal moves; the zero time for none.
	RenewableUntil time.Time
	// LimitedBy is token, role, mount, system or parent; "" for a token without end.
	LimitedBy string
	// RenewAfter is when a client should renew, a little different each time so that many
	// clients do not come at once; the zero time for a token that cannot be renewed.
	RenewAfter time.Time
}

// Answer is the plan as clients see it.
func (p Plan) Answer() *backend.RenewalPlan {
	instant := func(t time.Time) *string {
		if t.IsZero() {
			return nil
		}
		text := t.Format(time.RFC3339)
		return &text
	}
	out := &backend.RenewalPlan{RenewableUntil: instant(p.RenewableUntil), RenewAfter: instant(p.RenewAfter)}
	if p.LimitedBy != "" {
		out.LimitedBy = &p.LimitedBy
	}
	return out
}

// PlanOf works the plan of a living token out. mount is the one that bounds it.
func (s *Store) PlanOf(ctx context.Context, t *Token, mount backend.Mount) (plan Plan, err error) {
	now := s.clock.Now()
	if t.Life.Expires == 0 {
		return plan, nil
	}
	plan.RenewableUntil, plan.LimitedBy = t.Expires(), "token"
	if t.Life.Renewable {
		left := time.Duration(t.Life.Expires - now.UnixNano())
		plan.RenewAfter = now.Add(jittered(left * 2 / 3)).Truncate(time.Second)
	}
	if t.Batch {
		return plan, nil
	}
	if t.Life.Renewable {
		role, err := s.roleOf(ctx, t)
		if err != nil {
			return plan, err
		}
		t.bound(role, mount, &plan)
	}
	until, err := s.ancestorsEnd(ctx, t)
	if until != 0 && (plan.RenewableUntil.IsZero() || until < plan.RenewableUntil.UnixNano()) {
		plan.RenewableUntil, plan.LimitedBy = time.Unix(0, until).UTC(), "parent"
	}
	return plan, err
}

// ancestorsEnd is the earliest end among t's ancestors, 0 for never. A parent that is gone
// bounds nothing: either it was revoked alone, or t is dead with it.
func (s *Store) ancestorsEnd(ctx context.Context, t *Token) (int64, error) {
	if t.Orphan() {
		return 0, nil
	}
	parent, err := s.prove(ctx, t.Parent)
	if parent == nil || err != nil {
		return 0, err
	}
	until := parent.until
	if e := parent.token.Life.Expires; e != 0 && (until == 0 || e < until) {
		until = e
	}
	return until, nil
}

// roleOf is the role that t was made by as it is now; nil when there is none.
func (s *Store) roleOf(ctx context.Context, t *Token) (*Role, error) {
	if t.Origin.Role == "" {
		return nil, nil
	}
	return s.Role(ctx, t.Origin.Role)
}

// jittered is d, give or take a twentieth.
func jittered(d time.Duration) time.Duration {
	var b [2]byte
	_, _ = rand.Read(b[:])
	// From -1/20 to +1/20 in 65,536 steps.
	offset := float64(binary.BigEndian.Uint16(b[:]))/(1<<16)*0.1 - 0.05
	return d + time.Duration(float64(d)*offset)
}

// bound finds the least of what bounds renewals. role is nil for none.
func (t *Token) bound(role *Role, mount backend.Mount, plan *Plan) {
	period, explicit := durationOf(t.Life.Period), durationOf(t.Life.AskedExplicitMax)
	explicitBy := "token"
	if t.Origin.Role != "" {
		if role == nil {
			// A renewal needs the role: there will be none. Contract: tokens §7.6.
			plan.LimitedBy, plan.RenewAfter = "role", time.Time{}
			return
		}
		period, _ = lesser(period, role.Period)
		if least, _ := lesser(explicit, role.ExplicitMaxTTL); least != explicit {
			explicit, explicitBy = least, "role"
		}
	}
	plan.RenewableUntil, plan.LimitedBy = time.Time{}, ""
	bounded := func(by string, most time.Duration) {
		if most <= 0 {
			return
		}
		if end := t.Created().Add(most); plan.RenewableUntil.IsZero() || end.Before(plan.RenewableUntil) {
			plan.RenewableUntil, plan.LimitedBy = end, by
		}
	}
	bounded(explicitBy, explicit)
	if period != 0 {
		return
	}
	bounded("role", durationOf(t.Life.MaxTTL))
	if mount.MaxTTL == mount.SystemMaxTTL {
		bounded("system", mount.MaxTTL)
	} else {
		bounded("mount", mount.MaxTTL)
	}
}
