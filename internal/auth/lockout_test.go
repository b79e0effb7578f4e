package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

func newLockout(t *testing.T) (*Lockout, *clock.Manual, *storetest.FaultyStore) {
	t.Helper()
	inner, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	faulty := storetest.Faulty(inner)
	clk := clock.NewManual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	config := backend.Lockout{Threshold: 3, Duration: time.Minute, CounterReset: time.Minute}
	return NewLockout(config, store.NewArea(faulty, []byte("m/")), clk), clk, faulty
}

// try makes one attempt with a wrong password and says whether it was compared.
func try(ctx context.Context, l *Lockout, alias string) (compared bool, err error) {
	a, err := l.Begin(ctx, alias)
	if err != nil {
		return false, err
	}
	defer a.Release()
	if err := l.area.View(ctx, a.Check); err != nil {
		return false, err
	}
	return true, a.Failed(ctx)
}

func isDenied(err error) bool { return backend.KindOf(err) == backend.Denied }

// Contract: auth-methods §8, "attempts while locked don't extend it. Lock ends duration after
// the last counted failure".
func TestLockEnds(t *testing.T) {
	l, clk, _ := newLockout(t)
	for range 3 {
		if compared, err := try(t.Context(), l, "a"); !compared || err != nil {
			t.Fatal(compared, err)
		}
		clk.Add(time.Second)
	}
	for range 58 {
		if _, err := try(t.Context(), l, "a"); !isDenied(err) {
			t.Fatalf("not locked: %v", err)
		}
		clk.Add(time.Second)
	}
	if _, err := try(t.Context(), l, "a"); !isDenied(err) {
		t.Fatalf("not locked a second before its end: %v", err)
	}
	clk.Add(time.Second)
	if compared, err := try(t.Context(), l, "a"); !compared || err != nil {
		t.Errorf("still locked: %v", err)
	}
}

// Contract: auth-methods §8 [!]: parallel guesses are all counted, before they are compared.
func TestParallelGuesses(t *testing.T) {
	l, _, _ := newLockout(t)
	var mu sync.Mutex
	compared := 0
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			yes, err := try(t.Context(), l, "a")
			if err != nil && !isDenied(err) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if yes {
				compared++
			}
		})
	}
	wg.Wait()
	if compared != 3 {
		t.Errorf("%d guesses were compared, want 3", compared)
	}
}

