package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

const selfAnswer = `{"request_id":"r","data":{"id":"hvs.mine","accessor":"acc","policies":["default"],"identity_policies":["i"],"meta":{"k":"v"},"renewable":true,"ttl":3600}}`

const loginTable = `Success! You are now authenticated. The token information displayed below is
already stored in the token helper. You do NOT need to run "jeton login"
again. Future Vault requests will automatically use this token.

Key                  Value
---                  -----
token                hvs.mine
token_accessor       acc
token_duration       1h
token_renewable      true
token_policies       ["default"]
identity_policies    ["i"]
policies             ["default" "i"]
token_meta_k         v
`

func stored(t *testing.T, sh *shell) (string, os.FileMode) {
	t.Helper()
	path := filepath.Join(sh.vars["HOME"], ".vault-token")
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return "", 0
	}
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), info.Mode().Perm()
}

// contract: cli §6 "login", §9.17, 9.18
func TestLoginToken(t *testing.T) {
	f := newFake(t, map[string]answer{"GET auth/token/lookup-self": ok(selfAnswer)})
	fresh := func() *shell {
		sh := newShell(t, f)
		delete(sh.vars, "VAULT_TOKEN")
		return sh
	}
	t.Run("argument", func(t *testing.T) {
		sh := fresh()
		sh.run("login", "hvs.mine").want(t, 0, loginTable, "")
		if got, mode := stored(t, sh); got != "hvs.mine" || mode != 0o600 {
			t.Errorf("stored %q with mode %o", got, mode)
		}
		sh.run("print", "token").want(t, 0, "hvs.mine\n", "")
		sh.run("token", "lookup").wantCode(t, 0)
		if got := f.last(t).header.Get("X-Vault-Token"); got != "hvs.mine" {
			t.Errorf("sent token %q", got)
		}
	})
	t.Run("standard input", func(t *testing.T) {
		sh := fresh()
		sh.stdin = "hvs.mine\n"
		sh.run("login", "-no-print", "-").want(t, 0, "", "")
		if got, _ := stored(t, sh); got != "hvs.mine" {
			t.Errorf("stored %q", got)
		}
	})
	t.Run("no store", func(t *testing.T) {
		sh := fresh()
		sh.run("login", "-no-store", "token=hvs.mine").wantErr(t, 0, "The token was not stored.")
		if got, _ := stored(t, sh); got != "" {
			t.Errorf("stored %q", got)
		}
	})
	t.Run("token only", func(t *testing.T) {
		sh := fresh()
		sh.run("login", "-token-only", "hvs.mine").want(t, 0, "hvs.mine", "")
		if got, _ := stored(t, sh); got != "" {
			t.Errorf("stored %q", got)
		}
	})
	t.Run("without a look-up", func(t *testing.T) {
		before := len(f.seen)
		fresh().run("login", "-no-print", "token=hvs.mine", "lookup=false").want(t, 0, "", "")
		if len(f.seen) != before {
			t.Error("a request was sent")
		}
	})
	t.Run("VAULT_TOKEN is set", func(t *testing.T) {
		newShell(t, f).run("login", "-no-print", "hvs.mine").wantErr(t, 0, "WARNING! The VAULT_TOKEN environment variable is set!")
	})
	t.Run("unknown method", func(t *testing.T) {
		fresh().run("login", "-method=userpas").wantErr(t, 1, `Unknown auth method: userpas (did you mean "userpass"?)`)
	})
	t.Run("nothing to ask on", func(t *testing.T) {
		fresh().run("login").wantErr(t, 2, `Use "login -"`)
	})
	t.Run("a link at the temporary name is not followed", func(t *testing.T) {
		sh := fresh()
		other := filepath.Join(t.TempDir(), "other")
		if err := os.WriteFile(other, []byte("keep"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(other, filepath.Join(sh.vars["HOME"], ".vault-token.tmp")); err != nil {
			t.Fatal(err)
		}
		sh.run("login", "-no-print", "hvs.mine").wantCode(t, 0)
		if b, _ := os.ReadFile(other); string(b) != "keep" {
			t.Errorf("the link's target now holds %q", b)
		}
	})
}

func TestLoginMethods(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PUT auth/userpass/login/ann": ok(tokenAnswer),
		"PUT auth/people/login/ann":   ok(tokenAnswer),
		"PUT auth/approle/login":      ok(tokenAnswer),
		"PUT auth/bad/login/ann":      {400, `{"errors":["invalid username or password"]}`},
		"PUT auth/wrap/login/ann":     ok(`{"wrap_info":{"token":"hvs.wrap","ttl":60,"creation_time":"2026-01-02T03:04:05Z","creation_path":"auth/wrap/login/ann"}}`),
		"PUT sys/wrapping/unwrap":     ok(tokenAnswer),
	})
	for _, c := range []struct {
		name, stdin string
		args        []string
		code        int
		path, body  string
		errs        string
	}{
		{"userpass", "", []string{"-method=userpass", "username=ann", "password=p"}, 0, "/v1/auth/userpass/login/ann", `{"password":"p"}`, ""},
		{"password from stdin", "p", []string{"-method=userpass", "username=ann", "password=-"}, 0, "/v1/auth/userpass/login/ann", `{"password":"p"}`, ""},
		{"a password file ends with a newline", "p\n", []string{"-method=userpass", "username=ann", "password=-"}, 0, "/v1/auth/userpass/login/ann", `{"password":"p"}`, ""},
		{"spaces are part of a password", "", []string{"-method=userpass", "username=ann", "password= p "}, 0, "/v1/auth/userpass/login/ann", `{"password":" p "}`, ""},
		{"another path", "", []string{"-method=ldap", "-path=people/", "username=ann", "password=p"}, 0, "/v1/auth/people/login/ann", `{"password":"p"}`, ""},
		{"mount as a pair", "", []string{"-method=userpass", "mount=people", "username=ann", "password=p"}, 0, "/v1/auth/people/login/ann", `{"password":"p"}`, ""},
		{"approle", "", []string{"-method=approle", "role_id=r", "secret_id=s"}, 0, "/v1/auth/approle/login", `{"role_id":"r","secret_id":"s"}`, ""},
		{"approle without a secret id", "", []string{"-method=approle", "role_id=r", "secret_id="}, 0, "/v1/auth/approle/login", `{"role_id":"r"}`, ""},
		{"wrapped answers are unwrapped", "", []string{"-method=userpass", "-path=wrap", "-wrap-ttl=60", "username=ann", "password=p"}, 0, "/v1/sys/wrapping/unwrap", `null`, ""},
		{"refused", "", []string{"-method=userpass", "-path=bad", "username=ann", "password=p"}, 2, "/v1/auth/bad/login/ann", `{"password":"p"}`, "Error authenticating: Error making API request."},
		{"no password", "", []string{"-method=userpass", "username=ann"}, 2, "", "", "password=-"},
		{"non-interactive", "", []string{"-method=userpass", "-non-interactive"}, 1, "", "", `"username" not specified`},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh := newShell(t, f)
			sh.vars["VAULT_TOKEN"] = "expired"
			sh.stdin = c.stdin
			before := len(f.seen)
			sh.run(append([]string{"login", "-no-print"}, c.args...)...).wantErr(t, c.code, c.errs)
			if c.path == "" {
				if len(f.seen) != before {
					t.Error("a request was sent")
				}
				return
			}
			if got := f.last(t); got.path != c.path || strings.TrimSpace(got.body) != c.body {
				t.Errorf("sent %s %s", got.path, got.body)
			}
			if got := f.last(t).header.Get("X-Vault-Token"); got == "expired" {
				t.Error("the old token was sent along")
			}
		})
	}
}

