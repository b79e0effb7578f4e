package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// sent is one request as the fake server saw it.
type sent struct {
	method, path, query, body string
	header                    http.Header
}

// fake answers like the contract, from a table keyed by "METHOD path".
type fake struct {
	*httptest.Server
	answers map[string]answer

	mu   sync.Mutex // guards seen and first
	seen []sent
	// first are answers that are given once, before the one of the table.
	first map[string][]answer
}

type answer struct {
	status int
	body   string
}

func ok(body string) answer { return answer{200, body} }

func newFake(t *testing.T, answers map[string]answer) *fake {
	t.Helper()
	f := &fake{answers: answers}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.seen = append(f.seen, sent{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Clone()})
		method := r.Method
		if r.URL.Query().Get("list") == "true" {
			method = "LIST"
		}
		key := method + " " + strings.TrimPrefix(r.URL.Path, "/v1/")
		a, found := f.answers[key]
		if queue := f.first[key]; len(queue) > 0 {
			a, found, f.first[key] = queue[0], true, queue[1:]
		}
		f.mu.Unlock()
		if !found {
			a = answer{404, `{"errors":[]}`}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
	}))
	t.Cleanup(f.Close)
	return f
}

// last is the newest request; the preflight of kv commands does not count.
func (f *fake) last(t *testing.T) sent {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) == 0 {
		t.Fatal("no request was sent")
	}
	return f.seen[len(f.seen)-1]
}

// shell runs commands in-process with an environment of its own.
type shell struct {
	t      *testing.T
	vars   map[string]string
	stdin  string
	server ServerFunc
}

func newShell(t *testing.T, f *fake) *shell {
	t.Helper()
	sh := &shell{t: t, vars: map[string]string{"HOME": t.TempDir(), "VAULT_TOKEN": "root"}}
	if f != nil {
		sh.vars["VAULT_ADDR"] = f.URL
	}
	return sh
}

type result struct {
	out, err string
	code     int
}

func (sh *shell) run(args ...string) result {
	sh.t.Helper()
	var out, errOut bytes.Buffer
	code := Run(append([]string{"jeton"}, args...), Env{
		Stdin: strings.NewReader(sh.stdin), Stdout: &out, Stderr: &errOut,
		Getenv: func(k string) string { return sh.vars[k] },
		Server: sh.server,
	})
	return result{out.String(), errOut.String(), code}
}

func (r result) want(t *testing.T, code int, out, errOut string) {
	t.Helper()
	if r.code != code || r.out != out || r.err != errOut {
		t.Errorf("got exit %d\n--- stdout\n%s--- stderr\n%s\nwant exit %d\n--- stdout\n%s--- stderr\n%s", r.code, r.out, r.err, code, out, errOut)
	}
}

func (r result) wantCode(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d\nstdout %s\nstderr %s", r.code, code, r.out, r.err)
	}
}

func (r result) wantErr(t *testing.T, code int, part string) {
	t.Helper()
	r.wantCode(t, code)
	if !strings.Contains(r.err, part) {
		t.Errorf("stderr %q does not contain %q", r.err, part)
	}
}

const tokenAnswer = `{"request_id":"r","lease_id":"","lease_duration":0,"renewable":false,"data":null,"warnings":null,
"auth":{"client_token":"hvs.abc","accessor":"acc","policies":["default","x"],"token_policies":["default","x"],
"identity_policies":[],"metadata":{"b":"2","a":"1"},"lease_duration":86400,"renewable":true}}`

// contract: cli §9.1
func TestHelpAndUnknownCommands(t *testing.T) {
	sh := newShell(t, nil)
	for _, c := range []struct {
		name      string
		args      []string
		code      int
		out, errs string // what each must contain; "" must be empty
	}{
		{"no arguments", nil, 127, "", "Common commands:"},
		{"unknown", []string{"nope"}, 127, "", `Unknown command "nope"`},
		{"near miss", []string{"tokn"}, 127, "", `did you mean "token"?`},
		{"parent", []string{"token"}, 1, "", "Subcommands:"},
		{"parent, near miss", []string{"token", "creat"}, 1, "", `did you mean "create"?`},
		{"parent help", []string{"token", "-h"}, 0, "$ jeton token create", ""},
		{"help", []string{"token", "create", "-help"}, 0, "-explicit-max-ttl", ""},
		{"-h", []string{"-h"}, 0, "Common commands:", ""},
		{"a token in the wrong place is not repeated", []string{"token", "hvs.verysecretindeed"}, 1, "", `"token hvs...."`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sh.run(c.args...)
			r.wantCode(t, c.code)
			for stream, pair := range map[string][2]string{"stdout": {r.out, c.out}, "stderr": {r.err, c.errs}} {
				got, want := pair[0], pair[1]
				if (want == "") != (got == "") || !strings.Contains(got, want) {
					t.Errorf("%s is %q, want it to contain %q", stream, got, want)
				}
			}
			if strings.Contains(r.err, "verysecret") {
				t.Error("a token was repeated")
			}
		})
	}
}

