package jwt

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// mostName is the most bytes of a role's name.
const mostName = 4096

type roleNamed struct {
	Name string `json:"name" doc:"Name of the role."`
}

// roleRequest writes a role. A nil field was not sent and leaves what is stored as it is.
// Contract: auth-methods §5.2.
type roleRequest struct {
	roleNamed
	auth.TokenParams
	returningParams
	RoleType         *string                `json:"role_type" doc:"oidc (the default of a new role) or jwt."`
	UserClaim        *string                `json:"user_claim" doc:"Claim that names who logs in."`
	UserClaimPointer *bool                  `json:"user_claim_json_pointer" doc:"Read user_claim as a JSON pointer."`
	GroupsClaim      *string                `json:"groups_claim" doc:"Claim that lists the groups."`
	BoundAudiences   *backend.CommaList     `json:"bound_audiences" doc:"Audiences, one of which a token must name."`
	BoundSubject     *string                `json:"bound_subject" doc:"Subject that a token must have."`
	BoundClaims      any                    `json:"bound_claims" doc:"Claims and the value, or the list of values, that they must have."`
	BoundClaimsType  *string                `json:"bound_claims_type" doc:"string (the default), or glob: values are patterns with *."`
	ClaimMappings    any                    `json:"claim_mappings" doc:"Claims and the metadata keys that they are copied to."`
	Scopes           *backend.CommaList     `json:"oidc_scopes" doc:"Scopes to ask for besides openid."`
	RedirectURIs     *backend.CommaList     `json:"allowed_redirect_uris" doc:"Where logins in the browser may return to."`
	ExpirationLeeway *backend.SignedSeconds `json:"expiration_leeway" doc:"How long past its end a token is taken; 0 is 150 seconds, below 0 none."`
	NotBeforeLeeway  *backend.SignedSeconds `json:"not_before_leeway" doc:"How long before its start a token is taken; 0 is 150 seconds, below 0 none."`
	ClockSkewLeeway  *backend.SignedSeconds `json:"clock_skew_leeway" doc:"How far the provider's clock may be off; 0 is 60 seconds, below 0 none."`
	MaxAge           *backend.Seconds       `json:"max_age" doc:"How long ago a person may have signed in at the provider; 0 is without bound."`
	Verbose          *bool                  `json:"verbose_oidc_logging" doc:"Log the names of the claims that came, and why a login failed."`
	Policies         *backend.CommaList     `json:"policies" doc:"Old name of token_policies."`
	NumUses          *int                   `json:"num_uses" doc:"Old name of token_num_uses."`
	TTL              *backend.SignedSeconds `json:"ttl" doc:"Old name of token_ttl."`
	MaxTTL           *backend.SignedSeconds `json:"max_ttl" doc:"Old name of token_max_ttl."`
	Period           *backend.SignedSeconds `json:"period" doc:"Old name of token_period."`
	BoundCIDRs       *backend.CommaList     `json:"bound_cidrs" doc:"Old name of token_bound_cidrs."`
}

func (m *Method) roleExists(ctx context.Context, c *backend.Call) (bool, error) {
	r, err := m.role(ctx, c.Capture("name"))
	return r != nil, err
}

// writeRole creates or updates. An update keeps whatever it does not name, the type of the role
// and that of its bound claims included. Contract: auth-methods §5.2 [!].
func (m *Method) writeRole(ctx context.Context, c *backend.Call, req *roleRequest) (*backend.None, error) {
	if len(req.Name) > mostName {
		return nil, backend.Invalidf("the role's name is longer than %d bytes", mostName)
	}
	uid := make([]byte, uidSize)
	rand.Read(uid)
	var written *roleRecord
	err := m.area.Update(ctx, func(tx store.Tx) error {
		old, err := record.Get[roleRecord](tx, roleKey(req.Name))
		if err != nil {
			return err
		}
		switch {
		case old == nil && c.Operation != backend.Create:
			return backend.Errorf(backend.NotFound, "role %q does not exist", req.Name)
		case old != nil && c.Operation == backend.Create:
			// The caller was allowed to create, not to change what another just made.
			return backend.Errorf(backend.Conflict, "role %q was created by another request", req.Name)
		case old == nil:
			old = &roleRecord{UID: uid, Type: typeOIDC}
		}
		if err := req.apply(old); err != nil {
			return err
		}
		if err := old.judge(c.Mount.MaxTTL); err != nil {
			return err
		}
		written = old
		return record.Put(tx, roleKey(req.Name), old)
	})
	if err != nil {
		return nil, err
	}
	if written.MaxTTL > c.Mount.MaxTTL {
		c.Warn("token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be truncated")
	}
	written.warnOfRedirects(c)
	return nil, nil
}

