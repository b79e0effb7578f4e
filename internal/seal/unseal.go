package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
)

// unsealing gathers the shares that open the seal. The endpoint is open to strangers, who must
// not be able to spoil it (docs/decisions/0003): only good shares are kept, and only who gave
// one may start over.
type unsealing struct {
	sync.Mutex // guards everything below

	nonce    string
	gathered gathering
	// resets bounds how often the progress may be thrown away: behind one proxy operators
	// and strangers have the same origin.
	resets *bucket
}

// describe fills in the progress.
func (u *unsealing) describe(s *Status, config *configRecord) {
	u.Lock()
	defer u.Unlock()
	set, progress := u.gathered.progress(config)
	s.Nonce, s.Progress, s.Shares, s.Threshold = u.nonce, progress, set.Shares, set.Threshold
}

// reset forgets the shares.
func (u *unsealing) reset() {
	u.Lock()
	defer u.Unlock()
	u.gathered.wipe()
	u.gathered.origins, u.nonce = nil, ""
}

// SubmitShare gives one share towards opening the seal. origin says where it comes from (the
// client's address); it decides who may reset. With the share that completes a threshold the
// seal opens and what it gives is returned; otherwise Unlocked is nil.
//
// A share given twice changes nothing. One that is not among the current shares is refused at
// once with a text that contains `invalid key`, and only if its giver has already given a good
// one, and it would have been the last, is the progress lost, as in Vault (contract: sys §3).
// An open seal answers with its status.
func (k *Keeper) SubmitShare(ctx context.Context, origin string, share []byte) (Status, *Unlocked, error) {
	return k.submitShare(ctx, origin, share, false)
}

// MigrateShare is SubmitShare towards a migration: the share that completes a threshold moves the
// store from its seal to the one that the server is configured for, and opens it. An error of the
// last step leaves the store under one of the two, whole.
func (k *Keeper) MigrateShare(ctx context.Context, origin string, share []byte) (Status, *Unlocked, error) {
	return k.submitShare(ctx, origin, share, true)
}

func (k *Keeper) submitShare(ctx context.Context, origin string, share []byte, migrate bool) (Status, *Unlocked, error) {
	k.change.Lock()
	defer k.change.Unlock()
	config, err := k.config(ctx)
	if err != nil {
		return Status{}, nil, err
	}
	if config == nil {
		return k.status(nil), nil, ErrNotInitialized
	}
	if k.open.Load() != nil {
		return k.status(config), nil, nil
	}
	u, err := k.submit(ctx, config, origin, share, migrate)
	// settle may have changed the configuration; what it left is what the status shows.
	if latest, err := k.config(ctx); err == nil && latest != nil {
		config = latest
	}
	return k.status(config), u, err
}

// submit is SubmitShare to a sealed keeper.
// REQUIRES: change is held.
func (k *Keeper) submit(ctx context.Context, config *configRecord, origin string, share []byte, migrate bool) (*Unlocked, error) {
	pending, err := k.migrating(config)
	switch {
	case err != nil:
		return nil, err
	case pending && !migrate:
		return nil, errMigrate
	case !pending && migrate:
		return nil, errNoMigration
	case !pending && k.wrapper != nil:
		return nil, backend.Invalidf("seal type %s unseals by itself; recovery keys do not unseal", k.kind())
	}
	if err := shareBounds(share); err != nil {
		return nil, err
	}
	k.unsealing.Lock()
	outcome := k.unsealing.gathered.give(config, origin, share)
	if outcome.good() && k.unsealing.nonce == "" {
		k.unsealing.nonce = uuid.NewString()
	}
	k.unsealing.Unlock()
	switch outcome {
	case givenFull, givenFullCandidate:
		return k.openGathered(ctx, config, outcome == givenFullCandidate)
	case givenFalse:
		if want := config.Set.config().shareLength(); len(share) != want {
			return nil, backend.Invalidf("invalid key: a share of these keys has %d bytes, not %d", want, len(share))
		}
		return nil, backend.Invalidf("invalid key: this is not one of the current key shares; the unseal progress is unchanged")
	case givenFalseLast:
		k.unsealing.reset()
		return nil, backend.Invalidf("unable to retrieve stored keys: invalid key: the last share is not one of the current key shares; the unseal progress was reset")
	}
	return nil, nil
}

// openGathered combines the gathered shares and opens the keyring. The shares are gone after it.
// REQUIRES: change is held.
func (k *Keeper) openGathered(ctx context.Context, config *configRecord, candidate bool) (*Unlocked, error) {
	defer k.unsealing.reset()
	// Only holders of change write to what was gathered, so reading needs no further lock.
	key, err := k.unsealing.gathered.key(candidate)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	if config.Type != k.kind() {
		return k.migrate(ctx, config, candidate, key)
	}
	root, err := k.openRoot(ctx, config, candidate, key)
	if err != nil {
		return nil, err
	}
	defer clear(root)
	u, err := k.unlock(ctx, root)
	if err != nil {
		return nil, err
	}
	k.settle(ctx, config, candidate, key)
	return u, nil
}

// openRoot is what key, combined from shares, opens: the root key, or nothing at all where
// recovery shares only prove who gave them. An error of kind Invalid says that key is wrong.
func (k *Keeper) openRoot(ctx context.Context, config *configRecord, candidate bool, key []byte) ([]byte, error) {
	at, sealed := rootKeyKey, []byte(nil)
	switch {
	case candidate:
		at, sealed = candidateKey, config.candidate.Sealed
	case config.Type != TypeShamir:
		at = recoveryKey
	}
	if !candidate {
		var err error
		if sealed, err = k.readSealed(ctx, at); err != nil {
			return nil, fmt.Errorf("seal: read %q: %w", at, err)
		}
	}
	root, err := unwrapKey(key, at, sealed)
	if err != nil {
		return nil, backend.Invalidf("unable to retrieve stored keys: invalid key: the stored key does not open with these shares").Because(err)
	}
	return root, nil
}

