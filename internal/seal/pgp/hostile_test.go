package pgp_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"jeton/internal/backend"
	"jeton/internal/seal/pgp"
	"jeton/internal/seal/pgp/pgptest"
)

// framed is a packet in the new format with a length of four bytes (RFC 9580 §4.2.1.3).
func framed(tag byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xc0 | tag, 0xff}, uint32(len(body))), body...)
}

// number is 2^bits-1 as a key holds it (RFC 9580 §3.2).
func number(bits int) []byte {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	return append(binary.BigEndian.AppendUint16(nil, uint16(bits)), n.Sub(n, big.NewInt(1)).Bytes()...)
}

// dsaKey is a DSA key of numbers of so many bits, with a name whose certificate costs a verification:
// for that it need not be a good one.
func dsaKey(t *testing.T, p, q int) string {
	t.Helper()
	created := binary.BigEndian.AppendUint32(nil, uint32(now.Unix()))
	body := slices.Concat([]byte{4}, created, []byte{17}, number(p), number(q), number(p), number(p))
	primary := framed(6, body)
	parsed, err := packet.Read(bytes.NewReader(primary))
	if err != nil {
		t.Fatal(err)
	}
	hashed := slices.Concat([]byte{5, 2}, created, []byte{9, 16}, binary.BigEndian.AppendUint64(nil, parsed.(*packet.PublicKey).KeyId))
	head := slices.Concat([]byte{4, 0x13, 17, 8}, binary.BigEndian.AppendUint16(nil, uint16(len(hashed))), hashed)
	digest := sha256.New()
	digest.Write(append([]byte{0x99}, binary.BigEndian.AppendUint16(nil, uint16(len(body)))...))
	digest.Write(body)
	digest.Write([]byte{0xb4, 0, 0, 0, 1, 'x'})
	digest.Write(head)
	digest.Write(binary.BigEndian.AppendUint32([]byte{4, 0xff}, uint32(len(head))))
	certificate := slices.Concat(head, []byte{0, 0}, digest.Sum(nil)[:2], number(q-1), []byte{0, 1, 1})
	return base64.StdEncoding.EncodeToString(slices.Concat(primary, framed(13, []byte("x")), framed(2, certificate)))
}

// Strangers may send keys (decision 0003), and their numbers decide what a verification costs: one
// with 65,535 bits keeps a processor busy for a minute (the class of CVE-2025-6203).
func TestNumbersOfKeysAreBounded(t *testing.T) {
	for _, row := range []struct {
		name string
		key  string
	}{
		{"p", dsaKey(t, 65535, 256)},
		{"q", dsaKey(t, 4096, 65528)},
		{"both", dsaKey(t, 65535, 65528)},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := pgp.Parse(row.key, now)
			if backend.KindOf(err) != backend.Invalid || !strings.Contains(err.Error(), "its numbers are larger than") {
				t.Errorf("%v", err)
			}
		})
	}
	// Nor do private keys come that far.
	binary, err := base64.StdEncoding.DecodeString(dsaKey(t, 65535, 65528))
	if err != nil {
		t.Fatal(err)
	}
	binary[0] = 0xc0 | 5
	if _, err := pgp.Parse(base64.StdEncoding.EncodeToString(binary), now); err == nil || !strings.Contains(err.Error(), "it is a private key") {
		t.Errorf("%v", err)
	}
	// The usual sizes are verified, and found wanting.
	if _, err := pgp.Parse(dsaKey(t, 3072, 256), now); backend.KindOf(err) != backend.Invalid || !strings.Contains(err.Error(), "not a PGP public key") {
		t.Errorf("%v", err)
	}
}

// Each signature that a key made itself is verified: there may be some, for names and subkeys that
// came and went, but not a thousand.
func TestSignaturesOfKeysAreBounded(t *testing.T) {
	binary, err := base64.StdEncoding.DecodeString(pgptest.New(t, now, 0).Public())
	if err != nil {
		t.Fatal(err)
	}
	packets := packet.NewOpaqueReader(bytes.NewReader(binary))
	var name, certificate bytes.Buffer
	for name.Len() == 0 || certificate.Len() == 0 {
		p, err := packets.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case p.Tag == 13:
			err = p.Serialize(&name)
		case p.Tag == 2 && name.Len() > 0:
			err = p.Serialize(&certificate)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for many, refused := range map[int]bool{40: false, 100: true} {
		key := slices.Concat(binary, bytes.Repeat(slices.Concat(name.Bytes(), certificate.Bytes()), many))
		_, err := pgp.Parse(base64.StdEncoding.EncodeToString(key), now)
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "more than 64 signatures of its own") {
			t.Errorf("%d: %v", many, err)
		}
	}
}
