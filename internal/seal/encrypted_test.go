package seal

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

func fresh(t testing.TB) (raw, enc store.Store, ring *Keyring) {
	t.Helper()
	ring, err := NewKeyring(epoch)
	must(t, err)
	raw = memory(t)
	return raw, Encrypted(raw, ring), ring
}

func TestEncryptedKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		raw, err := embedded.OpenMemory()
		must(t, err)
		ring, err := NewKeyring(epoch)
		must(t, err)
		return Encrypted(raw, ring)
	})
}

func TestEncryptedHidesTheSealsRecords(t *testing.T) {
	raw, enc, _ := fresh(t)
	put(t, raw, "seal/config", "raw")
	for _, key := range []string{"a", "seal", "seal0", "z"} {
		put(t, enc, key, key)
	}
	_, err := get(enc, "seal/config")
	wantErr(t, err, store.ErrNotFound)
	ctx := context.Background()
	wantErr(t, enc.Update(ctx, func(tx store.Tx) error { return tx.Put([]byte("seal/keyring"), nil) }), ErrReserved)
	wantErr(t, enc.Update(ctx, func(tx store.Tx) error { return tx.Delete([]byte("seal/config")) }), ErrReserved)
	wantErr(t, enc.Update(ctx, func(tx store.Tx) error { return tx.Withdraw([]byte("seal/config")) }), ErrReserved)
	for _, c := range []struct {
		r    store.Range
		want string
	}{
		{store.Range{}, "a seal seal0 z"},
		{store.Range{Reverse: true}, "z seal0 seal a"},
		{store.Range{Limit: 3}, "a seal seal0"},
		{store.Range{Limit: 2}, "a seal"},
		{store.Range{Limit: 3, Reverse: true}, "z seal0 seal"},
		{store.Range{Limit: 2, Reverse: true}, "z seal0"},
		{store.Range{KeysOnly: true}, "a seal seal0 z"},
		{store.Range{From: []byte("seal/c")}, "seal0 z"},
		{store.Range{To: []byte("seal/d")}, "a seal"},
		{store.PrefixRange([]byte("seal/")), ""},
		{store.Range{From: []byte("seal"), To: []byte("seal1")}, "seal seal0"},
	} {
		var got []string
		must(t, enc.View(ctx, func(r store.Reader) error {
			return r.Scan(c.r, func(key, value []byte) (bool, error) {
				if c.r.KeysOnly != (value == nil) || !c.r.KeysOnly && !bytes.Equal(key, value) {
					t.Errorf("value of %q is %q", key, value)
				}
				got = append(got, string(key))
				return true, nil
			})
		}))
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%+v: %s, want %s", c.r, s, c.want)
		}
	}
	// A scan that stops before the hidden part does not go on behind it.
	seen := 0
	must(t, enc.View(ctx, func(r store.Reader) error {
		return r.Scan(store.Range{}, func(_, _ []byte) (bool, error) { seen++; return false, nil })
	}))
	if seen != 1 {
		t.Errorf("%d pairs after fn returned false", seen)
	}
	must(t, enc.Update(ctx, func(tx store.Tx) error { return tx.DeleteRange(nil, nil) }))
	wantValue(t, raw, "seal/config", "raw")
	if got, err := get(enc, "z"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("z is %q, %v", got, err)
	}
}

func TestEncryptedFeedLeavesOutTheSealsRecords(t *testing.T) {
	raw, enc, _ := fresh(t)
	var keys []string
	cancel := enc.Subscribe(func(c store.Commit) {
		for _, key := range c.Keys {
			keys = append(keys, string(key))
		}
	})
	defer cancel()
	must(t, raw.Update(context.Background(), func(tx store.Tx) error {
		for _, key := range []string{"a", "seal/config", "seal/counts", "z"} {
			if err := tx.Put([]byte(key), nil); err != nil {
				return err
			}
		}
		return nil
	}))
	put(t, raw, "seal/config", "x")
	if s := strings.Join(keys, " "); s != "a z" {
		t.Fatalf("the feed tells of %s", s)
	}
}

