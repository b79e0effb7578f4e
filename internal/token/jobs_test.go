package token

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// sweepJobs works until no job is active.
func (w *world) sweepJobs() (dealt int) {
	w.t.Helper()
	for range 100_000 {
		n, err := w.SweepJobs(w.ctx)
		w.ok(err)
		if n == 0 {
			return dealt
		}
		dealt += n
	}
	w.t.Fatalf("the job never ends")
	return 0
}

func (w *world) revokeMatching(f Filter) *Job {
	w.t.Helper()
	job, err := w.RevokeMatching(w.ctx, f, caller(w.root, true))
	w.ok(err)
	return job
}

// endings counts what the witness heard, by accessor.
func (w *world) endings(cause Cause) map[string]int {
	w.heard.mu.Lock()
	defer w.heard.mu.Unlock()
	heard := map[string]int{}
	for _, e := range w.heard.endings {
		if e.End.Cause == cause {
			heard[e.Token.Accessor]++
		}
	}
	return heard
}

// The promise: revoke-matching answers when the tokens are dead to the world, cached or not, with
// all below them; everything else lives on.
func TestJobEndsAtOnce(t *testing.T) {
	w := newWorld(t)
	old, other := w.plain(), w.create(w.root, with("db"))
	child := w.create(old, with("default"))
	batch := w.create(old, func(a *Ask) { a.Type = "batch" })
	orphan := w.create(w.root, func(a *Ask) { a.Policies, a.Orphan = []string{"web"}, true })
	uncached := w.plain()
	w.mustLive(old, child, batch, orphan, other)
	w.clock.Add(1)
	job := w.revokeMatching(Filter{Policy: "web"})
	w.clock.Add(1)
	late := w.plain()
	for range 2 {
		w.mustBeDead(old, child, batch, orphan, uncached)
		w.mustLive(other, late, w.root)
		w.reopen()
	}
	if _, err := w.renew(old, time.Hour); err == nil {
		t.Error("a dead token was renewed")
	}
	if _, err := w.Create(w.ctx, ask(old, nil)); err == nil {
		t.Error("a dead token got a child")
	}
	page, err := w.Search(w.ctx, Query{Filter: Filter{Policy: "web"}, Sort: ByCreated, Limit: 10})
	w.ok(err)
	if len(page.Rows) != 1 || page.Rows[0].Token.ID != late.Token.ID {
		t.Errorf("%d tokens are found, want the late one", len(page.Rows))
	}
	tree, err := w.Tree(w.ctx, w.root.Token.ID, 0, 10, "")
	w.ok(err)
	if len(tree.Descendants) != 2 {
		t.Errorf("%d descendants are drawn, want the other and the late one", len(tree.Descendants))
	}
	w.sweepJobs()
	w.sweepAll()
	w.mustBeDead(old, child, batch, orphan, uncached)
	w.mustLive(other, late, w.root)
	if got := w.records(); got != 3 {
		t.Errorf("%d records are left, want 3", got)
	}
	done, err := w.Job(w.ctx, job.ID)
	w.ok(err)
	if done == nil || done.Finished == 0 || done.Ended != 3 || done.Looked != 3 || done.Expected != 3 || done.Age(w.clock.Now()) != 1 {
		t.Errorf("the job: %+v", done)
	}
}

// A token that comes under the filter by a renewal after the job began is none that it selected.
func TestJobSparesWhatWasRenewedSince(t *testing.T) {
	w := newWorld(t)
	me := w.plain()
	soon := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "10m" })
	late := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "10h" })
	w.clock.Add(time.Minute)
	until := w.clock.Now().Add(time.Hour).UnixNano()
	_, err := w.RevokeMatching(w.ctx, Filter{Policy: "web", ExpiringBefore: until}, caller(me, true))
	w.ok(err)
	w.clock.Add(time.Second)
	if _, err := w.renew(late, 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	w.mustBeDead(soon)
	w.mustLive(me, late)
	w.sweepJobs()
	w.mustBeDead(soon)
	w.mustLive(me, late)
	w.mustCheck()
}

// A token is spared that lived on by its own doing: the caller's, and one renewed or used since.
func TestJobSparesWhatLivedOn(t *testing.T) {
	w := newWorld(t)
	me, idle, busy := w.plain(), w.plain(), w.plain()
	w.clock.Add(time.Hour)
	found, err := w.Authenticate(w.ctx, busy.Text, anywhere)
	w.ok(err)
	w.Used(found, anywhere) // known to memory alone when the job begins
	since := w.clock.Now().Add(-time.Minute).UnixNano()
	_, err = w.RevokeMatching(w.ctx, Filter{Policy: "web", UnusedSince: since}, caller(me, true))
	w.ok(err)
	w.mustBeDead(idle)
	w.mustLive(me, busy)
	// A use that was on its way when the mark was set does not bring a token back.
	w.Used(idle.Token, anywhere)
	w.ok(w.FlushUses(w.ctx))
	w.mustBeDead(idle)
	w.sweepJobs()
	w.mustBeDead(idle)
	w.mustLive(me, busy)
}

