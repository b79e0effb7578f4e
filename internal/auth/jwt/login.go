package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

type loginRequest struct {
	Role string `json:"role" doc:"The role; the configuration's default_role by default."`
	JWT  string `json:"jwt" doc:"The signed token."`
}

// login proves a token that a program brought. It writes nothing of its own.
// Contract: auth-methods §5.3.
func (m *Method) login(ctx context.Context, c *backend.Call, req *loginRequest) (*backend.Response, error) {
	t, err := m.configured(ctx)
	if err != nil {
		return nil, err
	}
	r, err := m.roleFor(ctx, req.Role, t.config.DefaultRole)
	if err != nil {
		return nil, err
	}
	if r.Type == typeOIDC {
		return nil, backend.Invalidf("role with oidc role_type is not allowed")
	}
	if req.JWT == "" {
		return nil, backend.Invalidf("missing token")
	}
	if !auth.Within(r.sources, c.Remote.Addr()) {
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	said, by, err := t.verify(ctx, req.JWT)
	if err == nil {
		err = t.checkIssue(r, said, m.clock.Now())
	}
	if err != nil {
		m.explain(r, said, err)
		return nil, invalid("error validating token: ", err)
	}
	login, err := m.proved(c, r, t, said, by)
	if err != nil {
		m.explain(r, said, err)
		return nil, err
	}
	return &backend.Response{Login: login}, nil
}

// configured is the mount's configuration, which there must be.
func (m *Method) configured(ctx context.Context) (*trust, error) {
	t, err := m.trusted(ctx)
	if t == nil && err == nil {
		err = backend.Invalidf("could not load configuration")
	}
	return t, err
}

// invalid is a refusal; errors that have a kind keep it.
func invalid(prefix string, err error) error {
	var known *backend.Error
	if errors.As(err, &known) {
		return backend.Errorf(known.Kind, "%s%s", prefix, known.Text)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return backend.Invalidf("%s%s", prefix, err)
}

// checkIssue judges who issued a token and when.
func (t *trust) checkIssue(r *role, said claims, now time.Time) error {
	if t.issuer != "" {
		if iss, _ := said.find("iss"); iss != t.issuer {
			return errors.New("invalid issuer (iss) claim")
		}
	}
	return r.Leeways.checkTimes(said, now)
}

// proved is the login that a verified token earns under a role.
func (m *Method) proved(c *backend.Call, r *role, t *trust, said claims, by []byte) (*backend.Login, error) {
	find := finder(said.find)
	if err := r.check(find); err != nil {
		return nil, backend.Invalidf("%s", err)
	}
	user, metadata, groups, err := r.identify(said)
	if err != nil {
		return nil, backend.Invalidf("%s", err)
	}
	shown, err := r.shown(find)
	if err != nil {
		return nil, err
	}
	state, err := record.Encode(&loginState{UID: r.UID, Name: r.name, Source: remoteAddress(c), Mark: by, Shown: shown})
	if err != nil {
		return nil, err
	}
	login := r.Login(r.sources)
	login.DisplayName = user
	login.Metadata = metadata
	login.Alias = &backend.Alias{Name: user, Metadata: metadata}
	login.GroupAliases = groups
	login.State = state
	login.Consume = func(tx store.Tx) error { return m.confirm(m.area.Within(tx), r, t) }
	return login, nil
}

// remoteAddress is where a call comes from; "" where that has no address.
func remoteAddress(c *backend.Call) string {
	if !c.Remote.IsValid() {
		return ""
	}
	return c.Remote.Addr().Unmap().WithZone("").String()
}

// identify reads who it is, what is known of them, and which groups they are in.
func (r *role) identify(said claims) (user string, metadata map[string]string, groups []string, err error) {
	find := finder(said.find)
	name := find
	if !r.UserClaimPointer {
		// Without user_claim_json_pointer a slash is a letter like others.
		name = func(claim string) (any, bool) { v, ok := said[claim]; return v, ok && v != nil }
	}
	if user, err = name.text(r.UserClaim); err != nil {
		return "", nil, nil, err
	}
	metadata = make(map[string]string, 1+len(r.mapped))
	for _, claim := range r.mapped {
		v, ok := find(claim)
		if !ok {
			continue
		}
		switch v := v.(type) {
		case string:
			metadata[r.ClaimMappings[claim]] = v
		case bool, json.Number:
			metadata[r.ClaimMappings[claim]] = fmt.Sprint(v)
		default:
			return "", nil, nil, fmt.Errorf("claim %q could not be converted to string", claim)
		}
	}
	metadata["role"] = r.name
	if r.GroupsClaim != "" {
		groups, err = find.groups(r.GroupsClaim)
	}
	return user, metadata, groups, err
}

// explain logs why a login failed, for a role that asks for it. It names claims and never says
// what they are.
func (m *Method) explain(r *role, said claims, err error) {
	if r.Verbose {
		m.log.Info("login refused", "role", r.name, "reason", err, "claims", slices.Sorted(maps.Keys(said)))
	}
}

// RenewLogin proves again what can be proved without the token: the role is there, the very
// one, and has the policies that the token has; the key or the key set that vouched is still
// believed; what the token said, and where it came from, is still within the role's bounds.
// Contract: auth-methods §1.3; CVE-2026-115356.
func (m *Method) RenewLogin(ctx context.Context, renewal backend.Renewal) (*backend.Login, error) {
	const failed = "failed to renew entry: "
	var state loginState
	if err := record.Decode(renewal.State, &state); err != nil {
		return nil, err
	}
	r, err := m.role(ctx, state.Name)
	if err != nil {
		return nil, err
	}
	if r == nil || string(r.UID) != string(state.UID) {
		return nil, backend.Invalidf(failed+"role %q does not exist during renewal", state.Name)
	}
	if !auth.SamePolicies(r.Policies, renewal.Policies) {
		return nil, backend.Invalidf(failed + "policies have changed, not renewing")
	}
	var shown claims
	if err := parseJSON(state.Shown, &shown); err != nil {
		return nil, errors.New("jwt: the state of a login cannot be read")
	}
	t, err := m.configured(ctx)
	if err != nil {
		return nil, invalid(failed, err)
	}
	if iss := shown["iss"]; !t.vouches(state.Mark) || (t.issuer != "" && iss != t.issuer) {
		return nil, backend.Invalidf(failed + "the key, the key set or the issuer that vouched for the login is no longer configured")
	}
	// The names of claims are here as the role wrote them, pointers included.
	literally := func(name string) (any, bool) { v, ok := shown[name]; return v, ok }
	if err := r.check(literally); err != nil {
		return nil, backend.Invalidf(failed+"what the login showed is no longer enough for the role: %s", err)
	}
	source, _ := netip.ParseAddr(state.Source)
	if !auth.Within(r.sources, source) {
		return nil, backend.Errorf(backend.Denied, failed+"the login came from outside the role's networks")
	}
	return &backend.Login{Terms: r.Terms()}, nil
}
