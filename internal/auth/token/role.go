package token

import (
	"context"
	"fmt"
	"net/netip"

	"jeton/internal/auth"
	"jeton/internal/backend"
	tokens "jeton/internal/token"
)

func (m *Method) roleRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "roles", Summary: "List the token roles.", List: backend.Reads(m.listRoles)},
		{Pattern: "roles/{role_name}", Summary: "A template for creating tokens.",
			Exists: m.roleExists,
			Read:   backend.Reads(m.readRole), Write: backend.Handle(m.writeRole), Delete: backend.Handle(m.deleteRole)},
	}
}

type roleName struct {
	Name string `json:"role_name" doc:"The name of the role."`
}

// roleRequest changes what it names and leaves the rest. Contract: tokens §11.
type roleRequest struct {
	Name                   string             `json:"role_name" doc:"The name of the role."`
	AllowedPolicies        *backend.CommaList `json:"allowed_policies" doc:"Policies that tokens of the role may have, and have when none are asked for."`
	DisallowedPolicies     *backend.CommaList `json:"disallowed_policies" doc:"Policies that they may not have."`
	AllowedPoliciesGlob    *backend.CommaList `json:"allowed_policies_glob" doc:"Patterns of policies that they may have."`
	DisallowedPoliciesGlob *backend.CommaList `json:"disallowed_policies_glob" doc:"Patterns of policies that they may not have."`
	Orphan                 *bool              `json:"orphan" doc:"Whether tokens of the role have no parent."`
	Renewable              *bool              `json:"renewable" doc:"Whether they can be renewed."`
	PathSuffix             *string            `json:"path_suffix" doc:"What their path ends in, for revoking them together."`
	AllowedEntityAliases   *backend.CommaList `json:"allowed_entity_aliases" doc:"Aliases that a creator may ask for."`
	Period                 *backend.Seconds   `json:"period" doc:"The old name of token_period."`
	TokenPeriod            *backend.Seconds   `json:"token_period" doc:"The step of tokens that can be renewed for ever."`
	ExplicitMaxTTL         *backend.Seconds   `json:"explicit_max_ttl" doc:"The old name of token_explicit_max_ttl."`
	TokenExplicitMaxTTL    *backend.Seconds   `json:"token_explicit_max_ttl" doc:"The bound on a token's whole life."`
	BoundCIDRs             *backend.CommaList `json:"bound_cidrs" doc:"The old name of token_bound_cidrs."`
	TokenBoundCIDRs        *backend.CommaList `json:"token_bound_cidrs" doc:"Networks that tokens may be used from."`
	TokenNoDefaultPolicy   *bool              `json:"token_no_default_policy" doc:"Leave the default policy out."`
	TokenNumUses           *int               `json:"token_num_uses" doc:"The number of requests a token is good for."`
	TokenType              *string            `json:"token_type" doc:"service, batch, default-service or default-batch."`
}

// roleData is what reading a role answers. Contract: tokens §11.
type roleData struct {
	AllowedEntityAliases   []string `json:"allowed_entity_aliases"`
	AllowedPolicies        []string `json:"allowed_policies"`
	AllowedPoliciesGlob    []string `json:"allowed_policies_glob"`
	BoundCIDRs             []string `json:"bound_cidrs,omitempty"`
	DisallowedPolicies     []string `json:"disallowed_policies"`
	DisallowedPoliciesGlob []string `json:"disallowed_policies_glob"`
	ExplicitMaxTTL         int64    `json:"explicit_max_ttl"`
	Name                   string   `json:"name"`
	Orphan                 bool     `json:"orphan"`
	PathSuffix             string   `json:"path_suffix"`
	Period                 int64    `json:"period"`
	Renewable              bool     `json:"renewable"`
	TokenBoundCIDRs        []string `json:"token_bound_cidrs,omitempty"`
	TokenExplicitMaxTTL    int64    `json:"token_explicit_max_ttl"`
	TokenNoDefaultPolicy   bool     `json:"token_no_default_policy"`
	TokenNumUses           int      `json:"token_num_uses,omitempty"`
	TokenPeriod            int64    `json:"token_period"`
	TokenType              string   `json:"token_type"`
}

func (m *Method) roleExists(ctx context.Context, c *backend.Call) (bool, error) {
	role, err := m.tokens.Role(ctx, c.Capture("role_name"))
	return role != nil, err
}

func (m *Method) listRoles(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Keys, error) {
	names, err := m.tokens.Roles(ctx)
	return backend.Listing(names), err
}

func (m *Method) deleteRole(ctx context.Context, _ *backend.Call, req *roleName) (*backend.None, error) {
	return nil, m.tokens.DeleteRole(ctx, req.Name)
}

