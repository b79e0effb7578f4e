package sys

import (
	"context"
	"time"

	"jeton/internal/backend"
)

func (s *System) keyRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "key-status", Summary: "The newest term of the encryption key.", Inject: true, Read: backend.Handle(s.keyStatus)},
		{Pattern: "rotate", Summary: "Begin a new term of the encryption key.", Sudo: true, Inject: true, Write: backend.Handle(s.rotate)},
		{Pattern: "rotate/config", Summary: "When a new term begins by itself.", Read: backend.Handle(s.readRotation), Write: backend.Handle(s.writeRotation)},
	}
}

type keyStatusReply struct {
	Term        uint32 `json:"term"`
	InstallTime string `json:"install_time"`
	Encryptions uint64 `json:"encryptions"`
}

func (s *System) keyStatus(context.Context, *backend.Call, *backend.None) (*keyStatusReply, error) {
	unlocked := s.Keeper.Current()
	if unlocked == nil {
		return nil, &backend.Error{Kind: backend.Sealed}
	}
	status, err := unlocked.Keyring().Status()
	if err != nil {
		return nil, err
	}
	return &keyStatusReply{Term: status.Term, InstallTime: status.Installed.Format(time.RFC3339Nano), Encryptions: status.Encryptions}, nil
}

func (s *System) rotate(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.None, error) {
	return nil, s.Keeper.Rotate(ctx)
}

type rotationReply struct {
	Enabled       bool  `json:"enabled"`
	MaxOperations int64 `json:"max_operations"`
	Interval      any   `json:"interval"`
}

type rotationRequest struct {
	Enabled       *bool            `json:"enabled" doc:"Whether a new term begins by itself."`
	MaxOperations *int64           `json:"max_operations" doc:"After how many encryptions."`
	Interval      *backend.Seconds `json:"interval" doc:"After how much time; 0 is never."`
}

func (s *System) readRotation(context.Context, *backend.Call, *backend.None) (*rotationReply, error) {
	r, err := s.Keeper.Rotation()
	if err != nil {
		return nil, err
	}
	reply := &rotationReply{Enabled: r.Enabled, MaxOperations: int64(r.MaxOperations), Interval: 0}
	if r.Interval > 0 {
		reply.Interval = r.Interval.String()
	}
	return reply, nil
}

func (s *System) writeRotation(ctx context.Context, _ *backend.Call, req *rotationRequest) (*backend.None, error) {
	r, err := s.Keeper.Rotation()
	if err != nil {
		return nil, err
	}
	if req.Enabled != nil {
		r.Enabled = *req.Enabled
	}
	if req.MaxOperations != nil {
		if *req.MaxOperations < 0 {
			return nil, backend.Invalidf("max_operations must be in the range [1000000,3865470566]")
		}
		r.MaxOperations = uint64(*req.MaxOperations)
	}
	if req.Interval != nil {
		r.Interval = req.Interval.Duration()
	}
	return nil, s.Keeper.SetRotation(ctx, r)
}
