package server

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"

	"jeton/internal/backend"
	"jeton/internal/seal"
)

// rekeyHandlers are sys/rekey and its twin for recovery keys: one of the two is of use, by the
// kind of seal. Contract: sys §15.
func (s *Server) rekeyHandlers() map[string]rawHandler {
	handlers := map[string]rawHandler{}
	for path, recovery := range map[string]bool{"sys/rekey/": false, "sys/rekey-recovery-key/": true} {
		at := func(act func(context.Context, *shareCall) (shareAnswer, error)) rawHandler {
			return s.byShares(s.ofSeal(recovery, act))
		}
		handlers[path+"init"] = verbs(map[string]rawHandler{
			http.MethodGet: at(s.rekeyStatus), http.MethodPut: at(s.startRekey), http.MethodDelete: at(s.cancelRekey),
		})
		handlers[path+"update"] = verbs(map[string]rawHandler{http.MethodPut: at(s.updateRekey)})
		handlers[path+"verify"] = verbs(map[string]rawHandler{
			http.MethodGet: at(s.verifyStatus), http.MethodPut: at(s.verifyRekey), http.MethodDelete: at(s.restartVerification),
		})
	}
	return handlers
}

// ofSeal refuses the paths of the shares that this seal does not have.
func (s *Server) ofSeal(recovery bool, act func(context.Context, *shareCall) (shareAnswer, error)) func(context.Context, *shareCall) (shareAnswer, error) {
	return func(ctx context.Context, c *shareCall) (shareAnswer, error) {
		status, err := s.node.Keeper().Status(ctx)
		switch {
		case err != nil:
			return shareAnswer{}, err
		case recovery && !status.Recovery:
			return shareAnswer{}, backend.Invalidf("recovery rekeying not supported")
		case !recovery && status.Recovery:
			return shareAnswer{}, backend.Invalidf("barrier rekeying not supported: the seal of type %s opens by itself; its recovery keys are changed at sys/rekey-recovery-key", status.Type)
		}
		return act(ctx, c)
	}
}

// rekeyReply is the state of an attempt.
type rekeyReply struct {
	Nonce                string   `json:"nonce"`
	Started              bool     `json:"started"`
	T                    int      `json:"t"`
	N                    int      `json:"n"`
	Progress             int      `json:"progress"`
	Required             int      `json:"required"`
	PGPFingerprints      []string `json:"pgp_fingerprints"`
	Backup               bool     `json:"backup"`
	VerificationRequired bool     `json:"verification_required"`
	VerificationNonce    string   `json:"verification_nonce,omitempty"`
}

func describeRekey(s seal.RekeyStatus) *rekeyReply {
	return &rekeyReply{Nonce: s.Nonce, Started: s.Started, T: s.Threshold, N: s.Shares, Progress: s.Progress, Required: s.Required,
		PGPFingerprints: s.PGPFingerprints, Backup: s.Backup, VerificationRequired: s.VerificationRequired, VerificationNonce: s.VerificationNonce}
}

// rekeyedReply carries the new shares.
type rekeyedReply struct {
	Nonce                string   `json:"nonce"`
	Complete             bool     `json:"complete"`
	Keys                 []string `json:"keys"`
	KeysBase64           []string `json:"keys_base64"`
	PGPFingerprints      []string `json:"pgp_fingerprints"`
	Backup               bool     `json:"backup"`
	VerificationRequired bool     `json:"verification_required"`
	VerificationNonce    string   `json:"verification_nonce,omitempty"`
}

func (s *Server) rekeyStatus(ctx context.Context, c *shareCall) (shareAnswer, error) {
	status, err := s.node.Rekey().Status(ctx, c.origin)
	return shareAnswer{body: describeRekey(status)}, err
}

func (s *Server) startRekey(ctx context.Context, c *shareCall) (shareAnswer, error) {
	var req struct {
		SecretShares        int      `json:"secret_shares"`
		SecretThreshold     int      `json:"secret_threshold"`
		PGPKeys             []string `json:"pgp_keys"`
		Backup              bool     `json:"backup"`
		RequireVerification bool     `json:"require_verification"`
	}
	if err := c.into(&req); err != nil {
		return shareAnswer{}, err
	}
	status, err := s.node.Rekey().Start(ctx, c.origin, seal.RekeyRequest{
		Shares:  seal.Config{Shares: req.SecretShares, Threshold: req.SecretThreshold},
		PGPKeys: req.PGPKeys, Backup: req.Backup, RequireVerification: req.RequireVerification,
	})
	return shareAnswer{body: describeRekey(status)}, err
}

