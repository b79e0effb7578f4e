// Package kubernetes owns the login method of Kubernetes service accounts: a pod shows the JWT of
// its service account, and the cluster's API server is asked whose it is. Nothing but the API
// server's word lets anybody in.
package kubernetes

import (
	"context"
	"log/slog"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
)

// podVolume is where Kubernetes puts the service account of the pod that a server runs in.
const podVolume = "/var/run/secrets/kubernetes.io/serviceaccount"

// Method is the login method of one mount. Role names are in lower case everywhere: the routes
// see to it before the policies are asked (CVE-2026-89322).
type Method struct {
	area  *store.Area
	clock clock.Clock
	log   *slog.Logger
	pod   *pod
	api   *clients
	// waiting are the logins and renewals that wait for the API server.
	waiting *auth.Crowd
}

// mostWaiting bounds them.
const mostWaiting = 1024

var (
	_ backend.Factory = New
	_ backend.Renewer = (*Method)(nil)
	_ backend.Closer  = (*Method)(nil)
	_ backend.Checker = (*Method)(nil)
)

// New opens the method that lives in env.Area.
func New(ctx context.Context, env backend.Env) (backend.Backend, error) {
	return InPod(podVolume)(ctx, env)
}

// InPod is New for a server whose own service account is mounted at dir.
func InPod(dir string) backend.Factory {
	return func(_ context.Context, env backend.Env) (backend.Backend, error) {
		return &Method{
			area: env.Area, clock: env.Clock, log: env.Log,
			pod: &pod{dir: dir, clock: env.Clock}, api: &clients{}, waiting: auth.NewCrowd(mostWaiting, "the API server"),
		}, nil
	}
}

// Close lets go of connections to the API server.
func (m *Method) Close() error {
	m.api.close()
	return nil
}

// Routes is the method's table. Contract: auth-methods §6.
func (m *Method) Routes() []backend.Route {
	return []backend.Route{
		{
			Pattern: "login", Open: true,
			Summary: "Log in with the JWT of a service account.",
			Write:   backend.Handle(m.login),
		},
		{
			Pattern: "config",
			Summary: "The API server that is asked, and what it is asked with.",
			Exists:  m.configExists,
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
			Summary: "One role: which service accounts get which tokens.",
			Exists:  m.roleExists,
			Read:    backend.Handle(m.readRole),
			Write:   backend.Handle(m.writeRole),
			Delete:  backend.Handle(m.deleteRole),
		},
	}
}

// The area of a mount:
//
//	role/NAME    roleRecord
//	config       configRecord
const rolePrefix = "role/"

var configKey = []byte("config")

func roleKey(name string) []byte { return []byte(rolePrefix + name) }

type listRequest struct {
	After string `json:"after" doc:"List what comes after this name."`
	Limit int    `json:"limit" doc:"List no more than this many; 0 is all."`
}

func (m *Method) listRoles(ctx context.Context, _ *backend.Call, req *listRequest) (*backend.Keys, error) {
	names, err := auth.ListNames(ctx, m.area, rolePrefix, req.After, req.Limit)
	return backend.Listing(names), err
}
