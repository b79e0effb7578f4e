package acl

import (
	"hash/maphash"
	"slices"
	"sync"

	"jeton/internal/policy"
)

// Bounds of the caches. Past a bound everything in that cache is dropped: it refills from
// what is in use, and no order of use needs keeping on the path of every request.
const (
	// maxParsed bounds the parsed policies.
	maxParsed = 10_000
	// maxRules bounds the rules that lists of names share (about 400 bytes each), and
	// separately those that subjects have of their own.
	maxRules = 200_000
)

// cache keeps parsed policies and, for each list of names in use, the ACLs compiled from it.
type cache struct {
	seed maphash.Seed

	// mu guards everything below. It is held for map operations only.
	mu sync.RWMutex
	// changes counts what was forgotten. What was read before the latest change may be
	// stale and is not kept.
	changes uint64
	byName  map[string]*policy.Policy
	// sets is keyed by the hash of the names; of two lists with one hash the later stays.
	// sharedRules is the weight of all sets.
	sets        map[uint64]*namedSet
	sharedRules int
	// own holds the ACLs of subjects for sets with templates; ownRules is their weight.
	own      map[ownKey]ownACL
	ownRules int
}

// namedSet is what the policies of one list of names compile to. It is immutable.
type namedSet struct {
	names []string
	set   *policy.Set
	// plain is the ACL of those without an entity; of everyone, where nothing is templated.
	plain *policy.ACL
	// shared and own are the set's weight and that of each of its subjects, in rules.
	shared, own int
}

// ownKey finds the ACL of a subject: values is the hash of what its set's templates take
// from the subject.
type ownKey struct {
	set    *namedSet
	values uint64
}

type ownACL struct {
	values []string
	acl    *policy.ACL
}

func newNamedSet(names []string, set *policy.Set) *namedSet {
	shared, own := set.Size()
	return &namedSet{names: names, set: set, plain: set.For(nil), shared: 1 + len(names) + shared, own: 1 + own}
}

func newCache() *cache {
	return &cache{
		seed:   maphash.MakeSeed(),
		byName: make(map[string]*policy.Policy),
		sets:   make(map[uint64]*namedSet),
		own:    make(map[ownKey]ownACL),
	}
}

// now is the number of changes so far, to be given to keepSet and keepParsed with what was
// read after it.
func (c *cache) now() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.changes
}

// forget drops the policy of one name and every set that contains it.
func (c *cache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	delete(c.byName, name)
	for hash, set := range c.sets {
		if slices.Contains(set.names, name) {
			delete(c.sets, hash)
			c.sharedRules -= set.shared
		}
	}
	// Of the subjects' ACLs all go: they cost little to make again.
	c.dropOwn()
}

func (c *cache) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	clear(c.byName)
	c.dropSets()
}

// dropSets needs c.mu.
func (c *cache) dropSets() {
	clear(c.sets)
	c.sharedRules = 0
	c.dropOwn()
}

// dropOwn needs c.mu.
func (c *cache) dropOwn() {
	clear(c.own)
	c.ownRules = 0
}

func (c *cache) parsed(name string) *policy.Policy {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byName[name]
}

// keepParsed keeps p unless something changed since before.
func (c *cache) keepParsed(p *policy.Policy, before uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes != before {
		return
	}
	if len(c.byName) >= maxParsed {
		clear(c.byName)
	}
	c.byName[p.Name] = p
}

// set returns what is kept for exactly these names in this order, nil if nothing is.
func (c *cache) set(names []string) *namedSet {
	hash := c.hash(names)
	c.mu.RLock()
	defer c.mu.RUnlock()
	if set := c.sets[hash]; set != nil && slices.Equal(set.names, names) {
		return set
	}
	return nil
}

// keepSet keeps set unless something changed since before.
func (c *cache) keepSet(set *namedSet, before uint64) {
	hash := c.hash(set.names)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes != before {
		return
	}
	if c.sharedRules+set.shared > maxRules {
		c.dropSets()
	}
	if old := c.sets[hash]; old != nil {
		c.sharedRules -= old.shared
	}
	c.sets[hash] = set
	c.sharedRules += set.shared
}

// aclOf is the ACL of set for subject. It is right whatever is kept: set is what the caller
// was given, and the ACL of other values is never taken for it.
func (c *cache) aclOf(set *namedSet, subject *policy.Subject) *policy.ACL {
	if subject == nil || !set.set.Templated() {
		return set.plain
	}
	values := set.set.Values(subject)
	key := ownKey{set, c.hash(values)}
	c.mu.RLock()
	kept, ok := c.own[key]
	c.mu.RUnlock()
	if ok && slices.Equal(kept.values, values) {
		return kept.acl
	}
	acl := set.set.For(subject)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ownRules+set.own > maxRules {
		c.dropOwn()
	}
	if _, replaced := c.own[key]; !replaced {
		c.ownRules += set.own
	}
	c.own[key] = ownACL{values, acl}
	return acl
}

// hash only finds the place of a list: the texts themselves are compared then, never a
// joined form of them that two lists could share.
func (c *cache) hash(texts []string) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	for _, text := range texts {
		h.WriteString(text)
		h.WriteByte(0)
	}
	return h.Sum64()
}
