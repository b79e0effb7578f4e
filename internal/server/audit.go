package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/token"
	"jeton/internal/wrap"
)

// errUnaudited is wrapped by the error of a request that no device took an entry of. The
// client learns only that the server failed. Contract: audit §2.
var errUnaudited = errors.New("server: not audited")

// audited is what the two audit entries of an exchange are made of: one piece of memory, as every
// request needs it. Who asks and what for is the same in both; the broker writes it out once.
type audited struct {
	entry    audit.Entry
	auth     audit.Auth
	results  audit.PolicyResults
	request  audit.RequestPart
	response audit.ResponsePart
	kept     audit.Kept
	// began is when writing the request's entry began.
	began time.Time
	// token is the one that auth describes.
	token *token.Token
}

// describe makes the entries of x as it is now.
func (s *Server) describe(x *exchange) *audited {
	a, ok := s.entries.Get().(*audited)
	if !ok {
		a = new(audited)
	}
	a.token = x.token
	x.describeCaller(a)
	x.describeRequest(&a.request)
	a.entry = audit.Entry{Auth: &a.auth, Request: &a.request, Kept: &a.kept}
	return a
}

// forget empties what the entries of x were made of, for the next request. Lines that are still on
// their way (the last device was disabled meanwhile) keep it.
func (s *Server) forget(x *exchange) {
	a := x.audited
	x.audited = nil
	if a == nil || !a.kept.Empty() {
		return
	}
	*a = audited{}
	s.entries.Put(a)
}

// describes says whether a still tells who asks and what for. Nothing may change either once the
// request entry is written; should a step learn to, the answer's entry must not hide it.
func (a *audited) describes(x *exchange) bool {
	return a.token == x.token && a.request.Operation == x.auditOperation() && a.request.Path == x.path &&
		(a.auth.PolicyResults == nil) == (x.acl == nil || x.token == nil) && a.results.Allowed == (a.auth.PolicyResults != nil && x.decision.Allowed) &&
		len(a.auth.IdentityPolicies) == len(x.identity)
}

// auditRequest writes the request entry: after the decision, before anything is done. Where nothing
// will be done but reading, the entry is only on its way then, and auditResponse waits for it.
func (s *Server) auditRequest(ctx context.Context, x *exchange, refused error) error {
	if x.house.Audit.Silent() {
		return nil
	}
	a := s.describe(x)
	if refused != nil {
		a.entry.Error = requestError(refused)
	}
	a.began = s.stamp(a)
	if store.IsReading(ctx) {
		err := x.house.Audit.BeginRequest(ctx, &a.entry, x.nonHMACRequest(), x.nonHMACResponse())
		x.audited = a
		return s.requestLogged(err)
	}
	err := x.house.Audit.LogRequest(ctx, &a.entry, x.nonHMACRequest(), x.nonHMACResponse())
	s.node.Metrics().Observe("audit.log_request", nil, s.node.Clock().Now().Sub(a.began))
	x.audited = a
	return s.requestLogged(err)
}

// requestLogged turns the outcome of logging the request into that of the request.
func (s *Server) requestLogged(err error) error {
	if err == nil {
		return nil
	}
	s.node.Metrics().Count("audit.log_request_failure", nil)
	return fmt.Errorf("failed to audit request: %w: %w", errUnaudited, err)
}

// stamp gives the entry its time, which is also when writing it began.
func (s *Server) stamp(a *audited) time.Time {
	a.entry.Time = s.node.Clock().Now()
	return a.entry.Time
}

// requestError is the outer error of a request entry: bare for a missing or bad token.
// Contract: audit §1.
func requestError(err error) string {
	if kind := backend.KindOf(err); kind == backend.BadToken || kind == backend.Denied {
		return "permission denied"
	}
	return outerError(err)
}

// outerError is an entry's error: the client's text, and what only the log tells.
func outerError(err error) string {
	f := fail(err)
	if errors.Is(err, wrap.ErrUsed) {
		return aggregate(append(slices.Clone(f.texts), wrap.ErrUsed.Error()))
	}
	return f.outer
}

