// Package token owns the service token's life: issue, look up, spend, renew, revoke, the
// hierarchy, accessors and roles. One token is one record, changed in one transaction with
// everything that points to it. It knows nothing of HTTP.
//
// A token is alive when its record is there, is not ended, not past its expiry and not used
// up, and the same holds for every ancestor. Revoking writes one mark on one record, whatever
// hangs below: the descendants are dead by that rule, and are cleaned up afterwards.
package token

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"jeton/internal/backend"
)

// ID names a stored token: a keyed hash of its text.
type ID = backend.TokenID

// MaxDepth bounds the hierarchy, so that proving a token's ancestry is bounded work.
const MaxDepth = 1000

// rootPolicy is the name that a root token's policy list shows. Authority comes from
// Token.Root alone.
const rootPolicy = "root"

// defaultPolicy is added to what is asked for, where its parent has it.
const defaultPolicy = "default"

// WrappingPolicy is what a wrapping token holds. It cannot be assigned.
const WrappingPolicy = "response-wrapping"

// Token is one service or batch token. A Token that was handed out is never changed: who
// wants another copies it.
type Token struct {
	ID       ID       `cbor:"-"`
	Accessor string   `cbor:"1,keyasint"`
	Parent   ID       `cbor:"2,keyasint,omitempty"`
	Depth    int      `cbor:"3,keyasint,omitempty"`
	Policies []string `cbor:"4,keyasint,omitempty"`
	// Root tokens may do everything. Only init, generate-root and another root token set it.
	Root     bool              `cbor:"5,keyasint,omitempty"`
	Meta     map[string]string `cbor:"6,keyasint"`
	EntityID string            `cbor:"7,keyasint,omitempty"`
	// Uses counts down; 0 is without limit, spent (-1) is used up.
	Uses       int            `cbor:"8,keyasint,omitempty"`
	BoundCIDRs []netip.Prefix `cbor:"9,keyasint,omitempty"`
	Origin     Origin         `cbor:"10,keyasint"`
	Life       Life           `cbor:"11,keyasint"`
	// End is set once the token was revoked and something of it is still to be cleaned up.
	End *End `cbor:"12,keyasint,omitempty"`
	// Batch tokens are not stored: the record travels in the token.
	Batch bool `cbor:"13,keyasint,omitempty"`
}

// spent marks a use-limited token whose last use was handed out.
const spent = -1

// Origin is where a token came from.
type Origin struct {
	// Path is the request path that made it ("auth/token/create").
	Path        string `cbor:"1,keyasint"`
	DisplayName string `cbor:"2,keyasint,omitempty"`
	// Role is the token role it was made against.
	Role string `cbor:"3,keyasint,omitempty"`
	// Mount is the accessor of the login method that vouched for it, "" for the token method's own.
	Mount string `cbor:"4,keyasint,omitempty"`
	// State is what that method wants back at renewal.
	State []byte `cbor:"5,keyasint,omitempty"`
}

// Life is when a token was made and when it ends. Times are Unix nanoseconds, durations seconds.
type Life struct {
	Created int64 `cbor:"1,keyasint"`
	// Expires is 0 for a root token that never does.
	Expires     int64 `cbor:"2,keyasint,omitempty"`
	CreationTTL int64 `cbor:"3,keyasint,omitempty"`
	// LastTTL is what a renewal without an increment gives again.
	LastTTL int64 `cbor:"4,keyasint,omitempty"`
	Renewed int64 `cbor:"5,keyasint,omitempty"`
	// ExplicitMax is the hard bound on the whole life; AskedExplicitMax is the part of it
	// that lookup shows: what the request gave, not the role.
	ExplicitMax      int64 `cbor:"6,keyasint,omitempty"`
	AskedExplicitMax int64 `cbor:"7,keyasint,omitempty"`
	// Period is what the request or the login method gave, not the role.
	Period    int64 `cbor:"8,keyasint,omitempty"`
	Renewable bool  `cbor:"9,keyasint,omitempty"`
	// Leased is false only for the roots of init and generate-root.
	Leased bool `cbor:"10,keyasint,omitempty"`
	// MaxTTL is the login method's bound at issue, for saying what limits the token.
	MaxTTL int64 `cbor:"11,keyasint,omitempty"`
	// SpentAt is when the last use was handed out.
	SpentAt int64 `cbor:"12,keyasint,omitempty"`
	// Freed is when the token became an orphan by the revocation of its parent alone.
	Freed int64 `cbor:"13,keyasint,omitempty"`
}

