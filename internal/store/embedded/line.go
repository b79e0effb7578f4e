package embedded

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"jeton/internal/store"
)

// update is a call of Update, from its place in the line until its caller knows what became of it.
type update struct {
	ctx context.Context
	// fn is nil for whoever wants the turn for itself alone; see Store.alone.
	fn func(store.Tx) error

	// wake is sent to once while the call waits: it has the turn, or it is over.
	wake chan struct{}
	// leads says that it has the turn; set before wake is sent to.
	leads bool
	// next is behind it in the line; guarded by line.mu.
	next *update

	// What became of it. Whoever has the turn, and after that settles the group, writes these
	// before wake is sent to.
	err error
	// panicked is what fn panicked with; exited says that fn ended its goroutine instead.
	panicked any
	exited   bool
}

// call runs fn and notes how it ended. ours says that this is the goroutine of fn's own caller.
func (u *update) call(t *tx, ours bool, s *Store) {
	returned := false
	defer func() {
		if returned {
			return
		}
		u.panicked = recover()
		u.exited = u.panicked == nil // runtime.Goexit: not to be held up
		if u.panicked != nil && !ours {
			// The caller will see where it was panicked anew, not where it began. The value may
			// be of a request; it is for the caller alone.
			s.logger.Error("store: a transaction panicked", "stack", string(debug.Stack()))
		}
	}()
	u.err = u.fn(t)
	returned = true
}

// line is where Updates wait for their turn, in the order in which they came. Whoever has the
// turn alone runs closures, makes commits and tells of them.
type line struct {
	mu          sync.Mutex
	taken       bool // somebody has the turn
	first, last *update
	waiting     atomic.Int64 // written under mu
	inside      atomic.Int64 // Updates whose outcome is not known yet, those that wait included
	spare       sync.Pool    // of *update
}

// newUpdate is for one call of join.
func (l *line) newUpdate(ctx context.Context, fn func(store.Tx) error) *update {
	u, ok := l.spare.Get().(*update)
	if !ok {
		u = &update{wake: make(chan struct{}, 1)}
	}
	u.ctx, u.fn = ctx, fn
	return u
}

// release gives u back once nobody else has it.
func (l *line) release(u *update) {
	*u = update{wake: u.wake}
	l.spare.Put(u)
}

// join puts u at the end of the line, and returns true when it has the turn, false when it is
// over because another has run it.
func (l *line) join(u *update) (leads bool) {
	if l.enter(u) {
		return true
	}
	<-u.wake
	return u.leads
}

// enter puts u at the end of the line, or returns true: nobody had the turn, and u has it now.
func (l *line) enter(u *update) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.taken {
		l.taken = true
		return true
	}
	if l.last == nil {
		l.first = u
	} else {
		l.last.next = u
	}
	l.last = u
	l.waiting.Add(1)
	return false
}

// take removes the first of the line. REQUIRES: mu is held.
func (l *line) take() *update {
	u := l.first
	if u == nil {
		return nil
	}
	if l.first, u.next = u.next, nil; l.first == nil {
		l.last = nil
	}
	l.waiting.Add(-1)
	return u
}

// follower removes the first of the line, to be run by whoever has the turn; nil when there is
// none, or it wants to be alone. What was there is so until then: only the turn removes.
// REQUIRES: the caller has the turn.
func (l *line) follower() *update {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil || l.first.fn == nil {
		return nil
	}
	return l.take()
}

// follows says whether there is a follower. REQUIRES: the caller has the turn.
func (l *line) follows() bool {
	if l.waiting.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first != nil && l.first.fn != nil
}

// pass gives the turn to the first of the line. REQUIRES: the caller has the turn.
func (l *line) pass() {
	l.mu.Lock()
	u := l.take()
	if u == nil {
		l.taken = false
	} else {
		u.leads = true
	}
	l.mu.Unlock()
	if u != nil {
		u.wake <- struct{}{}
	}
}
