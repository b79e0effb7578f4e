package transit_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/engine/enginetest"
	"jeton/internal/engine/transit"
	"jeton/internal/store"
)

func open(t testing.TB) *mount { return &mount{enginetest.Open(t, transit.New, nil), t} }

type mount struct {
	*enginetest.Mount
	t testing.TB
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// write is a call that has to succeed.
func (m *mount) write(path, body string) enginetest.Answer {
	m.t.Helper()
	a := m.Do(backend.Update, path, body)
	if a.Status >= 300 {
		m.t.Fatalf("%s %s: %d %s %s", path, body, a.Status, a.Error, a.Data)
	}
	return a
}

// fails is a call that has to be refused with a text.
func (m *mount) fails(path, body, text string) {
	m.t.Helper()
	m.refused(m.Do(backend.Update, path, body), path+" "+body, text)
}

func (m *mount) refused(a enginetest.Answer, what, text string) {
	m.t.Helper()
	if a.Status != 400 || !strings.Contains(a.Error, text) {
		m.t.Fatalf("%s: %d %q, want 400 %q", what, a.Status, a.Error, text)
	}
}

func (m *mount) read(path string) enginetest.Answer {
	m.t.Helper()
	a := m.Do(backend.Read, path, "")
	if a.Status != 200 {
		m.t.Fatalf("%s: %d %s", path, a.Status, a.Error)
	}
	return a
}

// text is a string of an answer.
func text(t testing.TB, a enginetest.Answer, name string) string {
	t.Helper()
	var s string
	if err := json.Unmarshal([]byte(a.Member(name)), &s); err != nil {
		t.Fatalf("%s of %s: %v", name, a.Data, err)
	}
	return s
}

// encrypt encrypts and returns the ciphertext; more are further members of the body.
func (m *mount) encrypt(key, plain, more string) string {
	m.t.Helper()
	return text(m.t, m.write("encrypt/"+key, `{"plaintext":"`+b64(plain)+`"`+more+`}`), "ciphertext")
}

func (m *mount) decrypts(key, sealed, more, want string) {
	m.t.Helper()
	if got := text(m.t, m.write("decrypt/"+key, `{"ciphertext":"`+sealed+`"`+more+`}`), "plaintext"); got != b64(want) {
		m.t.Fatalf("decrypted %q, want %q", got, b64(want))
	}
}

// TestEveryType: contract secrets §5, key types, and what each can do.
func TestEveryType(t *testing.T) {
	for _, kind := range transit.KeyTypes {
		t.Run(kind, func(t *testing.T) {
			if testing.Short() && kind == "rsa-4096" {
				t.Skip("making one takes seconds")
			}
			m := open(t)
			made := m.write("keys/k", `{"type":"`+kind+`"}`)
			if made.Data != m.read("keys/k").Data {
				t.Error("what is made is shown in another way than what is read")
			}
			symmetric := strings.Contains(kind, "gcm") || strings.Contains(kind, "chacha")
			rsa, hmac := strings.HasPrefix(kind, "rsa"), kind == "hmac"
			for name, want := range map[string]bool{
				"supports_encryption": symmetric || rsa, "supports_decryption": symmetric || rsa,
				"supports_signing": !symmetric && !hmac, "supports_derivation": symmetric || kind == "ed25519",
				"derived": false, "exportable": false, "deletion_allowed": false, "allow_plaintext_backup": false, "imported_key": false,
			} {
				if made.Member(name) != fmt.Sprint(want) {
					t.Errorf("%s is %s, want %t", name, made.Member(name), want)
				}
			}
			if symmetric || hmac {
				if made.Member("keys.1") != fmt.Sprint(m.Clock.Now().Unix()) {
					t.Errorf("version 1 is %s, want the time when it was made", made.Member("keys.1"))
				}
			} else if text(t, made, "keys.1.public_key") == "" || text(t, made, "keys.1.name") == "" {
				t.Errorf("version 1 is %s", made.Member("keys.1"))
			}
			if symmetric || rsa {
				m.write("keys/k/rotate", "")
				for _, plain := range []string{"", "text", strings.Repeat("x", 100)} {
					sealed := m.encrypt("k", plain, `,"key_version":1`)
					if !strings.HasPrefix(sealed, "vault:v1:") {
						t.Fatalf("ciphertext %q", sealed)
					}
					m.decrypts("k", sealed, "", plain)
					m.decrypts("k", text(t, m.write("rewrap/k", `{"ciphertext":"`+sealed+`"}`), "ciphertext"), "", plain)
				}
			} else {
				m.fails("encrypt/k", `{"plaintext":""}`, "does not support encryption")
				m.fails("decrypt/k", `{"ciphertext":"vault:v1:AAAA"}`, "does not support decryption")
			}
			if symmetric || hmac {
				m.fails("sign/k", `{"input":""}`, "key type "+kind+" does not support signing")
			}
			mac := text(t, m.write("hmac/k", `{"input":"`+b64("x")+`"}`), "hmac")
			if got := m.write("verify/k", `{"input":"`+b64("x")+`","hmac":"`+mac+`"}`); got.Member("valid") != "true" {
				t.Errorf("hmac: %s", got.Data)
			}
			if got := m.write("verify/k", `{"input":"`+b64("y")+`","hmac":"`+mac+`"}`); got.Status != 200 || got.Member("valid") != "false" {
				t.Errorf("hmac of another input: %d %s", got.Status, got.Data)
			}
		})
	}
}

// TestKeys: contract secrets §5, keys/:name.
func TestKeys(t *testing.T) {
	m := open(t)
	m.fails("keys/k", `{"type":"rot13"}`, "unknown key type")
	m.fails("keys/k", `{"convergent_encryption":true}`, "convergent encryption requires derivation to be enabled")
	m.fails("keys/k", `{"type":"rsa-2048","derived":true}`, "key derivation and convergent encryption not supported for keys of type rsa-2048")
	m.fails("keys/k", `{"type":"ed25519","derived":true,"convergent_encryption":true}`, "not supported for keys of type ed25519")
	m.fails("keys/k", `{"auto_rotate_period":"59m"}`, "auto rotate period must be 0 to disable or at least an hour")
	m.fails("keys/k", `{"key_size":32}`, "key_size is only valid for keys of type hmac")
	m.fails("keys/k", `{"type":"hmac","key_size":31}`, "key_size must be between 32 and 512 bytes")
	if a := m.Do(backend.List, "keys", ""); a.Status != 404 {
		t.Errorf("no keys are listed with %d", a.Status)
	}
	before := m.write("keys/k", `{"exportable":true}`).Data
	again := m.write("keys/k", `{"type":"ed25519"}`)
	if again.Data != before || len(again.Warnings) != 1 || again.Warnings[0] != "key k already existed" {
		t.Errorf("made again: %s %q", again.Data, again.Warnings)
	}
	m.write("keys/j", `{"type":"hmac","key_size":512}`)
	if a := m.Do(backend.List, "keys", ""); a.Member("keys") != `["j","k"]` {
		t.Errorf("listed %s", a.Data)
	}
	if a := m.Do(backend.Read, "keys/absent", ""); a.Status != 404 {
		t.Errorf("an absent key is read with %d", a.Status)
	}
	m.refused(m.Do(backend.Delete, "keys/absent", ""), "delete", "error deleting policy absent: could not delete key; not found")
	m.refused(m.Do(backend.Delete, "keys/k", ""), "delete", "error deleting policy k: deletion is not allowed for this key")
	sealed := m.encrypt("k", "x", "")
	m.write("keys/k/config", `{"deletion_allowed":true}`)
	if a := m.Do(backend.Delete, "keys/k", ""); a.Status != 204 {
		t.Errorf("deleted with %d %s", a.Status, a.Error)
	}
	m.fails("decrypt/k", `{"ciphertext":"`+sealed+`"}`, "encryption key not found")
	m.fails("keys/k/rotate", "", "key not found")
	m.fails("keys/k/config", `{}`, "no existing key named k could be found")
	m.fails("sign/k", `{"input":""}`, "signing key not found")
	// Another key of the same name is another key.
	m.write("keys/k", "")
	m.fails("decrypt/k", `{"ciphertext":"`+sealed+`"}`, "cipher: message authentication failed")
}

// TestVersions: contract secrets §5, config, rotate and trim.
func TestVersions(t *testing.T) {
	m := open(t)
	m.write("keys/k", "")
	first := m.encrypt("k", "one", "")
	for range 3 {
		m.write("keys/k/rotate", "")
	}
	m.decrypts("k", first, "", "one")
	for _, c := range []struct{ body, want string }{
		{`{"min_decryption_version":5}`, "cannot set min decryption version of 5, latest key version is 4"},
		{`{"min_encryption_version":5}`, "cannot set min encryption version of 5, latest key version is 4"},
		{`{"min_decryption_version":-1}`, "min decryption version cannot be negative"},
		{`{"min_encryption_version":-1}`, "min encryption version cannot be negative"},
		{`{"min_decryption_version":3,"min_encryption_version":2}`, "min encryption version of 2 must be greater than or equal to min decryption version of 3"},
		{`{"auto_rotate_period":1}`, "auto rotate period must be 0"},
	} {
		m.fails("keys/k/config", c.body, c.want)
	}
	for _, c := range []struct{ body, want string }{
		{`{}`, "missing min_available_version"},
		{`{"min_available_version":0}`, "must be positive"},
		{`{"min_available_version":1}`, "cannot be set when minimum encryption version is not set"},
	} {
		m.fails("keys/k/trim", c.body, c.want)
	}
	m.write("keys/k/config", `{"min_decryption_version":2,"min_encryption_version":3}`)
	m.fails("decrypt/k", `{"ciphertext":"`+first+`"}`, "ciphertext or signature version is disallowed by policy (too old)")
	m.fails("encrypt/k", `{"plaintext":"","key_version":2}`, "less than the minimum encryption key version")
	m.fails("encrypt/k", `{"plaintext":"","key_version":5}`, "higher than the latest key version")
	m.fails("encrypt/k", `{"plaintext":"","key_version":-1}`, "is negative")
	second := m.encrypt("k", "three", `,"key_version":3`)
	if got := m.read("keys/k").Member("keys"); strings.Contains(got, `"1"`) || !strings.Contains(got, `"2"`) {
		t.Errorf("versions shown: %s", got)
	}
	m.fails("keys/k/trim", `{"min_available_version":4}`, "cannot be greater than minimum encryption version")
	m.fails("keys/k/trim", `{"min_available_version":3}`, "cannot be greater than minimum decryption version")
	m.write("keys/k/trim", `{"min_available_version":2}`)
	m.fails("keys/k/trim", `{"min_available_version":1}`, "cannot be decremented")
	m.fails("keys/k/config", `{"min_decryption_version":1}`, "versions before 2 were deleted")
	m.decrypts("k", second, "", "three")
	zero := m.write("keys/j", "")
	if zero.Member("min_available_version") != "0" || zero.Member("min_decryption_version") != "1" || zero.Member("min_encryption_version") != "0" {
		t.Errorf("a new key: %s", zero.Data)
	}
	if a := m.write("keys/j/config", `{"min_decryption_version":0}`); len(a.Warnings) != 1 || a.Member("min_decryption_version") != "1" {
		t.Errorf("%s %q", a.Data, a.Warnings)
	}
	// Exportable is one way.
	m.write("keys/j/config", `{"exportable":true,"allow_plaintext_backup":true}`)
	if a := m.write("keys/j/config", `{"exportable":false,"allow_plaintext_backup":false}`); a.Member("exportable") != "true" || a.Member("allow_plaintext_backup") != "true" {
		t.Errorf("taken back: %s", a.Data)
	}
}

// TestCiphertexts: contract secrets §5, errors; observed, transit (version 0).
func TestCiphertexts(t *testing.T) {
	m := open(t)
	m.write("keys/k", "")
	good := m.encrypt("k", "text", "")
	body := strings.TrimPrefix(good, "vault:v1:")
	raw, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		m.fails("decrypt/k", `{"ciphertext":"vault:v1:`+base64.StdEncoding.EncodeToString(changed)+`"}`, "cipher: message authentication failed")
	}
	for sealed, want := range map[string]string{
		"":                                    "missing ciphertext to decrypt",
		"v1:" + body:                          "invalid ciphertext: no prefix",
		"VAULT:v1:" + body:                    "invalid ciphertext: no prefix",
		"vault:v1" + body[:9]:                 "invalid ciphertext: wrong number of fields",
		good + ":x":                           "invalid ciphertext: wrong number of fields",
		"vault:v0:" + body:                    "invalid ciphertext: version number could not be decoded",
		"vault:v-1:" + body:                   "invalid ciphertext: version number could not be decoded",
		"vault:v01:" + body:                   "invalid ciphertext: version number could not be decoded",
		"vault:vx:" + body:                    "invalid ciphertext: version number could not be decoded",
		"vault:v:" + body:                     "invalid ciphertext: version number could not be decoded",
		"vault:v99999999999999999999:" + body: "invalid ciphertext: version number could not be decoded",
		"vault:v2:" + body:                    "invalid ciphertext: version is too new",
		"vault:v1:?":                          "invalid ciphertext: could not decode base64",
		"vault:v1:":                           "invalid ciphertext length",
		"vault:v1:AAAA":                       "invalid ciphertext length",
	} {
		m.fails("decrypt/k", `{"ciphertext":"`+sealed+`"}`, want)
		m.fails("rewrap/k", `{"ciphertext":"`+sealed+`"}`, want)
	}
	m.fails("encrypt/k", `{}`, "missing plaintext to encrypt")
	m.fails("encrypt/k", `{"plaintext":"?"}`, "failed to base64-decode plaintext")
	m.fails("encrypt/k", `{"plaintext":"","context":"?"}`, "failed to base64-decode context")
	// Associated data is authenticated.
	with := m.encrypt("k", "text", `,"associated_data":"`+b64("to")+`"`)
	m.decrypts("k", with, `,"associated_data":"`+b64("to")+`"`, "text")
	m.fails("decrypt/k", `{"ciphertext":"`+with+`"}`, "message authentication failed")
	m.fails("decrypt/k", `{"ciphertext":"`+with+`","associated_data":"`+b64("from")+`"}`, "message authentication failed")
	m.write("keys/rsa", `{"type":"rsa-2048"}`)
	m.fails("encrypt/rsa", `{"plaintext":"","associated_data":"AAAA"}`, "associated data is not supported")
	m.fails("encrypt/rsa", `{"plaintext":"`+b64(strings.Repeat("x", 191))+`"}`, "longer than the 190 bytes")
	m.fails("decrypt/rsa", `{"ciphertext":"vault:v1:AAAA"}`, "message authentication failed")
}

