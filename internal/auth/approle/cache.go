package approle

import (
	"strings"
	"sync"

	"jeton/internal/store"
)

// cachedRoles bounds the cache: about a megabyte of roles.
const cachedRoles = 2048

// roleCache remembers decoded roles by role id, so that a login need not read them. What the
// store says of its commits keeps it true: the Update that changed a role returns after the
// role has left the cache.
type roleCache struct {
	mu struct {
		sync.RWMutex
		byID map[string]*role
		// ids are the role ids of the cached roles by name.
		ids map[string]string
		// changed is the commit of the newest change to any role. What was read from
		// an older state is not let in.
		changed uint64
	}
}

func newRoleCache() *roleCache {
	c := &roleCache{}
	c.mu.byID = map[string]*role{}
	c.mu.ids = map[string]string{}
	return c
}

// get returns the role, which must not be changed; nil when it is not cached.
func (c *roleCache) get(roleID string) *role {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.byID[roleID]
}

// put remembers r as it was in the state at position.
func (c *roleCache) put(r *role, position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position < c.mu.changed {
		return
	}
	if len(c.mu.byID) >= cachedRoles {
		for id, victim := range c.mu.byID {
			delete(c.mu.byID, id)
			delete(c.mu.ids, victim.Name)
			break
		}
	}
	c.mu.byID[r.RoleID] = r
	c.mu.ids[r.Name] = r.RoleID
}

// changed is told of every commit in the area.
func (c *roleCache) changed(commit store.Commit) {
	touches := len(commit.Ranges) > 0
	for _, key := range commit.Keys {
		touches = touches || strings.HasPrefix(string(key), rolePrefix)
	}
	if !touches {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range commit.Keys {
		name, ok := strings.CutPrefix(string(key), rolePrefix)
		if id, cached := c.mu.ids[name]; ok && cached {
			delete(c.mu.byID, id)
			delete(c.mu.ids, name)
		}
	}
	for _, r := range commit.Ranges {
		// A range below ownedPrefix is what a deleted role owned; its record is among
		// the keys. Any other range empties the whole area.
		if !strings.HasPrefix(string(r.From), ownedPrefix) {
			clear(c.mu.byID)
			clear(c.mu.ids)
		}
	}
	c.mu.changed = max(c.mu.changed, commit.Position)
}
