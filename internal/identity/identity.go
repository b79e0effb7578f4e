// Package identity owns who is behind a token: entities, the aliases by which login methods
// know them, and the groups they are in. It knows nothing of HTTP, and reads nothing at unseal.
//
// An entity is one record with its aliases inside, a group is another; every key that points
// to them is derived from the record. What a request may do through its entity is resolved
// when it is asked, and remembered until a commit changes it.
package identity

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/mac"
	"jeton/internal/policy"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Entity is one person or machine, whatever login methods it uses. An Entity that was handed
// out is never changed: who wants another copies it.
type Entity struct {
	ID       string            `cbor:"-"`
	Name     string            `cbor:"1,keyasint"`
	Metadata map[string]string `cbor:"2,keyasint,omitempty"`
	// Policies are canonical names, sorted.
	Policies []string `cbor:"3,keyasint,omitempty"`
	Disabled bool     `cbor:"4,keyasint,omitempty"`
	// Aliases are at most one a mount.
	Aliases []Alias `cbor:"5,keyasint,omitempty"`
	// Merged are the ids of entities that became part of this one.
	Merged []string `cbor:"6,keyasint,omitempty"`
	// External are the groups that logins put it into.
	External []Membership `cbor:"7,keyasint,omitempty"`
	// Created and Updated are Unix nanoseconds.
	Created int64 `cbor:"8,keyasint"`
	Updated int64 `cbor:"9,keyasint"`
}

// Alias is what one login method calls an entity.
type Alias struct {
	ID   string `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint"`
	// Mount is the accessor of the login method.
	Mount string `cbor:"3,keyasint"`
	// Metadata is written by logins only, Custom by the API only.
	Metadata map[string]string `cbor:"4,keyasint,omitempty"`
	Custom   map[string]string `cbor:"5,keyasint,omitempty"`
	// MergedFrom are the entities that had the alias before they were merged.
	MergedFrom []string `cbor:"6,keyasint,omitempty"`
	Created    int64    `cbor:"7,keyasint"`
	Updated    int64    `cbor:"8,keyasint"`
}

// Membership says that the last login at Mount put the entity into a group, by the canonical
// name that the group's alias had. It holds for as long as the alias is still that.
type Membership struct {
	Group string `cbor:"1,keyasint"`
	Mount string `cbor:"2,keyasint"`
	Name  string `cbor:"3,keyasint"`
}

// holds says whether the membership counts. One whose alias was renamed, moved or deleted ends
// at once, whether or not anybody has swept it up (CVE-2020-10660).
func (g *Group) holds(m Membership) bool {
	return g.External && g.ID == m.Group && g.Alias != nil && g.Alias.Mount == m.Mount && canonical(g.Alias.Name) == m.Name
}

// Group is a set of entities and of other groups.
type Group struct {
	ID   string `cbor:"-"`
	Name string `cbor:"1,keyasint"`
	// External groups have the members that logins put into them, and no others.
	External bool              `cbor:"2,keyasint,omitempty"`
	Policies []string          `cbor:"3,keyasint,omitempty"`
	Metadata map[string]string `cbor:"4,keyasint,omitempty"`
	// Entities and Groups are the members of an internal group.
	Entities []string `cbor:"5,keyasint,omitempty"`
	Groups   []string `cbor:"6,keyasint,omitempty"`
	// Alias is what a directory calls an external group.
	Alias *GroupAlias `cbor:"7,keyasint,omitempty"`
	// Modified counts the writes.
	Modified uint64 `cbor:"8,keyasint,omitempty"`
	Created  int64  `cbor:"9,keyasint"`
	Updated  int64  `cbor:"10,keyasint"`
}

// GroupAlias is the name of an external group at one mount.
type GroupAlias struct {
	ID      string `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"`
	Mount   string `cbor:"3,keyasint"`
	Created int64  `cbor:"4,keyasint"`
	Updated int64  `cbor:"5,keyasint"`
}

// Mount is what the room has to know of a mount.
type Mount struct {
	// Path ends in a slash; a login method's begins with "auth/".
	Path, Type string
	Local      bool
}

// Mounts knows what is mounted. It is asked inside transactions: it must be quick and must not
// use the store.
type Mounts interface {
	// Mount returns the mount of an accessor; ok is false when there is none.
	Mount(accessor string) (m Mount, ok bool)
}

