package token

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"jeton/internal/record"
	"jeton/internal/seal"
	"jeton/internal/store"
)

// sweepBatch bounds one transaction of the sweeper, so that it never holds up requests.
const sweepBatch = 64

// Sweep ends tokens that are past their expiry and cleans up after those that ended, one
// bounded transaction of each, and returns how many it dealt with: 0 means that nothing is due.
// It may be stopped at any moment and goes on where it was: what is to do is in the store.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	expired, err := s.sweepExpired(ctx)
	if err != nil {
		return expired, err
	}
	cleaned, err := s.sweepEnded(ctx)
	return expired + cleaned, err
}

// sweepExpired ends a batch of tokens whose time is over. Requests refuse them already.
func (s *Store) sweepExpired(ctx context.Context) (int, error) {
	now := s.clock.Now()
	due := store.Range{From: []byte{expiryKey}, To: expiryPrefix(now.UnixNano() + 1), Limit: sweepBatch, KeysOnly: true}
	var endings []Ending
	var dealt int
	err := s.whole.Update(ctx, func(tx store.Tx) error {
		area := s.area.Within(tx)
		ids, err := idsIn(area, due)
		if err != nil {
			return err
		}
		endings, dealt = nil, len(ids)
		for _, id := range ids {
			t, err := load(area, id)
			if unreadable(err) || (err == nil && !t.sweepable(now.UnixNano())) {
				t, err = nil, quarantine(area, id, due)
			}
			if err != nil {
				return err
			}
			if t == nil {
				continue
			}
			why := End{Cause: Expired, At: now.UnixNano()}
			if t.Uses == spent {
				why.Cause = UsedUp
			}
			if err := s.endIn(tx, t, why); err != nil {
				return err
			}
			endings = append(endings, Ending{t, why})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	s.witness(ctx, endings)
	return dealt, nil
}

// sweepable says whether the token's own record has the sweeper come by now; nil is no token.
func (t *Token) sweepable(now int64) bool {
	return t != nil && t.End == nil && t.sweepTime() != 0 && t.sweepTime() <= now
}

// sweepEnded takes the first token in the queue and removes a batch of what hangs on it.
func (s *Store) sweepEnded(ctx context.Context) (int, error) {
	first := store.PrefixRange([]byte{queueKey})
	first.Limit, first.KeysOnly = 1, true
	var endings []Ending
	var dealt int
	err := s.whole.Update(ctx, func(tx store.Tx) error {
		area := s.area.Within(tx)
		endings, dealt = nil, 0
		queued, err := idsIn(area, first)
		if err != nil || len(queued) == 0 {
			return err
		}
		t, err := load(area, queued[0])
		if unreadable(err) || (err == nil && t == nil) {
			dealt = 1
			return quarantine(area, queued[0], first)
		}
		if err != nil {
			return err
		}
		endings, dealt, err = s.cleanUp(tx, t)
		return err
	})
	if err != nil {
		return 0, err
	}
	s.witness(ctx, endings)
	return dealt, nil
}

// cleanUp ends a batch of t's children, or sets them free, and removes t itself once nothing
// hangs on it.
func (s *Store) cleanUp(tx store.Tx, t *Token) (endings []Ending, dealt int, err error) {
	area := s.area.Within(tx)
	children := store.PrefixRange(idKey(childKey, t.ID))
	children.Limit, children.KeysOnly = sweepBatch, true
	ids, err := idsIn(area, children)
	if err != nil {
		return nil, 0, err
	}
	jobs, err := s.jobsIn(area)
	if err != nil {
		return nil, 0, err
	}
	for _, id := range ids {
		child, err := load(area, id)
		if unreadable(err) || (err == nil && (child == nil || child.Parent != t.ID)) {
			// An entry that is not its token's own must not end it.
			child, err = nil, quarantine(area, id, children)
		}
		if err != nil {
			return nil, 0, err
		}
		if child == nil {
			continue
		}
		if t.End.KeepChildren {
			// A job may have selected the child by its parent: it must not live again.
			job, err := s.condemning(area, jobs, child)
			if err != nil {
				return nil, 0, err
			}
			if job != nil {
				if err := s.endIn(tx, child, job.why()); err != nil {
					return nil, 0, err
				}
				endings = append(endings, Ending{child, job.why()})
				continue
			}
			free := child.clone()
			// What hangs below keeps its depth, which is then too great: the bound still holds.
			free.Parent, free.Depth, free.Life.Freed = ID{}, 0, s.clock.Now().UnixNano()
			if err := s.put(area, child, free); err != nil {
				return nil, 0, err
			}
			continue
		}
		why := End{Cause: Cascaded, At: t.End.At, By: t.Accessor}
		if err := s.endIn(tx, child, why); err != nil {
			return nil, 0, err
		}
		endings = append(endings, Ending{child, why})
	}
	if len(ids) == sweepBatch {
		return endings, len(ids), nil
	}
	more, err := s.release(tx, t.ID, sweepBatch)
	if err != nil || more {
		return endings, len(ids) + 1, err
	}
	return endings, len(ids) + 1, s.put(area, t, nil)
}

// unreadable says that a record is there and cannot be read: one such record must not stop
// the sweeper, nor the server.
func unreadable(err error) bool {
	return errors.Is(err, record.ErrMalformed) || errors.Is(err, seal.ErrUndecryptable)
}

// quarantine takes the entry of id out of the range that the sweeper follows and puts it on
// the list of what a person has to look at.
func quarantine(tx store.Tx, id ID, in store.Range) error {
	var entry []byte
	err := tx.Scan(in, func(k, _ []byte) (bool, error) {
		if lastID(k) == id {
			entry = bytes.Clone(k)
		}
		return entry == nil, nil
	})
	if err != nil {
		return err
	}
	if err := tx.Delete(entry); err != nil {
		return err
	}
	return tx.Put(idKey(quarantineKey, id), nil)
}

// Quarantined lists the tokens whose records could not be read or were missing.
func (s *Store) Quarantined(ctx context.Context) (ids []ID, err error) {
	all := store.PrefixRange([]byte{quarantineKey})
	all.KeysOnly = true
	err = s.area.View(ctx, func(r store.Reader) error {
		ids, err = idsIn(r, all)
		return err
	})
	return ids, err
}

func (s *Store) witness(ctx context.Context, endings []Ending) {
	if s.ended != nil && len(endings) > 0 {
		s.ended.Ended(ctx, endings)
	}
}

// idsIn lists the token ids that end the keys of a range.
func idsIn(r store.Reader, in store.Range) (ids []ID, err error) {
	err = r.Scan(in, func(k, _ []byte) (bool, error) {
		ids = append(ids, lastID(k))
		return true, nil
	})
	return ids, err
}

// RevokePath ends every token that a path issued, and those below them, in bounded steps:
// prefix "auth/userpass/" all of a mount's, "auth/token/create\x00" those of one path alone.
func (s *Store) RevokePath(ctx context.Context, prefix, by string) error {
	from := store.PrefixRange(pathPrefix(prefix))
	from.Limit, from.KeysOnly = sweepBatch, true
	for {
		var dealt int
		err := s.whole.Update(ctx, func(tx store.Tx) error {
			area := s.area.Within(tx)
			ids, err := idsIn(area, from)
			if err != nil {
				return err
			}
			dealt = len(ids)
			return s.endAll(tx, ids, from, End{Cause: Revoked, By: by, At: s.clock.Now().UnixNano()})
		})
		if err != nil || dealt == 0 {
			return err
		}
	}
}

// endAll ends the tokens of ids, which the entries of a range named.
func (s *Store) endAll(tx store.Tx, ids []ID, in store.Range, why End) error {
	area := s.area.Within(tx)
	for _, id := range ids {
		t, err := load(area, id)
		if unreadable(err) || (err == nil && t == nil) {
			err = quarantine(area, id, in)
		} else if err == nil {
			err = s.endIn(tx, t, why)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// NextExpiry is when the first token ends, in Unix nanoseconds; 0 when none does.
func (s *Store) NextExpiry(ctx context.Context) (at int64, err error) {
	first := store.PrefixRange([]byte{expiryKey})
	first.Limit, first.KeysOnly = 1, true
	err = s.area.View(ctx, func(r store.Reader) error {
		at = 0
		return r.Scan(first, func(k, _ []byte) (bool, error) {
			at = int64(binary.BigEndian.Uint64(k[1:9]))
			return false, nil
		})
	})
	return at, err
}
