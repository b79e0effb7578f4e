package identity

import (
	"context"
	"encoding/json"
	"time"

	"jeton/internal/backend"
	"jeton/internal/idtoken"
)

// The paths below identity/oidc/: signed identity tokens. Contract: identity §6.
func (e *Engine) signedRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "oidc/config", Summary: "The issuer of identity tokens.",
			Read: backend.Handle(e.readIssuer), Write: backend.Handle(e.writeIssuer)},
		{Pattern: "oidc/key", Summary: "List the keys that sign identity tokens.", List: backend.Handle(e.listSigningKeys)},
		{Pattern: "oidc/key/{name}", Summary: "A key that signs identity tokens.",
			Read: backend.Handle(e.readSigningKey), Write: backend.Handle(e.writeSigningKey), Delete: backend.Handle(e.deleteSigningKey)},
		{Pattern: "oidc/key/{name}/rotate", Summary: "Have the next of the key's pairs sign from now on.",
			Write: backend.Handle(e.rotateSigningKey)},
		{Pattern: "oidc/role", Summary: "List the roles of identity tokens.", List: backend.Handle(e.listSigningRoles)},
		{Pattern: "oidc/role/{name}", Summary: "What identity tokens are like that are made through this role.",
			Read: backend.Handle(e.readSigningRole), Write: backend.Handle(e.writeSigningRole), Delete: backend.Handle(e.deleteSigningRole)},
		{Pattern: "oidc/token/{name}", Summary: "Make an identity token for the entity behind the caller's token.",
			Read: backend.Handle(e.signToken)},
		{Pattern: "oidc/introspect", Summary: "Ask whether an identity token holds.",
			Detail: "It holds if a key of this server signed it, it has not expired, and its entity is there and not disabled.",
			Write:  backend.Handle(e.introspect)},
		{Pattern: "oidc/.well-known/openid-configuration", Open: true, Summary: "What verifiers of identity tokens have to know.",
			Read: backend.Handle(e.discovery)},
		{Pattern: "oidc/.well-known/keys", Open: true, Summary: "The public keys that prove identity tokens.",
			Read: backend.Handle(e.publicKeys)},
	}
}

type issuerRequest struct {
	Issuer string `json:"issuer" doc:"Scheme, host and port at which verifiers reach this server; empty for its own api_addr."`
}

type issuerData struct {
	Issuer string `json:"issuer"`
}

func (e *Engine) readIssuer(ctx context.Context, _ *backend.Call, _ *backend.None) (*issuerData, error) {
	issuer, err := e.signed.Issuer(ctx)
	return &issuerData{issuer}, err
}

func (e *Engine) writeIssuer(ctx context.Context, c *backend.Call, req *issuerRequest) (*backend.Response, error) {
	if err := e.signed.SetIssuer(ctx, req.Issuer); err != nil {
		return nil, err
	}
	c.Warn("Identity tokens name this issuer from now on; those that name another are not valid here any more.")
	return &backend.Response{}, nil
}

type signingKeyRequest struct {
	Name             string             `json:"name" doc:"The name of the key."`
	Algorithm        *string            `json:"algorithm" doc:"RS256 (the default), RS384, RS512, ES256, ES384, ES512 or EdDSA."`
	RotationPeriod   *backend.Seconds   `json:"rotation_period" doc:"How long a pair signs, at least a minute; 24 hours by default."`
	VerificationTTL  *backend.Seconds   `json:"verification_ttl" doc:"How long a pair proves what it signed once it signs no more; 24 hours by default."`
	AllowedClientIDs *backend.CommaList `json:"allowed_client_ids" doc:"The client ids of the roles that may use the key; * for all."`
}

func (e *Engine) writeSigningKey(ctx context.Context, _ *backend.Call, req *signingKeyRequest) (*backend.None, error) {
	return nil, e.signed.WriteKey(ctx, req.Name, idtoken.KeyChange{
		Algorithm: req.Algorithm, Rotation: lifeOf(req.RotationPeriod), Verification: lifeOf(req.VerificationTTL), Clients: listOf(req.AllowedClientIDs),
	})
}

// lifeOf is a request's duration as the room takes it; nil when it was not sent.
func lifeOf(s *backend.Seconds) *time.Duration {
	if s == nil {
		return nil
	}
	d := s.Duration()
	return &d
}

type signingKeyData struct {
	Algorithm        string          `json:"algorithm"`
	AllowedClientIDs []string        `json:"allowed_client_ids"`
	RotationPeriod   backend.Seconds `json:"rotation_period"`
	VerificationTTL  backend.Seconds `json:"verification_ttl"`
}

