package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errFull = errors.New("no space left on device")

// disk is a Joiner with room for so many bytes, which ends torn lines as devices do. Each write
// first runs before, if there is one.
type disk struct {
	room   int
	before func(ctx context.Context, text []byte) error
	text   []byte
	// joint and alone are what WriteLines and Write were called with.
	joint, alone []string
	reopened     int
}

func (d *disk) put(ctx context.Context, text []byte) (n int, err error) {
	if d.before != nil {
		if err := d.before(ctx, text); err != nil {
			return 0, err
		}
	}
	ended := 0
	if len(d.text) > 0 && d.text[len(d.text)-1] != '\n' {
		text, ended = append([]byte{'\n'}, text...), 1
	}
	n = min(len(text), d.room-len(d.text))
	d.text = append(d.text, text[:n]...)
	if n > ended && n < len(text) && text[n] == '\n' {
		n++
	}
	if n < len(text) {
		err = errFull
	}
	return max(n-ended, 0), err
}

func (d *disk) Write(ctx context.Context, line []byte) error {
	d.alone = append(d.alone, string(line))
	_, err := d.put(ctx, line)
	return err
}

func (d *disk) WriteLines(ctx context.Context, lines []byte) (int, error) {
	d.joint = append(d.joint, string(lines))
	return d.put(ctx, lines)
}

func (d *disk) Reopen() error { d.reopened++; return nil }
func (d *disk) Close() error  { return nil }

// held is a disk whose first write waits for release, so that what comes meanwhile is queued.
func held(room int) (d *disk, release func()) {
	hang, release := hangs()
	d = &disk{room: room}
	first := true
	d.before = func(ctx context.Context, _ []byte) error {
		if first {
			first = false
			return hang(ctx)
		}
		return nil
	}
	return d, release
}

// queued sends lines that meet in the queue behind one that is held, in their order, and returns
// the outcomes in that order once released.
func queued(o *outlet, release func(), lines ...string) []error {
	outcomes := make([]error, len(lines))
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = send(o, "held\n") })
	synctest.Wait()
	for i, line := range lines {
		wg.Go(func() { _, outcomes[i] = send(o, line) })
		synctest.Wait()
	}
	release()
	wg.Wait()
	return outcomes
}

// joinBubble runs fn with an outlet over d, as inBubble does.
func joinBubble(t *testing.T, d Device, fn func(t *testing.T, o *outlet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := newOutlet("dev/", &format{salt: testSalt}, d, testLimit, slog.New(slog.DiscardHandler))
		defer o.close()
		fn(t, o)
	})
}

func wantText(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func TestLinesThatWaitAreOneWrite(t *testing.T) {
	d, release := held(1 << 20)
	joinBubble(t, d, func(t *testing.T, o *outlet) {
		for i, err := range queued(o, release, "one\n", "two\n", "three\n") {
			if err != nil {
				t.Errorf("line %d: %v", i, err)
			}
		}
		wantText(t, "together", d.joint, []string{"one\ntwo\nthree\n"})
		wantText(t, "alone", d.alone, []string{"held\n"})
		if o.health.written != 4 {
			t.Errorf("%d lines are counted", o.health.written)
		}
	})
}

// A full disk costs the lines that did not fit and no others, and none is there twice.
func TestJointWriteThatFailsInTheMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		room     int // beside the line "held"
		lines    []string
		there    []bool
		text     string
		rewrites int
	}{
		"in the middle of a line":  {9, []string{"one\n", "two\n", "three\n", "4\n"}, []bool{true, true, false, false}, "one\ntwo\nt", 2},
		"a shorter one still fits": {12, []string{"one\n", "three-three\n", "4\n"}, []bool{true, false, false}, "one\nthree-th", 2},
		"between two lines":        {8, []string{"one\n", "two\n", "three\n"}, []bool{true, true, false}, "one\ntwo\n", 1},
		"nothing at all":           {0, []string{"one\n", "two\n"}, []bool{false, false}, "", 2},
		"before an end":            {7, []string{"one\n", "two\n", "three\n"}, []bool{true, true, false}, "one\ntwo", 1},
		"before the last end":      {7, []string{"one\n", "two\n"}, []bool{true, true}, "one\ntwo", 0},
	} {
		t.Run(name, func(t *testing.T) {
			d, release := held(len("held\n") + c.room)
			joinBubble(t, d, func(t *testing.T, o *outlet) {
				for i, err := range queued(o, release, c.lines...) {
					if (err == nil) != c.there[i] || err != nil && !errors.Is(err, errFull) {
						t.Errorf("line %d: %v", i, err)
					}
				}
				wantText(t, "the file", string(d.text), "held\n"+c.text)
				if len(d.alone)-1 != c.rewrites {
					t.Errorf("written again alone: %q", d.alone[1:])
				}
				d.room = 1 << 20 // Space returns: the torn line is ended, the next is whole.
				wantOutcome(t, o, "after\n", nil, 0)
				if !strings.HasSuffix("\n"+string(d.text), "\nafter\n") {
					t.Errorf("the file is %q", d.text)
				}
			})
		})
	}
}

