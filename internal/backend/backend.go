// Package backend owns the vocabulary that the HTTP edge and the backends (login methods,
// secret engines, sys) agree on: routes, calls, typed handlers, answers and errors. It holds
// no state, and of the other rooms it knows only the store and the clock.
package backend

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"jeton/internal/clock"
	"jeton/internal/store"
)

// Backend serves the paths below one mount. Routes is called once, when it is mounted.
type Backend interface {
	Routes() []Route
}

// Env is what a backend is given to live in.
type Env struct {
	// Area is the mount's own part of the encrypted store. It is erased when the mount is removed.
	Area *store.Area
	// Options are the mount's (the version of a kv engine, say).
	Options map[string]string
	Clock   clock.Clock
	Log     *slog.Logger
}

// Factory makes the backend of one mount. It must not do slow work: it runs at unseal.
type Factory func(ctx context.Context, env Env) (Backend, error)

// Closer is a Backend that owns goroutines or connections; Close is called once, after its
// last call has returned, when the mount is removed or the server is sealed.
type Closer interface{ Close() error }

// Checker is a Backend that can tell where what it keeps contradicts itself.
type Checker interface {
	// Check reads all that the backend keeps in r, one state of its area, value by value, and
	// reports each place where records and indexes disagree, in words that do not depend on the
	// data. A value that cannot be read (record.ErrMalformed) must not end the walk. It changes
	// nothing. Its error is one of reading the store.
	Check(r store.Reader, report func(what string)) error
}

// Renewer is a login method: it is asked again whenever a token that it vouched for is renewed.
type Renewer interface {
	// RenewLogin proves again what the login proved and returns the limits that now hold
	// (TTL, MaxTTL, Period; the rest of the Login is ignored). An error refuses the renewal
	// and leaves the token as it was. Contract: auth-methods §1.3.
	RenewLogin(ctx context.Context, r Renewal) (*Login, error)
}

// Renewal is what a login method learns of a token that is to be renewed.
type Renewal struct {
	// State is what the login left with the token.
	State []byte
	// Policies are the token's own, without those of its entity.
	Policies []string
	Metadata map[string]string
	Mount    Mount
	// TLS is the renewing connection's, nil without TLS.
	TLS *tls.ConnectionState
}

// LeaseIssuer is an engine whose answers carry leases.
type LeaseIssuer interface {
	// RenewLease extends what the lease stands for and returns its new terms.
	RenewLease(ctx context.Context, l LeaseCall) (*Secret, error)
	// RevokeLease takes back what the lease stands for. It may be called again for a lease
	// that it has taken back already, and must then succeed.
	RevokeLease(ctx context.Context, l LeaseCall) error
}

// LeaseCall is what an engine learns of a lease to be renewed or revoked.
type LeaseCall struct {
	// State is the Secret.State that the engine handed out with the lease.
	State []byte
	// Increment is the extension asked for; 0 leaves it to the engine.
	Increment time.Duration
	IssueTime time.Time
	Mount     Mount
}

// Mount is what a call knows of the mount that it reached.
type Mount struct {
	// Path ends in a slash and, for login methods, begins with "auth/".
	Path string
	// Type is the backend's name ("kv", "approle").
	Type     string
	Accessor string
	// DefaultTTL and MaxTTL are the effective limits: the mount's own, or the system's.
	DefaultTTL, MaxTTL time.Duration
	// SystemMaxTTL is what MaxTTL is where the mount is not tuned.
	SystemMaxTTL time.Duration
	// TokenType is an auth mount's tuning: "default-service", "default-batch", "service" or "batch".
	TokenType string
}

// Operation is what a call asks of a path.
type Operation uint8

// The operations. Create is a write to a path whose route says that nothing is there yet.
const (
	Read Operation = iota + 1
	Create
	Update
	Patch
	Delete
	List
)

// String is the operation's name in audit entries. Contract: audit §5.2.
func (o Operation) String() string {
	names := [...]string{Read: "read", Create: "create", Update: "update", Patch: "patch", Delete: "delete", List: "list"}
	if int(o) < len(names) && names[o] != "" {
		return names[o]
	}
	return "unknown"
}

