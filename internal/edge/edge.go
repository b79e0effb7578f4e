// Package edge owns the settings that the HTTP edge obeys before it knows who asks: rate limit
// quotas, which origins a browser may call from, and the headers of the web interface. They are
// stored encrypted, changed through sys/, and read on every request from memory.
package edge

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Settings are those of one unsealed server. All methods are safe for concurrent use.
type Settings struct {
	area  store.Store
	clock clock.Clock

	// changing serialises changes, over the write to the store as well, so that memory and
	// store tell the same story.
	changing sync.Mutex
	// current is what requests read. Only who holds changing replaces it.
	current atomic.Pointer[state]
}

// state is the settings at one time. It is never changed, but for the windows of its limiters.
type state struct {
	quotas  []*limiter
	limits  QuotaConfig
	cors    CORS
	headers map[string][]string
}

// Load reads the settings at unseal.
func Load(ctx context.Context, area store.Store, c clock.Clock) (*Settings, error) {
	s := &Settings{area: area, clock: c}
	now := &state{headers: map[string][]string{}}
	err := area.View(ctx, func(r store.Reader) error { return now.read(r) })
	if err != nil {
		return nil, fmt.Errorf("edge: read the settings: %w", err)
	}
	s.current.Store(now)
	return s, nil
}

// read fills the state from r.
func (now *state) read(r store.Reader) error {
	now.limits = defaultQuotaConfig()
	if stored, err := record.Get[QuotaConfig](r, quotaConfigKey); err != nil {
		return err
	} else if stored != nil {
		now.limits = *stored
	}
	if stored, err := record.Get[CORS](r, corsKey); err != nil {
		return err
	} else if stored != nil {
		now.cors = *stored
	}
	err := r.Scan(store.PrefixRange(quotaPrefix), func(_, value []byte) (bool, error) {
		var q Quota
		if err := record.Decode(value, &q); err != nil {
			return false, err
		}
		now.quotas = append(now.quotas, newLimiter(q))
		return true, nil
	})
	if err != nil {
		return err
	}
	return r.Scan(store.PrefixRange(headerPrefix), func(key, value []byte) (bool, error) {
		var h headerRecord
		if err := record.Decode(value, &h); err != nil {
			return false, err
		}
		now.headers[string(key[len(headerPrefix):])] = h.Values
		return true, nil
	})
}

// change stores what put writes and then makes next the current state. A store that fails leaves
// it open which of the two holds after a restart; until then the old one does.
func (s *Settings) change(ctx context.Context, next *state, put func(tx store.Tx) error) error {
	if err := s.area.Update(ctx, put); err != nil {
		return fmt.Errorf("edge: store a setting: %w", err)
	}
	s.current.Store(next)
	return nil
}
