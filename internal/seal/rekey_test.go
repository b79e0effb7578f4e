package seal

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// rekeyed is an unsealed fixture of 5 shares and threshold 3 that offers rekeys.
func rekeyed(t *testing.T) (*fixture, *Rekey, [][]byte) {
	t.Helper()
	f, shares := initialised(t, 5, 3)
	r := NewRekey(f.Keeper)
	put(t, f.unseal(shares[:3]...).Store, "a", "1")
	return f, r, shares
}

// opens says whether these shares open a sealed keeper; it is sealed afterwards.
func (f *fixture) opens(shares [][]byte) bool {
	f.t.Helper()
	opened := false
	for _, share := range shares {
		if _, u, err := f.SubmitShare(f.ctx, here, share); err == nil && u != nil {
			opened = true
			wantValue(f.t, u.Store, "a", "1")
		}
	}
	must(f.t, f.Seal(f.ctx))
	if !opened {
		f.unsealing.reset()
	}
	return opened
}

func (f *fixture) wantOpens(shares [][]byte, want bool) {
	f.t.Helper()
	if got := f.opens(shares); got != want {
		f.t.Fatalf("the shares open the seal: %t, want %t", got, want)
	}
}

func start(t *testing.T, f *fixture, r *Rekey, c Config, verify bool) string {
	t.Helper()
	s, err := r.Start(f.ctx, here, RekeyRequest{Shares: c, RequireVerification: verify})
	must(t, err)
	if !s.Started || s.Nonce == "" || s.Shares != c.Shares || s.Threshold != c.Threshold || s.Progress != 0 || s.Required != 3 {
		t.Fatalf("%+v", s)
	}
	return s.Nonce
}

func finish(t *testing.T, f *fixture, r *Rekey, nonce string, shares [][]byte) *RekeyResult {
	t.Helper()
	var result *RekeyResult
	for _, share := range shares {
		_, got, err := r.Submit(f.ctx, here, nonce, share)
		must(t, err)
		result = got
	}
	if result == nil {
		t.Fatal("the rekey is not complete")
	}
	return result
}

func TestSys15Rekey(t *testing.T) {
	for _, to := range []Config{{7, 4}, {1, 1}, {2, 2}} {
		f, r, old := rekeyed(t)
		if s, err := r.Status(f.ctx, here); err != nil || !reflect.DeepEqual(s, RekeyStatus{Required: 3}) {
			t.Fatalf("%+v %v", s, err)
		}
		nonce := start(t, f, r, to, false)
		s, result, err := r.Submit(f.ctx, here, nonce, old[4])
		if err != nil || result != nil || s.Progress != 1 || s.Nonce != nonce {
			t.Fatalf("%+v %v", s, err)
		}
		result = finish(t, f, r, nonce, old[:2])
		if len(result.Shares) != to.Shares || result.Nonce != nonce || result.VerificationRequired {
			t.Fatalf("%+v", result)
		}
		root := bytes.Clone(f.root)
		must(t, r.Confirm(f.ctx, nonce))
		if bytes.Equal(root, f.root) {
			t.Fatal("the root key is the old one")
		}
		wantText(t, r.Confirm(f.ctx, nonce), backend.Invalid, "no barrier rekey in progress")
		wantText(t, r.Withdraw(f.ctx, nonce), backend.Invalid, "no barrier rekey in progress")
		_, err = get(f.store, "seal/candidate")
		wantErr(t, err, store.ErrNotFound)
		if s := f.status(); s.Shares != to.Shares || s.Threshold != to.Threshold {
			t.Fatalf("%+v", s)
		}
		must(t, f.Rotate(f.ctx))
		must(t, f.Seal(f.ctx))
		f.wantOpens(old, false)
		f.wantOpens(result.Shares[:to.Threshold], true)
	}
}