// Route is one row of a backend's table: a path and what may be done to it. Decoding,
// unknown-field warnings, existence checks, help and the OpenAPI document derive from it.
type Route struct {
	// Pattern is the path below the mount, segments split by slashes: a word stands for
	// itself; {name} is one segment of letters, digits, `_`, `-` and `.` (contract:
	// auth-methods §0); {name|lower} the same, read in lower case, also by the ACL;
	// {name...} is the rest of the path, slashes included, and never empty but for List;
	// {name|lower...} the same in lower case.
	Pattern string
	// AsWritten, where it says true, takes captures marked lower as they were sent: names differ
	// by case on this mount. Nil is never.
	AsWritten func() bool
	// Summary is one line of help, Detail what a person wants to know next.
	Summary, Detail string
	// Open routes need no token (logins, sys/health). A token that comes along is ignored.
	Open bool
	// Sudo routes need the sudo capability besides the operation's own.
	Sudo bool
	// Absent routes stand for what is not here (AbsentRoutes); no description lists them.
	Absent bool
	// Inject copies every member of the answer's data to the top level of the envelope.
	// Contract: http §4.
	Inject bool
	// Consumes says that the handler itself uses up a wrapping token that the request came
	// with: the pipeline then spends none of its use.
	Consumes bool
	// Precheck refuses a call before its token is looked at (the validation of a wrapping
	// token, contract: wrapping §4). The call has no Caller yet.
	Precheck func(ctx context.Context, c *Call) error
	// Exists tells create from update. Without it every write is an update.
	Exists func(ctx context.Context, c *Call) (bool, error)

	Read, Write, Patch, Delete, List Endpoint
}

// Endpoint returns what serves op on this route; the zero Endpoint when nothing does.
func (r *Route) Endpoint(op Operation) Endpoint {
	switch op {
	case Read:
		return r.Read
	case Create, Update:
		return r.Write
	case Patch:
		return r.Patch
	case Delete:
		return r.Delete
	case List:
		return r.List
	}
	return Endpoint{}
}

// Call is one request on its way to a handler, after authentication and authorisation.
type Call struct {
	Operation Operation
	// Path is the canonical path below the mount, the very bytes the ACL saw.
	Path string
	// Folded says that the path was sent in another form: its case was changed.
	Folded bool
	Mount  Mount
	// Captures are the parts of Path that the route's pattern names.
	Captures map[string]string
	// Data is the JSON body, form or query: numbers are json.Number. Nil when there was none.
	Data map[string]any
	// Caller is who asks; nil on an open route.
	Caller *Caller
	// Presented is the token that came along, whatever it is worth. It must not be printed.
	Presented string
	// RequestID is the UUID that the answer and both audit entries carry.
	RequestID string
	Remote    netip.AddrPort
	// Header returns a request header that the mount's tuning lets through, or "".
	Header func(name string) string
	// TLS is the connection's state, nil without TLS.
	TLS *tls.ConnectionState
	// Wrapped says that the answer will be wrapped, WrapTTL for how long.
	Wrapped bool
	WrapTTL time.Duration

	warnings []string
}

// Warn adds a warning to the answer. It must not carry a value that the caller sent.
func (c *Call) Warn(text string) { c.warnings = append(c.warnings, text) }

// Capture is the part of the path that the pattern calls name.
func (c *Call) Capture(name string) string { return c.Captures[name] }

// TokenID names a stored token: a keyed hash of its text. It is no secret.
type TokenID [16]byte

// Caller is the holder of the token that came with the request.
type Caller struct {
	// Token is the token as the client presented it. It must not be stored or printed.
	Token string
	// ID is zero for a batch token.
	ID       TokenID
	Accessor string
	// Batch callers hold a token that is not stored.
	Batch bool
	// Root is a property of the token, never a policy name found in a list.
	Root bool
	// Sudo says that the rule which allowed this very request grants sudo (or Root).
	Sudo bool
	// Policies are the token's own, IdentityPolicies those of its entity.
	Policies, IdentityPolicies []string
	EntityID                   string
	DisplayName                string
	Access                     Access
}

// Access answers what a caller may do elsewhere.
type Access interface {
	// Capabilities on path, sorted; ["deny"] for none, ["root"] for root.
	Capabilities(path string) []string
	// Touches says whether any rule grants something on prefix or below it.
	Touches(prefix string) bool
}
