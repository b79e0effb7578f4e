package node

import (
	"context"
	"time"
)

// retryUnseal paces the tries to open a seal that opens by itself. Contract: config §5.
const retryUnseal = 5 * time.Second

// reopenAtMost is what the pause grows to, doubling, where the server was open before and its disk
// failed: that may take a day, and each try may ask another server for a key.
const reopenAtMost = time.Minute

// KeepOpen opens a server whose seal opens by itself, until ctx ends: at its start, and again when a
// disk that failed has cost it its keys. What was sealed on purpose stays sealed.
func (n *Node) KeepOpen(ctx context.Context) {
	var t tries
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-n.lost:
			t.pause = 0
		}
		if ctx.Err() != nil {
			return
		}
		state, err := n.reopen(ctx)
		if err != nil && ctx.Err() == nil {
			n.log.Error("failed to unseal core; it is tried again", "error", err)
		}
		if state == uninitialized && t.state != uninitialized {
			n.log.Info("stored unseal keys are supported, but none were found: the server waits for init")
		}
		if pause := t.after(state); pause > 0 {
			next.Reset(pause)
		} else {
			next.Stop()
		}
	}
}

// openness is what a try to open the server has come to.
type openness int

const (
	_ openness = iota // before the first try
	// settled is a server that is open, or was sealed on purpose.
	settled
	uninitialized
	refused
)

// tries are those to open one server.
type tries struct {
	state openness
	// opened says that a try has settled it once.
	opened bool
	// pause was the last.
	pause time.Duration
}

// after is the pause to the next try when one has come to state; 0 if none is needed.
func (t *tries) after(state openness) time.Duration {
	t.state = state
	switch {
	case state == settled:
		t.opened, t.pause = true, 0
	case t.pause == 0 || !t.opened:
		t.pause = retryUnseal
	default:
		t.pause = min(2*t.pause, reopenAtMost)
	}
	return t.pause
}

// reopen opens the server unless it was sealed on purpose.
func (n *Node) reopen(ctx context.Context) (openness, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	if n.onPurpose || n.house.Load() != nil {
		return settled, nil
	}
	done, err := n.keeper.Initialized(ctx)
	switch {
	case err != nil:
		return refused, err
	case !done:
		return uninitialized, nil
	}
	if err := n.unsealAuto(ctx); err != nil {
		return refused, err
	}
	return settled, nil
}

// lose tells KeepOpen that the server has lost its keys for another reason than that somebody wanted
// it to, or that the reason is gone.
func (n *Node) lose() {
	select {
	case n.lost <- struct{}{}:
	default: // it has been told already
	}
}
