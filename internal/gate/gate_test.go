package gate

import (
	"context"
	"testing"
)

// Who shuts a gate waits for those inside, and one of them who waits for something else is told
// to end.
func TestShuttingHurries(t *testing.T) {
	g := New(context.Background())
	if !g.Enter() {
		t.Fatal("an open gate lets nobody in")
	}
	inside := g.Within(t.Context())
	left := make(chan struct{})
	go func() {
		// Told before it leaves: whoever shuts is woken by the leaving, and looks at once.
		defer g.Leave()
		defer close(left)
		defer inside.Release()
		<-inside.Done()
	}()
	if !g.Shut() {
		t.Error("the first to shut is told that another has")
	}
	select {
	case <-left:
	default:
		t.Error("shut while somebody is inside")
	}
	if g.Enter() {
		t.Error("a shut gate lets somebody in")
	}
	if g.Shut() {
		t.Error("shut twice")
	}
}

// An outer gate's hurry is an inner one's.
func TestOuterGateHurriesTheInner(t *testing.T) {
	outer := New(context.Background())
	inner := New(outer.Hurry())
	inside := inner.Within(t.Context())
	defer inside.Release()
	outer.Shut()
	<-inside.Done()
	if t.Context().Err() != nil {
		t.Error("the caller's own context ended")
	}
}
