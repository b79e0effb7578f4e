package gate

import (
	"context"
	"sync"
	"time"
)

// Patience is the context of a request: it ends with its client, after some time, or when those
// inside a gate are told to hurry. Nearly all requests are answered before they wait for anything,
// so that nothing is set up (no timer, no place in another context's list) until somebody asks to be
// told of the end. Chains of contexts of package context, which set it all up for every request,
// were a sixth of what a token's lookup costs beside the network.
//
// Release must be called at the end. All methods are safe for concurrent use.
type Patience struct {
	parent context.Context
	// deadline is zero for none but the parent's, hurry nil for none.
	deadline time.Time
	hurry    context.Context

	mu sync.Mutex
	// err is why it ended, as it was first told; guarded by mu, as is what follows.
	err error
	// full does the waiting; nil as long as nobody waits.
	full   context.Context
	end    context.CancelFunc
	unhook func() bool
}

// For is parent, but no longer than for a time. As with every timer the machine's own time
// counts: a clock that stands still must not keep a request.
func For(parent context.Context, most time.Duration) *Patience {
	return &Patience{parent: parent, deadline: time.Now().Add(most)}
}

// Hurried is parent, but no longer than until hurry ends; it is cancelled then.
func Hurried(parent, hurry context.Context) *Patience {
	return &Patience{parent: parent, hurry: hurry}
}

// Release ends the context, and lets go of what it holds.
func (c *Patience) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(context.Canceled)
}

// finish ends the context for a reason, unless it has ended. REQUIRES: mu is held.
func (c *Patience) finish(reason error) {
	if c.full != nil {
		c.unhook()
		c.end()
	}
	if c.err == nil {
		c.err = reason
	}
}

// Deadline is the earlier one of its own and its parent's.
func (c *Patience) Deadline() (time.Time, bool) {
	theirs, ok := c.parent.Deadline()
	if c.deadline.IsZero() || ok && theirs.Before(c.deadline) {
		return theirs, ok
	}
	return c.deadline, true
}

// Err is nil until the context has ended.
func (c *Patience) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = c.ended()
	}
	return c.err
}

// ended is the reason for which it has ended; nil for none. REQUIRES: mu is held.
func (c *Patience) ended() error {
	if c.full != nil {
		return c.full.Err()
	}
	if err := c.parent.Err(); err != nil {
		return err
	}
	if c.hurry != nil && c.hurry.Err() != nil {
		return context.Canceled
	}
	if !c.deadline.IsZero() && time.Until(c.deadline) <= 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// Done is closed once the context has ended. From the first call on it costs what a context of
// package context does.
func (c *Patience) Done() <-chan struct{} { return c.waiting().Done() }

// waiting is the context that does the waiting.
func (c *Patience) waiting() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full != nil {
		return c.full
	}
	over := c.err
	if over == nil {
		over = c.ended()
	}
	if c.deadline.IsZero() {
		c.full, c.end = context.WithCancel(c.parent)
	} else {
		c.full, c.end = context.WithDeadline(c.parent, c.deadline)
	}
	c.unhook = func() bool { return false }
	switch {
	case over != nil:
		c.finish(over)
	case c.hurry != nil:
		c.unhook = context.AfterFunc(c.hurry, c.end)
	}
	return c.full
}

// Value is the parent's. Contexts made of this one find the one that does the waiting by it, and
// take their place there instead of in a goroutine of their own.
func (c *Patience) Value(key any) any {
	c.mu.Lock()
	from := c.full
	c.mu.Unlock()
	if from == nil {
		from = c.parent
	}
	return from.Value(key)
}
