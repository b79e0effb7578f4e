package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/jwt/oidctest"
)

// hvac with signed tokens: client.auth.jwt and client.auth.oidc.
func TestHvacSignedTokens(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	script, err := filepath.Abs("python/signed.py")
	if err != nil {
		t.Fatal(err)
	}
	s := startProduction(t)
	p := oidctest.New(t)
	p.Person("ann", object{"groups": []string{"dev"}})
	key, stranger := oidctest.NewKey(t, jose.RS256, ""), oidctest.NewKey(t, jose.RS256, "")
	p.Publish(key)
	good := p.Sign(t, object{"sub": "runner", "aud": "jeton", "project": "site-a"})
	p.Publish(stranger)
	bad := p.Sign(t, object{"sub": "runner", "aud": "jeton", "project": "site-a"})
	r := s.run([]string{
		"PYTHONDONTWRITEBYTECODE=1", "PROVIDER=" + p.URL, "PUBLIC_KEY=" + key.PEM(t), "TOKEN=" + good, "STRANGER=" + bad,
		"CLIENT_ID=" + oidctest.ClientID, "CLIENT_SECRET=" + oidctest.ClientSecret,
	}, interpreter, script)
	if r.code != 0 || r.out != "as promised\n" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

// withPeople mounts oidc at the provider, where ann can sign in.
func withPeople(t *testing.T, s *server, more ...string) *oidctest.Provider {
	t.Helper()
	p := oidctest.New(t)
	p.Person("ann", object{"groups": []string{"dev"}})
	s.must("jeton", "auth", "enable", "oidc")
	s.must("jeton", append([]string{"write", "auth/oidc/config", "oidc_discovery_url=" + p.URL, "oidc_client_id=" + oidctest.ClientID,
		"oidc_client_secret=" + oidctest.ClientSecret, "default_role=staff"}, more...)...)
	s.must("jeton", "write", "auth/oidc/role/staff", "user_claim=sub", "allowed_redirect_uris=http://localhost:8250/oidc/callback", "token_policies=dev")
	return p
}

// waiting is a `jeton login -method=oidc` that waits for a browser.
type waiting struct {
	t *testing.T
	*process
	cmd *exec.Cmd
	out strings.Builder
	// address is where to sign in.
	address string
}

var signInAddress = regexp.MustCompile(`\n    (http\S+)\n`)

// beginLogin starts a login on a port that is free, and waits for the address to sign in at.
func beginLogin(t *testing.T, s *server, args ...string) *waiting {
	t.Helper()
	return beginLoginWith(t, s, nil, args...)
}

// beginLoginWith does so in an environment with more in it.
func beginLoginWith(t *testing.T, s *server, env []string, args ...string) *waiting {
	t.Helper()
	w := &waiting{t: t, process: &process{exited: make(chan struct{}), ready: make(chan struct{})}}
	w.cmd = s.command(append(env, "VAULT_TOKEN="), "jeton", append([]string{"login", "-method=oidc", "-format=json"}, args...)...)
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.process.cmd, w.cmd.Stdout, w.cmd.Stderr = w.cmd, &w.out, pipe
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		<-w.exited
	})
	go w.follow(r, "Waiting for the provider")
	select {
	case <-w.ready:
	case <-w.exited:
		t.Fatalf("the login ended: %v\n%s", w.err, w.output())
	}
	found := signInAddress.FindStringSubmatch(w.output())
	if found == nil {
		t.Fatalf("no address to sign in at:\n%s", w.output())
	}
	w.address = found[1]
	return w
}

// end waits for the login and returns its exit code.
func (w *waiting) end() int {
	<-w.exited
	return w.cmd.ProcessState.ExitCode()
}

// fetch is what a browser does with an address, and returns the page.
func fetch(t *testing.T, request *http.Request) (string, *http.Response) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page), response
}