// A failure that the device gets over (a file closed under its hands) costs no line.
func TestJointWriteThatFailsWhole(t *testing.T) {
	d, release := held(1 << 20)
	hold := d.before
	d.before = func(ctx context.Context, text []byte) error {
		if bytes.Count(text, []byte("\n")) > 1 {
			return errors.New("file already closed")
		}
		return hold(ctx, text)
	}
	joinBubble(t, d, func(t *testing.T, o *outlet) {
		for i, err := range queued(o, release, "one\n", "two\n") {
			if err != nil {
				t.Errorf("line %d: %v", i, err)
			}
		}
		wantText(t, "the file", string(d.text), "held\none\ntwo\n")
		if o.health.lost != 0 || o.health.lastErr != nil {
			t.Errorf("health %+v", &o.health)
		}
	})
}

// What a device that panics has written nobody knows: the lines are lost, and not written twice.
func TestJointWriteThatPanics(t *testing.T) {
	d, release := held(1 << 20)
	hold := d.before
	d.before = func(ctx context.Context, text []byte) error {
		if bytes.Count(text, []byte("\n")) > 1 {
			panic("no")
		}
		return hold(ctx, text)
	}
	joinBubble(t, d, func(t *testing.T, o *outlet) {
		for i, err := range queued(o, release, "one\n", "two\n") {
			if !errors.Is(err, errPanicked) {
				t.Errorf("line %d: %v", i, err)
			}
		}
		wantText(t, "alone", d.alone, []string{"held\n"})
		wantOutcome(t, o, "next\n", nil, 0)
	})
}

// A line whose caller has given up is left out of the write that takes the others.
func TestAbandonedLineIsLeftOutOfAJointWrite(t *testing.T) {
	d, release := held(1 << 20)
	joinBubble(t, d, func(t *testing.T, o *outlet) {
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = send(o, "held\n") })
		synctest.Wait()
		wg.Go(func() {
			if took, err := send(o, "early\n"); !errors.Is(err, errTimeout) || took != testLimit {
				t.Errorf("early: %v after %v", err, took)
			}
		})
		<-time.After(testLimit / 2)
		for _, late := range []string{"late\n", "later\n"} {
			wg.Go(func() {
				if _, err := send(o, late); err != nil {
					t.Errorf("%s: %v", late, err)
				}
			})
			synctest.Wait()
		}
		<-time.After(testLimit/2 + time.Millisecond)
		release()
		wg.Wait()
		wantText(t, "together", d.joint, []string{"late\nlater\n"})
	})
}

// All lines of a write that hangs cost their callers one limit; those not whole when it comes back
// are not written any more, and the device is not thought to be stuck for ever.
func TestJointWriteThatHangs(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		text string
		next error
	}{
		"and succeeds": {nil, "held\none\ntwo\n", nil},
		"and fails":    {errors.New("gone"), "held\n", errResting},
	} {
		t.Run(name, func(t *testing.T) {
			d, release := held(1 << 20)
			hold := d.before
			hang, letGo := hangs()
			d.before = func(ctx context.Context, text []byte) error {
				if bytes.Count(text, []byte("\n")) > 1 {
					return errors.Join(hang(ctx), c.err)
				}
				return hold(ctx, text)
			}
			joinBubble(t, d, func(t *testing.T, o *outlet) {
				for i, err := range queued(o, release, "one\n", "two\n") {
					if !errors.Is(err, errTimeout) {
						t.Errorf("line %d: %v", i, err)
					}
				}
				wantOutcome(t, o, "meanwhile\n", errStuck, 0)
				letGo()
				synctest.Wait()
				wantText(t, "the file", string(d.text), c.text)
				wantOutcome(t, o, "next\n", c.next, 0)
				<-time.After(firstRest)
				synctest.Wait()
				wantOutcome(t, o, "after a rest\n", nil, 0)
			})
		})
	}
}

