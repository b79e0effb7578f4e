package node_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jeton/internal/audit"
	"jeton/internal/clock"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/seal"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// keyAway is a seal's key that somebody else has, who may be away.
type keyAway struct {
	*seal.Static
	away  atomic.Bool
	asked atomic.Int64
}

var errAway = errors.New("who has the key cannot be reached")

func (k *keyAway) Unwrap(ctx context.Context, name, wrapped []byte) ([]byte, bool, error) {
	k.asked.Add(1)
	if k.away.Load() {
		return nil, false, errAway
	}
	return k.Static.Unwrap(ctx, name, wrapped)
}

// lines counts the log's lines that hold a text.
type lines struct {
	sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.Lock()
	defer l.Unlock()
	return strings.Count(l.text.String(), text)
}

// quickProbe is a file system on which it costs nothing to see whether there is room: these tests look
// many times. A disk that is full still refuses the probe's file.
type quickProbe struct{ vfs.FS }

func (q quickProbe) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := q.FS.Create(name, category)
	if err == nil && strings.HasSuffix(name, "probe") {
		return unwritten{file}, nil
	}
	return file, err
}

type unwritten struct{ vfs.File }

func (unwritten) Write(p []byte) (int, error) { return len(p), nil }

// selfOpening is a server whose seal opens by itself, on a disk that can be full, with the loops that a
// process runs. It lives in a bubble, where time passes when everybody waits.
type selfOpening struct {
	*mending
	key *keyAway
	log *lines
	// noAudit says that audit devices cannot be opened.
	noAudit atomic.Bool
	// quit ends the loops and waits for them.
	quit func()
}

// inBubble runs fn over a server that is initialised and was opened by its loop.
func inBubble(t *testing.T, fn func(t *testing.T, s *selfOpening)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		static, err := seal.NewStatic("k", make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		s := &selfOpening{mending: &mending{server: &server{}, disk: &full{}}, key: &keyAway{Static: static}, log: &lines{}}
		s.store, err = embedded.OpenMendable(t.Context(), embedded.Options{Path: "data", FS: quickProbe{errorfs.Wrap(vfs.NewMem(), s.disk)}})
		if err != nil {
			t.Fatal(err)
		}
		s.start()
		t.Cleanup(func() {
			s.quit()
			s.heal()
			if err := errors.Join(s.Mend(context.Background()), s.Close(context.Background())); err != nil {
				t.Error(err)
			}
		})
		pass(time.Minute)
		if n := s.log.count("none were found"); n != 1 || s.log.count("failed to unseal") > 0 {
			t.Fatalf("a server that waits for init says so once, not %d times, and nothing worse:\n%s", n, s.log.text.String())
		}
		made, err := s.Init(t.Context(), seal.InitRequest{Recovery: seal.Config{Shares: 1, Threshold: 1}}, "")
		if err != nil {
			t.Fatal(err)
		}
		s.root = made.RootToken
		pass(5 * time.Second)
		if s.Sealed() {
			t.Fatal("it has not opened itself")
		}
		fn(t, s)
	})
}

// start makes the node and runs its loops, as the start of a process does.
func (s *selfOpening) start() {
	s.Node = node.New(s.store, s.key, clock.NewSteady(time.Now, time.Time{}), node.Settings{
		Limits:     mount.Limits{DefaultTTL: 24 * time.Hour, MaxTTL: 240 * time.Hour},
		AuditTypes: map[string]audit.Factory{"file": s.device}, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { s.KeepMending(ctx) })
	loops.Go(func() { s.KeepOpen(ctx) })
	s.quit = func() { cancel(); loops.Wait() }
}

// device opens an audit device that drops everything.
func (s *selfOpening) device(context.Context, audit.Opening) (audit.Device, error) {
	if s.noAudit.Load() {
		return nil, syscall.ENOSPC
	}
	return dropped{}, nil
}

type dropped struct{}

func (dropped) Write(context.Context, []byte) error { return nil }
func (dropped) Reopen() error                       { return nil }
func (dropped) Close() error                        { return nil }

// pass lets time pass, and what is due in it happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// loses has the disk fail, and fail again when the store is opened anew: the keys go.
func (s *selfOpening) loses(t *testing.T) {
	t.Helper()
	s.breaks(t)
	s.disk.logs.Store(true)
	pass(10 * time.Second)
	if !s.Sealed() || s.Keeper().Current() != nil {
		t.Fatal("the server is open without its store")
	}
}

func (s *selfOpening) heal() {
	s.disk.everything.Store(false)
	s.disk.logs.Store(false)
}

// A server whose seal opens by itself, and that has lost its keys over a disk that failed twice, is open
// again with the next look at the disk that finds it well.
func TestKeepOpenAfterAFailedMend(t *testing.T) {
	inBubble(t, func(t *testing.T, s *selfOpening) {
		text := s.make(t)
		for range 3 {
			s.loses(t)
			s.heal()
			pass(5 * time.Second)
			s.lives(t, text)
			s.make(t)
		}
		if now := s.key.asked.Load(); now != 4 {
			t.Errorf("the key was asked for %d times, for a start and three losses", now)
		}
	})
}

// However long the disk is not well: a try a minute at most, and open at once when it is.
func TestKeepOpenWhileTheDiskFailsForLong(t *testing.T) {
	inBubble(t, func(t *testing.T, s *selfOpening) {
		text := s.make(t)
		s.loses(t)
		const tried = "failed to unseal core"
		s.disk.everything.Store(true)
		pass(5 * time.Minute) // by now the pause is the longest
		before := s.log.count(tried)
		pass(40 * time.Minute)
		if n := s.log.count(tried) - before; n < 39 || n > 41 {
			t.Errorf("%d tries in 40 minutes", n)
		}
		s.heal()
		pass(5 * time.Second)
		s.lives(t, text)
	})
}

// The disk is well and the key is away: tries come less and less often, and one of them succeeds.
func TestKeepOpenWhileTheKeyIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, s *selfOpening) {
		text := s.make(t)
		s.loses(t)
		s.key.away.Store(true)
		s.heal()
		pass(5 * time.Second) // the disk is seen to be well; the first try
		before := s.key.asked.Load()
		for _, gap := range []time.Duration{5, 10, 20, 40, 60, 60, 60} {
			pass(gap*time.Second - time.Millisecond)
			if n := s.key.asked.Load() - before; n != 0 {
				t.Errorf("%d tries before %d seconds are over", n, gap)
			}
			pass(time.Millisecond)
			if n := s.key.asked.Load() - before; n != 1 {
				t.Errorf("%d tries when %d seconds are over", n, gap)
			}
			before = s.key.asked.Load()
		}
		s.key.away.Store(false)
		pass(time.Minute)
		s.lives(t, text)
	})
}

