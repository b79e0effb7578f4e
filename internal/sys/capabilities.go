package sys

import (
	"context"

	"jeton/internal/backend"
	"jeton/internal/policy"
	"jeton/internal/token"
)

func (s *System) capabilityRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "capabilities", Summary: "What a token may do on some paths.", Inject: true, Write: backend.Reads(s.capabilities)},
		{Pattern: "capabilities-self", Summary: "What the calling token may do on some paths.", Inject: true, Write: backend.Reads(s.capabilitiesSelf)},
		{Pattern: "capabilities-accessor", Summary: "What the token of an accessor may do on some paths.", Inject: true, Write: backend.Reads(s.capabilitiesAccessor)},
	}
}

type capabilitiesRequest struct {
	Token    string            `json:"token" doc:"The token."`
	Accessor string            `json:"accessor" doc:"The accessor of the token."`
	Paths    backend.CommaList `json:"paths" doc:"The paths, without /v1/."`
	Path     backend.CommaList `json:"path" doc:"The old name of paths."`
}

// capabilitiesReply has each path as a member, and with a single path its list as capabilities too.
type capabilitiesReply map[string][]string

// answer asks access about the paths. Contract: policies §11.
func (r *capabilitiesRequest) answer(access backend.Access) (*capabilitiesReply, error) {
	paths := r.Paths
	if len(paths) == 0 {
		paths = r.Path
	}
	if len(paths) == 0 {
		return nil, backend.Invalidf("paths must be supplied")
	}
	reply := capabilitiesReply{}
	for _, path := range paths {
		if path == "" {
			return nil, backend.Errorf(backend.InvalidAggregate, "missing path")
		}
		reply[path] = access.Capabilities(path)
	}
	if len(paths) == 1 {
		reply["capabilities"] = reply[paths[0]]
	}
	return &reply, nil
}

func (s *System) capabilitiesSelf(_ context.Context, c *backend.Call, req *capabilitiesRequest) (*capabilitiesReply, error) {
	return req.answer(c.Caller.Access)
}

func (s *System) capabilities(ctx context.Context, _ *backend.Call, req *capabilitiesRequest) (*capabilitiesReply, error) {
	if req.Token == "" {
		return nil, backend.Errorf(backend.Failed, "no token found")
	}
	t, err := s.Tokens.Find(ctx, req.Token)
	if err == nil && t == nil {
		err = backend.Errorf(backend.InvalidAggregate, "invalid token")
	}
	if err != nil {
		return nil, err
	}
	return s.capabilitiesOf(ctx, t, req)
}

func (s *System) capabilitiesAccessor(ctx context.Context, _ *backend.Call, req *capabilitiesRequest) (*capabilitiesReply, error) {
	if req.Accessor == "" {
		return nil, backend.Invalidf("missing accessor")
	}
	t, _, err := s.Tokens.FindAccessor(ctx, req.Accessor)
	if err == nil && t == nil {
		err = backend.Errorf(backend.InvalidAggregate, "invalid accessor")
	}
	if err != nil {
		return nil, err
	}
	return s.capabilitiesOf(ctx, t, req)
}

func (s *System) capabilitiesOf(ctx context.Context, t *token.Token, req *capabilitiesRequest) (*capabilitiesReply, error) {
	acl, err := s.aclOf(ctx, t)
	if err != nil {
		return nil, err
	}
	return req.answer(acl)
}

// aclOf is what a token may do, through its entity too.
func (s *System) aclOf(ctx context.Context, t *token.Token) (*policy.ACL, error) {
	rights, err := s.Identity.Rights(ctx, t.EntityID, t.Policies)
	if err != nil {
		return nil, err
	}
	return s.Policies.For(ctx, rights.Policies, t.Root, rights.Subject)
}
