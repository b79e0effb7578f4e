package node

import (
	"context"
	"errors"
	"time"

	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/lease"
	"jeton/internal/mount"
	"jeton/internal/seal"
	"jeton/internal/store"
)

// holders joins leases to the tokens that hold them.
type holders struct{ house *House }

// Holds says whether a token lives in r.
func (h holders) Holds(r store.Reader, id backend.TokenID) (bool, error) {
	return h.house.Tokens.Holds(r, id)
}

// issuers joins leases to the engines that issued them. A mount that is being removed still
// takes back what it issued.
type issuers struct{ house *House }

// Issuer finds the engine of a mount accessor and lets a call into it.
func (i issuers) Issuer(accessor string) (backend.LeaseIssuer, backend.Mount, func(), error) {
	m, ok := i.house.Mounts.ByAccessor(accessor)
	if !ok || !m.Enter() {
		// The mount leaves one index in the step that puts it into the other.
		if m, ok = i.house.Mounts.Leaving(accessor); !ok || !m.Enter() {
			return nil, backend.Mount{}, nil, lease.ErrNoIssuer
		}
	}
	engine, ok := m.Backend.(backend.LeaseIssuer)
	if !ok {
		m.Leave()
		return nil, backend.Mount{}, nil, lease.ErrNoIssuer
	}
	return engine, m.Info, m.Leave, nil
}

// undecryptable says that a stored value is there but does not open.
func undecryptable(err error) bool { return errors.Is(err, seal.ErrUndecryptable) }

// revoker joins the mount table to what its mounts issued.
type revoker struct{ house *House }

// RevokeMount ends every token and lease issued under path, and has the engine take the
// secrets back. Nothing else can be issued under path meanwhile but by the mount itself.
func (r revoker) RevokeMount(ctx context.Context, path string) error {
	if err := r.house.Tokens.RevokePath(ctx, path, ""); err != nil {
		return err
	}
	return r.house.Leases.RevokePrefix(ctx, path)
}

// EndMount ends them, and says whether secrets are left to be taken back.
func (r revoker) EndMount(ctx context.Context, path string) (left bool, err error) {
	if err := r.house.Tokens.RevokePath(ctx, path, ""); err != nil {
		return false, err
	}
	count, err := r.house.Leases.EndPrefix(ctx, path)
	return count > 0, err
}

// LeaseEnded writes an event for a secret that was taken back, or that could not be.
func (w *witness) LeaseEnded(ctx context.Context, l *lease.Lease) {
	event := &audit.Event{Name: "lease.ended", Cause: string(l.End.Cause), Time: time.Unix(0, l.End.At).UTC(), Path: l.Path(), LeaseID: l.ID}
	if _, irrevocable := l.Irrevocable(); irrevocable {
		event.Name = "lease.irrevocable"
	}
	if err := w.audit.LogEvent(ctx, event); err != nil {
		w.log.Warn("the end of a lease could not be written to the audit log", "lease", l.ID, "error", err)
	}
}

// sweepLeases has engines take back what is due, until ctx ends. It is a loop of its own: what
// leases wait for must not hold up tokens.
func (n *Node) sweepLeases(ctx context.Context, h *House) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if _, err := h.Leases.Sweep(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("sweeping leases failed; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-h.Leases.Nudged():
		case <-tick.C:
		}
	}
}

// resumeEvery paces the removals of mounts that wait for their secrets to be taken back.
const resumeEvery = 10 * time.Second

// resumeRemovals finishes removals of mounts that were interrupted or had to wait, until ctx ends.
func (n *Node) resumeRemovals(ctx context.Context, h *House) {
	tick := time.NewTicker(resumeEvery)
	defer tick.Stop()
	for {
		if err := h.Mounts.Resume(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("removing a mount failed; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

var (
	_ lease.Holders = holders{}
	_ lease.Issuers = issuers{}
	_ lease.Witness = (*witness)(nil)
	_ mount.Revoker = revoker{}
)
