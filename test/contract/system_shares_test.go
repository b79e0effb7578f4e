package contract_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"jeton/internal/config"
	"jeton/internal/seal"
	"jeton/internal/server"
	"jeton/internal/store/embedded"
)

// shares starts a server with shares 5 and threshold 3, unsealed, and returns the shares in hex.
func shares(t *testing.T) (*house, []string) {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := sealed(t, raw)
	made, err := h.node.Init(context.Background(), seal.InitRequest{Secret: seal.Config{Shares: 5, Threshold: 3}}, "")
	if err != nil {
		t.Fatal(err)
	}
	h.root = made.RootToken
	var keys []string
	for _, share := range made.Shares {
		keys = append(keys, hex.EncodeToString(share))
	}
	h.unsealWith(keys[:3]...).has(false, "sealed")
	return h, keys
}

// unsealWith gives shares and returns the last answer.
func (h *house) unsealWith(keys ...string) (last *answer) {
	h.t.Helper()
	for _, key := range keys {
		last = h.do("PUT", "sys/unseal", "", m{"key": key}).is(200)
	}
	return last
}

// give submits shares to an attempt and returns the last answer.
func (h *house) give(path, nonce string, keys ...string) (last *answer) {
	h.t.Helper()
	for _, key := range keys {
		last = h.do("PUT", path, "", m{"key": key, "nonce": nonce}).is(200)
	}
	return last
}

// shareRows run each against a server with five shares.
func shareRows(t *testing.T, list []struct {
	name string
	run  func(t *testing.T, h *house, keys []string)
}) {
	t.Helper()
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			h, keys := shares(t)
			r.run(t, h, keys)
		})
	}
}

const rootAttempt, rootUpdate = "sys/generate-root/attempt", "sys/generate-root/update"

