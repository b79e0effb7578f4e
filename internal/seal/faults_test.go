package seal

import (
	"context"
	"errors"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// The tests here hold the rule for every durable step: whether it fails, fails but was stored,
// or the process dies around it, a new process finds either the old state or the new one, and
// that one works completely.

// again is what a new process finds.
func again(t *testing.T, f *storetest.FaultyStore, w Wrapper) *fixture {
	t.Helper()
	return over(t, f.Inner(), w)
}

// wantOneSet checks that at least one of two sets of shares opens the store of a new process,
// that a set which opens it goes on doing so, and that the sets do not both stay for good.
func wantOneSet(t *testing.T, faulty *storetest.FaultyStore, old, fresh [][]byte) (oldWorks, freshWorks bool) {
	t.Helper()
	f := again(t, faulty, nil)
	oldWorks = f.opens(old)
	freshWorks = f.opens(fresh)
	if oldWorks == freshWorks {
		t.Fatalf("the old shares open the store: %t; the new ones: %t", oldWorks, freshWorks)
	}
	f.wantOpens(old, oldWorks)
	f.wantOpens(fresh, freshWorks)
	return oldWorks, freshWorks
}

// insist does what the same process goes on with after the step that went wrong; the fault may
// have been meant for it, and then it does it again. Death ends it.
func (f *fixture) insist(faulty *storetest.FaultyStore, steps ...func() error) {
	f.t.Helper()
	for _, step := range steps {
		err := step()
		if errors.Is(err, storetest.ErrInjected) {
			err = step()
		}
		if faulty.Died() {
			return
		}
		must(f.t, err)
	}
}

// writing puts a pair.
func (f *fixture) writing(u *Unlocked, key, value string) func() error {
	return func() error {
		return u.Store.Update(f.ctx, func(tx store.Tx) error { return tx.Put([]byte(key), []byte(value)) })
	}
}

func (f *fixture) rotating() error { return f.Rotate(f.ctx) }

func TestFaultsOfInit(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		faulty := storetest.Faulty(memory(t))
		f := over(t, faulty, nil)
		inject(faulty)
		req := InitRequest{Secret: Config{3, 2}}
		seed := func(ctx context.Context, u *Unlocked) error { put(t, u.Store, "a", "1"); return nil }
		shares, err := f.Init(f.ctx, req, seed)
		if err != nil && !errors.Is(err, ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		if len(shares) != 3 {
			t.Fatalf("%d shares, %v", len(shares), err)
		}
		if err != nil && !faulty.Died() {
			t.Fatalf("one fault that passed was not tried again: %v", err)
		}
		f = again(t, faulty, nil)
		has, readErr := f.Initialized(f.ctx)
		must(t, readErr)
		if err == nil && !has {
			t.Fatal("Init claimed success")
		}
		if !has {
			shares, err = f.Init(f.ctx, req, seed)
			must(t, err)
		}
		wantValue(t, f.unseal(shares[:2]...).Store, "a", "1")
		_, err = f.Init(f.ctx, req, seed)
		wantErr(t, err, ErrAlreadyInitialized)
	})
}

func TestFaultsOfRotate(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		faulty := storetest.Faulty(memory(t))
		f := over(t, faulty, nil)
		shares, err := f.Init(f.ctx, InitRequest{Secret: Config{1, 1}}, nil)
		must(t, err)
		u := f.unseal(shares[0])
		put(t, u.Store, "a", "1")
		inject(faulty)
		rotated := f.Rotate(f.ctx)
		f.insist(faulty, f.writing(u, "b", "2"), f.rotating, f.writing(u, "c", "3"),
			func() error { return f.SetRotation(f.ctx, Rotation{true, maxOperationsFloor, 0}) },
			f.writing(u, "d", "4"))
		f = again(t, faulty, nil)
		next := f.unseal(shares[0])
		wantValue(t, next.Store, "a", "1")
		s, err := next.Keyring().Status()
		must(t, err)
		if rotated == nil && s.Term < 2 {
			t.Fatalf("Rotate claimed success: %+v", s)
		}
		if !faulty.Died() {
			wantValue(t, next.Store, "b", "2")
			wantValue(t, next.Store, "c", "3")
			wantValue(t, next.Store, "d", "4")
		}
		must(t, f.Rotate(f.ctx))
	})
}

func TestFaultsOfRekey(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		faulty := storetest.Faulty(memory(t))
		f := over(t, faulty, nil)
		old, err := f.Init(f.ctx, InitRequest{Secret: Config{5, 3}}, nil)
		must(t, err)
		put(t, f.unseal(old[:3]...).Store, "a", "1")
		r := NewRekey(f.Keeper)
		nonce := start(t, f, r, Config{3, 2}, false)
		inject(faulty)
		var result *RekeyResult
		for _, share := range old[:3] {
			if _, got, err := r.Submit(f.ctx, here, nonce, share); err == nil {
				result = got
			}
		}
		if result == nil {
			// The operators never saw new shares: theirs must go on working.
			f = again(t, faulty, nil)
			f.wantOpens(old, true)
			return
		}
		confirmed := r.Confirm(f.ctx, nonce)
		if confirmed != nil && !faulty.Died() {
			t.Fatalf("one fault that passed was not tried again: %v", confirmed)
		}
		f.insist(faulty, f.rotating)
		if confirmed == nil {
			f = again(t, faulty, nil)
			f.wantOpens(old, false)
			f.wantOpens(result.Shares, true)
			return
		}
		wantOneSet(t, faulty, old, result.Shares)
	})
}

