package node_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jeton/internal/clock"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// full is a disk without room: for everything, or for logs alone, so that it looks well until the store
// is opened on it.
type full struct{ everything, logs atomic.Bool }

func (f *full) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && (f.everything.Load() || f.logs.Load() && strings.HasSuffix(op.Path, ".log")) {
		return syscall.ENOSPC
	}
	return nil
}

func (f *full) String() string { return "full" }

// mending is an open server over a store on a disk that can be full, and followers of the store.
type mending struct {
	*server
	disk  *full
	store *embedded.Mendable
	seen  *followed
}

// watched is a store that can be mended, with a count of who follows it.
type watched struct {
	*embedded.Mendable
	seen *followed
}

func (w watched) Subscribe(fn func(store.Commit)) (cancel func()) { return w.seen.Subscribe(fn) }

func onDisk(t *testing.T) *mending {
	t.Helper()
	m := &mending{server: &server{}, disk: &full{}}
	var err error
	m.store, err = embedded.OpenMendable(t.Context(), embedded.Options{Path: "data", FS: errorfs.Wrap(vfs.NewMem(), m.disk)})
	if err != nil {
		t.Fatal(err)
	}
	m.seen = &followed{Store: m.store}
	m.Node = node.New(watched{m.store, m.seen}, nil, clock.NewSteady(time.Now, time.Time{}), node.Settings{
		Limits: mount.Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	t.Cleanup(func() {
		m.disk.everything.Store(false)
		m.disk.logs.Store(false)
		_ = m.Mend(context.Background())
		if err := m.Close(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	dev, err := m.StartDev(t.Context(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m.share, m.root = dev.UnsealKey, dev.RootToken
	return m
}

// breaks makes a write fail for want of room; the store takes none from then on.
func (m *mending) breaks(t *testing.T) {
	t.Helper()
	m.disk.everything.Store(true)
	if err := m.store.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("x"), nil) }); err == nil {
		t.Fatal("the disk has room")
	}
	m.disk.everything.Store(false)
}

// lives says that a token is good in the open house.
func (m *mending) lives(t *testing.T, text string) {
	t.Helper()
	m.in(t, func(h *node.House) {
		if _, err := h.Tokens.Authenticate(t.Context(), text, netip.Addr{}); err != nil {
			t.Errorf("a token from before: %v", err)
		}
	})
}

// A disk that is well again has the server go on, with the keys that it has.
func TestMendGoesOn(t *testing.T) {
	m := onDisk(t)
	text := m.make(t)
	m.breaks(t)
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.lives(t, text)
	m.make(t)
}

// A disk that is still full changes nothing: what can be read is read.
func TestMendOnAFullDisk(t *testing.T) {
	m := onDisk(t)
	text := m.make(t)
	m.breaks(t)
	m.disk.everything.Store(true)
	for range 3 {
		if err := m.Mend(t.Context()); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("mended: %v", err)
		}
		m.lives(t, text)
	}
}

// A disk that fails a second time, when the store is opened again, leaves the server sealed, without keys in
// memory, and without anything that is left of the house. Once the disk is well the store is mended, and
// the shares open it with all that was acknowledged. (The store's half is TestMendThatFailsHalfway there.)
func TestMendThatFailsHalfwaySealsTheServer(t *testing.T) {
	m := onDisk(t)
	text := m.make(t)
	open := m.seen.followers.Load()
	m.breaks(t)

	m.disk.logs.Store(true)
	for range 3 {
		err := m.Mend(t.Context())
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("mended: %v", err)
		}
		if !m.Sealed() || m.Enter() != nil {
			t.Fatal("requests are let in to a store that is not there")
		}
		if m.Keeper().Current() != nil {
			t.Fatal("the keys are in memory, and nobody needs them")
		}
		if _, err := m.SubmitShare(t.Context(), "here", m.share); !errors.Is(err, store.ErrClosed) {
			t.Fatalf("unsealed without a store: %v", err)
		}
	}

	m.disk.logs.Store(false)
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !m.Sealed() {
		t.Fatal("the server has opened itself, and its keys were gone")
	}
	if left := m.seen.followers.Load(); left >= open {
		t.Errorf("%d follow the store of a server that is sealed, %d of the open one", left, open)
	}
	if status, err := m.SubmitShare(t.Context(), "here", m.share); err != nil || status.Sealed {
		t.Fatalf("%+v, %v", status, err)
	}
	if now := m.seen.followers.Load(); now != open {
		t.Errorf("%d follow the store, %d before it failed", now, open)
	}
	m.lives(t, text)
	m.make(t)
}
