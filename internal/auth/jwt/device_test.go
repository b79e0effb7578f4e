package jwt_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
)

func newDevice(t testing.TB, config, role object) *browser {
	t.Helper()
	whole := object{"callback_mode": "device", "allowed_redirect_uris": ""}
	for name, v := range role {
		whole[name] = v
	}
	return newBrowser(t, config, whole)
}

const waits, tooFast = "authorization_pending", "slow_down"

// RFC 8628: from auth_url to the token, without a redirect. Contract: auth-methods §5.2 [B].
func TestDeviceLogin(t *testing.T) {
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		t.Run(method, func(t *testing.T) {
			b := newDevice(t, nil, object{"groups_claim": "groups", "oidc_scopes": "groups", "claim_mappings": object{"department": "department"}})
			b.provider.UserInfo(object{"department": "IT"})
			b.provider.Describe(object{"token_endpoint_auth_methods_supported": []string{method}})
			b.Remount(t)
			p := b.begin(t, object{"redirect_uri": "http://evil.example/passed-over"})
			if p.mode != "device" || p.interval != "5" || p.code == "" || p.address != b.provider.URL+"/device?user_code="+p.code {
				t.Fatalf("begun: %+v", p)
			}
			p.answers(t, waits)
			b.provider.Decide(t, p.address, p.code, "ann")
			l := p.collects(t)
			if l.Alias.Name != "ann" || !reflect.DeepEqual(l.GroupAliases, []string{"dev", "ops"}) || l.Metadata["department"] != "IT" {
				t.Errorf("%+v", l)
			}
			if _, err := b.Renew(t.Context(), l); err != nil {
				t.Error(err)
			}
			asked := b.provider.Count("/token")
			p.answers(t, noState)
			if b.provider.Count("/token") != asked {
				t.Error("the provider is asked about a login that was collected")
			}
			if n := b.Stored(t, "done/"); n != 0 {
				t.Errorf("%d sign-ins are stored", n)
			}
		})
	}
}

// The provider's decision, said plainly; nothing of its own words is (CVE-2026-33758).
func TestDeviceRefusals(t *testing.T) {
	t.Run("access_denied", func(t *testing.T) {
		p := newDevice(t, nil, nil).begin(t, nil)
		p.b.provider.Decide(t, p.address, p.code, "")
		p.answers(t, failed+"The provider refused: access_denied.")
	})
	t.Run("expired_token", func(t *testing.T) {
		b := newDevice(t, nil, nil)
		b.provider.DeviceAnswer(object{"expires_in": 860})
		p := b.begin(t, nil)
		b.Clock.Add(oidctest.DeviceLife)
		p.answers(t, failed+"The provider refused: expired_token.")
	})
	t.Run("the state ends", func(t *testing.T) {
		b := newDevice(t, nil, nil)
		p := b.begin(t, nil)
		b.Clock.Add(oidctest.DeviceLife)
		asked := b.provider.Count("/token")
		p.answers(t, noState)
		if b.provider.Count("/token") != asked {
			t.Error("the provider is asked")
		}
	})
	t.Run("bounds", func(t *testing.T) {
		p := newDevice(t, nil, object{"bound_claims": object{"email": "ann@example.com"}}).begin(t, nil)
		p.b.provider.Decide(t, p.address, p.code, "eve")
		p.answers(t, failed+`error validating claims: claim "email" is missing`)
	})
	t.Run("the ID token of another client", func(t *testing.T) {
		p := newDevice(t, nil, nil).begin(t, nil)
		p.b.provider.Person("ann", object{"aud": "other"})
		p.b.provider.Decide(t, p.address, p.code, "ann")
		p.answers(t, failed+"Token verification failed. invalid audience (aud) claim: the token is for another client")
	})
	t.Run("max_age without auth_time", func(t *testing.T) {
		p := newDevice(t, nil, object{"max_age": 60}).begin(t, nil)
		p.b.provider.Person("ann", object{"auth_time": nil})
		p.b.provider.Decide(t, p.address, p.code, "ann")
		p.answers(t, failed+"Token verification failed. invalid authentication time (auth_time) claim: the sign-in is older than the role's max_age")
	})
	t.Run("from outside", func(t *testing.T) {
		p := newDevice(t, nil, object{"token_bound_cidrs": "10.0.0.0/8"}).begin(t, nil)
		p.b.provider.Decide(t, p.address, p.code, "ann")
		_, err := p.poll(t)
		authtest.Is(t, err, backend.Denied, "permission denied")
		p.b.Remote = netip.MustParseAddrPort("10.1.1.1:1")
		p.collects(t)
	})
}