func TestFaultsOfVerifiedRekey(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		faulty := storetest.Faulty(memory(t))
		f := over(t, faulty, nil)
		old, err := f.Init(f.ctx, InitRequest{Secret: Config{5, 3}}, nil)
		must(t, err)
		put(t, f.unseal(old[:3]...).Store, "a", "1")
		r := NewRekey(f.Keeper)
		result := finish(t, f, r, start(t, f, r, Config{3, 2}, true), old[:3])
		inject(faulty)
		var s VerifyStatus
		for _, share := range result.Shares[:2] {
			s, err = r.VerifyShare(f.ctx, here, result.VerificationNonce, share)
		}
		oldWorks, _ := wantOneSet(t, faulty, old, result.Shares)
		if s.Complete != (err == nil) || s.Complete && oldWorks {
			t.Fatalf("%+v, %v, and the old shares work: %t", s, err, oldWorks)
		}
	})
}

// TestFaultsOfSettling: an unconfirmed rekey is settled by whoever unseals, and that fails.
func TestFaultsOfSettling(t *testing.T) {
	for name, newFirst := range map[string]bool{"old shares": false, "new shares": true} {
		t.Run(name, func(t *testing.T) {
			storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
				faulty := storetest.Faulty(memory(t))
				f := over(t, faulty, nil)
				old, err := f.Init(f.ctx, InitRequest{Secret: Config{5, 3}}, nil)
				must(t, err)
				put(t, f.unseal(old[:3]...).Store, "a", "1")
				r := NewRekey(f.Keeper)
				result := finish(t, f, r, start(t, f, r, Config{3, 2}, false), old[:3])
				must(t, f.Seal(f.ctx))
				inject(faulty)
				first := old[:3]
				if newFirst {
					first = result.Shares[:2]
				}
				for _, share := range first {
					_, _, _ = f.SubmitShare(f.ctx, here, share)
				}
				if u := f.Current(); u != nil {
					f.insist(faulty, f.writing(u, "b", "2"), f.rotating)
				}
				f = again(t, faulty, nil)
				f.wantOpens(first, true)
			})
		})
	}
}

// TestFaultsThatLast: the store takes nothing any more, though one write was stored.
func TestFaultsThatLast(t *testing.T) {
	faulty := storetest.Faulty(memory(t))
	f := over(t, faulty, nil)
	old, err := f.Init(f.ctx, InitRequest{Secret: Config{5, 3}}, nil)
	must(t, err)
	put(t, f.unseal(old[:3]...).Store, "a", "1")
	r := NewRekey(f.Keeper)
	result := finish(t, f, r, start(t, f, r, Config{3, 2}, false), old[:3])
	for _, first := range []storetest.Outcome{storetest.Failed, storetest.Persisted} {
		faulty.Inject(func(n int) storetest.Outcome {
			if n == 1 {
				return first
			}
			return storetest.Failed
		})
		wantErr(t, r.Confirm(f.ctx, result.Nonce), ErrOutcomeUnknown)
		// The store recovers while the process goes on: it knows its root key again.
		faulty.Inject(func(int) storetest.Outcome { return storetest.Succeeded })
		must(t, f.Rotate(f.ctx))
	}
	must(t, r.Confirm(f.ctx, result.Nonce))
	wantOneSet(t, faulty, old, result.Shares)
}

// silent is a store whose feed does not tell of a commit that was reported as failed.
type silent struct{ store.Store }

func (silent) Subscribe(func(store.Commit)) (cancel func()) { return func() {} }

func TestFaultsThatNobodyIsToldOf(t *testing.T) {
	faulty := storetest.Faulty(memory(t))
	f := over(t, silent{faulty}, nil)
	if f.status().Initialized {
		t.Fatal("initialised")
	}
	faulty.Inject(func(n int) storetest.Outcome {
		if n == 1 {
			return storetest.Persisted
		}
		return storetest.Failed
	})
	shares, err := f.Init(f.ctx, InitRequest{Secret: Config{2, 2}}, nil)
	wantErr(t, err, ErrOutcomeUnknown)
	if !f.status().Initialized {
		t.Fatal("what was stored is not seen")
	}
	f.unseal(shares...)
}

func TestAFailingStoreDoesNotPreventSealing(t *testing.T) {
	faulty := storetest.Faulty(memory(t))
	f := over(t, faulty, nil)
	shares, err := f.Init(f.ctx, InitRequest{Secret: Config{1, 1}}, nil)
	must(t, err)
	u := f.unseal(shares[0])
	faulty.InjectAt(1, storetest.Failed)
	wantErr(t, f.Seal(f.ctx), storetest.ErrInjected)
	if !f.status().Sealed {
		t.Fatal("still open")
	}
	wantErr(t, u.Store.View(f.ctx, func(store.Reader) error { return nil }), ErrSealed)
}
