package contract_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const noWrapping = "wrapping token is not valid or does not exist"

// wrap wraps a value and returns the whole answer.
func (h *house) wrap(ttl string, body any) *answer {
	h.t.Helper()
	return h.do("POST", "sys/wrapping/wrap", h.root, body, wrapped(ttl)).is(200)
}

// unwrap opens a wrapping token by itself.
func (h *house) unwrapped(token string) *answer {
	h.t.Helper()
	return h.do("POST", "sys/wrapping/unwrap", token, nil)
}

func TestWrappingEdgeCases(t *testing.T) {
	rows(t, []row{
		{"wrapping §8.1 there and back", func(t *testing.T, h *house) {
			a := h.wrap("60", `{"a":9007199254740993,"b":{"c":[1,"x",null]},"token":5}`).has("", "request_id").has("sys/wrapping/wrap", "wrap_info", "creation_path").
				has(60, "wrap_info", "ttl").lacks("wrap_info", "wrapped_accessor").has(nil, "data")
			b := h.unwrapped(a.text("wrap_info", "token")).is(200)
			like(t, b, `{"request_id":"UUID","lease_id":"","renewable":false,"lease_duration":0,"data":{"a":9007199254740993,"b":{"c":[1,"x",null]},"token":5},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"system"}`)
		}},
		{"wrapping §8.2 once", func(t *testing.T, h *house) {
			token := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.unwrapped(token).is(200)
			h.unwrapped(token).fails(400, noWrapping)
			h.do("POST", "sys/wrapping/unwrap", h.root, m{"token": token}).fails(400, noWrapping)
		}},
		{"wrapping §8.3 what is no wrapping token", func(t *testing.T, h *house) {
			h.unwrapped(h.root).fails(400, noWrapping)
			h.do("POST", "sys/wrapping/unwrap", h.root, m{"token": h.root}).fails(400, noWrapping)
			h.do("POST", "sys/wrapping/unwrap", h.root, m{"token": "junk"}).fails(400, noWrapping)
			for _, path := range []string{"unwrap", "lookup", "rewrap"} {
				h.do("POST", "sys/wrapping/"+path, h.root, m{"token": ""}).fails(403, "error validating wrapping token: empty token in request body")
				h.do("POST", "sys/wrapping/"+path, h.root, m{"token": 5}).fails(403, "error validating wrapping token: could not decode token in request body")
				h.do("POST", "sys/wrapping/"+path, h.root, m{"token": nil}).fails(403, "error validating wrapping token: could not decode token in request body")
				h.do("POST", "sys/wrapping/"+path, "", nil).fails(403, "error validating wrapping token: token is empty")
			}
		}},
		{"wrapping §8.4 lookup costs nothing", func(t *testing.T, h *house) {
			a := h.wrap("60", m{"a": 1})
			token := a.text("wrap_info", "token")
			for _, b := range []*answer{
				h.do("POST", "sys/wrapping/lookup", "", m{"token": token}), h.do("GET", "sys/wrapping/lookup", token, nil),
				h.do("POST", "sys/wrapping/lookup", token, nil), h.do("POST", "sys/wrapping/lookup", h.root, m{"token": token}),
			} {
				b.is(200).has(60, "data", "creation_ttl").has("sys/wrapping/wrap", "data", "creation_path").
					has(a.text("wrap_info", "creation_time"), "data", "creation_time")
			}
			h.wall.advance(30 * time.Second)
			h.do("GET", "sys/wrapping/lookup", token, nil).is(200).has(60, "data", "creation_ttl")
			h.unwrapped(token).is(200)
		}},
		{"wrapping §8.5 lookup without any token", func(t *testing.T, h *house) {
			h.do("GET", "sys/wrapping/lookup", "", nil).fails(403, "error validating wrapping token: token is empty")
		}},
		{"wrapping §8.6 a 204 is not wrapped", func(t *testing.T, h *house) {
			h.do("PUT", "cubbyhole/a", h.root, m{"a": 1}, wrapped("60")).empty()
		}},
		{"wrapping §8.7 a 404 is not wrapped", func(t *testing.T, h *house) {
			h.do("GET", "secret/data/nope", h.root, nil, wrapped("60")).fails(404)
			h.do("LIST", "secret/metadata/nope", h.root, nil, wrapped("60")).fails(404)
			h.do("GET", "sys/mounts", "", nil, wrapped("60")).fails(403, "permission denied")
			h.do("POST", "auth/token/create", h.root, m{"ttl": "-1"}, wrapped("60")).fails(400, "ttl must be positive")
		}},
		{"wrapping §8.8 the header", func(t *testing.T, h *house) {
			look := func(ttl string) *answer { return h.do("GET", "auth/token/lookup-self", h.root, nil, wrapped(ttl)) }
			look("abc").failsLike(400, "error parsing X-Vault-Wrap-TTL header: ")
			look("-5").fails(400, "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative")
			for _, off := range []string{"", "0", "0s"} {
				look(off).is(200).has(nil, "wrap_info").has(h.root, "data", "id")
			}
			for ttl, seconds := range map[string]int{"2m": 120, "60": 60, "60s": 60, "1h": 3600, "1d": 86400, "2000h": 7200000, "500ms": 1} {
				a := look(ttl).is(200).has(seconds, "wrap_info", "ttl")
				h.do("GET", "sys/wrapping/lookup", a.text("wrap_info", "token"), nil).is(200).has(seconds, "data", "creation_ttl")
			}
		}},
		{"wrapping §8.8 a life beyond the end of time is long, not over", func(t *testing.T, h *house) {
			a := h.do("GET", "auth/token/lookup-self", h.root, nil, wrapped("9000000000"))
			if a.status == 400 {
				return
			}
			h.unwrapped(a.is(200).text("wrap_info", "token")).is(200)
		}},
		{"wrapping §8.9 a wrapped token", func(t *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}, wrapped("60")).is(200).has(nil, "auth")
			accessor := a.text("wrap_info", "wrapped_accessor")
			h.do("POST", "auth/token/lookup-accessor", h.root, m{"accessor": accessor}).is(200).has("auth/token/create", "data", "path")
			b := h.unwrapped(a.text("wrap_info", "token")).is(200).has(accessor, "auth", "accessor")
			h.lookup(b.text("auth", "client_token")).is(200)
		}},
		{"wrapping §8.10 its end", func(t *testing.T, h *house) {
			token := h.wrap("1s", m{"a": 1}).text("wrap_info", "token")
			h.wall.advance(2 * time.Second)
			h.unwrapped(token).fails(400, noWrapping)
			h.do("GET", "sys/wrapping/lookup", token, nil).fails(400, noWrapping)
		}},
		{"wrapping §8.11 a refused request burns nothing", func(t *testing.T, h *house) {
			token := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.lookup(token).fails(403, denied)
			h.do("GET", "nope", token, nil).fails(403, denied)
			h.do("PUT", "sys/seal", token, nil).fails(403, denied)
			h.do("POST", "auth/token/revoke-self", token, nil).fails(403, denied)
			h.do("GET", "sys/wrapping/unwrap", token, nil).fails(405, wrap1("unsupported operation"))
			h.do("DELETE", "sys/wrapping/unwrap", token, nil).fails(405, wrap1("unsupported operation"))
			h.do("POST", "sys/wrapping/unwrap", token, "{not json").is(400)
			h.do("GET", "sys/wrapping/unwrap?help=1", token, nil).is(200)
			h.do("GET", "sys/mounts?help=1", token, nil).is(200)
			h.do("POST", "sys/wrapping/unwrap", token, m{"token": "junk"}).fails(400, noWrapping)
			h.unwrapped(token).is(200).has(1, "data", "a")
		}},
		{"wrapping §8.12 rewrap", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/a", h.root, m{"k": "v"}).empty()
			old := h.do("GET", "kv1/a", h.root, nil, wrapped("60")).is(200)
			h.wall.advance(30 * time.Second)
			a := h.do("POST", "sys/wrapping/rewrap", h.root, m{"token": old.text("wrap_info", "token")}).is(200).
				has(60, "wrap_info", "ttl").has("kv1/a", "wrap_info", "creation_path")
			h.unwrapped(old.text("wrap_info", "token")).fails(400, noWrapping)
			h.unwrapped(a.text("wrap_info", "token")).is(200).has("v", "data", "k")
			short := h.do("POST", "sys/wrapping/rewrap", h.root, m{"token": h.wrap("60", m{}).text("wrap_info", "token")}, wrapped("10")).is(200).has(10, "wrap_info", "ttl")
			long := h.do("POST", "sys/wrapping/rewrap", h.root, m{"token": h.wrap("60", m{}).text("wrap_info", "token")}, wrapped("100")).is(200).has(60, "wrap_info", "ttl")
			for _, b := range []*answer{short, long} {
				h.unwrapped(b.text("wrap_info", "token")).is(200)
			}
		}},
		{"wrapping §8.13 a wrapping token does not rewrap itself", func(t *testing.T, h *house) {
			token := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.do("POST", "sys/wrapping/rewrap", token, nil).fails(403, denied)
			h.unwrapped(token).is(200)
		}},
		{"wrapping §8.14 the old way", func(t *testing.T, h *house) {
			token := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			a := h.do("GET", "cubbyhole/response", token, nil).is(200).
				warns("Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap responses, as it provides additional security checks and other benefits.")
			if text := a.text("data", "response"); !strings.Contains(text, `"data":{"a":1}`) || !strings.Contains(text, `"request_id":"`) {
				t.Fatalf("response is %q", text)
			}
			h.unwrapped(token).fails(400, noWrapping)
			h.do("GET", "cubbyhole/response", token, nil).fails(403, badToken)
		}},
		{"wrapping §8.15, policies §13.25 bounds of a policy", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/a", h.root, m{"k": "v"}).empty()
			token := h.holder("bounds", `path "kv1/a" { capabilities = ["read"] min_wrapping_ttl = "1s" max_wrapping_ttl = "100s" }`)
			h.do("GET", "kv1/a", token, nil).fails(403, denied)
			h.do("GET", "kv1/a", token, nil, wrapped("60")).is(200).has(60, "wrap_info", "ttl")
			h.do("GET", "kv1/a", token, nil, wrapped("101")).fails(403, denied)
			h.do("GET", "kv1/a", h.root, nil).is(200)
		}},
		{"wrapping §8.16 null and empty bodies", func(t *testing.T, h *house) {
			for _, body := range []any{nil, "null", "", "{}"} {
				h.do("POST", "sys/wrapping/unwrap", h.wrap("60", m{"a": 1}).text("wrap_info", "token"), body).is(200)
			}
		}},
		{"wrapping §8.17 twenty at once", func(t *testing.T, h *house) {
			token := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			var won, lost atomic.Int64
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					caller, body := token, any(nil)
					if i%2 == 1 {
						caller, body = h.root, m{"token": token}
					}
					switch a := h.do("POST", "sys/wrapping/unwrap", caller, body); {
					case a.status == 200:
						won.Add(1)
					case a.status == 400 && strings.Contains(a.body, noWrapping):
						lost.Add(1)
					default:
						t.Errorf("%d %s", a.status, a.body)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 || lost.Load() != 19 {
				t.Fatalf("%d won, %d lost", won.Load(), lost.Load())
			}
		}},
		{"wrapping §8.18 a deleted version is answered in clear (observed, secrets §2)", func(t *testing.T, h *house) {
			h.do("POST", "secret/data/a", h.root, m{"data": m{"k": "v"}}).is(200)
			h.do("DELETE", "secret/data/a", h.root, nil).empty()
			h.do("GET", "secret/data/a", h.root, nil, wrapped("60")).is(404).has(nil, "data", "data").has(1, "data", "metadata", "version").lacks("errors")
		}},
		{"wrapping §8.19 a restart", func(t *testing.T, h *house) {
			token := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.reopen()
			h.unwrapped(token).is(200).has(1, "data", "a")
		}},
		{"wrapping §8.20 revoked by its accessor", func(t *testing.T, h *house) {
			a := h.wrap("60", m{"a": 1})
			h.do("POST", "auth/token/revoke-accessor", h.root, m{"accessor": a.text("wrap_info", "accessor")}).empty()
			h.unwrapped(a.text("wrap_info", "token")).fails(400, noWrapping)
		}},
	})
}

