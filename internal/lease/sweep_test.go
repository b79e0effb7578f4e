package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/engine/leasetest"
	"jeton/internal/store"
)

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
	// By now the others are due again, and come first in order.
	r.clock.Add(time.Minute)
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

// More than one batch, and a failure far along: the text says where. Contract: leases §3.5.
func TestRevokePrefixOfMany(t *testing.T) {
	r := newRoom(t)
	holder := r.token()
	names := map[string]string{}
	for range 3 * batch {
		id, name := r.issue("ro", holder)
		names[id] = name
	}
	ids := slices.Sorted(maps.Keys(names))
	at := 2*batch + 10
	bad := names[ids[at]]
	r.outside.FailRevoke(func(ctx context.Context, name string) error {
		if name == bad {
			return away(ctx, name)
		}
		return nil
	})
	r.fails(r.RevokePrefix(r.ctx, "db/"), backend.Invalid, fmt.Sprintf("failed to revoke %q (%d / %d): the database is away", ids[at], at+1, 3*batch))
	for i, id := range ids {
		l := r.lookup(id)
		if i < 2*batch && l != nil {
			t.Fatalf("lease %d of %d is still there", i, at)
		}
		if l != nil && l.End == nil {
			t.Fatalf("lease %d was not ended", i)
		}
	}
	r.ok(r.RevokeForce(r.ctx, "db/"))
	r.empty()
	if r.outside.Valid() != 1 {
		t.Fatalf("%d secrets are valid, want that of the failure alone", r.outside.Valid())
	}
}

// Who asks for a lease to be revoked does not wait for the next attempt of the sweeper, whether
// or not the answer waits; the removal of a mount does.
func TestAskingAgain(t *testing.T) {
	r := newRoom(t)
	id, name := r.issue("ro", r.token())
	r.outside.FailRevoke(denies)
	r.ok(r.End(r.ctx, id))
	r.sweepAll()
	if _, yes := r.lookup(id).Irrevocable(); !yes {
		t.Fatal("not irrevocable")
	}
	asked := func(what string, n int) {
		t.Helper()
		r.sweepAll()
		if got := r.outside.Asked(); got != n {
			t.Fatalf("after %s the engine was asked %d times, want %d", what, got, n)
		}
		r.mustCheck()
	}
	asked("nothing", 1)
	_, err := r.EndPrefix(r.ctx, "db/")
	r.ok(err)
	asked("the removal of a mount", 1)
	r.ok(r.End(r.ctx, id))
	asked("End", 2)
	r.ok(r.QueuePrefix(r.ctx, "db/"))
	asked("QueuePrefix", 3)
	r.outside.FailRevoke(nil)
	r.ok(r.QueuePrefix(r.ctx, "db/"))
	asked("the last", 4)
	r.gone(id, name)
	r.empty()
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

// A mount has one lane, and a lane a bounded number of calls, however often Sweep comes.
func TestOneLaneForAMount(t *testing.T) {
	r := newRoom(t)
	holder := r.token()
	for range 3 * callers {
		r.issue("ro", holder)
	}
	r.dies(holder)
	release := make(chan struct{})
	r.outside.FailRevoke(func(context.Context, string) error { <-release; return nil })
	if n, err := r.Sweep(r.ctx); n != 1 || err != nil {
		t.Fatalf("started %d, error %v", n, err)
	}
	patience, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	r.ok(r.outside.Await(patience, func(w *leasetest.World) bool { return w.Asked() == callers }))
	if n, err := r.Sweep(r.ctx); n != 0 || err != nil {
		t.Fatalf("started %d more, error %v", n, err)
	}
	close(release)
	r.Wait()
	if r.outside.Valid() != 0 {
		t.Fatalf("%d secrets are still valid", r.outside.Valid())
	}
}

// A lane whose engine fails ends with its batch: others have their turn before it goes on.
func TestFailingLaneEnds(t *testing.T) {
	r := newRoom(t)
	holder := r.token()
	for range 2 * batch {
		r.issue("ro", holder)
	}
	r.dies(holder)
	r.outside.FailRevoke(away)
	_, err := r.Sweep(r.ctx)
	r.ok(err)
	r.Wait()
	if n := r.outside.Asked(); n != batch {
		t.Fatalf("the engine was asked %d times, want %d", n, batch)
	}
	r.outside.FailRevoke(nil)
	r.clock.Add(time.Minute)
	r.sweepAll()
	r.empty()
}
