package seal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"jeton/internal/store"
)

// TestKeysChangeUnderLoad: requests go on while the keyring rotates and the server is sealed;
// each of them either works or says that the server is sealed.
func TestKeysChangeUnderLoad(t *testing.T) {
	f, shares := initialised(t, 3, 2)
	u := f.unseal(shares[:2]...)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			key := []byte(fmt.Sprintf("worker/%d", worker))
			for i := 0; ; i++ {
				want := fmt.Sprint(i)
				err := u.Store.Update(f.ctx, func(tx store.Tx) error { return tx.Put(key, []byte(want)) })
				if err == nil {
					var got string
					got, err = get(u.Store, string(key))
					if err == nil && got != want {
						t.Errorf("%s is %s, want %s", key, got, want)
						return
					}
				}
				if errors.Is(err, ErrSealed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		must(t, f.Rotate(f.ctx))
		if _, err := f.Status(f.ctx); err != nil {
			t.Fatal(err)
		}
	}
	must(t, f.Seal(f.ctx))
	group.Wait()
	must(t, f.unseal(shares[1:]...).Store.View(f.ctx, func(r store.Reader) error {
		return r.Scan(store.Range{}, func(_, _ []byte) (bool, error) { return true, nil })
	}))
}

// TestSharesFromManySidesAtOnce: one caller and no other gets what the seal gives.
func TestSharesFromManySidesAtOnce(t *testing.T) {
	f, shares := initialised(t, 5, 3)
	var group sync.WaitGroup
	opened := make(chan *Unlocked, 100)
	for i, share := range append(shares, shares...) {
		group.Go(func() {
			_, u, err := f.SubmitShare(f.ctx, fmt.Sprint(i%3), share)
			if err != nil {
				t.Error(err)
			}
			if u != nil {
				opened <- u
			}
		})
	}
	group.Wait()
	if len(opened) != 1 || f.Current() != <-opened {
		t.Fatal("not exactly one caller opened the seal")
	}
}

// TestSealDuringAttempts: locks are taken in one order only.
func TestSealDuringAttempts(t *testing.T) {
	f, shares := initialised(t, 3, 2)
	r := NewRekey(f.Keeper)
	g := NewRootGeneration(f.Keeper, func(context.Context) (string, error) { return mintedToken, nil })
	f.unseal(shares[:2]...)
	var group sync.WaitGroup
	for worker := range 3 {
		group.Go(func() {
			for range 50 {
				if s, err := r.Start(f.ctx, fmt.Sprint(worker), RekeyRequest{Shares: Config{2, 2}}); err == nil {
					for _, share := range shares {
						if _, done, _ := r.Submit(f.ctx, here, s.Nonce, share); done != nil {
							_ = r.Withdraw(f.ctx, done.Nonce)
						}
					}
				}
				if s, err := g.Start(f.ctx, fmt.Sprint(worker), ""); err == nil {
					for _, share := range shares {
						_, _ = g.Submit(f.ctx, here, s.Nonce, share)
					}
				}
			}
		})
	}
	for range 20 {
		must(t, f.Seal(f.ctx))
		for _, share := range shares {
			_, _, _ = f.SubmitShare(f.ctx, here, share)
		}
	}
	group.Wait()
	must(t, f.Seal(f.ctx))
	f.unseal(shares[:2]...)
}

// FuzzOpen: whatever lies in the store, opening it gives a value or ErrUndecryptable.
func FuzzOpen(f *testing.F) {
	ring, err := NewKeyring(epoch)
	must(f, err)
	good, err := ring.seal(nil, []byte("key"), []byte("value"))
	must(f, err)
	f.Add([]byte("key"), good)
	f.Add([]byte("other"), good)
	f.Add([]byte("key"), good[:overhead-1])
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, stored []byte) {
		value, err := ring.open(nil, key, stored)
		if err == nil && (string(key) != "key" || string(value) != "value") {
			t.Fatalf("%q opens at %q", value, key)
		}
		if err != nil && !errors.Is(err, ErrUndecryptable) {
			t.Fatal(err)
		}
		owned, err2 := ring.openOwned(key, append([]byte(nil), stored...))
		if (err == nil) != (err2 == nil) || string(owned) != string(value) {
			t.Fatalf("in place: %q, %v; else %q, %v", owned, err2, value, err)
		}
	})
}
