package token

import (
	"math"
	"slices"
	"strings"
	"time"

	"jeton/internal/backend"
)

// Filter selects tokens; all that is set must hold. The zero Filter selects every token.
// Times are Unix nanoseconds, 0 is unset.
type Filter struct {
	Policy   string `cbor:"1,keyasint,omitempty"`
	Role     string `cbor:"2,keyasint,omitempty"`
	EntityID string `cbor:"3,keyasint,omitempty"`
	// Path is the request path that issued the token; one that ends in a slash is all below it.
	Path string `cbor:"4,keyasint,omitempty"`
	// DisplayName is a prefix.
	DisplayName string `cbor:"5,keyasint,omitempty"`
	// MetaKey and MetaValue are one pair.
	MetaKey   string `cbor:"6,keyasint,omitempty"`
	MetaValue string `cbor:"7,keyasint,omitempty"`
	// Orphan is nil for either.
	Orphan *bool `cbor:"8,keyasint,omitempty"`
	// Parent is a token's id.
	Parent ID `cbor:"9,keyasint,omitempty"`
	// Type "batch" selects nothing: batch tokens are not stored.
	Type           string `cbor:"10,keyasint,omitempty"`
	CreatedBefore  int64  `cbor:"11,keyasint,omitempty"`
	CreatedAfter   int64  `cbor:"12,keyasint,omitempty"`
	ExpiringBefore int64  `cbor:"13,keyasint,omitempty"`
	ExpiringAfter  int64  `cbor:"14,keyasint,omitempty"`
	// UnusedSince selects tokens that were neither made nor used after it.
	UnusedSince int64 `cbor:"15,keyasint,omitempty"`
}

// Empty says that the filter selects every token that is stored.
func (f *Filter) Empty() bool {
	rest := *f
	if rest.Type == "service" {
		rest.Type = ""
	}
	return rest == Filter{}
}

// times are the filter's bounds in time.
func (f *Filter) times() []*int64 {
	return []*int64{&f.CreatedBefore, &f.CreatedAfter, &f.ExpiringBefore, &f.ExpiringAfter, &f.UnusedSince}
}

// matches judges a record by all but its last use.
func (f *Filter) matches(t *Token) bool {
	created, expires := t.Life.Created, t.Life.Expires
	switch {
	case f.Policy != "" && !slices.Contains(t.Policies, f.Policy),
		f.Role != "" && t.Origin.Role != f.Role,
		f.EntityID != "" && t.EntityID != f.EntityID,
		f.Path != "" && !f.matchesPath(t.Origin.Path),
		f.DisplayName != "" && !strings.HasPrefix(t.Origin.DisplayName, f.DisplayName),
		f.MetaKey != "" && !hasPair(t.Meta, f.MetaKey, f.MetaValue),
		f.Orphan != nil && t.Orphan() != *f.Orphan,
		f.Parent != ID{} && t.Parent != f.Parent,
		f.Type != "" && f.Type != "service",
		f.CreatedBefore != 0 && created >= f.CreatedBefore,
		f.CreatedAfter != 0 && created <= f.CreatedAfter,
		f.ExpiringBefore != 0 && (expires == 0 || expires >= f.ExpiringBefore),
		f.ExpiringAfter != 0 && expires != 0 && expires <= f.ExpiringAfter:
		return false
	}
	return true
}

func (f *Filter) matchesPath(path string) bool {
	if strings.HasSuffix(f.Path, "/") {
		return strings.HasPrefix(path, f.Path)
	}
	return path == f.Path
}

func hasPair(meta map[string]string, key, value string) bool {
	v, ok := meta[key]
	return ok && v == value
}

// facets are those that a token which the filter selects must have: any of them can drive a search.
func (f *Filter) facets() []facet {
	out := []facet{{anyFacet, ""}}
	if f.Policy != "" {
		out = append(out, facet{policyFacet, f.Policy})
	}
	if f.Role != "" {
		out = append(out, facet{roleFacet, f.Role})
	}
	if f.EntityID != "" {
		out = append(out, facet{entityFacet, f.EntityID})
	}
	if strings.HasSuffix(f.Path, "/") {
		out = append(out, facet{belowFacet, f.Path})
	} else if f.Path != "" {
		out = append(out, facet{pathFacet, f.Path})
	}
	if f.Orphan != nil && *f.Orphan {
		out = append(out, facet{orphanFacet, ""})
	}
	if f.Parent != (ID{}) {
		out = append(out, parentOf(f.Parent))
	}
	if f.MetaKey != "" {
		out = append(out, facet{metaFacet, f.MetaKey + "\x00" + f.MetaValue})
	}
	for _, n := range slices.Backward(nameLengths[:]) {
		if len(f.DisplayName) >= n {
			out = append(out, facet{nameFacet, f.DisplayName[:n]})
			break
		}
	}
	return out
}

// Sort is an order of search results.
type Sort string

// The orders. Each can be walked backwards.
const (
	ByCreated  Sort = "created"
	ByExpires  Sort = "expires"
	ByLastUsed Sort = "last_used"
)

// ParseSort reads a client's order; "-" before it is backwards, "" is ByCreated.
func ParseSort(text string) (by Sort, reverse bool, err error) {
	name, reverse := strings.CutPrefix(text, "-")
	switch by = Sort(name); by {
	case "":
		return ByCreated, reverse, nil
	case ByCreated, ByExpires, ByLastUsed:
		return by, reverse, nil
	}
	return "", false, backend.Invalidf("unknown sort: want created, expires or last_used, with - before it for the other way")
}

// ParseInstant reads a point in time as people write it: RFC 3339, Unix seconds, or a duration
// before (ahead false) or after (ahead true) now. "" is 0; nothing else is, since 0 is no bound.
func ParseInstant(text string, now time.Time, ahead bool) (int64, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return instant(at), nil
	}
	d, err := backend.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, backend.Invalidf("a time must be written as RFC 3339, as Unix seconds or as a duration from now such as 24h")
	}
	// Nobody means a duration of thirty years, and no token was made before 2000.
	if digits := strings.Trim(text, "0123456789") == ""; digits && d > 30*365*24*time.Hour {
		return instant(time.Unix(int64(d/time.Second), 0)), nil
	}
	if ahead {
		return instant(now.Add(d)), nil
	}
	return instant(now.Add(-d)), nil
}

// instant is a time in Unix nanoseconds, within what they can hold and after 0.
func instant(at time.Time) int64 {
	switch {
	case at.Before(time.Unix(0, 1)):
		return 1
	case at.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return at.UnixNano()
}
