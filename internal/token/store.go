package token

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Store keeps the tokens of one server. All methods are safe for concurrent use.
type Store struct {
	// whole is the encrypted store: a token and what a login spends for it commit together.
	whole store.Store
	area  *store.Area
	texts *texts
	cache *cache
	clock clock.Clock
	log   *slog.Logger
	neighbours
	cancel func()
	uses   uses
	// jobs are the active ones as they were read last; jobsChanged is the position of the
	// commit that changed them last.
	jobs        atomic.Pointer[activeJobs]
	jobsChanged atomic.Uint64
	telling     telling
	sweeping    sweeping
	tally       tally
	hashes      facetHashes
	places      places
}

// neighbours are the rooms that tokens deal with.
type neighbours struct {
	owned    []Owned
	vouch    Voucher
	ended    Witness
	entities Entities
	quotas   Quotas
}

// Config is what a Store is made of.
type Config struct {
	// Store is the whole encrypted store; tokens live below Prefix in it.
	Store  store.Store
	Prefix []byte
	// Derive makes a stable secret for a purpose. It must give the same one after a restart.
	Derive func(purpose string) [32]byte
	Clock  clock.Clock
	Log    *slog.Logger
	// Owned is what dies with a token in other rooms.
	Owned []Owned
	// Voucher is asked when a token that a login method issued is renewed.
	Voucher Voucher
	// Witness learns of tokens that ended; nil for nobody.
	Witness Witness
	// Entities are who is behind tokens; nil for nobody.
	Entities Entities
	// Quotas bound the number of tokens; nil for none.
	Quotas Quotas
}

// Owned is what hangs on tokens in another room: leases, a cubbyhole.
type Owned interface {
	// Release lets go, inside tx (a transaction of the whole store), of at most limit things
	// that hang on the token, and says whether there are more. What it lets go of must be as
	// good as gone when tx commits.
	Release(tx store.Tx, id ID, limit int) (more bool, err error)
}

// Voucher knows the login methods that issued tokens.
type Voucher interface {
	// Stands says whether the login method of an accessor is still mounted.
	Stands(accessor string) bool
	// Vouch returns the terms that now hold and the mount they are bounded by.
	Vouch(ctx context.Context, t *Token, c *backend.Call) (backend.Terms, backend.Mount, error)
}

// Witness is told of every token that the system ended: expiry, cascade, uses spent.
type Witness interface {
	Ended(ctx context.Context, tokens []Ending)
}

// Ending is one token that came to its end.
type Ending struct {
	Token *Token
	End   End
}

// New opens the token store. It reads nothing: the first request is answered at once however
// many tokens there are.
func New(c Config) (*Store, error) {
	texts, err := newTexts(c.Derive)
	if err != nil {
		return nil, err
	}
	s := &Store{
		whole: c.Store,
		area:  store.NewArea(c.Store, c.Prefix),
		texts: texts,
		cache: newCache(),
		clock: c.Clock,
		log:   c.Log,
		uses:  uses{pending: map[ID]lastUse{}},

		neighbours: neighbours{owned: c.Owned, vouch: c.Voucher, ended: c.Witness, entities: c.Entities, quotas: c.Quotas},
	}
	room := s.area.Subscribe(s.changed)
	all := s.whole.Subscribe(func(c store.Commit) { s.tally.tell(c.Position) })
	s.cancel = func() {
		room()
		all()
	}
	return s, nil
}

// Close stops following the store.
func (s *Store) Close() { s.cancel() }

// changed keeps the cache true. The store calls it in commit order.
func (s *Store) changed(c store.Commit) {
	if len(c.Ranges) > 0 {
		s.tally.forget()
	}
	s.tally.committed(c.Keys, c.Position)
	for _, k := range c.Keys {
		switch {
		case len(k) == 1+len(ID{}) && k[0] == recordKey:
			s.cache.drop(lastID(k), c.Position)
		case len(k) == 1 && k[0] == markKey:
			s.cache.mark.Add(1)
		case k[0] == jobKey:
			s.jobsChanged.Store(c.Position)
			s.cache.mark.Add(1)
		}
	}
}

