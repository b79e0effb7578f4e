package token

import "sync"

// tally remembers counts of facets, so that a transaction that moves one need not read it
// first: a read within a transaction is several times the cost of a write, a token has half a
// dozen counts, and all of that is under the commit lock.
//
// What is known is of the newest commit, and only a transaction that follows it may use it.
// That is every transaction: commits are told before a later transaction begins.
type tally struct {
	mu sync.Mutex
	// counts are those of the newest commit, by key; guarded by mu, as is what follows.
	counts map[string]int64
	// staged is what transactions wrote that may yet commit.
	staged map[string]stagedCount
}

// stagedCount is a count as the transaction wrote it that would be the commit of position.
type stagedCount struct {
	count    int64
	position uint64
}

// tallied bounds the counts that are remembered.
const tallied = 4096

// known is the count at k before the transaction of position. It does not know a count that
// was written at that position already: by this transaction, or by one that failed.
func (t *tally) known(k []byte, position uint64) (count int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if staged, ok := t.staged[string(k)]; ok && staged.position == position {
		return 0, false
	}
	count, ok = t.counts[string(k)]
	return count, ok
}

func (t *tally) stage(k []byte, count int64, position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.staged == nil {
		t.staged = map[string]stagedCount{}
	}
	t.staged[string(k)] = stagedCount{count, position}
}

// committed makes what the commit of position wrote what is known. Each key is told of: one
// that nobody staged was written elsewhere, and is forgotten.
func (t *tally) committed(keys [][]byte, position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		if len(k) == 0 || k[0] != countKey {
			continue
		}
		staged, ok := t.staged[string(k)]
		if !ok || staged.position != position {
			delete(t.counts, string(k))
			continue
		}
		if t.counts == nil {
			t.counts = map[string]int64{}
		}
		if len(t.counts) >= tallied {
			for victim := range t.counts {
				delete(t.counts, victim)
				break
			}
		}
		t.counts[string(k)] = staged.count
	}
	// What was staged by transactions that failed is of no use to anyone.
	clear(t.staged)
}