func TestEveryFlippedByteIsFoundCVE20232197(t *testing.T) {
	raw, enc, _ := fresh(t)
	put(t, enc, "token/abc", "canary")
	whole, err := get(raw, "token/abc")
	must(t, err)
	if strings.Contains(whole, "canary") {
		t.Fatal("the value is stored in the clear")
	}
	spoil := func(t *testing.T, stored string) {
		t.Helper()
		put(t, raw, "token/abc", stored)
		_, err := get(enc, "token/abc")
		wantErr(t, err, ErrUndecryptable)
		scan := enc.View(context.Background(), func(r store.Reader) error {
			return r.Scan(store.Range{}, func(_, _ []byte) (bool, error) { return true, nil })
		})
		wantErr(t, scan, ErrUndecryptable)
		for _, text := range []string{err.Error(), scan.Error()} {
			if !strings.Contains(text, `"token/abc"`) || strings.Contains(text, "canary") || stored != "" && strings.Contains(text, hex.EncodeToString([]byte(stored))) {
				t.Fatalf("error text: %s", text)
			}
		}
	}
	for i := range whole {
		for _, bit := range []byte{0x01, 0x80} {
			b := []byte(whole)
			b[i] ^= bit
			spoil(t, string(b))
		}
	}
	for n := range len(whole) - 1 {
		spoil(t, whole[:n+1]) // cut to nothing: TestEmptyValues
	}
	spoil(t, whole+"\x00")
	put(t, raw, "token/abc", whole)
	wantValue(t, enc, "token/abc", "canary")
}

// An empty value is stored as it is, counts as no encryption, and reads back empty; a record
// that was cut to nothing is as malformed as any other; and a sealed store gives not even this.
func TestEmptyValues(t *testing.T) {
	raw, enc, ring := fresh(t)
	before, err := ring.Status()
	must(t, err)
	put(t, enc, "entry", "")
	after, err := ring.Status()
	must(t, err)
	if stored, err := get(raw, "entry"); err != nil || stored != "" || after.Encryptions != before.Encryptions {
		t.Fatalf("stored as %q, %v, after %d encryptions", stored, err, after.Encryptions-before.Encryptions)
	}
	put(t, enc, "other", "x") // a value before and after an empty one in a scan
	put(t, enc, "a", "y")
	ctx := context.Background()
	must(t, enc.View(ctx, func(r store.Reader) error {
		value, err := r.Get([]byte("entry"))
		if err != nil || value == nil || len(value) != 0 {
			t.Errorf("read as %v, %v", value, err)
		}
		var got []string
		err = r.Scan(store.Range{}, func(_, value []byte) (bool, error) {
			if value == nil {
				t.Error("a scan gives nil for a value")
			}
			got = append(got, string(value))
			return true, nil
		})
		if all := strings.Join(got, ","); all != "y,,x" {
			t.Errorf("a scan gives %q", all)
		}
		return err
	}))

	type thing struct {
		Name string `cbor:"1,keyasint"`
	}
	must(t, enc.Update(ctx, func(tx store.Tx) error { return record.Put(tx, []byte("thing"), &thing{"a"}) }))
	put(t, raw, "thing", "")
	wantErr(t, enc.View(ctx, func(r store.Reader) error {
		_, err := record.Get[thing](r, []byte("thing"))
		return err
	}), record.ErrMalformed)

	must(t, enc.View(ctx, func(r store.Reader) error {
		ring.current.Store(nil) // sealed while a reader is at work
		if _, err := r.Get([]byte("entry")); !errors.Is(err, ErrSealed) {
			t.Errorf("sealed: %v", err)
		}
		wantErr(t, r.Scan(store.Range{}, func(_, _ []byte) (bool, error) { return true, nil }), ErrSealed)
		return nil
	}))
}

func TestAMovedCiphertextDoesNotOpen(t *testing.T) {
	raw, enc, _ := fresh(t)
	put(t, enc, "a", "value of a")
	stored, err := get(raw, "a")
	must(t, err)
	for _, key := range []string{"b", "aa", "", "A"} {
		put(t, raw, key, stored)
		_, err := get(enc, key)
		wantErr(t, err, ErrUndecryptable)
	}
}

