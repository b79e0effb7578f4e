package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth/cert/certtest"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/auth/kubernetes/kubetest"
)

// canaries are secrets of a test: those it made up and those the server gave it.
type canaries struct {
	s *server
	// planted says what the nth made-up secret is; made maps the server's own to what they are.
	planted []string
	made    map[string]string
	// refusals are answers of status 400 and above, by request.
	refusals map[string]string
}

// call begins every made-up secret. Its six bytes are whole groups in base64, so that the
// encoded secret begins with the encoded call.
const call = "cAnArY"

// plant makes up a secret that nothing else can contain.
func (c *canaries) plant(what string) string {
	c.planted = append(c.planted, what)
	return fmt.Sprintf("%s%06dxQzvW", call, len(c.planted)-1)
}

// keep notes a secret that the server made.
func (c *canaries) keep(what, text string) string {
	if len(text) < 16 {
		c.s.t.Fatalf("%s is too short to be looked for", what)
	}
	c.made[text] = what
	return text
}

// Contract: audit, and CVE-2024-8365, CVE-2025-4166, CVE-2025-52893, CVE-2026-115358: no
// secret reaches the log at level debug, nor the audit file, nor the text of a refusal,
// through whatever endpoint and in whatever form it was sent.
func TestSecretsStayOutOfLogsCVE202013223(t *testing.T) {
	t.Parallel()
	s := startProduction(t, "-log-level=debug")
	c := &canaries{s: s, made: map[string]string{}, refusals: map[string]string{}}
	c.keep("root token", s.root)
	for i, share := range s.shares {
		c.keep(fmt.Sprintf("share %d", i), share)
		raw, err := base64.StdEncoding.DecodeString(share)
		if err != nil {
			t.Fatal(err)
		}
		c.keep(fmt.Sprintf("share %d in hex", i), hex.EncodeToString(raw))
	}
	record := filepath.Join(s.dir, "audit.log")
	s.must("jeton", "audit", "enable", "file", "file_path="+record)
	const marker = "visible-marker"
	s.must("jeton", "kv", "put", "secret/"+marker, "a="+c.plant("kv value by command line"))

	c.tokens()
	c.logins()
	c.values()
	c.wrapping()
	c.transit()
	c.sealing()
	c.everywhere()
	c.walk()

	log := s.proc.output()
	if !alive(t, s, s.root) {
		t.Error("the server did not live through it")
	}
	s.stop()
	audit, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	c.look(t, "server log", log)
	c.look(t, "audit file", string(audit))
	for request, text := range c.refusals {
		c.look(t, "refusal of "+request, text)
	}
	// The search finds what is there, and there is something to search in.
	if !strings.Contains(string(audit), marker) || strings.Count(string(audit), "\n") < 2000 || !strings.Contains(string(audit), "hmac-sha256:") {
		t.Errorf("the audit file is not what it should be: %d lines", strings.Count(string(audit), "\n"))
	}
	if !strings.Contains(strings.ToLower(log), "log level: debug") {
		t.Error("the log is not at level debug")
	}
	t.Logf("%d and %d secrets, %d refusals, %d audit lines", len(c.planted), len(c.made), len(c.refusals), strings.Count(string(audit), "\n"))
}

// look searches a text for every secret, as it is and in the usual disguises.
func (c *canaries) look(t *testing.T, where, text string) {
	t.Helper()
	forms := func(secret string) []string {
		return []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)), url.QueryEscape(secret)}
	}
	near := func(i int) string { return text[max(0, i-200):min(len(text), i+100)] }
	for secret, what := range c.made {
		for _, form := range forms(secret) {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s has a %s: …%s…", where, what, near(i))
				break
			}
		}
	}
	seen := map[string]bool{}
	for _, form := range forms(call) {
		for from := 0; ; {
			i := strings.Index(text[from:], form)
			if i < 0 {
				break
			}
			at := from + i
			from = at + len(form)
			what := "something planted, encoded"
			var n int
			if _, err := fmt.Sscanf(text[at:], call+"%06d", &n); err == nil && n < len(c.planted) {
				what = c.planted[n]
			}
			if !seen[what] && len(seen) < 40 {
				seen[what] = true
				t.Errorf("%s has a %s: …%s…", where, what, near(at))
			}
		}
	}
}

