package sys

import (
	"context"

	"jeton/internal/audit"
	"jeton/internal/backend"
)

func (s *System) auditRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "audit", Summary: "List the audit devices.", Sudo: true, Inject: true, Read: backend.Handle(s.listAudit)},
		{Pattern: "audit/{path...}", Summary: "An audit device.", Sudo: true, Inject: true,
			Write: backend.Handle(s.enableAudit), Delete: backend.Handle(s.disableAudit)},
		{Pattern: "audit-hash/{path...}", Summary: "The hash that a device writes for a value.", Inject: true, Write: backend.Handle(s.auditHash)},
		{Pattern: "config/auditing/request-headers", Summary: "The request headers that are audited.", Sudo: true, Inject: true,
			Read: backend.Handle(s.listAuditHeaders)},
		{Pattern: "config/auditing/request-headers/{header}", Summary: "A request header that is audited.", Sudo: true, Inject: true,
			Read: backend.Handle(s.readAuditHeader), Write: backend.Handle(s.writeAuditHeader), Delete: backend.Handle(s.deleteAuditHeader)},
	}
}

type auditRequest struct {
	Path        string        `json:"path" doc:"The name of the device."`
	Type        string        `json:"type" doc:"file, syslog or socket."`
	Description string        `json:"description" doc:"What it is for."`
	Options     backend.Pairs `json:"options" doc:"The device's options, such as file_path."`
	Local       bool          `json:"local" doc:"Kept and shown; one node has nothing to replicate."`
}

func (s *System) listAudit(context.Context, *backend.Call, *backend.None) (*map[string]audit.Info, error) {
	list := s.Audit.List()
	return &list, nil
}

func (s *System) enableAudit(ctx context.Context, _ *backend.Call, req *auditRequest) (*backend.None, error) {
	return nil, s.Audit.Enable(ctx, mountPath(req.Path), audit.Spec{
		Type: req.Type, Description: req.Description, Options: req.Options, Local: req.Local,
	})
}

func (s *System) disableAudit(ctx context.Context, _ *backend.Call, req *pathRequest) (*backend.None, error) {
	return nil, s.Audit.Disable(ctx, mountPath(req.Path))
}

type hashRequest struct {
	Path  string `json:"path" doc:"The name of the device."`
	Input string `json:"input" doc:"The value, such as a token."`
}

type hashReply struct {
	Hash string `json:"hash"`
}

func (s *System) auditHash(_ context.Context, _ *backend.Call, req *hashRequest) (*hashReply, error) {
	if req.Input == "" {
		return nil, backend.Invalidf(`the "input" parameter is empty`)
	}
	hash, err := s.Audit.Hash(mountPath(req.Path), req.Input)
	return &hashReply{Hash: hash}, err
}

type headerRequest struct {
	Header string `json:"header" doc:"The name of the header."`
	HMAC   bool   `json:"hmac" doc:"Hash its values."`
}

type headersReply struct {
	Headers map[string]audit.Header `json:"headers"`
}

func (s *System) listAuditHeaders(context.Context, *backend.Call, *backend.None) (*headersReply, error) {
	return &headersReply{Headers: s.Audit.Headers()}, nil
}

func (s *System) readAuditHeader(_ context.Context, _ *backend.Call, req *headerRequest) (*map[string]audit.Header, error) {
	h, err := s.Audit.Header(req.Header)
	if err != nil {
		return nil, err
	}
	return &map[string]audit.Header{req.Header: h}, nil
}

func (s *System) writeAuditHeader(ctx context.Context, _ *backend.Call, req *headerRequest) (*backend.None, error) {
	return nil, s.Audit.PutHeader(ctx, req.Header, audit.Header{HMAC: req.HMAC})
}

func (s *System) deleteAuditHeader(ctx context.Context, _ *backend.Call, req *headerRequest) (*backend.None, error) {
	return nil, s.Audit.DeleteHeader(ctx, req.Header)
}
