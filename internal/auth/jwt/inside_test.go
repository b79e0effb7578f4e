package jwt

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"jeton/internal/auth"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
	"jeton/internal/record/recordtest"
)

// What is stored keeps its form: a later version must read these bytes.
func TestStoredForm(t *testing.T) {
	recordtest.Pinned(t, []recordtest.Pin{
		{Name: "configRecord", In: &configRecord{
			DiscoveryURL: "d", DiscoveryCA: "dc", ClientID: "i", ClientSecret: "s", ResponseMode: "m", ResponseTypes: []string{"code"}, JWKSURL: "j",
			JWKSCA: "jc", PublicKeys: []string{"k"}, Pairs: []jwksPair{{URL: "u", CA: "c"}}, BoundIssuer: "b", Algorithms: []string{"ES256"},
			DefaultRole: "r", NamespaceInState: true,
		}, Out: &configRecord{}, Golden: "01ae0161640262646303616904617305616d068164636f646507616a08626a630981616b0a81a20161750261630b61620c816545533235360d61720ef5"},
		{Name: "configRecord of Entra", In: &configRecord{Special: special{Azure: &azureRecord{GraphURL: "g"}}}, Out: &configRecord{}, Golden: "01a10fa101a1016167"},
		{Name: "configRecord of Workspace", In: &configRecord{Special: special{Google: &googleRecord{
			Email: "e", Key: "k", KeyID: "i", TokenURL: "t", Admin: "a", Depth: 1, DirectoryURL: "d",
		}}}, Out: &configRecord{}, Golden: "01a10fa102a701616502616b0361690461740561610601076164"},
		{Name: "roleRecord", In: &roleRecord{
			TokenRecord: auth.TokenRecord{TTL: time.Second, Policies: []string{"p"}, Type: backend.ServiceType}, UID: []byte{1}, Type: typeJWT,
			UserClaim: "u", UserClaimPointer: true, GroupsClaim: "g", Bounds: bounds{Audiences: []string{"a"}, Subject: "s", Claims: []byte("{}"), Glob: true},
			ClaimMappings: map[string]string{"c": "k"}, Scopes: []string{"o"}, RedirectURIs: []string{"h"},
			Leeways: leeways{Expiration: -time.Second, NotBefore: time.Second, ClockSkew: 2 * time.Second}, MaxAge: time.Second, Verbose: true,
		}, Out: &roleRecord{}, Golden: "01af011a3b9aca00058161700901144101150216617517f5181861671819a40181616102617303427b7d04f5181aa16163616b181b81616f181c816168181da3013a3b9ac9ff021a3b9aca00031a77359400181e1a3b9aca00181ff5"},
		{Name: "loginState", In: &loginState{UID: []byte{1}, Name: "r", Source: "::1", Mark: []byte{2}, Shown: []byte("{}")}, Out: &loginState{}, Golden: "01a501410102617203633a3a3104410205427b7d"},
		{Name: "flowState", In: &flowState{Ends: 1, ID: []byte{1}, Role: "r", RoleUID: []byte{2}, Config: []byte{3}, Redirect: "h", ClientNonce: []byte{4}}, Out: &flowState{}, Golden: "01a70101024101036172044102054103066168074104"},
		{Name: "roleRecord with a way back", In: &roleRecord{
			TokenRecord: auth.TokenRecord{Type: backend.ServiceType}, UID: []byte{1}, Type: typeOIDC, UserClaim: "u",
			Returning: returning{Mode: byDevice, Interval: time.Second, Unconfirmed: true},
		}, Out: &roleRecord{}, Golden: "01a7090114410115011661751819a0181da01820a30102021a3b9aca0003f5"},
		{Name: "flowState of a device login", In: &flowState{Ends: 1, Mode: byDevice, DeviceCode: "d", Interval: 2, From: "::1"}, Out: &flowState{}, Golden: "01aa010102f6036004f605f6066008020961640a020b633a3a31"},
		{Name: "finishedLogin", In: &finishedLogin{Said: []byte("{}"), By: []byte{1}}, Out: &finishedLogin{}, Golden: "01a201427b7d024101"},
	})
	if key := string(usedKey(time.Unix(258, 0), []byte("id"))); key != "used/\x00\x00\x00\x00\x00\x00\x01\x02id" {
		t.Errorf("key %q", key)
	}
	if key := string(doneKey(time.Unix(258, 0), []byte("id"))); key != "done/\x00\x00\x00\x00\x00\x00\x01\x02id" {
		t.Errorf("key %q", key)
	}
	if modes := fmt.Sprintf("%d %s %d %s %d %s", byClient, byClient, byServer, byServer, byDevice, byDevice); modes != "0 client 1 direct 2 device" {
		t.Errorf("the stored modes are %s", modes)
	}
	if roleTypes := fmt.Sprintf("%d %s %d %s", typeOIDC, typeOIDC, typeJWT, typeJWT); roleTypes != "1 oidc 2 jwt" {
		t.Errorf("the stored types are %s", roleTypes)
	}
}

