package token

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
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
	err = s.area.View(ctx, func(r store.Reader) error {
		if t.Life.Renewable {
			if err := s.bound(r, t, mount, &plan); err != nil {
				return err
			}
		}
		_, until, err := s.alive(r, t.ID, now)
		if until != 0 && (plan.RenewableUntil.IsZero() || until < plan.RenewableUntil.UnixNano()) {
			plan.RenewableUntil, plan.LimitedBy = time.Unix(0, until).UTC(), "parent"
		}
		return err
	})
	return plan, err
}

// jittered is d, give or take a twentieth.
func jittered(d time.Duration) time.Duration {
	var b [2]byte
	_, _ = rand.Read(b[:])
	// From -1/20 to +1/20 in 65,536 steps.
	offset := float64(binary.BigEndian.Uint16(b[:]))/(1<<16)*0.1 - 0.05
	return d + time.Duration(float64(d)*offset)
}

// bound finds the least of what bounds renewals.
func (s *Store) bound(r store.Reader, t *Token, mount backend.Mount, plan *Plan) error {
	period, explicit := durationOf(t.Life.Period), durationOf(t.Life.AskedExplicitMax)
	explicitBy := "token"
	if t.Origin.Role != "" {
		role, err := record.Get[Role](r, roleRecord(t.Origin.Role))
		if err != nil {
			return err
		}
		if role == nil {
			// A renewal needs the role: there will be none. Contract: tokens §7.6.
			plan.LimitedBy, plan.RenewAfter = "role", time.Time{}
			return nil
		}
		period, _ = lesser(period, role.Period)
		if least, _ := lesser(explicit, role.ExplicitMaxTTL); least != explicit {
			explicit, explicitBy = least, "role"
		}
	}
	bounds := []struct {
		by   string
		most time.Duration
	}{{explicitBy, explicit}}
	if period == 0 {
		by := "mount"
		if mount.MaxTTL == mount.SystemMaxTTL {
			by = "system"
		}
		bounds = append(bounds, struct {
			by   string
			most time.Duration
		}{"role", durationOf(t.Life.MaxTTL)}, struct {
			by   string
			most time.Duration
		}{by, mount.MaxTTL})
	}
	plan.RenewableUntil, plan.LimitedBy = time.Time{}, ""
	for _, b := range bounds {
		if b.most <= 0 {
			continue
		}
		if end := t.Created().Add(b.most); plan.RenewableUntil.IsZero() || end.Before(plan.RenewableUntil) {
			plan.RenewableUntil, plan.LimitedBy = end, b.by
		}
	}
	return nil
}
