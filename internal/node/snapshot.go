package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"jeton/internal/backend"
	"jeton/internal/seal"
	"jeton/internal/store"
)

// snapshotPurpose names the derived key that seals a snapshot's checksum.
const snapshotPurpose = "snapshot checksum"

// errForeignSnapshot is the contract's text. Contract: sys §21.
var errForeignSnapshot = backend.Invalidf("could not verify hash file, possibly the snapshot is using a different set of unseal keys; " +
	"use the snapshot-force API to bypass this check")

// SnapshotTo writes a consistent copy of all data as it is stored, in one state of the store,
// while the server goes on. The caller is in house: the keys stay while it writes.
func (n *Node) SnapshotTo(ctx context.Context, house *House, w io.Writer) error {
	u := n.keeper.Current()
	if u == nil {
		return seal.ErrSealed
	}
	key, err := u.DeriveKey(snapshotPurpose)
	if err != nil {
		return err
	}
	return n.raw.View(ctx, func(r store.Reader) error {
		out, err := newSnapshotWriter(w, SnapshotMeta{Format: snapshotFormat, ClusterID: house.Cluster.ID, Position: r.Position(), Taken: n.clock.Now().UTC()})
		if err != nil {
			return fmt.Errorf("node: write a snapshot: %w", err)
		}
		if err := r.Scan(store.Range{}, func(k, v []byte) (bool, error) { return true, out.pair(k, v) }); err != nil {
			return fmt.Errorf("node: write a snapshot: %w", err)
		}
		if err := out.finish(key); err != nil {
			return fmt.Errorf("node: write a snapshot: %w", err)
		}
		return nil
	})
}

// Restored is what a restore has done.
type Restored struct {
	Meta SnapshotMeta
	// Age is how old the snapshot was.
	Age time.Duration
}

// Warning says what an operator must know of it.
func (r *Restored) Warning() string {
	return fmt.Sprintf("the data is as it was %s ago, at %s: whatever was revoked, deleted or changed since then is back as it was; revoke again what must not live",
		r.Age.Round(time.Second), r.Meta.Taken.UTC().Format(time.RFC3339))
}

// Restore replaces all data by a snapshot's, and leaves the server sealed: the shares that were in
// force when the snapshot was taken open it. Nothing changes before the whole snapshot has been
// read and proved sound; a crash leaves the old data or the new. force accepts a snapshot of
// other keys. The caller must not be in the house. Contract: sys §21.
func (n *Node) Restore(ctx context.Context, in io.Reader, force bool) (*Restored, error) {
	replacer, ok := n.raw.(store.Replacer)
	if !ok {
		return nil, backend.Invalidf("this storage cannot be restored to")
	}
	u := n.keeper.Current()
	if u == nil {
		return nil, seal.ErrSealed
	}
	key, err := u.DeriveKey(snapshotPurpose)
	if err != nil {
		return nil, err
	}
	staged, err := replacer.Stage(ctx)
	if err != nil {
		return nil, err
	}
	// After Commit there is nothing left to discard, and before it nobody depends on it.
	defer func() { _ = staged.Discard() }()
	read, err := receive(in, staged, key)
	if err != nil {
		return nil, err
	}
	same, err := n.keeper.UnderSameShares(ctx, read.rootKey)
	if err != nil {
		return nil, err
	}
	if !force && !(read.sealed && same) {
		return nil, errForeignSnapshot
	}
	if err := n.exchange(context.WithoutCancel(ctx), staged, read.meta.Position); err != nil {
		return nil, err
	}
	out := &Restored{Meta: read.meta, Age: n.clock.Now().Sub(read.meta.Taken)}
	n.log.Warn("restored a snapshot; the server is sealed", "cluster", read.meta.ClusterID, "taken", read.meta.Taken, "age", out.Age, "warning", out.Warning())
	return out, nil
}

// exchange seals the server and puts the staged data in place of the old.
func (n *Node) exchange(ctx context.Context, staged store.Staged, position uint64) error {
	n.restoring.Lock()
	defer n.restoring.Unlock()
	if err := n.Seal(ctx); err != nil {
		return err
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	if n.house.Load() != nil {
		return backend.Errorf(backend.Failed, "the server was unsealed in the middle of a restore; nothing has changed")
	}
	return staged.Commit(ctx, position)
}

// received is what reading a snapshot has shown.
type received struct {
	meta    SnapshotMeta
	rootKey []byte
	sealed  bool
}

// receive reads a snapshot to its end into staged.
func receive(in io.Reader, staged store.Staged, key [32]byte) (*received, error) {
	r, err := newSnapshotReader(in)
	if err != nil {
		return nil, refusal(err)
	}
	out := &received{meta: r.meta}
	for {
		k, v, err := r.pair()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, refusal(err)
		}
		if seal.IsRootKey(k) {
			out.rootKey = append([]byte(nil), v...)
		}
		if err := staged.Put(k, v); err != nil {
			return nil, err
		}
	}
	if out.sealed, err = r.verify(key); err != nil {
		return nil, refusal(err)
	}
	if out.rootKey == nil {
		return nil, refusal(bad("it is of a server that was never initialised", nil))
	}
	return out, nil
}

// refusal is how a client hears of a snapshot that is none.
func refusal(err error) error {
	if errors.Is(err, ErrBadSnapshot) {
		return backend.Invalidf("the snapshot was refused and nothing has changed: %s", err).Because(err)
	}
	return err
}
