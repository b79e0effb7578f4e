package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/token"
	"jeton/internal/wrap"
)

// errUnaudited is wrapped by the error of a request that no device took an entry of. The
// client learns only that the server failed. Contract: audit §2.
var errUnaudited = errors.New("server: not audited")

// auditRequest writes the request entry: after the decision, before anything is done.
func (s *Server) auditRequest(ctx context.Context, x *exchange, refused error) error {
	if x.house.Audit.Silent() {
		return nil
	}
	entry := &audit.Entry{Auth: x.auditAuth(), Request: x.auditRequestPart()}
	if refused != nil {
		entry.Error = requestError(refused)
	}
	defer s.timed("audit.log_request")()
	if err := x.house.Audit.LogRequest(ctx, entry, x.nonHMACRequest(), x.nonHMACResponse()); err != nil {
		s.node.Metrics().Count("audit.log_request_failure", nil)
		return fmt.Errorf("failed to audit request: %w: %w", errUnaudited, err)
	}
	return nil
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
	entry := &audit.Entry{Auth: x.auditAuth(), Request: x.auditRequestPart(), Response: &audit.ResponsePart{Mount: x.auditMount()}}
	part := entry.Response
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
	defer s.timed("audit.log_response")()
	if err := x.house.Audit.LogResponse(ctx, entry, x.nonHMACRequest(), x.nonHMACResponse()); err != nil {
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

// auditAuth is who asks; near-empty without a valid token.
func (x *exchange) auditAuth() *audit.Auth {
	t := x.token
	if t == nil {
		return &audit.Auth{}
	}
	a := &audit.Auth{
		ClientToken: x.request.token, Accessor: t.Accessor, DisplayName: t.Origin.DisplayName,
		Policies: token.Union(t.Policies, x.identity), TokenPolicies: t.Policies, IdentityPolicies: x.identity, Metadata: t.Meta,
		RemainingUses: max(x.usesLeft, 0), Entity: audit.Entity{ID: t.EntityID},
		TokenType: t.Type().String(), IssueTime: t.Created(),
		TokenTTL: time.Duration(t.Life.CreationTTL) * time.Second,
	}
	if x.acl != nil {
		a.PolicyResults = &audit.PolicyResults{Allowed: x.decision.Allowed, Granting: x.decision.Granting}
	}
	return a
}

func (x *exchange) auditMount() audit.Mount {
	if x.mounted == nil {
		return audit.Mount{}
	}
	e := &x.mounted.Entry
	return audit.Mount{Point: e.Path, Type: e.Type, Accessor: e.Accessor, Class: string(e.Class())}
}

func (x *exchange) auditRequestPart() *audit.RequestPart {
	q := x.request
	operation := q.operation
	if x.call != nil {
		operation = x.call.Operation
	}
	part := &audit.RequestPart{
		ID: q.id, Operation: operation.String(), Mount: x.auditMount(), ClientToken: q.token,
		Path: x.path, Data: q.raw, PolicyOverride: q.policyOverride, WrapTTL: q.wrapTTL, Headers: q.headers, URI: q.uri,
	}
	if q.help {
		part.Operation = "help"
	}
	if q.remote.IsValid() {
		part.RemoteAddress, part.RemotePort = q.remote.Addr().String(), int(q.remote.Port())
	}
	if x.token != nil {
		part.ClientTokenAccessor = x.token.Accessor
		part.ClientID = clientID(x.token)
	}
	if q.tls != nil && len(q.tls.VerifiedChains) > 0 && len(q.tls.PeerCertificates) > 0 {
		part.CertificateSerial = q.tls.PeerCertificates[0].SerialNumber.String()
	}
	return part
}

// clientID is the entity, or for a token without one a hash of its policies and of the one
// namespace there is: the value by which usage reports know the client. Contract: audit §5.2.
func clientID(t *token.Token) string {
	if t.EntityID != "" {
		return t.EntityID
	}
	sum := sha256.Sum256([]byte(strings.Join(t.Policies, "\x7f") + "\x00root"))
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