// auditResponse writes the response entry, before anything leaves.
func (s *Server) auditResponse(ctx context.Context, x *exchange, failed error) error {
	if x.house.Audit.Silent() {
		return nil
	}
	a := x.audited
	if a == nil || !a.describes(x) {
		a = s.describe(x)
	}
	entry, part := &a.entry, &a.response
	entry.Error, entry.Response, part.Mount = "", part, a.request.Mount
	if failed != nil {
		f := fail(failed)
		entry.Error = outerError(failed)
		if len(f.texts) > 0 {
			data, err := encodeData(map[string]string{"error": f.texts[0]})
			if err != nil {
				return err
			}
			part.Data = data
		}
	} else if x.response != nil {
		x.describeAnswer(part)
	}
	began := s.stamp(a)
	err := x.house.Audit.LogResponse(ctx, entry, x.nonHMACRequest(), x.nonHMACResponse())
	var requestErr error
	ahead := x.audited != nil && store.IsReading(ctx)
	if ahead {
		requestErr = x.house.Audit.RequestWritten(&x.audited.kept)
	}
	ended := s.node.Clock().Now()
	s.node.Metrics().Observe("audit.log_response", nil, ended.Sub(began))
	if ahead {
		s.node.Metrics().Observe("audit.log_request", nil, ended.Sub(x.audited.began))
	}
	if err := s.requestLogged(requestErr); err != nil {
		return err
	}
	if err != nil {
		s.node.Metrics().Count("audit.log_response_failure", nil)
		return fmt.Errorf("failed to audit response: %w: %w", errUnaudited, err)
	}
	return nil
}

// describeAnswer fills the response part. A wrapped answer shows the wrapping alone.
func (x *exchange) describeAnswer(part *audit.ResponsePart) {
	part.Warnings = x.response.Warnings
	if w := x.wrapped; w != nil {
		created, err := time.Parse(time.RFC3339Nano, w.CreationTime)
		if err != nil {
			created = time.Time{}
		}
		part.WrapInfo = &audit.WrapInfo{Token: w.Token, Accessor: w.Accessor, TTL: time.Duration(w.TTL),
			CreationTime: created, CreationPath: w.CreationPath, WrappedAccessor: w.WrappedAccessor}
		return
	}
	part.Data = x.data
	if x.lease != nil {
		part.LeaseID = x.lease.ID
	}
	if a := x.response.Auth; a != nil {
		part.Auth = &audit.Auth{
			ClientToken: a.ClientToken, Accessor: a.Accessor, DisplayName: a.DisplayName,
			Policies: a.Policies, TokenPolicies: a.TokenPolicies, IdentityPolicies: a.IdentityPolicies,
			Metadata: a.Metadata, NumUses: a.NumUses, Entity: audit.Entity{ID: a.EntityID, Created: x.newcomer},
			TokenType: a.TokenType, TokenTTL: time.Duration(a.LeaseDuration),
		}
	}
	if raw := x.response.Raw; raw != nil && !(x.consumes() && describeUnwrapped(part, raw)) {
		part.Raw = &audit.RawBody{Status: x.response.Status, ContentType: raw.ContentType, Body: raw.Body}
	}
}

// describeUnwrapped shows the answer that was wrapped, member by member and not as one string.
// It is false for an answer without an envelope. Contract: audit §1.
func describeUnwrapped(part *audit.ResponsePart, raw *backend.Raw) bool {
	var inner struct {
		LeaseID  string          `json:"lease_id"`
		Data     json.RawMessage `json:"data"`
		Warnings []string        `json:"warnings"`
		Auth     *struct {
			ClientToken   string            `json:"client_token"`
			Accessor      string            `json:"accessor"`
			Policies      []string          `json:"policies"`
			TokenPolicies []string          `json:"token_policies"`
			Identity      []string          `json:"identity_policies"`
			Metadata      map[string]string `json:"metadata"`
			LeaseDuration int64             `json:"lease_duration"`
			EntityID      string            `json:"entity_id"`
			TokenType     string            `json:"token_type"`
			NumUses       int               `json:"num_uses"`
		} `json:"auth"`
	}
	if json.Unmarshal(raw.Body, &inner) != nil {
		return false
	}
	part.LeaseID, part.Warnings = inner.LeaseID, inner.Warnings
	if string(inner.Data) != "null" {
		part.Data = inner.Data
	}
	if a := inner.Auth; a != nil {
		part.Auth = &audit.Auth{
			ClientToken: a.ClientToken, Accessor: a.Accessor, Policies: a.Policies, TokenPolicies: a.TokenPolicies, IdentityPolicies: a.Identity,
			Metadata: a.Metadata, NumUses: a.NumUses, Entity: audit.Entity{ID: a.EntityID}, TokenType: a.TokenType,
			TokenTTL: time.Duration(a.LeaseDuration) * time.Second,
		}
	}
	return true
}