// Revoking alone makes orphans of children: neither does that save a child that a job selected
// by its parent, nor does it hand a child to a job that selected orphans.
func TestJobAndFreedChildren(t *testing.T) {
	no, yes := false, true
	for name, c := range map[string]struct {
		filter func(parent *Issued) Filter
		lives  bool
	}{
		"children of the parent": {func(p *Issued) Filter { return Filter{Parent: p.Token.ID} }, false},
		"no orphans":             {func(*Issued) Filter { return Filter{Policy: "web", Orphan: &no} }, false},
		"orphans":                {func(*Issued) Filter { return Filter{Policy: "web", Orphan: &yes} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			parent := w.create(w.root, func(a *Ask) { a.Policies, a.Orphan = []string{"web", "db"}, true })
			if name == "orphans" {
				parent = w.create(w.root, with("web", "db"))
				parent = w.create(parent, with("db"))
			}
			child := w.create(parent, func(a *Ask) { a.Policies, a.Caller.Sudo = []string{"web"}, true })
			w.clock.Add(1)
			w.revokeMatching(c.filter(parent))
			if w.lives(child) != c.lives {
				t.Fatalf("lives %t after the mark", !c.lives)
			}
			w.clock.Add(1)
			found, err := w.RevokeOrphan(w.ctx, parent.Token.ID, "")
			w.ok(err)
			if !found {
				t.Fatal("the parent should live")
			}
			w.sweepAll() // before the job comes to it
			if w.lives(child) != c.lives {
				t.Fatalf("lives %t once freed", !c.lives)
			}
			w.sweepJobs()
			w.sweepAll()
			if w.lives(child) != c.lives {
				t.Fatalf("lives %t in the end", !c.lives)
			}
		})
	}
}

// What is refused: everything, what is not stored, and a seventeenth job.
func TestJobBounds(t *testing.T) {
	w := newWorld(t)
	me := caller(w.root, true)
	for name, f := range map[string]Filter{"no filter": {}, "every service token": {Type: "service"}} {
		if _, err := w.RevokeMatching(w.ctx, f, me); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			w.fails(err, backend.Invalid, "at least one filter is needed: this would revoke every token")
		}
	}
	if _, err := w.RevokeMatching(w.ctx, Filter{Policy: "web", Type: "batch"}, me); err == nil {
		t.Error("batch tokens: accepted")
	}
	for range maxActiveJobs {
		w.clock.Add(1)
		w.revokeMatching(Filter{Policy: "web"})
	}
	job, err := w.RevokeMatching(w.ctx, Filter{Policy: "web"}, me)
	w.fails(err, backend.TooMany, "there are 16 jobs at work already; wait for one to end")
	if job != nil {
		t.Error("a refused job came out")
	}
	w.sweepJobs()
	for range keptJobs + 5 {
		w.clock.Add(1)
		w.revokeMatching(Filter{Policy: "web"})
		w.sweepJobs()
	}
	jobs, err := w.Jobs(w.ctx)
	w.ok(err)
	newestFirst := slices.IsSortedFunc(jobs, func(a, b Job) int { return int(b.Started - a.Started) })
	if len(jobs) != keptJobs || !newestFirst {
		t.Errorf("%d jobs are kept, newest first %t", len(jobs), newestFirst)
	}
	if none, err := w.Job(w.ctx, "nobody"); none != nil || err != nil {
		t.Errorf("a job nobody made: %v, %v", none, err)
	}
}

// A dry run counts what the job then ends, shows the first of it and changes nothing.
func TestDryRun(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.plain()
	}
	dead := w.plain()
	w.revoke(dead)
	me := w.plain()
	n, some, err := w.CountMatching(w.ctx, Filter{Policy: "web"}, caller(me, true), 3)
	w.ok(err)
	if n != 5 || len(some) != 3 {
		t.Fatalf("%d matching, %d shown; want 5 and 3", n, len(some))
	}
	job, err := w.RevokeMatching(w.ctx, Filter{Policy: "web"}, caller(me, true))
	w.ok(err)
	w.sweepJobs()
	done, err := w.Job(w.ctx, job.ID)
	w.ok(err)
	if done.Ended != n {
		t.Errorf("%d ended, %d announced", done.Ended, n)
	}
	w.mustLive(me)
}