// send sends a request and keeps the answer if it is a refusal.
func (c *canaries) send(verb, path, token string, body any, more ...string) answer {
	a := c.s.raw(verb, path, token, body, more...)
	c.note(verb+" "+path, a)
	return a
}

func (c *canaries) note(request string, a answer) {
	if a.status >= 400 {
		c.refusals[fmt.Sprintf("%s (%d)", request, a.status)] += a.text
	}
}

// done is send for a request that has to succeed.
func (c *canaries) done(verb, path, token string, body any, more ...string) answer {
	c.s.t.Helper()
	a := c.send(verb, path, token, body, more...)
	if a.status >= 300 {
		c.s.t.Fatalf("%s %s: %d %s", verb, path, a.status, a.text)
	}
	return a
}

type object = map[string]any

func (c *canaries) tokens() {
	s := c.s
	custom := c.plant("custom token id")
	c.done("POST", "auth/token/create", s.root, object{"id": custom, "policies": []string{"default"}})
	made := c.done("POST", "auth/token/create", s.root, object{"policies": []string{"default"}, "num_uses": 5}).Auth
	id := c.keep("service token", made.ClientToken)
	batch := c.keep("batch token", c.done("POST", "auth/token/create", s.root, object{"type": "batch", "policies": []string{"default"}}).Auth.ClientToken)
	orphan := c.keep("orphan", c.done("POST", "auth/token/create-orphan", s.root, object{"policies": []string{"default"}}).Auth.ClientToken)
	for _, token := range []string{custom, id, batch, orphan} {
		c.done("GET", "auth/token/lookup-self", token, nil)
		c.done("POST", "auth/token/lookup", s.root, object{"token": token})
		c.done("GET", "auth/token/lookup?token="+url.QueryEscape(token), s.root, nil)
		c.done("POST", "sys/capabilities", s.root, object{"token": token, "path": "secret/data/a"})
		c.send("GET", "secret/data/denied", token, nil)
		c.send("POST", "auth/token/renew", s.root, object{"token": token, "increment": "1h"})
		c.send("POST", "auth/token/revoke", s.root, object{"token": token})
		c.send("GET", "auth/token/lookup-self", token, nil)
		c.send("POST", "auth/token/revoke-orphan", s.root, object{"token": token})
	}
	for _, header := range []string{"X-Vault-Token", "Authorization", "X-Vault-Wrap-TTL", "X-Vault-MFA", "Cookie", "X-Vault-Namespace", "X-Vault-Policy-Override", "Content-Type"} {
		token, value := s.root, c.plant("header "+header)
		if header == "Authorization" {
			token, value = "", "Bearer "+value
		}
		a := s.raw("PATCH", "secret/data/a", token, "{}", header, value)
		if header != "Content-Type" && header != "X-Vault-Namespace" {
			c.note("PATCH with "+header, a)
		}
	}
}

func (c *canaries) logins() {
	s := c.s
	roleID, secretID := s.appRole("canary", `path "secret/data/a" { capabilities = ["read"] }`, nil)
	c.keep("secret id", secretID)
	c.keep("token of a login", c.done("POST", "auth/approle/login", "", object{"role_id": roleID, "secret_id": secretID}).Auth.ClientToken)
	custom := c.plant("custom secret id")
	c.done("POST", "auth/approle/role/canary/custom-secret-id", s.root, object{"secret_id": custom})
	c.done("POST", "auth/approle/role/canary/secret-id/lookup", s.root, object{"secret_id": custom})
	c.done("POST", "auth/approle/role/canary/secret-id/destroy", s.root, object{"secret_id": custom})
	c.send("POST", "auth/approle/login", "", object{"role_id": roleID, "secret_id": custom})
	c.send("POST", "auth/approle/login", "", object{"role_id": roleID, "secret_id": c.plant("wrong secret id")})
	c.send("POST", "auth/approle/login", "", object{"role_id": c.plant("wrong role id"), "secret_id": secretID})

	c.done("POST", "sys/auth/userpass", s.root, object{"type": "userpass"})
	password := c.plant("password")
	c.done("POST", "auth/userpass/users/ada", s.root, object{"password": password})
	c.keep("token of a login", c.done("POST", "auth/userpass/login/ada", "", object{"password": password}).Auth.ClientToken)
	c.send("POST", "auth/userpass/login/ada", "", object{"password": c.plant("wrong password")})
	c.send("POST", "auth/userpass/login/nobody", "", object{"password": c.plant("password of nobody")})
	c.done("POST", "auth/userpass/users/ada/password", s.root, object{"password": c.plant("new password")})
	c.send("POST", "auth/userpass/users/ada", s.root, object{"password": strings.Repeat("x", 80) + c.plant("password too long")})

	// Nobody listens there: what was to be sent comes back as an error.
	c.done("POST", "sys/auth/ldap", s.root, object{"type": "ldap"})
	c.done("POST", "auth/ldap/config", s.root, object{"url": "ldap://127.0.0.1:1", "binddn": "cn=reader", "bindpass": c.plant("bindpass")})
	c.done("GET", "auth/ldap/config", s.root, nil)
	c.send("POST", "auth/ldap/config", s.root, object{"client_tls_cert": c.plant("client certificate"), "client_tls_key": c.plant("client key")})
	c.send("POST", "auth/ldap/config", s.root, object{"userfilter": "({{." + c.plant("filter")})
	c.send("POST", "auth/ldap/config/rotate-root", s.root, nil)
	c.send("POST", "auth/ldap/login/ada", "", object{"password": c.plant("password for a directory that is down")})
	c.signedLogins()
	c.provedLogins()
}

