package jwt_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/jwt"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
)

// withKeySet mounts the method with the provider's key set.
func withKeySet(t testing.TB, patience time.Duration) (*authtest.Bench, *oidctest.Provider) {
	t.Helper()
	p := oidctest.NewTLS(t)
	b := authtest.New(t, jwt.Patient(patience))
	p.At(b.Clock.Now)
	b.Must(t, backend.Update, "config", object{"jwks_url": p.URL + "/keys", "jwks_ca_pem": p.CA})
	writeRole(t, b, nil)
	return b, p
}

const usual = time.Minute

// Contract: auth-methods §5.3, JWKS by kid with refresh on unknown kid.
func TestKeySetRotates(t *testing.T) {
	b, p := withKeySet(t, usual)
	old := p.Sign(t, of(b, nil))
	mustLogin(t, b, old)
	asked := p.Count("/keys")
	for range 5 {
		mustLogin(t, b, old)
	}
	if n := p.Count("/keys"); n != asked {
		t.Errorf("the key set was fetched %d times for keys that are known", n-asked)
	}
	p.Rotate(t)
	mustLogin(t, b, p.Sign(t, of(b, nil)))
	refused(t, b, old, unverified)
	if n := p.Count("/keys"); n > asked+2 {
		t.Errorf("the key set was fetched %d times for one new key", n-asked)
	}
	for _, kid := range []string{"", "key-2"} {
		stranger := oidctest.NewKey(t, jose.ES256, kid)
		refused(t, b, stranger.Sign(t, of(b, nil)), unverified)
	}
}

// A token that names no key is tried with all; a key for encryption, or of another algorithm
// than the token's, verifies nothing.
func TestKeysWithoutNames(t *testing.T) {
	b, p := withKeySet(t, usual)
	first, second := oidctest.NewKey(t, jose.RS256, ""), oidctest.NewKey(t, jose.EdDSA, "")
	p.Publish(first, second)
	b.Remount(t)
	mustLogin(t, b, first.Sign(t, of(b, nil)))
	mustLogin(t, b, second.Sign(t, of(b, nil)))
	first.Algorithm = jose.PS256
	refused(t, b, first.Sign(t, of(b, nil)), unverified)
}

// A stranger's made-up kids cannot make the server hammer the provider, nor keep a new key
// from being found for long.
func TestUnknownKidsAreRateLimited(t *testing.T) {
	b, p := withKeySet(t, usual)
	mustLogin(t, b, p.Sign(t, of(b, nil)))
	before := p.Count("/keys")
	var wg sync.WaitGroup
	for range 50 {
		token := oidctest.NewKey(t, jose.ES256, "made up").Sign(t, of(b, nil))
		wg.Go(func() { refused(t, b, token, unverified) })
	}
	wg.Wait()
	if n := p.Count("/keys") - before; n > 3 {
		t.Errorf("50 made-up kids made %d fetches", n)
	}
	p.Rotate(t)
	b.Clock.Add(10 * time.Second)
	mustLogin(t, b, p.Sign(t, of(b, nil)))
}

// A crowd that comes to a server just opened asks the provider once.
func TestFetchesAreShared(t *testing.T) {
	b, p := withKeySet(t, usual)
	token := p.Sign(t, of(b, nil))
	b.Remount(t)
	before := p.Count("/keys")
	p.Set(oidctest.Hang)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := login(t, b, token); err != nil {
				t.Error(err)
			}
		})
	}
	waitUntilAsked(t, p, before)
	p.Set(oidctest.None)
	wg.Wait()
	if n := p.Count("/keys") - before; n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// Logins need no token: those that wait for a provider that hangs take a bounded part of the server.