func TestSys15RekeyErrors(t *testing.T) {
	f, r, shares := rekeyed(t)
	_, err := r.Start(f.ctx, here, RekeyRequest{Shares: Config{5, 1}})
	wantText(t, err, backend.Failed, "invalid rekey seal configuration: threshold must be greater than one for multiple shares")
	_, _, err = r.Submit(f.ctx, here, "", shares[0])
	wantText(t, err, backend.Invalid, "no barrier rekey in progress")
	_, err = r.VerifyStatus(f.ctx, here)
	wantText(t, err, backend.Invalid, "no rekey configuration found")
	_, err = r.VerifyShare(f.ctx, here, "", shares[0])
	wantText(t, err, backend.Invalid, "no rekey in progress")
	must(t, r.Cancel(f.ctx, here, ""))
	nonce := start(t, f, r, Config{3, 2}, false)
	_, err = r.Start(f.ctx, here, RekeyRequest{Shares: Config{3, 2}})
	wantText(t, err, backend.Invalid, "rekey already in progress")
	_, _, err = r.Submit(f.ctx, here, "other", shares[0])
	wantText(t, err, backend.Invalid, `incorrect nonce supplied; nonce for this rekey operation is "`+nonce+`"`)
	_, _, err = r.Submit(f.ctx, here, nonce, shares[0])
	must(t, err)
	_, _, err = r.Submit(f.ctx, here, nonce, shares[0])
	wantText(t, err, backend.Invalid, "given key has already been provided during this generation operation")
	_, err = r.VerifyShare(f.ctx, here, nonce, shares[0])
	wantText(t, err, backend.Invalid, "no rekey verification in progress")
	wantText(t, r.Confirm(f.ctx, "other"), backend.Invalid, "no barrier rekey in progress")
	// False shares: refused at once, and the last one of a participant costs the progress.
	false1 := bytes.Clone(shares[1])
	false1[0] ^= 1
	s, _, err := r.Submit(f.ctx, here, nonce, false1)
	if err == nil || !strings.Contains(err.Error(), "key verification failed") || !strings.Contains(err.Error(), "invalid key") || s.Progress != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	_, _, err = r.Submit(f.ctx, here, nonce, shares[1])
	must(t, err)
	s, _, err = r.Submit(f.ctx, here, nonce, false1)
	if err == nil || s.Progress != 0 || !s.Started || s.Nonce != nonce {
		t.Fatalf("%+v %v", s, err)
	}
	must(t, f.Seal(f.ctx))
	_, err = r.Status(f.ctx, here)
	wantText(t, err, backend.Sealed, "Vault is sealed")
	f.unseal(shares[:3]...)
	if s, err := r.Status(f.ctx, here); err != nil || s.Started {
		t.Fatalf("sealing did not discard the attempt: %+v %v", s, err)
	}
}

func TestSys15RekeyWithVerification(t *testing.T) {
	f, r, old := rekeyed(t)
	nonce := start(t, f, r, Config{3, 2}, true)
	result := finish(t, f, r, nonce, old[:3])
	if !result.VerificationRequired || result.VerificationNonce == "" || result.VerificationNonce == nonce {
		t.Fatalf("%+v", result)
	}
	verify := result.VerificationNonce
	f.clock.Add(verifyIdle - time.Second) // new shares have to reach their holders
	_, _, err := r.Submit(f.ctx, here, nonce, old[0])
	wantText(t, err, backend.Invalid, `rekey operation already finished; verification must be performed; nonce for the verification operation is "`+verify+`"`)
	if s, err := r.Status(f.ctx, here); err != nil || s.VerificationNonce != verify || !s.VerificationRequired {
		t.Fatalf("%+v %v", s, err)
	}
	_, err = r.VerifyShare(f.ctx, here, nonce, result.Shares[0])
	wantText(t, err, backend.Invalid, `incorrect nonce supplied; nonce for this verify operation is "`+verify+`"`)
	_, err = r.VerifyShare(f.ctx, here, verify, old[0])
	wantText(t, err, backend.Invalid, "rekey verification failed; incorrect key shares supplied")
	s, err := r.VerifyShare(f.ctx, here, verify, result.Shares[0])
	if err != nil || s != (VerifyStatus{Nonce: verify, Started: true, Shares: 3, Threshold: 2, Progress: 1}) {
		t.Fatalf("%+v %v", s, err)
	}
	_, err = r.VerifyShare(f.ctx, here, verify, result.Shares[0])
	wantText(t, err, backend.Invalid, "given key has already been provided during this verify operation")
	// A stranger cannot start the verification over, a holder of a share can.
	if _, err := r.RestartVerification(f.ctx, elsewhere); err == nil {
		t.Fatal("a stranger restarted the verification")
	}
	s, err = r.RestartVerification(f.ctx, here)
	if err != nil || s.Nonce == verify || s.Nonce == "" || s.Progress != 0 || !s.Started {
		t.Fatalf("%+v %v", s, err)
	}
	if got := f.status(); got.Shares != 5 {
		t.Fatalf("in force before they were verified: %+v", got)
	}
	f.clock.Add(verifyIdle - time.Second)
	for i, share := range result.Shares[1:] {
		s, err = r.VerifyShare(f.ctx, here, s.Nonce, share)
		must(t, err)
		if s.Complete != (i == 1) {
			t.Fatalf("%+v", s)
		}
	}
	must(t, f.Seal(f.ctx))
	f.wantOpens(old, false)
	f.wantOpens(result.Shares[:2], true)
}

