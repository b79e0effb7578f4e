package contract_test

import (
	"regexp"
	"strings"
	"testing"
)

func TestHTTPEdgeCases(t *testing.T) {
	rows(t, []row{
		{"http §10.1 X-Vault-Token wins over Authorization", func(t *testing.T, h *house) {
			plain := h.create(h.root, m{"policies": "default"})
			h.do("GET", "auth/token/lookup-self", plain, nil, header("Authorization", "Bearer "+h.root)).is(200).has(plain, "data", "id")
			h.do("GET", "auth/token/lookup-self", "", nil, header("Authorization", "Bearer "+h.root)).is(200).has(h.root, "data", "id")
		}},
		{"http §10.2 bearer in lower case is no token", func(t *testing.T, h *house) {
			h.do("GET", "auth/token/lookup-self", "", nil, header("Authorization", "bearer "+h.root)).fails(403, "permission denied")
			h.do("GET", "auth/token/lookup-self", "", nil, header("Authorization", "Basic "+h.root)).fails(403, "permission denied")
		}},
		{"http §10.3 no token, junk token", func(t *testing.T, h *house) {
			h.lookup("").fails(403, "permission denied")
			for _, junk := range []string{"junk", "hvs.junk", "hvb.junk", "s.junk", "hvs." + strings.Repeat("A", 24), "hvs." + strings.Repeat("A", 91),
				"ä", "hvb." + strings.Repeat("A", 400)} {
				h.lookup(junk).fails(403, badToken)
			}
		}},
		{"http §10.4 unknown mount", func(t *testing.T, h *house) {
			h.do("GET", "foo/bar", h.root, nil).fails(404, `no handler for route "foo/bar". route entry not found.`)
			h.do("LIST", "foo/bar", h.root, nil).fails(404, `no handler for route "foo/bar/". route entry not found.`)
			h.do("GET", "foo/bar", h.create(h.root, m{"policies": "default"}), nil).fails(403, denied)
			h.do("GET", "auth/nope/login", h.root, nil).fails(404, `no handler for route "auth/nope/login". route entry not found.`)
		}},
		{"http §10.5 missing kv is 404 without text", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("GET", "kv1/nope", h.root, nil).fails(404)
			h.do("GET", "secret/data/nope", h.root, nil).fails(404)
		}},
		{"http §10.6, sys §0 tests 5 and 6 the ways to list", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/a/b", h.root, m{"k": "v"}).empty()
			for _, a := range []*answer{
				h.do("LIST", "kv1/a", h.root, nil), h.do("LIST", "kv1/a/", h.root, nil),
				h.do("GET", "kv1/a?list=1", h.root, nil), h.do("GET", "kv1/a/?list=true", h.root, nil), h.do("GET", "kv1/a?list=T", h.root, nil),
			} {
				a.is(200).has([]string{"b"}, "data", "keys")
			}
			h.do("GET", "kv1/a?list=x", h.root, nil).fails(400)
			h.do("GET", "kv1/a?list=", h.root, nil).fails(400)
			h.do("GET", "kv1/a?list=2", h.root, nil).fails(400)
			h.do("GET", "kv1/a/b?list=false", h.root, nil).is(200).has("v", "data", "k")
			h.do("LIST", "kv1/none", h.root, nil).fails(404)
		}},
		{"http §10.7 write to a path that ends in a slash", func(t *testing.T, h *house) {
			for _, verb := range []string{"POST", "PUT"} {
				h.do(verb, "secret/", h.root, m{"a": 1}).fails(400, "cannot write to a path ending in '/'")
				h.do(verb, "cubbyhole/", "", m{"a": 1}).fails(400, "cannot write to a path ending in '/'")
			}
			h.do("PATCH", "secret/data/a/", h.root, m{}, header("Content-Type", "application/merge-patch+json")).fails(400, "cannot write to a path ending in '/'")
		}},
		{"http §10.8 unsupported verb", func(t *testing.T, h *house) {
			h.do("PUT", "sys/key-status", h.root, m{}).fails(405, wrap1("unsupported operation"))
			h.do("DELETE", "auth/token/create", h.root, nil).fails(405, wrap1("unsupported operation"))
			h.do("GET", "auth/token/create", h.root, nil).fails(405, wrap1("unsupported operation"))
			h.do("HEAD", "auth/token/lookup-self", h.root, nil).is(405)
			h.do("BREW", "auth/token/lookup-self", h.root, nil).fails(405)
			h.do("TRACE", "auth/token/lookup-self", h.root, nil).fails(405)
		}},
		{"http §10.9 bodies", func(t *testing.T, h *house) {
			for _, bad := range []string{`{"a":`, `{`, `{]`, `{"a" 1}`, `nope`, "\x00", `{"a":1e}`, `{"a":"` + "\x01" + `"}`} {
				h.do("POST", "auth/token/create", h.root, bad).failsLike(400, "error parsing JSON")
			}
			for _, bad := range []string{`[]`, `[1]`, `"x"`, `1`, `true`} {
				h.do("POST", "auth/token/create", h.root, bad).failsLike(400, "error parsing JSON")
			}
			for _, good := range []string{``, `{}`, `null`, ` {} `, "\n\t{}", `{} trailing`, `{}{`} {
				h.do("POST", "auth/token/create", h.root, good).is(200)
			}
		}},
		{"http §1.4 a parse error repeats nothing of the body", func(t *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, `{"id":"hunter2" oops-secret}`).is(400)
			if strings.Contains(a.body, "hunter2") || strings.Contains(a.body, "oops") || strings.Contains(h.log.String(), "hunter2") {
				t.Fatalf("the error or the log repeats the body: %s", a.body)
			}
		}},
		{"http §10.10 a body above the limit", func(t *testing.T, h *house) {
			big := `{"a":"` + strings.Repeat("x", 32<<20) + `"}`
			h.do("POST", "auth/token/create", h.root, big).fails(413, "http: request body too large")
		}},
		{"http §10.11, sys §0 test 7 form", func(t *testing.T, h *house) {
			form := header("Content-Type", "application/x-www-form-urlencoded")
			a := h.do("POST", "auth/token/create", h.root, "policies=default&num_uses=3&renewable=false", form).is(200)
			a.has([]string{"default"}, "auth", "policies").has(3, "auth", "num_uses").has(false, "auth", "renewable")
			// curl's default content type with a JSON body.
			h.do("POST", "auth/token/create", h.root, `{"policies":["default"]}`, form).is(200).has([]string{"default"}, "auth", "policies")
			h.do("POST", "auth/token/create", h.root, "%zz", form).failsLike(400, "form")
		}},
		{"http §10.12, sys §0 test 4 PATCH content types", func(t *testing.T, h *house) {
			h.do("PATCH", "secret/data/a", h.root, m{}, header("Content-Type", "application/json")).
				fails(415, "PATCH requires Content-Type of application/merge-patch+json, provided application/json")
			h.do("PATCH", "secret/data/a", h.root, m{}).is(400)
			h.do("PATCH", "secret/data/a", h.root, m{}, header("Content-Type", ";;")).is(400)
		}},
		{"http §10.13 204 has no body, 200 carries warnings", func(t *testing.T, h *house) {
			h.do("PUT", "sys/policies/acl/dev", h.root, m{"policy": ""}).fails(400, "'policy' parameter not supplied or empty")
			h.do("PUT", "sys/policies/acl/dev", h.root, m{"policy": `path "a" { capabilities = ["read"] }`}).empty()
			a := h.do("PUT", "sys/policies/acl/DEV", h.root, m{"policy": `path "a" { capabilities = ["read"] }`}).is(200)
			a.warns("policy name was converted to dev").has(nil, "data")
		}},
		{"http §10.14 the envelope byte for byte", envelopeBytes},
		{"http §10.15 sealed", func(t *testing.T, h *house) {
			h.do("PUT", "sys/seal", h.root, nil).empty()
			for _, token := range []string{"", "junk", h.root} {
				for _, path := range []string{"secret/a", "sys/mounts", "auth/token/lookup-self", "nope", "sys/wrapping/lookup", "a/../b"} {
					h.do("GET", path, token, nil).fails(503, "Vault is sealed")
				}
				h.do("POST", "auth/token/create", token, "{not json").fails(503, "Vault is sealed")
			}
			h.do("GET", "sys/health", "", nil).is(503).has(true, "sealed")
			h.do("GET", "sys/seal-status", "", nil).is(200).has(true, "sealed")
			h.do("GET", "sys/init", "", nil).is(200).has(true, "initialized")
			h.do("GET", "sys/leader", "", nil).is(200)
			h.do("PUT", "sys/seal", "", nil).empty()
		}},
		{"http §10.16 no path has two readings", twoReadings},
		{"http §10.17 capabilities at both levels", func(t *testing.T, h *house) {
			a := h.do("POST", "sys/capabilities-self", h.root, m{"paths": []string{"a/b"}}).is(200)
			for _, level := range [][]string{{"a/b"}, {"capabilities"}, {"data", "a/b"}, {"data", "capabilities"}} {
				a.has([]string{"root"}, level...)
			}
		}},
		{"http §10.18 headers, on errors too", func(t *testing.T, h *house) {
			for _, a := range []*answer{
				h.lookup(h.root), h.lookup(""), h.do("GET", "nope", h.root, nil), h.do("GET", "/elsewhere", "", nil),
				h.do("GET", "sys/health", "", nil), h.do("PUT", "sys/policies/acl/x", h.root, m{"policy": "#"}), h.do("POST", "auth/token/create", h.root, "{"),
				h.do("OPTIONS", "sys/mounts", "", nil), h.do("HEAD", "sys/health", "", nil), h.do("BREW", "sys/init", "", nil),
			} {
				for name, want := range map[string]string{"Cache-Control": "no-store", "Content-Type": "application/json",
					"Strict-Transport-Security": "max-age=31536000; includeSubDomains"} {
					if got := a.header.Get(name); got != want {
						t.Errorf("%s (%d): %s is %q, want %q", a.what, a.status, name, got, want)
					}
				}
				if a.body != "" && !strings.HasSuffix(a.body, "\n") {
					t.Errorf("%s: the body does not end in a newline", a.what)
				}
			}
		}},
		{"http §10.19 HEAD sys/health", func(t *testing.T, h *house) {
			if a := h.do("HEAD", "sys/health", "", nil).is(200); a.body != "" {
				t.Fatalf("HEAD has a body: %q", a.body)
			}
		}},
		{"http §10.20 namespaces", namespaces},
		{"http §10.21 help needs a token", func(t *testing.T, h *house) {
			for _, path := range []string{"auth/token/create", "sys/mounts", "sys/wrapping/lookup", "sys/internal/ui/mounts"} {
				h.do("GET", path+"?help=1", "", nil).fails(403, "permission denied")
				h.do("HELP", path, "", nil).fails(403, "permission denied")
				h.do("GET", path+"?help=1", "junk", nil).fails(403, badToken)
				a := h.do("HELP", path, h.create(h.root, m{"policies": "default"}), nil).is(200)
				if a.text("help") == "" || a.at("request_id") != nil {
					t.Fatalf("help: %s", a.body)
				}
			}
			h.do("GET", "nope?help=1", h.root, nil).is(404)
			for path, route := range map[string]string{"auth/token": "auth/token/create", "auth/token/": "auth/token/create", "sys": "sys/mounts"} {
				h.do("GET", path+"?help=1", "", nil).fails(403, "permission denied")
				if a := h.do("GET", path+"?help=1", h.root, nil).is(200); !strings.Contains(a.text("help"), "\n    "+route) {
					t.Fatalf("help on %s does not list %s: %s", path, route, a.body)
				}
			}
			h.do("GET", "sys/nope?help=1", h.root, nil).is(404)
		}},
		{"http §10.22 great whole numbers", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/n", h.root, `{"n":9007199254740993,"f":1.10,"e":1e400}`).empty()
			if a := h.do("GET", "kv1/n", h.root, nil).is(200); !strings.Contains(a.body, `"n":9007199254740993`) || !strings.Contains(a.body, `"f":1.10`) {
				t.Fatalf("body %s", a.body)
			}
		}},
		{"http §10.23 percent encoding is undone once", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/a%2Fb", h.root, m{"k": "1"}).empty()
			h.do("GET", "kv1/a/b", h.root, nil).is(200).has("1", "data", "k")
			h.do("PUT", "kv1/a%20b", h.root, m{"k": "2"}).empty()
			h.do("LIST", "kv1", h.root, nil).is(200).has([]string{"a b", "a/"}, "data", "keys")
			h.do("PUT", "kv1/x%252Fy", h.root, m{"k": "3"}).empty()
			h.do("GET", "kv1/x/y", h.root, nil).fails(404)
		}},
		{"http §10.24 X-Vault-Request is not asked for", func(t *testing.T, h *house) {
			h.lookup(h.root).is(200)
			h.do("GET", "auth/token/lookup-self", h.root, nil, header("X-Vault-Request", "true")).is(200)
		}},
	})
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// like compares a body with a pattern in which UUID stands for one, and T, A for a token and an accessor.
func like(t *testing.T, a *answer, want string) {
	t.Helper()
	got := uuidText.ReplaceAllString(a.body, "UUID")
	// What goes beyond the contract stands behind the contract's own members.
	got = regexp.MustCompile(`,"renewable_until":[^,]*,"limited_by":[^,]*,"renew_after":[^,}]*`).ReplaceAllString(got, "")
	got = regexp.MustCompile(`hv[sb]\.[A-Za-z0-9_-]{24,}`).ReplaceAllString(got, "T")
	got = regexp.MustCompile(`"[A-Za-z0-9]{24}"`).ReplaceAllString(got, `"A"`)
	if got != want+"\n" {
		t.Errorf("%s:\n got %s\nwant %s", a.what, got, want)
	}
}

