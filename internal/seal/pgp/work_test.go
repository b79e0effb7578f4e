package pgp_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"runtime"
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

// packetsOf are the packets of a key, each as it travels, by their tags (RFC 9580 §5).
func packetsOf(t testing.TB, e *openpgp.Entity) map[byte][]byte {
	t.Helper()
	var whole bytes.Buffer
	if err := e.Serialize(&whole); err != nil {
		t.Fatal(err)
	}
	parts := map[byte][]byte{0: whole.Bytes()}
	packets := packet.NewOpaqueReader(&whole)
	for {
		p, err := packets.Next()
		if err != nil {
			return parts
		}
		var one bytes.Buffer
		if err := p.Serialize(&one); err != nil {
			t.Fatal(err)
		}
		parts[p.Tag] = one.Bytes()
	}
}

// dear is a key on a curve that the library computes slowly, each of whose subkeys is bound by many
// signatures that say they are somebody else's; they are verified all the same.
func dear(t testing.TB, bindings int) string {
	t.Helper()
	config := &packet.Config{Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveBrainpoolP256, Time: func() time.Time { return now }}
	e, err := openpgp.NewEntity("Holder", "", "holder@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	whole := packetsOf(t, e)[0]
	return base64.StdEncoding.EncodeToString(append(whole, bytes.Repeat(strange(t, e), bindings)...))
}

// strange is a valid signature of e on its own subkey that names another issuer.
func strange(t testing.TB, e *openpgp.Entity) []byte {
	t.Helper()
	signer := *e.PrivateKey
	signer.PublicKey.Fingerprint = bytes.Repeat([]byte{7}, len(signer.PublicKey.Fingerprint))
	s := &packet.Signature{
		Version: 4, SigType: packet.SigTypeSubkeyBinding, PubKeyAlgo: signer.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: now, FlagsValid: true, FlagEncryptCommunications: true,
	}
	if err := s.SignKey(e.Subkeys[0].PublicKey, &signer, &packet.Config{Time: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func refusedWith(t *testing.T, err error, part string) {
	t.Helper()
	if backend.KindOf(err) != backend.Invalid || !strings.Contains(err.Error(), part) {
		t.Errorf("%v; want %q", err, part)
	}
}

// Every signature that is verified counts, whoever it says it is from (the class of CVE-2025-6203).
func TestSignaturesOfStrangeIssuersCount(t *testing.T) {
	holder := pgptest.New(t, now, 0)
	whole, one := packetsOf(t, holder.Entity)[0], strange(t, holder.Entity)
	for many, part := range map[int]string{40: "", 100: "more than 64 signatures of its own"} {
		_, err := pgp.Parse(base64.StdEncoding.EncodeToString(slices.Concat(whole, bytes.Repeat(one, many))), now)
		if part == "" && err != nil {
			t.Errorf("%d: %v", many, err)
		} else if part != "" {
			refusedWith(t, err, part)
		}
	}
}

// What verifying costs depends on the kind of a key: a curve that takes twenty milliseconds a time allows
// fewer signatures than one that takes a tenth.
func TestWorkOfKeysIsBounded(t *testing.T) {
	if _, err := pgp.Parse(dear(t, 2), now); err != nil {
		t.Errorf("a usual key: %v", err)
	}
	_, err := pgp.Parse(dear(t, 20), now)
	refusedWith(t, err, "too many signatures for a key of its kind")

	// Together, before any of them is verified: the first one is not even a key.
	keys := append([]string{base64.StdEncoding.EncodeToString([]byte("no key"))}, slices.Repeat([]string{dear(t, 6)}, 20)...)
	_, err = pgp.ParseAll(keys, now)
	refusedWith(t, err, "the keys together have too many signatures")
	_, err = pgp.ParseAll(keys[:3], now)
	refusedWith(t, err, "it is not a PGP public key in binary form (key 1 of 3)")
	_, err = pgp.ParseAll(make([]string, 256), now)
	refusedWith(t, err, "there are more than 255 keys")
}

// As many holders as there can be, with usual keys, are no trouble.
func TestManyHolders(t *testing.T) {
	keys := slices.Repeat([]string{pgptest.New(t, now, 0).Public()}, 255)
	if parsed, err := pgp.ParseAll(keys, now); err != nil || len(parsed) != 255 {
		t.Errorf("%d keys, %v", len(parsed), err)
	}
}

// Names are hashed anew for each signature on them, and parts are looked at one by one.
func TestPartsOfKeysAreBounded(t *testing.T) {
	whole := packetsOf(t, pgptest.New(t, now, 0).Entity)[0]
	for part, more := range map[string][]byte{
		"a name in it is longer than": framed(13, bytes.Repeat([]byte("x"), 3<<10)),
		"more than 512 parts":         bytes.Repeat(framed(13, []byte("x")), 600),
	} {
		_, err := pgp.Parse(base64.StdEncoding.EncodeToString(append(slices.Clone(whole), more...)), now)
		refusedWith(t, err, part)
	}
}

// hostile are the largest requests that a stranger can send, of keys that are well formed.
func hostile(t testing.TB) map[string][]string {
	t.Helper()
	parts := packetsOf(t, pgptest.New(t, now, 0).Entity)
	fill := func(piece []byte) []string {
		key := append(slices.Clone(parts[0]), bytes.Repeat(piece, (60<<10)/len(piece))...)
		return slices.Repeat([]string{base64.StdEncoding.EncodeToString(key)}, 12)
	}
	return map[string][]string{
		"names":     fill(parts[13]),
		"subkeys":   fill(slices.Concat(parts[14], parts[2])),
		"dear keys": slices.Repeat([]string{dear(t, 300)}, 12),
		"too large": {strings.Repeat("A", 1<<20)},
		"many":      make([]string, 1<<16),
	}
}

// A refusal costs no more than looking through the request once.
func TestRefusalsAreCheap(t *testing.T) {
	for name, keys := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := pgp.ParseAll(keys, now)
			runtime.ReadMemStats(&after)
			if backend.KindOf(err) != backend.Invalid {
				t.Fatalf("%v", err)
			}
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 8<<20 {
				t.Errorf("%d bytes for a request of at most 1 MiB", spent)
			}
		})
	}
}

func BenchmarkRefusals(b *testing.B) {
	for name, keys := range hostile(b) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := pgp.ParseAll(keys, now); err == nil {
					b.Fatal("taken")
				}
			}
		})
	}
}

// BenchmarkDearest is the most that a request without a token can have verified.
func BenchmarkDearest(b *testing.B) {
	keys := slices.Repeat([]string{dear(b, 8)}, 6)
	for b.Loop() {
		if _, err := pgp.ParseAll(keys, now); err != nil {
			b.Fatal(err)
		}
	}
}
