package transit_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"jeton/internal/backend"
	"jeton/internal/engine/transit"
)

// TestExport: contract secrets §5, export.
func TestExport(t *testing.T) {
	m := open(t)
	for _, kind := range []string{"aes256-gcm96", "ed25519", "ecdsa-p256", "rsa-2048", "hmac"} {
		m.write("keys/"+kind, `{"type":"`+kind+`","exportable":true}`)
	}
	for _, c := range []struct{ path, prefix string }{
		{"signing-key/ecdsa-p256", "-----BEGIN EC PRIVATE KEY-----"}, {"signing-key/rsa-2048", "-----BEGIN RSA PRIVATE KEY-----"},
		{"encryption-key/rsa-2048", "-----BEGIN RSA PRIVATE KEY-----"}, {"public-key/rsa-2048", "-----BEGIN PUBLIC KEY-----"},
		{"public-key/ecdsa-p256", "-----BEGIN PUBLIC KEY-----"},
	} {
		if got := text(t, m.read("export/"+c.path), "keys.1"); !strings.HasPrefix(got, c.prefix) {
			t.Errorf("%s is %.40q", c.path, got)
		}
	}
	private, err := base64.StdEncoding.DecodeString(text(t, m.read("export/signing-key/ed25519/latest"), "keys.1"))
	if err != nil || !bytes.Equal(ed25519.PrivateKey(private).Public().(ed25519.PublicKey), m.publicKey("ed25519").(ed25519.PublicKey)) {
		t.Errorf("the exported ed25519 key is another: %v", err)
	}
	der, err := base64.StdEncoding.DecodeString(text(t, m.Do(backend.Read, "export/signing-key/ed25519", `{"format":"der"}`), "keys.1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParsePKCS8PrivateKey(der); err != nil {
		t.Error(err)
	}
	// What is exported opens what was encrypted.
	sealed := m.encrypt("aes256-gcm96", "x", "")
	key, err := base64.StdEncoding.DecodeString(text(t, m.read("export/encryption-key/aes256-gcm96/1"), "keys.1"))
	if err != nil {
		t.Fatal(err)
	}
	if plain := openGCM(t, key, strings.TrimPrefix(sealed, "vault:v1:")); plain != "x" {
		t.Errorf("opened %q", plain)
	}
	m.write("keys/aes256-gcm96/rotate", "")
	m.write("keys/aes256-gcm96/config", `{"min_decryption_version":2}`)
	m.write("keys/secret", "")
	for path, want := range map[string]string{
		"secret-key/hmac": "invalid export type", "encryption-key/secret": "private key material is not exportable",
		"encryption-key/ed25519": "unknown key type for export type", "signing-key/hmac": "unknown key type for export type", "public-key/hmac": "unknown key type for export type",
		"encryption-key/aes256-gcm96/1": "version for export is below minimum decryption version", "encryption-key/aes256-gcm96/3": "version does not exist or cannot be found",
		"encryption-key/aes256-gcm96/0": "version does not exist or cannot be found", "encryption-key/aes256-gcm96/x": "invalid key version",
	} {
		m.refused(m.Do(backend.Read, "export/"+path, ""), path, want)
	}
	m.refused(m.Do(backend.Read, "export/signing-key/ed25519", `{"format":"x"}`), "format", "invalid format")
	if a := m.Do(backend.Read, "export/encryption-key/absent", ""); a.Status != 404 {
		t.Errorf("an absent key: %d", a.Status)
	}
	if got := m.read("export/encryption-key/aes256-gcm96").Member("keys"); strings.Contains(got, `"1"`) || !strings.Contains(got, `"2"`) {
		t.Errorf("all versions: %s", got)
	}
}

// TestBackup: contract secrets §5, backup and restore.
func TestBackup(t *testing.T) {
	m := open(t)
	m.write("keys/k", "")
	m.refused(m.Do(backend.Read, "backup/k", ""), "backup", "exporting is disallowed on the policy")
	m.write("keys/k/config", `{"exportable":true}`)
	m.refused(m.Do(backend.Read, "backup/k", ""), "backup", "plaintext backup is disallowed on the policy")
	m.write("keys/k/config", `{"allow_plaintext_backup":true,"auto_rotate_period":"2h"}`)
	m.refused(m.Do(backend.Read, "backup/absent", ""), "backup", "key not found")
	first := m.encrypt("k", "one", "")
	m.write("keys/k/rotate", "")
	m.write("keys/k/config", `{"min_decryption_version":2,"min_encryption_version":2}`)
	m.write("keys/k/trim", `{"min_available_version":2}`)
	second := m.encrypt("k", "two", "")
	backup := text(t, m.read("backup/k"), "backup")

	m.fails("restore", `{"backup":"`+backup+`"}`, "key already exists; give force to replace it")
	m.write("restore/copy", `{"backup":"`+backup+`"}`)
	m.decrypts("copy", second, "", "two")
	m.fails("decrypt/copy", `{"ciphertext":"`+first+`"}`, "too old")
	// The copy lives by itself, and in time.
	m.write("keys/copy/config", `{"deletion_allowed":true}`)
	m.Clock.Add(3 * time.Hour)
	if err := transit.RotateDue(t.Context(), m.Backend); err != nil {
		t.Fatal(err)
	}
	if a := m.read("keys/copy"); a.Member("latest_version") != "3" {
		t.Errorf("the copy does not rotate: %s", a.Data)
	}
	m.Do(backend.Delete, "keys/copy", "")
	m.decrypts("k", second, "", "two")
	m.write("restore", `{"backup":"`+backup+`","force":true}`)
	if a := m.read("keys/k"); a.Member("latest_version") != "2" {
		t.Errorf("replaced: %s", a.Data)
	}
	m.decrypts("k", second, "", "two")
	m.fails("restore", `{}`, "'backup' must be supplied")
	raw, err := base64.StdEncoding.DecodeString(backup)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"?", "", "AAAA", base64.StdEncoding.EncodeToString(raw[:len(raw)-1])} {
		if bad != "" {
			m.fails("restore/x", `{"backup":"`+bad+`"}`, "invalid backup")
		}
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 0x55
		a := m.Do(backend.Update, "restore/x", `{"force":true,"backup":"`+base64.StdEncoding.EncodeToString(changed)+`"}`)
		if a.Status != 204 && a.Status != 400 {
			t.Fatalf("byte %d changed: %d %v", i, a.Status, a.Err)
		}
	}
}