func envelopeBytes(t *testing.T, h *house) {
	h.mount("kv1")
	h.do("PUT", "kv1/a", h.root, m{"k": "v"}).empty()
	like(t, h.do("GET", "kv1/a", h.root, nil),
		`{"request_id":"UUID","lease_id":"","renewable":false,"lease_duration":2764800,"data":{"k":"v"},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"kv"}`)
	like(t, h.do("POST", "auth/token/create", h.root, m{"policies": []string{"default"}, "ttl": "1h", "meta": m{"user": "armon"}}),
		`{"request_id":"UUID","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":{"client_token":"T","accessor":"A","policies":["default"],"token_policies":["default"],"metadata":{"user":"armon"},"lease_duration":3600,"renewable":true,"entity_id":"","token_type":"service","orphan":false,"mfa_requirement":null,"num_uses":0},"mount_type":"token"}`)
	like(t, h.do("POST", "auth/token/create", h.root, m{"policies": []string{"default"}, "type": "batch", "meta": m{}}),
		`{"request_id":"UUID","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":{"client_token":"T","accessor":"","policies":["default"],"token_policies":["default"],"metadata":{},"lease_duration":2764800,"renewable":false,"entity_id":"","token_type":"batch","orphan":false,"mfa_requirement":null,"num_uses":0},"mount_type":"token"}`)
	like(t, h.do("GET", "kv1/a", h.root, nil, wrapped("60")),
		`{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":{"token":"T","accessor":"A","ttl":60,"creation_time":"2026-03-01T12:00:00.123456789Z","creation_path":"kv1/a"},"warnings":null,"auth":null}`)
	like(t, h.do("GET", "sys/policy/root", h.root, nil),
		`{"name":"root","rules":"","request_id":"UUID","lease_id":"","renewable":false,"lease_duration":0,"data":{"name":"root","rules":""},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"system"}`)
	like(t, h.do("GET", "auth/token/lookup-self", h.root, nil),
		`{"request_id":"UUID","lease_id":"","renewable":false,"lease_duration":0,"data":{"accessor":"A","creation_time":1772366400,"creation_ttl":0,"display_name":"root","entity_id":"","expire_time":null,"explicit_max_ttl":0,"id":"T","meta":null,"num_uses":0,"orphan":true,"path":"auth/token/root","policies":["root"],"ttl":0,"type":"service"},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"token"}`)
}

