package audit

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a device that does what its script says: one function per write, the last one for
// all that follow.
type scripted struct {
	script []func(ctx context.Context) error
	calls  atomic.Int64
	lines  []string
	closed atomic.Bool
}

func (d *scripted) Write(ctx context.Context, line []byte) error {
	n := int(d.calls.Add(1)) - 1
	if err := d.script[min(n, len(d.script)-1)](ctx); err != nil {
		return err
	}
	d.lines = append(d.lines, string(line))
	return nil
}

func (d *scripted) Reopen() error { return nil }
func (d *scripted) Close() error  { d.closed.Store(true); return nil }

func works(context.Context) error { return nil }

func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// hangs returns a write that does not return until release is called. The gate is made at its
// first use, so that it belongs to the bubble.
func hangs() (write func(context.Context) error, release func()) {
	gate := sync.OnceValue(func() chan struct{} { return make(chan struct{}) })
	return func(context.Context) error { <-gate(); return nil }, func() { close(gate()) }
}

const testLimit = time.Second

// inBubble runs fn with an outlet over a device, in a bubble where time passes when all wait.
func inBubble(t *testing.T, d *scripted, fn func(t *testing.T, o *outlet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := newOutlet("dev/", &format{salt: testSalt}, d, testLimit, slog.New(slog.DiscardHandler))
		defer o.close()
		fn(t, o)
	})
}

// send sends one line and returns the outcome and how long it took.
func send(o *outlet, name string) (time.Duration, error) {
	began := time.Now()
	t := o.take()
	t.line.reset()
	t.line.buf = append(t.line.buf, name...)
	err := o.submit(t)
	if err == nil {
		err = o.wait(t)
	}
	return time.Since(began), err
}

func wantOutcome(t *testing.T, o *outlet, name string, want error, within time.Duration) {
	t.Helper()
	took, err := send(o, name)
	if !errors.Is(err, want) || (want == nil && err != nil) {
		t.Errorf("%s: %v, want %v", name, err, want)
	}
	if took > within {
		t.Errorf("%s took %v, want at most %v", name, took, within)
	}
}

func TestHangingDeviceCostsOneWait(t *testing.T) {
	hang, release := hangs()
	d := &scripted{script: []func(context.Context) error{works, hang, works}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		wantOutcome(t, o, "works", nil, 0)
		wantOutcome(t, o, "hangs", errTimeout, testLimit)
		for range 3 {
			wantOutcome(t, o, "refused at once", errStuck, 0)
		}
		<-time.After(time.Hour)
		wantOutcome(t, o, "refused even after an hour", errStuck, 0)
		release()
		synctest.Wait()
		wantOutcome(t, o, "back by itself", nil, 0)
		if len(d.lines) != 3 { // The line that hung was written in the end.
			t.Errorf("%q", d.lines)
		}
	})
}

func TestDeviceThatHungAndFailedRests(t *testing.T) {
	hang, release := hangs()
	late := func(ctx context.Context) error { return errors.Join(hang(ctx), errors.New("gone")) }
	d := &scripted{script: []func(context.Context) error{late, works}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		wantOutcome(t, o, "hangs", errTimeout, testLimit)
		release()
		synctest.Wait()
		wantOutcome(t, o, "right after", errResting, 0)
		<-time.After(firstRest)
		synctest.Wait()
		wantOutcome(t, o, "after the rest", nil, 0)
	})
}

func TestLinesBehindAHangAreNotWrittenLater(t *testing.T) {
	hang, release := hangs()
	d := &scripted{script: []func(context.Context) error{hang, works}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		outcomes := make(chan error)
		for range 10 {
			go func() { _, err := send(o, "line"); outcomes <- err }()
		}
		for range 10 {
			if err := <-outcomes; !errors.Is(err, errTimeout) {
				t.Errorf("%v", err)
			}
		}
		release()
		synctest.Wait()
		if n := d.calls.Load(); n != 1 {
			t.Errorf("%d lines were written, want the one that was begun", n)
		}
	})
}

func TestMoreLinesThanOneWriteTakesEndInATimeout(t *testing.T) {
	hang, release := hangs()
	d := &scripted{script: []func(context.Context) error{hang, works}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		const n = joinLines + 20
		outcomes := make(chan error, n)
		for range n {
			go func() { _, err := send(o, "line"); outcomes <- err }()
		}
		for range n {
			if err := <-outcomes; err == nil {
				t.Error("a line was taken")
			}
		}
		release()
	})
}