func TestEveryCommandTeachesWithAnExample(t *testing.T) {
	env := Env{Getenv: func(string) string { return "" }, Server: func(context.Context, ServerOptions, Env) int { return 0 }}
	for _, c := range commandTable(env) {
		if c.absent != "" {
			if !c.hidden || !strings.Contains(c.help, c.absent) {
				t.Errorf("%s: its help does not say what to use instead", c.name)
			}
			continue
		}
		if !strings.Contains(c.help, "$ jeton "+strings.Fields(c.name)[0]) && c.name != "print" && c.name != "print token" && c.name != "path-help" {
			t.Errorf("%s: help has no example", c.name)
		}
		if c.synopsis == "" {
			t.Errorf("%s: no synopsis", c.name)
		}
	}
}

// contract: cli §1, observed "What real clients lean on" 2
func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "-v", "-version", "--version"} {
		r := newShell(t, nil).run(arg)
		r.wantCode(t, 0)
		words := strings.Fields(r.out)
		if strings.Count(r.out, "\n") != 1 || len(words) < 2 || words[1] != "v1.20.0" || !strings.Contains(r.out, "Jeton v") {
			t.Errorf("%s: %q", arg, r.out)
		}
	}
}

func TestCalledAsVaultHelpSaysVault(t *testing.T) {
	var out bytes.Buffer
	Run([]string{"/usr/bin/vault", "token", "-h"}, Env{Stdout: &out, Stderr: io.Discard, Getenv: func(string) string { return "" }})
	if !strings.Contains(out.String(), "$ vault token create") || strings.Contains(out.String(), "jeton ") {
		t.Errorf("%s", out.String())
	}
}

// contract: cli §1, "Flags"
func TestFlagGrammar(t *testing.T) {
	f := newFake(t, map[string]answer{
		"POST auth/token/create":  ok(tokenAnswer),
		"GET secret/x":            ok(`{"request_id":"r","data":{"a":"1"}}`),
		"LIST secret":             ok(`{"request_id":"r","data":{"keys":["b","a"]}}`),
		"PUT auth/token/lookup":   ok(`{"data":{"id":"x"}}`),
		"PUT secret/x":            {204, ""},
		"POST auth/token/lookup":  ok(`{"data":{"id":"x"}}`),
		"GET auth/token/nothing":  {204, ""},
		"PUT sys/policies/acl/p":  {204, ""},
		"POST sys/mounts/secret/": {204, ""},
	})
	sh := newShell(t, f)
	for _, c := range []struct {
		name string
		args []string
		code int
		errs string
	}{
		{"double dash", []string{"token", "create", "--ttl=60"}, 0, ""},
		{"value apart", []string{"token", "create", "-ttl", "60"}, 0, ""},
		{"boolean false", []string{"token", "create", "-renewable=false"}, 0, ""},
		{"bad duration", []string{"token", "create", "-ttl=x"}, 1, `invalid value "x" for flag -ttl: `},
		{"map without =", []string{"token", "create", "-metadata=x"}, 1, `missing = in KV pair: "x"`},
		{"unknown", []string{"token", "create", "-nope"}, 1, "flag provided but not defined: -nope"},
		{"unknown with a neighbour", []string{"token", "create", "-polic=x"}, 1, "did you mean -policy?"},
		{"unknown format", []string{"read", "-format=xml", "secret/x"}, 1, "Invalid output format: xml"},
		{"raw where it is not", []string{"list", "-format=raw", "secret"}, 1, "This command does not support the -format=raw option."},
		{"pretty", []string{"read", "-format=pretty", "secret/x"}, 1, "Could not parse output: cannot use the pretty formatter for this type"},
		{"trailing -format", []string{"list", "secret", "-format=json"}, 0, ""},
		{"trailing -field", []string{"read", "secret/x", "-field=a"}, 0, ""},
		{"trailing unknown flag stays an argument", []string{"write", "secret/x", "a=1", "-b=2"}, 0, "The following arguments will not be parsed as flags: [-b=2]"},
		{"too many", []string{"list", "a", "b"}, 1, "Too many arguments (expected 1, got 2)"},
		{"too few", []string{"list"}, 1, "Not enough arguments (expected 1, got 0)"},
		{"forbidden header", []string{"read", "-header", "X-Vault-Foo=1", "secret/x"}, 2, "failed to setup Headers[X-Vault-Foo]: Header starting by 'X-Vault-' are for internal usage only"},
		{"client cert without key", []string{"read", "-client-cert=x", "secret/x"}, 2, "both client cert and client key must be provided"},
	} {
		t.Run(c.name, func(t *testing.T) { sh.run(c.args...).wantErr(t, c.code, c.errs) })
	}
	t.Run("detailed=true is true (§9.14)", func(t *testing.T) {
		r := sh.run("list", "-format=json", "-detailed=true", "secret")
		r.wantCode(t, 0)
		if !strings.HasPrefix(r.out, "{") {
			t.Errorf("%s", r.out)
		}
	})
	t.Run("after -- nothing is a flag", func(t *testing.T) {
		sh.run("write", "--", "secret/x", "-format=json").wantCode(t, 0)
		if body := f.last(t).body; body != `{"-format":"json"}` {
			t.Errorf("sent %s", body)
		}
	})
}

