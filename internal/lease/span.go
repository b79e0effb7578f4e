package lease

import (
	"errors"
	"fmt"
	"time"

	"jeton/internal/backend"
)

// Span is the arithmetic of one life: what was asked for, and what bounds it. All of contract
// tokens §5 and leases §2 is here, as a function of values. A zero duration is unset.
type Span struct {
	Now, Issued time.Time
	// Asked is the ttl of a request or the increment of a renewal; otherwise what an unasked
	// renewal, login or engine gives; 0 is the mount's default.
	Asked time.Duration
	// Period makes a life that may be renewed for ever in steps of it.
	Period time.Duration
	// ExplicitMax is fixed when the life begins, MaxTTL is the login method's or engine's bound.
	ExplicitMax, MaxTTL time.Duration
	Mount               backend.Mount
}

// ErrPastMax says that nothing is left to renew.
var ErrPastMax = errors.New("past the max TTL, cannot renew")

// Resolve returns the life from now, in whole seconds and never 0, and warnings of what was
// capped. An end later than the bound, or none, cannot come out of it. Its error is ErrPastMax.
func (s Span) Resolve() (ttl time.Duration, warnings []string, err error) {
	effective := s.effectiveMax()
	var deadline time.Time
	if s.Period > 0 {
		ttl = s.Period
		if ttl > effective {
			warnings = append(warnings, fmt.Sprintf("period of %q exceeded the effective max_ttl of %q; period value is capped accordingly",
				backend.FormatDuration(ttl), backend.FormatDuration(effective)))
			ttl = effective
		}
		if s.ExplicitMax > 0 {
			deadline = s.Issued.Add(s.ExplicitMax)
		}
	} else {
		if ttl = s.Asked; ttl <= 0 {
			ttl = s.Mount.DefaultTTL
		}
		deadline = s.Issued.Add(effective)
	}
	// Less than a second asked for is a second: rounded down to nothing it would be a life
	// without end (CVE-2021-32923).
	ttl = max(ttl.Truncate(time.Second), time.Second)
	if !deadline.IsZero() {
		left := deadline.Sub(s.Now).Truncate(time.Second)
		if left <= 0 {
			return 0, nil, ErrPastMax
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
func (s Span) effectiveMax() time.Duration {
	effective := s.Mount.MaxTTL
	for _, bound := range []time.Duration{s.MaxTTL, s.ExplicitMax} {
		if bound > 0 && bound < effective {
			effective = bound
		}
	}
	return effective
}
