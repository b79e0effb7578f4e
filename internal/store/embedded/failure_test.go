package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// fault makes the file operations that match it fail, from the n-th one on, with err; only
// that one when once is set. It is off until n is set.
type fault struct {
	match func(errorfs.Op) bool
	err   error
	once  bool

	n    atomic.Int64 // 0 is off
	seen atomic.Int64
}

// MaybeError implements errorfs.Injector.
func (f *fault) MaybeError(op errorfs.Op) error {
	n := f.n.Load()
	if n == 0 || !f.match(op) {
		return nil
	}
	if seen := f.seen.Add(1); seen == n || seen > n && !f.once {
		return f.err
	}
	return nil
}

func (f *fault) String() string { return "fault" }

func isWrite(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite }

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

// onFile matches writes to files whose name matches pattern.
func onFile(pattern string) func(errorfs.Op) bool {
	return func(op errorfs.Op) bool {
		ok, _ := filepath.Match(pattern, filepath.Base(op.Path))
		return ok && isWrite(op)
	}
}

// failingCommits commits from several goroutines until each has been refused.
func failingCommits(t *testing.T, s *embedded.Store, l *ledger) {
	t.Helper()
	const (
		writers     = 4
		commitBytes = 30 << 10
		most        = 4000 // commits by which a log and a table must have been written
	)
	var refused atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range most {
				err := l.commit(s, commitBytes)
				if err == nil {
					continue
				}
				refused.Add(1)
				if !strings.HasPrefix(err.Error(), "store: write failed, ") {
					t.Errorf("Update = %v, want it to say that a write failed", err)
				}
				return
			}
		})
	}
	wg.Wait()
	if refused.Load() != writers {
		t.Errorf("%d of %d writers were refused", refused.Load(), writers)
	}
}

// A disk that fails at any of its operations never takes the process down and never loses what
// was acknowledged: Updates are refused with the cause, Views go on, and when the disk is well
// again the next Open finds everything.
func TestDiskFails(t *testing.T) {
	tests := []struct {
		name  string
		match func(errorfs.Op) bool
		err   error
		once  bool
		from  int64 // first operation to fail, of those that match
		step  int64
		until int64
	}{
		{"disk full", isWrite, syscall.ENOSPC, false, 1, 7, 60},
		{"one write lost", isWrite, syscall.EIO, true, 1, 7, 60},
		{"sync fails once", isSync, syscall.EIO, true, 1, 5, 40},
		{"sync fails from then on", isSync, syscall.EIO, false, 1, 5, 40},
		{"log", onFile("*.log"), syscall.ENOSPC, false, 1, 13, 60},
		{"tables", onFile("*.sst"), syscall.ENOSPC, false, 1, 2, 5},
		{"one table write", onFile("*.sst"), syscall.EIO, true, 1, 2, 5},
		{"manifest", onFile("MANIFEST-*"), syscall.EIO, true, 1, 1, 2},
		{"new log cannot be created", func(op errorfs.Op) bool {
			return onFile("*.log")(op) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite)
		}, syscall.EMFILE, true, 1, 1, 3},
	}
	for _, tt := range tests {
		for n := tt.from; n <= tt.until; n += tt.step {
			t.Run(fmt.Sprintf("%s/at operation %d", tt.name, n), func(t *testing.T) {
				disk := vfs.NewCrashableMem()
				f := &fault{match: tt.match, err: tt.err, once: tt.once}
				s := openOn(t, errorfs.Wrap(disk, f))
				var l ledger
				if err := l.commit(s, 100); err != nil {
					t.Fatal(err)
				}
				if err := s.Err(); err != nil {
					t.Errorf("Err of a sound store = %v", err)
				}
				f.n.Store(n)
				failingCommits(t, s, &l)
				checkFailed(t, s, tt.err, &l)

				f.n.Store(0)
				for name, fs := range map[string]vfs.FS{"the same disk": disk, "the disk after a power cut": disk.CrashClone(vfs.CrashCloneCfg{})} {
					checkRecovered(t, name, fs, &l)
				}
			})
		}
	}
}