// What the device endpoint answers wrong, or does not: the login does not begin, and why is said.
func TestDeviceCannotBegin(t *testing.T) {
	bad := "its answer is not what the standard says"
	for name, row := range map[string]struct {
		answer, described object
		refusal           string
		fault             oidctest.Fault
		reason            string
	}{
		"no endpoint":           {described: object{"device_authorization_endpoint": nil}, reason: "it names no device authorization endpoint: it has no device mode, or not for this address"},
		"not for this client":   {refusal: "unauthorized_client", reason: "it refuses: unauthorized_client"},
		"an error of its own":   {refusal: "<script>", reason: "it refuses: an error that no standard names"},
		"no code":               {answer: object{"device_code": nil}, reason: bad},
		"no user code":          {answer: object{"user_code": ""}, reason: bad},
		"control letters":       {answer: object{"user_code": "A\x1b[2JB"}, reason: bad},
		"endless code":          {answer: object{"device_code": strings.Repeat("x", 5000)}, reason: bad},
		"no address":            {answer: object{"verification_uri": nil, "verification_uri_complete": nil}, reason: bad},
		"a program for address": {answer: object{"verification_uri_complete": "javascript:alert(1)"}, reason: bad},
		"address without TLS":   {answer: object{"verification_uri_complete": "http://evil.example/"}, reason: bad},
		"not a number":          {answer: object{"interval": "soon"}, reason: bad},
		"down":                  {fault: oidctest.Down, reason: "it answered with status 503"},
		"elsewhere":             {fault: oidctest.Elsewhere, reason: "it redirects to another host, or away from https"},
		"huge":                  {fault: oidctest.Huge, reason: "its answer is larger than 1 MiB"},
		"garbage":               {fault: oidctest.Garbage, reason: bad},
	} {
		t.Run(name, func(t *testing.T) {
			b := newDevice(t, nil, nil)
			b.provider.Describe(row.described)
			b.Remount(t)
			if row.described == nil {
				b.begin(t, nil) // The provider's description is known: only the endpoint fails.
			}
			b.provider.DeviceAnswer(row.answer)
			b.provider.Refuse(row.refusal)
			b.provider.Set(row.fault)
			response, err := b.Do(t.Context(), backend.Update, "oidc/auth_url", object{"role": "r", "client_nonce": nonce})
			if err != nil || len(response.Warnings) != 1 || response.Warnings[0] != "the identity provider cannot be used: "+row.reason {
				t.Fatalf("%+v, %v", response, err)
			}
			if got := authtest.Data(t, response); got["auth_url"] != "" || got["state"] != nil {
				t.Errorf("answered %v", got)
			}
		})
	}
	b := newDevice(t, nil, nil)
	b.Refused(t, backend.Update, "oidc/auth_url", object{"role": "r"}, backend.Invalid, "missing client_nonce: logins that are polled for need one")
}

// The device endpoint's address must have https where the provider has.
func TestDeviceEndpointWithoutTLS(t *testing.T) {
	b := newDevice(t, nil, nil)
	b.provider.Describe(object{"device_authorization_endpoint": "http" + strings.TrimPrefix(b.provider.URL, "https") + "/device_authorization"})
	config := object{"oidc_discovery_url": b.provider.URL, "oidc_discovery_ca_pem": b.provider.CA, "oidc_client_id": "x", "oidc_client_secret": "x"}
	b.Refused(t, backend.Update, "config", config, backend.Invalid, "error checking oidc discovery URL: it names an address without https, although its own has it")
}

