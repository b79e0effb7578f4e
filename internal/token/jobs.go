package token

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Jobs revoke every token that a filter selects. The mark of a job is one record: from its
// commit on, a token that the filter selected then is dead, and all below it, whether or not
// the clean-up has come to it. Whoever asks for a token's life asks the active jobs too; there
// are a handful at most, kept in memory, and none most of the time.
//
//	J <id>               Job while it is active: the mark
//	p <id>               jobProgress
//	j <started> <id>     Job when it is done
const (
	jobKey         = 'J'
	progressKey    = 'p'
	finishedJobKey = 'j'
)

// Jobbed is the cause of a token that a job ended.
const Jobbed Cause = "job"

// maxActiveJobs bounds what every look-up without a cache has to ask.
const maxActiveJobs = 16

// keptJobs is how many finished jobs stay on record.
const keptJobs = 200

// Job is one revoke-matching.
type Job struct {
	ID     string `cbor:"1,keyasint"`
	Filter Filter `cbor:"2,keyasint"`
	// Started is in Unix nanoseconds. Tokens made, renewed or used after it live on.
	Started int64 `cbor:"3,keyasint"`
	// By is the accessor of who asked; Spared is its token, which the job leaves alone.
	By     string `cbor:"4,keyasint,omitempty"`
	Spared ID     `cbor:"5,keyasint,omitempty"`
	// Expected is how many tokens were on record for the filter's smallest index, as a bound.
	Expected int64 `cbor:"6,keyasint,omitempty"`
	// Ended and Finished are of a job as it is shown; Finished is 0 while it is active.
	Ended    int64 `cbor:"7,keyasint,omitempty"`
	Looked   int64 `cbor:"8,keyasint,omitempty"`
	Finished int64 `cbor:"9,keyasint,omitempty"`
}

// jobProgress is how far the clean-up of an active job has come.
type jobProgress struct {
	// At is the last index entry that was dealt with. The walk stays in its index.
	At     []byte `cbor:"1,keyasint,omitempty"`
	Ended  int64  `cbor:"2,keyasint,omitempty"`
	Looked int64  `cbor:"3,keyasint,omitempty"`
	// Untold are the tokens of the last batch, of which the witness is to be told. They are
	// stored with their end, so that a crash in between leaves none without its audit entry;
	// the next batch replaces them. A crash between telling and that can tell a batch twice.
	Untold []untold `cbor:"4,keyasint,omitempty"`
	// Done says that there is nothing left to end.
	Done bool `cbor:"5,keyasint,omitempty"`
}

// untold is a token that ended and that the audit log may not have heard of.
type untold struct {
	ID    ID     `cbor:"1,keyasint"`
	Token *Token `cbor:"2,keyasint"`
}

// activeJobs are the jobs that some state of the store has.
type activeJobs struct {
	// changed is the position of the commit which changed them last, seen that of the state
	// which they were read from.
	changed, seen uint64
	jobs          []Job
}

// jobsIn returns the active jobs in r. They are read again only when a commit has changed them,
// or when r is older than what is known: a job that is done by now was not in an older state,
// which still has tokens that it ended.
func (s *Store) jobsIn(r store.Reader) ([]Job, error) {
	changed := s.jobsChanged.Load()
	if known := s.jobs.Load(); known != nil && known.changed == changed && r.Position() >= max(known.seen, changed) {
		return known.jobs, nil
	}
	var jobs []Job
	err := r.Scan(store.PrefixRange([]byte{jobKey}), func(_, v []byte) (bool, error) {
		var j Job
		err := record.Decode(v, &j)
		jobs = append(jobs, j)
		return true, err
	})
	// The first to begin is the first to be cleaned up after, so that one is in progress at most.
	slices.SortFunc(jobs, func(a, b Job) int { return cmp.Compare(a.Started, b.Started) })
	if err == nil && r.Position() >= changed {
		s.jobs.Store(&activeJobs{changed: changed, seen: r.Position(), jobs: jobs})
	}
	return jobs, err
}

