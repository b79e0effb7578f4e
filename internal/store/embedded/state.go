package embedded

import (
	"github.com/cockroachdb/pebble/v2"
)

// state is a snapshot that Views share: the first View after a commit takes it, the next
// commit retires it, and the last one to leave it closes it. A snapshot of its own for each
// View was rejected: whoever closes Pebble's oldest snapshot pays for choosing the next
// compaction, which took a third of a View's time, under Pebble's one mutex.
type state struct {
	snapshot *pebble.Snapshot
	position uint64
	refs     int // guarded by Store.views; being current counts as one
}

// acquire returns the newest state, which must be given back to leave.
func (s *Store) acquire() (*state, error) {
	s.views.Lock()
	// While a commit is under way the state before it is still a true one: the Update that
	// makes the commit has not returned.
	if current := s.views.current; current != nil && current.position >= s.done.Load() {
		current.refs++
		s.views.Unlock()
		return current, nil
	}
	fresh, err := s.snapshot()
	if err != nil {
		s.views.Unlock()
		return nil, err
	}
	fresh.refs = 2
	old := s.views.current
	s.views.current = fresh
	s.views.Unlock()
	if old != nil {
		s.leave(old)
	}
	return fresh, nil
}

// snapshot takes a snapshot and finds out its position.
func (s *Store) snapshot() (*state, error) {
	done := s.done.Load()
	fresh := &state{snapshot: s.db.NewSnapshot(), position: done}
	if s.begun.Load() == done {
		return fresh, nil
	}
	// A commit was under way: only the snapshot itself knows whether it is in.
	var err error
	if fresh.position, err = readPosition(fresh.snapshot); err != nil {
		_ = fresh.snapshot.Close() // fails only when closed already
		return nil, err
	}
	return fresh, nil
}

// leave gives back a state.
func (s *Store) leave(used *state) {
	s.views.Lock()
	used.refs--
	last := used.refs == 0
	s.views.Unlock()
	if last {
		_ = used.snapshot.Close() // fails only when closed already
	}
}

// retire takes a state that is older than the newest commit away from later Views: to keep it
// would hold back compactions for as long as nobody reads. It is called after each commit.
func (s *Store) retire() {
	s.views.Lock()
	old := s.views.current
	if old == nil || old.position >= s.done.Load() {
		s.views.Unlock()
		return
	}
	s.views.current = nil
	s.views.Unlock()
	s.leave(old)
}

// retireLast takes away the state of a store that nobody can read any more.
func (s *Store) retireLast() {
	s.views.Lock()
	last := s.views.current
	s.views.current = nil
	s.views.Unlock()
	if last != nil {
		s.leave(last)
	}
}