// crowded puts n tokens of policy web below root, and returns some of another policy.
func crowded(w *world, n int) (others []*Issued) {
	template := w.plain().Token
	for made := 0; made < n; {
		var size int
		w.ok(w.whole.Update(w.ctx, func(tx store.Tx) error {
			size = 0
			for ; size < min(2000, n-made); size++ {
				next := &Issued{Token: template.clone()}
				next.Token.Accessor = randomBase62(plainChars)
				next.Token.Life.Created += int64(made + size)
				if err := w.insert(tx, next, "", newRandomness()); err != nil {
					return err
				}
			}
			return nil
		}))
		made += size
	}
	// The others stand behind the crowd in every order: by chance among the first of few, they
	// would cost whoever counts what a page costs.
	w.clock.Add(time.Second)
	for range 3 {
		others = append(others, w.create(w.root, with("db")))
	}
	w.clock.Add(time.Second)
	return others
}

// The promise: answers at once, whatever matches: one small transaction, whether it ends ten
// tokens or twenty thousand.
func TestJobCostsNothingToBegin(t *testing.T) {
	cost := func(n int) (reads, writes int64) {
		s := &storetest.Counting{Store: memory(t)}
		w := worldOver(t, s)
		crowded(w, n)
		s.Reset()
		w.revokeMatching(Filter{Policy: "web"})
		if s.Updates.Load() != 1 || s.Views.Load() != 0 {
			t.Errorf("%d tokens: %d transactions and %d views", n, s.Updates.Load(), s.Views.Load())
		}
		return s.Gets.Load() + s.Scanned.Load(), s.Writes.Load()
	}
	fewReads, fewWrites := cost(10)
	reads, writes := cost(20_000)
	if reads != fewReads || writes != fewWrites || writes != 1 {
		t.Errorf("ten tokens: %d reads, %d writes; twenty thousand: %d reads, %d writes", fewReads, fewWrites, reads, writes)
	}
}

// Each transaction of the clean-up is bounded, so that requests never wait long for it.
func TestJobWorksInSmallSteps(t *testing.T) {
	s := &storetest.Counting{Store: memory(t)}
	w := worldOver(t, s)
	crowded(w, 1000)
	w.revokeMatching(Filter{Policy: "web"})
	most := int64(0)
	for {
		s.Reset()
		n, err := w.SweepJobs(w.ctx)
		w.ok(err)
		if n == 0 {
			break
		}
		if s.Updates.Load() != 1 {
			t.Fatalf("a step of %d transactions", s.Updates.Load())
		}
		most = max(most, s.Writes.Load())
	}
	if perToken := most / sweepBatch; perToken > 60 {
		t.Errorf("%d writes in a step: %d for each token", most, perToken)
	}
}

// The walk ends at the job's beginning: tokens that are made meanwhile do not keep it busy.
func TestJobDoesNotChaseThePresent(t *testing.T) {
	w := newWorld(t)
	crowded(w, 3*sweepBatch)
	job := w.revokeMatching(Filter{Policy: "web"})
	for range 20 {
		n, err := w.SweepJobs(w.ctx)
		w.ok(err)
		if n == 0 {
			break
		}
		w.clock.Add(1)
		for range sweepBatch {
			w.plain()
		}
	}
	done, err := w.Job(w.ctx, job.ID)
	w.ok(err)
	if done.Finished == 0 || done.Ended != 3*sweepBatch+1 {
		t.Errorf("the job: %+v", done)
	}
}

// The promise: a job survives a crash, and leaves one audit entry for each token. Whatever
// becomes of any one transaction, the end is the same.
func TestJobSurvivesCrashes(t *testing.T) {
	const size = 2*sweepBatch + 10
	for _, outcome := range []storetest.Outcome{storetest.Failed, storetest.Persisted, storetest.DiedBefore, storetest.DiedAfter} {
		for step := 1; step <= 6; step++ {
			t.Run(fmt.Sprintf("%s at step %d", outcome, step), func(t *testing.T) {
				inner := memory(t)
				faulty := storetest.Faulty(inner)
				w := worldOver(t, faulty)
				others := crowded(w, size)
				faulty.InjectAt(step, outcome)
				_, err := w.RevokeMatching(w.ctx, Filter{Policy: "web"}, caller(w.root, true))
				if marked := step > 1 || outcome == storetest.Persisted || outcome == storetest.DiedAfter; !marked {
					if err == nil {
						t.Fatal("a job that was not stored came out")
					}
					w = restart(w, inner)
					w.revokeMatching(Filter{Policy: "web"})
				}
				for range 100 {
					n, err := w.SweepJobs(w.ctx)
					if faulty.Died() && w.raw != inner {
						w = restart(w, inner)
					} else if n == 0 && err == nil {
						break
					}
				}
				w.sweepAll()
				w.mustCheck()
				w.mustLive(others...)
				if got, want := w.records(), 1+len(others); got != want {
					t.Errorf("%d records, want %d", got, want)
				}
				heard := w.endings(Jobbed)
				if len(heard) != size+1 {
					t.Errorf("%d ends were told, want %d", len(heard), size+1)
				}
				again := 0
				for _, n := range heard {
					again += n - 1
				}
				// Who dies after telling and before writing that down tells of that batch again:
				// an audit entry too many, never one too few.
				if again != 0 && (outcome != storetest.DiedBefore || again > sweepBatch) {
					t.Errorf("%d ends were told twice", again)
				}
			})
		}
	}
}

