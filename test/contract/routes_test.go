package contract_test

import (
	"regexp"
	"strings"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/mount"
)

// verbs are what a client can say, and the operation that each is.
func verbs() map[string]backend.Operation {
	return map[string]backend.Operation{"GET": backend.Read, "POST": backend.Update, "PATCH": backend.Patch, "DELETE": backend.Delete, "LIST": backend.List}
}

var capture = regexp.MustCompile(`\{[^}]*\}`)

// rawPaths answer below sys/ outside the pipeline.
func rawPaths() []string {
	return []string{"sys/init", "sys/seal-status", "sys/unseal", "sys/seal", "sys/step-down", "sys/health", "sys/leader",
		"sys/generate-root/attempt", "sys/generate-root/update", "sys/rekey/init", "sys/rekey/update", "sys/rekey/verify",
		"sys/rekey-recovery-key/init", "sys/rekey-recovery-key/update", "sys/rekey-recovery-key/verify"}
}

// TestEveryRoute walks the whole route table of a server with one mount of every kind: who may
// not, may not; what is not there says so; nothing panics and nothing is a fault of the server's.
func TestEveryRoute(t *testing.T) {
	h := open(t)
	for _, kind := range []string{"approle", "userpass", "ldap", "jwt", "oidc", "cert", "kubernetes"} {
		h.do("POST", "sys/auth/"+kind, h.root, m{"type": kind}).empty()
	}
	h.mount("kv1")
	nobody := h.holder("nobody", `path "nowhere" { capabilities = ["read"] }`)
	house := h.node.Enter()
	var mounts []*mount.Mounted
	mounts = append(mounts, house.Mounts.All(mount.SecretClass)...)
	mounts = append(mounts, house.Mounts.All(mount.AuthClass)...)
	house.Leave()
	merge := header("Content-Type", "application/merge-patch+json")
	walked := 0
	for _, mounted := range mounts {
		for _, route := range mounted.Routes.Routes() {
			path := mounted.Entry.Path + capture.ReplaceAllString(route.Pattern, "walk")
			for verb, op := range verbs() {
				walked++
				t.Run(verb+" "+mounted.Entry.Path+route.Pattern, func(t *testing.T) {
					h.t = t
					// Where patterns overlap, another row may be the one that serves the verb.
					served := route
					if match, ok := mounted.Routes.Find(op, strings.TrimPrefix(path, mounted.Entry.Path)); ok {
						served = match.Route
					}
					walk(t, h, visit{route: served, verb: verb, path: path, op: op, nobody: nobody, merge: merge})
				})
			}
		}
	}
	h.t = t
	if walked < 300 {
		t.Errorf("only %d rows were walked", walked)
	}
	if strings.Contains(h.log.String(), "panicked") {
		t.Errorf("something panicked: %s", h.log.String())
	}
	h.do("PUT", "sys/seal", h.root, nil).empty()
}

// visit is one verb on one route.
type visit struct {
	route      *backend.Route
	verb, path string
	op         backend.Operation
	nobody     string
	merge      with
}

func walk(t *testing.T, h *house, v visit) {
	defined := v.route.Endpoint(v.op).Defined()
	send := func(token string, body any) *answer {
		a := h.do(v.verb, v.path, token, body, v.merge)
		if a.status == 500 && !knownFailure(a.body) {
			t.Errorf("%s with %T: 500 %s", v.verb, body, a.body)
		}
		return a
	}
	writesToSlash := strings.HasSuffix(v.path, "/") && (v.op == backend.Update || v.op == backend.Patch)
	switch {
	case writesToSlash:
		send("", m{}).fails(400, "cannot write to a path ending in '/'")
		return
	case v.route.Open && defined:
		if a := send("", nil); a.status >= 500 || (a.status == 403 && strings.Contains(a.body, "1 error occurred")) {
			t.Errorf("open, without a token: %d %s", a.status, a.body)
		}
	case v.route.Open:
		send("", nil).fails(405, wrap1("unsupported operation"))
	case v.route.Precheck != nil && defined:
		send("", nil).fails(403, "error validating wrapping token: token is empty")
		send("junk", nil).fails(400, noWrapping)
	default:
		send("", nil).fails(403, "permission denied")
		send("junk", nil).fails(403, badToken)
		if a := send(v.nobody, nil); v.route.Exists == nil || a.status == 403 {
			a.fails(403, denied)
		} else if a.status >= 500 {
			t.Errorf("existence check: %d %s", a.status, a.body)
		}
	}
	if !defined {
		send(h.root, m{}).fails(405, wrap1("unsupported operation"))
	}
	if v.verb == "GET" {
		h.do("GET", v.path+"?help=1", "", nil).fails(403, "permission denied")
		h.do("HELP", v.path, "junk", nil).fails(403, badToken)
		if h.do("GET", v.path+"?help=1", v.nobody, nil).is(200).text("help") == "" {
			t.Error("help says nothing")
		}
	}
	if defined && destroysTheTest(v.path) {
		return
	}
	// Whatever is sent, the answer is not the server's own fault.
	for _, body := range hostile() {
		send(h.root, body)
		if v.route.Open {
			send("", body)
		}
	}
}

// hostile are bodies that no client sends.
func hostile() []any {
	return []any{nil, "", "{", "[]", "null", m{}, `{"path":5,"name":{},"token":[],"policies":5,"data":5,"options":5,"type":[],"config":5,"input":{},"paths":5}`,
		`{"path":null,"name":null,"token":null,"policies":null,"data":null,"options":null,"type":null,"config":null,"input":null,"paths":null,"key":null}`,
		`{"a":{"b":{"c":[{"d":1e400}]}},"data":{"x":"\u0000"},"options":{"cas":1e40},"ttl":1e30,"increment":"1e9h","num_uses":1e18}`,
		`{"ttl":"99999999999999999h","period":-9223372036854775808,"increment":9223372036854775807,"versions":[1e30],"policy":"\u0000"}`}
}

// knownFailure are the 500s that the contract asks for.
func knownFailure(body string) bool {
	for _, text := range []string{"no token found", "past the max TTL", "could not be found, not renewing"} {
		if strings.Contains(body, text) {
			return true
		}
	}
	return false
}

// destroysTheTest names what would end the walk's own token or mounts.
func destroysTheTest(path string) bool {
	for _, p := range []string{"auth/token/revoke-self", "sys/leases/revoke-", "sys/revoke-", "sys/remount"} {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// TestRawPaths walks what answers outside the pipeline.
func TestRawPaths(t *testing.T) {
	h := open(t)
	for _, path := range rawPaths() {
		for _, verb := range []string{"GET", "PUT", "POST", "DELETE", "LIST", "PATCH", "HEAD", "BREW", "HELP"} {
			for _, body := range []any{nil, "{", "[]", `"x"`, m{"key": 5}, m{"key": "zz"}, m{"otp": "x"}, m{"secret_shares": "x"}, m{"secret_shares": -1}, strings.Repeat("[", 100000)} {
				a := h.do(verb, path, "", body)
				if a.status == 500 && !strings.Contains(a.body, "migration") && !strings.Contains(a.body, "invalid rekey seal configuration") {
					t.Errorf("%s %s %v: %s", verb, path, body, a.body)
				}
			}
		}
		h.do("BREW", path, h.root, nil).fails(405)
		h.do("GET", path+"?list=true", h.root, nil)
	}
	if strings.Contains(h.log.String(), "panicked") {
		t.Error("something panicked")
	}
	h.lookup(h.root).is(200)
}
