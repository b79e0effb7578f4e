package mount

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// departure is a mount that is being removed. No request finds it, but its backend is still
// there to take back what it issued: that can take long, or fail for as long as another
// system is away.
type departure struct {
	// mounted has a gate of its own: that of the requests is shut. Its Backend is nil when the
	// backend of an interrupted removal could not be made again.
	mounted *Mounted

	// mu is held by who finishes the removal; done is guarded by it. It is set from the start for
	// a mount that is only being moved: there is nothing to finish.
	mu   sync.Mutex
	done bool
}

// Leaving returns the mount of an accessor that is being removed.
func (t *Table) Leaving(accessor string) (*Mounted, bool) {
	d, ok := t.current.Load().leaving[accessor]
	if !ok {
		return nil, false
	}
	return d.mounted, true
}

// departed is the departure of a mount whose removal was interrupted.
func (t *Table) departed(ctx context.Context, e Entry) *departure {
	m, err := t.open(ctx, e)
	if err != nil {
		t.log.Error("a mount that is being removed has no backend to take back what it issued", "mount", e.Path, "error", err)
		m = t.around(e, nil, backend.NewTable(nil), t.newGate())
	}
	return &departure{mounted: m}
}

// depart takes the mount at path out of service and returns its departure; nil when there is
// nothing at path. Requests in flight are over when it returns.
func (t *Table) depart(ctx context.Context, path string) (*departure, error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	m, ok := t.At(path)
	if !ok {
		for _, d := range t.current.Load().leaving {
			if d.mounted.Entry.Path == path {
				return d, nil
			}
		}
		return nil, nil
	}
	e := m.Entry
	e.Tainted = true
	if err := t.save(ctx, &e); err != nil {
		return nil, err
	}
	d := &departure{mounted: t.around(e, m.Backend, m.Routes, t.newGate())}
	t.publishAll(func(byPath map[string]*Mounted, leaving map[string]*departure) {
		delete(byPath, path)
		leaving[e.Accessor] = d
	})
	// What a request still obtains must be there to be revoked when finish comes.
	m.gate.Shut()
	return d, nil
}

// finish revokes what the mount issued, and then removes its data and its entry.
func (t *Table) finish(ctx context.Context, d *departure) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		return nil
	}
	if err := t.revoke.RevokeMount(ctx, d.mounted.Entry.Path); err != nil {
		return fmt.Errorf("mount: revoke what %s issued: %w", d.mounted.Entry.Path, err)
	}
	return t.erase(ctx, d)
}

// Resume goes on with removals that were interrupted or that wait for a backend: those that
// have nothing left to take back are finished. It asks no backend, but waits for a Remove that
// does.
func (t *Table) Resume(ctx context.Context) error {
	var failed []error
	for _, d := range t.current.Load().leaving {
		failed = append(failed, t.resume(ctx, d))
	}
	return errors.Join(failed...)
}

func (t *Table) resume(ctx context.Context, d *departure) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		return nil
	}
	left, err := t.revoke.EndMount(ctx, d.mounted.Entry.Path)
	if err != nil {
		return fmt.Errorf("mount: go on removing %s: %w", d.mounted.Entry.Path, err)
	}
	if left {
		return nil
	}
	return t.erase(ctx, d)
}

// erase removes the data and the entry of a mount that has nothing left to revoke. The caller
// holds d.mu.
func (t *Table) erase(ctx context.Context, d *departure) error {
	e := &d.mounted.Entry
	d.mounted.close(t.log)
	if t.aliases != nil {
		if err := t.aliases.ForgetMount(ctx, e.Accessor); err != nil {
			return fmt.Errorf("mount: forget the aliases of %s: %w", e.Path, err)
		}
	}
	all := store.PrefixRange([]byte(dataPrefix + e.UUID + "/"))
	err := t.whole.Update(ctx, func(tx store.Tx) error {
		if err := tx.DeleteRange(all.From, all.To); err != nil {
			return err
		}
		return t.area.Within(tx).Delete([]byte(e.UUID))
	})
	if err != nil {
		return fmt.Errorf("mount: remove the data of %s: %w", e.Path, err)
	}
	d.done = true
	t.changing.Lock()
	defer t.changing.Unlock()
	t.publishAll(func(_ map[string]*Mounted, leaving map[string]*departure) { delete(leaving, e.Accessor) })
	return nil
}
