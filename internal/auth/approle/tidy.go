package approle

import (
	"context"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/store"
)

const (
	// rolesPerPage bounds the memory of a tidy, sweptPerBatch the length of its transactions.
	rolesPerPage  = 256
	sweptPerBatch = 256
)

// statusAccepted is what clients get: the contract (auth-methods §2.3) has it start in the background.
const statusAccepted = 202

// tidy removes what has expired, one bounded transaction after another, before it answers.
// Nothing depends on it: expiry is checked at use, and making secret ids sweeps too.
func (m *Method) tidy(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.Response, error) {
	if !m.tidying.CompareAndSwap(false, true) {
		c.Warn("Tidy operation already in progress.")
		return &backend.Response{}, nil
	}
	defer m.tidying.Store(false)
	for after := ""; ; {
		names, err := auth.ListNames(ctx, m.area, rolePrefix, after, rolesPerPage)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if err := m.tidyRole(ctx, name); err != nil {
				return nil, err
			}
		}
		if len(names) < rolesPerPage {
			break
		}
		after = names[len(names)-1]
	}
	c.Warn("Tidy operation successfully started. Any information from the operation will be printed to the server logs.")
	return &backend.Response{Status: statusAccepted}, nil
}

func (m *Method) tidyRole(ctx context.Context, name string) error {
	now := m.clock.Now()
	for {
		// Most roles have nothing to remove: look before a write is paid for.
		var role *roleRecord
		expired := false
		err := m.area.View(ctx, func(r store.Reader) (err error) {
			if role, err = getRole(r, name); role == nil || err != nil {
				return err
			}
			return r.Scan(expiredRange(role.UID, now, 1), func(_, _ []byte) (bool, error) {
				expired = true
				return false, nil
			})
		})
		if err != nil || !expired {
			return err
		}
		err = m.area.Update(ctx, func(tx store.Tx) error {
			_, err := m.sweep(tx, role.UID, now, sweptPerBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
}
