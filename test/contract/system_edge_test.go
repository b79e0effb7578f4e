package contract_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// limit writes a rate limit.
func (h *house) limit(name string, body m) {
	h.t.Helper()
	h.do("POST", "sys/quotas/rate-limit/"+name, h.root, body).empty()
}

func TestSystemQuotas(t *testing.T) {
	rows(t, []row{
		{"sys tests (tail) 4, §17 config: defaults, then exactly what was written", func(t *testing.T, h *house) {
			h.do("GET", "sys/quotas/config", h.root, nil).is(200).has(false, "data", "enable_rate_limit_audit_logging").
				has([]string{"sys/generate-recovery-token/attempt", "sys/generate-recovery-token/update", "sys/generate-root/attempt",
					"sys/generate-root/update", "sys/health", "sys/seal-status", "sys/unseal"}, "data", "rate_limit_exempt_paths").lacks("enable_rate_limit_audit_logging")
			h.do("POST", "sys/quotas/config", h.root, m{"enable_rate_limit_audit_logging": true}).empty()
			h.do("GET", "sys/quotas/config", h.root, nil).has(true, "data", "enable_rate_limit_audit_logging").has([]string{}, "data", "rate_limit_exempt_paths")
			h.do("POST", "sys/quotas/config", h.root, m{"enable_rate_limit_response_headers": true}).empty()
			h.do("GET", "sys/quotas/config", h.root, nil).has(false, "data", "enable_rate_limit_audit_logging").has(true, "data", "enable_rate_limit_response_headers")
		}},
		{"sys §17 rate-limit: the shapes", func(t *testing.T, h *house) {
			h.do("LIST", "sys/quotas/rate-limit", h.root, nil).fails(404)
			h.do("GET", "sys/quotas/rate-limit/none", h.root, nil).fails(404)
			h.limit("a", m{"path": "secret", "rate": 16.7, "interval": "2m", "block_interval": 30})
			a := h.do("GET", "sys/quotas/rate-limit/a", h.root, nil).is(200)
			a.has(m{"type": "rate-limit", "name": "a", "path": "secret/", "role": "", "rate": 16.7, "interval": 120, "block_interval": 30, "inheritable": false}, "data")
			h.limit("b", m{"path": "secret/data/x/*", "rate": 1})
			h.do("GET", "sys/quotas/rate-limit/b", h.root, nil).has("secret/data/x/*", "data", "path").has(1, "data", "interval")
			h.do("LIST", "sys/quotas/rate-limit", h.root, nil).has([]string{"a", "b"}, "data", "keys")
			h.do("DELETE", "sys/quotas/rate-limit/b", h.root, nil).empty()
			h.do("DELETE", "sys/quotas/rate-limit/b", h.root, nil).empty()
			h.do("GET", "sys/quotas/rate-limit/b", h.root, nil).fails(404)
		}},
		{"sys §17 rate-limit: what is refused", func(t *testing.T, h *house) {
			at := "sys/quotas/rate-limit/x"
			h.do("POST", at, h.root, m{"rate": 0}).fails(400, "'rate' is invalid")
			h.do("POST", at, h.root, m{"rate": -1}).fails(400, "'rate' is invalid")
			h.do("POST", at, h.root, m{"rate": 1, "path": "not-exist/"}).fails(400, `invalid mount path "not-exist/"`)
			h.do("POST", at, h.root, m{"rate": 1, "role": "r", "path": "auth/token"}).failsLike(400, "not supported")
			h.limit("first", m{"rate": 1000})
			h.do("POST", at, h.root, m{"rate": 1}).fails(400, `quota rule with similar properties exists under the name "first"`)
			h.limit("first", m{"rate": 2000})
		}},
		{"sys tests (tail) 3: 1 in 1s: the second is 429, sys/health is not", func(t *testing.T, h *house) {
			h.limit("all", m{"rate": 1, "interval": "1s"})
			h.lookup(h.root).is(200)
			h.lookup(h.root).fails(429, `request path "auth/token/lookup-self": rate limit quota exceeded`)
			h.do("GET", "sys/health", "", nil).is(200)
			h.do("GET", "sys/health", "", nil).is(200)
			h.do("GET", "auth/token/lookup-self", h.root, nil, from("192.0.2.9:1")).is(200)
			h.wall.advance(time.Second)
			h.lookup(h.root).is(200)
		}},
		{"sys §17 the most specific quota alone counts", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.limit("mount", m{"rate": 2, "path": "kv1/"})
			h.limit("path", m{"rate": 3, "path": "kv1/deep/*"})
			h.limit("all", m{"rate": 1})
			for range 2 {
				h.do("GET", "kv1/a", h.root, nil).is(404)
			}
			h.do("GET", "kv1/a", h.root, nil).is(429)
			for range 3 {
				h.do("GET", "kv1/deep/a", h.root, nil).is(404)
			}
			h.do("GET", "kv1/deep/b", h.root, nil).is(429)
			h.lookup(h.root).is(200)
			h.lookup(h.root).is(429)
		}},
		{"sys §17 block_interval", func(t *testing.T, h *house) {
			h.limit("all", m{"rate": 1, "block_interval": 10})
			h.lookup(h.root).is(200)
			h.lookup(h.root).is(429)
			h.wall.advance(5 * time.Second)
			h.lookup(h.root).is(429)
			h.wall.advance(6 * time.Second)
			h.lookup(h.root).is(200)
		}},
		{"sys §17 headers when asked for", func(t *testing.T, h *house) {
			h.do("POST", "sys/quotas/config", h.root, m{"enable_rate_limit_response_headers": true}).empty()
			h.limit("all", m{"rate": 2, "interval": 60})
			a := h.lookup(h.root).is(200)
			if a.header.Get("X-Ratelimit-Limit") != "2" || a.header.Get("X-Ratelimit-Remaining") != "1" || a.header.Get("X-Ratelimit-Reset") != "60" {
				t.Fatalf("headers %v", a.header)
			}
			h.lookup(h.root)
			if got := h.lookup(h.root).is(429).header.Get("Retry-After"); got != "60" {
				t.Fatalf("Retry-After %q", got)
			}
		}},
		{"CVE-2025-12044: a limited client's body is not parsed, nor its token looked at", func(t *testing.T, h *house) {
			h.limit("all", m{"rate": 1})
			h.lookup(h.root)
			h.do("POST", "auth/token/create", "junk", strings.Repeat("[", 100_000)).is(429)
		}},
		{"audit §1 refused requests are audited only if asked", func(t *testing.T, h *house) {
			h.devices()
			h.limit("all", m{"rate": 1})
			h.lookup(h.root).is(200)
			before := len(h.audit.all(t))
			h.lookup(h.root).is(429)
			if now := len(h.audit.all(t)); now != before {
				t.Fatalf("%d entries more", now-before)
			}
			h.wall.advance(2 * time.Second)
			h.do("POST", "sys/quotas/config", h.root, m{"enable_rate_limit_audit_logging": true}).empty()
			before = len(h.audit.all(t))
			h.lookup(h.root).is(429)
			entries := h.audit.all(t)[before:]
			if len(entries) != 1 || entries[0]["type"] != "request" || !strings.Contains(asJSON(t, entries[0]["error"]), "rate limit quota exceeded") {
				t.Fatalf("entries %v", entries)
			}
		}},
		{"quotas outlive a sealing", func(t *testing.T, h *house) {
			h.limit("all", m{"rate": 3, "interval": "1h"})
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.do("PUT", "sys/unseal", "", m{"key": hex.EncodeToString(h.unseal)}).is(200)
			h.do("GET", "sys/quotas/rate-limit/all", h.root, nil).is(200).has(3600, "data", "interval")
		}},
	})
}

