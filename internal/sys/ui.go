package sys

import (
	"context"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/mount"
)

func (s *System) uiRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "internal/ui/mounts", Summary: "The mounts that the caller can use.", Open: true, Read: backend.Handle(s.uiMounts)},
		{Pattern: "internal/ui/mounts/{path...}", Summary: "The mount that serves a path, for clients that have to know its version.",
			Open: true, Read: backend.Handle(s.uiMount)},
	}
}

// visitor is what the token that came along to an open path may reach; nil without a token.
func (s *System) visitor(ctx context.Context, c *backend.Call) (backend.Access, error) {
	if c.Presented == "" {
		return nil, nil
	}
	t, err := s.Tokens.Authenticate(ctx, c.Presented, c.Remote.Addr())
	if err != nil {
		return nil, err
	}
	return s.aclOf(ctx, t)
}

// uiMount answers the preflight of every kv command. Contract: sys §19, secrets §2.4.
func (s *System) uiMount(ctx context.Context, c *backend.Call, req *pathRequest) (*mountInfo, error) {
	access, err := s.visitor(ctx, c)
	if err != nil {
		return nil, err
	}
	if access == nil {
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	path := strings.Trim(req.Path, "/") + "/"
	m, _, ok := s.Mounts.Find(path)
	if !ok || !access.Touches(m.Entry.Path) {
		return nil, backend.Errorf(backend.Denied, "preflight capability check returned 403, please ensure client's policies grant access to path %q", path)
	}
	info := describeMount(m)
	info.Path = m.Entry.Path
	return info, nil
}

type uiMountsReply struct {
	Secret map[string]any `json:"secret"`
	Auth   map[string]any `json:"auth"`
}

type publicMount struct {
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Options     map[string]string `json:"options"`
}

func (s *System) uiMounts(ctx context.Context, c *backend.Call, _ *backend.None) (*uiMountsReply, error) {
	access, err := s.visitor(ctx, c)
	if err != nil {
		return nil, err
	}
	reply := &uiMountsReply{Secret: map[string]any{}, Auth: map[string]any{}}
	for _, m := range append(s.Mounts.All(mount.SecretClass), s.Mounts.All(mount.AuthClass)...) {
		into := reply.Secret
		if m.Entry.Class() == mount.AuthClass {
			into = reply.Auth
		}
		name := strings.TrimPrefix(m.Entry.Path, mount.AuthPrefix)
		switch {
		case access != nil && access.Touches(m.Entry.Path):
			into[name] = describeMount(m)
		case m.Entry.Tuning.ListingVisibility == "unauth":
			into[name] = publicMount{Type: shownType(&m.Entry), Description: m.Entry.Description, Options: m.Entry.Options}
		}
	}
	return reply, nil
}

// consoleRoutes are what web interfaces ask besides. Contract: sys §19.
func (s *System) consoleRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "internal/ui/resultant-acl", Summary: "What the calling token may do.", Open: true, Read: backend.Handle(s.resultantACL)},
		{Pattern: "internal/ui/namespaces", Summary: "The namespaces below this one: none.", Open: true,
			Read: backend.Handle(s.uiNamespaces), List: backend.Handle(s.uiNamespaces)},
		{Pattern: "internal/ui/feature-flags", Summary: "The features that are switched on by flag: none.", Open: true, Read: backend.Handle(s.featureFlags)},
		{Pattern: "internal/ui/version", Summary: "The version of the API.", Read: backend.Handle(s.uiVersion)},
	}
}

// aclReply has no paths for root, and empty objects for who has none.
type aclReply struct {
	Root       bool          `json:"root"`
	ExactPaths *grantedPaths `json:"exact_paths,omitempty"`
	GlobPaths  *grantedPaths `json:"glob_paths,omitempty"`
}

type grantedPaths map[string]grantedPath

type grantedPath struct {
	Capabilities []string `json:"capabilities"`
}

// resultantACL shows the rules of whoever asks; without a token there is nothing to say.
func (s *System) resultantACL(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.Response, error) {
	if c.Presented == "" {
		return &backend.Response{Status: 204}, nil
	}
	t, err := s.Tokens.Authenticate(ctx, c.Presented, c.Remote.Addr())
	if err != nil {
		return nil, err
	}
	acl, err := s.aclOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if acl.IsRoot() {
		return &backend.Response{Data: &aclReply{Root: true}}, nil
	}
	exact, globs := grantedPaths{}, grantedPaths{}
	for _, rule := range acl.Rules() {
		into := exact
		if rule.Glob || strings.Contains("/"+rule.Path+"/", "/+/") {
			into = globs
		}
		into[rule.Path] = grantedPath{rule.Capabilities}
	}
	return &backend.Response{Data: &aclReply{ExactPaths: &exact, GlobPaths: &globs}}, nil
}

func (s *System) uiNamespaces(context.Context, *backend.Call, *backend.None) (*backend.Response, error) {
	return &backend.Response{Data: &backend.Keys{Keys: []string{}}}, nil
}

// featureFlags is without an envelope.
func (s *System) featureFlags(context.Context, *backend.Call, *backend.None) (*backend.Response, error) {
	return &backend.Response{Raw: &backend.Raw{ContentType: "application/json", Body: []byte(`{"feature_flags":[]}` + "\n")}}, nil
}

type versionReply struct {
	Version string `json:"version"`
}

func (s *System) uiVersion(context.Context, *backend.Call, *backend.None) (*versionReply, error) {
	return &versionReply{apiVersion}, nil
}