func (s *Server) cancelRekey(ctx context.Context, c *shareCall) (shareAnswer, error) {
	var req nonceRequest
	if err := c.into(&req); err != nil {
		return shareAnswer{}, err
	}
	return shareAnswer{}, s.node.Rekey().Cancel(ctx, c.origin, req.Nonce)
}

// updateRekey takes a share. The answer that has the new shares is in the audit log before they
// come into force, and they come into force before it leaves.
func (s *Server) updateRekey(ctx context.Context, c *shareCall) (shareAnswer, error) {
	var req shareRequest
	if err := c.into(&req); err != nil {
		return shareAnswer{}, err
	}
	share, err := req.share()
	if err != nil {
		return shareAnswer{}, err
	}
	defer clear(share)
	rekey := s.node.Rekey()
	status, done, err := rekey.Submit(ctx, c.origin, req.Nonce, share)
	if err != nil || done == nil {
		return shareAnswer{body: describeRekey(status)}, bareRekeyError(err)
	}
	out := shareAnswer{
		confirm:  func(ctx context.Context) error { return rekey.Confirm(ctx, done.Nonce) },
		withdraw: func(ctx context.Context) error { return rekey.Withdraw(ctx, done.Nonce) },
	}
	if done.VerificationRequired {
		// Nothing is stored yet. Shares that nobody has must not wait to be verified.
		out.confirm = nil
		out.withdraw = func(ctx context.Context) error { return rekey.Cancel(ctx, c.origin, done.Nonce) }
	}
	body := &rekeyedReply{Nonce: done.Nonce, Complete: true, PGPFingerprints: done.PGPFingerprints, Backup: done.Backup,
		VerificationRequired: done.VerificationRequired, VerificationNonce: done.VerificationNonce}
	for _, share := range done.Shares {
		body.Keys = append(body.Keys, hex.EncodeToString(share))
		body.KeysBase64 = append(body.KeysBase64, base64.StdEncoding.EncodeToString(share))
		clear(share)
	}
	out.body = body
	return out, nil
}

// bareRekeyError keeps the doubt about what is stored in the text: operators have to know that
// they must not throw either set of shares away.
func bareRekeyError(err error) error {
	if errors.Is(err, seal.ErrOutcomeUnknown) {
		return backend.Errorf(backend.Failed, "the store failed and the outcome of the rekey is unknown: keep both sets of key shares").Because(err)
	}
	return err
}

// verifyReply is the state of a verification.
type verifyReply struct {
	Nonce    string `json:"nonce"`
	Started  bool   `json:"started"`
	T        int    `json:"t"`
	N        int    `json:"n"`
	Progress int    `json:"progress"`
}

func describeVerification(s seal.VerifyStatus) *verifyReply {
	return &verifyReply{Nonce: s.Nonce, Started: s.Started, T: s.Threshold, N: s.Shares, Progress: s.Progress}
}

func (s *Server) verifyStatus(ctx context.Context, c *shareCall) (shareAnswer, error) {
	status, err := s.node.Rekey().VerifyStatus(ctx, c.origin)
	return shareAnswer{body: describeVerification(status)}, err
}

func (s *Server) verifyRekey(ctx context.Context, c *shareCall) (shareAnswer, error) {
	var req shareRequest
	if err := c.into(&req); err != nil {
		return shareAnswer{}, err
	}
	share, err := req.share()
	if err != nil {
		return shareAnswer{}, err
	}
	defer clear(share)
	status, err := s.node.Rekey().VerifyShare(ctx, c.origin, req.Nonce, share)
	if err != nil {
		return shareAnswer{}, bareRekeyError(err)
	}
	if status.Complete {
		return shareAnswer{body: &struct {
			Nonce    string `json:"nonce"`
			Complete bool   `json:"complete"`
		}{status.Nonce, true}}, nil
	}
	return shareAnswer{body: describeVerification(status)}, nil
}

func (s *Server) restartVerification(ctx context.Context, c *shareCall) (shareAnswer, error) {
	status, err := s.node.Rekey().RestartVerification(ctx, c.origin)
	return shareAnswer{body: describeVerification(status)}, err
}
