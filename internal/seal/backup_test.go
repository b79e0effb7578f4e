package seal

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/seal/pgp/pgptest"
	"jeton/internal/store/storetest"
)

// holders are so many people with keys, and their public keys.
func holders(t *testing.T, n int) (all []*pgptest.Holder, public []string) {
	t.Helper()
	for range n {
		h := pgptest.New(t, epoch, 0)
		all, public = append(all, h), append(public, h.Public())
	}
	return all, public
}

// opened are the shares inside the envelopes: hex text, each for its own holder.
func opened(t *testing.T, all []*pgptest.Holder, messages [][]byte) [][]byte {
	t.Helper()
	var shares [][]byte
	for i, message := range messages {
		share, err := hex.DecodeString(all[i].Open(message))
		must(t, err)
		shares = append(shares, share)
	}
	return shares
}

func TestSys1InitWithPGP(t *testing.T) {
	people, public := holders(t, 3)
	f := over(t, memory(t), nil)
	for name, c := range map[string]struct {
		req  InitRequest
		want string
	}{
		"too few":        {InitRequest{Secret: Config{3, 2}, SecretPGP: public[:2]}, "invalid seal configuration: count mismatch between number of provided PGP keys and number of shares"},
		"arithmetic":     {InitRequest{Secret: Config{3, 1}, SecretPGP: public}, "invalid seal configuration: threshold must be greater than one for multiple shares"},
		"not base64":     {InitRequest{Secret: Config{1, 1}, SecretPGP: []string{"?"}}, "invalid seal configuration: error decoding given PGP key: it is not base64"},
		"recovery's":     {InitRequest{Secret: Config{3, 2}, RecoveryPGP: public}, "parameters recovery_pgp_keys not applicable to seal type shamir"},
		"recovery's too": {InitRequest{Recovery: Config{3, 2}, RecoveryPGP: public}, "parameters recovery_shares,recovery_threshold,recovery_pgp_keys not applicable to seal type shamir"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Init(f.ctx, c.req, nil)
			wantText(t, err, backend.Invalid, c.want)
		})
	}
	messages, err := f.Init(f.ctx, InitRequest{Secret: Config{3, 2}, SecretPGP: public}, nil)
	must(t, err)
	_, _, err = f.SubmitShare(f.ctx, here, messages[0][:33])
	if err == nil {
		t.Fatal("an envelope is no share")
	}
	shares := opened(t, people, messages)
	f.unseal(shares[2], shares[0])

	auto := over(t, memory(t), static(t, "one", newKey()))
	_, err = auto.Init(auto.ctx, InitRequest{Secret: Config{3, 2}, SecretPGP: public}, nil)
	wantText(t, err, backend.Invalid, "parameters secret_shares,secret_threshold,pgp_keys not applicable to seal type static")
	_, err = auto.Init(auto.ctx, InitRequest{Recovery: Config{3, 2}, RecoveryPGP: public[:1]}, nil)
	wantText(t, err, backend.Invalid, "invalid recovery configuration: count mismatch between number of provided PGP keys and number of shares")
	messages, err = auto.Init(auto.ctx, InitRequest{Recovery: Config{3, 2}, RecoveryPGP: public}, nil)
	must(t, err)
	_, err = auto.UnsealAuto(auto.ctx)
	must(t, err)
	g := NewRootGeneration(auto.Keeper, func(context.Context) (string, error) { return strings.Repeat("t", OTPLength), nil })
	s, err := g.Start(auto.ctx, here, "")
	must(t, err)
	for _, share := range opened(t, people, messages)[:2] {
		s, err = g.Submit(auto.ctx, here, s.Nonce, share)
		must(t, err)
	}
	if !s.Complete {
		t.Fatalf("%+v", s)
	}
}

// rekeyFor completes a rekey to 3 shares of which 2 count, for three holders.
func rekeyFor(t *testing.T, f *fixture, r *Rekey, old [][]byte, public []string, verify bool) *RekeyResult {
	t.Helper()
	s, err := r.Start(f.ctx, here, RekeyRequest{Shares: Config{3, 2}, PGPKeys: public, Backup: true, RequireVerification: verify})
	must(t, err)
	if !s.Backup || len(s.PGPFingerprints) != 3 {
		t.Fatalf("%+v", s)
	}
	return finish(t, f, r, s.Nonce, old)
}