// The name for ldap comes from the arguments, else from the environment, else from a prompt.
func TestLoginLDAPName(t *testing.T) {
	f := newFake(t, map[string]answer{"PUT auth/ldap/login/ann": ok(tokenAnswer), "PUT auth/ldap/login/bob": ok(tokenAnswer), "PUT auth/ldap/login/ops/c d": ok(tokenAnswer)})
	for _, c := range []struct {
		name string
		vars map[string]string
		args []string
		path string
		says string
	}{
		{"given", map[string]string{"LOGNAME": "bob"}, []string{"username=ann"}, "/v1/auth/ldap/login/ann", ""},
		{"its own variable", map[string]string{"LOGNAME": "bob", "VAULT_LDAP_USERNAME": "ann"}, nil, "/v1/auth/ldap/login/ann", "Logging in as ann (from VAULT_LDAP_USERNAME)."},
		{"who is logged in", map[string]string{"LOGNAME": "bob", "USER": "ann"}, nil, "/v1/auth/ldap/login/bob", "Logging in as bob (from LOGNAME)."},
		{"USER", map[string]string{"USER": "ann"}, nil, "/v1/auth/ldap/login/ann", "Logging in as ann (from USER)."},
		{"a slash and a space", nil, []string{"username=ops/c d"}, "/v1/auth/ldap/login/ops/c d", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh := newShell(t, f)
			delete(sh.vars, "VAULT_TOKEN")
			for name, value := range c.vars {
				sh.vars[name] = value
			}
			sh.run(append([]string{"login", "-no-print", "-method=ldap", "password=p"}, c.args...)...).wantErr(t, 0, c.says)
			if got := f.last(t); got.path != c.path || strings.TrimSpace(got.body) != `{"password":"p"}` {
				t.Errorf("sent %s %s", got.path, got.body)
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		newShell(t, f).run("login", "-method=ldap", "-non-interactive", "password=p").wantErr(t, 1, `"username" not specified`)
	})
}

// contract: cli §3
func TestTokenHelperProgram(t *testing.T) {
	f := newFake(t, map[string]answer{"GET auth/token/lookup-self": ok(selfAnswer)})
	sh := newShell(t, f)
	delete(sh.vars, "VAULT_TOKEN")
	dir := t.TempDir()
	helper, kept := filepath.Join(dir, "helper"), filepath.Join(dir, "kept")
	script := "#!/bin/sh\ncase $1 in\nget) cat " + kept + " 2>/dev/null; true ;;\nstore) cat > " + kept + "; echo $VAULT_ADDR > " + kept + ".addr ;;\nesac\n"
	if err := os.WriteFile(helper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sh.vars["HOME"], ".vault"), []byte(`token_helper = "`+helper+`"`), 0o600); err != nil {
		t.Fatal(err)
	}
	sh.run("login", "-no-print", "hvs.mine").want(t, 0, "", "")
	sh.run("print", "token").want(t, 0, "hvs.mine\n", "")
	if b, _ := os.ReadFile(kept + ".addr"); strings.TrimSpace(string(b)) != f.URL {
		t.Errorf("the helper saw VAULT_ADDR=%q", b)
	}
	t.Run("it fails", func(t *testing.T) {
		if err := os.WriteFile(helper, []byte("#!/bin/sh\necho hvs.leak\necho locked >&2\nexit 3\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		r := sh.run("print", "token")
		r.wantErr(t, 1, "locked")
		if strings.Contains(r.err, "hvs.leak") {
			t.Errorf("%s", r.err)
		}
	})
	t.Run("another key in the file", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(sh.vars["HOME"], ".vault"), []byte("\nnope = 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		sh.run("print", "token").wantErr(t, 1, `invalid key "nope" on line 2`)
	})
}

// contract: cli §2
func TestUnprintableTokenIsNotSent(t *testing.T) {
	f := newFake(t, nil)
	sh := newShell(t, f)
	sh.vars["VAULT_TOKEN"] = "hvs.a\x01b"
	r := sh.run("read", "x")
	r.wantErr(t, 2, "configured Vault token contains non-printable characters and cannot be used")
	if len(f.seen) != 0 || strings.Contains(r.err, "hvs.a") {
		t.Errorf("%d requests, stderr %s", len(f.seen), r.err)
	}
}

// The address that the provider sends the browser to is where this command listens, but for
// what is said otherwise.
func TestLoginOIDCRedirect(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PUT auth/oidc/oidc/auth_url":  ok(`{"data":{"auth_url":""},"warnings":["the provider sleeps"]}`),
		"PUT auth/files/oidc/auth_url": ok(`{"data":{"auth_url":"file:///etc/passwd?state=x"}}`),
		"PUT auth/flags/oidc/auth_url": ok(`{"data":{"auth_url":"--version?state=x"}}`),
		"PUT auth/plain/oidc/auth_url": ok(`{"data":{"auth_url":"https://idp.example/"}}`),
	})
	const asleep = "the server cannot begin the login: the provider sleeps"
	for _, c := range []struct {
		name     string
		args     []string
		redirect string
		errs     string
	}{
		{"the usual host", []string{"port=0"}, `"redirect_uri":"http://localhost:`, asleep},
		{"another address", []string{"listenaddress=127.0.0.1", "port=0"}, `"redirect_uri":"http://127.0.0.1:`, asleep},
		{"behind something", []string{"port=0", "callbackhost=jump.example", "callbackport=443", "callbackmethod=https"},
			`"redirect_uri":"https://jump.example:443/oidc/callback"`, asleep},
		{"role", []string{"port=0", "role=dev"}, `"role":"dev"`, asleep},
		{"an address that is no web page", []string{"-path=files", "port=0"}, "", "the server sent no address that a browser could open"},
		{"an address that is a flag", []string{"-path=flags", "port=0"}, "", "the server sent no address that a browser could open"},
		{"an address without state", []string{"-path=plain", "port=0"}, "", "the server sent no address that a browser could open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			newShell(t, f).run(append([]string{"login", "-method=oidc"}, c.args...)...).wantErr(t, 2, c.errs)
			got := f.last(t)
			if !strings.Contains(got.body, c.redirect) || !strings.Contains(got.body, `"client_nonce":"`) || got.header.Get("X-Vault-Token") != "" {
				t.Errorf("sent %s with %v", got.body, got.header)
			}
		})
	}
	newShell(t, f).run("login", "-method=oidc", "-output-curl-string", "port=0").wantCode(t, 0)
}

