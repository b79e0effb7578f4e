// Package edge owns the settings that the HTTP edge obeys before it knows who asks: rate limit
// quotas, which origins a browser may call from, and the headers of the web interface. They are
// stored encrypted, changed through sys/, and read on every request from memory.
package edge

import (
	"context"
	"fmt"
	"log/slog"
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

// Load reads the settings at unseal. One that cannot be read is logged and does not hold.
func Load(ctx context.Context, area store.Store, c clock.Clock, log *slog.Logger) (*Settings, error) {
	s := &Settings{area: area, clock: c}
	now := &state{headers: map[string][]string{}}
	// One damaged setting must not keep the server from opening: it is as if it were not there.
	malformed := func(key []byte, err error) {
		log.Error("a setting cannot be read and does not hold: write it again", "setting", string(key), "error", err)
	}
	err := area.View(ctx, func(r store.Reader) error { return now.read(r, malformed) })
	if err != nil {
		return nil, fmt.Errorf("edge: read the settings: %w", err)
	}
	s.current.Store(now)
	return s, nil
}

// read fills the state from r.
func (now *state) read(r store.Reader, malformed func(key []byte, err error)) error {
	now.limits = defaultQuotaConfig()
	if stored, err := record.Readable[QuotaConfig](r, quotaConfigKey, malformed); err != nil {
		return err
	} else if stored != nil {
		now.limits = *stored
	}
	if stored, err := record.Readable[CORS](r, corsKey, malformed); err != nil {
		return err
	} else if stored != nil {
		now.cors = *stored
	}
	err := record.Each(r, store.PrefixRange(quotaPrefix), func(key []byte, q *Quota, err error) error {
		if err != nil {
			malformed(key, err)
			return nil
		}
		now.quotas = append(now.quotas, newLimiter(*q))
		return nil
	})
	if err != nil {
		return err
	}
	return record.Each(r, store.PrefixRange(headerPrefix), func(key []byte, h *headerRecord, err error) error {
		if err != nil {
			malformed(key, err)
			return nil
		}
		now.headers[string(key[len(headerPrefix):])] = h.Values
		return nil
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
