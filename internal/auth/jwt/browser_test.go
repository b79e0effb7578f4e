package jwt_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/jwt"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

const (
	failed  = "Vault login failed. "
	noState = failed + "Expired or missing OAuth state."
)

// Contract: auth-methods §5.4: from auth_url to the token, through the provider.
func TestBrowserLogin(t *testing.T) {
	b := newBrowser(t, nil, object{
		"groups_claim": "groups", "claim_mappings": object{"email": "email", "department": "department"}, "oidc_scopes": "profile,openid",
		"token_policies": "p", "bound_audiences": oidctest.ClientID,
	})
	b.provider.UserInfo(object{"department": "IT", "email": "forged@example.com"})
	address, err := url.Parse(b.authURL(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	q := address.Query()
	for name, want := range map[string]string{
		"client_id": oidctest.ClientID, "response_type": "code", "scope": "openid profile", "redirect_uri": redirect, "code_challenge_method": "S256",
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if q.Get("state") == "" || q.Get("nonce") == "" || q.Get("code_challenge") == "" || q.Has("response_mode") || q.Has("max_age") {
		t.Errorf("query %v", q)
	}
	target, values := b.provider.SignIn(t, address.String(), "ann")
	if target.Host != "localhost:8250" || values.Get("state") != q.Get("state") {
		t.Errorf("the browser goes to %s", target)
	}
	l, err := b.finish(t, asData(values))
	if err != nil {
		t.Fatal(err)
	}
	metadata := map[string]string{"email": "ann@example.com", "department": "IT", "role": "r"}
	if l.Alias.Name != "ann" || !reflect.DeepEqual(l.Metadata, metadata) || !reflect.DeepEqual(l.GroupAliases, []string{"dev", "ops"}) {
		t.Errorf("alias %v, metadata %v, groups %v", l.Alias, l.Metadata, l.GroupAliases)
	}
	if renewed, err := b.Renew(t.Context(), l); err != nil || !renewed.Terms.Renewable {
		t.Errorf("%+v, %v", renewed, err)
	}
}

// Contract: auth-methods §5.4, form_post: the provider's form instead of a query, and an
// id_token instead of a code.
func TestFormPost(t *testing.T) {
	for _, kind := range []string{"code", "id_token"} {
		t.Run(kind, func(t *testing.T) {
			b := newBrowser(t, object{"oidc_response_mode": "form_post", "oidc_response_types": kind}, nil)
			_, values := b.provider.SignIn(t, b.authURL(t, nil), "ann")
			if !values.Has(kind) {
				t.Fatalf("the form has %v", values)
			}
			l, err := b.Login(t.Context(), "oidc/callback", asData(values))
			if err != nil || l.Alias.Name != "ann" {
				t.Fatalf("%+v, %v", l, err)
			}
			_, err = b.Login(t.Context(), "oidc/callback", asData(values))
			if err == nil {
				t.Error("the form works twice")
			}
		})
	}
	t.Run("Vault's own command line posts the form without its nonce, and then asks with it", func(t *testing.T) {
		b := newBrowser(t, object{"oidc_response_mode": "form_post"}, nil)
		_, values := b.provider.SignIn(t, b.authURL(t, nil), "ann")
		posted := asData(values)
		delete(posted, "client_nonce")
		b.Refused(t, backend.Update, "oidc/callback", posted, backend.Invalid, "invalid client_nonce")
		if l, err := b.finish(t, asData(values)); err != nil || l.Alias.Name != "ann" {
			t.Errorf("%v", err)
		}
	})
	b := newBrowser(t, nil, nil)
	data := b.back(t, "ann")
	delete(data, "code")
	data["id_token"] = b.provider.Sign(t, object{"aud": oidctest.ClientID, "sub": "ann"})
	b.refusedBack(t, data, failed+"An id_token was not asked for.")
}

// Contract: auth-methods §5.4: wrong requests are 400; what stands in the way otherwise is an
// empty auth_url, and a warning that says why.
func TestAuthURLFailures(t *testing.T) {
	b := newBrowser(t, nil, nil)
	b.Must(t, backend.Update, "role/machine", object{"role_type": "jwt", "user_claim": "sub", "bound_subject": "x"})
	rows := []struct {
		name string
		data object
		text string
	}{
		{"missing redirect_uri", object{"role": "r"}, "missing redirect_uri"},
		{"role not found", object{"role": "none", "redirect_uri": redirect}, `role "none" could not be found`},
		{"role of the other kind", object{"role": "machine", "redirect_uri": redirect}, "role with jwt role_type is not allowed"},
		{"overlong", object{"role": "r", "redirect_uri": redirect + strings.Repeat("x", 3000)}, "redirect_uri or client_nonce is too long"},
		{"overlong nonce", object{"role": "r", "redirect_uri": redirect, "client_nonce": strings.Repeat("x", 300)}, "redirect_uri or client_nonce is too long"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { b.Refused(t, backend.Update, "oidc/auth_url", row.data, backend.Invalid, row.text) })
	}
	empty := func(t *testing.T, bench *authtest.Bench, data object, reason string) {
		t.Helper()
		response, err := bench.Do(t.Context(), backend.Update, "oidc/auth_url", data)
		if err != nil || len(response.Warnings) != 1 || response.Warnings[0] != reason {
			t.Fatalf("%+v, %v", response, err)
		}
		if got := authtest.Data(t, response)["auth_url"]; got != "" {
			t.Errorf("auth_url %q", got)
		}
	}
	empty(t, b.Bench, object{"role": "r", "redirect_uri": "https://evil.example/"}, "the redirect_uri is not one of the role's allowed_redirect_uris")
	for fault, reason := range map[oidctest.Fault]string{
		oidctest.Down: "it answered with status 503", oidctest.Hang: "it does not answer in time", oidctest.Foreign: "it names another issuer than the configured URL (they must be the same to the last slash)",
	} {
		b.provider.Set(fault)
		patience := time.Minute
		if fault == oidctest.Hang {
			patience = soon
		}
		fresh := authtest.On(t, b.Store, jwt.Patient(patience))
		empty(t, fresh, object{"role": "r", "redirect_uri": redirect}, "the identity provider cannot be used: "+reason)
	}
	b.provider.Set(oidctest.None)
	b.Must(t, backend.Update, "config", object{"oidc_discovery_url": b.provider.URL, "oidc_discovery_ca_pem": b.provider.CA})
	b.Refused(t, backend.Update, "oidc/auth_url", object{"role": "r", "redirect_uri": redirect}, backend.Invalid, "OIDC login is not configured for this mount")
}

// Contract: auth-methods §5.4: "Redirect match is exact except loopback hosts ignore the port".
func TestRedirects(t *testing.T) {
	b := newBrowser(t, nil, object{"allowed_redirect_uris": []string{
		redirect, "https://jeton.example:8200/ui/callback?x=1", "http://127.0.0.1/cb", "http://[::1]:9/cb",
	}})
	for asked, want := range map[string]bool{
		redirect: true, "http://localhost:9999/oidc/callback": true, "http://localhost/oidc/callback": true, "http://127.0.0.1:77/cb": true, "http://[::1]:1234/cb": true,
		"https://jeton.example:8200/ui/callback?x=1": true,

		"https://localhost:8250/oidc/callback": false, "http://localhost:8250/oidc/callback/": false, "http://localhost:8250/oidc/callback?x=1": false,
		"http://localhost:8250/OIDC/callback": false, "http://127.0.0.1:8250/oidc/callback": false, "http://localhost.evil.example:8250/oidc/callback": false,
		"http://localhost:8250@evil.example/oidc/callback": false, "http://evil.example/oidc/callback": false, "http://localhost:8250/oidc/callback#x": false,
		"https://jeton.example:8201/ui/callback?x=1": false, "https://jeton.example/ui/callback?x=1": false, "https://jeton.example:8200/ui/callback": false,
		"http://LOCALHOST:8250/oidc/callback": false, "javascript:alert(1)": false, "http://u@localhost:8250/oidc/callback": false,
	} {
		got := b.Must(t, backend.Update, "oidc/auth_url", object{"redirect_uri": asked})["auth_url"] != ""
		if got != want {
			t.Errorf("%s: allowed %v", asked, got)
		}
	}
}

// Contract: auth-methods §5.4: what comes back wrong. Nothing of it is repeated.
func TestCallbackRefusals(t *testing.T) {
	b := newBrowser(t, nil, object{"bound_claims": object{"email": "ann@example.com"}})
	with := func(who string, more object) object {
		data := b.back(t, who)
		for name, v := range more {
			if data[name] = v; v == nil {
				delete(data, name)
			}
		}
		return data
	}
	rows := []struct {
		name string
		data object
		text string
	}{
		{"nothing", object{}, noState},
		{"made-up state", with("ann", object{"state": "st_made-up"}), noState},
		{"changed state", with("ann", object{"state": with("ann", nil)["state"].(string) + "A"}), noState},
		{"state of another login", with("ann", object{"state": with("ann", nil)["state"]}), failed + "The provider refused the code: invalid_grant."},
		{"made-up code", with("ann", object{"code": "made-up"}), failed + "The provider refused the code: invalid_grant."},
		{"no code", with("ann", object{"code": nil}), failed + "No code or id_token received."},
		{"no client_nonce", with("ann", object{"client_nonce": nil}), "invalid client_nonce"},
		{"another client_nonce", with("ann", object{"client_nonce": "x"}), "invalid client_nonce"},
		{"another provider", with("ann", object{"iss": "https://other.example"}), failed + "The answer comes from another provider."},
		{"bounds", with("eve", nil), failed + `error validating claims: claim "email" is missing`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { b.refusedBack(t, row.data, row.text) })
	}
	old := b.back(t, "ann")
	b.Clock.Add(5 * time.Minute)
	b.refusedBack(t, old, noState)
	l, err := b.finish(t, with("ann", object{"client_nonce": nil, "nonce": nonce, "iss": b.provider.URL}))
	if err != nil || l.Alias.Name != "ann" {
		t.Errorf("%v", err)
	}
}

// CVE-2026-33758: what the browser brings besides state and code is not repeated, in whatever
// form; a code of refusal is passed on only where a standard knows it.
func TestCVE_2026_33758_DescriptionsAreNotRepeated(t *testing.T) {
	b := newBrowser(t, nil, nil)
	const evil = "<script>alert(1)</script>"
	for code, shown := range map[string]string{"access_denied": "access_denied", evil: "an error that no standard names"} {
		b.provider.Refuse(code)
		_, values := b.provider.SignIn(t, b.authURL(t, nil), "ann")
		data := asData(values)
		data["error_description"], data["error_uri"] = evil, "javascript:alert(1)"
		b.refusedBack(t, data, failed+"The provider refused: "+shown+".")
	}
	for _, field := range []string{"state", "code", "id_token", "error", "error_description", "iss", "client_nonce"} {
		data := object{"client_nonce": nonce, "state": "x"}
		if field != "state" {
			data["state"] = b.back(t, "ann")["state"]
		}
		data[field] = evil
		_, err := b.finish(t, data)
		if err == nil || strings.Contains(err.Error(), "script") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// CVE-2026-33757: a login that one begins and another signs in for. The token goes to who brings
// the code with the nonce of who began it: neither of the two can have both. Nobody can wait at
// the server for another's sign-in; for the roles that are made for it see direct_test.go.
func TestCVE_2026_33757_NobodySignsInForAnother(t *testing.T) {
	b := newBrowser(t, nil, nil)
	// eve begins with a nonce of hers and has ann sign in; the code comes to ann's machine.
	_, values := b.provider.SignIn(t, b.authURL(t, object{"client_nonce": "eve's"}), "ann")
	anns := asData(values)
	b.refusedBack(t, anns, "invalid client_nonce")
	b.refusedBack(t, object{"state": values.Get("state"), "client_nonce": "eve's"}, failed+"No code or id_token received.")
	// A redirect to a host of eve's is no redirect of the role's.
	if got := b.Must(t, backend.Update, "oidc/auth_url", object{"redirect_uri": "http://eve.example:8250/oidc/callback"}); got["auth_url"] != "" {
		t.Error("the code would go to eve")
	}
	b.Refused(t, backend.Update, "oidc/device_callback", nil, backend.UnsupportedPath, "unsupported path")
	b.Refused(t, backend.Update, "oidc/poll", object{"state": values.Get("state"), "client_nonce": "eve's"}, backend.Invalid, noState)
	if status, page := b.page(t, backend.Update, "oidc/confirm", object{"confirmation": values.Get("state")}); status != 400 || !strings.Contains(page, "Expired or missing OAuth state.") {
		t.Errorf("%d %s", status, page)
	}
}

// Single use: of many that bring the same answer one gets a token, also on another node or
// after a restart; and the marks of it are cleared away.
func TestStateIsUsedOnce(t *testing.T) {
	b := newBrowser(t, object{"oidc_response_mode": "form_post", "oidc_response_types": "id_token"}, nil)
	_, values := b.provider.SignIn(t, b.authURL(t, nil), "ann")
	var wg sync.WaitGroup
	results := make([]error, 20)
	for i := range results {
		wg.Go(func() { _, results[i] = b.finish(t, asData(values)) })
	}
	wg.Wait()
	in := 0
	for _, err := range results {
		if err == nil {
			in++
			continue
		}
		authtest.Is(t, err, backend.Invalid, noState)
	}
	if in != 1 {
		t.Errorf("%d logins", in)
	}
	b.Remount(t)
	b.refusedBack(t, asData(values), noState)
	for range 3 {
		b.Clock.Add(6 * time.Minute)
		_, values = b.provider.SignIn(t, b.authURL(t, nil), "ann")
		if _, err := b.finish(t, asData(values)); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Stored(t, "used/"); n != 1 {
		t.Errorf("%d marks of completed logins", n)
	}
}

// A stranger who begins logins without end leaves nothing behind, in memory or in the store,
// asks nothing of the provider, and pushes nobody's login out.
func TestBegunLoginsCostNothing(t *testing.T) {
	b := newBrowser(t, nil, nil)
	anns := b.back(t, "ann")
	asked, stored := b.provider.Count("/.well-known/openid-configuration"), b.Stored(t, "")
	for i := range 5000 {
		b.authURL(t, object{"client_nonce": fmt.Sprint(i)})
	}
	for i := range 1000 {
		b.refusedBack(t, object{"state": fmt.Sprint(i)}, noState)
	}
	if n := b.Stored(t, ""); n != stored {
		t.Errorf("%d keys more", n-stored)
	}
	if n := b.provider.Count("/.well-known/openid-configuration"); n != asked {
		t.Errorf("the provider was asked %d times", n-asked)
	}
	if _, err := b.finish(t, anns); err != nil {
		t.Error(err)
	}
}

// A state holds a login to the role and the configuration that it began with.
func TestStateOfWhatWasChanged(t *testing.T) {
	for name, change := range map[string]func(b *browser){
		"role deleted": func(b *browser) { b.Must(t, backend.Delete, "role/r", nil) },
		"another role of the name": func(b *browser) {
			b.Must(t, backend.Delete, "role/r", nil)
			b.Must(t, backend.Update, "role/r", object{"user_claim": "sub", "allowed_redirect_uris": redirect})
		},
		"redirect no longer allowed": func(b *browser) { b.Must(t, backend.Update, "role/r", object{"allowed_redirect_uris": "https://x/"}) },
		"now a jwt role": func(b *browser) {
			b.Must(t, backend.Update, "role/r", object{"role_type": "jwt", "bound_subject": "ann"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, nil, nil)
			data := b.back(t, "ann")
			change(b)
			b.refusedBack(t, data, failed+"Role could not be found")
		})
	}
	b := newBrowser(t, nil, nil)
	data := b.back(t, "ann")
	b.Must(t, backend.Update, "config", object{
		"oidc_discovery_url": b.provider.URL, "oidc_discovery_ca_pem": b.provider.CA, "oidc_client_id": "other", "oidc_client_secret": "x",
	})
	b.refusedBack(t, data, noState)
	// One mount's states are nothing to another.
	b.refusedBack(t, newBrowser(t, nil, nil).back(t, "ann"), noState)
}

// Who may write the configuration does not get the stored client secret by naming a provider of their own:
// a write replaces everything, and one that names a client brings its secret. Decision 0027.
func TestStoredClientSecretIsSentNowhereElse(t *testing.T) {
	b := newBrowser(t, nil, nil)
	begun := b.back(t, "ann")
	foreign := oidctest.NewTLS(t)
	foreign.At(b.Clock.Now)
	theirs := object{"oidc_discovery_url": foreign.URL, "oidc_discovery_ca_pem": foreign.CA}
	b.Refused(t, backend.Update, "config", object{"oidc_discovery_url": foreign.URL, "oidc_discovery_ca_pem": foreign.CA, "oidc_client_id": oidctest.ClientID},
		backend.Invalid, "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC")
	b.Must(t, backend.Update, "config", theirs)
	err := b.Area.View(t.Context(), func(r store.Reader) error {
		stored, err := r.Get([]byte("config"))
		if bytes.Contains(stored, []byte(oidctest.ClientSecret)) {
			t.Error("a write without the client secret kept the old one")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.refusedBack(t, begun, noState)
	if n := foreign.Count("/token"); n != 0 {
		t.Errorf("the foreign provider was asked for tokens %d times", n)
	}
}

// The ID token is judged by itself: whom it is for, which login it answers, who signed it.
func TestIDTokens(t *testing.T) {
	const bad = failed + "Token verification failed. "
	rows := []struct {
		name   string
		role   object
		claims object
		text   string
	}{
		{"as it should be", nil, object{}, ""},
		{"audience among others", nil, object{"aud": []string{"other", oidctest.ClientID}, "azp": oidctest.ClientID}, ""},
		{"for another client", nil, object{"aud": "other"}, bad + "invalid audience (aud) claim: the token is for another client"},
		{"no audience", nil, object{"aud": nil}, bad + "invalid audience (aud) claim: the token is for another client"},
		{"asked for by another client", nil, object{"azp": "other"}, bad + "invalid authorized party (azp) claim"},
		{"of another login", nil, object{"nonce": "other"}, bad + "invalid nonce claim: the token is of another login"},
		{"without nonce", nil, object{"nonce": nil}, bad + "invalid nonce claim: the token is of another login"},
		{"nonce that is no text", nil, object{"nonce": 5}, bad + "invalid nonce claim: the token is of another login"},
		{"another issuer", nil, object{"iss": "https://other.example"}, bad + "invalid issuer (iss) claim"},
		{"expired", nil, object{"exp": 1}, bad + "invalid expiration time (exp) claim: token is expired"},
		{"bound_audiences", object{"bound_audiences": "other"}, object{}, failed + "error validating token: invalid audience (aud) claim: it names no audience of the role"},
		{"no user claim", object{"user_claim": "uid"}, object{}, failed + `claim "uid" not found in token`},
		{"max_age met", object{"max_age": 60}, object{}, ""},
		{"signed in too long ago", object{"max_age": 60}, object{"auth_time": authtest.Start.Unix() - 121}, bad + "invalid authentication time (auth_time) claim: the sign-in is older than the role's max_age"},
		{"no auth_time", object{"max_age": 60}, object{"auth_time": nil}, bad + "invalid authentication time (auth_time) claim: the sign-in is older than the role's max_age"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := newBrowser(t, nil, row.role)
			b.provider.Person("ann", row.claims)
			if max, ok := row.role["max_age"]; ok && !strings.Contains(b.authURL(t, nil), fmt.Sprintf("max_age=%v", max)) {
				t.Error("the provider is not asked for max_age")
			}
			data := b.back(t, "ann")
			if row.text == "" {
				if _, err := b.finish(t, data); err != nil {
					t.Error(err)
				}
				return
			}
			b.refusedBack(t, data, row.text)
		})
	}
}

// What the userinfo endpoint says of somebody else counts for nothing, and it may be away.
func TestUserInfo(t *testing.T) {
	b := newBrowser(t, nil, object{"bound_claims": object{"department": "IT"}})
	b.provider.UserInfo(object{"sub": "eve", "department": "IT"})
	b.refusedBack(t, b.back(t, "ann"), failed+`error validating claims: claim "department" is missing`)
	// OpenID Connect Core §5.3.2: the two must name the same person; two that name nobody do not.
	b.provider.Person("nobody", object{"sub": nil, "email": "nobody@example.com"})
	b.provider.UserInfo(object{"sub": nil, "department": "IT"})
	b.refusedBack(t, b.back(t, "nobody"), failed+`error validating claims: claim "department" is missing`)
	b.provider.UserInfo(object{"department": "IT"})
	if _, err := b.finish(t, b.back(t, "ann")); err != nil {
		t.Error(err)
	}
}

// The provider slow or down when the code is to be traded: a clear error in time, no token;
// what was not completed can be tried again.
func TestProviderFailsAtCallback(t *testing.T) {
	for fault, text := range map[oidctest.Fault]string{
		oidctest.Down: "it answered with status 503", oidctest.Hang: "it does not answer in time", oidctest.Elsewhere: "it redirects to another host, or away from https",
		oidctest.Garbage: "the conversation with it failed",
	} {
		t.Run(text, func(t *testing.T) {
			b := newBrowser(t, nil, nil)
			data, ctx := b.back(t, "ann"), t.Context()
			b.provider.Set(fault)
			if fault == oidctest.Hang {
				var stop func()
				ctx, stop = b.provider.UntilAsked(ctx)
				defer stop()
			}
			_, err := b.Do(ctx, backend.Read, "oidc/callback", data)
			begins(t, err, backend.Upstream, failed+"the identity provider cannot be reached: "+text)
			b.provider.Set(oidctest.None)
			if _, err := b.finish(t, data); err != nil {
				t.Error(err)
			}
		})
	}
}

// Contract: auth-methods §5.3, token_bound_cidrs hold in the browser too.
func TestCallbackFromOutside(t *testing.T) {
	b := newBrowser(t, nil, object{"token_bound_cidrs": "10.0.0.0/8"})
	data := b.back(t, "ann")
	_, err := b.finish(t, data)
	authtest.Is(t, err, backend.Denied, "permission denied")
	b.Remote = netip.MustParseAddrPort("10.1.1.1:1")
	if _, err := b.finish(t, data); err != nil {
		t.Error(err)
	}
}

// A commit whose answer was lost may have completed the login; it is never completed twice.
func TestLostAnswerCompletesNoLoginTwice(t *testing.T) {
	for _, outcome := range []storetest.Outcome{storetest.Failed, storetest.Persisted} {
		t.Run(outcome.String(), func(t *testing.T) {
			inner, err := embedded.OpenMemory()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { inner.Close() })
			faulty := storetest.Faulty(inner)
			p := oidctest.NewTLS(t)
			p.Person("ann", object{})
			b := &browser{authtest.On(t, faulty, jwt.New), p}
			p.At(b.Clock.Now)
			b.Must(t, backend.Update, "config", object{
				"oidc_discovery_url": p.URL, "oidc_discovery_ca_pem": p.CA, "oidc_client_id": oidctest.ClientID, "oidc_client_secret": oidctest.ClientSecret,
				"oidc_response_mode": "form_post", "oidc_response_types": "id_token",
			})
			b.Must(t, backend.Update, "role/r", object{"user_claim": "sub", "allowed_redirect_uris": redirect})
			data := b.back(t, "ann")
			faulty.InjectAt(1, outcome)
			if _, err := b.finish(t, data); err == nil {
				t.Fatal("the fault did not show")
			}
			in := 0
			for range 3 {
				if _, err := b.finish(t, data); err == nil {
					in++
				}
			}
			if want := map[storetest.Outcome]int{storetest.Failed: 1, storetest.Persisted: 0}[outcome]; in != want {
				t.Errorf("%d logins after it, want %d", in, want)
			}
		})
	}
}

// Every durable step of the operator's fails, fails but is persisted, or is the last thing the
// process does; a new process then reads what is there, whole.
func TestFaultsLeaveWholeRecords(t *testing.T) {
	p := oidctest.New(t)
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		inner, err := embedded.OpenMemory()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { inner.Close() })
		faulty := storetest.Faulty(inner)
		b := authtest.On(t, faulty, jwt.New)
		inject(faulty)
		role := object{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a"}
		_, _ = b.Do(t.Context(), backend.Update, "config", object{"jwks_url": p.URL + "/keys"})
		_, _ = b.Do(t.Context(), backend.Update, "role/r", role)
		_, _ = b.Do(t.Context(), backend.Update, "role/r", object{"token_policies": "p"})
		_, _ = b.Do(t.Context(), backend.Update, "role/gone", role)
		_, _ = b.Do(t.Context(), backend.Delete, "role/gone", nil)
		after := authtest.On(t, inner, jwt.New)
		p.At(after.Clock.Now)
		if after.Must(t, backend.Read, "config", nil) == nil {
			return
		}
		for _, name := range after.Keys(t, "role") {
			if _, err := after.Login(t.Context(), "login", object{"role": name, "jwt": p.Sign(t, of(after, nil))}); err != nil {
				t.Errorf("role %s: %v", name, err)
			}
		}
	})
}

// Consume can run more than once for one transaction.
func TestConsumeRunsAgain(t *testing.T) {
	b := newBrowser(t, nil, nil)
	response, err := b.Do(t.Context(), backend.Read, "oidc/callback", b.back(t, "ann"))
	if err != nil {
		t.Fatal(err)
	}
	conflict := backend.Errorf(backend.Conflict, "try again")
	for _, want := range []error{conflict, conflict, nil} {
		err := b.Store.Update(t.Context(), func(tx store.Tx) error {
			if err := response.Login.Consume(tx); err != nil || want == nil {
				return err
			}
			return want
		})
		if (err == nil) != (want == nil) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
}

// Callbacks need no token, and each may wait for a provider that is slow: more than a few dozen
// do not wait at a time.
func TestCallbacksThatWaitAreBounded(t *testing.T) {
	const most = 64
	b := newBrowser(t, nil, nil)
	begun := func() object {
		u, err := url.Parse(b.authURL(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		return object{"state": u.Query().Get("state"), "code": "made up", "client_nonce": nonce}
	}
	oneMore := begun()
	b.provider.Set(oidctest.Hang)
	var wg sync.WaitGroup
	for range most {
		data := begun()
		wg.Go(func() {
			if _, err := b.finish(t, data); err == nil {
				t.Error("there is a token")
			}
		})
	}
	for b.provider.Count("/token") < most {
		if t.Context().Err() != nil {
			t.Fatal("nobody waits")
		}
		runtime.Gosched()
	}
	_, err := b.finish(t, oneMore)
	authtest.Is(t, err, backend.Overloaded, failed+"too many logins wait for the identity provider: try again in a moment")
	b.provider.Set(oidctest.None)
	wg.Wait()
	if _, err := b.finish(t, b.back(t, "ann")); err != nil {
		t.Error(err)
	}
}

// A provider that stops answering after the login began is waited for no longer than the
// method's patience, whatever the client's own is.
func TestCallbackPatience(t *testing.T) {
	b := newBrowser(t, nil, nil)
	b.Bench = authtest.On(t, b.Store, jwt.Patient(soon))
	b.provider.At(b.Clock.Now)
	address := ""
	for address == "" && t.Context().Err() == nil {
		// On a busy machine the provider may be too slow for so little patience, but not always.
		b.Clock.Add(10 * time.Second)
		address = b.Must(t, backend.Update, "oidc/auth_url", object{"redirect_uri": redirect, "client_nonce": nonce})["auth_url"].(string)
	}
	_, values := b.provider.SignIn(t, address, "ann")
	b.provider.Set(oidctest.Hang)
	_, err := b.finish(t, asData(values))
	begins(t, err, backend.Upstream, failed+"the identity provider cannot be reached: it does not answer in time")
}