// TestCVE_2023_4680: a nonce of the caller's, used twice, gives the key away. None is taken.
func TestCVE_2023_4680(t *testing.T) {
	m := open(t)
	m.write("keys/k", "")
	m.write("keys/c", `{"derived":true,"convergent_encryption":true}`)
	const nonce = `"nonce":"AAAAAAAAAAAAAAAA"`
	for _, key := range []string{"k", "c"} {
		m.fails("encrypt/"+key, `{"plaintext":"","context":"AAAA",`+nonce+`}`, "provided nonce not allowed for this key")
		m.fails("decrypt/"+key, `{"ciphertext":"vault:v1:AAAA","context":"AAAA",`+nonce+`}`, "provided nonce not allowed for this key")
		m.fails("rewrap/"+key, `{"ciphertext":"vault:v1:AAAA","context":"AAAA",`+nonce+`}`, "provided nonce not allowed for this key")
		m.fails("datakey/wrapped/"+key, `{"context":"AAAA",`+nonce+`}`, "provided nonce not allowed for this key")
	}
}

// TestDerived: contract secrets §5, derived and convergent.
func TestDerived(t *testing.T) {
	for _, kind := range []string{"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"} {
		t.Run(kind, func(t *testing.T) {
			m := open(t)
			made := m.write("keys/c", `{"type":"`+kind+`","derived":true,"convergent_encryption":true}`)
			if made.Member("kdf") != `"hkdf_sha256"` || made.Member("convergent_encryption") != "true" {
				t.Errorf("%s", made.Data)
			}
			m.write("keys/d", `{"type":"`+kind+`","derived":true}`)
			const missing = "missing 'context' for key derivation; the key was created using a derived key, which means additional, " +
				"per-request information must be included in order to perform operations with the key"
			m.fails("encrypt/c", `{"plaintext":""}`, missing)
			m.fails("decrypt/d", `{"ciphertext":"vault:v1:AAAA"}`, missing)
			eu, us := `,"context":"`+b64("eu")+`"`, `,"context":"`+b64("us")+`"`
			one := m.encrypt("c", "ann", eu)
			if two := m.encrypt("c", "ann", eu); two != one {
				t.Error("the same plaintext and context have another ciphertext")
			}
			seen := map[string]string{one: "the first"}
			for what, sealed := range map[string]string{
				"another plaintext": m.encrypt("c", "bob", eu), "another context": m.encrypt("c", "ann", us),
				"associated data": m.encrypt("c", "ann", eu+`,"associated_data":"AAAA"`),
			} {
				// Nor do they share a nonce, under which two messages would give the cipher away.
				nonce := sealed[:len("vault:v1:")+16]
				if seen[sealed] != "" || seen[nonce] != "" || nonce == one[:len(nonce)] {
					t.Errorf("%s: the ciphertext or the nonce of %s", what, seen[sealed]+seen[nonce])
				}
				seen[sealed], seen[nonce] = what, what
			}
			m.decrypts("c", one, eu, "ann")
			m.fails("decrypt/c", `{"ciphertext":"`+one+`"`+us+`}`, "message authentication failed")
			if first, second := m.encrypt("d", "ann", eu), m.encrypt("d", "ann", eu); first == second {
				t.Error("a derived key that is not convergent is so all the same")
			}
			m.write("keys/c/rotate", "")
			if m.encrypt("c", "ann", eu) == one {
				t.Error("a new version gives the old ciphertext")
			}
		})
	}
}

