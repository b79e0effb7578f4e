// Package transit owns the engine that encrypts, signs and hashes for others with keys that it
// never gives away. It stores keys, no data. Contract: secrets §5.
package transit

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/tool"
)

type engine struct {
	area  *store.Area
	clock clock.Clock
	log   *slog.Logger
	cache *keyCache

	unsubscribe func()
	// stop ends the loop that rotates, which has then left rotating.
	stop     context.CancelFunc
	rotating sync.WaitGroup
}

// New makes the backend of one mount. It is a backend.Factory.
func New(ctx context.Context, env backend.Env) (backend.Backend, error) {
	var config settingsRecord
	err := env.Area.View(ctx, func(r store.Reader) (err error) {
		config, err = settings(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	e := &engine{area: env.Area, clock: env.Clock, log: env.Log, cache: newKeyCache(config.CacheSize)}
	e.unsubscribe = env.Area.Subscribe(e.cache.changed)
	// The mount outlives the request that made it.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	e.rotating.Go(func() { e.rotateForever(life) })
	return e, nil
}

// Close ends the automatic rotation and forgets the keys.
func (e *engine) Close() error {
	e.stop()
	e.rotating.Wait()
	e.unsubscribe()
	e.cache.forget()
	return nil
}

// Routes are the engine's paths.
func (e *engine) Routes() []backend.Route {
	return slices.Concat(e.keyRoutes(), e.cryptRoutes(), e.signRoutes(), e.exportRoutes(), e.settingRoutes(), tool.Routes(""))
}

// key finds a key, which must not be changed; nil when there is none.
func (e *engine) key(ctx context.Context, name string) (*keyRecord, error) {
	if k := e.cache.key(name); k != nil {
		return k, nil
	}
	var k *keyRecord
	var position uint64
	err := e.area.View(ctx, func(r store.Reader) (err error) {
		position = r.Position()
		k, err = getKey(r, name)
		return err
	})
	if err != nil || k == nil {
		return nil, err
	}
	e.cache.putKey(name, k, position)
	return k, nil
}

// version is the material of version n of k; an error of kind Invalid when it is gone by now.
func (e *engine) version(ctx context.Context, k *keyRecord, n uint64) (*material, error) {
	id, ok := parseVersionKey(versionKey(k.ID, n))
	if !ok {
		return nil, errMaterial
	}
	if m := e.cache.version(id); m != nil {
		return m, nil
	}
	t, ok := typeOf(k.Type)
	if !ok {
		return nil, errMaterial
	}
	var v *versionRecord
	var position uint64
	err := e.area.View(ctx, func(r store.Reader) (err error) {
		position = r.Position()
		v, err = record.Get[versionRecord](r, versionKey(k.ID, n))
		return err
	})
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNoKey
	}
	m, err := t.ready(n, v)
	if err != nil {
		return nil, err
	}
	e.cache.putVersion(id, m, position)
	return m, nil
}

// What is said where there is no key. Contract: secrets §5, errors.
var (
	errNoKey        = backend.Invalidf("encryption key not found")
	errNoSigningKey = backend.Invalidf("signing key not found")
	errNoSuchKey    = backend.Invalidf("key not found")
)

// use is a key in one call.
type use struct {
	e   *engine
	rec *keyRecord
	typ keyType
}

// use finds the key of a call; absent is the error when there is none.
func (e *engine) use(ctx context.Context, name string, absent error) (*use, error) {
	k, err := e.key(ctx, name)
	if err != nil {
		return nil, err
	}
	if k == nil {
		return nil, absent
	}
	t, ok := typeOf(k.Type)
	if !ok {
		return nil, errMaterial
	}
	return &use{e, k, t}, nil
}

// newest is the material that version n asks for where something new is made: 0 is the latest.
func (u *use) newest(ctx context.Context, n int) (*material, error) {
	version := u.rec.Latest
	switch {
	case n < 0:
		return nil, backend.Invalidf("requested version for encryption is negative")
	case uint64(n) > u.rec.Latest:
		return nil, backend.Invalidf("requested version for encryption is higher than the latest key version")
	case n > 0 && uint64(n) < max(u.rec.MinEncrypt, u.rec.MinDecrypt):
		return nil, backend.Invalidf("requested version for encryption is less than the minimum encryption key version")
	case n > 0:
		version = uint64(n)
	}
	return u.e.version(ctx, u.rec, version)
}

// older is the material of a version that something was made with.
func (u *use) older(ctx context.Context, n uint64) (*material, error) {
	if n < u.rec.MinDecrypt {
		return nil, backend.Invalidf("ciphertext or signature version is disallowed by policy (too old)")
	}
	return u.e.version(ctx, u.rec, n)
}

// context judges the context of a call against the key.
func (u *use) context(given string) ([]byte, error) {
	context, err := decodeBase64(given, "context")
	if err != nil {
		return nil, err
	}
	if u.rec.Derived && len(context) == 0 {
		return nil, errNoContext
	}
	return context, nil
}
