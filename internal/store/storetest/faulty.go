package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"jeton/internal/store"
)

// ErrInjected is what an Update returns that was made to fail.
var ErrInjected = errors.New("storetest: injected failure")

// ErrDied is what every call returns once the process has died.
var ErrDied = errors.New("storetest: the process died")

// Outcome is what becomes of an Update.
type Outcome int

// The ways in which a durable step can end. In Failed, Persisted and DiedBefore and DiedAfter
// the caller gets an error and cannot tell which of them it was.
const (
	// Succeeded is an Update that is left alone.
	Succeeded Outcome = iota
	// Failed: nothing was written, and Update says so with ErrInjected.
	Failed
	// Persisted: Update returns ErrInjected though everything was written and subscribers
	// were told, as when the answer of a database is lost.
	Persisted
	// DiedBefore: the process ends before the step; nothing was written.
	DiedBefore
	// DiedAfter: the step was written and the process ends before it hears of it.
	DiedAfter
)

// String names the outcome in test names.
func (o Outcome) String() string {
	switch o {
	case Succeeded:
		return "succeeded"
	case Failed:
		return "failed"
	case Persisted:
		return "failed but persisted"
	case DiedBefore:
		return "died before"
	case DiedAfter:
		return "died after"
	}
	return fmt.Sprintf("Outcome(%d)", int(o))
}

// FaultyStore is a real store with a hook that decides what becomes of each Update. A process
// that died is started anew by building the rooms again over Inner.
type FaultyStore struct {
	inner store.Store

	mu   sync.Mutex // guards what follows
	hook func(n int) Outcome
	n    int // Updates since the hook was set
	died bool
}

var _ store.Store = (*FaultyStore)(nil)

// Faulty wraps s. Until Inject is called every Update is left alone.
func Faulty(s store.Store) *FaultyStore {
	return &FaultyStore{inner: s, hook: func(int) Outcome { return Succeeded }}
}

// Inject sets the hook, which is told the number of each Update from now on: the next one is
// the first. An Update whose closure fails counts, but ends as it would have without the hook.
func (f *FaultyStore) Inject(hook func(n int) Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook, f.n = hook, 0
}

// InjectAt gives the n-th Update from now on the outcome, and leaves the others alone.
func (f *FaultyStore) InjectAt(n int, outcome Outcome) {
	f.Inject(func(i int) Outcome {
		if i == n {
			return outcome
		}
		return Succeeded
	})
}

// Updates is the number of Updates since the hook was set.
func (f *FaultyStore) Updates() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// Died says whether the process has died.
func (f *FaultyStore) Died() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.died
}

// Inner is the real store: what a new process would open.
func (f *FaultyStore) Inner() store.Store { return f.inner }

// next counts an Update and returns its outcome.
func (f *FaultyStore) next() (Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.died {
		return 0, ErrDied
	}
	f.n++
	return f.hook(f.n), nil
}

func (f *FaultyStore) die() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.died = true
	return ErrDied
}

// View implements store.Store.
func (f *FaultyStore) View(ctx context.Context, fn func(store.Reader) error) error {
	if f.Died() {
		return ErrDied
	}
	return f.inner.View(ctx, fn)
}

// Update implements store.Store.
func (f *FaultyStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	outcome, err := f.next()
	if err != nil {
		return err
	}
	unwritten := outcome == Failed || outcome == DiedBefore
	err = f.inner.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if unwritten {
			return ErrInjected
		}
		return nil
	})
	switch {
	case err != nil && !(unwritten && errors.Is(err, ErrInjected)):
		return err
	case outcome == Succeeded:
		return nil
	case outcome == DiedBefore || outcome == DiedAfter:
		return f.die()
	}
	return ErrInjected
}

// Subscribe implements store.Store. Subscribers of a process that died hear nothing more,
// except of the step it died after.
func (f *FaultyStore) Subscribe(fn func(store.Commit)) (cancel func()) {
	return f.inner.Subscribe(func(c store.Commit) {
		if !f.Died() {
			fn(c)
		}
	})
}

// Close closes the real store; when the process has died there is nobody to do so, and the
// real store stays open for the next one.
func (f *FaultyStore) Close() error {
	if f.Died() {
		return ErrDied
	}
	return f.inner.Close()
}

// EachFault runs test for every durable step of a piece of work and every way in which that
// step can go wrong: once for the first Update and each outcome, once for the second, and so
// on, until the work is done in fewer Updates than that. test opens a new store, wraps it in
// Faulty, prepares it, calls inject on it, does the work, and checks what a new process finds
// in Inner.
func EachFault(t *testing.T, test func(t *testing.T, inject func(*FaultyStore))) {
	const most = 1000 // work that never ends is a fault of its own
	for n := 1; n <= most; n++ {
		for _, outcome := range []Outcome{Failed, Persisted, DiedBefore, DiedAfter} {
			var wrapped *FaultyStore
			t.Run(fmt.Sprintf("step %d %s", n, outcome), func(t *testing.T) {
				test(t, func(f *FaultyStore) {
					wrapped = f
					f.InjectAt(n, outcome)
				})
			})
			if t.Failed() {
				return
			}
			if wrapped == nil {
				t.Fatal("the test did not call inject")
			}
			if wrapped.Updates() < n {
				return
			}
		}
	}
	t.Fatalf("still not done after %d steps", most)
}