// TestUpsert: contract secrets §5, encrypting with an unknown key.
func TestUpsert(t *testing.T) {
	m := open(t)
	m.encrypt("plain", "x", "")
	m.encrypt("derived", "x", `,"context":"AAAA"`)
	m.encrypt("convergent", "x", `,"context":"AAAA","convergent_encryption":true,"type":"chacha20-poly1305"`)
	for key, want := range map[string][2]string{"plain": {"false", `"aes256-gcm96"`}, "derived": {"true", `"aes256-gcm96"`}, "convergent": {"true", `"chacha20-poly1305"`}} {
		if a := m.read("keys/" + key); a.Member("derived") != want[0] || a.Member("type") != want[1] {
			t.Errorf("%s: %s", key, a.Data)
		}
	}
	m.write("encrypt/batch", `{"batch_input":[{"plaintext":""},{"plaintext":"AAAA"}]}`)
	m.fails("encrypt/signer", `{"plaintext":"","type":"ed25519"}`, "does not support encryption")
	m.fails("encrypt/convergent2", `{"plaintext":"","convergent_encryption":true}`, "convergent encryption requires derivation to be enabled")
	if a := m.write("config/keys", `{"disable_upsert":true}`); a.Member("disable_upsert") != "true" {
		t.Errorf("%s", a.Data)
	}
	m.fails("encrypt/other", `{"plaintext":""}`, "encryption key not found")
	if a := m.read("config/keys"); a.Member("disable_upsert") != "true" {
		t.Errorf("%s", a.Data)
	}
	if a := m.Do(backend.List, "keys", ""); a.Member("keys") != `["batch","convergent","derived","plain"]` {
		t.Errorf("keys: %s", a.Data)
	}
}

