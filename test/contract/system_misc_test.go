package contract_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"jeton/internal/store"
)

func TestSystemTools(t *testing.T) {
	rows(t, []row{
		{"sys §20 random", func(t *testing.T, h *house) {
			for _, c := range []struct {
				path  string
				body  m
				bytes int
				isHex bool
			}{
				{"sys/tools/random", nil, 32, false},
				{"sys/tools/random", m{"bytes": 7, "format": "hex"}, 7, true},
				{"sys/tools/random/16", nil, 16, false},
				{"sys/tools/random/platform/5", m{"bytes": 9}, 5, false},
				{"sys/tools/random/all", m{"bytes": 131071}, 131071, false},
			} {
				text := h.do("POST", c.path, h.root, c.body).is(200).text("data", "random_bytes")
				b, err := base64.StdEncoding.DecodeString(text)
				if c.isHex {
					b, err = hex.DecodeString(text)
				}
				if err != nil || len(b) != c.bytes {
					t.Fatalf("%s: %d bytes, want %d: %v", c.path, len(b), c.bytes, err)
				}
			}
			h.do("POST", "sys/tools/random/seal", h.root, nil).is(200).warns("no seal/entropy augmentation available: using platform entropy source")
			h.do("POST", "sys/tools/random", h.root, nil).lacks("random_bytes")
		}},
		{"sys tests (tail) 5, §20 random: errors", func(t *testing.T, h *house) {
			h.do("POST", "sys/tools/random/0", h.root, nil).fails(400, "'bytes' cannot be less than 1")
			h.do("POST", "sys/tools/random/131072", h.root, nil).fails(400, "'bytes' should be less than 131072")
			h.do("POST", "sys/tools/random/x", h.root, nil).failsLike(400, "error parsing url-set byte count: ")
			h.do("POST", "sys/tools/random", h.root, m{"format": "x"}).fails(400, `unsupported encoding format "x"; must be "hex" or "base64"`)
			h.do("POST", "sys/tools/random", h.root, m{"source": "x"}).fails(400, `unsupported entropy source "x"; must be "platform" or "seal", or "all"`)
		}},
		{"sys §20 hash", func(t *testing.T, h *house) {
			input := base64.StdEncoding.EncodeToString([]byte("abc"))
			sum := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
			h.do("POST", "sys/tools/hash", h.root, m{"input": input}).is(200).has(sum, "data", "sum")
			h.do("POST", "sys/tools/hash/sha2-256", h.root, m{"input": input, "algorithm": "sha2-512"}).has(sum, "data", "sum")
			h.do("POST", "sys/tools/hash/sha3-224", h.root, m{"input": input}).has("e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf", "data", "sum")
			h.do("POST", "sys/tools/hash", h.root, m{"input": input, "format": "base64"}).has("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "data", "sum")
			h.do("POST", "sys/tools/hash", h.root, m{"input": "%"}).failsLike(400, "unable to decode input as base64: ")
			h.do("POST", "sys/tools/hash/md5", h.root, m{"input": input}).fails(400, "unsupported algorithm md5")
			h.do("POST", "sys/tools/hash", h.root, m{"input": input, "format": "x"}).fails(400, `unsupported encoding format x; must be "hex" or "base64"`)
		}},
	})
}

func TestSystemPasswordPolicies(t *testing.T) {
	const good = "length = 20\nrule \"charset\" {\n  charset = \"abcdefghij\"\n  min-chars = 1\n}\nrule \"charset\" {\n  charset = \"0123456789\"\n  min-chars = 3\n}"
	at := "sys/policies/password/p"
	rows(t, []row{
		{"sys §20 write, read, list, generate, delete", func(t *testing.T, h *house) {
			h.do("LIST", "sys/policies/password", h.root, nil).fails(404)
			h.do("PUT", at, h.root, m{"policy": good}).empty()
			h.do("POST", "sys/policies/password/q", h.root, m{"policy": base64.StdEncoding.EncodeToString([]byte(good))}).empty()
			h.do("GET", at, h.root, nil).is(200).has(m{"policy": good}, "data")
			h.do("GET", "sys/policies/password/q", h.root, nil).has(good, "data", "policy")
			h.do("LIST", "sys/policies/password", h.root, nil).has([]string{"p", "q"}, "data", "keys").lacks("keys")
			word := h.do("GET", at+"/generate", h.root, nil).is(200).text("data", "password")
			if len(word) != 20 || strings.Trim(word, "abcdefghij0123456789") != "" {
				t.Fatalf("password %q", word)
			}
			h.do("DELETE", at, h.root, nil).empty()
			h.do("DELETE", at, h.root, nil).empty()
		}},
		{"sys §20 errors", func(t *testing.T, h *house) {
			h.do("GET", at, h.root, nil).fails(404, wrap1("policy does not exist"))
			h.do("GET", at+"/generate", h.root, nil).fails(404, wrap1("policy does not exist"))
			h.do("PUT", at, h.root, m{}).fails(400, wrap1("missing policy"))
			h.do("PUT", at, h.root, m{"policy": strings.Replace(good, "20", "3", 1)}).fails(400, wrap1("passwords must be between 4 and 100 characters"))
			h.do("PUT", at, h.root, m{"policy": strings.Replace(good, "20", "101", 1)}).fails(400, wrap1("passwords must be between 4 and 100 characters"))
			h.do("PUT", at, h.root, m{"policy": "length = {"}).failsLike(400, "invalid password policy: ")
			h.do("PUT", at, h.root, m{"policy": strings.Replace(good, "= 3", "= 30", 1)}).fails(400, wrap1("unable to construct test password from provided policy: are the rules impossible?"))
		}},
	})
}

func TestSystemStatus(t *testing.T) {
	rows(t, []row{
		{"sys §6 ha-status, injected", func(t *testing.T, h *house) {
			a := h.do("GET", "sys/ha-status", h.root, nil).is(200)
			nodes, ok := a.at("data", "nodes").([]any)
			if !ok || len(nodes) != 1 || asJSON(t, nodes) != asJSON(t, a.at("nodes")) {
				t.Fatalf("body %s", a.body)
			}
			node := nodes[0].(m)
			if node["active_node"] != true || node["hostname"] == "" || node["last_echo"] != nil {
				t.Fatalf("node %v", node)
			}
			for _, name := range []string{"api_address", "cluster_address", "last_echo", "version"} {
				if _, ok := node[name]; !ok {
					t.Errorf("%s is missing", name)
				}
			}
			h.do("GET", "sys/ha-status", "", nil).fails(403, "permission denied")
		}},
		{"sys §18 host-info", func(t *testing.T, h *house) {
			a := h.do("GET", "sys/host-info", h.root, nil).is(200).lacks("cpu")
			for _, name := range []string{"timestamp", "cpu", "cpu_times", "disk", "host", "memory"} {
				if _, ok := a.at("data").(m)[name]; !ok {
					t.Errorf("%s is missing", name)
				}
			}
			if a.at("warnings") == nil && a.number("data", "memory", "total") < 1<<20 {
				t.Errorf("memory %v", a.at("data", "memory"))
			}
		}},
		{"sys §18 version-history", func(t *testing.T, h *house) {
			a := h.do("LIST", "sys/version-history", h.root, nil).is(200).lacks("keys")
			keys := texts(t, a.at("data", "keys"))
			if len(keys) != 1 || keys[0] != h.do("GET", "sys/health", "", nil).text("version") {
				t.Fatalf("keys %v", keys)
			}
			a.has(nil, "data", "key_info", keys[0], "previous_version").has("2026-03-01T12:00:00Z", "data", "key_info", keys[0], "timestamp_installed")
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.do("PUT", "sys/unseal", "", m{"key": hex.EncodeToString(h.unseal)}).is(200)
			h.do("LIST", "sys/version-history", h.root, nil).has(keys, "data", "keys")
		}},
		{"sys §18 counters", func(t *testing.T, h *house) {
			before := h.do("GET", "sys/internal/counters/tokens", h.root, nil).is(200).number("data", "counters", "service_tokens", "total")
			h.create(h.root, nil)
			h.do("GET", "sys/internal/counters/tokens", h.root, nil).has(before+1, "data", "counters", "service_tokens", "total")
			h.do("GET", "sys/internal/counters/entities", h.root, nil).is(200).has(0, "data", "counters", "entities", "total")
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/ann", h.root, m{"password": "right"}).empty()
			h.do("POST", "auth/userpass/login/ann", "", m{"password": "right"}).is(200)
			h.do("GET", "sys/internal/counters/entities", h.root, nil).has(1, "data", "counters", "entities", "total")
			h.do("GET", "sys/internal/counters/requests", h.root, nil).fails(404, "The functionality has been removed on this path")
			h.do("GET", "sys/internal/counters/activity", h.root, nil).is(404)
		}},
		{"sys §19 replication/status needs no token", func(t *testing.T, h *house) {
			h.do("GET", "sys/replication/status", "", nil).is(200).has(m{"dr": m{"mode": "disabled"}, "performance": m{"mode": "disabled"}}, "data")
		}},
		{"sys §20 plugins/catalog", func(t *testing.T, h *house) {
			a := h.do("GET", "sys/plugins/catalog", h.root, nil).is(200).has([]string{"approle", "cert", "jwt", "kubernetes", "ldap", "oidc", "userpass"}, "data", "auth").has([]string{"kv", "transit"}, "data", "secret").has([]string{}, "data", "database")
			if list, ok := a.at("data", "detailed").([]any); !ok || len(list) != 9 {
				t.Fatalf("detailed %v", a.at("data", "detailed"))
			}
			h.do("LIST", "sys/plugins/catalog/auth", h.root, nil).has([]string{"approle", "cert", "jwt", "kubernetes", "ldap", "oidc", "userpass"}, "data", "keys")
			h.do("LIST", "sys/plugins/catalog/database", h.root, nil).fails(404)
			h.do("LIST", "sys/plugins/catalog/nope", h.root, nil).is(400)
			h.do("GET", "sys/plugins/catalog/secret/kv", h.root, nil).is(200).has(true, "data", "builtin").has("kv", "data", "name").has([]string{}, "data", "args").has("", "data", "command").has("", "data", "sha256")
			h.do("GET", "sys/plugins/catalog/secret/aws", h.root, nil).fails(404)
			h.do("PUT", "sys/plugins/catalog/secret/mine", h.root, m{"sha256": "x", "command": "y"}).failsLike(400, "external plugins are not supported")
		}},
		{"what is not here answers as an unknown path and names itself", func(t *testing.T, h *house) {
			for path, names := range map[string]string{
				"sys/namespaces/ns1": "no namespaces", "sys/storage/raft/configuration": "Raft", "sys/license/status": "license",
				"sys/policies/rgp/p": "Sentinel", "sys/managed-keys/aws/k": "managed keys",
				"sys/mfa/method/totp/x": "MFA", "sys/replication/dr/status": "replicate",
			} {
				h.do("GET", path, h.root, nil).failsLike(404, names)
				h.do("POST", path, h.root, m{"a": 1}).failsLike(404, "unsupported path: ")
				h.do("GET", path, h.create(h.root, m{"policies": "default"}), nil).fails(403, denied)
			}
			h.do("LIST", "sys/namespaces", h.root, nil).failsLike(404, "no namespaces")
			h.do("GET", "sys/wrapping/pubkey", "", nil).is(404)
			h.do("GET", "sys/no/such/path", h.root, nil).fails(404, wrap1("unsupported path"))
		}},
	})
}

func TestSystemUI(t *testing.T) {
	rows(t, []row{
		{"sys §19 resultant-acl", func(t *testing.T, h *house) {
			h.do("GET", "sys/internal/ui/resultant-acl", "", nil).empty()
			h.do("GET", "sys/internal/ui/resultant-acl", "junk", nil).is(403)
			h.do("GET", "sys/internal/ui/resultant-acl", h.root, nil).is(200).has(m{"root": true}, "data")
			who := h.holder("p", `path "secret/data/a" { capabilities = ["read", "list"] } path "secret/x/*" { capabilities = ["create"] } path "a/+/b" { capabilities = ["deny"] }`)
			h.do("GET", "sys/internal/ui/resultant-acl", who, nil).is(200).has(m{
				"root":        false,
				"exact_paths": m{"secret/data/a": m{"capabilities": []string{"list", "read"}}},
				"glob_paths":  m{"secret/x/": m{"capabilities": []string{"create"}}, "a/+/b": m{"capabilities": []string{"deny"}}},
			}, "data")
		}},
		{"sys §19 namespaces, feature-flags, version", func(t *testing.T, h *house) {
			h.do("GET", "sys/internal/ui/namespaces", "", nil).is(200).has([]string{}, "data", "keys")
			if a := h.do("GET", "sys/internal/ui/feature-flags", "", nil).is(200); a.body != `{"feature_flags":[]}`+"\n" {
				t.Fatalf("body %s", a.body)
			}
			h.do("GET", "sys/internal/ui/version", h.root, nil).is(200).has(h.do("GET", "sys/health", "", nil).text("version"), "data", "version")
		}},
	})
}

func TestSystemLockedUsers(t *testing.T) {
	rows(t, []row{
		{"auth-methods §8 locked-users: the shape, and unlock", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
			h.do("POST", "auth/userpass/users/ann", h.root, m{"password": "right"}).empty()
			h.do("GET", "sys/locked-users", h.root, nil).is(200).has(m{"by_namespace": []m{}, "total": 0}, "data")
			for range 5 {
				h.do("POST", "auth/userpass/login/ann", "", m{"password": "wrong"}).is(400)
			}
			h.do("POST", "auth/userpass/login/ann", "", m{"password": "right"}).is(403)
			accessor := h.do("GET", "sys/auth", h.root, nil).text("data", "userpass/", "accessor")
			want := m{"by_namespace": []m{{"namespace_id": "root", "namespace_path": "", "counts": 1,
				"mount_accessors": []m{{"mount_accessor": accessor, "counts": 1, "alias_identifiers": []string{"ann"}}}}}, "total": 1}
			h.do("GET", "sys/locked-users", h.root, nil).has(want, "data")
			h.do("GET", "sys/locked-users?mount_accessor="+accessor, h.root, nil).has(want, "data")
			h.do("GET", "sys/locked-users?mount_accessor=nope", h.root, nil).is(400)
			h.do("POST", "sys/locked-users/"+accessor+"/unlock/ann", h.root, nil).empty()
			h.do("POST", "sys/locked-users/"+accessor+"/unlock/ann", h.root, nil).empty()
			h.do("POST", "auth/userpass/login/ann", "", m{"password": "right"}).is(200)
		}},
	})
}