func TestSystemGenerateRoot(t *testing.T) {
	otp := strings.Repeat("o", 28)
	shareRows(t, []struct {
		name string
		run  func(t *testing.T, h *house, keys []string)
	}{
		{"sys §16 GET attempt, no attempt", func(t *testing.T, h *house, _ []string) {
			a := h.do("GET", rootAttempt, "", nil).is(200)
			if want := `{"nonce":"","started":false,"progress":0,"required":3,"complete":false,"encoded_token":"","encoded_root_token":"","pgp_fingerprint":"","otp":"","otp_length":28}` + "\n"; a.body != want {
				t.Fatalf("body %s, want %s", a.body, want)
			}
		}},
		{"sys §16 an OTP of 27 is refused, of 28 taken, a second init refused", func(t *testing.T, h *house, _ []string) {
			h.do("PUT", rootAttempt, "", m{"otp": otp[1:]}).fails(400, "OTP string has incorrect length")
			h.do("PUT", rootAttempt, "", m{"otp": otp}).is(200).has(true, "started").has("", "otp")
			h.do("POST", rootAttempt, "", m{"otp": otp}).fails(400, "root generation already in progress")
		}},
		{"sys §16 the server's OTP is shown once", func(t *testing.T, h *house, _ []string) {
			made := h.do("PUT", rootAttempt, "", nil).is(200)
			if len(made.text("otp")) != 28 {
				t.Fatalf("OTP %q", made.text("otp"))
			}
			h.do("GET", rootAttempt, "", nil).is(200).has("", "otp").has(made.text("nonce"), "nonce")
		}},
		{"sys §16 a PGP key that is none is refused in words", func(t *testing.T, h *house, _ []string) {
			h.do("PUT", rootAttempt, "", m{"pgp_key": "abc"}).failsLike(400, "error parsing PGP key: ")
		}},
		{"sys §16 three shares make a root token", func(t *testing.T, h *house, keys []string) {
			nonce := h.do("PUT", rootAttempt, "", m{"otp": otp}).is(200).text("nonce")
			h.give(rootUpdate, nonce, keys[0]).has(1, "progress").has(false, "complete").has(0, "otp_length")
			h.do("PUT", rootUpdate, "", m{"key": keys[0], "nonce": nonce}).fails(400, "given key has already been provided during this generation operation")
			done := h.give(rootUpdate, nonce, keys[1], keys[2]).has(true, "complete").has(3, "progress").has(true, "started")
			if done.text("encoded_token") != done.text("encoded_root_token") {
				t.Fatal("the two encoded tokens differ")
			}
			decoded := h.do("POST", "sys/decode-token", "", m{"encoded_token": done.text("encoded_token"), "otp": otp}).is(200)
			token := decoded.text("data", "token")
			h.lookup(token).is(200).has([]string{"root"}, "data", "policies").has("auth/token/root", "data", "path").
				has("root", "data", "display_name").has(true, "data", "orphan").has(0, "data", "ttl")
			h.do("GET", rootAttempt, "", nil).is(200).has(false, "started").has("", "nonce")
		}},
		{"sys §16 errors of update", func(t *testing.T, h *house, keys []string) {
			h.do("PUT", rootUpdate, "", m{"key": keys[0]}).fails(400, "no root generation in progress")
			nonce := h.do("PUT", rootAttempt, "", m{"otp": otp}).is(200).text("nonce")
			h.do("PUT", rootUpdate, "", m{"nonce": nonce}).fails(400, "'key' must be specified in request body as JSON")
			h.do("PUT", rootUpdate, "", m{"nonce": nonce, "key": "!"}).fails(400, "'key' must be a valid hex or base64 string")
			h.do("PUT", rootUpdate, "", m{"nonce": "x", "key": keys[0]}).fails(400, `incorrect nonce supplied; nonce for this root generation operation is "`+nonce+`"`)
			h.do("PUT", rootUpdate, "", m{"nonce": nonce, "key": strings.Repeat("ab", 33)}).failsLike(400, "root generation aborted: ")
			h.do("GET", rootAttempt, "", nil).has(true, "started")
		}},
		{"sys §16 DELETE attempt is idempotent", func(t *testing.T, h *house, _ []string) {
			h.do("DELETE", rootAttempt, "", nil).empty()
			h.do("PUT", rootAttempt, "", nil).is(200)
			h.do("DELETE", rootAttempt, "", nil).empty()
			h.do("DELETE", rootAttempt, "", nil).empty()
			h.do("GET", rootAttempt, "", nil).has(false, "started")
		}},
		{"decision 0003: with a share in it, cancelling takes the nonce, in the body", func(t *testing.T, h *house, keys []string) {
			nonce := h.do("PUT", rootAttempt, "", nil).is(200).text("nonce")
			h.give(rootUpdate, nonce, keys[0])
			h.do("DELETE", rootAttempt, "", nil).failsLike(400, "its nonce is required")
			h.do("DELETE", rootAttempt, "", m{"nonce": nonce}, from("198.51.100.7:1")).failsLike(400, "it can be cancelled from where one was given")
			h.do("DELETE", rootAttempt, "", m{"nonce": nonce}).empty()
		}},
		{"CVE-2026-5807: a stranger's attempts do not stop a quorum", func(t *testing.T, h *house, keys []string) {
			h.do("PUT", rootAttempt, "", nil, from("198.51.100.7:1")).is(200)
			nonce := h.do("PUT", rootAttempt, "", m{"otp": otp}).is(200).text("nonce")
			h.do("DELETE", rootAttempt, "", nil, from("198.51.100.7:1")).empty()
			h.give(rootUpdate, nonce, keys[2], keys[3], keys[4]).has(true, "complete")
		}},
		{"sys §16 other verbs", func(t *testing.T, h *house, _ []string) {
			h.do("PATCH", rootAttempt, "", nil).is(405)
			h.do("GET", rootUpdate, "", nil).is(405)
		}},
		{"sys §0.6 in a namespace", func(t *testing.T, h *house, _ []string) {
			for _, path := range []string{rootAttempt, "sys/rekey/init", "sys/init", "sys/health", "sys/seal", "sys/step-down"} {
				verb := "GET"
				if path == "sys/seal" || path == "sys/step-down" {
					verb = "PUT"
				}
				h.do(verb, path, "", nil, header("X-Vault-Namespace", "ns1")).fails(400, "operation unavailable in namespaces")
			}
			h.do("GET", "sys/seal-status", "", nil, header("X-Vault-Namespace", "ns1")).is(200)
		}},
	})
}

