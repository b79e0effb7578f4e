package contract_test

import (
	"strings"
	"testing"
)

// entries are the audit entries of one request: those that f writes.
func (h *house) entries(f func() *answer) (request, response m) {
	h.t.Helper()
	before := len(h.audit.all(h.t))
	f()
	for _, e := range h.audit.all(h.t)[before:] {
		switch e["type"] {
		case "request":
			request = e
		case "response":
			response = e
		}
	}
	return request, response
}

// member walks a decoded object.
func member(v any, names ...string) any {
	for _, name := range names {
		object, ok := v.(m)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// want checks a member of an entry.
func want(t *testing.T, entry m, wanted any, names ...string) {
	t.Helper()
	if got := asJSON(t, member(entry, names...)); got != asJSON(t, wanted) {
		t.Errorf("%s is %s, want %s, in %s", strings.Join(names, "."), got, asJSON(t, wanted), asJSON(t, entry))
	}
}

// hashed checks that a member is there and is a hash.
func hashed(t *testing.T, entry m, names ...string) {
	t.Helper()
	if text, ok := member(entry, names...).(string); !ok || !strings.HasPrefix(text, "hmac-sha256:") || len(text) != 76 {
		t.Errorf("%s is %v, want a hash, in %s", strings.Join(names, "."), member(entry, names...), asJSON(t, entry))
	}
}

func TestAuditEntries(t *testing.T) {
	rows(t, []row{
		{"audit §5.2 client_id of a root token", func(t *testing.T, h *house) {
			h.devices()
			request, response := h.entries(func() *answer { return h.lookup(h.root).is(200) })
			for _, e := range []m{request, response} {
				want(t, e, "0DHqvq2D77kL2/JTPSZkTMJbkFVmUu0TzMi0jiXcFy8=", "request", "client_id")
				want(t, e, "auth/token/lookup-self", "request", "path")
				want(t, e, "read", "request", "operation")
				want(t, e, "auth/token/", "request", "mount_point")
				want(t, e, "192.0.2.1", "request", "remote_address")
				want(t, e, true, "auth", "policy_results", "allowed")
				hashed(t, e, "request", "client_token")
			}
			want(t, response, member(request, "request", "id"), "request", "id")
			hashed(t, response, "response", "data", "id")
		}},
		{"audit §5.2 client_id is of the policies", func(t *testing.T, h *house) {
			h.devices()
			id := func(policies ...string) any {
				token := h.create(h.root, m{"policies": policies})
				request, _ := h.entries(func() *answer { return h.lookup(token).is(200) })
				return member(request, "request", "client_id")
			}
			if id("a") == id("b") || id("a") != id("a") || id("a", "b") == id("a,b") {
				t.Error("client_id does not tell policies apart")
			}
		}},
		{"audit §1 a refused request has both entries", func(t *testing.T, h *house) {
			h.devices()
			for _, c := range []struct {
				token, request string
			}{{"", "permission denied"}, {"junk", "permission denied"}, {h.create(h.root, m{"policies": "default"}), denied}} {
				request, response := h.entries(func() *answer { return h.do("GET", "sys/mounts", c.token, nil).is(403) })
				want(t, request, c.request, "error")
				if text, ok := member(response, "error").(string); !ok || !strings.Contains(text, "permission denied") {
					t.Errorf("response error %v", member(response, "error"))
				}
				hashed(t, response, "response", "data", "error")
				if c.request == denied {
					want(t, request, false, "auth", "policy_results", "allowed")
				}
			}
		}},
		{"the second unwrap is told apart", func(t *testing.T, h *house) {
			h.devices()
			used := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			unwrap := func(token string) func() *answer {
				return func() *answer { return h.do("POST", "sys/wrapping/unwrap", token, nil).fails(400, noWrapping) }
			}
			h.unwrapped(used).is(200)
			never, _ := h.entries(unwrap("hvs." + strings.Repeat("A", 91)))
			again, response := h.entries(unwrap(used))
			want(t, never, wrap1(noWrapping), "error")
			want(t, again, wrap2(noWrapping, "the wrapping token was used before"), "error")
			want(t, response, wrap2(noWrapping, "the wrapping token was used before"), "error")
			revoked := h.wrap("60", m{"a": 1})
			h.do("POST", "auth/token/revoke-accessor", h.root, m{"accessor": revoked.text("wrap_info", "accessor")}).empty()
			gone, _ := h.entries(unwrap(revoked.text("wrap_info", "token")))
			want(t, gone, wrap1(noWrapping), "error")
			// Rewrapped, and read the old way, it was used too.
			old := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.do("POST", "sys/wrapping/rewrap", h.root, m{"token": old}).is(200)
			again, _ = h.entries(unwrap(old))
			want(t, again, wrap2(noWrapping, "the wrapping token was used before"), "error")
			box := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.do("GET", "cubbyhole/response", box, nil).is(200)
			again, _ = h.entries(unwrap(box))
			want(t, again, wrap2(noWrapping, "the wrapping token was used before"), "error")
			// It is known after a restart too.
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.reopen()
			again, _ = h.entries(unwrap(used))
			want(t, again, wrap2(noWrapping, "the wrapping token was used before"), "error")
		}},
		{"audit §1 an unwrapped answer is shown hashed, member by member", func(t *testing.T, h *house) {
			h.devices()
			token := h.wrap("60", m{"pin": "hunter2"}).text("wrap_info", "token")
			_, response := h.entries(func() *answer { return h.unwrapped(token).is(200) })
			hashed(t, response, "response", "data", "pin")
			created := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}, wrapped("60")).is(200).text("wrap_info", "token")
			_, response = h.entries(func() *answer { return h.unwrapped(created).is(200) })
			hashed(t, response, "response", "auth", "client_token")
			want(t, response, []string{"default"}, "response", "auth", "policies")
		}},
		{"audit §1 a wrapped answer shows the wrapping alone", func(t *testing.T, h *house) {
			h.devices()
			_, response := h.entries(func() *answer {
				return h.do("POST", "auth/token/create", h.root, m{"policies": "default"}, wrapped("60")).is(200)
			})
			hashed(t, response, "response", "wrap_info", "token")
			want(t, response, "auth/token/create", "response", "wrap_info", "creation_path")
			want(t, response, nil, "response", "auth")
		}},
		{"audit: a login's entries", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
			h.devices()
			request, response := h.entries(func() *answer {
				return h.do("POST", "auth/userpass/login/bob", "", m{"password": "correct horse"}).is(200)
			})
			hashed(t, request, "request", "data", "password")
			hashed(t, response, "response", "auth", "client_token")
			want(t, response, "userpass-bob", "response", "auth", "display_name")
		}},
		{"audit: no secret is in any line", func(t *testing.T, h *house) {
			h.devices()
			token := h.create(h.root, m{"policies": "default", "meta": m{"k": "v"}})
			h.do("PUT", "cubbyhole/a", token, m{"pin": "hunter2hunter2"}).empty()
			h.do("GET", "cubbyhole/a", token, nil).is(200)
			h.do("GET", "auth/token/lookup?token="+token, h.root, nil).is(200)
			h.do("POST", "auth/token/lookup", h.root, "token="+token, header("Content-Type", "application/x-www-form-urlencoded")).is(200)
			h.do("GET", "auth/token/lookup-self", "", nil, header("Authorization", "Bearer "+token)).is(200)
			h.do("POST", "auth/token/create", token, m{"id": "hunter2hunter2"}).is(403)
			h.do("POST", "sys/wrapping/unwrap", h.root, m{"token": h.do("GET", "cubbyhole/a", token, nil, wrapped("60")).is(200).text("wrap_info", "token")}).is(200)
			for _, line := range h.audit.lines {
				for _, secret := range []string{token, h.root, "hunter2", "hvs."} {
					if strings.Contains(line, secret) {
						t.Errorf("%q is in %s", secret[:4], line)
					}
				}
			}
		}},
	})
}
