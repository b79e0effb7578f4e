package node

import (
	"context"
	"time"

	"jeton/internal/audit"
	"jeton/internal/metrics"
)

// ConfigureAudit brings the audit devices that the configuration names in line with it. A
// sealed server remembers it for its next unseal. Contract: audit §3.
func (n *Node) ConfigureAudit(ctx context.Context, configured map[string]audit.Spec) error {
	n.changing.Lock()
	n.settings.Audit.Configured = configured
	n.changing.Unlock()
	h := n.Enter()
	if h == nil {
		return nil
	}
	defer h.Leave()
	return h.Audit.Reconfigure(ctx, configured)
}

// rotateEvery paces the look at the keyring. Its bounds are days and billions of operations, so
// that a minute more or less is nothing.
const rotateEvery = time.Minute

// rotate begins a new term of the keyring whenever the newest has reached its bounds, until ctx
// ends. Contract: sys §14.
func (n *Node) rotate(ctx context.Context) {
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		rotated, err := n.keeper.RotateIfDue(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			n.log.Error("rotating the encryption key failed; it is tried again", "error", err)
		case rotated:
			n.log.Info("the encryption key has a new term")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refreshEvery paces the look at the key that protects the root key.
const refreshEvery = time.Hour

// refresh has the root key follow the key that a seal of another system's protects it with, until
// ctx ends. At unseal that has just been done.
func (n *Node) refresh(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch fresh, err := n.keeper.Refresh(ctx); {
		case err != nil && ctx.Err() == nil:
			n.log.Warn("it could not be found out whether the seal has a newer key; it is tried again", "error", err)
		case fresh:
			n.log.Info("the root key is wrapped under the seal's newest key")
		}
	}
}

// Metrics is what the edge measures; nil for nothing.
func (n *Node) Metrics() *metrics.Set { return n.settings.Process.Metrics }

// resumeCounting finishes the countings of quotas that a crash has interrupted.
func (n *Node) resumeCounting(ctx context.Context, h *House) {
	if err := h.Quotas.Resume(ctx); err != nil && ctx.Err() == nil {
		n.log.Error("a lease count quota does not hold: what there was before it could not be counted; write it again", "error", err)
	}
}
