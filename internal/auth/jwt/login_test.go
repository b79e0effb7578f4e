package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/jwt"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

const unverified = "error validating token: error verifying token signature: no known key verifies its signature"

// Contract: auth-methods §5.3, the result of a login.
func TestLogin(t *testing.T) {
	b, key := withRole(t, object{
		"groups_claim": "/realm/groups", "claim_mappings": object{"email": "mail", "/realm/level": "level", "absent": "gone"},
		"token_policies": "p", "token_ttl": "1h", "token_num_uses": 3, "token_bound_cidrs": "127.0.0.0/8",
	})
	l := mustLogin(t, b, key.Sign(t, of(b, object{
		"email": "ann@example.com", "realm": object{"groups": []any{"dev", "", "ops"}, "level": 5},
	})))
	metadata := map[string]string{"mail": "ann@example.com", "level": "5", "role": "r"}
	if !reflect.DeepEqual(l.Metadata, metadata) || !reflect.DeepEqual(l.Alias, &backend.Alias{Name: "ann", Metadata: metadata}) || l.DisplayName != "ann" {
		t.Errorf("metadata %v, alias %v, display name %q", l.Metadata, l.Alias, l.DisplayName)
	}
	if !slices.Equal(l.GroupAliases, []string{"dev", "ops"}) {
		t.Errorf("groups %v", l.GroupAliases)
	}
	if !slices.Equal(l.Policies, []string{"p"}) || l.NumUses != 3 || l.Terms.TTL != time.Hour || !l.Terms.Renewable {
		t.Errorf("%+v", l)
	}
	if !slices.Equal(l.BoundCIDRs, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}) {
		t.Errorf("bound to %v", l.BoundCIDRs)
	}
}

// Contract: auth-methods §5.3, the texts.
func TestLoginRefusals(t *testing.T) {
	b, key := withRole(t, object{"groups_claim": "g", "claim_mappings": object{"obj": "o"}, "user_claim": "name"})
	b.Must(t, backend.Update, "role/browser", object{"user_claim": "sub", "allowed_redirect_uris": redirect})
	b.Must(t, backend.Update, "role/plain", object{"role_type": "jwt", "user_claim": "sub", "bound_subject": "ann"})
	good := object{"name": "ann", "g": "x"}
	sign := func(more object) string {
		claims := of(b, good)
		for name, v := range more {
			if claims[name] = v; v == nil {
				delete(claims, name)
			}
		}
		return key.Sign(t, claims)
	}
	mustLogin(t, b, sign(nil))
	rows := []struct{ name, role, token, text string }{
		{"no role, and no default_role", "", sign(nil), "missing role"},
		{"unknown role: 400 not 403", "nobody", sign(nil), `role "nobody" could not be found`},
		{"what is no name is not repeated", strings.Repeat("secret", 20), sign(nil), "role could not be found"},
		{"role of the other kind", "browser", sign(nil), "role with oidc role_type is not allowed"},
		{"no token", "r", "", "missing token"},
		{"no JWT", "r", "nonsense", "error validating token: error verifying token signature: malformed token"},
		{"two parts", "r", "a.b", "error validating token: error verifying token signature: malformed token"},
		{"too long", "r", strings.Repeat("x", 65<<10), "error validating token: the token is longer than 64 KiB"},
		{"claims are a list", "r", key.SignText(t, "[1]"), "error validating token: its claims are not a JSON object"},
		{"claims are null", "r", key.SignText(t, "null"), "error validating token: its claims are not a JSON object"},
		{"something follows the claims", "r", key.SignText(t, `{"aud":"a"} {}`), "error validating token: its claims are not a JSON object"},
		{"another's key", "r", oidctest.NewKey(t, jose.ES256, "").Sign(t, of(b, good)), unverified},
		{"aud present and no bound_audiences", "plain", sign(nil), "audience claim found in JWT but no audiences bound to the role"},
		{"no user claim", "r", sign(object{"name": nil}), `claim "name" not found in token`},
		{"user claim that is a number is not coerced", "r", sign(object{"name": 7}), `claim "name" could not be converted to string`},
		{"empty user claim", "r", sign(object{"name": ""}), `claim "name" is empty`},
		{"no groups claim", "r", sign(object{"g": nil}), `"g" claim not found in token`},
		{"groups are numbers", "r", sign(object{"g": []any{1}}), `"g" claim could not be converted to string list`},
		{"mapped claim is an object", "r", sign(object{"obj": object{"a": 1}}), `claim "obj" could not be converted to string`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := b.Login(t.Context(), "login", object{"role": row.role, "jwt": row.token})
			authtest.Is(t, err, backend.Invalid, row.text)
		})
	}
}