// slowMatch is the rule in the contract's words: any element of the claim equals any bound
// value; numbers as whole numbers; a pattern by a regular expression.
func slowMatch(claim any, values []any, glob bool) bool {
	elements, ok := claim.([]any)
	if !ok {
		elements = []any{claim}
	}
	canonical := func(v any) string {
		if n, ok := v.(json.Number); ok {
			f, _, err := big.ParseFloat(string(n), 10, 2000, big.ToZero)
			if err != nil {
				return fmt.Sprintf("%p", &n)
			}
			whole, _ := f.Int(nil)
			return "number " + whole.String()
		}
		return fmt.Sprintf("%T %v", v, v)
	}
	for _, element := range elements {
		for _, value := range values {
			pattern, isText := value.(string)
			text, alsoText := element.(string)
			switch {
			case glob && isText:
				expression := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
				if alsoText && regexp.MustCompile(`(?s)\A`+expression+`\z`).MatchString(text) {
					return true
				}
			case canonical(element) == canonical(value):
				switch element.(type) {
				case string, bool, json.Number:
					return true
				}
			}
		}
	}
	return false
}

// Bound claims against a slow reference.
func TestBoundClaimsAgainstReference(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab*.\n")), 0, 5, -1)
	scalars := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.IntRange(-2, 2), func(n int) any { return json.Number(fmt.Sprint(n)) }),
		rapid.Map(rapid.SampledFrom([]string{"1.0", "1.9", "-1.5", "1e0", "0.2e1", "9007199254740993", "9007199254740992"}), func(s string) any { return json.Number(s) }),
	)
	element := rapid.OneOf(scalars, rapid.Just[any](nil), rapid.Just[any](map[string]any{"a": "b"}), rapid.Just[any]([]any{"a"}))
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(scalars, 1, 3).Draw(t, "values")
		glob := rapid.Bool().Draw(t, "glob")
		var claim any = rapid.OneOf(element, rapid.Map(rapid.SliceOfN(element, 0, 3), func(list []any) any { return list })).Draw(t, "claim")
		got, want := boundClaim{"c", values}.matches(claim, glob), slowMatch(claim, values, glob)
		if got != want {
			t.Fatalf("%#v against %#v, glob %v: %v, want %v", claim, values, glob, got, want)
		}
	})
}

// FuzzJWT: whatever text comes, nothing panics, and only what the key signed is believed.
func FuzzJWT(f *testing.F) {
	key := oidctest.NewKey(f, jose.ES256, "k")
	good := key.Sign(f, map[string]any{"sub": "ann", "aud": []string{"a"}, "exp": 1, "n": map[string]any{"a": []any{1, "x"}}})
	for _, seed := range []string{good, "", ".", "..", "a.b.c", good + ".", strings.Replace(good, ".", "..", 1), "eyJhbGciOiJub25lIn0.e30.", `{"payload":"e30","signatures":[]}`} {
		f.Add(seed)
	}
	t0, err := newTrust(&configRecord{PublicKeys: []string{key.PEM(f)}}, fetching{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		said, by, err := t0.verify(t.Context(), text)
		if err == nil && (by == nil || said["sub"] != "ann") {
			t.Errorf("%q is believed", text)
		}
	})
}

