package server

import (
	"context"
	"net/http"

	"jeton/internal/backend"
	"jeton/internal/seal"
	"jeton/internal/token"
)

// rootHandlers are sys/generate-root. Contract: sys §16.
func (s *Server) rootHandlers() map[string]rawHandler {
	return map[string]rawHandler{
		"sys/generate-root/attempt": s.onceInitialized(verbs(map[string]rawHandler{
			http.MethodGet: s.byShares(s.rootStatus), http.MethodPut: s.byShares(s.startRoot), http.MethodDelete: s.byShares(s.cancelRoot),
		})),
		"sys/generate-root/update": s.onceInitialized(verbs(map[string]rawHandler{http.MethodPut: s.byShares(s.updateRoot)})),
	}
}

// onceInitialized has a server without keys say so, which the contract wants before `sealed`.
func (s *Server) onceInitialized(h rawHandler) rawHandler {
	return func(ctx context.Context, r *http.Request) reply {
		done, err := s.node.Keeper().Initialized(ctx)
		if err == nil && !done {
			err = backend.Invalidf("server is not yet initialized")
		}
		if err != nil {
			return s.errorReply(err)
		}
		return h(ctx, r)
	}
}

// rootReply is the state of an attempt.
type rootReply struct {
	Nonce            string `json:"nonce"`
	Started          bool   `json:"started"`
	Progress         int    `json:"progress"`
	Required         int    `json:"required"`
	Complete         bool   `json:"complete"`
	EncodedToken     string `json:"encoded_token"`
	EncodedRootToken string `json:"encoded_root_token"`
	PGPFingerprint   string `json:"pgp_fingerprint"`
	OTP              string `json:"otp"`
	OTPLength        int    `json:"otp_length"`
}

func describeRoot(s seal.RootStatus) *rootReply {
	return &rootReply{Nonce: s.Nonce, Started: s.Started, Progress: s.Progress, Required: s.Required, Complete: s.Complete,
		EncodedToken: s.EncodedToken, EncodedRootToken: s.EncodedToken, PGPFingerprint: s.PGPFingerprint, OTP: s.OTP, OTPLength: seal.OTPLength}
}

func (s *Server) rootStatus(ctx context.Context, c *shareCall) (shareAnswer, error) {
	status, err := s.node.Roots().Status(ctx, c.origin)
	return shareAnswer{body: describeRoot(status)}, err
}

func (s *Server) startRoot(ctx context.Context, c *shareCall) (shareAnswer, error) {
	var req struct {
		OTP    string `json:"otp"`
		PGPKey string `json:"pgp_key"`
	}
	if err := c.into(&req); err != nil {
		return shareAnswer{}, err
	}
	var status seal.RootStatus
	var err error
	switch {
	case req.PGPKey == "":
		status, err = s.node.Roots().Start(ctx, c.origin, req.OTP)
	case req.OTP != "":
		err = backend.Invalidf("give an otp or a pgp_key, not both")
	default:
		status, err = s.node.Roots().StartFor(ctx, c.origin, req.PGPKey)
	}
	if err != nil {
		return shareAnswer{}, err
	}
	// A start that is not answered has no use for anybody: its password is lost.
	cancel := func(ctx context.Context) error { return s.node.Roots().Cancel(ctx, c.origin, status.Nonce) }
	return shareAnswer{body: describeRoot(status), withdraw: cancel}, nil
}

// nonceRequest names an attempt.
type nonceRequest struct {
	Nonce string `json:"nonce"`
}

func (s *Server) cancelRoot(ctx context.Context, c *shareCall) (shareAnswer, error) {
	var req nonceRequest
	if err := c.into(&req); err != nil {
		return shareAnswer{}, err
	}
	return shareAnswer{}, s.node.Roots().Cancel(ctx, c.origin, req.Nonce)
}

// shareRequest gives a share to an attempt.
type shareRequest struct {
	Key   string `json:"key"`
	Nonce string `json:"nonce"`
}

// share decodes the share. The caller clears it.
func (q *shareRequest) share() ([]byte, error) {
	if q.Key == "" {
		return nil, backend.Invalidf("'key' must be specified in request body as JSON")
	}
	return decodeShare(q.Key)
}

func (s *Server) updateRoot(ctx context.Context, c *shareCall) (shareAnswer, error) {
	var req shareRequest
	if err := c.into(&req); err != nil {
		return shareAnswer{}, err
	}
	share, err := req.share()
	if err != nil {
		return shareAnswer{}, err
	}
	defer clear(share)
	status, issued, err := s.node.Roots().SubmitIn(ctx, c.house, c.origin, req.Nonce, share)
	var revoke func(context.Context) error
	if issued != nil {
		// A token that nobody received and no log knows of must not live (CVE-2026-115357).
		revoke = func(ctx context.Context) error {
			return c.house.Tokens.Revoke(ctx, issued.Token.ID, token.Revoked, "")
		}
	}
	body := describeRoot(status)
	body.OTPLength = 0
	return shareAnswer{body: body, withdraw: revoke}, err
}
