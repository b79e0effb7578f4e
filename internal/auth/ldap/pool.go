package ldap

import (
	"context"
	"sync"
	"time"

	"jeton/internal/clock"
)

const (
	// mostIdle connections are kept for the next search.
	mostIdle = 4
	// idleFor is how long one is kept unused: directories and firewalls drop idle connections.
	idleFor = time.Minute
)

// pool keeps connections that are bound as the service account (or as nobody). One that was ever
// bound as a user never gets here. It is closed by the directory that owns it.
type pool struct {
	clock clock.Clock
	dial  func(ctx context.Context) (*link, error)

	mu struct {
		sync.Mutex
		idle   []*link
		closed bool
	}
}

// get returns a connection that was kept, or a new one.
func (p *pool) get(ctx context.Context) (*link, error) {
	for {
		l := p.take()
		if l == nil {
			return p.dial(ctx)
		}
		if !l.IsClosing() && p.clock.Now().Sub(l.idle) < idleFor {
			l.used = true
			return l, nil
		}
		l.end()
	}
}

func (p *pool) take() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.mu.idle)
	if n == 0 {
		return nil
	}
	l := p.mu.idle[n-1]
	p.mu.idle = p.mu.idle[:n-1]
	return l
}

// put keeps a connection that works, and ends those that have been kept for too long.
func (p *pool) put(l *link) {
	now := p.clock.Now()
	l.idle = now
	var ended []*link
	p.mu.Lock()
	for len(p.mu.idle) > 0 && now.Sub(p.mu.idle[0].idle) >= idleFor {
		ended, p.mu.idle = append(ended, p.mu.idle[0]), p.mu.idle[1:]
	}
	if p.mu.closed || len(p.mu.idle) >= mostIdle {
		ended = append(ended, l)
	} else {
		p.mu.idle = append(p.mu.idle, l)
	}
	p.mu.Unlock()
	for _, l := range ended {
		l.end()
	}
}

// close ends what is kept; what is in use ends when it comes back.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.mu.idle
	p.mu.idle, p.mu.closed = nil, true
	p.mu.Unlock()
	for _, l := range idle {
		l.end()
	}
}

// use runs fn on a connection of the pool. Where the other side has ended one that was kept, fn
// runs again on another.
func (p *pool) use(ctx context.Context, fn func(*link) error) error {
	for {
		l, err := p.get(ctx)
		if err != nil {
			return err
		}
		again := l.used
		release := l.during(ctx)
		err = fn(l)
		if !release() || (err != nil && away(err)) {
			again = again && ctx.Err() == nil && l.broken(err)
			l.end()
			if again {
				continue
			}
			return err
		}
		p.put(l)
		return err
	}
}