func TestSystemGenerateRootWithoutKeys(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	h := sealed(t, raw)
	h.do("GET", rootAttempt, "", nil).fails(400, "server is not yet initialized")
	if _, err := h.node.Init(context.Background(), seal.InitRequest{Secret: seal.Config{Shares: 1, Threshold: 1}}, ""); err != nil {
		t.Fatal(err)
	}
	h.do("GET", rootAttempt, "", nil).fails(503, "Vault is sealed")
	h.do("GET", "sys/rekey/init", "", nil).fails(503, "Vault is sealed")
}

// What share holders do is in the audit log before it has an effect, and without their shares.
func TestSystemSharesAreAudited(t *testing.T) {
	otp := strings.Repeat("o", 28)
	shareRows(t, []struct {
		name string
		run  func(t *testing.T, h *house, keys []string)
	}{
		{"audit §1 generate-root: request and response, no auth, nothing secret", func(t *testing.T, h *house, keys []string) {
			h.devices()
			before := len(h.audit.all(t))
			nonce := h.do("PUT", rootAttempt, "", m{"otp": otp}).is(200).text("nonce")
			done := h.give(rootUpdate, nonce, keys[:3]...).has(true, "complete")
			entries := h.audit.all(t)[before:]
			if len(entries) != 8 {
				t.Fatalf("%d entries, want 8", len(entries))
			}
			for i, e := range entries {
				if want := []string{"request", "response"}[i%2]; e["type"] != want {
					t.Errorf("entry %d is a %v, want %s", i, e["type"], want)
				}
				auth, ok := e["auth"].(m)
				if !ok || auth["accessor"] != nil || auth["client_token"] != nil {
					t.Errorf("entry %d: auth %v", i, e["auth"])
				}
			}
			lines := strings.Join(h.audit.lines, "")
			for _, secret := range []string{otp, keys[0], keys[1], done.text("encoded_token")} {
				if strings.Contains(lines, secret) {
					t.Errorf("the log has %q", secret)
				}
			}
		}},
		{"audit §2 a request that cannot be audited does nothing", func(t *testing.T, h *house, _ []string) {
			h.devices()
			h.audit.refuseIf(func(string) bool { return true })
			h.do("PUT", rootAttempt, "", m{"otp": otp}).is(500)
			h.audit.refuseIf(nil)
			h.do("GET", rootAttempt, "", nil).has(false, "started")
		}},
		{"CVE-2026-115357: a root token whose making cannot be audited is revoked", func(t *testing.T, h *house, keys []string) {
			h.devices()
			nonce := h.do("PUT", rootAttempt, "", m{"otp": otp}).is(200).text("nonce")
			h.give(rootUpdate, nonce, keys[:2]...)
			roots := func() int {
				list, ok := h.do("LIST", "auth/token/accessors", h.root, nil).is(200).at("data", "keys").([]any)
				if !ok {
					t.Fatal("no accessors")
				}
				return len(list)
			}
			before := roots()
			h.audit.refuseIf(func(line string) bool { return strings.Contains(line, `"type":"response"`) })
			h.do("PUT", rootUpdate, "", m{"key": keys[2], "nonce": nonce}).is(500)
			h.audit.refuseIf(nil)
			if now := roots(); now != before {
				t.Fatalf("%d accessors, want %d as before", now, before)
			}
		}},
		{"decision 0003: a rekey that cannot be audited leaves the old shares in force", func(t *testing.T, h *house, keys []string) {
			h.devices()
			nonce := h.do("PUT", "sys/rekey/init", "", m{"secret_shares": 3, "secret_threshold": 2}).is(200).text("nonce")
			h.give("sys/rekey/update", nonce, keys[:2]...)
			h.audit.refuseIf(func(line string) bool { return strings.Contains(line, `"type":"response"`) })
			h.do("PUT", "sys/rekey/update", "", m{"key": keys[2], "nonce": nonce}).is(500)
			h.audit.refuseIf(nil)
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.unsealWith(keys[1:4]...).has(false, "sealed").has(5, "n")
		}},
		{"decision 0003: a rekey with verification that cannot be audited is over", func(t *testing.T, h *house, keys []string) {
			h.devices()
			nonce := h.do("PUT", "sys/rekey/init", "", m{"secret_shares": 3, "secret_threshold": 2, "require_verification": true}).is(200).text("nonce")
			h.give("sys/rekey/update", nonce, keys[:2]...)
			h.audit.refuseIf(func(line string) bool { return strings.Contains(line, `"type":"response"`) })
			h.do("PUT", "sys/rekey/update", "", m{"key": keys[2], "nonce": nonce}).is(500)
			h.audit.refuseIf(nil)
			h.do("GET", "sys/rekey/init", "", nil).has(false, "started")
		}},
	})
}

