package approle

import (
	"context"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/store"
)

// A role's parameters can also be read, written and reset one at a time, below
// role/{role_name}/. Contract: auth-methods §2.2. Each has a request type and a view; what
// they have in common is fieldRoute.

type (
	policiesRequest struct {
		roleNamed
		TokenPolicies *backend.CommaList `json:"token_policies" doc:"Policies of the tokens."`
		Policies      *backend.CommaList `json:"policies" doc:"Old name of token_policies."`
	}
	policiesView struct {
		TokenPolicies []string `json:"token_policies"`
		Policies      []string `json:"policies,omitempty"`
	}

	secretIDNumUsesRequest struct {
		roleNamed
		SecretIDNumUses *int `json:"secret_id_num_uses" doc:"Logins that a secret id is good for; 0 is without limit."`
	}
	secretIDNumUsesView struct {
		SecretIDNumUses int `json:"secret_id_num_uses"`
	}

	secretIDTTLRequest struct {
		roleNamed
		SecretIDTTL *backend.SignedSeconds `json:"secret_id_ttl" doc:"Life of a secret id; 0 is without end."`
	}
	secretIDTTLView struct {
		SecretIDTTL backend.Seconds `json:"secret_id_ttl"`
	}

	tokenTTLRequest struct {
		roleNamed
		TokenTTL *backend.SignedSeconds `json:"token_ttl" doc:"Life of the tokens, from login or renewal; 0 for the mount's default."`
	}
	tokenTTLView struct {
		TokenTTL backend.Seconds `json:"token_ttl"`
	}

	tokenMaxTTLRequest struct {
		roleNamed
		TokenMaxTTL *backend.SignedSeconds `json:"token_max_ttl" doc:"Longest whole life of the tokens; 0 for the mount's."`
	}
	tokenMaxTTLView struct {
		TokenMaxTTL backend.Seconds `json:"token_max_ttl"`
	}

	tokenNumUsesRequest struct {
		roleNamed
		TokenNumUses *int `json:"token_num_uses" doc:"Requests that a token is good for; 0 is without limit."`
	}
	tokenNumUsesView struct {
		TokenNumUses int `json:"token_num_uses"`
	}

	bindSecretIDRequest struct {
		roleNamed
		BindSecretID *bool `json:"bind_secret_id" doc:"Whether a login needs a secret id."`
	}
	bindSecretIDView struct {
		BindSecretID bool `json:"bind_secret_id"`
	}

	secretIDBoundCIDRsRequest struct {
		roleNamed
		SecretIDBoundCIDRs *backend.CommaList `json:"secret_id_bound_cidrs" doc:"Addresses and networks that logins may come from."`
	}
	secretIDBoundCIDRsView struct {
		SecretIDBoundCIDRs []string `json:"secret_id_bound_cidrs"`
	}

	boundCIDRListRequest struct {
		roleNamed
		BoundCIDRList *backend.CommaList `json:"bound_cidr_list" doc:"Addresses and networks that logins may come from."`
	}
	boundCIDRListView struct {
		BoundCIDRList []string `json:"bound_cidr_list"`
	}

	tokenBoundCIDRsRequest struct {
		roleNamed
		TokenBoundCIDRs *backend.CommaList `json:"token_bound_cidrs" doc:"Addresses and networks that the tokens may be used from."`
	}
	tokenBoundCIDRsView struct {
		TokenBoundCIDRs []string `json:"token_bound_cidrs"`
	}

	periodRequest struct {
		roleNamed
		TokenPeriod *backend.SignedSeconds `json:"token_period" doc:"Makes tokens that can be renewed for ever, each time for this long."`
		Period      *backend.SignedSeconds `json:"period" doc:"Old name of token_period."`
	}
	periodView struct {
		TokenPeriod backend.Seconds `json:"token_period"`
		Period      backend.Seconds `json:"period,omitempty"`
	}

	roleIDRequest struct {
		roleNamed
		RoleID string `json:"role_id" doc:"The role id to set."`
	}
	roleIDView struct {
		RoleID string `json:"role_id"`
	}

	localSecretIDsView struct {
		LocalSecretIDs bool `json:"local_secret_ids"`
	}
)