func TestJointWritesAreBounded(t *testing.T) {
	big := strings.Repeat("x", joinBytes) + "\n"
	d, release := held(8 << 20)
	joinBubble(t, d, func(t *testing.T, o *outlet) {
		var lines []string
		for i := range joinLines + 2 {
			lines = append(lines, fmt.Sprintf("%d\n", i))
		}
		lines = append(lines, big, "after\n")
		for i, err := range queued(o, release, lines...) {
			if err != nil {
				t.Errorf("line %d: %v", i, err)
			}
		}
		wantText(t, "the file", string(d.text), "held\n"+strings.Join(lines, ""))
		if len(d.joint) < 2 || strings.Count(d.joint[0], "\n") != joinLines || len(d.joint[1]) > joinBytes {
			t.Errorf("%d writes", len(d.joint))
		}
		if !slices.Contains(d.alone, big) {
			t.Error("the large line was not written alone")
		}
		if cap(o.joint) > 2*joinBytes {
			t.Errorf("%d bytes are held", cap(o.joint))
		}
	})
}

// A rotation stands between the lines that came before it and those that come after.
func TestReopeningSplitsAJointWrite(t *testing.T) {
	d, release := held(1 << 20)
	joinBubble(t, d, func(t *testing.T, o *outlet) {
		var wg sync.WaitGroup
		for _, step := range []func(){
			func() { _, _ = send(o, "held\n") },
			func() { _, _ = send(o, "one\n") }, func() { _, _ = send(o, "two\n") },
			func() {
				if err := o.reopen(); err != nil {
					t.Errorf("reopen: %v", err)
				}
			},
			func() { _, _ = send(o, "three\n") }, func() { _, _ = send(o, "four\n") },
		} {
			wg.Go(step)
			synctest.Wait()
		}
		release()
		wg.Wait()
		wantText(t, "together", d.joint, []string{"one\ntwo\n", "three\nfour\n"})
		if d.reopened != 1 {
			t.Errorf("reopened %d times", d.reopened)
		}
	})
}

// A device that is disabled still takes what was queued before, and nothing after.
func TestCloseWritesWhatWasQueued(t *testing.T) {
	d, release := held(1 << 20)
	synctest.Test(t, func(t *testing.T) {
		o := newOutlet("dev/", &format{salt: testSalt}, d, testLimit, slog.New(slog.DiscardHandler))
		outcomes := queued(o, func() {
			closed := make(chan struct{})
			go func() { o.close(); close(closed) }()
			synctest.Wait()
			if _, err := send(o, "after\n"); !errors.Is(err, errRemoved) {
				t.Errorf("a line after closing: %v", err)
			}
			release()
			<-closed
		}, "one\n", "two\n")
		if err := errors.Join(outcomes...); err != nil {
			t.Error(err)
		}
		wantText(t, "the file", string(d.text), "held\none\ntwo\n")
	})
}

// A device that could be opened only later joins lines once it is open.
func TestLateDeviceJoins(t *testing.T) {
	d, release := held(1 << 20)
	late := &lateDevice{open: func(context.Context) (Device, error) { return d, nil }}
	joinBubble(t, late, func(t *testing.T, o *outlet) {
		if err := errors.Join(queued(o, release, "one\n", "two\n")...); err != nil {
			t.Error(err)
		}
		wantText(t, "together", d.joint, []string{"one\ntwo\n"})
	})
}

// Whatever fails wherever, a caller's outcome is the truth: its line is there once and whole, or it
// is not whole anywhere.
func TestOutcomesAreTrue(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := &disk{room: 400}
		d.before = func(context.Context, []byte) error {
			switch r.IntN(6) {
			case 0:
				return errors.New("failed")
			case 1: // Some space returns, so that a write may end anywhere.
				d.room = len(d.text) + r.IntN(60)
			}
			return nil
		}
		o := newOutlet("dev/", &format{salt: testSalt}, d, time.Minute, slog.New(slog.DiscardHandler))
		const callers, each = 16, 20
		outcomes := [callers][each]error{}
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for j := range each {
					_, outcomes[i][j] = send(o, fmt.Sprintf("%d.%d.%s\n", i, j, strings.Repeat("x", j)))
				}
			})
		}
		wg.Wait()
		o.close()
		whole := map[string]int{}
		for line := range strings.Lines(string(d.text)) {
			whole[strings.TrimSuffix(line, "\n")]++ // the last one's end may be owed
		}
		for i := range callers {
			for j := range each {
				want := 0
				if outcomes[i][j] == nil {
					want = 1
				}
				if n := whole[fmt.Sprintf("%d.%d.%s", i, j, strings.Repeat("x", j))]; n != want {
					t.Fatalf("seed %d: line %d.%d is there %d times, its outcome is %v", seed, i, j, n, outcomes[i][j])
				}
			}
		}
	}
}