func TestSystemRekey(t *testing.T) {
	const init, update, verify = "sys/rekey/init", "sys/rekey/update", "sys/rekey/verify"
	shareRows(t, []struct {
		name string
		run  func(t *testing.T, h *house, keys []string)
	}{
		{"sys §15 GET init, nothing running", func(t *testing.T, h *house, _ []string) {
			a := h.do("GET", init, "", nil).is(200)
			if want := `{"nonce":"","started":false,"t":0,"n":0,"progress":0,"required":3,"pgp_fingerprints":null,"backup":false,"verification_required":false}` + "\n"; a.body != want {
				t.Fatalf("body %s, want %s", a.body, want)
			}
		}},
		{"sys §15 init shows the new numbers, twice is refused, DELETE is idempotent", func(t *testing.T, h *house, _ []string) {
			h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2}).is(200).has(true, "started").has(3, "n").has(2, "t").has(3, "required")
			h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2}).fails(400, "rekey already in progress")
			h.do("DELETE", init, "", m{"nonce": "of another"}).fails(400, "the nonce is not that of the attempt")
			h.do("GET", init, "", nil).has(true, "started")
			h.do("DELETE", init, "", nil).empty()
			h.do("DELETE", init, "", nil).empty()
		}},
		{"sys §15 errors of init", func(t *testing.T, h *house, _ []string) {
			h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2, "backup": true}).fails(400, "cannot request a backup of the new keys without providing PGP keys for encryption")
			h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2, "pgp_keys": []string{"a"}}).fails(400, "incorrect number of PGP keys for rekey")
			h.do("PUT", init, "", m{"secret_shares": 1, "secret_threshold": 1, "pgp_keys": []string{"a"}}).failsLike(400, "error decoding given PGP key")
			h.do("PUT", init, "", m{"secret_shares": 5, "secret_threshold": 1}).fails(500, "invalid rekey seal configuration: threshold must be greater than one for multiple shares")
			h.do("PUT", init, "", "{").failsLike(400, "error parsing JSON")
		}},
		{"sys §15 update: the new shares open, the old ones no more", func(t *testing.T, h *house, keys []string) {
			nonce := h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2}).is(200).text("nonce")
			h.give(update, nonce, keys[0]).has(1, "progress").has(nonce, "nonce").has(true, "started").lacks("verification_nonce")
			done := h.give(update, nonce, keys[1], keys[2]).has(true, "complete").has(nonce, "nonce").has(nil, "pgp_fingerprints").has(false, "backup").has(false, "verification_required").lacks("verification_nonce")
			fresh := texts(t, done.at("keys"))
			for i, text := range texts(t, done.at("keys_base64")) {
				share, err := base64.StdEncoding.DecodeString(text)
				if err != nil || hex.EncodeToString(share) != fresh[i] {
					t.Fatalf("share %d differs between hex and base64", i)
				}
			}
			h.do("GET", init, "", nil).has(false, "started").has(2, "required")
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.do("PUT", "sys/unseal", "", m{"key": keys[0]}).failsLike(400, "invalid key")
			h.unsealWith(fresh[2], fresh[0]).has(false, "sealed").has(2, "t").has(3, "n")
		}},
		{"sys §15 errors of update", func(t *testing.T, h *house, keys []string) {
			h.do("PUT", update, "", m{"key": keys[0]}).fails(400, "no barrier rekey in progress")
			nonce := h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2}).is(200).text("nonce")
			h.do("PUT", update, "", m{"nonce": nonce}).fails(400, "'key' must be specified in request body as JSON")
			h.do("PUT", update, "", m{"key": "?", "nonce": nonce}).fails(400, "'key' must be a valid hex or base64 string")
			h.do("PUT", update, "", m{"key": keys[0], "nonce": "n"}).fails(400, `incorrect nonce supplied; nonce for this rekey operation is "`+nonce+`"`)
			h.give(update, nonce, keys[0])
			h.do("PUT", update, "", m{"key": keys[0], "nonce": nonce}).fails(400, "given key has already been provided during this generation operation")
			h.do("PUT", update, "", m{"key": strings.Repeat("ab", 33), "nonce": nonce}).failsLike(400, "key verification failed: ")
			h.do("GET", init, "", nil).has(true, "started")
		}},
		{"sys tests (tail) 9, §15 verify: the old shares hold until the new ones were given back; DELETE renames it", func(t *testing.T, h *house, keys []string) {
			h.do("GET", verify, "", nil).fails(400, "no rekey configuration found")
			h.do("PUT", verify, "", m{"key": keys[0]}).fails(400, "no rekey in progress")
			nonce := h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2, "require_verification": true}).is(200).has(true, "verification_required").text("nonce")
			h.do("PUT", verify, "", m{"key": keys[0]}).fails(400, "no rekey verification in progress")
			done := h.give(update, nonce, keys[:3]...).has(true, "complete").has(true, "verification_required")
			fresh, vnonce := texts(t, done.at("keys")), done.text("verification_nonce")
			h.do("PUT", update, "", m{"key": keys[0], "nonce": nonce}).fails(400, `rekey operation already finished; verification must be performed; nonce for the verification operation is "`+vnonce+`"`)
			h.do("GET", verify, "", nil).is(200).has(vnonce, "nonce").has(true, "started").has(2, "t").has(3, "n").has(0, "progress")
			h.give(verify, vnonce, fresh[0]).has(1, "progress")
			h.do("PUT", verify, "", m{"key": fresh[0], "nonce": vnonce}).fails(400, "given key has already been provided during this verify operation")
			h.do("PUT", verify, "", m{"key": keys[0], "nonce": vnonce}).fails(400, "rekey verification failed; incorrect key shares supplied")
			h.do("PUT", verify, "", m{"key": fresh[1], "nonce": "n"}).fails(400, `incorrect nonce supplied; nonce for this verify operation is "`+vnonce+`"`)
			again := h.do("DELETE", verify, "", nil).is(200).has(0, "progress").text("nonce")
			if again == vnonce {
				t.Fatal("the restarted verification has the old nonce")
			}
			a := h.give(verify, again, fresh[1], fresh[2])
			if want := `{"nonce":"` + again + `","complete":true}` + "\n"; a.body != want {
				t.Fatalf("body %s, want %s", a.body, want)
			}
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.unsealWith(fresh[0], fresh[1]).has(false, "sealed")
		}},
		{"sys §15 recovery twins on a Shamir seal", func(t *testing.T, h *house, _ []string) {
			h.do("GET", "sys/rekey-recovery-key/init", "", nil).fails(400, "recovery rekeying not supported")
			h.do("PUT", "sys/rekey-recovery-key/update", "", m{"key": "00"}).fails(400, "recovery rekeying not supported")
			h.do("GET", "sys/rekey-recovery-key/verify", "", nil).fails(400, "recovery rekeying not supported")
		}},
		{"sys §15 no backups are kept", func(t *testing.T, h *house, _ []string) {
			for _, path := range []string{"sys/rekey/backup", "sys/rekey/recovery-key-backup"} {
				h.do("GET", path, "", nil).fails(403, "permission denied")
				h.do("GET", path, h.root, nil).fails(400, "no backed-up keys found")
				h.do("DELETE", path, h.root, nil).empty()
			}
		}},
		{"sys §15 sealing discards an attempt", func(t *testing.T, h *house, keys []string) {
			h.do("PUT", init, "", m{"secret_shares": 3, "secret_threshold": 2}).is(200)
			h.do("PUT", "sys/seal", h.root, nil).empty()
			h.unsealWith(keys[:3]...)
			h.do("GET", init, "", nil).has(false, "started")
		}},
	})
}

