// Package token owns the paths below auth/token: it reads requests, asks the token room and
// writes answers. The rules of a token's life are not here. Contract: tokens §2.
package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/clock"
	tokens "jeton/internal/token"
)

// Policies says which policies exist, for the warning that one does not.
type Policies interface {
	Exists(ctx context.Context, name string) (bool, error)
}

// Mounts finds the mount whose limits bound a token.
type Mounts interface {
	// Info returns the mount of an accessor; ok is false when there is none.
	Info(accessor string) (m backend.Mount, ok bool)
}

// Method is the token method's backend.
type Method struct {
	tokens   *tokens.Store
	policies Policies
	mounts   Mounts
	clock    clock.Clock
}

// New serves auth/token over the token room.
func New(store *tokens.Store, policies Policies, mounts Mounts, c clock.Clock) *Method {
	return &Method{tokens: store, policies: policies, mounts: mounts, clock: c}
}

// plan is how long t can be kept alive. own is the token method's mount.
func (m *Method) plan(ctx context.Context, t *tokens.Token, own backend.Mount) (*backend.RenewalPlan, error) {
	bounding := own
	if t.Origin.Mount != "" {
		if info, ok := m.mounts.Info(t.Origin.Mount); ok {
			bounding = info
		}
	}
	plan, err := m.tokens.PlanOf(ctx, t, bounding)
	if err != nil {
		return nil, err
	}
	return plan.Answer(), nil
}

// auth is the answer's token block, with the plan.
func (m *Method) auth(ctx context.Context, c *backend.Call, t *tokens.Token, text string, ttl time.Duration) (*backend.Auth, error) {
	added, err := m.tokens.IdentityPolicies(ctx, t)
	if err != nil {
		return nil, err
	}
	a := t.Auth(text, added, ttl)
	a.RenewalPlan, err = m.plan(ctx, t, c.Mount)
	return a, err
}

// Routes are the paths of contract tokens §2.
func (m *Method) Routes() []backend.Route {
	return slices.Concat(m.lifeRoutes(), m.roleRoutes(), m.seeRoutes())
}

func (m *Method) lifeRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "create", Summary: "Create a child of the calling token.",
			Detail: "Without policies the child gets its parent's. An id, an orphan, a period and policies that the parent lacks need sudo.",
			Write:  backend.Handle(m.create("", false))},
		{Pattern: "create-orphan", Summary: "Create a token without a parent.",
			Detail: "It outlives the token that made it. The right to update this path is all that it needs.",
			Write:  backend.Handle(m.create("", true))},
		{Pattern: "create/{role_name}", Summary: "Create a token by a role.",
			Write: backend.Handle(m.create("role", false))},
		{Pattern: "lookup", Summary: "Look a token up.",
			Read: backend.Reads(m.lookup), Write: backend.Reads(m.lookup)},
		{Pattern: "lookup-self", Summary: "Look the calling token up.",
			Read: backend.Reads(m.lookupSelf), Write: backend.Reads(m.lookupSelf)},
		{Pattern: "lookup-accessor", Summary: "Look a token up by its accessor.",
			Write: backend.Reads(m.lookupAccessor)},
		{Pattern: "renew", Summary: "Renew a token.", Write: backend.Handle(m.renew)},
		{Pattern: "renew-self", Summary: "Renew the calling token.", Write: backend.Handle(m.renewSelf)},
		{Pattern: "renew-accessor", Summary: "Renew a token by its accessor.", Write: backend.Handle(m.renewAccessor)},
		{Pattern: "revoke", Summary: "Revoke a token and all below it.", Write: backend.Handle(m.revoke)},
		{Pattern: "revoke-self", Summary: "Revoke the calling token and all below it.", Write: backend.Handle(m.revokeSelf)},
		{Pattern: "revoke-accessor", Summary: "Revoke a token and all below it, by its accessor.", Write: backend.Handle(m.revokeAccessor)},
		{Pattern: "revoke-orphan", Summary: "Revoke a token alone; its children become orphans.", Write: backend.Handle(m.revokeOrphan)},
		{Pattern: "tidy", Summary: "Answers, and has nothing to do.",
			Detail: "A token and all that points to it are one record in one transaction: nothing is ever left over. `operator check` proves it.",
			Write:  backend.Handle(m.tidy)},
		{Pattern: "accessors", Summary: "List the accessors of all living tokens.", Sudo: true,
			List: backend.Reads(m.accessors)},
	}
}

