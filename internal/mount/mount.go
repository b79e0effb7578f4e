// Package mount owns the mount table: which backend serves which path, where it keeps its
// data, how it is tuned. A request finds its mount in an immutable index by the longest path.
package mount

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/gate"
	"jeton/internal/store"
)

// AuthPrefix begins the path of every login method's mount.
const AuthPrefix = "auth/"

// Class says what a kind of backend is.
type Class string

// The classes. Contract: audit §5.2 mount_class.
const (
	SecretClass Class = "secret"
	AuthClass   Class = "auth"
)

// Kind is a type of backend that can be mounted.
type Kind struct {
	// Name is its type ("kv", "approle").
	Name  string
	Class Class
	New   backend.Factory
	// Versioned kinds take options.version.
	Versioned bool
	// Fixed kinds are mounted once, at Path, and cannot be mounted, moved or removed by a client.
	Fixed bool
	Path  string
	// Passthrough and SealWrap are what a fixed mount begins with (contract: sys §7).
	Passthrough []string
	SealWrap    bool
	Description string
	// Upgrade brings the data of a mount from one version to the next; nil when there is none.
	Upgrade func(ctx context.Context, area *store.Area) error
}

// Entry is what the table remembers of a mount.
type Entry struct {
	UUID        string            `cbor:"1,keyasint"`
	Path        string            `cbor:"2,keyasint"`
	Type        string            `cbor:"3,keyasint"`
	Description string            `cbor:"4,keyasint,omitempty"`
	Accessor    string            `cbor:"5,keyasint"`
	Options     map[string]string `cbor:"6,keyasint"`
	Local       bool              `cbor:"7,keyasint,omitempty"`
	SealWrap    bool              `cbor:"8,keyasint,omitempty"`
	Tuning      Tuning            `cbor:"9,keyasint"`
	// Tainted mounts are being removed: they serve nothing, and removal goes on after a crash.
	Tainted bool `cbor:"10,keyasint,omitempty"`
	// ShownType is the type that listings show when it is not Type ("generic" for kv).
	ShownType string `cbor:"11,keyasint,omitempty"`
	// ExternalEntropy is remembered for clients that read back what they wrote.
	ExternalEntropy bool `cbor:"12,keyasint,omitempty"`
	// Upgrading mounts hold data of an older version: it is brought forward before they serve.
	Upgrading bool `cbor:"13,keyasint,omitempty"`
}

// Tuning is what can be changed of a mount while it serves. Zero durations inherit the system's.
type Tuning struct {
	DefaultTTL             time.Duration `cbor:"1,keyasint,omitempty"`
	MaxTTL                 time.Duration `cbor:"2,keyasint,omitempty"`
	ForceNoCache           bool          `cbor:"3,keyasint,omitempty"`
	NonHMACRequestKeys     []string      `cbor:"4,keyasint,omitempty"`
	NonHMACResponseKeys    []string      `cbor:"5,keyasint,omitempty"`
	ListingVisibility      string        `cbor:"6,keyasint,omitempty"`
	PassthroughHeaders     []string      `cbor:"7,keyasint,omitempty"`
	AllowedResponseHeaders []string      `cbor:"8,keyasint,omitempty"`
	TokenType              string        `cbor:"9,keyasint,omitempty"`
	PluginVersion          string        `cbor:"10,keyasint,omitempty"`
	Lockout                *Lockout      `cbor:"11,keyasint,omitempty"`
}

// Class is the entry's class, by its path.
func (e *Entry) Class() Class {
	if strings.HasPrefix(e.Path, AuthPrefix) {
		return AuthClass
	}
	return SecretClass
}

// Mounted is a mount that serves. All but its gate is immutable: tuning makes a new one
// around the same backend.
type Mounted struct {
	Entry   Entry
	Info    backend.Mount
	Backend backend.Backend
	Routes  *backend.Table

	gate *gate.Gate
}

// Enter lets a call in; Leave must be called when it is done. It is false when the mount has
// been removed meanwhile.
func (m *Mounted) Enter() bool { return m.gate.Enter() }

// Leave ends a call that Enter let in.
func (m *Mounted) Leave() { m.gate.Leave() }

// Within is ctx for a call inside: it ends when the mount is removed or the server sealed, and the
// call has had a moment. It must be released at the end.
func (m *Mounted) Within(ctx context.Context) *gate.Patience { return m.gate.Within(ctx) }

// newGate makes the gate of a mount's calls.
func (t *Table) newGate() *gate.Gate { return gate.New(t.hurry) }

// close waits for the calls in flight and closes the backend.
func (m *Mounted) close(log *slog.Logger) {
	if !m.gate.Shut() {
		return
	}
	if c, ok := m.Backend.(backend.Closer); ok {
		if err := c.Close(); err != nil {
			log.Warn("closing a backend failed", "mount", m.Entry.Path, "error", err)
		}
	}
}

// Table is the mount table of an unsealed server. All methods are safe for concurrent use.
type Table struct {
	whole  store.Store
	area   *store.Area
	kinds  map[string]*Kind
	system Limits
	// lockouts are what login methods inherit.
	lockouts Lockouts
	clock    clock.Clock
	log      *slog.Logger
	revoke   Revoker
	// aliases may be nil.
	aliases Aliases
	// hurry ends when the calls in all mounts are to come to an end.
	hurry context.Context

	// changing serialises changes to the table, so that a conflict is seen.
	changing sync.Mutex
	// current is what requests read. Only who holds changing replaces it.
	current atomic.Pointer[index]
}

