package token

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Role is a stored template for creating tokens. Contract: tokens §11.
type Role struct {
	Name                   string         `cbor:"1,keyasint"`
	AllowedPolicies        []string       `cbor:"2,keyasint,omitempty"`
	DisallowedPolicies     []string       `cbor:"3,keyasint,omitempty"`
	AllowedPoliciesGlob    []string       `cbor:"4,keyasint,omitempty"`
	DisallowedPoliciesGlob []string       `cbor:"5,keyasint,omitempty"`
	AllowedEntityAliases   []string       `cbor:"6,keyasint,omitempty"`
	Orphan                 bool           `cbor:"7,keyasint,omitempty"`
	Renewable              bool           `cbor:"8,keyasint,omitempty"`
	PathSuffix             string         `cbor:"9,keyasint,omitempty"`
	Period                 time.Duration  `cbor:"10,keyasint,omitempty"`
	ExplicitMaxTTL         time.Duration  `cbor:"11,keyasint,omitempty"`
	BoundCIDRs             []netip.Prefix `cbor:"12,keyasint,omitempty"`
	NoDefaultPolicy        bool           `cbor:"13,keyasint,omitempty"`
	NumUses                int            `cbor:"14,keyasint,omitempty"`
	// TokenType is service, batch, default-service or default-batch.
	TokenType string `cbor:"15,keyasint,omitempty"`
	// Legacy says which fields were last written under their old names, and read back so.
	Legacy RoleLegacy `cbor:"16,keyasint,omitempty"`
}

// RoleLegacy marks fields that were given under their deprecated names.
type RoleLegacy struct {
	Period         bool `cbor:"1,keyasint,omitempty"`
	ExplicitMaxTTL bool `cbor:"2,keyasint,omitempty"`
	BoundCIDRs     bool `cbor:"3,keyasint,omitempty"`
}

// suffixPattern must be found in a path suffix. Contract: tokens §11.
var suffixPattern = regexp.MustCompile(`\w[\w-.]+\w`)

// Validate refuses a role that cannot be kept.
func (r *Role) Validate() error {
	if r.PathSuffix != "" {
		if !suffixPattern.MatchString(r.PathSuffix) {
			return backend.Invalidf(`given role path suffix contains invalid characters; must match %s`, suffixPattern)
		}
		if strings.Contains(r.PathSuffix, "..") {
			return backend.Invalidf("error registering path suffix: path cannot contain parent references")
		}
	}
	if r.NumUses < 0 {
		return backend.Invalidf("error parsing role fields: 'token_num_uses' cannot be negative")
	}
	if r.TokenType != "batch" {
		return nil
	}
	const refusal = "'token_type' cannot be 'batch' when role is set to generate "
	switch {
	case !r.Orphan:
		return backend.Invalidf(refusal + "non-orphan tokens")
	case r.Period != 0:
		return backend.Invalidf(refusal + "periodic tokens")
	case r.Renewable:
		return backend.Invalidf(refusal + "renewable tokens")
	case r.ExplicitMaxTTL != 0:
		return backend.Invalidf(refusal + "tokens with an explicit max TTL")
	}
	return nil
}

func (r *Role) limitsPolicies() bool {
	return len(r.AllowedPolicies)+len(r.AllowedPoliciesGlob)+len(r.DisallowedPolicies)+len(r.DisallowedPoliciesGlob) > 0
}

func (r *Role) disallows(name string) bool {
	return slices.Contains(r.DisallowedPolicies, name) || matchesAny(r.DisallowedPoliciesGlob, name)
}

// apply puts the role's marks on a token that is being made.
func (r *Role) apply(t *Token) {
	t.Origin.Role = r.Name
	t.Origin.Path += strings.TrimSuffix("/"+r.PathSuffix, "/")
	t.Life.Renewable = t.Life.Renewable && r.Renewable
	if t.Batch {
		return
	}
	if r.NumUses > 0 && (t.Uses == 0 || r.NumUses < t.Uses) {
		t.Uses = r.NumUses
	}
}

// Role reads a role; nil when there is none.
func (s *Store) Role(ctx context.Context, name string) (role *Role, err error) {
	err = s.area.View(ctx, func(r store.Reader) (err error) {
		role, err = record.Get[Role](r, roleRecord(name))
		return err
	})
	return role, err
}

// UpdateRole changes a role, or makes one with the defaults, in one transaction. change may
// run more than once.
func (s *Store) UpdateRole(ctx context.Context, name string, change func(*Role) error) error {
	return s.area.Update(ctx, func(tx store.Tx) error {
		role, err := record.Get[Role](tx, roleRecord(name))
		if err != nil {
			return err
		}
		if role == nil {
			role = &Role{Name: name, Renewable: true, TokenType: "default-service"}
		}
		if err := change(role); err != nil {
			return err
		}
		if err := role.Validate(); err != nil {
			return err
		}
		return record.Put(tx, roleRecord(name), role)
	})
}

// DeleteRole removes a role; an absent one is no error. Its tokens live until their next renewal.
func (s *Store) DeleteRole(ctx context.Context, name string) error {
	return s.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(roleRecord(name)) })
}

// Roles lists the names of all roles, sorted.
func (s *Store) Roles(ctx context.Context) (names []string, err error) {
	r := store.PrefixRange([]byte{roleKey})
	r.KeysOnly = true
	err = s.area.View(ctx, func(view store.Reader) error {
		names = nil
		return view.Scan(r, func(k, _ []byte) (bool, error) {
			names = append(names, string(k[1:]))
			return true, nil
		})
	})
	return names, err
}
