package jwt_test

import (
	"fmt"
	"html"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/jwt"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

const serverRedirect = "https://jeton.example:8200/v1/auth/test/oidc/callback"

func newDirect(t testing.TB, config, role object) *browser {
	t.Helper()
	whole := object{"callback_mode": "direct", "allowed_redirect_uris": serverRedirect}
	for name, v := range role {
		whole[name] = v
	}
	return newBrowser(t, config, whole)
}

var (
	hidden    = regexp.MustCompile(`name="confirmation" value="([^"]+)"`)
	codeShown = regexp.MustCompile(`[B-Z]{4}-[B-Z]{4}`)
)

// arrives signs in as who, and returns the page that the browser lands on and what its button sends.
func (p *polled) arrives(t testing.TB, who string) (page, confirmation string) {
	t.Helper()
	target, values := p.b.provider.SignIn(t, p.address, who)
	if !strings.HasPrefix(target.String(), serverRedirect) {
		t.Fatalf("the browser goes to %s", target)
	}
	data := asData(values)
	delete(data, "client_nonce")
	status, page := p.b.page(t, backend.Read, "oidc/callback", data)
	if status != 200 {
		t.Fatalf("%d %s", status, page)
	}
	if found := hidden.FindStringSubmatch(page); found != nil {
		confirmation = html.UnescapeString(found[1])
	}
	return page, confirmation
}

func (b *browser) confirm(t testing.TB, confirmation string) (int, string) {
	t.Helper()
	return b.page(t, backend.Update, "oidc/confirm", object{"confirmation": confirmation})
}

const signedInPage = "You are signed in"

// From auth_url to the token: the browser ends at the server, the client polls.
// Contract: auth-methods §5.2 [B].
func TestDirectLogin(t *testing.T) {
	for _, config := range []object{nil, {"oidc_response_mode": "form_post"}, {"oidc_response_mode": "form_post", "oidc_response_types": "id_token"}} {
		t.Run(fmt.Sprint(config), func(t *testing.T) {
			b := newDirect(t, config, object{"groups_claim": "groups", "max_age": 100, "claim_mappings": object{"level": "level"}})
			b.provider.Person("ann", object{"groups": []string{"dev", "ops"}, "level": 9007199254740993})
			p := b.begin(t, object{"redirect_uri": serverRedirect})
			if p.mode != "direct" || p.interval != "5" || !codeShown.MatchString(p.code) {
				t.Fatalf("begun: %+v", p)
			}
			p.answers(t, waits)
			page, confirmation := p.arrives(t, "ann")
			for _, part := range []string{"<b>ann</b>", "<b>r</b>", "<b>auth/test/</b>", "<b>127.0.0.1</b>", "<b>" + p.code + "</b>"} {
				if !strings.Contains(page, part) {
					t.Errorf("the page lacks %s: %s", part, page)
				}
			}
			p.answers(t, waits)
			if status, page := b.confirm(t, confirmation); status != 200 || !strings.Contains(page, signedInPage) {
				t.Fatalf("%d %s", status, page)
			}
			// It waits at the server, whatever happens to that.
			b.Remount(t)
			b.CheckBites(t)
			l := p.collects(t)
			if l.Alias.Name != "ann" || !reflect.DeepEqual(l.GroupAliases, []string{"dev", "ops"}) || l.Metadata["level"] != "9007199254740993" {
				t.Errorf("%+v", l)
			}
			if _, err := b.Renew(t.Context(), l); err != nil {
				t.Error(err)
			}
			p.answers(t, noState)
			if n := b.Stored(t, "done/"); n != 0 {
				t.Errorf("%d sign-ins are left", n)
			}
			if status, _ := b.confirm(t, confirmation); status != 400 {
				t.Error("confirmed again")
			}
		})
	}
}

// A client need not know the server's address: the role has it. One of several can be asked for.
func TestDirectRedirects(t *testing.T) {
	second := "https://other.example/v1/auth/test/oidc/callback"
	b := newDirect(t, nil, object{"allowed_redirect_uris": []string{serverRedirect, second, "http://localhost:8200/v1/auth/test/oidc/callback"}})
	for asked, want := range map[string]string{
		"": serverRedirect, "http://localhost:8250/oidc/callback": serverRedirect, "https://evil.example/": serverRedirect, second: second,
		"http://localhost:9999/v1/auth/test/oidc/callback": serverRedirect,
	} {
		u, err := url.Parse(b.begin(t, object{"redirect_uri": asked}).address)
		if err != nil || u.Query().Get("redirect_uri") != want {
			t.Errorf("%q: %v", asked, u)
		}
	}
	b.Refused(t, backend.Update, "oidc/auth_url", object{}, backend.Invalid, "missing client_nonce: logins that are polled for need one")
	b.Must(t, backend.Update, "role/machine", object{"role_type": "jwt", "user_claim": "sub", "bound_subject": "x", "callback_mode": "direct"})
	b.Refused(t, backend.Update, "oidc/auth_url", object{"role": "machine", "client_nonce": nonce}, backend.Invalid, "role with jwt role_type is not allowed")
	b.Remote = netip.AddrPort{}
	if page, _ := b.begin(t, nil).arrives(t, "ann"); !strings.Contains(page, "an address that is not known") {
		t.Errorf("%s", page)
	}
	b.Refused(t, backend.Update, "role/r", object{"allowed_redirect_uris": ""}, backend.Invalid, "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.")
}

// CVE-2026-33757, direct logins: eve begins one and has ann follow the link, who is signed in at
// the provider already. Without ann's yes eve gets nothing; without eve's nonce nobody does; what
// ann's page sends cannot be made up, seen, or sent twice.
func TestCVE_2026_33757_DirectLoginsAskThePerson(t *testing.T) {
	b := newDirect(t, nil, nil)
	b.Remote = netip.MustParseAddrPort("203.0.113.9:1")
	eves := b.begin(t, object{"client_nonce": "eve's"})
	b.Remote = netip.MustParseAddrPort("10.1.1.1:1")
	page, confirmation := eves.arrives(t, "ann")
	if !strings.Contains(page, "<b>203.0.113.9</b>") || !strings.Contains(page, "Did you begin this login?") {
		t.Errorf("the page does not say who asks: %s", page)
	}
	if b.Stored(t, "done/") != 0 {
		t.Error("something is kept before ann has said yes")
	}
	b.Clock.Add(5 * time.Second)
	_, err := eves.pollNow(t, "eve's")
	authtest.Is(t, err, backend.Invalid, waits)
	// Eve knows the state and sends all that she can.
	other := "x"
	if confirmation[:1] == other {
		other = "y"
	}
	for _, forged := range []string{"", eves.state, confirmation + "A", other + confirmation[1:]} {
		if status, _ := b.confirm(t, forged); status != 400 {
			t.Errorf("a made-up yes is answered with %d", status)
		}
	}
	// Ann's own confirmation is no state, and of no use to another mount.
	b.refusedBack(t, object{"state": confirmation, "code": "x"}, noState)
	b.Refused(t, backend.Update, "oidc/poll", object{"state": confirmation, "client_nonce": "eve's"}, backend.Invalid, noState)
	if status, _ := newDirect(t, nil, nil).confirm(t, confirmation); status != 400 {
		t.Errorf("another mount says %d", status)
	}
	// A direct login's answer goes to no browser, nonce or not.
	_, values := b.provider.SignIn(t, eves.address, "ann")
	data := asData(values)
	data["client_nonce"] = "eve's"
	if status, page := b.page(t, backend.Read, "oidc/callback", data); status != 200 || !strings.Contains(page, "Did you begin") {
		t.Errorf("%d %s", status, page)
	}
	// Ann says yes after all, to a login of her own: only its nonce collects it.
	own := b.begin(t, nil)
	_, confirmation = own.arrives(t, "ann")
	if status, _ := b.confirm(t, confirmation); status != 200 {
		t.Fatal("ann cannot say yes")
	}
	for _, nonce := range []string{"", "eve's"} {
		_, err := own.pollNow(t, nonce)
		authtest.Is(t, err, backend.Invalid, "invalid client_nonce")
	}
	if l := own.collects(t); l.Alias.Name != "ann" {
		t.Errorf("%+v", l.Alias)
	}
}

// oidc_disable_confirmation: the operator takes that on.
func TestDirectWithoutConfirmation(t *testing.T) {
	b := newDirect(t, nil, object{"oidc_disable_confirmation": true})
	p := b.begin(t, nil)
	if page, confirmation := p.arrives(t, "ann"); confirmation != "" || !strings.Contains(page, signedInPage) {
		t.Errorf("%s", page)
	}
	p.collects(t)
}

// CVE-2026-33758: names of people and roles are text on the page, and of what the browser brought
// nothing is. Who is not let in is told there, and the client goes on waiting for another try.
func TestCVE_2026_33758_DirectPages(t *testing.T) {
	const evil = "<script>alert(1)</script>"
	b := newDirect(t, nil, object{"user_claim": "name", "bound_claims": object{"email": "ann@example.com"}})
	b.provider.Person("ann", object{"name": evil, "email": "ann@example.com"})
	p := b.begin(t, nil)
	page, confirmation := p.arrives(t, "ann")
	if strings.Contains(page, "<script") || !strings.Contains(page, html.EscapeString(evil)) || confirmation == "" {
		t.Errorf("%s", page)
	}
	refused := func(text string, data object) {
		t.Helper()
		data["error_description"] = evil
		status, page := b.page(t, backend.Read, "oidc/callback", data)
		if status != 400 || !strings.Contains(page, text) || strings.Contains(page, "script") || strings.Contains(page, "<form") {
			t.Errorf("%d %s", status, page)
		}
	}
	refused("The provider refused: an error that no standard names.", object{"state": p.state, "error": evil})
	refused("The provider refused: access_denied.", object{"state": p.state, "error": "access_denied"})
	refused("The provider refused the code: invalid_grant.", object{"state": p.state, "code": evil})
	refused("No code or id_token received.", object{"state": p.state})
	refused("The answer comes from another provider.", object{"state": p.state, "code": "x", "iss": evil})
	_, values := b.provider.SignIn(t, p.address, "eve")
	refused("error validating claims: claim", asData(values))
	if b.Stored(t, "done/") != 0 {
		t.Error("a failure is stored")
	}
	b.provider.Set(oidctest.Down)
	values = url.Values{"state": {p.state}, "code": {"x"}}
	if status, page := b.page(t, backend.Read, "oidc/callback", asData(values)); status != 502 || !strings.Contains(page, "it answered with status 503") {
		t.Errorf("%d %s", status, page)
	}
	b.provider.Set(oidctest.None)
	p.answers(t, waits)
	_, confirmation = p.arrives(t, "ann")
	b.confirm(t, confirmation)
	p.collects(t)
	b.refusedBack(t, object{"state": "made up", "error": evil}, noState)
}

// What was begun, arrived or confirmed ends with the state, and with a change of role or
// configuration; networks are the client's.
func TestDirectLoginsEnd(t *testing.T) {
	t.Run("the state's end", func(t *testing.T) {
		b := newDirect(t, nil, nil)
		p, late := b.begin(t, nil), b.begin(t, nil)
		_, confirmation := p.arrives(t, "ann")
		b.confirm(t, confirmation)
		_, confirmation = late.arrives(t, "ann")
		b.Clock.Add(5 * time.Minute)
		p.answers(t, noState)
		if status, _ := b.confirm(t, confirmation); status != 400 {
			t.Errorf("confirmed too late with %d", status)
		}
		// The next sign-in clears away what nobody collected.
		next := b.begin(t, nil)
		_, confirmation = next.arrives(t, "ann")
		b.confirm(t, confirmation)
		if n := b.Stored(t, "done/"); n != 1 {
			t.Errorf("%d sign-ins are stored", n)
		}
	})
	t.Run("the role is narrowed", func(t *testing.T) {
		b := newDirect(t, nil, nil)
		p := b.begin(t, nil)
		_, confirmation := p.arrives(t, "eve")
		b.confirm(t, confirmation)
		b.Must(t, backend.Update, "role/r", object{"bound_claims": object{"email": "ann@example.com"}})
		p.answers(t, failed+`error validating claims: claim "email" is missing`)
	})
	t.Run("the role is another", func(t *testing.T) {
		b := newDirect(t, nil, nil)
		p := b.begin(t, nil)
		_, confirmation := p.arrives(t, "ann")
		b.Must(t, backend.Update, "role/r", object{"callback_mode": "device"})
		if status, page := b.confirm(t, confirmation); status != 400 || !strings.Contains(page, "Role could not be found") {
			t.Errorf("%d %s", status, page)
		}
		p.answers(t, failed+"Role could not be found")
	})
	t.Run("networks", func(t *testing.T) {
		b := newDirect(t, nil, object{"token_bound_cidrs": "10.0.0.0/8"})
		p := b.begin(t, nil)
		_, confirmation := p.arrives(t, "ann")
		b.confirm(t, confirmation)
		_, err := p.poll(t)
		authtest.Is(t, err, backend.Denied, "permission denied")
		b.Remote = netip.MustParseAddrPort("10.1.1.1:1")
		p.collects(t)
	})
}

// One sign-in gives one token, to one of a crowd of polls.
func TestDirectLoginIsCollectedOnce(t *testing.T) {
	b := newDirect(t, nil, nil)
	p := b.begin(t, nil)
	_, confirmation := p.arrives(t, "ann")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { _, _ = b.Do(t.Context(), backend.Update, "oidc/confirm", object{"confirmation": confirmation}) })
	}
	wg.Wait()
	results := make([]error, 20)
	for i := range results {
		wg.Go(func() { _, results[i] = p.pollNow(t, nonce) })
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
	if in != 1 || b.Stored(t, "done/") != 0 || b.Stored(t, "used/") != 1 {
		t.Errorf("%d logins; %d sign-ins and %d marks are stored", in, b.Stored(t, "done/"), b.Stored(t, "used/"))
	}
}