// texts are the strings of a list.
func texts(t *testing.T, v any) []string {
	t.Helper()
	list, ok := v.([]any)
	if !ok {
		t.Fatalf("%v is no list", v)
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], ok = item.(string); !ok {
			t.Fatalf("%v is no string", item)
		}
	}
	return out
}

func TestSystemStepDown(t *testing.T) {
	rows(t, []row{
		{"sys §4 step-down: 204 for sudo and nothing changes", func(t *testing.T, h *house) {
			h.do("PUT", "sys/step-down", h.root, nil).empty()
			h.do("GET", "sys/seal-status", "", nil).has(false, "sealed")
			sudo := h.holder("sd", `path "sys/step-down" { capabilities = ["update", "sudo"] }`)
			h.do("POST", "sys/step-down", sudo, nil).empty()
		}},
		{"observed sys §4 step-down without sudo is refused", func(t *testing.T, h *house) {
			plain := h.holder("plain", `path "sys/step-down" { capabilities = ["update"] }`)
			h.do("PUT", "sys/step-down", plain, nil).fails(403, denied)
			h.do("PUT", "sys/step-down", "", nil).fails(403, "permission denied")
			h.do("GET", "sys/step-down", h.root, nil).is(405)
		}},
		{"audit §1 step-down has a request entry alone", func(t *testing.T, h *house) {
			h.devices()
			before := len(h.audit.all(t))
			h.do("PUT", "sys/step-down", h.root, nil).empty()
			if entries := h.audit.all(t)[before:]; len(entries) != 1 || entries[0]["type"] != "request" {
				t.Fatalf("entries %v", entries)
			}
		}},
	})
}

