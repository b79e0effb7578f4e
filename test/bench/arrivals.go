package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// arrivals offers work at a fixed rate, whether or not it is done in time: an open loop, as many
// independent clients are one. A closed loop would slow down with the server and never overload it.
type arrivals struct {
	perSecond float64
	// clients is how many requests can be under way; an arrival that finds none free is missed.
	clients int
}

// tick is how often arrivals come, some at a time.
const tick = 2 * time.Millisecond

// seen is what became of the arrivals of one run.
type seen struct {
	mu sync.Mutex
	// done and shed are latencies of what was answered and of what was turned away.
	done, shed []time.Duration
	// missed found no free client; bare were turned away without a word of when to come back.
	missed, bare int
	failed       failures
}

// drive offers work for as long as length. do makes one request as the given client.
func (a arrivals) drive(ctx context.Context, length time.Duration, address string, do func(c *connection) (response, error)) *seen {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	out := &seen{}
	permits := make(chan struct{}, a.clients)
	var clients sync.WaitGroup
	for range a.clients {
		clients.Go(func() {
			c := &connection{address: address}
			for range permits {
				at := time.Now()
				r, err := do(c)
				out.note(r, err, time.Since(at))
			}
			if c.conn != nil {
				_ = c.conn.Close()
			}
		})
	}
	pace := time.NewTicker(tick)
	defer pace.Stop()
	begin, offered := time.Now(), 0
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
		for due := int(a.perSecond * time.Since(begin).Seconds()); offered < due; offered++ {
			select {
			case permits <- struct{}{}:
			default:
				out.missed++
			}
		}
	}
	close(permits)
	clients.Wait()
	return out
}

func (s *seen) note(r response, err error, took time.Duration) {
	if err != nil {
		s.failed.add(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.status == 503 || r.status == 429 {
		s.shed = append(s.shed, took)
		if !r.again {
			s.bare++
		}
		return
	}
	s.done = append(s.done, took)
}

// at is a quantile of latencies in milliseconds.
func at(all []time.Duration, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return float64(all[int(q*float64(len(all)-1))]) / 1e6
}
