package approle

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

type loginRequest struct {
	RoleID   string `json:"role_id" doc:"The role id."`
	SecretID string `json:"secret_id" doc:"The secret id, unless the role does without."`
}

// refused is the one answer to an unknown role id, to a wrong, expired or spent secret id,
// and to another role's.
func refused() error { return backend.Invalidf("invalid role or secret ID") }

// proof is what a login found out.
type proof struct {
	role *role
	// secret, its hash and the key of its record are nil where the role does without secret ids.
	secret    *secret
	hash, key []byte
}

// login proves a role id and a secret id. It writes nothing: what is to be spent is spent in
// Login.Consume, so that a use is gone exactly if a token was made. Contract: auth-methods §2.4.
func (m *Method) login(ctx context.Context, c *backend.Call, req *loginRequest) (*backend.Response, error) {
	roleID, secretID := strings.TrimSpace(req.RoleID), strings.TrimSpace(req.SecretID)
	if roleID == "" {
		return nil, backend.Invalidf("missing role_id")
	}
	if len(roleID) > longest || len(secretID) > longest {
		return nil, refused()
	}
	p, err := m.prove(ctx, roleID, secretID)
	if err != nil {
		return nil, err
	}
	bound, err := p.checkSources(c.Remote.Addr())
	if err != nil {
		return nil, err
	}
	login := p.role.Login(bound)
	login.Metadata, login.State = p.role.metadata, p.role.state
	if p.secret != nil {
		login.Metadata = p.secret.metadata
	}
	login.Alias = &backend.Alias{Name: p.role.RoleID, Metadata: login.Metadata}
	login.Consume = func(tx store.Tx) error { return m.consume(m.area.Within(tx), p) }
	return &backend.Response{Login: login}, nil
}

// prove finds the role and the secret id: both as they are remembered, or in one state of the
// store. An unknown role costs the same look for a secret id.
func (m *Method) prove(ctx context.Context, roleID, secretID string) (*proof, error) {
	p := &proof{}
	look := func(r store.Reader) error { return m.find(r, p, roleID, secretID) }
	err := look(record.Unread{})
	if errors.Is(err, record.ErrUnread) {
		err = m.area.View(ctx, look)
	}
	return p, err
}

func (m *Method) find(r store.Reader, p *proof, roleID, secretID string) (err error) {
	*p = proof{}
	if p.role, err = m.findRole(r, roleID); err != nil {
		return err
	}
	found := p.role
	if found == nil {
		found = &role{roleRecord: roleRecord{UID: make([]byte, uidSize), BindSecretID: true}}
	}
	if !found.BindSecretID {
		return nil
	}
	if p.role != nil && secretID == "" {
		return missing("secret_id")
	}
	p.hash = m.hash.secret(found.UID, secretID)
	p.key = secretKey(found.UID, p.hash)
	if p.secret, err = m.findSecret(r, found, p.key); err == nil && p.secret == nil {
		err = refused()
	}
	return err
}

// findRole finds a role by its role id; nil when there is none.
func (m *Method) findRole(r store.Reader, roleID string) (*role, error) {
	if known := m.roles.get(roleID); known != nil {
		return known, nil
	}
	name, err := r.Get(roleIDKey(m.hash.roleID(roleID)))
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stored, err := r.Get(roleKey(string(name)))
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	loaded, err := readyRole(stored)
	if err != nil {
		return nil, err
	}
	m.roles.put(loaded, r.Position())
	return loaded, nil
}

// findSecret finds a secret id of the role that has not expired; nil when there is none.
func (m *Method) findSecret(r store.Reader, of *role, key []byte) (*secret, error) {
	s, err := m.secrets.Read(r, key, of.readySecret)
	if s == nil || err != nil || ended(s.Expires, m.clock.Now()) {
		return nil, err
	}
	return s, nil
}

// checkSources checks where the login comes from, and returns what bounds the token: the
// secret id's networks, or else the role's. The role's token_bound_cidrs do not bound the
// login itself. Contract: auth-methods §2.4.
func (p *proof) checkSources(source netip.Addr) ([]netip.Prefix, error) {
	bound := p.role.tokenSources
	source = source.Unmap()
	if s := p.secret; s != nil {
		if err := within("", s.sources, p.role.sources); err != nil {
			return nil, err
		}
		if !auth.Within(s.sources, source) {
			text := "source address %q unauthorized through CIDR restrictions on the secret ID"
			if s.NumUses > 0 {
				text = "source address %q unauthorized by CIDR restrictions on the secret ID"
			}
			return nil, backend.Invalidf(text, source)
		}
		if err := within("token ", s.tokenSources, p.role.tokenSources); err != nil {
			return nil, err
		}
		if len(s.tokenSources) > 0 {
			bound = s.tokenSources
		}
	}
	if !auth.Within(p.role.sources, source) {
		return nil, backend.Invalidf("source address %q unauthorized by CIDR restrictions on the role", source)
	}
	return bound, nil
}

// consume runs in the transaction that stores the token. It judges again what may have
// changed since the proof, and spends one use. It may run more than once.
func (m *Method) consume(tx store.Tx, p *proof) error {
	if err := m.confirm(tx, p.role); err != nil || p.secret == nil {
		return err
	}
	s, err := m.findSecret(tx, p.role, p.key)
	if err != nil {
		return err
	}
	if s == nil || s.Accessor != p.secret.Accessor {
		return refused()
	}
	return m.spend(tx, p, s)
}

// confirm makes sure in tx that the role is still what the login was judged by: an operator who
// has taken a policy from it, say, meets no token that has it and is younger than the change.
func (m *Method) confirm(tx store.Tx, r *role) error {
	if m.roles.get(r.RoleID) == r {
		return nil
	}
	// It was changed, or has made room for others.
	stored, err := tx.Get(roleKey(r.Name))
	if isNotFound(err) {
		return refused()
	}
	if err != nil || bytes.Equal(stored, r.stored) {
		return err
	}
	now, err := readyRole(stored)
	if err != nil {
		return err
	}
	if now.RoleID != r.RoleID || !bytes.Equal(now.UID, r.UID) {
		return refused()
	}
	return backend.Errorf(backend.Conflict, "the role was changed during the login: try again")
}

// spend takes a use.
func (m *Method) spend(tx store.Tx, p *proof, s *secret) error {
	now := m.clock.Now()
	switch s.NumUses {
	case 0:
		return m.uses.note(tx, p.role.UID, p.hash, now)
	case 1:
		return m.eraseSecret(tx, p.role.UID, p.hash, &s.secretRecord)
	}
	left := s.secretRecord
	left.NumUses--
	left.Updated = now.Truncate(precision)
	return record.Put(tx, p.key, &left)
}

// loginState stays with a token, to find its role again at renewal.
type loginState struct {
	UID  []byte `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint"`
}

// RenewLogin asks that the role is there still, the very one: a new role of the same name
// does not vouch for tokens of the old. The secret id may be gone. Contract: auth-methods §1.3.
func (m *Method) RenewLogin(ctx context.Context, renewal backend.Renewal) (*backend.Login, error) {
	var state loginState
	if err := record.Decode(renewal.State, &state); err != nil {
		return nil, err
	}
	r, err := m.role(ctx, state.Name)
	if err != nil {
		return nil, err
	}
	if r == nil || string(r.UID) != string(state.UID) {
		return nil, backend.Invalidf("failed to renew entry: role %q does not exist during renewal", state.Name)
	}
	return &backend.Login{Terms: r.Terms()}, nil
}
