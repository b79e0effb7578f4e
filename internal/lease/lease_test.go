package lease

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/leasetest"
	"jeton/internal/record"
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

// Contract: leases §5.1; the issue's promise: exactly once, also across a restart in between.
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

// The bounds of more mounts than lanes: all of them get their turn.
func TestMoreMountsThanLanes(t *testing.T) {
	r := newRoom(t)
	holder := r.token()
	const mounts = maxLanes + 10
	for i := range mounts {
		accessor := fmt.Sprintf("leasing_%d", i)
		r.engines.set(backend.Mount{Path: accessor + "/", Accessor: accessor, DefaultTTL: time.Minute, MaxTTL: time.Hour})
		f, _ := r.fresh("ro", holder)
		f.Path, f.Mount = accessor+"/creds/ro", r.engines.mount(accessor)
		_, err := r.Register(r.ctx, f)
		r.ok(err)
	}
	// All hang but one, the last in order.
	last := r.lastName()
	release := make(chan struct{})
	r.outside.FailRevoke(func(ctx context.Context, name string) error {
		if name != last {
			<-release
			return away(ctx, name)
		}
		return nil
	})
	r.clock.Add(time.Minute)
	n, err := r.Sweep(r.ctx)
	r.ok(err)
	if n != maxLanes {
		t.Fatalf("%d lanes, want %d", n, maxLanes)
	}
	close(release)
	r.Wait()
	_, err = r.Sweep(r.ctx)
	r.ok(err)
	r.Wait()
	if r.outside.Revoked(last) != 1 {
		t.Fatal("the last mount had no turn")
	}
	r.outside.FailRevoke(nil)
	r.clock.Add(time.Minute)
	r.sweepAll()
	r.empty()
}

func (r *room) lastName() string { return fmt.Sprintf("ro-%d", r.outside.Issued()) }

// counting is a store that remembers the most that one transaction did.
type counting struct {
	store.Store
	mu           sync.Mutex
	most, writes int // guarded by mu
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	return c.Store.Update(ctx, func(tx store.Tx) error {
		counted := &countingTx{Tx: tx}
		err := fn(counted)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.most = max(c.most, counted.n)
		c.writes += counted.n
		return err
	})
}

type countingTx struct {
	store.Tx
	n int
}

func (t *countingTx) Put(k, v []byte) error { t.n++; return t.Tx.Put(k, v) }
func (t *countingTx) Delete(k []byte) error { t.n++; return t.Tx.Delete(k) }

// 10,000 leases that are due are swept in bounded steps, each secret taken back once.
func TestTenThousandDue(t *testing.T) {
	c := &counting{Store: memory(t)}
	r := roomOver(t, c)
	t.Cleanup(r.Store.Close)
	r.outside.SetRole("ro", leasetest.Role{TTL: time.Minute})
	holder := r.token()
	const leases = 10_000
	r.ok(r.raw.Update(r.ctx, func(tx store.Tx) error {
		for i := range leases {
			secret, _ := r.outside.Issue("ro")
			l := &Lease{ID: fmt.Sprintf("db/creds/ro/%024d", i), Holder: holder, Mount: "leasing_1", State: secret.State,
				Issued: epoch.UnixNano(), Expires: epoch.Add(time.Minute).UnixNano(), LastTTL: 60}
			if err := put(r.area.Within(tx), nil, l); err != nil {
				return err
			}
		}
		return nil
	}))
	c.most = 0
	r.clock.Add(time.Minute)
	r.sweepAll()
	if n := r.outside.Valid(); n != 0 || r.outside.Asked() != leases {
		t.Fatalf("%d secrets are still valid, the engine was asked %d times", n, r.outside.Asked())
	}
	if c.most > 8 {
		t.Fatalf("a transaction of the sweeper wrote %d keys", c.most)
	}
	r.empty()
}

// Ending many at once is done in bounded steps too.
func TestEndPrefixBounded(t *testing.T) {
	c := &counting{Store: memory(t)}
	r := roomOver(t, c)
	t.Cleanup(r.Store.Close)
	holder := r.token()
	for range 5 * batch {
		r.issue("ro", holder)
	}
	neighbour, _ := r.issue("rodeo", holder)
	c.most = 0
	n, err := r.EndPrefix(r.ctx, "db/creds/ro/")
	r.ok(err)
	if n != 5*batch || c.most > 4*batch {
		t.Fatalf("ended %d, at most %d writes at once", n, c.most)
	}
	if r.lookup(neighbour).End != nil {
		t.Fatal("a neighbour was ended")
	}
	r.sweepAll()
	if r.outside.Valid() != 1 {
		t.Fatalf("%d secrets are valid, want 1", r.outside.Valid())
	}
}

// A record that cannot be read stops neither the sweeper nor the end of a token, and a person
// can get rid of it.
func TestUnreadable(t *testing.T) {
	g := &garbling{Store: memory(t)}
	r := roomOver(t, g)
	t.Cleanup(r.Store.Close)
	r.outside.SetRole("ro", leasetest.Role{TTL: time.Minute})
	holder := r.token()
	bad, _ := r.issue("ro", holder)
	good, goodName := r.issue("ro", holder)
	g.garble(append([]byte("lease/"), recordOf(bad)...))
	r.clock.Add(time.Minute)
	r.sweepAll()
	r.gone(good, goodName)
	ids, err := r.Quarantined(r.ctx)
	r.ok(err)
	if len(ids) != 1 || ids[0] != bad {
		t.Fatalf("set aside: %q", ids)
	}
	if len(r.problems()) == 0 {
		t.Fatal("check says nothing of it")
	}
	r.dies(holder)
	r.ok(r.RevokeForce(r.ctx, "db/"))
	r.empty()
}

