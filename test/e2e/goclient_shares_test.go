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