func TestLoginWithoutConfiguration(t *testing.T) {
	b := authtest.New(t, jwt.New)
	for _, path := range []string{"login", "oidc/auth_url"} {
		b.Refused(t, backend.Update, path, object{"role": "r", "jwt": "x", "redirect_uri": redirect}, backend.Invalid, "could not load configuration")
	}
	if b.Must(t, backend.Read, "config", nil) != nil {
		t.Error("there is something to read")
	}
}

// Contract: auth-methods §5.3, default_role; role names in lower case.
func TestDefaultRole(t *testing.T) {
	key := oidctest.NewKey(t, jose.EdDSA, "")
	b := authtest.New(t, jwt.New)
	b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": key.PEM(t), "default_role": "R"})
	writeRole(t, b, nil)
	for _, role := range []string{"", "r", "R"} {
		if _, err := b.Login(t.Context(), "login", object{"role": role, "jwt": key.Sign(t, of(b, nil))}); err != nil {
			t.Errorf("%q: %v", role, err)
		}
	}
}

// Contract: auth-methods §5.3, token_bound_cidrs: 403, whatever the token is.
func TestLoginFromOutside(t *testing.T) {
	b, key := withRole(t, object{"token_bound_cidrs": "10.0.0.0/8"})
	for _, token := range []string{key.Sign(t, of(b, nil)), "nonsense"} {
		_, err := login(t, b, token)
		authtest.Is(t, err, backend.Denied, "permission denied")
	}
	b.Remote = netip.MustParseAddrPort("[::ffff:10.1.2.3]:1")
	mustLogin(t, b, key.Sign(t, of(b, nil)))
}

// Contract: auth-methods §5.3, "two keys in pubkeys, second signs → OK"; every algorithm with a
// key pair works.
func TestStaticKeys(t *testing.T) {
	var keys []oidctest.Key
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.PS384, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA} {
		keys = append(keys, oidctest.NewKey(t, algorithm, "any kid"))
	}
	b := withKeys(t, keys...)
	writeRole(t, b, nil)
	for _, key := range keys {
		t.Run(string(key.Algorithm), func(t *testing.T) { mustLogin(t, b, key.Sign(t, of(b, nil))) })
	}
	// Whichever key vouched last: the others still do, and a stranger's never does.
	stranger := oidctest.NewKey(t, jose.RS256, "any kid")
	for i := range 3 * len(keys) {
		key := keys[i*i%len(keys)]
		mustLogin(t, b, key.Sign(t, of(b, nil)))
		refused(t, b, stranger.Sign(t, of(b, nil)), unverified)
	}
	// A configuration with fewer keys does not remember the place of one that is gone.
	mustLogin(t, b, keys[len(keys)-1].Sign(t, of(b, nil)))
	b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": keys[0].PEM(t)})
	mustLogin(t, b, keys[0].Sign(t, of(b, nil)))
}

// Contract: auth-methods §5.3, jwt_supported_algs.
func TestAllowedAlgorithms(t *testing.T) {
	rsa, ec := oidctest.NewKey(t, jose.RS256, ""), oidctest.NewKey(t, jose.ES256, "")
	b := authtest.New(t, jwt.New)
	b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": rsa.PEM(t) + ec.PEM(t), "jwt_supported_algs": "ES256"})
	writeRole(t, b, nil)
	mustLogin(t, b, ec.Sign(t, of(b, nil)))
	refused(t, b, rsa.Sign(t, of(b, nil)), "error validating token: error verifying token signature: its algorithm is not among those allowed")
}

