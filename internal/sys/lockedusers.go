package sys

import (
	"cmp"
	"context"
	"slices"

	"jeton/internal/backend"
	"jeton/internal/mount"
)

// lockable is a login method whose users can be locked out.
type lockable interface {
	Locked(ctx context.Context) ([]string, error)
	Unlock(ctx context.Context, alias string) error
}

func (s *System) lockedUserRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "locked-users", Summary: "The users whom wrong passwords have locked out.", Read: backend.Handle(s.lockedUsers)},
		{Pattern: "locked-users/{mount_accessor}/unlock/{alias_identifier...}", Summary: "Let a user log in again.", Write: backend.Handle(s.unlockUser)},
	}
}

type lockedUsersRequest struct {
	Accessor string `json:"mount_accessor" doc:"The accessor of one auth mount."`
}

// lockedUsersReply is in order of counts, the greatest first. Contract: auth-methods §8.
type lockedUsersReply struct {
	ByNamespace []lockedNamespace `json:"by_namespace"`
	Total       int               `json:"total"`
}

type lockedNamespace struct {
	ID     string        `json:"namespace_id"`
	Path   string        `json:"namespace_path"`
	Counts int           `json:"counts"`
	Mounts []lockedMount `json:"mount_accessors"`
}

type lockedMount struct {
	Accessor string   `json:"mount_accessor"`
	Counts   int      `json:"counts"`
	Aliases  []string `json:"alias_identifiers"`
}

func (s *System) lockedUsers(ctx context.Context, _ *backend.Call, req *lockedUsersRequest) (*lockedUsersReply, error) {
	if req.Accessor != "" {
		if _, ok := s.Mounts.ByAccessor(req.Accessor); !ok {
			return nil, backend.Invalidf("invalid mount_accessor: there is no such mount")
		}
	}
	root := lockedNamespace{ID: "root", Mounts: []lockedMount{}}
	for _, m := range s.Mounts.All(mount.AuthClass) {
		if req.Accessor != "" && req.Accessor != m.Entry.Accessor {
			continue
		}
		locked, err := lockedAt(ctx, m)
		if err != nil {
			return nil, err
		}
		if len(locked) > 0 {
			root.Mounts = append(root.Mounts, lockedMount{Accessor: m.Entry.Accessor, Counts: len(locked), Aliases: locked})
			root.Counts += len(locked)
		}
	}
	slices.SortStableFunc(root.Mounts, func(a, b lockedMount) int { return cmp.Compare(b.Counts, a.Counts) })
	reply := &lockedUsersReply{ByNamespace: []lockedNamespace{}, Total: root.Counts}
	if root.Counts > 0 {
		reply.ByNamespace = append(reply.ByNamespace, root)
	}
	return reply, nil
}

// lockedAt are the locked users of a mount, which may be going away.
func lockedAt(ctx context.Context, m *mount.Mounted) ([]string, error) {
	method, ok := m.Backend.(lockable)
	if !ok || !m.Enter() {
		return nil, nil
	}
	defer m.Leave()
	return method.Locked(ctx)
}

type unlockRequest struct {
	Accessor string `json:"mount_accessor" doc:"The accessor of the auth mount."`
	Alias    string `json:"alias_identifier" doc:"The user's name there."`
}

func (s *System) unlockUser(ctx context.Context, _ *backend.Call, req *unlockRequest) (*backend.None, error) {
	m, ok := s.Mounts.ByAccessor(req.Accessor)
	if !ok || !m.Enter() {
		return nil, backend.Invalidf("invalid mount_accessor: there is no such mount")
	}
	defer m.Leave()
	method, ok := m.Backend.(lockable)
	if !ok {
		return nil, backend.Invalidf("the mount of this accessor locks nobody out")
	}
	return nil, method.Unlock(ctx, req.Alias)
}