// load reads a record, alive or not; nil when there is none.
func load(r store.Reader, id ID) (*Token, error) {
	t, err := record.Get[Token](r, idKey(recordKey, id))
	if t != nil {
		t.ID = id
	}
	return t, err
}

// put writes the record and every entry that points to it, and removes what the old one had:
// a new token has no old, a token that is gone has no new.
func (s *Store) put(tx store.Tx, old, new *Token) error {
	if old == nil {
		if err := s.madeAfterJobs(tx, new); err != nil {
			return err
		}
	}
	var before, after [][]byte
	if old != nil {
		before = old.entries()
	}
	if new != nil {
		after = new.entries()
	}
	if err := store.Reindex(tx, before, after); err != nil {
		return err
	}
	if err := s.index(tx, old, new); err != nil {
		return err
	}
	if err := s.indexUse(tx, old, new); err != nil {
		return err
	}
	switch {
	case new == nil:
		if k, ok := s.texts.accessorEntry(old); ok {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return tx.Delete(idKey(recordKey, old.ID))
	case old == nil:
		if k, ok := s.texts.accessorEntry(new); ok {
			if err := record.Put(tx, k, &accessorEntry{ID: new.ID, Accessor: new.Accessor}); err != nil {
				return err
			}
		}
	}
	return record.Put(tx, idKey(recordKey, new.ID), new)
}

// madeAfterJobs makes sure that a new token is younger than the active jobs. The clock alone
// does not: it stands still while the wall lags behind the time already acted on.
func (s *Store) madeAfterJobs(tx store.Tx, t *Token) error {
	jobs, err := s.jobsIn(tx)
	for i := range jobs {
		t.Life.Created = max(t.Life.Created, jobs[i].Started+1)
	}
	return err
}

// mark makes every cached ancestry prove itself again, once the transaction commits.
func mark(tx store.Tx) error {
	position := fmt.Appendf(nil, "%d", tx.Position())
	return tx.Put([]byte{markKey}, position)
}

// alive returns the token of id when it lives at now, with the earliest expiry among its
// ancestors (0 for never). It walks the ancestry; nil is a token that is not, or is dead.
func (s *Store) alive(r store.Reader, id ID, now time.Time) (t *Token, until int64, err error) {
	if t, err = load(r, id); t == nil || err != nil {
		return nil, 0, err
	}
	return s.living(r, t, now)
}

// living is alive for a record that was read from r.
func (s *Store) living(r store.Reader, t *Token, now time.Time) (_ *Token, until int64, err error) {
	if t.endedItself(now.UnixNano()) {
		return nil, 0, nil
	}
	jobs, err := s.jobsIn(r)
	if err != nil {
		return nil, 0, err
	}
	if dead, err := s.condemned(r, jobs, t); dead || err != nil {
		return nil, 0, err
	}
	child := t
	for step := 0; !child.Orphan(); step++ {
		parent, err := load(r, child.Parent)
		if err != nil {
			return nil, 0, err
		}
		switch {
		case parent == nil || step > MaxDepth:
			return nil, 0, nil
		case parent.End != nil && parent.End.KeepChildren:
			// The parent was revoked alone: from here on this is an orphan.
			if child == t {
				t = t.clone()
				t.Parent, t.Depth = ID{}, 0
			}
			return t, until, nil
		case parent.endedItself(now.UnixNano()):
			return nil, 0, nil
		}
		if dead, err := s.condemned(r, jobs, parent); dead || err != nil {
			return nil, 0, err
		}
		if e := parent.Life.Expires; e != 0 && (until == 0 || e < until) {
			until = e
		}
		child = parent
	}
	return t, until, nil
}

// find returns the living token of id from the cache or the store; nil when there is none.
func (s *Store) find(ctx context.Context, id ID) (*Token, error) {
	entry, err := s.prove(ctx, id)
	if entry == nil || err != nil {
		return nil, err
	}
	return entry.token, nil
}

// prove is find with what was proved of the ancestry.
func (s *Store) prove(ctx context.Context, id ID) (*cached, error) {
	now := s.clock.Now()
	entry, changes := s.cache.get(id)
	mark := s.cache.mark.Load()
	if entry.holds(mark, now.UnixNano()) {
		if entry.token.endedItself(now.UnixNano()) {
			return nil, nil
		}
		return entry, nil
	}
	var t, stored *Token
	var until int64
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		t = nil
		if stored, err = load(r, id); stored == nil || err != nil {
			return err
		}
		t, until, err = s.living(r, stored, now)
		return err
	})
	if err != nil || t == nil {
		return nil, err
	}
	entry = &cached{token: t, stored: stored, mark: mark, until: until}
	s.cache.put(id, entry, changes)
	return entry, nil
}

