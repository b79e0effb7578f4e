// Package oidctest owns a stand-in for an identity provider, for tests: discovery, key sets
// that rotate, a page to sign in on, the token endpoint with PKCE, device logins, and the ways
// in which a provider fails.
package oidctest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Client is who may log people in at the provider.
const (
	ClientID     = "jeton"
	ClientSecret = "stand-in secret: of a test/only"
)

// Fault is a way to fail.
type Fault int

// The faults. They last until another is set.
const (
	None Fault = iota
	// Hang answers nobody until the fault is lifted; a code that was sent meanwhile is still good.
	Hang
	// Down answers every request with status 503.
	Down
	// Foreign names another issuer in the discovery document.
	Foreign
	// Huge answers with two megabytes.
	Huge
	// Elsewhere redirects documents to another host.
	Elsewhere
	// Garbage answers with what is no JSON.
	Garbage
	// Plain names a key set without TLS.
	Plain
	// Late answers with the key set as it was when the question came, once the fault is lifted.
	Late
)

// Provider is a running stand-in.
type Provider struct {
	// URL is the issuer.
	URL string
	// CA is the PEM of the certificate that it serves with, "" without TLS.
	CA string

	server *httptest.Server
	mu     struct {
		sync.Mutex
		now    func() time.Time
		keys   []Key
		serial int
		fault  Fault
		lifted chan struct{}
		// asked is called at the next question; nil when nobody waits for it.
		asked   func()
		counts  map[string]int
		codes   map[string]grant
		people  map[string]map[string]any
		info    map[string]any
		refusal string

		devices      map[string]*deviceLogin
		deviceAnswer map[string]any
		hurry        int
		described    map[string]any
		memberships  any
		workspace    workspace
	}
}

// grant is a code that has not been traded yet.
type grant struct {
	who, redirect, challenge, nonce, clientID string
}

// New starts a provider without TLS, NewTLS one with. The test stops it.
func New(t testing.TB) *Provider { return start(t, false) }

// NewTLS starts a provider with a certificate that CA is the root of.
func NewTLS(t testing.TB) *Provider { return start(t, true) }

func start(t testing.TB, secure bool) *Provider {
	t.Helper()
	p := &Provider{}
	p.mu.now = time.Now
	p.mu.counts, p.mu.codes, p.mu.people = map[string]int{}, map[string]grant{}, map[string]map[string]any{}
	p.mu.devices = map[string]*deviceLogin{}
	p.mu.lifted = make(chan struct{})
	p.server = httptest.NewUnstartedServer(p.handler())
	if secure {
		p.server.StartTLS()
		p.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}))
	} else {
		p.server.Start()
	}
	p.URL = p.server.URL
	t.Cleanup(func() {
		p.Set(None)
		p.server.Close()
	})
	p.Rotate(t)
	return p
}

// At has the provider's clock show what now says.
func (p *Provider) At(now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.now = now
}

// Set begins a fault, and ends the one before it.
func (p *Provider) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.fault = f
	close(p.mu.lifted)
	p.mu.lifted = make(chan struct{})
}