// settle ends a rekey that a crash left open: the shares that open the seal first are the ones
// that operators have, so they stay and the others go. When that cannot be stored both sets
// go on working, and the next unseal tries again.
// REQUIRES: change is held; the keeper is unsealed.
func (k *Keeper) settle(ctx context.Context, config *configRecord, candidate bool, key []byte) {
	if config.candidate == nil {
		return
	}
	var err error
	if candidate {
		err = k.promote(ctx, newShares{set: config.candidate.Set, key: key, backup: config.candidate.Backup})
	} else {
		err = k.durably(ctx, func(tx store.Tx) error { return tx.Delete(candidateKey) })
	}
	if err != nil {
		k.log.WarnContext(ctx, "a rekey could not be settled: old and new shares both work", "error", err)
	}
}

// ResetProgress throws the gathered shares away. It does so for an origin that has given one,
// and not too often; for others it changes nothing, and the status says so.
func (k *Keeper) ResetProgress(ctx context.Context, origin string) (Status, error) {
	k.change.Lock()
	defer k.change.Unlock()
	config, err := k.config(ctx)
	switch {
	case err != nil:
		return Status{}, err
	case config == nil:
		return k.status(nil), ErrNotInitialized
	case k.open.Load() != nil:
		return k.status(config), ErrUnsealed
	}
	k.unsealing.Lock()
	may := k.unsealing.gathered.from(origin) && k.unsealing.resets.take()
	k.unsealing.Unlock()
	if may {
		k.unsealing.reset()
	}
	return k.status(config), nil
}

// ErrNotAuto says that a seal which operators open was asked to open by itself.
var ErrNotAuto = errors.New("seal: this kind of seal does not open by itself")

// UnsealAuto opens a seal that has a Wrapper. Opening an open seal gives what it gave before.
// Errors: ErrNotInitialized, ErrNotAuto, the Wrapper's, the store's; trying again later is right
// for the last two.
func (k *Keeper) UnsealAuto(ctx context.Context) (*Unlocked, error) {
	if k.wrapper == nil {
		return nil, ErrNotAuto
	}
	k.change.Lock()
	defer k.change.Unlock()
	if u := k.open.Load(); u != nil {
		return u, nil
	}
	config, err := k.config(ctx)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, ErrNotInitialized
	}
	if err := k.pendingAuto(config); err != nil {
		return nil, err
	}
	wrapped, err := k.readSealed(ctx, rootKeyKey)
	if err != nil {
		return nil, fmt.Errorf("seal: read the root key: %w", err)
	}
	root, stale, err := k.wrapper.Unwrap(ctx, rootKeyKey, wrapped)
	if err != nil {
		return nil, fmt.Errorf("seal: unwrap the root key: %w", err)
	}
	defer clear(root)
	u, err := k.unlock(ctx, root)
	if err != nil {
		return nil, err
	}
	if stale {
		k.rewrap(ctx, root)
	}
	return u, nil
}

// Refresh wraps the root key anew where the Wrapper's key has been replaced since, and says whether
// it did: before the old one is retired the store must have left it. The Wrapper is asked without
// locks, as it may take long and sealing must not wait for it.
func (k *Keeper) Refresh(ctx context.Context) (bool, error) {
	if k.wrapper == nil || k.open.Load() == nil {
		return false, nil
	}
	before, err := k.readSealed(ctx, rootKeyKey)
	if err != nil {
		return false, fmt.Errorf("seal: read the root key: %w", err)
	}
	root, stale, err := k.wrapper.Unwrap(ctx, rootKeyKey, before)
	if err != nil {
		return false, fmt.Errorf("seal: unwrap the root key: %w", err)
	}
	defer clear(root)
	if !stale {
		return false, nil
	}
	fresh, err := k.wrapRoot(ctx, root, nil)
	if err != nil {
		return false, err
	}
	k.change.Lock()
	defer k.change.Unlock()
	replaced := false
	err = k.durably(ctx, func(tx store.Tx) error {
		now, err := tx.Get(rootKeyKey)
		if err != nil {
			return err
		}
		// A rekey meanwhile has wrapped another root key, and with the newest key. The same
		// bytes again are an earlier try of this.
		if replaced = bytes.Equal(now, before) || bytes.Equal(now, fresh); !replaced {
			return nil
		}
		return tx.Put(rootKeyKey, fresh)
	})
	return replaced && err == nil, err
}

// rewrap puts the root key under the Wrapper's newest key. Failing that the old wrapping stays
// good, so the seal stays open.
func (k *Keeper) rewrap(ctx context.Context, root []byte) {
	wrapped, err := k.wrapRoot(ctx, root, nil)
	if err == nil {
		err = k.durably(ctx, func(tx store.Tx) error { return tx.Put(rootKeyKey, wrapped) })
	}
	if err != nil {
		k.log.WarnContext(ctx, "the root key could not be wrapped under the current key", "error", err)
	}
}

// bucket lets something happen often in a burst and seldom in the long run. Its owner guards it.
type bucket struct {
	clock clock.Clock
	left  int
	since time.Time
}

const (
	bucketSize   = 20
	bucketRefill = 5 * time.Second
)

func newBucket(c clock.Clock) *bucket { return &bucket{clock: c, left: bucketSize, since: c.Now()} }

func (b *bucket) take() bool {
	if drops := int(b.clock.Now().Sub(b.since) / bucketRefill); drops > 0 {
		b.left = min(bucketSize, b.left+drops)
		b.since = b.since.Add(time.Duration(drops) * bucketRefill)
	}
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}
