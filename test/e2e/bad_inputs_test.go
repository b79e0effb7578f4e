package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	deniedByPolicy = "1 error occurred:\n\t* permission denied\n\n"
	noSuchToken    = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"
	noSuchPath     = "1 error occurred:\n\t* unsupported path\n\n"
	noSuchVerb     = "1 error occurred:\n\t* unsupported operation\n\n"
)

// badInput is one request and how it is refused. text is the first error whole, or its
// beginning when it ends with "…"; "" is an empty list of errors.
type badInput struct {
	name, verb, path, token string
	header                  map[string]string
	body                    any
	status                  int
	text                    string
}

// Contract: http §5, §10 and tokens §3, over TCP; and the server lives on.
func TestBadInputs(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		before := s.proc.cmd.Process.Pid
		tokens := endedTokens(t, s)
		rows := append(bodies(), paths(s)...)
		rows = append(rows, values()...)
		rows = append(rows, presented(tokens)...)
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) { row.check(t, s) })
		}
		if !alive(t, s, s.root) || s.proc.cmd.Process.Pid != before {
			t.Error("the server did not live through it")
		}
	})
}

func (b badInput) check(t *testing.T, s *server) {
	var body io.Reader
	switch v := b.body.(type) {
	case string:
		body = strings.NewReader(v)
	case []byte:
		body = bytes.NewReader(v)
	}
	verb := b.verb
	if verb == "" {
		verb = "POST"
	}
	req, err := http.NewRequestWithContext(t.Context(), verb, s.addr+"/"+b.path, body)
	if err != nil {
		t.Fatal(err)
	}
	switch b.token {
	case "":
		req.Header.Set("X-Vault-Token", s.root)
	case "none":
	default:
		req.Header.Set("X-Vault-Token", b.token)
	}
	for k, v := range b.header {
		req.Header.Set(k, v)
	}
	a := s.do(req)
	if b.status == http.StatusRequestHeaderFieldsTooLarge && b.text == "" {
		// The HTTP library refuses such a head before anything of ours sees it.
		if a.status != b.status {
			t.Errorf("got %d %.300s", a.status, a.text)
		}
		return
	}
	first := ""
	if len(a.Errors) > 0 {
		first = a.Errors[0]
	}
	same := first == b.text
	if start, ok := strings.CutSuffix(b.text, "…"); ok {
		same = strings.HasPrefix(first, start)
	}
	if a.status != b.status || !same || !strings.HasPrefix(a.text, `{"errors":[`) {
		t.Errorf("want %d %q, got %d %.300s", b.status, b.text, a.status, a.text)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Error("a refusal without Cache-Control: no-store")
	}
}

func bodies() []badInput {
	const create = "v1/auth/token/create"
	deep := func(open, close string) string {
		return `{"meta":` + strings.Repeat(open, 100_000) + "1" + strings.Repeat(close, 100_000) + "}"
	}
	const complex = "refused JSON input…"
	return []badInput{
		{name: "truncated JSON", path: create, body: `{"ttl":`, status: 400, text: "error parsing JSON"},
		{name: "no JSON", path: create, body: `ttl: 1h`, status: 400, text: "error parsing JSON"},
		{name: "a list", path: create, body: `[1,2]`, status: 400, text: "error parsing JSON: want an object"},
		{name: "a number", path: create, body: `17`, status: 400, text: "error parsing JSON: want an object"},
		{name: "a string", path: create, body: `"ttl"`, status: 400, text: "error parsing JSON: want an object"},
		{name: "broken UTF-8 and control characters", path: create, body: "{\"ttl\":\"\x00\xff\"}", status: 400, text: "error parsing JSON"},
		{name: "100,000 objects in one another", path: create, body: deep(`{"a":`, "}"), status: 400, text: complex},
		{name: "100,000 lists in one another", path: create, body: deep("[", "]"), status: 400, text: complex},
		{name: "100,000 lists never closed", path: create, body: strings.Repeat("[", 100_000), status: 400, text: complex},
		{name: "33 MiB", path: create, body: bytes.Repeat([]byte("x"), 33<<20), status: 413, text: "http: request body too large…"},
		{name: "33 MiB of a secret", path: "v1/secret/data/big", body: `{"data":{"a":"` + strings.Repeat("x", 33<<20) + `"}}`, status: 413, text: "http: request body too large…"},
		{name: "a patch as plain JSON", verb: "PATCH", path: "v1/secret/data/a", header: map[string]string{"Content-Type": "application/json"}, body: `{"data":{}}`,
			status: 415, text: "PATCH requires Content-Type of application/merge-patch+json, provided application/json"},
		{name: "a patch of no type", verb: "PATCH", path: "v1/secret/data/a", body: `{"data":{}}`, status: 400, text: "…"},
	}
}