func TestSystemCORS(t *testing.T) {
	const origin = "https://app.example.org"
	rows(t, []row{
		{"sys §11 off by default", func(t *testing.T, h *house) {
			h.do("GET", "sys/config/cors", h.root, nil).is(200).has(m{"enabled": false}, "data").has(false, "enabled")
			h.do("OPTIONS", "sys/mounts", "", nil, header("Origin", origin)).fails(400, "cannot handle internal-only request operation")
			h.do("GET", "sys/mounts", h.root, nil, header("Origin", origin)).is(200)
		}},
		{"sys §11 writing and reading", func(t *testing.T, h *house) {
			h.do("PUT", "sys/config/cors", h.root, m{}).fails(400, "at least one origin or the wildcard must be provided")
			h.do("PUT", "sys/config/cors", h.root, m{"allowed_origins": "*,https://a"}).fails(400, "to allow all origins the '*' must be the only value for allowed_origins")
			h.do("PUT", "sys/config/cors", h.root, m{"allowed_origins": origin, "allowed_headers": "X-Mine,x-vault-token"}).empty()
			a := h.do("GET", "sys/config/cors", h.root, nil).is(200).has(true, "enabled").has([]string{origin}, "data", "allowed_origins")
			headers := texts(t, a.at("data", "allowed_headers"))
			if len(headers) != 12 || headers[0] != "Content-Type" || headers[11] != "X-Mine" {
				t.Fatalf("headers %v", headers)
			}
			h.do("DELETE", "sys/config/cors", h.root, nil).empty()
			h.do("GET", "sys/config/cors", h.root, nil).has(m{"enabled": false}, "data")
		}},
		{"sys §11 needs sudo", func(t *testing.T, h *house) {
			plain := h.holder("plain", `path "sys/config/*" { capabilities = ["read", "update", "list"] }`)
			h.do("GET", "sys/config/cors", plain, nil).fails(403, denied)
			h.do("LIST", "sys/config/ui/headers", plain, nil).is(403)
		}},
		{"sys §11 the request side", func(t *testing.T, h *house) {
			h.do("PUT", "sys/config/cors", h.root, m{"allowed_origins": origin}).empty()
			h.do("GET", "sys/mounts", h.root, nil, header("Origin", "https://evil.example")).fails(403, "origin not allowed")
			h.do("GET", "sys/health", "", nil, header("Origin", "https://evil.example")).fails(403, "origin not allowed")
			a := h.do("GET", "sys/mounts", h.root, nil, header("Origin", origin)).is(200)
			if a.header.Get("Access-Control-Allow-Origin") != origin || a.header.Get("Vary") != "Origin" {
				t.Fatalf("headers %v", a.header)
			}
			h.do("GET", "sys/mounts", h.root, nil).is(200)
			pre := h.do("OPTIONS", "sys/mounts", "", nil, header("Origin", origin), header("Access-Control-Request-Method", "POST")).is(200)
			if pre.header.Get("Access-Control-Max-Age") != "300" || !strings.Contains(pre.header.Get("Access-Control-Allow-Methods"), "POST") ||
				!strings.Contains(pre.header.Get("Access-Control-Allow-Headers"), "X-Vault-Token") {
				t.Fatalf("headers %v", pre.header)
			}
			h.do("OPTIONS", "sys/mounts", "", nil, header("Origin", origin), header("Access-Control-Request-Method", "BREW")).is(405)
		}},
		{"sys §11 the server's own pages are not from elsewhere", func(t *testing.T, h *house) {
			h.do("PUT", "sys/config/cors", h.root, m{"allowed_origins": origin}).empty()
			h.do("GET", "sys/mounts", h.root, nil, header("Origin", "http://example.com")).is(200)
		}},
	})
}

