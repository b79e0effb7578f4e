package token

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
)

// Last use: when a token was last used, from where, and how often. Requests only touch memory;
// what is gathered is written in batches, at most a minute late (FlushEvery), so that reading
// stays free of writes. A crash loses what was not yet written, never more than that minute.
//
//	u <id>               lastUse, once the token was used
//	v <time> <id>        the order of last use; a token never used stands at its creation
const (
	useKey   = 'u'
	useOrder = 'v'
)

// FlushEvery is how late the stored last use may be. The node calls FlushUses so often.
const FlushEvery = time.Minute

// lastUse is the stored form.
type lastUse struct {
	// At is in Unix nanoseconds.
	At    int64      `cbor:"1,keyasint"`
	From  netip.Addr `cbor:"2,keyasint"`
	Count uint64     `cbor:"3,keyasint"`
}

// uses gathers what is not written yet.
type uses struct {
	// flush is held by the one flush at a time: who holds it knows that nothing is on its way
	// to the store. It is taken before mu.
	flush sync.Mutex
	mu    sync.Mutex
	// pending is guarded by mu. Its size is bounded by the number of tokens used within
	// FlushEvery, and by pendingUses: beyond that a token's uses are simply not gathered.
	pending map[ID]lastUse
}

// pendingUses bounds the memory of uses: a million tokens in use within a minute.
const pendingUses = 1 << 20

// Used notes that t was used from addr. It is cheap, and does no I/O.
func (s *Store) Used(t *Token, addr netip.Addr) {
	if t.Batch {
		return
	}
	now := s.clock.Now().UnixNano()
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	u, known := s.uses.pending[t.ID]
	if !known && len(s.uses.pending) >= pendingUses {
		return
	}
	s.uses.pending[t.ID] = lastUse{At: now, From: addr, Count: u.Count + 1}
}

// flushBatch bounds one transaction of a flush.
const flushBatch = 256

// FlushUses writes what was gathered, in batches, and which ends the witness was told of. What
// fails to be written stays gathered.
func (s *Store) FlushUses(ctx context.Context) error {
	if err := errors.Join(s.noteTold(ctx), s.forgetSwept(ctx)); err != nil {
		return err
	}
	s.uses.flush.Lock()
	defer s.uses.flush.Unlock()
	return s.flushAll(ctx)
}

// flushAll writes what was gathered when it was called. REQUIRES: uses.flush is held.
func (s *Store) flushAll(ctx context.Context) error {
	gathered := s.gathered()
	batch := make(map[ID]lastUse, min(len(gathered), flushBatch))
	flush := func() error {
		err := s.area.Update(ctx, func(tx store.Tx) error { return s.writeUses(tx, batch) })
		if err == nil {
			s.wrote(batch)
		}
		return err
	}
	for id, u := range gathered {
		if batch[id] = u; len(batch) == flushBatch {
			if err := flush(); err != nil {
				return err
			}
			clear(batch)
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return flush()
}

// flushAnd runs fn in a transaction that has every use up to its own moment written.
func (s *Store) flushAnd(ctx context.Context, fn func(tx store.Tx) error) error {
	s.uses.flush.Lock()
	defer s.uses.flush.Unlock()
	// Most of it before the commit lock is taken: what is left is that of some milliseconds.
	if err := s.flushAll(ctx); err != nil {
		return err
	}
	var batch map[ID]lastUse
	err := s.area.Update(ctx, func(tx store.Tx) error {
		batch = s.gathered()
		if err := s.writeUses(tx, batch); err != nil {
			return err
		}
		return fn(tx)
	})
	if err == nil {
		s.wrote(batch)
	}
	return err
}

func (s *Store) gathered() map[ID]lastUse {
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	return maps.Clone(s.uses.pending)
}

// wrote takes from what is gathered what was written.
func (s *Store) wrote(batch map[ID]lastUse) {
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	for id, u := range batch {
		now := s.uses.pending[id]
		if now.Count -= u.Count; now.Count == 0 {
			delete(s.uses.pending, id)
		} else {
			s.uses.pending[id] = now
		}
	}
	if len(s.uses.pending) == 0 {
		// A map keeps the room of its busiest minute.
		s.uses.pending = map[ID]lastUse{}
	}
}

// writeUses stores a batch. A token that is gone, or has ended, stays without trace; so does
// the use by a request that came in just before a job ended its token, which would otherwise
// take the token out of what the job selects, and so bring it back to life.
func (s *Store) writeUses(tx store.Tx, batch map[ID]lastUse) error {
	jobs, err := s.jobsIn(tx)
	if err != nil {
		return err
	}
	for id, u := range batch {
		t, err := load(tx, id)
		if unreadable(err) || (err == nil && (t == nil || t.End != nil || u.At < t.Life.Created)) {
			continue
		}
		if err != nil {
			return err
		}
		if dead, err := s.condemned(tx, jobs, t); dead || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := s.writeUse(tx, t, u); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeUse(tx store.Tx, t *Token, u lastUse) error {
	old, err := record.Get[lastUse](tx, idKey(useKey, t.ID))
	if err != nil {
		return err
	}
	if old != nil {
		u.Count += old.Count
	}
	if err := tx.Delete(useEntry(t, old)); err != nil {
		return err
	}
	if err := tx.Put(useEntry(t, &u), nil); err != nil {
		return err
	}
	return record.Put(tx, idKey(useKey, t.ID), &u)
}

// useEntry is a token's place in the order of last use.
func useEntry(t *Token, u *lastUse) []byte {
	at := t.Life.Created
	if u != nil {
		at = u.At
	}
	k := make([]byte, 0, 1+8+len(ID{}))
	k = binary.BigEndian.AppendUint64(append(k, useOrder), uint64(at))
	return append(k, t.ID[:]...)
}

// indexUse keeps the order of last use when a token comes or goes.
func (s *Store) indexUse(tx store.Tx, old, new *Token) error {
	was, is := old != nil && old.End == nil, new != nil && new.End == nil
	switch {
	case was == is:
		return nil
	case is:
		return tx.Put(useEntry(new, nil), nil)
	}
	u, err := record.Get[lastUse](tx, idKey(useKey, old.ID))
	if err != nil {
		return err
	}
	if u != nil {
		if err := tx.Delete(idKey(useKey, old.ID)); err != nil {
			return err
		}
	}
	return tx.Delete(useEntry(old, u))
}

// use is what is known of a token's last use, the part not yet written included; nil for none.
func (s *Store) use(r store.Reader, id ID) (*lastUse, error) {
	u, err := record.Get[lastUse](r, idKey(useKey, id))
	if err != nil {
		return nil, err
	}
	s.uses.mu.Lock()
	newer, ok := s.uses.pending[id]
	s.uses.mu.Unlock()
	if !ok {
		return u, nil
	}
	if u != nil {
		newer.Count += u.Count
	}
	return &newer, nil
}
