// Package auth owns what the login methods share: the token_* parameters that roles and users
// carry, the networks a login may come from, and the lock that stops password guessing. It
// mints no tokens and knows nobody who does.
package auth

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/policy"
)

// TokenParams are the token_* parameters of a request that writes a role or a user. A nil
// field was not sent and leaves what is stored as it is. Contract: auth-methods §1.
type TokenParams struct {
	TokenTTL             *backend.SignedSeconds `json:"token_ttl" doc:"Life of the tokens, from login or renewal; 0 for the mount's default."`
	TokenMaxTTL          *backend.SignedSeconds `json:"token_max_ttl" doc:"Longest whole life of the tokens; 0 for the mount's."`
	TokenExplicitMaxTTL  *backend.SignedSeconds `json:"token_explicit_max_ttl" doc:"Longest whole life, fixed when a token is made."`
	TokenPeriod          *backend.SignedSeconds `json:"token_period" doc:"Makes tokens that can be renewed for ever, each time for this long."`
	TokenPolicies        *backend.CommaList     `json:"token_policies" doc:"Policies of the tokens."`
	TokenNoDefaultPolicy *bool                  `json:"token_no_default_policy" doc:"Leave out the policy named default."`
	TokenNumUses         *int                   `json:"token_num_uses" doc:"Requests that a token is good for; 0 is without limit."`
	TokenBoundCIDRs      *backend.CommaList     `json:"token_bound_cidrs" doc:"Addresses and networks that the tokens may be used from."`
	TokenType            *string                `json:"token_type" doc:"default, service or batch."`
}

// Synonyms are the older names of some token_* parameters, as far as a method takes them.
// They carry no wire names: each method declares those that it has and fills these.
type Synonyms struct {
	Policies    *backend.CommaList
	TTL, MaxTTL *backend.SignedSeconds
	Period      *backend.SignedSeconds
	NumUses     *int
	BoundCIDRs  *backend.CommaList
}

// TokenRecord is the stored form of the token_* parameters. Methods embed it in the record of
// a role or user; record fields 1 to 19 belong to it, the method's own begin at 20.
type TokenRecord struct {
	TTL             time.Duration     `cbor:"1,keyasint,omitempty"`
	MaxTTL          time.Duration     `cbor:"2,keyasint,omitempty"`
	ExplicitMaxTTL  time.Duration     `cbor:"3,keyasint,omitempty"`
	Period          time.Duration     `cbor:"4,keyasint,omitempty"`
	Policies        []string          `cbor:"5,keyasint,omitempty"`
	NoDefaultPolicy bool              `cbor:"6,keyasint,omitempty"`
	NumUses         int               `cbor:"7,keyasint,omitempty"`
	BoundCIDRs      []string          `cbor:"8,keyasint,omitempty"`
	Type            backend.TokenType `cbor:"9,keyasint,omitempty"`
	// Mirrored says which values are shown under their old name too.
	Mirrored Mirror `cbor:"10,keyasint,omitempty"`
}

// Mirror is a set of old parameter names.
type Mirror uint8

// The old names. Their bits are stored: none may change its meaning.
const (
	MirrorPolicies Mirror = 1 << iota
	MirrorTTL
	MirrorMaxTTL
	MirrorPeriod
	MirrorNumUses
	MirrorBoundCIDRs
)