// What is stored stays readable: the bytes of a record with every field.
func TestStoredForm(t *testing.T) {
	l := &Lease{Holder: backend.TokenID{1, 2, 3}, Bound: 1e18, Mount: "leasing_1", State: []byte("state"), Renewable: true,
		Issued: 5, Expires: 7, Renewed: 6, LastTTL: 60, MaxTTL: 3600,
		End: &End{Cause: Revoked, At: 7, Next: 8, Attempts: 6, Error: "away", Irrevocable: true}}
	got, err := record.Encode(l)
	if err != nil {
		t.Fatal(err)
	}
	const want = "01ab01500102030000000000" + "0000000000000000021b0de0b6b3a764000003696c656173696e675f310445737461746505f5" +
		"06050707080609183c0a190e100ba601677265766f6b656402070308040605646177617906f5"
	if hex.EncodeToString(got) != want {
		t.Fatalf("stored form\n%x, want\n%s", got, want)
	}
	back := new(Lease)
	if err := record.Decode(got, back); err != nil || back.Mount != l.Mount || *back.End != *l.End || back.Holder != l.Holder {
		t.Fatalf("read back %+v, %v", back, err)
	}
}

// Check finds what is wrong. Each row breaks one thing.
func TestCheck(t *testing.T) {
	at := func(l *Lease, kind byte) []byte {
		for _, k := range l.entries() {
			if k[0] == kind {
				return k
			}
		}
		return nil
	}
	rows := []struct {
		name  string
		what  string
		wreck func(tx store.Tx, l *Lease) error
	}{
		{"nothing", "", func(store.Tx, *Lease) error { return nil }},
		{"no due entry", "a lease without one of its entries", func(tx store.Tx, l *Lease) error { return tx.Delete(at(l, dueKey)) }},
		{"no holder entry", "a lease without one of its entries", func(tx store.Tx, l *Lease) error { return tx.Delete(at(l, holderKey)) }},
		{"no record", "an entry without a lease", func(tx store.Tx, l *Lease) error { return tx.Delete(recordOf(l.ID)) }},
		{"a second due entry", "an entry that its lease does not have", func(tx store.Tx, l *Lease) error {
			return tx.Put(dueEntry(l.Mount, l.Expires+1, l.ID), nil)
		}},
		{"an irrevocable entry", "an entry that its lease does not have", func(tx store.Tx, l *Lease) error {
			return tx.Put(irrevocableEntry(l.Expires, l.ID), nil)
		}},
		{"a tally of nothing", "a tally that is wrong", func(tx store.Tx, l *Lease) error {
			return record.Put(tx, tallyOf(l.Mount), &tally{Count: 1})
		}},
		{"no tally", "irrevocable leases that no tally counts", func(tx store.Tx, l *Lease) error {
			bad := l.ended(Expired, epoch.UnixNano())
			bad.End.Irrevocable = true
			if err := put(tx, l, bad); err != nil {
				return err
			}
			return tx.Delete(tallyOf(l.Mount))
		}},
		{"without end", "a lease without end", func(tx store.Tx, l *Lease) error {
			bad := *l
			bad.Expires = 0
			return put(tx, l, &bad)
		}},
		{"held by nobody", "a lease that nobody holds", func(tx store.Tx, l *Lease) error {
			bad := *l
			bad.Holder = backend.TokenID{}
			return put(tx, l, &bad)
		}},
		{"longer than its batch token", "a lease that outlives its batch token", func(tx store.Tx, l *Lease) error {
			bad := *l
			bad.Bound = l.Expires - 1
			return put(tx, l, &bad)
		}},
		{"long overdue", "a lease that the sweeper has forgotten", func(tx store.Tx, l *Lease) error {
			return put(tx, l, l.ended(Revoked, epoch.Add(-2*time.Hour).UnixNano()))
		}},
		{"no CBOR", "a lease that cannot be read", func(tx store.Tx, l *Lease) error { return tx.Put(recordOf(l.ID), []byte("x")) }},
		{"a foreign key", "a key of no known kind", func(tx store.Tx, _ *Lease) error { return tx.Put([]byte("y"), nil) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := roomOver(t, memory(t))
			id, _ := r.issue("ro", r.token())
			r.ok(r.area.Update(r.ctx, func(tx store.Tx) error {
				l, err := load(tx, id)
				if err != nil {
					return err
				}
				return row.wreck(tx, l)
			}))
			found := r.problems()
			if row.what == "" {
				if len(found) != 0 {
					t.Fatalf("found %v", found)
				}
				return
			}
			for _, p := range found {
				if strings.HasPrefix(p.String(), row.what) {
					return
				}
			}
			t.Fatalf("found %v, want %q", found, row.what)
		})
	}
}

func TestClip(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("x", 240), strings.Repeat("x", 241), strings.Repeat("ä", 500), "x" + strings.Repeat("ä", 500)} {
		got := clip(text)
		if len(got) > maxError || !strings.HasPrefix(text, got) || strings.ToValidUTF8(got, "") != got || (len(text) > maxError && len(got) < maxError-3) {
			t.Errorf("clip of %d bytes has %d", len(text), len(got))
		}
	}
}
