package sys

import (
	"context"
	"strings"

	"jeton/internal/backend"
)

func (s *System) policyRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "policies/acl", Summary: "List the ACL policies.", List: backend.Handle(s.listPolicies)},
		{Pattern: "policies/acl/{name|lower...}", Summary: "An ACL policy.",
			Read: backend.Handle(s.readPolicy), Write: backend.Handle(s.writePolicy), Delete: backend.Handle(s.deletePolicy)},
		{Pattern: "policy", Summary: "List the ACL policies; the old path.", Inject: true,
			Read: backend.Handle(s.listOldPolicies), List: backend.Handle(s.listOldPolicies)},
		{Pattern: "policy/{name|lower...}", Summary: "An ACL policy; the old path.", Inject: true,
			Read: backend.Handle(s.readOldPolicy), Write: backend.Handle(s.writePolicy), Delete: backend.Handle(s.deletePolicy)},
	}
}

// checkTrimmed refuses a name with blanks around it: it would lead to the policy without them,
// past a rule that denies that one (compare CVE-2026-89322).
func checkTrimmed(name string) error {
	if strings.TrimSpace(name) != name {
		return backend.Invalidf("invalid policy name: it begins or ends with a blank")
	}
	return nil
}

type policyName struct {
	Name string `json:"name" doc:"The name of the policy."`
}

type policyRequest struct {
	Name   string `json:"name" doc:"The name of the policy."`
	Policy string `json:"policy" doc:"The policy, as HCL or JSON, plain or in base64."`
	Rules  string `json:"rules" doc:"The old name of policy."`
}

type policyData struct {
	Name   string `json:"name"`
	Policy string `json:"policy"`
}

type oldPolicyData struct {
	Name  string `json:"name"`
	Rules string `json:"rules"`
}

type oldPolicies struct {
	Keys     []string `json:"keys"`
	Policies []string `json:"policies"`
}

func (s *System) listPolicies(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Keys, error) {
	names, err := s.Policies.List(ctx)
	return backend.Listing(names), err
}

func (s *System) listOldPolicies(ctx context.Context, _ *backend.Call, _ *backend.None) (*oldPolicies, error) {
	names, err := s.Policies.List(ctx)
	return &oldPolicies{Keys: names, Policies: names}, err
}

func (s *System) readPolicy(ctx context.Context, _ *backend.Call, req *policyName) (*policyData, error) {
	if err := checkTrimmed(req.Name); err != nil {
		return nil, err
	}
	p, err := s.Policies.Get(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	return &policyData{Name: p.Name, Policy: p.Text}, nil
}

func (s *System) readOldPolicy(ctx context.Context, _ *backend.Call, req *policyName) (*oldPolicyData, error) {
	if err := checkTrimmed(req.Name); err != nil {
		return nil, err
	}
	p, err := s.Policies.Get(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	return &oldPolicyData{Name: p.Name, Rules: p.Text}, nil
}

func (s *System) writePolicy(ctx context.Context, c *backend.Call, req *policyRequest) (*backend.None, error) {
	if err := checkTrimmed(req.Name); err != nil {
		return nil, err
	}
	text := req.Policy
	if text == "" && req.Rules != "" {
		text = req.Rules
		c.Warn("'rules' is deprecated, please use 'policy' instead")
	}
	name, warnings, err := s.Policies.Put(ctx, req.Name, text)
	if err != nil {
		return nil, err
	}
	if c.Folded {
		c.Warn("policy name was converted to " + name)
	}
	for _, w := range warnings {
		c.Warn(w)
	}
	return nil, nil
}

func (s *System) deletePolicy(ctx context.Context, _ *backend.Call, req *policyName) (*backend.None, error) {
	if err := checkTrimmed(req.Name); err != nil {
		return nil, err
	}
	return nil, s.Policies.Delete(ctx, req.Name)
}