// TestBatch: contract secrets §5, batch.
func TestBatch(t *testing.T) {
	m := open(t)
	m.write("keys/k", "")
	m.write("keys/s", `{"type":"ed25519"}`)
	good := m.encrypt("k", "a", "")
	for _, c := range []struct {
		name, path, body string
		status           int
		errors           []string
	}{
		{"all good", "decrypt/k", `{"batch_input":[{"ciphertext":"` + good + `","reference":"r"}]}`, 200, []string{""}},
		{"good and bad is 400 with both", "decrypt/k", `{"batch_input":[{"ciphertext":"` + good + `"},{"ciphertext":"x","reference":"r"}]}`, 400, []string{"", "invalid ciphertext: no prefix"}},
		{"partial_failure_response_code", "decrypt/k", `{"partial_failure_response_code":207,"batch_input":[{"ciphertext":"` + good + `"},{"ciphertext":"x"}]}`, 207, []string{"", "invalid ciphertext: no prefix"}},
		{"partial_failure_response_code without a success", "decrypt/k", `{"partial_failure_response_code":207,"batch_input":[{"ciphertext":"x"}]}`, 400, []string{"invalid ciphertext: no prefix"}},
		{"encrypt", "encrypt/k", `{"batch_input":[{"plaintext":""},{}]}`, 400, []string{"", "missing plaintext to encrypt"}},
		{"rewrap", "rewrap/k", `{"batch_input":[{"ciphertext":"` + good + `"},{}]}`, 400, []string{"", "missing ciphertext to decrypt"}},
		{"sign, some fail", "sign/s", `{"batch_input":[{"input":""},{}]}`, 200, []string{"", "missing input"}},
		{"sign, all fail", "sign/s", `{"batch_input":[{},{}]}`, 400, []string{"missing input", "missing input"}},
		{"hmac, some fail", "hmac/k", `{"batch_input":[{"input":""},{"input":"?"}]}`, 200, []string{"", "failed to base64-decode input"}},
		{"verify, some fail", "verify/s", `{"batch_input":[{"input":"","signature":"vault:v1:AAAA"},{"input":""}]}`, 200, []string{"", "neither a 'signature' nor an 'hmac' is there to verify"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := m.Do(backend.Update, c.path, c.body)
			var reply struct {
				Results []struct{ Error, Reference, Plaintext string } `json:"batch_results"`
			}
			if err := json.Unmarshal([]byte(a.Data), &reply); err != nil || a.Status != c.status || len(reply.Results) != len(c.errors) {
				t.Fatalf("%d %s %v, want %d", a.Status, a.Data, err, c.status)
			}
			for i, want := range c.errors {
				if reply.Results[i].Error != want {
					t.Errorf("item %d: %q, want %q", i, reply.Results[i].Error, want)
				}
			}
			if strings.Contains(c.body, "reference") && reply.Results[len(reply.Results)-1].Reference != "r" {
				t.Errorf("no reference in %s", a.Data)
			}
		})
	}
	m.fails("encrypt/k", `{"batch_input":[]}`, "missing batch input to process")
	m.fails("decrypt/k", `{"batch_input":[1]}`, "batch_input must be a list of objects")
	m.fails("decrypt/k", `{"batch_input":"x"}`, "batch_input must be a list of objects")
	m.fails("encrypt/k", `{"batch_input":[{"plaintext":"","context":"AAAA"},{"plaintext":""}]}`, "context should be set either in all the request blocks or in none")
	m.fails("decrypt/k", `{"partial_failure_response_code":99,"batch_input":[{"ciphertext":"x"}]}`, "must be a status from 200 to 599")
}