// Who waits for a slot gives up with the request.
func TestWaitingEndsWithTheRequest(t *testing.T) {
	l, _, _ := newLockout(t)
	for range 3 {
		a, err := l.Begin(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer a.Release()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := l.Begin(ctx, "a")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A success lets the waiting go on, and forgets the failures.
func TestSuccessFreesTheWaiting(t *testing.T) {
	l, _, _ := newLockout(t)
	var open []*Attempt
	for range 3 {
		a, err := l.Begin(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, a)
	}
	done := make(chan error)
	go func() {
		a, err := l.Begin(t.Context(), "a")
		if err == nil {
			a.Release()
		}
		done <- err
	}()
	for _, a := range open {
		a.Succeeded()
		a.Release()
		if err := a.Failed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(l.mu.users) != 0 {
		t.Errorf("%d users are remembered for nothing", len(l.mu.users))
	}
}

// A lock that cannot be written, or of which that is not known, holds all the same; a guesser
// who hangs up does not get away without it.
func TestLockThatCannotBeWritten(t *testing.T) {
	for _, outcome := range []storetest.Outcome{storetest.Failed, storetest.Persisted} {
		t.Run(outcome.String(), func(t *testing.T) {
			l, clk, faulty := newLockout(t)
			faulty.InjectAt(1, outcome)
			for range 2 {
				if _, err := try(t.Context(), l, "a"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := try(t.Context(), l, "a"); !errors.Is(err, storetest.ErrInjected) {
				t.Fatal(err)
			}
			clk.Add(time.Minute - 1)
			if _, err := try(t.Context(), l, "a"); !isDenied(err) {
				t.Errorf("not locked: %v", err)
			}
			if err := l.Unlock(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if compared, err := try(t.Context(), l, "a"); !compared || err != nil {
				t.Errorf("still locked: %v", err)
			}
		})
	}
	t.Run("hung up", func(t *testing.T) {
		l, _, _ := newLockout(t)
		for range 3 {
			a, err := l.Begin(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := a.Failed(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if names, err := l.Locked(t.Context()); err != nil || !slices.Equal(names, []string{"a"}) {
			t.Errorf("locked %v, %v", names, err)
		}
	})
}

// Memory holds the failures of the last CounterReset only.
func TestForgottenFailuresAreDropped(t *testing.T) {
	l, clk, _ := newLockout(t)
	for i := range pruneAbove {
		if _, err := try(t.Context(), l, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	clk.Add(time.Minute)
	if _, err := try(t.Context(), l, "one more"); err != nil {
		t.Fatal(err)
	}
	if n := len(l.mu.users); n != 1 {
		t.Errorf("%d users are remembered, want 1", n)
	}
}

// A flood of names that strangers make up is forgotten before it fills the memory.
func TestMadeUpNamesFillNoMemory(t *testing.T) {
	l, _, _ := newLockout(t)
	fail := func(alias string) {
		a, err := l.Begin(t.Context(), alias)
		if err == nil {
			err = a.Failed(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	threshold := l.mu.config.Threshold
	for range threshold - 1 {
		fail("alice")
	}
	for i := range 2*mostUsers + 1 {
		fail(strconv.Itoa(i))
		if n := len(l.mu.users); n > mostUsers {
			t.Fatalf("%d users are remembered", n)
		}
	}
	if user := l.mu.users["alice"]; user == nil || user.failures != threshold-1 {
		t.Error("a flood of names has freed who was nearly locked")
	}
}

// A name that nobody has is locked as a user is, and for as long; nothing is stored, and a lock that
// has ended leaves nothing in memory.
func TestStrangersAreLockedInMemory(t *testing.T) {
	l, clk, _ := newLockout(t)
	guess := func(alias string) error {
		a, err := l.Begin(t.Context(), alias)
		if err != nil {
			return err
		}
		defer a.Release()
		return a.FailedStranger(t.Context())
	}
	for range 3 {
		if err := guess("nobody"); err != nil {
			t.Fatal(err)
		}
	}
	clk.Add(time.Minute - 1)
	if err := guess("nobody"); !isDenied(err) {
		t.Errorf("not locked: %v", err)
	}
	if names, err := l.Locked(t.Context()); err != nil || !slices.Equal(names, []string{"nobody"}) {
		t.Errorf("locked %v, %v", names, err)
	}
	err := l.area.View(t.Context(), func(r store.Reader) error {
		return r.Scan(store.Range{}, func(key, _ []byte) (bool, error) {
			t.Errorf("%q is stored", key)
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	clk.Add(1)
	a, err := l.Begin(t.Context(), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	a.Release()
	if len(l.mu.users) != 0 {
		t.Errorf("%d names are remembered for nothing", len(l.mu.users))
	}
}

// Guesses at a made-up name that come at once are all counted, as a user's are.
func TestParallelGuessesAtAStranger(t *testing.T) {
	l, _, _ := newLockout(t)
	var compared atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			a, err := l.Begin(t.Context(), "nobody")
			if err == nil {
				compared.Add(1)
				err = a.FailedStranger(t.Context())
			}
			if err != nil && !isDenied(err) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := compared.Load(); n != 3 {
		t.Errorf("%d guesses were compared, want 3", n)
	}
}

// A flood of made-up names that are locked in memory is bounded, and frees no user: neither one that is
// nearly locked, nor one whose lock could not be written, nor one that is locked in the store.
func TestLockedStrangersFillNoMemoryAndFreeNobody(t *testing.T) {
	l, _, faulty := newLockout(t)
	l.Configure(backend.Lockout{Threshold: 2, Duration: time.Hour, CounterReset: time.Hour})
	for range 2 {
		if _, err := try(t.Context(), l, "stored"); err != nil {
			t.Fatal(err)
		}
	}
	faulty.InjectAt(1, storetest.Failed)
	for range 2 {
		_, _ = try(t.Context(), l, "unwritten")
	}
	if _, err := try(t.Context(), l, "nearly"); err != nil {
		t.Fatal(err)
	}
	// What a locked stranger leaves, without its commit: the numbers are the point here.
	flood := func(i int) {
		a, err := l.Begin(t.Context(), strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		a.user.until, a.user.stranger = l.clock.Now().Add(time.Hour), true
		l.mu.Unlock()
		a.Release()
	}
	for i := range 2*mostUsers + 1 {
		flood(i)
		if n := len(l.mu.users); n > mostUsers {
			t.Fatalf("%d names are remembered", n)
		}
	}
	for _, alias := range []string{"stored", "unwritten"} {
		if _, err := try(t.Context(), l, alias); !isDenied(err) {
			t.Errorf("the flood has freed %q: %v", alias, err)
		}
	}
	if user := l.mu.users["nearly"]; user == nil || user.failures != 1 {
		t.Error("the flood has freed who was nearly locked")
	}
}

// What is stored keeps its form: a later version must read these bytes.
func TestStoredFormOfLocks(t *testing.T) {
	const golden = "\x01\xa1\x01\xfb\x41\xda\x69\x0a\x90\x00\x00\x00"
	data, err := record.Encode(&lockRecord{Until: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
	if err != nil || string(data) != golden {
		t.Errorf("stored as %q, %v", data, err)
	}
}

func TestCanonical(t *testing.T) {
	for _, name := range []string{"alice", "Alice", " ALICE\t", "alice\n"} {
		if got := Canonical(name); got != "alice" {
			t.Errorf("Canonical(%q) is %q", name, got)
		}
	}
}

// Locks of names that strangers make up do not stay for ever: each new one takes ended ones along.
func TestEndedLocksAreDropped(t *testing.T) {
	l, clk, _ := newLockout(t)
	lock := func(alias string) {
		t.Helper()
		for range 3 {
			if compared, err := try(t.Context(), l, alias); !compared || err != nil {
				t.Fatal(alias, compared, err)
			}
		}
	}
	stored := func() (n int) {
		t.Helper()
		err := l.area.View(t.Context(), func(r store.Reader) error {
			n = 0
			return r.Scan(store.PrefixRange([]byte(lockPrefix)), func(_, _ []byte) (bool, error) {
				n++
				return true, nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 40 {
		lock(fmt.Sprintf("a%03d", i))
	}
	if n := stored(); n != 40 {
		t.Fatalf("%d locks are stored, want 40 that hold", n)
	}
	clk.Add(time.Hour)
	for i := range 3 {
		lock(fmt.Sprintf("b%03d", i))
	}
	if n := stored(); n != 3 {
		t.Errorf("%d locks are stored, want the 3 that hold", n)
	}
	for i := range 3 {
		if _, err := try(t.Context(), l, fmt.Sprintf("b%03d", i)); !isDenied(err) {
			t.Errorf("b%03d: %v", i, err)
		}
	}
}
