package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/store"
)

func TestSys1InitValidation(t *testing.T) {
	const prefix = "invalid seal configuration: "
	for _, c := range []struct {
		shares, threshold int
		want              string
	}{
		{0, 0, "shares must be at least one"},
		{5, 0, "threshold must be at least one"},
		{5, 1, "threshold must be greater than one for multiple shares"},
		{256, 3, "shares must be less than 256"},
		{256, 256, "shares must be less than 256"},
		{5, 256, "threshold must be less than 256"},
		{3, 5, "threshold cannot be larger than shares"},
		{1, 2, "threshold cannot be larger than shares"},
	} {
		f := over(t, memory(t), nil)
		_, err := f.Init(f.ctx, InitRequest{Secret: Config{c.shares, c.threshold}}, nil)
		wantText(t, err, backend.Invalid, prefix+c.want)
		if f.status().Initialized {
			t.Fatal("initialised by a refused request")
		}
	}
}

func TestSys1ApplicabilityThenArithmeticThenState(t *testing.T) {
	f, _ := initialised(t, 5, 3)
	_, err := f.Init(f.ctx, InitRequest{Recovery: Config{5, 3}}, nil)
	wantText(t, err, backend.Invalid, "parameters recovery_shares,recovery_threshold not applicable to seal type shamir")
	_, err = f.Init(f.ctx, InitRequest{Secret: Config{5, 1}}, nil)
	wantText(t, err, backend.Invalid, "invalid seal configuration: threshold must be greater than one for multiple shares")
	_, err = f.Init(f.ctx, InitRequest{Secret: Config{5, 3}}, nil)
	wantErr(t, err, ErrAlreadyInitialized)
}

func TestSys1ShareSizes(t *testing.T) {
	for _, c := range []struct{ n, t, size int }{{1, 1, 32}, {5, 3, 33}, {2, 2, 33}, {255, 255, 33}} {
		f, shares := initialised(t, c.n, c.t)
		if len(shares) != c.n || len(shares[0]) != c.size {
			t.Fatalf("%d shares of %d bytes, want %d of %d", len(shares), len(shares[0]), c.n, c.size)
		}
		if !f.status().Sealed {
			t.Fatal("open after init")
		}
		f.unseal(shares[c.n-c.t:]...)
	}
}

func TestSys1TwoServersInitOneStore(t *testing.T) {
	raw := silent{memory(t)}
	first, second := over(t, raw, nil), over(t, raw, nil)
	if second.status().Initialized {
		t.Fatal("initialised")
	}
	shares, err := first.Init(first.ctx, InitRequest{Secret: Config{2, 2}}, nil)
	must(t, err)
	// The second has not heard of it.
	none, err := second.Init(second.ctx, InitRequest{Secret: Config{2, 2}}, nil)
	wantErr(t, err, ErrAlreadyInitialized)
	if none != nil {
		t.Fatal("shares of keys that do not exist")
	}
	second.unseal(shares...)
}

func TestSys1SeedIsPartOfInit(t *testing.T) {
	f := over(t, memory(t), nil)
	want := errors.New("no")
	_, err := f.Init(f.ctx, InitRequest{Secret: Config{1, 1}}, func(ctx context.Context, u *Unlocked) error {
		put(t, u.Store, "a", "1")
		return want
	})
	wantErr(t, err, want)
	if f.status().Initialized {
		t.Fatal("initialised although the seed failed")
	}
	shares, err := f.Init(f.ctx, InitRequest{Secret: Config{1, 1}}, func(ctx context.Context, u *Unlocked) error {
		put(t, u.Store, "a", "1")
		wantValue(t, u.Store, "a", "1")
		return nil
	})
	must(t, err)
	wantValue(t, f.unseal(shares[0]).Store, "a", "1")
}

