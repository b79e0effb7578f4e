package token

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"jeton/internal/record"
	"jeton/internal/seal"
	"jeton/internal/store"
)

// sweepBatch bounds one transaction of the sweeper, so that it never holds up requests: about
// two milliseconds, which other transactions have to wait.
const sweepBatch = 16

// Sweep ends tokens that are past their expiry and cleans up after those that ended, one
// bounded transaction of each, and returns how many it dealt with: 0 means that nothing is due.
// It may be stopped at any moment and goes on where it was: what is to do is in the store.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.settleSwept(ctx); err != nil {
		return 0, err
	}
	expired, err := s.sweepExpired(ctx)
	if err != nil {
		return expired, err
	}
	cleaned, err := s.sweepEnded(ctx)
	if err == nil && expired+cleaned == 0 {
		err = s.foldAll(ctx)
	}
	return expired + cleaned, err
}

// places is where the sweeper goes on: what it removed stays in the store as deletions until
// they are compacted away, and to pass over them again with every step would make a large
// sweep take the square of its size. A place is a hint; nothing is taken for finished before a
// look from the beginning.
type places struct {
	mu sync.Mutex // guards what follows
	// expired and ended are the last keys dealt with in the order of expiry and in the queue.
	expired, ended []byte
	// child is the last child dealt with of the ended token parent.
	parent ID
	child  []byte
}

func (p *places) load(place *[]byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *place
}

func (p *places) store(place *[]byte, key []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*place = key
}

// childOf is the place among the children of id, nil for the beginning.
func (p *places) childOf(id ID) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parent != id {
		return nil
	}
	return p.child
}

func (p *places) storeChild(parent ID, child []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parent, p.child = parent, child
}

// ahead is the part of a range that begins with its first key behind place, or behind nothing
// when there is none; found is false when the range is empty. It takes no lock of the store.
func (s *Store) ahead(ctx context.Context, in store.Range, place *[]byte) (rest store.Range, found bool, err error) {
	for _, after := range [][]byte{s.places.load(place), nil} {
		first := in
		first.Limit = 1
		if after != nil {
			first.From = store.After(after)
		}
		if bytes.Compare(first.From, in.To) >= 0 {
			continue
		}
		err = s.area.View(ctx, func(r store.Reader) error {
			return r.Scan(first, func(k, _ []byte) (bool, error) {
				in.From, found = bytes.Clone(k), true
				return false, nil
			})
		})
		if found || err != nil {
			return in, found, err
		}
	}
	s.places.store(place, nil)
	return in, false, nil
}

// sweepExpired ends a batch of tokens whose time is over. Requests refuse them already.
func (s *Store) sweepExpired(ctx context.Context) (int, error) {
	now := s.clock.Now()
	due := store.Range{From: []byte{expiryKey}, To: expiryPrefix(now.UnixNano() + 1), Limit: sweepBatch, KeysOnly: true}
	due, found, err := s.ahead(ctx, due, &s.places.expired)
	if !found || err != nil {
		return 0, err
	}
	var keys [][]byte
	err = s.sweepTx(ctx, func(tx store.Tx) (endings []Ending, err error) {
		area := s.area.Within(tx)
		if keys, err = keysIn(area, due); err != nil {
			return nil, err
		}
		for _, k := range keys {
			id := lastID(k)
			t, err := load(area, id)
			if unreadable(err) || (err == nil && !t.sweepable(now.UnixNano())) {
				t, err = nil, quarantine(area, id, due)
			}
			if err != nil {
				return nil, err
			}
			if t == nil {
				continue
			}
			why := End{Cause: Expired, At: now.UnixNano()}
			if t.Uses == spent {
				why.Cause = UsedUp
			}
			if err := s.endIn(tx, t, why); err != nil {
				return nil, err
			}
			endings = append(endings, Ending{t, why})
		}
		return endings, nil
	})
	if err != nil {
		return 0, err
	}
	if len(keys) > 0 {
		s.places.store(&s.places.expired, keys[len(keys)-1])
	}
	return max(len(keys), 1), nil // none: another sweeper was quicker, and there may be more
}

// sweepable says whether the token's own record has the sweeper come by now; nil is no token.
func (t *Token) sweepable(now int64) bool {
	return t != nil && t.End == nil && t.sweepTime() != 0 && t.sweepTime() <= now
}

// sweepEnded takes the next tokens in the queue and removes a batch of what hangs on them.
func (s *Store) sweepEnded(ctx context.Context) (int, error) {
	queue := store.PrefixRange([]byte{queueKey})
	queue.Limit, queue.KeysOnly = sweepBatch, true
	queue, found, err := s.ahead(ctx, queue, &s.places.ended)
	if !found || err != nil {
		return 0, err
	}
	var done []byte
	var step cleaning
	err = s.sweepTx(ctx, func(tx store.Tx) ([]Ending, error) {
		area := s.area.Within(tx)
		done, step = nil, cleaning{}
		keys, err := keysIn(area, queue)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			t, err := load(area, lastID(k))
			switch {
			case unreadable(err) || (err == nil && t == nil):
				step.dealt++
				err = quarantine(area, lastID(k), queue)
			case err == nil:
				err = s.cleanUp(tx, t, &step)
			}
			if err != nil {
				return nil, err
			}
			if step.unfinished != nil {
				break
			}
			if done = k; step.dealt >= sweepBatch {
				break
			}
		}
		return step.endings, nil
	})
	if err != nil {
		return 0, err
	}
	if done != nil {
		s.places.store(&s.places.ended, done)
	}
	if step.unfinished != nil {
		s.places.storeChild(step.unfinished.ID, step.child)
	}
	return max(step.dealt, 1), nil
}

