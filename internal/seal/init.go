package seal

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// InitRequest asks for keys. A part that is all zero was not given.
type InitRequest struct {
	// Secret is for the shares of the seal key, Recovery for those of the recovery key:
	// Shamir has the one, auto-unseal the other.
	Secret, Recovery Config
	// SecretPGP and RecoveryPGP are their holders' public keys, in base64, one a share; none
	// leaves the shares as they are.
	SecretPGP, RecoveryPGP []string
}

// shares is the part of the request that the kind of seal has, valid, and the holders' keys, of
// which the number is right; prefix opens the texts of errors.
func (k *Keeper) shares(req InitRequest) (wanted Config, texts []string, prefix string, err error) {
	wanted, texts, prefix = req.Secret, req.SecretPGP, "invalid seal configuration"
	unwanted, needless, names := req.Recovery, req.RecoveryPGP, []string{"recovery_shares", "recovery_threshold", "recovery_pgp_keys"}
	if k.wrapper != nil {
		wanted, texts, prefix = req.Recovery, req.RecoveryPGP, "invalid recovery configuration"
		unwanted, needless, names = req.Secret, req.SecretPGP, []string{"secret_shares", "secret_threshold", "pgp_keys"}
	}
	var given []string
	for i, there := range []bool{unwanted.Shares != 0, unwanted.Threshold != 0, len(needless) > 0} {
		if there {
			given = append(given, names[i])
		}
	}
	if len(given) > 0 {
		return wanted, nil, "", backend.Invalidf("parameters %s not applicable to seal type %s", strings.Join(given, ","), k.kind())
	}
	if err := wanted.validate(prefix); err != nil {
		return wanted, nil, "", err
	}
	if len(texts) > 0 && len(texts) != wanted.Shares {
		return wanted, nil, "", backend.Invalidf("%s: count mismatch between number of provided PGP keys and number of shares", prefix)
	}
	return wanted, texts, prefix, nil
}

// Init makes the keys and returns the operators' shares, which exist nowhere else: each as it is,
// or in its holder's envelope where there are PGP keys. seed, if
// given, fills the store in the same transaction: what u.Store writes during the call is
// stored with the keys or not at all. seed may run more than once, must not keep u, and must
// be quick. The keeper stays sealed.
//
// Errors, in this order (contract: sys §1): the request does not fit the seal; there are keys
// already; a holder's PGP key is of no use; seed's own; the store's. An error that wraps ErrOutcomeUnknown comes with the
// shares: the keys may be there, and then these shares are theirs. Nothing but what seed wrote
// is lost by removing such a store and starting over.
func (k *Keeper) Init(ctx context.Context, req InitRequest, seed func(ctx context.Context, u *Unlocked) error) ([][]byte, error) {
	shares, texts, prefix, err := k.shares(req)
	if err != nil {
		return nil, err
	}
	k.change.Lock()
	defer k.change.Unlock()
	if config, err := k.config(ctx); err != nil {
		return nil, err
	} else if config != nil {
		return nil, ErrAlreadyInitialized
	}
	// Not before: reading keys takes time, and a server with keys is asked by strangers alone.
	holders, err := k.holders(texts, prefix)
	if err != nil {
		return nil, err
	}
	key := newKey()
	defer clear(key)
	set, parts, err := newShareSet(shares, key)
	if err != nil {
		return nil, err
	}
	if parts, err = envelopes(parts, holders, k.clock.Now()); err != nil {
		return nil, err
	}
	err = k.initialize(ctx, set, key, seed)
	if err != nil && !errors.Is(err, ErrOutcomeUnknown) {
		return nil, err
	}
	return parts, err
}

// initialize stores new keys under key in one transaction.
// REQUIRES: change is held.
func (k *Keeper) initialize(ctx context.Context, set shareSet, key []byte, seed func(context.Context, *Unlocked) error) error {
	root := newKey()
	defer clear(root)
	wrapped, err := k.wrapRoot(ctx, root, key)
	if err != nil {
		return err
	}
	rec := newKeyringRecord(k.clock.Now())
	defer rec.wipe()
	sealed, err := rec.sealed(root)
	if err != nil {
		return err
	}
	current, err := ringOf(rec, countsRecord{}, nil)
	if err != nil {
		return err
	}
	ring := keyringOf(current)
	defer ring.forget()
	return k.durably(ctx, func(raw store.Tx) error {
		before, err := raw.Get(rootKeyKey)
		switch {
		case err == nil && bytes.Equal(before, wrapped):
			// An earlier try was stored after all; writing once more makes it durable.
			return raw.Put(rootKeyKey, wrapped)
		case err == nil:
			return ErrAlreadyInitialized
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if err := k.putShares(raw, set, key); err != nil {
			return err
		}
		if err := raw.Put(rootKeyKey, wrapped); err != nil {
			return err
		}
		if err := raw.Put(keyringKey, sealed); err != nil {
			return err
		}
		return seedWith(ctx, raw, ring, seed)
	})
}

// seedWith runs seed inside the transaction raw and stores the encryptions that it cost.
func seedWith(ctx context.Context, raw store.Tx, ring *Keyring, seed func(context.Context, *Unlocked) error) error {
	if seed != nil {
		inside := &inTx{tx: &tx{reader: reader{raw, ring}, raw: raw}}
		if err := seed(ctx, &Unlocked{Store: inside, ring: ring}); err != nil {
			return err
		}
		if inside.failed != nil {
			return inside.failed
		}
	}
	counts, err := sealedCounts(ring)
	if err != nil {
		return err
	}
	return raw.Put(countsKey, counts)
}

// readSealed reads one of the seal's own records.
func (k *Keeper) readSealed(ctx context.Context, key []byte) ([]byte, error) {
	var data []byte
	err := k.raw.View(ctx, func(r store.Reader) (err error) {
		data, err = r.Get(key)
		return err
	})
	return data, err
}
