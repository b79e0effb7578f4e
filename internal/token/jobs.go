package token

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"slices"
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
	// At is the last index entry that was dealt with.
	At     []byte `cbor:"1,keyasint,omitempty"`
	Ended  int64  `cbor:"2,keyasint,omitempty"`
	Looked int64  `cbor:"3,keyasint,omitempty"`
}

// activeJobs are the jobs that some state of the store has.
type activeJobs struct {
	// position is that of the commit which changed them last.
	position uint64
	jobs     []Job
}

// jobsIn returns the active jobs in r. They are read again only when a commit has changed them.
func (s *Store) jobsIn(r store.Reader) ([]Job, error) {
	changed := s.jobsChanged.Load()
	if known := s.jobs.Load(); known != nil && known.position == changed {
		return known.jobs, nil
	}
	var jobs []Job
	err := r.Scan(store.PrefixRange([]byte{jobKey}), func(_, v []byte) (bool, error) {
		var j Job
		err := record.Decode(v, &j)
		jobs = append(jobs, j)
		return true, err
	})
	if err == nil && r.Position() >= changed {
		// A reader of an older state must not be taken for the present.
		s.jobs.Store(&activeJobs{position: changed, jobs: jobs})
	}
	return jobs, err
}

// condemned says whether an active job has ended t.
func (s *Store) condemned(r store.Reader, jobs []Job, t *Token) (bool, error) {
	for i := range jobs {
		dead, err := s.selects(r, &jobs[i], t)
		if dead || err != nil {
			return dead, err
		}
	}
	return false, nil
}

// selects says whether the job's filter selected t when the job began. What was made, renewed
// or used since was alive since, and so was not selected.
func (s *Store) selects(r store.Reader, j *Job, t *Token) (bool, error) {
	if t.ID == j.Spared || t.Life.Created > j.Started || t.Life.Renewed > j.Started || !j.Filter.matches(t) {
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
// returns they are refused everywhere; the sweeper cleans up behind, and the job shows how far
// it is.
func (s *Store) RevokeMatching(ctx context.Context, f Filter, caller *backend.Caller) (*Job, error) {
	if f.Empty() {
		return nil, backend.Invalidf("at least one filter is needed: this would revoke every token")
	}
	if f.UnusedSince != 0 {
		// What memory knows of uses must count before the mark does.
		if err := s.FlushUses(ctx); err != nil {
			return nil, err
		}
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	job := &Job{ID: hex.EncodeToString(id[:]), Filter: f, By: caller.Accessor, Spared: caller.ID}
	err := s.area.Update(ctx, func(tx store.Tx) error {
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
	})
	return job, err
}

// driver is the smallest counted index that all selected tokens are in, and its size.
func (s *Store) driver(r store.Reader, f *Filter) (best facet, size int64, err error) {
	size = -1
	for _, candidate := range f.facets() {
		if !candidate.counted() {
			continue
		}
		n, err := s.readCount(r, candidate)
		if err != nil {
			return best, 0, err
		}
		if size < 0 || n < size {
			best, size = candidate, n
		}
	}
	return best, size, nil
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

// SweepJobs deals with a batch of the tokens of the first active job, and returns how many it
// looked at: 0 means that no job is active.
func (s *Store) SweepJobs(ctx context.Context) (int, error) {
	var endings []Ending
	var dealt int
	err := s.whole.Update(ctx, func(tx store.Tx) error {
		area := s.area.Within(tx)
		endings, dealt = nil, 0
		active, err := s.jobsIn(area)
		if err != nil || len(active) == 0 {
			return err
		}
		endings, dealt, err = s.workOn(tx, active[0])
		return err
	})
	if err != nil {
		return 0, err
	}
	s.witness(ctx, endings)
	return dealt, nil
}

// workOn ends a batch of the job's tokens, or finishes the job when there are no more.
func (s *Store) workOn(tx store.Tx, job Job) (endings []Ending, dealt int, err error) {
	area := s.area.Within(tx)
	progressAt := key(progressKey, []byte(job.ID))
	progress, err := record.Get[jobProgress](area, progressAt)
	if err != nil {
		return nil, 0, err
	}
	if progress == nil {
		progress = &jobProgress{}
	}
	best, _, err := s.driver(area, &job.Filter)
	if err != nil {
		return nil, 0, err
	}
	if len(progress.At) > 1 && progress.At[1] != byte(best.kind) {
		// Another index is the smallest now: what is left is found there, from its beginning.
		progress.At = nil
	}
	in := store.PrefixRange(s.facetPrefix(createdOrder, best))
	resume(&in, progress.At)
	in.Limit, in.KeysOnly = sweepBatch, true
	var last []byte
	var ids []ID
	err = area.Scan(in, func(k, _ []byte) (bool, error) {
		last = slices.Clone(k)
		ids = append(ids, lastID(k))
		return true, nil
	})
	if err != nil {
		return nil, 0, err
	}
	if endings, err = s.endSelected(tx, &job, ids); err != nil {
		return nil, 0, err
	}
	progress.Looked += int64(len(ids))
	progress.Ended += int64(len(endings))
	if len(ids) == sweepBatch {
		progress.At = last
		return endings, len(ids), record.Put(area, progressAt, progress)
	}
	job.Ended, job.Looked, job.Finished = progress.Ended, progress.Looked, s.clock.Now().UnixNano()
	return endings, len(ids) + 1, s.finish(area, &job)
}

// endSelected ends those of ids that the job selected.
func (s *Store) endSelected(tx store.Tx, job *Job, ids []ID) (endings []Ending, err error) {
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
		why := End{Cause: Jobbed, At: job.Started, By: job.By, Job: job.ID}
		if err := s.endIn(tx, t, why); err != nil {
			return nil, err
		}
		endings = append(endings, Ending{t, why})
	}
	return endings, nil
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
		return r.Scan(finished, func(_, v []byte) (bool, error) {
			var j Job
			err := record.Decode(v, &j)
			jobs = append(jobs, j)
			return true, err
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
