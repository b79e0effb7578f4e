package contract_test

import (
	"bytes"
	"strings"
	"testing"

	"jeton/internal/seal"
	"jeton/internal/store/embedded"
)

// auto starts a server whose seal opens by itself, with five recovery keys of which three count.
func auto(t *testing.T) (h *house, keys []string) {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	static, err := seal.NewStatic("one", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h = sealedBy(t, raw, static)
	made := h.do("PUT", "sys/init", "", m{"recovery_shares": 5, "recovery_threshold": 3}).is(200).has([]string{}, "keys").has([]string{}, "keys_base64")
	h.root = made.text("root_token")
	return h, texts(t, made.at("recovery_keys"))
}

// Contract: sys §1, §2, §15, §16, config §5: what recovery keys are for.
func TestSystemRecoveryKeys(t *testing.T) {
	const init, update, verify, backup = "sys/rekey-recovery-key/init", "sys/rekey-recovery-key/update", "sys/rekey-recovery-key/verify", "sys/rekey/recovery-key-backup"
	stranger := from("198.51.100.7:1")
	for _, r := range []struct {
		name string
		run  func(t *testing.T, h *house, keys []string)
	}{
		{"sys §2 open after init, t and n are those of the recovery keys", func(t *testing.T, h *house, _ []string) {
			h.do("GET", "sys/seal-status", "", nil).has(false, "sealed").has("static", "type").has(true, "recovery_seal").has("shamir", "recovery_seal_type").has(3, "t").has(5, "n")
		}},
		{"sys §1 parameters of the other kind", func(t *testing.T, h *house, _ []string) {
			h.do("PUT", "sys/init", "", m{"secret_shares": 1, "secret_threshold": 1, "pgp_keys": []string{"a"}}).
				fails(400, "parameters secret_shares,secret_threshold,pgp_keys not applicable to seal type static")
			h.do("PUT", "sys/init", "", m{"recovery_shares": 1, "recovery_threshold": 2}).fails(400, "invalid recovery configuration: threshold cannot be larger than shares")
			h.do("PUT", "sys/init", "", m{"recovery_shares": 1, "recovery_threshold": 1}).fails(400, "Vault is already initialized")
		}},
		{"sys §3 recovery keys do not unseal", func(t *testing.T, h *house, keys []string) {
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.do("PUT", "sys/unseal", "", m{"key": keys[0]}).failsLike(400, "recovery keys do not unseal")
		}},
		{"sys §15 the barrier's paths", func(t *testing.T, h *house, _ []string) {
			h.do("GET", "sys/rekey/init", "", nil).failsLike(400, "barrier rekeying not supported")
			h.do("GET", "sys/rekey/backup", h.root, nil).fails(400, "no backed-up keys found")
		}},
		{"sys §15 rekey with verification, envelopes and a backup", func(t *testing.T, h *house, keys []string) {
			ada := pgpHolder(t, 0)
			body := m{"secret_shares": 1, "secret_threshold": 1, "pgp_keys": []string{ada.Public()}, "backup": true, "require_verification": true}
			nonce := h.do("PUT", init, "", body).is(200).text("nonce")
			done := h.give(update, nonce, keys[:3]...).has(true, "complete").has([]string{ada.Fingerprint()}, "pgp_fingerprints")
			h.do("GET", backup, "", nil).fails(403, "permission denied")
			kept := h.do("GET", backup, h.root, nil).is(200).text("nonce")
			if kept != nonce {
				t.Fatal("the backup is another's")
			}
			share := ada.OpenBase64(texts(t, done.at("keys_base64"))[0])
			h.give(verify, done.text("verification_nonce"), share).has(true, "complete")
			h.do("DELETE", backup, h.root, nil).empty()
			h.do("GET", backup, h.root, nil).fails(400, "no backed-up keys found")
			// The new key makes a root token, an old one does not.
			attempt := h.do("PUT", rootAttempt, "", m{"otp": strings.Repeat("o", 28)}).is(200).has(1, "required").text("nonce")
			h.do("PUT", rootUpdate, "", m{"key": keys[0], "nonce": attempt}).failsLike(400, "root generation aborted: invalid key")
			h.give(rootUpdate, attempt, share).has(true, "complete")
		}},
		{"CVE-2026-5807, CVE-2025-4656, CVE-2025-52894: strangers do not block, end or undo it", func(t *testing.T, h *house, keys []string) {
			h.do("PUT", init, "", m{"secret_shares": 1, "secret_threshold": 1}, stranger).is(200)
			h.do("PUT", rootAttempt, "", nil, stranger).is(200)
			nonce := h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2, "require_verification": true}).is(200).text("nonce")
			attempt := h.do("PUT", rootAttempt, "", m{"otp": strings.Repeat("o", 28)}).is(200).text("nonce")
			h.do("DELETE", init, "", nil, stranger).empty()        // their own
			h.do("DELETE", rootAttempt, "", nil, stranger).empty() // their own
			h.do("DELETE", init, "", m{"nonce": nonce}, stranger).failsLike(400, "started from elsewhere")
			h.do("DELETE", rootAttempt, "", m{"nonce": attempt}, stranger).failsLike(400, "started from elsewhere")
			h.give(update, nonce, keys[:2]...)
			h.give(rootUpdate, attempt, keys[:2]...)
			h.do("PUT", update, "", m{"key": strings.Repeat("ab", 33), "nonce": nonce}, stranger).failsLike(400, "invalid key")
			h.do("PUT", rootUpdate, "", m{"key": strings.Repeat("ab", 33), "nonce": attempt}, stranger).failsLike(400, "invalid key")
			h.do("DELETE", init, "", m{"nonce": nonce}, stranger).failsLike(400, "has received key shares")
			h.do("DELETE", rootAttempt, "", m{"nonce": attempt}, stranger).failsLike(400, "has received key shares")
			h.do("PUT", init, "", m{"secret_shares": 1, "secret_threshold": 1}, stranger).fails(400, "rekey already in progress")
			done := h.give(update, nonce, keys[2])
			h.do("DELETE", verify, "", nil, stranger).failsLike(400, "can be restarted from where a key share was given")
			h.give(verify, done.text("verification_nonce"), texts(t, done.at("keys"))[:2]...).has(true, "complete")
		}},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			h, keys := auto(t)
			r.run(t, h, keys)
		})
	}
}