// CVE-2024-5798: the audience is judged whole, in each form; no audience is none.
func TestCVE_2024_5798_Audience(t *testing.T) {
	const wrong = "error validating token: invalid audience (aud) claim: it names no audience of the role"
	rows := []struct {
		name  string
		bound any
		aud   any
		text  string
	}{
		{"A for A", "A", "A", ""},
		{"list of A for A", "A", []any{"A"}, ""},
		{"A among others", "A", []any{"B", "A"}, ""},
		{"one of several", "A,C", "C", ""},
		{"B for A", "A", "B", wrong},
		{"others for A", "A", []any{"B", "C"}, wrong},
		{"part of the name", "AB", "A", wrong},
		{"a longer name", "A", "AB", wrong},
		{"another case", "A", "a", wrong},
		{"a list in one string", "A,B", "A,B", wrong},
		{"a pattern in the token", "A", "*", wrong},
		{"a pattern in the role is a name", "*", "A", wrong},
		{"no audience", "A", nil, wrong},
		{"empty list", "A", []any{}, wrong},
		{"an empty name", "A", "", wrong},
		{"a list in the list", "A", []any{[]any{"A"}}, wrong},
		{"an object", "A", object{"A": true}, wrong},
		{"a number", "1", 1, wrong},
	}
	for _, glob := range []string{"string", "glob"} {
		for _, row := range rows {
			t.Run(row.name+" "+glob, func(t *testing.T) {
				b, key := withRole(t, object{"bound_audiences": row.bound, "bound_claims_type": glob})
				token := key.Sign(t, of(b, object{"aud": row.aud}))
				if row.text == "" {
					mustLogin(t, b, token)
					return
				}
				refused(t, b, token, row.text)
			})
		}
	}
}

// CVE-2024-5798: what is not signed by a key pair is refused, and a public key is no password;
// contract: auth-methods §5.3, "HS256 token signed with RSA public key text → rejected".
func TestCVE_2024_5798_Algorithms(t *testing.T) {
	key := oidctest.NewKey(t, jose.RS256, "")
	b := withKeys(t, key)
	writeRole(t, b, nil)
	claims, err := json.Marshal(of(b, nil))
	if err != nil {
		t.Fatal(err)
	}
	raw := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(key.Sign(t, of(b, nil)), ".")
	const notAllowed = "error validating token: error verifying token signature: its algorithm is not among those allowed"
	for _, alg := range []string{"none", "None", "NONE", "HS256", "HS512", "", "ES256K"} {
		for _, signature := range []string{"", parts[2]} {
			token := raw([]byte(`{"alg":"`+alg+`"}`)) + "." + raw(claims) + "." + signature
			_, err := login(t, b, token)
			begins(t, err, backend.Invalid, "error validating token: error verifying token signature: ")
		}
	}
	pem := key.PEM(t)
	for _, secret := range []string{pem, strings.TrimSpace(pem), pem + "\n"} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		refused(t, b, token, notAllowed)
	}
	mustLogin(t, b, strings.Join(parts, "."))
	// Every change to a signed token is found.
	refused(t, b, parts[0]+"."+raw([]byte(strings.Replace(string(claims), "ann", "bob", 1)))+"."+parts[2], unverified)
	refused(t, b, parts[0]+"."+parts[1]+"."+raw(make([]byte, 256)), unverified)
}

// CVE-2024-5798: what a header says of keys is the sender's word.
func TestCVE_2024_5798_Headers(t *testing.T) {
	b, key := withRole(t, nil)
	p := oidctest.New(t)
	stranger := oidctest.NewKey(t, jose.ES256, "")
	for _, headers := range []object{
		{"jku": p.URL + "/keys"}, {"x5u": p.URL + "/keys"}, {"jwk": object{"kty": "EC"}}, {"kid": "../../../etc/passwd"},
		{"kid": "'; DROP TABLE keys"}, {"kid": p.URL + "/keys"},
	} {
		_, err := login(t, b, stranger.SignWith(t, of(b, nil), headers))
		begins(t, err, backend.Invalid, "error validating token: error verifying token signature: ")
	}
	if p.Count("/keys") != 0 {
		t.Error("an address in a header was contacted")
	}
	mustLogin(t, b, key.SignWith(t, of(b, nil), object{"kid": "../../../etc/passwd"}))
	_, err := login(t, b, key.SignWith(t, of(b, nil), object{"crit": []string{"x"}, "x": true}))
	begins(t, err, backend.Invalid, "error validating token: error verifying token signature: ")
	_, err = login(t, b, key.SignWith(t, of(b, nil), object{"crit": []string{"b64"}, "b64": false}))
	begins(t, err, backend.Invalid, "error validating token: error verifying token signature: ")
}

