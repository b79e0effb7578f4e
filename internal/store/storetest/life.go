package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"jeton/internal/store"
)

func lifeTests() []test {
	return []test{
		{"a closed store refuses everything", testClosed},
		{"Close waits for what is in flight", testCloseWaits},
		{"Close amid traffic: each call succeeds or is ErrClosed", testCloseAmidTraffic},
	}
}

func testClosed(t *testing.T, s store.Store) {
	putKeys(t, s, "k")
	cancel := s.Subscribe(func(store.Commit) {})
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	ran := false
	if err := s.View(t.Context(), func(store.Reader) error { ran = true; return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("View = %v, want ErrClosed", err)
	}
	if err := s.Update(t.Context(), func(store.Tx) error { ran = true; return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update = %v, want ErrClosed", err)
	}
	if ran {
		t.Error("fn ran on a closed store")
	}
	if err := s.Close(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("second Close = %v, want ErrClosed", err)
	}
	cancel()
}

func testCloseWaits(t *testing.T, s store.Store) {
	putKeys(t, s, "k")
	var (
		wg      sync.WaitGroup
		inside  = make(chan struct{})
		proceed = make(chan struct{})
		closed  = make(chan error, 1)
	)
	wg.Go(func() {
		view(t, s, func(r store.Reader) error {
			close(inside)
			<-proceed
			wantValue(t, r, "k", "k")
			return nil
		})
	})
	<-inside
	go func() { closed <- s.Close() }()
	// Until Close is under way calls are let in; from then on they are refused, and the
	// View is still there.
	for {
		err := s.View(t.Context(), func(store.Reader) error { return nil })
		if errors.Is(err, store.ErrClosed) {
			break
		}
		if err != nil {
			t.Fatalf("View: %v", err)
		}
	}
	select {
	case err := <-closed:
		t.Errorf("Close returned %v while a View was running", err)
		closed <- err
	default:
	}
	close(proceed)
	wg.Wait()
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func testCloseAmidTraffic(t *testing.T, s store.Store) {
	var wg sync.WaitGroup
	started := make(chan struct{}, workers)
	for w := range workers {
		wg.Go(func() {
			for n := 0; ; n++ {
				key := fmt.Appendf(nil, "%d/%d", w, n)
				err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, key) })
				if err == nil {
					err = s.View(context.Background(), func(r store.Reader) error {
						_, err := r.Get(key)
						return err
					})
				}
				if n == 0 {
					started <- struct{}{}
				}
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("worker %d: %v", w, err)
					return
				}
			}
		})
	}
	for range workers {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
}