func TestDataKey(t *testing.T) {
	m := open(t)
	m.write("keys/k", "")
	for _, bits := range []int{128, 256, 512} {
		a := m.write("datakey/plaintext/k", fmt.Sprintf(`{"bits":%d}`, bits))
		key, err := base64.StdEncoding.DecodeString(text(t, a, "plaintext"))
		if err != nil || len(key)*8 != bits {
			t.Errorf("%d bits, want %d: %v", len(key)*8, bits, err)
		}
		m.decrypts("k", text(t, a, "ciphertext"), "", string(key))
	}
	if a := m.write("datakey/wrapped/k", ""); a.Member("plaintext") != "" || a.Member("ciphertext") == "" {
		t.Errorf("%s", a.Data)
	}
	m.fails("datakey/other/k", "", "Invalid path, must be 'plaintext' or 'wrapped'")
	m.fails("datakey/wrapped/k", `{"bits":192}`, "invalid bit length")
	m.fails("datakey/wrapped/absent", "", "encryption key not found")
}

// TestParallelRotations: observed, transit: all succeed, with a version each.
func TestParallelRotations(t *testing.T) {
	m := open(t)
	m.write("keys/k", "")
	const n = 20
	var all sync.WaitGroup
	answers := make([]enginetest.Answer, n)
	for i := range n {
		all.Go(func() { answers[i] = m.Do(backend.Update, "keys/k/rotate", "") })
	}
	all.Wait()
	for _, a := range answers {
		if a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Error)
		}
	}
	var versions map[string]int64
	shown := m.read("keys/k")
	if err := json.Unmarshal([]byte(shown.Member("keys")), &versions); err != nil || len(versions) != n+1 || shown.Member("latest_version") != fmt.Sprint(n+1) {
		t.Errorf("%s %v", shown.Data, err)
	}
	// Each is another key: what one encrypts no other opens.
	sealed := m.encrypt("k", "x", `,"key_version":7`)
	m.fails("decrypt/k", `{"ciphertext":"`+strings.Replace(sealed, ":v7:", ":v8:", 1)+`"}`, "message authentication failed")
}