// Contract: auth-methods §5.3, bound_issuer and bound_subject.
func TestIssuerAndSubject(t *testing.T) {
	key := oidctest.NewKey(t, jose.ES256, "")
	b := authtest.New(t, jwt.New)
	b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": key.PEM(t), "bound_issuer": "https://idp/"})
	writeRole(t, b, object{"bound_subject": "ann"})
	mustLogin(t, b, key.Sign(t, of(b, object{"iss": "https://idp/"})))
	for _, iss := range []any{nil, "https://idp", "https://idp/x", []any{"https://idp/"}} {
		refused(t, b, key.Sign(t, of(b, object{"iss": iss})), "error validating token: invalid issuer (iss) claim")
	}
	for _, sub := range []any{nil, "Ann", "ann ", []any{"ann"}, ""} {
		refused(t, b, key.Sign(t, of(b, object{"iss": "https://idp/", "sub": sub})), "error validating token: invalid subject (sub) claim")
	}
}

// Contract: auth-methods §5.3, time rules; observed, leeway: it applies to each claim that is
// there, and to none that is not.
func TestTimes(t *testing.T) {
	const (
		expired = "error validating token: invalid expiration time (exp) claim: token is expired"
		early   = "error validating token: invalid not before (nbf) claim: token not yet valid"
		future  = "error validating token: invalid issued at (iat) claim: token issued in the future"
		none    = "error validating token: no issued at (iat), not before (nbf), or expiration time (exp) claims in token"
	)
	// Times are seconds from now.
	rows := []struct {
		name          string
		role          object
		exp, nbf, iat any
		text          string
	}{
		{"exp 100 s ago passes with default leeway 150", nil, -100, nil, nil, ""},
		{"the same when exp, nbf and iat are all present", nil, -100, -400, -400, ""},
		{"exp 100 s ago fails with -1", object{"expiration_leeway": -1}, -100, nil, nil, expired},
		{"exp 30 s ago passes by the clock's leeway", object{"expiration_leeway": -1}, -30, -400, -400, ""},
		{"exp 1 s ago with no leeway at all", object{"expiration_leeway": -1, "clock_skew_leeway": -1}, -1, nil, nil, expired},
		{"exp 151 s ago", nil, -151, nil, nil, expired},
		{"exp 199 s ago, leeway 200", object{"expiration_leeway": "200s"}, -199, nil, nil, ""},
		{"leeways are not added up", object{"expiration_leeway": 200}, -230, nil, nil, expired},
		{"only exp, 600 s ahead", nil, 600, nil, nil, ""},
		{"nbf 100 s ahead", nil, 600, 100, nil, ""},
		{"nbf 151 s ahead", nil, 600, 151, nil, early},
		{"nbf 61 s ahead with no leeway of its own", object{"not_before_leeway": -1}, 600, 61, nil, early},
		{"nbf 1 s ahead with no leeway at all", object{"not_before_leeway": -1, "clock_skew_leeway": -1}, 600, 1, nil, early},
		{"iat 59 s ahead", nil, 600, nil, 59, ""},
		{"iat 61 s ahead", nil, 600, nil, 61, future},
		{"iat 61 s ahead, skew 90", object{"clock_skew_leeway": 90}, 600, nil, 61, ""},
		{"no time at all", nil, nil, nil, nil, none},
		{"no exp: ends 150 s after iat", nil, nil, nil, -149, ""},
		{"no exp: it has ended", nil, nil, nil, -151, expired},
		{"no exp: nbf counts where it is later", nil, nil, -100, -400, ""},
		{"no exp, and no leeway to live by", object{"expiration_leeway": -1}, nil, nil, -1, expired},
		{"a date in a string", nil, "x", nil, nil, "error validating token: invalid (exp) claim: it is not a date in seconds"},
		{"a date beyond all dates", nil, json.Number("1e300"), nil, nil, "error validating token: invalid (exp) claim: it is not a date in seconds"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b, key := withRole(t, row.role)
			at := func(offset any) any {
				if seconds, ok := offset.(int); ok {
					return b.Clock.Now().Unix() + int64(seconds)
				}
				return offset
			}
			token := key.Sign(t, of(b, object{"exp": at(row.exp), "nbf": at(row.nbf), "iat": at(row.iat)}))
			if row.text == "" {
				mustLogin(t, b, token)
				return
			}
			refused(t, b, token, row.text)
		})
	}
}

