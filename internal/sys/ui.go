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
	return s.Policies.For(ctx, t.Policies, t.Root, nil)
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
