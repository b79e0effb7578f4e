package daemon

import (
	"context"
	"fmt"
	"log/slog"

	"jeton/internal/config"
	"jeton/internal/seal"
	"jeton/internal/seal/transit"
)

// seals are those that the configuration names.
type seals struct {
	// current protects the root key, old did so before; nil is Shamir.
	current, old seal.Wrapper
	// loops run as long as the server does.
	loops []func(ctx context.Context)
}

func (d *daemon) seals() (*seals, error) {
	c := d.config
	out := new(seals)
	var err error
	if out.current, err = out.make(c.Seal, d.log); err != nil {
		return nil, fmt.Errorf("Error configuring seal %q: %w", c.Seal.Type, err)
	}
	if c.OldSeal == nil {
		return out, nil
	}
	if kindOf(*c.OldSeal) == kindOf(c.Seal) {
		return nil, fmt.Errorf("Error configuring seal %q: the store cannot be migrated between two seals of one type; go by way of another type (a new static key takes over with previous_key)", c.Seal.Type)
	}
	if out.old, err = out.make(*c.OldSeal, d.log); err != nil {
		return nil, fmt.Errorf("Error configuring seal %q: %w", c.OldSeal.Type, err)
	}
	return out, nil
}

// kindOf is the type of a seal, of which none is Shamir.
func kindOf(s config.Seal) string {
	if s.Type == "" {
		return config.SealShamir
	}
	return s.Type
}

// make makes the Wrapper of one seal; nil for Shamir.
func (s *seals) make(c config.Seal, log *slog.Logger) (seal.Wrapper, error) {
	switch c.Type {
	case "", config.SealShamir:
		return nil, nil
	case config.SealStatic:
		return staticSeal(c.Static)
	case config.SealTransit:
		t := c.Transit
		key, err := transit.New(transit.Settings{
			Address: t.Address, Token: t.Token.Reveal(), KeyName: t.KeyName, MountPath: t.MountPath, Namespace: t.Namespace, DisableRenewal: t.DisableRenewal,
			TLS: transit.TLS{CACert: t.TLS.CACert, ClientCert: t.TLS.ClientCert, ClientKey: t.TLS.ClientKey, ServerName: t.TLS.ServerName, SkipVerify: t.TLS.SkipVerify},
		}, log.With("room", "seal"))
		if err != nil {
			return nil, err
		}
		s.loops = append(s.loops, key.KeepToken)
		return seal.NewEnvelope(key), nil
	}
	return nil, fmt.Errorf("this server has no such seal; use shamir, static or transit")
}

func staticSeal(c config.StaticSeal) (seal.Wrapper, error) {
	key, err := config.StaticKey(c.CurrentKey)
	if err != nil {
		return nil, err
	}
	static, err := seal.NewStatic(c.CurrentKeyID, key)
	if err != nil || c.PreviousKeyID == "" {
		return static, err
	}
	old, err := config.StaticKey(c.PreviousKey)
	if err != nil {
		return nil, err
	}
	return static.Replacing(c.PreviousKeyID, old)
}