func TestBadEnvironment(t *testing.T) {
	sh := newShell(t, newFake(t, nil))
	sh.vars["VAULT_SKIP_VERIFY"] = "maybe"
	sh.run("read", "x").wantErr(t, 1, "could not parse VAULT_SKIP_VERIFY")
	sh.run("read", "-h").wantCode(t, 0)
	delete(sh.vars, "VAULT_SKIP_VERIFY")
	sh.vars["VAULT_FORMAT"] = "xml"
	sh.run("read", "x").wantErr(t, 1, "Invalid output format: xml")
}

// JETON_ names are read before VAULT_ names.
func TestEnvironmentOrder(t *testing.T) {
	f := newFake(t, map[string]answer{"GET x": ok(`{"data":{"a":"1"}}`)})
	sh := newShell(t, nil)
	sh.vars["VAULT_ADDR"], sh.vars["JETON_ADDR"] = "http://127.0.0.1:1", f.URL
	sh.vars["VAULT_TOKEN"], sh.vars["JETON_TOKEN"] = "no", "yes"
	sh.vars["VAULT_NAMESPACE"], sh.vars["VAULT_HEADERS"] = "team", `{"X-Extra":"e"}`
	sh.run("read", "x").wantCode(t, 0)
	h := f.last(t).header
	for name, want := range map[string]string{"X-Vault-Token": "yes", "X-Vault-Namespace": "team/", "X-Vault-Request": "true", "X-Extra": "e"} {
		if h.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, h.Get(name), want)
		}
	}
	t.Run("flags beat the environment", func(t *testing.T) {
		sh.run("read", "-ns=other", "-wrap-ttl=60", "x").wantCode(t, 0)
		h := f.last(t).header
		if h.Get("X-Vault-Namespace") != "other/" || h.Get("X-Vault-Wrap-Ttl") != "60s" {
			t.Errorf("%v", h)
		}
	})
}

