package embedded

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"jeton/internal/store"
)

// What one turn may do, so that whoever has it gets its own answer soon.
const (
	groupClosures = 64
	groupBytes    = 512 << 10
)

// group is what is done in one turn.
type group struct {
	leader *update
	// members have made a commit, and wait for the sync; the leader may be one of them.
	members  []*update
	closures int
	bytes    int
	// synced is the batch with which the log is synced; nil before that.
	synced *pebble.Batch
	few    [8]*update // spares most groups an allocation of their members
}

func (g *group) full() bool { return g.closures >= groupClosures || g.bytes >= groupBytes }

// Update runs fn in a transaction. See store.Store. A transaction that writes nothing is no
// commit: it takes no position and waits for no sync. fn must not call Update or Close of the
// same store; a View inside it sees the state before the transaction. Where fn ends its goroutine
// (runtime.Goexit), against the rule, the caller's ends as well, and everybody is answered.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if store.IsReading(ctx) {
		return store.ErrReading
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.life.calls.Done()

	s.line.inside.Add(1)
	defer s.line.inside.Add(-1)
	u := s.line.newUpdate(ctx, fn)
	if s.line.join(u) {
		s.lead(u)
	}
	err, panicked, exited := u.err, u.panicked, u.exited
	s.line.release(u)
	if panicked != nil {
		panic(panicked)
	}
	if exited {
		runtime.Goexit()
	}
	return err
}

// What passes between two syncs of the log, so that more commits share one: a sync costs more
// of the processor than a small commit does. It grows with the number of Updates under way, and is
// nothing for a few, whose next commits it would only hold up.
const (
	pauseLeast  = 4 // Updates under way
	pauseOfEach = 64 * time.Microsecond
	pauseMost   = time.Millisecond
)

// syncPause is asked by Pebble after each sync.
func (s *Store) syncPause() time.Duration {
	n := s.line.inside.Load()
	if n < pauseLeast {
		return 0
	}
	return min(time.Duration(n)*pauseOfEach, pauseMost)
}

// alone gives the caller the turn with nobody in its group, until it calls done.
func (s *Store) alone() (done func()) {
	u := s.line.newUpdate(context.Background(), nil)
	s.line.join(u)
	s.line.release(u)
	return s.line.pass
}

// lead uses the turn of u: for its own transaction, then for those who wait meanwhile. It
// returns when the outcome of u is known. REQUIRES: u has the turn, which is passed on.
func (s *Store) lead(u *update) {
	g := &group{leader: u}
	g.members = g.few[:0]
	defer s.settle(g) // also when a closure ends the goroutine, or a subscriber panics
	s.transact(g, u)
	if len(g.members) == 0 {
		return // u has its outcome, and need not wait for the commits of others
	}
	for !g.full() && g.synced == nil {
		next := s.line.follower()
		if next == nil {
			return
		}
		s.transact(g, next)
	}
}

// transact runs the closure of u and makes a commit of what it wrote.
func (s *Store) transact(g *group, u *update) {
	commits := len(g.members)
	defer func() {
		if u != g.leader && len(g.members) == commits {
			u.wake <- struct{}{} // it is over
		}
	}()
	g.closures++
	batch, position := s.stage(u, u == g.leader)
	if batch == nil {
		return
	}
	g.bytes += batch.Len()
	// Where somebody follows, the log is synced with the last of them.
	sync := g.full() || !s.line.follows()
	if u.err = s.handOver(g, u, batch, position, sync); u.err != nil {
		return
	}
	if sync {
		g.synced = batch
	} else if err := batch.Close(); err != nil {
		s.logger.Error("store: a batch was not released", "error", err) // the commit is made all the same
	}
}

// stage runs the closure of u. The batch that it returns has what was written and waits to be
// made the commit of position; nil when there is none to be made.
func (s *Store) stage(u *update, ours bool) (*pebble.Batch, uint64) {
	if u.err = u.ctx.Err(); u.err != nil {
		return nil, 0 // cancelled while it waited for its turn
	}
	if u.err = s.disk.failure(); u.err != nil {
		return nil, 0
	}
	position := s.done.Load() + 1
	t := &tx{reader: reader{ctx: u.ctx, from: s.db, position: position, state: position - 1, rows: s.rows}, db: s.db, batch: s.db.NewBatch()}
	kept := false
	defer func() {
		t.end()
		if !kept {
			t.batch.Close()
		}
	}()
	u.call(t, ours, s)
	if u.err != nil || u.panicked != nil || u.exited || t.batch.Empty() {
		return nil, 0
	}
	set := t.batch.SetDeferred(len(positionText), 8)
	copy(set.Key, positionText)
	binary.BigEndian.PutUint64(set.Value, position)
	if err := set.Finish(); err != nil {
		u.err = fmt.Errorf("store: commit: %w", err)
		return nil, 0
	}
	kept = true
	return t.batch, position
}

// handOver makes batch the commit of that position, u a member of the group, and tells the
// subscribers. REQUIRES: the caller has the turn.
func (s *Store) handOver(g *group, u *update, batch *pebble.Batch, position uint64, sync bool) error {
	// From before the commit is visible until it is told, so that a subscriber hears all of
	// it or was not there yet when it became visible.
	s.subs.Lock()
	defer s.subs.Unlock()
	change := store.Commit{Position: position}
	if err := s.describe(batch, &change); err != nil {
		return err
	}
	s.begun.Store(position)
	if err := s.apply(batch, sync); err != nil {
		return err
	}
	s.done.Store(position)
	g.members = append(g.members, u)
	for _, sub := range s.subs.list {
		sub.fn(change)
	}
	return nil
}

// apply hands batch to Pebble. Pebble panics where it sees no way on; its locks are then in an
// unknown state, so the store takes no more writes.
func (s *Store) apply(batch *pebble.Batch, sync bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.wedged.Store(true)
			err = s.disk.freeze("commit", fmt.Errorf("pebble: %v", p))
		}
	}()
	if sync {
		err = s.db.ApplyNoSyncWait(batch, pebble.Sync)
	} else {
		err = s.db.Apply(batch, pebble.NoSync)
	}
	if err != nil {
		return s.disk.freeze("commit", err)
	}
	return nil
}

// settle passes the turn on, and tells the members of the group what became of their commits
// once the log is synced.
func (s *Store) settle(g *group) {
	if len(g.members) > 0 && g.synced == nil && s.disk.failure() == nil {
		s.mark(g)
	}
	s.line.pass()
	if len(g.members) == 0 {
		return
	}
	s.retire()
	// The log has the commits: the outcome is awaited whatever becomes of any context.
	err := s.await(g)
	for _, u := range g.members {
		u.err = err
		if u != g.leader {
			u.wake <- struct{}{}
		}
	}
}

// mark has the log synced for commits after which nothing came but transactions that failed or
// wrote nothing. REQUIRES: the caller has the turn.
func (s *Store) mark(g *group) {
	batch := s.db.NewBatch()
	// An entry of the log alone: it changes nothing. Pebble gives no error.
	_ = batch.LogData(nil, nil)
	if s.apply(batch, true) == nil {
		g.synced = batch
	}
}

// await returns when the commits of the group are durable, or why they may not be.
func (s *Store) await(g *group) error {
	var err error
	if g.synced != nil {
		err = g.synced.SyncWait()
	}
	if failure := s.disk.failure(); failure != nil {
		return failure
	}
	if err != nil {
		return s.disk.freeze("commit", err)
	}
	return g.synced.Close()
}
