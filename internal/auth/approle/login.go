package approle

import (
	"context"
	"maps"
	"net/netip"
	"strings"
	"time"

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
	// secret and its hash are nil where the role does without secret ids.
	secret *secretRecord
	hash   []byte
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
	state, err := record.Encode(&loginState{UID: p.role.UID, Name: p.role.Name})
	if err != nil {
		return nil, err
	}
	metadata := map[string]string{}
	if p.secret != nil {
		maps.Copy(metadata, p.secret.Metadata)
	}
	metadata["role_name"] = p.role.Name
	login := p.role.Login(bound)
	login.Metadata = metadata
	login.Alias = &backend.Alias{Name: p.role.RoleID, Metadata: maps.Clone(metadata)}
	login.State = state
	login.Consume = func(tx store.Tx) error { return m.consume(m.area.Within(tx), p) }
	return &backend.Response{Login: login}, nil
}

// prove finds the role and the secret id in one state of the store. An unknown role costs the
// same look for a secret id.
func (m *Method) prove(ctx context.Context, roleID, secretID string) (*proof, error) {
	p := &proof{}
	now := m.clock.Now()
	err := m.area.View(ctx, func(r store.Reader) error {
		*p = proof{role: m.roles.get(roleID)}
		if p.role == nil {
			var err error
			if p.role, err = m.loadRole(r, roleID); err != nil {
				return err
			}
		}
		uid := make([]byte, uidSize)
		if p.role != nil {
			uid = p.role.UID
			if !p.role.BindSecretID {
				return nil
			}
			if secretID == "" {
				return missing("secret_id")
			}
		}
		p.hash = m.hash.secret(uid, secretID)
		var err error
		if p.secret, err = getSecret(r, uid, p.hash, now); err != nil {
			return err
		}
		if p.role == nil || p.secret == nil {
			return refused()
		}
		return nil
	})
	return p, err
}

// loadRole reads a role by its role id into the cache; nil when there is none.
func (m *Method) loadRole(r store.Reader, roleID string) (*role, error) {
	name, err := r.Get(roleIDKey(m.hash.roleID(roleID)))
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rec, err := getRole(r, string(name))
	if rec == nil || err != nil {
		return nil, err
	}
	loaded, err := rec.ready()
	if err != nil {
		return nil, err
	}
	m.roles.put(loaded, r.Position())
	return loaded, nil
}

// checkSources checks where the login comes from, and returns what bounds the token: the
// secret id's networks, or else the role's. The role's token_bound_cidrs do not bound the
// login itself. Contract: auth-methods §2.4.
func (p *proof) checkSources(source netip.Addr) ([]netip.Prefix, error) {
	bound := p.role.tokenSources
	source = source.Unmap()
	if p.secret != nil {
		sources, err := narrower("", p.secret.CIDRs, p.role.SecretIDBoundCIDRs)
		if err != nil {
			return nil, err
		}
		if !auth.Within(sources, source) {
			text := "source address %q unauthorized through CIDR restrictions on the secret ID"
			if p.secret.NumUses > 0 {
				text = "source address %q unauthorized by CIDR restrictions on the secret ID"
			}
			return nil, backend.Invalidf(text, source)
		}
		own, err := narrower("token ", p.secret.TokenCIDRs, p.role.BoundCIDRs)
		if err != nil {
			return nil, err
		}
		if len(own) > 0 {
			bound = own
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
	if p.secret == nil {
		r, err := getRole(tx, p.role.Name)
		if err == nil && (r == nil || r.BindSecretID || string(r.UID) != string(p.role.UID)) {
			err = refused()
		}
		return err
	}
	// The secret id goes with its role, so that this says that the role is there, too.
	now := m.clock.Now()
	s, err := getSecret(tx, p.role.UID, p.hash, now)
	if err != nil {
		return err
	}
	if s == nil || s.Accessor != p.secret.Accessor {
		return refused()
	}
	return m.spend(tx, p, s, now)
}

func (m *Method) spend(tx store.Tx, p *proof, s *secretRecord, now time.Time) error {
	switch s.NumUses {
	case 0:
		return m.uses.note(tx, p.role.UID, p.hash, now)
	case 1:
		return m.eraseSecret(tx, p.role.UID, p.hash, s)
	}
	s.NumUses--
	s.Updated = now.Truncate(precision)
	return record.Put(tx, secretKey(p.role.UID, p.hash), s)
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
