package auth

import (
	"sync/atomic"

	"jeton/internal/backend"
)

// Crowd bounds how many calls of one mount wait for another system at a time, so that one that
// hangs cannot hold all that the server can work on: who logs in has no token yet.
type Crowd struct {
	inside atomic.Int64
	most   int64
	// system is what is waited for, as errors name it.
	system string
}

// NewCrowd lets so many wait for a system.
func NewCrowd(most int, system string) *Crowd { return &Crowd{most: int64(most), system: system} }

// Enter lets one in, or refuses at once; leave must be called at the end.
func (c *Crowd) Enter() (leave func(), err error) {
	if c.inside.Add(1) > c.most {
		c.inside.Add(-1)
		return nil, backend.Errorf(backend.Overloaded, "too many logins wait for %s: try again in a moment", c.system)
	}
	return func() { c.inside.Add(-1) }, nil
}
