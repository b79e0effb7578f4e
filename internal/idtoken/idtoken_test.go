package idtoken

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/policy"
	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// crowd is who there is: entities by id.
type crowd struct {
	mu  sync.Mutex
	all map[string]*policy.Subject
}

func (c *crowd) Subject(_ context.Context, id string) (*policy.Subject, []string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who := c.all[id]; who != nil {
		return who, nil, nil
	}
	return nil, nil, backend.Errorf(backend.Denied, "permission denied")
}

type bench struct {
	*Store
	t      *testing.T
	clock  *clock.Manual
	people *crowd
}

const entity = "e-1"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func on(t *testing.T, whole store.Store) *bench {
	t.Helper()
	b := &bench{t: t, clock: clock.NewManual(start), people: &crowd{all: map[string]*policy.Subject{
		entity: {ID: entity, Name: `bob "the" }} builder`, Metadata: map[string]string{"team": `a","admin":true,"x":"`},
			Groups:  []policy.Group{{ID: "g-2", Name: "z"}, {ID: "g-1", Name: "a"}},
			Aliases: []policy.Alias{{MountAccessor: "auth_userpass_1", Name: "bob", CustomMetadata: map[string]string{"k": "v"}}}},
	}}}
	b.Store = New(Config{Area: store.NewArea(whole, []byte("idtoken/")), Clock: b.clock, People: b.people, Address: "https://jeton.example.com:8200/"})
	return b
}

func open(t *testing.T) *bench {
	t.Helper()
	whole, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { whole.Close() })
	return on(t, whole)
}

func ptr[T any](v T) *T { return &v }

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// fails checks an error's text, as a part of it.
func (b *bench) fails(err error, part string) {
	b.t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) || backend.KindOf(err) == backend.Internal {
		b.t.Fatalf("error %v, want one for the client with %q", err, part)
	}
}

// role makes a role with the fast key k.
func (b *bench) role(change RoleChange) {
	b.t.Helper()
	b.must(b.WriteKey(b.t.Context(), "k", KeyChange{Algorithm: ptr("EdDSA"), Clients: &[]string{"*"}}))
	if change.Key == nil {
		change.Key = ptr("k")
	}
	b.must(b.WriteRole(b.t.Context(), "r", change))
}

func (b *bench) sign() string {
	b.t.Helper()
	signed, err := b.Sign(b.t.Context(), "r", entity)
	b.must(err)
	return signed.Token
}

// The list of public keys is open to strangers: reading it costs no private key, and those of before
// that have no public half of their own are in it too.
func TestPublishedKeysCostNoPrivateOnes(t *testing.T) {
	b := open(t)
	b.role(RoleChange{})
	proved := b.sign()
	b.must(b.area.Update(t.Context(), func(tx store.Tx) error {
		k, err := getKey(tx, "k")
		if err != nil {
			return err
		}
		k.Signing.Private = []byte("not to be read")
		k.Next.Public = nil
		return record.Put(tx, keyAt("k"), k)
	}))
	set, err := b.Published(t.Context())
	b.must(err)
	if len(set.Keys) != 2 || !set.Keys[0].Valid() || !set.Keys[1].Valid() {
		t.Errorf("%d keys", len(set.Keys))
	}
	b.claims(proved)
}

// A name or metadata of an entity cannot become a claim that other servers rely on, in a template that
// has a variable where a claim's name belongs.
func TestTemplatesMakeNoReservedClaims(t *testing.T) {
	b := open(t)
	b.role(RoleChange{Template: ptr(`{"x": 1, {{identity.entity.metadata.team}}: "chosen"}`)})
	for _, name := range reservedClaims {
		b.people.all[entity].Metadata["team"] = name
		if said := b.claims(b.sign())[name]; said == "chosen" {
			t.Errorf("the entity chose %q", name)
		}
	}
}

