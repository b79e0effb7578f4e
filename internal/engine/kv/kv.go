// Package kv owns the key-value engine: version 1, which keeps the last object written to a
// path, and version 2, which keeps the last few and can take a deletion back. Contract:
// secrets §1 and §2.
package kv

import (
	"context"
	"errors"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// New makes the backend of one mount: version 2 when the mount's option says so, else
// version 1. It is a backend.Factory.
func New(ctx context.Context, env backend.Env) (backend.Backend, error) {
	if env.Options["version"] == "2" {
		return newVersioned(ctx, env)
	}
	return &plain{area: env.Area}, nil
}

// errUpgrading refuses a call to a mount whose data is on its way from version 1 to 2.
// Contract: secrets §2.3.
var errUpgrading = backend.Invalidf("Upgrading from non-versioned to versioned data. " +
	"This backend will be unavailable for a brief period and will resume service shortly.")

// present says whether key has a value.
func present(r store.Reader, key []byte) (bool, error) {
	_, err := r.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
