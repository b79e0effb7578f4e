package lease

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/leasetest"
	"jeton/internal/store"
)

func away(context.Context, string) error { return errors.New("the database is away") }

func denies(context.Context, string) error { return backend.Invalidf("no such user") }

func TestIssueRenewExpire(t *testing.T) {
	r := newRoom(t)
	r.outside.SetRole("ro", leasetest.Role{TTL: time.Hour})
	id, name := r.issue("ro", r.token())
	r.clock.Add(30 * time.Minute)
	out, err := r.Renew(r.ctx, id, 0)
	r.ok(err)
	if out.TTL != time.Hour || !out.Renewable || out.ID != id {
		t.Fatalf("renewed %+v", out)
	}
	r.clock.Add(time.Hour - time.Nanosecond)
	r.sweepAll()
	if r.outside.Revoked(name) != 0 {
		t.Fatal("revoked before its time")
	}
	r.clock.Add(time.Nanosecond)
	r.sweepAll()
	r.gone(id, name)
	r.empty()
	if l := r.told.of(id); l == nil || l.End.Cause != Expired {
		t.Fatalf("the witness was told %+v", l)
	}
}

// Contract: leases §5.1; the promise: exactly once, also across a restart in between.
func TestHolderDies(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %t", restart), func(t *testing.T) {
			r := newRoom(t)
			holder, other := r.token(), r.token()
			type lease struct{ id, name string }
			var leases []lease
			for range 150 { // more than one transaction lets go of
				id, name := r.issue("ro", holder)
				leases = append(leases, lease{id, name})
			}
			kept, keptName := r.issue("ro", other)
			r.dies(holder)
			for _, l := range leases {
				if _, err := r.Renew(r.ctx, l.id, 0); err == nil {
					t.Fatal("a dead token's lease was renewed")
				}
			}
			if restart {
				r.reopen(r.raw)
			}
			r.sweepAll()
			for _, l := range leases {
				r.gone(l.id, l.name)
				if told := r.told.of(l.id); told == nil || told.End.Cause != HolderDied {
					t.Fatalf("the witness was told %+v", told)
				}
			}
			if r.lookup(kept) == nil || r.outside.Revoked(keptName) != 0 {
				t.Fatal("another token's lease went too")
			}
		})
	}
}

// The holder dies between the request's authentication and the registration.
func TestHolderDiesFirst(t *testing.T) {
	r := newRoom(t)
	holder := r.token()
	f, name := r.fresh("ro", holder)
	r.dies(holder)
	out, err := r.Register(r.ctx, f)
	if out != nil || backend.KindOf(err) != backend.BadToken {
		t.Fatalf("out %v, error %v", out, err)
	}
	if r.outside.Revoked(name) != 1 {
		t.Fatal("the secret is still valid")
	}
	r.empty()
}

// It dies while the engine is asked to renew: the engine's yes is not enough.
func TestHolderDiesDuringRenewal(t *testing.T) {
	r := newRoom(t)
	holder := r.token()
	id, name := r.issue("ro", holder)
	r.outside.FailRenew(func(context.Context, string) error { r.dies(holder); return nil })
	_, err := r.Renew(r.ctx, id, time.Hour)
	r.fails(err, backend.Invalid, "lease expired")
	r.sweepAll()
	r.gone(id, name)
}

// A token that is dead but not yet released: its leases are refused all the same.
func TestRenewalAsksForTheHolder(t *testing.T) {
	r := newRoom(t)
	holder := r.token()
	id, _ := r.issue("ro", holder)
	r.ok(r.raw.Update(r.ctx, func(tx store.Tx) error { return tx.Delete(tokenKey(holder)) }))
	_, err := r.Renew(r.ctx, id, 0)
	r.fails(err, backend.Invalid, "cannot renew lease, no valid associated token")
	if r.outside.Renewed("ro-1") != 0 {
		t.Fatal("the engine was asked for nothing")
	}
}

// A revocation waits for a renewal that is under way, and then the secret is taken back.
func TestRevokeDuringRenewal(t *testing.T) {
	r := newRoom(t)
	id, name := r.issue("ro", r.token())
	inside, goOn := make(chan struct{}), make(chan struct{})
	r.outside.FailRenew(func(context.Context, string) error { close(inside); <-goOn; return nil })
	r.outside.FailRevoke(func(context.Context, string) error {
		if r.outside.Renewed(name) != 1 {
			t.Error("taken back while the renewal was under way")
		}
		return nil
	})
	var both sync.WaitGroup
	both.Go(func() {
		_, err := r.Renew(r.ctx, id, time.Hour)
		if err == nil {
			// The revocation had not been acknowledged yet.
			return
		}
		r.fails(err, backend.Invalid, "lease expired")
	})
	<-inside
	both.Go(func() { r.ok(r.Revoke(r.ctx, id)) })
	close(goOn)
	both.Wait()
	r.gone(id, name)
}