// apply merges the request into r.
func (req *roleRequest) apply(r *roleRecord) error {
	if req.RoleType != nil && *req.RoleType != "" {
		switch *req.RoleType {
		case "oidc":
			r.Type = typeOIDC
		case "jwt":
			r.Type = typeJWT
		default:
			return backend.Invalidf("invalid 'role_type': %s", *req.RoleType)
		}
	}
	if req.BoundClaimsType != nil && *req.BoundClaimsType != "" {
		if *req.BoundClaimsType != "string" && *req.BoundClaimsType != "glob" {
			return backend.Invalidf("invalid 'bound_claims_type': %s", *req.BoundClaimsType)
		}
		r.Bounds.Glob = *req.BoundClaimsType == "glob"
	}
	set(&r.UserClaim, req.UserClaim)
	set(&r.UserClaimPointer, req.UserClaimPointer)
	set(&r.GroupsClaim, req.GroupsClaim)
	set(&r.Bounds.Subject, req.BoundSubject)
	set(&r.Verbose, req.Verbose)
	setList(&r.Bounds.Audiences, req.BoundAudiences)
	setList(&r.Scopes, req.Scopes)
	setList(&r.RedirectURIs, req.RedirectURIs)
	setSeconds(&r.Leeways.Expiration, req.ExpirationLeeway)
	setSeconds(&r.Leeways.NotBefore, req.NotBeforeLeeway)
	setSeconds(&r.Leeways.ClockSkew, req.ClockSkewLeeway)
	setSeconds(&r.MaxAge, req.MaxAge)
	if err := req.applyClaims(r); err != nil {
		return err
	}
	if err := req.returningParams.apply(&r.Returning); err != nil {
		return err
	}
	return r.Apply(req.TokenParams, auth.Synonyms{
		Policies: req.Policies, TTL: req.TTL, MaxTTL: req.MaxTTL, Period: req.Period, NumUses: req.NumUses, BoundCIDRs: req.BoundCIDRs,
	})
}

func set[T any](field, sent *T) {
	if sent != nil {
		*field = *sent
	}
}

func setList(field *[]string, sent *backend.CommaList) {
	if sent != nil {
		*field = slices.Clone([]string(*sent))
	}
}

// setSeconds drops fractions: they could not be read back.
func setSeconds[T ~int64](field *time.Duration, sent *T) {
	if sent != nil {
		*field = time.Duration(*sent).Truncate(time.Second)
	}
}

func (req *roleRequest) applyClaims(r *roleRecord) error {
	if req.BoundClaims != nil {
		bound, err := asObject(req.BoundClaims)
		if err != nil {
			return backend.Invalidf("bound_claims: %s", err)
		}
		r.Bounds.Claims = nil
		if len(bound) > 0 {
			if r.Bounds.Claims, err = json.Marshal(bound); err != nil {
				return err
			}
		}
	}
	if req.ClaimMappings == nil {
		return nil
	}
	mappings, err := asObject(req.ClaimMappings)
	if err != nil {
		return backend.Invalidf("claim_mappings: %s", err)
	}
	r.ClaimMappings = make(map[string]string, len(mappings))
	for name, v := range mappings {
		key, ok := v.(string)
		if !ok || key == "" {
			return backend.Invalidf("claim_mappings: want the name of a metadata key for each claim")
		}
		r.ClaimMappings[name] = key
	}
	return nil
}

// asObject takes an object, as JSON text too: the command line has no other way to send one.
func asObject(v any) (map[string]any, error) {
	if text, ok := v.(string); ok {
		var object map[string]any
		if text = strings.TrimSpace(text); text != "" && parseJSON([]byte(text), &object) != nil {
			return nil, errors.New("want an object, or its JSON text")
		}
		return object, nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("want an object, or its JSON text")
	}
	return object, nil
}

// judge judges the role as a whole. Contract: auth-methods §5.2.
func (r *roleRecord) judge(mountMax time.Duration) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Period > mountMax {
		return backend.Invalidf("'period' of '%q' is greater than the backend's maximum lease TTL of '%q'",
			backend.FormatDuration(r.Period), backend.FormatDuration(mountMax))
	}
	if r.UserClaim == "" {
		return backend.Invalidf("a user claim must be defined on the role")
	}
	if err := r.judgeClaims(); err != nil {
		return err
	}
	if r.Type == typeOIDC {
		return r.judgeRedirects()
	}
	if len(r.Bounds.Audiences) == 0 && r.Bounds.Subject == "" && len(r.Bounds.Claims) == 0 && len(r.BoundCIDRs) == 0 {
		return backend.Invalidf("must have at least one bound constraint when creating/updating a role")
	}
	return nil
}

func (r *roleRecord) judgeClaims() error {
	bound, err := r.Bounds.parse()
	if err != nil {
		return err
	}
	for _, b := range bound {
		if len(b.values) == 0 {
			return backend.Invalidf("bound_claims: claim %q has no value that it could match", b.name)
		}
		for _, v := range b.values {
			_, text := v.(string)
			switch {
			case r.Bounds.Glob && !text && len(b.values) == 1:
				return backend.Invalidf("claim is not a string or list: claim %q of a glob role", b.name)
			case r.Bounds.Glob && !text:
				return backend.Invalidf("claim is not a string: claim %q of a glob role", b.name)
			case scalar(v) == nil:
				return backend.Invalidf("bound_claims: claim %q has a value that is no string, number or boolean", b.name)
			}
		}
	}
	taken := map[string]bool{}
	for _, key := range r.ClaimMappings {
		if key == "role" {
			return backend.Invalidf("metadata key %q is reserved and may not be a mapping destination", key)
		}
		if taken[key] {
			return backend.Invalidf("multiple keys are mapped to metadata key %q", key)
		}
		taken[key] = true
	}
	return nil
}