func TestSys15SealDiscardsAVerification(t *testing.T) {
	f, r, old := rekeyed(t)
	result := finish(t, f, r, start(t, f, r, Config{3, 2}, true), old[:3])
	must(t, f.Seal(f.ctx))
	f.wantOpens(result.Shares, false)
	f.wantOpens(old[2:], true)
}

func TestRekeyWithdrawn(t *testing.T) {
	// CVE-2026-115357: when the audit refuses the answer, nothing may have changed.
	f, r, old := rekeyed(t)
	result := finish(t, f, r, start(t, f, r, Config{3, 2}, false), old[:3])
	must(t, r.Withdraw(f.ctx, result.Nonce))
	must(t, f.Seal(f.ctx))
	f.wantOpens(result.Shares, false)
	f.wantOpens(old[:3], true)
}

// TestRekeyUnconfirmed: the process died before the shares reached their holders, or after.
// The set that opens the seal first stays.
func TestRekeyUnconfirmed(t *testing.T) {
	for name, newFirst := range map[string]bool{"the old shares come first": false, "the new shares come first": true} {
		t.Run(name, func(t *testing.T) {
			f, r, old := rekeyed(t)
			result := finish(t, f, r, start(t, f, r, Config{4, 4}, false), old[:3])
			f = over(t, f.store, nil)
			first, second := old, result.Shares
			if newFirst {
				first, second = second, first
			}
			// A share of the other set given before does not disturb.
			_, _, err := f.SubmitShare(f.ctx, here, second[0])
			must(t, err)
			f.wantOpens(first, true)
			f.wantOpens(second, false)
			f.wantOpens(first, true)
			if _, err := get(f.store, "seal/candidate"); err != store.ErrNotFound {
				t.Fatalf("the candidate is still there: %v", err)
			}
		})
	}
}

func TestUnsealProgressOfACandidate(t *testing.T) {
	f, r, old := rekeyed(t)
	result := finish(t, f, r, start(t, f, r, Config{7, 4}, false), old[:3])
	must(t, f.Seal(f.ctx))
	for i, share := range result.Shares[:3] {
		if s := f.submit(here, share); s.Progress != i+1 || s.Shares != 7 || s.Threshold != 4 {
			t.Fatalf("%+v", s)
		}
	}
	f.unseal(result.Shares[3])
	if s := f.status(); s.Shares != 7 || s.Threshold != 4 {
		t.Fatalf("%+v", s)
	}
}

func TestCVE_2026_5807_StrangersCannotOccupyOrCancel(t *testing.T) {
	f, r, shares := rekeyed(t)
	flood := func() {
		for range 100 {
			_, _ = r.Start(f.ctx, elsewhere, RekeyRequest{Shares: Config{1, 1}})
			_ = r.Cancel(f.ctx, elsewhere, "")
			if s, err := r.Status(f.ctx, elsewhere); err == nil && s.Started {
				_ = r.Cancel(f.ctx, elsewhere, s.Nonce)
				_, _, _ = r.Submit(f.ctx, elsewhere, s.Nonce, make([]byte, 33))
			}
			_, _ = r.RestartVerification(f.ctx, elsewhere)
		}
		_, _ = r.Start(f.ctx, elsewhere, RekeyRequest{Shares: Config{1, 1}})
	}
	flood()
	nonce := start(t, f, r, Config{3, 2}, true)
	var result *RekeyResult
	for _, share := range shares[:3] {
		flood()
		_, got, err := r.Submit(f.ctx, here, nonce, share)
		must(t, err)
		result = got
	}
	for i, share := range result.Shares[:2] {
		flood()
		s, err := r.VerifyShare(f.ctx, here, result.VerificationNonce, share)
		must(t, err)
		if s.Complete != (i == 1) {
			t.Fatalf("%+v", s)
		}
	}
}

