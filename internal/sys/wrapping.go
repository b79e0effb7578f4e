package sys

import (
	"context"

	"jeton/internal/backend"
	"jeton/internal/wrap"
)

func (s *System) wrappingRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "wrapping/wrap", Summary: "Wrap a value.", Inject: true, Write: backend.Handle(s.wrapValue)},
		{Pattern: "wrapping/unwrap", Summary: "Take what a wrapping token stands for.", Consumes: true, Precheck: s.checkWrapping,
			Write: backend.Handle(s.unwrap)},
		{Pattern: "wrapping/lookup", Summary: "What a wrapping token stands for.", Open: true, Precheck: s.checkWrapping,
			Read: backend.Handle(s.lookupWrapping), Write: backend.Handle(s.lookupWrapping)},
		{Pattern: "wrapping/rewrap", Summary: "Move a wrapped value to a new wrapping token.", Consumes: true, Precheck: s.checkWrapping,
			Write: backend.Handle(s.rewrap)},
	}
}

type wrappingRequest struct {
	Token string `json:"token" doc:"The wrapping token; that of the request when there is none."`
}

// candidate is the token that the request is about: the body's, else the header's.
// Contract: wrapping §4.
func candidate(c *backend.Call) (string, error) {
	v, sent := c.Data["token"]
	if !sent {
		if c.Presented == "" {
			return "", backend.Errorf(backend.Denied, "error validating wrapping token: token is empty")
		}
		return c.Presented, nil
	}
	text, ok := v.(string)
	if !ok {
		return "", backend.Errorf(backend.Denied, "error validating wrapping token: could not decode token in request body")
	}
	if text == "" {
		return "", backend.Errorf(backend.Denied, "error validating wrapping token: empty token in request body")
	}
	return text, nil
}

// checkWrapping refuses what is no wrapping token before anything else is looked at.
func (s *System) checkWrapping(ctx context.Context, c *backend.Call) error {
	text, err := candidate(c)
	if err != nil {
		return err
	}
	_, err = s.Wrap.Valid(ctx, text)
	return err
}

func (s *System) wrapValue(_ context.Context, c *backend.Call, req *struct {
	All backend.Payload `json:"*"`
}) (*backend.Response, error) {
	if !c.Wrapped {
		return nil, backend.Invalidf("endpoint requires response wrapping to be used")
	}
	if req.All == nil {
		return &backend.Response{}, nil
	}
	return &backend.Response{Data: map[string]any(req.All)}, nil
}

// unwrap answers with the very bytes that were wrapped.
func (s *System) unwrap(ctx context.Context, c *backend.Call, _ *wrappingRequest) (*backend.Response, error) {
	text, err := candidate(c)
	if err != nil {
		return nil, err
	}
	answer, err := s.Wrap.Open(ctx, text)
	if err != nil {
		return nil, err
	}
	return unwrapped(answer), nil
}

func unwrapped(a *wrap.Answer) *backend.Response {
	if len(a.Body) == 0 {
		return &backend.Response{Status: 204}
	}
	contentType := a.ContentType
	if contentType == "" {
		contentType = "application/json"
	}
	return &backend.Response{Status: a.Status, Raw: &backend.Raw{ContentType: contentType, Body: a.Body}}
}

func (s *System) lookupWrapping(ctx context.Context, c *backend.Call, _ *wrappingRequest) (*wrap.Info, error) {
	text, err := candidate(c)
	if err != nil {
		return nil, err
	}
	return s.Wrap.Lookup(ctx, text)
}

func (s *System) rewrap(ctx context.Context, c *backend.Call, _ *wrappingRequest) (*backend.Response, error) {
	text, err := candidate(c)
	if err != nil {
		return nil, err
	}
	info, err := s.Wrap.Rewrap(ctx, text, c.WrapTTL)
	if err != nil {
		return nil, err
	}
	return &backend.Response{WrapInfo: info}, nil
}
