package jwt

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How long what another server publishes is used before it is asked again.
const (
	// freshFor is how long nobody asks.
	freshFor = 10 * time.Minute
	// heldFor is how long it is used while it is asked in the background. What is older is
	// waited for, once: a server that is away does not end the use of what it last said.
	heldFor = time.Hour
	// Questions are asked no more often than one in paceEvery, after a first few: a stranger
	// can make up names of keys as fast as the network carries them.
	paceEvery = 10 * time.Second
	paceBurst = 3
)

// errPaced says that the question was asked too recently to be asked again.
var errPaced = errors.New("it was asked a moment ago")

// fetched is something that another server publishes: asked for when it is first needed, by
// one request on behalf of all who wait, at a bounded pace, and kept while that server is away.
type fetched[T any] struct {
	fetching
	ask  func(ctx context.Context) (T, error)
	pace *rate.Limiter

	mu struct {
		sync.Mutex
		value T
		have  bool
		// at is when value was fetched; failed is what went wrong since, nil if nothing did.
		at     time.Time
		failed error
		// flight is closed when the request that is under way has ended; nil without one.
		flight chan struct{}
	}
}

func newFetched[T any](f fetching, ask func(ctx context.Context) (T, error)) *fetched[T] {
	return &fetched[T]{fetching: f, ask: ask, pace: rate.NewLimiter(rate.Every(paceEvery), paceBurst)}
}

// get returns what is known, and asks when that is too old.
func (f *fetched[T]) get(ctx context.Context) (T, error) {
	f.mu.Lock()
	if f.mu.have {
		age := f.clock.Now().Sub(f.mu.at)
		if age >= freshFor {
			flight := f.begin()
			if age >= heldFor && f.mu.failed == nil && flight != nil {
				f.mu.Unlock()
				return f.await(ctx, flight)
			}
		}
		defer f.mu.Unlock()
		return f.mu.value, nil
	}
	flight := f.begin()
	if flight == nil {
		defer f.mu.Unlock()
		return f.mu.value, errors.Join(errPaced, f.mu.failed)
	}
	f.mu.Unlock()
	return f.await(ctx, flight)
}

// again asks again, if the pace allows it, and returns what is then known. A question that was
// under way is waited for and then asked once more: its answer may be older than what the caller
// misses in it. err says that the newest question failed, and the value is an old one.
func (f *fetched[T]) again(ctx context.Context) (value T, err error) {
	for range 2 {
		f.mu.Lock()
		joined := f.mu.flight != nil
		flight := f.begin()
		f.mu.Unlock()
		if flight == nil {
			break
		}
		if _, err := f.await(ctx, flight); err != nil {
			return value, err
		}
		if !joined {
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.value, f.mu.failed
}

// begin returns the request under way, or begins one; nil when it is too early. The caller
// holds mu.
func (f *fetched[T]) begin() chan struct{} {
	if f.mu.flight != nil {
		return f.mu.flight
	}
	if !f.pace.AllowN(f.clock.Now(), 1) {
		return nil
	}
	flight := make(chan struct{})
	f.mu.flight = flight
	f.running.Go(func() {
		// The one who happened to ask may leave; others wait for the answer.
		ctx, cancel := context.WithTimeout(f.life, f.patience)
		defer cancel()
		value, err := f.ask(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.mu.failed = err; err == nil {
			f.mu.value, f.mu.have, f.mu.at = value, true, f.clock.Now()
		}
		f.mu.flight = nil
		close(flight)
	})
	return flight
}

// await waits for a request and returns what is then known.
func (f *fetched[T]) await(ctx context.Context, flight chan struct{}) (T, error) {
	var none T
	leave, err := f.waiting.Enter()
	if err != nil {
		return none, err
	}
	defer leave()
	select {
	case <-flight:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.have {
		return f.mu.value, nil
	}
	return f.mu.value, f.mu.failed
}
