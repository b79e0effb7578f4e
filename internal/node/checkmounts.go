package node

import (
	"context"
	"fmt"

	"jeton/internal/backend"
	"jeton/internal/mount"
	"jeton/internal/store"
)

// checkMounts has every backend that can look through what it keeps.
func (h *House) checkMounts(ctx context.Context, report func(Problem)) error {
	for _, class := range []mount.Class{mount.SecretClass, mount.AuthClass} {
		for _, m := range h.Mounts.All(class) {
			if err := h.checkMount(ctx, m, report); err != nil {
				return fmt.Errorf("node: check %s: %w", m.Entry.Path, err)
			}
		}
	}
	return nil
}

func (h *House) checkMount(ctx context.Context, m *mount.Mounted, report func(Problem)) error {
	c, able := m.Backend.(backend.Checker)
	if !able || !m.Enter() {
		return nil // what cannot, or is being removed: the walk over all records still reads it
	}
	defer m.Leave()
	area := h.Mounts.Area(m.Entry.Path)
	if area == nil {
		return nil
	}
	return area.View(ctx, func(r store.Reader) error {
		return c.Check(r, func(what string) { report(Problem{"mount", m.Entry.Path + ": " + what}) })
	})
}
