package audit

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Device is where lines go. All its methods are called by one goroutine, the outlet's worker, so
// that a device needs no lock of its own.
type Device interface {
	// Write puts one line, newline included, where it belongs; nil means that the whole line
	// is there. It must not keep line. ctx ends when the device is disabled.
	Write(ctx context.Context, line []byte) error
	// Reopen lets go of what is open and opens it afresh (log rotation).
	Reopen() error
	Close() error
}

// patient is a Device that may by its own options take longer than the broker's time limit.
type patient interface{ Patience() time.Duration }

// What an outlet allows itself.
const (
	// queueLength bounds the lines that wait for one device. When it is full, callers wait
	// for room, within their time limit.
	queueLength = 256
	// The first and the longest time for which a device is left alone after a slow failure.
	firstRest, longestRest = time.Second, 10 * time.Second
)

// outlet stands between the requests and one device. A device may be slow, fail or never return
// from a write; an outlet answers within its time limit whatever the device does:
//
//   - one worker goroutine owns the device; callers queue their lines and wait for the outcome;
//   - a line whose caller has given up is not written any more, unless writing has begun;
//   - while the device is stuck in a write, and for a rest after it failed slowly, callers are
//     refused at once, so that the devices that work are not held up by the one that does not.
//
// Fast failures (a refused connection, a full disk) cause no rest: each line tries again, and
// the device is back with the first one that succeeds.
//
// Rejected: writing in the caller's goroutine under a lock. It saves about a microsecond and
// hangs every request for as long as the device hangs.
type outlet struct {
	path   string
	format *format
	device Device
	limit  time.Duration
	log    *slog.Logger

	queue chan *task
	// ctx ends when the outlet is closed; gone is closed once the worker has ended.
	ctx    context.Context
	cancel context.CancelFunc
	gone   chan struct{}
	pool   sync.Pool

	health health
}