// contract: cli §4, §9.6 to 9.9
func TestWriteArguments(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	value, object := file("v", "line\n"), file("o.json", `{"n":12345678901234567890,"a":"file"}`)
	f := newFake(t, map[string]answer{"PUT p": {204, ""}})
	for _, c := range []struct {
		name, stdin string
		args        []string
		body        string
	}{
		{"string", "", []string{"a=1"}, `{"a":"1"}`},
		{"first = splits", "", []string{"a=b=c"}, `{"a":"b=c"}`},
		{"empty value", "", []string{"a="}, `{"a":""}`},
		{"empty argument", "", []string{"", "a=1"}, `{"a":"1"}`},
		{"file value is verbatim", "", []string{"a=@" + value}, `{"a":"line\n"}`},
		{"escaped @", "", []string{`a=\@x`}, `{"a":"@x"}`},
		{"value from stdin", "in\n", []string{"a=-"}, `{"a":"in\n"}`},
		{"object from file, overridden", "", []string{"@" + object, "a=later"}, `{"a":"later","n":12345678901234567890}`},
		{"object from stdin keeps numbers", `{"a":1}`, []string{"-"}, `{"a":1}`},
		{"repeated keys", "", []string{"k=1", "k=2", "k=3"}, `{"k":["1","2","3"]}`},
		{"@a=b is a pair", "", []string{"@a=b"}, `{"@a":"b"}`},
		{"force", "", []string{"-f"}, `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh := newShell(t, f)
			sh.stdin = c.stdin
			sh.run(append([]string{"write", "/p/"}, c.args...)...).want(t, 0, "Success! Data written to: p\n", "")
			if got := f.last(t); got.body != c.body || got.method != "PUT" {
				t.Errorf("sent %s %s, want %s", got.method, got.body, c.body)
			}
		})
	}
	for _, c := range []struct {
		name string
		args []string
		errs string
	}{
		{"no data", []string{"write", "p"}, "Must supply data or use -force"},
		{"missing file", []string{"write", "p", "k=@missing"}, "error reading file"},
		{"no =", []string{"write", "p", "foo"}, `Failed to parse K=V data: invalid key/value pair "foo": format must be key=value`},
		{"stdin twice", []string{"write", "p", "a=-", "b=-"}, "stdin already consumed"},
		{"not an object", []string{"write", "p", "-"}, "standard input is empty"},
	} {
		t.Run(c.name, func(t *testing.T) { newShell(t, f).run(c.args...).wantErr(t, 1, c.errs) })
	}
	t.Run("a token without = is not repeated", func(t *testing.T) {
		r := newShell(t, f).run("write", "p", "hvs.CAESIsecret")
		r.wantErr(t, 1, `"hvs...."`)
		if strings.Contains(r.err, "secret") {
			t.Errorf("%s", r.err)
		}
	})
}

// contract: cli §6 "read / write / list / delete / patch / unwrap", §9.5, 9.11
func TestReadListDelete(t *testing.T) {
	f := newFake(t, map[string]answer{
		"GET s":     ok(`{"request_id":"r","lease_id":"l/1","lease_duration":3630,"renewable":true,"data":{"ttl":2764800,"n":null,"e":"","list":["a","b"],"num":12345678901234567890},"warnings":["look <out>"]}`),
		"GET long":  ok(`{"lease_duration":2764800,"data":{"a":"<b>"}}`),
		"GET gone":  {404, `{"errors":["no handler for route \"gone\". route entry not found."]}`},
		"GET no":    {403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`},
		"GET two":   {400, `{"errors":["a","b"]}`},
		"GET html":  {502, `<html>`},
		"LIST l":    ok(`{"data":{"keys":["b","a"]}}`),
		"DELETE d":  {204, ""},
		"LIST info": ok(`{"data":{"keys":["a"],"key_info":{"a":{"type":"x"}}}}`),
	})
	sh := newShell(t, f)
	warning := "WARNING! The following warnings were returned from Vault:\n\n  * look <out>\n\n"
	sh.run("read", "/s/").want(t, 0, `Key                Value
---                -----
lease_id           l/1
lease_duration     1h30s
lease_renewable    true
e                  n/a
list               [a b]
n                  <nil>
num                12345678901234567890
ttl                768h
`, warning)
	sh.run("read", "-field=list", "s").want(t, 0, "[a b]", "")
	sh.run("read", "-field=lease_id", "s").want(t, 0, "l/1", "")
	sh.run("read", "-field=ttl", "-format=json", "s").want(t, 0, "2764800", "")
	sh.run("read", "-field=n", "s").want(t, 1, "", "Field \"n\" not present in secret\n")
	sh.run("read", "-field=zz", "s").want(t, 1, "", "Field \"zz\" not present in secret\n")
	sh.run("read", "long").want(t, 0, "Key                 Value\n---                 -----\nrefresh_interval    768h\na                   <b>\n", "")
	sh.run("read", "-format=json", "long").want(t, 0, `{
  "request_id": "",
  "lease_id": "",
  "lease_duration": 2764800,
  "renewable": false,
  "data": {
    "a": "\u003cb\u003e"
  },
  "warnings": null
}
`, "")
	sh.run("read", "gone").want(t, 2, "", "No value found at gone\n")
	sh.run("read", "-format=raw", "long").want(t, 0, `{"lease_duration":2764800,"data":{"a":"<b>"}}`, "")
	sh.run("read", "s", "a=1", "a=2").wantCode(t, 0)
	if q := f.last(t).query; q != "a=1&a=2" {
		t.Errorf("query %s", q)
	}
	sh.run("read", "no").wantErr(t, 2, "Error reading no: Error making API request.\n\nURL: GET "+f.URL+"/v1/no\nCode: 403. Errors:\n\n* 1 error occurred:\n\t* permission denied\n\n")
	sh.run("read", "no").wantErr(t, 2, "The token used came from the environment variable VAULT_TOKEN")
	sh.run("read", "two").wantErr(t, 2, "Code: 400. Errors:\n\n* a\n* b\n")
	sh.run("read", "html").wantErr(t, 2, "Code: 502. Raw Message:\n\n<html>")
	sh.run("list", "l").want(t, 0, "Keys\n----\na\nb\n", "")
	sh.run("list", "-format=json", "l").want(t, 0, "[\n  \"b\",\n  \"a\"\n]\n", "")
	sh.run("list", "-detailed", "info").want(t, 0, "Keys    Type\n----    ----\na       x\n", "")
	sh.run("list", "none").want(t, 2, "", "No value found at none\n")
	sh.run("list", "-format=json", "none").want(t, 2, "{}\n", "")
	sh.run("delete", "d").want(t, 0, "Success! Data deleted (if it existed) at: d\n", "")
	sh.run("delete", "-format=json", "d").want(t, 0, "", "")
}

