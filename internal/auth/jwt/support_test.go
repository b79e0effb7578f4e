package jwt_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/jwt"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
)

type object = map[string]any

// soon is the patience of tests with a provider that hangs.
const soon = 50 * time.Millisecond

// withKeys mounts the method with the public keys of a configuration.
func withKeys(t testing.TB, keys ...oidctest.Key) *authtest.Bench {
	t.Helper()
	b := authtest.New(t, jwt.New)
	var pems []string
	for _, k := range keys {
		pems = append(pems, k.PEM(t))
	}
	b.Must(t, backend.Update, "config", object{"jwt_validation_pubkeys": pems})
	return b
}

// withRole is withKeys of one new key, and a role r bound to the audience a.
func withRole(t testing.TB, data object) (*authtest.Bench, oidctest.Key) {
	t.Helper()
	key := oidctest.NewKey(t, jose.ES256, "")
	b := withKeys(t, key)
	writeRole(t, b, data)
	return b, key
}

func writeRole(t testing.TB, b *authtest.Bench, data object) {
	t.Helper()
	role := object{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a"}
	for name, v := range data {
		role[name] = v
	}
	b.Must(t, backend.Update, "role/r", role)
}

// of are the claims of a token that role r takes, with others over them; nil takes one away.
func of(b *authtest.Bench, more object) object {
	now := b.Clock.Now().Unix()
	claims := object{"sub": "ann", "aud": "a", "iat": now, "exp": now + 300}
	for name, v := range more {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return claims
}

func login(t testing.TB, b *authtest.Bench, token string) (*backend.Login, error) {
	t.Helper()
	return b.Login(t.Context(), "login", object{"role": "r", "jwt": token})
}

func mustLogin(t testing.TB, b *authtest.Bench, token string) *backend.Login {
	t.Helper()
	l, err := login(t, b, token)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func refused(t testing.TB, b *authtest.Bench, token, text string) {
	t.Helper()
	_, err := login(t, b, token)
	authtest.Is(t, err, backend.Invalid, text)
}

// begins checks an error's kind and the beginning of its text.
func begins(t testing.TB, err error, kind backend.Kind, text string) {
	t.Helper()
	if err == nil || backend.KindOf(err) != kind || !strings.HasPrefix(err.Error(), text) {
		t.Fatalf("error of kind %d: %v; want kind %d: %s", backend.KindOf(err), err, kind, text)
	}
}

const (
	redirect = "http://localhost:8250/oidc/callback"
	nonce    = "client nonce"
)

// browser is a mount for logins in the browser, and its provider.
type browser struct {
	*authtest.Bench
	provider *oidctest.Provider
}

func newBrowser(t testing.TB, config, role object) *browser {
	t.Helper()
	return newBrowserOn(t, authtest.New(t, jwt.Patient(time.Minute)), config, role)
}

func newBrowserOn(t testing.TB, bench *authtest.Bench, config, role object) *browser {
	t.Helper()
	p := oidctest.NewTLS(t)
	p.Person("ann", object{"groups": []string{"dev", "ops"}, "email": "ann@example.com"})
	p.Person("eve", object{})
	b := &browser{bench, p}
	p.At(b.Clock.Now)
	whole := object{
		"oidc_discovery_url": p.URL, "oidc_discovery_ca_pem": p.CA, "oidc_client_id": oidctest.ClientID,
		"oidc_client_secret": oidctest.ClientSecret, "default_role": "r",
	}
	for name, v := range config {
		whole[name] = v
	}
	b.Must(t, backend.Update, "config", whole)
	wholeRole := object{"user_claim": "sub", "allowed_redirect_uris": redirect}
	for name, v := range role {
		wholeRole[name] = v
	}
	b.Must(t, backend.Update, "role/r", wholeRole)
	return b
}

func (b *browser) authURL(t testing.TB, data object) string {
	t.Helper()
	whole := object{"role": "r", "redirect_uri": redirect, "client_nonce": nonce}
	for name, v := range data {
		whole[name] = v
	}
	address := b.Must(t, backend.Update, "oidc/auth_url", whole)["auth_url"].(string)
	if address == "" {
		t.Fatal("the login does not begin")
	}
	return address
}

// back is what the browser brings back after who has signed in.
func (b *browser) back(t testing.TB, who string) object {
	t.Helper()
	_, values := b.provider.SignIn(t, b.authURL(t, nil), who)
	return asData(values)
}

func asData(values url.Values) object {
	data := object{"client_nonce": nonce}
	for name := range values {
		data[name] = values.Get(name)
	}
	return data
}

func (b *browser) finish(t testing.TB, data object) (*backend.Login, error) {
	t.Helper()
	response, err := b.Do(t.Context(), backend.Read, "oidc/callback", data)
	if err != nil {
		return nil, err
	}
	return response.Login, b.Store.Update(t.Context(), response.Login.Consume)
}

// page makes a call that is answered with a page, and checks that it is one.
func (b *browser) page(t testing.TB, op backend.Operation, path string, data object) (int, string) {
	t.Helper()
	response, err := b.Do(t.Context(), op, path, data)
	if err != nil {
		t.Fatal(err)
	}
	if response.Login != nil || response.Raw == nil || response.Raw.ContentType != backend.PageType {
		t.Fatalf("no page: %+v", response)
	}
	return response.Status, string(response.Raw.Body)
}

// polled is a login that the client polls for.
type polled struct {
	b                          *browser
	address, state, code, mode string
	interval                   string
}

// begin begins a login of role r.
func (b *browser) begin(t testing.TB, data object) *polled {
	t.Helper()
	whole := object{"role": "r", "client_nonce": nonce}
	for name, v := range data {
		whole[name] = v
	}
	got := b.Must(t, backend.Update, "oidc/auth_url", whole)
	text := func(name string) string { s, _ := got[name].(string); return s }
	if text("auth_url") == "" || text("state") == "" {
		t.Fatalf("the login does not begin: %v", got)
	}
	return &polled{b, text("auth_url"), text("state"), text("user_code"), text("callback_mode"), text("poll_interval")}
}

// poll asks once, an interval after the time before.
func (p *polled) poll(t testing.TB) (*backend.Login, error) {
	t.Helper()
	p.b.Clock.Add(5 * time.Second)
	return p.pollNow(t, nonce)
}

func (p *polled) pollNow(t testing.TB, nonce string) (*backend.Login, error) {
	t.Helper()
	return p.b.Login(t.Context(), "oidc/poll", object{"state": p.state, "client_nonce": nonce})
}

func (p *polled) answers(t testing.TB, text string) {
	t.Helper()
	_, err := p.poll(t)
	authtest.Is(t, err, backend.Invalid, text)
}

func (p *polled) collects(t testing.TB) *backend.Login {
	t.Helper()
	l, err := p.poll(t)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (b *browser) refusedBack(t testing.TB, data object, text string) {
	t.Helper()
	_, err := b.finish(t, data)
	authtest.Is(t, err, backend.Invalid, text)
}

func asError(err error, into **backend.Error) bool { return errors.As(err, into) }
