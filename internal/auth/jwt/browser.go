package jwt

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/store"
)

// Bounds of what comes without a token.
const (
	mostRedirect = 2048
	mostNonce    = 256
	mostCode     = 16 << 10
)

type authURLRequest struct {
	Role        string `json:"role" doc:"The role; the configuration's default_role by default."`
	RedirectURI string `json:"redirect_uri" doc:"Where the provider sends the browser back to: one of the role's. Only a role whose callback_mode is client needs it."`
	ClientNonce string `json:"client_nonce" doc:"A secret of the client, which it shows again at the end."`
}

// authURLReply has more than the URL where the client is to poll. Its interval is a string of
// digits, as clients know it. Contract: auth-methods §5.2 [B], callback_mode.
type authURLReply struct {
	AuthURL      string `json:"auth_url"`
	CallbackMode string `json:"callback_mode,omitempty"`
	State        string `json:"state,omitempty"`
	UserCode     string `json:"user_code,omitempty"`
	PollInterval string `json:"poll_interval,omitempty"`
	ExpiresIn    int64  `json:"expires_in,omitempty"`
}

// authURL begins a login in the browser. What stands in its way besides a wrong request is told
// by an empty URL and a warning. Contract: auth-methods §5.4.
func (m *Method) authURL(ctx context.Context, c *backend.Call, req *authURLRequest) (*authURLReply, error) {
	t, err := m.configured(ctx)
	if err != nil {
		return nil, err
	}
	if t.provider == nil || t.config.ClientID == "" {
		return nil, backend.Invalidf("OIDC login is not configured for this mount")
	}
	r, err := m.roleFor(ctx, req.Role, t.config.DefaultRole)
	if err != nil {
		return nil, err
	}
	if r.Type != typeOIDC {
		return nil, backend.Invalidf("role with jwt role_type is not allowed")
	}
	mode, redirect := r.Returning.Mode, r.redirect(req.RedirectURI)
	switch {
	case mode == byClient && req.RedirectURI == "":
		return nil, backend.Invalidf("missing redirect_uri")
	case len(req.RedirectURI) > mostRedirect || len(req.ClientNonce) > mostNonce:
		return nil, backend.Invalidf("redirect_uri or client_nonce is too long")
	case mode != byClient && req.ClientNonce == "":
		// A direct login's state is seen by browsers and what is in between: it is not enough to
		// collect the token with.
		return nil, backend.Invalidf("missing client_nonce: logins that are polled for need one")
	case mode != byDevice && redirect == "":
		c.Warn("the redirect_uri is not one of the role's allowed_redirect_uris")
		return &authURLReply{}, nil
	}
	state := m.flow.begin(t, r, redirect, req.ClientNonce, m.clock.Now())
	reply, err := m.begin(ctx, c, t, r, state)
	switch {
	case err == nil:
		return reply, nil
	case backend.KindOf(err) == backend.Overloaded, ctx.Err() != nil:
		return nil, err
	default:
		m.log.Warn("a browser login could not begin", "mount", c.Mount.Path, "reason", reason(err))
		c.Warn("the identity provider cannot be used: " + reason(err))
		return &authURLReply{}, nil
	}
}

// begin finds where the person is to sign in. Its errors are the provider's, or Overloaded.
func (m *Method) begin(ctx context.Context, c *backend.Call, t *trust, r *role, s *flowState) (*authURLReply, error) {
	p, err := t.provider.get(ctx)
	if err != nil {
		return nil, err
	}
	reply := &authURLReply{}
	switch s.Mode {
	case byDevice:
		if reply, err = m.beginDevice(ctx, t, p, r, s); err != nil {
			return nil, err
		}
	case byServer:
		s.Interval = whole(orUsual(r.Returning.Interval))
		s.From = remoteAddress(c)
		reply.UserCode = m.flow.userCode(s)
	}
	text, err := m.flow.seal(s)
	if err != nil {
		return nil, err
	}
	if s.Mode != byDevice {
		if p.oauth.Endpoint.AuthURL == "" {
			return nil, errNoAddress
		}
		reply.AuthURL = m.flow.address(p, t.config, r, s, text)
	}
	if s.Mode != byClient {
		reply.CallbackMode, reply.State, reply.PollInterval = s.Mode.String(), text, strconv.FormatInt(s.Interval, 10)
		reply.ExpiresIn = s.Ends - m.clock.Now().Unix()
	}
	return reply, nil
}

