package seal

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"jeton/internal/backend"
)

const mintedToken = "hvs.0123456789abcdefABCDEFGH"

func generating(t *testing.T) (*fixture, *RootGeneration, [][]byte, *int) {
	t.Helper()
	f, shares := initialised(t, 5, 3)
	minted := new(int)
	g := NewRootGeneration(f.Keeper, func(context.Context) (string, error) { *minted++; return mintedToken, nil })
	f.unseal(shares[:3]...)
	return f, g, shares, minted
}

func TestSys16GenerateRoot(t *testing.T) {
	f, g, shares, minted := generating(t)
	if s, err := g.Status(f.ctx, here); err != nil || s != (RootStatus{Required: 3}) {
		t.Fatalf("%+v %v", s, err)
	}
	s, err := g.Start(f.ctx, here, "")
	must(t, err)
	if !regexp.MustCompile(`^[0-9A-Za-z]{28}$`).MatchString(s.OTP) || !s.Started || s.Nonce == "" {
		t.Fatalf("%+v", s)
	}
	otp, nonce := s.OTP, s.Nonce
	if s, err := g.Status(f.ctx, here); err != nil || s.OTP != "" || s.Nonce != nonce {
		t.Fatalf("%+v %v", s, err)
	}
	_, err = g.Start(f.ctx, here, "")
	wantText(t, err, backend.Invalid, "root generation already in progress")
	for i, share := range shares[2:] {
		s, err = g.Submit(f.ctx, here, nonce, share)
		must(t, err)
		if s.Progress != i+1 || s.Complete != (i == 2) || !s.Started || s.Nonce != nonce {
			t.Fatalf("%+v", s)
		}
	}
	if strings.Contains(s.EncodedToken, "=") || len(s.EncodedToken) != 38 {
		t.Fatalf("not raw base64 of 28 bytes: %q", s.EncodedToken)
	}
	token, err := DecodeToken(s.EncodedToken, otp)
	if err != nil || token != mintedToken || *minted != 1 {
		t.Fatalf("%q %v", token, err)
	}
	if s, err := g.Status(f.ctx, here); err != nil || s.Started {
		t.Fatalf("%+v %v", s, err)
	}
}

func TestSys16Errors(t *testing.T) {
	f, g, shares, minted := generating(t)
	for _, otp := range []string{"short", strings.Repeat("a", 27), strings.Repeat("a", 29)} {
		_, err := g.Start(f.ctx, here, otp)
		wantText(t, err, backend.Invalid, "OTP string has incorrect length")
	}
	_, err := g.Submit(f.ctx, here, "", shares[0])
	wantText(t, err, backend.Invalid, "no root generation in progress")
	must(t, g.Cancel(f.ctx, here, ""))
	s, err := g.Start(f.ctx, here, strings.Repeat("a", 28))
	must(t, err)
	if s.OTP != "" {
		t.Fatal("a given password is repeated")
	}
	_, err = g.Submit(f.ctx, here, "other", shares[0])
	wantText(t, err, backend.Invalid, `incorrect nonce supplied; nonce for this root generation operation is "`+s.Nonce+`"`)
	_, err = g.Submit(f.ctx, here, s.Nonce, shares[0])
	must(t, err)
	_, err = g.Submit(f.ctx, here, s.Nonce, shares[0])
	wantText(t, err, backend.Invalid, "given key has already been provided during this generation operation")
	changed := bytes.Clone(shares[1])
	changed[31] ^= 4
	_, err = g.Submit(f.ctx, here, s.Nonce, changed)
	if err == nil || !strings.HasPrefix(err.Error(), "root generation aborted: ") {
		t.Fatal(err)
	}
	_, err = g.Submit(f.ctx, here, s.Nonce, shares[1])
	must(t, err)
	s2, err := g.Submit(f.ctx, here, s.Nonce, changed)
	if err == nil || s2.Progress != 0 || !s2.Started || *minted != 0 {
		t.Fatalf("%+v %v", s2, err)
	}
	must(t, g.Cancel(f.ctx, here, s.Nonce))
	must(t, f.Seal(f.ctx))
	_, err = g.Status(f.ctx, here)
	wantErr(t, err, ErrSealed)
	blank := over(t, memory(t), nil)
	_, err = NewRootGeneration(blank.Keeper, nil).Status(f.ctx, here)
	wantText(t, err, backend.Invalid, "server is not yet initialized")
}

func TestSys16AFailedMintBurnsTheNonce(t *testing.T) {
	f, shares := initialised(t, 1, 1)
	want := errors.New("no token")
	g := NewRootGeneration(f.Keeper, func(context.Context) (string, error) { return "", want })
	f.unseal(shares[0])
	s, err := g.Start(f.ctx, here, "")
	must(t, err)
	_, err = g.Submit(f.ctx, here, s.Nonce, shares[0])
	wantErr(t, err, want)
	if s, err := g.Status(f.ctx, here); err != nil || s.Started {
		t.Fatalf("%+v %v", s, err)
	}
	g.mint = func(context.Context) (string, error) { return "hvs.too-short", nil }
	s, err = g.Start(f.ctx, here, "")
	must(t, err)
	if _, err = g.Submit(f.ctx, here, s.Nonce, shares[0]); err == nil || strings.Contains(err.Error(), "too-short") {
		t.Fatal(err)
	}
}

func TestCVE_2026_5807_StrangersCannotStopRootGeneration(t *testing.T) {
	f, g, shares, _ := generating(t)
	attack := func() {
		for range 100 {
			_, _ = g.Start(f.ctx, elsewhere, "")
			s, err := g.Status(f.ctx, elsewhere)
			must(t, err)
			_ = g.Cancel(f.ctx, elsewhere, s.Nonce)
			_, _ = g.Submit(f.ctx, elsewhere, s.Nonce, make([]byte, 33))
		}
	}
	attack()
	started, err := g.Start(f.ctx, here, "")
	must(t, err)
	var s RootStatus
	for _, share := range shares[:3] {
		attack()
		s, err = g.Submit(f.ctx, here, started.Nonce, share)
		must(t, err)
	}
	if !s.Complete {
		t.Fatalf("%+v", s)
	}
}

func TestDecodeTokenRefuses(t *testing.T) {
	for _, c := range [][2]string{{"!", "a"}, {"YWI", "a"}, {"YWI=", "ab"}} {
		if _, err := DecodeToken(c[0], c[1]); backend.KindOf(err) != backend.Invalid {
			t.Errorf("%q: %v", c, err)
		}
	}
}
