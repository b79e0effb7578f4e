package approle

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// longest is the most bytes of a role name, role id or secret id.
const longest = 4096

// roleRecord is a role as it is stored. Fields 1 to 19 are the TokenRecord's.
type roleRecord struct {
	auth.TokenRecord
	// UID names the role for ever, whatever becomes of its name and role id.
	UID                []byte        `cbor:"20,keyasint"`
	Name               string        `cbor:"21,keyasint"`
	RoleID             string        `cbor:"22,keyasint"`
	BindSecretID       bool          `cbor:"23,keyasint,omitempty"`
	SecretIDBoundCIDRs []string      `cbor:"24,keyasint,omitempty"`
	SecretIDNumUses    int           `cbor:"25,keyasint,omitempty"`
	SecretIDTTL        time.Duration `cbor:"26,keyasint,omitempty"`
	LocalSecretIDs     bool          `cbor:"27,keyasint,omitempty"`
}

// role is a role ready for use. It is shared by logins and must not be changed.
type role struct {
	roleRecord
	// sources are SecretIDBoundCIDRs, tokenSources the TokenRecord's BoundCIDRs.
	sources, tokenSources []netip.Prefix
	// stored is the record's bytes.
	stored []byte
	// state is what stays with the tokens, metadata what they say where their secret id has none.
	state    []byte
	metadata map[string]string
}

