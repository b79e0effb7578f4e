package approle

import (
	"context"
	"time"

	"github.com/google/uuid"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// secretRoutes are the paths of a role's secret ids. Contract: auth-methods §2.3.
func (m *Method) secretRoutes() []backend.Route {
	lookup := backend.Handle(m.lookupSecret)
	destroy := backend.Handle(m.destroySecret)
	destroyAccessor := backend.Handle(m.destroyAccessor)
	return []backend.Route{
		{
			Pattern: "role/{role_name|lower}/secret-id",
			Summary: "Make a secret id, or list the accessors of the secret ids.",
			Write:   backend.Handle(m.generate),
			List:    backend.Handle(m.listAccessors),
		},
		{
			Pattern: "role/{role_name|lower}/custom-secret-id",
			Summary: "Register a secret id of the caller's own.",
			Write:   backend.Handle(m.register),
		},
		{
			Pattern: "role/{role_name|lower}/secret-id/lookup",
			Summary: "Properties of a secret id.",
			Write:   lookup,
		},
		{
			Pattern: "role/{role_name|lower}/secret-id/destroy",
			Summary: "Destroy a secret id.",
			Write:   destroy, Delete: destroy,
		},
		{
			Pattern: "role/{role_name|lower}/secret-id-accessor/lookup",
			Summary: "Properties of the secret id of an accessor.",
			Write:   backend.Handle(m.lookupAccessor),
		},
		{
			Pattern: "role/{role_name|lower}/secret-id-accessor/destroy",
			Summary: "Destroy the secret id of an accessor.",
			Write:   destroyAccessor, Delete: destroyAccessor,
		},
	}
}

type generateRequest struct {
	roleNamed
	Metadata        any                    `json:"metadata" doc:"JSON object of strings, or key=value pairs; goes into the metadata of the tokens."`
	CIDRList        backend.CommaList      `json:"cidr_list" doc:"Addresses and networks that logins may come from; within the role's."`
	TokenBoundCIDRs backend.CommaList      `json:"token_bound_cidrs" doc:"Addresses and networks that the tokens may be used from; within the role's."`
	NumUses         *int                   `json:"num_uses" doc:"Logins that the secret id is good for; the role's by default."`
	TTL             *backend.SignedSeconds `json:"ttl" doc:"Life of the secret id; the role's by default."`
}

type registerRequest struct {
	generateRequest
	SecretID string `json:"secret_id" doc:"The secret id to register."`
}

type generated struct {
	SecretID         string          `json:"secret_id"`
	SecretIDAccessor string          `json:"secret_id_accessor"`
	SecretIDTTL      backend.Seconds `json:"secret_id_ttl"`
	SecretIDNumUses  int             `json:"secret_id_num_uses"`
}

func (m *Method) generate(ctx context.Context, c *backend.Call, req *generateRequest) (*backend.Response, error) {
	return m.issue(ctx, c, req, uuid.NewString())
}

func (m *Method) register(ctx context.Context, c *backend.Call, req *registerRequest) (*backend.Response, error) {
	if req.SecretID == "" {
		return nil, missing("secret_id")
	}
	return m.issue(ctx, c, &req.generateRequest, req.SecretID)
}

// sweptPerIssue is how many expired secret ids go when a new one is made: more than come, so
// that records do not pile up even where nobody ever tidies.
const sweptPerIssue = 4

func (m *Method) issue(ctx context.Context, c *backend.Call, req *generateRequest, id string) (*backend.Response, error) {
	if len(id) > longest {
		return nil, backend.Invalidf("value is longer than maximum of %d bytes", longest)
	}
	metadata, err := parseMetadata(req.Metadata)
	if err != nil {
		return nil, err
	}
	accessor := uuid.NewString()
	now := m.clock.Now().Truncate(precision)
	var allowed *terms
	err = m.area.Update(ctx, func(tx store.Tx) error {
		r, err := m.existing(tx, req.RoleName)
		if err != nil {
			return err
		}
		if allowed, err = req.resolve(r, metadata, c.Mount.MaxTTL); err != nil {
			return err
		}
		if _, err := m.sweep(tx, r.UID, now, sweptPerIssue); err != nil {
			return err
		}
		s := &secretRecord{
			Accessor: accessor, NumUses: allowed.numUses, TTL: allowed.ttl, Created: now, Updated: now,
			Metadata: allowed.metadata, CIDRs: allowed.cidrs, TokenCIDRs: allowed.tokenCIDRs,
		}
		if allowed.ttl > 0 {
			s.Expires = now.Add(allowed.ttl)
		}
		return m.putSecret(tx, r.UID, m.hash.secret(r.UID, id), s)
	})
	if err != nil {
		return nil, err
	}
	return &backend.Response{
		Data: &generated{
			SecretID: id, SecretIDAccessor: accessor,
			SecretIDTTL: backend.Seconds(allowed.ttl), SecretIDNumUses: allowed.numUses,
		},
		WrappedAccessor: accessor,
	}, nil
}

// existing reads a role that must be there: the error is then a 404. Contract: auth-methods §2.3.
func (m *Method) existing(r store.Reader, name string) (*roleRecord, error) {
	found, err := getRole(r, name)
	if err == nil && found == nil {
		err = backend.Errorf(backend.NotFound, "role %q does not exist", name)
	}
	return found, err
}

func (m *Method) listAccessors(ctx context.Context, c *backend.Call, req *roleNamed) (*backend.Keys, error) {
	now := m.clock.Now()
	var accessors []string
	err := m.area.View(ctx, func(r store.Reader) error {
		role, err := getRole(r, req.RoleName)
		if err != nil {
			return err
		}
		if role == nil {
			return backend.Invalidf("role %q does not exist", req.RoleName)
		}
		accessors = nil
		all := store.PrefixRange(append(ownedKey(role.UID), accessorPart...))
		return record.Each(r, all, func(_ []byte, entry *accessorRecord, malformed error) error {
			if malformed == nil && !ended(entry.Expires, now) {
				accessors = append(accessors, entry.Accessor)
			}
			return nil
		})
	})
	return backend.Listing(accessors), err
}

type secretRequest struct {
	roleNamed
	SecretID string `json:"secret_id" doc:"The secret id."`
}

type accessorRequest struct {
	roleNamed
	SecretIDAccessor string `json:"secret_id_accessor" doc:"The accessor of the secret id."`
}

type secretView struct {
	SecretIDAccessor string          `json:"secret_id_accessor"`
	SecretIDNumUses  int             `json:"secret_id_num_uses"`
	SecretIDTTL      backend.Seconds `json:"secret_id_ttl"`
	CreationTime     time.Time       `json:"creation_time"`
	ExpirationTime   time.Time       `json:"expiration_time"`
	LastUpdatedTime  time.Time       `json:"last_updated_time"`
	// LastUsedTime goes beyond the contract; the zero time for never.
	LastUsedTime    time.Time         `json:"last_used_time"`
	Metadata        map[string]string `json:"metadata"`
	CIDRList        []string          `json:"cidr_list"`
	TokenBoundCIDRs []string          `json:"token_bound_cidrs"`
}

func (s *secretRecord) view(used time.Time) *secretView {
	v := &secretView{
		SecretIDAccessor: s.Accessor, SecretIDNumUses: s.NumUses, SecretIDTTL: backend.Seconds(s.TTL),
		CreationTime: stamp(s.Created), ExpirationTime: stamp(s.Expires), LastUpdatedTime: stamp(s.Updated), LastUsedTime: stamp(used),
		Metadata: s.Metadata, CIDRList: auth.NotNull(s.CIDRs), TokenBoundCIDRs: auth.NotNull(s.TokenCIDRs),
	}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	return v
}

// viewSecret shows a secret id; nothing where s is nil.
func viewSecret(r store.Reader, uid, hash []byte, s *secretRecord) (*secretView, error) {
	if s == nil {
		return nil, nil
	}
	used, err := lastUse(r, uid, hash, s)
	if err != nil {
		return nil, err
	}
	return s.view(used), nil
}

// stamp is a stored time as clients see it.
func stamp(t time.Time) time.Time { return t.Round(precision).UTC() }

// lookupSecret answers nothing (a 204) for a secret id that is not the role's.
func (m *Method) lookupSecret(ctx context.Context, _ *backend.Call, req *secretRequest) (*secretView, error) {
	if req.SecretID == "" {
		return nil, missing("secret_id")
	}
	var found *secretView
	err := m.area.View(ctx, func(r store.Reader) error {
		role, err := m.existing(r, req.RoleName)
		if err != nil {
			return err
		}
		hash := m.hash.secret(role.UID, req.SecretID)
		s, err := getSecret(r, role.UID, hash, m.clock.Now())
		if err != nil {
			return err
		}
		found, err = viewSecret(r, role.UID, hash, s)
		return err
	})
	return found, err
}

func (m *Method) destroySecret(ctx context.Context, _ *backend.Call, req *secretRequest) (*backend.None, error) {
	if req.SecretID == "" {
		return nil, missing("secret_id")
	}
	return nil, m.area.Update(ctx, func(tx store.Tx) error {
		role, err := m.existing(tx, req.RoleName)
		if err != nil {
			return err
		}
		hash := m.hash.secret(role.UID, req.SecretID)
		s, err := record.Get[secretRecord](tx, secretKey(role.UID, hash))
		if s == nil || err != nil {
			return err
		}
		return m.eraseSecret(tx, role.UID, hash, s)
	})
}

// errorData is the data of the one 404 that has some. Contract: auth-methods §2.3.
type errorData struct {
	Error string `json:"error"`
}

// unknownAccessor does not repeat the accessor: people send secret ids by mistake.
func unknownAccessor() error {
	const text = "failed to find accessor entry for secret_id_accessor"
	return &backend.Error{Kind: backend.NotFound, Text: text, Data: &errorData{text}}
}

func (m *Method) lookupAccessor(ctx context.Context, _ *backend.Call, req *accessorRequest) (*secretView, error) {
	if req.SecretIDAccessor == "" {
		return nil, missing("secret_id_accessor")
	}
	var found *secretView
	err := m.area.View(ctx, func(r store.Reader) error {
		role, err := m.existing(r, req.RoleName)
		if err != nil {
			return err
		}
		s, hash, err := m.getByAccessor(r, role.UID, req.SecretIDAccessor, m.clock.Now())
		if err != nil {
			return err
		}
		found, err = viewSecret(r, role.UID, hash, s)
		return err
	})
	if err == nil && found == nil {
		err = unknownAccessor()
	}
	return found, err
}

func (m *Method) destroyAccessor(ctx context.Context, _ *backend.Call, req *accessorRequest) (*backend.None, error) {
	if req.SecretIDAccessor == "" {
		return nil, missing("secret_id_accessor")
	}
	now := m.clock.Now()
	return nil, m.area.Update(ctx, func(tx store.Tx) error {
		role, err := m.existing(tx, req.RoleName)
		if err != nil {
			return err
		}
		s, hash, err := m.getByAccessor(tx, role.UID, req.SecretIDAccessor, now)
		if err != nil {
			return err
		}
		if s == nil {
			return unknownAccessor()
		}
		return m.eraseSecret(tx, role.UID, hash, s)
	})
}
