package token

import (
	"sync"
	"sync/atomic"

	"jeton/internal/store"
)

// cache keeps decoded tokens. What bounds it is the number of entries, not of live tokens;
// what keeps it true is the store's change feed alone.
type cache struct {
	// mark counts commits that may have ended a token with children. An entry whose ancestry
	// was proved at another mark proves it again.
	mark   atomic.Uint64
	shards [cacheShards]shard
}

type shard struct {
	mu sync.RWMutex
	// entries is guarded by mu.
	entries map[ID]*cached
	// changes counts dropped keys; guarded by mu. A fill that began before a drop is not kept.
	changes uint64
	// dropped is the position of the commit that dropped a key last; guarded by mu.
	dropped uint64
}

// cached is a token and how far its ancestry is known to live. It is immutable.
type cached struct {
	token *Token
	// stored is the record, which differs from token where the parent was revoked alone.
	stored *Token
	mark   uint64
	// until is the earliest expiry of an ancestor, in Unix nanoseconds; 0 for never.
	until int64
}

// holds says whether the ancestry is still proved. A nil entry proves nothing.
func (c *cached) holds(mark uint64, now int64) bool {
	return c != nil && c.mark == mark && (c.until == 0 || now < c.until)
}

// 256 shards of 512 tokens of about 700 bytes are some 90 MB. There are many shards because what
// a transaction wrote is kept only if none of its shard changed before it was durable.
const (
	cacheShards  = 256
	shardEntries = 512
)

func newCache() *cache {
	c := &cache{}
	for i := range c.shards {
		c.shards[i].entries = map[ID]*cached{}
	}
	return c
}

func (c *cache) shard(id ID) *shard { return &c.shards[int(id[len(id)-1])%cacheShards] }

// get returns what is known of id and the shard's change count, to be handed to put.
func (c *cache) get(id ID) (entry *cached, changes uint64) {
	s := c.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[id], s.changes
}

// put keeps entry unless its shard has changed since get counted changes.
func (c *cache) put(id ID, entry *cached, changes uint64) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == changes {
		s.keep(id, entry)
	}
}

// putCommitted keeps what the commit of position wrote: when its shard has changed since, it may
// not be the newest any more. Only who made that commit may say so, once it succeeded.
func (c *cache) putCommitted(id ID, entry *cached, position uint64) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped == position {
		s.keep(id, entry)
	}
}

// written says when a transaction wrote a token whose ancestry it had proved.
type written struct{ position, mark uint64 }

// writing is called by the transaction. The mark is that of the state before its commit: if that
// bumps it, the token proves itself again.
func (s *Store) writing(tx store.Tx) written {
	return written{tx.Position(), s.cache.mark.Load()}
}

// keep has the cache keep what a transaction wrote, once it succeeded: the next request is most
// likely the token's own. until is the earliest end among its ancestors.
func (s *Store) keep(t *Token, w written, until int64) {
	if t.Orphan() {
		until = 0
	}
	s.cache.putCommitted(t.ID, &cached{token: t, stored: t, mark: w.mark, until: until}, w.position)
}

// keep makes room and keeps. REQUIRES: mu is held.
func (s *shard) keep(id ID, entry *cached) {
	if len(s.entries) >= shardEntries {
		// Any victim will do: a token in use comes back with its next request.
		for victim := range s.entries {
			delete(s.entries, victim)
			break
		}
	}
	s.entries[id] = entry
}

// drop forgets id. The store calls it before the commit that changed id, that of position, is
// acknowledged.
func (c *cache) drop(id ID, position uint64) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.dropped = position
	delete(s.entries, id)
}
