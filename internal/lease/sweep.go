package lease

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// How often an engine is asked that fails. Contract: leases §4.1.
const (
	firstRetry = 10 * time.Second
	// maxAttempts failures make a lease irrevocable.
	maxAttempts = 6
	dailyRetry  = 24 * time.Hour
	// maxError bounds what is kept of an engine's words.
	maxError = 240
)

// maxLanes is how many mounts are swept at a time. Each costs a few goroutines, and as many
// calls of its engine, while it has something due.
const maxLanes = 64

// lanes are the background work: one lane for each mount that has leases due. An engine that
// hangs holds up its own lane alone.
type lanes struct {
	mu sync.Mutex
	// running has the mounts with a lane; closed says that no more may begin; last is the mount
	// that was started last. All guarded by mu.
	running map[string]bool
	closed  bool
	last    string

	done sync.WaitGroup
}

// Sweep starts taking back what is due, and returns how many mounts it started on: 0 means
// that nothing is due that is not being dealt with. It does not wait. ctx must last as long as
// the work may; when it ends the work stops and goes on with the next Sweep, as all that is
// to do is in the store.
func (s *Store) Sweep(ctx context.Context) (started int, err error) {
	var mounts []string
	err = s.area.View(ctx, func(r store.Reader) (err error) {
		mounts, err = dueMounts(r, s.clock.Now().UnixNano())
		return err
	})
	if err != nil {
		return 0, err
	}
	lanes := &s.lanes
	lanes.mu.Lock()
	defer lanes.mu.Unlock()
	// Begin after the mount that came last: none is left out when there are more than lanes.
	first, _ := slices.BinarySearch(mounts, lanes.last+"\x00")
	for i := range mounts {
		mount := mounts[(first+i)%len(mounts)]
		if lanes.closed || len(lanes.running) >= maxLanes {
			break
		}
		if lanes.running[mount] {
			continue
		}
		lanes.running[mount], lanes.last = true, mount
		started++
		lanes.done.Go(func() {
			defer func() {
				lanes.mu.Lock()
				delete(lanes.running, mount)
				lanes.mu.Unlock()
			}()
			if err := s.lane(ctx, mount); err != nil && ctx.Err() == nil {
				s.log.Error("sweeping leases failed; it is tried again", "mount", mount, "error", err)
			}
		})
	}
	return started, nil
}

// Nudge asks for a Sweep now rather than when it would come anyway.
func (s *Store) Nudge() {
	select {
	case s.nudged <- struct{}{}:
	default:
	}
}

// Nudged delivers when somebody asked for a Sweep.
func (s *Store) Nudged() <-chan struct{} { return s.nudged }

// Wait returns when no lane runs.
func (s *Store) Wait() { s.lanes.done.Wait() }

// Close lets no more lanes begin and waits for those that run; the ctx of their Sweep should
// have ended.
func (s *Store) Close() {
	s.lanes.mu.Lock()
	s.lanes.closed = true
	s.lanes.mu.Unlock()
	s.lanes.done.Wait()
}

// dueMounts lists, in order, the mounts that have a lease due at now. It costs one seek for
// each mount that has leases at all.
func dueMounts(r store.Reader, now int64) (mounts []string, err error) {
	queue := store.PrefixRange([]byte{dueKey})
	queue.Limit, queue.KeysOnly = 1, true
	for {
		found := false
		err := r.Scan(queue, func(k, _ []byte) (bool, error) {
			end := bytes.IndexByte(k, 0)
			if end < 0 || len(k) < end+9 {
				return false, errors.New("lease: a key that is none in the queue")
			}
			found = true
			if int64(binary.BigEndian.Uint64(k[end+1:])) <= now {
				mounts = append(mounts, string(k[1:end]))
			}
			queue.From = append(bytes.Clone(k[:end]), 1)
			return false, nil
		})
		if err != nil || !found {
			return mounts, err
		}
	}
}

// lane takes back what is due of a mount, a batch after the other, until nothing is, or until
// something failed: then others have their turn first.
func (s *Store) lane(ctx context.Context, mount string) error {
	before := ""
	for ctx.Err() == nil {
		ids, err := s.due(ctx, mount)
		if err != nil || len(ids) == 0 {
			return err
		}
		if ids[0] == before {
			return errors.New("lease: what was due is still due")
		}
		before = ids[0]
		failed := errors.Join(s.each(ids, false, func(id string) error { return s.settle(ctx, id, swept) })...)
		var refused *engineError
		if errors.As(failed, &refused) {
			// Written down with the lease.
			return nil
		}
		if failed != nil {
			return failed
		}
	}
	return ctx.Err()
}

// due returns a batch of the leases that are due, and clears away entries that lead to none.
func (s *Store) due(ctx context.Context, mount string) (ids []string, err error) {
	queue := store.Range{From: duePrefix(mount), To: dueBefore(mount, s.clock.Now().UnixNano()), Limit: batch, KeysOnly: true}
	var entries [][]byte
	dirty := false
	err = s.area.View(ctx, func(r store.Reader) error {
		ids, entries, dirty = nil, nil, false
		err := r.Scan(queue, func(k, _ []byte) (bool, error) {
			entries = append(entries, bytes.Clone(k))
			ids = append(ids, idFrom(k, dueHead(mount)))
			return true, nil
		})
		for _, id := range ids {
			l, readErr := load(r, id)
			dirty = dirty || l == nil
			if readErr != nil && !s.cannotRead(readErr) {
				err = errors.Join(err, readErr)
			}
		}
		return err
	})
	if err != nil || !dirty {
		return ids, err
	}
	err = s.area.Update(ctx, func(tx store.Tx) error {
		ids = nil
		for _, k := range entries {
			id := idFrom(k, dueHead(mount))
			l, err := load(tx, id)
			switch {
			case s.cannotRead(err):
				err = s.setAside(tx, k, id)
			case err == nil && l == nil:
				err = tx.Delete(k)
			case err == nil:
				ids = append(ids, id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return ids, err
}

// failed is the lease after the engine did not take its secret back. counts says that the
// failure is one of the sweeper's attempts.
func (l *Lease) failed(cause error, now int64, counts bool) *Lease {
	c := *l
	if c.End == nil {
		c = *l.ended(Expired, now)
	}
	end := *c.End
	c.End = &end
	end.Error = clip(cause.Error())
	if !counts {
		return &c
	}
	end.Attempts++
	switch {
	case unrecoverable(cause):
		end.Irrevocable = true
	case end.Attempts >= maxAttempts:
		end.Irrevocable = true
		end.Error = clip("out of retries: " + cause.Error())
	}
	wait := dailyRetry
	if !end.Irrevocable {
		wait = firstRetry << (end.Attempts - 1)
	}
	end.Next = now + int64(jittered(wait))
	return &c
}

// unrecoverable says that asking again would change nothing. Contract: leases §4.1.
func unrecoverable(err error) bool {
	if errors.Is(err, ErrNoIssuer) {
		return true
	}
	switch backend.KindOf(err) {
	case backend.Invalid, backend.InvalidAggregate, backend.UnsupportedPath, backend.UnsupportedOperation:
		return true
	}
	return false
}

// jittered is between half and one and a half of d, so that what failed together is not tried
// again together.
func jittered(d time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return d/2 + time.Duration(binary.BigEndian.Uint64(b[:])%uint64(d))
}

// clip shortens an engine's words to what is kept of them, and never within a character.
func clip(text string) string {
	if len(text) <= maxError {
		return text
	}
	cut := maxError
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}
