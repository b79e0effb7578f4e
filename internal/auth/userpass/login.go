package userpass

import (
	"bytes"
	"context"
	"errors"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

type loginRequest struct {
	named
	Password string `json:"password" doc:"The password."`
}

// refused is the one answer to a wrong password and to an unknown user.
func refused() error { return backend.Invalidf("invalid username or password") }

// login proves a password. Contract: auth-methods §3, and §8 for the lockout.
func (m *Method) login(ctx context.Context, c *backend.Call, req *loginRequest) (*backend.Response, error) {
	if req.Password == "" {
		return nil, backend.Invalidf("missing password")
	}
	name := req.Username
	attempt, err := m.lockout.Begin(ctx, name)
	if err != nil {
		return nil, err
	}
	defer attempt.Release()
	var user *userRecord
	var target int
	err = m.area.View(ctx, func(r store.Reader) (err error) {
		if err = attempt.Check(r); err != nil {
			return err
		}
		if target, err = m.work(r); err != nil {
			return err
		}
		user, err = getUser(r, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if user == nil {
		verify(nil, req.Password, target)
		return nil, refused()
	}
	if !verify(user.Hash, req.Password, target) {
		if err := attempt.Failed(ctx); err != nil {
			return nil, err
		}
		return nil, refused()
	}
	bound, err := auth.ParsePrefixes(user.BoundCIDRs)
	if err != nil {
		return nil, err
	}
	if !auth.Within(bound, c.Remote.Addr()) {
		// Neither a guess nor a login: the count of failures stays.
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	attempt.Succeeded()
	state, err := record.Encode(&loginState{UID: user.UID, Name: name})
	if err != nil {
		return nil, err
	}
	login := user.Login(bound)
	login.DisplayName = name
	login.Metadata = map[string]string{"username": name}
	login.Alias = &backend.Alias{Name: name}
	login.State = state
	login.Consume = func(tx store.Tx) error { return m.confirm(m.area.Within(tx), name, user) }
	return &backend.Response{Login: login}, nil
}

// confirm runs in the transaction that stores the token: a user who was deleted, or given
// another password, while the old one was compared gets none.
func (m *Method) confirm(tx store.Tx, name string, proved *userRecord) error {
	u, err := getUser(tx, name)
	if err == nil && !proved.same(u) {
		err = refused()
	}
	return err
}

// loginState stays with a token, to find its user again at renewal.
type loginState struct {
	UID  []byte `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint"`
}

// RenewLogin asks that the user is there still, the very one, with the policies that the
// token has. Contract: auth-methods §1.3.
func (m *Method) RenewLogin(ctx context.Context, renewal backend.Renewal) (*backend.Login, error) {
	var state loginState
	if err := record.Decode(renewal.State, &state); err != nil {
		return nil, err
	}
	u, err := m.user(ctx, state.Name)
	if err != nil {
		return nil, err
	}
	if u == nil || !bytes.Equal(u.UID, state.UID) {
		return nil, backend.Invalidf("failed to renew entry: user %q does not exist during renewal", state.Name)
	}
	if !auth.SamePolicies(u.Policies, renewal.Policies) {
		return nil, backend.Invalidf("failed to renew entry: policies have changed, not renewing")
	}
	return &backend.Login{Terms: u.Terms()}, nil
}
