package e2e

import (
	"encoding/base64"
	"testing"

	"github.com/hashicorp/vault/api"
)

// The holders of the shares make a root token and change the shares, with the client's own
// methods: Sys().GenerateRoot* and Sys().Rekey*.
func TestGoClientShares(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	kept := token(t, s, map[string]any{"policies": []string{"default"}, "ttl": "1h"})
	t.Run("generate-root", func(t *testing.T) { sharesMakeRoot(t, s) })
	t.Run("rekey", func(t *testing.T) { sharesChange(t, s) })
	t.Run("rekey, verified", func(t *testing.T) { sharesVerified(t, s) })
	if !alive(t, s, kept) {
		t.Error("a token did not survive")
	}
}

func sharesMakeRoot(t *testing.T, s *server) {
	status := want[*api.GenerateRootStatusResponse](t)
	c := s.client(s.root)
	if st := status(c.Sys().GenerateRootStatus()); st.Started || st.Required != 3 {
		t.Errorf("before: %+v", st)
	}
	begun := status(c.Sys().GenerateRootInit("", ""))
	if !begun.Started || begun.Nonce == "" || len(begun.OTP) != 28 {
		t.Fatalf("begun: %+v", begun)
	}
	_, err := c.Sys().GenerateRootUpdate(s.shares[0], "another-nonce")
	refusal(t, err, 400, "")
	var done *api.GenerateRootStatusResponse
	for i, share := range []string{s.shares[1], s.shares[3], s.shares[4]} {
		done = status(c.Sys().GenerateRootUpdate(share, begun.Nonce))
		if done.Complete != (i == 2) || done.Progress != i+1 {
			t.Errorf("after %d shares: %+v", i+1, done)
		}
	}
	sealed, err := base64.RawStdEncoding.DecodeString(done.EncodedToken)
	if err != nil || len(sealed) != len(begun.OTP) {
		t.Fatalf("encoded token of %d bytes: %v", len(sealed), err)
	}
	for i := range sealed {
		sealed[i] ^= begun.OTP[i]
	}
	made := string(sealed)
	a := s.raw("GET", "auth/token/lookup-self", made, nil)
	if a.status != 200 || a.Data["orphan"] != true || a.Data["ttl"] != 0.0 {
		t.Errorf("the new root token: %d %s", a.status, a.text)
	}
	if st := status(c.Sys().GenerateRootStatus()); st.Started {
		t.Errorf("after: %+v", st)
	}
	// An attempt that is given up leaves nothing.
	begun = status(c.Sys().GenerateRootInit("", ""))
	none(t, "cancel", c.Sys().GenerateRootCancel())
	_, err = c.Sys().GenerateRootUpdate(s.shares[0], begun.Nonce)
	refusal(t, err, 400, "")
	if err := s.client(made).Auth().Token().RevokeSelf(""); err != nil || alive(t, s, made) {
		t.Errorf("revoking the new root token: %v", err)
	}
}

func sharesChange(t *testing.T, s *server) {
	c := s.client(s.root)
	begun := want[*api.RekeyStatusResponse](t)(c.Sys().RekeyInit(&api.RekeyInitRequest{SecretShares: 3, SecretThreshold: 2}))
	if !begun.Started || begun.Nonce == "" || begun.Required != 3 {
		t.Fatalf("begun: %+v", begun)
	}
	var done *api.RekeyUpdateResponse
	for _, share := range s.shares[:3] {
		done = want[*api.RekeyUpdateResponse](t)(c.Sys().RekeyUpdate(share, begun.Nonce))
	}
	if !done.Complete || len(done.KeysB64) != 3 {
		t.Fatalf("done: complete %t, %d keys", done.Complete, len(done.KeysB64))
	}
	// The old shares open nothing any more, the new ones do.
	none(t, "seal", c.Sys().Seal())
	opened := false
	for _, share := range s.shares[:3] {
		st, err := c.Sys().Unseal(share)
		opened = opened || err == nil && !st.Sealed
	}
	if opened {
		t.Error("the old shares still open the seal")
	}
	want[*api.SealStatusResponse](t)(c.Sys().ResetUnsealProcess())
	for i, share := range done.KeysB64[1:] {
		if st := want[*api.SealStatusResponse](t)(c.Sys().Unseal(share)); st.Sealed != (i == 0) {
			t.Errorf("after %d of 2 new shares: %+v", i+1, st)
		}
	}
	s.shares = done.KeysB64
}

