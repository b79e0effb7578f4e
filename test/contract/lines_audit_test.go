package contract_test

import (
	"strings"
	"testing"
)

// hash is what audit-hash makes of a value.
func (h *house) hash(value string) string {
	h.t.Helper()
	return h.do("POST", "sys/audit-hash/rec", h.root, m{"input": value}).is(200).text("data", "hash")
}

// recording enables the recorder with options.
func (h *house) recording(options m) {
	h.t.Helper()
	h.do("PUT", "sys/audit/rec", h.root, m{"type": "recorder", "options": options}).empty()
}

// Contract: audit §10 as a client and a reader of the log see it. What is of devices alone (2, 3, 11, 12)
// is in internal/audit/contract_test.go and internal/audit/file.
func TestAuditLines(t *testing.T) {
	rows(t, []row{
		{"audit §10.1 without devices everything works", func(_ *testing.T, h *house) {
			h.do("GET", "sys/audit", h.root, nil).is(200).has(m{}, "data")
			h.lives(h.create(h.root, m{"policies": "default"}))
		}},
		{"audit §10.4 the last device is broken", func(_ *testing.T, h *house) {
			h.devices()
			h.do("GET", "secret/metadata?list=true", h.root, nil).fails(404)
			h.audit.refuseIf(func(string) bool { return true })
			h.lookup(h.root).is(500)
			h.do("PUT", "secret/data/a", h.root, m{"data": m{"a": 1}}).is(500)
			// It cannot be disabled by a request that it would have to take; docs/operations.md has the way out.
			h.do("DELETE", "sys/audit/rec", h.root, nil).is(500)
			h.audit.refuseIf(nil)
			h.do("GET", "secret/data/a", h.root, nil).fails(404)
			h.do("DELETE", "sys/audit/rec", h.root, nil).empty()
		}},
		{"audit §10.5 a wrong token in both entries", func(t *testing.T, h *house) {
			h.devices()
			const wrong = "hvs.nobodyhasthisone"
			request, response := h.entries(func() *answer { return h.lookup(wrong).is(403) })
			for _, e := range []m{request, response} {
				if text, ok := member(e, "error").(string); !ok || !strings.Contains(text, "permission denied") {
					t.Errorf("error %v", member(e, "error"))
				}
				want(t, e, h.hash(wrong), "request", "client_token")
			}
		}},
		{"audit §10.6 own token and accessor", func(t *testing.T, h *house) {
			h.devices()
			made := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(200)
			token, accessor := made.text("auth", "client_token"), made.text("auth", "accessor")
			request, _ := h.entries(func() *answer { return h.lookup(token).is(200) })
			want(t, request, h.hash(token), "auth", "client_token")
			want(t, request, h.hash(accessor), "auth", "accessor")
			want(t, request, h.hash(accessor), "request", "client_token_accessor")
		}},
		{"audit §10.7 hmac_accessor=false", func(t *testing.T, h *house) {
			h.recording(m{"hmac_accessor": "false"})
			made := h.do("POST", "auth/token/create", h.root, m{"policies": "default"}).is(200)
			token, accessor := made.text("auth", "client_token"), made.text("auth", "accessor")
			request, _ := h.entries(func() *answer { return h.lookup(token).is(200) })
			want(t, request, accessor, "auth", "accessor")
			want(t, request, accessor, "request", "client_token_accessor")
			hashed(t, request, "auth", "client_token")
			hashed(t, request, "request", "client_token")
			var wrap *answer
			_, response := h.entries(func() *answer {
				wrap = h.do("POST", "auth/token/create", h.root, m{"policies": "default"}, wrapped("60s")).is(200)
				return wrap
			})
			want(t, response, wrap.at("wrap_info", "accessor"), "response", "wrap_info", "accessor")
			want(t, response, wrap.at("wrap_info", "wrapped_accessor"), "response", "wrap_info", "wrapped_accessor")
			hashed(t, response, "response", "wrap_info", "token")
		}},
		{"audit §10.8 a key in clear", func(t *testing.T, h *house) {
			h.devices()
			create := func() m {
				request, _ := h.entries(func() *answer {
					return h.do("POST", "auth/token/create", h.root, m{"policies": []string{"default"}, "display_name": "x"}).is(200)
				})
				return request
			}
			want(t, create(), []string{h.hash("default")}, "request", "data", "policies")
			h.do("POST", "sys/auth/token/tune", h.root, m{"audit_non_hmac_request_keys": "policies"}).empty()
			tuned := create()
			want(t, tuned, []string{"default"}, "request", "data", "policies")
			hashed(t, tuned, "request", "data", "display_name")
		}},
		{"audit §10.9 data by type", func(t *testing.T, h *house) {
			h.devices()
			request, _ := h.entries(func() *answer {
				return h.do("PUT", "secret/data/a", h.root, m{"data": m{"a": m{"b": []any{"x", 1, true}}, "at": "2024-01-01T00:00:00Z"}}).is(200)
			})
			want(t, request, []any{h.hash("x"), 1, true}, "request", "data", "data", "a", "b")
			want(t, request, "2024-01-01T00:00:00Z", "request", "data", "data", "at")
		}},
		{"audit §10.10 lists by their length", func(t *testing.T, h *house) {
			h.recording(m{"elide_list_responses": "true"})
			h.create(h.root, m{"policies": "default"})
			var list *answer
			_, response := h.entries(func() *answer {
				list = h.do("LIST", "auth/token/accessors", h.root, nil).is(200)
				return list
			})
			want(t, response, len(listed(t, list, "data", "keys")), "response", "data", "keys")
		}},
		{"audit §10.13 a wrapped token, and its unwrapping", func(t *testing.T, h *house) {
			h.devices()
			var wrap *answer
			_, response := h.entries(func() *answer {
				wrap = h.do("POST", "auth/token/create", h.root, m{"policies": "default"}, wrapped("60s")).is(200)
				return wrap
			})
			want(t, response, h.hash(wrap.text("wrap_info", "token")), "response", "wrap_info", "token")
			want(t, response, nil, "response", "auth")
			var inside *answer
			_, response = h.entries(func() *answer {
				inside = h.unwrapped(wrap.text("wrap_info", "token")).is(200)
				return inside
			})
			want(t, response, h.hash(inside.text("auth", "client_token")), "response", "auth", "client_token")
		}},
		{"audit §10.14 a query is data", func(t *testing.T, h *house) {
			h.devices()
			h.do("PUT", "secret/data/a", h.root, m{"data": m{"a": 1}}).is(200)
			request, _ := h.entries(func() *answer { return h.do("GET", "secret/data/a?version=1", h.root, nil).is(200) })
			want(t, request, h.hash("1"), "request", "data", "version")
		}},
		{"audit §10.15 a login", func(t *testing.T, h *house) {
			login := h.user("up", "ann")
			h.devices()
			request, response := h.entries(func() *answer { return login().is(200) })
			want(t, request, nil, "auth", "client_token")
			want(t, response, "service", "response", "auth", "token_type")
			want(t, response, int(systemTTL.Seconds()), "response", "auth", "token_ttl")
		}},
		{"audit §10.16 sealing that cannot be written down", func(_ *testing.T, h *house) {
			h.devices()
			h.audit.refuseIf(func(string) bool { return true })
			h.do("PUT", "sys/seal", h.root, nil).failsLike(500, "failed to audit request, cannot continue")
			h.audit.refuseIf(nil)
			h.do("GET", "sys/seal-status", "", nil).has(false, "sealed")
			h.lookup(h.root).is(200)
		}},
		{"audit §10.17 the salt outlives a seal and not its device", func(t *testing.T, h *house) {
			h.devices()
			before := h.hash("x")
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.reopen()
			if after := h.hash("x"); after != before {
				t.Errorf("%s became %s by an unseal", before, after)
			}
			h.do("DELETE", "sys/audit/rec", h.root, nil).empty()
			h.devices()
			if after := h.hash("x"); after == before {
				t.Error("another device hashes alike")
			}
		}},
	})
}