// Cause says why a token ended.
type Cause string

// The causes.
const (
	Revoked  Cause = "revoked"
	Expired  Cause = "expired"
	UsedUp   Cause = "uses-spent"
	Cascaded Cause = "cascade"
)

// End marks a token that was ended and is being cleaned up.
type End struct {
	Cause Cause `cbor:"1,keyasint"`
	At    int64 `cbor:"2,keyasint"`
	// By is the accessor of the token whose end caused this one, or of who revoked it.
	By string `cbor:"3,keyasint,omitempty"`
	// KeepChildren lets the direct children live on as orphans.
	KeepChildren bool `cbor:"4,keyasint,omitempty"`
	// Job is the id of the job that ended the token.
	Job string `cbor:"5,keyasint,omitempty"`
}

// Orphan says whether the token has no parent.
func (t *Token) Orphan() bool { return t.Parent == ID{} }

// Type is the token's type.
func (t *Token) Type() backend.TokenType {
	if t.Batch {
		return backend.BatchType
	}
	return backend.ServiceType
}

// Wrapping says whether the token stands for a wrapped answer.
func (t *Token) Wrapping() bool {
	return len(t.Policies) == 1 && t.Policies[0] == WrappingPolicy
}

// Created is when the token was issued.
func (t *Token) Created() time.Time { return time.Unix(0, t.Life.Created).UTC() }

// Expires is when it ends; the zero time for never.
func (t *Token) Expires() time.Time {
	if t.Life.Expires == 0 {
		return time.Time{}
	}
	return time.Unix(0, t.Life.Expires).UTC()
}

// TTL is what is left at now, in whole seconds rounded down; 0 for never.
func (t *Token) TTL(now time.Time) time.Duration {
	if t.Life.Expires == 0 {
		return 0
	}
	return max(0, time.Duration(t.Life.Expires-now.UnixNano())).Truncate(time.Second)
}

// clone copies what a change may touch; slices and maps are replaced whole, never written.
func (t *Token) clone() *Token {
	c := *t
	return &c
}

// endedItself says whether the token is dead by its own record, its ancestry aside.
func (t *Token) endedItself(now int64) bool {
	return t.End != nil || t.Uses == spent || (t.Life.Expires != 0 && now >= t.Life.Expires)
}

// Auth is the token block of an answer.
func (t *Token) Auth(text string, identityPolicies []string, ttl time.Duration) *backend.Auth {
	a := &backend.Auth{
		ClientToken:      text,
		Accessor:         t.Accessor,
		Policies:         Union(t.Policies, identityPolicies),
		TokenPolicies:    t.Policies,
		IdentityPolicies: identityPolicies,
		Metadata:         t.Meta,
		LeaseDuration:    backend.Seconds(ttl),
		Renewable:        t.Life.Renewable,
		EntityID:         t.EntityID,
		TokenType:        t.Type().String(),
		Orphan:           t.Orphan(),
		NumUses:          max(t.Uses, 0),
		DisplayName:      t.Origin.DisplayName,
		TokenID:          t.ID,
	}
	return a
}

// LeaseID is the token's id as a lease. Contract: leases §1.3.
func (t *Token) LeaseID() string { return t.Origin.Path + "/h" + hex.EncodeToString(t.ID[:]) }

// ParseLeaseID reads the token out of a lease id. Whether the rest of it is true is for the
// caller to compare.
func ParseLeaseID(lease string) (id ID, ok bool) {
	i := strings.LastIndex(lease, "/h")
	if i < 0 || len(lease)-i-2 != hex.EncodedLen(len(id)) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(lease[i+2:]))
	return id, err == nil
}