// condemned says whether an active job has ended t.
func (s *Store) condemned(r store.Reader, jobs []Job, t *Token) (bool, error) {
	j, err := s.condemning(r, jobs, t)
	return j != nil, err
}

// condemning is the job that has ended t; nil for none.
func (s *Store) condemning(r store.Reader, jobs []Job, t *Token) (*Job, error) {
	for i := range jobs {
		dead, err := s.selects(r, &jobs[i], t)
		if dead || err != nil {
			return &jobs[i], err
		}
	}
	return nil, nil
}

// why is the end of a token that the job selected.
func (j *Job) why() End { return End{Cause: Jobbed, At: j.Started, By: j.By, Job: j.ID} }

// selects says whether the job's filter selected t when the job began. What was made, renewed
// or used since was alive since, and so was not selected.
func (s *Store) selects(r store.Reader, j *Job, t *Token) (bool, error) {
	if t.ID == j.Spared || t.Life.Created > j.Started || t.Life.Renewed > j.Started || !j.Filter.matches(t) {
		return false, nil
	}
	if f := j.Filter.Orphan; f != nil && *f && t.Life.Freed > j.Started {
		return false, nil
	}
	if j.Filter.UnusedSince == 0 {
		return true, nil
	}
	if t.Life.Created > j.Filter.UnusedSince {
		return false, nil
	}
	u, err := record.Get[lastUse](r, idKey(useKey, t.ID))
	return u == nil || u.At <= j.Filter.UnusedSince, err
}

