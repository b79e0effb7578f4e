package kv

import (
	"context"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// configReply is the answer to a read of config. The duration is Go's text ("30m0s"), which
// clients compare.
type configReply struct {
	CASRequired        bool   `json:"cas_required"`
	DeleteVersionAfter string `json:"delete_version_after"`
	MaxVersions        uint64 `json:"max_versions"`
}

type configRequest struct {
	MaxVersions        *int64                 `json:"max_versions" doc:"How many versions of a key are kept; 0 for 10."`
	CASRequired        *bool                  `json:"cas_required" doc:"Whether every write must carry the cas option."`
	DeleteVersionAfter *backend.SignedSeconds `json:"delete_version_after" doc:"How long until a version is deleted by itself; 0 for never, negative to override every key."`
}

func (v *versioned) readConfig(ctx context.Context, _ *backend.Call, _ *backend.None) (*configReply, error) {
	var config configRecord
	err := v.view(ctx, func(r store.Reader) (err error) {
		config, err = settings(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &configReply{
		CASRequired:        config.CASRequired,
		DeleteVersionAfter: time.Duration(config.DeleteAfter).String(),
		MaxVersions:        config.MaxVersions,
	}, nil
}

func (v *versioned) writeConfig(ctx context.Context, _ *backend.Call, req *configRequest) (*backend.None, error) {
	if req.MaxVersions == nil && req.CASRequired == nil && req.DeleteVersionAfter == nil {
		return nil, v.upgrade.ready()
	}
	if err := checkMaxVersions(req.MaxVersions); err != nil {
		return nil, err
	}
	return nil, v.update(ctx, func(tx store.Tx) error {
		config, err := settings(tx)
		if err != nil {
			return err
		}
		if req.MaxVersions != nil {
			config.MaxVersions = uint64(*req.MaxVersions)
		}
		if req.CASRequired != nil {
			config.CASRequired = *req.CASRequired
		}
		if req.DeleteVersionAfter != nil {
			// Every negative duration means the same and reads back as -1s. Contract: secrets §2.2, config.
			config.DeleteAfter = int64(max(req.DeleteVersionAfter.Duration(), -time.Second))
		}
		return record.Put(tx, configKey(), &config)
	})
}

// checkMaxVersions refuses numbers of versions that mean nothing.
func checkMaxVersions(n *int64) error {
	if n != nil && *n < 0 {
		return backend.Invalidf("max_versions cannot be negative")
	}
	return nil
}