// What the browser brought, and this command's nonce, are in no error: neither when the server
// refuses them nor when it cannot be reached.
func TestLoginOIDCErrorsShowNoSecret(t *testing.T) {
	const state, code = "the-state", "the code/of the provider"
	for name, gone := range map[string]bool{"refused": false, "unreachable": true} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, map[string]answer{
				"PUT auth/oidc/oidc/auth_url": ok(`{"data":{"auth_url":"https://idp.example/?state=` + state + `"}}`),
				"GET auth/oidc/oidc/callback": {400, `{"errors":["Vault login failed."]}`},
			})
			sh := newShell(t, f)
			sh.vars["VAULT_MAX_RETRIES"] = "0"
			done := make(chan result, 1)
			go func() { done <- sh.run("login", "-method=oidc", "port=0", "skip_browser=true") }()
			var asked struct {
				Redirect string `json:"redirect_uri"`
				Nonce    string `json:"client_nonce"`
			}
			for asked.Redirect == "" {
				f.mu.Lock()
				if len(f.seen) > 0 {
					if err := json.Unmarshal([]byte(f.seen[0].body), &asked); err != nil {
						t.Error(err)
					}
				}
				f.mu.Unlock()
				runtime.Gosched()
			}
			if gone {
				f.Close()
			}
			response, err := http.Get(asked.Redirect + "?" + url.Values{"state": {state}, "code": {code}}.Encode())
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			r := <-done
			r.wantErr(t, 2, "Error authenticating: ")
			told := strings.Replace(r.err, "?state="+state, "", 1) // the address to sign in at
			for _, secret := range []string{state, code, url.QueryEscape(code), asked.Nonce} {
				if strings.Contains(told, secret) {
					t.Errorf("the error shows %q:\n%s", secret, told)
				}
			}
		})
	}
}