// UntilAsked is ctx with a time that is over once the provider is asked for anything: the time that
// somebody has who waits for an answer, however long it takes them to come to ask.
func (p *Provider) UntilAsked(ctx context.Context) (until context.Context, stop func()) {
	over := make(chan struct{})
	asked := sync.OnceFunc(func() { close(over) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.asked = asked
	return untilAsked{ctx, over}, asked
}

type untilAsked struct {
	context.Context
	over chan struct{}
}

func (u untilAsked) Done() <-chan struct{} { return u.over }

func (u untilAsked) Err() error {
	select {
	case <-u.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Refuse has the page to sign in on answer with an error code; "" ends it.
func (p *Provider) Refuse(code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.refusal = code
}

// Describe replaces members of the discovery document; a nil value takes one away.
func (p *Provider) Describe(members map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.described = members
}

// Person adds somebody who can sign in, with the claims of their ID token beside the usual.
func (p *Provider) Person(name string, claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.people[name] = claims
}

// UserInfo is what the userinfo endpoint adds, for everybody.
func (p *Provider) UserInfo(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.info = claims
}

// Count is how often a path ("/keys", "/token", …) was asked for.
func (p *Provider) Count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.counts[path]
}

// Rotate publishes a new key in place of the others, and returns it.
func (p *Provider) Rotate(t testing.TB) Key {
	t.Helper()
	p.mu.Lock()
	p.mu.serial++
	id := fmt.Sprintf("key-%d", p.mu.serial)
	p.mu.Unlock()
	key := NewKey(t, jose.ES256, id)
	p.Publish(key)
	return key
}

// Publish replaces the key set. The first key signs.
func (p *Provider) Publish(keys ...Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.keys = keys
}

// Sign makes a token of the provider: claims over the usual ones (issuer, an hour to live).
func (p *Provider) Sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	p.mu.Lock()
	key := p.mu.keys[0]
	p.mu.Unlock()
	return key.Sign(t, p.usual(claims))
}

// usual are claims with what every token has; a nil value takes one away.
func (p *Provider) usual(claims map[string]any) map[string]any {
	p.mu.Lock()
	now := p.mu.now().Unix()
	p.mu.Unlock()
	all := map[string]any{"iss": p.URL, "iat": now, "nbf": now, "exp": now + 3600}
	for name, v := range claims {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	return all
}

func (p *Provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keySet)
	mux.HandleFunc("GET /authorize", p.page)
	mux.HandleFunc("POST /authorize", p.signIn)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	mux.HandleFunc("POST /google/token", p.googleToken)
	mux.HandleFunc("GET /directory/groups", p.directoryGroups)
	mux.HandleFunc("POST /graph/me/getMemberObjects", p.memberObjects)
	mux.HandleFunc("POST /device_authorization", p.deviceEndpoint)
	mux.HandleFunc("GET /device", p.devicePage)
	mux.HandleFunc("POST /device", p.deviceDecision)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.mu.counts[r.URL.Path]++
		fault, lifted := p.mu.fault, p.mu.lifted
		if p.mu.asked != nil {
			p.mu.asked()
		}
		p.mu.Unlock()
		switch fault {
		case Late:
			late := httptest.NewRecorder()
			mux.ServeHTTP(late, r)
			select {
			case <-lifted:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(late.Code)
			_, _ = w.Write(late.Body.Bytes())
			return
		case Hang:
			select {
			case <-lifted:
			case <-r.Context().Done():
				// Returning would be an answer, which can still overtake the client's leaving.
				panic(http.ErrAbortHandler)
			}
			if r.Method == http.MethodPost {
				panic(http.ErrAbortHandler)
			}
		case Down:
			http.Error(w, `{"error":"out of order"}`, http.StatusServiceUnavailable)
			return
		case Huge:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"keys":["` + strings.Repeat("x", 2<<20) + `"]}`))
			return
		case Elsewhere:
			http.Redirect(w, r, strings.Replace(p.URL, "127.0.0.1", "localhost", 1)+"/other"+r.URL.Path, http.StatusFound)
			return
		case Garbage:
			_, _ = w.Write([]byte("<html>not what you think</html>"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	fault := p.mu.fault
	p.mu.Unlock()
	issuer, keys := p.URL, p.URL+"/keys"
	switch fault {
	case Foreign:
		issuer = "https://other.example"
	case Plain:
		keys = "http" + strings.TrimPrefix(keys, "https")
	}
	all := map[string]any{
		"issuer": issuer, "jwks_uri": keys, "authorization_endpoint": p.URL + "/authorize",
		"token_endpoint": p.URL + "/token", "userinfo_endpoint": p.URL + "/userinfo", "device_authorization_endpoint": p.URL + "/device_authorization",
		"id_token_signing_alg_values_supported": []string{"ES256", "RS256", "EdDSA"},
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	answer(w, http.StatusOK, altered(all, p.mu.described))
}

// altered is all with the members of by in place of its own, and without those that are nil in by.
func altered(all, by map[string]any) map[string]any {
	for name, v := range by {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	return all
}

func (p *Provider) keySet(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := []any{map[string]any{"kty": "oct", "k": "c2hhcmVk", "kid": "shared"}, map[string]any{"kty": "new kind", "kid": "x"}}
	for _, key := range p.mu.keys {
		set = append(set, key.public())
	}
	answer(w, http.StatusOK, map[string]any{"keys": set})
}

// page is where a person signs in: a button for each person.
func (p *Provider) page(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!DOCTYPE html><title>Sign in</title><h1>Stand-in provider</h1>")
	for name := range p.mu.people {
		fmt.Fprintf(w, `<form method="post" action="/authorize?%s"><button name="person" value="%s" id="%[2]s">%[2]s</button></form>`,
			html.EscapeString(r.URL.RawQuery), html.EscapeString(name))
	}
}

// signIn sends the browser back with a code, as a query or as a form that sends itself.
func (p *Provider) signIn(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	who := r.PostFormValue("person")
	p.mu.Lock()
	_, known := p.mu.people[who]
	refusal := p.mu.refusal
	code := rand.Text()
	if known && refusal == "" {
		p.mu.codes[code] = grant{
			who: who, redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), nonce: q.Get("nonce"), clientID: q.Get("client_id"),
		}
	}
	p.mu.Unlock()
	if !known || q.Get("client_id") != ClientID || !strings.Contains(" "+q.Get("scope")+" ", " openid ") || q.Get("code_challenge_method") != "S256" && q.Get("response_type") == "code" {
		http.Error(w, "no such person, or a malformed request", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	switch {
	case refusal != "":
		back.Set("error", refusal)
		back.Set("error_description", "<script>alert(1)</script>")
	case q.Get("response_type") == "id_token":
		p.mu.Lock()
		back.Set("id_token", p.idToken(p.mu.codes[code]))
		p.mu.Unlock()
	default:
		back.Set("code", code)
	}
	if q.Get("response_mode") != "form_post" {
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!DOCTYPE html><form method="post" action="%s">`, html.EscapeString(q.Get("redirect_uri")))
	for name := range back {
		fmt.Fprintf(w, `<input type="hidden" name="%s" value="%s">`, name, html.EscapeString(back.Get(name)))
	}
	fmt.Fprint(w, `</form><script>document.forms[0].submit()</script>`)
}

// client reads who asks, and says whether they show the client's secret.
func client(r *http.Request) (id string, ok bool) {
	id, secret, ok := r.BasicAuth()
	if id, _ = url.QueryUnescape(id); ok {
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	return id, id == ClientID && secret == ClientSecret
}

// token trades a code, once, for who shows the client's secret and PKCE's verifier.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	_, isClient := client(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if isClient && r.PostFormValue("grant_type") != "authorization_code" {
		p.deviceToken(w, r)
		return
	}
	g, known := p.mu.codes[r.PostFormValue("code")]
	delete(p.mu.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case !isClient:
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
	case !known || g.redirect != r.PostFormValue("redirect_uri") || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "<script>alert(2)</script>"})
	default:
		answer(w, http.StatusOK, map[string]any{"access_token": "access-" + g.who, "token_type": "Bearer", "id_token": p.idToken(g)})
	}
}