func paths(s *server) []badInput {
	long := strings.Repeat("n", 10_000)
	rows := []badInput{
		{name: "outside of v1", verb: "GET", path: "v2/secret", status: 404},
		{name: "unknown mount", verb: "GET", path: "v1/nowhere/at/all", status: 404, text: `no handler for route "nowhere/at/all". route entry not found.`},
		{name: "unknown mount listed", verb: "LIST", path: "v1/nowhere", status: 404, text: `no handler for route "nowhere/". route entry not found.`},
		{name: "unknown path of a mount", verb: "GET", path: "v1/auth/token/nothing", status: 404, text: noSuchPath},
		{name: "old form with the token in the path", path: "v1/auth/token/lookup/hvs.x", status: 404, text: noSuchPath},
		{name: "wrong verb", verb: "DELETE", path: "v1/auth/token/create", status: 405, text: noSuchVerb},
		{name: "wrong verb on a raw path", verb: "DELETE", path: "v1/sys/health", status: 405, text: "…"},
		{name: "read of what is written only", verb: "GET", path: "v1/auth/token/revoke", status: 405, text: noSuchVerb},
		{name: "unheard-of verb", verb: "BREW", path: "v1/secret/data/a", status: 405},
		{name: "write to a folder", path: "v1/secret/", body: `{}`, status: 400, text: "cannot write to a path ending in '/'"},
		{name: "list=perhaps", verb: "GET", path: "v1/secret/metadata?list=perhaps", status: 400},
		{name: "nothing there", verb: "GET", path: "v1/secret/data/nothing", status: 404},
		{name: "nothing to list", verb: "LIST", path: "v1/secret/metadata/nothing", status: 404},
		{name: "control characters", verb: "GET", path: "v1/secret/data/a%01b", status: 400, text: "…"},
		{name: "a namespace that is not", verb: "GET", path: "v1/secret/data/a", header: map[string]string{"X-Vault-Namespace": "nowhere"}, status: 404, text: "…"},
		{name: "policy override that is no bool", verb: "GET", path: "v1/secret/data/a", header: map[string]string{"X-Vault-Policy-Override": "perhaps"}, status: 400, text: "…"},
		{name: "wrapping for no duration", verb: "GET", path: "v1/auth/token/lookup-self", header: map[string]string{"X-Vault-Wrap-TTL": "a while"}, status: 400, text: "…"},
		{name: "a name of 10 kB", verb: "GET", path: "v1/secret/data/" + long, status: 404},
		{name: "a name of 100 kB", verb: "GET", path: "v1/secret/data/" + strings.Repeat(long, 10), status: http.StatusRequestHeaderFieldsTooLarge},
		{name: "an empty policy name", verb: "PUT", path: "v1/sys/policies/acl/", body: `{"policy":""}`, status: 400, text: "cannot write to a path ending in '/'"},
		{name: "an empty role name", path: "v1/auth/token/roles/", body: `{}`, status: 400, text: "cannot write to a path ending in '/'"},
		{name: "a policy named like the root", verb: "PUT", path: "v1/sys/policies/acl/root", body: `{"policy":"path \"a\" {}"}`, status: 400, text: "…"},
	}
	for i, path := range []string{"../sys/mounts", "./x", "a/../../sys/mounts"} {
		rows = append(rows, badInput{name: fmt.Sprintf("relative path %d", i), verb: "GET", path: "v1/secret/data/" + strings.ReplaceAll(path, "..", "%2e%2e"), status: 400, text: "relative paths not supported"})
	}
	rows[len(rows)-2].path = "v1/secret/data/%2e/x"
	return rows
}