// describeCaller fills in who asks; near-empty without a valid token.
func (x *exchange) describeCaller(a *audited) {
	t := x.token
	if t == nil {
		return
	}
	a.auth = audit.Auth{
		ClientToken: x.request.token, Accessor: t.Accessor, DisplayName: t.Origin.DisplayName,
		Policies: token.Union(t.Policies, x.identity), TokenPolicies: t.Policies, IdentityPolicies: x.identity, Metadata: t.Meta,
		RemainingUses: max(x.usesLeft, 0), Entity: audit.Entity{ID: t.EntityID},
		TokenType: t.Type().String(), IssueTime: t.Created(),
		TokenTTL: time.Duration(t.Life.CreationTTL) * time.Second,
	}
	if x.acl != nil {
		a.results = audit.PolicyResults{Allowed: x.decision.Allowed, Granting: x.decision.Granting}
		a.auth.PolicyResults = &a.results
	}
}

func (x *exchange) auditMount() audit.Mount {
	if x.mounted == nil {
		return audit.Mount{}
	}
	e := &x.mounted.Entry
	return audit.Mount{Point: e.Path, Type: e.Type, Accessor: e.Accessor, Class: string(e.Class())}
}

// auditOperation is what the request does, as its entries call it.
func (x *exchange) auditOperation() string {
	switch {
	case x.request.help:
		return "help"
	case x.call != nil:
		return x.call.Operation.String()
	}
	return x.request.operation.String()
}

// describeRequest fills in what is asked for.
func (x *exchange) describeRequest(part *audit.RequestPart) {
	q := x.request
	*part = audit.RequestPart{
		ID: q.id, Operation: x.auditOperation(), Mount: x.auditMount(), ClientToken: q.token,
		Path: x.path, Data: q.raw, PolicyOverride: q.policyOverride, WrapTTL: q.wrapTTL, Headers: q.headers, URI: q.uri, Remote: q.remote,
	}
	if x.token != nil {
		part.ClientTokenAccessor = x.token.Accessor
		part.ClientID = clientID(x.token)
	}
	if q.certifier.IsValid() {
		part.Forwarded = audit.ForwardedCertificate{Serial: q.tls.PeerCertificates[0].SerialNumber.String(), By: q.certifier.String()}
	}
	if q.tls != nil && len(q.tls.VerifiedChains) > 0 && len(q.tls.PeerCertificates) > 0 {
		part.CertificateSerial = q.tls.PeerCertificates[0].SerialNumber.String()
	}
}

// clientID is the entity, or for a token without one a hash of its policies and of the one
// namespace there is: the value by which usage reports know the client. Contract: audit §5.2.
func clientID(t *token.Token) string {
	if t.EntityID != "" {
		return t.EntityID
	}
	var room [256]byte
	text := room[:0]
	for i, name := range t.Policies {
		if i > 0 {
			text = append(text, 0x7f)
		}
		text = append(text, name...)
	}
	sum := sha256.Sum256(append(text, "\x00root"...))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (x *exchange) nonHMACRequest() []string {
	if x.mounted == nil {
		return nil
	}
	return x.mounted.Entry.Tuning.NonHMACRequestKeys
}

func (x *exchange) nonHMACResponse() []string {
	if x.mounted == nil {
		return nil
	}
	return x.mounted.Entry.Tuning.NonHMACResponseKeys
}
