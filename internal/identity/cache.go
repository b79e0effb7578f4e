package identity

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"jeton/internal/policy"
	"jeton/internal/store"
)

// standing is what an entity is worth to a token. It is immutable.
type standing struct {
	subject *policy.Subject
	// policies are those of the entity and of its groups: canonical, sorted.
	policies []string
	disabled bool
	// groups is the count of group changes that it was made at.
	groups uint64
}

// cache keeps standings by the entity's id. What bounds it is the number of entries, not of
// entities; what keeps it true is the store's change feed alone.
type cache struct {
	seed maphash.Seed
	// groups counts commits that changed a group: any standing may rest on any group.
	groups atomic.Uint64
	shards [64]shard
}

type shard struct {
	mu sync.RWMutex
	// entries and moved (old id to the id it was merged into) are guarded by mu.
	entries map[string]*standing
	moved   map[string]string
	// changes counts dropped ids; guarded by mu. A fill that began before a drop is not kept.
	changes uint64
}

// shardEntries bounds each map of a shard: 64 shards of 1,024 standings of about a kilobyte
// are some 64 MB.
const shardEntries = 1024

func newCache() *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].entries, c.shards[i].moved = map[string]*standing{}, map[string]string{}
	}
	return c
}

func (c *cache) shard(id string) *shard { return &c.shards[maphash.String(c.seed, id)%64] }

// get returns what is known of id, and the shard's change count for put.
func (c *cache) get(id string) (known *standing, changes uint64) {
	s := c.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if known = s.entries[id]; known != nil && known.groups != c.groups.Load() {
		known = nil
	}
	return known, s.changes
}

// put keeps known unless its shard has changed since get counted changes.
func (c *cache) put(id string, known *standing, changes uint64) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == changes {
		keep(s.entries, id, known)
	}
}

// target is the entity that id was merged into, "" when none is known.
func (c *cache) target(id string) (target string, changes uint64) {
	s := c.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.moved[id], s.changes
}

// redirect keeps where id was merged into, unless its shard has changed since.
func (c *cache) redirect(id, target string, changes uint64) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == changes {
		keep(s.moved, id, target)
	}
}

func keep[V any](m map[string]V, id string, v V) {
	if len(m) >= shardEntries {
		// Any victim will do: an entity in use comes back with its next request.
		for victim := range m {
			delete(m, victim)
			break
		}
	}
	m[id] = v
}

func (c *cache) drop(id string) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.entries, id)
	delete(s.moved, id)
}

// changed keeps the cache true. The store calls it in commit order, before the commit is
// acknowledged: whoever knows of a change is never judged by what was before it.
func (s *Store) changed(c store.Commit) {
	s.entities.Changed(c)
	s.pointers.Changed(c)
	for _, k := range c.Keys {
		switch k[0] {
		case entityKey, mergedKey:
			s.cache.drop(string(k[1:]))
		case groupKey:
			s.cache.groups.Add(1)
		}
	}
}
