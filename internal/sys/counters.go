package sys

import (
	"context"

	"jeton/internal/backend"
	"jeton/internal/identity"
	"jeton/internal/token"
	"jeton/internal/version"
)

// apiVersion is what every answer that names a version says.
const apiVersion = version.API

func (s *System) counterRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "internal/counters/tokens", Summary: "How many service tokens there are.", Read: backend.Handle(s.countTokens)},
		{Pattern: "internal/counters/entities", Summary: "How many entities there are.", Read: backend.Handle(s.countEntities)},
		{Pattern: "replication/status", Summary: "This server does not replicate.", Open: true, Read: backend.Handle(s.replicationStatus)},
	}
}

type totalCount struct {
	Total int64 `json:"total"`
}

type tokenCounters struct {
	Counters struct {
		ServiceTokens totalCount `json:"service_tokens"`
	} `json:"counters"`
}

func (s *System) countTokens(ctx context.Context, _ *backend.Call, _ *backend.None) (*tokenCounters, error) {
	_, total, err := s.Tokens.Count(ctx, token.CountByType)
	reply := &tokenCounters{}
	reply.Counters.ServiceTokens.Total = total
	return reply, err
}

type entityCounters struct {
	Counters struct {
		Entities totalCount `json:"entities"`
	} `json:"counters"`
}

// countEntities walks over them: entities are few beside tokens, and seldom counted.
func (s *System) countEntities(ctx context.Context, _ *backend.Call, _ *backend.None) (*entityCounters, error) {
	reply := &entityCounters{}
	err := s.Identity.Entities(ctx, "", func(*identity.Entity) bool {
		reply.Counters.Entities.Total++
		return true
	})
	return reply, err
}

type replicationMode struct {
	Mode string `json:"mode"`
}

type replicationReply struct {
	DR          replicationMode `json:"dr"`
	Performance replicationMode `json:"performance"`
}

func (s *System) replicationStatus(context.Context, *backend.Call, *backend.None) (*replicationReply, error) {
	off := replicationMode{"disabled"}
	return &replicationReply{DR: off, Performance: off}, nil
}