func TestLoginsThatWaitAreBounded(t *testing.T) {
	b, p := withKeySet(t, usual)
	token := p.Sign(t, of(b, nil))
	b.Remount(t)
	p.Set(oidctest.Hang)
	if !b.Crowd(t.Context(), "login", object{"role": "r", "jwt": token}) {
		t.Error("all wait")
	}
	p.Set(oidctest.None)
	if _, err := login(t, b, token); err != nil {
		t.Error(err)
	}
}

// A new key is found although a question that began before it was published is under way.
func TestNewKeyDuringAFetch(t *testing.T) {
	b, p := withKeySet(t, usual)
	old := p.Sign(t, of(b, object{"exp": b.Clock.Now().Add(time.Hour).Unix()}))
	mustLogin(t, b, old)
	before := p.Count("/keys")
	p.Set(oidctest.Late)
	b.Clock.Add(20 * time.Minute)
	mustLogin(t, b, old) // asks in the background
	waitUntilAsked(t, p, before)
	p.Rotate(t)
	var wg sync.WaitGroup
	wg.Go(func() { mustLogin(t, b, p.Sign(t, of(b, nil))) })
	p.Set(oidctest.None)
	wg.Wait()
}

// Keys that are known stay when the provider is away, however long; a key taken back is gone
// when it is there again.
func TestProviderAway(t *testing.T) {
	b, p := withKeySet(t, usual)
	token := func() string { return p.Sign(t, of(b, nil)) }
	mustLogin(t, b, token())
	for _, fault := range []oidctest.Fault{oidctest.Down, oidctest.Garbage, oidctest.Huge, oidctest.Elsewhere} {
		p.Set(fault)
		for _, later := range []time.Duration{time.Minute, 20 * time.Minute, 3 * time.Hour, 100 * time.Hour} {
			b.Clock.Add(later)
			mustLogin(t, b, token())
		}
	}
	p.Set(oidctest.None)
	old := p.Sign(t, of(b, object{"exp": b.Clock.Now().Add(1000 * time.Hour).Unix()}))
	p.Rotate(t)
	b.Clock.Add(2 * time.Hour)
	mustLogin(t, b, token())
	refused(t, b, old, unverified)
}

// What was fetched more than an hour ago is fetched before it is believed.
func TestWithdrawnKeyIsNoticed(t *testing.T) {
	b, p := withKeySet(t, usual)
	old := p.Sign(t, of(b, object{"exp": b.Clock.Now().Add(1000 * time.Hour).Unix()}))
	mustLogin(t, b, old)
	p.Rotate(t)
	b.Clock.Add(time.Hour)
	refused(t, b, old, unverified)
}

// The provider slow or down: a clear error within a bounded time, no token; and none for those
// who need no answer of it.
func TestProviderFails(t *testing.T) {
	const away = "error validating token: the identity provider cannot be reached: "
	rows := []struct {
		name  string
		fault oidctest.Fault
		text  string
	}{
		{"hangs", oidctest.Hang, "it does not answer in time"},
		{"down", oidctest.Down, "it answered with status 503"},
		{"garbage", oidctest.Garbage, "its answer is not what the standard says"},
		{"huge", oidctest.Huge, "its answer is larger than 1 MiB"},
		{"redirects elsewhere", oidctest.Elsewhere, "it redirects to another host, or away from https"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			patience := usual
			if row.fault == oidctest.Hang {
				patience = soon
			}
			b, p := withKeySet(t, usual)
			token := p.Sign(t, of(b, nil))
			p.Set(row.fault)
			b = authtest.On(t, b.Store, jwt.Patient(patience))
			_, err := login(t, b, token)
			begins(t, err, backend.Upstream, away+row.text)
			if n := p.Count("/other/keys"); n != 0 {
				t.Errorf("the other host was asked %d times", n)
			}
			_, err = b.Do(t.Context(), backend.Update, "config", object{"jwks_url": p.URL + "/keys", "jwks_ca_pem": p.CA})
			begins(t, err, backend.Invalid, "error checking jwks URL: "+row.text)
		})
	}
}

