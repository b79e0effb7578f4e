package backend

import "time"

// Lockout says when the guessing of passwords is stopped. Contract: auth-methods §8.
type Lockout struct {
	// Threshold is the failure that locks. A zero here or in a duration is the method's default.
	Threshold int
	// Duration is how long after that failure the lock holds.
	Duration time.Duration
	// CounterReset is how long a failure is remembered.
	CounterReset time.Duration
	Disabled     bool
}

// Locker is a login method that locks out users who guess. ConfigureLockout is called before
// the mount serves and whenever it is tuned; it counts from the next attempt on.
type Locker interface{ ConfigureLockout(Lockout) }
