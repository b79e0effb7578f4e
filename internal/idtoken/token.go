package idtoken

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"jeton/internal/backend"
	"jeton/internal/policy"
	"jeton/internal/store"
)

// Signed is a new identity token.
type Signed struct {
	Token, Client string
	TTL           time.Duration
}

// namespace is the one that there is, as a claim.
const namespace = "root"

// Sign makes a token of a role that says who the entity is. Contract: identity §6.
func (s *Store) Sign(ctx context.Context, roleName, entityID string) (*Signed, error) {
	role, err := s.Role(ctx, roleName)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, backend.Invalidf("role %q not found", roleName)
	}
	if entityID == "" {
		return nil, backend.Invalidf("no entity associated with the request's token")
	}
	key, err := s.signing(ctx, role.Key)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, backend.Invalidf("key %q not found", role.Key)
	}
	if !key.Settings.allows(role.Client) {
		return nil, backend.Invalidf("the key %q does not list the client ID of the role %q as an allowed client ID", role.Key, roleName)
	}
	who, _, err := s.people.Subject(ctx, entityID)
	if err != nil {
		return nil, err
	}
	claims, err := s.claims(ctx, role, who)
	if err != nil {
		return nil, err
	}
	text, err := key.Signing.sign(claims)
	if err != nil {
		return nil, err
	}
	return &Signed{Token: text, Client: role.Client, TTL: role.TTL}, nil
}

// claims are what a token of the role says of an entity.
func (s *Store) claims(ctx context.Context, role *Role, who *policy.Subject) ([]byte, error) {
	now := s.clock.Now()
	claims := map[string]json.RawMessage{}
	if role.Template != "" {
		var err error
		if claims, err = fill(role.Template, who, now); err != nil {
			return nil, err
		}
		// A variable in a claim's place makes the entity choose its name.
		for _, reserved := range reservedClaims {
			delete(claims, reserved)
		}
	}
	var issuer string
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		issuer, err = s.claimIssuer(r)
		return err
	})
	if err != nil {
		return nil, wrapped("read the issuer", err)
	}
	for name, value := range map[string]any{
		"iss": issuer, "sub": who.ID, "aud": role.Client, "namespace": namespace,
		"iat": now.Unix(), "exp": now.Add(role.TTL).Unix(),
	} {
		claims[name] = quoted(value)
	}
	return json.Marshal(claims)
}

// sign makes the compact form of a token.
func (p *pair) sign(claims []byte) (string, error) {
	private, err := p.signer()
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.Algorithm), Key: jose.JSONWebKey{Key: private, KeyID: p.ID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("idtoken: sign with %s: %w", p.ID, err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("idtoken: sign with %s: %w", p.ID, err)
	}
	return signed.CompactSerialize()
}

// Introspect says why a token does not hold; "" for one that does. client, unless it is empty,
// must be who the token is for. The reasons repeat nothing of what was sent.
func (s *Store) Introspect(ctx context.Context, text, client string) (reason string, err error) {
	parsed, err := jwt.ParseSigned(text, signatures())
	if err != nil || len(parsed.Headers) != 1 {
		return "the token is not a signed JSON Web Token", nil
	}
	id := parsed.Headers[0].KeyID
	var prover *jose.JSONWebKey
	var of *keyRecord
	var issuer string
	err = s.area.View(ctx, func(r store.Reader) (err error) {
		prover, of = nil, nil
		if issuer, err = s.claimIssuer(r); err != nil {
			return err
		}
		return s.eachPublic(r, func(k *keyRecord, key jose.JSONWebKey) {
			if key.KeyID == id {
				prover, of = &key, k
			}
		})
	})
	if err != nil {
		return "", wrapped("look for a key", err)
	}
	if prover == nil || parsed.Headers[0].Algorithm != prover.Algorithm {
		return "no key of this server has signed the token", nil
	}
	var claims jwt.Claims
	if err := parsed.Claims(prover.Key, &claims); err != nil {
		return "the token's signature is not valid", nil
	}
	return s.judge(ctx, claims, of, issuer, client)
}

// judge is Introspect for a token whose signature holds.
func (s *Store) judge(ctx context.Context, claims jwt.Claims, key *keyRecord, issuer, client string) (string, error) {
	now := s.clock.Now()
	switch {
	case claims.Issuer != issuer:
		return "the token has another issuer", nil
	case claims.Expiry == nil || !now.Before(claims.Expiry.Time()):
		return "the token has expired", nil
	case client != "" && !slices.Contains(claims.Audience, client):
		return "the token is not for this client", nil
	case len(claims.Audience) != 1 || !key.Settings.allows(claims.Audience[0]):
		return "the token's key is not for this client any more", nil
	}
	switch _, _, err := s.people.Subject(ctx, claims.Subject); {
	case claims.Subject == "" || backend.KindOf(err) == backend.Denied:
		return "the token's entity is gone or disabled", nil
	case err != nil:
		return "", err
	}
	return "", nil
}

func signatures() []jose.SignatureAlgorithm {
	var all []jose.SignatureAlgorithm
	for _, name := range Algorithms() {
		all = append(all, jose.SignatureAlgorithm(name))
	}
	return all
}

// Discovery is what the issuer says of itself. OpenID Connect Discovery 1.0, section 3.
type Discovery struct {
	Issuer     string   `json:"issuer"`
	KeysURI    string   `json:"jwks_uri"`
	Responses  []string `json:"response_types_supported"`
	Subjects   []string `json:"subject_types_supported"`
	Signatures []string `json:"id_token_signing_alg_values_supported"`
}

// Discovery is the issuer's document.
func (s *Store) Discovery(ctx context.Context) (*Discovery, error) {
	d := &Discovery{Responses: []string{"id_token"}, Subjects: []string{"public"}, Signatures: Algorithms()}
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		d.Issuer, err = s.claimIssuer(r)
		return err
	})
	d.KeysURI = d.Issuer + "/.well-known/keys"
	return d, wrapped("read the issuer", err)
}
