// Package clock owns the time: the one place that asks the machine what time it is, and the
// rule that time never runs backwards, so that a wall clock that jumps back brings no expired
// token to life.
package clock

import (
	"sync/atomic"
	"time"
)

// Clock tells the time. It is all that the rooms above see.
type Clock interface {
	// Now is the current time in UTC; never before what any earlier call returned.
	Now() time.Time
}

// Steady is a Clock that never runs backwards.
type Steady struct {
	wall func() time.Time
	// latest is the greatest time acted on, in Unix nanoseconds. It only grows.
	latest atomic.Int64
}

// NewSteady makes a clock of wall (time.Now, but for tests) that starts no earlier than
// floor, the latest time that an earlier life of the server is known to have acted on.
func NewSteady(wall func() time.Time, floor time.Time) *Steady {
	s := &Steady{wall: wall}
	s.Advance(floor)
	return s
}

// Now is the wall's time, or the latest time acted on where the wall has jumped back.
func (s *Steady) Now() time.Time {
	now := s.wall().UnixNano()
	for {
		latest := s.latest.Load()
		if now <= latest {
			return time.Unix(0, latest).UTC()
		}
		if s.latest.CompareAndSwap(latest, now) {
			return time.Unix(0, now).UTC()
		}
	}
}

// Advance makes sure that the clock shows no time before t.
func (s *Steady) Advance(t time.Time) {
	if t.IsZero() {
		return
	}
	for {
		latest := s.latest.Load()
		if t.UnixNano() <= latest || s.latest.CompareAndSwap(latest, t.UnixNano()) {
			return
		}
	}
}

// Behind is how far the wall clock lags behind the time already acted on; 0 when it does not.
func (s *Steady) Behind() time.Duration {
	if lag := time.Duration(s.latest.Load() - s.wall().UnixNano()); lag > 0 {
		return lag
	}
	return 0
}

// Manual is a Clock that tests set by hand.
type Manual struct{ now atomic.Int64 }

// NewManual returns a clock that shows t until it is moved.
func NewManual(t time.Time) *Manual {
	m := &Manual{}
	m.now.Store(t.UnixNano())
	return m
}

// Now is the time that was set.
func (m *Manual) Now() time.Time { return time.Unix(0, m.now.Load()).UTC() }

// Add moves the clock by d.
func (m *Manual) Add(d time.Duration) { m.now.Add(int64(d)) }