// contract: cli §6 "token", §9.2 to 9.4, 9.15
func TestTokenCreate(t *testing.T) {
	f := newFake(t, map[string]answer{
		"POST auth/token/create":   ok(tokenAnswer),
		"POST auth/token/create/r": ok(`{"auth":{"client_token":"hvs.root","accessor":"a","policies":["root"],"token_policies":["root"],"lease_duration":0},"warnings":["Policy \"nonexist\" does not exist"]}`),
	})
	sh := newShell(t, f)
	sh.run("token", "create", "-policy=x", "-ttl=24h").want(t, 0, `Key                  Value
---                  -----
token                hvs.abc
token_accessor       acc
token_duration       24h
token_renewable      true
token_policies       ["default" "x"]
identity_policies    []
policies             ["default" "x"]
token_meta_a         1
token_meta_b         2
`, "")
	var body map[string]any
	if err := json.Unmarshal([]byte(f.last(t).body), &body); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"ttl": "24h0m0s", "explicit_max_ttl": "0s", "period": "0s", "display_name": "", "num_uses": 0.0, "renewable": true, "type": "service"} {
		if body[k] != want {
			t.Errorf("%s = %v, want %v", k, body[k], want)
		}
	}
	sh.run("token", "create", "-orphan").wantCode(t, 0)
	if got := f.last(t); !strings.Contains(got.body, `"no_parent":true`) || got.path != "/v1/auth/token/create" {
		t.Errorf("%+v", got)
	}
	sh.run("token", "create", "-field=token").want(t, 0, "hvs.abc", "")
	sh.run("token", "create", "-field=token_duration").want(t, 0, "86400", "")
	r := sh.run("token", "create", "-role=r")
	r.wantErr(t, 0, "WARNING! The following warnings were returned from Vault:\n\n  * Policy \"nonexist\" does not exist\n\n")
	if !strings.Contains(r.out, "token_duration       ∞\n") || !strings.Contains(r.out, "identity_policies    []\n") {
		t.Errorf("%s", r.out)
	}
	t.Run("a comma is warned about and sent as it is", func(t *testing.T) {
		sh.run("token", "create", "-policy=a,b").wantErr(t, 0, "Did you mean -policy=a -policy=b ?")
		if !strings.Contains(f.last(t).body, `"policies":["a,b"]`) {
			t.Errorf("%s", f.last(t).body)
		}
	})
	t.Run("json in the environment", func(t *testing.T) {
		sh.vars["VAULT_FORMAT"] = "JSON"
		var got struct {
			Auth struct {
				ClientToken string `json:"client_token"`
			}
		}
		if err := json.Unmarshal([]byte(sh.run("token", "create").out), &got); err != nil || got.Auth.ClientToken != "hvs.abc" {
			t.Errorf("%v %+v", err, got)
		}
	})
}

