package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
)

const (
	// batch bounds one transaction over many leases, so that it never holds up requests.
	batch = 64
	// callers is how many calls one engine gets at a time on behalf of one piece of work.
	callers = 4
	// callTimeout bounds one call of an engine.
	callTimeout = 30 * time.Second
)

// Release marks at most limit leases of a token that has ended, inside tx, a transaction of the
// whole store, and says whether there are more. From its commit on they cannot be renewed;
// the sweeper has the engines take the secrets back. It is how a token's end ends its leases.
func (s *Store) Release(tx store.Tx, holder backend.TokenID, limit int) (more bool, err error) {
	area := s.area.Within(tx)
	now := s.clock.Now().UnixNano()
	held := store.PrefixRange(holderPrefix(holder))
	held.Limit = limit + 1
	ids, err := idsIn(area, held, holderHead)
	if err != nil {
		return false, err
	}
	if more = len(ids) > limit; more {
		ids = ids[:limit]
	}
	for _, id := range ids {
		l, err := load(area, id)
		switch {
		case s.cannotRead(err):
			err = s.setAside(area, append(holderPrefix(holder), id...), id)
		case err == nil && l == nil:
			err = area.Delete(append(holderPrefix(holder), id...))
		case err == nil:
			err = put(area, l, l.ended(HolderDied, now))
		}
		if err != nil {
			return false, err
		}
	}
	return more, nil
}

// End ends the lease of id and leaves the rest to the sweeper, which asks the engine now: also
// where it has failed before. An unknown lease is no error.
func (s *Store) End(ctx context.Context, id string) error {
	defer s.Nudge()
	return s.end(ctx, id)
}

func (s *Store) end(ctx context.Context, id string) error {
	return s.area.Update(ctx, func(tx store.Tx) error {
		l, err := load(tx, id)
		if l == nil || err != nil {
			return err
		}
		return put(tx, l, l.endedNow(s.clock.Now().UnixNano()))
	})
}

// endedNow is the lease after a request to revoke it. One that has ended already is not put off
// any longer.
func (l *Lease) endedNow(now int64) *Lease {
	if l.End == nil {
		return l.ended(Revoked, now)
	}
	c, end := *l, *l.End
	end.Next = min(end.Next, now)
	c.End = &end
	return &c
}

// Revoke ends the lease of id and has its engine take the secret back before it returns. When
// the engine fails the lease stays, ended, and the sweeper goes on asking; the error is of
// kind Invalid with the engine's text. An unknown lease is no error. Contract: leases §3.4.
func (s *Store) Revoke(ctx context.Context, id string) error {
	if err := s.end(ctx, id); err != nil {
		return err
	}
	err := s.settle(ctx, id, asked)
	var refused *engineError
	if errors.As(err, &refused) {
		return backend.Invalidf("%s", refused.text).Because(refused.cause)
	}
	return err
}

// EndPrefix ends every lease whose id begins with prefix, in bounded steps, and returns how
// many there are. The sweeper does the rest; leases that have ended already wait as before.
func (s *Store) EndPrefix(ctx context.Context, prefix string) (count int, err error) {
	defer s.Nudge()
	return s.endPrefix(ctx, prefix, false)
}

// QueuePrefix is End for every lease whose id begins with prefix.
func (s *Store) QueuePrefix(ctx context.Context, prefix string) error {
	defer s.Nudge()
	_, err := s.endPrefix(ctx, prefix, true)
	return err
}

// endPrefix ends leases a batch at a time. With again those that have ended already are due now.
func (s *Store) endPrefix(ctx context.Context, prefix string, again bool) (count int, err error) {
	from := store.PrefixRange(recordOf(prefix))
	from.Limit = batch
	for {
		var ids []string
		err := s.area.Update(ctx, func(tx store.Tx) (err error) {
			if ids, err = idsIn(tx, from, recordHead); err != nil {
				return err
			}
			return s.endAll(tx, ids, again)
		})
		if err != nil || len(ids) == 0 {
			return count, err
		}
		count += len(ids)
		from.From = store.After(recordOf(ids[len(ids)-1]))
	}
}

