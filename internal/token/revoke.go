package token

import (
	"context"

	"jeton/internal/store"
)

// Revoke ends the token of id and everything below it. When it returns they are refused
// everywhere; what remains of them is swept afterwards. An unknown token is no error.
// by is the accessor of who asked, for the record. Contract: tokens §8.
func (s *Store) Revoke(ctx context.Context, id ID, cause Cause, by string) error {
	return s.end(ctx, id, End{Cause: cause, By: by})
}

// RevokeOrphan ends the token of id alone: its direct children live on as orphans. found is
// false when there was no such token, or it was dead: then its children are, and stay so.
func (s *Store) RevokeOrphan(ctx context.Context, id ID, by string) (found bool, err error) {
	err = s.whole.Update(ctx, func(tx store.Tx) error {
		found = false
		area := s.area.Within(tx)
		now := s.clock.Now()
		living, _, err := s.alive(area, id, now)
		if living == nil || err != nil {
			return err
		}
		t, err := load(area, id)
		if err != nil {
			return err
		}
		found = true
		return s.endIn(tx, t, End{Cause: Revoked, By: by, At: now.UnixNano(), KeepChildren: true})
	})
	return found && err == nil, err
}

func (s *Store) end(ctx context.Context, id ID, why End) error {
	var ended *Token
	err := s.whole.Update(ctx, func(tx store.Tx) error {
		ended = nil
		t, err := load(s.area.Within(tx), id)
		if t == nil || err != nil || t.End != nil {
			return err
		}
		why.At = s.clock.Now().UnixNano()
		ended = t
		return s.endIn(tx, t, why)
	})
	if err == nil && ended != nil && why.Cause == UsedUp {
		// Nobody asked for this end: the request that spent the last use does not say that it was.
		s.witness(ctx, []Ending{{ended, why}})
	}
	return err
}

// releaseAtOnce bounds what is let go of in the transaction that ends a token.
const releaseAtOnce = 64

// endIn ends t inside tx, a transaction of the whole store: one write, whatever hangs below.
// A token that nothing hangs on is removed whole; otherwise its mark makes it dead, and
// the sweeper removes it when nothing hangs on it any more.
func (s *Store) endIn(tx store.Tx, t *Token, why End) error {
	if err := s.countOut(tx, t); err != nil {
		return err
	}
	area := s.area.Within(tx)
	parent, err := hasChildren(area, t.ID)
	if err != nil {
		return err
	}
	if parent {
		if err := mark(area); err != nil {
			return err
		}
	}
	more, err := s.release(tx, t.ID, releaseAtOnce)
	if err != nil {
		return err
	}
	if !parent && !more {
		return s.put(area, t, nil)
	}
	ended := t.clone()
	ended.End = &why
	return s.put(area, t, ended)
}

// release lets go of what hangs on the token in other rooms.
func (s *Store) release(tx store.Tx, id ID, limit int) (more bool, err error) {
	for _, room := range s.owned {
		rest, err := room.Release(tx, id, limit)
		if err != nil {
			return false, err
		}
		more = more || rest
	}
	return more, nil
}

// hasChildren says whether any token hangs below id.
func hasChildren(r store.Reader, id ID) (found bool, err error) {
	children := store.PrefixRange(idKey(childKey, id))
	children.Limit, children.KeysOnly = 1, true
	err = r.Scan(children, func(_, _ []byte) (bool, error) {
		found = true
		return false, nil
	})
	return found, err
}