// claims proves a token by what is published, as a stranger does, and returns what it says.
func (b *bench) claims(text string) map[string]any {
	b.t.Helper()
	parsed, err := jwt.ParseSigned(text, signatures())
	b.must(err)
	set, err := b.Published(b.t.Context())
	b.must(err)
	keys := set.Key(parsed.Headers[0].KeyID)
	if len(keys) != 1 || !keys[0].IsPublic() {
		b.t.Fatalf("the key of the token is published %d times", len(keys))
	}
	var claims map[string]any
	b.must(parsed.Claims(keys[0].Key, &claims))
	return claims
}

func (b *bench) holds(text, client, want string) {
	b.t.Helper()
	reason, err := b.Introspect(b.t.Context(), text, client)
	b.must(err)
	if reason != want {
		b.t.Fatalf("introspection says %q, want %q", reason, want)
	}
}

// Contract: identity §6, claims.
func TestSign(t *testing.T) {
	for _, algorithm := range Algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			b := open(t)
			b.must(b.WriteKey(t.Context(), "k", KeyChange{Algorithm: &algorithm, Clients: &[]string{"app"}}))
			b.must(b.WriteRole(t.Context(), "r", RoleChange{Key: ptr("k"), Client: ptr("app"), TTL: ptr(time.Hour)}))
			text := b.sign()
			got, err := json.Marshal(b.claims(text))
			b.must(err)
			const want = `{"aud":"app","exp":1772370000,"iat":1772366400,"iss":"https://jeton.example.com:8200/v1/identity/oidc","namespace":"root","sub":"e-1"}`
			if string(got) != want {
				t.Errorf("claims %s, want %s", got, want)
			}
			b.holds(text, "app", "")
		})
	}
}