// idToken is called with mu held.
func (p *Provider) idToken(g grant) string {
	now := p.mu.now().Unix()
	claims := map[string]any{
		"iss": p.URL, "aud": g.clientID, "sub": g.who, "nonce": g.nonce, "iat": now, "exp": now + 300, "auth_time": now,
	}
	for name, v := range p.mu.people[g.who] {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	text, err := p.mu.keys[0].sign(claims)
	if err != nil {
		return "unsigned"
	}
	return text
}

func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer access-")
	if !ok || p.mu.people[who] == nil {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	info := map[string]any{"sub": who}
	for name, v := range p.mu.info {
		info[name] = v
	}
	answer(w, http.StatusOK, info)
}

// SignIn does what a person does in the browser: it opens authURL, signs in as who, and returns
// where the provider sends the browser back to, with the query or the form that goes along.
func (p *Provider) SignIn(t testing.TB, authURL, who string) (redirect *url.URL, back url.Values) {
	t.Helper()
	client := &http.Client{
		Transport:     p.server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, authURL, strings.NewReader(url.Values{"person": {who}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return formPost(t, response.Body)
	}
	if redirect, err = response.Location(); err != nil {
		t.Fatalf("the provider answers the browser with %s", response.Status)
	}
	return redirect, redirect.Query()
}

// Memberships is what the part of Microsoft Graph that lists a person's groups answers: any JSON,
// or a number, a status.
func (p *Provider) Memberships(answer any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.memberships = answer
}

// memberObjects stands in for Microsoft Graph.
func (p *Provider) memberObjects(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer access-")
	var asked struct {
		SecurityOnly *bool `json:"securityEnabledOnly"`
	}
	err := json.NewDecoder(r.Body).Decode(&asked)
	status, isStatus := p.mu.memberships.(int)
	switch {
	case !ok || p.mu.people[who] == nil:
		answer(w, http.StatusUnauthorized, map[string]any{"error": map[string]string{"code": "InvalidAuthenticationToken"}})
	case err != nil || asked.SecurityOnly == nil:
		answer(w, http.StatusBadRequest, map[string]any{"error": map[string]string{"code": "BadRequest"}})
	case isStatus:
		answer(w, status, map[string]any{"error": map[string]string{"code": "canary", "message": "access-" + who}})
	default:
		answer(w, http.StatusOK, p.mu.memberships)
	}
}