// Apply merges what a request sent into r. It judges values one by one only; whoever calls it
// calls Validate afterwards, because a partial update is judged by its result. r must not be
// stored when Apply fails. Errors are Invalid, with the contract's texts (auth-methods §1).
func (r *TokenRecord) Apply(p TokenParams, old Synonyms) error {
	merge(&r.Mirrored, MirrorTTL, &r.TTL, p.TokenTTL, old.TTL, wholeSeconds)
	merge(&r.Mirrored, MirrorMaxTTL, &r.MaxTTL, p.TokenMaxTTL, old.MaxTTL, wholeSeconds)
	merge(&r.Mirrored, MirrorPeriod, &r.Period, p.TokenPeriod, old.Period, wholeSeconds)
	merge(&r.Mirrored, MirrorNumUses, &r.NumUses, p.TokenNumUses, old.NumUses, func(n int) int { return n })
	merge(&r.Mirrored, MirrorPolicies, &r.Policies, p.TokenPolicies, old.Policies, asStrings)
	if p.TokenExplicitMaxTTL != nil {
		r.ExplicitMaxTTL = wholeSeconds(*p.TokenExplicitMaxTTL)
	}
	if p.TokenNoDefaultPolicy != nil {
		r.NoDefaultPolicy = *p.TokenNoDefaultPolicy
	}
	if p.TokenBoundCIDRs != nil || old.BoundCIDRs != nil {
		merge(&r.Mirrored, MirrorBoundCIDRs, &r.BoundCIDRs, p.TokenBoundCIDRs, old.BoundCIDRs, asStrings)
		prefixes, err := ParsePrefixes(r.BoundCIDRs)
		if err != nil {
			return backend.Invalidf("failed to parse token_bound_cidrs: %s", err)
		}
		r.BoundCIDRs = FormatPrefixes(prefixes)
	}
	if p.TokenType != nil {
		kind, ok := tokenTypes[*p.TokenType]
		if !ok {
			return backend.Invalidf("invalid 'token_type' value %q", *p.TokenType)
		}
		r.Type = kind
	}
	return nil
}

// tokenTypes is a constant: the types by their wire names.
var tokenTypes = map[string]backend.TokenType{
	"": backend.DefaultType, "default": backend.DefaultType,
	"service": backend.ServiceType, "batch": backend.BatchType,
}

// merge sets field from the new name, or else from the old one, and keeps track of whether
// the old name is shown: after a write under the old name, and after one under both names.
func merge[W, T any](mirrored *Mirror, bit Mirror, field *T, sent, old *W, convert func(W) T) {
	switch {
	case sent != nil:
		*field = convert(*sent)
	case old != nil:
		*field = convert(*old)
	default:
		return
	}
	*mirrored &^= bit
	if old != nil {
		*mirrored |= bit
	}
}

// wholeSeconds drops fractions: they could not be read back.
func wholeSeconds(s backend.SignedSeconds) time.Duration {
	return s.Duration().Truncate(time.Second)
}

func asStrings(list backend.CommaList) []string { return slices.Clone([]string(list)) }

// Validate judges the parameters as a whole. Contract: auth-methods §1.
func (r *TokenRecord) Validate() error {
	switch {
	case r.TTL < 0:
		return backend.Invalidf("'token_ttl' cannot be negative")
	case r.MaxTTL < 0:
		return backend.Invalidf("'token_max_ttl' cannot be negative")
	case r.ExplicitMaxTTL < 0:
		return backend.Invalidf("'token_explicit_max_ttl' cannot be negative")
	case r.Period < 0:
		return backend.Invalidf("'token_period' cannot be negative")
	case r.NumUses < 0:
		return backend.Invalidf("'token_num_uses' cannot be negative")
	case r.MaxTTL > 0 && r.TTL > r.MaxTTL:
		return backend.Invalidf("'token_ttl' cannot be greater than 'token_max_ttl'")
	case r.Type == backend.BatchType && r.Period > 0:
		return backend.Invalidf("'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens")
	case r.Type == backend.BatchType && r.NumUses > 0:
		return backend.Invalidf("'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count")
	}
	return validPolicies(r.Policies)
}

// validPolicies refuses names that no policy can have. Blank ones are left for the issuer to
// drop. Whether a name is root, which no login may grant, is the issuer's to say as well.
// Contract: observed, policies and tokens; auth-methods §1.1.
func validPolicies(names []string) error {
	for _, name := range names {
		if strings.TrimSpace(name) == "" {
			continue
		}
		if _, err := policy.CanonicalName(name); err != nil {
			return backend.Invalidf("token_policies: %s", err)
		}
	}
	return nil
}