// fieldRoute is the row of one parameter. set merges a request into the role; an error from
// it changes nothing. A nil reset makes a parameter that cannot be reset.
func fieldRoute[Req, View any](m *Method, path, summary string,
	view func(*roleRecord) *View, set func(*roleRecord, *Req) error, reset func(*roleRecord) error,
) backend.Route {
	route := backend.Route{Pattern: "role/{role_name|lower}/" + path, Summary: summary}
	route.Read = backend.Handle(func(ctx context.Context, _ *backend.Call, req *roleNamed) (*View, error) {
		r, err := m.role(ctx, req.RoleName)
		if r == nil || err != nil {
			return nil, err
		}
		return view(r), nil
	})
	if set != nil {
		route.Write = backend.Handle(func(ctx context.Context, c *backend.Call, req *Req) (*backend.None, error) {
			found, err := m.changeRole(ctx, c.Capture("role_name"), func(r *roleRecord) error { return set(r, req) })
			if err == nil && !found {
				err = backend.Errorf(backend.UnsupportedPath, "unsupported path")
			}
			return nil, err
		})
	}
	if reset != nil {
		route.Delete = backend.Handle(func(ctx context.Context, _ *backend.Call, req *roleNamed) (*backend.None, error) {
			_, err := m.changeRole(ctx, req.RoleName, reset)
			return nil, err
		})
	}
	return route
}

// changeRole rewrites a role and says whether there is one.
func (m *Method) changeRole(ctx context.Context, name string, change func(*roleRecord) error) (bool, error) {
	found := false
	err := m.area.Update(ctx, func(tx store.Tx) error {
		old, err := getRole(tx, name)
		if found = old != nil; !found || err != nil {
			return err
		}
		next := old.clone()
		if err := change(next); err != nil {
			return err
		}
		return m.putRole(tx, old, next)
	})
	return found, err
}

func missing(parameter string) error { return backend.Invalidf("missing %s", parameter) }

func (m *Method) fieldRoutes() []backend.Route {
	return append(m.secretIDFields(), m.tokenFields()...)
}

// secretIDFields are the parameters that say who may log in.
func (m *Method) secretIDFields() []backend.Route {
	return []backend.Route{
		fieldRoute(m, "role-id", "The role id.",
			func(r *roleRecord) *roleIDView { return &roleIDView{r.RoleID} },
			func(r *roleRecord, req *roleIDRequest) error {
				if req.RoleID == "" {
					return missing("role_id")
				}
				return r.setRoleID(req.RoleID)
			}, nil),
		fieldRoute[roleNamed](m, "local-secret-ids", "Whether secret ids stay on one cluster.",
			func(r *roleRecord) *localSecretIDsView { return &localSecretIDsView{r.LocalSecretIDs} }, nil, nil),
		fieldRoute(m, "bind-secret-id", "Whether a login needs a secret id.",
			func(r *roleRecord) *bindSecretIDView { return &bindSecretIDView{r.BindSecretID} },
			func(r *roleRecord, req *bindSecretIDRequest) error {
				if req.BindSecretID == nil {
					return missing("bind_secret_id")
				}
				r.BindSecretID = *req.BindSecretID
				return nil
			},
			func(r *roleRecord) error { r.BindSecretID = true; return nil }),
		fieldRoute(m, "secret-id-num-uses", "Logins that a secret id is good for.",
			func(r *roleRecord) *secretIDNumUsesView { return &secretIDNumUsesView{r.SecretIDNumUses} },
			func(r *roleRecord, req *secretIDNumUsesRequest) error {
				if req.SecretIDNumUses == nil {
					return missing("secret_id_num_uses")
				}
				return r.setSecretIDNumUses(*req.SecretIDNumUses)
			},
			func(r *roleRecord) error { return r.setSecretIDNumUses(0) }),
		fieldRoute(m, "secret-id-ttl", "Life of a secret id.",
			func(r *roleRecord) *secretIDTTLView { return &secretIDTTLView{backend.Seconds(r.SecretIDTTL)} },
			func(r *roleRecord, req *secretIDTTLRequest) error {
				if req.SecretIDTTL == nil {
					return missing("secret_id_ttl")
				}
				r.setSecretIDTTL(*req.SecretIDTTL)
				return nil
			},
			func(r *roleRecord) error { r.SecretIDTTL = 0; return nil }),
		fieldRoute(m, "secret-id-bound-cidrs", "Addresses and networks that logins may come from.",
			func(r *roleRecord) *secretIDBoundCIDRsView {
				return &secretIDBoundCIDRsView{auth.NotNull(r.SecretIDBoundCIDRs)}
			},
			func(r *roleRecord, req *secretIDBoundCIDRsRequest) error {
				return r.replaceSources("secret_id_bound_cidrs", req.SecretIDBoundCIDRs)
			},
			clearSources),
		fieldRoute(m, "bound-cidr-list", "Old name of secret-id-bound-cidrs.",
			func(r *roleRecord) *boundCIDRListView { return &boundCIDRListView{auth.NotNull(r.SecretIDBoundCIDRs)} },
			func(r *roleRecord, req *boundCIDRListRequest) error {
				return r.replaceSources("bound_cidr_list", req.BoundCIDRList)
			},
			clearSources),
	}
}

