package token

import (
	"sync"
	"sync/atomic"
)

// cache keeps decoded tokens. What bounds it is the number of entries, not of live tokens;
// what keeps it true is the store's change feed alone.
type cache struct {
	// mark counts commits that may have ended a token with children. An entry whose ancestry
	// was proved at another mark proves it again.
	mark   atomic.Uint64
	shards [64]shard
}

type shard struct {
	mu sync.RWMutex
	// entries is guarded by mu.
	entries map[ID]*cached
	// changes counts dropped keys; guarded by mu. A fill that began before a drop is not kept.
	changes uint64
}

// cached is a token and how far its ancestry is known to live. It is immutable.
type cached struct {
	token *Token
	mark  uint64
	// until is the earliest expiry of an ancestor, in Unix nanoseconds; 0 for never.
	until int64
}

// holds says whether the ancestry is still proved. A nil entry proves nothing.
func (c *cached) holds(mark uint64, now int64) bool {
	return c != nil && c.mark == mark && (c.until == 0 || now < c.until)
}

// shardEntries bounds a shard: 64 shards of 2,048 tokens of about 700 bytes are some 90 MB.
const shardEntries = 2048

func newCache() *cache {
	c := &cache{}
	for i := range c.shards {
		c.shards[i].entries = map[ID]*cached{}
	}
	return c
}

func (c *cache) shard(id ID) *shard { return &c.shards[id[0]%64] }

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
	if s.changes != changes {
		return
	}
	if len(s.entries) >= shardEntries {
		// Any victim will do: a token in use comes back with its next request.
		for victim := range s.entries {
			delete(s.entries, victim)
			break
		}
	}
	s.entries[id] = entry
}

// drop forgets id. The store calls it before the commit that changed id is acknowledged.
func (c *cache) drop(id ID) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.entries, id)
}
