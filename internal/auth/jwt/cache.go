package jwt

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// cachedRoles bounds the cache: about a megabyte of roles.
const cachedRoles = 2048

// role is a role ready for use. It is shared by logins and must not be changed.
type role struct {
	roleRecord
	name string
	// stored is the record's bytes.
	stored []byte
	// claims are Bounds.Claims, audience is Bounds.Audiences, sources the TokenRecord's BoundCIDRs.
	claims   []boundClaim
	audience boundClaim
	sources  []netip.Prefix
	// mapped are the names in ClaimMappings, judged those that check looks at: both sorted.
	mapped, judged []string
}

// cache remembers the configuration and roles ready for use. What the store says of its
// commits keeps it true, within transactions too.
type cache struct {
	mu struct {
		sync.RWMutex
		roles map[string]*role
		trust *trust
		// changed is the commit of the newest change. What was read from an older state
		// is not let in.
		changed uint64
	}
}

func newCache() *cache {
	c := &cache{}
	c.mu.roles = map[string]*role{}
	return c
}

func (c *cache) role(name string) *role {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.roles[name]
}

func (c *cache) trusted() *trust {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.trust
}

func (c *cache) putRole(r *role, position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position < c.mu.changed {
		return
	}
	if len(c.mu.roles) >= cachedRoles {
		for victim := range c.mu.roles {
			delete(c.mu.roles, victim)
			break
		}
	}
	c.mu.roles[r.name] = r
}

// putTrust returns the one to use: of several that were made at the same time the first, so
// that a crowd of logins asks the provider once.
func (c *cache) putTrust(t *trust, position uint64) *trust {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position < c.mu.changed {
		return t
	}
	if c.mu.trust == nil {
		c.mu.trust = t
	}
	return c.mu.trust
}

// changed is told of every commit in the area.
func (c *cache) changed(commit store.Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit := len(commit.Ranges) > 0
	if hit {
		clear(c.mu.roles)
		c.mu.trust = nil
	}
	for _, key := range commit.Keys {
		if string(key) == string(configKey) {
			c.mu.trust, hit = nil, true
		}
		if name, ok := strings.CutPrefix(string(key), rolePrefix); ok {
			delete(c.mu.roles, name)
			hit = true
		}
	}
	if hit {
		c.mu.changed = max(c.mu.changed, commit.Position)
	}
}

// role returns a role ready for use; nil when there is none.
func (m *Method) role(ctx context.Context, name string) (*role, error) {
	if r := m.known.role(name); r != nil {
		return r, nil
	}
	var found *role
	err := m.area.View(ctx, func(r store.Reader) error {
		found = nil
		stored, err := r.Get(roleKey(name))
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if found, err = readyRole(name, stored); err != nil {
			return err
		}
		m.known.putRole(found, r.Position())
		return nil
	})
	return found, err
}

func readyRole(name string, stored []byte) (*role, error) {
	var rec roleRecord
	if err := record.Decode(stored, &rec); err != nil {
		return nil, err
	}
	r, err := rec.ready(name)
	if err != nil {
		return nil, err
	}
	r.stored = stored
	return r, nil
}

// ready works out once what logins need of the record.
func (rec *roleRecord) ready(name string) (*role, error) {
	r := &role{roleRecord: *rec, name: name, audience: boundClaim{name: "aud"}}
	var err error
	if r.sources, err = auth.ParsePrefixes(r.BoundCIDRs); err != nil {
		return nil, err
	}
	if r.claims, err = r.Bounds.parse(); err != nil {
		return nil, err
	}
	for _, audience := range r.Bounds.Audiences {
		r.audience.values = append(r.audience.values, audience)
	}
	r.mapped = slices.Sorted(maps.Keys(r.ClaimMappings))
	r.judged = []string{"aud", "iss", "sub"}
	for _, b := range r.claims {
		r.judged = append(r.judged, b.name)
	}
	slices.Sort(r.judged)
	r.judged = slices.Compact(r.judged)
	return r, nil
}

// trusted returns the configuration ready for use; nil when there is none.
func (m *Method) trusted(ctx context.Context) (*trust, error) {
	if t := m.known.trusted(); t != nil {
		return t, nil
	}
	var found *trust
	err := m.area.View(ctx, func(r store.Reader) error {
		found = nil
		stored, err := r.Get(configKey)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		config := &configRecord{}
		if err := record.Decode(stored, config); err != nil {
			return err
		}
		made, err := newTrust(config, m.fetch)
		if err != nil {
			return err
		}
		made.stored = stored
		found = m.known.putTrust(made, r.Position())
		return nil
	})
	return found, err
}

// confirm runs in the transaction that stores the token: what the login was judged by has not
// changed meanwhile.
func (m *Method) confirm(tx store.Tx, r *role, t *trust) error {
	if m.known.role(r.name) != r {
		if err := unchanged(tx, roleKey(r.name), r.stored); err != nil {
			return err
		}
	}
	if m.known.trusted() != t {
		return unchanged(tx, configKey, t.stored)
	}
	return nil
}

func unchanged(tx store.Tx, key, want []byte) error {
	got, err := tx.Get(key)
	if err != nil && !isNotFound(err) {
		return err
	}
	if string(got) != string(want) {
		return backend.Errorf(backend.Conflict, "the role or the configuration was changed during the login: try again")
	}
	return nil
}
