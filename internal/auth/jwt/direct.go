package jwt

import (
	"context"
	"encoding/json"
	"errors"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Direct logins: the provider sends the browser here, while the client that began the login polls
// on another machine. Whoever sent the person the link would get their token, so the person is
// asked first (CVE-2026-33757). Until they say yes nothing is kept: what they have proved is
// sealed into the page that asks.

// forConfirmation is what a confirmation is sealed for.
const forConfirmation = "confirmation"

// confirmation is a sign-in that the person has not said yes to.
type confirmation struct {
	State flowState     `cbor:"1,keyasint"`
	Login finishedLogin `cbor:"2,keyasint"`
}

// mostFinished bounds the sign-ins of a mount that wait to be collected. Only people whom the
// role lets in can make one.
const mostFinished = 1000

// arrive receives the browser of a direct login, and answers with a page whatever happens: it is a
// person who reads it.
func (m *Method) arrive(ctx context.Context, c *backend.Call, state *flowState, req *callbackRequest) (*backend.Response, error) {
	t, r, err := m.resume(ctx, state)
	if err != nil {
		return m.pages.refusal(err)
	}
	login, user, err := m.proof(ctx, t, r, state, req)
	if err != nil {
		return m.pages.refusal(invalid(loginFailed, err))
	}
	if r.Returning.Unconfirmed {
		return m.keep(ctx, state, login)
	}
	sealed, err := m.flow.sealed(forConfirmation, &confirmation{State: *state, Login: *login})
	if err != nil {
		return nil, err
	}
	return m.pages.confirm(question{
		User: user, Role: r.name, Mount: c.Mount.Path, From: state.From, Code: m.flow.userCode(state), Sealed: sealed,
	})
}

// proof is what the person has proved, and who they are. It is judged as the login will be, but
// for the address: the client's counts, not the browser's.
func (m *Method) proof(ctx context.Context, t *trust, r *role, state *flowState, req *callbackRequest) (*finishedLogin, string, error) {
	said, by, err := m.converse(ctx, t, r, state, req)
	var user string
	if err == nil {
		err = r.check(said.find)
	}
	if err == nil {
		user, _, _, err = r.identify(said)
	}
	if err != nil {
		m.explain(r, said, err)
		return nil, "", err
	}
	text, err := json.Marshal(said)
	if err == nil && len(text) > mostToken {
		err = errors.New("The claims are longer than 64 KiB.")
	}
	return &finishedLogin{Said: text, By: by}, user, err
}

type confirmRequest struct {
	Confirmation string `json:"confirmation" doc:"What the page sends."`
}

// confirmed is the person's yes.
func (m *Method) confirmed(ctx context.Context, _ *backend.Call, req *confirmRequest) (*backend.Response, error) {
	var said confirmation
	if !m.flow.unsealed(forConfirmation, req.Confirmation, &said) || m.clock.Now().Unix() >= said.State.Ends {
		return m.pages.refusal(errState())
	}
	if _, _, err := m.resume(ctx, &said.State); err != nil {
		return m.pages.refusal(err)
	}
	return m.keep(ctx, &said.State, &said.Login)
}

// keep stores a sign-in until who began the login collects it, and tells the person.
func (m *Method) keep(ctx context.Context, state *flowState, login *finishedLogin) (*backend.Response, error) {
	now := m.clock.Now()
	key := doneKey(state.ends(), state.ID)
	err := m.area.Update(ctx, func(tx store.Tx) error {
		if err := unspent(tx, state); err != nil {
			return err
		}
		if kept, err := record.Get[finishedLogin](tx, key); kept != nil || err != nil {
			return errors.Join(err, errState())
		}
		if err := clearEnded(tx, donePrefix, now); err != nil {
			return err
		}
		waiting := 0
		span := store.PrefixRange([]byte(donePrefix))
		span.From, span.Limit, span.KeysOnly = endKey(donePrefix, now, nil), mostFinished, true
		if err := tx.Scan(span, func(_, _ []byte) (bool, error) { waiting++; return true, nil }); err != nil {
			return err
		}
		if waiting >= mostFinished {
			return backend.Errorf(backend.Overloaded, "too many sign-ins wait to be collected: try again in a few minutes")
		}
		return record.Put(tx, key, login)
	})
	if err != nil {
		return m.pages.refusal(err)
	}
	return m.pages.done()
}
