package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"jeton/internal/backend"
)

// TestGoldenCiphertext pins the stored form: what was written by an earlier version opens for
// ever.
func TestGoldenCiphertext(t *testing.T) {
	data, err := os.ReadFile("testdata/ciphertext.golden")
	must(t, err)
	fields := map[string][]byte{}
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		fields[name], err = hex.DecodeString(value)
		must(t, err)
	}
	ring, err := ringOf(&keyringRecord{Terms: []termRecord{{Key: fields["key of term 1"]}, {Key: fields["key of term 2"]}}, Secret: make([]byte, keySize)}, countsRecord{}, nil)
	must(t, err)
	got, err := keyringOf(ring).open(nil, fields["storage key"], fields["stored"])
	if err != nil || !bytes.Equal(got, fields["value"]) {
		t.Fatalf("opens to %x, %v; want %x", got, err, fields["value"])
	}
	derived, err := (&Unlocked{ring: keyringOf(ring)}).DeriveKey("golden")
	must(t, err)
	if !bytes.Equal(derived[:], fields["derived from a zero secret for golden"]) {
		t.Fatalf("derived key %x", derived)
	}
	if print := fingerprint(make([]byte, 33)); !bytes.Equal(print, fields["fingerprint of a zero share"]) {
		t.Fatalf("fingerprint %x", print)
	}
}

// TestStoredFormIsAsDocumented opens what the keyring writes with nothing but the standard
// library and docs/storage-format.md.
func TestStoredFormIsAsDocumented(t *testing.T) {
	rec := newKeyringRecord(epoch)
	rec.addTerm(epoch)
	current, err := ringOf(rec, countsRecord{}, nil)
	must(t, err)
	sealed, err := keyringOf(current).seal(nil, []byte("a/key"), []byte("a value"))
	must(t, err)
	if sealed[0] != 1 || binary.BigEndian.Uint32(sealed[1:5]) != 2 || len(sealed) != 5+12+len("a value")+16 {
		t.Fatalf("stored form %x", sealed)
	}
	block, err := aes.NewCipher(rec.Terms[1].Key)
	must(t, err)
	gcm, err := cipher.NewGCM(block)
	must(t, err)
	value, err := gcm.Open(nil, sealed[5:17], sealed[17:], append([]byte{1, 0, 0, 0, 2}, "a/key"...))
	if err != nil || string(value) != "a value" {
		t.Fatalf("%q, %v", value, err)
	}
}

func TestSys14RotateKeepsOldTermsReadable(t *testing.T) {
	f, shares := initialised(t, 3, 2)
	u := f.unseal(shares[:2]...)
	put(t, u.Store, "old", "1")
	before, err := u.Keyring().Status()
	must(t, err)
	derived, err := u.DeriveKey("x")
	must(t, err)
	f.clock.Add(time.Hour)
	must(t, f.Rotate(f.ctx))
	put(t, u.Store, "new", "2")
	if r := u.ring.current.Load(); r.terms[0].made.Load() != before.Encryptions || r.active().made.Load() != 1 {
		t.Fatal("rotation lost count of the old term")
	}
	check := func(u *Unlocked) {
		t.Helper()
		wantValue(t, u.Store, "old", "1")
		wantValue(t, u.Store, "new", "2")
		after, err := u.Keyring().Status()
		must(t, err)
		if after.Term != before.Term+1 || !after.Installed.Equal(epoch.Add(time.Hour)) {
			t.Fatalf("%+v after %+v", after, before)
		}
		again, err := u.DeriveKey("x")
		must(t, err)
		if again != derived {
			t.Fatal("rotation changed a derived key")
		}
	}
	check(u)
	stored, err := get(f.store, "new")
	must(t, err)
	if term, _ := termOf([]byte(stored)); term != 2 {
		t.Fatalf("written under term %d", term)
	}
	must(t, f.Seal(f.ctx))
	check(f.unseal(shares[1:]...))
}

