package audit

import (
	"context"
	"errors"
	"os"
	"time"
)

// The first and the longest time for which a device is left alone after a slow failure.
const firstRest, longestRest = time.Second, 10 * time.Second

// health is what an outlet knows of its device. The outlet's mu guards it.
type health struct {
	stuck   bool
	resting bool
	// probing: the rest is over and one line is on its way to see whether the device is back.
	probing bool
	rest    time.Duration
	// lost counts the lines not taken since the device last took one; lastErr is the newest reason.
	lost    int
	lastErr error
	written uint64
}

// sound says that a line that the device took changes nothing but the number of them.
func (h *health) sound() bool {
	return !h.stuck && !h.resting && !h.probing && h.rest == 0 && h.lost == 0
}

// admit says whether the device may be tried.
func (h *health) admit() error {
	switch {
	case h.stuck:
		return errStuck
	case h.resting, h.probing:
		return errResting
	case h.rest > 0:
		h.probing = true
	}
	return nil
}

// succeeded notes that the device took a line.
func (o *outlet) succeeded() {
	o.mu.Lock()
	lost := o.health.lost
	o.health = health{written: o.health.written + 1}
	o.mu.Unlock()
	if lost > 0 {
		o.log.Info("audit device works again", "path", o.path, "lost", lost)
	}
}

// failedWriting notes that the device came back from a write with an error.
func (o *outlet) failedWriting(err error) {
	slow := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	h := &o.health
	o.mu.Lock()
	slow = slow || h.stuck
	h.stuck = false
	if slow || h.probing {
		o.startRest()
	}
	o.mu.Unlock()
	o.failed(err)
}

// startRest leaves the device alone for a while, longer each time in a row.
// REQUIRES: mu.
func (o *outlet) startRest() {
	h := &o.health
	if h.resting {
		return
	}
	h.rest = min(max(2*h.rest, firstRest), longestRest)
	h.resting, h.probing = true, false
	// A timer and not the clock: a clock that stands still (a wall clock that was put back)
	// must not keep a device shut.
	time.AfterFunc(h.rest, func() {
		o.mu.Lock()
		h.resting = false
		o.mu.Unlock()
	})
}

// failed counts a lost line and tells the server log of the first one, and of every thousandth:
// a dead device must not fill the disk with complaints.
func (o *outlet) failed(err error) {
	h := &o.health
	o.mu.Lock()
	h.lost++
	lost := h.lost
	h.lastErr = err
	o.mu.Unlock()
	if lost == 1 || lost%1000 == 0 {
		o.log.Error("audit device failed to log an entry", "path", o.path, "error", err, "lost", lost)
	}
}
