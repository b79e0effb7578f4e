package sys

import (
	"context"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/edge"
)

// browserRoutes are what the edge tells browsers. Contract: sys §11, §12.
func (s *System) browserRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "config/cors", Summary: "The origins that a browser may call from.", Sudo: true, Inject: true,
			Read: backend.Handle(s.readCORS), Write: backend.Handle(s.writeCORS), Delete: backend.Handle(s.deleteCORS)},
		{Pattern: "config/ui/headers", Summary: "List the headers of the web interface.", Sudo: true, List: backend.Handle(s.listUIHeaders)},
		{Pattern: "config/ui/headers/{header}", Summary: "A header of the web interface.", Sudo: true,
			Read: backend.Handle(s.readUIHeader), Write: backend.Handle(s.writeUIHeader), Delete: backend.Handle(s.deleteUIHeader)},
	}
}

type corsRequest struct {
	Origins backend.CommaList `json:"allowed_origins" doc:"Origins such as https://example.org, or *."`
	Headers backend.CommaList `json:"allowed_headers" doc:"Request headers besides the standard ones."`
	Enable  *bool             `json:"enable" doc:"Set for you; kept for clients that send it."`
}

type corsReply struct {
	Enabled bool     `json:"enabled"`
	Origins []string `json:"allowed_origins,omitempty"`
	Headers []string `json:"allowed_headers,omitempty"`
}

func (s *System) readCORS(context.Context, *backend.Call, *backend.None) (*corsReply, error) {
	c := s.Edge.CORS()
	return &corsReply{Enabled: c.Enabled, Origins: c.Origins, Headers: c.Headers}, nil
}

func (s *System) writeCORS(ctx context.Context, _ *backend.Call, req *corsRequest) (*backend.None, error) {
	c, err := edge.NewCORS(req.Origins, req.Headers)
	if err != nil {
		return nil, err
	}
	return nil, s.Edge.SetCORS(ctx, c)
}

func (s *System) deleteCORS(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.None, error) {
	return nil, s.Edge.SetCORS(ctx, edge.CORS{})
}

func (s *System) listUIHeaders(context.Context, *backend.Call, *backend.None) (*backend.Keys, error) {
	return backend.Listing(s.Edge.HeaderNames()), nil
}

type uiHeaderName struct {
	Header     string `json:"header" doc:"The name of the header."`
	Multivalue bool   `json:"multivalue" doc:"Show all values."`
}

type uiHeaderRequest struct {
	Header string   `json:"header" doc:"The name of the header."`
	Values []string `json:"values" doc:"Its values."`
}

type uiHeaderReply struct {
	Value  string   `json:"value,omitempty"`
	Values []string `json:"values,omitempty"`
}

func (s *System) readUIHeader(_ context.Context, _ *backend.Call, req *uiHeaderName) (*uiHeaderReply, error) {
	values := s.Edge.Header(req.Header)
	switch {
	case len(values) == 0:
		return nil, backend.Missing()
	case req.Multivalue:
		return &uiHeaderReply{Values: values}, nil
	}
	return &uiHeaderReply{Value: values[0]}, nil
}

func (s *System) writeUIHeader(ctx context.Context, c *backend.Call, req *uiHeaderRequest) (*backend.None, error) {
	if req.Header == "" || len(req.Values) == 0 {
		return nil, backend.Invalidf("header and values must be specified")
	}
	if strings.EqualFold(req.Header, "Content-Security-Policy") {
		c.Warn("overriding default Content-Security-Policy which is secure by default, proceed with caution")
	}
	return nil, s.Edge.SetHeader(ctx, req.Header, req.Values)
}

func (s *System) deleteUIHeader(ctx context.Context, _ *backend.Call, req *uiHeaderName) (*backend.None, error) {
	return nil, s.Edge.SetHeader(ctx, req.Header, nil)
}