// The store is mended, and the audit log's disk is still full: nothing is served before it has room too.
func TestKeepOpenWhileNothingCanBeAudited(t *testing.T) {
	inBubble(t, func(t *testing.T, s *selfOpening) {
		if err := s.ConfigureAudit(t.Context(), map[string]audit.Spec{"f": {Type: "file"}}); err != nil {
			t.Fatal(err)
		}
		text := s.make(t)
		s.noAudit.Store(true)
		s.breaks(t)
		pass(10 * time.Minute)
		if !s.Sealed() || s.Keeper().Current() != nil {
			t.Fatal("it is open, and nothing of what it does would be written down")
		}
		if n := s.log.count("failed to setup audit table"); n < 10 || n > 20 {
			t.Errorf("%d tries in ten minutes", n)
		}
		s.noAudit.Store(false)
		pass(time.Minute)
		s.lives(t, text)
	})
}

// At a start the tries go on every five seconds. Contract: config §5.
func TestKeepOpenAtAStart(t *testing.T) {
	inBubble(t, func(t *testing.T, s *selfOpening) {
		s.restart(t, true)
		before := s.key.asked.Load()
		pass(10 * time.Minute)
		if n := s.key.asked.Load() - before; n != 120 {
			t.Errorf("%d tries in 120 times five seconds", n)
		}
		s.key.away.Store(false)
		pass(5 * time.Second)
		s.make(t)
	})
}

// restart ends the process, as far as the store allows, and starts the next.
func (s *selfOpening) restart(t *testing.T, away bool) {
	t.Helper()
	s.quit()
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.key.away.Store(away)
	s.start()
	pass(time.Millisecond)
}

// What an operator has sealed stays sealed, whatever the disk does; another process opens it.
func TestKeepOpenLeavesWhatWasSealedOnPurpose(t *testing.T) {
	for name, sealed := range map[string]func(t *testing.T, s *selfOpening, seal func()){
		"and nothing fails":        func(_ *testing.T, _ *selfOpening, seal func()) { seal() },
		"before the disk fails":    func(t *testing.T, s *selfOpening, seal func()) { seal(); s.breaks(t) },
		"and the disk fails twice": func(t *testing.T, s *selfOpening, seal func()) { seal(); s.loses(t); s.heal() },
		"while a mend has failed":  func(t *testing.T, s *selfOpening, seal func()) { s.loses(t); seal(); s.heal() },
		"while the key is away": func(t *testing.T, s *selfOpening, seal func()) {
			s.loses(t)
			s.key.away.Store(true)
			s.heal()
			pass(time.Minute)
			seal()
			s.key.away.Store(false)
		},
		"after it has come back by itself": func(t *testing.T, s *selfOpening, seal func()) { s.loses(t); s.heal(); pass(5 * time.Second); seal() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *selfOpening) {
				text := s.make(t)
				asked := int64(-1)
				sealed(t, s, func() {
					if err := s.Seal(t.Context()); err != nil && !errors.Is(err, store.ErrClosed) {
						t.Fatal(err)
					}
					asked = s.key.asked.Load()
				})
				pass(10 * time.Minute)
				if !s.Sealed() || s.Keeper().Current() != nil {
					t.Fatal("what an operator has sealed has opened itself")
				}
				if now := s.key.asked.Load(); now != asked {
					t.Errorf("the key was asked for %d times since", now-asked)
				}
				s.restart(t, false)
				s.lives(t, text)
			})
		})
	}
}

// A process that is told to end does not wait out a pause, and the next life of the server is not hindered.
func TestKeepOpenEndsWhileItWaits(t *testing.T) {
	for name, waiting := range map[string]func(t *testing.T, s *selfOpening){
		"open":         func(*testing.T, *selfOpening) {},
		"for the disk": func(t *testing.T, s *selfOpening) { s.loses(t); s.disk.everything.Store(true); pass(10 * time.Minute) },
		"for the key": func(t *testing.T, s *selfOpening) {
			s.loses(t)
			s.key.away.Store(true)
			s.heal()
			pass(10 * time.Minute)
		},
		"sealed on purpose":   func(t *testing.T, s *selfOpening) { s.restart(t, false); _ = s.Seal(t.Context()) },
		"with news to act on": func(t *testing.T, s *selfOpening) { s.loses(t); s.heal() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *selfOpening) {
				waiting(t, s)
				sealed, began := s.Sealed(), time.Now()
				s.quit()
				if waited := time.Since(began); waited != 0 {
					t.Errorf("the end took %s", waited)
				}
				pass(10 * time.Minute)
				if s.Sealed() != sealed {
					t.Error("the seal has changed after the end")
				}
			})
		})
	}
}
