package sys

import (
	"context"

	"jeton/internal/backend"
	"jeton/internal/seal"
)

// shareRoutes are what of rekeying and root generation is not raw. Contract: sys §15, §16.
func (s *System) shareRoutes() []backend.Route {
	backup := backend.Route{Summary: "Backups of key shares that were encrypted for their holders; this server keeps none.", Inject: true,
		Read: backend.Handle(s.readBackup), Delete: backend.Handle(s.deleteBackup)}
	barrier, recovery := backup, backup
	barrier.Pattern, recovery.Pattern = "rekey/backup", "rekey/recovery-key-backup"
	return []backend.Route{
		barrier, recovery,
		{Pattern: "decode-token", Summary: "Decode a generated root token with its one-time password.", Open: true, Write: backend.Handle(s.decodeToken)},
	}
}

// readBackup: shares are backed up only where they are encrypted with PGP, which is not offered.
func (s *System) readBackup(context.Context, *backend.Call, *backend.None) (*backend.None, error) {
	return nil, backend.Invalidf("no backed-up keys found")
}

func (s *System) deleteBackup(context.Context, *backend.Call, *backend.None) (*backend.None, error) {
	return nil, nil
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
