// Package jwt owns the login method of signed web tokens: those that a program brings along
// (mounts and roles of type jwt), and those that an identity provider hands to a person in the
// browser (type oidc).
package jwt

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Method is the login method of one mount. Names of roles are in lower case everywhere: the
// routes see to it before the policies are asked (CVE-2026-89322).
type Method struct {
	area  *store.Area
	clock clock.Clock
	log   *slog.Logger
	// roles and trusts are ready for use, by the keys of their records; there is one configuration.
	roles  *record.Memo[role]
	trusts *record.Memo[trust]
	flow   flowKeys
	fetch  fetching
	// talks are the conversations with the provider that callbacks have begun: callbacks need no
	// token, and each could wait for a provider that is slow.
	talks *auth.Crowd
	polls *paces
	pages pages
	// unsubscribe ends what keeps roles and trusts true; cancel ends what is being fetched.
	unsubscribe, cancel func()
}

// fetching is what everything that asks another server has in common.
type fetching struct {
	clock clock.Clock
	// life ends when the mount is closed; running are the goroutines that fetch.
	life    context.Context
	running *sync.WaitGroup
	// patience bounds one question to another server.
	patience time.Duration
	// waiting are the logins that wait for an answer; one alone is asked for.
	waiting *auth.Crowd
}

const (
	// usualPatience is less than a client's own, so that it hears what is wrong.
	usualPatience = 10 * time.Second
	mostTalks     = 64
	mostWaiting   = 1024
	system        = "the identity provider"
)

var (
	_ backend.Factory = New
	_ backend.Renewer = (*Method)(nil)
	_ backend.Closer  = (*Method)(nil)
	_ backend.Checker = (*Method)(nil)
)

// New opens the method that lives in env.Area. It asks no other server.
func New(ctx context.Context, env backend.Env) (backend.Backend, error) {
	return Patient(usualPatience)(ctx, env)
}

// Patient is New with another bound on how long a provider may take to answer.
func Patient(patience time.Duration) backend.Factory {
	return func(ctx context.Context, env backend.Env) (backend.Backend, error) {
		key, err := auth.MountKey(ctx, env.Area, mountKey, keySize)
		if err != nil {
			return nil, err
		}
		life, cancel := context.WithCancel(context.WithoutCancel(ctx))
		m := &Method{
			area: env.Area, clock: env.Clock, log: env.Log, roles: record.NewMemo[role](rememberedRoles, nil), trusts: record.NewMemo[trust](1, nil), flow: newFlowKeys(key),
			fetch: fetching{clock: env.Clock, life: life, running: &sync.WaitGroup{}, patience: patience,
				waiting: auth.NewCrowd(mostWaiting, system)},
			talks: auth.NewCrowd(mostTalks, system), polls: newPaces(), pages: newPages(), cancel: cancel,
		}
		m.unsubscribe = env.Area.Subscribe(func(c store.Commit) {
			m.roles.Changed(c)
			m.trusts.Changed(c)
		})
		return m, nil
	}
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// Close ends what is being fetched, and waits for it.
func (m *Method) Close() error {
	m.unsubscribe()
	m.cancel()
	m.fetch.running.Wait()
	return nil
}

// Routes is the method's table. Contract: auth-methods §5.
func (m *Method) Routes() []backend.Route {
	return []backend.Route{
		{
			Pattern: "login", Open: true,
			Summary: "Log in with a signed token (JWT).",
			Write:   backend.Handle(m.login),
		},
		{
			Pattern: "oidc/auth_url", Open: true,
			Summary: "Begin a login in the browser.",
			Detail:  "An empty auth_url says that it cannot begin; a warning says why. With a state, the client polls.",
			Write:   backend.Handle(m.authURL),
		},
		{
			Pattern: "oidc/callback", Open: true,
			Summary: "Complete a login in the browser.",
			Read:    backend.Handle(m.callback),
			Write:   backend.Handle(m.callback),
		},
		{
			Pattern: "oidc/confirm", Open: true,
			Summary: "What the page of a direct login sends when the person says that they began it.",
			Write:   backend.Handle(m.confirmed),
		},
		{
			Pattern: "oidc/poll", Open: true,
			Summary: "Collect the token of a direct or device login.",
			Detail:  "400 authorization_pending until the person has signed in, 400 slow_down for who asks too often.",
			Read:    backend.Handle(m.poll),
			Write:   backend.Handle(m.poll),
		},
		{
			Pattern: "config",
			Summary: "Whose tokens are believed.",
			Detail:  "A write replaces all of it. The addresses in it are contacted, and the write is refused if they do not answer.",
			Read:    backend.Handle(m.readConfig),
			Write:   backend.Handle(m.writeConfig),
		},
		{
			Pattern: "role",
			Summary: "Names of the roles.",
			List:    backend.Handle(m.listRoles),
		},
		{
			Pattern: "role/{name|lower}",
			Summary: "One role.",
			Exists:  m.roleExists,
			Read:    backend.Handle(m.readRole),
			Write:   backend.Handle(m.writeRole),
			Delete:  backend.Handle(m.deleteRole),
		},
	}
}
