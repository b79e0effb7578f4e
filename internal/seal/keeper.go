// Package seal owns the keys: how they come into being, who may open them, what they encrypt
// and that they are forgotten.
//
// The hierarchy, from the operators' hands down to the data:
//
//	shares      held by operators; a threshold of them gives the seal key (package shamir).
//	            With auto-unseal a Wrapper takes the seal key's place, and the shares are
//	            recovery shares, which authorise but open nothing.
//	seal key    32 bytes, never stored; encrypts the root key
//	root key    32 bytes; encrypts the keyring. Replaced with every rekey
//	keyring     terms, each a 32-byte key; the newest encrypts records, all of them decrypt.
//	            Beside them lies the secret that derived keys come from, which never changes
//	records     everything else in the store, by way of Encrypted
//
// All encryption is AES-256-GCM in one stored form (cipher.go), bound to the storage key.
// docs/storage-format.md, "Encryption", describes what lies where.
package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// configRecord is the one record that tells that the server is initialised. It is stored in
// the clear: a sealed server needs it.
type configRecord struct {
	Type string   `cbor:"1,keyasint,omitempty"`
	Set  shareSet `cbor:"2,keyasint,omitempty"`
	// candidate is the share set of a rekey that was not settled; it is stored on its own.
	candidate *candidateRecord
}

// candidateRecord is a set of shares that a rekey gave out and that is not yet in force.
type candidateRecord struct {
	Set shareSet `cbor:"1,keyasint,omitempty"`
	// Sealed is the root key under the key of the new shares; with auto-unseal, what
	// proves the recovery key.
	Sealed []byte `cbor:"2,keyasint,omitempty"`
	// Backup becomes the stored backup when the set comes into force.
	Backup *backupRecord `cbor:"3,keyasint,omitempty"`
}

// Keeper keeps the keys of one store through its life: not initialised, sealed, unsealed.
// It is safe for concurrent use.
type Keeper struct {
	raw     store.Store
	clock   clock.Clock
	wrapper Wrapper // nil with Shamir
	// old is the Wrapper that a store may be migrated from; nil when there is none.
	old     Wrapper
	log     *slog.Logger
	unwatch func()

	// generation counts changes of the seal's records, ours and other nodes'; known is good
	// for the generation that it names.
	generation atomic.Uint64
	known      atomic.Pointer[knownConfig]

	// open is nil while sealed.
	open atomic.Pointer[Unlocked]

	// change serialises all that changes keys or opens them; it is held over I/O. It comes
	// before unsealing.Mutex. It guards the root keys.
	change sync.Mutex
	root   []byte
	// nextRoot is the root key of a change whose outcome is unknown: the stored keyring is
	// under this one or under root. nil when all is known.
	nextRoot []byte
	// whenSealed are called after the keys are gone, without locks.
	whenSealed []func()

	unsealing unsealing
}

type knownConfig struct {
	generation uint64
	config     *configRecord // nil: not initialised
}

// NewKeeper keeps the keys of raw. wrapper is nil for a seal that operators open (Shamir); a nil
// log is silence. Close ends it; it does not close raw.
func NewKeeper(raw store.Store, c clock.Clock, wrapper Wrapper, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{raw: raw, clock: c, wrapper: wrapper, log: log}
	k.unsealing.resets = newBucket(c)
	k.unwatch = raw.Subscribe(func(c store.Commit) {
		if len(c.Ranges) > 0 {
			// Rare: the end of a mount, or a whole store that was exchanged for a snapshot's.
			k.generation.Add(1)
			return
		}
		for _, key := range c.Keys {
			if isReserved(key) {
				k.generation.Add(1)
				return
			}
		}
	})
	return k
}

// Close seals, drops the shares of an unfinished unseal and stops listening to the store.
func (k *Keeper) Close(ctx context.Context) error {
	k.unwatch()
	k.change.Lock()
	k.unsealing.reset()
	k.change.Unlock()
	return k.Seal(ctx)
}

// kind is the kind of seal that the server is configured for.
func (k *Keeper) kind() string {
	if k.wrapper == nil {
		return TypeShamir
	}
	return k.wrapper.Type()
}