func TestTokenRevoke(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PUT auth/token/revoke-self":       {204, ""},
		"POST auth/token/revoke-accessor":  {204, ""},
		"PUT auth/token/revoke-orphan":     {204, ""},
		"PUT auth/token/revoke":            {204, ""},
		"PUT sys/leases/revoke-prefix/a/b": {204, ""},
	})
	const done = "Success! Revoked token (if it existed)\n"
	for _, c := range []struct {
		args []string
		path string // "" when nothing is sent
		errs string
	}{
		{[]string{"-self"}, "/v1/auth/token/revoke-self", ""},
		{[]string{"-accessor", "x"}, "/v1/auth/token/revoke-accessor", ""},
		{[]string{"x", "-accessor"}, "/v1/auth/token/revoke-accessor", ""},
		{[]string{"-mode=orphan", "x"}, "/v1/auth/token/revoke-orphan", ""},
		{[]string{"-mode=path", "/a/b/"}, "/v1/sys/leases/revoke-prefix/a/b", ""},
		{[]string{"x"}, "/v1/auth/token/revoke", ""},
		{[]string{"-self", "-accessor"}, "", "Cannot use -self with -accessor!\n"},
		{[]string{"-self", "-mode=path"}, "", "Cannot use -self with -mode!\n"},
		{[]string{"-accessor", "-mode=orphan", "x"}, "", "Cannot use -accessor with -mode=orphan!\n"},
		{[]string{"-mode=tree", "x"}, "", "Invalid mode: tree\n"},
		{nil, "", "Not enough arguments (expected 1 or -self, got 0)\n"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			before := len(f.seen)
			r := newShell(t, f).run(append([]string{"token", "revoke"}, c.args...)...)
			if c.path == "" {
				r.want(t, 1, "", c.errs)
				if len(f.seen) != before {
					t.Error("a request was sent")
				}
				return
			}
			r.want(t, 0, done, "")
			if f.last(t).path != c.path {
				t.Errorf("went to %s", f.last(t).path)
			}
		})
	}
}

func TestTokenLookupAndCapabilities(t *testing.T) {
	f := newFake(t, map[string]answer{
		"GET auth/token/lookup-self":      ok(`{"data":{"id":"self","meta":null,"policies":["default","x"],"entity_id":"","expire_time":null}}`),
		"POST auth/token/lookup":          ok(`{"data":{"id":"other"}}`),
		"POST auth/token/lookup-accessor": ok(`{"data":{"id":""}}`),
		"POST sys/capabilities-self":      ok(`{"data":{"p":["read","create"]}}`),
		"POST sys/capabilities":           ok(`{"data":{"p":[]}}`),
		"POST sys/capabilities-accessor":  ok(`{"data":{"p":["root"]}}`),
	})
	sh := newShell(t, f)
	sh.run("token", "lookup").want(t, 0, `Key            Value
---            -----
entity_id      n/a
expire_time    <nil>
id             self
meta           <nil>
policies       [default x]
`, "")
	sh.stdin = "hvs.piped\n"
	sh.run("token", "lookup", "-").wantCode(t, 0)
	if f.last(t).body != `{"token":"hvs.piped"}` {
		t.Errorf("%s", f.last(t).body)
	}
	sh.run("token", "lookup", "-accessor", "a").want(t, 0, "Key    Value\n---    -----\nid     n/a\n", "")
	sh.run("token", "lookup", "-accessor").want(t, 1, "", "Not enough arguments with -accessor (expected 1, got 0)\n")
	sh.run("token", "capabilities", "p").want(t, 0, "create, read\n", "")
	sh.run("token", "capabilities", "-format=json", "p").want(t, 0, "[\n  \"create\",\n  \"read\"\n]\n", "")
	sh.run("token", "capabilities", "t", "p").want(t, 1, "", "No capabilities found\n")
	sh.run("token", "capabilities", "-accessor", "a", "p").want(t, 0, "root\n", "")
}
