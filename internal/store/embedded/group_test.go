package embedded_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// turnClosures is how many closures are run in one turn: see embedded.groupClosures.
const turnClosures = 64

// waiting is a line of Updates behind one that has the turn.
type waiting struct {
	t       *testing.T
	s       *embedded.Store
	release chan struct{}
	ended   sync.WaitGroup
	n       int
	// firstErr is that of the one which has the turn; to be read once answered is closed.
	firstErr error
	answered chan struct{}
}

// holdTurn begins an Update that has the turn until the line is let go; then it runs first.
func holdTurn(t *testing.T, s *embedded.Store, first func(tx store.Tx) error) *waiting {
	t.Helper()
	w := &waiting{t: t, s: s, release: make(chan struct{}), answered: make(chan struct{})}
	begun := make(chan struct{})
	w.ended.Go(func() {
		defer close(w.answered)
		w.firstErr = s.Update(context.Background(), func(tx store.Tx) error {
			close(begun)
			<-w.release
			return first(tx)
		})
	})
	<-begun
	return w
}

// enter has do, which calls Update once, wait at the end of the line.
func (w *waiting) enter(do func()) {
	w.t.Helper()
	w.n++
	w.ended.Go(do)
	for w.s.Queued() != w.n { // It must come to that, or the test times out.
		runtime.Gosched()
	}
}

// run lets the line go, and returns when all have their answers.
func (w *waiting) run() {
	close(w.release)
	w.ended.Wait()
	if n := w.s.Queued(); n != 0 {
		w.t.Errorf("%d are left in the line", n)
	}
}

func nothing(store.Tx) error { return nil }

func putOne(key string) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.Put([]byte(key), []byte(key)) }
}