// Contract: auth-methods §5.3, bound claims and where they are found.
func TestBoundClaims(t *testing.T) {
	missing := func(name string) string { return `error validating claims: claim "` + name + `" is missing` }
	differs := func(name string) string {
		return `error validating claims: claim "` + name + `" does not match any associated bound claim values`
	}
	rows := []struct {
		name, kind string
		bound      object
		claims     object
		text       string
	}{
		{"string", "", object{"c": "x"}, object{"c": "x"}, ""},
		{"another string", "", object{"c": "x"}, object{"c": "X"}, differs("c")},
		{"missing", "", object{"c": "x"}, nil, missing("c")},
		{"null is missing", "", object{"c": "x"}, object{"c": json.RawMessage("null")}, missing("c")},
		{"one of a list", "", object{"c": []any{"x", "y"}}, object{"c": "y"}, ""},
		{"list claim: any element", "", object{"c": "x"}, object{"c": []any{"w", "x"}}, ""},
		{"list claim without it", "", object{"c": "x"}, object{"c": []any{"w"}}, differs("c")},
		{"empty list claim", "", object{"c": "x"}, object{"c": []any{}}, differs("c")},
		{"number", "", object{"c": 5}, object{"c": 5}, ""},
		{"floats are truncated", "", object{"c": 5}, object{"c": 5.9}, ""},
		{"number in the other form", "", object{"c": 5.0}, object{"c": json.RawMessage("5e0")}, ""},
		{"number beyond all numbers", "", object{"c": 5}, object{"c": json.RawMessage("1e40")}, differs("c")},
		{"number is no string", "", object{"c": "5"}, object{"c": 5}, differs("c")},
		{"boolean", "", object{"c": true}, object{"c": true}, ""},
		{"boolean is no string", "", object{"c": "true"}, object{"c": true}, differs("c")},
		{"nested bound claim /a/b", "", object{"/a/b": "x"}, object{"a": object{"b": "x"}}, ""},
		{"pointer into a list", "", object{"/a/1": "x"}, object{"a": []any{"w", "x"}}, ""},
		{"pointer beyond a list", "", object{"/a/2": "x"}, object{"a": []any{"w", "x"}}, missing("/a/2")},
		{"pointer with escapes", "", object{"/a~1b/c~0d": "x"}, object{"a/b": object{"c~d": "x"}}, ""},
		{"a name with a dot is a name", "", object{"a.b": "x"}, object{"a": object{"b": "x"}}, missing("a.b")},
		{"every bound must hold", "", object{"c": "x", "d": "y"}, object{"c": "x", "d": "z"}, differs("d")},
		{"an object is equal to nothing", "", object{"c": "x"}, object{"c": object{"c": "x"}}, differs("c")},
		{"a star without glob", "", object{"c": "x*"}, object{"c": "xy"}, differs("c")},
		{"glob", "glob", object{"c": "team-*"}, object{"c": "team-a"}, ""},
		{"glob in the middle", "glob", object{"c": "a*c*e"}, object{"c": "abcde"}, ""},
		{"glob is anchored", "glob", object{"c": "*-x"}, object{"c": "a-x-y"}, differs("c")},
		{"glob, parts overlap", "glob", object{"c": "aba*aba"}, object{"c": "aba"}, differs("c")},
		{"glob over a list", "glob", object{"c": []any{"no", "t-*"}}, object{"c": []any{"x", "t-1"}}, ""},
		{"glob and a number", "glob", object{"c": "*"}, object{"c": 5}, differs("c")},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b, key := withRole(t, object{"bound_claims": row.bound, "bound_claims_type": row.kind})
			token := key.Sign(t, of(b, row.claims))
			if row.text == "" {
				mustLogin(t, b, token)
				return
			}
			refused(t, b, token, row.text)
		})
	}
}

