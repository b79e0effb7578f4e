package contract_test

import "testing"

// What sys.md asks of mounts, and what must not be answered as done that was not.
func TestSystemMountsRefuse(t *testing.T) {
	rows(t, []row{
		{"sys §7 versions that there are not", func(t *testing.T, h *house) {
			h.do("POST", "sys/mounts/x", h.root, m{"type": "kv", "options": m{"version": 3}}).fails(400, "invalid version provided")
			h.do("POST", "sys/mounts/x", h.root, m{"type": "kv", "plugin_version": "v0.1.2"}).failsLike(400, "plugin not found in the catalog: kv")
			h.do("POST", "sys/mounts/x", h.root, m{"type": "kv", "config": m{"plugin_version": "v0.1.2"}}).failsLike(400, "plugin not found in the catalog: kv")
			h.do("POST", "sys/auth/x", h.root, m{"type": "userpass", "plugin_version": "v0.1.2"}).failsLike(400, "plugin not found in the catalog: userpass")
			h.do("GET", "sys/mounts/x", h.root, nil).fails(400, "No secret engine mount at x/")
			builtin := h.do("GET", "sys/plugins/catalog/secret/kv", h.root, nil).is(200).text("data", "version")
			h.do("POST", "sys/mounts/x", h.root, m{"type": "kv", "plugin_version": builtin}).empty()
			h.do("GET", "sys/mounts/x", h.root, nil).has(builtin, "data", "plugin_version")
			h.do("POST", "sys/mounts/x/tune", h.root, m{"plugin_version": "v9"}).failsLike(400, "plugin not found in the catalog: kv")
			h.do("GET", "sys/mounts/x", h.root, nil).has(builtin, "data", "plugin_version")
		}},
		{"sys §7 options that change nothing say so", func(t *testing.T, h *house) {
			h.do("POST", "sys/mounts/x", h.root, m{"type": "kv", "seal_wrap": true}).is(200).warns(
				"seal_wrap and external_entropy_access are kept and have no effect: every record is encrypted with the keyring, by this machine's randomness")
			h.do("POST", "sys/mounts/y", h.root, m{"type": "kv", "seal_wrap": false, "external_entropy_access": false}).empty()
		}},
		{"sys §9 a move to where it is", func(t *testing.T, h *house) {
			h.mount("here")
			h.do("POST", "sys/remount", h.root, m{"from": "here", "to": "here/"}).fails(400, `path already in use at "here/"`)
			moved := h.do("POST", "sys/remount", h.root, m{"from": "here", "to": "there"}).is(200).
				warns("Mount move has been queued, and is done already: sys/remount/status says how it went")
			h.do("GET", "sys/remount/status/"+moved.text("migration_id"), h.root, nil).is(200).
				has(m{"source_mount": "here/", "target_mount": "there/", "status": "success"}, "data", "migration_info")
			h.do("GET", "sys/remount/status/nothing", h.root, nil).fails(404)
		}},
		{"a read from a snapshot is not answered with what is there", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/a", h.root, m{"k": "now"}).empty()
			for _, query := range []string{"read_snapshot_id=one", "recover_snapshot_id=one"} {
				for _, verb := range []string{"GET", "PUT", "LIST", "DELETE"} {
					h.do(verb, "kv1/a?"+query, h.root, nil).failsLike(400, "this server reads no snapshots")
				}
			}
			h.do("GET", "kv1/a", h.root, nil).has("now", "data", "k")
		}},
		{"known features that are not here name themselves", func(t *testing.T, h *house) {
			for path, names := range map[string]string{
				"sys/license": "needs no license", "sys/managed-keys": "no managed keys", "sys/reporting/scan": "no usage reports",
				"sys/utilization-report": "no usage reports", "sys/billing/overview": "no usage reports", "sys/config/ui/custom-messages": "no custom messages",
				"sys/generate-recovery-token/attempt": "no recovery mode", "sys/rotate/root/init": "rekeys by sys/rekey", "sys/seal-backend-status": "one seal",
				"sys/activation-flags": "no switches", "sys/plugins/reload/backend": "external plugins", "identity/oidc/provider/p": "no OpenID Connect provider",
				"identity/mfa/method/totp": "no login MFA", "sys/storage/raft/autopilot/state": "Raft",
			} {
				h.do("GET", path, h.root, nil).failsLike(404, names)
				h.do("PUT", path, h.root, m{"a": 1}).failsLike(404, "unsupported path: ")
				h.do("GET", path, "", nil).fails(403, "permission denied")
			}
			h.do("GET", "sys/internal/ui/unauthenticated-messages", "", nil).failsLike(404, "no custom messages")
		}},
	})
}

// Contract: sys §0.7 and tests (tail) 7 and 8: which paths need sudo, and which do not.
func TestSystemSudo(t *testing.T) {
	h := open(t)
	h.policy("all", `path "*" { capabilities = ["create", "read", "update", "delete", "list"] }`)
	who := h.create(h.root, m{"policies": []string{"all"}})
	h.do("POST", "sys/auth/userpass", h.root, m{"type": "userpass"}).empty()
	for _, c := range []struct {
		verb, path string
		sudo       bool
	}{
		{"POST", "sys/auth/x", true}, {"DELETE", "sys/auth/x", true}, {"POST", "sys/auth/userpass/tune", true}, {"GET", "sys/auth", false},
		{"POST", "sys/remount", true}, {"GET", "sys/audit", true}, {"PUT", "sys/audit/x", true}, {"DELETE", "sys/audit/x", true}, {"POST", "sys/audit-hash/x", false},
		{"POST", "sys/rotate", true}, {"GET", "sys/config/cors", true}, {"GET", "sys/config/auditing/request-headers", true},
		{"PUT", "sys/config/auditing/request-headers/x", true}, {"GET", "sys/config/ui/headers/x", true}, {"GET", "sys/plugins/catalog/auth/userpass", true}, {"GET", "sys/plugins/catalog", false},
		{"PUT", "sys/leases/revoke-prefix/x", true}, {"PUT", "sys/leases/revoke-force/x", true}, {"PUT", "sys/revoke-prefix/x", true}, {"PUT", "sys/revoke-force/x", true},
		{"LIST", "sys/leases/lookup/x", true}, {"GET", "sys/leases", true}, {"PUT", "sys/seal", true}, {"PUT", "sys/step-down", true},
		{"GET", "sys/mounts", false}, {"DELETE", "sys/mounts/nothing", false}, {"GET", "sys/mounts/secret/tune", false}, {"GET", "sys/config/state/sanitized", false},
		{"GET", "sys/key-status", false}, {"GET", "sys/ha-status", false}, {"LIST", "sys/policies/acl", false}, {"GET", "sys/host-info", false},
	} {
		a := h.do(c.verb, c.path, who, m{"type": "none"})
		if refused := a.status == 403; refused != c.sudo {
			t.Errorf("%s %s without sudo: %d %.200s", c.verb, c.path, a.status, a.body)
		}
	}
}