type createRequest struct {
	RoleName        string        `json:"role_name" doc:"The role to create the token by."`
	ID              string        `json:"id" doc:"The token itself, chosen by the caller. Needs sudo."`
	Policies        []string      `json:"policies" doc:"The policies of the token; its parent's when there are none."`
	Meta            backend.Pairs `json:"meta" doc:"Names and values that are written to the audit log with every use."`
	Metadata        backend.Pairs `json:"metadata" doc:"The command line's name for meta."`
	NoParent        bool          `json:"no_parent" doc:"Make an orphan. Needs sudo."`
	NoDefaultPolicy bool          `json:"no_default_policy" doc:"Leave the default policy out."`
	Renewable       bool          `json:"renewable" default:"true" doc:"Whether the token can be renewed."`
	TTL             string        `json:"ttl" doc:"The life from now."`
	Lease           string        `json:"lease" doc:"The old name of ttl."`
	ExplicitMaxTTL  string        `json:"explicit_max_ttl" doc:"The bound on the whole life, renewals included."`
	Period          string        `json:"period" doc:"The step of a token that can be renewed for ever. Needs sudo."`
	Type            string        `json:"type" doc:"service or batch."`
	DisplayName     string        `json:"display_name" doc:"A name for people."`
	NumUses         int           `json:"num_uses" doc:"The number of requests the token is good for; 0 is without limit."`
	EntityAlias     string        `json:"entity_alias" doc:"The alias the token stands for; only with a role that allows it."`
}

// create makes the handler of one of the three create routes.
func (m *Method) create(kind string, orphan bool) func(context.Context, *backend.Call, *createRequest) (*backend.Response, error) {
	return func(ctx context.Context, c *backend.Call, req *createRequest) (*backend.Response, error) {
		if req.Meta == nil {
			req.Meta = req.Metadata
		}
		ask := tokens.Ask{
			Request: tokens.Request{
				ID: req.ID, Policies: req.Policies, Meta: req.Meta, NoParent: req.NoParent,
				NoDefaultPolicy: req.NoDefaultPolicy, Renewable: req.Renewable,
				TTL: req.TTL, Lease: req.Lease, ExplicitMaxTTL: req.ExplicitMaxTTL, Period: req.Period,
				Type: req.Type, DisplayName: req.DisplayName, NumUses: req.NumUses, EntityAlias: req.EntityAlias,
			},
			Caller: c.Caller, Mount: c.Mount, Path: c.Mount.Path + c.Path, Orphan: orphan,
		}
		if kind == "role" {
			ask.Role = req.RoleName
		}
		issued, err := m.tokens.Create(ctx, ask)
		if err != nil {
			return nil, err
		}
		return m.created(ctx, c, issued)
	}
}

// created is the answer that hands out a new token. A token that nobody hears of must not live:
// it is revoked again when the answer cannot be made.
func (m *Method) created(ctx context.Context, c *backend.Call, issued *tokens.Issued) (answer *backend.Response, err error) {
	defer func() {
		if answer == nil && !issued.Token.Batch {
			err = errors.Join(err, m.tokens.Revoke(context.WithoutCancel(ctx), issued.Token.ID, tokens.Revoked, ""))
		}
	}()
	warnings := issued.Warnings
	for _, name := range issued.Token.Policies {
		if name == "root" {
			continue
		}
		exists, err := m.policies.Exists(ctx, name)
		if err != nil {
			return nil, err
		}
		if !exists {
			warnings = append(warnings, fmt.Sprintf("Policy %q does not exist", name))
		}
	}
	auth, err := m.auth(ctx, c, issued.Token, issued.Text, issued.TTL)
	if err != nil {
		return nil, err
	}
	return &backend.Response{Auth: auth, Issued: true, Warnings: warnings}, nil
}

type tokenRequest struct {
	Token string `json:"token" doc:"The token; the calling one when there is none."`
}

type accessorRequest struct {
	Accessor string `json:"accessor" doc:"The accessor of the token."`
}