// Contract: auth-methods §5.3, "groups claim single string → one alias"; user_claim as pointer.
func TestWhoItIs(t *testing.T) {
	b, key := withRole(t, object{"groups_claim": "g", "user_claim": "/who/name", "user_claim_json_pointer": true})
	l := mustLogin(t, b, key.Sign(t, of(b, object{"g": "one", "who": object{"name": "bob"}})))
	if !slices.Equal(l.GroupAliases, []string{"one"}) || l.Alias.Name != "bob" {
		t.Errorf("groups %v, alias %s", l.GroupAliases, l.Alias.Name)
	}
	b.Must(t, backend.Update, "role/r", object{"user_claim_json_pointer": false})
	if l := mustLogin(t, b, key.Sign(t, of(b, object{"g": "one", "/who/name": "eve", "who": object{"name": "bob"}}))); l.Alias.Name != "eve" {
		t.Errorf("alias %s", l.Alias.Name)
	}
}

// CVE-2026-115356; contract: auth-methods §1.3: what can be proved without the token is.
func TestRenewal(t *testing.T) {
	const failed = "failed to renew entry: "
	role := object{
		"token_policies": "B,a", "token_ttl": 60, "bound_subject": "ann", "bound_audiences": "a,b",
		"bound_claims": object{"/team/name": []any{"x", "y"}}, "token_bound_cidrs": "127.0.0.0/8",
	}
	const bounds = failed + "what the login showed is no longer enough for the role: "
	rows := []struct {
		name   string
		change func(t *testing.T, b *authtest.Bench)
		kind   backend.Kind
		text   string
	}{
		{"nothing changed", func(*testing.T, *authtest.Bench) {}, 0, ""},
		{"bounds that still hold", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "role/r", object{"bound_audiences": "a", "bound_claims": object{"/team/name": "x"}, "token_bound_cidrs": "127.0.0.1"})
		}, 0, ""},
		{"role gone", func(t *testing.T, b *authtest.Bench) { b.Must(t, backend.Delete, "role/r", nil) }, backend.Invalid,
			failed + `role "r" does not exist during renewal`},
		{"another role of the name", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Delete, "role/r", nil)
			writeRole(t, b, role)
		}, backend.Invalid, failed + `role "r" does not exist during renewal`},
		{"policies changed", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "role/r", object{"token_policies": "a"})
		},
			backend.Invalid, failed + "policies have changed, not renewing"},
		{"audience no longer taken", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "role/r", object{"bound_audiences": "b"})
		},
			backend.Invalid, bounds + "error validating token: invalid audience (aud) claim: it names no audience of the role"},
		{"subject no longer taken", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "role/r", object{"bound_subject": "bob"})
		},
			backend.Invalid, bounds + "error validating token: invalid subject (sub) claim"},
		{"claim no longer taken", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "role/r", object{"bound_claims": object{"/team/name": "y"}})
		}, backend.Invalid, bounds + `error validating claims: claim "/team/name" does not match any associated bound claim values`},
		{"a claim that the login did not show", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "role/r", object{"bound_claims": object{"mfa": true}})
		}, backend.Invalid, bounds + `error validating claims: claim "mfa" is missing`},
		{"networks narrowed", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "role/r", object{"token_bound_cidrs": "10.0.0.0/8"})
		},
			backend.Denied, failed + "the login came from outside the role's networks"},
		{"key taken away", func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": oidctest.NewKey(t, jose.ES256, "").PEM(t)})
		}, backend.Invalid, failed + "the key, the key set or the issuer that vouched for the login is no longer configured"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b, key := withRole(t, role)
			l := mustLogin(t, b, key.Sign(t, of(b, object{"team": object{"name": "x"}})))
			l.Policies = []string{"a", "b", "default"}
			row.change(t, b)
			b.Remount(t)
			renewed, err := b.Renew(t.Context(), l)
			if row.text != "" {
				authtest.Is(t, err, row.kind, row.text)
				return
			}
			if err != nil || renewed.Terms.TTL != time.Minute {
				t.Errorf("%+v, %v", renewed, err)
			}
		})
	}
	t.Run("issuer changed", func(t *testing.T) {
		b, key := withRole(t, nil)
		l := mustLogin(t, b, key.Sign(t, of(b, object{"iss": "one"})))
		b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": key.PEM(t), "bound_issuer": "two"})
		_, err := b.Renew(t.Context(), l)
		authtest.Is(t, err, backend.Invalid, failed+"the key, the key set or the issuer that vouched for the login is no longer configured")
	})
}

