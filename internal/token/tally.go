package token

import (
	"slices"
	"sync"
	"sync/atomic"
)

// tally remembers which changes of counts wait to be folded, so that the transaction that folds
// them need not read them: that would be under the commit lock.
//
// What is known is of the newest commit, and only a transaction that follows it may use it.
// That is every transaction: commits are told before a later transaction begins.
type tally struct {
	// serial makes keys unlike those of other transactions of this process.
	serial atomic.Uint64

	mu sync.Mutex
	// known says that waiting is all that the store has; guarded by mu, as is what follows.
	known   bool
	waiting []waitingMoves
	// staged is what transactions wrote that may yet commit, by key. Keys are never used twice.
	staged map[string]waitingMoves
	// last is what was staged last, and its record.
	last struct {
		moves   []move
		encoded []byte
	}
	// fold is the last fold that a transaction made, which may yet commit.
	fold stagedFold
	// folded is the commit that folded last, told the newest that was told.
	folded, told uint64
}

// waitingMoves is a stored change of counts.
type waitingMoves struct {
	key      string
	moves    []move
	position uint64 // of the commit that stored it; 0 where that does not matter
	// damaged says that it cannot be read: moves is empty.
	damaged bool
}

// stagedFold is a fold in the transaction that would be the commit of position. whole says that
// it found all that the store had.
type stagedFold struct {
	position uint64
	keys     []string
	whole    bool
}

// due says whether the transaction of position is to fold. One transaction does so once; one
// that follows a failed one of the same position leaves it to the next.
func (t *tally) due(position uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return (!t.known || len(t.waiting) >= foldAt) && t.fold.position != position
}

// all is what waits after the newest commit; known is false when it has to be read.
func (t *tally) all() (waiting []waitingMoves, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known {
		return nil, false
	}
	return slices.Clone(t.waiting), true
}

// at is what waits in the state of position. It is not known of a state that has commits which
// were not told yet, or from before a fold.
func (t *tally) at(position uint64) (waiting []waitingMoves, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known || t.told < position || position < t.folded {
		return nil, false
	}
	for _, w := range t.waiting {
		if w.position <= position {
			waiting = append(waiting, w)
		}
	}
	return waiting, true
}

// tell notes the newest commit, of whatever room.
func (t *tally) tell(position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = position
}

// encoded is the record of moves, if the same were stored last; nil otherwise.
func (t *tally) encoded(moves []move) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Equal(t.last.moves, moves) {
		return nil
	}
	return t.last.encoded
}

// stage notes what a transaction writes.
func (t *tally) stage(key []byte, moves []move, encoded []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last.moves, t.last.encoded = moves, encoded
	if t.staged == nil {
		t.staged = map[string]waitingMoves{}
	}
	w := waitingMoves{key: string(key), moves: moves}
	t.staged[w.key] = w
}

func (t *tally) folding(position uint64, folded []waitingMoves, whole bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := make([]string, 0, len(folded))
	for _, w := range folded {
		keys = append(keys, w.key)
	}
	t.fold = stagedFold{position, keys, whole}
}

// committed follows what the commit of position wrote and deleted.
func (t *tally) committed(keys [][]byte, position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fold.position == position {
		t.settle(keys)
	}
	for _, k := range keys {
		if len(k) == 0 || k[0] != movedKey {
			continue
		}
		if w, ok := t.staged[string(k)]; ok {
			w.position = position
			t.waiting = append(t.waiting, w)
		}
	}
	// What was staged by transactions that failed is of no use to anyone.
	clear(t.staged)
}

// settle takes from what waits what a fold took, if the commit has all of it: a transaction
// that failed may have had the same position. REQUIRES: mu is held.
func (t *tally) settle(keys [][]byte) {
	gone := make(map[string]bool, len(t.fold.keys))
	for _, k := range keys {
		if len(k) > 0 && k[0] == movedKey {
			gone[string(k)] = true
		}
	}
	for _, k := range t.fold.keys {
		if !gone[k] {
			return
		}
	}
	t.folded = t.fold.position
	if !t.known && t.fold.whole {
		t.known, t.waiting = true, nil
		return
	}
	t.waiting = slices.DeleteFunc(t.waiting, func(w waitingMoves) bool { return slices.Contains(t.fold.keys, w.key) })
}

// forget makes the next transaction read what waits.
func (t *tally) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known, t.waiting = false, nil
}
