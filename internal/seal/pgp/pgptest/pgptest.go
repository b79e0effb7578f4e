// Package pgptest owns holders of PGP keys for tests: they hand out a public key and open what
// was encrypted for it.
package pgptest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Holder has a private key.
type Holder struct {
	t      testing.TB
	Entity *openpgp.Entity
	now    time.Time
}

// New makes a holder whose key was made at now and expires after lifetime; 0 is never.
func New(t testing.TB, now time.Time, lifetime time.Duration) *Holder {
	t.Helper()
	config := config(now)
	config.KeyLifetimeSecs = uint32(lifetime / time.Second)
	entity, err := openpgp.NewEntity("Holder", "", "holder@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	return &Holder{t, entity, now}
}

func config(now time.Time) *packet.Config {
	return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now }}
}

// Revoke makes the key a revoked one.
func (h *Holder) Revoke() {
	h.t.Helper()
	if err := h.Entity.RevokeKey(packet.KeyRetired, "", config(h.now)); err != nil {
		h.t.Fatal(err)
	}
}

// Public is the public key as clients send it.
func (h *Holder) Public() string {
	h.t.Helper()
	var out bytes.Buffer
	if err := h.Entity.Serialize(&out); err != nil {
		h.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

// Private is the private key in the same form.
func (h *Holder) Private() string {
	h.t.Helper()
	var out bytes.Buffer
	if err := h.Entity.SerializePrivate(&out, config(h.now)); err != nil {
		h.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

// Fingerprint is that of the public key.
func (h *Holder) Fingerprint() string { return hex.EncodeToString(h.Entity.PrimaryKey.Fingerprint) }

// Open reads a message to the holder.
func (h *Holder) Open(message []byte) string {
	h.t.Helper()
	m, err := openpgp.ReadMessage(bytes.NewReader(message), openpgp.EntityList{h.Entity}, nil, config(h.now))
	if err != nil {
		h.t.Fatal(err)
	}
	plain, err := io.ReadAll(m.UnverifiedBody)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(plain)
}

// OpenBase64 reads a message in base64.
func (h *Holder) OpenBase64(text string) string {
	h.t.Helper()
	message, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.Open(message)
}
