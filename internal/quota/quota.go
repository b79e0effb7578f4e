// Package quota owns lease-count quotas: how many leases, service tokens among them, the paths
// of a quota may have at a time. Whoever keeps leases tells it of each one in the transaction
// that stores or ends it, so that a count is as exact and as durable as what it counts.
//
// Where there is no quota nothing is counted and nothing is read: making one counts what is
// there already. Contract: sys §17.
package quota

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Keys below the room's own prefix:
//
//	r/NAME  Quota
//	c/NAME  tally: how many leases its paths have
var (
	rulePrefix  = []byte("r/")
	tallyPrefix = []byte("c/")
)

// Quota bounds the leases of the paths in its scope.
type Quota struct {
	Name string `cbor:"1,keyasint"`
	// Path and Mount are a backend.Scope.
	Path      string `cbor:"2,keyasint,omitempty"`
	Mount     string `cbor:"3,keyasint,omitempty"`
	MaxLeases int64  `cbor:"4,keyasint"`
	// Inheritable is kept and shown: there are no namespaces to inherit.
	Inheritable bool `cbor:"5,keyasint,omitempty"`
	// Counting says that what was there before the quota is not in its tally yet, so that it
	// does not hold yet. Begun tells one counting from another.
	Counting bool   `cbor:"6,keyasint,omitempty"`
	Begun    uint64 `cbor:"7,keyasint,omitempty"`
}

func (q *Quota) scope() backend.Scope { return backend.Scope{Path: q.Path, Mount: q.Mount} }

// tally is how many leases the paths of a quota have. While the quota is counting it is the
// difference since it began.
type tally struct {
	Count int64 `cbor:"1,keyasint"`
}

// Census counts the leases that a room keeps for the paths of a scope, in r, a state of the
// whole store.
type Census interface {
	CountIn(r store.Reader, scope backend.Scope) (int64, error)
}

// Store keeps the quotas of one server. All methods are safe for concurrent use.
type Store struct {
	whole  store.Store
	area   *store.Area
	log    *slog.Logger
	cancel func()
	// changed is the position of the newest commit that changed a rule, known the rules as
	// they were read last. They are the current ones while their position is changed.
	changed atomic.Uint64
	known   atomic.Pointer[rules]

	// changing serialises countings, so that two do not finish each other's.
	changing sync.Mutex
	// census is who is asked; set once, before the first request.
	census []Census
}

// New opens the quotas over the whole encrypted store. It reads nothing.
func New(whole store.Store, prefix []byte, log *slog.Logger) *Store {
	s := &Store{whole: whole, area: store.NewArea(whole, prefix), log: log}
	s.cancel = s.area.Subscribe(func(c store.Commit) {
		if slices.ContainsFunc(c.Keys, func(k []byte) bool { return len(k) > 1 && k[0] == rulePrefix[0] }) || len(c.Ranges) > 0 {
			s.changed.Store(c.Position)
		}
	})
	return s
}

// Count names the rooms that keep leases. It must be called before the first request.
func (s *Store) Count(census ...Census) { s.census = census }

// Close stops following the store.
func (s *Store) Close() { s.cancel() }

// rules are all quotas, sorted by name.
type rules struct {
	changed, seen uint64
	all           []rule
}

// rule is a quota and those directly within it: what lies in their scope is theirs alone.
type rule struct {
	Quota
	within []string
}

// none says without asking the store that there is no quota. What it knows is true of the
// newest commit, and so of every transaction that runs.
func (s *Store) none() bool {
	known := s.known.Load()
	return known != nil && len(known.all) == 0 && known.changed == s.changed.Load()
}

