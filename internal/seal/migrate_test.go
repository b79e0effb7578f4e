package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// service is a KeyService whose key is here, and which can be away.
type service struct {
	keys [][]byte // the last one encrypts
	away error
}

func (s *service) Type() string { return "service" }

func (s *service) Encrypt(_ context.Context, key []byte) ([]byte, error) {
	if s.away != nil {
		return nil, s.away
	}
	sealed, err := wrapKey(s.keys[len(s.keys)-1], []byte("service"), key)
	return append([]byte{byte(len(s.keys))}, sealed...), err
}

func (s *service) Decrypt(_ context.Context, sealed []byte) ([]byte, bool, error) {
	if s.away != nil {
		return nil, false, s.away
	}
	n := int(sealed[0])
	if s.keys[n-1] == nil {
		return nil, false, errors.New("service: the version is retired")
	}
	key, err := unwrapKey(s.keys[n-1], []byte("service"), sealed[1:])
	return key, n < len(s.keys), err
}

func TestEnvelope(t *testing.T) {
	s := &service{keys: [][]byte{newKey()}}
	e := NewEnvelope(s)
	ctx := context.Background()
	secret := newKey()
	wrapped, err := e.Wrap(ctx, []byte("name"), secret)
	must(t, err)
	if bytes.Contains(wrapped, secret) {
		t.Fatal("the secret lies open")
	}
	got, stale, err := e.Unwrap(ctx, []byte("name"), wrapped)
	if err != nil || stale || !bytes.Equal(got, secret) {
		t.Fatalf("%x %t %v", got, stale, err)
	}
	_, _, err = e.Unwrap(ctx, []byte("other name"), wrapped)
	wantErr(t, err, ErrUndecryptable)
	_, _, err = e.Unwrap(ctx, []byte("name"), wrapped[:len(wrapped)-1])
	if err == nil {
		t.Fatal("cut short, and it opens")
	}
}

// TestConfig5SealOfAService: it opens when the service answers, fails clearly when not, and
// follows a new key of the service's, at unseal and while it is open.
func TestConfig5SealOfAService(t *testing.T) {
	s := &service{keys: [][]byte{newKey()}}
	raw := memory(t)
	f := over(t, raw, NewEnvelope(s))
	_, err := f.Init(f.ctx, InitRequest{Recovery: Config{3, 2}}, nil)
	must(t, err)
	gone := errors.New("the service is away")
	s.away = gone
	for range 2 {
		_, err = f.UnsealAuto(f.ctx)
		wantErr(t, err, gone)
		if !f.status().Sealed {
			t.Fatal("open without its service")
		}
	}
	s.away = nil
	u, err := f.UnsealAuto(f.ctx)
	must(t, err)
	put(t, u.Store, "a", "1")
	if fresh, err := f.Refresh(f.ctx); err != nil || fresh {
		t.Fatalf("refreshed %t, %v, though there is no newer key", fresh, err)
	}
	// While open.
	s.keys = append(s.keys, newKey())
	s.away = gone
	_, err = f.Refresh(f.ctx)
	wantErr(t, err, gone)
	wantValue(t, u.Store, "a", "1")
	s.away = nil
	if fresh, err := f.Refresh(f.ctx); err != nil || !fresh {
		t.Fatalf("refreshed %t, %v", fresh, err)
	}
	s.keys[0] = nil // retired
	must(t, f.Rotate(f.ctx))
	must(t, f.Seal(f.ctx))
	if fresh, err := f.Refresh(f.ctx); err != nil || fresh {
		t.Fatalf("a sealed keeper refreshed: %t, %v", fresh, err)
	}
	// At unseal.
	s.keys = append(s.keys, newKey())
	_, err = over(t, raw, NewEnvelope(s)).UnsealAuto(f.ctx)
	must(t, err)
	s.keys[1] = nil
	u, err = over(t, raw, NewEnvelope(s)).UnsealAuto(f.ctx)
	must(t, err)
	wantValue(t, u.Store, "a", "1")
}

// hanging is a service that does not answer until the caller gives up.
type hanging struct {
	*service
	asked chan struct{}
}

func (h hanging) Decrypt(ctx context.Context, _ []byte) ([]byte, bool, error) {
	close(h.asked)
	<-ctx.Done()
	return nil, false, ctx.Err()
}

// A service that hangs holds up nobody who asks how the seal is, and ends with its caller.
func TestAServiceThatHangs(t *testing.T) {
	s := &service{keys: [][]byte{newKey()}}
	raw := memory(t)
	f := over(t, raw, NewEnvelope(s))
	_, err := f.Init(f.ctx, InitRequest{Recovery: Config{3, 2}}, nil)
	must(t, err)
	h := hanging{s, make(chan struct{})}
	f = over(t, raw, NewEnvelope(h))
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error)
	go func() {
		_, err := f.UnsealAuto(ctx)
		ended <- err
	}()
	<-h.asked
	if st := f.status(); !st.Initialized || !st.Sealed {
		t.Errorf("%+v", st)
	}
	cancel()
	wantErr(t, <-ended, context.Canceled)
}

