// Package lease owns what expires when besides tokens: the leases of secrets that engines
// hand out. A lease is one record, changed in one transaction with everything that points to
// it; whoever issued it is asked to take the secret back when it ends. It knows nothing of HTTP.
//
// A lease ends when its time is over, when it is revoked, or when its holder (the token that
// obtained it) dies. Ending is one durable mark: from then on it cannot be renewed. The
// engine is asked afterwards, outside every transaction, until it has succeeded.
package lease

import (
	"strings"
	"time"

	"jeton/internal/backend"
)

// Lease is one secret that was handed out. A Lease that was returned is never changed: who
// wants another copies it. Times are Unix nanoseconds, durations seconds.
type Lease struct {
	// ID is the request's path, a slash, and 24 characters of base62. Whoever knows it may
	// renew the lease, if a policy lets him use that path.
	ID string `cbor:"-"`
	// Holder is the token that the lease dies with; for a batch token its parent. Zero is none.
	Holder backend.TokenID `cbor:"1,keyasint,omitempty"`
	// Bound is when the batch token that obtained the lease ends; 0 for a service token's.
	Bound int64 `cbor:"2,keyasint,omitempty"`
	// Mount is the accessor of the engine that issued it.
	Mount string `cbor:"3,keyasint"`
	// State is what the engine wants back when the lease is renewed or revoked.
	State     []byte `cbor:"4,keyasint,omitempty"`
	Renewable bool   `cbor:"5,keyasint,omitempty"`
	Issued    int64  `cbor:"6,keyasint"`
	// Expires is never 0: every lease ends. One that was ended shows when.
	Expires int64 `cbor:"7,keyasint"`
	Renewed int64 `cbor:"8,keyasint,omitempty"`
	// LastTTL is what a renewal gives again when neither client nor engine say otherwise.
	LastTTL int64 `cbor:"9,keyasint,omitempty"`
	// MaxTTL is the engine's bound on the whole life, 0 for the mount's alone.
	MaxTTL int64 `cbor:"10,keyasint,omitempty"`
	// End is set once the lease was ended, or the engine was asked for the first time.
	End *End `cbor:"11,keyasint,omitempty"`
}

// Cause says why a lease ended.
type Cause string

// The causes.
const (
	Revoked Cause = "revoked"
	Expired Cause = "expired"
	// HolderDied is the end of the token that obtained the lease.
	HolderDied Cause = "holder-died"
	// NotDelivered is a secret that the client never got.
	NotDelivered Cause = "not-delivered"
)

// End marks a lease that is over and whose secret is still to be taken back.
type End struct {
	Cause Cause `cbor:"1,keyasint"`
	At    int64 `cbor:"2,keyasint"`
	// Next is when the engine is to be asked (again).
	Next int64 `cbor:"3,keyasint"`
	// Attempts counts how often the sweeper asked in vain.
	Attempts int `cbor:"4,keyasint,omitempty"`
	// Error is what the engine said last, at most maxError bytes.
	Error string `cbor:"5,keyasint,omitempty"`
	// Irrevocable leases are kept, counted and shown until somebody sees to them. The engine
	// is still asked, about once a day.
	Irrevocable bool `cbor:"6,keyasint,omitempty"`
}

// suffixChars is the length of an id's random part.
const suffixChars = 24

// Path is the request path that obtained the lease.
func (l *Lease) Path() string {
	if i := strings.LastIndexByte(l.ID, '/'); i >= 0 {
		return l.ID[:i]
	}
	return l.ID
}

// IssueTime is when the secret was handed out.
func (l *Lease) IssueTime() time.Time { return time.Unix(0, l.Issued).UTC() }

// ExpireTime is when the lease ends, or when it was ended.
func (l *Lease) ExpireTime() time.Time { return time.Unix(0, l.Expires).UTC() }

// RenewTime is when it was last renewed; the zero time for never.
func (l *Lease) RenewTime() time.Time {
	if l.Renewed == 0 {
		return time.Time{}
	}
	return time.Unix(0, l.Renewed).UTC()
}

// TTL is what is left at now, in whole seconds; below 0 while the engine is still to be asked.
func (l *Lease) TTL(now time.Time) time.Duration {
	return time.Duration(l.Expires - now.UnixNano()).Truncate(time.Second)
}

// Irrevocable says whether the engine has failed to take the secret back, and what it said.
func (l *Lease) Irrevocable() (cause string, yes bool) {
	if l.End == nil || !l.End.Irrevocable {
		return "", false
	}
	return l.End.Error, true
}

// over says whether the lease has ended at now, whatever became of its holder.
func (l *Lease) over(now int64) bool { return l.End != nil || now >= l.Expires }

// due is when the engine has to be asked to take the secret back.
func (l *Lease) due() int64 {
	if l.End != nil {
		return l.End.Next
	}
	return l.Expires
}

// ended is the lease after its end at now.
func (l *Lease) ended(cause Cause, now int64) *Lease {
	c := *l
	c.Expires = min(l.Expires, now)
	c.End = &End{Cause: cause, At: now, Next: now}
	return &c
}

// call is what the engine learns of the lease.
func (l *Lease) call(mount backend.Mount, increment time.Duration) backend.LeaseCall {
	return backend.LeaseCall{State: l.State, Increment: increment, IssueTime: l.IssueTime(), Mount: mount}
}

func secondsOf(d time.Duration) int64 { return int64(d / time.Second) }

// boundOf is a bound in seconds: one of less than a second is a second, as 0 is none.
func boundOf(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return max(1, secondsOf(d))
}

func durationOf(seconds int64) time.Duration { return time.Duration(seconds) * time.Second }