// rulesIn are the quotas in r, a state of the area. They are read again only when a commit has
// changed them.
func (s *Store) rulesIn(r store.Reader) ([]rule, error) {
	changed := s.changed.Load()
	if known := s.known.Load(); known != nil && known.changed == changed && r.Position() >= max(known.seen, changed) {
		return known.all, nil
	}
	var all []rule
	err := record.Each(r, store.PrefixRange(rulePrefix), func(key []byte, q *Quota, err error) error {
		if err != nil {
			s.log.Error("a lease count quota cannot be read and does not hold: write it again", "quota", string(key[len(rulePrefix):]), "error", err)
			return nil
		}
		all = append(all, rule{Quota: *q})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("quota: read the quotas: %w", err)
	}
	nest(all)
	if r.Position() >= changed {
		s.known.Store(&rules{changed: changed, seen: r.Position(), all: all})
	}
	return all, nil
}

// nest finds which quotas lie directly within which. Two scopes never overlap in part: each is
// one path, or all paths with a prefix.
func nest(all []rule) {
	byRank := make([]*rule, 0, len(all))
	for i := range all {
		byRank = append(byRank, &all[i])
	}
	rank := func(q *rule) int {
		prefix, _ := q.scope().Prefix()
		return q.scope().Rank(prefix)
	}
	slices.SortFunc(byRank, func(a, b *rule) int { return cmp.Compare(rank(b), rank(a)) })
	for i, inner := range byRank {
		prefix, _ := inner.scope().Prefix()
		for _, outer := range byRank[i+1:] {
			if outerPrefix, exact := outer.scope().Prefix(); !exact && strings.HasPrefix(prefix, outerPrefix) {
				outer.within = append(outer.within, inner.Name)
				break
			}
		}
	}
}

// holding is the quota that decides about path: the most specific one.
func holding(all []rule, path string) *rule {
	var best *rule
	most := -1
	for i := range all {
		if rank := all[i].scope().Rank(path); rank > most {
			best, most = &all[i], rank
		}
	}
	return best
}

// used is how many leases count against q: those of its scope that are in no quota within.
func used(area store.Reader, q *rule) (int64, error) {
	n, err := read(area, q.Name)
	for _, name := range q.within {
		inner, innerErr := read(area, name)
		n, err = n-inner, errors.Join(err, innerErr)
	}
	return n, err
}

func read(area store.Reader, name string) (int64, error) {
	t, err := record.Get[tally](area, tallyKey(name))
	if t == nil || err != nil {
		return 0, err
	}
	return t.Count, nil
}

// Exceeded is the cause of the refusal of a lease.
type Exceeded struct{ Quota string }

func (e *Exceeded) Error() string { return "quota: as many leases as may be: " + e.Quota }

// Enter counts a new lease of path inside tx, a transaction of the whole store, or refuses it.
// always counts it whatever the quota says.
func (s *Store) Enter(tx store.Tx, path string, always bool) error {
	if s.none() {
		return nil
	}
	area := s.area.Within(tx)
	all, err := s.rulesIn(area)
	if err != nil {
		return err
	}
	if !always {
		if err := room(area, all, path); err != nil {
			return err
		}
	}
	return move(area, all, path, 1)
}

// Leave counts the end of a lease of path inside tx, a transaction of the whole store.
func (s *Store) Leave(tx store.Tx, path string) error {
	if s.none() {
		return nil
	}
	area := s.area.Within(tx)
	all, err := s.rulesIn(area)
	if err != nil {
		return err
	}
	return move(area, all, path, -1)
}

// Room refuses what would count if it were stored, as Enter does, and counts nothing.
func (s *Store) Room(ctx context.Context, path string) error {
	if s.none() {
		return nil
	}
	return s.area.View(ctx, func(r store.Reader) error {
		all, err := s.rulesIn(r)
		if err != nil {
			return err
		}
		return room(r, all, path)
	})
}

func room(area store.Reader, all []rule, path string) error {
	q := holding(all, path)
	if q == nil || q.Counting {
		return nil
	}
	n, err := used(area, q)
	if errors.Is(err, record.ErrMalformed) {
		return nil // it is counted anew when the server opens again; see Resume
	}
	if err == nil && n >= q.MaxLeases {
		// Contract: sys §17.
		err = backend.Errorf(backend.TooMany, "request path %q: lease count quota exceeded", path).Because(&Exceeded{q.Name})
	}
	return err
}

// move changes the tally of every quota in whose scope path lies.
func move(area store.Tx, all []rule, path string, step int64) error {
	for i := range all {
		q := &all[i]
		if q.scope().Rank(path) < 0 {
			continue
		}
		n, err := read(area, q.Name)
		if errors.Is(err, record.ErrMalformed) {
			continue
		}
		if err != nil {
			return err
		}
		if err := record.Put(area, tallyKey(q.Name), &tally{Count: n + step}); err != nil {
			return err
		}
	}
	return nil
}

func ruleKey(name string) []byte {
	return append(rulePrefix[:len(rulePrefix):len(rulePrefix)], name...)
}

func tallyKey(name string) []byte {
	return append(tallyPrefix[:len(tallyPrefix):len(tallyPrefix)], name...)
}
