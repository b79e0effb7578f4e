package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Seal types.
const (
	SealShamir  = "shamir"
	SealStatic  = "static"
	SealTransit = "transit"
)

// StaticKeySize is the size of a static seal's key in bytes (AES-256).
const StaticKeySize = 32

// Seal is what protects the root key (contract: config §5).
type Seal struct {
	// Type is SealShamir, SealStatic or SealTransit.
	Type     string
	Name     string
	Priority int64
	// Static is set for SealStatic, Transit for SealTransit.
	Static  StaticSeal
	Transit TransitSeal
	// Source is where the stanza stands, for errors of those who use the seal.
	Source string
}

// StaticSeal is a key that is there at every start.
type StaticSeal struct {
	// CurrentKey encrypts; PreviousKey, if there is one, only decrypts.
	CurrentKeyID, PreviousKeyID string
	CurrentKey, PreviousKey     Secret
}

// TransitSeal is another server's transit key.
type TransitSeal struct {
	Address            string
	Token              Secret
	KeyName, MountPath string
	Namespace          string
	DisableRenewal     bool
	TLS                TransitTLS
}

// TransitTLS is how the other server is known.
type TransitTLS struct {
	CACert, ClientCert, ClientKey, ServerName string
	SkipVerify                                bool
}

var errKeySize = errors.New("must be a key of 32 bytes, raw, in hexadecimal or in base64")

// StaticKey decodes a key of a static seal: 32 bytes raw, in hexadecimal or in base64.
func StaticKey(s Secret) ([]byte, error) {
	text := s.Reveal()
	if len(text) == StaticKeySize {
		return []byte(text), nil
	}
	text = strings.TrimSpace(text)
	if key, err := hex.DecodeString(text); err == nil && len(key) == StaticKeySize {
		return key, nil
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := encoding.DecodeString(text); err == nil && len(key) == StaticKeySize {
			return key, nil
		}
	}
	return nil, errKeySize
}

type sealStanza struct {
	seal     Seal
	disabled bool
	pos      position
}

// parseSeals reads one seal key; which of two is in use is judged when all files are read.
func parseSeals(s scope, _ *Config, e entry) error {
	found, err := e.val.blocks(1)
	if err != nil {
		return fmt.Errorf("error parsing 'seal': %w", err)
	}
	for _, b := range found {
		if len(b.labels) == 0 {
			return fmt.Errorf("error parsing 'seal': a seal type must be specified")
		}
		got := sealStanza{seal: Seal{Type: strings.ToLower(b.labels[0]), Source: b.pos.String()}, pos: b.pos}
		g, ok := sealGrammar(got.seal.Type)
		if !ok {
			return fmt.Errorf("Error configuring seal %q: this type is not supported (supported: shamir, static, transit)", b.labels[0])
		}
		s := scope{d: s.d, path: "seal." + got.seal.Type, preface: fmt.Sprintf("Error configuring seal %q: ", got.seal.Type)}
		decode(s, &got, b.body, g)
		s.d.seals = append(s.d.seals, got)
	}
	return nil
}

