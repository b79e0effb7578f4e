package kubernetes

import (
	"context"
	"crypto/rand"
	"slices"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Where the name of an entity's alias comes from.
const (
	byUID  = "serviceaccount_uid"
	byName = "serviceaccount_name"
)

// roleRecord is a role as it is stored. Fields 1 to 19 are the TokenRecord's.
type roleRecord struct {
	auth.TokenRecord
	// UID tells the role from a later one of the same name.
	UID []byte `cbor:"20,keyasint"`
	// Revision is new with every write.
	Revision   []byte   `cbor:"21,keyasint"`
	Accounts   []string `cbor:"22,keyasint"`
	Namespaces []string `cbor:"23,keyasint,omitempty"`
	// Selector is as it was sent, in JSON or YAML.
	Selector    string `cbor:"24,keyasint,omitempty"`
	Audience    string `cbor:"25,keyasint,omitempty"`
	AliasSource string `cbor:"26,keyasint"`
}

func getRole(r store.Reader, name string) (*roleRecord, error) {
	return record.Get[roleRecord](r, roleKey(name))
}

type roleNamed struct {
	Name string `json:"name" doc:"Name of the role."`
}

type roleRequest struct {
	roleNamed
	BoundServiceAccountNames             *backend.CommaList `json:"bound_service_account_names" doc:"Service accounts, by name or pattern; * alone for any."`
	BoundServiceAccountNamespaces        *backend.CommaList `json:"bound_service_account_namespaces" doc:"Namespaces, by name or pattern; * alone for any."`
	BoundServiceAccountNamespaceSelector *string            `json:"bound_service_account_namespace_selector" doc:"Label selector of namespaces, in JSON or YAML."`
	Audience                             *string            `json:"audience" doc:"Audience that the JWT must be for."`
	AliasNameSource                      *string            `json:"alias_name_source" doc:"serviceaccount_uid or serviceaccount_name."`
	auth.TokenParams
	Policies   *backend.CommaList     `json:"policies" doc:"Old name of token_policies."`
	NumUses    *int                   `json:"num_uses" doc:"Old name of token_num_uses."`
	TTL        *backend.SignedSeconds `json:"ttl" doc:"Old name of token_ttl."`
	MaxTTL     *backend.SignedSeconds `json:"max_ttl" doc:"Old name of token_max_ttl."`
	Period     *backend.SignedSeconds `json:"period" doc:"Old name of token_period."`
	BoundCIDRs *backend.CommaList     `json:"bound_cidrs" doc:"Old name of token_bound_cidrs."`
}

type roleView struct {
	auth.TokenView
	Accounts    []string `json:"bound_service_account_names"`
	Namespaces  []string `json:"bound_service_account_namespaces"`
	Selector    string   `json:"bound_service_account_namespace_selector"`
	Audience    string   `json:"audience,omitempty"`
	AliasSource string   `json:"alias_name_source"`
}

func (m *Method) role(ctx context.Context, name string) (*roleRecord, error) {
	var found *roleRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		found, err = getRole(r, name)
		return err
	})
	return found, err
}

func (m *Method) roleExists(ctx context.Context, c *backend.Call) (bool, error) {
	r, err := m.role(ctx, c.Capture("name"))
	return r != nil, err
}

func (m *Method) readRole(ctx context.Context, _ *backend.Call, req *roleNamed) (*roleView, error) {
	r, err := m.role(ctx, req.Name)
	if r == nil || err != nil {
		return nil, err
	}
	return &roleView{
		TokenView: r.View(), Accounts: auth.NotNull(r.Accounts), Namespaces: auth.NotNull(r.Namespaces),
		Selector: r.Selector, Audience: r.Audience, AliasSource: r.AliasSource,
	}, nil
}

