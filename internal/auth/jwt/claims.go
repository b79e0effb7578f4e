package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"jeton/internal/auth"
)

// claims are what a verified token says; numbers are json.Number.
type claims map[string]any

// finder looks a claim up by its name as a role writes it.
type finder func(name string) (any, bool)

func parseClaims(payload []byte) (claims, error) {
	var c claims
	if err := parseJSON(payload, &c); err != nil || c == nil {
		return nil, errors.New("its claims are not a JSON object")
	}
	return c, nil
}

// parseJSON reads one value and nothing after it, numbers exact.
func parseJSON(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if rest := text[decoder.InputOffset():]; len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
		return errors.New("something follows the value")
	}
	return nil
}

// find looks up a claim: a name that begins with a slash is a JSON pointer (RFC 6901).
// Contract: auth-methods §5.3.
func (c claims) find(name string) (any, bool) {
	if !strings.HasPrefix(name, "/") {
		v, ok := c[name]
		return v, ok && v != nil
	}
	var at any = map[string]any(c)
	for _, part := range strings.Split(name[1:], "/") {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		switch parent := at.(type) {
		case map[string]any:
			at = parent[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(parent) || strconv.Itoa(i) != part {
				return nil, false
			}
			at = parent[i]
		default:
			return nil, false
		}
	}
	return at, at != nil
}

// text finds a claim that has to be a string. Contract: auth-methods §5.3.
func (f finder) text(name string) (string, error) {
	v, ok := f(name)
	if !ok {
		return "", fmt.Errorf("claim %q not found in token", name)
	}
	s, ok := v.(string)
	switch {
	case !ok:
		return "", fmt.Errorf("claim %q could not be converted to string", name)
	case s == "":
		return "", fmt.Errorf("claim %q is empty", name)
	}
	return s, nil
}

// groups finds a list of names; one name alone is a list of one, empty ones are passed over.
func (f finder) groups(name string) ([]string, error) {
	v, ok := f(name)
	if !ok {
		return nil, fmt.Errorf("%q claim not found in token", name)
	}
	var groups []string
	for _, item := range asList(v) {
		s, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("%q claim could not be converted to string list", name)
		}
		if s != "" {
			groups = append(groups, s)
		}
	}
	return groups, nil
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// scalar is a value as bounds compare it: a string, a boolean, or a whole number; nil for what
// cannot be compared. Floats are truncated. Contract: auth-methods §5.3.
func scalar(v any) any {
	switch v := v.(type) {
	case string, bool:
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil || math.IsNaN(f) || math.Abs(f) >= 1<<63 {
			return nil
		}
		return int64(f)
	}
	return nil
}

// boundClaim is a claim and the values of which it must have one.
type boundClaim struct {
	name   string
	values []any
}

// parse reads Claims, sorted by name.
func (b *bounds) parse() ([]boundClaim, error) {
	if len(b.Claims) == 0 {
		return nil, nil
	}
	var object map[string]any
	if err := parseJSON(b.Claims, &object); err != nil {
		return nil, errors.New("jwt: stored bound claims cannot be read")
	}
	list := make([]boundClaim, 0, len(object))
	for name, v := range object {
		list = append(list, boundClaim{name, asList(v)})
	}
	slices.SortFunc(list, func(a, b boundClaim) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// matches says whether the claim, or any element of it, equals any bound value.
func (b boundClaim) matches(v any, glob bool) bool {
	for _, got := range asList(v) {
		for _, want := range b.values {
			if pattern, ok := want.(string); ok && glob {
				if text, ok := got.(string); ok && auth.Glob(pattern, text) {
					return true
				}
				continue
			}
			if s := scalar(got); s != nil && s == scalar(want) {
				return true
			}
		}
	}
	return false
}

// check judges what a token says by the role's bounds. Every bound must hold. An audience that
// the role does not expect is refused, and so is a token without one where the role expects
// one (CVE-2024-5798). Contract: auth-methods §5.3.
func (r *role) check(find finder) error {
	var audiences []any
	if v, ok := find("aud"); ok {
		audiences = asList(v)
	}
	expected := len(r.audience.values) > 0
	switch {
	case !expected && len(audiences) > 0 && r.Type == typeJWT:
		return errors.New("audience claim found in JWT but no audiences bound to the role")
	case expected && !r.audience.matches(audiences, false):
		return errors.New("error validating token: invalid audience (aud) claim: it names no audience of the role")
	}
	if want := r.Bounds.Subject; want != "" {
		if got, _ := find("sub"); got != want {
			return errors.New("error validating token: invalid subject (sub) claim")
		}
	}
	for _, b := range r.claims {
		v, ok := find(b.name)
		if !ok {
			return fmt.Errorf("error validating claims: claim %q is missing", b.name)
		}
		if !b.matches(v, r.Bounds.Glob) {
			return fmt.Errorf("error validating claims: claim %q does not match any associated bound claim values", b.name)
		}
	}
	return nil
}

// shown are the claims that check looks at, as a JSON object, to be judged again at renewal.
func (r *role) shown(find finder) ([]byte, error) {
	text := append(make([]byte, 0, 128), '{')
	for _, name := range r.judged {
		v, ok := find(name)
		if !ok {
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		var err error
		if text, err = appendText(text, name); err == nil {
			text, err = appendJSON(append(text, ':'), v)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(text, '}'), nil
}

// appendJSON appends v as json.Marshal writes it.
func appendJSON(text []byte, v any) ([]byte, error) {
	if s, ok := v.(string); ok {
		return appendText(text, s)
	}
	marshalled, err := json.Marshal(v)
	return append(text, marshalled...), err
}

// appendText is appendJSON of a string. For most of them json.Marshal need not be asked.
func appendText(text []byte, s string) ([]byte, error) {
	if plain(s) {
		return append(append(append(text, '"'), s...), '"'), nil
	}
	marshalled, err := json.Marshal(s)
	return append(text, marshalled...), err
}

// plain says whether s has none but letters that stand for themselves in JSON, whatever it is part of.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// The leeways where a role says nothing. Contract: auth-methods §5.2.
const (
	usualLeeway = 150 * time.Second
	usualSkew   = 60 * time.Second
)

// or is a leeway as it was written: 0 is the default, below 0 is none.
func or(written, usual time.Duration) time.Duration {
	switch {
	case written == 0:
		return usual
	case written < 0:
		return 0
	}
	return written
}

// checkTimes judges exp, nbf and iat. A leeway applies to a claim that is there, and the
// larger of its own and the clock's counts. A token without exp ends the expiration leeway
// after its start. Contract: auth-methods §5.3; observed, leeway.
func (l leeways) checkTimes(c claims, now time.Time) error {
	exp, hasExp, err := c.time("exp")
	if err != nil {
		return err
	}
	nbf, hasNbf, err := c.time("nbf")
	if err != nil {
		return err
	}
	iat, hasIat, err := c.time("iat")
	if err != nil {
		return err
	}
	skew, after, before := or(l.ClockSkew, usualSkew), or(l.Expiration, usualLeeway), or(l.NotBefore, usualLeeway)
	if !hasExp {
		if !hasNbf && !hasIat {
			return errors.New("no issued at (iat), not before (nbf), or expiration time (exp) claims in token")
		}
		exp = iat
		if nbf.After(iat) {
			exp = nbf
		}
	} else {
		after = max(after, skew)
	}
	switch {
	case now.After(exp.Add(after)):
		return errors.New("invalid expiration time (exp) claim: token is expired")
	case hasNbf && now.Before(nbf.Add(-max(before, skew))):
		return errors.New("invalid not before (nbf) claim: token not yet valid")
	case hasIat && now.Before(iat.Add(-skew)):
		return errors.New("invalid issued at (iat) claim: token issued in the future")
	}
	return nil
}

// latest bounds numeric dates to those that Go's times can be reckoned with: the year 9999.
const latest = 253402300799

// time is a numeric date (RFC 7519 §2), to the second.
func (c claims) time(name string) (at time.Time, ok bool, err error) {
	v, ok := c[name]
	if !ok || v == nil {
		return time.Time{}, false, nil
	}
	number, isNumber := v.(json.Number)
	f, err := number.Float64()
	if !isNumber || err != nil || math.Abs(f) > latest {
		return time.Time{}, false, fmt.Errorf("invalid (%s) claim: it is not a date in seconds", name)
	}
	return time.Unix(int64(f), 0), true, nil
}
