package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/store/storetest"
)

func static(t *testing.T, id string, key []byte) *Static {
	t.Helper()
	s, err := NewStatic(id, key)
	must(t, err)
	return s
}

func TestConfig5StaticSeal(t *testing.T) {
	raw, key := memory(t), newKey()
	f := over(t, raw, static(t, "one", key))
	_, err := f.UnsealAuto(f.ctx)
	wantErr(t, err, ErrNotInitialized)
	_, err = f.Init(f.ctx, InitRequest{Secret: Config{5, 3}}, nil)
	wantText(t, err, backend.Invalid, "parameters secret_shares,secret_threshold not applicable to seal type static")
	_, err = f.Init(f.ctx, InitRequest{Recovery: Config{5, 1}}, nil)
	wantText(t, err, backend.Invalid, "invalid recovery configuration: threshold must be greater than one for multiple shares")
	recovery, err := f.Init(f.ctx, InitRequest{Recovery: Config{5, 3}}, nil)
	must(t, err)
	u, err := f.UnsealAuto(f.ctx)
	must(t, err)
	put(t, u.Store, "a", "1")
	if same, err := f.UnsealAuto(f.ctx); err != nil || same != u {
		t.Fatal("an open seal was opened anew", err)
	}
	s := f.status()
	if s.Type != "static" || !s.Recovery || s.Shares != 5 || s.Threshold != 3 || s.Sealed {
		t.Fatalf("%+v", s)
	}
	must(t, f.Seal(f.ctx))
	_, _, err = f.SubmitShare(f.ctx, here, recovery[0])
	wantText(t, err, backend.Invalid, "seal type static unseals by itself; recovery keys do not unseal")

	// Another key does not open it, nor does another kind of seal.
	_, err = over(t, raw, static(t, "one", newKey())).UnsealAuto(f.ctx)
	wantErr(t, err, ErrUndecryptable)
	_, err = over(t, raw, static(t, "two", key)).UnsealAuto(f.ctx)
	wantErr(t, err, ErrUndecryptable)
	_, _, err = over(t, raw, nil).SubmitShare(f.ctx, here, recovery[0])
	if backend.KindOf(err) != backend.Failed {
		t.Fatal(err)
	}
	_, err = over(t, raw, nil).UnsealAuto(f.ctx)
	wantErr(t, err, ErrNotAuto)

	// A new key takes over, and the old one is not needed after that.
	next := newKey()
	both, err := static(t, "two", next).Replacing("one", key)
	must(t, err)
	u, err = over(t, raw, both).UnsealAuto(f.ctx)
	must(t, err)
	wantValue(t, u.Store, "a", "1")
	u, err = over(t, raw, static(t, "two", next)).UnsealAuto(f.ctx)
	must(t, err)
	wantValue(t, u.Store, "a", "1")
}

func TestRekeyOfRecoveryShares(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		wrapper := static(t, "one", newKey())
		faulty := storetest.Faulty(memory(t))
		f := over(t, faulty, wrapper)
		old, err := f.Init(f.ctx, InitRequest{Recovery: Config{5, 3}}, nil)
		must(t, err)
		u, err := f.UnsealAuto(f.ctx)
		must(t, err)
		put(t, u.Store, "a", "1")
		r := NewRekey(f.Keeper)
		nonce := start(t, f, r, Config{3, 2}, false)
		inject(faulty)
		var result *RekeyResult
		for _, share := range old[:3] {
			if _, got, err := r.Submit(f.ctx, here, nonce, share); err == nil {
				result = got
			}
		}
		confirmed := false
		if result != nil {
			confirmed = r.Confirm(f.ctx, nonce) == nil
		}
		f = again(t, faulty, wrapper)
		u, err = f.UnsealAuto(f.ctx)
		must(t, err)
		wantValue(t, u.Store, "a", "1")
		oldWorks := authorises(t, f, old[:3])
		if result == nil {
			if !oldWorks {
				t.Fatal("nobody has shares that work")
			}
			return
		}
		freshWorks := authorises(t, f, result.Shares[:2])
		if oldWorks == freshWorks || confirmed && oldWorks {
			t.Fatalf("confirmed %t; old shares work: %t, new ones: %t", confirmed, oldWorks, freshWorks)
		}
	})
}

// authorises says whether shares can start something that takes a threshold.
func authorises(t *testing.T, f *fixture, shares [][]byte) bool {
	t.Helper()
	r := NewRekey(f.Keeper)
	s, err := r.Start(f.ctx, here, RekeyRequest{Shares: Config{2, 2}, RequireVerification: true})
	must(t, err)
	var result *RekeyResult
	for _, share := range shares {
		_, result, _ = r.Submit(f.ctx, here, s.Nonce, share)
	}
	return result != nil
}

func TestStaticKeySources(t *testing.T) {
	key := newKey()
	file := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "key")
		must(t, os.WriteFile(path, content, 0o600))
		return "file://" + path
	}
	t.Setenv("SEAL_KEY_OF_TEST", base64.StdEncoding.EncodeToString(key))
	for name, source := range map[string]string{
		"raw file":    file(key),
		"hex file":    file([]byte(hex.EncodeToString(key) + "\n")),
		"base64 file": file([]byte(base64.StdEncoding.EncodeToString(key) + "\n")),
		"environment": "env://SEAL_KEY_OF_TEST",
		"hex text":    hex.EncodeToString(key),
		"base64 text": base64.StdEncoding.EncodeToString(key),
	} {
		if got, err := StaticKey(source); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, source := range map[string]string{
		"short":     "canary-key",
		"no file":   "file:///nowhere/key",
		"short env": "env://SEAL_KEY_UNSET",
		"long file": file(append([]byte("canary-key"), key...)),
	} {
		if _, err := StaticKey(source); err == nil || strings.Contains(err.Error(), "canary-key") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewStatic("a", key[:31]); err == nil {
		t.Error("a key of 31 bytes")
	}
	s := static(t, "a", key)
	if _, err := s.Replacing("a", key); err == nil {
		t.Error("two keys of one id")
	}
	if _, err := s.Replacing("b", nil); err == nil {
		t.Error("an empty previous key")
	}
}
