package transit_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/engine/enginetest"
)

// publicKey is the public key of version 1, read by Go's own library.
func (m *mount) publicKey(name string) any {
	m.t.Helper()
	shown := text(m.t, m.read("keys/"+name), "keys.1.public_key")
	block, _ := pem.Decode([]byte(shown))
	if block == nil {
		raw, err := base64.StdEncoding.DecodeString(shown)
		if err != nil {
			m.t.Fatal(err)
		}
		return ed25519.PublicKey(raw)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		m.t.Fatal(err)
	}
	return public
}

// signature takes the prefix off and decodes what is left.
func signature(t *testing.T, a enginetest.Answer, encoding *base64.Encoding) []byte {
	t.Helper()
	raw, err := encoding.DecodeString(strings.TrimPrefix(text(t, a, "signature"), "vault:v1:"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestSignaturesOutside: others verify what is signed here, with the public key that is shown.
func TestSignaturesOutside(t *testing.T) {
	m := open(t)
	for _, kind := range []string{"ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048"} {
		m.write("keys/"+kind, `{"type":"`+kind+`"}`)
	}
	input := []byte("contract")
	hashed := sha256.Sum256(input)
	body := `{"input":"` + b64(string(input)) + `"`

	if !ed25519.Verify(m.publicKey("ed25519").(ed25519.PublicKey), input, signature(t, m.write("sign/ed25519", body+`}`), base64.StdEncoding)) {
		t.Error("ed25519")
	}
	for _, kind := range []string{"ecdsa-p256", "ecdsa-p384", "ecdsa-p521"} {
		public := m.publicKey(kind).(*ecdsa.PublicKey)
		if !ecdsa.VerifyASN1(public, hashed[:], signature(t, m.write("sign/"+kind, body+`}`), base64.StdEncoding)) {
			t.Errorf("%s, asn1", kind)
		}
		jws := signature(t, m.write("sign/"+kind, body+`,"marshaling_algorithm":"jws"}`), base64.RawURLEncoding)
		size := (public.Curve.Params().BitSize + 7) / 8
		if len(jws) != 2*size || !ecdsa.Verify(public, hashed[:], new(big.Int).SetBytes(jws[:size]), new(big.Int).SetBytes(jws[size:])) {
			t.Errorf("%s, jws of %d bytes", kind, len(jws))
		}
	}
	public := m.publicKey("rsa-2048").(*rsa.PublicKey)
	if err := rsa.VerifyPSS(public, crypto.SHA256, hashed[:], signature(t, m.write("sign/rsa-2048", body+`}`), base64.StdEncoding), nil); err != nil {
		t.Error("pss", err)
	}
	short := signature(t, m.write("sign/rsa-2048", body+`,"salt_length":"16"}`), base64.StdEncoding)
	if err := rsa.VerifyPSS(public, crypto.SHA256, hashed[:], short, &rsa.PSSOptions{SaltLength: 16}); err != nil {
		t.Error("pss, 16 bytes of salt", err)
	}
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, hashed[:], signature(t, m.write("sign/rsa-2048", body+`,"signature_algorithm":"pkcs1v15"}`), base64.StdEncoding)); err != nil {
		t.Error("pkcs1v15", err)
	}
	// ECDSA takes a hash of any length, and cuts it.
	long := sha512.Sum512(input)
	cut := signature(t, m.write("sign/ecdsa-p256", `{"input":"`+base64.StdEncoding.EncodeToString(long[:])+`","prehashed":true}`), base64.StdEncoding)
	if !ecdsa.VerifyASN1(m.publicKey("ecdsa-p256").(*ecdsa.PublicKey), long[:], cut) {
		t.Error("ecdsa, a longer hash than is named")
	}
	// A hash that is none: the input is signed as it is.
	raw := `{"input":"` + base64.StdEncoding.EncodeToString(hashed[:]) + `","prehashed":true,"hash_algorithm":"none","signature_algorithm":"pkcs1v15"}`
	if err := rsa.VerifyPKCS1v15(public, 0, hashed[:], signature(t, m.write("sign/rsa-2048", raw), base64.StdEncoding)); err != nil {
		t.Error("pkcs1v15 without a hash", err)
	}
}

// TestSignOptions: contract secrets §5, sign and verify, every option on both sides.
func TestSignOptions(t *testing.T) {
	m := open(t)
	kinds := []string{"ed25519", "ecdsa-p256", "ecdsa-p521", "rsa-2048"}
	for _, kind := range kinds {
		m.write("keys/"+kind, `{"type":"`+kind+`"}`)
	}
	valid := func(kind, signed, body string) string {
		return m.write("verify/"+kind, body+`,"signature":"`+signed+`"}`).Member("valid")
	}
	for _, hash := range []string{"sha1", "sha2-224", "sha2-256", "sha2-384", "sha2-512", "sha3-224", "sha3-256", "sha3-384", "sha3-512"} {
		for _, options := range []string{"", `,"signature_algorithm":"pkcs1v15"`, `,"marshaling_algorithm":"jws"`, `,"salt_length":"hash"`, `,"salt_length":"20"`} {
			if strings.HasPrefix(hash, "sha3") && strings.Contains(options, "pkcs1v15") {
				options = "" // RFC 8017 knows no such hash
			}
			for _, kind := range kinds {
				body := func(input string) string {
					return `{"input":"` + b64(input) + `","hash_algorithm":"` + hash + `"` + options
				}
				signed := text(t, m.write("sign/"+kind, body("x")+`}`), "signature")
				if valid(kind, signed, body("x")) != "true" || valid(kind, signed, body("y")) != "false" {
					t.Errorf("%s with %s%s", kind, hash, options)
				}
				if in := text(t, m.write("sign/"+kind+"/"+hash, `{"input":"`+b64("x")+`"`+options+`}`), "signature"); valid(kind, in, body("x")) != "true" {
					t.Errorf("%s with %s in the path", kind, hash)
				}
			}
		}
	}
	for _, c := range []struct{ path, body, want string }{
		{"sign/rsa-2048", `{}`, "missing input"}, // observed, transit: never the signature of nothing
		{"sign/rsa-2048", `{"input":"?"}`, "failed to base64-decode input"},
		{"sign/rsa-2048", `{"input":"","hash_algorithm":"md5"}`, "invalid hash algorithm"},
		{"sign/rsa-2048/md5", `{"input":""}`, "invalid hash algorithm"},
		{"sign/rsa-2048", `{"input":"","signature_algorithm":"x"}`, "unsupported signature algorithm"},
		{"sign/rsa-2048", `{"input":"","marshaling_algorithm":"x"}`, "unsupported marshaling algorithm"},
		{"sign/rsa-2048", `{"input":"","salt_length":"x"}`, "salt_length is neither"},
		{"sign/rsa-2048", `{"input":"","salt_length":-3}`, "salt_length is neither"},
		{"sign/rsa-2048", `{"input":"","salt_length":4096}`, "too long for the key"},
		{"sign/rsa-2048", `{"input":"","hash_algorithm":"none"}`, "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15"},
		{"sign/rsa-2048", `{"input":"AAAA","prehashed":true}`, "it has another length"},
		{"verify/rsa-2048", `{"input":"AAAA","prehashed":true,"signature":"vault:v1:AAAA"}`, "it has another length"},
		{"sign/ecdsa-p256", `{"input":"","prehashed":true}`, "it is empty"},
		{"sign/rsa-2048", `{"input":"","hash_algorithm":"sha3-256","signature_algorithm":"pkcs1v15"}`, "pkcs1v15 knows no sha3 hashes"},
		{"sign/rsa-2048", `{"input":"","key_version":2}`, "higher than the latest key version"},
		{"sign/absent", `{"input":""}`, "signing key not found"},
		{"verify/ed25519", `{"input":""}`, "neither a 'signature' nor an 'hmac'"},
		{"verify/ed25519", `{"input":"","signature":"a","hmac":"b"}`, "provide one of 'signature' or 'hmac'"},
		{"verify/ed25519", `{"signature":"a"}`, "missing input"},
		{"verify/ed25519", `{"input":"","signature":"a"}`, "invalid signature: no prefix"},
		{"verify/ed25519", `{"input":"","signature":"vault:v0:AAAA"}`, "invalid signature: version number could not be decoded"},
		{"verify/ed25519", `{"input":"","signature":"vault:v2:AAAA"}`, "invalid signature: version is too new"},
		{"verify/ed25519", `{"input":"","signature":"vault:v1:?"}`, "invalid signature: could not decode base64"},
		{"verify/ed25519", `{"input":"","hmac":"vault:v1:?"}`, "invalid HMAC to verify: could not decode base64"},
		{"hmac/ed25519", `{}`, "missing input"},
		{"hmac/ed25519", `{"input":"","algorithm":"none"}`, "an hmac needs a hash algorithm"},
		{"hmac/ed25519/md5", `{"input":""}`, "invalid hash algorithm"},
		{"hmac/absent", `{"input":""}`, "encryption key not found"},
	} {
		m.fails(c.path, c.body, c.want)
	}
	// Garbage is not valid, and no error.
	for _, kind := range kinds {
		for _, options := range []string{"", `,"marshaling_algorithm":"jws"`, `,"signature_algorithm":"pkcs1v15"`} {
			if got := valid(kind, "vault:v1:AAAA", `{"input":""`+options); got != "false" {
				t.Errorf("%s%s: garbage is %s", kind, options, got)
			}
		}
	}
	// Too old a version, and one that was signed before a rotation.
	signed := text(t, m.write("sign/ed25519", `{"input":""}`), "signature")
	m.write("keys/ed25519/rotate", "")
	if valid("ed25519", signed, `{"input":""`) != "true" {
		t.Error("a rotation ends older signatures")
	}
	m.write("keys/ed25519/config", `{"min_decryption_version":2}`)
	m.fails("verify/ed25519", `{"input":"","signature":"`+signed+`"}`, "ciphertext or signature version is disallowed by policy (too old)")
}

// TestDerivedSignatures: contract secrets §5: a derived ed25519 key has a public key for each context.
func TestDerivedSignatures(t *testing.T) {
	m := open(t)
	if made := m.write("keys/k", `{"type":"ed25519","derived":true}`); text(t, made, "keys.1.public_key") != "" {
		t.Errorf("without a context there is no public key: %s", made.Data)
	}
	m.fails("sign/k", `{"input":""}`, "missing 'context' for key derivation")
	eu := `"context":"` + b64("eu") + `"`
	a := m.write("sign/k", `{"input":"",`+eu+`}`)
	shown := m.Do(backend.Read, "keys/k", `{`+eu+`}`)
	if a.Member("public_key") == "" || a.Member("public_key") != shown.Member("keys.1.public_key") {
		t.Errorf("%s, %s", a.Data, shown.Data)
	}
	signed := text(t, a, "signature")
	for body, want := range map[string]string{eu: "true", `"context":"AAAA"`: "false"} {
		if got := m.write("verify/k", `{"input":"","signature":"`+signed+`",`+body+`}`).Member("valid"); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// TestHMACOutside: others compute the same with the key that is exported.
func TestHMACOutside(t *testing.T) {
	m := open(t)
	m.write("keys/k", `{"type":"hmac","key_size":64,"exportable":true}`)
	key, err := base64.StdEncoding.DecodeString(text(t, m.read("export/hmac-key/k"), "keys.1"))
	if err != nil || len(key) != 64 {
		t.Fatalf("%d bytes: %v", len(key), err)
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte("x"))
	want := "vault:v1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
	if got := text(t, m.write("hmac/k", `{"input":"`+b64("x")+`"}`), "hmac"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzParameters: whatever is sent, an answer is an answer or a refusal of the caller's (CVE-2026-55776).
func FuzzParameters(f *testing.F) {
	m := open(f)
	for _, kind := range []string{"aes256-gcm96", "ed25519", "ecdsa-p256", "rsa-2048", "hmac"} {
		m.write("keys/"+kind, `{"type":"`+kind+`"}`)
	}
	m.write("keys/derived", `{"derived":true,"convergent_encryption":true}`)
	f.Add("encrypt", "aes256-gcm96", `{"plaintext":"AAAA","key_version":1}`)
	f.Add("decrypt", "derived", `{"ciphertext":"vault:v1:AAAA","context":"AAAA"}`)
	f.Add("sign", "rsa-2048", `{"input":"AAAA","prehashed":true,"hash_algorithm":"none","signature_algorithm":"pkcs1v15"}`)
	f.Add("verify", "ecdsa-p256", `{"input":"AAAA","signature":"vault:v1:AAAA","marshaling_algorithm":"jws","salt_length":1}`)
	f.Add("rewrap", "rsa-2048", `{"batch_input":[{"ciphertext":"vault:v1:AAAA"},{"reference":1}]}`)
	f.Add("hmac", "hmac", `{"input":"","algorithm":"sha3-512"}`)
	f.Add("datakey/wrapped", "derived", `{"bits":512}`)
	f.Fuzz(func(t *testing.T, operation, key, body string) {
		var object map[string]any
		if json.Unmarshal([]byte(body), &object) != nil || object == nil {
			return
		}
		if operation != "encrypt" && operation != "decrypt" && operation != "rewrap" && operation != "sign" && operation != "verify" && operation != "hmac" && operation != "datakey/wrapped" {
			return
		}
		a := m.For(t).Do(backend.Update, operation+"/"+key, body)
		if a.Status >= 500 && object["partial_failure_response_code"] == nil {
			t.Fatalf("%s/%s %s: %d %v", operation, key, body, a.Status, a.Err)
		}
	})
}