// lookupData is what lookup answers. Contract: tokens §6.
type lookupData struct {
	Accessor         string            `json:"accessor"`
	BoundCIDRs       []string          `json:"bound_cidrs,omitempty"`
	CreationTime     int64             `json:"creation_time"`
	CreationTTL      int64             `json:"creation_ttl"`
	DisplayName      string            `json:"display_name"`
	EntityID         string            `json:"entity_id"`
	ExpireTime       *string           `json:"expire_time"`
	ExplicitMaxTTL   int64             `json:"explicit_max_ttl"`
	ID               string            `json:"id"`
	IssueTime        string            `json:"issue_time,omitempty"`
	LastRenewal      string            `json:"last_renewal,omitempty"`
	LastRenewalTime  int64             `json:"last_renewal_time,omitempty"`
	Meta             map[string]string `json:"meta"`
	NumUses          int               `json:"num_uses"`
	Orphan           bool              `json:"orphan"`
	Path             string            `json:"path"`
	Period           int64             `json:"period,omitempty"`
	Policies         []string          `json:"policies"`
	Renewable        *bool             `json:"renewable,omitempty"`
	Role             string            `json:"role,omitempty"`
	TTL              backend.Seconds   `json:"ttl"`
	Type             string            `json:"type"`
	IdentityPolicies []string          `json:"identity_policies,omitempty"`
	// RenewalPlan goes beyond the contract.
	*backend.RenewalPlan
}

// AppendJSON writes the answer as encoding/json does.
func (d *lookupData) AppendJSON(dst []byte) ([]byte, error) {
	m := backend.NewMembers(dst)
	m.Text("accessor", d.Accessor)
	if len(d.BoundCIDRs) > 0 {
		m.List("bound_cidrs", d.BoundCIDRs)
	}
	m.Number("creation_time", d.CreationTime)
	m.Number("creation_ttl", d.CreationTTL)
	m.Text("display_name", d.DisplayName)
	m.Text("entity_id", d.EntityID)
	m.TextOrNull("expire_time", d.ExpireTime)
	m.Number("explicit_max_ttl", d.ExplicitMaxTTL)
	m.Text("id", d.ID)
	if d.IssueTime != "" {
		m.Text("issue_time", d.IssueTime)
	}
	if d.LastRenewal != "" {
		m.Text("last_renewal", d.LastRenewal)
	}
	if d.LastRenewalTime != 0 {
		m.Number("last_renewal_time", d.LastRenewalTime)
	}
	m.Pairs("meta", d.Meta)
	m.Number("num_uses", int64(d.NumUses))
	m.Bool("orphan", d.Orphan)
	m.Text("path", d.Path)
	if d.Period != 0 {
		m.Number("period", d.Period)
	}
	m.List("policies", d.Policies)
	if d.Renewable != nil {
		m.Bool("renewable", *d.Renewable)
	}
	if d.Role != "" {
		m.Text("role", d.Role)
	}
	m.Number("ttl", d.TTL.Whole())
	m.Text("type", d.Type)
	if len(d.IdentityPolicies) > 0 {
		m.List("identity_policies", d.IdentityPolicies)
	}
	m.Plan(d.RenewalPlan)
	return m.End()
}

// describe writes a token down for a client. text is the token as presented, "" when it was
// looked up by accessor.
func (m *Method) describe(t *tokens.Token, text string) *lookupData {
	d := &lookupData{
		Accessor:       t.Accessor,
		CreationTime:   t.Created().Unix(),
		CreationTTL:    t.Life.CreationTTL,
		DisplayName:    t.Origin.DisplayName,
		EntityID:       t.EntityID,
		ExplicitMaxTTL: t.Life.AskedExplicitMax,
		ID:             text,
		Meta:           t.Meta,
		NumUses:        t.Uses,
		Orphan:         t.Orphan(),
		Path:           t.Origin.Path,
		Period:         t.Life.Period,
		Policies:       t.Policies,
		Role:           t.Origin.Role,
		TTL:            backend.Seconds(t.TTL(m.clock.Now())),
		Type:           t.Type().String(),
	}
	if d.Policies == nil {
		d.Policies = []string{}
	}
	if end := t.Expires(); !end.IsZero() {
		text := end.Format(time.RFC3339Nano)
		d.ExpireTime = &text
	}
	if t.Life.Leased || t.Batch {
		d.IssueTime = t.Created().Format(time.RFC3339Nano)
		d.Renewable = &t.Life.Renewable
	}
	if t.Life.Renewed != 0 {
		renewed := time.Unix(0, t.Life.Renewed).UTC()
		d.LastRenewal, d.LastRenewalTime = renewed.Format(time.RFC3339Nano), renewed.Unix()
	}
	d.BoundCIDRs = auth.FormatPrefixes(t.BoundCIDRs)
	return d
}