func TestSys15RekeyWithPGPAndBackup(t *testing.T) {
	for name, verify := range map[string]bool{"at once": false, "verified": true} {
		t.Run(name, func(t *testing.T) {
			f, r, old := rekeyed(t)
			people, public := holders(t, 2)
			people, public = append(people, people[0]), append(public, public[0])
			result := rekeyFor(t, f, r, old[:3], public, verify)
			if want := []string{people[0].Fingerprint(), people[1].Fingerprint(), people[0].Fingerprint()}; !reflect.DeepEqual(result.PGPFingerprints, want) || !result.Backup {
				t.Fatalf("%v, want %v", result.PGPFingerprints, want)
			}
			fresh := opened(t, people, result.Shares)
			for _, message := range result.Shares {
				clear(message) // as the edge does once they are encoded
			}
			if verify {
				wantBackup(t, f, r, result, people, fresh) // they may have to be handed out before they are verified
				for _, share := range fresh[:2] {
					_, err := r.VerifyShare(f.ctx, here, result.VerificationNonce, share)
					must(t, err)
				}
			} else {
				must(t, r.Confirm(f.ctx, result.Nonce))
			}
			wantBackup(t, f, r, result, people, fresh)
			if kept, err := r.Backup(f.ctx, true); kept != nil || err != nil {
				t.Fatalf("a Shamir seal has recovery shares: %v %v", kept, err)
			}
			must(t, r.DeleteBackup(f.ctx, true))
			wantBackup(t, f, r, result, people, fresh)

			// It outlives the process, and goes when it is deleted.
			must(t, f.Seal(f.ctx))
			_, err := r.Backup(f.ctx, false)
			wantErr(t, err, ErrSealed)
			wantErr(t, r.DeleteBackup(f.ctx, false), ErrSealed)
			f = over(t, f.store, nil)
			f.unseal(fresh[:2]...)
			r = NewRekey(f.Keeper)
			wantBackup(t, f, r, result, people, fresh)
			must(t, r.DeleteBackup(f.ctx, false))
			must(t, r.DeleteBackup(f.ctx, false))
			if kept, err := r.Backup(f.ctx, false); kept != nil || err != nil {
				t.Fatalf("%v %v", kept, err)
			}
		})
	}
}

// wantBackup checks that the holders get their shares out of the backup.
func wantBackup(t *testing.T, f *fixture, r *Rekey, of *RekeyResult, people []*pgptest.Holder, shares [][]byte) {
	t.Helper()
	kept, err := r.Backup(f.ctx, false)
	must(t, err)
	if kept == nil || kept.Nonce != of.Nonce || len(kept.Envelopes) != 2 {
		t.Fatalf("%+v", kept)
	}
	for print, want := range map[string][][]byte{people[0].Fingerprint(): {shares[0], shares[2]}, people[1].Fingerprint(): {shares[1]}} {
		for i, message := range kept.Envelopes[print] {
			holder := people[0]
			if print == people[1].Fingerprint() {
				holder = people[1]
			}
			if got := holder.Open(message); got != hex.EncodeToString(want[i]) {
				t.Fatalf("share %d of %s is another", i, print)
			}
		}
		if len(kept.Envelopes[print]) != len(want) {
			t.Fatalf("%d shares of %s", len(kept.Envelopes[print]), print)
		}
	}
}

// A backup is of the shares in force: a rekey that is withdrawn leaves the one before it, and a
// rekey without one leaves none.
func TestBackupsFollowTheShares(t *testing.T) {
	f, r, old := rekeyed(t)
	people, public := holders(t, 3)
	first := rekeyFor(t, f, r, old[:3], public, false)
	shares := opened(t, people, first.Shares)
	must(t, r.Confirm(f.ctx, first.Nonce))
	second := rekeyFor(t, f, r, shares[:2], public, false)
	must(t, r.Withdraw(f.ctx, second.Nonce))
	if kept, err := r.Backup(f.ctx, false); err != nil || kept == nil || kept.Nonce != first.Nonce {
		t.Fatalf("after a withdrawn rekey: %+v %v", kept, err)
	}
	s, err := r.Start(f.ctx, here, RekeyRequest{Shares: Config{1, 1}})
	must(t, err)
	third := finish(t, f, r, s.Nonce, shares[:2])
	must(t, r.Confirm(f.ctx, third.Nonce))
	if kept, err := r.Backup(f.ctx, false); err != nil || kept != nil {
		t.Fatalf("after a rekey without a backup: %+v %v", kept, err)
	}
}

func TestSys15ErrorsWithPGP(t *testing.T) {
	f, r, _ := rekeyed(t)
	_, public := holders(t, 3)
	for _, c := range []struct {
		req  RekeyRequest
		want string
	}{
		{RekeyRequest{Shares: Config{3, 2}, Backup: true}, "cannot request a backup of the new keys without providing PGP keys for encryption"},
		{RekeyRequest{Shares: Config{3, 2}, PGPKeys: public[:2]}, "incorrect number of PGP keys for rekey"},
		{RekeyRequest{Shares: Config{3, 2}, PGPKeys: []string{public[0], "?", public[1]}}, "invalid rekey seal configuration: error decoding given PGP key: it is not base64 (key 2 of 3)"},
	} {
		_, err := r.Start(f.ctx, here, c.req)
		wantText(t, err, backend.Invalid, c.want)
	}
	if s, err := r.Status(f.ctx, here); err != nil || s.Started {
		t.Fatalf("%+v %v", s, err)
	}
}