// No more than a thousand sign-ins wait; one that is collected makes room.
func TestFinishedSignInsAreBounded(t *testing.T) {
	const most = 1000
	b := newDirect(t, nil, object{"oidc_disable_confirmation": true})
	first := b.begin(t, nil)
	first.arrives(t, "ann")
	for range most - 1 {
		b.begin(t, nil).arrives(t, "ann")
	}
	last := b.begin(t, nil)
	_, values := b.provider.SignIn(t, last.address, "ann")
	if status, page := b.page(t, backend.Read, "oidc/callback", asData(values)); status != 503 || !strings.Contains(page, "too many sign-ins wait to be collected") {
		t.Errorf("%d %s", status, page)
	}
	first.collects(t)
	last.arrives(t, "ann")
	last.collects(t)
}

// A commit that fails, or whose answer is lost, of the sign-in or of the token: never two tokens,
// and never a page that promises what is not stored.
func TestDirectLoginFaults(t *testing.T) {
	for _, step := range []string{"confirm", "collect"} {
		for _, outcome := range []storetest.Outcome{storetest.Failed, storetest.Persisted} {
			t.Run(step+" "+outcome.String(), func(t *testing.T) {
				inner, err := embedded.OpenMemory()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { inner.Close() })
				faulty := storetest.Faulty(inner)
				b := newBrowserOn(t, authtest.On(t, faulty, jwt.New), nil, object{"callback_mode": "direct", "allowed_redirect_uris": serverRedirect})
				p := b.begin(t, nil)
				_, confirmation := p.arrives(t, "ann")
				if step == "confirm" {
					faulty.InjectAt(1, outcome)
					if _, err := b.Do(t.Context(), backend.Update, "oidc/confirm", object{"confirmation": confirmation}); err == nil {
						t.Fatal("the fault did not show")
					}
					_, _ = b.Do(t.Context(), backend.Update, "oidc/confirm", object{"confirmation": confirmation})
				} else {
					b.confirm(t, confirmation)
					faulty.InjectAt(1, outcome)
					if _, err := p.poll(t); err == nil {
						t.Fatal("the fault did not show")
					}
				}
				in := 0
				for range 3 {
					if _, err := p.poll(t); err == nil {
						in++
					}
				}
				want := 1
				if step == "collect" && outcome == storetest.Persisted {
					want = 0
				}
				if in != want {
					t.Errorf("%d logins after it, want %d", in, want)
				}
			})
		}
	}
}
