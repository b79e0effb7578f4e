package node

import (
	"context"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/cert"
	"jeton/internal/auth/jwt"
	"jeton/internal/auth/kubernetes"
	"jeton/internal/auth/ldap"
	authtoken "jeton/internal/auth/token"
	"jeton/internal/auth/userpass"
	"jeton/internal/backend"
	"jeton/internal/engine/cubbyhole"
	"jeton/internal/engine/identity"
	"jeton/internal/engine/kv"
	"jeton/internal/engine/transit"
	"jeton/internal/mount"
	"jeton/internal/store"
	"jeton/internal/sys"
)

// kinds is the list of what is compiled in. There is no other way for a backend to be served,
// but for those that tests bring along.
func (n *Node) kinds(h *House, rooms *sys.Rooms) []mount.Kind {
	return append([]mount.Kind{
		{Name: "system", Class: mount.SecretClass, Fixed: true, Path: "sys/", Passthrough: []string{"Accept"}, SealWrap: true,
			Description: "system endpoints used for control, policy and debugging",
			New:         func(context.Context, backend.Env) (backend.Backend, error) { return sys.New(rooms), nil }},
		{Name: "cubbyhole", Class: mount.SecretClass, Fixed: true, Path: "cubbyhole/",
			Description: "per-token private secret storage", New: cubbyhole.New(h.Tokens)},
		{Name: "identity", Class: mount.SecretClass, Fixed: true, Path: "identity/", Passthrough: []string{"Authorization"},
			Description: "identity store",
			New: func(context.Context, backend.Env) (backend.Backend, error) {
				return identity.New(h.Identity, h.IDTokens), nil
			}},
		{Name: "token", Class: mount.AuthClass, Fixed: true, Path: "auth/token/",
			Description: "token based credentials",
			New: func(context.Context, backend.Env) (backend.Backend, error) {
				return authtoken.New(h.Tokens, h.Policies, mountInfo{h}, n.clock), nil
			}},
		{Name: "kv", Class: mount.SecretClass, New: kv.New, Versioned: true,
			Upgrade: func(ctx context.Context, area *store.Area) error { return kv.Upgrade(ctx, area, n.clock) }},
		{Name: "transit", Class: mount.SecretClass, New: transit.New},
		{Name: "approle", Class: mount.AuthClass, New: approle.New},
		{Name: "cert", Class: mount.AuthClass, New: cert.New},
		{Name: "kubernetes", Class: mount.AuthClass, New: kubernetes.New},
		{Name: "userpass", Class: mount.AuthClass, New: userpass.New},
		{Name: "ldap", Class: mount.AuthClass, New: ldap.New},
		{Name: "jwt", Class: mount.AuthClass, New: jwt.New},
		{Name: "oidc", Class: mount.AuthClass, New: jwt.New},
	}, n.settings.Kinds...)
}
