package config

import (
	"fmt"
	"log/slog"
)

// redacted is what a secret shows of itself, whoever asks and however.
const redacted = "[redacted]"

// Secret is a setting that must never be printed. Only Reveal gives it away, which is easy
// to search for.
type Secret struct{ text string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal is the secret itself.
func (s Secret) Reveal() string { return s.text }

// Empty tells whether there is nothing to hide.
func (s Secret) Empty() bool { return s.text == "" }

// Format serves every verb of fmt, %#v and %x among them.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText serves JSON and everything else that encodes.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue serves log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

var (
	_ fmt.Formatter  = Secret{}
	_ slog.LogValuer = Secret{}
)