// cleaning is one step of sweepEnded.
type cleaning struct {
	endings []Ending
	dealt   int
	// unfinished is a token on which something hangs still; child is the last of its children
	// that was dealt with, nil to begin again.
	unfinished *Token
	child      []byte
}

// cleanUp ends a batch of t's children, or sets them free, and removes t itself once nothing
// hangs on it.
func (s *Store) cleanUp(tx store.Tx, t *Token, step *cleaning) error {
	area := s.area.Within(tx)
	children := store.PrefixRange(idKey(childKey, t.ID))
	children.Limit, children.KeysOnly = sweepBatch, true
	after := s.places.childOf(t.ID)
	if after != nil {
		children.From = store.After(after)
	}
	keys, err := keysIn(area, children)
	if err != nil {
		return err
	}
	jobs, err := s.jobsIn(area)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := s.letGo(tx, t, lastID(k), children, jobs, step); err != nil {
			return err
		}
	}
	step.dealt += len(keys)
	if len(keys) == sweepBatch {
		step.unfinished, step.child = t, keys[len(keys)-1]
		return nil
	}
	step.dealt++
	more, err := s.release(tx, t.ID, sweepBatch)
	if err == nil && !more && after != nil {
		more, err = hasChildren(area, t.ID)
	}
	if err != nil {
		return err
	}
	if more {
		step.unfinished = t
		return nil
	}
	return s.put(area, t, nil)
}

// letGo ends the child of id of an ended token, or sets it free.
func (s *Store) letGo(tx store.Tx, t *Token, id ID, children store.Range, jobs []Job, step *cleaning) error {
	area := s.area.Within(tx)
	child, err := load(area, id)
	if unreadable(err) || (err == nil && (child == nil || child.Parent != t.ID)) {
		// An entry that is not its token's own must not end it.
		return quarantine(area, id, children)
	}
	if err != nil {
		return err
	}
	why := End{Cause: Cascaded, At: t.End.At, By: t.Accessor}
	if t.End.KeepChildren {
		// A job may have selected the child by its parent: it must not live again.
		job, err := s.condemning(area, jobs, child)
		if err != nil {
			return err
		}
		if job == nil {
			free := child.clone()
			// What hangs below keeps its depth, which is then too great: the bound still holds.
			free.Parent, free.Depth, free.Life.Freed = ID{}, 0, s.clock.Now().UnixNano()
			return s.put(area, child, free)
		}
		why = job.why()
	}
	step.endings = append(step.endings, Ending{child, why})
	return s.endIn(tx, child, why)
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

// keysIn lists the keys of a range.
func keysIn(r store.Reader, in store.Range) (keys [][]byte, err error) {
	err = r.Scan(in, func(k, _ []byte) (bool, error) {
		keys = append(keys, bytes.Clone(k))
		return true, nil
	})
	return keys, err
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
	all := store.PrefixRange(pathPrefix(prefix))
	all.Limit, all.KeysOnly = sweepBatch, true
	// Each step goes on behind the one before; see places. What was issued meanwhile is found
	// by another look from the beginning.
	for rest, again := all, false; ; {
		var keys [][]byte
		err := s.whole.Update(ctx, func(tx store.Tx) (err error) {
			area := s.area.Within(tx)
			if keys, err = keysIn(area, rest); err != nil {
				return err
			}
			return s.endAll(tx, keys, rest, End{Cause: Revoked, By: by, At: s.clock.Now().UnixNano()})
		})
		switch {
		case err != nil:
			return err
		case len(keys) > 0:
			rest.From, again = store.After(keys[len(keys)-1]), true
		case again:
			rest, again = all, false
		default:
			return nil
		}
	}
}

// endAll ends the tokens that keys, the entries of a range, name.
func (s *Store) endAll(tx store.Tx, keys [][]byte, in store.Range, why End) error {
	area := s.area.Within(tx)
	for _, k := range keys {
		id := lastID(k)
		t, err := load(area, id)
		if unreadable(err) || (err == nil && t == nil) {
			if err = quarantine(area, id, in); err == nil {
				err = s.countOutEntry(tx, k)
			}
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
	first := store.Range{From: []byte{expiryKey}, To: expiryPrefix(never), Limit: 1, KeysOnly: true}
	err = s.area.View(ctx, func(r store.Reader) error {
		at = 0
		return r.Scan(first, func(k, _ []byte) (bool, error) {
			at = int64(binary.BigEndian.Uint64(k[1:9]))
			return false, nil
		})
	})
	return at, err
}
