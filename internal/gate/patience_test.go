package gate

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Every way to end, seen by who asks only afterwards, by who waits, and by a context made of it.
func TestEnds(t *testing.T) {
	for name, way := range map[string]struct {
		make func(parent, hurry context.Context) *Patience
		end  func(client, hurry context.CancelFunc, c *Patience)
		want error
	}{
		"the client goes away": {func(p, _ context.Context) *Patience { return For(p, time.Hour) },
			func(client, _ context.CancelFunc, _ *Patience) { client() }, context.Canceled},
		"the client of one that may be hurried goes away": {Hurried,
			func(client, _ context.CancelFunc, _ *Patience) { client() }, context.Canceled},
		"its time is over": {func(p, _ context.Context) *Patience { return For(p, time.Minute) },
			func(_, _ context.CancelFunc, _ *Patience) { <-time.After(time.Minute) }, context.DeadlineExceeded},
		"the time of an outer one is over": {func(p, h context.Context) *Patience { return Hurried(For(p, time.Minute), h) },
			func(_, _ context.CancelFunc, _ *Patience) { <-time.After(time.Minute) }, context.DeadlineExceeded},
		"it is hurried": {Hurried, func(_, hurry context.CancelFunc, _ *Patience) { hurry() }, context.Canceled},
		"it is released": {func(p, _ context.Context) *Patience { return For(p, time.Hour) },
			func(_, _ context.CancelFunc, c *Patience) { c.Release() }, context.Canceled},
	} {
		for _, waits := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", while somebody waits"}[waits], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, client := context.WithCancel(t.Context())
					defer client()
					outer, hurry := context.WithCancel(t.Context())
					defer hurry()
					c := way.make(parent, outer)
					defer c.Release()
					if err := c.Err(); err != nil {
						t.Fatalf("ended at once: %v", err)
					}
					var child context.Context = c
					if waits {
						var cancel context.CancelFunc
						child, cancel = context.WithCancel(c)
						defer cancel()
						if child.Err() != nil {
							t.Fatal("what was made of it ended at once")
						}
					}
					way.end(client, hurry, c)
					synctest.Wait()
					for range 2 {
						if err := c.Err(); !errors.Is(err, way.want) {
							t.Errorf("ended with %v, want %v", err, way.want)
						}
						<-c.Done()
						<-child.Done()
						// It ends for one reason, whatever else comes to an end after it.
						client()
						hurry()
						synctest.Wait()
					}
					if !errors.Is(child.Err(), way.want) {
						t.Errorf("what was made of it ended with %v, want %v", child.Err(), way.want)
					}
				})
			})
		}
	}
}

// Who waits from the beginning and who asks later are told the same.
func TestDoneAfterTheEnd(t *testing.T) {
	parent, client := context.WithCancel(t.Context())
	c := For(parent, time.Hour)
	client()
	select {
	case <-c.Done():
	default:
		t.Error("Done is open after the client has gone")
	}
	released := Hurried(t.Context(), t.Context())
	released.Release()
	select {
	case <-released.Done():
	default:
		t.Error("Done is open after Release")
	}
}

func TestDeadline(t *testing.T) { synctest.Test(t, testDeadline) }

func testDeadline(t *testing.T) {
	begin := time.Now()
	soon, late := begin.Add(time.Minute), begin.Add(time.Hour)
	parent, cancel := context.WithDeadline(t.Context(), soon)
	defer cancel()
	for name, row := range map[string]struct {
		c    *Patience
		want time.Time
	}{
		"its own":                 {For(t.Context(), time.Hour), late},
		"its parent's is earlier": {For(parent, time.Hour), soon},
		"only its parent's":       {Hurried(parent, t.Context()), soon},
	} {
		if got, ok := row.c.Deadline(); !ok || !got.Equal(row.want) {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
	if _, ok := Hurried(context.WithoutCancel(t.Context()), t.Context()).Deadline(); ok {
		t.Error("a deadline that nobody set")
	}
}

// A context made of one costs no goroutine: a thousand requests that wait would be a thousand.
func TestChildrenHaveNoGoroutine(t *testing.T) {
	c := Hurried(For(t.Context(), time.Hour), t.Context())
	defer c.Release()
	before := runtime.NumGoroutine()
	for range 100 {
		_, cancel := context.WithCancel(context.WithValue(c, key{}, 1))
		defer cancel()
	}
	if more := runtime.NumGoroutine() - before; more > 10 {
		t.Errorf("%d goroutines wait", more)
	}
}

type key struct{}

func TestValue(t *testing.T) {
	c := For(context.WithValue(t.Context(), key{}, 7), time.Hour)
	defer c.Release()
	for range 2 {
		if c.Value(key{}) != 7 {
			t.Error("the parent's value is not found")
		}
		_ = c.Done()
	}
}

// What nearly all requests pay.
func BenchmarkUnwaited(b *testing.B) {
	client, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		c := Hurried(For(client, time.Minute), b.Context())
		if c.Err() != nil {
			b.Fatal("ended")
		}
		c.Release()
	}
}
