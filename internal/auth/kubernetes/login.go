package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// annotationPrefix begins the annotations that become metadata of an alias.
const annotationPrefix = "vault.hashicorp.com/alias-metadata-"

type loginRequest struct {
	Role string `json:"role" doc:"The role to log in with."`
	JWT  string `json:"jwt" doc:"The JWT of the service account."`
}

// denied is the answer to a login that proves nothing; why is for the log.
func denied(why error) error {
	return backend.Errorf(backend.Denied, "permission denied").Because(why)
}

// login has the API server prove whose JWT it is. Contract: auth-methods §6.
//
// What costs nothing is checked first; but only the API server's word counts, so that it is always asked.
func (m *Method) login(ctx context.Context, c *backend.Call, req *loginRequest) (*backend.Response, error) {
	name := strings.ToLower(strings.TrimSpace(req.Role))
	token := strings.TrimSpace(req.JWT)
	switch {
	case name == "":
		return nil, backend.Invalidf("missing role")
	case token == "":
		return nil, backend.Invalidf("missing jwt")
	}
	role, err := m.role(ctx, name)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, noRole(name)
	}
	bound, err := auth.ParsePrefixes(role.BoundCIDRs)
	if err != nil {
		return nil, err
	}
	if !auth.Within(bound, c.Remote.Addr()) {
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	settings, err := m.config(ctx)
	if err != nil {
		return nil, err
	}
	if settings == nil {
		return nil, backend.Invalidf("could not load backend configuration")
	}
	who, err := m.judge(settings, role, token)
	if err != nil {
		return nil, err
	}
	leave, err := m.waiting.Enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, settings.timeout())
	defer cancel()
	meta, err := m.prove(ctx, settings, role, who, token)
	if err != nil {
		m.log.Warn("a login was refused", "role", name, "reason", reason(err))
		return nil, refusal(err)
	}
	login, err := m.vouch(name, role, settings, who, token)
	if err != nil {
		return nil, err
	}
	login.BoundCIDRs = bound
	maps.Copy(login.Alias.Metadata, meta)
	return &backend.Response{Login: login}, nil
}

// noRole names the role only where it is one in form: what was sent may be a JWT in the wrong field.
func noRole(name string) error {
	if len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return backend.Invalidf("invalid role name")
	}
	return backend.Invalidf("invalid role name %q", name)
}

// judge checks what the JWT says of itself, before anybody is asked.
func (m *Method) judge(settings *configRecord, role *roleRecord, token string) (*claims, error) {
	keys, err := settings.keys()
	if err != nil {
		return nil, err
	}
	who, err := readJWT(token, keys)
	if err != nil {
		return nil, denied(err)
	}
	if why := who.wrongTime(m.clock.Now()); why != "" {
		return nil, backend.Errorf(backend.Denied, "%s", why)
	}
	if settings.CheckIssuer && who.issuer != settings.issuer() {
		return nil, backend.Errorf(backend.Denied, "the JWT names another issuer (iss) than the configured one")
	}
	if role.Audience != "" && !slices.Contains(who.audience, role.Audience) {
		return nil, backend.Errorf(backend.Denied, "the JWT is for another audience (aud) than the role's")
	}
	return who, nil
}

// admits checks the account's name, and its namespace as far as that can be told without its labels.
func (r *roleRecord) admits(who account) error {
	if !auth.AnyGlob(r.Accounts, who.name) {
		return backend.Errorf(backend.Denied, "service account name not authorized")
	}
	if r.Selector == "" && !auth.AnyGlob(r.Namespaces, who.namespace) {
		return errNamespace()
	}
	return nil
}

func errNamespace() *backend.Error {
	return backend.Errorf(backend.Denied, "namespace not authorized")
}