// RevokeMatching ends every token that the filter selects, but the caller's own. When it
// returns they are refused everywhere, and with them what hangs below them; the sweeper cleans
// up behind, and the job shows how far it is.
func (s *Store) RevokeMatching(ctx context.Context, f Filter, caller *backend.Caller) (*Job, error) {
	if f.Type == "batch" {
		return nil, backend.Invalidf("batch tokens are not stored and cannot be revoked; revoke their parents")
	}
	if f.Empty() {
		return nil, backend.Invalidf("at least one filter is needed: this would revoke every token")
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	job := &Job{ID: hex.EncodeToString(id[:]), Filter: f, By: caller.Accessor, Spared: caller.ID}
	begin := func(tx store.Tx) error {
		active, err := s.jobsIn(tx)
		if err != nil {
			return err
		}
		if len(active) >= maxActiveJobs {
			return backend.Errorf(backend.TooMany, "there are %d jobs at work already; wait for one to end", maxActiveJobs)
		}
		job.Started = s.clock.Now().UnixNano()
		if _, job.Expected, err = s.driver(tx, &f); err != nil {
			return err
		}
		return record.Put(tx, key(jobKey, []byte(job.ID)), job)
	}
	var err error
	if f.UnusedSince != 0 {
		// What memory knows of uses must count before the mark does.
		err = s.flushAnd(ctx, begin)
	} else {
		err = s.area.Update(ctx, begin)
	}
	if err != nil {
		return nil, err
	}
	return job, nil
}

// CountMatching is a dry run: how many tokens RevokeMatching would end, by a walk over the
// filter's smallest index, and the first few of them.
func (s *Store) CountMatching(ctx context.Context, f Filter, caller *backend.Caller, show int) (n int64, some []Row, err error) {
	now := s.clock.Now()
	err = s.area.View(ctx, func(r store.Reader) error {
		n, some = 0, nil
		best, _, err := s.driver(r, &f)
		if err != nil {
			return err
		}
		in := store.PrefixRange(s.facetPrefix(createdOrder, best))
		in.KeysOnly = true
		return r.Scan(in, func(k, _ []byte) (bool, error) {
			id := lastID(k)
			if id == caller.ID {
				return true, nil
			}
			row, err := s.row(r, id, &f, now)
			if row == nil || err != nil {
				return err == nil, err
			}
			if n++; len(some) < show {
				some = append(some, *row)
			}
			return true, nil
		})
	})
	return n, some, err
}

// telling is how far the witness was told of what jobs ended.
type telling struct {
	// mu is held by the one sweep of jobs at a time.
	mu sync.Mutex
	// sure says that nothing is left to tell: not after a restart, nor after a transaction
	// whose outcome is not known. Guarded by mu, as is what follows.
	sure bool
	// last is the batch that was told of last, job and index entry; noted says that the store
	// knows of it.
	last  string
	noted bool
}

// SweepJobs deals with a batch of the tokens of the job that began first, and returns how many
// it looked at: 0 means that no job is active.
func (s *Store) SweepJobs(ctx context.Context) (int, error) {
	s.telling.mu.Lock()
	defer s.telling.mu.Unlock()
	if !s.telling.sure {
		if err := s.tellUntold(ctx); err != nil {
			return 0, err
		}
	}
	var job *Job
	var progress *jobProgress
	var dealt int
	s.telling.sure = false // until it is known what this left behind
	err := s.whole.Update(ctx, func(tx store.Tx) error {
		area := s.area.Within(tx)
		job, progress, dealt = nil, nil, 0
		active, err := s.jobsIn(area)
		if err != nil || len(active) == 0 {
			return err
		}
		job = &active[0]
		progress, dealt, err = s.workOn(tx, *job)
		return err
	})
	if err != nil {
		return 0, err
	}
	if progress != nil {
		s.tell(ctx, job, progress)
	}
	s.telling.sure = true
	return dealt, nil
}

// tellUntold tells the witness of what a transaction ended whose outcome is not known here:
// one before a restart, or one that failed. REQUIRES: telling.mu is held.
func (s *Store) tellUntold(ctx context.Context) error {
	return s.area.View(ctx, func(r store.Reader) error {
		active, err := s.jobsIn(r)
		if err != nil {
			return err
		}
		for i := range active {
			p, err := record.Get[jobProgress](r, key(progressKey, []byte(active[i].ID)))
			if err != nil {
				return err
			}
			if p != nil {
				s.tell(ctx, &active[i], p)
			}
		}
		return nil
	})
}

// tell tells the witness of a batch, unless it was told last. REQUIRES: telling.mu is held.
func (s *Store) tell(ctx context.Context, job *Job, p *jobProgress) {
	batch := job.ID + string(p.At)
	if len(p.Untold) == 0 || s.telling.last == batch {
		return
	}
	endings := make([]Ending, 0, len(p.Untold))
	for _, u := range p.Untold {
		t := u.Token.clone()
		t.ID = u.ID
		endings = append(endings, Ending{t, job.why()})
	}
	s.witness(ctx, endings)
	s.telling.last, s.telling.noted = batch, false
}

// noteTold writes down that the last batch was told of, so that a server that stops in the
// middle of a job does not tell of it again when it starts.
func (s *Store) noteTold(ctx context.Context) error {
	s.telling.mu.Lock()
	defer s.telling.mu.Unlock()
	if s.telling.noted || s.telling.last == "" {
		return nil
	}
	err := s.area.Update(ctx, func(tx store.Tx) error {
		active, err := s.jobsIn(tx)
		if err != nil {
			return err
		}
		for i := range active {
			at := key(progressKey, []byte(active[i].ID))
			p, err := record.Get[jobProgress](tx, at)
			if err != nil {
				return err
			}
			if p == nil || active[i].ID+string(p.At) != s.telling.last || len(p.Untold) == 0 {
				continue
			}
			p.Untold = nil
			if err := record.Put(tx, at, p); err != nil {
				return err
			}
		}
		return nil
	})
	s.telling.noted = err == nil
	return err
}

// workOn ends a batch of the job's tokens; when there are no more, it finishes the job once
// those of the last batch are told of. dealt is never 0.
func (s *Store) workOn(tx store.Tx, job Job) (progress *jobProgress, dealt int, err error) {
	area := s.area.Within(tx)
	progressAt := key(progressKey, []byte(job.ID))
	if progress, err = record.Get[jobProgress](area, progressAt); err != nil {
		return nil, 0, err
	}
	if progress == nil {
		progress = &jobProgress{}
	}
	if progress.Done {
		job.Ended, job.Looked, job.Finished = progress.Ended, progress.Looked, s.clock.Now().UnixNano()
		return nil, 1, s.finish(area, &job)
	}
	prefix, err := s.indexOf(area, &job.Filter, createdOrder, progress.At)
	if err != nil {
		return nil, 0, err
	}
	in := store.PrefixRange(prefix)
	// What was made since is not looked at: otherwise the walk would chase the present.
	in.To = binary.BigEndian.AppendUint64(slices.Clone(prefix), uint64(job.Started)+1)
	resume(&in, progress.At)
	in.Limit, in.KeysOnly = sweepBatch, true
	var ids []ID
	err = area.Scan(in, func(k, _ []byte) (bool, error) {
		progress.At = slices.Clone(k)
		ids = append(ids, lastID(k))
		return true, nil
	})
	if err != nil {
		return nil, 0, err
	}
	if progress.Untold, err = s.endSelected(tx, &job, ids); err != nil {
		return nil, 0, err
	}
	progress.Looked += int64(len(ids))
	progress.Ended += int64(len(progress.Untold))
	progress.Done = len(ids) < sweepBatch
	return progress, len(ids) + 1, record.Put(area, progressAt, progress)
}

// endSelected ends those of ids that the job selected.
func (s *Store) endSelected(tx store.Tx, job *Job, ids []ID) (ended []untold, err error) {
	area := s.area.Within(tx)
	for _, id := range ids {
		t, err := load(area, id)
		if unreadable(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		selected, err := s.selects(area, job, t)
		if err != nil {
			return nil, err
		}
		if !selected {
			continue
		}
		if err := s.endIn(tx, t, job.why()); err != nil {
			return nil, err
		}
		ended = append(ended, untold{id, t})
	}
	return ended, nil
}

// finish moves a job to the finished ones, and forgets the oldest of those.
func (s *Store) finish(tx store.Tx, job *Job) error {
	if err := tx.Delete(key(jobKey, []byte(job.ID))); err != nil {
		return err
	}
	if err := tx.Delete(key(progressKey, []byte(job.ID))); err != nil {
		return err
	}
	at := binary.BigEndian.AppendUint64([]byte{finishedJobKey}, uint64(job.Started))
	if err := record.Put(tx, append(at, job.ID...), job); err != nil {
		return err
	}
	var keys [][]byte
	all := store.PrefixRange([]byte{finishedJobKey})
	all.KeysOnly = true
	err := tx.Scan(all, func(k, _ []byte) (bool, error) {
		keys = append(keys, slices.Clone(k))
		return true, nil
	})
	for i := 0; err == nil && i < len(keys)-keptJobs; i++ {
		err = tx.Delete(keys[i])
	}
	return err
}

// Jobs lists the active jobs with their progress, and then the finished ones, newest first.
func (s *Store) Jobs(ctx context.Context) (jobs []Job, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		active, err := s.jobsIn(r)
		if err != nil {
			return err
		}
		jobs = slices.Clone(active)
		for i := range jobs {
			p, err := record.Get[jobProgress](r, key(progressKey, []byte(jobs[i].ID)))
			if err != nil {
				return err
			}
			if p != nil {
				jobs[i].Ended, jobs[i].Looked = p.Ended, p.Looked
			}
		}
		finished := store.PrefixRange([]byte{finishedJobKey})
		finished.Reverse = true
		return record.Each(r, finished, func(_ []byte, j *Job, malformed error) error {
			if malformed == nil {
				jobs = append(jobs, *j)
			}
			return nil
		})
	})
	return jobs, err
}

// Job returns one job; nil when there is none of that id.
func (s *Store) Job(ctx context.Context, id string) (*Job, error) {
	jobs, err := s.Jobs(ctx)
	for i := range jobs {
		if jobs[i].ID == id {
			return &jobs[i], err
		}
	}
	return nil, err
}

// Age is how long a job took, or has been at work.
func (j *Job) Age(now time.Time) time.Duration {
	if j.Finished != 0 {
		return time.Duration(j.Finished - j.Started)
	}
	return time.Duration(now.UnixNano() - j.Started)
}