// writeRole creates or updates a role; what was not sent stays as it is.
func (m *Method) writeRole(ctx context.Context, c *backend.Call, req *roleRequest) (*backend.None, error) {
	uid, revision := make([]byte, 16), make([]byte, 8)
	rand.Read(uid)
	rand.Read(revision)
	var written *roleRecord
	err := m.area.Update(ctx, func(tx store.Tx) error {
		r, err := getRole(tx, req.Name)
		if err != nil {
			return err
		}
		switch {
		case r == nil && c.Operation != backend.Create:
			return backend.Errorf(backend.NotFound, "no such role")
		case r != nil && c.Operation == backend.Create:
			return backend.Errorf(backend.Conflict, "the role was created by another request")
		case r == nil:
			r = &roleRecord{UID: uid, AliasSource: byUID}
		}
		r.Revision = revision
		if err := r.merge(req, c.Mount); err != nil {
			return err
		}
		written = r
		return record.Put(tx, roleKey(req.Name), r)
	})
	if err == nil && slices.Equal(written.Accounts, []string{"*"}) && slices.Equal(written.Namespaces, []string{"*"}) {
		m.log.Warn("every service account of the cluster can log in with a role", "role", req.Name, "mount", c.Mount.Path)
	}
	return nil, err
}

// merge puts what was sent into r and judges the result. Contract: auth-methods §6.
func (r *roleRecord) merge(req *roleRequest, mount backend.Mount) error {
	if req.BoundServiceAccountNames != nil {
		r.Accounts = patterns(*req.BoundServiceAccountNames)
	}
	if req.BoundServiceAccountNamespaces != nil {
		r.Namespaces = patterns(*req.BoundServiceAccountNamespaces)
	}
	set(&r.Selector, req.BoundServiceAccountNamespaceSelector)
	set(&r.Audience, req.Audience)
	set(&r.AliasSource, req.AliasNameSource)
	if r.AliasSource == "" {
		r.AliasSource = byUID
	}
	switch {
	case len(r.Accounts) == 0:
		return backend.Invalidf(`"bound_service_account_names" can not be empty`)
	case len(r.Namespaces) == 0 && r.Selector == "":
		return backend.Invalidf(`"bound_service_account_namespaces" can not be empty if "bound_service_account_namespace_selector" is not set`)
	case mixed(r.Accounts) || mixed(r.Namespaces):
		return backend.Invalidf(`can not mix "*" with values`)
	case r.AliasSource != byUID && r.AliasSource != byName:
		return backend.Invalidf("invalid alias_name_source, must be one of: %s, %s", byUID, byName)
	}
	if r.Selector != "" {
		if _, err := parseSelector(r.Selector); err != nil {
			return backend.Invalidf(`invalid "bound_service_account_namespace_selector" configured: %s`, err)
		}
	}
	old := auth.Synonyms{
		Policies: req.Policies, TTL: req.TTL, MaxTTL: req.MaxTTL, Period: req.Period, NumUses: req.NumUses, BoundCIDRs: req.BoundCIDRs,
	}
	if err := r.Apply(req.TokenParams, old); err != nil {
		return err
	}
	if (req.TTL != nil || req.MaxTTL != nil) && r.MaxTTL > 0 && r.TTL > r.MaxTTL {
		return backend.Invalidf("token ttl should not be greater than token max ttl")
	}
	if mount.MaxTTL > 0 && r.Period > mount.MaxTTL {
		return backend.Invalidf(`token period of '%q' is greater than the backend's maximum lease TTL of '%q'`,
			backend.FormatDuration(r.Period), backend.FormatDuration(mount.MaxTTL))
	}
	return r.Validate()
}

func patterns(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}

func mixed(list []string) bool { return len(list) > 1 && slices.Contains(list, "*") }

// set assigns what was sent.
func set[T any](field *T, sent *T) {
	if sent != nil {
		*field = *sent
	}
}

// deleteRole removes a role. Its tokens live until they are renewed.
func (m *Method) deleteRole(ctx context.Context, _ *backend.Call, req *roleNamed) (*backend.None, error) {
	return nil, m.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(roleKey(req.Name)) })
}