// FuzzClaims: whatever the claims are, judging them does not panic, and bounds hold.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{}`, `{"aud":["a","<b>"],"iss":"a \u003c\u0022\\\u2028","sub":"é"}`, `{"aud":"a","sub":1,"exp":1e3}`, `{"aud":[["a"]],"exp":-1,"nbf":99999999999999}`, `{"a":{"b":["c"]}}`, `{"exp":1e400}`, `[`} {
		f.Add(seed, "/a/b/0")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		said, err := parseClaims([]byte(text))
		if err != nil {
			return
		}
		stored := &roleRecord{Type: typeJWT, UserClaim: name, UserClaimPointer: true, GroupsClaim: name, ClaimMappings: map[string]string{name: "k"}}
		stored.Bounds.Audiences = []string{"\x00 an audience that no token has"}
		r, err := stored.ready("r")
		if err != nil {
			t.Fatal(err)
		}
		if r.check(said.find) == nil && !strings.Contains(text, "audience") {
			t.Errorf("%q is within the bounds", text)
		}
		_, _, _, _ = r.identify(said)
		_ = r.Leeways.checkTimes(said, time.Unix(0, 0))
		kept := map[string]any{}
		for _, name := range []string{"aud", "sub", "iss"} {
			if v, ok := said.find(name); ok {
				kept[name] = v
			}
		}
		shown, err := r.shown(said.find)
		if want, _ := json.Marshal(kept); err != nil || string(shown) != string(want) {
			t.Errorf("shown %s, want %s; %v", shown, want, err)
		}
	})
}

// FuzzState: a state that was not sealed by this mount's key opens nothing.
func FuzzState(f *testing.F) {
	others, own := newFlowKeys(make([]byte, keySize)), newFlowKeys([]byte(strings.Repeat("k", keySize)))
	now := time.Unix(1000, 0)
	text, err := others.seal(others.begin(&trust{}, &role{name: "r"}, "h", "n", now))
	if err != nil || others.open(text, now) == nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if own.open(text, now) != nil || own.unsealed(forConfirmation, text, &confirmation{}) || others.unsealed(forConfirmation, text, &confirmation{}) {
			t.Errorf("%q opens", text)
		}
	})
}

// A state ends to the second.
func TestStateEnds(t *testing.T) {
	keys := newFlowKeys(make([]byte, keySize))
	now := time.Unix(1000, 0)
	text, err := keys.seal(keys.begin(&trust{}, &role{name: "r"}, "h", "n", now))
	if err != nil {
		t.Fatal(err)
	}
	if keys.open(text, now.Add(stateFor)) != nil || keys.open(text, now.Add(stateFor-time.Second)) == nil {
		t.Error("the state's end")
	}
}

// What is remembered of polls is bounded: who would be one too many is told to slow down, and has
// room again when others have ended.
func TestPacesAreBounded(t *testing.T) {
	p := newPaces()
	now := time.Unix(1000, 0)
	login := func(i int, ends int64) *flowState {
		return &flowState{ID: fmt.Appendf(nil, "%d", i), Ends: ends, Interval: 5, Mode: byDevice}
	}
	for i := range mostPaces {
		if !p.take(login(i, 1060), now) {
			t.Fatalf("poll %d is refused", i)
		}
	}
	late := login(mostPaces, 2000)
	if p.take(late, now) || p.take(late, now.Add(59*time.Second)) || len(p.mu.of) != mostPaces {
		t.Errorf("one too many is let in, %d are remembered", len(p.mu.of))
	}
	if !p.take(login(0, 1060), now.Add(5*time.Second)) {
		t.Error("who is remembered is refused")
	}
	if !p.take(late, now.Add(time.Minute)) || len(p.mu.of) != 1 {
		t.Errorf("there is no room again, %d are remembered", len(p.mu.of))
	}
}

// The names of claims, and never their values, reach the log of a role that asks for it.
func TestVerboseLogNamesClaimsOnly(t *testing.T) {
	var log strings.Builder
	m := &Method{log: slog.New(slog.NewTextHandler(&log, nil))}
	r := &role{name: "r", roleRecord: roleRecord{Verbose: true}}
	m.explain(r, claims{"email": "canary"}, io.EOF)
	m.explain(&role{name: "quiet"}, claims{"phone": "x"}, io.EOF)
	if got := log.String(); !strings.Contains(got, "email") || strings.Contains(got, "canary") || strings.Contains(got, "quiet") {
		t.Errorf("logged %s", got)
	}
}