func get(t *testing.T, address string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

const loggedInPage = "You are logged in. You may close this window"

// The command line logs a person in: by query and by form; strangers on the way change nothing.
func TestLoginInTheBrowser(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := startProduction(t)
			p := withPeople(t, s, "oidc_response_mode="+mode)
			w := beginLogin(t, s, "port=0", "skip_browser=true")
			target, values := p.SignIn(t, w.address, "ann")
			// Somebody else's page sends the browser here first.
			for _, stray := range []string{"?state=x&code=y", "?code=y", "?error=<script>alert(1)</script>&error_description=<script>", "?state=" + values.Get("state") + "x"} {
				page, response := fetch(t, get(t, target.Scheme+"://"+target.Host+target.Path+stray))
				if response.StatusCode != http.StatusBadRequest || strings.Contains(page, "script") {
					t.Errorf("%s: %d %s", stray, response.StatusCode, page)
				}
			}
			request := get(t, target.String())
			if mode == "form_post" {
				var err error
				if request, err = http.NewRequestWithContext(t.Context(), http.MethodPost, target.String(), strings.NewReader(values.Encode())); err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			page, response := fetch(t, request)
			if !strings.Contains(page, loggedInPage) || response.Header.Get("Content-Security-Policy") != "default-src 'none'; frame-ancestors 'none'" {
				t.Errorf("the page is %s with %v", page, response.Header)
			}
			if code := w.end(); code != 0 || !strings.Contains(w.out.String(), `"display_name"`) && !strings.Contains(w.out.String(), `"client_token"`) {
				t.Errorf("exit code %d\n%s%s", code, w.out.String(), w.output())
			}
			if r := s.run([]string{"VAULT_TOKEN="}, "jeton", "token", "lookup"); !strings.Contains(r.out, "oidc-ann") {
				t.Errorf("the token that was kept: %s%s", r.out, r.errOut)
			}
		})
	}
}

// CVE-2026-33758: a refusal whose text is a program for the browser. Neither page nor terminal
// shows it.
func TestCVE_2026_33758_LoginPages(t *testing.T) {
	t.Parallel()
	s := startDev(t)
	p := withPeople(t, s)
	p.Refuse("access_denied")
	w := beginLogin(t, s, "port=0", "skip_browser=true")
	target, _ := p.SignIn(t, w.address, "ann")
	page, _ := fetch(t, get(t, target.String()))
	if !strings.Contains(page, "The login failed. The terminal says why.") || strings.Contains(page, "script") {
		t.Errorf("the page is %s", page)
	}
	if code := w.end(); code != 2 || !strings.Contains(w.output(), "The provider refused: access_denied.") || strings.Contains(w.output(), "script") {
		t.Errorf("exit code %d\n%s", code, w.output())
	}
}

// Ctrl-C ends the waiting; a port in use and a role that is not there are said plainly.
func TestLoginInTheBrowserThatEndsEarly(t *testing.T) {
	t.Parallel()
	s := startDev(t)
	withPeople(t, s)
	w := beginLogin(t, s, "port=0", "skip_browser=true")
	if err := w.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := w.end(); code != 1 || !strings.Contains(w.output(), "interrupted") {
		t.Errorf("exit code %d\n%s", code, w.output())
	}
	u, err := url.Parse(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		code int
		text string
	}{
		{"port in use", []string{"listenaddress=127.0.0.1", "port=" + u.Port()}, 1, "cannot listen for the browser's answer"},
		{"no such role", []string{"port=0", "role=none"}, 2, `role "none" could not be found`},
		{"redirect not allowed", []string{"port=0", "callbackhost=elsewhere.example"}, 2, "the redirect_uri is not one of the role's allowed_redirect_uris"},
		{"no such mount", []string{"port=0", "-path=nowhere"}, 2, "Error authenticating"},
		{"callbackmethod", []string{"port=0", "callbackmethod=gopher"}, 1, "callbackmethod is http or https"},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := []string{"login", "-method=oidc"}
			for _, a := range row.args {
				if strings.HasPrefix(a, "-") {
					args = append(args, a)
				}
			}
			for _, a := range row.args {
				if !strings.HasPrefix(a, "-") {
					args = append(args, a)
				}
			}
			r := s.run([]string{"VAULT_TOKEN="}, "jeton", args...)
			if r.code != row.code || !strings.Contains(r.errOut, row.text) {
				t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
			}
		})
	}
}

// Unless told otherwise the command opens a browser, with nothing but the address.
func TestLoginOpensABrowser(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the program that opens a browser is another one here")
	}
	s := startDev(t)
	p := withPeople(t, s)
	bin, opened := filepath.Join(s.dir, "programs"), filepath.Join(s.dir, "opened")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s|' \"$@\" > %s.part && mv %s.part %s\n", opened, opened, opened)
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	w := beginLoginWith(t, s, []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH")}, "port=0")
	var given []byte
	await(t, patience, "the browser is opened", func() (there bool) {
		var err error
		given, err = os.ReadFile(opened)
		return err == nil
	})
	if string(given) != w.address+"|" {
		t.Errorf("the browser is given %q", given)
	}
	target, _ := p.SignIn(t, w.address, "ann")
	fetch(t, get(t, target.String()))
	if code := w.end(); code != 0 {
		t.Errorf("exit code %d\n%s", code, w.output())
	}
}

