package clock

import (
	"sync"
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// wall is a wall clock that tests set.
type wall struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

func (w *wall) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wall) set(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = t
}

// A wall clock that jumps back brings no expired token to life.
func TestSteadyNeverRunsBackwards(t *testing.T) {
	w := &wall{now: epoch}
	c := NewSteady(w.Now, time.Time{})
	for _, step := range []struct {
		wall, want time.Duration
		behind     time.Duration
	}{
		{0, 0, 0}, {time.Minute, time.Minute, 0}, {30 * time.Second, time.Minute, 30 * time.Second},
		{-time.Hour, time.Minute, 61 * time.Minute}, {time.Minute, time.Minute, 0}, {time.Minute + 1, time.Minute + 1, 0},
	} {
		w.set(epoch.Add(step.wall))
		if got := c.Now(); !got.Equal(epoch.Add(step.want)) || got.Location() != time.UTC {
			t.Errorf("the wall shows %s: %s, want %s", step.wall, got.Sub(epoch), step.want)
		}
		if got := c.Behind(); got != step.behind {
			t.Errorf("the wall shows %s: behind by %s, want %s", step.wall, got, step.behind)
		}
	}
}

// A server that starts with its wall clock set back begins where it had been.
func TestSteadyBeginsAtItsFloor(t *testing.T) {
	w := &wall{now: epoch}
	c := NewSteady(w.Now, epoch.Add(time.Hour))
	if got := c.Now(); !got.Equal(epoch.Add(time.Hour)) {
		t.Errorf("begins at %s", got)
	}
	c.Advance(epoch)
	c.Advance(time.Time{})
	if got := c.Now(); !got.Equal(epoch.Add(time.Hour)) {
		t.Errorf("after an advance to the past: %s", got)
	}
	c.Advance(epoch.Add(2 * time.Hour))
	if got := c.Now(); !got.Equal(epoch.Add(2 * time.Hour)) {
		t.Errorf("after an advance: %s", got)
	}
}

// Whoever asks later is told no earlier time, whichever goroutine it asks from.
func TestSteadyAcrossGoroutines(t *testing.T) {
	w := &wall{now: epoch}
	c := NewSteady(w.Now, time.Time{})
	var last struct {
		sync.Mutex
		at time.Time
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for n := range 500 {
				w.set(epoch.Add(time.Duration((n*7919+g*104729)%1000) * time.Second))
				last.Lock()
				if now := c.Now(); now.Before(last.at) {
					t.Errorf("%s after %s", now, last.at)
				} else {
					last.at = now
				}
				last.Unlock()
			}
		})
	}
	all.Wait()
}

func TestManual(t *testing.T) {
	c := NewManual(epoch)
	if !c.Now().Equal(epoch) {
		t.Errorf("shows %s", c.Now())
	}
	c.Add(time.Minute)
	if !c.Now().Equal(epoch.Add(time.Minute)) || c.Now().Location() != time.UTC {
		t.Errorf("shows %s", c.Now())
	}
}
