package token

import (
	"context"
	"encoding/binary"
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
	mu sync.Mutex
	// pending is guarded by mu. Its size is bounded by the number of tokens used within
	// FlushEvery, and by pendingUses: beyond that the oldest news is simply not gathered.
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

// FlushUses writes what was gathered. What fails to be written is gathered again.
func (s *Store) FlushUses(ctx context.Context) error {
	s.uses.mu.Lock()
	pending := s.uses.pending
	s.uses.pending = make(map[ID]lastUse, min(len(pending), 1024))
	s.uses.mu.Unlock()
	batch := make([]ID, 0, flushBatch)
	flush := func() error {
		err := s.area.Update(ctx, func(tx store.Tx) error { return s.writeUses(tx, pending, batch) })
		if err == nil {
			for _, id := range batch {
				delete(pending, id)
			}
		}
		batch = batch[:0]
		return err
	}
	var failed error
	ids := make([]ID, 0, len(pending))
	for id := range pending {
		ids = append(ids, id)
	}
	for _, id := range ids {
		if batch = append(batch, id); len(batch) == flushBatch {
			if failed = flush(); failed != nil {
				break
			}
		}
	}
	if failed == nil && len(batch) > 0 {
		failed = flush()
	}
	s.keepUses(pending)
	return failed
}

// keepUses puts back what could not be written.
func (s *Store) keepUses(unwritten map[ID]lastUse) {
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	for id, u := range unwritten {
		if newer, ok := s.uses.pending[id]; ok {
			u.At, u.From, u.Count = newer.At, newer.From, u.Count+newer.Count
		}
		s.uses.pending[id] = u
	}
}

// writeUses stores a batch. A token that is gone, or has ended, stays without trace.
func (s *Store) writeUses(tx store.Tx, pending map[ID]lastUse, batch []ID) error {
	for _, id := range batch {
		t, err := load(tx, id)
		if unreadable(err) || (err == nil && (t == nil || t.End != nil)) {
			continue
		}
		if err != nil {
			return err
		}
		old, err := record.Get[lastUse](tx, idKey(useKey, id))
		if err != nil {
			return err
		}
		u := pending[id]
		if old != nil {
			u.Count += old.Count
		}
		if err := tx.Delete(useEntry(t, old)); err != nil {
			return err
		}
		if err := tx.Put(useEntry(t, &u), nil); err != nil {
			return err
		}
		if err := record.Put(tx, idKey(useKey, id), &u); err != nil {
			return err
		}
	}
	return nil
}

// useEntry is a token's place in the order of last use.
func useEntry(t *Token, u *lastUse) []byte {
	at := t.Life.Created
	if u != nil {
		at = u.At
	}
	return append(binary.BigEndian.AppendUint64([]byte{useOrder}, uint64(at)), t.ID[:]...)
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
