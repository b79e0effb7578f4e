// Package gate owns doors that can be shut behind everybody: a house that is sealed, a mount that
// is removed. Who shuts one waits for those inside, and must not wait for long: one of them may be
// waiting for another system, which hangs.
package gate

import (
	"context"
	"sync"
	"time"
)

// moment is how long those inside may take once the gate is being shut, before their contexts end.
const moment = time.Second

// Gate lets calls in until it is shut. All methods are safe for concurrent use.
type Gate struct {
	// mu is held for reading by every call inside; shut is guarded by it.
	mu   sync.RWMutex
	shut bool
	// hurry ends when those inside are to come to an end.
	hurry context.Context
	end   context.CancelFunc
}

// New makes an open gate. Those inside are hurried, too, when outer ends.
func New(outer context.Context) *Gate {
	g := &Gate{}
	g.hurry, g.end = context.WithCancel(outer)
	return g
}

// Enter lets a call in; Leave must be called when it is done. It is false when the gate was shut.
func (g *Gate) Enter() bool {
	g.mu.RLock()
	if g.shut {
		g.mu.RUnlock()
		return false
	}
	return true
}

// Leave ends a call that Enter let in.
func (g *Gate) Leave() { g.mu.RUnlock() }

// Hurry ends when those inside are to come to an end.
func (g *Gate) Hurry() context.Context { return g.hurry }

// Within is ctx for a call inside: it ends when those inside are hurried. It must be released at
// the end.
func (g *Gate) Within(ctx context.Context) *Patience { return Hurried(ctx, g.hurry) }

// Shut lets nobody in any more and returns when those inside have left; the caller must not be one
// of them. It is false when that was done before.
func (g *Gate) Shut() bool {
	timer := time.AfterFunc(moment, g.end)
	defer g.end()
	defer timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.shut
	g.shut = true
	return !was
}
