// Package identity owns the paths below identity/: it reads requests, asks the rooms of
// identities and of identity tokens, and writes answers. Their rules are not here.
// Contract: identity §2, §6.
package identity

import (
	"slices"
	"time"

	"jeton/internal/backend"
	rooms "jeton/internal/identity"
	"jeton/internal/idtoken"
)

// Engine is the backend at identity/.
type Engine struct {
	room   *rooms.Store
	signed *idtoken.Store
}

// New serves identity/ over the rooms of identities and of identity tokens.
func New(room *rooms.Store, signed *idtoken.Store) *Engine {
	return &Engine{room: room, signed: signed}
}

// Routes are the paths of contract identity §2 and §6.
func (e *Engine) Routes() []backend.Route {
	return slices.Concat(e.entityRoutes(), e.aliasRoutes(), e.groupRoutes(), e.lookupRoutes(), e.signedRoutes(), backend.AbsentRoutes(
		backend.Feature{Text: "this server is no OpenID Connect provider; it issues identity tokens, below identity/oidc/token/", Patterns: []string{
			"oidc/provider", "oidc/provider/{path...}", "oidc/client", "oidc/client/{path...}", "oidc/scope", "oidc/scope/{path...}",
			"oidc/assignment", "oidc/assignment/{path...}"}},
		backend.Feature{Text: "this server has no login MFA", Patterns: []string{"mfa/{path...}"}},
	))
}

// rootNamespace is the one that there is.
const rootNamespace = "root"

type idRequest struct {
	ID string `json:"id" doc:"The id."`
}

type nameRequest struct {
	Name string `json:"name" doc:"The name, in any case."`
}

// pageRequest asks for a part of a list.
type pageRequest struct {
	After string `json:"after" doc:"List what comes after this key."`
	Limit int    `json:"limit" doc:"List at most so many; 0 is all."`
}

// full says whether keys has as many as were asked for.
func (p *pageRequest) full(keys []string) bool { return p.Limit > 0 && len(keys) >= p.Limit }

// page is what is asked for of keys, sorted.
func (p *pageRequest) page(keys []string) []string {
	slices.Sort(keys)
	if p.After != "" {
		keys = slices.DeleteFunc(keys, func(key string) bool { return key <= p.After })
	}
	if p.Limit > 0 && len(keys) > p.Limit {
		keys = keys[:p.Limit]
	}
	return keys
}

// only is the part of info that is about keys.
func only(info map[string]any, keys []string) map[string]any {
	part := make(map[string]any, len(keys))
	for _, key := range keys {
		part[key] = info[key]
	}
	return part
}

// listing is a list with what is known of each key; none when it is empty.
func listing(keys []string, info map[string]any) *backend.Keys {
	list := backend.Listing(keys)
	if list != nil {
		list.Info = info
	}
	return list
}

func stamp(nanos int64) string { return time.Unix(0, nanos).UTC().Format(time.RFC3339Nano) }

// never is a list that is shown as [] and never as null.
func never(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// pairsOf is a request's map as the room takes it; nil when it was not sent.
func pairsOf(p *backend.Pairs) *map[string]string {
	if p == nil {
		return nil
	}
	m := map[string]string(*p)
	return &m
}

// listOf is a request's list as the room takes it; nil when it was not sent.
func listOf(l *backend.CommaList) *[]string {
	if l == nil {
		return nil
	}
	list := []string(*l)
	return &list
}