// provedLogins log in with what a cluster and an authority vouch for, and configure both wrongly.
func (c *canaries) provedLogins() {
	s, k := c.s, kubetest.Start(c.s.t, time.Now)
	web, other := k.AddAccount("shop", "web"), k.AddAccount("shop", "other")
	reviewer := c.keep("reviewer's JWT", k.Token(k.AddAccount("kube-system", "reviewer")))
	c.done("POST", "sys/auth/kubernetes", s.root, object{"type": "kubernetes"})
	settings := object{"kubernetes_host": k.URL, "kubernetes_ca_cert": k.CA, "token_reviewer_jwt": reviewer}
	c.done("POST", "auth/kubernetes/config", s.root, settings)
	c.done("GET", "auth/kubernetes/config", s.root, nil)
	c.done("POST", "auth/kubernetes/role/web", s.root, object{"bound_service_account_names": "web", "bound_service_account_namespaces": "shop"})
	login := func(jwt string) answer {
		return c.send("POST", "auth/kubernetes/login", "", object{"role": "web", "jwt": jwt})
	}
	good := c.keep("JWT of a pod", k.Token(web))
	token := c.keep("token of a login", login(good).Auth.ClientToken)
	login(c.keep("JWT of another", k.Token(other)))
	login(c.plant("text as JWT of a pod"))
	c.send("POST", "auth/kubernetes/login", "", object{"role": good, "jwt": "x"})
	for _, fault := range []func(http.ResponseWriter, *http.Request){kubetest.Status(401), kubetest.Text(reviewer), kubetest.HangUp} {
		k.Fault(fault)
		login(good)
		c.send("POST", "auth/token/renew-self", token, object{})
	}
	c.send("POST", "auth/kubernetes/config", s.root, object{"kubernetes_host": "https://u:" + c.plant("password of an API server") + "@127.0.0.1:1"})
	c.send("POST", "auth/kubernetes/config", s.root, object{"kubernetes_host": k.URL, "pem_keys": c.plant("key of a cluster that is none")})

	c.done("POST", "sys/auth/cert", s.root, object{"type": "cert"})
	leaf := certtest.New(s.t, "clients", time.Now()).Issue("web")
	private := c.keep("private key", leaf.KeyPEM(s.t))
	c.send("POST", "auth/cert/certs/web", s.root, object{"certificate": leaf.PEM() + private})
	c.send("POST", "auth/cert/certs/web", s.root, object{"certificate": private})
	c.send("POST", "auth/cert/crls/web", s.root, object{"crl": c.plant("list that is none")})
	c.send("POST", "auth/cert/crls/web", s.root, object{"url": "http://u:" + c.plant("password of a list") + "@127.0.0.1:1/"})
}

