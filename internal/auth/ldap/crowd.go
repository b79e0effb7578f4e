package ldap

import (
	"context"

	"jeton/internal/auth"
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
	*auth.Crowd
	talking chan struct{}
}

func newCrowd() *crowd {
	return &crowd{auth.NewCrowd(mostInside, "the directory"), make(chan struct{}, mostTalking)}
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