// Where the server answers with a state, the command polls until there is a token, and slower
// where it is told to, or where server or provider are away for a moment.
func TestLoginOIDCPolls(t *testing.T) {
	const begun = `{"data":{"auth_url":"https://idp.example/device","state":"the-state","user_code":"ABCD-EFGH","poll_interval":"1","expires_in":600}}`
	f := newFake(t, map[string]answer{
		"PUT auth/oidc/oidc/auth_url": ok(begun),
		"PUT auth/oidc/oidc/poll":     ok(`{"auth":{"client_token":"hvs.x","policies":["default"]}}`),
	})
	f.first = map[string][]answer{"PUT auth/oidc/oidc/poll": {{400, `{"errors":["authorization_pending"]}`}, {400, `{"errors":["authorization_pending"]}`}}}
	r := newShell(t, f).run("login", "-method=oidc", "-token-only", "callbackmode=device", "role=dev")
	if r.code != 0 || r.out != "hvs.x" && r.out != "hvs.x\n" {
		t.Fatalf("%+v", r)
	}
	for _, part := range []string{"\n    https://idp.example/device\n", "\n    ABCD-EFGH\n"} {
		if !strings.Contains(r.err, part) {
			t.Errorf("it does not say %q: %s", part, r.err)
		}
	}
	if strings.Contains(r.err, "the-state") {
		t.Errorf("the state is shown: %s", r.err)
	}
	if len(f.seen) != 4 || strings.Contains(f.seen[0].body, "redirect_uri") {
		t.Errorf("%d requests, the first %s", len(f.seen), f.seen[0].body)
	}
	var asked, polled struct {
		State string `json:"state"`
		Nonce string `json:"client_nonce"`
	}
	if err := errors.Join(json.Unmarshal([]byte(f.seen[0].body), &asked), json.Unmarshal([]byte(f.seen[3].body), &polled)); err != nil ||
		polled.State != "the-state" || polled.Nonce == "" || polled.Nonce != asked.Nonce || f.seen[3].header.Get("X-Vault-Token") != "" {
		t.Errorf("polled with %+v: %v", polled, err)
	}
}

