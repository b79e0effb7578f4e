package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

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

	// use is held for reading by every call, for writing while the Store is exchanged: no reader
	// has a state of the old one then.
	use sync.RWMutex
	// current is nil after an Open that failed; last is the newest position that was seen in what
	// came before. Both are guarded by use, as is closed.
	current *Store
	last    uint64
	closed  bool

	// subs are kept over an exchange; guarded by subsMu. Lock order: use, then subsMu.
	subsMu sync.Mutex
	subs   []*mendedSub
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
	return &Mendable{opts: opts, current: s}, nil
}

// with lends the current Store.
func (m *Mendable) with(fn func(s *Store) error) error {
	m.use.RLock()
	defer m.use.RUnlock()
	if m.current == nil {
		return store.ErrClosed
	}
	return fn(m.current)
}

// View is Store.View.
func (m *Mendable) View(ctx context.Context, fn func(store.Reader) error) error {
	return m.with(func(s *Store) error { return s.View(ctx, fn) })
}

// Update is Store.Update.
func (m *Mendable) Update(ctx context.Context, fn func(store.Tx) error) error {
	return m.with(func(s *Store) error { return s.Update(ctx, fn) })
}

// Stage is Store.Stage. A content that is being staged when the Store is mended fails.
func (m *Mendable) Stage(ctx context.Context) (staged store.Staged, err error) {
	err = m.with(func(s *Store) (err error) {
		staged, err = s.Stage(ctx)
		return err
	})
	return staged, err
}

// Subscribe is Store.Subscribe; a subscription goes on when the Store is mended, and is then told
// that everything may have changed: what was visible and never acknowledged is gone.
func (m *Mendable) Subscribe(fn func(store.Commit)) (cancel func()) {
	m.use.RLock()
	defer m.use.RUnlock()
	sub := &mendedSub{fn: fn, cancel: func() {}}
	if m.current != nil {
		sub.cancel = m.current.Subscribe(fn)
	}
	m.subsMu.Lock()
	defer m.subsMu.Unlock()
	m.subs = append(m.subs, sub)
	return func() {
		m.subsMu.Lock()
		defer m.subsMu.Unlock()
		for i, other := range m.subs {
			if other == sub {
				m.subs = append(m.subs[:i:i], m.subs[i+1:]...)
				sub.cancel()
				return
			}
		}
	}
}

// Queued is Store.Queued.
func (m *Mendable) Queued() (n int) {
	_ = m.with(func(s *Store) error { n = s.Queued(); return nil })
	return n
}

// Err is why no writes are taken; nil while they are.
func (m *Mendable) Err() error {
	return m.with(func(s *Store) error { return s.Err() })
}

// Close is Store.Close.
func (m *Mendable) Close() error {
	m.use.Lock()
	defer m.use.Unlock()
	if m.closed || m.current == nil {
		m.closed = true
		return store.ErrClosed
	}
	m.closed = true
	s := m.current
	m.current = nil
	return s.Close()
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
// calls in flight, and none begins meanwhile. While the disk is not well the Store is left as it
// is, so that reads go on. When it cannot be opened all the same, calls fail until another Mend
// succeeds. A Store that is well is left alone.
func (m *Mendable) Mend(ctx context.Context) error {
	if m.Err() == nil {
		return nil
	}
	if err := m.Well(); err != nil {
		return err
	}
	m.use.Lock()
	defer m.use.Unlock()
	if m.closed {
		return store.ErrClosed
	}
	if m.current != nil {
		m.last = m.current.done.Load()
		// What it could not write is the very thing that is mended.
		if err := m.current.Close(); err != nil {
			m.current.logger.Warn("store: closing what failed", "error", err)
		}
		m.current = nil
	}
	s, err := Open(ctx, m.opts)
	if err != nil {
		return err
	}
	if err := s.raise(m.last + 1); err != nil {
		return errors.Join(err, s.Close())
	}
	m.current = s
	m.subsMu.Lock()
	defer m.subsMu.Unlock()
	for _, sub := range m.subs {
		sub.fn(store.Commit{Position: s.done.Load(), Ranges: []store.Range{{}}})
		sub.cancel = s.Subscribe(sub.fn)
	}
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
