package node

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// mender is a store that takes no writes once its disk has failed, and can be opened anew when the
// disk is well again (store/embedded.Mendable).
type mender interface {
	// Err is why no writes are taken; nil while they are.
	Err() error
	// Well says whether the disk is: nil if it is.
	Well() error
	// Mend opens the store anew. While the disk is not well it changes nothing.
	Mend(ctx context.Context) error
}

// mendEvery paces the attempts; each writes some megabytes to see whether there is room.
const mendEvery = 5 * time.Second

// KeepMending has the server go on by itself once a disk that failed is well again, until ctx ends.
func (n *Node) KeepMending(ctx context.Context) {
	tick := time.NewTicker(mendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := n.Mend(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("the store takes no writes yet; it is looked at again", "error", err)
		}
	}
}

// Mend has the store take writes again, if it does not and its disk is well. While the disk is not,
// reads go on as they are.
func (n *Node) Mend(ctx context.Context) error {
	m, ok := n.raw.(mender)
	if !ok || m.Err() == nil {
		return nil
	}
	if err := m.Well(); err != nil {
		return err
	}
	return n.mend(ctx, m)
}

// mend opens the store anew, and the house over it with the keys that are there: what the rooms
// remember may be of commits that were visible and are lost. Requests meanwhile get a 503.
func (n *Node) mend(ctx context.Context, m mender) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	h := n.house.Load()
	if h == nil {
		if err := m.Mend(ctx); err != nil {
			return err
		}
		n.lose()
		return nil
	}
	unlocked := h.unlocked
	n.shut(ctx, h)
	err := m.Mend(ctx)
	if openErr := n.open(ctx, unlocked); openErr != nil {
		// Without its store the house cannot be; the keys go, as after an unseal that failed. A seal
		// that opens by itself gets them again once the store is there.
		n.lose()
		return errors.Join(err, openErr, n.keeper.Seal(ctx))
	}
	if err != nil {
		return fmt.Errorf("node: mend: %w", err)
	}
	n.log.Info("the store takes writes again")
	return nil
}

// shut takes a house apart once the requests in it have ended. The caller holds changing.
func (n *Node) shut(ctx context.Context, h *House) {
	n.house.Store(nil)
	h.gate.Shut()
	h.stop()
	h.done.Wait()
	if err := h.Tokens.FlushUses(ctx); err != nil {
		n.log.Warn("the last uses of tokens could not be written down", "error", err)
	}
	h.close()
}