func (m *Method) readRole(ctx context.Context, _ *backend.Call, req *roleName) (*roleData, error) {
	r, err := m.tokens.Role(ctx, req.Name)
	if r == nil || err != nil {
		return nil, err
	}
	d := &roleData{
		AllowedEntityAliases:   r.AllowedEntityAliases,
		AllowedPolicies:        never(r.AllowedPolicies),
		AllowedPoliciesGlob:    never(r.AllowedPoliciesGlob),
		DisallowedPolicies:     never(r.DisallowedPolicies),
		DisallowedPoliciesGlob: never(r.DisallowedPoliciesGlob),
		Name:                   r.Name,
		Orphan:                 r.Orphan,
		PathSuffix:             r.PathSuffix,
		Renewable:              r.Renewable,
		TokenBoundCIDRs:        auth.FormatPrefixes(r.BoundCIDRs),
		TokenExplicitMaxTTL:    int64(r.ExplicitMaxTTL.Seconds()),
		TokenNoDefaultPolicy:   r.NoDefaultPolicy,
		TokenNumUses:           r.NumUses,
		TokenPeriod:            int64(r.Period.Seconds()),
		TokenType:              r.TokenType,
	}
	if r.Legacy.Period {
		d.Period = d.TokenPeriod
	}
	if r.Legacy.ExplicitMaxTTL {
		d.ExplicitMaxTTL = d.TokenExplicitMaxTTL
	}
	if r.Legacy.BoundCIDRs {
		d.BoundCIDRs = d.TokenBoundCIDRs
	}
	return d, nil
}

// never is a list that is shown as [] and never as null.
func never(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (m *Method) writeRole(ctx context.Context, c *backend.Call, req *roleRequest) (*backend.None, error) {
	cidrs, err := req.cidrs()
	if err != nil {
		return nil, err
	}
	kind, err := req.kind(c)
	if err != nil {
		return nil, err
	}
	req.warnDoubles(c)
	var explicit int64
	err = m.tokens.UpdateRole(ctx, req.Name, func(r *tokens.Role) error {
		set(&r.Orphan, req.Orphan)
		set(&r.Renewable, req.Renewable)
		set(&r.PathSuffix, req.PathSuffix)
		set(&r.NoDefaultPolicy, req.TokenNoDefaultPolicy)
		set(&r.NumUses, req.TokenNumUses)
		setList(&r.AllowedPolicies, req.AllowedPolicies)
		setList(&r.DisallowedPolicies, req.DisallowedPolicies)
		setList(&r.AllowedPoliciesGlob, req.AllowedPoliciesGlob)
		setList(&r.DisallowedPoliciesGlob, req.DisallowedPoliciesGlob)
		setList(&r.AllowedEntityAliases, req.AllowedEntityAliases)
		if kind != "" {
			r.TokenType = kind
		}
		if v, legacy := newer(req.TokenPeriod, req.Period); v != nil {
			r.Period, r.Legacy.Period = v.Duration(), legacy
		}
		if v, legacy := newer(req.TokenExplicitMaxTTL, req.ExplicitMaxTTL); v != nil {
			r.ExplicitMaxTTL, r.Legacy.ExplicitMaxTTL = v.Duration(), legacy
		}
		if v, legacy := newer(req.TokenBoundCIDRs, req.BoundCIDRs); v != nil {
			r.BoundCIDRs, r.Legacy.BoundCIDRs = cidrs, legacy
		}
		explicit = int64(r.ExplicitMaxTTL.Seconds())
		return nil
	})
	if most := int64(c.Mount.MaxTTL.Seconds()); err == nil && explicit > most {
		c.Warn(fmt.Sprintf("Given explicit max TTL of %d is greater than system/mount allowed value of %d seconds; tokens of this role will be capped to that", explicit, most))
	}
	return nil, err
}

// newer is the field's value under its new name, or under its old one where that alone was
// given, which is then read back too.
func newer[T any](now, old *T) (v *T, legacy bool) {
	if now != nil {
		return now, false
	}
	return old, old != nil
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

func setList(field *[]string, to *backend.CommaList) {
	if to != nil {
		*field = cleanList(*to)
	}
}

func (r *roleRequest) warnDoubles(c *backend.Call) {
	for _, d := range []struct {
		both     bool
		now, old string
	}{
		{r.TokenPeriod != nil && r.Period != nil, "token_period", "period"},
		{r.TokenExplicitMaxTTL != nil && r.ExplicitMaxTTL != nil, "token_explicit_max_ttl", "explicit_max_ttl"},
		{r.TokenBoundCIDRs != nil && r.BoundCIDRs != nil, "token_bound_cidrs", "bound_cidrs"},
	} {
		if d.both {
			c.Warn(fmt.Sprintf("Both '%s' and deprecated '%s' value supplied, ignoring the deprecated value", d.now, d.old))
		}
	}
}

// kind is the token type asked for, "" when none was.
func (r *roleRequest) kind(c *backend.Call) (string, error) {
	if v, sent := c.Data["token_type"]; sent && v == nil {
		return "", backend.Invalidf("Invalid 'token_type' value: null")
	}
	if r.TokenType == nil {
		return "", nil
	}
	switch *r.TokenType {
	case "service", "batch", "default-service", "default-batch":
		return *r.TokenType, nil
	case "":
		return "default-service", nil
	}
	return "", backend.Invalidf("invalid 'token_type' value %q", *r.TokenType)
}

// cidrs reads the networks asked for; a plain address is a network of one.
func (r *roleRequest) cidrs() ([]netip.Prefix, error) {
	list, _ := newer(r.TokenBoundCIDRs, r.BoundCIDRs)
	if list == nil {
		return nil, nil
	}
	prefixes, err := auth.ParsePrefixes(*list)
	if err != nil {
		return nil, backend.Invalidf("error parsing role fields: token_bound_cidrs: %s", err)
	}
	return prefixes, nil
}