// A key that expires while shares are gathered ends the attempt's last step, not the old shares.
func TestAKeyThatExpiresDuringARekey(t *testing.T) {
	f, r, old := rekeyed(t)
	s, err := r.Start(f.ctx, here, RekeyRequest{Shares: Config{1, 1}, PGPKeys: []string{pgptest.New(t, epoch, 5*time.Minute).Public()}})
	must(t, err)
	f.clock.Add(4 * time.Minute)
	for _, share := range old[:2] {
		_, _, err = r.Submit(f.ctx, here, s.Nonce, share)
		must(t, err)
	}
	f.clock.Add(4 * time.Minute)
	_, result, err := r.Submit(f.ctx, here, s.Nonce, old[2])
	if err == nil || result != nil || !strings.Contains(err.Error(), "it has expired") {
		t.Fatal(err)
	}
	must(t, r.Cancel(f.ctx, here, s.Nonce))
	must(t, f.Seal(f.ctx))
	f.wantOpens(old[2:], true)
}

func TestSys16GenerateRootWithPGP(t *testing.T) {
	f, g, shares, minted := generating(t)
	holder := pgptest.New(t, epoch, 5*time.Minute)
	_, err := g.StartFor(f.ctx, here, "?")
	wantText(t, err, backend.Invalid, "error parsing PGP key: error decoding given PGP key: it is not base64")
	s, err := g.StartFor(f.ctx, here, holder.Public())
	must(t, err)
	if s.PGPFingerprint != holder.Fingerprint() || s.OTP != "" {
		t.Fatalf("%+v", s)
	}
	if seen, err := g.Status(f.ctx, elsewhere); err != nil || seen.PGPFingerprint != holder.Fingerprint() {
		t.Fatalf("%+v %v", seen, err)
	}
	for _, share := range shares[:3] {
		s, err = g.Submit(f.ctx, here, s.Nonce, share)
		must(t, err)
	}
	message, err := base64.StdEncoding.DecodeString(s.EncodedToken)
	must(t, err)
	if token := holder.Open(message); len(token) != OTPLength || *minted != 1 {
		t.Fatalf("a token of %d bytes, %d minted", len(token), *minted)
	}

	// A key that expires meanwhile: the token that was minted is for nobody, and the nonce burnt.
	s, err = g.StartFor(f.ctx, here, holder.Public())
	must(t, err)
	f.clock.Add(6 * time.Minute)
	for i, share := range shares[:3] {
		s, err = g.Submit(f.ctx, here, s.Nonce, share)
		if i == 2 && (err == nil || s.EncodedToken != "") {
			t.Fatalf("%+v", s)
		}
	}
	if s, err := g.Status(f.ctx, here); err != nil || s.Started {
		t.Fatalf("%+v %v", s, err)
	}
}

// TestFaultsOfABackup: whatever fails, the backup is that of the shares in force.
func TestFaultsOfABackup(t *testing.T) {
	people, public := holders(t, 3)
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		faulty := storetest.Faulty(memory(t))
		f := over(t, faulty, nil)
		old, err := f.Init(f.ctx, InitRequest{Secret: Config{5, 3}}, nil)
		must(t, err)
		put(t, f.unseal(old[:3]...).Store, "a", "1")
		r := NewRekey(f.Keeper)
		s, err := r.Start(f.ctx, here, RekeyRequest{Shares: Config{3, 2}, PGPKeys: public, Backup: true})
		must(t, err)
		inject(faulty)
		var result *RekeyResult
		for _, share := range old[:3] {
			_, result, _ = r.Submit(f.ctx, here, s.Nonce, share)
		}
		if result != nil {
			_ = r.Confirm(f.ctx, result.Nonce)
		}
		f = again(t, faulty, nil)
		kept, err := backupUnder(f, old[:3])
		must(t, err)
		if kept == nil {
			return
		}
		var shares [][]byte
		for _, h := range people {
			share, err := hex.DecodeString(h.Open(kept.Envelopes[h.Fingerprint()][0]))
			must(t, err)
			shares = append(shares, share)
		}
		f.wantOpens(shares[:2], true)
	})
}

// backupUnder unseals with the old shares where they open and returns the backup that is then
// kept; where they do not, it reads what is stored. The keeper is sealed afterwards.
func backupUnder(f *fixture, old [][]byte) (*Backup, error) {
	for _, share := range old {
		_, u, err := f.SubmitShare(f.ctx, here, share)
		if err == nil && u != nil {
			kept, err := NewRekey(f.Keeper).Backup(f.ctx, false)
			if kept != nil {
				f.t.Fatal("the old shares are in force, and there is a backup of others")
			}
			must(f.t, f.Seal(f.ctx))
			return nil, err
		}
	}
	f.unsealing.reset()
	return f.backup(f.ctx)
}