// A JWT comes from a file or from standard input, and is not repeated.
func TestLoginWithAJWT(t *testing.T) {
	t.Parallel()
	s := startDev(t)
	key := oidctest.NewKey(t, jose.ES256, "")
	s.must("jeton", "auth", "enable", "jwt")
	s.must("jeton", "write", "auth/jwt/config", "jwt_validation_pubkeys="+key.PEM(t))
	s.must("jeton", "write", "auth/jwt/role/ci", "role_type=jwt", "user_claim=sub", "bound_audiences=jeton", `bound_claims={"project":"site"}`)
	file := filepath.Join(s.dir, "token.jwt")
	write := func(claims object) {
		p := object{"iss": "x", "exp": 4102444800, "sub": "runner", "aud": "jeton"}
		for name, v := range claims {
			p[name] = v
		}
		if err := os.WriteFile(file, []byte(key.Sign(t, p)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(object{"project": "site"})
	for _, how := range []string{"jwt=@" + file, "jwt=-"} {
		r := s.run([]string{"VAULT_TOKEN="}, "sh", "-c", fmt.Sprintf("jeton login -method=jwt -no-store role=ci %s < %s", how, file))
		if r.code != 0 || !strings.Contains(r.out, "token_meta_role") {
			t.Errorf("%s: exit code %d\n%s%s", how, r.code, r.out, r.errOut)
		}
	}
	write(object{"project": "other"})
	r := s.run([]string{"VAULT_TOKEN="}, "jeton", "login", "-method=jwt", "role=ci", "jwt=@"+file)
	if r.code != 2 || !strings.Contains(r.errOut, `claim "project" does not match`) || strings.Contains(r.errOut, "eyJ") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

// realBrowser starts one; what is done with it ends with the context.
func realBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		lacking(t, "chromium is not installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	allocated, free := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(free)
	browser, leave := chromedp.NewContext(allocated)
	t.Cleanup(leave)
	patient, cancel := context.WithTimeout(browser, patience)
	t.Cleanup(cancel)
	return patient
}

// The same with a real browser: it follows the redirects, sends the form and shows the page.
func TestLoginWithARealBrowser(t *testing.T) {
	t.Parallel()
	patient := realBrowser(t)
	s := startDev(t)
	p := withPeople(t, s, "oidc_response_mode=form_post")
	w := beginLogin(t, s, "port=0", "skip_browser=true")
	err := chromedp.Do(patient,
		chromedp.Navigate(w.address),
		chromedp.Click("#ann"),
		chromedp.WaitVisible("p"),
	)
	page := ""
	if err == nil {
		page, err = chromedp.Run(patient, chromedp.Text("p"))
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, w.output())
	}
	if code := w.end(); code != 0 || !strings.HasPrefix(page, loggedInPage) {
		t.Errorf("exit code %d, page %q\n%s", code, page, w.output())
	}
	if p.Count("/token") != 1 {
		t.Errorf("the code was traded %d times", p.Count("/token"))
	}
}

// withPolling makes withPeople's role one whose logins are polled for.
func withPolling(t *testing.T, s *server, mode string, more ...string) *oidctest.Provider {
	t.Helper()
	p := withPeople(t, s)
	p.DeviceAnswer(object{"interval": 1})
	s.must("jeton", append([]string{"write", "auth/oidc/role/staff", "callback_mode=" + mode, "poll_interval=1",
		"allowed_redirect_uris=" + s.addr + "/v1/auth/oidc/oidc/callback"}, more...)...)
	return p
}

// code is what the terminal says that the page must show.
func (w *waiting) code() string {
	w.t.Helper()
	found := regexp.MustCompile(`\n    (\S{4}-\S{4})\n`).FindStringSubmatch(w.output())
	if found == nil {
		w.t.Fatalf("no code:\n%s", w.output())
	}
	return found[1]
}

// wantAnn waits for the login to end, and wants it to have kept a token of ann's.
func (w *waiting) wantAnn(s *server) {
	w.t.Helper()
	if code := w.end(); code != 0 {
		w.t.Errorf("exit code %d\n%s", code, w.output())
	}
	if r := s.run([]string{"VAULT_TOKEN="}, "jeton", "token", "lookup"); !strings.Contains(r.out, "oidc-ann") {
		w.t.Errorf("the token that was kept: %s%s", r.out, r.errOut)
	}
}

// RFC 8628 with the command line, the provider's page and a real browser: the terminal never hears
// of the browser.
func TestDeviceLoginWithARealBrowser(t *testing.T) {
	t.Parallel()
	patient := realBrowser(t)
	s := startDev(t)
	withPolling(t, s, "device")
	w := beginLogin(t, s, "port=0")
	shown := ""
	err := chromedp.Do(patient, chromedp.Navigate(w.address))
	if err == nil {
		shown, err = chromedp.Run(patient, chromedp.Value("#user_code"))
	}
	if err == nil {
		err = chromedp.Do(patient, chromedp.Click("#ann"), chromedp.WaitVisible("h1"))
	}
	if err != nil || shown != w.code() {
		t.Fatalf("the page has the code %q: %v\n%s", shown, err, w.output())
	}
	w.wantAnn(s)
}

// CVE-2026-33757 with a real browser: the page that the server shows names who asks and the
// terminal's code; the terminal gets nothing before the person has pressed the button.
func TestCVE_2026_33757_DirectLoginWithARealBrowser(t *testing.T) {
	t.Parallel()
	patient := realBrowser(t)
	s := startDev(t)
	withPolling(t, s, "direct")
	w := beginLogin(t, s, "port=0")
	page := ""
	err := chromedp.Do(patient, chromedp.Navigate(w.address), chromedp.Click("#ann"), chromedp.WaitVisible("#confirm"))
	if err == nil {
		page, err = chromedp.Run(patient, chromedp.Text("body"))
	}
	for _, part := range []string{"Did you begin this login?", w.code(), "ann", "staff", "127.0.0.1"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q: %s", part, page)
		}
	}
	select {
	case <-w.exited:
		t.Errorf("it did not wait for the person: %s", w.output())
	default:
	}
	if err == nil {
		err = chromedp.Do(patient, chromedp.Click("#confirm"), chromedp.WaitNotPresent("#confirm"), chromedp.WaitVisible("h1"))
	}
	if err == nil {
		page, err = chromedp.Run(patient, chromedp.Text("h1"))
	}
	if err != nil || page != "You are signed in" {
		t.Fatalf("page %q: %v\n%s", page, err, w.output())
	}
	w.wantAnn(s)
}

// Ctrl-C ends the polling, the provider's no is said, and a port that is in use does not matter to
// who needs none.
func TestPolledLoginThatEndsEarly(t *testing.T) {
	t.Parallel()
	s := startDev(t)
	p := withPolling(t, s, "device")
	w := beginLogin(t, s, "callbackmode=device")
	if err := w.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := w.end(); code != 1 || !strings.Contains(w.output(), "interrupted") {
		t.Errorf("exit code %d\n%s", code, w.output())
	}
	u, err := url.Parse(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	w = beginLogin(t, s, "listenaddress=127.0.0.1", "port="+u.Port())
	p.Decide(t, w.address, w.code(), "")
	if code := w.end(); code != 2 || !strings.Contains(w.output(), "The provider refused: access_denied.") || strings.Contains(w.output(), "script") {
		t.Errorf("exit code %d\n%s", code, w.output())
	}
	p.Describe(object{"device_authorization_endpoint": nil})
	s.must("jeton", "write", "auth/oidc/config", "oidc_discovery_url="+p.URL, "oidc_client_id="+oidctest.ClientID, "oidc_client_secret="+oidctest.ClientSecret, "default_role=staff")
	if r := s.run([]string{"VAULT_TOKEN="}, "jeton", "login", "-method=oidc", "callbackmode=device"); r.code != 2 || !strings.Contains(r.errOut, "it names no device authorization endpoint") {
		t.Errorf("exit code %d\n%s", r.code, r.errOut)
	}
}

// One Jeton believes another's identity tokens, found by discovery.
func TestJetonBelievesJeton(t *testing.T) {
	t.Parallel()
	issuer, s := startDev(t), startDev(t)
	issuer.must("jeton", "auth", "enable", "userpass")
	issuer.must("jeton", "write", "auth/userpass/users/ann", "password=correct-horse", "token_policies=signs")
	issuer.must("jeton", "write", "identity/oidc/key/k", "algorithm=EdDSA", "allowed_client_ids=*")
	issuer.must("jeton", "write", "identity/oidc/role/r", "key=k", "client_id=other-jeton")
	issuer.must("sh", "-c", `printf 'path "identity/oidc/token/r" { capabilities = ["read"] }' | jeton policy write signs -`)
	ann := strings.TrimSpace(issuer.must("jeton", "login", "-method=userpass", "-token-only", "username=ann", "password=correct-horse"))
	r := issuer.run([]string{"VAULT_TOKEN=" + ann}, "jeton", "read", "-field=token", "identity/oidc/token/r")
	if r.code != 0 {
		t.Fatal(r.errOut)
	}
	s.must("jeton", "auth", "enable", "jwt")
	s.must("jeton", "write", "auth/jwt/config", "oidc_discovery_url="+issuer.addr+"/v1/identity/oidc")
	s.must("jeton", "write", "auth/jwt/role/r", "role_type=jwt", "user_claim=sub", "bound_audiences=other-jeton", "token_policies=p")
	out := s.must("sh", "-c", "printf %s '"+strings.TrimSpace(r.out)+"' | jeton login -method=jwt -no-store role=r jwt=-")
	if !strings.Contains(out, `["default" "p"]`) {
		t.Errorf("%s", out)
	}
}
