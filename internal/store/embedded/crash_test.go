package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// openOn opens a store on a file system of the test's.
func openOn(t testing.TB, fs vfs.FS) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{Path: "data", FS: fs, Logger: slog.New(slog.DiscardHandler), CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ledger is a workload whose every commit can be recognised: commit n writes the three keys
// a/n, m/n and z/n and moves "newest" to n. It notes which commits were acknowledged.
type ledger struct {
	mu    sync.Mutex // guards acked
	acked uint64     // the highest position that was acknowledged
}

var ledgerKeys = []string{"a", "m", "z"}

// commit makes one commit of about size bytes.
func (l *ledger) commit(s store.Store, size int) error {
	var at uint64
	filling := strings.Repeat("x", size/len(ledgerKeys))
	err := s.Update(context.Background(), func(tx store.Tx) error {
		at = tx.Position()
		for _, k := range ledgerKeys {
			if err := tx.Put(fmt.Appendf(nil, "%s/%016d", k, at), []byte(filling)); err != nil {
				return err
			}
		}
		return tx.Put([]byte("newest"), fmt.Append(nil, at))
	})
	if err == nil {
		l.mu.Lock()
		l.acked = max(l.acked, at)
		l.mu.Unlock()
	}
	return err
}

func (l *ledger) highest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// check verifies that s holds exactly the commits 1 to n, each of them whole, for an n that is
// its position and at least atLeast.
func (l *ledger) check(t *testing.T, s store.Store, atLeast uint64) {
	t.Helper()
	err := s.View(context.Background(), func(r store.Reader) error {
		n := r.Position()
		if n < atLeast {
			return fmt.Errorf("position is %d, but %d was acknowledged", n, atLeast)
		}
		for _, k := range ledgerKeys {
			next := uint64(1)
			rng := store.PrefixRange([]byte(k + "/"))
			rng.KeysOnly = true
			err := r.Scan(rng, func(key, _ []byte) (bool, error) {
				if want := fmt.Sprintf("%s/%016d", k, next); string(key) != want {
					return false, fmt.Errorf("found %s, want %s", key, want)
				}
				next++
				return true, nil
			})
			if err != nil {
				return err
			}
			if next != n+1 {
				return fmt.Errorf("%d keys under %s at position %d", next-1, k, n)
			}
		}
		newest, err := r.Get([]byte("newest"))
		if n == 0 && errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err == nil && string(newest) != fmt.Sprint(n) {
			err = fmt.Errorf("newest is %s at position %d", newest, n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// afterCommits returns when n more commits have become visible.
func afterCommits(s store.Store, n int) {
	reached := make(chan struct{})
	cancel := s.Subscribe(func(store.Commit) {
		if n--; n == 0 {
			close(reached)
		}
	})
	<-reached
	cancel()
}

// writeUntil commits from several goroutines until stop is closed, and returns when they ended.
func (l *ledger) writeUntil(t *testing.T, s store.Store, stop <-chan struct{}) {
	const (
		writers     = 6
		commitBytes = 6 << 10
	)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := l.commit(s, commitBytes); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// crash lets writers work on s, which is on fs, and returns fs as a power cut would leave it in
// the midst of that, with what had been acknowledged before.
func (l *ledger) crash(t *testing.T, s store.Store, fs *vfs.MemFS, cfg vfs.CrashCloneCfg) (survivor *vfs.MemFS, promised uint64) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		l.writeUntil(t, s, stop)
	}()
	afterCommits(s, 1+cfg.RNG.IntN(60)) // and before the sync of the last of them
	promised = l.highest()
	survivor = fs.CrashClone(cfg)
	close(stop)
	<-stopped
	return survivor, promised
}

// generation opens the store on fs and has the power cut several times. What is left each time
// must hold what had been acknowledged. It returns the last of that, and the ledger of that
// history: what was acknowledged later never was.
func (l *ledger) generation(t *testing.T, fs *vfs.MemFS, cfg vfs.CrashCloneCfg) (*vfs.MemFS, *ledger) {
	const cuts = 3
	s := openOn(t, fs)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	l.check(t, s, l.highest())
	var (
		survivor *vfs.MemFS
		promised uint64
	)
	for range cuts {
		survivor, promised = l.crash(t, s, fs, cfg)
		recovered := openOn(t, survivor.CrashClone(vfs.CrashCloneCfg{}))
		l.check(t, recovered, promised)
		if err := recovered.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	return survivor, &ledger{acked: promised}
}

// Power fails at any moment under concurrent commits, and keeps some of what was not synced.
// What comes back holds every acknowledged commit, none by half, none out of order; and goes on.
func TestCrash(t *testing.T) {
	const generations = 6
	for _, percent := range []int{0, 10, 50, 90, 100} {
		t.Run(fmt.Sprintf("%d%% of unsynced data kept", percent), func(t *testing.T) {
			cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(percent), 7))}
			fs, l := vfs.NewCrashableMem(), &ledger{}
			for range generations {
				fs, l = l.generation(t, fs, cfg)
			}
			last := openOn(t, fs)
			defer last.Close()
			if err := l.commit(last, 1000); err != nil {
				t.Error(err)
			}
			l.check(t, last, l.highest())
		})
	}
}