// Contract: auth-methods §5.1, jwks_pairs: several key sets; one that is away does not stand in
// the way of the others.
func TestPairs(t *testing.T) {
	one, two := oidctest.NewTLS(t), oidctest.New(t)
	one.Publish(oidctest.NewKey(t, jose.ES256, "one"))
	two.Publish(oidctest.NewKey(t, jose.ES256, "two"))
	b := authtest.New(t, jwt.Patient(usual))
	one.At(b.Clock.Now)
	two.At(b.Clock.Now)
	b.Must(t, backend.Update, "config", object{"jwks_pairs": []any{
		object{"jwks_url": one.URL + "/keys", "jwks_ca_pem": one.CA}, object{"jwks_url": two.URL + "/keys"},
	}})
	writeRole(t, b, nil)
	mustLogin(t, b, one.Sign(t, of(b, nil)))
	mustLogin(t, b, two.Sign(t, of(b, nil)))
	one.Set(oidctest.Down)
	b.Remount(t)
	mustLogin(t, b, two.Sign(t, of(b, nil)))
	_, err := login(t, b, one.Sign(t, of(b, nil)))
	begins(t, err, backend.Upstream, "error validating token: the identity provider cannot be reached: ")
	if got := b.Must(t, backend.Read, "config", nil)["jwks_pairs"]; len(got.([]any)) != 2 {
		t.Errorf("pairs %v", got)
	}
}

// Contract: auth-methods §5.1, oidc_discovery_url for JWTs: keys by discovery, and its issuer.
func TestDiscovery(t *testing.T) {
	p := oidctest.NewTLS(t)
	b := authtest.New(t, jwt.Patient(usual))
	p.At(b.Clock.Now)
	config := object{"oidc_discovery_url": p.URL, "oidc_discovery_ca_pem": p.CA}
	b.Must(t, backend.Update, "config", config)
	writeRole(t, b, nil)
	mustLogin(t, b, p.Sign(t, of(b, nil)))
	refused(t, b, p.Sign(t, of(b, object{"iss": "https://other.example"})), "error validating token: invalid issuer (iss) claim")
	p.Rotate(t)
	mustLogin(t, b, p.Sign(t, of(b, nil)))
	for fault, text := range map[oidctest.Fault]string{
		oidctest.Foreign: "it names another issuer than the configured URL (they must be the same to the last slash)",
		oidctest.Plain:   "it names an address without https, although its own has it",
		oidctest.Garbage: "its answer is not what the standard says",
		oidctest.Huge:    "its answer is larger than 1 MiB",
	} {
		p.Set(fault)
		_, err := b.Do(t.Context(), backend.Update, "config", config)
		begins(t, err, backend.Invalid, "error checking oidc discovery URL: "+text)
	}
	p.Set(oidctest.None)
	b.Must(t, backend.Update, "config", config)
	_, err := b.Do(t.Context(), backend.Update, "config", object{"oidc_discovery_url": p.URL + "/", "oidc_discovery_ca_pem": p.CA})
	begins(t, err, backend.Invalid, "error checking oidc discovery URL: it names another issuer")
}

// Closing the mount ends what is being fetched.
func TestCloseEndsFetching(t *testing.T) {
	b, p := withKeySet(t, time.Hour)
	b.Remount(t)
	before := p.Count("/keys")
	p.Set(oidctest.Hang)
	token := p.Sign(t, of(b, nil))
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := login(t, b, token); err == nil {
			t.Error("there is a token")
		}
	})
	waitUntilAsked(t, p, before)
	if err := b.Backend.(backend.Closer).Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	b.Remount(t)
}

// waitUntilAsked returns when the key set has been asked for once more.
func waitUntilAsked(t *testing.T, p *oidctest.Provider, before int) {
	t.Helper()
	for p.Count("/keys") == before {
		if t.Context().Err() != nil {
			t.Fatal("nobody asks")
		}
		runtime.Gosched()
	}
}