// checkFailed verifies what a store with a failed disk does, and closes it.
func checkFailed(t *testing.T, s *embedded.Store, cause error, l *ledger) {
	t.Helper()
	ran := false
	if err := s.Update(t.Context(), func(store.Tx) error { ran = true; return nil }); !errors.Is(err, cause) || ran {
		t.Errorf("Update = %v, fn ran: %v, want it refused because of %v", err, ran, cause)
	}
	if err := s.Err(); !errors.Is(err, cause) {
		t.Errorf("Err = %v, want %v", err, cause)
	}
	l.check(t, s, l.highest())
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

// checkRecovered opens the store once the disk is well again.
func checkRecovered(t *testing.T, name string, fs vfs.FS, l *ledger) {
	t.Helper()
	s := openOn(t, fs)
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
	}()
	l.check(t, s, l.highest())
	if err := (&ledger{}).commit(s, 1000); err != nil {
		t.Errorf("%s: Update after recovery: %v", name, err)
	}
	l.check(t, s, l.highest()+1)
}

// An operation that fails while the store is opened is an error of Open, and does no harm.
func TestDiskFailsDuringOpen(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := openOn(t, disk)
	var l ledger
	for range 40 { // enough for a table and a log to be replayed
		if err := l.commit(s, 30<<10); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	any := func(errorfs.Op) bool { return true }
	refused := 0
	for n := int64(1); ; n++ {
		copied := disk.CrashClone(vfs.CrashCloneCfg{})
		f := &fault{match: any, err: syscall.EIO, once: true}
		f.n.Store(n)
		s, err := embedded.Open(t.Context(), embedded.Options{Path: "data", FS: errorfs.Wrap(copied, f)})
		if f.seen.Load() < n {
			s.Close()
			break // Open needs fewer operations than that
		}
		f.n.Store(0)
		if err == nil { // what failed did not matter
			l.check(t, s, l.highest())
			if err := s.Close(); err != nil {
				t.Errorf("operation %d: Close: %v", n, err)
			}
		} else {
			refused++
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "data") {
				t.Errorf("operation %d: Open = %v, want EIO and the path", n, err)
			}
		}
		checkRecovered(t, fmt.Sprintf("operation %d", n), copied, &l)
		if t.Failed() {
			return
		}
	}
	if refused < 10 {
		t.Errorf("only %d operations made Open fail", refused)
	}
}

// stallLog waits for the message that writers wait for the disk.
type stallLog struct {
	slog.Handler
	stalled func()
}

// Handle implements slog.Handler.
func (l stallLog) Handle(_ context.Context, record slog.Record) error {
	if strings.Contains(record.Message, "writes wait for the disk") {
		l.stalled()
	}
	return nil
}

// Enabled implements slog.Handler.
func (stallLog) Enabled(context.Context, slog.Level) bool { return true }

// A disk that is too slow for the writers makes them wait. When it then fails, the one who
// waits inside a commit gets an answer too, and Close does not hang.
func TestDiskFailsWhileWritersWait(t *testing.T) {
	stalled := make(chan struct{})
	disk := vfs.NewMem()
	slow := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if filepath.Ext(op.Path) != ".sst" || !isWrite(op) {
			return nil
		}
		<-stalled // flushes stand still until writers wait for them
		return syscall.ENOSPC
	})
	logger := slog.New(stallLog{stalled: sync.OnceFunc(func() { close(stalled) })})
	s, err := embedded.Open(t.Context(), embedded.Options{Path: "data", FS: errorfs.Wrap(disk, slow), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 20<<20)
	acked := 0
	const most = 20 // 400 MB: more than may wait for a flush
	for ; acked < most; acked++ {
		err = s.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte{byte(acked)}, value) })
		if err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Update = %v, want ENOSPC", err)
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		for i := range acked {
			if _, err := r.Get([]byte{byte(i)}); err != nil {
				return fmt.Errorf("value %d of %d: %w", i, acked, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	reopened := openOn(t, disk)
	defer reopened.Close()
	err = reopened.View(t.Context(), func(r store.Reader) error {
		if r.Position() < uint64(acked) {
			t.Errorf("position is %d after %d acknowledged commits", r.Position(), acked)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
