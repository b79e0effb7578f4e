package kubernetes

import (
	"bytes"
	"context"
	"errors"

	"jeton/internal/backend"
	"jeton/internal/record"
)

// loginState stays with a token, encrypted, to prove its login again at renewal.
type loginState struct {
	// UID is the role's.
	UID        []byte `cbor:"1,keyasint"`
	Role       string `cbor:"2,keyasint"`
	Namespace  string `cbor:"3,keyasint"`
	Account    string `cbor:"4,keyasint"`
	AccountUID string `cbor:"5,keyasint"`
	// JWT is the one of the login.
	JWT string `cbor:"6,keyasint"`
	// Ends is when the JWT expires, in Unix seconds.
	Ends int64 `cbor:"7,keyasint"`
}

// RenewLogin proves the login again: the role is there, the very one, and would still take the service
// account; and the API server says that the account is still there, the very one (CVE-2026-115356).
// Decision 0021 says how, and what happens when the login's JWT has expired. Contract: auth-methods §1.3.
func (m *Method) RenewLogin(ctx context.Context, renewal backend.Renewal) (*backend.Login, error) {
	var state loginState
	if err := record.Decode(renewal.State, &state); err != nil {
		return nil, err
	}
	role, err := m.role(ctx, state.Role)
	if err != nil {
		return nil, err
	}
	if role == nil || !bytes.Equal(role.UID, state.UID) {
		return nil, backend.Invalidf("failed to renew entry: role %q does not exist during renewal", state.Role)
	}
	settings, err := m.config(ctx)
	if err != nil {
		return nil, err
	}
	if settings == nil {
		return nil, backend.Invalidf("failed to renew entry: could not load backend configuration")
	}
	who := account{state.Namespace, state.Account, state.AccountUID}
	if err := role.admits(who); err != nil {
		return nil, notRenewed(err)
	}
	ctx, cancel := context.WithTimeout(ctx, settings.timeout())
	defer cancel()
	if err := m.proveAgain(ctx, settings, role, &state, who); err != nil {
		m.log.Warn("a renewal was refused", "role", state.Role, "namespace", state.Namespace, "service_account", state.Account, "reason", reason(err))
		return nil, notRenewed(err)
	}
	return &backend.Login{Terms: role.Terms()}, nil
}

// What a renewal is refused for, besides the role's own words.
var (
	errUnprovable = errors.New("the JWT of the login has expired, and the API server lets this server not read service accounts")
	errGone       = errors.New("the service account is gone")
)

// notRenewed is what the client is told: it has proved who it is, and may know what became of it.
func notRenewed(err error) error {
	known := new(backend.Error)
	switch {
	case errors.As(err, &known):
		return backend.Errorf(backend.Denied, "failed to renew entry: %s", known.Text)
	case errors.Is(err, errGone), errors.Is(err, errRecreated), errors.Is(err, errUnknownToken):
		return backend.Errorf(backend.Denied, "failed to renew entry: the service account or its token is gone").Because(err)
	case errors.Is(err, errUnprovable):
		return backend.Errorf(backend.Denied, "failed to renew entry: the JWT of the login has expired, so the service account cannot be proved again: log in with a new one").Because(err)
	}
	return backend.Errorf(backend.Denied, "failed to renew entry: the API server could not be asked").Because(err)
}

// proveAgain asks the API server about the account: by the login's JWT for as long as it holds, then by the
// account itself.
func (m *Method) proveAgain(ctx context.Context, settings *configRecord, role *roleRecord, state *loginState, who account) error {
	api, err := m.server(settings, state.JWT)
	if err != nil {
		return err
	}
	if m.clock.Now().Unix() < state.Ends {
		// The token was for the right audience at login; the account is what matters now. The audiences
		// are its own again, because some API servers confirm none that were not asked for.
		claims, err := readJWT(state.JWT, nil)
		if err != nil {
			return err
		}
		if err := api.review(ctx, state.JWT, claims.audience, who); err != nil {
			return err
		}
	} else if err := accountStands(ctx, api, who); err != nil {
		if !settings.UnprovedRenewal || !errors.Is(err, errUnprovable) {
			return err
		}
		m.log.Warn("a token is renewed although its service account cannot be proved", "role", state.Role, "namespace", who.namespace, "service_account", who.name)
	}
	return role.inNamespace(ctx, api, who.namespace)
}

// accountStands reads the account. Who may not read it cannot tell (errUnprovable).
func accountStands(ctx context.Context, api *apiServer, who account) error {
	found, err := api.serviceAccount(ctx, who)
	switch {
	case errors.Is(err, errForbidden), api.own && errors.Is(err, errUnauthorized):
		return errUnprovable
	case errors.Is(err, errMissing):
		return errGone
	case err != nil:
		return err
	case found.Deleted != nil:
		return errGone
	case found.UID != who.uid:
		return errRecreated
	}
	return nil
}
