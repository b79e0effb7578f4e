package transit

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// rotateEvery paces the look for keys whose period is over. Contract: secrets §5, auto-rotate.
const rotateEvery = time.Hour

// rotateForever gives keys their next version when they are due, until ctx ends.
func (e *engine) rotateForever(ctx context.Context) {
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		if err := e.rotateDue(ctx); err != nil && ctx.Err() == nil {
			e.log.ErrorContext(ctx, "rotating transit keys failed; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// rotateDue rotates the keys whose time has come. One that fails holds up no other.
func (e *engine) rotateDue(ctx context.Context) error {
	now := e.clock.Now().UnixNano()
	var names []string
	due := store.PrefixRange([]byte{rotationPrefix})
	due.To = binary.BigEndian.AppendUint64([]byte{rotationPrefix}, uint64(now)+1)
	due.KeysOnly = true
	err := e.area.View(ctx, func(r store.Reader) error {
		names = nil
		return r.Scan(due, func(key, _ []byte) (bool, error) {
			names = append(names, string(key[1+8:]))
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		err := e.rotateKey(ctx, name, func(k *keyRecord) bool { return k.Rotates != 0 && k.Rotates <= now })
		if err != nil && !errors.Is(err, errNoSuchKey) {
			failed = errors.Join(failed, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return failed
}

func (e *engine) settingRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "cache-config", Summary: "How many keys are remembered.", Read: backend.Handle(e.readCache), Write: backend.Handle(e.writeCache)},
		{Pattern: "config/keys", Summary: "Whether encrypting makes keys.", Read: backend.Handle(e.readUpsert), Write: backend.Handle(e.writeUpsert)},
	}
}

type cacheReply struct {
	Size int `json:"size"`
}

type cacheRequest struct {
	Size int `json:"size" doc:"How many keys, and how many versions; 0 for 2048, else 10 or more."`
}

func (e *engine) readCache(ctx context.Context, _ *backend.Call, _ *backend.None) (*cacheReply, error) {
	config, err := e.settings(ctx)
	return &cacheReply{config.CacheSize}, err
}

// maxCacheSize bounds what a caller can have the server remember.
const maxCacheSize = 1 << 20

func (e *engine) writeCache(ctx context.Context, _ *backend.Call, req *cacheRequest) (*backend.None, error) {
	if req.Size != 0 && req.Size < 10 || req.Size > maxCacheSize {
		return nil, backend.Invalidf("size must be 0 or a value from 10 to %d", maxCacheSize)
	}
	if err := e.changeSettings(ctx, func(s *settingsRecord) { s.CacheSize = req.Size }); err != nil {
		return nil, err
	}
	e.cache.resize(req.Size)
	return nil, nil
}

type upsertReply struct {
	Disabled bool `json:"disable_upsert"`
}

type upsertRequest struct {
	Disabled *bool `json:"disable_upsert" doc:"Whether a key has to be there before it encrypts."`
}

func (e *engine) readUpsert(ctx context.Context, _ *backend.Call, _ *backend.None) (*upsertReply, error) {
	config, err := e.settings(ctx)
	return &upsertReply{config.DisableUpsert}, err
}

func (e *engine) writeUpsert(ctx context.Context, _ *backend.Call, req *upsertRequest) (*upsertReply, error) {
	err := e.changeSettings(ctx, func(s *settingsRecord) {
		if req.Disabled != nil {
			s.DisableUpsert = *req.Disabled
		}
	})
	if err != nil {
		return nil, err
	}
	return e.readUpsert(ctx, nil, nil)
}