// config is the stored configuration; nil when there is none. A sealed server is asked for it
// every second by every health check, so it is kept.
func (k *Keeper) config(ctx context.Context) (*configRecord, error) {
	generation := k.generation.Load()
	if known := k.known.Load(); known != nil && known.generation == generation {
		return known.config, nil
	}
	var config *configRecord
	err := k.raw.View(ctx, func(r store.Reader) (err error) {
		config, err = readConfig(r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("seal: read configuration: %w", err)
	}
	k.known.Store(&knownConfig{generation, config})
	return config, nil
}

func readConfig(r store.Reader) (*configRecord, error) {
	config, err := record.Get[configRecord](r, configKey)
	if err != nil || config == nil {
		return nil, err
	}
	config.candidate, err = record.Get[candidateRecord](r, candidateKey)
	return config, err
}

// Initialized says whether there are keys.
func (k *Keeper) Initialized(ctx context.Context) (bool, error) {
	config, err := k.config(ctx)
	return config != nil, err
}

// Current is what the open seal gives; nil while sealed.
func (k *Keeper) Current() *Unlocked { return k.open.Load() }

// Status is what sys/seal-status shows of the seal (contract: sys §2).
type Status struct {
	Type        string
	Initialized bool
	Sealed      bool
	// Shares and Threshold are 0 before init; with auto-unseal those of the recovery key.
	Shares, Threshold int
	// Progress is the number of good shares given, Nonce names the attempt; 0 and "" when
	// there is none.
	Progress int
	Nonce    string
	// Recovery says that the shares are recovery shares.
	Recovery bool
	// Migration says that the shares are to be given for a migration to another kind of seal.
	Migration bool
}

// Status describes the seal. It answers in every state.
func (k *Keeper) Status(ctx context.Context) (Status, error) {
	config, err := k.config(ctx)
	if err != nil {
		return Status{}, err
	}
	return k.status(config), nil
}

func (k *Keeper) status(config *configRecord) Status {
	s := Status{Type: k.kind(), Sealed: k.open.Load() == nil, Recovery: k.wrapper != nil}
	if config == nil {
		return s
	}
	s.Initialized, s.Type, s.Recovery = true, config.Type, config.Type != TypeShamir
	pending, err := k.migrating(config)
	s.Migration = s.Sealed && pending && err == nil
	s.Shares, s.Threshold = config.Set.Shares, config.Set.Threshold
	if s.Sealed {
		k.unsealing.describe(&s, config)
	}
	return s
}

// unlock opens the keyring with the root key and makes it the current one.
// REQUIRES: change is held; the keeper is sealed.
func (k *Keeper) unlock(ctx context.Context, root []byte) (*Unlocked, error) {
	var current *ring
	err := k.raw.View(ctx, func(r store.Reader) error {
		sealed, err := r.Get(keyringKey)
		if err != nil {
			return err
		}
		rec, err := openKeyringRecord(root, sealed)
		if err != nil {
			return err
		}
		defer rec.wipe()
		if current, err = ringOf(rec, countsRecord{}, nil); err != nil {
			return err
		}
		counts, err := readCounts(r, current)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			// Counts are for rotation alone: they must not keep the server shut.
			k.log.WarnContext(ctx, "encryption counts are unreadable and start at the rotation bound", "error", err)
			counts.Made = make([]uint64, len(rec.Terms))
			counts.Made[len(counts.Made)-1] = maxOperationsCeiling
		}
		current, err = ringOf(rec, counts, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("seal: open keyring: %w", err)
	}
	ring := keyringOf(current)
	u := &Unlocked{Store: Encrypted(k.raw, ring), ring: ring}
	k.root = bytes.Clone(root)
	k.open.Store(u)
	return u, nil
}

// Seal forgets the keys: Store and Keyring of what was unlocked fail from now on. It stores
// the encryption counts first; the error is of that alone, and the keys are gone all the same.
// Sealing what is sealed does nothing.
func (k *Keeper) Seal(ctx context.Context) error {
	counts, then, err := k.lock()
	for _, fn := range then {
		fn()
	}
	if err != nil || counts == nil {
		return err
	}
	err = k.raw.Update(ctx, func(tx store.Tx) error {
		if k.open.Load() != nil {
			// Unsealed meanwhile: these counts may be older than what that life stored.
			return nil
		}
		return tx.Put(countsKey, counts)
	})
	if err != nil {
		return fmt.Errorf("seal: store encryption counts: %w", err)
	}
	return nil
}

// onSeal has fn called whenever the keys are gone.
func (k *Keeper) onSeal(fn func()) {
	k.change.Lock()
	defer k.change.Unlock()
	k.whenSealed = append(k.whenSealed, fn)
}

// lock forgets the keys and returns the encryption counts, sealed by them just before, and
// whom to tell.
func (k *Keeper) lock() (counts []byte, then []func(), err error) {
	k.change.Lock()
	defer k.change.Unlock()
	u := k.open.Load()
	if u == nil {
		return nil, nil, nil
	}
	// The counts are sealed before the keys go and written after: a store that hangs must
	// not keep the keys in memory.
	counts, err = sealedCounts(u.ring)
	k.forget(u)
	return counts, k.whenSealed, err
}

// forget drops the keys.
// REQUIRES: change is held.
func (k *Keeper) forget(u *Unlocked) {
	k.open.Store(nil)
	u.ring.forget()
	clear(k.root)
	clear(k.nextRoot)
	k.root, k.nextRoot = nil, nil
}