func TestAnUnknownTermIsNotGuessed(t *testing.T) {
	_, _, ring := fresh(t)
	sealed, err := ring.seal(nil, []byte("a"), []byte("1"))
	must(t, err)
	for _, term := range []uint32{0, 2, 1 << 31, 1<<32 - 1} {
		changed := bytes.Clone(sealed)
		binary.BigEndian.PutUint32(changed[1:], term)
		_, err := ring.open(nil, []byte("a"), changed)
		wantErr(t, err, ErrUndecryptable)
	}
}

func TestSys14RotationBounds(t *testing.T) {
	f, shares := initialised(t, 1, 1)
	if _, err := f.Rotation(); err != ErrSealed {
		t.Fatal(err)
	}
	f.unseal(shares[0])
	r, err := f.Rotation()
	must(t, err)
	if r != (Rotation{Enabled: true, MaxOperations: 3865470566}) {
		t.Fatalf("%+v", r)
	}
	for _, c := range []struct {
		r    Rotation
		text string
	}{
		{Rotation{true, 3865470566, 23 * time.Hour}, "interval must be greater or equal to 24h0m0s"},
		{Rotation{true, 3865470566, -1}, "interval must be greater or equal to 24h0m0s"},
		{Rotation{true, 999999, 0}, "max_operations must be in the range [1000000,3865470566]"},
		{Rotation{true, 3865470567, 0}, "max_operations must be in the range [1000000,3865470566]"},
	} {
		wantText(t, f.SetRotation(f.ctx, c.r), backend.Invalid, c.text)
	}
	want := Rotation{true, 1000000, 24 * time.Hour}
	must(t, f.SetRotation(f.ctx, want))
	must(t, f.Seal(f.ctx))
	f.unseal(shares[0])
	if r, err := f.Rotation(); err != nil || r != want {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestSys14RotatesByItself(t *testing.T) {
	f, shares := initialised(t, 1, 1)
	u := f.unseal(shares[0])
	rotates := func(want bool) {
		t.Helper()
		if got, err := f.RotateIfDue(f.ctx); err != nil || got != want {
			t.Fatalf("rotated %t, %v; want %t", got, err, want)
		}
	}
	rotates(false)
	must(t, f.SetRotation(f.ctx, Rotation{true, 1000000, 24 * time.Hour}))
	f.clock.Add(24*time.Hour - time.Nanosecond)
	rotates(false)
	f.clock.Add(time.Nanosecond)
	rotates(true)
	rotates(false)
	count := func(n uint64) { u.ring.current.Load().active().made.Store(n) }
	count(999999)
	rotates(false)
	count(1000000)
	rotates(true)
	must(t, f.SetRotation(f.ctx, Rotation{false, 1000000, 24 * time.Hour}))
	f.clock.Add(48 * time.Hour)
	count(2000000)
	rotates(false)
	count(maxOperationsCeiling) // the cipher's bound holds regardless
	rotates(true)
}

func TestUnreadableCountsDoNotKeepTheServerShut(t *testing.T) {
	f, shares := initialised(t, 1, 1)
	put(t, f.store, "seal/counts", "garbage")
	f.unseal(shares[0])
	if rotated, err := f.RotateIfDue(f.ctx); err != nil || !rotated {
		t.Fatalf("rotated %t, %v", rotated, err)
	}
}

func TestWrappedKeysAreBoundToTheirPlace(t *testing.T) {
	key, secret := newKey(), newKey()
	sealed, err := wrapKey(key, rootKeyKey, secret)
	must(t, err)
	if got, err := unwrapKey(key, rootKeyKey, sealed); err != nil || !bytes.Equal(got, secret) {
		t.Fatal(err)
	}
	_, err = unwrapKey(key, candidateKey, sealed)
	wantErr(t, err, ErrUndecryptable)
	_, err = unwrapKey(newKey(), rootKeyKey, sealed)
	wantErr(t, err, ErrUndecryptable)
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		_, err = unwrapKey(key, rootKeyKey, changed)
		wantErr(t, err, ErrUndecryptable)
	}
}