func TestFaultsOfRefreshing(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		s := &service{keys: [][]byte{newKey()}}
		faulty := storetest.Faulty(memory(t))
		f := over(t, faulty, NewEnvelope(s))
		_, err := f.Init(f.ctx, InitRequest{Recovery: Config{3, 2}}, nil)
		must(t, err)
		u, err := f.UnsealAuto(f.ctx)
		must(t, err)
		put(t, u.Store, "a", "1")
		s.keys = append(s.keys, newKey())
		inject(faulty)
		fresh, err := f.Refresh(f.ctx)
		if err == nil && !faulty.Died() {
			if !fresh {
				t.Fatal("not refreshed, and no error")
			}
			s.keys[0] = nil
		}
		u, err = again(t, faulty, NewEnvelope(s)).UnsealAuto(f.ctx)
		must(t, err)
		wantValue(t, u.Store, "a", "1")
	})
}

// seals are the kinds of seal that a store can move between.
func seals(t *testing.T) map[string]Wrapper {
	return map[string]Wrapper{"shamir": nil, "static": static(t, "one", newKey()), "service": NewEnvelope(&service{keys: [][]byte{newKey()}})}
}

// request asks for 3 shares of which 2 count, of the key that the seal has.
func request(w Wrapper) InitRequest {
	if w == nil {
		return InitRequest{Secret: Config{3, 2}}
	}
	return InitRequest{Recovery: Config{3, 2}}
}

// closed is a store under w with one value, and its shares.
func closed(t *testing.T, raw store.Store, w Wrapper) [][]byte {
	t.Helper()
	f := over(t, raw, w)
	shares, err := f.Init(f.ctx, request(w), nil)
	must(t, err)
	var u *Unlocked
	if w == nil {
		u = f.unseal(shares[:2]...)
	} else {
		u, err = f.UnsealAuto(f.ctx)
		must(t, err)
	}
	put(t, u.Store, "a", "1")
	must(t, f.Close(f.ctx))
	return shares
}

// opensBy says whether the seal w opens the store, with these shares where it takes shares, and
// proves that they authorise where it does not.
func opensBy(t *testing.T, raw store.Store, w Wrapper, shares [][]byte) bool {
	t.Helper()
	f := over(t, raw, w)
	defer f.Close(f.ctx)
	var u *Unlocked
	if w == nil {
		for _, share := range shares {
			_, got, err := f.SubmitShare(f.ctx, here, share)
			if err != nil {
				return false
			}
			u = got
		}
	} else {
		var err error
		if u, err = f.UnsealAuto(f.ctx); err != nil {
			return false
		}
	}
	wantValue(t, u.Store, "a", "1")
	r := NewRekey(f.Keeper)
	s, err := r.Start(f.ctx, here, RekeyRequest{Shares: Config{1, 1}, RequireVerification: true})
	must(t, err)
	finish(t, f, r, s.Nonce, shares)
	return true
}

// TestConfig5Migration: from each kind of seal to each other and back; the shares stay.
func TestConfig5Migration(t *testing.T) {
	kinds := seals(t)
	for from, old := range kinds {
		for to, fresh := range kinds {
			if from == to {
				continue
			}
			t.Run(from+" to "+to, func(t *testing.T) {
				raw := memory(t)
				shares := closed(t, raw, old)
				f := over(t, raw, fresh)
				if from != "shamir" {
					_, _, err := f.MigrateShare(f.ctx, here, shares[0])
					wantText(t, err, backend.Failed, fmt.Sprintf("the store is sealed with seal type %s, and the server is configured for %s: to migrate, "+
						"add the stanza of the seal %q with disabled = true; else correct the configuration", from, to, from))
				}
				f.MigrateFrom(old)
				if s := f.status(); !s.Migration || !s.Sealed || s.Type != from || s.Shares != 3 || s.Recovery != (old != nil) {
					t.Fatalf("%+v", s)
				}
				if fresh != nil {
					_, err := f.UnsealAuto(f.ctx)
					wantText(t, err, backend.Failed, fmt.Sprintf("seal migration is pending: the store is still sealed with seal type %s; "+
						"give its key shares with \"operator unseal -migrate\" to seal it with %s", from, to))
				}
				_, _, err := f.SubmitShare(f.ctx, here, shares[0])
				wantText(t, err, backend.Invalid, "migrate option not provided and seal migration is pending")
				s, u, err := f.MigrateShare(f.ctx, here, shares[0])
				if err != nil || u != nil || s.Progress != 1 {
					t.Fatalf("%+v %v", s, err)
				}
				_, _, err = f.MigrateShare(f.ctx, elsewhere, bytes.Repeat([]byte{1}, 33))
				if err == nil || f.status().Progress != 1 {
					t.Fatal("a stranger's share counts")
				}
				s, u, err = f.MigrateShare(f.ctx, here, shares[2])
				if err != nil || u == nil || s.Sealed || s.Migration || s.Type != to || s.Recovery != (fresh != nil) {
					t.Fatalf("%+v %v", s, err)
				}
				wantValue(t, u.Store, "a", "1")
				must(t, f.Rotate(f.ctx))
				must(t, f.Seal(f.ctx))
				if fresh == nil {
					_, _, err = f.MigrateShare(f.ctx, here, shares[0])
					wantText(t, err, backend.Failed, "can't perform a seal migration, no migration seal found")
				}
				must(t, f.Close(f.ctx))
				if !opensBy(t, raw, fresh, shares[1:]) || opensBy(t, raw, old, shares[1:]) {
					t.Fatal("the store is not under the new seal alone")
				}
				// And back.
				f = over(t, raw, old)
				f.MigrateFrom(fresh)
				for _, share := range shares[:2] {
					_, u, err = f.MigrateShare(f.ctx, here, share)
					must(t, err)
				}
				wantValue(t, u.Store, "a", "1")
				must(t, f.Close(f.ctx))
				if !opensBy(t, raw, old, shares[:2]) || opensBy(t, raw, fresh, shares[:2]) {
					t.Fatal("the store is not under the old seal alone")
				}
			})
		}
	}
}