// Login begins a Login with what the record says of tokens; the method adds who it is. bound
// is the parsed form of BoundCIDRs, or what stands in its place. The lists are the record's own,
// and stay as they are.
func (r *TokenRecord) Login(bound []netip.Prefix) *backend.Login {
	return &backend.Login{
		Policies:        r.Policies,
		NoDefaultPolicy: r.NoDefaultPolicy,
		Terms:           r.Terms(),
		NumUses:         r.NumUses,
		BoundCIDRs:      bound,
		Type:            r.Type,
	}
}

// Terms are the bounds on the life of a token, now and at each renewal.
func (r *TokenRecord) Terms() backend.Terms {
	return backend.Terms{
		TTL: r.TTL, MaxTTL: r.MaxTTL, ExplicitMaxTTL: r.ExplicitMaxTTL,
		Period: r.Period, Renewable: true,
	}
}

// TokenView is how the parameters read back: durations as whole seconds, lists never null,
// old names only where they were used. Methods embed it in the answer to a read.
type TokenView struct {
	BoundCIDRs      []string        `json:"token_bound_cidrs"`
	ExplicitMaxTTL  backend.Seconds `json:"token_explicit_max_ttl"`
	MaxTTL          backend.Seconds `json:"token_max_ttl"`
	NoDefaultPolicy bool            `json:"token_no_default_policy"`
	NumUses         int             `json:"token_num_uses"`
	Period          backend.Seconds `json:"token_period"`
	Policies        []string        `json:"token_policies"`
	TTL             backend.Seconds `json:"token_ttl"`
	Type            string          `json:"token_type"`

	OldBoundCIDRs []string        `json:"bound_cidrs,omitempty"`
	OldMaxTTL     backend.Seconds `json:"max_ttl,omitempty"`
	OldNumUses    int             `json:"num_uses,omitempty"`
	OldPeriod     backend.Seconds `json:"period,omitempty"`
	OldPolicies   []string        `json:"policies,omitempty"`
	OldTTL        backend.Seconds `json:"ttl,omitempty"`
}

// View is r as clients read it.
func (r *TokenRecord) View() TokenView {
	v := TokenView{
		BoundCIDRs:      NotNull(r.BoundCIDRs),
		ExplicitMaxTTL:  backend.Seconds(r.ExplicitMaxTTL),
		MaxTTL:          backend.Seconds(r.MaxTTL),
		NoDefaultPolicy: r.NoDefaultPolicy,
		NumUses:         r.NumUses,
		Period:          backend.Seconds(r.Period),
		Policies:        NotNull(r.Policies),
		TTL:             backend.Seconds(r.TTL),
		Type:            r.Type.String(),
	}
	shown := func(bit Mirror) bool { return r.Mirrored&bit != 0 }
	if shown(MirrorBoundCIDRs) {
		v.OldBoundCIDRs = v.BoundCIDRs
	}
	if shown(MirrorMaxTTL) {
		v.OldMaxTTL = v.MaxTTL
	}
	if shown(MirrorNumUses) {
		v.OldNumUses = v.NumUses
	}
	if shown(MirrorPeriod) {
		v.OldPeriod = v.Period
	}
	if shown(MirrorPolicies) {
		v.OldPolicies = v.Policies
	}
	if shown(MirrorTTL) {
		v.OldTTL = v.TTL
	}
	return v
}

// NotNull is list, but an empty one where it would be null in JSON.
func NotNull(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// SamePolicies compares two lists of policies as an issuer would write them into a token:
// trimmed, in lower case, without regard to order, duplicates and the policy named default.
// Contract: auth-methods §1.3.
func SamePolicies(a, b []string) bool {
	return slices.Equal(canonicalPolicies(a), canonicalPolicies(b))
}

func canonicalPolicies(names []string) []string {
	canonical := make([]string, 0, len(names))
	for _, name := range names {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "default" {
			canonical = append(canonical, name)
		}
	}
	slices.Sort(canonical)
	return slices.Compact(canonical)
}
