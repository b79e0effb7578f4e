package node_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/audit"
	"jeton/internal/clock"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// followed counts who follows the store's changes.
type followed struct {
	store.Store
	followers atomic.Int64
}

func (f *followed) Subscribe(fn func(store.Commit)) (cancel func()) {
	f.followers.Add(1)
	leave := f.Store.Subscribe(fn)
	return func() { f.followers.Add(-1); leave() }
}

// TestFailedUnsealLeavesNothing: a seal that opens by itself tries every few seconds for as long
// as, say, the only audit device cannot be opened.
func TestFailedUnsealLeavesNothing(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	f := &followed{Store: raw}
	n := node.New(f, nil, clock.NewSteady(time.Now, time.Time{}), node.Settings{
		Limits: mount.Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour}, Log: slog.New(slog.DiscardHandler),
		AuditTypes: map[string]audit.Factory{"file": func(context.Context, audit.Opening) (audit.Device, error) {
			return nil, errors.New("the disk is full")
		}},
	})
	defer func() {
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	dev, err := n.StartDev(t.Context(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.ConfigureAudit(t.Context(), map[string]audit.Spec{"f": {Type: "file"}}); err != nil {
		t.Fatal(err)
	}
	before := f.followers.Load()
	for range 3 {
		if _, err := n.SubmitShare(t.Context(), "here", dev.UnsealKey); !errors.Is(err, audit.ErrTable) {
			t.Fatalf("unsealed without an audit device: %v", err)
		}
		if !n.Sealed() || n.Keeper().Current() != nil {
			t.Fatal("the keys are there after a failed unseal")
		}
	}
	if after := f.followers.Load(); after != before {
		t.Errorf("%d followers of the store, %d before the failed unseals", after, before)
	}
}