// health is what an outlet knows of its device.
type health struct {
	mu sync.Mutex
	// The fields below are guarded by mu.
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

// task is a line on its way, or a request to reopen (no line).
type task struct {
	line *line
	// state is one of the constants below; the worker and the caller race for it.
	state atomic.Uint32
	// done has room for one outcome, so that the worker never waits for the caller.
	done  chan error
	timer *time.Timer
}

const (
	taskWaiting = iota
	taskWriting
	taskAbandoned
)

func newOutlet(path string, f *format, d Device, limit time.Duration, log *slog.Logger) *outlet {
	if p, ok := d.(patient); ok {
		limit = max(limit, p.Patience())
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &outlet{
		path: path, format: f, device: d, limit: limit, log: log,
		queue: make(chan *task, queueLength), ctx: ctx, cancel: cancel, gone: make(chan struct{}),
	}
	o.pool.New = func() any { return o.newTask() }
	go o.work()
	return o
}

func (o *outlet) newTask() *task {
	t := &task{line: newLine(o.format), done: make(chan error, 1), timer: time.NewTimer(time.Hour)}
	t.timer.Stop()
	return t
}

// take returns an empty task of the pool.
func (o *outlet) take() *task {
	t := o.pool.Get().(*task)
	t.state.Store(taskWaiting)
	return t
}

// give returns a task to the pool. Only a task that the worker has let go of may be given back;
// one with a line of another format (the test message) is not of the pool.
func (o *outlet) give(t *task) {
	if t.line.wipe() && t.line.format == o.format {
		o.pool.Put(t)
	}
}

// submit queues t. An error is the outcome: t was not queued.
func (o *outlet) submit(t *task) error {
	if err := o.health.admit(); err != nil {
		o.failed(err)
		return err
	}
	t.timer.Reset(o.limit)
	select {
	case o.queue <- t:
		return nil
	default:
	}
	select {
	case o.queue <- t:
		return nil
	case <-t.timer.C:
		o.timedOut(false)
		return errTimeout
	case <-o.ctx.Done():
		t.timer.Stop()
		return errRemoved
	}
}

// wait returns the outcome of a queued task, and gives the task back to the pool if it may.
func (o *outlet) wait(t *task) error {
	select {
	case err := <-t.done:
		t.timer.Stop()
		o.give(t)
		return err
	case <-o.gone:
		t.timer.Stop()
		select {
		case err := <-t.done:
			return err
		default:
			return errRemoved
		}
	case <-t.timer.C:
		begun := !t.state.CompareAndSwap(taskWaiting, taskAbandoned)
		if begun {
			select {
			case err := <-t.done:
				return err
			default:
			}
		}
		o.timedOut(begun)
		return errTimeout
	}
}

// reopen has the worker reopen the device. There is nothing to do for one that was disabled.
func (o *outlet) reopen() error {
	if o.ctx.Err() != nil {
		return nil
	}
	t := o.newTask()
	t.line = nil
	t.timer.Reset(o.limit)
	select {
	case o.queue <- t:
	case <-t.timer.C:
		return errTimeout
	case <-o.ctx.Done():
		return nil
	}
	select {
	case err := <-t.done:
		return err
	case <-t.timer.C:
		return errTimeout
	case <-o.gone:
		return nil
	}
}

// close ends the worker, which closes the device once it is done with the line at hand. It waits
// no longer than the time limit: a worker that is stuck ends when its device lets go of it.
func (o *outlet) close() {
	o.cancel()
	t := time.NewTimer(o.limit)
	defer t.Stop()
	select {
	case <-o.gone:
	case <-t.C:
		o.log.Warn("audit device does not let go", "path", o.path)
	}
}

// work is the outlet's goroutine: it owns the device until the outlet is closed.
func (o *outlet) work() {
	defer close(o.gone)
	for {
		select {
		case t := <-o.queue:
			o.do(t)
		case <-o.ctx.Done():
			for len(o.queue) > 0 {
				o.do(<-o.queue)
			}
			if err := o.device.Close(); err != nil {
				o.log.Warn("close audit device", "path", o.path, "error", err)
			}
			return
		}
	}
}

// do performs one task and reports its outcome.
func (o *outlet) do(t *task) {
	if t.line == nil {
		t.done <- o.guard(o.device.Reopen)
		return
	}
	if !t.state.CompareAndSwap(taskWaiting, taskWriting) {
		return
	}
	err := o.guard(func() error { return o.device.Write(o.ctx, t.line.buf) })
	if err == nil {
		o.succeeded()
	} else {
		o.failedWriting(err)
	}
	t.done <- err
}

// guard turns a panic of the device into a failure.
func (o *outlet) guard(fn func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	return fn()
}

// admit says whether the device may be tried.
func (h *health) admit() error {
	h.mu.Lock()
	defer h.mu.Unlock()
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
	h := &o.health
	h.mu.Lock()
	lost := h.lost
	h.stuck, h.resting, h.probing, h.rest, h.lost, h.lastErr = false, false, false, 0, 0, nil
	h.written++
	h.mu.Unlock()
	if lost > 0 {
		o.log.Info("audit device works again", "path", o.path, "lost", lost)
	}
}

// failedWriting notes that the device came back from a write with an error.
func (o *outlet) failedWriting(err error) {
	slow := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	h := &o.health
	h.mu.Lock()
	slow = slow || h.stuck
	h.stuck = false
	if slow || h.probing {
		o.startRest()
	}
	h.mu.Unlock()
	o.failed(err)
}

// timedOut notes that a caller has given up. begun: its line is being written.
func (o *outlet) timedOut(begun bool) {
	h := &o.health
	h.mu.Lock()
	if begun {
		h.stuck = true
	} else if !h.resting {
		o.startRest()
	}
	h.mu.Unlock()
	o.failed(errTimeout)
}

// startRest leaves the device alone for a while, longer each time in a row.
// REQUIRES: health.mu.
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
		h.mu.Lock()
		h.resting = false
		h.mu.Unlock()
	})
}

// failed counts a lost line and tells the server log of the first one, and of every thousandth:
// a dead device must not fill the disk with complaints.
func (o *outlet) failed(err error) {
	h := &o.health
	h.mu.Lock()
	h.lost++
	lost := h.lost
	h.lastErr = err
	h.mu.Unlock()
	if lost == 1 || lost%1000 == 0 {
		o.log.Error("audit device failed to log an entry", "path", o.path, "error", err, "lost", lost)
	}
}
