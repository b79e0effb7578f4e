package pgp_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"jeton/internal/backend"
	"jeton/internal/seal/pgp"
	"jeton/internal/seal/pgp/pgptest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestOnlyTheHolderReads(t *testing.T) {
	holder := pgptest.New(t, now, 0)
	key, err := pgp.Parse(holder.Public(), now)
	if err != nil {
		t.Fatal(err)
	}
	if key.Fingerprint() != holder.Fingerprint() || len(key.Fingerprint()) != 40 {
		t.Fatalf("fingerprint %s, want %s", key.Fingerprint(), holder.Fingerprint())
	}
	secret := []byte("a share")
	message, err := key.Encrypt(secret, now)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(message, secret) {
		t.Fatal("the message shows what is in it")
	}
	if got := holder.Open(message); got != string(secret) {
		t.Fatalf("the holder reads %q", got)
	}
	stranger := pgptest.New(t, now, 0)
	if _, err := openpgp.ReadMessage(bytes.NewReader(message), openpgp.EntityList{stranger.Entity}, nil, nil); err == nil {
		t.Fatal("a stranger reads it")
	}
}

// signOnly is a key without a subkey for encryption.
func signOnly(t *testing.T) string {
	h := pgptest.New(t, now, 0)
	h.Entity.Subkeys = nil
	return h.Public()
}

func revokedSubkey(t *testing.T) string {
	h := pgptest.New(t, now, 0)
	config := &packet.Config{Time: func() time.Time { return now }}
	if err := h.Entity.RevokeSubkey(&h.Entity.Subkeys[0], packet.KeyCompromised, "", config); err != nil {
		t.Fatal(err)
	}
	return h.Public()
}

func revoked(t *testing.T) string {
	h := pgptest.New(t, now, 0)
	h.Revoke()
	return h.Public()
}

func twoKeys(t *testing.T) string {
	var both []byte
	for range 2 {
		one, err := base64.StdEncoding.DecodeString(pgptest.New(t, now, 0).Public())
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, one...)
	}
	return base64.StdEncoding.EncodeToString(both)
}

func TestKeysThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ key, want string }{
		"not base64":          {"?", "error decoding given PGP key: it is not base64"},
		"nothing":             {"", "error parsing given PGP key: it is not a PGP public key in binary form"},
		"not a key":           {base64.StdEncoding.EncodeToString([]byte("canary")), "error parsing given PGP key: it is not a PGP public key in binary form"},
		"armoured":            {base64.StdEncoding.EncodeToString([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")), "it is not a PGP public key in binary form"},
		"too large":           {base64.StdEncoding.EncodeToString(make([]byte, 64<<10+1)), "it is larger than"},
		"private":             {pgptest.New(t, now, 0).Private(), "it is a private key"},
		"two keys":            {twoKeys(t), "there is more than one key in it"},
		"expired":             {pgptest.New(t, now.Add(-48*time.Hour), 24*time.Hour).Public(), "cannot be used: it has expired"},
		"from the future":     {pgptest.New(t, now.Add(time.Hour), 0).Public(), "cannot be used: it was made in the future"},
		"revoked":             {revoked(t), "cannot be used: it has been revoked"},
		"for signatures only": {signOnly(t), "cannot be used: it cannot encrypt"},
		"revoked subkey":      {revokedSubkey(t), "cannot be used: its encryption subkey has been revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pgp.Parse(c.key, now)
			var e *backend.Error
			if !errors.As(err, &e) || e.Kind != backend.Invalid || !strings.Contains(e.Text, c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Fatalf("the error repeats what was sent: %v", err)
			}
		})
	}
	if _, err := pgp.ParseAll(slices.Repeat([]string{base64.StdEncoding.EncodeToString(make([]byte, 60<<10))}, 18), now); err == nil || !strings.Contains(err.Error(), "together are larger") {
		t.Fatalf("a megabyte of keys: %v", err)
	}
	good := pgptest.New(t, now, 0).Public()
	if _, err := pgp.ParseAll([]string{good, "?"}, now); err == nil || !strings.HasSuffix(err.Error(), "(key 2 of 2)") {
		t.Fatalf("%v does not say which key", err)
	}
}

// A clock that is a little ahead makes no key useless.
func TestMadeJustNow(t *testing.T) {
	holder := pgptest.New(t, now.Add(9*time.Minute), 0)
	key, err := pgp.Parse(holder.Public(), now)
	if err != nil {
		t.Fatal(err)
	}
	message, err := key.Encrypt([]byte("a share"), now)
	if err != nil || holder.Open(message) != "a share" {
		t.Fatal(err)
	}
}

// A key may expire while an attempt gathers shares.
func TestExpiredMeanwhile(t *testing.T) {
	key, err := pgp.Parse(pgptest.New(t, now, time.Hour).Public(), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Encrypt([]byte("a share"), now.Add(2*time.Hour)); err == nil || !strings.Contains(err.Error(), "it has expired") {
		t.Fatalf("encrypted for an expired key: %v", err)
	}
}

// Whatever is sent is a key that encrypts, or an error of the caller's.
func FuzzParse(f *testing.F) {
	holder := pgptest.New(f, now, 0)
	for _, text := range []string{holder.Public(), holder.Private(), "", "AAAA"} {
		binary, _ := base64.StdEncoding.DecodeString(text)
		f.Add(binary)
	}
	f.Fuzz(func(t *testing.T, binary []byte) {
		key, err := pgp.Parse(base64.StdEncoding.EncodeToString(binary), now)
		if err != nil {
			if backend.KindOf(err) != backend.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		// It may fail (a key of a size that nobody should use), and then has no message.
		if message, err := key.Encrypt([]byte("a share"), now); err != nil && message != nil {
			t.Fatal("a message that is not whole")
		}
	})
}
