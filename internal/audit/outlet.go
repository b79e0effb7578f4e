package audit

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
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

// Joiner is a Device that takes the lines that wait for it with one write.
type Joiner interface {
	Device
	// WriteLines puts down lines, several whole ones with their newlines, and returns how many
	// bytes of them are there; err says why not all. It tries nothing twice: a line that is
	// not whole is given to Write, alone, and the device sees to it that what there is of it
	// spoils no other line. One that lacks only its newline counts as whole, and the device
	// supplies that later. It must not keep lines.
	WriteLines(ctx context.Context, lines []byte) (n int, err error)
}

// patient is a Device that may by its own options take longer than the broker's time limit.
type patient interface{ Patience() time.Duration }

// What one write may hold at most, so that the lines of a slow device get their outcomes by and
// by. A longer line is written alone.
const (
	joinLines = 256
	joinBytes = 256 << 10
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
// The lines that wait go to a Joiner together: a write costs the system more than the line that
// it carries. Each line still has an outcome of its own, whatever becomes of that write.
//
// Callers have no timers. One watch per outlet is set while lines are on their way, and gives up
// on behalf of those whose time is over. A caller only receives the outcome, which is sent to it
// once: by the worker, or by the watch.
//
// The queue has no bound of its own. Every line in it is of a caller that waits, and the server
// bounds those.
//
// Rejected: writing in the caller's goroutine under a lock. It saves about a microsecond and
// hangs every request for as long as the device hangs.
type outlet struct {
	path   string
	format *format
	device Device
	limit  time.Duration
	log    *slog.Logger

	// ctx ends when the outlet is closed; gone is closed once the worker has ended.
	ctx    context.Context
	cancel context.CancelFunc
	gone   chan struct{}
	pool   sync.Pool
	// wake gets one value for each time that the worker was found idle.
	wake chan struct{}
	// joint is the worker's: lines on their way into one write.
	joint []byte
	// watch calls expire at the oldest deadline, or before.
	watch *time.Timer

	// mu guards the fields below. It is held for no longer than it takes to look at all tasks.
	mu     sync.Mutex
	queue  queue
	health health
}

// queue is the tasks on their way.
type queue struct {
	// waiting are in the order in which they came; writing are with the worker.
	waiting, writing []*task
	// idle: the worker sleeps, and whoever brings it something wakes it.
	idle bool
	// watched: the watch is set.
	watched bool
	// closed: nothing is taken any more.
	closed bool
}

// task is a line on its way, or a request to reopen (no line).
type task struct {
	line *line
	// outcome is the worker's until it is sent.
	outcome error
	// done has room for one outcome, so that nobody waits for the caller.
	done chan error
	// deadline is when the caller gives up, and abandoned that it did. Both are guarded by the
	// outlet's mu while the task is in its queue.
	deadline  time.Time
	abandoned bool
}

func newOutlet(path string, f *format, d Device, limit time.Duration, log *slog.Logger) *outlet {
	if p, ok := d.(patient); ok {
		limit = max(limit, p.Patience())
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &outlet{
		path: path, format: f, device: d, limit: limit, log: log,
		ctx: ctx, cancel: cancel, gone: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	o.pool.New = func() any { return o.newTask() }
	o.watch = time.AfterFunc(time.Hour, o.expire)
	o.watch.Stop()
	go o.work()
	return o
}

func (o *outlet) newTask() *task {
	return &task{line: newLine(o.format), done: make(chan error, 1)}
}

// take returns an empty task of the pool.
func (o *outlet) take() *task { return o.pool.Get().(*task) }

// give returns a task to the pool, unless the worker may still hold it or it is too large.
func (o *outlet) give(t *task) {
	if !t.abandoned && t.line.wipe() {
		o.pool.Put(t)
	}
}

// submit queues t. An error is the outcome: t was not queued.
func (o *outlet) submit(t *task) error {
	o.mu.Lock()
	if o.queue.closed {
		o.mu.Unlock()
		return errRemoved
	}
	if err := o.health.admit(); err != nil {
		o.mu.Unlock()
		o.failed(err)
		return err
	}
	o.enqueue(t)
	return nil
}

// enqueue appends t, wakes the worker if it sleeps, and lets go of mu.
// REQUIRES: mu, and that the queue is not closed.
func (o *outlet) enqueue(t *task) {
	q := &o.queue
	t.outcome, t.abandoned, t.deadline = nil, false, time.Now().Add(o.limit)
	q.waiting = append(q.waiting, t)
	if !q.watched {
		q.watched = true
		o.watch.Reset(o.limit)
	}
	wake := q.idle
	q.idle = false
	o.mu.Unlock()
	if wake {
		o.wake <- struct{}{}
	}
}

// wait returns the outcome of a queued task, no later than its deadline.
func (o *outlet) wait(t *task) error { return <-t.done }

// expire gives up for the callers whose time is over, and sets the watch to the next one.
func (o *outlet) expire() {
	var late []*task
	var next time.Time
	now := time.Now()
	overdue := func(t *task) bool {
		switch {
		case t.abandoned:
			return false
		case t.deadline.After(now):
			if next.IsZero() || t.deadline.Before(next) {
				next = t.deadline
			}
			return false
		}
		t.abandoned = true
		late = append(late, t)
		return true
	}
	o.mu.Lock()
	q := &o.queue
	stuck, waited := false, false
	for _, t := range q.writing {
		stuck = overdue(t) && t.line != nil || stuck
	}
	// A file that is to be reopened is reopened, be it late.
	q.waiting = slices.DeleteFunc(q.waiting, func(t *task) bool {
		gone := overdue(t) && t.line != nil
		waited = waited || gone
		return gone
	})
	if stuck {
		o.health.stuck = true
	}
	if waited {
		o.startRest()
	}
	if q.watched = !next.IsZero(); q.watched {
		o.watch.Reset(next.Sub(now))
	}
	o.mu.Unlock()
	for _, t := range late {
		if t.line != nil {
			o.failed(errTimeout)
		}
		t.done <- errTimeout
	}
}

// reopen has the worker reopen the device. There is nothing to do for one that was disabled.
func (o *outlet) reopen() error {
	t := &task{done: make(chan error, 1)}
	o.mu.Lock()
	if o.queue.closed {
		o.mu.Unlock()
		return nil
	}
	o.enqueue(t)
	return o.wait(t)
}

// close ends the worker, which closes the device once it is done with the lines at hand. It waits
// no longer than the time limit: a worker that is stuck ends when its device lets go of it.
func (o *outlet) close() {
	o.cancel()
	o.mu.Lock()
	wake := o.queue.idle
	o.queue.idle, o.queue.closed = false, true
	o.mu.Unlock()
	if wake {
		o.wake <- struct{}{}
	}
	t := time.NewTimer(o.limit)
	defer t.Stop()
	select {
	case <-o.gone:
	case <-t.C:
		o.log.Warn("audit device does not let go", "path", o.path)
	}
}

// work is the outlet's goroutine: it owns the device until the outlet is closed and what was
// queued before is done.
func (o *outlet) work() {
	defer close(o.gone)
	var batch []*task
	for {
		joiner := o.joiner()
		if batch = o.claim(batch[:0], joiner != nil); len(batch) == 0 {
			break
		}
		if batch[0].line == nil {
			batch[0].outcome = o.reopenDevice()
			o.settle(batch)
		} else {
			o.put(batch, joiner)
		}
		clear(batch)
	}
	if err := o.device.Close(); err != nil {
		o.log.Warn("close audit device", "path", o.path, "error", err)
	}
}

// joiner is the device, if it takes several lines at once.
func (o *outlet) joiner() Joiner {
	d := o.device
	if late, ok := d.(*lateDevice); ok {
		d = late.device
	}
	j, _ := d.(Joiner)
	return j
}

// claim waits for tasks and appends those to batch that come next: one, or all lines that may be
// joined. None says that the outlet is closed.
func (o *outlet) claim(batch []*task, join bool) []*task {
	if join {
		// Whoever is about to bring a line does so before the worker looks: this is what
		// makes lines meet. It costs nothing where nobody else has anything to do.
		runtime.Gosched()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	q := &o.queue
	for len(q.waiting) == 0 {
		if q.closed {
			return batch
		}
		q.idle = true
		o.mu.Unlock()
		<-o.wake
		if join {
			runtime.Gosched()
		}
		o.mu.Lock()
	}
	n := 1
	if join {
		n = joinable(q.waiting)
	}
	batch = append(batch, q.waiting[:n]...)
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.writing = batch
	return batch
}

// joinable is how many of the first tasks go into one write; at least one.
func joinable(tasks []*task) int {
	size := 0
	for i, t := range tasks[:min(len(tasks), joinLines)] {
		if t.line == nil {
			return max(i, 1)
		}
		if size += len(t.line.buf); size > joinBytes {
			return max(i, 1)
		}
	}
	return min(len(tasks), joinLines)
}

// put has the device take the lines of batch and reports the outcome of each: together, and those
// that are not whole after that one by one, so that what fails one line fails no other.
func (o *outlet) put(batch []*task, joiner Joiner) {
	if len(batch) > 1 {
		whole, err := o.writeJoint(batch, joiner)
		for _, t := range batch[whole:] {
			t.outcome = err
		}
		if err == errPanicked {
			// Nobody knows what is there of them: no line is written twice.
			whole = len(batch)
		}
		o.settle(batch[:whole])
		batch = batch[whole:]
	}
	for i, t := range batch {
		if !o.forsaken(t) {
			t.outcome = o.write(t.line.buf)
		}
		o.settle(batch[i : i+1])
	}
}

// writeJoint has the device take all lines of batch at once, and returns how many of them are
// whole; err is what kept the others out.
func (o *outlet) writeJoint(batch []*task, joiner Joiner) (whole int, err error) {
	o.joint = o.joint[:0]
	for _, t := range batch {
		o.joint = append(o.joint, t.line.buf...)
	}
	n, err := o.writeLines(joiner)
	if err == nil {
		return len(batch), nil
	}
	for _, t := range batch {
		if n -= len(t.line.buf); n < 0 {
			break
		}
		whole++
	}
	return whole, err
}

// The three calls of the device turn its panic into a failure.

func (o *outlet) writeLines(joiner Joiner) (n int, err error) {
	defer func() {
		if recover() != nil {
			n, err = 0, errPanicked
		}
	}()
	return joiner.WriteLines(o.ctx, o.joint)
}

func (o *outlet) write(line []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	return o.device.Write(o.ctx, line)
}

func (o *outlet) reopenDevice() (err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	return o.device.Reopen()
}

// forsaken says whether nobody waits for the outcome of t, which the worker has.
func (o *outlet) forsaken(t *task) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return t.abandoned
}

// settle notes the outcomes of the first tasks that are being written, and tells their callers.
func (o *outlet) settle(done []*task) {
	good := !slices.ContainsFunc(done, func(t *task) bool { return t.outcome != nil })
	o.mu.Lock()
	// From here on the watch does not see them: what is noted below stays true.
	o.queue.writing = o.queue.writing[len(done):]
	usual := good && o.health.sound()
	if usual {
		o.health.written += uint64(len(done))
	}
	o.mu.Unlock()
	for _, t := range done {
		switch {
		case usual || t.line == nil:
		case t.outcome == nil:
			o.succeeded()
		default:
			o.failedWriting(t.outcome)
		}
	}
	for _, t := range done {
		if !t.abandoned {
			t.done <- t.outcome
		}
	}
}