// Numbers as text, the address under its old name, and what is out of bounds (RFC 8628 §3.2).
func TestDeviceAnswersOfRealProviders(t *testing.T) {
	for name, row := range map[string]struct {
		answer, role object
		interval     string
		life         time.Duration
		complete     bool
	}{
		"numbers as text":     {object{"interval": "7", "expires_in": "60"}, nil, "7", time.Minute, true},
		"the least":           {object{"interval": nil, "expires_in": nil, "verification_uri_complete": nil}, nil, "5", 5 * time.Minute, false},
		"old name":            {object{"verification_url": "OLD", "verification_uri": nil, "verification_uri_complete": nil}, nil, "5", 10 * time.Minute, false},
		"longer than allowed": {object{"interval": 1e9, "expires_in": 1e9}, nil, "60", 15 * time.Minute, true},
		"nonsense":            {object{"interval": -3, "expires_in": -1}, nil, "5", 5 * time.Minute, true},
		"the role is slower":  {nil, object{"poll_interval": 20}, "20", 10 * time.Minute, true},
		"the role is faster":  {nil, object{"poll_interval": 1}, "5", 10 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newDevice(t, nil, row.role)
			if row.answer["verification_url"] != nil {
				row.answer["verification_url"] = b.provider.URL + "/device"
			}
			b.provider.DeviceAnswer(row.answer)
			p := b.begin(t, nil)
			if p.interval != row.interval || strings.Contains(p.address, "user_code=") != row.complete || !strings.HasPrefix(p.address, b.provider.URL+"/device") {
				t.Errorf("begun: %+v", p)
			}
			b.Clock.Add(row.life - time.Second)
			if _, err := p.pollNow(t, "wrong"); err == nil || err.Error() != "invalid client_nonce" {
				t.Errorf("before its end: %v", err)
			}
			b.Clock.Add(time.Second)
			if _, err := p.pollNow(t, nonce); err == nil || err.Error() != noState {
				t.Errorf("at its end: %v", err)
			}
		})
	}
}

// Who polls faster than the interval is told so here, and the provider hears nothing of it; also
// of a crowd at once, on a mount that was closed and opened, and when the provider itself slows.
func TestDevicePollsAtTheProvidersPace(t *testing.T) {
	b := newDevice(t, nil, nil)
	p := b.begin(t, nil)
	p.answers(t, waits)
	asked := b.provider.Count("/token")
	for range 100 {
		_, err := p.pollNow(t, nonce)
		authtest.Is(t, err, backend.Invalid, tooFast)
	}
	if n := b.provider.Count("/token") - asked; n != 0 {
		t.Fatalf("the provider was asked %d times", n)
	}
	b.Clock.Add(4 * time.Second) // Late answers are no reason to slow down.
	if _, err := p.pollNow(t, nonce); err == nil || err.Error() != waits {
		t.Errorf("%v", err)
	}
	b.Clock.Add(5 * time.Second)
	asked = b.provider.Count("/token")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { _, _ = p.pollNow(t, nonce) })
	}
	wg.Wait()
	if n := b.provider.Count("/token") - asked; n != 1 {
		t.Errorf("a crowd asks %d times", n)
	}
	// RFC 8628 §3.5: five seconds more, for this and all that follow.
	b.Clock.Add(5 * time.Second)
	b.provider.Hurry(1)
	p.answers(t, tooFast)
	asked = b.provider.Count("/token")
	p.answers(t, tooFast)
	if b.provider.Count("/token") != asked {
		t.Error("the provider is asked at the old pace")
	}
	p.answers(t, waits)
	p.answers(t, tooFast)
	b.provider.Decide(t, p.address, p.code, "ann")
	p.collects(t)
}

// CVE-2026-33757, device logins: the token goes to the nonce of who began, and to nobody who has
// only seen state or code; it is bound to role and configuration; one login gives one token.
func TestCVE_2026_33757_DeviceLoginsAreBoundToTheirPoller(t *testing.T) {
	b := newDevice(t, nil, nil)
	p := b.begin(t, nil)
	b.provider.Decide(t, p.address, p.code, "ann")
	for _, data := range []object{
		{"state": p.state}, {"state": p.state, "client_nonce": "eve's"}, {"state": p.state, "client_nonce": ""},
	} {
		b.Refused(t, backend.Update, "oidc/poll", data, backend.Invalid, "invalid client_nonce")
	}
	for _, data := range []object{nil, {"state": "made up", "client_nonce": nonce}, {"state": p.state + "A", "client_nonce": nonce}} {
		b.Refused(t, backend.Update, "oidc/poll", data, backend.Invalid, noState)
	}
	b.refusedBack(t, object{"state": p.state, "code": "x", "client_nonce": nonce}, noState)
	if status, _ := b.page(t, backend.Update, "oidc/confirm", object{"confirmation": p.state}); status != 400 {
		t.Errorf("confirmed with %d", status)
	}
	b.Remount(t) // A device login outlives a restart.
	response, err := b.Do(t.Context(), backend.Read, "oidc/poll", object{"state": p.state, "client_nonce": nonce})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Store.Update(t.Context(), response.Login.Consume); err != nil {
		t.Fatal(err)
	}
	authtest.Is(t, b.Store.Update(t.Context(), response.Login.Consume), backend.Invalid, noState)
	for name, change := range map[string]object{
		"now in the browser": {"callback_mode": "client", "allowed_redirect_uris": redirect}, "now a jwt role": {"role_type": "jwt", "bound_subject": "ann"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDevice(t, nil, nil).begin(t, nil)
			p.b.Must(t, backend.Update, "role/r", change)
			p.answers(t, failed+"Role could not be found")
		})
	}
}

