package kv

import (
	"context"

	"jeton/internal/backend"
	"jeton/internal/engine/document"
	"jeton/internal/record"
	"jeton/internal/store"
)

type versionsRequest struct {
	Versions backend.IntList `json:"versions" doc:"Numbers of versions."`
}

// deleteVersions marks versions as deleted from now on, those included that were to be
// deleted later.
func (v *versioned) deleteVersions(ctx context.Context, c *backend.Call, req *versionsRequest) (*backend.None, error) {
	if len(req.Versions) == 0 {
		return nil, backend.Invalidf("No version number provided")
	}
	return nil, v.eachVersion(ctx, c, req, func(_ store.Tx, e edit) (bool, error) {
		now := v.clock.Now()
		if e.state.gone(now) {
			return false, nil
		}
		e.state.Deleted = now.UnixNano()
		return true, nil
	})
}

// undeleteVersions takes deletions back; a time to live starts afresh. What is destroyed stays so.
func (v *versioned) undeleteVersions(ctx context.Context, c *backend.Call, req *versionsRequest) (*backend.None, error) {
	if len(req.Versions) == 0 {
		return nil, backend.Invalidf("No version number provided")
	}
	return nil, v.eachVersion(ctx, c, req, func(_ store.Tx, e edit) (bool, error) {
		if e.state.Destroyed || e.state.Deleted == 0 {
			return false, nil
		}
		e.state.Deleted = e.key.expiry(e.config, v.clock.Now())
		return true, nil
	})
}

// destroyVersions erases the data of versions. Their deletion times stay as they are.
func (v *versioned) destroyVersions(ctx context.Context, c *backend.Call, req *versionsRequest) (*backend.None, error) {
	if len(req.Versions) == 0 {
		return nil, backend.Invalidf("no version number provided")
	}
	path := c.Capture("path")
	return nil, v.eachVersion(ctx, c, req, func(tx store.Tx, e edit) (bool, error) {
		if e.state.Destroyed {
			return false, nil
		}
		e.state.Destroyed = true
		return true, tx.Delete(versionKey(path, e.number))
	})
}

// edit is one version about to be changed.
type edit struct {
	key    *keyRecord
	config configRecord
	number uint64
	state  *versionState
}

// eachVersion runs change on every version of the request that exists, and stores the key if
// any of them was changed, all in one transaction. An unknown key or version is no error.
func (v *versioned) eachVersion(ctx context.Context, c *backend.Call, req *versionsRequest, change func(store.Tx, edit) (changed bool, err error)) error {
	path := c.Capture("path")
	if err := document.CheckPath(path); err != nil {
		return err
	}
	return v.update(ctx, func(tx store.Tx) error {
		key, config, err := keyAndSettings(tx, path)
		if err != nil || key == nil {
			return err
		}
		any := false
		for _, number := range req.Versions {
			if number <= 0 {
				continue
			}
			state := key.version(uint64(number))
			if state == nil {
				continue
			}
			changed, err := change(tx, edit{key, config, uint64(number), state})
			if err != nil {
				return err
			}
			any = any || changed
		}
		if !any {
			return nil
		}
		return record.Put(tx, keyKey(path), key)
	})
}