func TestSystemUIHeaders(t *testing.T) {
	rows(t, []row{
		{"sys §12", func(t *testing.T, h *house) {
			h.do("LIST", "sys/config/ui/headers", h.root, nil).fails(404)
			h.do("GET", "sys/config/ui/headers/X-Mine", h.root, nil).fails(404)
			h.do("PUT", "sys/config/ui/headers/X-Mine", h.root, m{}).fails(400, "header and values must be specified")
			h.do("PUT", "sys/config/ui/headers/X-Vault-Foo", h.root, m{"values": []string{"a"}}).fails(400, "X-Vault headers cannot be set")
			h.do("PUT", "sys/config/ui/headers/X-Mine", h.root, m{"values": []string{"a\r\nSet-Cookie: b"}}).failsLike(400, "line breaks")
			h.do("PUT", "sys/config/ui/headers/x-mine", h.root, m{"values": []string{"a", "b"}}).empty()
			h.do("GET", "sys/config/ui/headers/X-Mine", h.root, nil).is(200).has(m{"value": "a"}, "data")
			h.do("GET", "sys/config/ui/headers/X-Mine?multivalue=true", h.root, nil).has(m{"values": []string{"a", "b"}}, "data")
			h.do("LIST", "sys/config/ui/headers", h.root, nil).has([]string{"X-Mine"}, "data", "keys")
			h.do("PUT", "sys/config/ui/headers/Content-Security-Policy", h.root, m{"values": []string{"default-src 'none'"}}).is(200)
			h.do("DELETE", "sys/config/ui/headers/X-Mine", h.root, nil).empty()
			h.do("GET", "sys/config/ui/headers/X-Mine", h.root, nil).fails(404)
		}},
	})
}