func TestSys3ProgressOfHvac(t *testing.T) {
	f, shares := initialised(t, 5, 3)
	if s := f.status(); s.Progress != 0 || s.Nonce != "" || s.Shares != 5 || s.Threshold != 3 || s.Type != "shamir" || !s.Sealed || !s.Initialized {
		t.Fatalf("%+v", s)
	}
	f.submit(here, shares[0])
	first := f.submit(here, shares[1])
	if first.Progress != 2 || first.Nonce == "" {
		t.Fatalf("%+v", first)
	}
	if again := f.submit(here, shares[1]); again != first {
		t.Fatalf("the same share again: %+v, was %+v", again, first)
	}
	s, err := f.ResetProgress(f.ctx, here)
	must(t, err)
	if s.Progress != 0 || s.Nonce != "" {
		t.Fatalf("after reset: %+v", s)
	}
	f.submit(here, shares[1])
	if s := f.submit(here, shares[2]); s.Progress != 2 || s.Nonce == first.Nonce {
		t.Fatalf("%+v", s)
	}
	f.unseal(shares[0])
	if s := f.status(); s.Sealed || s.Progress != 0 || s.Nonce != "" {
		t.Fatalf("open: %+v", s)
	}
	if s := f.submit(here, []byte("anything")); s.Sealed {
		t.Fatalf("a key to an open server: %+v", s)
	}
	_, err = f.ResetProgress(f.ctx, here)
	wantText(t, err, backend.Invalid, "vault is unsealed")
}

func TestSys3NotInitialized(t *testing.T) {
	f := over(t, memory(t), nil)
	_, _, err := f.SubmitShare(f.ctx, here, make([]byte, 33))
	wantText(t, err, backend.Invalid, "Vault is not initialized")
	_, err = f.ResetProgress(f.ctx, here)
	wantErr(t, err, ErrNotInitialized)
}

func TestSys3FalseShares(t *testing.T) {
	f, shares := initialised(t, 5, 3)
	f.submit(here, shares[0])
	changed := bytes.Clone(shares[1])
	changed[7] ^= 1
	moved := bytes.Clone(shares[0])
	moved[3] ^= 0x80 // the place of a share that was given, another content
	for name, c := range map[string]struct {
		share []byte
		text  string
	}{
		"empty":      {nil, "key is shorter than minimum 16 bytes"},
		"too short":  {make([]byte, 15), "key is shorter than minimum 16 bytes"},
		"too long":   {make([]byte, 34), "key is longer than maximum 33 bytes"},
		"no share":   {make([]byte, 32), "invalid key: a share of these keys has 33 bytes, not 32"},
		"changed":    {changed, "invalid key: this is not one of the current key shares; the unseal progress is unchanged"},
		"same place": {moved, "invalid key: this is not one of the current key shares; the unseal progress is unchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, err := f.SubmitShare(f.ctx, here, c.share)
			wantText(t, err, backend.Invalid, c.text)
			if s.Progress != 1 {
				t.Fatalf("progress %d", s.Progress)
			}
		})
	}
	// One who takes part and fails at the last share loses the progress, as in Vault.
	nonce := f.submit(here, shares[1]).Nonce
	s, _, err := f.SubmitShare(f.ctx, here, changed)
	if err == nil || backend.KindOf(err) != backend.Invalid || !strings.Contains(err.Error(), "invalid key") {
		t.Fatal(err)
	}
	if s.Progress != 0 || s.Nonce != "" {
		t.Fatalf("%+v", s)
	}
	if s := f.submit(here, shares[2]); s.Progress != 1 || s.Nonce == nonce {
		t.Fatalf("%+v", s)
	}
}

func TestUnsealProgressClassStrangersCannotSpoil(t *testing.T) {
	f, shares := initialised(t, 5, 3)
	garbage := make([]byte, 33)
	attack := func() {
		for range 1000 {
			rand.Read(garbage)
			if _, _, err := f.SubmitShare(f.ctx, elsewhere, garbage); err == nil {
				t.Fatal("garbage was taken")
			}
			_, err := f.ResetProgress(f.ctx, elsewhere)
			must(t, err)
		}
	}
	for i, share := range shares[:2] {
		attack()
		if s := f.submit(here, share); s.Progress != i+1 {
			t.Fatalf("progress %d after %d shares", s.Progress, i+1)
		}
	}
	attack()
	f.unseal(shares[2])
}

func TestUnsealProgressClassOneResetOfAStranger(t *testing.T) {
	f, shares := initialised(t, 5, 3)
	given := f.submit(here, shares[0])
	if s, err := f.ResetProgress(f.ctx, elsewhere); err != nil || s != given {
		t.Fatalf("%+v %v, want %+v", s, err, given)
	}
	f.submit(elsewhere, shares[1])
	if s, err := f.ResetProgress(f.ctx, elsewhere); err != nil || s.Progress != 0 {
		t.Fatalf("who gave a good share could not reset: %+v %v", s, err)
	}
}