// However many want a lease gone at once, the engine is asked once.
func TestRevokedOnce(t *testing.T) {
	r := newRoom(t)
	r.outside.SetRole("ro", leasetest.Role{TTL: time.Minute})
	id, name := r.issue("ro", r.token())
	r.clock.Add(time.Minute)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { r.ok(r.Revoke(r.ctx, id)) })
		all.Go(func() { r.ok(r.RevokePrefix(r.ctx, "db/")) })
		all.Go(func() { r.ok(r.RevokeForce(r.ctx, "db/creds/")) })
		all.Go(func() { _, err := r.Sweep(r.ctx); r.ok(err) })
	}
	all.Wait()
	r.Wait()
	r.gone(id, name)
	r.empty()
}

// Who deals with a lease is alone with it: somebody whose time is up meanwhile asks nothing.
func TestAlone(t *testing.T) {
	r := newRoom(t)
	id, name := r.issue("ro", r.token())
	unlock, err := r.busy.lock(r.ctx, id)
	r.ok(err)
	late, cancel := context.WithCancel(r.ctx)
	cancel()
	for _, how := range []insistence{asked, forced, swept} {
		if err := r.settle(late, id, how); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
	}
	if _, err := r.Renew(late, id, 0); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	var alone atomic.Bool
	r.outside.FailRevoke(func(context.Context, string) error {
		if !alone.Load() {
			t.Error("the engine was asked while somebody else dealt with the lease")
		}
		return nil
	})
	var waiting sync.WaitGroup
	waiting.Go(func() { r.ok(r.Revoke(r.ctx, id)) })
	for range 10_000 {
		runtime.Gosched() // give it every chance to do wrong
	}
	alone.Store(true)
	unlock()
	waiting.Wait()
	r.gone(id, name)
}

// The sweeper comes to a lease that was renewed since it looked.
func TestSweptOnlyWhenDue(t *testing.T) {
	r := newRoom(t)
	id, name := r.issue("ro", r.token())
	r.ok(r.settle(r.ctx, id, swept))
	if r.lookup(id) == nil || r.outside.Revoked(name) != 0 {
		t.Fatal("a living lease was swept")
	}
}

// A client that has gone leaves neither a secret without a lease nor one that was taken back
// and is still on record.
func TestClientGone(t *testing.T) {
	r := newRoom(t)
	gone, cancel := context.WithCancel(r.ctx)
	cancel()
	f, name := r.fresh("ro", r.token())
	out, err := r.Register(gone, f)
	r.ok(err)
	if r.lookup(out.ID) == nil {
		t.Fatal("no lease")
	}
	f, lastName := r.fresh("ro", f.Holder)
	f.LastUse = true
	if _, err := r.Register(gone, f); err != errLastUse || r.outside.Revoked(lastName) != 1 {
		t.Fatalf("error %v, taken back %d times", err, r.outside.Revoked(lastName))
	}
	leaving, leave := context.WithCancel(r.ctx)
	r.outside.FailRevoke(func(context.Context, string) error { leave(); return nil })
	r.ok(r.Revoke(leaving, out.ID))
	r.gone(out.ID, name)
	r.empty()
}

// What an ended lease shows while its secret is still out. Contract: leases §3.1.
func TestEndedShows(t *testing.T) {
	r := newRoom(t)
	r.outside.FailRevoke(away)
	holder := r.token()
	id, _ := r.issue("ro", holder)
	r.clock.Add(time.Minute)
	r.dies(holder)
	r.clock.Add(2 * time.Second)
	l := r.lookup(id)
	if !l.ExpireTime().Equal(epoch.Add(time.Minute)) || l.TTL(r.clock.Now()) != -2*time.Second || l.Path() != "db/creds/ro" || !l.RenewTime().IsZero() {
		t.Fatalf("%+v", l)
	}
	f, _ := r.fresh("ro", holder)
	_, err := r.Register(r.ctx, f)
	if backend.KindOf(err) != backend.BadToken {
		t.Fatalf("error %v", err)
	}
	for _, id := range []string{id, r.only(id)} {
		want := HolderDied
		if id != l.ID {
			want = NotDelivered
		}
		if got := r.lookup(id).End; got == nil || got.Cause != want {
			t.Fatalf("ended %+v, want %s", got, want)
		}
	}
}

// only is the one lease of db/creds/ro besides other.
func (r *room) only(other string) string {
	r.t.Helper()
	names, err := r.List(r.ctx, "db/creds/ro/")
	r.ok(err)
	for _, n := range names {
		if id := "db/creds/ro/" + n; id != other && len(names) == 2 {
			return id
		}
	}
	r.t.Fatalf("leases %q", names)
	return ""
}