func TestSystemLoggersAndConfig(t *testing.T) {
	rows(t, []row{
		{"sys §18 loggers: what is refused", func(t *testing.T, h *house) {
			h.do("POST", "sys/loggers", h.root, m{}).fails(400, "level is required")
			h.do("POST", "sys/loggers", h.root, m{"level": ""}).fails(400, "level is empty")
			h.do("POST", "sys/loggers", h.root, m{"level": "x"}).failsLike(400, "invalid level provided: unknown log level")
			h.do("POST", "sys/loggers/nope", h.root, m{"level": "debug"}).fails(400, `logger "nope" not found`)
			h.do("GET", "sys/loggers/nope", h.root, nil).fails(404)
		}},
		{"sys §13 sanitized: needs a token, no sudo", func(t *testing.T, h *house) {
			a := h.do("GET", "sys/config/state/sanitized", h.root, nil).is(200).lacks("storage")
			for _, name := range []string{"api_addr", "cache_size", "cluster_addr", "default_lease_ttl", "disable_mlock", "listeners", "log_level", "max_lease_ttl", "seals", "storage"} {
				if _, ok := a.at("data").(m)[name]; !ok {
					t.Errorf("%s is missing", name)
				}
			}
			h.do("GET", "sys/config/state/sanitized", "", nil).fails(403, "permission denied")
		}},
	})
}

// Contract: secrets §5: what transit's keys are made of lies in the store encrypted alone.
func TestTransitKeysAtRest(t *testing.T) {
	h := open(t)
	h.do("POST", "sys/mounts/transit", h.root, m{"type": "transit"}).empty()
	h.do("POST", "transit/keys/k", h.root, m{"exportable": true}).is(200)
	key, err := base64.StdEncoding.DecodeString(h.do("GET", "transit/export/encryption-key/k", h.root, nil).is(200).text("data", "keys", "1"))
	if err != nil || len(key) != 32 {
		t.Fatalf("%d bytes: %v", len(key), err)
	}
	pairs := 0
	err = h.store.View(context.Background(), func(r store.Reader) error {
		return r.Scan(store.Range{}, func(at, value []byte) (bool, error) {
			pairs++
			if bytes.Contains(value, key) || bytes.Contains(at, key) {
				t.Errorf("the key lies open at %q", at)
			}
			return true, nil
		})
	})
	if err != nil || pairs < 10 {
		t.Fatalf("%d pairs: %v", pairs, err)
	}
}