func values() []badInput {
	row := func(name, body, text string) badInput {
		return badInput{name: name, path: "v1/auth/token/create", body: body, status: 400, text: text}
	}
	return []badInput{
		row("negative ttl", `{"ttl":"-1h"}`, "ttl must be positive"),
		row("negative explicit max", `{"explicit_max_ttl":"-1h"}`, "explicit_max_ttl must be positive"),
		row("negative period", `{"period":"-1h"}`, "period must be positive"),
		row("negative uses", `{"num_uses":-1}`, "number of uses cannot be negative"),
		row("a ttl that is no duration", `{"ttl":"soon"}`, "…"),
		row("a ttl beyond all clocks", `{"ttl":"99999999999999999999h"}`, "…"),
		row("a ttl that is an object", `{"ttl":{"hours":1}}`, "…"),
		row("uses that are a word", `{"num_uses":"many"}`, "…"),
		row("renewable that is a word", `{"renewable":"maybe"}`, "…"),
		row("an unknown type", `{"type":"paper"}`, "…"),
		row("meta that is no map", `{"meta":"x"}`, "…"),
		row("a custom id with a dot", `{"id":"a.b"}`, "custom token ID cannot have a '.' in the value"),
		row("a custom id like ours", `{"id":"hvs.x"}`, "custom token ID cannot have the 'hvs.' prefix"),
		row("the wrapping policy", `{"policies":["response-wrapping"]}`, `cannot assign policy "response-wrapping"`),
		{name: "unknown role", path: "v1/auth/token/create/nobody", body: `{}`, status: 400, text: "unknown role nobody"},
		{name: "lookup of nothing known", path: "v1/auth/token/lookup", body: `{"token":"hvs.unknown"}`, status: 403, text: "bad token"},
		{name: "lookup of no accessor", path: "v1/auth/token/lookup-accessor", body: `{}`, status: 400, text: "1 error occurred:\n\t* missing accessor\n\n"},
		{name: "lookup of an unknown accessor", path: "v1/auth/token/lookup-accessor", body: `{"accessor":"x"}`, status: 400, text: "1 error occurred:\n\t* invalid accessor\n\n"},
		{name: "renewal of no token", path: "v1/auth/token/renew", body: `{}`, status: 400, text: "missing token ID"},
		{name: "renewal of an unknown token", path: "v1/auth/token/renew", body: `{"token":"x"}`, status: 400, text: "token not found"},
		{name: "renewal by less than nothing", path: "v1/auth/token/renew-self", body: `{"increment":-1}`, status: 400, text: `Field validation failed: error converting input for field "increment"…`},
		{name: "revocation of no token", path: "v1/auth/token/revoke", body: `{}`, status: 400, text: "missing token ID"},
		{name: "revoke-orphan of an unknown token", path: "v1/auth/token/revoke-orphan", body: `{"token":"x"}`, status: 400, text: "token to revoke not found"},
		{name: "a role with an odd suffix", path: "v1/auth/token/roles/r", body: `{"path_suffix":"a/../b"}`, status: 400, text: "…"},
		{name: "a role of an unknown type", path: "v1/auth/token/roles/r", body: `{"token_type":"paper"}`, status: 400, text: `invalid 'token_type' value "paper"`},
		{name: "a role of negative uses", path: "v1/auth/token/roles/r", body: `{"token_num_uses":-1}`, status: 400, text: "error parsing role fields: 'token_num_uses' cannot be negative"},
		{name: "a policy of truncated JSON", verb: "PUT", path: "v1/sys/policies/acl/p", body: `{"policy":"{\"path\":{"}`, status: 400, text: "…"},
		{name: "a policy with an unknown capability", verb: "PUT", path: "v1/sys/policies/acl/p", body: `{"policy":"path \"a\" { capabilities = [\"fly\"] }"}`, status: 400, text: "…"},
		{name: "an unseal key that is no key", verb: "PUT", path: "v1/sys/unseal", body: `{"key":"%%%"}`, status: 400, text: "…"},
		{name: "a mount of an unknown kind", path: "v1/sys/mounts/x", body: `{"type":"nothing"}`, status: 400, text: "…"},
		{name: "a mount where there is one", path: "v1/sys/mounts/secret", body: `{"type":"kv"}`, status: 400, text: "path is already in use at secret/"},
	}
}

// ended are tokens that are good for nothing, by how they came to be so.
func endedTokens(t *testing.T, s *server) map[string]string {
	t.Helper()
	expired := auth(t, s, map[string]any{"policies": []string{"default"}, "ttl": "1s"}).ClientToken
	revoked := token(t, s, map[string]any{"policies": []string{"default"}})
	if a := s.raw("POST", "auth/token/revoke", s.root, map[string]any{"token": revoked}); a.status != 204 {
		t.Fatalf("revoke: %d %s", a.status, a.text)
	}
	used := token(t, s, map[string]any{"policies": []string{"default"}, "num_uses": 1})
	if !alive(t, s, used) {
		t.Fatal("a token of one use had none")
	}
	// Uses are spent by refusals as well. Contract: tokens §13.18.
	denied := token(t, s, map[string]any{"policies": []string{"default"}, "num_uses": 2})
	for range 2 {
		if a := s.raw("GET", "secret/data/a", denied, nil); a.status != 403 || a.Errors[0] != deniedByPolicy {
			t.Fatalf("denied: %d %s", a.status, a.text)
		}
	}
	await(t, patience, "the end of a token of one second", func() bool { return !alive(t, s, expired) })
	living := token(t, s, map[string]any{"policies": []string{"default"}})
	return map[string]string{"expired": expired, "revoked": revoked, "used up": used, "used up by refusals": denied,
		"living": living, "with its last letter changed": garble(living)}
}