// errBad answers a lookup of a token that is not alive, from one who may look.
var errBad = backend.Errorf(backend.Denied, "bad token")

// own is the calling token, which may be spending its last use, or an earlier one while
// another request spends the last.
func (m *Method) own(ctx context.Context, c *backend.Call) (*tokens.Token, error) {
	if c.Caller.Batch {
		return m.tokens.Find(ctx, c.Caller.Token)
	}
	t, err := m.tokens.FindSpent(ctx, c.Caller.ID)
	if t == nil && err == nil {
		t = tokens.LimitedCaller(ctx)
	}
	return t, err
}

func (m *Method) lookup(ctx context.Context, c *backend.Call, req *tokenRequest) (*lookupData, error) {
	if req.Token == "" || req.Token == c.Caller.Token {
		return m.lookupSelf(ctx, c, req)
	}
	t, err := m.tokens.Find(ctx, req.Token)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errBad
	}
	return m.look(ctx, c, t, req.Token)
}

// look is describe with the plan.
func (m *Method) look(ctx context.Context, c *backend.Call, t *tokens.Token, text string) (*lookupData, error) {
	d := m.describe(t, text)
	var err error
	if d.IdentityPolicies, err = m.tokens.IdentityPolicies(ctx, t); err != nil {
		return nil, err
	}
	d.RenewalPlan, err = m.plan(ctx, t, c.Mount)
	return d, err
}

func (m *Method) lookupSelf(ctx context.Context, c *backend.Call, _ *tokenRequest) (*lookupData, error) {
	t, err := m.own(ctx, c)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errBad
	}
	return m.look(ctx, c, t, c.Caller.Token)
}

// byAccessor returns the living token of an accessor. One that has ended is as unknown before
// it is swept as after: clients tell by this text that a token is gone.
func (m *Method) byAccessor(ctx context.Context, accessor string) (*tokens.Token, error) {
	if accessor == "" {
		return nil, backend.Errorf(backend.InvalidAggregate, "missing accessor")
	}
	t, _, err := m.tokens.FindAccessor(ctx, accessor)
	if err == nil && t == nil {
		return nil, backend.Errorf(backend.InvalidAggregate, "invalid accessor")
	}
	return t, err
}

func (m *Method) lookupAccessor(ctx context.Context, c *backend.Call, req *accessorRequest) (*lookupData, error) {
	t, err := m.byAccessor(ctx, req.Accessor)
	if err != nil {
		return nil, err
	}
	return m.look(ctx, c, t, "")
}

type renewRequest struct {
	Token     string          `json:"token" doc:"The token to renew."`
	Increment backend.Seconds `json:"increment" doc:"The life asked for, from now; its last life when there is none."`
}

type renewAccessorRequest struct {
	Accessor  string          `json:"accessor" doc:"The accessor of the token to renew."`
	Increment backend.Seconds `json:"increment" doc:"The life asked for, from now."`
}

func (m *Method) renew(ctx context.Context, c *backend.Call, req *renewRequest) (*backend.Response, error) {
	if req.Token == "" {
		return nil, backend.Invalidf("missing token ID")
	}
	t, err := m.tokens.Find(ctx, req.Token)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, backend.Invalidf("token not found")
	}
	return m.renewToken(ctx, c, t, req.Token, req.Increment)
}

func (m *Method) renewSelf(ctx context.Context, c *backend.Call, req *renewRequest) (*backend.Response, error) {
	t, err := m.own(ctx, c)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, backend.Invalidf("token not found")
	}
	return m.renewToken(ctx, c, t, c.Caller.Token, req.Increment)
}

