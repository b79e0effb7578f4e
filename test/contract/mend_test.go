package contract_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jeton/internal/node"
	"jeton/internal/store/embedded"
)

// fullDisk fails writes while it is full.
type fullDisk struct{ full atomic.Bool }

// MaybeError implements errorfs.Injector.
func (d *fullDisk) MaybeError(op errorfs.Op) error {
	if d.full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return syscall.ENOSPC
	}
	return nil
}

func (d *fullDisk) String() string { return "full disk" }

// Issue 4.2: on a full disk writes fail and say so, reads go on; when space returns the server goes on
// by itself, unsealed, with all that was acknowledged and nothing that was not.
func TestDiskFullAndRecovered(t *testing.T) {
	disk := &fullDisk{}
	raw, err := embedded.OpenMendable(t.Context(), embedded.Options{Path: "data", FS: errorfs.Wrap(vfs.NewMem(), disk)})
	if err != nil {
		t.Fatal(err)
	}
	h := sealed(t, raw)
	dev, err := h.node.StartDev(t.Context(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.unseal, h.root = dev.UnsealKey, dev.RootToken
	h.do("POST", "secret/data/a", h.root, m{"data": m{"n": "1"}}).is(200)
	token := h.create(h.root, m{"policies": "default", "ttl": "1h"})
	ended := h.create(h.root, m{"policies": "default", "ttl": "1h"})
	h.do("POST", "auth/token/revoke", h.root, m{"token": ended}).empty()

	disk.full.Store(true)
	for range 2 {
		h.do("POST", "secret/data/a", h.root, m{"data": m{"n": "2"}}).failsLike(500, "the storage takes no writes: its disk is full or has failed")
		h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).failsLike(500, "the storage takes no writes: its disk is full or has failed")
		h.do("POST", "auth/token/revoke", h.root, m{"token": token}).failsLike(500, "the storage takes no writes: its disk is full or has failed")
	}
	if err := h.node.Mend(t.Context()); err == nil {
		t.Error("mended on a full disk")
	}
	h.do("GET", "secret/data/a", h.root, nil).is(200)
	h.do("GET", "sys/health", "", nil).is(200)

	disk.full.Store(false)
	for range 2 {
		if err := h.node.Mend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.do("GET", "secret/data/a", h.root, nil).is(200).has("1", "data", "data", "n")
	h.lives(token)
	h.dead(ended)
	h.do("POST", "secret/data/a", h.root, m{"data": m{"n": "3"}}).is(200)
	h.do("POST", "auth/token/revoke", h.root, m{"token": token}).empty()
	h.dead(token)
	h.lives(h.create(h.root, m{"policies": "default", "ttl": "1h"}))
	if log := h.log.String(); !strings.Contains(log, "the store takes writes again") {
		t.Errorf("the log does not say so: %s", lastLine(log))
	}
}