// prove asks the API server: whose the token is, the labels of the namespace where the role wants them,
// and the annotations where the mount wants them, which it returns.
func (m *Method) prove(ctx context.Context, settings *configRecord, role *roleRecord, who *claims, token string) (map[string]string, error) {
	api, err := m.server(settings, token)
	if err != nil {
		return nil, err
	}
	audiences := who.audience
	if role.Audience != "" {
		audiences = []string{role.Audience}
	}
	if err := api.review(ctx, token, audiences, who.account); err != nil {
		return nil, err
	}
	// Only now: whom a role takes is not told to strangers.
	if err := role.admits(who.account); err != nil {
		return nil, err
	}
	if err := role.inNamespace(ctx, api, who.namespace); err != nil {
		return nil, err
	}
	if !settings.Annotations {
		return nil, nil
	}
	found, err := api.serviceAccount(ctx, who.account)
	if err != nil {
		return nil, err
	}
	if found.UID != who.uid {
		return nil, errRecreated
	}
	meta := map[string]string{}
	for key, value := range found.Annotations {
		name, ok := strings.CutPrefix(key, annotationPrefix)
		if ok && name != "" && !strings.HasPrefix(name, "service_account_") {
			meta[name] = value
		}
	}
	return meta, nil
}

// errRecreated says that the account is not the one that logged in.
var errRecreated = errors.New("the service account has been deleted and made anew")

// inNamespace checks the namespace by its name or else by its labels.
func (r *roleRecord) inNamespace(ctx context.Context, api *apiServer, namespace string) error {
	if auth.AnyGlob(r.Namespaces, namespace) {
		return nil
	}
	if r.Selector == "" {
		return errNamespace()
	}
	want, err := parseSelector(r.Selector)
	if err != nil {
		return err
	}
	found, err := api.namespace(ctx, namespace)
	if err != nil {
		return err
	}
	if !want.matches(found.Labels) {
		return errNamespace()
	}
	return nil
}

// refusal is what a client is told: the contract's text where there is one, and else no reason. Contract:
// auth-methods §6, a failure of the review is a bare 403.
func refusal(err error) error {
	if known := new(backend.Error); errors.As(err, &known) {
		return known
	}
	return denied(err)
}

// reason is what the log is told: addresses and statuses, nothing of the token.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "the API server did not answer in time"
	}
	return err.Error()
}

// vouch makes the login of a proved account.
func (m *Method) vouch(name string, role *roleRecord, settings *configRecord, who *claims, token string) (*backend.Login, error) {
	state, err := record.Encode(&loginState{
		UID: role.UID, Role: name, Namespace: who.namespace, Account: who.name, AccountUID: who.uid, JWT: token, Ends: who.ends(),
	})
	if err != nil {
		return nil, err
	}
	meta := map[string]string{
		"service_account_uid":         who.uid,
		"service_account_name":        who.name,
		"service_account_namespace":   who.namespace,
		"service_account_secret_name": who.secret,
	}
	login := role.Login(nil)
	login.DisplayName = who.namespace + "-" + who.name
	login.Alias = &backend.Alias{Name: role.alias(who.account), Metadata: maps.Clone(meta)}
	meta["role"] = name
	login.Metadata = meta
	login.State = state
	login.Consume = func(tx store.Tx) error { return m.confirm(m.area.Within(tx), name, role, settings) }
	return login, nil
}

// alias is the account's name for the identity store. An UID has no slash, so that the two kinds do not
// meet.
func (r *roleRecord) alias(who account) string {
	if r.AliasSource == byName {
		return who.namespace + "/" + who.name
	}
	return who.uid
}

// confirm runs in the transaction that stores the token: a role or settings that were changed while the API
// server was asked vouch for nothing. It may be another server that is believed by now.
func (m *Method) confirm(tx store.Tx, name string, judged *roleRecord, asked *configRecord) error {
	role, err := getRole(tx, name)
	if err != nil {
		return err
	}
	settings, err := record.Get[configRecord](tx, configKey)
	switch {
	case err != nil:
		return err
	case !reflect.DeepEqual(settings, asked):
		return backend.Errorf(backend.Conflict, "the configuration has been changed meanwhile: try again")
	case role == nil:
		return noRole(name)
	case !bytes.Equal(role.Revision, judged.Revision):
		return backend.Errorf(backend.Conflict, "the role has been changed meanwhile: try again")
	}
	return nil
}