func (r *roleRecord) judgeRedirects() error {
	if len(r.RedirectURIs) == 0 && r.Returning.Mode != byDevice {
		return backend.Invalidf("'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.")
	}
	for i, text := range r.RedirectURIs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme == "" || (u.Host == "" && u.Opaque == "" && u.Path == "") || u.Fragment != "" || u.User != nil {
			return backend.Invalidf("allowed_redirect_uris: entry %d is no whole URL, or has a fragment or a user", i+1)
		}
	}
	return nil
}

type roleView struct {
	auth.TokenView
	returningView
	RedirectURIs     []string          `json:"allowed_redirect_uris"`
	BoundAudiences   []string          `json:"bound_audiences"`
	BoundClaims      json.RawMessage   `json:"bound_claims"`
	BoundClaimsType  string            `json:"bound_claims_type"`
	BoundSubject     string            `json:"bound_subject"`
	ClaimMappings    map[string]string `json:"claim_mappings"`
	ClockSkewLeeway  int64             `json:"clock_skew_leeway"`
	ExpirationLeeway int64             `json:"expiration_leeway"`
	GroupsClaim      string            `json:"groups_claim"`
	MaxAge           backend.Seconds   `json:"max_age"`
	NotBeforeLeeway  int64             `json:"not_before_leeway"`
	Scopes           []string          `json:"oidc_scopes"`
	RoleType         string            `json:"role_type"`
	UserClaim        string            `json:"user_claim"`
	UserClaimPointer bool              `json:"user_claim_json_pointer"`
	Verbose          bool              `json:"verbose_oidc_logging"`
}

func (m *Method) readRole(ctx context.Context, _ *backend.Call, req *roleNamed) (*roleView, error) {
	r, err := m.role(ctx, req.Name)
	if r == nil || err != nil {
		return nil, err
	}
	view := &roleView{
		TokenView: r.View(), returningView: r.Returning.view(), RedirectURIs: auth.NotNull(r.RedirectURIs), BoundAudiences: auth.NotNull(r.Bounds.Audiences),
		BoundClaims: r.Bounds.Claims, BoundClaimsType: "string", BoundSubject: r.Bounds.Subject, ClaimMappings: r.ClaimMappings,
		ClockSkewLeeway: whole(r.Leeways.ClockSkew), ExpirationLeeway: whole(r.Leeways.Expiration), GroupsClaim: r.GroupsClaim,
		MaxAge: backend.Seconds(r.MaxAge), NotBeforeLeeway: whole(r.Leeways.NotBefore), Scopes: auth.NotNull(r.Scopes),
		RoleType: r.Type.String(), UserClaim: r.UserClaim, UserClaimPointer: r.UserClaimPointer, Verbose: r.Verbose,
	}
	if r.Bounds.Glob {
		view.BoundClaimsType = "glob"
	}
	if view.BoundClaims == nil {
		view.BoundClaims = json.RawMessage("{}")
	}
	if view.ClaimMappings == nil {
		view.ClaimMappings = map[string]string{}
	}
	return view, nil
}

func whole(d time.Duration) int64 { return int64(d / time.Second) }

// deleteRole removes a role. Its tokens live until they are renewed.
func (m *Method) deleteRole(ctx context.Context, _ *backend.Call, req *roleNamed) (*backend.None, error) {
	return nil, m.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(roleKey(req.Name)) })
}

type listRequest struct {
	After string `json:"after" doc:"List what comes after this name."`
	Limit int    `json:"limit" doc:"List no more than this many; 0 is all."`
}

func (m *Method) listRoles(ctx context.Context, _ *backend.Call, req *listRequest) (*backend.Keys, error) {
	keys, err := auth.ListNames(ctx, m.area, rolePrefix, req.After, req.Limit)
	return backend.Listing(keys), err
}

// roleFor finds the role that a login names, or the default one. A name that cannot be one is
// not repeated: it may be a secret in the wrong place.
func (m *Method) roleFor(ctx context.Context, name, usual string) (*role, error) {
	if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
		name = usual
	}
	if name == "" {
		return nil, backend.Invalidf("missing role")
	}
	if len(name) > mostName {
		return nil, backend.Invalidf("role could not be found")
	}
	r, err := m.role(ctx, name)
	if r == nil && err == nil {
		shown := fmt.Sprintf("role %q", name)
		if len(name) > 64 {
			shown = "role"
		}
		return nil, backend.Invalidf("%s could not be found", shown)
	}
	return r, err
}