// TestAutoRotation: contract secrets §5, auto_rotate_period.
func TestAutoRotation(t *testing.T) {
	m := open(t)
	m.write("keys/k", `{"auto_rotate_period":"2h"}`)
	m.write("keys/never", "")
	latest := func(want string) {
		t.Helper()
		if err := transit.RotateDue(t.Context(), m.Backend); err != nil {
			t.Fatal(err)
		}
		if a := m.read("keys/k"); a.Member("latest_version") != want {
			t.Fatalf("version %s, want %s", a.Member("latest_version"), want)
		}
		if a := m.read("keys/never"); a.Member("latest_version") != "1" {
			t.Fatal("a key without a period was rotated")
		}
	}
	m.Clock.Add(2*time.Hour - 1)
	latest("1")
	m.Clock.Add(1)
	latest("2")
	latest("2")
	m.Clock.Add(time.Hour)
	m.write("keys/k/rotate", "") // by hand: the period begins anew
	m.Clock.Add(time.Hour)
	latest("3")
	m.Clock.Add(24 * time.Hour)
	latest("4") // once, however much was missed
	m.write("keys/k/config", `{"auto_rotate_period":0}`)
	m.Clock.Add(24 * time.Hour)
	latest("4")
	m.write("keys/k/config", `{"auto_rotate_period":"1h","deletion_allowed":true}`)
	m.Do(backend.Delete, "keys/k", "")
	m.Clock.Add(24 * time.Hour)
	if err := transit.RotateDue(t.Context(), m.Backend); err != nil {
		t.Fatal(err)
	}
	if left := keysOf(t, m.Area); len(left) != 2 {
		t.Errorf("a deleted key left something behind: %q", left)
	}
}