func TestNoncesDiffer(t *testing.T) {
	raw, enc, _ := fresh(t)
	seen := make(map[string]bool)
	for range 100 {
		put(t, enc, "a", "same")
		stored, err := get(raw, "a")
		must(t, err)
		nonce := stored[headerSize : headerSize+nonceSize]
		if seen[nonce] {
			t.Fatal("a nonce came twice")
		}
		seen[nonce] = true
	}
}

func TestGetGivesBytesOfItsOwn(t *testing.T) {
	_, enc, _ := fresh(t)
	put(t, enc, "a", "value")
	must(t, enc.Update(context.Background(), func(tx store.Tx) error {
		first, err := tx.Get([]byte("a"))
		must(t, err)
		_ = append(first, "overrun"...)
		first[0] = 'X'
		second, err := tx.Get([]byte("a"))
		must(t, err)
		if string(second) != "value" {
			t.Fatalf("changed through what an earlier Get gave: %q", second)
		}
		return nil
	}))
}

func TestValuesOfNestedScansStayApart(t *testing.T) {
	_, enc, _ := fresh(t)
	put(t, enc, "a", "one")
	put(t, enc, "b", "two")
	must(t, enc.View(context.Background(), func(r store.Reader) error {
		return r.Scan(store.Range{}, func(key, outer []byte) (bool, error) {
			want := string(outer)
			err := r.Scan(store.Range{Reverse: true}, func(_, _ []byte) (bool, error) { return true, nil })
			if string(outer) != want {
				t.Errorf("the inner scan changed the outer value %q to %q", want, outer)
			}
			return true, err
		})
	}))
}

func TestCountsAreStoredByTheStep(t *testing.T) {
	f, shares := initialised(t, 1, 1)
	u := f.unseal(shares[0])
	for range 3 {
		must(t, u.Store.Update(f.ctx, func(tx store.Tx) error {
			for range countStep / 2 {
				if err := tx.Put([]byte("a"), []byte("x")); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	stored, err := get(f.store, "seal/counts")
	must(t, err)
	put(t, u.Store, "a", "x")
	if again, err := get(f.store, "seal/counts"); err != nil || again != stored {
		t.Fatalf("stored again before the next step is reached (%v)", err)
	}
	made, err := u.Keyring().Status()
	must(t, err)
	if made.Encryptions < 3*countStep/2 {
		t.Fatalf("%d encryptions counted", made.Encryptions)
	}
	// A crash: another keeper over the same store, and no Seal before.
	again := over(t, f.store, nil).unseal(shares[0])
	known, err := again.Keyring().Status()
	must(t, err)
	if known.Encryptions > made.Encryptions || made.Encryptions-known.Encryptions > countStep+countStep/2 {
		t.Fatalf("%d of %d encryptions known after a crash", known.Encryptions, made.Encryptions)
	}
	// A seal in order loses none: it stores the count, and that is one encryption more.
	must(t, f.Seal(f.ctx))
	u = f.unseal(shares[0])
	known, err = u.Keyring().Status()
	must(t, err)
	if known.Encryptions < made.Encryptions {
		t.Fatalf("%d of %d encryptions known after a seal", known.Encryptions, made.Encryptions)
	}
}

func BenchmarkEncryptedStore(b *testing.B) {
	storetest.Benchmark(b, func(b *testing.B) store.Store {
		raw, err := embedded.OpenMemory()
		must(b, err)
		ring, err := NewKeyring(epoch)
		must(b, err)
		return Encrypted(raw, ring)
	})
}

func BenchmarkSealValue(b *testing.B) {
	_, _, ring := fresh(b)
	key, value := []byte("token/0123456789abcdef0123456789abcdef"), make([]byte, 400)
	buffer := make([]byte, 0, 600)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.seal(buffer[:0], key, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenValue(b *testing.B) {
	_, _, ring := fresh(b)
	key := []byte("token/0123456789abcdef0123456789abcdef")
	sealed, err := ring.seal(nil, key, make([]byte, 400))
	must(b, err)
	buffer := make([]byte, 0, 600)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.open(buffer[:0], key, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
