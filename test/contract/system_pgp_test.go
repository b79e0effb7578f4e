package contract_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"jeton/internal/seal/pgp/pgptest"
	"jeton/internal/store/embedded"
)

// holder of a PGP key made before the server's clock starts.
func pgpHolder(t *testing.T, lifetime time.Duration) *pgptest.Holder {
	return pgptest.New(t, time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), lifetime)
}

func TestSystemInitWithPGP(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := sealed(t, raw)
	ada, ben := pgpHolder(t, 0), pgpHolder(t, 0)
	keys := []string{ada.Public(), ben.Public()}
	request := func(more m) m {
		body := m{"secret_shares": 2, "secret_threshold": 2, "pgp_keys": keys}
		for name, v := range more {
			body[name] = v
		}
		return body
	}
	// Nothing is initialised by a request that is refused.
	for _, c := range []struct {
		more m
		want string
	}{
		{m{"pgp_keys": keys[:1]}, "invalid seal configuration: count mismatch between number of provided PGP keys and number of shares"},
		{m{"pgp_keys": []string{keys[0], "?"}}, "invalid seal configuration: error decoding given PGP key: "},
		{m{"pgp_keys": []string{keys[0], "AAAA"}}, "invalid seal configuration: error parsing given PGP key: "},
		{m{"recovery_pgp_keys": keys}, "parameters recovery_pgp_keys not applicable to seal type shamir"},
		{m{"root_token_pgp_key": "?"}, "error decoding given PGP key: "},
		{m{"root_token_pgp_key": pgpHolder(t, time.Minute).Public()}, "it has expired"},
	} {
		h.do("PUT", "sys/init", "", request(c.more)).failsLike(400, c.want)
		h.do("GET", "sys/init", "", nil).has(false, "initialized")
	}
	made := h.do("PUT", "sys/init", "", request(m{"root_token_pgp_key": ben.Public()})).is(200)
	asHex, asBase64 := texts(t, made.at("keys")), texts(t, made.at("keys_base64"))
	var shares []string
	for i, holder := range []*pgptest.Holder{ada, ben} {
		message, err := hex.DecodeString(asHex[i])
		if err != nil || base64.StdEncoding.EncodeToString(message) != asBase64[i] {
			t.Fatalf("share %d differs between hex and base64", i)
		}
		share := holder.Open(message)
		if _, err := hex.DecodeString(share); err != nil || len(share) != 66 {
			t.Fatalf("sys §1: the envelope of share %d holds %d bytes, not the 66 of a share in hex", i, len(share))
		}
		shares = append(shares, share)
	}
	h.unsealWith(shares...).has(false, "sealed")
	h.root = ben.OpenBase64(made.text("root_token"))
	h.do("GET", "auth/token/lookup-self", h.root, nil).is(200)
}

