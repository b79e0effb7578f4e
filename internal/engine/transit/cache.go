package transit

import (
	"encoding/binary"
	"sync"

	"jeton/internal/store"
)

// defaultCacheSize bounds what a mount remembers: so many keys, and so many versions.
const defaultCacheSize = 2048

// keyCache remembers keys and their material. What the store says of its commits keeps it true:
// the Update that changed a key returns after the key has left the cache.
type keyCache struct {
	mu struct {
		sync.RWMutex
		keys     map[string]*keyRecord
		versions map[versionID]*material
		size     int
		// changed is the commit of the newest change. What was read from an older state
		// is not let in.
		changed uint64
	}
}

// versionID is a version's storage key without its prefix.
type versionID struct {
	key    [16]byte
	number uint64
}

func newKeyCache(size int) *keyCache {
	c := &keyCache{}
	c.mu.keys = map[string]*keyRecord{}
	c.mu.versions = map[versionID]*material{}
	c.resize(size)
	return c
}

// resize changes the bound; 0 is the default one.
func (c *keyCache) resize(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if size == 0 {
		size = defaultCacheSize
	}
	c.mu.size = size
	shrink(c.mu.keys, size)
	shrink(c.mu.versions, size)
}

// shrink drops whatever comes first until at most n are left.
func shrink[K comparable, V any](m map[K]V, n int) {
	for k := range m {
		if len(m) <= n {
			return
		}
		delete(m, k)
	}
}

// key returns a key, which must not be changed; nil when it is not cached.
func (c *keyCache) key(name string) *keyRecord {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.keys[name]
}

func (c *keyCache) version(id versionID) *material {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.versions[id]
}

// putKey remembers k as it was in the state at position.
func (c *keyCache) putKey(name string, k *keyRecord, position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position < c.mu.changed {
		return
	}
	shrink(c.mu.keys, c.mu.size-1)
	c.mu.keys[name] = k
}

func (c *keyCache) putVersion(id versionID, m *material, position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position < c.mu.changed {
		return
	}
	shrink(c.mu.versions, c.mu.size-1)
	c.mu.versions[id] = m
}

// changed is told of every commit in the area.
func (c *keyCache) changed(commit store.Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range commit.Keys {
		if len(key) == 0 {
			continue
		}
		switch key[0] {
		case keyPrefix:
			delete(c.mu.keys, string(key[1:]))
		case versionPrefix:
			if id, ok := parseVersionKey(key); ok {
				delete(c.mu.versions, id)
			}
		default:
			continue
		}
		c.mu.changed = max(c.mu.changed, commit.Position)
	}
	if len(commit.Ranges) > 0 {
		// Versions of a key that was trimmed or deleted, or the whole area: rare.
		clear(c.mu.keys)
		clear(c.mu.versions)
		c.mu.changed = max(c.mu.changed, commit.Position)
	}
}

// forget drops all keys and overwrites them. Nobody uses them any more.
func (c *keyCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.mu.versions {
		clear(m.secret)
		clear(m.hmac)
	}
	clear(c.mu.versions)
	clear(c.mu.keys)
}

func parseVersionKey(key []byte) (id versionID, ok bool) {
	if len(key) != 1+len(id.key)+8 {
		return id, false
	}
	copy(id.key[:], key[1:])
	id.number = binary.BigEndian.Uint64(key[1+len(id.key):])
	return id, true
}
