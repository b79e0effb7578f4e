package embedded_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

func mendableOn(t *testing.T, fs vfs.FS) *embedded.Mendable {
	t.Helper()
	m, err := embedded.OpenMendable(t.Context(), embedded.Options{Path: "data", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What can be mended keeps the promises of a store all the same.
func TestMendableConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("the Store inside has the same suite; with the race detector it takes minutes")
	}
	storetest.Run(t, func(t *testing.T) store.Store { return mendableOn(t, vfs.NewMem()) })
}

// Issue 4.2: when space returns, the store takes writes again with all that was acknowledged, and
// with nothing in part; positions go on; whoever follows it hears that anything may have changed.
func TestDiskFullAndMended(t *testing.T) {
	step := int64(6)
	if testing.Short() {
		step = 30
	}
	for at := int64(1); at < 80; at += step {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			f := &fault{match: isWrite, err: syscall.ENOSPC}
			m := mendableOn(t, errorfs.Wrap(vfs.NewCrashableMem(), f))
			var mu sync.Mutex
			var heard []store.Commit
			cancel := m.Subscribe(func(c store.Commit) {
				mu.Lock()
				defer mu.Unlock()
				heard = append(heard, store.Commit{Position: c.Position, Ranges: c.Ranges})
			})
			defer cancel()
			write := func(n int) error {
				return m.Update(t.Context(), func(tx store.Tx) error {
					return errors.Join(tx.Put(fmt.Appendf(nil, "a/%06d", n), make([]byte, 20<<10)), tx.Put(fmt.Appendf(nil, "b/%06d", n), nil))
				})
			}
			f.n.Store(at)
			acknowledged, tried := map[int]bool{}, 0
			for ; tried < 4000; tried++ {
				err := write(tried)
				if err != nil {
					break
				}
				acknowledged[tried] = true
			}
			if err := m.Err(); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("after %d writes: %v", tried, err)
			}
			if err := m.Mend(t.Context()); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("mending on a full disk: %v", err)
			}
			if err := m.View(t.Context(), func(store.Reader) error { return nil }); err != nil {
				t.Errorf("reading meanwhile: %v", err)
			}
			f.n.Store(0)
			for range 2 { // The second finds nothing to do.
				if err := m.Mend(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			mu.Lock()
			last := heard[len(heard)-1]
			for i := 1; i < len(heard); i++ {
				if heard[i].Position <= heard[i-1].Position {
					t.Errorf("position %d comes after %d", heard[i].Position, heard[i-1].Position)
				}
			}
			mu.Unlock()
			if len(last.Ranges) != 1 || len(last.Ranges[0].From)+len(last.Ranges[0].To) != 0 {
				t.Errorf("the last that was heard is %+v", last)
			}
			there := map[string]int{}
			if err := m.View(t.Context(), func(r store.Reader) error {
				if r.Position() != last.Position {
					t.Errorf("position %d, told %d", r.Position(), last.Position)
				}
				return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) { there[string(k[2:])]++; return true, nil })
			}); err != nil {
				t.Fatal(err)
			}
			for n := range tried + 1 {
				parts := there[fmt.Sprintf("%06d", n)]
				if acknowledged[n] && parts != 2 || parts == 1 {
					t.Errorf("write %d, acknowledged %t, has %d parts of two", n, acknowledged[n], parts)
				}
			}
			if err := write(tried + 1); err != nil {
				t.Errorf("a write afterwards: %v", err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if err := m.Mend(t.Context()); !errors.Is(err, store.ErrClosed) {
				t.Errorf("mending a closed store: %v", err)
			}
		})
	}
}

// A disk that takes what is written to try it, and fails when the store is opened: calls fail until
// another Mend succeeds, nothing acknowledged is lost, and no position is given out again.
func TestMendThatFailsHalfway(t *testing.T) {
	var logsAlone atomic.Bool
	f := &fault{match: func(op errorfs.Op) bool { return isWrite(op) && (!logsAlone.Load() || onFile("*.log")(op)) }, err: syscall.ENOSPC}
	m := mendableOn(t, errorfs.Wrap(vfs.NewCrashableMem(), f))
	defer m.Close()
	position := func() (at uint64) {
		t.Helper()
		if err := m.View(t.Context(), func(r store.Reader) error {
			at = r.Position()
			_, err := r.Get([]byte("a"))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return at
	}
	put := func() error {
		return m.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("a"), nil) })
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	f.n.Store(1)
	if err := put(); err == nil {
		t.Fatal("the fault did not show")
	}
	before := position()
	logsAlone.Store(true)
	if err := m.Mend(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("mending: %v", err)
	}
	for name, err := range map[string]error{"Update": put(), "View": m.View(t.Context(), func(store.Reader) error { return nil })} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s between two attempts: %v", name, err)
		}
	}
	f.n.Store(0)
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := position(); after <= before {
		t.Errorf("position %d after it, %d before", after, before)
	}
	if err := put(); err != nil {
		t.Error(err)
	}
}
