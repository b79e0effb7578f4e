package ldap

import (
	"context"
	"sync/atomic"

	"jeton/internal/backend"
)

// Bounds on the logins and renewals of one mount, so that a directory that hangs cannot hold
// more of the server than this.
const (
	// mostTalking ask the directory at a time, each over at most three connections.
	mostTalking = 64
	// mostInside are there at all, those who wait included. The server takes about a thousand
	// requests at a time: a directory that hangs must not fill it.
	mostInside = 256
)

// crowd bounds who is inside.
type crowd struct {
	inside  atomic.Int64
	talking chan struct{}
}

func newCrowd() *crowd { return &crowd{talking: make(chan struct{}, mostTalking)} }

// enter lets one in, or refuses at once; leave must be called at the end.
func (c *crowd) enter() (leave func(), err error) {
	if c.inside.Add(1) > mostInside {
		c.inside.Add(-1)
		return nil, backend.Errorf(backend.Overloaded, "too many logins wait for the directory")
	}
	return func() { c.inside.Add(-1) }, nil
}

// talk waits for a place among those who ask the directory; done must be called at the end.
func (c *crowd) talk(ctx context.Context) (done func(), err error) {
	select {
	case c.talking <- struct{}{}:
		return func() { <-c.talking }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