// Store keeps the identities of one server. All methods are safe for concurrent use.
type Store struct {
	whole  store.Store
	area   *store.Area
	hash   *mac.Key
	clock  clock.Clock
	mounts Mounts
	cache  *cache
	// entities and pointers (the ids at the entries of aliases and of groups' aliases, "" for none)
	// are those that logins have met.
	entities *record.Memo[Entity]
	pointers *record.Memo[string]
	cancel   func()
}

// rememberedLogins bounds what is kept for logins to come: some 1.5 kilobytes for each of them.
const rememberedLogins = 16 << 10

// Config is what a Store is made of.
type Config struct {
	// Store is the whole encrypted store; identities live below Prefix in it.
	Store  store.Store
	Prefix []byte
	// Secret keys the hashes under which names are found. It must be the same after a restart.
	Secret [32]byte
	Clock  clock.Clock
	Mounts Mounts
}

// New opens the identity store. It reads nothing.
func New(c Config) *Store {
	s := &Store{
		whole: c.Store, area: store.NewArea(c.Store, c.Prefix), hash: mac.NewKey(c.Secret[:]),
		clock: c.Clock, mounts: c.Mounts, cache: newCache(),
		entities: record.NewMemo[Entity](rememberedLogins, nil), pointers: record.NewMemo(rememberedLogins, new(string)),
	}
	s.cancel = s.area.Subscribe(s.changed)
	return s
}

// Close stops following the store.
func (s *Store) Close() { s.cancel() }

// MountOf is the mount of an accessor.
func (s *Store) MountOf(accessor string) (Mount, bool) { return s.mounts.Mount(accessor) }

// canonical is the form in which names are compared.
func canonical(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// digest hides names in keys and gives them one length. Parts cannot run into each other.
func (s *Store) digest(kind byte, parts ...string) []byte {
	entry := append(make([]byte, 0, 1+mac.Size), kind)
	return s.hash.Append(entry, func(message []byte) []byte {
		for _, p := range parts {
			message = append(binary.BigEndian.AppendUint64(message, uint64(len(p))), p...)
		}
		return message
	})
}

func newID() string { return uuid.NewString() }

// newName is a name for an entity or a group that was given none.
func newName(kind string) string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return kind + "_" + hex.EncodeToString(b[:])
}

// canonicalPolicies is the list as it is stored. Contract: identity §2.1.
func canonicalPolicies(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		if strings.TrimSpace(name) == "" {
			continue
		}
		name, err := policy.CanonicalName(name)
		switch {
		case err != nil:
			return nil, backend.Invalidf("invalid policy name").Because(err)
		case name == policy.RootName:
			return nil, backend.Invalidf("policies cannot contain root")
		case name == policy.WrappingName:
			return nil, backend.Invalidf("cannot assign policy %q", policy.WrappingName)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// grantable are the names of a stored list that count: what was written before names were
// checked must not widen anything (CVE-2025-5999).
func grantable(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		c, err := policy.CanonicalName(name)
		return err != nil || c != name || c == policy.RootName || c == policy.WrappingName
	})
}

// Bounds of metadata and names. Contract: identity §2.1.
const (
	maxPairs = 64
	maxKey   = 128
	maxValue = 512
	maxName  = 512
)

// checkPairs holds metadata against its bounds. what names it in the error.
func checkPairs(what string, pairs map[string]string) error {
	if len(pairs) > maxPairs {
		return backend.Invalidf("invalid %s: %d pairs are more than %d", what, len(pairs), maxPairs)
	}
	for key, value := range pairs {
		switch {
		case len(key) == 0:
			return backend.Invalidf("invalid %s: a key is empty", what)
		case len(key) > maxKey:
			return backend.Invalidf("invalid %s: a key is longer than %d bytes", what, maxKey)
		case len(value) > maxValue:
			return backend.Invalidf("invalid %s: a value is longer than %d bytes", what, maxValue)
		}
	}
	return nil
}

func checkName(what, name string) error {
	if len(name) > maxName {
		return backend.Invalidf("the name of %s is longer than %d bytes", what, maxName)
	}
	return nil
}

// optional is m, or nil where it is empty: one form for "none".
func optional(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("identity: %s: %w", what, err)
}
