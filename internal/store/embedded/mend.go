package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"jeton/internal/store"
)

// Mendable is a Store that can be opened anew in place, once the disk that failed is well again:
// when space was made, say. Until then it is as the Store inside it is, which takes no writes.
//
// Rejected: letting the failed Store write on. What Pebble believed to be on the disk is not, and
// only a new Open finds out what is.
type Mendable struct {
	opts Options
	// current is what calls go to. Its own count of calls in flight is all that guards them: a lock
	// held by each would keep a call inside another from an end that has begun to wait.
	current atomic.Pointer[Store]

	mu struct {
		// Mutex is held while the Store is exchanged or closed, and by who subscribes.
		sync.Mutex
		// last is the newest position that was seen in the Stores before; gone says that an Open
		// failed and that current is closed.
		last         uint64
		gone, closed bool
		// subs are kept over an exchange.
		subs []*mendedSub
	}
}

// mendedSub is a subscription and what ends it in the current Store.
type mendedSub struct {
	fn     func(store.Commit)
	cancel func()
}

var (
	_ store.Store    = (*Mendable)(nil)
	_ store.Replacer = (*Mendable)(nil)
)

// OpenMendable is Open for a Store that can be mended.
func OpenMendable(ctx context.Context, opts Options) (*Mendable, error) {
	s, err := Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	m := &Mendable{opts: opts}
	m.current.Store(s)
	return m, nil
}

// View is Store.View.
func (m *Mendable) View(ctx context.Context, fn func(store.Reader) error) error {
	return m.current.Load().View(ctx, fn)
}

// Update is Store.Update.
func (m *Mendable) Update(ctx context.Context, fn func(store.Tx) error) error {
	return m.current.Load().Update(ctx, fn)
}

// Stage is Store.Stage. A content that is being staged when the Store is mended fails.
func (m *Mendable) Stage(ctx context.Context) (store.Staged, error) {
	return m.current.Load().Stage(ctx)
}

// Subscribe is Store.Subscribe; a subscription goes on when the Store is mended, and is then told
// that everything may have changed: what was visible and never acknowledged is gone.
func (m *Mendable) Subscribe(fn func(store.Commit)) (cancel func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sub := &mendedSub{fn: fn, cancel: m.current.Load().Subscribe(fn)}
	m.mu.subs = append(m.mu.subs, sub)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, other := range m.mu.subs {
			if other == sub {
				m.mu.subs = append(m.mu.subs[:i:i], m.mu.subs[i+1:]...)
				sub.cancel()
				return
			}
		}
	}
}

// Queued is Store.Queued.
func (m *Mendable) Queued() int { return m.current.Load().Queued() }

// Err is why no writes are taken; nil while they are.
func (m *Mendable) Err() error { return m.current.Load().Err() }

// Close is Store.Close.
func (m *Mendable) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed || m.mu.gone {
		m.mu.closed = true
		return store.ErrClosed
	}
	m.mu.closed = true
	return m.current.Load().Close()
}

// probeBytes is what must fit onto the disk before the Store is opened again: a few memtables.
const probeBytes = 4 * memTableBytes

// Well says whether the disk takes as much as the Store will soon write; nil if it does. It writes
// that much, and removes it.
func (m *Mendable) Well() error {
	fs := m.opts.FS
	if fs == nil {
		fs = privateFS{vfs.Default}
	}
	name := fs.PathJoin(m.opts.Path, stagedPrefix+"probe")
	file, err := fs.Create(name, "jeton-probe")
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for written := 0; written < probeBytes && err == nil; written += len(chunk) {
		_, err = file.Write(chunk)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close(), fs.Remove(name))
}

// Mend closes the Store that failed and opens it anew, with what was durable. It waits for the
// calls in flight; those that come meanwhile fail with store.ErrClosed. While the disk is not well
// the Store is left as it is, so that reads go on. When it cannot be opened all the same, calls
// fail until another Mend succeeds. A Store that is well is left alone.
func (m *Mendable) Mend(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.current.Load()
	switch {
	case m.mu.closed:
		return store.ErrClosed
	case old.Err() == nil:
		return nil
	}
	if err := m.Well(); err != nil {
		return err
	}
	if !m.mu.gone {
		m.mu.last = old.done.Load()
		// What it could not write is the very thing that is mended.
		if err := old.Close(); err != nil {
			old.logger.Warn("store: closing what failed", "error", err)
		}
		m.mu.gone = true
	}
	s, err := Open(ctx, m.opts)
	if err != nil {
		return err
	}
	if err := s.raise(m.mu.last + 1); err != nil {
		return errors.Join(err, s.Close())
	}
	for _, sub := range m.mu.subs {
		sub.fn(store.Commit{Position: s.done.Load(), Ranges: []store.Range{{}}})
		sub.cancel = s.Subscribe(sub.fn)
	}
	m.mu.gone = false
	m.current.Store(s)
	return nil
}

// raise makes a commit of nothing at position at least: positions that were seen, of commits that
// are lost, are not given out again. Nobody else may use s yet.
func (s *Store) raise(least uint64) error {
	position := max(s.done.Load()+1, least)
	if err := s.db.Set(positionKey(), binary.BigEndian.AppendUint64(nil, position), pebble.Sync); err != nil {
		return s.disk.freeze("mend", err)
	}
	if err := s.disk.failure(); err != nil {
		return fmt.Errorf("store: mend: %w", err)
	}
	s.begun.Store(position)
	s.done.Store(position)
	return nil
}
