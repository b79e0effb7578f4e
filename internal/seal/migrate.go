package seal

import (
	"context"
	"fmt"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// A migration moves a store from one kind of seal to another: the holders of the shares ask for
// it by giving them, and the shares stay theirs. Shares of a Shamir seal become recovery shares,
// and the other way round. All that is stored changes in one transaction, which is the one of
// a rekey that keeps its shares: before it the store opens by the old seal alone, after it by
// the new one alone. Contract: sys §3, config §5.

// MigrateFrom names the seal that the store may still be under, besides Shamir, which needs
// nothing but shares to open. It is called before the keeper is used.
func (k *Keeper) MigrateFrom(old Wrapper) { k.old = old }

// errNoMigration is contract: sys §3.
var errNoMigration = backend.Errorf(backend.Failed, "can't perform a seal migration, no migration seal found")

// errMigrate says that shares were given for an unseal where a migration is needed.
var errMigrate = backend.Invalidf("migrate option not provided and seal migration is pending")

// migrating says whether the store is under another kind of seal than the server is configured
// for. The error says what is missing to migrate.
func (k *Keeper) migrating(config *configRecord) (bool, error) {
	if config.Type == k.kind() {
		return false, nil
	}
	if config.Type != TypeShamir && (k.old == nil || k.old.Type() != config.Type) {
		return true, backend.Errorf(backend.Failed, "the store is sealed with seal type %s, and the server is configured for %s: to migrate, "+
			"add the stanza of the seal %q with disabled = true; else correct the configuration", config.Type, k.kind(), config.Type)
	}
	return true, nil
}

// pendingAuto tells a seal that would open by itself that it cannot yet.
func (k *Keeper) pendingAuto(config *configRecord) error {
	pending, err := k.migrating(config)
	if err != nil || !pending {
		return err
	}
	return backend.Errorf(backend.Failed, "seal migration is pending: the store is still sealed with seal type %s; "+
		"give its key shares with \"operator unseal -migrate\" to seal it with %s", config.Type, k.kind())
}

// migrate opens the store with what key, combined from shares, and the old seal give, and puts
// it under the new one.
// REQUIRES: change is held; the keeper is sealed.
func (k *Keeper) migrate(ctx context.Context, config *configRecord, candidate bool, key []byte) (*Unlocked, error) {
	root, err := k.openRoot(ctx, config, candidate, key)
	if err != nil {
		return nil, err
	}
	if config.Type != TypeShamir {
		// The recovery shares only proved who gave them.
		if root, err = k.unwrapWith(ctx, k.old); err != nil {
			return nil, err
		}
	}
	defer clear(root)
	made := newShares{set: config.Set, key: key}
	if candidate {
		made.set, made.backup = config.candidate.Set, config.candidate.Backup
	} else if made.backup, err = k.storedBackup(ctx); err != nil {
		return nil, err
	}
	u, err := k.unlock(ctx, root)
	if err != nil {
		return nil, err
	}
	if err := k.promote(ctx, made); err != nil {
		// Closed again, whatever was stored: the next unseal finds the one seal or the other.
		k.forget(u)
		k.log.ErrorContext(ctx, "the seal was not migrated", "from", config.Type, "to", k.kind(), "error", err)
		if backend.KindOf(err) == backend.Internal {
			err = backend.Errorf(backend.Failed, "the store failed during the migration: it is under one of the two seals, whole, and its status tells which").Because(err)
		}
		return nil, err
	}
	k.log.InfoContext(ctx, "the seal was migrated", "from", config.Type, "to", k.kind())
	return u, nil
}

// unwrapWith reads the root key as a Wrapper has it.
func (k *Keeper) unwrapWith(ctx context.Context, w Wrapper) ([]byte, error) {
	wrapped, err := k.readSealed(ctx, rootKeyKey)
	if err != nil {
		return nil, fmt.Errorf("seal: read the root key: %w", err)
	}
	root, _, err := w.Unwrap(ctx, rootKeyKey, wrapped)
	if err != nil {
		return nil, k.elsewhere("unwrap the root key", w, err)
	}
	return root, nil
}

// storedBackup is the backup as it is stored; nil when there is none.
func (k *Keeper) storedBackup(ctx context.Context) (kept *backupRecord, err error) {
	err = k.raw.View(ctx, func(r store.Reader) (err error) {
		kept, err = record.Get[backupRecord](r, backupKey)
		return err
	})
	return kept, err
}