// Those who wait are run in the order in which they came. Each is a commit of its own: it sees
// what the ones before it wrote, and so does a View; it has the next position; and all before it
// have been told when it begins.
func TestGroupIsInOrder(t *testing.T) {
	const n = 2*turnClosures + 10
	s := openMemory(t)
	defer s.Close()
	type commit struct {
		position uint64
		key      string
	}
	var told []commit // written in turns only, one at a time
	defer s.Subscribe(func(c store.Commit) {
		for _, k := range c.Keys {
			if len(k) == 8 {
				told = append(told, commit{c.Position, string(k)})
			}
		}
	})()
	newest := func(r store.Reader) (uint64, error) {
		v, err := r.Get([]byte("newest"))
		if err != nil {
			return 0, err
		}
		return binary.BigEndian.Uint64(v), nil
	}
	step := func(i uint64) func(tx store.Tx) error {
		number := binary.BigEndian.AppendUint64(nil, i)
		return func(tx store.Tx) error {
			if i > 0 {
				before, err := newest(tx)
				if err != nil || before != i-1 {
					return fmt.Errorf("transaction %d sees %d, %v", i, before, err)
				}
				err = s.View(context.Background(), func(r store.Reader) error {
					seen, err := newest(r)
					if err != nil || seen != i-1 || r.Position() != tx.Position()-1 {
						return fmt.Errorf("a View before transaction %d sees %d at %d, %v", i, seen, r.Position(), err)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			if len(told) != int(i) || tx.Position() != i+1 {
				return fmt.Errorf("%d commits were told before transaction %d, which has position %d", len(told), i, tx.Position())
			}
			return errors.Join(tx.Put([]byte("newest"), number), tx.Put(number, nil))
		}
	}
	w := holdTurn(t, s, step(0))
	for i := range uint64(n) {
		w.enter(func() {
			if err := s.Update(t.Context(), step(i+1)); err != nil {
				t.Error(err)
			}
		})
	}
	w.run()
	if w.firstErr != nil {
		t.Error(w.firstErr)
	}
	for i, c := range told {
		if c.position != uint64(i+1) || c.key != string(binary.BigEndian.AppendUint64(nil, uint64(i))) {
			t.Fatalf("commit %d told at position %d as %x", i, c.position, c.key)
		}
	}
	if len(told) != n+1 {
		t.Errorf("%d of %d commits were told", len(told), n+1)
	}
}

// What goes wrong in one transaction reaches its own caller and nobody else; what was
// acknowledged is durable whatever came after it in the same turn.
func TestGroupFailsOneByOne(t *testing.T) {
	fails := errors.New("fails")
	write := func(tx store.Tx) error { return tx.Put([]byte("never"), nil) }
	var cancelled context.Context
	bad := map[string]func(s *embedded.Store) error{
		"error": func(s *embedded.Store) error {
			if err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(write(tx), fails) }); !errors.Is(err, fails) {
				return fmt.Errorf("Update = %v, want its own error", err)
			}
			return nil
		},
		"panic": func(s *embedded.Store) (err error) {
			defer func() {
				if p := recover(); p != fails {
					err = fmt.Errorf("recovered %v, want the closure's", p)
				}
			}()
			return s.Update(t.Context(), func(tx store.Tx) error { _ = write(tx); panic(fails) })
		},
		"nothing written": func(s *embedded.Store) error { return s.Update(t.Context(), nothing) },
		"cancelled": func(s *embedded.Store) error {
			ran := false
			err := s.Update(cancelled, func(tx store.Tx) error { ran = true; return write(tx) })
			if !errors.Is(err, context.Canceled) || ran {
				return fmt.Errorf("Update = %v, ran: %t; want it cancelled", err, ran)
			}
			return nil
		},
	}
	for _, name := range []string{"error", "panic", "nothing written", "cancelled"} {
		for _, leads := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, leads: %t", name, leads), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				cancelled = ctx
				disk := vfs.NewCrashableMem()
				s := openOn(t, disk)
				first := putOne("first")
				if leads { // It writes nothing, so that the next in the line leads.
					first = nothing
				}
				w := holdTurn(t, s, first)
				var acked []string
				var mu sync.Mutex // guards acked
				good := func(key string) {
					w.enter(func() {
						if err := s.Update(context.Background(), putOne(key)); err != nil {
							t.Errorf("%s: %v", key, err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						acked = append(acked, key)
					})
				}
				run := func() {
					w.enter(func() {
						if err := bad[name](s); err != nil {
							t.Error(err)
						}
					})
				}
				run()
				good("a")
				run()
				good("b")
				run() // The last: after it nothing is written that could carry the sync.
				cancel()
				w.run()
				if err := w.firstErr; err != nil {
					t.Error(err)
				}
				if slices.Sort(acked); !slices.Equal(acked, []string{"a", "b"}) {
					t.Errorf("acknowledged %q", acked)
				}
				if !leads {
					acked = append(acked, "first")
				}
				survivor := openOn(t, disk.CrashClone(vfs.CrashCloneCfg{}))
				defer survivor.Close()
				defer s.Close()
				checkKeys(t, survivor, acked)
				checkKeys(t, s, acked)
			})
		}
	}
}

// checkKeys checks the keys of s, and that there were as many commits.
func checkKeys(t *testing.T, s store.Store, want []string) {
	t.Helper()
	var got []string
	err := s.View(t.Context(), func(r store.Reader) error {
		if r.Position() != uint64(len(want)) {
			t.Errorf("at position %d after %d commits", r.Position(), len(want))
		}
		return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			got = append(got, string(k))
			return true, nil
		})
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

// A closure that ends its goroutine, as a test that gives up does, ends its caller's too, and
// everybody else has an answer.
func TestGroupClosureExits(t *testing.T) {
	s := openMemory(t)
	defer s.Close()
	w := holdTurn(t, s, putOne("first")) // Its goroutine is the one that is ended.
	w.enter(func() {
		if err := s.Update(t.Context(), putOne("a")); err != nil {
			t.Error(err)
		}
	})
	w.enter(func() {
		_ = s.Update(t.Context(), func(tx store.Tx) error { _ = tx.Put([]byte("never"), nil); runtime.Goexit(); return nil })
		t.Error("Update returned though its closure ended the goroutine")
	})
	w.enter(func() {
		if err := s.Update(t.Context(), putOne("b")); err != nil {
			t.Error(err)
		}
	})
	w.run()
	checkKeys(t, s, []string{"a", "b", "first"})
}

// A subscriber that panics does so to whoever has the turn. What was made is acknowledged, and
// nobody waits for ever.
func TestGroupSubscriberPanics(t *testing.T) {
	s := openMemory(t)
	defer s.Close()
	angry := errors.New("angry")
	defer s.Subscribe(func(c store.Commit) {
		if string(c.Keys[0]) == "a" {
			panic(angry)
		}
	})()
	w := &waiting{t: t, s: s, release: make(chan struct{})}
	begun := make(chan struct{})
	w.ended.Go(func() {
		defer func() {
			if p := recover(); p != angry {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = s.Update(t.Context(), func(tx store.Tx) error { close(begun); <-w.release; return putOne("first")(tx) })
	})
	<-begun
	for _, key := range []string{"a", "b"} {
		w.enter(func() {
			if err := s.Update(t.Context(), putOne(key)); err != nil {
				t.Error(err)
			}
		})
	}
	w.run()
	checkKeys(t, s, []string{"a", "b", "first"})
}

// When the log cannot be synced none of the commits of a turn is acknowledged; who wrote nothing
// has nothing to lose.
func TestGroupSyncFails(t *testing.T) {
	disk := vfs.NewMem()
	f := &fault{match: isSync, err: syscall.EIO}
	s := openOn(t, errorfs.Wrap(disk, f))
	defer s.Close()
	f.n.Store(1)
	w := holdTurn(t, s, putOne("first"))
	for i := range 2 * turnClosures {
		w.enter(func() {
			if err := s.Update(t.Context(), putOne(fmt.Sprint(i))); !errors.Is(err, syscall.EIO) {
				t.Errorf("commit %d = %v, want EIO", i, err)
			}
		})
		if i == 3 {
			w.enter(func() {
				if err := s.Update(t.Context(), nothing); err != nil {
					t.Error(err)
				}
			})
		}
	}
	w.run()
	if !errors.Is(w.firstErr, syscall.EIO) {
		t.Errorf("the first = %v, want EIO", w.firstErr)
	}
}

// Power fails at any moment of a turn, and keeps some of what was not synced. What comes back
// are the first commits of it, each of them whole.
func TestGroupCrash(t *testing.T) {
	const n = 20
	for _, percent := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("%d%% of unsynced data kept", percent), func(t *testing.T) {
			disk, l := vfs.NewCrashableMem(), &ledger{}
			cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(percent), 9))}
			s := openOn(t, disk)
			defer s.Close()
			if err := l.commit(s, 30_000); err != nil {
				t.Fatal(err)
			}
			var survivors []*vfs.MemFS // written in turns only
			w := holdTurn(t, s, nothing)
			for range n {
				w.enter(func() {
					if err := l.commit(s, 30_000); err != nil {
						t.Error(err)
					}
				})
				w.enter(func() {
					if err := s.Update(t.Context(), func(store.Tx) error {
						survivors = append(survivors, disk.CrashClone(cfg))
						return nil
					}); err != nil {
						t.Error(err)
					}
				})
			}
			w.run()
			for _, fs := range survivors {
				recovered := openOn(t, fs)
				l.check(t, recovered, 1)
				if err := recovered.Close(); err != nil {
					t.Error(err)
				}
			}
			recovered := openOn(t, disk.CrashClone(vfs.CrashCloneCfg{}))
			defer recovered.Close()
			l.check(t, recovered, n+1)
		})
	}
}

