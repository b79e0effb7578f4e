// Package audit owns the record of who did what: the entries of every request, the hashing that
// keeps secrets out of them, the devices that they go to, and the rule that one device must
// have taken an entry before the request may go on. It knows nothing of HTTP.
//
// An entry is formatted once per device, since each device hashes with a salt of its own; what the
// two entries of a request have in common is formatted once for both (kept.go). A line travels to
// its device through a worker that the device cannot make anyone wait for longer than a fixed
// time (outlet.go). Contract: audit.
package audit

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Type says which half of a request an entry is.
type Type uint8

// The types of entry.
const (
	// Request entries are written before the request is acted upon.
	Request Type = iota + 1
	// Response entries are written before the answer leaves.
	Response
)

// String is the entry's `type`.
func (t Type) String() string {
	switch t {
	case Request:
		return "request"
	case Response:
		return "response"
	}
	return "unknown"
}

// Entry is what one line says. The Data members are JSON, the very bytes that the request
// carried or the answer will carry; hashing walks those bytes and never asks for a Go type, so
// that no type can slip through it. An Entry is only read, and not kept after the call.
type Entry struct {
	// Time is the clock's if zero.
	Time time.Time
	// Auth is who asks; nil for a call without a valid token.
	Auth     *Auth
	Request  *RequestPart
	Response *ResponsePart
	// Error is the outer error's text. It is written in clear: it must not carry a value that
	// the client sent.
	Error string
	// Kept, where it is not nil, takes what LogRequest writes of the request and has LogResponse
	// repeat it. The two entries of a request then share one.
	Kept *Kept
}

// Auth is a token and whom it stands for. Contract: audit §5.1.
type Auth struct {
	// ClientToken and Accessor are the texts as the client holds them. They are hashed.
	ClientToken string
	Accessor    string
	// What follows is written in clear.
	DisplayName      string
	Policies         []string
	TokenPolicies    []string
	IdentityPolicies []string
	NoDefaultPolicy  bool
	// PolicyResults is what the ACL said; nil where it was not asked.
	PolicyResults *PolicyResults
	Metadata      map[string]string
	// NumUses is for a token just issued; RemainingUses counts before this call's use.
	NumUses       int
	RemainingUses int
	Entity        Entity
	// TokenType is "service" or "batch"; empty is "default".
	TokenType string
	// TokenTTL is written in whole seconds.
	TokenTTL time.Duration
	// IssueTime is written in the form of RFC 3339, in UTC.
	IssueTime time.Time
	// Lineage says where the token comes from; nil for nothing known.
	Lineage *Lineage
}

// Entity is the identity behind a token.
type Entity struct {
	ID string
	// Created says that this login created it.
	Created bool
}

// Lineage leads from a token to what made it, so that one can follow a token up its tree in
// the log alone. Vault has no such block.
type Lineage struct {
	// Parent and Root are accessors, hashed like all accessors.
	Parent, Root string
	// Role is the token role that the token was made with.
	Role string
}

// PolicyResults is the ACL's verdict.
type PolicyResults struct {
	Allowed bool
	// Granting are the names of the policies that allowed it.
	Granting []string
}

// Mount is where the request was routed. Contract: audit §5.2.
type Mount struct {
	// Point ends in a slash ("auth/token/").
	Point    string
	Type     string
	Accessor string
	// Class is "secret" or "auth".
	Class   string
	Version string
}

// RequestPart is the request block. Contract: audit §5.2.
type RequestPart struct {
	ID        string
	ClientID  string
	Operation string
	// Mount is zero for a request that was refused before it was routed.
	Mount Mount
	// ClientToken is the token as presented, valid or not.
	ClientToken         string
	ClientTokenAccessor string
	// Path is without "/v1/" and without the query. Clear: a secret in a path shows.
	Path string
	// Data is body or query as one JSON value; nil for none.
	Data           json.RawMessage
	PolicyOverride bool
	// Remote is whose connection it is, or whom a trusted proxy names; zero if unknown.
	Remote netip.AddrPort
	// WrapTTL is written in whole seconds.
	WrapTTL time.Duration
	// Headers are all of the request's, by their canonical names; the configured ones are
	// written (headers.go).
	Headers map[string][]string
	// CertificateSerial is the decimal serial of a verified client certificate.
	CertificateSerial string
	// Forwarded is the client certificate that a proxy named.
	Forwarded ForwardedCertificate
	// URI is the raw URI. Whatever follows the first question mark is left out: the
	// parameters are in Data, hashed.
	URI string
}

// ForwardedCertificate is a client certificate that a trusted proxy named. It is not verified: the
// login method judges it.
type ForwardedCertificate struct {
	// Serial is decimal; By is the proxy's address.
	Serial, By string
}

// ResponsePart is the response block. Contract: audit §5.3.
type ResponsePart struct {
	// Auth is the token that the answer hands out.
	Auth  *Auth
	Mount Mount
	// LeaseID is written in clear.
	LeaseID string
	// Data is the answer's data as JSON; nil for none.
	Data json.RawMessage
	// Raw is an answer without an envelope. It replaces Data.
	Raw *RawBody
	// Warnings are written in clear.
	Warnings []string
	Redirect string
	WrapInfo *WrapInfo
}

// RawBody is an answer without an envelope. Its body is hashed as one string, whatever it is.
type RawBody struct {
	Status      int
	ContentType string
	Body        []byte
}

// WrapInfo is the wrapping token that stands for the answer.
type WrapInfo struct {
	Token        string
	Accessor     string
	TTL          time.Duration
	CreationTime time.Time
	// CreationPath is written in clear.
	CreationPath    string
	WrappedAccessor string
}

// Event is something that the server did of its own accord: a token that expired, one that went
// with its parent, one whose uses were spent, a job. Vault logs none of these. Its line has the
// type "event" and no request block, so that a reader of requests passes over it.
type Event struct {
	// Time is the clock's if zero.
	Time time.Time
	// Name is what happened: "token.expired", "token.revoked", "lease.revoked".
	Name string
	// Cause is why: "ttl", "cascade", "uses", "admin", "job".
	Cause string
	// Accessor is of the token that it happened to, CausedBy of the token whose end or whose
	// request caused it. Both are hashed like all accessors.
	Accessor, CausedBy string
	// Path is the token's creation path, or the path of the lease.
	Path     string
	Policies []string
	// LeaseID is written in clear.
	LeaseID string
	// Job names the work that the event is part of.
	Job string
	// EntityID and DisplayName say whom the token stood for.
	EntityID, DisplayName string
}
