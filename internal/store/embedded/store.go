// Package embedded owns the store of a single machine: store.Store on Pebble, a log-structured
// merge tree in this process, for real data on a disk and, over an in-memory file system, for
// dev mode and tests.
//
// # Layout
//
// The first byte of every Pebble key says whose it is: 0x00 is the store's own, 0x01 is the
// caller's, whose key follows. So no caller can name, scan or delete a key of the store, any
// byte string is a good key (the empty one too), and a later version has room for more of its
// own keys. The store keeps one: 0x00 "position", the number of the newest commit (eight bytes,
// big-endian), which every commit writes along with its data.
//
// # Commits and locks
//
// Updates stand in a line (line.go). Whoever has the turn runs its own closure and then, on its own
// goroutine, those of the ones who wait, up to a bound, and passes the turn on (group.go). So no
// time passes between two closures in which a goroutine is found a processor, and each of those
// who wait is woken once, when the outcome is known. Each closure is a transaction, a batch and
// a commit of its own: it is handed to Pebble, which appends it to the log and makes it visible,
// and subscribers are told of it, before the next closure runs. Since closures run one at a time on
// the newest state, transactions are serialisable without conflicts or retries.
//
// The log is asked to be synced with the last commit of a turn. Since it is one sequence, a durable
// commit has all earlier ones behind it. The turn is passed on before that sync: one fsync serves
// all turns that ended while the one before was under way, and for up to a millisecond after it
// where many Updates are (syncPause).
//
// Readers take none of these locks: a View reads a Pebble snapshot, which all Views between
// two commits share (see state). It may therefore see a commit whose sync is still under way
// and which a power cut would undo; what a caller then writes is durable only together with
// it. Holding readers back until the sync was rejected: they would wait for the disk.
//
// # When the disk fails
//
// Pebble panics, exits the process or retries in a hot loop when it cannot write. A failStop
// file system stands between it and the disk so that this never happens: at the first failed
// write, sync or create it freezes the files as they are, and from then on Updates fail with
// an error that names the cause while Views go on reading what was visible last, commits that
// were never acknowledged included. A new Open recovers what was durable. Err tells a health
// check of it.
//
// # Rejected
//
// bbolt pays one fsync a transaction and degrades under churn as its free list grows, SQLite
// has the same cost for its single writer, and Badger needs a value-log collector to be run.
//
// A mutex in place of the line: under load each hand-over waited for a goroutine to be scheduled
// while nobody worked. One batch for all commits of a turn: subscribers would be told of commits
// that no View sees yet, and a cache that counts what it is told would then keep the old value;
// and most of what a commit costs is by the key. A goroutine that makes all commits: every Update
// would pay two changes of goroutines, also where nobody else writes.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"jeton/internal/store"
)

// Store implements store.Store. A Reader or Tx of it belongs to the goroutine of its closure.
type Store struct {
	db     *pebble.DB
	disk   *failStop
	lock   io.Closer // of the data directory
	dir    string    // the data directory
	logger *slog.Logger

	// life counts the calls in flight, so that Close can wait for them.
	life struct {
		sync.Mutex
		closed bool
		calls  sync.WaitGroup // Add only under the mutex and while not closed
	}

	// line gives the turn to one Update at a time, from the start of the first closure of its
	// group to the end of the last notification, so that commit order is position order is
	// notification order. Lock order: the turn, then subs; the line's own mutex, life and views
	// are held for no other lock.
	line line

	// begun and done number the commit last begun and last visible. Both are written by who
	// has the turn; a reader that finds them equal around taking a snapshot knows its position
	// without reading it.
	begun, done atomic.Uint64

	// views holds the state that the next View gets.
	views struct {
		sync.Mutex
		current *state // nil when the last commit is newer
	}

	rows *rows

	// staging says that a new content is being written; see replace.go.
	staging atomic.Bool

	// wedged says that Pebble panicked in the middle of a commit and may hold locks of its own.
	wedged atomic.Bool

	// subs is also held while a commit becomes visible and is told.
	subs struct {
		sync.Mutex
		list []*subscriber // in order of subscription
		keys [][]byte      // of the commit that is told, which are nobody's afterwards
	}
}