// address is where the browser is sent (OpenID Connect Core §3.1.2.1).
func (f flowKeys) address(p *provider, config *configRecord, r *role, s *flowState, text string) string {
	oauth := p.oauth
	oauth.RedirectURL, oauth.Scopes = s.Redirect, r.scopes()
	types := config.responseTypes()
	options := []oauth2.AuthCodeOption{oidc.Nonce(f.nonce(s)), oauth2.SetAuthURLParam("response_type", strings.Join(types, " "))}
	if slices.Contains(types, "code") {
		options = append(options, oauth2.S256ChallengeOption(f.verifier(s)))
	}
	if config.ResponseMode == "form_post" {
		options = append(options, oauth2.SetAuthURLParam("response_mode", "form_post"))
	}
	if r.MaxAge > 0 {
		options = append(options, oauth2.SetAuthURLParam("max_age", strconv.FormatInt(whole(r.MaxAge), 10)))
	}
	return oauth.AuthCodeURL(text, options...)
}

// scopes are what the provider is asked for.
func (r *roleRecord) scopes() []string {
	scopes := []string{oidc.ScopeOpenID}
	for _, scope := range r.Scopes {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// redirectAllowed compares whole, but for the port of a loopback address: a program on the
// person's own machine takes a port that is free (RFC 8252 §7.3). Contract: auth-methods §5.4.
func redirectAllowed(allowed []string, asked string) bool {
	if slices.Contains(allowed, asked) {
		return true
	}
	want, err := url.Parse(asked)
	if err != nil || !isLoopback(want) {
		return false
	}
	for _, text := range allowed {
		u, err := url.Parse(text)
		if err == nil && isLoopback(u) && withoutPort(u) == withoutPort(want) {
			return true
		}
	}
	return false
}

func isLoopback(u *url.URL) bool {
	host := u.Hostname()
	return u.User == nil && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}

func withoutPort(u *url.URL) string {
	v := *u
	v.Host = u.Hostname()
	return v.String()
}

type callbackRequest struct {
	State       string `json:"state" doc:"The state from the browser."`
	Code        string `json:"code" doc:"The provider's code."`
	IDToken     string `json:"id_token" doc:"The provider's ID token, where it sends one instead of a code."`
	ClientNonce string `json:"client_nonce" doc:"What the login was begun with."`
	Nonce       string `json:"nonce" doc:"Taken for client_nonce where that is missing."`
	Issuer      string `json:"iss" doc:"The provider that the answer comes from (RFC 9207)."`
	Error       string `json:"error" doc:"The provider's refusal."`
	Description string `json:"error_description" doc:"Its text. It is shown to nobody: anyone can make one up (CVE-2026-33758)."`
	// Providers add these.
	Scope        string `json:"scope" doc:"Passed over."`
	SessionState string `json:"session_state" doc:"Passed over."`
	Prompt       string `json:"prompt" doc:"Passed over."`
	AuthUser     string `json:"authuser" doc:"Passed over."`
}

// callback completes a login in the browser: a query, or the form of form_post. The answer goes
// to whoever brings the provider's code and the client's nonce (CVE-2026-33757), but for a direct
// login, which ends here in a page. Contract: auth-methods §5.4.
func (m *Method) callback(ctx context.Context, c *backend.Call, req *callbackRequest) (*backend.Response, error) {
	state := m.flow.open(req.State, m.clock.Now())
	if state == nil || state.Mode == byDevice {
		return nil, errState()
	}
	if state.Mode == byServer {
		return m.arrive(ctx, c, state, req)
	}
	t, r, err := m.resume(ctx, state)
	if err != nil {
		return nil, err
	}
	shown := req.ClientNonce
	if shown == "" {
		shown = req.Nonce
	}
	switch {
	case len(state.ClientNonce) > 0 && !hmac.Equal(state.ClientNonce, mark("client nonce", shown)):
		return nil, backend.Invalidf("invalid client_nonce")
	case !auth.Within(r.sources, c.Remote.Addr()):
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	said, by, err := m.converse(ctx, t, r, state, req)
	if err != nil {
		m.explain(r, said, err)
		return nil, invalid(loginFailed, err)
	}
	return m.completed(c, t, r, state, said, by)
}

// completed is the token that a sign-in earns, once.
func (m *Method) completed(c *backend.Call, t *trust, r *role, state *flowState, said claims, by []byte) (*backend.Response, error) {
	login, err := m.proved(c, r, t, said, by)
	if err != nil {
		m.explain(r, said, err)
		return nil, invalid(loginFailed, err)
	}
	confirm, now := login.Consume, m.clock.Now()
	login.Consume = func(tx store.Tx) error {
		if err := confirm(tx); err != nil {
			return err
		}
		return spend(m.area.Within(tx), state, now)
	}
	return &backend.Response{Login: login}, nil
}

// resume finds what the login was begun with, which must be what there is now.
func (m *Method) resume(ctx context.Context, state *flowState) (*trust, *role, error) {
	t, err := m.trusted(ctx)
	if err != nil {
		return nil, nil, err
	}
	if t == nil || t.provider == nil || string(mark("config", string(t.stored))) != string(state.Config) {
		return nil, nil, errState()
	}
	r, err := m.role(ctx, state.Role)
	if err != nil {
		return nil, nil, err
	}
	if r == nil || r.Type != typeOIDC || string(r.UID) != string(state.RoleUID) || r.Returning.Mode != state.Mode || !r.allows(state.Redirect) {
		return nil, nil, backend.Invalidf(loginFailed + "Role could not be found")
	}
	return t, r, nil
}

// talk has a conversation with the provider. It takes no longer than twice the patience with one
// question, and no more than mostTalks go on at a time.
func (m *Method) talk(ctx context.Context, t *trust, say func(ctx context.Context, p *provider) error) error {
	leave, err := m.talks.Enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, 2*m.fetch.patience)
	defer cancel()
	p, err := t.provider.get(ctx)
	if err != nil {
		return away(err)
	}
	return say(ctx, p)
}

// converse turns what the browser brought into the person's claims.
func (m *Method) converse(ctx context.Context, t *trust, r *role, state *flowState, req *callbackRequest) (said claims, by []byte, err error) {
	switch {
	case req.Error != "":
		return nil, nil, errors.New("The provider refused: " + oauthError(req.Error) + ".")
	case req.Issuer != "" && req.Issuer != t.config.DiscoveryURL:
		return nil, nil, errors.New("The answer comes from another provider.")
	case req.Code == "" && req.IDToken == "":
		return nil, nil, errors.New("No code or id_token received.")
	case len(req.Code) > mostCode:
		return nil, nil, errors.New("The code is too long.")
	case req.Code == "" && !slices.Contains(t.config.responseTypes(), "id_token"):
		return nil, nil, errors.New("An id_token was not asked for.")
	}
	err = m.talk(ctx, t, func(ctx context.Context, p *provider) error {
		idToken, access := req.IDToken, (*oauth2.Token)(nil)
		if req.Code != "" {
			if idToken, access, err = m.exchange(ctx, p, state, req.Code); err != nil {
				return err
			}
		}
		said, by, err = m.believe(ctx, t, r, p, state, idToken, access)
		return err
	})
	return said, by, err
}

// believe judges the provider's answer, and asks it what it knows of the person besides.
func (m *Method) believe(ctx context.Context, t *trust, r *role, p *provider, state *flowState, idToken string, access *oauth2.Token) (claims, []byte, error) {
	if idToken == "" {
		return nil, nil, errors.New("The provider sent no ID token.")
	}
	said, by, err := t.verify(ctx, idToken)
	if err == nil {
		err = m.checkIDToken(t, r, state, said)
	}
	if err != nil {
		return said, nil, invalid("Token verification failed. ", err)
	}
	if access != nil && p.UserInfoEndpoint() != "" {
		m.addUserInfo(ctx, p, access, said)
	}
	return said, by, m.addGroups(ctx, t, r, p, access, said)
}

// exchange trades the code for tokens, with PKCE's verifier.
func (m *Method) exchange(ctx context.Context, p *provider, state *flowState, code string) (string, *oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(within(ctx, p.clients.questions), m.fetch.patience)
	defer cancel()
	oauth := p.oauth
	oauth.RedirectURL = state.Redirect
	token, err := oauth.Exchange(ctx, code, oauth2.VerifierOption(m.flow.verifier(state)))
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) && refusal.Response != nil && refusal.Response.StatusCode < 500 {
		return "", nil, errors.New("The provider refused the code: " + oauthError(refusal.ErrorCode) + ".")
	}
	if err != nil {
		return "", nil, away(err)
	}
	idToken, _ := token.Extra("id_token").(string)
	return idToken, token, nil
}

// checkIDToken judges an ID token by itself (OpenID Connect Core §3.1.3.7).
func (m *Method) checkIDToken(t *trust, r *role, state *flowState, said claims) error {
	now := m.clock.Now()
	if err := t.checkIssue(r, said, now); err != nil {
		return err
	}
	audiences, _ := said.find("aud")
	if !slices.Contains(asList(audiences), any(t.config.ClientID)) {
		return errors.New("invalid audience (aud) claim: the token is for another client")
	}
	if party, ok := said.find("azp"); ok && party != t.config.ClientID {
		return errors.New("invalid authorized party (azp) claim")
	}
	// A device login has no nonce: the token comes in answer to the device code (RFC 8628 §3.4).
	nonce, _ := said.find("nonce")
	if text, _ := nonce.(string); state.Mode != byDevice && !hmac.Equal([]byte(text), []byte(m.flow.nonce(state))) {
		return errors.New("invalid nonce claim: the token is of another login")
	}
	if r.MaxAge <= 0 {
		return nil
	}
	at, ok, err := said.time("auth_time")
	if err != nil {
		return err
	}
	if !ok || now.After(at.Add(r.MaxAge+or(r.Leeways.ClockSkew, usualSkew))) {
		return errors.New("invalid authentication time (auth_time) claim: the sign-in is older than the role's max_age")
	}
	return nil
}

// addUserInfo adds what the provider's userinfo endpoint says besides: some send groups only
// there. What the signed token says stays, and a failure leaves things as they are: bounds on
// what is then missing do not hold.
func (m *Method) addUserInfo(ctx context.Context, p *provider, access *oauth2.Token, said claims) {
	ctx, cancel := context.WithTimeout(within(ctx, p.clients.documents), m.fetch.patience)
	defer cancel()
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(access))
	if err != nil {
		m.log.Warn("the identity provider's userinfo cannot be had", "reason", reason(err))
		return
	}
	var raw json.RawMessage
	var more claims
	sub, _ := said.find("sub")
	if _, named := sub.(string); !named || info.Claims(&raw) != nil || parseJSON(raw, &more) != nil || info.Subject != sub {
		m.log.Warn("the identity provider's userinfo is of somebody else, or malformed")
		return
	}
	for name, v := range more {
		if _, signed := said[name]; !signed {
			said[name] = v
		}
	}
}