// Limits are the system's lease durations, which mounts inherit.
type Limits struct{ DefaultTTL, MaxTTL time.Duration }

// Revoker ends what a mount issued, before the mount is removed or moved.
type Revoker interface {
	// RevokeMount ends every token and lease issued under the mount's path, and has the mount's
	// backend take the secrets back.
	RevokeMount(ctx context.Context, path string) error
	// EndMount ends them too, and says whether secrets are left for the backend to take back.
	// It asks no backend.
	EndMount(ctx context.Context, path string) (left bool, err error)
}

// Config is what a Table is made of.
type Config struct {
	// Store is the whole encrypted store; the table lives below Prefix, each backend's data
	// below DataPrefix and its UUID.
	Store  store.Store
	Kinds  []Kind
	System Limits
	// Lockouts is what the kinds that lock users out inherit; a kind without a row inherits zeros.
	Lockouts Lockouts
	Clock    clock.Clock
	Log      *slog.Logger
	Revoker  Revoker
	// Aliases loses those of a mount that is removed; nil for none.
	Aliases Aliases
	// Hurry ends when the calls in all mounts are to come to an end; nil for the context of Load.
	Hurry context.Context
}

// Aliases is what the identity store knows of mounts.
type Aliases interface {
	// ForgetMount removes the aliases of a mount that serves no more. It may be called again.
	ForgetMount(ctx context.Context, accessor string) error
}

// index is one state of the table.
type index struct {
	byPath     map[string]*Mounted
	byAccessor map[string]*Mounted
	// paths is sorted.
	paths []string
	// leaving has by accessor what is being removed.
	leaving map[string]*departure
}

// Find returns the mount that serves path, and what of path lies below it.
func (t *Table) Find(path string) (m *Mounted, below string, ok bool) {
	byPath := t.current.Load().byPath
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] != '/' {
			continue
		}
		if m = byPath[path[:i+1]]; m != nil {
			return m, path[i+1:], true
		}
	}
	if m = byPath[path+"/"]; m != nil {
		return m, "", true
	}
	return nil, "", false
}

// At returns the mount at exactly path, which ends in a slash.
func (t *Table) At(path string) (*Mounted, bool) {
	m, ok := t.current.Load().byPath[path]
	return m, ok
}

// ByAccessor returns the mount of an accessor.
func (t *Table) ByAccessor(accessor string) (*Mounted, bool) {
	m, ok := t.current.Load().byAccessor[accessor]
	return m, ok
}

// All returns every mount of a class, sorted by path.
func (t *Table) All(class Class) []*Mounted {
	now := t.current.Load()
	var all []*Mounted
	for _, p := range now.paths {
		if m := now.byPath[p]; m.Entry.Class() == class {
			all = append(all, m)
		}
	}
	return all
}

// Area is where the backend at path keeps its data; nil when nothing is mounted there.
func (t *Table) Area(path string) *store.Area {
	m, ok := t.At(path)
	if !ok {
		return nil
	}
	return t.dataArea(&m.Entry)
}

// Kinds are the names of the kinds of a class that clients may mount, sorted.
func (t *Table) Kinds(class Class) []string {
	var names []string
	for name, k := range t.kinds {
		if k.Class == class && !k.Fixed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Effective are the limits that hold for a tuning.
func (t *Table) Effective(tuning Tuning) (defaultTTL, maxTTL time.Duration) {
	if maxTTL = tuning.MaxTTL; maxTTL == 0 {
		maxTTL = t.system.MaxTTL
	}
	if defaultTTL = tuning.DefaultTTL; defaultTTL == 0 {
		defaultTTL = min(t.system.DefaultTTL, maxTTL)
	}
	return defaultTTL, maxTTL
}

// System are the limits that mounts inherit.
func (t *Table) System() Limits { return t.system }

// publish replaces the current index. The caller holds changing.
func (t *Table) publish(change func(byPath map[string]*Mounted)) {
	t.publishAll(func(byPath map[string]*Mounted, _ map[string]*departure) { change(byPath) })
}

// publishAll is publish for what leaves too.
func (t *Table) publishAll(change func(byPath map[string]*Mounted, leaving map[string]*departure)) {
	next := &index{byAccessor: map[string]*Mounted{}, byPath: map[string]*Mounted{}, leaving: map[string]*departure{}}
	if old := t.current.Load(); old != nil {
		next.byPath, next.leaving = maps.Clone(old.byPath), maps.Clone(old.leaving)
	}
	change(next.byPath, next.leaving)
	for path, m := range next.byPath {
		next.paths = append(next.paths, path)
		next.byAccessor[m.Entry.Accessor] = m
	}
	slices.Sort(next.paths)
	t.current.Store(next)
}

// Close closes every backend, once its calls are done.
func (t *Table) Close() {
	t.changing.Lock()
	defer t.changing.Unlock()
	now := t.current.Load()
	for _, m := range now.byPath {
		m.close(t.log)
	}
	for _, d := range now.leaving {
		d.mounted.close(t.log)
	}
}