// openGCM decrypts as anybody with the key can.
func openGCM(t *testing.T, key []byte, encoded string) string {
	t.Helper()
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, sealed[:12], sealed[12:], nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// wrap wraps material as an importer does.
func wrap(t *testing.T, m *mount, newHash func() hash.Hash, target []byte) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text(t, m.read("wrapping_key"), "public_key")))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	ephemeral := make([]byte, 32)
	rand.Read(ephemeral)
	first, err := rsa.EncryptOAEP(newHash(), rand.Reader, public.(*rsa.PublicKey), ephemeral, nil)
	if err != nil {
		t.Fatal(err)
	}
	kwp, err := subtle.NewKWP(ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	second, err := kwp.Wrap(target)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(append(first, second...))
}

// TestImport: contract secrets §5, wrapping_key, import and import_version.
func TestImport(t *testing.T) {
	if testing.Short() {
		t.Skip("making the wrapping key takes seconds")
	}
	m := open(t)
	own := bytes.Repeat([]byte{7}, 32)
	m.write("keys/sym/import", `{"ciphertext":"`+wrap(t, m, sha256.New, own)+`","allow_rotation":true}`)
	if plain := openGCM(t, own, strings.TrimPrefix(m.encrypt("sym", "x", ""), "vault:v1:")); plain != "x" {
		t.Errorf("opened %q", plain)
	}
	shown := m.write("keys/sym/rotate", "")
	if shown.Member("imported_key") != "true" || shown.Member("imported_key_allow_rotation") != "true" {
		t.Errorf("%s", shown.Data)
	}
	m.write("keys/sym/import_version", `{"ciphertext":"`+wrap(t, m, sha1.New, own)+`","hash_function":"SHA1"}`)
	if a := m.read("keys/sym"); a.Member("latest_version") != "3" {
		t.Errorf("%s", a.Data)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	m.write("keys/ec/import", `{"type":"ecdsa-p256","hash_function":"SHA512","ciphertext":"`+wrap(t, m, sha512.New, pkcs8)+`"}`)
	if !m.publicKey("ec").(*ecdsa.PublicKey).Equal(private.Public()) {
		t.Error("another key was imported")
	}
	m.fails("keys/ec/rotate", "", "imported key does not allow rotation within this server")
	m.fails("keys/ec/config", `{"auto_rotate_period":"2h"}`, "imported key does not allow rotation")
	_, seed, _ := ed25519.GenerateKey(rand.Reader)
	pkcs8ed, _ := x509.MarshalPKCS8PrivateKey(seed)
	m.write("keys/ed/import", `{"type":"ed25519","ciphertext":"`+wrap(t, m, sha256.New, pkcs8ed)+`"}`)
	if !m.publicKey("ed").(ed25519.PublicKey).Equal(seed.Public()) {
		t.Error("another key was imported")
	}

	// A public key verifies, and its private part may follow.
	der, _ := x509.MarshalPKIXPublicKey(private.Public())
	public := strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "\n", `\n`)
	m.write("keys/pub/import", `{"type":"ecdsa-p256","public_key":"`+public+`"}`)
	signed := text(t, m.write("sign/ec", `{"input":""}`), "signature")
	if a := m.write("verify/pub", `{"input":"","signature":"`+signed+`"}`); a.Member("valid") != "true" {
		t.Errorf("%s", a.Data)
	}
	m.fails("sign/pub", `{"input":""}`, "does not contain a private part")
	m.fails("hmac/pub", `{"input":""}`, "does not contain a key for hmac")
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	otherDER, _ := x509.MarshalPKCS8PrivateKey(other)
	m.fails("keys/pub/import_version", `{"version":1,"ciphertext":"`+wrap(t, m, sha256.New, otherDER)+`"}`, "does not belong to the public key")
	m.fails("keys/pub/import_version", `{"version":2,"ciphertext":"`+wrap(t, m, sha256.New, pkcs8)+`"}`, "no such version")
	m.write("keys/pub/import_version", `{"version":1,"ciphertext":"`+wrap(t, m, sha256.New, pkcs8)+`"}`)
	m.write("sign/pub", `{"input":""}`)
	m.fails("keys/pub/import_version", `{"version":1,"ciphertext":"`+wrap(t, m, sha256.New, pkcs8)+`"}`, "that version has its private key")

	m.write("keys/own", "")
	good := wrap(t, m, sha256.New, own)
	for _, c := range []struct{ path, body, want string }{
		{"keys/x/import", `{}`, "either public_key or ciphertext must be provided"},
		{"keys/x/import", `{"ciphertext":"AAAA","public_key":"x"}`, "only one of public_key and ciphertext"},
		{"keys/x/import", `{"ciphertext":"?"}`, "failed to base64-decode ciphertext"},
		{"keys/x/import", `{"ciphertext":"AAAA"}`, "does not hold a key that is wrapped"},
		{"keys/x/import", `{"ciphertext":"` + good + `","hash_function":"SHA1"}`, "does not hold a key that is wrapped"},
		{"keys/x/import", `{"ciphertext":"` + good + `","hash_function":"MD5"}`, "unsupported hash_function"},
		{"keys/x/import", `{"ciphertext":"` + good + `","type":"aes128-gcm96"}`, "not one of type aes128-gcm96"},
		{"keys/x/import", `{"ciphertext":"` + good + `","type":"rsa-2048"}`, "not in PKCS #8 form"},
		{"keys/x/import", `{"ciphertext":"` + wrap(t, m, sha256.New, pkcs8) + `","type":"ecdsa-p384"}`, "not one of type ecdsa-p384"},
		{"keys/x/import", `{"ciphertext":"` + good + `","auto_rotate_period":"2h"}`, "imported key does not allow rotation"},
		{"keys/x/import", `{"public_key":"x","type":"ecdsa-p256"}`, "public_key is not in PEM form"},
		{"keys/x/import", `{"public_key":"` + public + `","type":"ecdsa-p384"}`, "not one of type ecdsa-p384"},
		{"keys/x/import", `{"public_key":"` + public + `"}`, "not one of type aes256-gcm96"},
		{"keys/x/import", `{"public_key":"` + public + `","type":"ed25519","derived":true}`, "keys cannot be derived from a public key"},
		{"keys/sym/import", `{"ciphertext":"` + good + `"}`, "the import path cannot be used with an existing key"},
		{"keys/own/import_version", `{"ciphertext":"` + good + `"}`, "can only be used with an imported key"},
		{"keys/x/import_version", `{"ciphertext":"` + good + `"}`, "no key found with that name"},
	} {
		m.fails(c.path, c.body, c.want)
	}
}

// FuzzVersioned: what is accepted is what would be written.
func FuzzVersioned(f *testing.F) {
	for _, text := range []string{"vault:v1:AAAA", "vault:v0:", "vault:v18446744073709551615:x", "vault:v1:a:b", "vault:", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const latest = 1000
		n, encoded, err := transit.ParseVersioned("ciphertext", text, latest)
		switch {
		case err != nil && backend.KindOf(err) != backend.Invalid:
			t.Fatalf("%v", err)
		case err != nil && text != "" && len(text) > 12 && strings.Contains(err.Error(), text):
			t.Fatalf("the error repeats what was sent: %v", err)
		case err == nil && (n < 1 || n > latest || transit.Versioned(n, encoded) != text):
			t.Fatalf("%q is read as version %d of %q", text, n, encoded)
		}
	})
}