func (e *Engine) readSigningKey(ctx context.Context, _ *backend.Call, req *nameRequest) (*signingKeyData, error) {
	k, err := e.signed.Key(ctx, req.Name)
	if k == nil || err != nil {
		return nil, err
	}
	return &signingKeyData{Algorithm: k.Algorithm, AllowedClientIDs: never(k.Clients),
		RotationPeriod: backend.Seconds(k.Rotation), VerificationTTL: backend.Seconds(k.Verification)}, nil
}

func (e *Engine) deleteSigningKey(ctx context.Context, _ *backend.Call, req *nameRequest) (*backend.None, error) {
	return nil, e.signed.DeleteKey(ctx, req.Name)
}

func (e *Engine) listSigningKeys(ctx context.Context, _ *backend.Call, req *pageRequest) (*backend.Keys, error) {
	names, err := e.signed.Keys(ctx)
	return backend.Listing(req.page(names)), err
}

type rotateRequest struct {
	Name            string           `json:"name" doc:"The name of the key."`
	VerificationTTL *backend.Seconds `json:"verification_ttl" doc:"How long the pair that signed until now still proves what it signed; the key's own by default."`
}

func (e *Engine) rotateSigningKey(ctx context.Context, _ *backend.Call, req *rotateRequest) (*backend.None, error) {
	return nil, e.signed.RotateKey(ctx, req.Name, lifeOf(req.VerificationTTL))
}

type signingRoleRequest struct {
	Name     string           `json:"name" doc:"The name of the role."`
	Key      *string          `json:"key" doc:"The key that signs."`
	Template *string          `json:"template" doc:"A JSON object, plain or in base64, whose members are claims; {{identity.entity.name}} and the like stand for values."`
	ClientID *string          `json:"client_id" doc:"Who the tokens are for; made up where there is none."`
	TTL      *backend.Seconds `json:"ttl" doc:"Life of the tokens; 24 hours by default."`
}

func (e *Engine) writeSigningRole(ctx context.Context, _ *backend.Call, req *signingRoleRequest) (*backend.None, error) {
	return nil, e.signed.WriteRole(ctx, req.Name, idtoken.RoleChange{Key: req.Key, Client: req.ClientID, Template: req.Template, TTL: lifeOf(req.TTL)})
}

type signingRoleData struct {
	ClientID string          `json:"client_id"`
	Key      string          `json:"key"`
	Template string          `json:"template"`
	TTL      backend.Seconds `json:"ttl"`
}

func (e *Engine) readSigningRole(ctx context.Context, _ *backend.Call, req *nameRequest) (*signingRoleData, error) {
	r, err := e.signed.Role(ctx, req.Name)
	if r == nil || err != nil {
		return nil, err
	}
	return &signingRoleData{ClientID: r.Client, Key: r.Key, Template: r.Template, TTL: backend.Seconds(r.TTL)}, nil
}

func (e *Engine) deleteSigningRole(ctx context.Context, _ *backend.Call, req *nameRequest) (*backend.None, error) {
	return nil, e.signed.DeleteRole(ctx, req.Name)
}

func (e *Engine) listSigningRoles(ctx context.Context, _ *backend.Call, req *pageRequest) (*backend.Keys, error) {
	names, err := e.signed.Roles(ctx)
	return backend.Listing(req.page(names)), err
}

type signedData struct {
	ClientID string          `json:"client_id"`
	Token    string          `json:"token"`
	TTL      backend.Seconds `json:"ttl"`
}

func (e *Engine) signToken(ctx context.Context, c *backend.Call, req *nameRequest) (*signedData, error) {
	signed, err := e.signed.Sign(ctx, req.Name, c.Caller.EntityID)
	if err != nil {
		return nil, err
	}
	return &signedData{ClientID: signed.Client, Token: signed.Token, TTL: backend.Seconds(signed.TTL)}, nil
}

type introspectRequest struct {
	Token    string `json:"token" doc:"The identity token."`
	ClientID string `json:"client_id" doc:"Who it must be for, if anybody in particular."`
}

type introspected struct {
	Active bool   `json:"active"`
	Error  string `json:"error,omitempty"`
}

// introspect answers 200 whatever the token is worth, without an envelope.
func (e *Engine) introspect(ctx context.Context, _ *backend.Call, req *introspectRequest) (*backend.Response, error) {
	reason, err := e.signed.Introspect(ctx, req.Token, req.ClientID)
	if err != nil {
		return nil, err
	}
	return bare(&introspected{Active: reason == "", Error: reason})
}

func (e *Engine) discovery(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Response, error) {
	d, err := e.signed.Discovery(ctx)
	if err != nil {
		return nil, err
	}
	return bare(d)
}

func (e *Engine) publicKeys(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Response, error) {
	set, err := e.signed.Published(ctx)
	if err != nil {
		return nil, err
	}
	return bare(set)
}

// bare is an answer without an envelope.
func bare(v any) (*backend.Response, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &backend.Response{Raw: &backend.Raw{ContentType: "application/json", Body: body}}, nil
}