// Contract: leases §4.1.
func TestBackoff(t *testing.T) {
	r := newRoom(t)
	r.outside.SetRole("ro", leasetest.Role{TTL: time.Minute})
	id, _ := r.issue("ro", r.token())
	r.outside.FailRevoke(away)
	r.clock.Add(time.Minute)
	for attempt := 1; attempt <= 7; attempt++ {
		r.sweepAll()
		l := r.lookup(id)
		want, text := firstRetry<<(attempt-1), "the database is away"
		if attempt >= maxAttempts {
			want, text = dailyRetry, "out of retries: the database is away"
		}
		wait := time.Duration(l.End.Next - r.clock.Now().UnixNano())
		if l.End.Attempts != attempt || wait < want/2 || wait > want*3/2 {
			t.Fatalf("after attempt %d: %d attempts, next in %s, want about %s", attempt, l.End.Attempts, wait, want)
		}
		if cause, yes := l.Irrevocable(); yes != (attempt >= maxAttempts) || l.End.Error != text || (yes && cause != text) {
			t.Fatalf("after attempt %d: irrevocable %t, %q", attempt, yes, l.End.Error)
		}
		r.clock.Add(wait - 1)
		r.sweepAll()
		if got := r.lookup(id).End.Attempts; got != attempt {
			t.Fatalf("tried again before its time: %d attempts", got)
		}
		r.clock.Add(1)
	}
	if told := r.told.of(id); told == nil || !told.End.Irrevocable {
		t.Fatalf("the witness was told %+v", told)
	}
	r.mustCheck()
	counts, err := r.CountIrrevocable(r.ctx)
	r.ok(err)
	if len(counts) != 1 || counts["leasing_1"] != 1 {
		t.Fatalf("counts %v", counts)
	}
	// A person who asks does not use up attempts, nor does a success leave anything behind.
	r.fails(r.Revoke(r.ctx, id), backend.Invalid, "the database is away")
	if got := r.lookup(id).End.Attempts; got != 7 {
		t.Fatalf("a person's attempt was counted: %d", got)
	}
	r.outside.FailRevoke(nil)
	r.ok(r.Revoke(r.ctx, id))
	r.empty()
}

// Contract: leases §4.1, unrecoverable classes.
func TestUnrecoverable(t *testing.T) {
	for _, err := range []*backend.Error{
		backend.Invalidf("x"), backend.Errorf(backend.UnsupportedPath, "x"), backend.Errorf(backend.UnsupportedOperation, "x"),
		backend.Errorf(backend.InvalidAggregate, "x"),
	} {
		if !unrecoverable(&engineError{text: "x", cause: err}) {
			t.Errorf("kind %d is tried again", err.Kind)
		}
	}
	for _, err := range []error{errors.New("x"), backend.Errorf(backend.Upstream, "x"), context.DeadlineExceeded} {
		if unrecoverable(&engineError{text: "x", cause: err}) {
			t.Errorf("%v is not tried again", err)
		}
	}
}

// A lease whose engine is gone is kept and says so; when the engine is back, it is tried again.
func TestEngineGone(t *testing.T) {
	r := newRoom(t)
	id, name := r.issue("ro", r.token())
	mount := r.engines.mount("leasing_1")
	r.engines.remove("leasing_1")
	_, err := r.Renew(r.ctx, id, 0)
	r.fails(err, backend.Invalid, "failed to renew entry: the engine that issued the lease is gone")
	r.ok(r.End(r.ctx, id))
	r.sweepAll()
	if cause, yes := r.lookup(id).Irrevocable(); !yes || cause != ErrNoIssuer.Error() {
		t.Fatalf("irrevocable %t, %q", yes, cause)
	}
	r.engines.set(mount)
	r.clock.Add(36 * time.Hour)
	r.sweepAll()
	r.gone(id, name)
}

// A server that is sealed while an engine is asked has not seen the engine fail.
func TestSealingIsNoAttempt(t *testing.T) {
	r := newRoom(t)
	id, name := r.issue("ro", r.token())
	r.ok(r.End(r.ctx, id))
	life, end := context.WithCancel(r.ctx)
	r.outside.FailRevoke(func(ctx context.Context, _ string) error { end(); <-ctx.Done(); return ctx.Err() })
	_, err := r.Sweep(life)
	r.ok(err)
	r.Wait()
	if l := r.lookup(id); l.End.Attempts != 0 || l.End.Error != "" {
		t.Fatalf("%+v", l.End)
	}
	r.outside.FailRevoke(nil)
	r.sweepAll()
	r.gone(id, name)
}

func TestClosedStartsNothing(t *testing.T) {
	r := newRoom(t)
	id, name := r.issue("ro", r.token())
	r.ok(r.End(r.ctx, id))
	r.Store.Close()
	if n, err := r.Sweep(r.ctx); n != 0 || err != nil {
		t.Fatalf("started %d, error %v", n, err)
	}
	if r.outside.Revoked(name) != 0 {
		t.Fatal("revoked after the end")
	}
}