// Contract: identity §6; values go in as JSON, so that no name can add a claim.
func TestTemplate(t *testing.T) {
	b := open(t)
	template := `{"name": {{identity.entity.name}}, "team": {{ identity.entity.metadata.team }}, "all": {"m": {{identity.entity.metadata}}}, "groups": {{identity.entity.groups.names}},
		"ids": {{identity.entity.groups.ids}}, "alias": {{identity.entity.aliases.auth_userpass_1.name}}, "custom": {{identity.entity.aliases.auth_userpass_1.custom_metadata}},
		"none": {{identity.entity.metadata.absent}}, "nbf": {{time.now}}, "later": {{time.now.plus.1h}}, "before": {{time.now.minus.60s}}}`
	for _, form := range []string{template, base64.StdEncoding.EncodeToString([]byte(template))} {
		b.role(RoleChange{Template: &form})
		claims := b.claims(b.sign())
		want := map[string]any{
			"name": `bob "the" }} builder`, "team": `a","admin":true,"x":"`, "alias": "bob", "none": "",
			"all": map[string]any{"m": map[string]any{"team": `a","admin":true,"x":"`}}, "groups": []any{"a", "z"}, "ids": []any{"g-1", "g-2"},
			"custom": map[string]any{"k": "v"}, "nbf": 1772366400.0, "later": 1772370000.0, "before": 1772366340.0,
		}
		for name, value := range want {
			if g, w := asJSON(t, claims[name]), asJSON(t, value); g != w {
				t.Errorf("%s is %s, want %s", name, g, w)
			}
		}
		if _, there := claims["admin"]; there {
			t.Error("metadata made a claim")
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Contract: identity §6, errors.
func TestRefusals(t *testing.T) {
	b := open(t)
	b.role(RoleChange{Client: ptr("app")})
	ctx := t.Context()
	key := func(c KeyChange) error { return b.WriteKey(ctx, "k", c) }
	role := func(c RoleChange) error { return b.WriteRole(ctx, "r", c) }
	rows := []struct {
		name string
		err  error
		text string
	}{
		{"a rotation of seconds", key(KeyChange{Rotation: ptr(59 * time.Second)}), "rotation_period must be at least one minute"},
		{"verification for too long", key(KeyChange{Rotation: ptr(time.Hour), Verification: ptr(11 * time.Hour)}), "verification_ttl cannot be longer than 10x rotation_period"},
		{"verification shorter than a role's tokens live", key(KeyChange{Verification: ptr(time.Hour)}), `unable to update key "k" because it is currently referenced`},
		{"no signature", key(KeyChange{Algorithm: ptr("none")}), "unknown signing algorithm"},
		{"a shared secret", key(KeyChange{Algorithm: ptr("HS256")}), "unknown signing algorithm"},
		{"a key in use", b.DeleteKey(ctx, "k"), `unable to delete key "k" because it is currently referenced by these roles: r`},
		{"the default key", b.DeleteKey(ctx, Default), `deletion of key "default" not allowed.`},
		{"rotating nothing", b.RotateKey(ctx, "absent", nil), "not found"},
		{"a role without a key", b.WriteRole(ctx, "new", RoleChange{}), "the key parameter is required"},
		{"a role of an unknown key", role(RoleChange{Key: ptr("absent")}), `cannot find key "absent"`},
		{"tokens that outlive their proof", role(RoleChange{TTL: ptr(25 * time.Hour)}), "cannot be longer than the verification_ttl"},
		{"a template that is no object", role(RoleChange{Template: ptr(`[1]`)}), "not a JSON object"},
		{"a template that does not end", role(RoleChange{Template: ptr(`{"a": {{time.now}`)}), "unbalanced"},
		{"a variable that is none", role(RoleChange{Template: ptr(`{"a": {{identity.nobody}}}`)}), "no value could be found"},
		{"a long template", role(RoleChange{Template: ptr(strings.Repeat(" ", longestTemplate+1))}), "longer than"},
		{"an issuer with a path", b.SetIssuer(ctx, "https://example.com/x"), "invalid issuer"},
		{"an issuer with a user", b.SetIssuer(ctx, "https://a:b@example.com"), "invalid issuer"},
		{"an issuer that is no address", b.SetIssuer(ctx, "example.com"), "invalid issuer"},
	}
	for _, claim := range reservedClaims {
		rows = append(rows, struct {
			name string
			err  error
			text string
		}{"claim " + claim, role(RoleChange{Template: ptr(`{"` + claim + `": 1}`)}), `top level key "` + claim + `" not allowed. Restricted keys: iat, aud`})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b.t = t
			b.fails(row.err, row.text)
		})
	}
	b.t = t
	_, err := b.Sign(ctx, "absent", entity)
	b.fails(err, `role "absent" not found`)
	_, err = b.Sign(ctx, "r", "")
	b.fails(err, "no entity associated with the request's token")
	_, err = b.Sign(ctx, "r", "gone")
	b.fails(err, "permission denied")
	b.must(key(KeyChange{Clients: &[]string{"another"}}))
	_, err = b.Sign(ctx, "r", entity)
	b.fails(err, `the key "k" does not list the client ID of the role "r" as an allowed client ID`)
	if found := b.DeleteKey(ctx, "absent"); found != nil {
		t.Error(found)
	}
}

// A pair signs for its period, the next is known before it signs, and what signed proves for as
// long as was promised.
func TestRotation(t *testing.T) {
	b := open(t)
	b.role(RoleChange{TTL: ptr(24 * time.Hour)})
	published := func() []string {
		set, err := b.Published(t.Context())
		b.must(err)
		var ids []string
		for _, k := range set.Keys {
			ids = append(ids, k.KeyID)
		}
		return ids
	}
	kid := func(text string) string {
		parsed, err := jwt.ParseSigned(text, signatures())
		b.must(err)
		return parsed.Headers[0].KeyID
	}
	first, before := b.sign(), published()
	b.clock.Add(23*time.Hour + 59*time.Minute)
	if kid(b.sign()) != kid(first) {
		t.Error("rotated early")
	}
	b.clock.Add(time.Minute)
	second := b.sign()
	if kid(second) == kid(first) || !slices.Contains(before, kid(second)) {
		t.Error("the pair that signs now was not published before")
	}
	b.claims(second)
	b.holds(first, "", "the token has expired")
	if !slices.Contains(published(), kid(first)) {
		t.Error("the retired pair is not published any more")
	}
	b.clock.Add(24 * time.Hour)
	if slices.Contains(published(), kid(first)) {
		t.Error("the retired pair is published for ever")
	}
	b.holds(first, "", "no key of this server has signed the token")

	third := b.sign()
	b.must(b.RotateKey(t.Context(), "k", ptr(time.Duration(0))))
	b.holds(third, "", "no key of this server has signed the token")
	b.holds(b.sign(), "", "")
	b.must(b.WriteKey(t.Context(), "k", KeyChange{Algorithm: ptr("ES256")}))
	fourth := b.sign()
	if claims := b.claims(fourth); claims["sub"] != entity {
		t.Error("another algorithm does not sign")
	}
	b.must(b.Check(t.Context(), func(what string) { t.Error(what) }))
}

// A time that has come is used by one request alone, however many sign at once.
func TestRotationOnce(t *testing.T) {
	b := open(t)
	b.role(RoleChange{})
	b.sign()
	b.clock.Add(25 * time.Hour)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if _, err := b.Sign(t.Context(), "r", entity); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	set, err := b.Published(t.Context())
	b.must(err)
	if len(set.Keys) != 3 {
		t.Errorf("%d keys are published, want the one that signs, the next and one retired", len(set.Keys))
	}
}

// The default key comes into being once, at its first use.
func TestDefaultKey(t *testing.T) {
	b := open(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := b.EnsureDefault(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b.must(b.WriteRole(t.Context(), "r", RoleChange{Key: ptr(Default)}))
	b.claims(b.sign())
	k, err := b.Key(t.Context(), Default)
	b.must(err)
	if k.Algorithm != "RS256" || !slices.Equal(k.Clients, []string{"*"}) {
		t.Errorf("%+v", k)
	}
}

// Contract: identity §6, introspection. Reasons repeat nothing of the token.
func TestIntrospect(t *testing.T) {
	b := open(t)
	b.role(RoleChange{Client: ptr("app"), TTL: ptr(time.Hour)})
	text := b.sign()
	header, rest, _ := strings.Cut(text, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	set, err := b.Published(t.Context())
	b.must(err)
	parsed, err := jwt.ParseSigned(text, signatures())
	b.must(err)
	public := set.Key(parsed.Headers[0].KeyID)[0]
	rows := []struct {
		name, text, client, want string
	}{
		{"as it was made", text, "", ""},
		{"for its client", text, "app", ""},
		{"for another", text, "other", "the token is not for this client"},
		{"nothing", "", "", "the token is not a signed JSON Web Token"},
		{"words", "hvs.canary", "", "the token is not a signed JSON Web Token"},
		{"unsigned", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"`+public.KeyID+`"}`)) + "." + payload + ".", "", "the token is not a signed JSON Web Token"},
		{"another's payload", header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"e-2"}`)) + "." + signature, "", "the token's signature is not valid"},
		{"a shared secret made of the public key", hmacSigned(t, public, payload), "", "the token is not a signed JSON Web Token"},
		{"a stranger's key", foreign(t, public.KeyID, payload), "", "the token's signature is not valid"},
		{"a stranger's key under a name of its own", foreign(t, "other", payload), "", "no key of this server has signed the token"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b.t = t
			b.holds(row.text, row.client, row.want)
		})
	}
	b.t = t
	b.must(b.SetIssuer(t.Context(), "https://other.example.com"))
	b.holds(text, "", "the token has another issuer")
	b.must(b.SetIssuer(t.Context(), ""))
	b.must(b.WriteKey(t.Context(), "k", KeyChange{Clients: &[]string{"another"}}))
	b.holds(text, "", "the token's key is not for this client any more")
	b.must(b.WriteKey(t.Context(), "k", KeyChange{Clients: &[]string{"app"}}))
	b.people.all = nil
	b.holds(text, "", "the token's entity is gone or disabled")
}

// hmacSigned signs with the public key as if it were a shared secret.
func hmacSigned(t *testing.T, public jose.JSONWebKey, payload string) string {
	t.Helper()
	secret, err := public.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return signedWith(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: public.KeyID}}, payload)
}

func foreign(t *testing.T, kid, payload string) string {
	t.Helper()
	p, err := generate("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	private, err := p.signer()
	if err != nil {
		t.Fatal(err)
	}
	return signedWith(t, jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: kid}}, payload)
}

func signedWith(t *testing.T, key jose.SigningKey, payload string) string {
	t.Helper()
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(plain)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
