package cert

import (
	"bytes"
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

type loginRequest struct {
	Name string `json:"name" doc:"The trusted certificate to log in with; by default all are tried in order."`
}

// login finds an entry that vouches for the connection's certificate. Contract: auth-methods §7.
func (m *Method) login(ctx context.Context, c *backend.Call, req *loginRequest) (*backend.Response, error) {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return nil, errNoCertificate()
	}
	p := present(c.TLS.PeerCertificates)
	settings, err := m.settings(ctx)
	if err != nil {
		return nil, err
	}
	found, err := m.find(ctx, req.Name, p, settings)
	if err != nil {
		return nil, err
	}
	if !auth.Within(found.entry.bound, c.Remote.Addr()) {
		return nil, backend.Errorf(backend.Denied, "permission denied")
	}
	if p.leaf.Subject.CommonName == "" {
		return nil, backend.Invalidf("missing name in alias")
	}
	login, err := m.vouch(ctx, found, settings)
	if err != nil {
		return nil, err
	}
	return &backend.Response{Login: login}, nil
}

func (m *Method) settings(ctx context.Context) (*configRecord, error) {
	var c *configRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		c, err = config(r)
		return err
	})
	return c, err
}

// find tries the entry of that name, or all of them in order; the first full match wins.
func (m *Method) find(ctx context.Context, name string, p presented, settings *configRecord) (*match, error) {
	var found *match
	furthest := untrusted
	try := func(e *entry) (bool, error) {
		got, v, err := m.judge(ctx, e, p, m.clock.Now())
		found, furthest = got, max(furthest, v)
		return v != matched, err
	}
	var err error
	if name == "" {
		err = m.each(ctx, settings.RoleCacheSize, try)
	} else {
		var e *entry
		err = m.area.View(ctx, func(r store.Reader) (err error) {
			e, err = m.load(r, strings.ToLower(strings.TrimSpace(name)), settings.RoleCacheSize)
			return err
		})
		if err == nil && e != nil {
			_, err = try(e)
		}
	}
	if err != nil || found != nil {
		return found, err
	}
	refusal := errNoMatch()
	switch furthest {
	case untrusted:
		refusal = errUntrusted()
	case unproved:
		refusal.Text += ": no OCSP responder could be asked whether it is revoked"
	}
	if settings.MetadataOnFailure {
		refusal.Data = describe(p.leaf)
	}
	return nil, refusal
}

// vouch makes the login of a match.
func (m *Method) vouch(ctx context.Context, found *match, settings *configRecord) (*backend.Login, error) {
	e := found.entry
	mine := &claim{alias: found.leaf.Subject.CommonName}
	if !settings.SharedCommonNames {
		err := m.area.View(ctx, func(r store.Reader) (err error) {
			mine, err = found.claim(r)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	state, err := record.Encode(stateOf(found))
	if err != nil {
		return nil, err
	}
	login := e.Login(e.bound)
	login.DisplayName = e.displayName(e.name)
	login.Metadata = e.metadata(found.leaf)
	login.Alias = &backend.Alias{Name: mine.alias}
	if settings.AliasMetadata {
		login.Alias.Metadata = e.metadata(found.leaf)
	}
	login.State = state
	login.Consume = func(tx store.Tx) error { return m.confirm(m.area.Within(tx), found, mine) }
	return login, nil
}

// confirm runs in the transaction that stores the token: what the login was judged by must be what
// holds now, and the name must still be free for it.
func (m *Method) confirm(tx store.Tx, found *match, mine *claim) error {
	rec, err := getEntry(tx, found.entry.name)
	if err != nil {
		return err
	}
	if rec == nil || !bytes.Equal(rec.UID, found.entry.UID) {
		return errUntrusted()
	}
	_, changes, _ := m.crls.current()
	if !bytes.Equal(rec.Revision, found.entry.Revision) || changes != found.changes {
		return errChanged()
	}
	if mine.key == nil {
		return nil
	}
	now, err := found.claim(tx)
	switch {
	case err != nil:
		return err
	case now.alias != mine.alias:
		return errChanged()
	case now.record == nil:
		return nil
	}
	return record.Put(tx, now.key, now.record)
}

func errChanged() error {
	return backend.Errorf(backend.Conflict, "what this login was judged by has been changed meanwhile: try again")
}

// loginState stays with a token, to prove its login again at renewal.
type loginState struct {
	UID  []byte `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint"`
	// Chain is the certificate and what led to the authority, without that one, in DER.
	Chain [][]byte `cbor:"3,keyasint"`
}

func stateOf(found *match) *loginState {
	s := &loginState{UID: found.entry.UID, Name: found.entry.name}
	chain := found.chain
	if len(chain) > 1 {
		chain = chain[:len(chain)-1]
	}
	for _, c := range chain {
		s.Chain = append(s.Chain, c.Raw)
	}
	return s
}

// RenewLogin proves the login again: the entry is there, the very one, and vouches for the certificate as
// it is now; nobody has revoked it; the policies are the same; and the connection shows the same
// certificate, unless the mount does without. Contract: auth-methods §7; CVE-2026-39388.
func (m *Method) RenewLogin(ctx context.Context, renewal backend.Renewal) (*backend.Login, error) {
	var state loginState
	if err := record.Decode(renewal.State, &state); err != nil {
		return nil, err
	}
	p, err := state.presented()
	if err != nil {
		return nil, err
	}
	settings, err := m.settings(ctx)
	if err != nil {
		return nil, err
	}
	at := m.clock.Now()
	if settings.DisableBinding {
		// The client may have gone on to a newer certificate, which is what this setting is for.
		at = earlier(at, p.leaf.NotAfter)
	} else if t := renewal.TLS; t == nil || len(t.PeerCertificates) == 0 {
		return nil, backend.Invalidf("failed to renew entry: no client certificate found")
	} else if shown := present(t.PeerCertificates); bytes.Equal(shown.leaf.Raw, p.leaf.Raw) {
		p.intermediates = slices.Concat(p.intermediates, shown.intermediates)
	} else {
		return nil, backend.Invalidf("failed to renew entry: client identity during renewal not matching client identity used during login")
	}
	var e *entry
	err = m.area.View(ctx, func(r store.Reader) (err error) {
		e, err = m.load(r, state.Name, settings.RoleCacheSize)
		return err
	})
	if err != nil {
		return nil, err
	}
	if e == nil || !bytes.Equal(e.UID, state.UID) {
		return nil, backend.Invalidf("failed to renew entry: certificate %q does not exist during renewal", state.Name)
	}
	if !auth.SamePolicies(e.Policies, renewal.Policies) {
		return nil, backend.Invalidf("failed to renew entry: policies have changed, not renewing")
	}
	_, v, err := m.judge(ctx, e, p, at)
	switch {
	case err != nil:
		return nil, err
	case v == unproved:
		return nil, backend.Invalidf("failed to renew entry: no OCSP responder could be asked whether the certificate is revoked")
	case v != matched:
		return nil, backend.Invalidf("failed to renew entry: %s", errNoMatch().Text)
	}
	return &backend.Login{Terms: e.Terms()}, nil
}

// presented is what the login showed.
func (s *loginState) presented() (presented, error) {
	var all []*x509.Certificate
	for _, der := range s.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return presented{}, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return presented{}, record.ErrMalformed
	}
	return presented{leaf: all[0], intermediates: all[1:]}, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
