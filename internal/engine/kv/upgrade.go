package kv

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// What one transaction of an upgrade moves at most: keys, and bytes of objects (one object
// more at the end of it). Other mounts' writes wait no longer than that.
const (
	upgradeKeys  = 128
	upgradeBytes = 1 << 20
)

// Upgrade turns the data of version 1 in area into data of version 2: every object becomes
// version 1 of its key. It is to be called before the mount is served as version 2; what is
// served as version 1 meanwhile refuses every call with the contract's text. Contract: secrets §2.3.
//
// It moves a bounded batch in each transaction. What is left to do is what is left of the old
// data, so a call after a crash resumes where the last one ended, and one after the end does
// nothing. The first transaction sets a marker that stays: once an object has moved, version 1
// of the engine never serves the area again, which would look as if data had been lost.
// Whether the mount's option is changed before or after makes no difference: version 2
// finishes what it finds unfinished (see upgrader).
func Upgrade(ctx context.Context, area *store.Area, clock clock.Clock) error {
	for {
		var done bool
		err := area.Update(ctx, func(tx store.Tx) (err error) {
			done, err = moveBatch(tx, clock)
			return err
		})
		if err != nil || done {
			return err
		}
	}
}

// moveBatch moves the next objects and says whether they were the last.
func moveBatch(tx store.Tx, clock clock.Clock) (done bool, err error) {
	if err := tx.Put(upgradeKey(), nil); err != nil {
		return false, err
	}
	type pair struct {
		path  string
		value []byte
	}
	var batch []pair
	size := 0
	rest := plainRange()
	rest.Limit = upgradeKeys
	err = tx.Scan(rest, func(key, value []byte) (bool, error) {
		batch = append(batch, pair{string(key[1:]), append([]byte(nil), value...)})
		size += len(value)
		return size < upgradeBytes, nil
	})
	if err != nil {
		return false, err
	}
	for _, p := range batch {
		if err := moveObject(tx, p.path, p.value, clock); err != nil {
			return false, err
		}
	}
	return len(batch) < upgradeKeys && size < upgradeBytes, nil
}

func moveObject(tx store.Tx, path string, value []byte, clock clock.Clock) error {
	var old plainRecord
	if err := record.Decode(value, &old); err != nil {
		return err
	}
	body, err := record.Encode(&versionRecord{JSON: old.JSON})
	if err != nil {
		return err
	}
	key, config, err := keyAndSettings(tx, path)
	if err != nil {
		return err
	}
	now := clock.Now()
	if key == nil {
		key = newKeyRecord(now)
	}
	if err := putVersion(tx, path, key, config, body, now); err != nil {
		return err
	}
	return tx.Delete(plainKey(path))
}

// upgrader finishes an upgrade that version 2 finds unfinished when it is mounted: a crash cut
// it short, or the mount's option was changed by itself. Mounting must not be slow, so it
// works beside the calls, which are refused until it is done. When it fails, the next call
// starts it again.
type upgrader struct {
	area  *store.Area
	clock clock.Clock
	log   *slog.Logger
	// pending says that data of version 1 is left.
	pending atomic.Bool
	// life ends when stop is called.
	life   context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	mu     struct {
		sync.Mutex
		running, stopped bool
	}
}

// newUpgrader looks whether there is anything to do, which is one seek, and starts if so.
func newUpgrader(ctx context.Context, env backend.Env) (*upgrader, error) {
	u := &upgrader{area: env.Area, clock: env.Clock, log: env.Log}
	u.life, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	left := plainRange()
	left.Limit, left.KeysOnly = 1, true
	err := env.Area.View(ctx, func(r store.Reader) error {
		return r.Scan(left, func(_, _ []byte) (bool, error) {
			u.pending.Store(true)
			return false, nil
		})
	})
	if err != nil {
		u.cancel()
		return nil, err
	}
	if u.pending.Load() {
		u.start()
	}
	return u, nil
}

// ready refuses calls until the data is all of version 2.
func (u *upgrader) ready() error {
	if !u.pending.Load() {
		return nil
	}
	u.start()
	return errUpgrading
}

// start runs the upgrade unless it is running, done or stopped.
func (u *upgrader) start() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.running || u.mu.stopped || !u.pending.Load() {
		return
	}
	u.mu.running = true
	u.work.Go(func() {
		err := Upgrade(u.life, u.area, u.clock)
		u.mu.Lock()
		defer u.mu.Unlock()
		u.mu.running = false
		if err == nil {
			u.pending.Store(false)
		} else if u.life.Err() == nil {
			u.log.Error("kv: upgrade to version 2 failed; the next call tries again", "error", err)
		}
	})
}

// stop ends the upgrade and returns when nothing of it runs any more.
func (u *upgrader) stop() {
	u.mu.Lock()
	u.mu.stopped = true
	u.mu.Unlock()
	u.cancel()
	u.work.Wait()
}