// The provider slow or down while the client polls: no decision, and the next poll may succeed.
func TestProviderFailsAtPoll(t *testing.T) {
	for fault, text := range map[oidctest.Fault]string{
		oidctest.Down: "it answered with status 503", oidctest.Garbage: "its answer is not what the standard says", oidctest.Hang: "it does not answer in time",
	} {
		t.Run(text, func(t *testing.T) {
			b := newDevice(t, nil, nil)
			p := b.begin(t, nil)
			b.provider.Decide(t, p.address, p.code, "ann")
			ctx := t.Context()
			b.provider.Set(fault)
			if fault == oidctest.Hang {
				var stop func()
				ctx, stop = b.provider.UntilAsked(ctx)
				defer stop()
			}
			b.Clock.Add(5 * time.Second)
			_, err := b.Login(ctx, "oidc/poll", object{"state": p.state, "client_nonce": nonce})
			begins(t, err, backend.Upstream, failed+"the identity provider cannot be reached: "+text)
			b.provider.Set(oidctest.None)
			if l := p.collects(t); l.Alias.Name != "ann" {
				t.Errorf("%+v", l.Alias)
			}
		})
	}
}

// Device logins that a stranger begins: the provider is asked at a bounded pace, and nothing is
// kept of them; polls without a login ask it nothing.
func TestBegunDeviceLoginsAreBounded(t *testing.T) {
	b := newDevice(t, nil, nil)
	stored := b.Stored(t, "")
	begun := 0
	for range 500 {
		_, err := b.Do(t.Context(), backend.Update, "oidc/auth_url", object{"client_nonce": nonce})
		if err == nil {
			begun++
			continue
		}
		authtest.Is(t, err, backend.Overloaded, "too many device logins begin: try again in a moment")
	}
	if asked := b.provider.Count("/device_authorization"); begun != 20 || asked != begun {
		t.Errorf("%d begin, the provider is asked %d times", begun, asked)
	}
	b.Clock.Add(time.Second)
	p := b.begin(t, nil)
	for i := range 100 {
		b.Refused(t, backend.Update, "oidc/poll", object{"state": fmt.Sprint(i), "client_nonce": nonce}, backend.Invalid, noState)
	}
	if n := b.provider.Count("/token"); n != 0 || b.Stored(t, "") != stored {
		t.Errorf("the provider is asked %d times; %d keys more", n, b.Stored(t, "")-stored)
	}
	b.provider.Decide(t, p.address, p.code, "ann")
	p.collects(t)
}

// Polls that wait for a provider that hangs are bounded, and so are logins that begin.
func TestDevicePollsThatWaitAreBounded(t *testing.T) {
	const most = 64
	b := newDevice(t, nil, nil)
	var all []*polled
	for range most + 1 {
		b.Clock.Add(time.Second)
		all = append(all, b.begin(t, nil))
	}
	b.provider.Set(oidctest.Hang)
	var wg sync.WaitGroup
	for _, p := range all[1:] {
		wg.Go(func() { _, _ = p.pollNow(t, nonce) })
	}
	for b.provider.Count("/token") < most && t.Context().Err() == nil {
		runtime.Gosched()
	}
	_, err := all[0].pollNow(t, nonce)
	authtest.Is(t, err, backend.Overloaded, failed+"too many logins wait for the identity provider: try again in a moment")
	b.provider.Set(oidctest.None)
	wg.Wait()
}