// reopen unseals the server again.
func (h *house) reopen() {
	h.t.Helper()
	if _, err := h.node.SubmitShare(context.Background(), "", h.unseal); err != nil {
		h.t.Fatal(err)
	}
}

func TestWrapping(t *testing.T) {
	rows(t, []row{
		{"wrapping §3 what a wrapping token is", func(t *testing.T, h *house) {
			token := h.do("GET", "auth/token/lookup-self", h.root, nil, wrapped("2000h")).is(200).text("wrap_info", "token")
			h.ask(token).is(200).has([]string{"response-wrapping"}, "data", "policies").has(1, "data", "num_uses").has(7200000, "data", "ttl").
				has(7200000, "data", "explicit_max_ttl").has(false, "data", "renewable").has(true, "data", "orphan").has("", "data", "display_name").
				has(nil, "data", "meta").has("", "data", "entity_id").has("service", "data", "type").has("auth/token/lookup-self", "data", "path")
		}},
		{"wrapping §4.1 without the header", func(t *testing.T, h *house) {
			h.do("POST", "sys/wrapping/wrap", h.root, m{"a": 1}).fails(400, "endpoint requires response wrapping to be used")
		}},
		{"wrapping §4.1 nothing is wrapped too", func(t *testing.T, h *house) {
			h.unwrapped(h.wrap("60", nil).text("wrap_info", "token")).is(200).has(nil, "data")
		}},
		{"sys §0.2 a wrapped answer is injected neither outside nor inside", func(t *testing.T, h *house) {
			a := h.do("GET", "sys/mounts", h.root, nil, wrapped("60")).is(200).lacks("secret/")
			h.unwrapped(a.text("wrap_info", "token")).is(200).lacks("secret/").has("kv", "data", "secret/", "type")
			h.unwrapped(h.wrap("60", m{"k": "v"}).text("wrap_info", "token")).is(200).lacks("k").has("v", "data", "k")
		}},
		{"wrapping §4.2.5 a third party spends a use of its own", func(t *testing.T, h *house) {
			third := h.create(h.root, m{"policies": "default", "num_uses": 2})
			h.do("POST", "sys/wrapping/unwrap", third, m{"token": h.wrap("60", m{"a": 1}).text("wrap_info", "token")}).is(200)
			h.ask(third).has(1, "data", "num_uses")
		}},
		{"wrapping §4.2 one wrapping token in header and body (observed)", func(t *testing.T, h *house) {
			token := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.do("POST", "sys/wrapping/unwrap", token, m{"token": token}).is(200).has(1, "data", "a")
			h.unwrapped(token).fails(400, noWrapping)
		}},
		{"wrapping §4.2 one wrapping token opens another and lives", func(t *testing.T, h *house) {
			one, two := h.wrap("60", m{"n": 1}).text("wrap_info", "token"), h.wrap("60", m{"n": 2}).text("wrap_info", "token")
			h.do("POST", "sys/wrapping/unwrap", one, m{"token": two}).is(200).has(2, "data", "n")
		}},
		{"wrapping §4 no right to unwrap burns nothing", func(t *testing.T, h *house) {
			nobody := h.holder("nobody", `path "x" { capabilities = ["read"] }`)
			token := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.do("POST", "sys/wrapping/unwrap", nobody, m{"token": token}).fails(403, denied)
			h.do("POST", "sys/wrapping/rewrap", nobody, m{"token": token}).fails(403, denied)
			h.do("POST", "sys/wrapping/unwrap", "", m{"token": token}).fails(403, "permission denied")
			h.do("POST", "sys/wrapping/unwrap", "junk", m{"token": token}).fails(403, badToken)
			h.unwrapped(token).is(200)
		}},
		{"wrapping §1.5 a wrapped login", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
			a := h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}, wrapped("60")).is(200).has("auth/userpass/login/bob", "wrap_info", "creation_path")
			b := h.unwrapped(a.text("wrap_info", "token")).is(200).has(a.text("wrap_info", "wrapped_accessor"), "auth", "accessor")
			h.lookup(b.text("auth", "client_token")).is(200)
			h.do("POST", "auth/userpass/login/bob", "", m{"password": "wrong"}, wrapped("60")).is(400)
		}},
		{"wrapping §1.5 a wrapped secret id shows its accessor", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
			h.do("POST", "auth/approle/role/r", h.root, m{}).empty()
			a := h.do("POST", "auth/approle/role/r/secret-id", h.root, m{}, wrapped("60")).is(200)
			h.unwrapped(a.text("wrap_info", "token")).is(200).has(a.text("wrap_info", "wrapped_accessor"), "data", "secret_id_accessor")
		}},
		{"wrapping §1.7 what is not wrappable", func(t *testing.T, h *house) {
			h.do("GET", "sys/health", "", nil, wrapped("60")).is(200).lacks("wrap_info")
			h.do("GET", "sys/seal-status", "", nil, wrapped("60")).is(200).lacks("wrap_info")
			h.do("GET", "sys/mounts?help=1", h.root, nil, wrapped("60")).is(200).lacks("wrap_info")
		}},
		{"wrapping §1.7 warnings are inside", func(t *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, m{"nope": 1}, wrapped("60")).is(200).warns()
			h.unwrapped(a.text("wrap_info", "token")).is(200).warns("Endpoint ignored these unrecognized parameters: [nope]")
		}},
		{"leases §1.4 revoke-prefix reaches pending wrappings of the path", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/a", h.root, m{"k": "v"}).empty()
			token := h.do("GET", "kv1/a", h.root, nil, wrapped("60")).is(200).text("wrap_info", "token")
			h.do("POST", "sys/leases/revoke-prefix/kv1", h.root, nil).empty()
			h.unwrapped(token).fails(400, noWrapping)
		}},
		{"a wrapping outlives who asked for it, as an orphan", func(t *testing.T, h *house) {
			parent := h.create(h.root, m{"policies": "default"})
			token := h.do("GET", "auth/token/lookup-self", parent, nil, wrapped("60")).is(200).text("wrap_info", "token")
			h.do("POST", "auth/token/revoke", h.root, m{"token": parent}).empty()
			h.unwrapped(token).is(200).has(parent, "data", "id")
		}},
		{"a token with one use asks for its last answer wrapped", func(t *testing.T, h *house) {
			last := h.create(h.root, m{"policies": "default", "num_uses": 1})
			token := h.do("GET", "auth/token/lookup-self", last, nil, wrapped("60")).is(200).text("wrap_info", "token")
			h.dead(last)
			h.unwrapped(token).is(200).has(last, "data", "id")
		}},
	})
}