// A role or a configuration changed between the proof and the token: no token by the old one.
func TestChangedDuringLogin(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *authtest.Bench){
		"role deleted": func(t *testing.T, b *authtest.Bench) { b.Must(t, backend.Delete, "role/r", nil) },
		"role written": func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "role/r", object{"token_policies": "p"})
		},
		"config written": func(t *testing.T, b *authtest.Bench) {
			b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": oidctest.NewKey(t, jose.ES256, "").PEM(t)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, key := withRole(t, nil)
			response, err := b.Do(t.Context(), backend.Update, "login", object{"role": "r", "jwt": key.Sign(t, of(b, nil))})
			if err != nil {
				t.Fatal(err)
			}
			change(t, b)
			err = b.Store.Update(t.Context(), response.Login.Consume)
			authtest.Is(t, err, backend.Conflict, "the role or the configuration was changed during the login: try again")
		})
	}
}

// A login changes nothing in the area: the token is its one durable write.
func TestLoginWritesNothing(t *testing.T) {
	b, key := withRole(t, nil)
	var changed int
	cancel := b.Area.Subscribe(func(c store.Commit) { changed += len(c.Keys) + len(c.Ranges) })
	defer cancel()
	for range 3 {
		mustLogin(t, b, key.Sign(t, of(b, nil)))
	}
	if changed != 0 {
		t.Errorf("%d changes", changed)
	}
}

// A login under a role and a configuration that are known reads nothing either, in its transaction
// or before it: nothing is decoded but the token.
func TestCostOfLogin(t *testing.T) {
	b, counted := authtest.OnCounting(t, jwt.New)
	key := oidctest.NewKey(t, jose.RS256, "")
	b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": key.PEM(t)})
	writeRole(t, b, object{"bound_claims": object{"project": "site"}, "claim_mappings": object{"project": "project"}})
	token := key.Sign(t, of(b, object{"project": "site"}))
	first, another := storetest.Cost{Views: 2, Updates: 1, Gets: 2}, storetest.Cost{Updates: 1}
	for i, want := range []storetest.Cost{first, another, another} {
		if got := counted.Of(func() { mustLogin(t, b, token) }); got != want {
			t.Errorf("login %d: %+v, want %+v", i+1, got, want)
		}
	}
}

// CVE-2025-4166: no error repeats what may be a secret.
func TestErrorsRepeatNoSecret(t *testing.T) {
	const canary = "canary-4711"
	b, key := withRole(t, object{"bound_claims": object{"c": "x"}})
	signed := func(more object) string { return key.Sign(t, of(b, more)) }
	for _, data := range []object{
		{"role": "r", "jwt": canary}, {"role": "r", "jwt": canary + "." + canary + "." + canary}, {"role": "r", "jwt": object{"a": canary}},
		{"role": "r", "jwt": []any{canary, canary}}, {"role": strings.Repeat(canary, 9), "jwt": "x"},
		{"role": "r", "jwt": signed(object{"sub": canary, "aud": canary})}, {"role": "r", "jwt": signed(object{"c": canary})},
		{"role": "r", "jwt": signed(object{"exp": canary, "c": "x"})}, {"role": "r", "jwt": signed(object{"sub": []any{canary}, "c": "x"})},
	} {
		_, err := b.Do(t.Context(), backend.Update, "login", data)
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v: %v", data, err)
		}
	}
	for _, data := range []object{
		{"jwt_validation_pubkeys": canary}, {"jwks_url": "https://" + canary + ":secret@host/"}, {"jwks_url": canary},
		{"oidc_discovery_url": "http://127.0.0.1:1/" + canary}, {"jwks_pairs": canary}, {"oidc_client_secret": canary, "jwks_url": "https://x"},
		{"jwks_url": "https://x", "jwks_ca_pem": canary},
	} {
		_, err := b.Do(t.Context(), backend.Update, "config", data)
		var known *backend.Error
		if err == nil || !asError(err, &known) || strings.Contains(known.Text, "canary") {
			t.Errorf("%v: %v", data, err)
		}
	}
}

// CVE-2026-89322: no route takes a name as it is written.
func TestRoutesFoldNames(t *testing.T) {
	b := authtest.New(t, jwt.New)
	match, ok := backend.NewTable(b.Backend.Routes()).Find(backend.Update, "role/BOB")
	if !ok || match.Path != "role/bob" {
		t.Errorf("the canonical path is %q", match.Path)
	}
}
