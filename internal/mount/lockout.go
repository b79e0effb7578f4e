package mount

import (
	"time"

	"jeton/internal/backend"
)

// Lockout is an auth mount's user lockout as it is tuned. Zero and nil values inherit.
type Lockout struct {
	Threshold    int           `cbor:"1,keyasint,omitempty"`
	Duration     time.Duration `cbor:"2,keyasint,omitempty"`
	CounterReset time.Duration `cbor:"3,keyasint,omitempty"`
	Disabled     *bool         `cbor:"4,keyasint,omitempty"`
}

// Lockouts are what the configuration says of user lockout. Contract: auth-methods §8.
type Lockouts struct {
	// ByKind has the kinds of login methods that lock users out.
	ByKind map[string]backend.Lockout
	// Off overrules every mount's tuning: the environment said so.
	Off bool
}

// effective is what holds for a mount. The environment comes before the mount's tuning, that
// before the configuration's stanza of its kind.
func (l Lockouts) effective(e *Entry) backend.Lockout {
	holds := l.ByKind[e.Type]
	if tuned := e.Tuning.Lockout; tuned != nil {
		if tuned.Threshold > 0 {
			holds.Threshold = tuned.Threshold
		}
		if tuned.Duration > 0 {
			holds.Duration = tuned.Duration
		}
		if tuned.CounterReset > 0 {
			holds.CounterReset = tuned.CounterReset
		}
		if tuned.Disabled != nil {
			holds.Disabled = *tuned.Disabled
		}
	}
	holds.Disabled = holds.Disabled || l.Off
	return holds
}
