package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Store keeps the leases of one server. All methods are safe for concurrent use.
type Store struct {
	// whole is the encrypted store: a lease is registered in the same state as its holder lives in.
	whole      store.Store
	area       *store.Area
	clock      clock.Clock
	log        *slog.Logger
	holders    Holders
	issuers    Issuers
	witness    Witness
	quotas     Quotas
	unreadable func(error) bool
	// opened is when the room was.
	opened time.Time
	// busy has the leases whose engine is being asked.
	busy busy
	// lanes ask engines in the background.
	lanes lanes
	// nudged has a token in it when there may be something to sweep right now.
	nudged chan struct{}
}

// Config is what a Store is made of.
type Config struct {
	// Store is the whole encrypted store; leases live below Prefix in it.
	Store  store.Store
	Prefix []byte
	Clock  clock.Clock
	Log    *slog.Logger
	// Holders tells whether a token lives.
	Holders Holders
	// Issuers finds the engine behind a mount.
	Issuers Issuers
	// Witness learns of leases that ended; nil for nobody.
	Witness Witness
	// Quotas bound the number of leases; nil for none.
	Quotas Quotas
	// Unreadable says that a value is there but cannot be decrypted; nil where none is encrypted.
	Unreadable func(error) bool
}

// Holders knows the tokens that leases hang on.
type Holders interface {
	// Holds says whether the token of id lives, its ancestry included, in r, a state of the
	// whole store.
	Holds(r store.Reader, id backend.TokenID) (alive bool, err error)
}

// Issuers knows the engines that hand out leases.
type Issuers interface {
	// Issuer returns the engine mounted with accessor, and that mount as it now is. leave must
	// be called when the engine is no longer needed. Its error wraps ErrNoIssuer when there
	// is no such engine (any more).
	Issuer(accessor string) (engine backend.LeaseIssuer, mount backend.Mount, leave func(), err error)
}

// ErrNoIssuer says that a lease's engine is gone, or takes no leases back.
var ErrNoIssuer = errors.New("the engine that issued the lease is gone")

// Witness is told of every secret that was taken back, and of every one that could not be.
type Witness interface {
	LeaseEnded(ctx context.Context, l *Lease)
}

// New opens the lease store. It reads nothing: the first request is answered at once however
// many leases there are.
func New(c Config) *Store {
	s := &Store{
		whole: c.Store, area: store.NewArea(c.Store, c.Prefix), clock: c.Clock, log: c.Log,
		holders: c.Holders, issuers: c.Issuers, witness: c.Witness, quotas: c.Quotas, unreadable: c.Unreadable, opened: c.Clock.Now(),
	}
	if s.unreadable == nil {
		s.unreadable = func(error) bool { return false }
	}
	s.nudged = make(chan struct{}, 1)
	s.busy.held = map[string]chan struct{}{}
	s.lanes.running = map[string]bool{}
	return s
}

// load reads a record; nil when there is none.
func load(r store.Reader, id string) (*Lease, error) {
	l, err := record.Get[Lease](r, recordOf(id))
	if l != nil {
		l.ID = id
	}
	return l, err
}

// put writes the record and every entry that points to it, and removes what the old one had:
// a new lease has no old, a lease that is gone has no new.
func put(tx store.Tx, old, new *Lease) error {
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
	if err := count(tx, old, new); err != nil {
		return err
	}
	if new == nil {
		return tx.Delete(recordOf(old.ID))
	}
	return record.Put(tx, recordOf(new.ID), new)
}

// count keeps the tally of irrevocable leases. A lease never changes its mount.
func count(tx store.Tx, old, new *Lease) error {
	was, is := stuck(old), stuck(new)
	if was == is {
		return nil
	}
	mount, step := "", int64(1)
	if is {
		mount = new.Mount
	} else {
		mount, step = old.Mount, -1
	}
	t, err := record.Get[tally](tx, tallyOf(mount))
	if err != nil {
		return err
	}
	if t == nil {
		t = &tally{}
	}
	if t.Count += step; t.Count <= 0 {
		return tx.Delete(tallyOf(mount))
	}
	return record.Put(tx, tallyOf(mount), t)
}

func stuck(l *Lease) bool { return l != nil && l.End != nil && l.End.Irrevocable }

// cannotRead says that a record is there and cannot be read: one such record must not stop
// the sweeper, nor the server.
func (s *Store) cannotRead(err error) bool {
	return err != nil && (errors.Is(err, record.ErrMalformed) || s.unreadable(err))
}

// setAside takes an entry out of the way of who follows it, and puts its lease on the list of
// what a person has to look at. The record itself stays as it is.
func (s *Store) setAside(tx store.Tx, entry []byte, id string) error {
	s.log.Error("a lease cannot be read and is set aside", "lease", id)
	if err := tx.Delete(entry); err != nil {
		return err
	}
	return tx.Put(quarantineOf(id), nil)
}

// Quarantined lists the leases whose records could not be read or were missing.
func (s *Store) Quarantined(ctx context.Context) (ids []string, err error) {
	all := store.PrefixRange([]byte{quarantineKey})
	all.KeysOnly = true
	err = s.area.View(ctx, func(r store.Reader) error {
		ids = nil
		return r.Scan(all, func(k, _ []byte) (bool, error) {
			ids = append(ids, idFrom(k, 1))
			return true, nil
		})
	})
	return ids, err
}

// idsIn lists the ids that follow head bytes in the keys of a range.
func idsIn(r store.Reader, in store.Range, head int) (ids []string, err error) {
	in.KeysOnly = true
	err = r.Scan(in, func(k, _ []byte) (bool, error) {
		ids = append(ids, idFrom(k, head))
		return true, nil
	})
	return ids, err
}

// busy lets one at a time deal with a lease and its engine, so that an engine is not asked
// twice for one secret, nor renews what is being taken back.
type busy struct {
	mu sync.Mutex
	// held has an open channel for every lease that is dealt with; guarded by mu.
	held map[string]chan struct{}
}

// lock waits until nobody else deals with id.
func (b *busy) lock(ctx context.Context, id string) (unlock func(), err error) {
	for {
		b.mu.Lock()
		other, taken := b.held[id]
		if !taken {
			done := make(chan struct{})
			b.held[id] = done
			b.mu.Unlock()
			return func() {
				b.mu.Lock()
				delete(b.held, id)
				b.mu.Unlock()
				close(done)
			}, nil
		}
		b.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