func TestSystemDecodeToken(t *testing.T) {
	rows(t, []row{
		{"sys §16 decode-token: bad input", func(t *testing.T, h *house) {
			h.do("POST", "sys/decode-token", "", m{"encoded_token": "%", "otp": "x"}).failsLike(400, "base64")
			h.do("POST", "sys/decode-token", "", m{"encoded_token": "AAAA", "otp": "x"}).failsLike(400, "differ in length")
			h.do("POST", "sys/decode-token", "", m{"otp": "x"}).failsLike(400, "missing")
			h.do("POST", "sys/decode-token", "", m{"encoded_token": "AAAA"}).failsLike(400, "missing")
		}},
	})
}

// Contract: config §3. A listener can leave the endpoints out; their paths are unknown then.
func TestSystemSharesSwitchedOff(t *testing.T) {
	h, _ := shares(t)
	var l config.Listener
	l.Exposure.DisableUnauthedRekey, l.Exposure.DisableUnauthedGenerateRoot = true, true
	h.handler = server.New(h.node, l, time.Minute, server.About{}, quiet())
	for _, path := range []string{rootAttempt, "sys/rekey/init"} {
		h.do(http.MethodGet, path, "", nil).fails(403, "permission denied")
		h.do(http.MethodGet, path, h.root, nil).fails(404, wrap1("unsupported path"))
	}
}

// quiet is a log that nobody reads.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