func TestLoginOIDCPollAnswers(t *testing.T) {
	for name, row := range map[string]struct {
		status        int
		text          string
		again, slower bool
	}{
		"pending": {400, "authorization_pending", true, false}, "slow down": {400, "slow_down", true, true},
		"the provider is away": {502, "the identity provider cannot be reached", true, true}, "a crowd": {503, "too many", true, true},
		"refused": {400, "Vault login failed. The provider refused: access_denied.", false, false}, "denied": {403, "permission denied", false, false},
	} {
		again, slower := notYet(&api.ResponseError{StatusCode: row.status, Errors: []string{row.text}})
		if again != row.again || slower != row.slower {
			t.Errorf("%s: %v %v", name, again, slower)
		}
	}
	if again, _ := notYet(errors.New("no answer")); again {
		t.Error("another error is polled on")
	}
}

// What the server sends is shown on a terminal, and what the person wants may not be what the
// role does: both are said.
func TestLoginOIDCPollRefusals(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PUT auth/oidc/oidc/auth_url":    ok(`{"data":{"auth_url":"https://idp.example/device","state":"x","poll_interval":1}}`),
		"PUT auth/oidc/oidc/poll":        {400, `{"errors":["Vault login failed. The provider refused: access_denied."]}`},
		"PUT auth/letters/oidc/auth_url": ok(`{"data":{"auth_url":"https://idp.example/","state":"x","user_code":"A\u001b[2J"}}`),
		"PUT auth/client/oidc/auth_url":  {400, `{"errors":["missing redirect_uri"]}`},
		"PUT auth/late/oidc/auth_url":    ok(`{"data":{"auth_url":"https://idp.example/","state":"x","expires_in":1,"poll_interval":60}}`),
	})
	for _, row := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"port=0"}, 2, "The provider refused: access_denied."},
		{[]string{"callbackmode=device"}, 2, "The provider refused: access_denied."},
		{[]string{"-path=letters", "port=0"}, 2, "the server sent no address that a browser could open"},
		{[]string{"-path=client", "callbackmode=device"}, 2, "the role's callback_mode is not device"},
		{[]string{"-path=client", "port=99999"}, 1, "cannot listen for the browser's answer"},
		{[]string{"callbackmode=pigeon"}, 1, "callbackmode is client, direct or device"},
		{[]string{"-path=late", "callbackmode=direct"}, 2, "nobody signed in within 1s"},
	} {
		t.Run(strings.Join(row.args, " "), func(t *testing.T) {
			newShell(t, f).run(append([]string{"login", "-method=oidc"}, row.args...)...).wantErr(t, row.code, row.text)
		})
	}
	if !strings.Contains(f.last(t).body, `"redirect_uri":"`+f.URL+`/v1/auth/late/oidc/callback"`) {
		t.Errorf("callbackmode=direct asks for %s", f.last(t).body)
	}
}