func sealGrammar(kind string) (grammar[sealStanza], bool) {
	g := grammar[sealStanza]{
		keys: map[string]setter[sealStanza]{
			"disabled": toggle(func(s *sealStanza) *bool { return &s.disabled }),
			"name":     text(func(s *sealStanza) *string { return &s.seal.Name }),
			"priority": number(func(s *sealStanza) *int64 { return &s.seal.Priority }),
		},
		ignored: map[string]string{
			"purpose":             "a seal protects the root key and nothing else",
			"recover_corrupt_key": "keys are authenticated when they are read",
		},
	}
	switch kind {
	case SealShamir:
	case SealStatic:
		g.keys["current_key_id"] = text(func(s *sealStanza) *string { return &s.seal.Static.CurrentKeyID })
		g.keys["current_key"] = hidden(func(s *sealStanza) *Secret { return &s.seal.Static.CurrentKey })
		g.keys["previous_key_id"] = text(func(s *sealStanza) *string { return &s.seal.Static.PreviousKeyID })
		g.keys["previous_key"] = hidden(func(s *sealStanza) *Secret { return &s.seal.Static.PreviousKey })
	case SealTransit:
		g.keys["address"] = text(func(s *sealStanza) *string { return &s.seal.Transit.Address })
		g.keys["token"] = hidden(func(s *sealStanza) *Secret { return &s.seal.Transit.Token })
		g.keys["key_name"] = text(func(s *sealStanza) *string { return &s.seal.Transit.KeyName })
		g.keys["mount_path"] = text(func(s *sealStanza) *string { return &s.seal.Transit.MountPath })
		g.keys["namespace"] = text(func(s *sealStanza) *string { return &s.seal.Transit.Namespace })
		g.keys["disable_renewal"] = toggle(func(s *sealStanza) *bool { return &s.seal.Transit.DisableRenewal })
		g.keys["tls_ca_cert"] = text(func(s *sealStanza) *string { return &s.seal.Transit.TLS.CACert })
		g.keys["tls_client_cert"] = text(func(s *sealStanza) *string { return &s.seal.Transit.TLS.ClientCert })
		g.keys["tls_client_key"] = text(func(s *sealStanza) *string { return &s.seal.Transit.TLS.ClientKey })
		g.keys["tls_server_name"] = text(func(s *sealStanza) *string { return &s.seal.Transit.TLS.ServerName })
		g.keys["tls_skip_verify"] = toggle(func(s *sealStanza) *bool { return &s.seal.Transit.TLS.SkipVerify })
		g.ignored["key_id_prefix"] = "key versions are told apart by transit itself"
	default:
		return g, false
	}
	return g, true
}

// finishSeals decides which seal is in use and which, if any, is migrated from.
func (d *decoder) finishSeals() {
	s := scope{d: d, path: "seal"}
	var enabled, disabled []sealStanza
	for _, one := range d.seals {
		if one.disabled {
			disabled = append(disabled, one)
		} else {
			enabled = append(enabled, one)
		}
	}
	last := func() position { return d.seals[len(d.seals)-1].pos }
	switch {
	case len(d.seals) > 2:
		s.fail(last(), "", fmt.Sprintf("seals: %d seals provided; two at most, one of them disabled", len(d.seals)))
		return
	case len(enabled) == 2:
		s.fail(last(), "disabled", "seals: two seals provided but neither is disabled")
		return
	case len(disabled) == 2:
		s.fail(last(), "disabled", "seals: two seals provided but both are disabled")
		return
	}
	var pos position
	if len(enabled) == 1 {
		d.cfg.Seal, pos = enabled[0].seal, enabled[0].pos
	}
	if len(disabled) == 1 {
		d.cfg.OldSeal = &disabled[0].seal
		d.checkSeal(d.cfg.OldSeal, disabled[0].pos)
	}
	d.env.override(&d.cfg.Seal.Type, "SEAL_TYPE")
	d.checkSeal(&d.cfg.Seal, pos)
}

// checkSeal fills in what the environment says and judges the seal as a whole.
func (d *decoder) checkSeal(seal *Seal, pos position) {
	s := scope{d: d, path: "seal." + seal.Type, preface: fmt.Sprintf("Error configuring seal %q: ", seal.Type)}
	switch seal.Type {
	case "", SealShamir:
	case SealStatic:
		if seal.Static.CurrentKeyID == "" {
			s.fail(pos, "current_key_id", "'current_key_id' must be set")
		}
		if _, err := StaticKey(seal.Static.CurrentKey); err != nil && !s.blamed("current_key") {
			s.fail(pos, "current_key", "'current_key' "+err.Error())
		}
		if seal.Static.PreviousKey.Empty() && seal.Static.PreviousKeyID == "" {
			return
		}
		if _, err := StaticKey(seal.Static.PreviousKey); err != nil && !s.blamed("previous_key") {
			s.fail(pos, "previous_key", "'previous_key' "+err.Error())
		}
		if id := seal.Static.PreviousKeyID; id == "" || id == seal.Static.CurrentKeyID {
			s.fail(pos, "previous_key_id", "'previous_key_id' must be set and differ from current_key_id")
		}
	case SealTransit:
		d.env.transit(&seal.Transit)
		for _, required := range []struct {
			key    string
			absent bool
		}{
			{"address", seal.Transit.Address == ""},
			{"key_name", seal.Transit.KeyName == ""},
			{"mount_path", seal.Transit.MountPath == ""},
		} {
			if required.absent {
				s.fail(pos, required.key, fmt.Sprintf("'%s' must be set", required.key))
			}
		}
	default:
		s.fail(pos, "", "this type is not supported (supported: shamir, static, transit)")
	}
}