// sharesVerified gives the new shares back before they hold, and gives up two attempts.
func sharesVerified(t *testing.T, s *server) {
	sys := s.client(s.root).Sys()
	begin := func() *api.RekeyStatusResponse {
		t.Helper()
		return want[*api.RekeyStatusResponse](t)(sys.RekeyInit(&api.RekeyInitRequest{SecretShares: 5, SecretThreshold: 3, RequireVerification: true}))
	}
	begun := begin()
	if st := want[*api.RekeyStatusResponse](t)(sys.RekeyStatus()); !st.Started || st.Nonce != begun.Nonce || st.N != 5 || st.T != 3 || !st.VerificationRequired {
		t.Errorf("status: %+v", st)
	}
	// Who does not know the nonce ends nothing.
	refusal(t, sys.RekeyCancelWithNonce("another-nonce"), 400, "nonce")
	if st := want[*api.RekeyStatusResponse](t)(sys.RekeyStatus()); st.Nonce != begun.Nonce {
		t.Errorf("after cancelling another: %+v", st)
	}
	none(t, "cancel", sys.RekeyCancelWithNonce(begun.Nonce))
	begin()
	none(t, "cancel", sys.RekeyCancel())
	if st := want[*api.RekeyStatusResponse](t)(sys.RekeyStatus()); st.Started {
		t.Errorf("cancelled: %+v", st)
	}

	begun = begin()
	var made *api.RekeyUpdateResponse
	for _, share := range s.shares[:2] {
		made = want[*api.RekeyUpdateResponse](t)(sys.RekeyUpdate(share, begun.Nonce))
	}
	if !made.Complete || made.VerificationNonce == "" || len(made.KeysB64) != 5 {
		t.Fatalf("made: complete %t, verified by %q, %d keys", made.Complete, made.VerificationNonce, len(made.KeysB64))
	}
	give := func(share, nonce string) *api.RekeyVerificationUpdateResponse {
		t.Helper()
		return want[*api.RekeyVerificationUpdateResponse](t)(sys.RekeyVerificationUpdate(share, nonce))
	}
	give(made.KeysB64[0], made.VerificationNonce)
	none(t, "start over", sys.RekeyVerificationCancel())
	again := want[*api.RekeyVerificationStatusResponse](t)(sys.RekeyVerificationStatus())
	if again.Nonce == made.VerificationNonce || again.Progress != 0 || again.T != 3 {
		t.Errorf("started over: %+v", again)
	}
	var done *api.RekeyVerificationUpdateResponse
	for _, share := range made.KeysB64[2:] {
		done = give(share, again.Nonce)
	}
	if !done.Complete {
		t.Errorf("verified: %+v", done)
	}
	s.shares = made.KeysB64
	none(t, "RekeyDeleteBackup", sys.RekeyDeleteBackup())
	none(t, "RekeyDeleteRecoveryBackup", sys.RekeyDeleteRecoveryBackup())
	none(t, "seal", sys.Seal())
	for i, share := range []string{s.shares[4], s.shares[1], s.shares[2]} {
		if st := want[*api.SealStatusResponse](t)(sys.UnsealWithOptions(&api.UnsealOpts{Key: share})); st.Sealed != (i < 2) {
			t.Errorf("after %d verified shares: %+v", i+1, st)
		}
	}
}

// The client's own methods make a server of an empty one: five shares, of which three open it,
// given in hex or in base64.
func TestGoClientBegins(t *testing.T) {
	t.Parallel()
	s := newProduction(t)
	s.start("server started!")
	t.Cleanup(s.stop)
	sys := s.client("").Sys()
	if want[bool](t)(sys.InitStatus()) {
		t.Fatal("initialised before init")
	}
	made := want[*api.InitResponse](t)(sys.Init(&api.InitRequest{SecretShares: 5, SecretThreshold: 3}))
	if len(made.Keys) != 5 || len(made.KeysB64) != 5 || len(made.Keys[0]) != 66 || made.RootToken == "" {
		t.Fatalf("init: %d and %d keys of %d digits", len(made.Keys), len(made.KeysB64), len(made.Keys[0]))
	}
	for i, share := range []string{made.Keys[4], made.KeysB64[1], made.Keys[2]} {
		if st := want[*api.SealStatusResponse](t)(sys.Unseal(share)); st.Sealed != (i < 2) || st.Progress != (i+1)%3 {
			t.Errorf("after %d shares: %+v", i+1, st)
		}
	}
	// The same share in both forms is one.
	s.root = made.RootToken
	none(t, "seal", s.client(s.root).Sys().Seal())
	for _, share := range []string{made.Keys[0], made.KeysB64[0]} {
		if st := want[*api.SealStatusResponse](t)(sys.Unseal(share)); st.Progress != 1 {
			t.Errorf("the same share twice: %+v", st)
		}
	}
	for _, share := range made.KeysB64[3:] {
		want[*api.SealStatusResponse](t)(sys.Unseal(share))
	}
	if !alive(t, s, s.root) {
		t.Error("root is not served")
	}
}