func TestUnsealProgressClassSameOriginFlood(t *testing.T) {
	// Behind one proxy all have the same origin: resets are then bounded in number.
	f, shares := initialised(t, 5, 3)
	f.submit(here, shares[0])
	for range 1000 {
		_, err := f.ResetProgress(f.ctx, here)
		must(t, err)
		f.submit(here, shares[0])
	}
	f.submit(here, shares[1])
	_, err := f.ResetProgress(f.ctx, here)
	must(t, err)
	f.unseal(shares[2])
	f.clock.Add(bucketRefill)
	must(t, f.Seal(f.ctx))
	f.submit(here, shares[0])
	if s, err := f.ResetProgress(f.ctx, here); err != nil || s.Progress != 0 {
		t.Fatalf("%+v %v", s, err)
	}
}

func TestSys3AThresholdThatOpensNothing(t *testing.T) {
	f, shares := initialised(t, 3, 2)
	stored, err := get(f.store, "seal/root-key")
	must(t, err)
	put(t, f.store, "seal/root-key", stored[:len(stored)-1]+string(stored[len(stored)-1]^1))
	f.submit(here, shares[0])
	s, u, err := f.SubmitShare(f.ctx, here, shares[1])
	if backend.KindOf(err) != backend.Invalid || !strings.Contains(err.Error(), "invalid key") || u != nil {
		t.Fatal(err)
	}
	if s.Progress != 0 || s.Nonce != "" || !s.Sealed {
		t.Fatalf("%+v", s)
	}
	put(t, f.store, "seal/root-key", stored)
	f.unseal(shares[1:]...)
}

func TestClosingDropsTheShares(t *testing.T) {
	f, shares := initialised(t, 3, 2)
	f.submit(here, shares[0])
	part := f.unsealing.gathered.current.parts[0]
	must(t, f.Close(f.ctx))
	if !bytes.Equal(part, make([]byte, len(part))) || f.status().Progress != 0 {
		t.Fatal("a share is still there")
	}
	f = over(t, f.store, nil)
	f.unseal(shares[1:]...)
	must(t, f.Close(f.ctx))
	if !f.status().Sealed {
		t.Fatal("open after Close")
	}
}

func TestSys1AnErrorThatTheSeedSwallowsFailsInit(t *testing.T) {
	f := over(t, memory(t), nil)
	want := errors.New("no")
	_, err := f.Init(f.ctx, InitRequest{Secret: Config{1, 1}}, func(ctx context.Context, u *Unlocked) error {
		// A part of this would be written although its Update failed.
		_ = u.Store.Update(ctx, func(tx store.Tx) error {
			must(t, tx.Put([]byte("a"), []byte("half")))
			return want
		})
		return u.Store.Close()
	})
	wantErr(t, err, want)
	if f.status().Initialized {
		t.Fatal("initialised with half a seed")
	}
}

func TestSealForgets(t *testing.T) {
	f, shares := initialised(t, 1, 1)
	u := f.unseal(shares[0])
	put(t, u.Store, "a", "1")
	before, err := u.DeriveKey("token ids")
	must(t, err)
	root := f.root
	must(t, f.Seal(f.ctx))
	must(t, f.Seal(f.ctx))
	if !bytes.Equal(root, make([]byte, keySize)) {
		t.Fatal("the root key is still there")
	}
	_, err = get(u.Store, "a")
	wantErr(t, err, ErrSealed)
	_, err = u.DeriveKey("token ids")
	wantErr(t, err, ErrSealed)
	wantErr(t, f.Rotate(f.ctx), ErrSealed)
	if f.Current() != nil {
		t.Fatal("still open")
	}
	u = f.unseal(shares[0])
	wantValue(t, u.Store, "a", "1")
	after, err := u.DeriveKey("token ids")
	must(t, err)
	other, err := u.DeriveKey("cursors")
	must(t, err)
	if before != after || before == other || before == [32]byte{} {
		t.Fatal("derived keys must be stable and differ by purpose")
	}
}