// TestFaultsOfMigration: whatever fails at whatever step, the store opens by exactly one of the
// two seals, with the same shares; and where it was the old one, the migration can be done again.
func TestFaultsOfMigration(t *testing.T) {
	for from, old := range seals(t) {
		for to, fresh := range seals(t) {
			if from == to {
				continue
			}
			t.Run(from+" to "+to, func(t *testing.T) {
				storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
					inner := memory(t)
					shares := closed(t, inner, old)
					faulty := storetest.Faulty(inner)
					f := over(t, faulty, fresh)
					f.MigrateFrom(old)
					inject(faulty)
					var u *Unlocked
					var err error
					for _, share := range shares[:2] {
						_, u, err = f.MigrateShare(f.ctx, here, share)
					}
					if u != nil && !faulty.Died() {
						f.insist(faulty, f.writing(u, "b", "2"), f.rotating)
					} else if u == nil && err == nil && !faulty.Died() {
						t.Fatal("neither open nor an error")
					}
					byOld, byFresh := opensBy(t, faulty.Inner(), old, shares[1:]), opensBy(t, faulty.Inner(), fresh, shares[1:])
					if byOld == byFresh {
						t.Fatalf("the old seal opens the store: %t; the new one: %t", byOld, byFresh)
					}
					if byOld {
						f = again(t, faulty, fresh)
						f.MigrateFrom(old)
						for _, share := range shares[:2] {
							_, u, err = f.MigrateShare(f.ctx, here, share)
							must(t, err)
						}
						wantValue(t, u.Store, "a", "1")
					}
				})
			})
		}
	}
}

// A service that is away while the last share is given: the shares are asked for again, the store
// stays as it was.
func TestMigrationToAServiceThatIsAway(t *testing.T) {
	raw := memory(t)
	shares := closed(t, raw, nil)
	s := &service{keys: [][]byte{newKey()}, away: errors.New("the service is away")}
	f := over(t, raw, NewEnvelope(s))
	for i, share := range shares[:2] {
		_, u, err := f.MigrateShare(f.ctx, here, share)
		if u != nil || (i == 1) != errors.Is(err, s.away) {
			t.Fatal(err)
		}
	}
	if st := f.status(); !st.Sealed || st.Progress != 0 || !st.Migration || f.Current() != nil {
		t.Fatalf("%+v", st)
	}
	if !opensBy(t, raw, nil, shares[:2]) {
		t.Fatal("the old seal does not open any more")
	}
}

// A rekey that a crash left open, and its backup, are settled by a migration too.
func TestMigrationSettlesARekey(t *testing.T) {
	for name, withNew := range map[string]bool{"old shares": false, "new shares": true} {
		t.Run(name, func(t *testing.T) {
			f, r, old := rekeyed(t)
			people, public := holders(t, 3)
			result := rekeyFor(t, f, r, old[:3], public, false) // not confirmed
			fresh := opened(t, people, result.Shares)
			must(t, f.Seal(f.ctx))
			w := static(t, "one", newKey())
			f = over(t, f.store, w)
			shares := old[:3]
			if withNew {
				shares = fresh[:2]
			}
			var u *Unlocked
			for _, share := range shares {
				var err error
				_, u, err = f.MigrateShare(f.ctx, here, share)
				must(t, err)
			}
			wantValue(t, u.Store, "a", "1")
			kept, err := NewRekey(f.Keeper).Backup(f.ctx, true)
			if err != nil || (kept != nil) != withNew {
				t.Fatalf("backup %v, %v", kept, err)
			}
			must(t, f.Close(f.ctx))
			if !opensBy(t, f.store, w, shares) {
				t.Fatal("not migrated")
			}
		})
	}
}