// proveNow is prove within a transaction that has not touched tokens yet. What the cache
// proved is then true of the transaction's own state: it follows the newest commit, and
// commits are told before a later transaction begins.
func (s *Store) proveNow(tx store.Reader, id ID, now time.Time) (*cached, error) {
	entry, _ := s.cache.get(id)
	mark := s.cache.mark.Load()
	if entry.holds(mark, now.UnixNano()) {
		if entry.token.endedItself(now.UnixNano()) {
			return nil, nil
		}
		return entry, nil
	}
	stored, err := load(tx, id)
	if stored == nil || err != nil {
		return nil, err
	}
	t, until, err := s.living(tx, stored, now)
	if t == nil || err != nil {
		return nil, err
	}
	return &cached{token: t, stored: stored, mark: mark, until: until}, nil
}

// Find returns the living token that text stands for; nil when there is none. It spends
// nothing. A batch token is opened, and its parent asked for.
func (s *Store) Find(ctx context.Context, text string) (*Token, error) {
	if t := s.texts.openBatch(text); t != nil {
		return s.batchAlive(ctx, t)
	}
	if !s.texts.plausible(text) {
		return nil, nil
	}
	id := s.texts.id(text)
	t, err := s.find(ctx, id)
	if t != nil || err != nil {
		return t, err
	}
	if former := s.texts.unplacedID(text); former != id {
		return s.find(ctx, former)
	}
	return nil, nil
}

// FindID is Find by id.
func (s *Store) FindID(ctx context.Context, id ID) (*Token, error) { return s.find(ctx, id) }

// FindSpent is FindID for the request that spends the token's last use: the token is dead to
// every other request, but this one still acts for it.
func (s *Store) FindSpent(ctx context.Context, id ID) (*Token, error) {
	if t, err := s.find(ctx, id); t != nil || err != nil {
		return t, err
	}
	return s.readSpent(ctx, id)
}

// readSpent is the token if it has spent its last use and has not ended yet.
func (s *Store) readSpent(ctx context.Context, id ID) (t *Token, err error) {
	err = s.area.View(ctx, func(r store.Reader) (err error) {
		t, err = load(r, id)
		return err
	})
	if t == nil || t.Uses != spent || t.End != nil {
		return nil, err
	}
	return t, nil
}

// batchAlive proves a batch token: in time, its parent alive, and its login method mounted, as
// there is no record of it that a removal could end. Contract: tokens §8.7; CVE-2020-7220.
func (s *Store) batchAlive(ctx context.Context, t *Token) (*Token, error) {
	if t.endedItself(s.clock.Now().UnixNano()) {
		return nil, nil
	}
	if t.Origin.Mount != "" && s.vouch != nil && !s.vouch.Stands(t.Origin.Mount) {
		return nil, nil
	}
	if t.Orphan() {
		return t, nil
	}
	parent, err := s.find(ctx, t.Parent)
	if parent == nil || err != nil {
		return nil, err
	}
	return t, nil
}
