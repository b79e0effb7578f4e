package token

import (
	"errors"
	"time"

	"jeton/internal/backend"
	"jeton/internal/lease"
)

// span is one life as a token has it. The arithmetic is that of leases: lease.Span.
type span struct {
	now, issued time.Time
	// asked is the ttl of a request or the increment of a renewal; otherwise what an unasked
	// renewal or login gives; 0 is the mount's default.
	asked time.Duration
	// period, explicitMax and maxTTL (the login method's bound) are 0 when there is none.
	period, explicitMax, maxTTL time.Duration
	mount                       backend.Mount
}

// errPastMax says that nothing is left to renew.
var errPastMax = backend.Errorf(backend.Failed, "past the max TTL, cannot renew")

// resolve returns the life from now, in whole seconds and never 0, and warnings of what was
// capped. An end later than the bound, or none, cannot come out of it.
func (s span) resolve() (ttl time.Duration, warnings []string, err error) {
	ttl, warnings, err = lease.Span{Now: s.now, Issued: s.issued, Asked: s.asked, Period: s.period,
		ExplicitMax: s.explicitMax, MaxTTL: s.maxTTL, Mount: s.mount}.Resolve()
	if errors.Is(err, lease.ErrPastMax) {
		err = errPastMax
	}
	return ttl, warnings, err
}

// lesser is the smaller of two durations where 0 is none, and whether both were set.
func lesser(a, b time.Duration) (least time.Duration, both bool) {
	switch {
	case a <= 0:
		return b, false
	case b <= 0:
		return a, false
	}
	return min(a, b), true
}

func secondsOf(d time.Duration) int64 { return int64(d / time.Second) }

func durationOf(seconds int64) time.Duration { return time.Duration(seconds) * time.Second }