func (r *roleRecord) replaceSources(parameter string, list *backend.CommaList) error {
	if list == nil || len(*list) == 0 {
		return missing(parameter)
	}
	return r.setSecretIDBoundCIDRs(*list)
}

func clearSources(r *roleRecord) error {
	r.SecretIDBoundCIDRs = nil
	return nil
}

// tokenFields are the parameters of the tokens.
func (m *Method) tokenFields() []backend.Route {
	return []backend.Route{
		fieldRoute(m, "policies", "Policies of the tokens.",
			func(r *roleRecord) *policiesView {
				v := r.View()
				return &policiesView{v.Policies, v.OldPolicies}
			},
			func(r *roleRecord, req *policiesRequest) error {
				if req.TokenPolicies == nil && req.Policies == nil {
					return missing("token_policies")
				}
				return r.Apply(auth.TokenParams{TokenPolicies: req.TokenPolicies}, auth.Synonyms{Policies: req.Policies})
			},
			func(r *roleRecord) error {
				return r.Apply(auth.TokenParams{TokenPolicies: new(backend.CommaList)}, auth.Synonyms{})
			}),
		fieldRoute(m, "period", "Makes tokens that can be renewed for ever.",
			func(r *roleRecord) *periodView {
				v := r.View()
				return &periodView{v.Period, v.OldPeriod}
			},
			func(r *roleRecord, req *periodRequest) error {
				if req.TokenPeriod == nil && req.Period == nil {
					return missing("period")
				}
				return r.Apply(auth.TokenParams{TokenPeriod: req.TokenPeriod}, auth.Synonyms{Period: req.Period})
			},
			func(r *roleRecord) error {
				return r.Apply(auth.TokenParams{TokenPeriod: new(backend.SignedSeconds)}, auth.Synonyms{})
			}),
		fieldRoute(m, "token-num-uses", "Requests that a token is good for.",
			func(r *roleRecord) *tokenNumUsesView { return &tokenNumUsesView{r.NumUses} },
			func(r *roleRecord, req *tokenNumUsesRequest) error {
				if req.TokenNumUses == nil {
					return missing("token_num_uses")
				}
				return r.Apply(auth.TokenParams{TokenNumUses: req.TokenNumUses}, auth.Synonyms{})
			},
			func(r *roleRecord) error { r.NumUses = 0; return nil }),
		fieldRoute(m, "token-bound-cidrs", "Addresses and networks that the tokens may be used from.",
			func(r *roleRecord) *tokenBoundCIDRsView { return &tokenBoundCIDRsView{auth.NotNull(r.BoundCIDRs)} },
			func(r *roleRecord, req *tokenBoundCIDRsRequest) error {
				if req.TokenBoundCIDRs == nil || len(*req.TokenBoundCIDRs) == 0 {
					return missing("token_bound_cidrs")
				}
				return r.Apply(auth.TokenParams{TokenBoundCIDRs: req.TokenBoundCIDRs}, auth.Synonyms{})
			},
			func(r *roleRecord) error { r.BoundCIDRs = nil; return nil }),
		fieldRoute(m, "token-ttl", "Life of the tokens.",
			func(r *roleRecord) *tokenTTLView { return &tokenTTLView{backend.Seconds(r.TTL)} }, setTokenTTL,
			func(r *roleRecord) error { r.TTL = 0; return nil }),
		fieldRoute(m, "token-max-ttl", "Longest whole life of the tokens.",
			func(r *roleRecord) *tokenMaxTTLView { return &tokenMaxTTLView{backend.Seconds(r.MaxTTL)} }, setTokenMaxTTL,
			func(r *roleRecord) error { r.MaxTTL = 0; return nil }),
	}
}

func setTokenTTL(r *roleRecord, req *tokenTTLRequest) error {
	if req.TokenTTL == nil {
		return missing("token_ttl")
	}
	if err := r.Apply(auth.TokenParams{TokenTTL: req.TokenTTL}, auth.Synonyms{}); err != nil {
		return err
	}
	if r.MaxTTL > 0 && r.TTL > r.MaxTTL {
		return backend.Invalidf("token_ttl should not be greater than token_max_ttl")
	}
	return nil
}

func setTokenMaxTTL(r *roleRecord, req *tokenMaxTTLRequest) error {
	if req.TokenMaxTTL == nil {
		return missing("token_max_ttl")
	}
	if err := r.Apply(auth.TokenParams{TokenMaxTTL: req.TokenMaxTTL}, auth.Synonyms{}); err != nil {
		return err
	}
	if r.MaxTTL > 0 && r.TTL > r.MaxTTL {
		return backend.Invalidf("token_max_ttl should be greater than or equal to token_ttl")
	}
	return nil
}
