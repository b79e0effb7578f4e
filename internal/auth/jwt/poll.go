package jwt

import (
	"context"
	"crypto/hmac"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// What a poll answers while there is nothing to collect, and a provider to the server (RFC 8628
// §3.5). Contract: auth-methods §5.2 [B], callback_mode.
const (
	pending  = "authorization_pending"
	slowDown = "slow_down"
)

// waitError is one of them.
type waitError string

func (e waitError) Error() string { return string(e) }

type pollRequest struct {
	State       string `json:"state" doc:"The state that the login began with."`
	ClientNonce string `json:"client_nonce" doc:"The nonce that it began with."`
}

// poll answers with the token once the person has signed in. It goes to who began the login:
// state and nonce are known to nobody else, and nothing is minted before they are shown.
func (m *Method) poll(ctx context.Context, c *backend.Call, req *pollRequest) (*backend.Response, error) {
	state := m.flow.open(req.State, m.clock.Now())
	if state == nil || state.Mode == byClient {
		return nil, errState()
	}
	if !hmac.Equal(state.ClientNonce, mark("client nonce", req.ClientNonce)) {
		return nil, backend.Invalidf("invalid client_nonce")
	}
	t, r, err := m.resume(ctx, state)
	if err != nil {
		return nil, err
	}
	if !auth.Within(r.sources, c.Remote.Addr()) {
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	finished, err := m.finished(ctx, state)
	if err != nil {
		return nil, err
	}
	var said claims
	var by []byte
	if state.Mode == byServer {
		said, by, err = finished.claims()
	} else {
		said, by, err = m.askInTime(ctx, t, r, state)
	}
	var wait waitError
	switch {
	case errors.As(err, &wait):
		return nil, backend.Invalidf("%s", wait)
	case err != nil:
		m.explain(r, said, err)
		return nil, invalid(loginFailed, err)
	}
	return m.completed(c, t, r, state, said, by)
}

// askInTime is askDevice at the pace that the provider wants.
func (m *Method) askInTime(ctx context.Context, t *trust, r *role, state *flowState) (claims, []byte, error) {
	if !m.polls.take(state, m.clock.Now()) {
		return nil, nil, waitError(slowDown)
	}
	said, by, err := m.askDevice(ctx, t, r, state)
	if wait := waitError(slowDown); errors.Is(err, wait) {
		m.polls.slower(state)
	}
	return said, by, err
}

// finished is what waits for the login to be collected, nil if nothing does. A login that was
// collected is refused.
func (m *Method) finished(ctx context.Context, state *flowState) (f *finishedLogin, err error) {
	err = m.area.View(ctx, func(r store.Reader) error {
		if err := unspent(r, state); err != nil {
			return err
		}
		f, err = record.Get[finishedLogin](r, doneKey(state.ends(), state.ID))
		return err
	})
	return f, err
}

func (f *finishedLogin) claims() (claims, []byte, error) {
	if f == nil {
		return nil, nil, waitError(pending)
	}
	said, err := parseClaims(f.Said)
	return said, f.By, err
}

const (
	// Device logins begin no faster than one in beginEvery, after a first few: each is a question
	// to the provider that a stranger can cause.
	beginEvery = 500 * time.Millisecond
	beginBurst = 20
	// mostPaces is more than can begin at that pace within deviceFor.
	mostPaces = 4096
	// slowerBy is added when the provider says slow_down (RFC 8628 §3.5).
	slowerBy = 5 * time.Second
)

// paces hold who polls to the interval that the provider wants, whatever the client's own idea of
// it. All that is known of a device login that nobody polls for travels in its state.
type paces struct {
	begins *rate.Limiter

	mu struct {
		sync.Mutex
		// of is keyed by the state's ID.
		of map[string]*pace
	}
}

// pace is one login's. Guarded by paces.mu.
type pace struct {
	next, ends time.Time
	every      time.Duration
}

func newPaces() *paces {
	p := &paces{begins: rate.NewLimiter(rate.Every(beginEvery), beginBurst)}
	p.mu.of = map[string]*pace{}
	return p
}

// take says whether the provider may be asked now, and if so that it is.
func (p *paces) take(s *flowState, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.mu.of[string(s.ID)]
	if known == nil {
		if len(p.mu.of) >= mostPaces && !p.forget(now) {
			return false
		}
		known = &pace{ends: s.ends(), every: time.Duration(s.Interval) * time.Second}
		p.mu.of[string(s.ID)] = known
	}
	if now.Before(known.next) {
		return false
	}
	// A fifth less than the interval: a poll that was on its way for longer than the next is in time.
	known.next = now.Add(known.every * 4 / 5)
	return true
}

// forget removes those that have ended, and says whether there was one. The caller holds mu.
func (p *paces) forget(now time.Time) bool {
	before := len(p.mu.of)
	for id, known := range p.mu.of {
		if !now.Before(known.ends) {
			delete(p.mu.of, id)
		}
	}
	return len(p.mu.of) < before
}

// slower is for a login of which the provider says slow_down.
func (p *paces) slower(s *flowState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.mu.of[string(s.ID)]; known != nil {
		known.every = min(known.every+slowerBy, mostInterval)
		known.next = known.next.Add(slowerBy)
	}
}