type subscriber struct{ fn func(store.Commit) }

var _ store.Store = (*Store)(nil)

// View runs fn on a snapshot. See store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.life.calls.Done()
	state, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.leave(state)
	r := &reader{ctx: ctx, from: state.snapshot, position: state.position, state: state.position, rows: s.rows}
	defer r.end()
	return fn(r)
}

// Subscribe adds fn to those who are told of commits. fn runs in somebody's turn, after the
// commit is visible and before it is durable; Keys may name a key more than once. cancel must
// not be called from fn. See store.Store.
func (s *Store) Subscribe(fn func(store.Commit)) (cancel func()) {
	sub := &subscriber{fn}
	s.subs.Lock()
	defer s.subs.Unlock()
	s.subs.list = append(s.subs.list, sub)
	return func() {
		s.subs.Lock()
		defer s.subs.Unlock()
		for i, other := range s.subs.list {
			if other == sub {
				s.subs.list = append(s.subs.list[:i:i], s.subs.list[i+1:]...)
				return
			}
		}
	}
}

// shared is the length of what a and b both begin with.
func shared(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// keepKeys is how many keys' places are kept for the next commit.
const keepKeys = 4096

// describe lists in change what batch changes, and has the rows follow. Its slices point into
// batch, and are good until the next commit. REQUIRES: subs is held.
func (s *Store) describe(batch *pebble.Batch, change *store.Commit) error {
	change.Keys = s.subs.keys[:0]
	defer func() {
		if cap(change.Keys) <= keepKeys {
			s.subs.keys = change.Keys[:0]
		}
	}()
	for r := batch.Reader(); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil {
			return fmt.Errorf("store: commit: %w", err)
		}
		if !ok {
			return nil
		}
		switch {
		case kind == pebble.InternalKeyKindRangeDelete:
			s.rows.dropAll(change.Position)
			change.Ranges = append(change.Ranges, store.Range{From: callerKey(key), To: callerEnd(value)})
		case key[0] == callerSpace:
			if kind == pebble.InternalKeyKindDelete || kind == pebble.InternalKeyKindSingleDelete {
				value = nil
			}
			s.rows.change(key, value, change.Position)
			key := callerKey(key)
			if len(change.Keys) == 0 {
				change.Common = key
			}
			change.Common = change.Common[:shared(change.Common, key)]
			change.Keys = append(change.Keys, key)
		}
	}
}

// Queued is how many Updates wait for their turn. Whoever lets requests in asks, so that a queue
// that grows faster than it is worked off is not joined.
func (s *Store) Queued() int { return int(s.line.waiting.Load()) }

// Err is why the store takes no more writes; nil while it does. It is what a health check asks.
func (s *Store) Err() error { return s.disk.failure() }

// Close waits for the calls in flight, then releases the data. It must not be called from a
// closure. A second Close returns store.ErrClosed.
func (s *Store) Close() error {
	s.life.Lock()
	if s.life.closed {
		s.life.Unlock()
		return store.ErrClosed
	}
	s.life.closed = true
	s.life.Unlock()
	s.life.calls.Wait()

	s.retireLast()
	failed := s.disk.failure() != nil
	s.disk.release()
	var err error
	if s.wedged.Load() {
		// Pebble's Close would wait for a lock that nobody will release; its memory and file
		// descriptors stay until the process ends, the directory does not.
		s.logger.Error("store: closed without its engine, which broke off in the middle of a commit")
		err = s.lock.Close() // on behalf of the engine, which has a share in it
	} else {
		if !failed && s.db.Metrics().WAL.Size > replayBytes {
			err = s.db.Flush() // so that the next Open has nothing to replay
		}
		err = errors.Join(err, s.db.Close())
	}
	err = errors.Join(err, s.lock.Close())
	if err != nil && !failed {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// enter admits a call, which must end with life.calls.Done.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.life.Lock()
	defer s.life.Unlock()
	if s.life.closed {
		return store.ErrClosed
	}
	s.life.calls.Add(1)
	return nil
}