func (m *Method) renewAccessor(ctx context.Context, c *backend.Call, req *renewAccessorRequest) (*backend.Response, error) {
	t, err := m.byAccessor(ctx, req.Accessor)
	if err != nil {
		return nil, err
	}
	return m.renewToken(ctx, c, t, "", req.Increment)
}

func (m *Method) renewToken(ctx context.Context, c *backend.Call, t *tokens.Token, text string, increment backend.Seconds) (*backend.Response, error) {
	if t.Batch {
		return nil, backend.Invalidf("batch tokens cannot be renewed")
	}
	renewed, err := m.tokens.Renew(ctx, t.ID, increment.Duration(), c)
	if err != nil {
		return nil, err
	}
	auth, err := m.auth(ctx, c, renewed.Token, text, renewed.TTL)
	return &backend.Response{Auth: auth, Warnings: renewed.Warnings}, err
}

func (m *Method) revoke(ctx context.Context, c *backend.Call, req *tokenRequest) (*backend.None, error) {
	if req.Token == "" {
		return nil, backend.Invalidf("missing token ID")
	}
	t, err := m.tokens.Find(ctx, req.Token)
	if t == nil || err != nil {
		return nil, err
	}
	return nil, m.revokeToken(ctx, c, t)
}

func (m *Method) revokeSelf(ctx context.Context, c *backend.Call, _ *backend.None) (*backend.None, error) {
	t, err := m.own(ctx, c)
	if t == nil || err != nil {
		return nil, err
	}
	return nil, m.revokeToken(ctx, c, t)
}

func (m *Method) revokeToken(ctx context.Context, c *backend.Call, t *tokens.Token) error {
	if t.Batch {
		return backend.Invalidf("batch tokens cannot be revoked")
	}
	return m.tokens.Revoke(ctx, t.ID, tokens.Revoked, c.Caller.Accessor)
}

func (m *Method) revokeAccessor(ctx context.Context, c *backend.Call, req *accessorRequest) (*backend.None, error) {
	if req.Accessor == "" {
		return nil, backend.Errorf(backend.InvalidAggregate, "missing accessor")
	}
	t, _, err := m.tokens.FindAccessor(ctx, req.Accessor)
	if err != nil {
		return nil, err
	}
	if t == nil {
		c.Warn("No token found with this accessor")
		return nil, nil
	}
	return nil, m.revokeToken(ctx, c, t)
}

func (m *Method) revokeOrphan(ctx context.Context, c *backend.Call, req *tokenRequest) (*backend.None, error) {
	if req.Token == "" {
		return nil, backend.Invalidf("missing token ID")
	}
	if !c.Caller.Sudo {
		return nil, backend.Invalidf("root or sudo privileges required to revoke and orphan")
	}
	t, err := m.tokens.Find(ctx, req.Token)
	if err != nil {
		return nil, err
	}
	if t != nil && t.Batch {
		return nil, backend.Invalidf("batch tokens cannot be revoked")
	}
	if t == nil {
		return nil, backend.Invalidf("token to revoke not found")
	}
	found, err := m.tokens.RevokeOrphan(ctx, t.ID, c.Caller.Accessor)
	if err == nil && !found {
		return nil, backend.Invalidf("token to revoke not found")
	}
	return nil, err
}

func (m *Method) tidy(_ context.Context, c *backend.Call, _ *backend.None) (*backend.Response, error) {
	c.Warn("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.")
	return &backend.Response{Status: 202}, nil
}

// accessorPage bounds one read of the store while accessors are listed.
const accessorPage = 1000

func (m *Method) accessors(ctx context.Context, _ *backend.Call, _ *backend.None) (*backend.Keys, error) {
	var keys []string
	for cursor := ""; ; {
		next, err := m.tokens.Accessors(ctx, cursor, accessorPage, func(a string) { keys = append(keys, a) })
		if err != nil {
			return nil, err
		}
		if next == "" {
			return backend.Listing(keys), nil
		}
		cursor = next
	}
}

// cleanList trims, lower-cases and de-duplicates, as role lists are kept.
func cleanList(list []string) []string {
	out := make([]string, 0, len(list))
	for _, item := range list {
		if item = strings.ToLower(strings.TrimSpace(item)); item != "" && !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	slices.Sort(out)
	return out
}
