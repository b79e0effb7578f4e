package sys

import (
	"context"
	"encoding/base64"
	"encoding/hex"

	"jeton/internal/backend"
	"jeton/internal/seal"
)

// shareRoutes are what of rekeying and root generation is not raw. Contract: sys §15, §16.
func (s *System) shareRoutes() []backend.Route {
	backup := func(pattern string, recovery bool) backend.Route {
		return backend.Route{Pattern: pattern, Summary: "The shares of the last rekey, as they were encrypted for their holders.", Inject: true,
			Read: backend.Handle(s.readBackup(recovery)), Delete: backend.Handle(s.deleteBackup(recovery))}
	}
	return []backend.Route{
		backup("rekey/backup", false), backup("rekey/recovery-key-backup", true),
		{Pattern: "decode-token", Summary: "Decode a generated root token with its one-time password.", Open: true, Write: backend.Handle(s.decodeToken)},
	}
}

type backupReply struct {
	Nonce string `json:"nonce"`
	// By the fingerprint of the holder's key, who may hold several shares.
	Keys       map[string][]string `json:"keys"`
	KeysBase64 map[string][]string `json:"keys_base64"`
}

func (s *System) readBackup(recovery bool) func(context.Context, *backend.Call, *backend.None) (*backupReply, error) {
	return func(ctx context.Context, _ *backend.Call, _ *backend.None) (*backupReply, error) {
		kept, err := s.Rekey.Backup(ctx, recovery)
		if err != nil {
			return nil, err
		}
		if kept == nil {
			return nil, backend.Invalidf("no backed-up keys found")
		}
		reply := &backupReply{Nonce: kept.Nonce, Keys: map[string][]string{}, KeysBase64: map[string][]string{}}
		for holder, messages := range kept.Envelopes {
			for _, m := range messages {
				reply.Keys[holder] = append(reply.Keys[holder], hex.EncodeToString(m))
				reply.KeysBase64[holder] = append(reply.KeysBase64[holder], base64.StdEncoding.EncodeToString(m))
			}
		}
		return reply, nil
	}
}

func (s *System) deleteBackup(recovery bool) func(context.Context, *backend.Call, *backend.None) (*backend.None, error) {
	return func(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.None, error) {
		return nil, s.Rekey.DeleteBackup(ctx, recovery)
	}
}

type decodeRequest struct {
	EncodedToken string `json:"encoded_token" doc:"The token as generate-root returned it."`
	OTP          string `json:"otp" doc:"The one-time password of the attempt."`
}

type decodeReply struct {
	Token string `json:"token"`
}

// decodeToken needs no caller: who has both parts has the token.
func (s *System) decodeToken(_ context.Context, _ *backend.Call, req *decodeRequest) (*decodeReply, error) {
	switch {
	case req.EncodedToken == "":
		return nil, backend.Invalidf("missing encoded_token")
	case req.OTP == "":
		return nil, backend.Invalidf("missing otp")
	}
	token, err := seal.DecodeToken(req.EncodedToken, req.OTP)
	if err != nil {
		return nil, err
	}
	return &decodeReply{Token: token}, nil
}