func TestCVE_2025_4656_CancelNeedsAPartInTheAttempt(t *testing.T) {
	f, r, shares := rekeyed(t)
	nonce := start(t, f, r, Config{3, 2}, false)
	started := func(want bool) {
		t.Helper()
		if s, err := r.Status(f.ctx, here); err != nil || s.Started != want {
			t.Fatalf("%+v %v", s, err)
		}
	}
	if r.Cancel(f.ctx, elsewhere, nonce) == nil {
		t.Fatal("cancelled by a stranger")
	}
	started(true)
	must(t, r.Cancel(f.ctx, here, "")) // before any share: its starter needs no nonce
	started(false)
	nonce = start(t, f, r, Config{3, 2}, false)
	_, _, err := r.Submit(f.ctx, here, nonce, shares[0])
	must(t, err)
	for _, c := range []struct{ origin, nonce string }{{elsewhere, ""}, {elsewhere, nonce}, {here, ""}, {here, "other"}} {
		if r.Cancel(f.ctx, c.origin, c.nonce) == nil {
			t.Fatalf("cancelled by %+v", c)
		}
		started(true)
	}
	// Another holder of a share may.
	_, _, err = r.Submit(f.ctx, elsewhere, nonce, shares[1])
	must(t, err)
	must(t, r.Cancel(f.ctx, elsewhere, nonce))
	started(false)
}

func TestIdleAttemptsExpire(t *testing.T) {
	f, r, shares := rekeyed(t)
	nonce := start(t, f, r, Config{3, 2}, false)
	f.clock.Add(attemptIdle - time.Second)
	_, _, err := r.Submit(f.ctx, here, nonce, shares[0])
	must(t, err)
	f.clock.Add(attemptIdle - time.Second)
	if s, err := r.Status(f.ctx, elsewhere); err != nil || s.Progress != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	// Garbage does not keep it alive.
	_, _, _ = r.Submit(f.ctx, elsewhere, nonce, make([]byte, 33))
	f.clock.Add(time.Second)
	if s, err := r.Status(f.ctx, here); err != nil || s.Started {
		t.Fatalf("%+v %v", s, err)
	}
	_, _, err = r.Submit(f.ctx, here, nonce, shares[1])
	wantText(t, err, backend.Invalid, "no barrier rekey in progress")
}

func TestAttemptsOfManyStrangersAreBounded(t *testing.T) {
	f, r, shares := rekeyed(t)
	nonce := start(t, f, r, Config{3, 2}, false)
	origin := func(i int) string { return "stranger " + string(rune('A'+i)) }
	for i := range maxAttempts - 1 {
		_, err := r.Start(f.ctx, origin(i), RekeyRequest{Shares: Config{1, 1}})
		must(t, err)
	}
	_, err := r.Start(f.ctx, origin(500), RekeyRequest{Shares: Config{1, 1}})
	if backend.KindOf(err) != backend.TooMany {
		t.Fatal(err)
	}
	if s, err := r.Status(f.ctx, elsewhere); err != nil || s.Started {
		t.Fatalf("one of many attempts is shown to a stranger: %+v %v", s, err)
	}
	_, _, err = r.Submit(f.ctx, elsewhere, nonce, shares[0])
	must(t, err)
	if len(r.attempts.open) != 1 {
		t.Fatal("a good share did not end the attempts of strangers")
	}
	if s, err := r.Status(f.ctx, origin(3)); err != nil || s.Nonce != nonce {
		t.Fatalf("%+v %v", s, err)
	}
}
