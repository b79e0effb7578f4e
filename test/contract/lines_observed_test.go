package contract_test

import (
	"net/http"
	"sync"
	"testing"

	"jeton/internal/node"
	"jeton/internal/store/embedded"
)

// Contract: observed.md, the lines that no other table names: what a running server was seen to do,
// and what is done here.
func TestObservedLines(t *testing.T) {
	rows(t, []row{
		{"observed, tokens §6 renewing by accessor what is not renewable", func(_ *testing.T, h *house) {
			a := h.do("POST", "auth/token/create", h.root, m{"policies": "default", "renewable": false, "ttl": "1h"}).is(200)
			h.do("POST", "auth/token/renew-accessor", h.root, m{"accessor": a.text("auth", "accessor")}).fails(400, "lease is not renewable")
		}},
		{"observed, policies §6.1 a required parameter in another case", func(_ *testing.T, h *house) {
			h.mount("kv")
			who := h.holder("p", `path "kv/a" { capabilities = ["create", "update"] required_parameters = ["a"] }`)
			h.do("PUT", "kv/a", who, m{"A": 1}).empty()
			h.do("PUT", "kv/a", who, m{"b": 1}).fails(403, denied)
		}},
		{"observed, policies §1 half a policy", func(_ *testing.T, h *house) {
			h.do("PUT", "sys/policies/acl/p", h.root, m{"policy": `{"path":{`}).failsLike(400, "failed to parse policy")
			h.do("GET", "sys/policies/acl/p", h.root, nil).is(404)
		}},
		{"observed, wrapping §1.4 a list of nothing is not wrapped", func(_ *testing.T, h *house) {
			h.do("LIST", "secret/metadata", h.root, nil, wrapped("60s")).fails(404)
		}},
		{"observed, wrapping §4.2.6 unwrap by GET", func(_ *testing.T, h *house) {
			box := h.wrap("60", m{"a": 1}).text("wrap_info", "token")
			h.do("GET", "sys/wrapping/unwrap", h.root, nil).is(405)
			h.unwrapped(box).is(200)
		}},
		{"observed, http §3 an override that is no boolean", func(_ *testing.T, h *house) {
			h.do("GET", "auth/token/lookup-self", h.root, nil, header("X-Vault-Policy-Override", "perhaps")).failsLike(400, "X-Vault-Policy-Override")
			h.do("GET", "auth/token/lookup-self", h.root, nil, header("X-Vault-Policy-Override", "true")).is(200)
		}},
		{"observed, auth-methods §1 networks that are none", func(_ *testing.T, h *house) {
			h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
			h.do("POST", "auth/approle/role/r", h.root, m{"token_bound_cidrs": "300.1.2.3/8"}).is(400)
			h.do("GET", "auth/approle/role/r", h.root, nil).fails(404)
		}},
		{"observed, auth-methods §2.3 the accessor of another role", func(_ *testing.T, h *house) {
			h.approle("a", nil)
			h.approle("b", nil)
			accessor := h.do("POST", "auth/approle/role/a/secret-id", h.root, nil).is(200).text("data", "secret_id_accessor")
			h.do("POST", "auth/approle/role/a/secret-id-accessor/lookup", h.root, m{"secret_id_accessor": accessor}).is(200)
			h.do("POST", "auth/approle/role/b/secret-id-accessor/lookup", h.root, m{"secret_id_accessor": accessor}).is(404)
		}},
		{"observed, secrets §2 patching the metadata of nothing", func(_ *testing.T, h *house) {
			h.do("PATCH", "secret/metadata/none", h.root, m{"max_versions": 3}, merged).fails(404)
		}},
		{"observed, transit: version 0, no input, rotations at once", func(t *testing.T, h *house) {
			h.do("POST", "sys/mounts/transit", h.root, m{"type": "transit"}).empty()
			h.do("POST", "transit/keys/k", h.root, nil).is(200)
			h.do("POST", "transit/keys/s", h.root, m{"type": "ed25519"}).is(200)
			text := h.do("POST", "transit/encrypt/k", h.root, m{"plaintext": "AAAA"}).is(200).text("data", "ciphertext")
			h.do("POST", "transit/decrypt/k", h.root, m{"ciphertext": "vault:v0:" + text[len("vault:v1:"):]}).is(400)
			h.do("POST", "transit/sign/s", h.root, m{}).is(400)
			var all sync.WaitGroup
			got := make([]int, 20)
			for i := range got {
				all.Go(func() { got[i] = h.do("POST", "transit/keys/k/rotate", h.root, nil).status })
			}
			all.Wait()
			for _, status := range got {
				if status != http.StatusOK {
					t.Errorf("a rotation: %d", status)
				}
			}
			h.do("GET", "transit/keys/k", h.root, nil).is(200).has(21, "data", "latest_version")
		}},
		{"observed, clients 5: the configuration of a fresh mount", func(_ *testing.T, h *house) {
			h.do("GET", "secret/config", h.root, nil).is(200).has(0, "data", "max_versions")
		}},
		{"observed, clients 6: texts that they look for", func(_ *testing.T, h *house) {
			h.do("POST", "sys/mounts/secret", h.root, m{"type": "kv"}).failsLike(400, "path is already in use")
			h.do("PUT", "sys/init", "", m{"secret_shares": 1, "secret_threshold": 1}).failsLike(400, "Vault is already initialized")
			h.do("POST", "sys/audit-hash/none", h.root, m{"input": "x"}).failsLike(400, "unknown audit backend")
		}},
		{"observed, clients 7: an OTP has 28 characters", func(_ *testing.T, h *house) {
			if otp := h.do("PUT", rootAttempt, "", m{}).is(200).has(28, "otp_length").text("otp"); len(otp) != 28 {
				h.t.Errorf("%d characters", len(otp))
			}
		}},
		{"observed, clients 8: a rate-limit quota as a whole", func(_ *testing.T, h *house) {
			h.limit("q", m{"rate": 5})
			h.do("GET", "sys/quotas/rate-limit/q", h.root, nil).is(200).
				has(m{"type": "rate-limit", "name": "q", "path": "", "role": "", "rate": 5, "interval": 1, "block_interval": 0, "inheritable": true}, "data")
		}},
		{"observed, clients 10: orphans, and a patch of what is not there", func(_ *testing.T, h *house) {
			h.do("POST", "auth/token/create-orphan", h.root, m{"policies": "default"}).is(200).has(true, "auth", "orphan")
			h.do("PATCH", "secret/data/none", h.root, m{"data": m{"a": 1}}, merged).fails(404)
		}},
	})
}

// Contract: observed.md, tokens §6: a root that the command line names has been made like any token, and has no lease.
func TestObservedDevRoot(t *testing.T) {
	t.Parallel()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := sealed(t, raw)
	if _, err := h.node.StartDev(t.Context(), node.DevOptions{RootToken: "root"}); err != nil {
		t.Fatal(err)
	}
	h.lookup("root").is(200).has("auth/token/create", "data", "path").has(false, "data", "renewable").has(0, "data", "ttl").has(nil, "data", "expire_time").text("data", "issue_time")
	h.do("POST", "auth/token/renew-self", "root", nil).fails(400, "lease is not renewable")
}
