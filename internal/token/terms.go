package token

import (
	"fmt"
	"time"

	"jeton/internal/backend"
)

// span is the arithmetic of one life: what was asked for, and what bounds it. All of
// contract tokens §5 is here, as a function of values.
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
	effective := s.effectiveMax()
	var deadline time.Time
	if s.period > 0 {
		ttl = s.period
		if ttl > effective {
			warnings = append(warnings, fmt.Sprintf("period of %q exceeded the effective max_ttl of %q; period value is capped accordingly",
				backend.FormatDuration(ttl), backend.FormatDuration(effective)))
			ttl = effective
		}
		if s.explicitMax > 0 {
			deadline = s.issued.Add(s.explicitMax)
		}
	} else {
		if ttl = s.asked; ttl <= 0 {
			ttl = s.mount.DefaultTTL
		}
		deadline = s.issued.Add(effective)
	}
	// Less than a second asked for is a second: rounded down to nothing it would be a life
	// without end (CVE-2021-32923).
	ttl = max(ttl.Truncate(time.Second), time.Second)
	if !deadline.IsZero() {
		left := deadline.Sub(s.now).Truncate(time.Second)
		if left <= 0 {
			return 0, nil, errPastMax
		}
		if ttl > left {
			warnings = append(warnings, fmt.Sprintf("TTL of %q exceeded the effective max_ttl of %q; TTL value is capped accordingly",
				backend.FormatDuration(ttl), backend.FormatDuration(left)))
			ttl = left
		}
	}
	return ttl, warnings, nil
}

// effectiveMax is the least of the bounds that are set.
func (s span) effectiveMax() time.Duration {
	effective := s.mount.MaxTTL
	for _, bound := range []time.Duration{s.maxTTL, s.explicitMax} {
		if bound > 0 && bound < effective {
			effective = bound
		}
	}
	return effective
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