// readyRole makes a stored role ready for use.
func readyRole(stored []byte) (*role, error) {
	r := &role{stored: stored}
	if err := record.Decode(stored, &r.roleRecord); err != nil {
		return nil, err
	}
	var err error
	if r.sources, err = auth.ParsePrefixes(r.SecretIDBoundCIDRs); err != nil {
		return nil, err
	}
	if r.tokenSources, err = auth.ParsePrefixes(r.BoundCIDRs); err != nil {
		return nil, err
	}
	r.metadata = map[string]string{"role_name": r.Name}
	r.state, err = record.Encode(&loginState{UID: r.UID, Name: r.Name})
	return r, err
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

func getRole(r store.Reader, name string) (*roleRecord, error) {
	return record.Get[roleRecord](r, roleKey(name))
}

// roleNamed carries the capture of every path below role/.
type roleNamed struct {
	RoleName string `json:"role_name" doc:"Name of the role."`
}

type roleRequest struct {
	roleNamed
	auth.TokenParams
	BindSecretID       *bool                  `json:"bind_secret_id" doc:"Whether a login needs a secret id."`
	SecretIDBoundCIDRs *backend.CommaList     `json:"secret_id_bound_cidrs" doc:"Addresses and networks that logins may come from."`
	BoundCIDRList      *backend.CommaList     `json:"bound_cidr_list" doc:"Old name of secret_id_bound_cidrs."`
	SecretIDNumUses    *int                   `json:"secret_id_num_uses" doc:"Logins that a secret id is good for; 0 is without limit."`
	SecretIDTTL        *backend.SignedSeconds `json:"secret_id_ttl" doc:"Life of a secret id; 0 is without end."`
	RoleID             *string                `json:"role_id" doc:"The role id; a random one by default."`
	LocalSecretIDs     *bool                  `json:"local_secret_ids" doc:"Accepted when the role is made; without effect on one cluster."`
	Policies           *backend.CommaList     `json:"policies" doc:"Old name of token_policies."`
	Period             *backend.SignedSeconds `json:"period" doc:"Old name of token_period."`
}

func (m *Method) roleExists(ctx context.Context, c *backend.Call) (bool, error) {
	found := false
	err := m.area.View(ctx, func(r store.Reader) error {
		role, err := getRole(r, c.Capture("role_name"))
		found = role != nil
		return err
	})
	return found, err
}

// writeRole creates or updates. Contract: auth-methods §2.1.
func (m *Method) writeRole(ctx context.Context, c *backend.Call, req *roleRequest) (*backend.None, error) {
	if len(req.RoleName) > longest {
		return nil, backend.Invalidf("role_name is longer than maximum of %d bytes", longest)
	}
	req.adjustType(c)
	if req.Period != nil && req.Period.Duration() > c.Mount.MaxTTL {
		return nil, backend.Invalidf("period of %q is greater than the backend's maximum lease TTL of %q",
			backend.FormatDuration(req.Period.Duration()), backend.FormatDuration(c.Mount.MaxTTL))
	}
	fresh := newRoleRecord(req.RoleName)
	var written *roleRecord
	err := m.area.Update(ctx, func(tx store.Tx) error {
		old, err := getRole(tx, req.RoleName)
		if err != nil {
			return err
		}
		if old == nil && c.Operation != backend.Create {
			return backend.Errorf(backend.NotFound, "role name %q doesn't exist", req.RoleName)
		}
		if old != nil && c.Operation == backend.Create {
			// The caller was allowed to create, not to change what another just made.
			return backend.Errorf(backend.Conflict, "role name %q was created by another request", req.RoleName)
		}
		written = fresh.clone()
		if old != nil {
			written = old.clone()
		}
		if err := req.apply(written, old == nil); err != nil {
			return err
		}
		return m.putRole(tx, old, written)
	})
	if err != nil {
		return nil, err
	}
	if written.MaxTTL > c.Mount.MaxTTL {
		c.Warn("token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be truncated")
	}
	return nil, nil
}

func newRoleRecord(name string) *roleRecord {
	uid := make([]byte, uidSize)
	rand.Read(uid)
	return &roleRecord{UID: uid, Name: name, RoleID: uuid.NewString(), BindSecretID: true}
}

// clone is a copy whose fields can be replaced (slices are replaced whole, never changed).
func (r *roleRecord) clone() *roleRecord {
	c := *r
	return &c
}

// adjustType accepts the two types that only mounts know. Contract: auth-methods §1.
func (req *roleRequest) adjustType(c *backend.Call) {
	if req.TokenType == nil {
		return
	}
	if plain, ok := strings.CutPrefix(*req.TokenType, "default-"); ok && (plain == "service" || plain == "batch") {
		c.Warn(*req.TokenType + " has no useful meaning; adjusting to " + plain)
		req.TokenType = &plain
	}
}

// apply merges the request into r.
func (req *roleRequest) apply(r *roleRecord, created bool) error {
	if req.LocalSecretIDs != nil {
		if !created && *req.LocalSecretIDs != r.LocalSecretIDs {
			return backend.Invalidf("local_secret_ids can only be modified during role creation")
		}
		r.LocalSecretIDs = *req.LocalSecretIDs
	}
	if req.RoleID != nil {
		if err := r.setRoleID(*req.RoleID); err != nil {
			return backend.Invalidf("invalid role_id supplied, or failed to generate a role_id")
		}
	}
	if req.BindSecretID != nil {
		r.BindSecretID = *req.BindSecretID
	}
	list := req.SecretIDBoundCIDRs
	if list == nil {
		list = req.BoundCIDRList
	}
	if list != nil {
		if err := r.setSecretIDBoundCIDRs(*list); err != nil {
			return err
		}
	}
	if req.SecretIDNumUses != nil {
		if err := r.setSecretIDNumUses(*req.SecretIDNumUses); err != nil {
			return err
		}
	}
	if req.SecretIDTTL != nil {
		r.setSecretIDTTL(*req.SecretIDTTL)
	}
	return r.Apply(req.TokenParams, auth.Synonyms{Policies: req.Policies, Period: req.Period})
}

func (r *roleRecord) setRoleID(id string) error {
	id = strings.TrimSpace(id)
	if id == "" || len(id) > longest {
		return backend.Invalidf("role_id is empty or longer than maximum of %d bytes", longest)
	}
	r.RoleID = id
	return nil
}

func (r *roleRecord) setSecretIDBoundCIDRs(list backend.CommaList) error {
	if _, err := auth.ParsePrefixes(list); err != nil {
		return backend.Invalidf("failed to validate CIDR blocks: %s", err)
	}
	r.SecretIDBoundCIDRs = slices.Clone([]string(list))
	return nil
}

func (r *roleRecord) setSecretIDNumUses(n int) error {
	if n < 0 {
		return backend.Invalidf("secret_id_num_uses cannot be negative")
	}
	r.SecretIDNumUses = n
	return nil
}

// setSecretIDTTL takes negative values too: they stand for the mount's maximum.
func (r *roleRecord) setSecretIDTTL(ttl backend.SignedSeconds) {
	r.SecretIDTTL = ttl.Duration().Truncate(time.Second)
}

// putRole writes next in place of old (nil for a new role) after judging it whole, and keeps
// the index of role ids true.
func (m *Method) putRole(tx store.Tx, old, next *roleRecord) error {
	if err := next.Validate(); err != nil {
		return err
	}
	if !next.BindSecretID && len(next.SecretIDBoundCIDRs) == 0 && len(next.BoundCIDRs) == 0 {
		return backend.Invalidf("at least one constraint should be enabled on the role")
	}
	if old == nil || old.RoleID != next.RoleID {
		key := roleIDKey(m.hash.roleID(next.RoleID))
		if _, err := tx.Get(key); err == nil {
			return backend.Invalidf("role_id already in use")
		} else if !isNotFound(err) {
			return err
		}
		if err := tx.Put(key, []byte(next.Name)); err != nil {
			return err
		}
		if old != nil {
			if err := tx.Delete(roleIDKey(m.hash.roleID(old.RoleID))); err != nil {
				return err
			}
		}
	}
	return record.Put(tx, roleKey(next.Name), next)
}

type roleView struct {
	auth.TokenView
	BindSecretID       bool            `json:"bind_secret_id"`
	LocalSecretIDs     bool            `json:"local_secret_ids"`
	SecretIDBoundCIDRs []string        `json:"secret_id_bound_cidrs"`
	SecretIDNumUses    int             `json:"secret_id_num_uses"`
	SecretIDTTL        backend.Seconds `json:"secret_id_ttl"`
}

func (m *Method) readRole(ctx context.Context, _ *backend.Call, req *roleNamed) (*roleView, error) {
	r, err := m.role(ctx, req.RoleName)
	if r == nil || err != nil {
		return nil, err
	}
	view := &roleView{
		TokenView:       r.View(),
		BindSecretID:    r.BindSecretID,
		LocalSecretIDs:  r.LocalSecretIDs,
		SecretIDNumUses: r.SecretIDNumUses,
		SecretIDTTL:     backend.Seconds(r.SecretIDTTL),
	}
	if len(r.SecretIDBoundCIDRs) > 0 {
		view.SecretIDBoundCIDRs = r.SecretIDBoundCIDRs
	}
	return view, nil
}

// role reads one role; nil when there is none.
func (m *Method) role(ctx context.Context, name string) (*roleRecord, error) {
	var found *roleRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		found, err = getRole(r, name)
		return err
	})
	return found, err
}

// deleteRole removes the role with all its secret ids. Its tokens live until they are renewed.
func (m *Method) deleteRole(ctx context.Context, _ *backend.Call, req *roleNamed) (*backend.None, error) {
	return nil, m.area.Update(ctx, func(tx store.Tx) error {
		r, err := getRole(tx, req.RoleName)
		if r == nil || err != nil {
			return err
		}
		if err := tx.Delete(roleIDKey(m.hash.roleID(r.RoleID))); err != nil {
			return err
		}
		if err := tx.Delete(roleKey(r.Name)); err != nil {
			return err
		}
		owned := store.PrefixRange(ownedKey(r.UID))
		return tx.DeleteRange(owned.From, owned.To)
	})
}

type listRequest struct {
	After string `json:"after" doc:"List what comes after this name."`
	Limit int    `json:"limit" doc:"List no more than this many; 0 is all."`
}

func (m *Method) listRoles(ctx context.Context, _ *backend.Call, req *listRequest) (*backend.Keys, error) {
	keys, err := auth.ListNames(ctx, m.area, rolePrefix, req.After, req.Limit)
	return backend.Listing(keys), err
}