func TestSlowFailuresRestFastOnesDoNot(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		next error
	}{
		"refused connection": {errors.New("connection refused"), nil},
		"disk full":          {errors.New("no space left on device"), nil},
		"write deadline":     {os.ErrDeadlineExceeded, errResting},
		"dial deadline":      {context.DeadlineExceeded, errResting},
	} {
		t.Run(name, func(t *testing.T) {
			d := &scripted{script: []func(context.Context) error{fails(c.err), works}}
			inBubble(t, d, func(t *testing.T, o *outlet) {
				wantOutcome(t, o, "fails", c.err, 0)
				wantOutcome(t, o, "next", c.next, 0)
				<-time.After(firstRest)
				synctest.Wait()
				wantOutcome(t, o, "after the rest", nil, 0)
				if o.health.lost != 0 || o.health.lastErr != nil {
					t.Errorf("health %+v", &o.health)
				}
			})
		})
	}
}

func TestRestsGrowAndOnlyOneLineProbes(t *testing.T) {
	d := &scripted{script: []func(context.Context) error{fails(os.ErrDeadlineExceeded)}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		send(o, "first")
		for _, rest := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, longestRest, longestRest} {
			before := d.calls.Load()
			<-time.After(rest - time.Millisecond)
			wantOutcome(t, o, "just before the rest ends", errResting, 0)
			<-time.After(time.Millisecond)
			synctest.Wait()
			if d.calls.Load() != before {
				t.Fatal("the device was tried during its rest")
			}
			wantOutcome(t, o, "probe", os.ErrDeadlineExceeded, 0)
		}
	})
	hang, release := hangs()
	d = &scripted{script: []func(context.Context) error{fails(os.ErrDeadlineExceeded), hang, works}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		send(o, "first")
		<-time.After(firstRest)
		synctest.Wait()
		probe := make(chan error)
		go func() { _, err := send(o, "probe"); probe <- err }()
		synctest.Wait()
		wantOutcome(t, o, "beside the probe", errResting, 0)
		release()
		if err := <-probe; err != nil {
			t.Errorf("probe: %v", err)
		}
		wantOutcome(t, o, "after the probe", nil, 0)
	})
}

func TestPanickingDeviceIsAFailure(t *testing.T) {
	d := &scripted{script: []func(context.Context) error{func(context.Context) error { panic("no") }, works}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		wantOutcome(t, o, "panics", errPanicked, 0)
		wantOutcome(t, o, "next", nil, 0)
	})
}

func TestCloseLetsGoOfAHangingDevice(t *testing.T) {
	hang, release := hangs()
	d := &scripted{script: []func(context.Context) error{hang}}
	synctest.Test(t, func(t *testing.T) {
		o := newOutlet("dev/", &format{salt: testSalt}, d, testLimit, slog.New(slog.DiscardHandler))
		send(o, "hangs")
		began := time.Now()
		o.close()
		if took := time.Since(began); took > testLimit {
			t.Errorf("close took %v", took)
		}
		if d.closed.Load() {
			t.Error("the device was closed under a write")
		}
		if err := o.reopen(); err != nil {
			t.Errorf("reopen of a closed outlet: %v", err)
		}
		release()
		<-o.gone
		if !d.closed.Load() {
			t.Error("the device was not closed")
		}
		task := o.take()
		task.line.reset()
		if err := o.submit(task); err == nil {
			if err := o.wait(task); !errors.Is(err, errRemoved) {
				t.Errorf("a line for a closed outlet: %v", err)
			}
		}
	})
}

func TestReopenBehindAHangTimesOut(t *testing.T) {
	hang, release := hangs()
	d := &scripted{script: []func(context.Context) error{hang, works}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		send(o, "hangs")
		if err := o.reopen(); !errors.Is(err, errTimeout) {
			t.Errorf("%v", err)
		}
		release()
	})
}

// The pool must never hand a line to two owners: one that timed out stays with the worker.
func TestAbandonedLinesAreNotReused(t *testing.T) {
	hang, release := hangs()
	d := &scripted{script: []func(context.Context) error{hang, works}}
	inBubble(t, d, func(t *testing.T, o *outlet) {
		task := o.take()
		task.line.buf = append(task.line.buf[:0], "first"...)
		if err := o.submit(task); err != nil {
			t.Fatal(err)
		}
		if err := o.wait(task); !errors.Is(err, errTimeout) {
			t.Fatal(err)
		}
		for range 100 {
			if other := o.take(); other == task {
				t.Fatal("a line that is being written was handed out")
			}
		}
		release()
		synctest.Wait()
		if len(d.lines) != 1 || d.lines[0] != "first" {
			t.Errorf("%q", d.lines)
		}
	})
}

func TestWipeClearsScratchAndDropsLargeBuffers(t *testing.T) {
	l := newLine(&format{salt: testSalt})
	l.reset()
	l.buf = append(l.buf, '{')
	l.secret("client_token", "hvs.canary")
	if !l.wipe() {
		t.Fatal("a small line was dropped")
	}
	for _, c := range l.text[:cap(l.text)] {
		if c != 0 {
			t.Fatal("the scratch still holds text")
		}
	}
	l.text = make([]byte, keepText+1)
	if l.wipe() {
		t.Error("a large scratch was kept")
	}
}
