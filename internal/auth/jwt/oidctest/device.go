package oidctest

import (
	"crypto/rand"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// deviceLogin is a device login that was begun (RFC 8628). Guarded by Provider.mu.
type deviceLogin struct {
	userCode, clientID string
	// who signed in, "" for nobody yet; denied says that they refused.
	who    string
	denied bool
	ends   time.Time
	// next is the earliest time of the next poll, every what is between two.
	next  time.Time
	every time.Duration
}

// The device endpoint's usual answers.
const (
	DeviceInterval = 5 * time.Second
	DeviceLife     = 10 * time.Minute
)

// DeviceAnswer replaces members of what the device endpoint answers; a nil value takes one away.
func (p *Provider) DeviceAnswer(members map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.deviceAnswer = members
}

// Hurry has every poll answered with slow_down, n times.
func (p *Provider) Hurry(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.hurry = n
}

// deviceEndpoint begins a device login (RFC 8628 §3.1), for clients that show their secret.
func (p *Provider) deviceEndpoint(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ok := client(r)
	switch {
	case p.mu.refusal != "":
		answer(w, http.StatusBadRequest, map[string]string{"error": p.mu.refusal, "error_description": "<script>alert(3)</script>"})
		return
	case !ok:
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	case !strings.Contains(" "+r.PostFormValue("scope")+" ", " openid ") || r.PostFormValue("client_id") != id:
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_scope"})
		return
	}
	deviceCode, userCode := rand.Text(), rand.Text()[:4]+"-"+rand.Text()[:4]
	every := DeviceInterval
	if n, ok := p.mu.deviceAnswer["interval"].(int); ok {
		every = time.Duration(n) * time.Second
	}
	p.mu.devices[deviceCode] = &deviceLogin{userCode: userCode, clientID: id, ends: p.mu.now().Add(DeviceLife), every: every}
	all := map[string]any{
		"device_code": deviceCode, "user_code": userCode, "verification_uri": p.URL + "/device",
		"verification_uri_complete": p.URL + "/device?user_code=" + userCode,
		"expires_in":                int(DeviceLife.Seconds()), "interval": int(DeviceInterval.Seconds()),
	}
	answer(w, http.StatusOK, altered(all, p.mu.deviceAnswer))
}

// devicePage is where a person types the code and signs in.
func (p *Provider) devicePage(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!DOCTYPE html><title>Sign in</title><h1>Stand-in provider</h1><form method="post" action="/device">
<input name="user_code" id="user_code" value="%s">`, html.EscapeString(r.URL.Query().Get("user_code")))
	for name := range p.mu.people {
		fmt.Fprintf(w, `<button name="person" value="%s" id="%[1]s">%[1]s</button>`, html.EscapeString(name))
	}
	fmt.Fprint(w, `<button name="person" value="" id="deny">No</button></form>`)
}

// deviceDecision is the person's: signed in as somebody, or as nobody.
func (p *Provider) deviceDecision(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who := r.PostFormValue("person")
	for _, d := range p.mu.devices {
		if d.userCode != r.PostFormValue("user_code") || d.who != "" || d.denied {
			continue
		}
		if _, known := p.mu.people[who]; who != "" && !known {
			break
		}
		d.who, d.denied = who, who == ""
		fmt.Fprint(w, "<!DOCTYPE html><h1>Go back to your device</h1>")
		return
	}
	http.Error(w, "no such code, or no such person", http.StatusBadRequest)
}

// deviceToken answers a poll (RFC 8628 §3.5). It is called with mu held.
func (p *Provider) deviceToken(w http.ResponseWriter, r *http.Request) {
	no := func(code string) {
		answer(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": "<script>alert(4)</script>"})
	}
	now := p.mu.now()
	d := p.mu.devices[r.PostFormValue("device_code")]
	switch {
	case d == nil || d.clientID != r.PostFormValue("client_id"):
		no("invalid_grant")
	case !now.Before(d.ends):
		no("expired_token")
	case now.Before(d.next), p.mu.hurry > 0:
		p.mu.hurry = max(0, p.mu.hurry-1)
		d.every += DeviceInterval
		no("slow_down")
	case d.denied:
		no("access_denied")
	case d.who == "":
		// A second of grace, as real ones have.
		d.next = now.Add(d.every - time.Second)
		no("authorization_pending")
	default:
		delete(p.mu.devices, r.PostFormValue("device_code"))
		g := grant{who: d.who, clientID: d.clientID}
		answer(w, http.StatusOK, map[string]any{"access_token": "access-" + d.who, "token_type": "Bearer", "id_token": p.idToken(g)})
	}
}

// Decide does what a person does with a device login's address and code: they sign in as who, or
// refuse when who is empty.
func (p *Provider) Decide(t testing.TB, address, userCode, who string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if code := u.Query().Get("user_code"); code != "" && code != userCode {
		t.Fatalf("the address has another code than %s", userCode)
	}
	u.RawQuery = ""
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.String(),
		strings.NewReader(url.Values{"user_code": {userCode}, "person": {who}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := p.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if page, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("the provider answers %s: %s", response.Status, page)
	}
}
