package backend

import (
	"net/netip"
	"time"

	"jeton/internal/store"
)

// Response is a handler's answer. Most handlers return a typed value instead, which becomes
// Data; they use Response when there is more to say.
type Response struct {
	// Data becomes the envelope's data; nil is null.
	Data any
	// Login is what a login method proved; the pipeline has the token issued and puts it into Auth.
	Login *Login
	// Auth is the token that was issued or renewed; Issued says which.
	Auth   *Auth
	Issued bool
	// Secret makes the answer a leased one.
	Secret *Secret
	// LeaseDuration shows a duration without a lease (kv version 1's advice to readers).
	LeaseDuration Seconds
	// WrapTTL asks for wrapping even if the client did not; the shorter of the two holds.
	WrapTTL time.Duration
	// WrapInfo is a wrapping that the handler has made itself.
	WrapInfo *WrapInfo
	// WrappedAccessor is shown with a wrapping token besides Auth's (a secret id's, say).
	WrappedAccessor string
	// Warnings are for people. Handlers add theirs with Call.Warn.
	Warnings []string
	// Status is the HTTP status; 0 is 200.
	Status int
	// Raw replaces the envelope.
	Raw *Raw
}

// Raw is an answer without an envelope.
type Raw struct {
	ContentType string
	Body        []byte
}

// PageType is the content type of a page for a person. The edge sends one so that it runs no
// script, loads nothing, and stands in nobody's frame.
const PageType = "text/html; charset=utf-8"

// Keys is the data of a list.
type Keys struct {
	Keys []string       `json:"keys"`
	Info map[string]any `json:"key_info,omitempty"`
}

// Listing is the answer to a list; none when there is nothing to list, which is a 404.
func Listing(keys []string) *Keys {
	if len(keys) == 0 {
		return nil
	}
	return &Keys{Keys: keys}
}

// Secret says that an answer is leased.
type Secret struct {
	// TTL is how long from now, 0 for the mount's default; MaxTTL bounds it, 0 for the mount's.
	TTL, MaxTTL time.Duration
	Renewable   bool
	// State is handed back to the engine when the lease is renewed or revoked. It is stored encrypted.
	State []byte
	// LeaseID names a lease that exists already: sys answers its renewal with it. Engines leave it empty.
	LeaseID string
}

// TokenType says how a token is kept.
type TokenType uint8

// The token types.
const (
	// DefaultType leaves the choice to the mount.
	DefaultType TokenType = iota
	// ServiceType tokens are stored.
	ServiceType
	// BatchType tokens carry themselves and are not stored.
	BatchType
)

// String is the name that clients see.
func (t TokenType) String() string {
	switch t {
	case ServiceType:
		return "service"
	case BatchType:
		return "batch"
	}
	return "default"
}

// Login is what a login method proved, and the token it asks for. Methods never mint tokens.
// Contract: auth-methods §1.1.
type Login struct {
	// DisplayName is the method's part ("alice"); the mount's path goes before it.
	DisplayName string
	// Policies as configured: the issuer trims, lower-cases and sorts a copy of them. Lists and
	// maps of a Login may be shared with others, and are never changed.
	Policies        []string
	NoDefaultPolicy bool
	// Terms bound the token's life.
	Terms Terms
	// NumUses 0 is without limit.
	NumUses    int
	BoundCIDRs []netip.Prefix
	Type       TokenType
	Metadata   map[string]string
	// Alias is who this is to the identity store; nil for nobody.
	Alias *Alias
	// GroupAliases are the groups that the method's directory puts the user in.
	GroupAliases []string
	// State stays with the token (encrypted) and comes back in Renewal.State.
	State []byte
	// Consume runs in the transaction that stores the token, before it is stored: a secret
	// id of limited use is spent there and nowhere else. Its error refuses the login.
	// tx is one of the whole store; see store.Area.Within.
	Consume func(tx store.Tx) error
}

// Terms bound a token's life. Zero durations are unset.
type Terms struct {
	// TTL is the life from issue or renewal. MaxTTL bounds the whole life and is read
	// afresh at every renewal; ExplicitMaxTTL is fixed when the token is made.
	TTL, MaxTTL, ExplicitMaxTTL time.Duration
	// Period makes a token that lives for ever in steps of Period.
	Period    time.Duration
	Renewable bool
}

// Alias names who logged in, within the mount of the method.
type Alias struct {
	Name     string
	Metadata map[string]string
}

// Auth is the token block of an answer. Contract: http §4, order of members included.
type Auth struct {
	ClientToken      string            `json:"client_token"`
	Accessor         string            `json:"accessor"`
	Policies         []string          `json:"policies"`
	TokenPolicies    []string          `json:"token_policies,omitempty"`
	IdentityPolicies []string          `json:"identity_policies,omitempty"`
	Metadata         map[string]string `json:"metadata"`
	LeaseDuration    Seconds           `json:"lease_duration"`
	Renewable        bool              `json:"renewable"`
	EntityID         string            `json:"entity_id"`
	TokenType        string            `json:"token_type"`
	Orphan           bool              `json:"orphan"`
	// MFARequirement is always null: there is none.
	MFARequirement *struct{} `json:"mfa_requirement"`
	NumUses        int       `json:"num_uses"`
	// RenewalPlan goes beyond the contract: old clients pass over its members.
	*RenewalPlan
	// DisplayName and TokenID are for the audit entry and the pipeline.
	DisplayName string  `json:"-"`
	TokenID     TokenID `json:"-"`
}

// RenewalPlan tells a client how long its token can live and when to renew it.
type RenewalPlan struct {
	// RenewableUntil is RFC 3339, or null for a token that can be kept alive for ever.
	RenewableUntil *string `json:"renewable_until"`
	// LimitedBy is token, role, mount, system or parent, or null.
	LimitedBy *string `json:"limited_by"`
	// RenewAfter is RFC 3339, or null for a token that cannot be renewed.
	RenewAfter *string `json:"renew_after"`
}

// WrapInfo is the block that stands for a wrapped answer. Contract: wrapping §2.
type WrapInfo struct {
	Token           string  `json:"token"`
	Accessor        string  `json:"accessor"`
	TTL             Seconds `json:"ttl"`
	CreationTime    string  `json:"creation_time"`
	CreationPath    string  `json:"creation_path"`
	WrappedAccessor string  `json:"wrapped_accessor,omitempty"`
}
