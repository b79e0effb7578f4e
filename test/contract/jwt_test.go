package contract_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/auth/jwt/oidctest"
)

// withProvider mounts jwt and oidc over a provider, where ann can sign in.
func withProvider(t *testing.T) (*house, *oidctest.Provider) {
	t.Helper()
	h, p := open(t), oidctest.New(t)
	p.At(h.wall.now)
	p.Person("ann", m{"groups": []string{"dev", "ops"}})
	h.do("POST", "sys/auth/jwt", h.root, m{"type": "jwt"}).empty()
	h.do("POST", "sys/auth/sso", h.root, m{"type": "oidc"}).empty()
	h.do("POST", "auth/jwt/config", h.root, m{"jwks_url": p.URL + "/keys", "bound_issuer": p.URL}).is(200)
	h.do("POST", "auth/sso/config", h.root, m{"oidc_discovery_url": p.URL, "oidc_client_id": oidctest.ClientID, "oidc_client_secret": oidctest.ClientSecret}).is(200)
	h.do("POST", "auth/jwt/role/r", h.root, m{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a", "groups_claim": "groups", "token_policies": "p", "token_ttl": "10m"}).empty()
	h.do("POST", "auth/sso/role/r", h.root, m{"user_claim": "sub", "groups_claim": "groups", "allowed_redirect_uris": "http://localhost:8250/oidc/callback"}).empty()
	return h, p
}

func signed(t *testing.T, p *oidctest.Provider, claims m) m {
	t.Helper()
	all := m{"sub": "ann", "aud": "a", "groups": "dev"}
	for name, v := range claims {
		all[name] = v
	}
	return m{"role": "r", "jwt": p.Sign(t, all)}
}

// Contract: auth-methods §5.3 and §1.1, what a login becomes.
func TestJWTLogin(t *testing.T) {
	h, p := withProvider(t)
	a := h.do("POST", "auth/jwt/login", "", signed(t, p, nil)).is(200).
		has([]string{"default", "p"}, "auth", "policies").
		has(600, "auth", "lease_duration").has("r", "auth", "metadata", "role").has(true, "auth", "orphan")
	token := a.text("auth", "client_token")
	h.lookup(token).is(200).has("jwt-ann", "data", "display_name").has("auth/jwt/login", "data", "path").
		has(a.text("auth", "entity_id"), "data", "entity_id")
	// The same person again is the same entity; a display name has the mount's path.
	again := h.do("POST", "auth/jwt/login", "", signed(t, p, nil)).is(200)
	if again.text("auth", "entity_id") != a.text("auth", "entity_id") {
		t.Error("another entity")
	}
	h.do("POST", "auth/token/renew-self", token, m{}).is(200).has(600, "auth", "lease_duration")
	h.do("POST", "auth/jwt/role/r", h.root, m{"token_policies": "q"}).empty()
	h.do("POST", "auth/token/renew-self", token, m{}).fails(400, "failed to renew entry: policies have changed, not renewing")
	h.do("DELETE", "auth/jwt/role/r", h.root, nil).empty()
	h.do("POST", "auth/token/renew-self", token, m{}).fails(400, `failed to renew entry: role "r" does not exist during renewal`)
	h.lookup(token).is(200)

	// A wrapped login.
	h.do("POST", "auth/jwt/role/r", h.root, m{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a"}).empty()
	wrapping := h.do("POST", "auth/jwt/login", "", signed(t, p, nil), wrapped("1m")).is(200).text("wrap_info", "token")
	h.do("POST", "sys/wrapping/unwrap", wrapping, nil).is(200).has("r", "auth", "metadata", "role")
	// Contract: auth-methods §1 test 3.
	h.do("POST", "auth/jwt/role/r", h.root, m{"token_policies": "root"}).empty()
	h.do("POST", "auth/jwt/login", "", signed(t, p, nil)).fails(400, "auth methods cannot create root tokens")
}

// Contract: auth-methods §5.4 over HTTP, and identity §3.5: groups of the provider.
func TestOIDCLogin(t *testing.T) {
	h, p := withProvider(t)
	accessor := h.do("GET", "sys/auth", h.root, nil).is(200).text("data", "sso/", "accessor")
	group := h.do("POST", "identity/group", h.root, m{"name": "operators", "type": "external", "policies": "operate"}).is(200).text("data", "id")
	h.do("POST", "identity/group-alias", h.root, m{"name": "ops", "mount_accessor": accessor, "canonical_id": group}).is(200)
	begin := func() url.Values {
		address := h.do("POST", "auth/sso/oidc/auth_url", "", m{"role": "r", "redirect_uri": "http://localhost:8250/oidc/callback", "client_nonce": "n"}).is(200).text("data", "auth_url")
		_, back := p.SignIn(t, address, "ann")
		back.Set("client_nonce", "n")
		return back
	}
	back := begin()
	a := h.do("GET", "auth/sso/oidc/callback?"+back.Encode(), "", nil).is(200).has([]string{"operate"}, "auth", "identity_policies")
	h.lookup(a.text("auth", "client_token")).is(200).has("sso-ann", "data", "display_name").has("auth/sso/oidc/callback", "data", "path")
	h.do("GET", "auth/sso/oidc/callback?"+back.Encode(), "", nil).is(400)
	// A form, as providers post it; a query with a parameter twice.
	form := header("Content-Type", "application/x-www-form-urlencoded")
	h.do("POST", "auth/sso/oidc/callback", "", begin().Encode(), form).is(200).has("r", "auth", "metadata", "role")
	h.do("GET", "auth/sso/oidc/callback?"+begin().Encode()+"&state=x", "", nil).is(400)
	h.do("GET", "auth/sso/oidc/callback", "", nil).fails(400, "Vault login failed. Expired or missing OAuth state.")
	h.do("POST", "auth/sso/oidc/auth_url", "", m{"role": "none", "redirect_uri": "x"}).fails(400, `role "none" could not be found`)
	// The pages that a browser could be led to are JSON, and say so.
	if a := h.do("GET", "auth/sso/oidc/callback?error=%3Cscript%3E&state=%3Cscript%3E", "", nil); a.header.Get("Content-Type") != "application/json" || strings.Contains(a.body, "script") {
		t.Errorf("CVE-2026-33758: %v %s", a.header, a.body)
	}
	// The group ends with the next login that does not show it (CVE-2020-10660).
	p.Person("ann", m{"groups": []string{"dev"}})
	h.do("GET", "auth/sso/oidc/callback?"+begin().Encode(), "", nil).is(200)
	if policies := h.lookup(a.text("auth", "client_token")).is(200).body; strings.Contains(policies, "operate") {
		t.Error("the old token still has the group's policy")
	}
}

// Contract: auth-methods §5.2 [B] over HTTP, callback_mode device: what clients look for.
func TestOIDCDeviceLogin(t *testing.T) {
	h, p := withProvider(t)
	h.do("POST", "auth/sso/role/r", h.root, m{"callback_mode": "device"}).empty()
	h.do("GET", "auth/sso/role/r", h.root, nil).is(200).has("device", "data", "callback_mode").has(0, "data", "poll_interval")
	begun := h.do("POST", "auth/sso/oidc/auth_url", "", m{"role": "r", "client_nonce": "n"}).is(200).has("5", "data", "poll_interval").has("device", "data", "callback_mode").has(600, "data", "expires_in")
	poll := m{"state": begun.text("data", "state"), "client_nonce": "n"}
	h.do("POST", "auth/sso/oidc/poll", "", poll).fails(400, "authorization_pending")
	h.do("POST", "auth/sso/oidc/poll", "", poll).fails(400, "slow_down")
	p.Decide(t, begun.text("data", "auth_url"), begun.text("data", "user_code"), "ann")
	h.wall.advance(5 * time.Second)
	query := url.Values{"state": {begun.text("data", "state")}, "client_nonce": {"n"}}.Encode()
	token := h.do("GET", "auth/sso/oidc/poll?"+query, "", nil).is(200).has("r", "auth", "metadata", "role").text("auth", "client_token")
	h.lookup(token).is(200).has("sso-ann", "data", "display_name").has("auth/sso/oidc/poll", "data", "path")
	h.do("POST", "auth/sso/oidc/poll", "", poll).fails(400, "Vault login failed. Expired or missing OAuth state.")
	// A token that is wrapped if the client asks for it: who waits is not.
	begun = h.do("POST", "auth/sso/oidc/auth_url", "", m{"role": "r", "client_nonce": "n"}).is(200)
	poll["state"] = begun.text("data", "state")
	h.do("POST", "auth/sso/oidc/poll", "", poll, wrapped("1m")).fails(400, "authorization_pending")
	p.Decide(t, begun.text("data", "auth_url"), begun.text("data", "user_code"), "ann")
	h.wall.advance(5 * time.Second)
	wrapping := h.do("POST", "auth/sso/oidc/poll", "", poll, wrapped("1m")).is(200).text("wrap_info", "token")
	h.do("POST", "sys/wrapping/unwrap", wrapping, nil).is(200).has("r", "auth", "metadata", "role")
}

// Contract: auth-methods §5.2 [B] over HTTP, callback_mode direct. CVE-2026-33757, CVE-2026-33758:
// the pages run nothing, are framed by nobody, and tell no other page where they are.
func TestOIDCDirectLogin(t *testing.T) {
	h, p := withProvider(t)
	h.do("POST", "auth/sso/role/r", h.root, m{"callback_mode": "direct", "allowed_redirect_uris": "https://jeton.example/v1/auth/sso/oidc/callback"}).empty()
	begun := h.do("POST", "auth/sso/oidc/auth_url", "", m{"role": "r", "client_nonce": "n"}).is(200).has("5", "data", "poll_interval").has("direct", "data", "callback_mode")
	poll := m{"state": begun.text("data", "state"), "client_nonce": "n"}
	target, back := p.SignIn(t, begun.text("data", "auth_url"), "ann")
	if !strings.HasPrefix(target.String(), "https://jeton.example/v1/auth/sso/oidc/callback?") {
		t.Fatalf("the browser goes to %s", target)
	}
	before := strings.Count(h.do("LIST", "auth/token/accessors", h.root, nil).is(200).body, `",`)
	page := h.do("GET", "auth/sso/oidc/callback?"+back.Encode(), "", nil).is(200)
	found := regexp.MustCompile(`name="confirmation" value="([^"]+)"`).FindStringSubmatch(page.body)
	if found == nil || !strings.Contains(page.body, begun.text("data", "user_code")) {
		t.Fatalf("no page that asks: %s", page.body)
	}
	h.do("POST", "auth/sso/oidc/poll", "", poll).fails(400, "authorization_pending")
	form := header("Content-Type", "application/x-www-form-urlencoded")
	done := h.do("POST", "auth/sso/oidc/confirm", "", url.Values{"confirmation": {found[1]}}.Encode(), form).is(200)
	again := h.do("POST", "auth/sso/oidc/confirm", "", url.Values{"confirmation": {found[1]}}.Encode(), form).is(400)
	for _, page := range []*answer{page, done, again} {
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := page.header.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
	}
	if after := strings.Count(h.do("LIST", "auth/token/accessors", h.root, nil).is(200).body, `",`); after != before {
		t.Errorf("%d tokens are minted before one is collected", after-before)
	}
	token := h.do("POST", "auth/sso/oidc/poll", "", poll).is(200).text("auth", "client_token")
	h.lookup(token).is(200).has("sso-ann", "data", "display_name").has("auth/sso/oidc/poll", "data", "path")
	h.do("POST", "auth/sso/oidc/poll", "", poll).fails(400, "Vault login failed. Expired or missing OAuth state.")
}

// The provider hangs: logins that need it wait, no token is made, and everybody else is served
// meanwhile. (That they fail in time is shown in internal/auth/jwt.)
func TestSlowProviderHoldsUpNobody(t *testing.T) {
	h, p := withProvider(t)
	body := signed(t, p, nil)
	other := h.create(h.root, m{"policies": "default"})
	accessors := func() int {
		return strings.Count(h.do("LIST", "auth/token/accessors", h.root, nil).is(200).body, `",`)
	}
	before, asked := accessors(), p.Count("/keys")
	p.Set(oidctest.Hang)
	var wg sync.WaitGroup
	statuses := make([]int, 40)
	for i := range statuses {
		wg.Go(func() { statuses[i] = h.do("POST", "auth/jwt/login", "", body).status })
	}
	for p.Count("/keys") == asked {
		h.lookup(other).is(200)
	}
	for range 200 {
		h.lookup(other).is(200)
		h.do("PUT", "secret/data/x", h.root, m{"data": m{"a": 1}}).is(200)
	}
	if n := accessors(); n != before {
		t.Errorf("%d tokens were made", n-before)
	}
	p.Set(oidctest.None)
	wg.Wait()
	for i, status := range statuses {
		if status != http.StatusOK {
			t.Errorf("login %d: %d", i, status)
		}
	}
	if n := p.Count("/keys") - asked; n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// CVE-2026-89322: a deny on a role holds for every spelling of its name.
func TestJWTRoleNamesIgnoreCase(t *testing.T) {
	h, _ := withProvider(t)
	token := h.holder("roles", `path "auth/jwt/role/*" { capabilities = ["create", "update", "read"] }
path "auth/jwt/role/admin" { capabilities = ["deny"] }`)
	for _, name := range []string{"admin", "ADMIN", "Admin"} {
		h.do("POST", "auth/jwt/role/"+name, token, m{"role_type": "jwt", "user_claim": "sub", "bound_subject": "x"}).fails(403, denied)
	}
	h.do("POST", "auth/jwt/role/other", token, m{"role_type": "jwt", "user_claim": "sub", "bound_subject": "x"}).empty()
	h.do("GET", "auth/jwt/role/OTHER", token, nil).is(200)
}

// Logins that are begun without a token cannot be wrapped: each wrapping is stored.
func TestBegunLoginsAreNotStored(t *testing.T) {
	h, _ := withProvider(t)
	h.do("POST", "auth/sso/oidc/auth_url", "", m{"role": "r", "redirect_uri": "http://localhost:8250/oidc/callback"}, wrapped("1m")).fails(400, "response wrapping of this path needs a token")
}