// garble changes the last letter of a token.
func garble(token string) string {
	last := byte('A')
	if token[len(token)-2] == last {
		last = 'B'
	}
	return token[:len(token)-2] + string(last) + token[len(token)-1:]
}

func presented(tokens map[string]string) []badInput {
	rows := []badInput{
		{name: "no token", verb: "GET", token: "none", path: "v1/secret/data/a", status: 403, text: "permission denied"},
		{name: "no token on a path that is not", verb: "GET", token: "none", path: "v1/nowhere", status: 403, text: "permission denied"},
		{name: "bearer in lower case", verb: "GET", token: "none", header: map[string]string{"Authorization": "bearer root"}, path: "v1/secret/data/a", status: 403, text: "permission denied"},
		{name: "basic authentication", verb: "GET", token: "none", header: map[string]string{"Authorization": "Basic cm9vdDpyb290"}, path: "v1/secret/data/a", status: 403, text: "permission denied"},
		{name: "help without a token", verb: "GET", token: "none", path: "v1/secret/data/a?help=1", status: 403, text: "permission denied"},
		{name: "a plain token on an unknown mount", verb: "GET", token: tokens["living"], path: "v1/nowhere/at/all", status: 403, text: deniedByPolicy},
		{name: "a plain token without the right", verb: "GET", token: tokens["living"], path: "v1/secret/data/a", status: 403, text: deniedByPolicy},
		{name: "a plain token on the accessors", verb: "LIST", token: tokens["living"], path: "v1/auth/token/accessors", status: 403, text: deniedByPolicy},
	}
	bad := map[string]string{"junk": "junk", "of 4 kB": "hvs." + strings.Repeat("A", 4_000), "of a batch, forged": "hvb." + strings.Repeat("A", 120),
		"of a legacy form": "s.AAAAAAAAAAAAAAAAAAAAAAAA", "prefix alone": "hvs."}
	for _, how := range []string{"expired", "revoked", "used up", "used up by refusals", "with its last letter changed"} {
		bad[how] = tokens[how]
	}
	rows = append(rows, badInput{name: "token of 10 kB", verb: "GET", token: strings.Repeat("A", 10_000), path: "v1/auth/token/lookup-self", status: http.StatusRequestHeaderFieldsTooLarge, text: "the token header is too large"})
	rows = append(rows, badInput{name: "token of 100 kB", verb: "GET", token: strings.Repeat("A", 100_000), path: "v1/auth/token/lookup-self", status: http.StatusRequestHeaderFieldsTooLarge})
	for name, token := range bad {
		rows = append(rows, badInput{name: "token " + name, verb: "GET", token: token, path: "v1/auth/token/lookup-self", status: 403, text: noSuchToken})
	}
	return rows
}

// What no HTTP client sends: bytes that are no request, a head without end, a promise of
// more than comes.
func TestBytesThatAreNoRequest(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		for name, send := range map[string]string{
			"noise":                      "\x00\x01\x02\xff\xfe\r\n\r\n",
			"a head of 2 MiB":            "GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nX-Filler: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
			"two lengths":                "POST /v1/auth/token/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
			"a negative length":          "POST /v1/auth/token/create HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
			"a path that is not encoded": "GET /v1/secret/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
			"a chunk of nonsense":        "POST /v1/auth/token/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-Vault-Token: " + s.root + "\r\n\r\nzz\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				answer := s.bytes(t, send)
				if !strings.HasPrefix(answer, "HTTP/1.1 4") && answer != "" {
					t.Errorf("answered with %.200q", answer)
				}
			})
		}
		if !alive(t, s, s.root) {
			t.Error("the server did not live through it")
		}
	})
}

// bytes sends bytes as they are and reads until the server hangs up.
func (s *server) bytes(t *testing.T, send string) string {
	t.Helper()
	scheme, host, _ := strings.Cut(s.addr, "://")
	conn, err := net.DialTimeout("tcp", host, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if scheme == "https" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		conn = tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}})
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// The server may hang up before it has read everything; what it said is still there.
	_, _ = io.WriteString(conn, send)
	answer, err := io.ReadAll(conn)
	if err, ok := err.(net.Error); ok && err.Timeout() {
		t.Fatalf("the server neither answered nor hung up")
	}
	return string(answer)
}
