package edge

import (
	"context"
	"slices"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// CORS says which origins a browser may call from. Contract: sys §11.
type CORS struct {
	Enabled bool `cbor:"1,keyasint"`
	// Origins are exact ("https://example.org"), or the single "*".
	Origins []string `cbor:"2,keyasint"`
	// Headers are those that a request may carry.
	Headers []string `cbor:"3,keyasint"`
}

// StandardHeaders may always be sent across origins. Contract: sys §11.
func StandardHeaders() []string {
	return []string{
		"Content-Type", "X-Requested-With", "X-Vault-AWS-IAM-Server-ID", "X-Vault-MFA", "X-Vault-No-Request-Forwarding",
		"X-Vault-Wrap-Format", "X-Vault-Wrap-TTL", "X-Vault-Policy-Override", "Authorization", "X-Vault-Token", "X-Vault-Namespace",
	}
}

// NewCORS judges origins and adds the standard headers to the others.
func NewCORS(origins, headers []string) (CORS, error) {
	switch {
	case len(origins) == 0:
		return CORS{}, backend.Invalidf("at least one origin or the wildcard must be provided")
	case len(origins) > 1 && slices.Contains(origins, "*"):
		return CORS{}, backend.Invalidf("to allow all origins the '*' must be the only value for allowed_origins")
	}
	c := CORS{Enabled: true, Origins: origins, Headers: StandardHeaders()}
	for _, h := range headers {
		if !slices.ContainsFunc(c.Headers, func(known string) bool { return strings.EqualFold(known, h) }) {
			c.Headers = append(c.Headers, h)
		}
	}
	return c, nil
}

// Allows says whether a browser may call from origin.
func (c *CORS) Allows(origin string) bool {
	return slices.ContainsFunc(c.Origins, func(o string) bool { return o == "*" || strings.EqualFold(o, origin) })
}

// CORS is what holds.
func (s *Settings) CORS() CORS { return s.current.Load().cors }

// SetCORS replaces it; the zero CORS switches it off.
func (s *Settings) SetCORS(ctx context.Context, c CORS) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	next := *s.current.Load()
	next.cors = c
	return s.change(ctx, &next, func(tx store.Tx) error { return record.Put(tx, corsKey, &c) })
}