// keysOf are the storage keys of a mount.
func keysOf(t *testing.T, area *store.Area) (keys []string) {
	t.Helper()
	err := area.View(t.Context(), func(r store.Reader) error {
		return r.Scan(store.Range{KeysOnly: true}, func(key, _ []byte) (bool, error) {
			keys = append(keys, string(key))
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(keys)
	return keys
}

// TestCache: what is remembered is bounded, and is true as soon as a change is answered.
func TestCache(t *testing.T) {
	m := open(t)
	if a := m.read("cache-config"); a.Member("size") != "0" {
		t.Errorf("%s", a.Data)
	}
	m.fails("cache-config", `{"size":9}`, "size must be 0 or a value from 10")
	m.write("cache-config", `{"size":10}`)
	if a := m.read("cache-config"); a.Member("size") != "10" {
		t.Errorf("%s", a.Data)
	}
	for i := range 30 {
		key := fmt.Sprintf("k%d", i)
		m.decrypts(key, m.encrypt(key, "x", ""), "", "x")
	}
	if keys, versions := transit.Remembered(m.Backend); keys != 10 || versions != 10 {
		t.Errorf("%d keys and %d versions are remembered, want 10 of each", keys, versions)
	}
	for i := range 50 {
		m.write("keys/k0/rotate", "")
		if a := m.write("encrypt/k0", `{"plaintext":""}`); a.Member("key_version") != fmt.Sprint(i+2) {
			t.Fatalf("encrypted with version %s, want %d", a.Member("key_version"), i+2)
		}
	}
	m.write("keys/k0/config", `{"deletion_allowed":true}`)
	if a := m.Do(backend.Delete, "keys/k0", ""); a.Status != 204 {
		t.Fatal(a.Error)
	}
	m.fails("decrypt/k0", `{"ciphertext":"vault:v1:AAAA"}`, "encryption key not found")
}

// A mount that is opened again, over the same store, has the same keys and cache size.
func TestReopened(t *testing.T) {
	s := enginetest.OpenStore(t)
	m := &mount{enginetest.OpenOver(t, s, clock.NewManual(time.Unix(1e9, 0)), transit.New, nil), t}
	m.write("cache-config", `{"size":10}`)
	sealed := m.encrypt("k", "x", "")
	m = &mount{enginetest.OpenOver(t, s, m.Clock, transit.New, nil), t}
	m.decrypts("k", sealed, "", "x")
	if a := m.read("cache-config"); a.Member("size") != "10" {
		t.Errorf("%s", a.Data)
	}
}