// signedLogins log in with signed tokens, right and wrong, and in the browser.
func (c *canaries) signedLogins() {
	s, p := c.s, oidctest.New(c.s.t)
	p.Person("ann", object{})
	c.done("POST", "sys/auth/jwt", s.root, object{"type": "jwt"})
	c.done("POST", "sys/auth/oidc", s.root, object{"type": "oidc"})
	c.done("POST", "auth/jwt/config", s.root, object{"jwks_url": p.URL + "/keys"})
	c.done("POST", "auth/jwt/role/ci", s.root, object{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a", "verbose_oidc_logging": true})
	good := c.keep("JWT", p.Sign(s.t, object{"sub": "ci", "aud": "a", "note": c.plant("claim of a JWT")}))
	c.keep("token of a login", c.done("POST", "auth/jwt/login", "", object{"role": "ci", "jwt": good}).Auth.ClientToken)
	for _, claims := range []object{{"aud": "b"}, {"aud": c.plant("audience")}, {"aud": "a", "exp": c.plant("exp that is text")}, {"aud": "a", "sub": []any{c.plant("sub in a list")}}, {"aud": "a", "sub": "x", "exp": 1}} {
		c.send("POST", "auth/jwt/login", "", object{"role": "ci", "jwt": c.keep("refused JWT", p.Sign(s.t, claims))})
	}
	c.send("POST", "auth/jwt/login", "", object{"role": "ci", "jwt": c.plant("text as JWT")})
	c.send("POST", "auth/jwt/config", s.root, object{"jwks_url": "http://u:" + c.plant("password in a URL") + "@127.0.0.1:1/"})

	c.keep("client secret", oidctest.ClientSecret)
	c.done("POST", "auth/oidc/config", s.root, object{"oidc_discovery_url": p.URL, "oidc_client_id": oidctest.ClientID, "oidc_client_secret": oidctest.ClientSecret})
	c.done("GET", "auth/oidc/config", s.root, nil)
	const redirect = "http://localhost:8250/oidc/callback"
	c.done("POST", "auth/oidc/role/r", s.root, object{"user_claim": "sub", "allowed_redirect_uris": redirect, "verbose_oidc_logging": true})
	back := func() url.Values {
		a := c.done("POST", "auth/oidc/oidc/auth_url", "", object{"role": "r", "redirect_uri": redirect, "client_nonce": c.plant("client nonce")})
		_, rest, _ := strings.Cut(a.text, `"auth_url":"`)
		address, _, _ := strings.Cut(rest, `"`)
		_, values := p.SignIn(s.t, strings.ReplaceAll(address, `\u0026`, "&"), "ann")
		values.Set("client_nonce", fmt.Sprintf("%s%06dxQzvW", call, len(c.planted)-1))
		c.keep("state", values.Get("state"))
		c.keep("code", values.Get("code"))
		return values
	}
	c.keep("token of a login", c.done("GET", "auth/oidc/oidc/callback?"+back().Encode(), "", nil).Auth.ClientToken)
	for _, field := range []string{"state", "code", "client_nonce", "error", "id_token", "iss"} {
		values := back()
		values.Set(field, c.plant("callback's "+field))
		c.send("GET", "auth/oidc/oidc/callback?"+values.Encode(), "", nil)
	}
	c.polledLogins(p)
}

// polledLogins sign in elsewhere, on the provider's device page and by way of the server's own page.
func (c *canaries) polledLogins(p *oidctest.Provider) {
	s := c.s
	var begun struct {
		Data struct {
			Address string `json:"auth_url"`
			State   string `json:"state"`
			Code    string `json:"user_code"`
		}
	}
	begin := func(mode string) object {
		c.done("POST", "auth/oidc/role/"+mode, s.root, object{"user_claim": "sub", "callback_mode": mode, "allowed_redirect_uris": s.addr + "/v1/auth/oidc/oidc/callback", "verbose_oidc_logging": true})
		nonce := c.plant("nonce of a poll")
		a := c.done("POST", "auth/oidc/oidc/auth_url", "", object{"role": mode, "client_nonce": nonce})
		if err := json.Unmarshal([]byte(a.text), &begun); err != nil {
			s.t.Fatal(err)
		}
		return object{"state": c.keep("state of a poll", begun.Data.State), "client_nonce": nonce}
	}
	p.DeviceAnswer(object{"device_code": nil})
	c.done("POST", "auth/oidc/role/none", s.root, object{"user_claim": "sub", "callback_mode": "device"})
	c.send("POST", "auth/oidc/oidc/auth_url", "", object{"role": "none", "client_nonce": c.plant("nonce")})
	p.DeviceAnswer(nil)
	poll := begin("device")
	p.Decide(s.t, begun.Data.Address, begun.Data.Code, "ann")
	c.keep("token of a login", c.done("POST", "auth/oidc/oidc/poll", "", poll).Auth.ClientToken)

	poll = begin("direct")
	_, values := p.SignIn(s.t, begun.Data.Address, "ann")
	c.keep("code", values.Get("code"))
	page := c.send("GET", "auth/oidc/oidc/callback?"+values.Encode(), "", nil).text
	found := regexp.MustCompile(`name="confirmation" value="([^"]+)"`).FindStringSubmatch(page)
	if found == nil {
		s.t.Fatalf("no page that asks: %s", page)
	}
	c.send("POST", "auth/oidc/oidc/confirm", "", object{"confirmation": c.keep("confirmation", found[1])})
	c.keep("token of a login", c.done("POST", "auth/oidc/oidc/poll", "", poll).Auth.ClientToken)

	// Groups from elsewhere: the key of a service account, right and wrong.
	file := p.Workspace(s.t, map[string][]string{"ann": {"dev@example.com"}})
	c.keep("key of a service account", strings.Split(file, `\n`)[5])
	for _, admin := range []string{oidctest.Admin, "eve@example.com"} {
		c.done("POST", "auth/oidc/config", s.root, object{"oidc_discovery_url": p.URL, "oidc_client_id": oidctest.ClientID, "oidc_client_secret": oidctest.ClientSecret,
			"provider_config": object{"provider": "gsuite", "gsuite_service_account": file, "gsuite_admin_impersonate": admin, "fetch_groups": true, "directory_url": p.URL + "/directory"}})
		c.done("GET", "auth/oidc/config", s.root, nil)
		c.done("POST", "auth/oidc/role/device", s.root, object{"groups_claim": "groups"})
		poll = begin("device")
		p.Decide(s.t, begun.Data.Address, begun.Data.Code, "ann")
		c.send("POST", "auth/oidc/oidc/poll", "", poll)
	}
	c.send("POST", "auth/oidc/config", s.root, object{"provider_config": object{"provider": "gsuite", "gsuite_service_account": c.plant("path of a key file")}})
	for _, path := range []string{"poll", "confirm", "auth_url"} {
		c.send("POST", "auth/oidc/oidc/"+path, "", object{"state": c.plant(path + "'s state"), "client_nonce": c.plant(path + "'s nonce"), "confirmation": c.plant(path + "'s confirmation"), "role": "device"})
	}
}

func (c *canaries) values() {
	s := c.s
	c.done("POST", "sys/mounts/plain", s.root, object{"type": "kv"})
	for _, path := range []string{"secret/data/a", "plain/a", "cubbyhole/a"} {
		body := object{"data": object{"deep": object{"list": []any{c.plant("kv value " + path), 17}}}}
		c.done("POST", path, s.root, body)
		c.done("GET", path, s.root, nil)
	}
	c.done("POST", "secret/metadata/a", s.root, object{"custom_metadata": object{"k": c.plant("custom metadata")}})
	c.done("GET", "secret/metadata/a", s.root, nil)
	c.send("POST", "secret/data/a", s.root, object{"options": object{"cas": 99}, "data": object{"k": c.plant("refused by cas")}})
	c.send("POST", "secret/data/a", s.root, object{"options": object{"cas": c.plant("cas that is a word")}, "data": object{}})
	c.send("POST", "secret/data/a", s.root, object{"data": c.plant("data that is text")})
	c.send("POST", "secret/data/a", s.root, object{"data": []any{c.plant("data that is a list")}})
	c.send("POST", "secret/metadata/a", s.root, object{"custom_metadata": c.plant("custom metadata that is text")})
	c.send("POST", "secret/metadata/a", s.root, object{"custom_metadata": object{"k": strings.Repeat("long", 200) + c.plant("custom metadata too long")}})
	c.send("POST", "secret/delete/a", s.root, object{"versions": c.plant("versions that are text")})
	c.send("GET", "secret/data/a?version="+c.plant("version that is a word"), s.root, nil)
	c.send("PUT", "sys/policies/acl/p", s.root, object{"policy": `path "a" { allowed_parameters = { "p" = ["` + c.plant("parameter of a broken policy") + `" }`})
	c.send("POST", "sys/audit-hash/file", s.root, object{"input": c.plant("audit-hash input")})
}

func (c *canaries) wrapping() {
	s := c.s
	wrap := func(what string) string {
		return c.wrapToken(c.done("POST", "sys/wrapping/wrap", s.root, object{"value": c.plant(what)}, "X-Vault-Wrap-TTL", "60"))
	}
	first := wrap("wrapped value")
	c.done("POST", "sys/wrapping/lookup", s.root, object{"token": first})
	again := c.wrapToken(c.done("POST", "sys/wrapping/rewrap", s.root, object{"token": first}))
	c.done("POST", "sys/wrapping/unwrap", again, nil)
	c.send("POST", "sys/wrapping/unwrap", again, nil)
	c.send("POST", "sys/wrapping/unwrap", s.root, object{"token": again})
	c.done("POST", "sys/wrapping/unwrap", s.root, object{"token": wrap("wrapped value, unwrapped by the body")})
	c.send("POST", "sys/wrapping/unwrap", s.root, object{"token": c.plant("wrapping token that is not")})
}

// transit has secrets encrypted, and keys that the server makes given out.
func (c *canaries) transit() {
	s := c.s
	c.done("POST", "sys/mounts/transit", s.root, object{"type": "transit"})
	c.done("POST", "transit/keys/app", s.root, object{"exportable": true, "allow_plaintext_backup": true})
	member := func(a answer, name string) string {
		text, _ := a.Data[name].(string)
		return text
	}
	b64 := func(what string) string { return base64.StdEncoding.EncodeToString([]byte(c.plant(what))) }
	sealed := member(c.done("POST", "transit/encrypt/app", s.root, object{"plaintext": b64("plaintext"), "associated_data": b64("associated data")}), "ciphertext")
	c.send("POST", "transit/decrypt/app", s.root, object{"ciphertext": sealed})
	plain := member(c.done("POST", "transit/encrypt/app", s.root, object{"plaintext": b64("plaintext")}), "ciphertext")
	c.done("POST", "transit/decrypt/app", s.root, object{"ciphertext": plain})
	c.done("POST", "transit/rewrap/app", s.root, object{"ciphertext": plain})
	c.done("POST", "transit/hmac/app", s.root, object{"input": b64("hmac input")})
	c.keep("data key", member(c.done("POST", "transit/datakey/plaintext/app", s.root, nil), "plaintext"))
	c.keep("backup", member(c.done("GET", "transit/backup/app", s.root, nil), "backup"))
	keys, _ := c.done("GET", "transit/export/encryption-key/app", s.root, nil).Data["keys"].(object)
	key, _ := keys["1"].(string)
	c.keep("exported key", key)
	c.send("POST", "transit/encrypt/app", s.root, object{"plaintext": c.plant("plaintext that is not base64")})
	c.send("POST", "transit/decrypt/app", s.root, object{"ciphertext": "vault:v1:" + c.plant("ciphertext that is none")})
	c.send("POST", "transit/encrypt/app", s.root, object{"batch_input": []any{object{"plaintext": c.plant("batch")}, c.plant("item"), 1}})
	// Not a refusal, though a 400: the item that is good has its plaintext. Contract: secrets §5, batch.
	s.raw("POST", "transit/decrypt/app", s.root, object{"batch_input": []any{object{"ciphertext": c.plant("batch")}, object{"ciphertext": plain}}})
	c.send("POST", "transit/restore/again", s.root, object{"backup": c.plant("backup that is none")})
	c.send("POST", "transit/keys/imported/import", s.root, object{"ciphertext": c.plant("import that is none")})
	c.send("PUT", "sys/rekey/init", "", object{"secret_shares": 1, "secret_threshold": 1, "pgp_keys": []string{c.plant("PGP key that is none")}})
	c.send("PUT", "sys/generate-root/attempt", "", object{"pgp_key": c.plant("PGP key that is none")})
}

func (c *canaries) wrapToken(a answer) string {
	c.s.t.Helper()
	_, rest, ok := strings.Cut(a.text, `"wrap_info":{"token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if !ok {
		c.s.t.Fatalf("not wrapped: %s", a.text)
	}
	return c.keep("wrapping token", token)
}

func (c *canaries) sealing() {
	s := c.s
	for _, key := range []any{c.plant("unseal key that is none"), hex.EncodeToString([]byte(c.plant("unseal key in hex"))), []string{c.plant("list of unseal keys")}, object{"k": c.plant("object as unseal key")}} {
		c.send("PUT", "sys/unseal", "", object{"key": key})
	}
	c.done("PUT", "sys/seal", s.root, nil)
	for _, key := range []string{c.plant("unseal key that is none"), base64.StdEncoding.EncodeToString([]byte(c.plant("unseal key in base64") + "0123456789"))} {
		c.send("PUT", "sys/unseal", "", object{"key": key})
	}
	c.done("PUT", "sys/unseal", "", object{"reset": true})
	c.send("GET", "secret/data/a", c.plant("token to a sealed server"), nil)
	c.send("POST", "auth/approle/login", "", object{"secret_id": c.plant("secret id to a sealed server")})
	// Three shares that do not fit together, then three that do.
	forged := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("z", 32) + "\x09"))
	for _, key := range []string{s.shares[0], s.shares[1], forged, s.shares[2], s.shares[3], s.shares[4]} {
		c.send("PUT", "sys/unseal", "", object{"key": key})
	}
}

// everywhere sends a secret in every field to every endpoint: right and wrong types, broken
// JSON, forms, queries. Names and metadata are no secrets: the audit file shows them.
func (c *canaries) everywhere() {
	s := c.s
	fields := []string{"token", "client_token", "accessor", "secret_id", "secret_id_accessor", "password", "key", "nonce", "otp",
		"input", "id", "ttl", "increment", "period", "explicit_max_ttl", "num_uses", "token_ttl", "token_max_ttl", "token_num_uses",
		"token_bound_cidrs", "cidr_list", "versions", "lease_id", "value", "data", "options", "config", "entity_alias", "renewable", "secret_shares",
		"plaintext", "ciphertext", "context", "batch_input", "backup", "pgp_keys"}
	for _, e := range secretEndpoints() {
		verb, path, _ := strings.Cut(e, " ")
		if verb == "GET" || verb == "LIST" || verb == "DELETE" {
			query := url.Values{}
			for _, f := range fields {
				query.Set(f, c.plant(e+" query "+f))
			}
			c.send(verb, path+"?"+query.Encode(), s.root, nil)
			continue
		}
		for _, f := range fields {
			for _, value := range []any{
				c.plant(e + " " + f + " as text"),
				[]any{c.plant(e + " " + f + " in a list")},
				object{"k": c.plant(e + " " + f + " in an object")},
			} {
				c.send(verb, path, s.root, object{f: value})
			}
		}
		for _, broken := range []string{`{"token":"%s`, `{"data":{"a":"%s"},}`, `"%s"`, `["%s"]`, `%s`, `{"a":%s}`, `{"token":"%s"} trailing`, `{"token":"\u00zz%s"}`} {
			c.send(verb, path, s.root, fmt.Sprintf(broken, c.plant(e+" broken JSON "+broken)))
		}
		form := url.Values{}
		for _, f := range fields {
			form.Set(f, c.plant(e+" form "+f))
		}
		c.send(verb, path, s.root, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	}
}

// walk sends secrets to every path that the server itself says it has, mounts of all kinds
// included, but for those that would end the test. What everywhere does thoroughly to a list of
// endpoints, this does once to each there is, so that a new one is not forgotten.
func (c *canaries) walk() {
	s := c.s
	for _, kind := range []string{"approle", "cert", "jwt", "kubernetes", "ldap", "oidc", "userpass"} {
		c.send("POST", "sys/auth/walk-"+kind, s.root, object{"type": kind})
	}
	var described struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(s.raw("GET", "sys/internal/specs/openapi", s.root, nil).text), &described); err != nil {
		s.t.Fatal(err)
	}
	captured := regexp.MustCompile(`\{[^}]*\}`)
	walked := 0
	for path, operations := range described.Paths {
		path = captured.ReplaceAllString(strings.TrimPrefix(path, "/"), "walked")
		if slices.ContainsFunc([]string{"sys/seal", "sys/unseal", "sys/init", "sys/rekey", "sys/rotate", "sys/generate-root", "sys/storage/raft", "sys/step-down",
			"sys/monitor", "sys/pprof", "sys/audit", "sys/auth", "sys/mounts", "sys/remount", "sys/quotas", "sys/config", "sys/loggers", "auth/token/revoke-self"},
			func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
			continue
		}
		body := object{}
		query := url.Values{}
		for _, f := range []string{"token", "secret_id", "password", "key", "nonce", "otp", "value", "data", "plaintext", "ciphertext", "context", "jwt", "bindpass",
			"oidc_client_secret", "token_reviewer_jwt", "private_key", "input", "ttl", "token_ttl", "lease_id"} {
			body[f] = c.plant("walk to " + path + " " + f)
			query.Set(f, c.plant("walk to "+path+" query "+f))
		}
		if _, ok := operations["post"]; ok {
			c.send("POST", path, s.root, body)
			walked++
		}
		if _, ok := operations["get"]; ok {
			c.send("GET", path+"?"+query.Encode(), s.root, nil)
			walked++
		}
	}
	if walked < 200 {
		s.t.Errorf("%d operations are walked only: has the description changed its form?", walked)
	}
}

// secretEndpoints are the endpoints, each once, without those that would end the test.
func secretEndpoints() []string {
	endpoints := strings.Fields(`
		auth/token/create auth/token/create-orphan auth/token/create/r auth/token/lookup auth/token/lookup-accessor
		auth/token/renew auth/token/renew-accessor auth/token/renew-self auth/token/revoke auth/token/revoke-accessor
		auth/token/revoke-orphan auth/token/roles/r auth/token/tidy
		auth/approle/login auth/approle/role/x auth/approle/role/canary/secret-id auth/approle/role/canary/custom-secret-id
		auth/approle/role/canary/secret-id/lookup auth/approle/role/canary/secret-id/destroy
		auth/approle/role/canary/secret-id-accessor/lookup auth/approle/role/canary/secret-id-accessor/destroy
		auth/approle/role/canary/role-id auth/approle/role/canary/token-ttl auth/approle/role/canary/secret-id-num-uses
		auth/approle/tidy/secret-id auth/userpass/login/ada auth/userpass/users/bob auth/userpass/users/ada/password
		auth/jwt/login auth/jwt/config auth/jwt/role/e auth/jwt/oidc/auth_url auth/oidc/oidc/auth_url auth/oidc/oidc/callback
		auth/oidc/oidc/poll auth/oidc/oidc/confirm
		auth/ldap/config auth/ldap/config/rotate-root auth/ldap/login/ada auth/ldap/groups/g auth/ldap/users/u
		secret/data/e secret/metadata/e secret/delete/e secret/undelete/e secret/destroy/e secret/config plain/e cubbyhole/e
		sys/capabilities sys/capabilities-accessor sys/capabilities-self sys/policies/acl/e sys/policy/e
		sys/mounts/e sys/mounts/secret/tune sys/auth/e sys/auth/userpass/tune sys/remount
		sys/audit/e sys/audit-hash/file sys/config/auditing/request-headers/x-e
		sys/wrapping/wrap sys/wrapping/lookup sys/wrapping/unwrap sys/wrapping/rewrap
		sys/leases/lookup sys/leases/renew sys/leases/revoke sys/renew sys/revoke sys/unseal sys/init sys/rotate/config
		sys/rekey/init sys/rekey/update sys/generate-root/attempt sys/generate-root/update
		transit/encrypt/app transit/decrypt/app transit/rewrap/app transit/datakey/wrapped/app transit/sign/app transit/verify/app
		transit/hmac/app transit/keys/e transit/keys/app/config transit/keys/app/trim transit/keys/e/import transit/restore/e
		no/such/mount auth/token/no-such-path sys/no-such-path`)
	out := make([]string, 0, 2*len(endpoints))
	for _, e := range endpoints {
		out = append(out, "POST "+e)
	}
	for _, e := range []string{"auth/token/lookup", "auth/token/lookup-self", "secret/data/e", "plain/e", "cubbyhole/e", "sys/mounts", "sys/health", "sys/seal-status", "auth/approle/role/x"} {
		out = append(out, "GET "+e, "DELETE "+e)
	}
	return slices.Concat(out, []string{"LIST auth/token/accessors", "LIST secret/metadata", "LIST auth/token/roles", "PATCH secret/data/e"})
}