// Contract: sys §15, §16, with holders of PGP keys.
func TestSystemSharesWithPGP(t *testing.T) {
	const init, update, backup = "sys/rekey/init", "sys/rekey/update", "sys/rekey/backup"
	shareRows(t, []struct {
		name string
		run  func(t *testing.T, h *house, keys []string)
	}{
		{"sys §15 rekey with backup: fingerprints, envelopes, and the backup until it is deleted", func(t *testing.T, h *house, keys []string) {
			ada, ben := pgpHolder(t, 0), pgpHolder(t, 0)
			prints := []string{ada.Fingerprint(), ben.Fingerprint()}
			body := m{"secret_shares": 2, "secret_threshold": 2, "pgp_keys": []string{ada.Public(), ben.Public()}, "backup": true}
			nonce := h.do("PUT", init, "", body).is(200).has(prints, "pgp_fingerprints").has(true, "backup").text("nonce")
			h.do("GET", init, "", nil).has(prints, "pgp_fingerprints").has(true, "backup")
			done := h.give(update, nonce, keys[:3]...).has(true, "complete").has(prints, "pgp_fingerprints").has(true, "backup")
			messages := texts(t, done.at("keys"))
			// For those with a token and the right, in data and above it (sys §0.2).
			h.do("GET", backup, "", nil).fails(403, "permission denied")
			h.do("GET", backup, h.create(h.root, m{"policies": []string{"default"}}), nil).fails(403, denied)
			reader := h.holder("reader", `path "sys/rekey/backup" { capabilities = ["read"] }`)
			want := m{ada.Fingerprint(): []string{messages[0]}, ben.Fingerprint(): []string{messages[1]}}
			h.do("GET", backup, reader, nil).is(200).has(want, "data", "keys").has(want, "keys").has(nonce, "data", "nonce").
				has(texts(t, done.at("keys_base64"))[1:], "data", "keys_base64", ben.Fingerprint())
			h.do("GET", "sys/rekey/recovery-key-backup", h.root, nil).fails(400, "no backed-up keys found")
			h.do("DELETE", "sys/rekey/recovery-key-backup", h.root, nil).empty()
			h.do("DELETE", backup, "", nil).fails(403, "permission denied")
			h.do("DELETE", backup, reader, nil).fails(403, denied)
			h.do("GET", backup, reader, nil).is(200)
			h.do("DELETE", backup, h.root, nil).empty()
			h.do("GET", backup, reader, nil).fails(400, "no backed-up keys found")
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.do("GET", backup, h.root, nil).fails(503, "Vault is sealed")
			var shares []string
			for i, holder := range []*pgptest.Holder{ada, ben} {
				shares = append(shares, holder.OpenBase64(texts(t, done.at("keys_base64"))[i]))
			}
			h.unsealWith(shares...).has(false, "sealed")
		}},
		{"decision 0003: a rekey that cannot be audited leaves no backup", func(t *testing.T, h *house, keys []string) {
			h.devices()
			nonce := h.do("PUT", init, "", m{"secret_shares": 1, "secret_threshold": 1, "pgp_keys": []string{pgpHolder(t, 0).Public()}, "backup": true}).is(200).text("nonce")
			h.give(update, nonce, keys[:2]...)
			h.audit.refuseIf(func(line string) bool { return strings.Contains(line, `"type":"response"`) })
			h.do("PUT", update, "", m{"key": keys[2], "nonce": nonce}).is(500)
			h.audit.refuseIf(nil)
			h.do("GET", backup, h.root, nil).fails(400, "no backed-up keys found")
		}},
		{"CVE-2026-5807, CVE-2025-4656: a stranger's key gets no share, and a stranger stops no rekey that has one", func(t *testing.T, h *house, keys []string) {
			ada, eve := pgpHolder(t, 0), pgpHolder(t, 0)
			stranger := from("198.51.100.7:1")
			theirs := h.do("PUT", init, "", m{"secret_shares": 1, "secret_threshold": 1, "pgp_keys": []string{eve.Public()}, "backup": true}, stranger).is(200).text("nonce")
			nonce := h.do("PUT", init, "", m{"secret_shares": 1, "secret_threshold": 1, "pgp_keys": []string{ada.Public()}, "backup": true, "require_verification": true}).is(200).
				has([]string{ada.Fingerprint()}, "pgp_fingerprints").text("nonce")
			h.give(update, nonce, keys[0])
			h.do("PUT", update, "", m{"key": keys[1], "nonce": theirs}).fails(400, `incorrect nonce supplied; nonce for this rekey operation is "`+nonce+`"`)
			h.do("DELETE", init, "", m{"nonce": nonce}, stranger).failsLike(400, "it can be cancelled from where one was given")
			done := h.give(update, nonce, keys[1], keys[2]).has(true, "verification_required").has([]string{ada.Fingerprint()}, "pgp_fingerprints")
			verification := done.text("verification_nonce")
			h.do("DELETE", "sys/rekey/verify", "", nil, stranger).failsLike(400, "can be restarted from where a key share was given")
			h.do("DELETE", init, "", m{"nonce": nonce}, stranger).failsLike(400, "it can be cancelled from where one was given")
			// What waits to be verified is in the backup, for those with a right to it.
			h.do("GET", backup, "", nil, stranger).fails(403, "permission denied")
			h.do("DELETE", backup, "", nil, stranger).fails(403, "permission denied")
			message := texts(t, h.do("GET", backup, h.root, nil).is(200).at("data", "keys_base64", ada.Fingerprint()))[0]
			h.give("sys/rekey/verify", verification, ada.OpenBase64(message)).has(true, "complete")
			h.do("GET", backup, h.root, nil).is(200).has(nonce, "data", "nonce")
		}},
		{"sys §16 generate-root with pgp_key: the token for its holder, otp_length as ever", func(t *testing.T, h *house, keys []string) {
			ada := pgpHolder(t, 0)
			h.do("PUT", rootAttempt, "", m{"pgp_key": "?"}).failsLike(400, "error parsing PGP key: ")
			h.do("PUT", rootAttempt, "", m{"pgp_key": "AAAA"}).failsLike(400, "error parsing PGP key: ")
			h.do("PUT", rootAttempt, "", m{"pgp_key": ada.Public(), "otp": strings.Repeat("o", 28)}).fails(400, "give an otp or a pgp_key, not both")
			a := h.do("PUT", rootAttempt, "", m{"pgp_key": ada.Public()}).is(200).has(ada.Fingerprint(), "pgp_fingerprint").has("", "otp").has(28, "otp_length")
			done := h.give(rootUpdate, a.text("nonce"), keys[:3]...).has(true, "complete").has(ada.Fingerprint(), "pgp_fingerprint")
			token := ada.OpenBase64(done.text("encoded_token"))
			h.lookup(token).is(200).has([]string{"root"}, "data", "policies").has("auth/token/root", "data", "path")
		}},
		{"sys §16 a token that its holder can no longer read is revoked", func(t *testing.T, h *house, keys []string) {
			ada := pgpHolder(t, 65*time.Minute) // five minutes from now
			nonce := h.do("PUT", rootAttempt, "", m{"pgp_key": ada.Public()}).is(200).text("nonce")
			h.give(rootUpdate, nonce, keys[:2]...)
			count := func() int {
				return len(texts(t, h.do("LIST", "auth/token/accessors", h.root, nil).is(200).at("data", "keys")))
			}
			before := count()
			h.wall.advance(6 * time.Minute)
			h.do("PUT", rootUpdate, "", m{"key": keys[2], "nonce": nonce}).failsLike(400, "it has expired")
			if after := count(); after != before {
				t.Fatalf("%d tokens, want %d as before", after, before)
			}
			h.do("GET", rootAttempt, "", nil).has(false, "started")
		}},
	})
}