// twoReadings holds that a path either is refused or means one thing to the ACL and to the
// handler alike.
func twoReadings(t *testing.T, h *house) {
	h.mount("kv1")
	h.do("PUT", "kv1/top/secret", h.root, m{"k": "v"}).empty()
	token := h.holder("some", `path "kv1/open/*" { capabilities = ["create","read","update","list","delete"] }`)
	for _, path := range []string{
		"kv1/open/../top/secret", "kv1/open/%2e%2e/top/secret", "kv1/open/%2E%2E/top/secret", "kv1/open/..%2ftop%2fsecret",
		"kv1/./open/../top/secret", "kv1/open/.", "kv1/open/x/..", "../kv1/top/secret", "kv1/open/%2e",
	} {
		h.do("GET", path, token, nil).fails(400, "relative paths not supported")
		h.do("GET", path, h.root, nil).fails(400, "relative paths not supported")
	}
	for _, path := range []string{"kv1//top/secret", "kv1/open//x", "/v1//kv1/top/secret", "kv1/open%2f%2fx", "kv1/%00", "kv1/a%0ab", "kv1/a%7f", "kv1/a%09"} {
		h.do("GET", path, token, nil).is(400)
		h.do("GET", path, h.root, nil).is(400)
	}
	for _, path := range []string{"kv1/top/secret", "kv1/top%2Fsecret", "KV1/top/secret", "kv1/top/secret/", "kv1/open%5c..%5ctop%5csecret/../x"} {
		if a := h.do("GET", path, token, nil); a.status != 403 && a.status != 400 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	// Twice encoded dots are a name.
	h.do("PUT", "kv1/open/%252e%252e", token, m{"k": "dots"}).empty()
	h.do("LIST", "kv1/open", token, nil).is(200).has([]string{"%2e%2e"}, "data", "keys")
	// Invisible and ill-formed characters are no names.
	for _, path := range []string{"kv1/open/a%E2%80%8Bb", "kv1/open/%FF", "kv1/open/a%C2%85", "kv1/open/%E2%80%AE"} {
		h.do("PUT", path, token, m{"k": "v"}).is(400)
	}
	h.do("PUT", "kv1/open/%C3%A9", token, m{"k": "v"}).empty()
}

func namespaces(t *testing.T, h *house) {
	for _, root := range []string{"root", "/", "root/", ""} {
		a := h.do("GET", "auth/token/lookup-self", h.root, nil, header("X-Vault-Namespace", root)).is(200)
		if got := a.header.Get("X-Vault-Namespace"); got != root {
			t.Errorf("namespace %q is echoed as %q", root, got)
		}
	}
	for _, other := range []string{"ns1", "ns1/", "/ns1", "a/b", "root/ns1"} {
		for _, token := range []string{h.root, "", "junk"} {
			h.do("GET", "auth/token/lookup-self", token, nil, header("X-Vault-Namespace", other)).failsLike(404, "namespace not found")
		}
		for _, raw := range []struct{ verb, path string }{{"GET", "sys/init"}, {"PUT", "sys/init"}, {"PUT", "sys/seal"}, {"PUT", "sys/unseal"}, {"GET", "sys/health"}} {
			h.do(raw.verb, raw.path, h.root, m{}, header("X-Vault-Namespace", other)).fails(400, "operation unavailable in namespaces")
		}
	}
	h.lookup(h.root).is(200)
}

func TestHTTPBasicsGHSArh46vc3jw2w3(t *testing.T) {
	rows(t, []row{
		{"http §1.1 other paths", func(t *testing.T, h *house) {
			for _, path := range []string{"/", "/x", "/v2/sys/health", "/v1", "/ui/"} {
				h.do("GET", path, h.root, nil).fails(404)
			}
			h.do("HELP", "/x", h.root, nil).is(404)
		}},
		{"http §2 query as data", func(t *testing.T, h *house) {
			child := h.create(h.root, m{"policies": "default"})
			h.do("GET", "auth/token/lookup?token="+child, h.root, nil).is(200).has(child, "data", "id")
		}},
		{"http §3 policy override", func(t *testing.T, h *house) {
			h.do("GET", "auth/token/lookup-self", h.root, nil, header("X-Vault-Policy-Override", "maybe")).failsLike(400, "failed to parse X-Vault-Policy-Override header")
			h.do("GET", "auth/token/lookup-self", h.root, nil, header("X-Vault-Policy-Override", "true")).is(200)
		}},
		{"http §3 headers of other editions are ignored", func(t *testing.T, h *house) {
			for _, name := range []string{"X-Vault-Forward", "X-Vault-Index", "X-Vault-Inconsistent", "X-Vault-No-Request-Forwarding", "X-Vault-MFA"} {
				h.do("GET", "auth/token/lookup-self", h.root, nil, header(name, "x")).is(200)
			}
		}},
		{"http §5 404 and 405 texts", func(t *testing.T, h *house) {
			h.do("GET", "sys/nope", h.root, nil).fails(404, wrap1("unsupported path"))
			h.do("GET", "auth/token/nope", h.root, nil).fails(404, wrap1("unsupported path"))
			h.do("POST", "auth/token/renew/abc", h.root, nil).fails(404, wrap1("unsupported path"))
			h.do("POST", "auth/token/lookup/abc", h.root, nil).fails(404, wrap1("unsupported path"))
			h.do("POST", "auth/token/revoke-accessor/abc", h.root, nil).fails(404, wrap1("unsupported path"))
		}},
		{"http §5 who may not ask does not learn what is there", func(t *testing.T, h *house) {
			plain := h.create(h.root, m{"policies": "default"})
			for _, path := range []string{"nope", "sys/nope", "sys/mounts", "auth/token/nope", "secret/data/a"} {
				h.do("GET", path, plain, nil).fails(403, denied)
			}
			h.do("DELETE", "sys/key-status", plain, nil).fails(403, denied)
		}},
		{"http §5 validation", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"num_uses": "x"}).failsLike(400, `Field validation failed: error converting input for field "num_uses": `)
			h.do("POST", "auth/token/create", h.root, m{"policies": m{"a": 1}}).failsLike(400, `Field validation failed: error converting input for field "policies": `)
			a := h.do("POST", "auth/token/create", h.root, m{"meta": []string{"hunter2"}}).failsLike(400, `Field validation failed: error converting input for field "meta": `)
			if strings.Contains(a.body, "hunter2") {
				t.Error("observed, cves §4: a bad meta pair is echoed")
			}
		}},
		{"http §8 CORS is off", func(t *testing.T, h *house) {
			h.do("OPTIONS", "sys/mounts", "", nil, header("Origin", "https://a.example")).fails(400, "cannot handle internal-only request operation")
			a := h.do("GET", "auth/token/lookup-self", h.root, nil, header("Origin", "https://a.example")).is(200)
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("header %s", name)
				}
			}
		}},
		{"http §9 a bad token on an open path is ignored", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/bob", h.root, m{"password": "correct horse"}).empty()
			h.do("POST", "auth/userpass/login/bob", "junk", m{"password": "correct horse"}).is(200)
			h.do("GET", "sys/health", "junk", nil).is(200)
		}},
		{"sys §0 tests 1 and 2, §0.2 what is injected and what is not", func(t *testing.T, h *house) {
			h.do("GET", "sys/mounts", h.root, nil).is(200).has("kv", "secret/", "type").has("kv", "data", "secret/", "type")
			h.do("LIST", "sys/policies/acl", h.root, nil).is(200).lacks("keys")
			h.do("GET", "sys/rotate/config", h.root, nil).is(200).lacks("enabled")
			h.do("GET", "sys/key-status", h.root, nil).is(200).has(1, "term").has(1, "data", "term")
		}},
		{"sys §0.2 no member has two values", func(t *testing.T, h *house) {
			a := h.do("POST", "sys/capabilities-self", h.root, m{"paths": []string{"data", "auth", "request_id"}}).is(200)
			for _, name := range []string{`"data":`, `"auth":`, `"request_id":`} {
				if n := strings.Count(a.body, name); n != 2 {
					t.Errorf("%s is there %d times, want once in data and once above: %s", name, n, a.body)
				}
			}
			a.has([]string{"root"}, "data", "auth").has(nil, "auth")
		}},
		{"sys §0.3 wrong list value", func(t *testing.T, h *house) { h.do("GET", "secret/metadata?list=maybe", h.root, nil).fails(400) }},
		{"sys §0 test 3, §0.5 unknown fields", func(t *testing.T, h *house) {
			h.do("POST", "auth/token/create", h.root, m{"nope": 1, "also": 2}).is(200).warns("Endpoint ignored these unrecognized parameters: [also nope]")
			// Decision 0006: where an answer would have no body it has one, for the warning.
			h.do("POST", "auth/token/roles/r", h.root, m{"orphan": true, "token_perod": "1h"}).is(200).
				warns("Endpoint ignored these unrecognized parameters: [token_perod]").has(nil, "data")
			h.do("POST", "sys/policies/acl/p", h.root, m{"policy": "#", "rule": "x"}).is(200).
				warns("Endpoint ignored these unrecognized parameters: [rule]")
			h.do("POST", "auth/token/roles/r", h.root, m{"orphan": true}).empty()
			h.do("POST", "auth/token/create/r", h.root, m{"role_name": "other", "policies": "default"}).is(200).
				warns("Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [role_name]")
		}},
	})
}
