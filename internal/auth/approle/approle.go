// Package approle owns the AppRole login method: roles, their role ids and secret ids, and
// the proof that a machine makes with the two.
//
// There is no lockout here: the key of a lock would be the role id, which is no secret, so
// that any stranger could keep a service from logging in. A secret id made by the server has
// 122 random bits and cannot be guessed (contract: auth-methods §8 [!]).
package approle

import (
	"context"
	"sync/atomic"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/mac"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Method is the AppRole login method of one mount.
type Method struct {
	area  *store.Area
	clock clock.Clock
	hash  hashes
	roles *roleCache
	// secrets are those that logins have met, by the keys of their records.
	secrets *record.Memo[secret]
	uses    *lastUses
	// unsubscribe ends what keeps roles, secrets and uses true.
	unsubscribe func()
	// tidying is set while a tidy runs: one at a time.
	tidying atomic.Bool
}

var (
	_ backend.Factory = New
	_ backend.Renewer = (*Method)(nil)
	_ backend.Closer  = (*Method)(nil)
)

// New opens the method that lives in env.Area; the first time it makes the mount's HMAC key.
func New(ctx context.Context, env backend.Env) (backend.Backend, error) {
	key, err := auth.MountKey(ctx, env.Area, mountKey, hashSize)
	if err != nil {
		return nil, err
	}
	m := &Method{
		area: env.Area, clock: env.Clock, hash: hashes{mac.NewKey(key)},
		roles: newRoleCache(), secrets: record.NewMemo[secret](rememberedSecrets, nil), uses: newLastUses(env.Clock),
	}
	m.unsubscribe = env.Area.Subscribe(func(c store.Commit) {
		m.roles.changed(c)
		m.secrets.Changed(c)
		m.uses.changed(c)
	})
	return m, nil
}

// Close ends the subscription.
func (m *Method) Close() error {
	m.unsubscribe()
	return nil
}

// Routes is the method's table. Contract: auth-methods §2.
func (m *Method) Routes() []backend.Route {
	routes := []backend.Route{
		{
			Pattern: "login", Open: true,
			Summary: "Log in with a role id and a secret id.",
			Write:   backend.Handle(m.login),
		},
		{
			Pattern: "role",
			Summary: "Names of the roles.",
			List:    backend.Handle(m.listRoles),
		},
		{
			Pattern: "role/{role_name|lower}",
			Summary: "One role.",
			Exists:  m.roleExists,
			Read:    backend.Handle(m.readRole),
			Write:   backend.Handle(m.writeRole),
			Delete:  backend.Handle(m.deleteRole),
		},
		{
			Pattern: "tidy/secret-id",
			Summary: "Remove the records of expired secret ids.",
			Detail:  "Expired secret ids are refused whether or not they have been removed.",
			Write:   backend.Handle(m.tidy),
		},
	}
	routes = append(routes, m.fieldRoutes()...)
	return append(routes, m.secretRoutes()...)
}
