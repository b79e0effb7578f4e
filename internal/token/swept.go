package token

import (
	"context"
	"errors"
	"sync"

	"jeton/internal/record"
	"jeton/internal/store"
)

// What the sweeper ends is told to the witness once the commit is there: an end that was undone
// must not be in the audit log. So that a server which dies in between leaves no end unheard of,
// each such transaction stores whom it ended, and the next one replaces that:
//
//	t   swept, of the last batch
//
// Who dies after telling and before that tells of one batch again: an entry too many, never one
// too few. Jobs do the same in their own progress.
const sweptKey = 't'

// swept is a batch that the witness may not have heard of.
type swept struct {
	Endings []sweptEnding `cbor:"1,keyasint"`
	// Position is the commit's own.
	Position uint64 `cbor:"2,keyasint"`
}

type sweptEnding struct {
	ID    ID     `cbor:"1,keyasint"`
	Token *Token `cbor:"2,keyasint"`
	End   End    `cbor:"3,keyasint"`
}

// sweeping is how far the witness was told of what the sweeper ended.
type sweeping struct {
	// mu is held by the one transaction of the sweeper at a time, until it is told of.
	mu sync.Mutex
	// sure says that nothing is left to tell: not after a restart, nor after a transaction
	// whose outcome is not known. stored says that the store has a batch that was told of.
	// Both are guarded by mu.
	sure, stored bool
	// told is the position of the batch that was told of last; guarded by mu.
	told uint64
}

// sweepTx runs a transaction that ends tokens and tells the witness of them. Who ends nothing
// does not pay for it.
func (s *Store) sweepTx(ctx context.Context, fn func(tx store.Tx) ([]Ending, error)) error {
	if s.ended == nil {
		return s.whole.Update(ctx, func(tx store.Tx) error { _, err := fn(tx); return err })
	}
	s.sweeping.mu.Lock()
	defer s.sweeping.mu.Unlock()
	if err := s.tellSwept(ctx); err != nil {
		return err
	}
	var endings []Ending
	var position uint64
	s.sweeping.sure = false // until it is known what this left behind
	err := s.whole.Update(ctx, func(tx store.Tx) (err error) {
		if endings, err = fn(tx); err != nil || len(endings) == 0 {
			return err
		}
		position = tx.Position()
		batch := swept{make([]sweptEnding, 0, len(endings)), position}
		for _, e := range endings {
			batch.Endings = append(batch.Endings, sweptEnding{e.Token.ID, e.Token, e.End})
		}
		return record.Put(s.area.Within(tx), []byte{sweptKey}, &batch)
	})
	if err != nil {
		return err
	}
	if len(endings) > 0 {
		s.witness(ctx, endings)
		s.sweeping.stored, s.sweeping.told = true, position
	}
	s.sweeping.sure = true
	return nil
}

// tellSwept tells the witness of a batch whose outcome is not known here: one before a restart,
// or of a transaction that failed and may be there all the same. REQUIRES: sweeping.mu is held.
func (s *Store) tellSwept(ctx context.Context) error {
	if s.sweeping.sure {
		return nil
	}
	var batch *swept
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		if batch, err = record.Get[swept](r, []byte{sweptKey}); unreadable(err) {
			err = nil // the next batch replaces it, and Check says so
		}
		return err
	})
	if err != nil {
		return err
	}
	if batch != nil && batch.Position != s.sweeping.told {
		endings := make([]Ending, 0, len(batch.Endings))
		for _, e := range batch.Endings {
			t := e.Token.clone()
			t.ID = e.ID
			endings = append(endings, Ending{t, e.End})
		}
		s.witness(ctx, endings)
		s.sweeping.told = batch.Position
	}
	// It is told of whatever comes; that the store knows is worth a write later, at no hurry.
	s.sweeping.sure, s.sweeping.stored = true, batch != nil
	return nil
}

// settleSwept tells of what an earlier transaction left untold, though there may be nothing left
// to sweep.
func (s *Store) settleSwept(ctx context.Context) error {
	if s.ended == nil {
		return nil
	}
	s.sweeping.mu.Lock()
	defer s.sweeping.mu.Unlock()
	return s.tellSwept(ctx)
}

// forgetSwept removes a batch that was told of, so that a server that stops in good order does
// not tell of it again when it starts.
func (s *Store) forgetSwept(ctx context.Context) error {
	s.sweeping.mu.Lock()
	defer s.sweeping.mu.Unlock()
	if !s.sweeping.sure || !s.sweeping.stored {
		return nil
	}
	err := s.area.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Get([]byte{sweptKey}); errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return tx.Delete([]byte{sweptKey})
	})
	s.sweeping.stored = err != nil
	return err
}