func (s *Store) endAll(tx store.Tx, ids []string, again bool) error {
	now := s.clock.Now().UnixNano()
	for _, id := range ids {
		l, err := load(tx, id)
		if s.cannotRead(err) {
			s.log.Error("a lease cannot be read and is passed over", "lease", id)
			continue
		}
		if err == nil && (l.End == nil || again) {
			err = put(tx, l, l.endedNow(now))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// RevokePrefix ends every lease whose id begins with prefix, and has the engines take the
// secrets back until one of them fails. All of them are ended by then, and the sweeper goes
// on: also when ctx ends half-way. Contract: leases §3.5.
func (s *Store) RevokePrefix(ctx context.Context, prefix string) error {
	total, err := s.endPrefix(ctx, prefix, false)
	if err != nil {
		return err
	}
	dealt := 0
	return s.below(ctx, prefix, func(ids []string) error {
		failed := s.each(ids, true, func(id string) error { return s.settle(ctx, id, asked) })
		for i, err := range failed {
			var refused *engineError
			if errors.As(err, &refused) {
				return backend.Invalidf("failed to revoke %q (%d / %d): %s", ids[i], dealt+i+1, total, refused.text).Because(refused.cause)
			}
			if err != nil {
				return err
			}
		}
		dealt += len(ids)
		return nil
	})
}

// RevokeForce is RevokePrefix for engines that are gone or broken: what they say is logged,
// and the leases are dropped. Secrets that an engine did not take back stay valid wherever
// they are. Contract: leases §3.5.
func (s *Store) RevokeForce(ctx context.Context, prefix string) error {
	if _, err := s.endPrefix(ctx, prefix, false); err != nil {
		return err
	}
	return s.below(ctx, prefix, func(ids []string) error {
		return errors.Join(s.each(ids, false, func(id string) error { return s.settle(ctx, id, forced) })...)
	})
}

// below calls fn with the ids that begin with prefix, a batch at a time.
func (s *Store) below(ctx context.Context, prefix string, fn func(ids []string) error) error {
	from := store.PrefixRange(recordOf(prefix))
	from.Limit = batch
	for {
		var ids []string
		err := s.area.View(ctx, func(r store.Reader) (err error) {
			ids, err = idsIn(r, from, recordHead)
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := fn(ids); err != nil {
			return err
		}
		from.From = store.After(recordOf(ids[len(ids)-1]))
	}
}

// each calls fn for every id, a few at a time, and returns what each said. With stop the first
// failure is the last id that is begun.
func (s *Store) each(ids []string, stop bool, fn func(id string) error) []error {
	failed := make([]error, len(ids))
	var next atomic.Int64
	var stopped atomic.Bool
	var workers sync.WaitGroup
	for range min(callers, len(ids)) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(ids) || stopped.Load() {
					return
				}
				if failed[i] = fn(ids[i]); failed[i] != nil && stop {
					stopped.Store(true)
				}
			}
		})
	}
	workers.Wait()
	return failed
}

// insistence is on whose behalf an engine is asked.
type insistence int

const (
	// swept is the sweeper: only when the lease is due, and failures count.
	swept insistence = iota
	// asked is a request: at once, and its failures are its own affair.
	asked
	// forced is asked, and the lease goes whatever the engine says.
	forced
)

// settle has the engine take back the secret of id, and removes the lease. At most one at a
// time deals with a lease; who comes second finds it gone. Its error is an *engineError when
// the engine failed.
func (s *Store) settle(ctx context.Context, id string, how insistence) error {
	unlock, err := s.busy.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	l, err := s.Lookup(ctx, id)
	if how == forced && s.cannotRead(err) {
		return s.dropUnreadable(ctx, id)
	}
	if l == nil || err != nil || (how == swept && l.due() > s.clock.Now().UnixNano()) {
		return err
	}
	failed := s.ask(ctx, l)
	if failed != nil && how != forced && ctx.Err() != nil {
		// The server is being sealed or the client has gone: that is not the engine's failure.
		return ctx.Err()
	}
	// What the engine has done must be written down even if nobody waits for it any more.
	after, err := s.conclude(context.WithoutCancel(ctx), l, failed, how)
	if err != nil {
		return err
	}
	s.tell(ctx, after, failed, how)
	if how == forced {
		return nil
	}
	return failed
}

// conclude writes down what came of asking the engine: the lease is gone, or waits.
func (s *Store) conclude(ctx context.Context, l *Lease, failed error, how insistence) (after *Lease, err error) {
	err = s.whole.Update(ctx, func(tx store.Tx) error {
		area := s.area.Within(tx)
		after = l
		old, err := load(area, l.ID)
		if old == nil || err != nil {
			return err
		}
		if failed == nil || how == forced {
			if after = old; old.End == nil {
				after = old.ended(Expired, s.clock.Now().UnixNano())
			}
			return s.remove(tx, old)
		}
		after = old.failed(failed, s.clock.Now().UnixNano(), how == swept)
		return put(area, old, after)
	})
	return after, err
}

// tell logs what failed, and lets the witness know how the lease ended.
func (s *Store) tell(ctx context.Context, l *Lease, failed error, how insistence) {
	if failed != nil {
		s.log.Warn("a secret could not be taken back", "lease", l.ID, "mount", l.Mount, "attempts", l.End.Attempts,
			"irrevocable", l.End.Irrevocable, "dropped", how == forced, "error", failed)
	}
	if s.witness != nil && (failed == nil || how == forced || l.End.Irrevocable) {
		s.witness.LeaseEnded(context.WithoutCancel(ctx), l)
	}
}

// dropUnreadable removes a record that nothing else can be done with. The entries that still
// point to it are dropped as they are come across.
func (s *Store) dropUnreadable(ctx context.Context, id string) error {
	return s.whole.Update(ctx, func(tx store.Tx) error {
		area := s.area.Within(tx)
		if _, err := area.Get(recordOf(id)); errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if s.quotas != nil {
			if err := s.quotas.Leave(tx, (&Lease{ID: id}).Path()); err != nil {
				return err
			}
		}
		if err := area.Delete(quarantineOf(id)); err != nil {
			return err
		}
		return area.Delete(recordOf(id))
	})
}

// engineError is what an engine said when it did not take a secret back.
type engineError struct {
	// text is for operators: the engine's own words.
	text  string
	cause error
}

func (e *engineError) Error() string { return e.text }
func (e *engineError) Unwrap() error { return e.cause }

// ask has the engine take back what the lease stands for, outside any transaction.
func (s *Store) ask(ctx context.Context, l *Lease) error {
	engine, mount, leave, err := s.issuers.Issuer(l.Mount)
	if err != nil {
		return &engineError{text: err.Error(), cause: err}
	}
	defer leave()
	return takeBack(ctx, engine, l.call(mount, 0))
}

// takeBack is one call of an engine, bounded in time. Its error is an *engineError.
func takeBack(ctx context.Context, engine backend.LeaseIssuer, call backend.LeaseCall) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := engine.RevokeLease(ctx, call)
	if err == nil {
		return nil
	}
	var known *backend.Error
	if errors.As(err, &known) && known.Text != "" {
		return &engineError{text: known.Text, cause: err}
	}
	return &engineError{text: err.Error(), cause: err}
}