// Whoever has the turn runs a bounded number of closures of others, and none when its own made no
// commit: it has its answer while the ones behind it have not even run.
func TestGroupIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		first  func(store.Tx) error
		others int
	}{
		{"with a commit", putOne("first"), turnClosures - 1},
		{"without a commit", nothing, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openMemory(t)
			defer s.Close()
			w := holdTurn(t, s, tt.first)
			for i := range tt.others + 1 {
				w.enter(func() {
					if err := s.Update(t.Context(), func(tx store.Tx) error {
						if i == tt.others {
							<-w.answered // or the test times out
						}
						return tx.Put(fmt.Append(nil, i), nil)
					}); err != nil {
						t.Error(err)
					}
				})
			}
			w.run()
		})
	}
}

// A content that is exchanged has the turn for itself, in its place in the line.
func TestGroupAroundExchange(t *testing.T) {
	s := openMemory(t)
	defer s.Close()
	content, err := s.Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := content.Put([]byte("new"), nil); err != nil {
		t.Fatal(err)
	}
	w := holdTurn(t, s, putOne("first"))
	commit := func(key string) func() {
		return func() {
			if err := s.Update(t.Context(), putOne(key)); err != nil {
				t.Error(err)
			}
		}
	}
	w.enter(commit("before"))
	w.enter(func() {
		if err := content.Commit(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
	w.enter(commit("after"))
	w.enter(commit("last"))
	w.run()
	var got []string
	err = s.View(t.Context(), func(r store.Reader) error {
		return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) { got = append(got, string(k)); return true, nil })
	})
	if want := []string{"after", "last", "new"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