// restart opens the room anew over what the process that died has left.
func restart(w *world, s store.Store) *world {
	w.Store.Close()
	w.raw = s
	w.boxes.area = store.NewArea(s, []byte("box/"))
	w.Store = w.open(s)
	return w
}

// A server that is stopped in the middle of a job does not tell of the last batch again.
func TestJobToldOnceOverRestart(t *testing.T) {
	w := newWorld(t)
	crowded(w, 3*sweepBatch)
	w.revokeMatching(Filter{Policy: "web"})
	for range 10 {
		_, err := w.SweepJobs(w.ctx)
		w.ok(err)
		w.ok(w.FlushUses(w.ctx)) // as sealing does
		w.reopen()
	}
	w.sweepJobs()
	heard := w.endings(Jobbed)
	for _, n := range heard {
		if n != 1 {
			t.Fatalf("an end was told %d times", n)
		}
	}
	if len(heard) != 3*sweepBatch+1 {
		t.Errorf("%d ends were told", len(heard))
	}
}

// Whoever reads an older state while a job is finished still takes that job's tokens for dead.
func TestJobHoldsForOlderReaders(t *testing.T) {
	w := newWorld(t)
	old := w.plain()
	w.clock.Add(1)
	w.revokeMatching(Filter{Policy: "web"})
	w.ok(w.area.View(w.ctx, func(r store.Reader) error {
		done := make(chan struct{})
		go func() { // a View in which an Update runs
			defer close(done)
			w.sweepJobs()
			w.mustBeDead(old) // reads the jobs again, at the newest state
		}()
		<-done
		found, _, err := w.alive(r, old.Token.ID, w.clock.Now())
		if found != nil {
			t.Error("a dead token lives in the older state")
		}
		return err
	}))
}

// Any jobs, among anything else: what a job selected when it began, and what hung below, is
// dead from then on and ends once; nothing else is touched by it.
func TestJobsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := memoryFor(t)
		defer s.Close()
		c := newCensus(worldOver(t, s))
		defer func() { c.w.Store.Close() }()
		c.w.ok(c.w.UpdateRole(c.w.ctx, "batchless", func(*Role) error { return nil }))
		for range 8 {
			c.create(t)
		}
		steps := c.steps()
		steps["job"] = func(t *rapid.T) {
			f := c.filter(t)
			if f.Empty() {
				return
			}
			spare := rapid.SampledFrom(c.living()).Draw(t, "caller")
			var selected []*soul
			for _, m := range c.souls {
				if m != spare && m.selected(&f, c.now()) {
					selected = append(selected, m)
				}
			}
			if slices.Contains(selected, c.souls[0]) {
				return // without root nothing can be made any more
			}
			n, _, err := c.w.CountMatching(c.w.ctx, f, caller(spare.issued, true), 3)
			c.w.ok(err)
			if n != int64(len(selected)) {
				t.Fatalf("a dry run of %d, want %d", n, len(selected))
			}
			if _, err := c.w.RevokeMatching(c.w.ctx, f, caller(spare.issued, true)); err != nil {
				c.w.fails(err, backend.TooMany, "there are 16 jobs at work already; wait for one to end")
				return
			}
			for _, m := range selected {
				m.ended = true
			}
			c.w.clock.Add(1)
		}
		steps["work"] = func(*rapid.T) {
			_, err := c.w.SweepJobs(c.w.ctx)
			c.w.ok(err)
		}
		steps["search"] = c.search
		steps[""] = func(t *rapid.T) {
			for _, m := range c.souls {
				if c.w.lives(m.issued) != m.living(c.now()) {
					t.Fatalf("lives %t, in the model %t", !m.living(c.now()), m.living(c.now()))
				}
			}
			if rapid.IntRange(0, 7).Draw(t, "check") == 0 {
				c.w.mustCheck()
			}
		}
		t.Repeat(steps)
		c.w.mustCheck()
		c.w.sweepJobs()
		c.count(t)
		for _, cause := range []Cause{Jobbed, Cascaded, Expired} {
			for _, n := range c.w.endings(cause) {
				if n != 1 {
					t.Fatalf("%s: an end was told %d times", cause, n)
				}
			}
		}
	})
}
