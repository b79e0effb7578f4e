package edge

import (
	"math"
	"sync"
	"time"
)

// maxClients bounds the addresses that one limiter remembers. Beyond it those whose interval
// is over are forgotten, and if there are none the newcomers share one window: an attack from
// very many addresses must not fill the memory.
const maxClients = 100_000

// limiter counts the requests of each client in fixed windows.
type limiter struct {
	quota Quota
	// most is the number of requests in one interval.
	most int64

	mu      sync.Mutex // guards what follows
	windows map[string]*window
	// crowd is the window of those who found no room.
	crowd window
	// pruned is when the windows that are over were last forgotten: looking through all of
	// them for every newcomer would be an attack of its own.
	pruned time.Time
}

type window struct {
	begins       time.Time
	taken        int64
	blockedUntil time.Time
}

func newLimiter(q Quota) *limiter {
	return &limiter{quota: q, most: int64(math.Ceil(q.Rate)), windows: map[string]*window{}}
}

// take counts one request.
func (l *limiter) take(client string, now time.Time) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.windowOf(client, now)
	v := Verdict{Quota: l.quota.Name, Limited: true, Limit: l.most}
	if now.Before(w.blockedUntil) {
		v.RetryAfter = w.blockedUntil.Sub(now)
		v.Reset = v.RetryAfter
		return v
	}
	if now.Sub(w.begins) >= l.quota.Interval {
		w.begins, w.taken = now, 0
	}
	v.Reset = l.quota.Interval - now.Sub(w.begins)
	if w.taken >= l.most {
		v.RetryAfter = v.Reset
		if block := l.quota.BlockInterval; block > 0 {
			w.blockedUntil = now.Add(block)
			v.RetryAfter = max(v.Reset, block)
		}
		return v
	}
	w.taken++
	v.Allowed, v.Remaining = true, l.most-w.taken
	return v
}

// windowOf finds the client's window. REQUIRES: mu is held.
func (l *limiter) windowOf(client string, now time.Time) *window {
	if w, ok := l.windows[client]; ok {
		return w
	}
	if len(l.windows) >= maxClients && now.Sub(l.pruned) >= l.quota.Interval {
		l.pruned = now
		for name, w := range l.windows {
			if now.Sub(w.begins) >= l.quota.Interval && !now.Before(w.blockedUntil) {
				delete(l.windows, name)
			}
		}
	}
	if len(l.windows) >= maxClients {
		return &l.crowd
	}
	w := &window{begins: now}
	l.windows[client] = w
	return w
}
