package storetest_test

import (
	"errors"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

func openMemory(t *testing.T) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A FaultyStore that is left alone keeps every promise of a store.
func TestFaultyLeftAloneConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return storetest.Faulty(openMemory(t)) })
}

func TestFaultyOutcomes(t *testing.T) {
	tests := []struct {
		outcome storetest.Outcome
		err     error // of the Update
		written bool
		told    bool
		died    bool
	}{
		{storetest.Succeeded, nil, true, true, false},
		{storetest.Failed, storetest.ErrInjected, false, false, false},
		{storetest.Persisted, storetest.ErrInjected, true, true, false},
		{storetest.DiedBefore, storetest.ErrDied, false, false, true},
		{storetest.DiedAfter, storetest.ErrDied, true, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.outcome.String(), func(t *testing.T) {
			f := storetest.Faulty(openMemory(t))
			defer f.Inner().Close()
			told := 0
			f.Subscribe(func(store.Commit) { told++ })
			write := func(key string) error {
				return f.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte(key), nil) })
			}
			f.InjectAt(2, tt.outcome)
			if err := write("first"); err != nil {
				t.Fatalf("first Update = %v", err)
			}
			if err := write("second"); !errors.Is(err, tt.err) {
				t.Errorf("second Update = %v, want %v", err, tt.err)
			}
			if (told == 2) != tt.told {
				t.Errorf("told of %d commits", told)
			}
			err := f.Inner().View(t.Context(), func(r store.Reader) error {
				_, err := r.Get([]byte("second"))
				return err
			})
			if (err == nil) != tt.written {
				t.Errorf("real store: %v, want it written: %v", err, tt.written)
			}
			if f.Died() != tt.died {
				t.Errorf("Died = %v, want %v", f.Died(), tt.died)
			}
			if err := write("third"); errors.Is(err, storetest.ErrDied) != tt.died {
				t.Errorf("third Update = %v", err)
			}
			err = f.View(t.Context(), func(store.Reader) error { return nil })
			if errors.Is(err, storetest.ErrDied) != tt.died {
				t.Errorf("View = %v", err)
			}
		})
	}
}

func TestFaultyClosureErrorComesFirst(t *testing.T) {
	boom := errors.New("boom")
	f := storetest.Faulty(openMemory(t))
	defer f.Close()
	f.Inject(func(int) storetest.Outcome { return storetest.DiedAfter })
	if err := f.Update(t.Context(), func(store.Tx) error { return boom }); err != boom || f.Died() {
		t.Errorf("Update = %v, died = %v, want fn's error of a living process", err, f.Died())
	}
}

// EachFault visits every step with every fault, and stops where the work does.
func TestEachFaultVisitsEveryStep(t *testing.T) {
	seen := map[string]int{}
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		f := storetest.Faulty(openMemory(t))
		defer f.Inner().Close()
		inject(f)
		var failure error
		for i := 0; i < 3 && failure == nil; i++ {
			failure = f.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte{byte(i)}, nil) })
		}
		written := 0
		err := f.Inner().View(t.Context(), func(r store.Reader) error {
			return r.Scan(store.Range{}, func(_, _ []byte) (bool, error) { written++; return true, nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		if failure == nil {
			seen["done"]++
			if written != 3 {
				t.Errorf("%d steps written by work that succeeded", written)
			}
			return
		}
		seen[failure.Error()]++
		if updates := f.Updates(); written != updates && written != updates-1 {
			t.Errorf("%d steps written after %d Updates", written, updates)
		}
	})
	if seen["done"] != 1 || seen[storetest.ErrInjected.Error()] != 6 || seen[storetest.ErrDied.Error()] != 6 {
		t.Errorf("outcomes %v, want 6 failures, 6 deaths, and one run without a fault", seen)
	}
}
