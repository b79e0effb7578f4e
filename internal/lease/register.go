package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// Fresh is a secret that an engine has just handed out.
type Fresh struct {
	// Path is the request's whole path, Mount the engine's mount. Engine is the one that the
	// request is in already: looking for it again could wait for a removal that waits for
	// the request.
	Path   string
	Mount  backend.Mount
	Engine backend.LeaseIssuer
	Secret *backend.Secret
	// Holder is the token that asked; for a batch token its parent, zero for an orphan's.
	Holder backend.TokenID
	// Bound is when a batch token ends; the zero time for a service token.
	Bound time.Time
	// LastUse says that the request spends the holder's last use.
	LastUse bool
}

// Issued is what the client learns of a new or renewed lease.
type Issued struct {
	ID  string
	TTL time.Duration
	// Renewable says whether the client may ask for more.
	Renewable bool
	Warnings  []string
}

// errLastUse is the answer in place of a secret that would be dead on arrival. Contract: tokens §9.2.
var errLastUse = backend.Invalidf("Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.")

// Register stores the lease of a fresh secret. Whenever it fails the secret must not reach the
// client, and is taken back: at once if the engine can, by the sweeper otherwise.
// Contract: leases §2.
func (s *Store) Register(ctx context.Context, f Fresh) (*Issued, error) {
	// The secret exists already: a client that has gone away must not leave it behind.
	ctx = context.WithoutCancel(ctx)
	now := s.clock.Now()
	l := &Lease{
		// rand.Text is base32 in capitals: a part of base62, and 120 random bits.
		ID:     strings.TrimSuffix(f.Path, "/") + "/" + rand.Text()[:suffixChars],
		Holder: f.Holder, Mount: f.Mount.Accessor, State: f.Secret.State, Renewable: f.Secret.Renewable,
		Issued: now.UnixNano(), MaxTTL: boundOf(f.Secret.MaxTTL),
	}
	if !f.Bound.IsZero() {
		l.Bound = f.Bound.UnixNano()
	}
	unlock, err := s.busy.lock(ctx, l.ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ttl, warnings, err := Span{Now: now, Issued: now, Asked: f.Secret.TTL, MaxTTL: durationOf(l.MaxTTL), Mount: f.Mount}.Resolve()
	if err != nil {
		return nil, s.abandon(ctx, f, l, err)
	}
	ttl = l.live(now, ttl)
	held := false
	err = s.whole.Update(ctx, func(tx store.Tx) (err error) {
		if held, err = s.held(tx, l, s.clock.Now()); err != nil {
			return err
		}
		stored := l
		if !held || f.LastUse {
			stored = l.ended(NotDelivered, now.UnixNano())
		}
		return s.add(tx, stored)
	})
	switch {
	case err != nil:
		return nil, s.abandon(ctx, f, l, fmt.Errorf("lease: register: %w", err))
	case held && !f.LastUse:
		return &Issued{ID: l.ID, TTL: ttl, Renewable: l.Renewable, Warnings: warnings}, nil
	}
	// The lease is there, ended: what fails now, the sweeper does.
	failed := takeBack(ctx, f.Engine, l.call(f.Mount, 0))
	if after, err := s.conclude(ctx, l, failed, asked); err != nil {
		s.log.Error("what came of a secret that was not delivered could not be written down", "lease", l.ID, "error", err)
	} else {
		s.tell(ctx, after, failed, asked)
	}
	if f.LastUse {
		return nil, errLastUse
	}
	return nil, &backend.Error{Kind: backend.BadToken, Text: "invalid token"}
}

// live gives the lease ttl from now, or what its batch token has left. Contract: leases §2.2.
func (l *Lease) live(now time.Time, ttl time.Duration) time.Duration {
	if l.Bound != 0 {
		ttl = min(ttl, time.Duration(l.Bound-now.UnixNano()).Truncate(time.Second))
	}
	l.LastTTL, l.Expires = secondsOf(ttl), now.Add(ttl).UnixNano()
	return ttl
}

// held says whether somebody holds the lease at now: a living token, or a batch token that
// has a second left. A lease that hangs on nothing would never be anybody's.
func (s *Store) held(r store.Reader, l *Lease, now time.Time) (bool, error) {
	if l.Bound != 0 && l.Bound-now.UnixNano() < int64(time.Second) {
		return false, nil
	}
	if l.Holder == (backend.TokenID{}) {
		return l.Bound != 0, nil
	}
	return s.holders.Holds(r, l.Holder)
}

// abandon takes a secret back whose lease could not be stored. It may have been stored after
// all: then it is removed, or found by the sweeper when its time is over.
func (s *Store) abandon(ctx context.Context, f Fresh, l *Lease, cause error) error {
	if err := takeBack(ctx, f.Engine, l.call(f.Mount, 0)); err != nil {
		s.log.Error("a secret has no lease and could not be taken back", "lease", l.ID, "mount", l.Mount, "error", err)
		return errors.Join(cause, err)
	}
	err := s.whole.Update(ctx, func(tx store.Tx) error {
		stored, err := load(s.area.Within(tx), l.ID)
		if stored == nil || err != nil {
			return err
		}
		return s.remove(tx, stored)
	})
	return errors.Join(cause, err)
}
