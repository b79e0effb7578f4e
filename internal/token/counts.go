package token

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"jeton/internal/record"
	"jeton/internal/store"
)

// Counts are kept in the transaction that changes them, in two parts, because to write half a
// dozen counts anew with every token cost as much as the rest of it:
//
//	n <kind> <hash of value>   facetCount, as of the last fold
//	d <position> <serial>      moved: what the change of one token has added since
//
// The transaction that finds foldAt of the second adds them to the first. Their sum is the
// number of tokens in every state of the store.
const (
	countKey = 'n'
	movedKey = 'd'
)

const (
	// foldAt is how many changes may wait, and how many a transaction folds on its way.
	foldAt = 24
	// foldMost bounds a transaction that does nothing else.
	foldMost = 256
)

// facetCount is how many tokens had a facet. Value is for listing counts by name.
type facetCount struct {
	Value []byte `cbor:"1,keyasint"`
	Count int64  `cbor:"2,keyasint"`
}

// moved is what one change of a token did to counts.
type moved struct {
	Moves []move `cbor:"1,keyasint"`
}

// move is one count's.
type move struct {
	Kind  facetKind    `cbor:"1,keyasint"`
	Value record.Bytes `cbor:"2,keyasint"`
	By    int64        `cbor:"3,keyasint"`
}

func (m move) facet() facet { return facet{m.Kind, string(m.Value)} }

// moved adds to moves that of f, if it is counted.
func (f facet) moved(moves []move, by int64) []move {
	if !f.counted() {
		return moves
	}
	return append(moves, move{f.kind, record.Bytes(f.value), by})
}

// moveCounts moves counts. It runs under the commit lock.
func (s *Store) moveCounts(tx store.Tx, moves []move) error {
	if len(moves) == 0 {
		return nil
	}
	if s.tally.due(tx.Position()) {
		if err := s.fold(tx, foldAt); err != nil {
			return err
		}
	}
	k := make([]byte, 0, 1+8+8)
	k = binary.BigEndian.AppendUint64(append(k, movedKey), tx.Position())
	// The position is not enough: a transaction may change many tokens.
	k = binary.BigEndian.AppendUint64(k, s.tally.serial.Add(1))
	// A service's tokens move the same counts, one after the other.
	encoded := s.tally.encoded(moves)
	if encoded == nil {
		var err error
		if encoded, err = record.Encode(&moved{moves}); err != nil {
			return err
		}
	}
	if err := tx.Put(k, encoded); err != nil {
		return err
	}
	s.tally.stage(k, moves, encoded)
	return nil
}

// fold adds at most so many of the waiting changes to the counts. What waits need not be read
// where it is remembered. A part that cannot be read must not keep tokens from being made: it is
// left out, and the counts are made anew when the server is next unsealed; see Upgrade.
func (s *Store) fold(tx store.Tx, most int) error {
	waiting, known := s.tally.all()
	if !known {
		var err error
		if waiting, err = movesIn(tx, most); err != nil {
			return err
		}
	}
	waiting = waiting[:min(len(waiting), most)]
	s.tally.folding(tx.Position(), waiting, len(waiting) < most)
	sums, damaged := map[facet]int64{}, false
	for _, w := range waiting {
		damaged = damaged || w.damaged
		for _, m := range w.moves {
			sums[m.facet()] += m.By
		}
		// Each was put once: its key has the position of the transaction that did.
		if err := tx.Withdraw([]byte(w.key)); err != nil {
			return err
		}
	}
	for f, by := range sums {
		if by == 0 {
			continue
		}
		k := s.facetPrefix(countKey, f)
		c, err := record.Get[facetCount](tx, k)
		if unreadable(err) {
			damaged, err = true, nil
		}
		if err != nil {
			return err
		}
		if c != nil {
			by += c.Count
		}
		if by == 0 {
			err = tx.Delete(k)
		} else {
			err = record.Put(tx, k, &facetCount{Value: []byte(f.value), Count: by})
		}
		if err != nil {
			return err
		}
	}
	if !damaged {
		return nil
	}
	s.log.Error("counts of tokens could not be read; they are off until the server is next unsealed, when they are made anew")
	return record.Put(tx, []byte{formKey}, &form{damagedForm})
}

// foldAll folds what waits, so that a store at rest has nothing that waits.
func (s *Store) foldAll(ctx context.Context) error {
	for {
		waiting, known := s.tally.all()
		if !known || len(waiting) == 0 {
			return nil // what is not known yet is read by the next transaction that moves a count
		}
		err := s.area.Update(ctx, func(tx store.Tx) error { return s.fold(tx, foldMost) })
		if err != nil {
			return err
		}
	}
}

// movesIn reads changes that wait, at most limit; 0 is all.
func movesIn(r store.Reader, limit int) (waiting []waitingMoves, err error) {
	in := store.PrefixRange([]byte{movedKey})
	in.Limit = limit
	err = record.Each(r, in, func(k []byte, m *moved, malformed error) error {
		w := waitingMoves{key: string(k), damaged: malformed != nil}
		if m != nil {
			w.moves = m.Moves
		}
		waiting = append(waiting, w)
		return nil
	})
	return waiting, err
}

// counter reads counts in one state of the store.
type counter struct {
	s *Store
	r store.Reader
	// moved are the changes that wait, read when first asked for.
	moved map[facet]int64
	// known are the counts that were asked for.
	known map[facet]int64
}

// of is how many tokens have a facet.
func (c *counter) of(f facet) (int64, error) {
	if n, ok := c.known[f]; ok {
		return n, nil
	}
	if err := c.load(); err != nil {
		return 0, err
	}
	stored, err := record.Get[facetCount](c.r, c.s.facetPrefix(countKey, f))
	if err != nil && !unreadable(err) {
		return 0, err
	}
	n := c.moved[f]
	if stored != nil {
		n += stored.Count
	}
	c.known[f] = n
	return n, nil
}

// load reads the changes that wait, where what is remembered is not of this very state. Inside a
// transaction it is, before that writes: every earlier commit was told.
func (c *counter) load() (err error) {
	if c.moved != nil {
		return nil
	}
	var waiting []waitingMoves
	known := false
	if _, inside := c.r.(store.Tx); inside {
		waiting, known = c.s.tally.all()
	} else {
		waiting, known = c.s.tally.at(c.r.Position())
	}
	if !known {
		if waiting, err = movesIn(c.r, 0); err != nil {
			return err
		}
	}
	c.moved, c.known = map[facet]int64{}, map[facet]int64{}
	for _, w := range waiting {
		for _, m := range w.moves {
			c.moved[m.facet()] += m.By
		}
	}
	return nil
}

// all lists the counts of a kind, by value.
func (c *counter) all(kind facetKind) (counts []Count, err error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	sums := map[string]int64{}
	for f, by := range c.moved {
		if f.kind == kind {
			sums[f.value] = by
		}
	}
	err = record.Each(c.r, store.PrefixRange([]byte{countKey, byte(kind)}), func(_ []byte, stored *facetCount, malformed error) error {
		if malformed == nil {
			sums[string(stored.Value)] += stored.Count
		}
		return nil
	})
	for value, n := range sums {
		if n != 0 {
			counts = append(counts, Count{value, n})
		}
	}
	slices.SortFunc(counts, func(a, b Count) int { return strings.Compare(a.Value, b.Value) })
	return counts, err
}
