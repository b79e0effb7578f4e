package token

import (
	"context"
	"net/netip"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// errBadToken is the one answer for a token that is unknown, expired, revoked or used up.
var errBadToken = &backend.Error{Kind: backend.BadToken, Text: "invalid token"}

// Authenticate returns the living token that text stands for, allowed to be used from addr.
// It spends nothing. Contract: tokens §3.
func (s *Store) Authenticate(ctx context.Context, text string, addr netip.Addr) (*Token, error) {
	t, err := s.Find(ctx, text)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errBadToken
	}
	if !boundTo(t.BoundCIDRs, addr) {
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	if err := s.admit(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}

// Spend takes one use of a use-limited token and returns the token as it is afterwards; its
// Uses is negative after the last one, and the token is then dead to every other request.
// Exactly as many calls succeed as there are uses. Contract: tokens §9.
func (s *Store) Spend(ctx context.Context, t *Token) (*Token, error) {
	if t.Uses == 0 || t.Batch {
		return t, nil
	}
	now := s.clock.Now()
	var after *Token
	err := s.area.Update(ctx, func(tx store.Tx) error {
		before, _, err := s.alive(tx, t.ID, now)
		if err != nil {
			return err
		}
		if before == nil {
			return errBadToken
		}
		stored, err := load(tx, t.ID)
		if err != nil {
			return err
		}
		if after = stored.clone(); after.Uses == 0 {
			return nil // t is of an earlier token with the same custom id
		}
		if after.Uses--; after.Uses == 0 {
			after.Uses, after.Life.SpentAt = spent, now.UnixNano()
		}
		return s.put(tx, stored, after)
	})
	return after, err
}

// LastUse says that the token's last use is being spent: what it obtains dies with it.
func (t *Token) LastUse() bool { return t.Uses == spent }

// UseUp ends a single-use token that stands for something, inside tx, a transaction of the
// whole store: of any number of callers exactly one finds it. found is false when it is not
// alive or stands for nothing.
func (s *Store) UseUp(tx store.Tx, id ID) (found bool, err error) {
	now := s.clock.Now().UnixNano()
	t, err := load(s.area.Within(tx), id)
	if err != nil || t == nil || !t.Wrapping() || t.endedItself(now) {
		return false, err
	}
	return true, s.endIn(tx, t, End{Cause: UsedUp, At: now})
}
