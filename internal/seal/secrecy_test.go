package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"testing"

	"jeton/internal/store"
)

// spoiler is a Wrapper that gives back something else than it was given, as broken hardware or
// another server's fault would.
type spoiler struct {
	Wrapper
	spoil func(secret []byte) []byte
}

func (s spoiler) Unwrap(ctx context.Context, name, wrapped []byte) ([]byte, bool, error) {
	secret, _, err := s.Wrapper.Unwrap(ctx, name, wrapped)
	return s.spoil(secret), true, err
}

// TestCVE_2018_19786: bad data of auto-unseal, or a damaged record of the seal, shows no key in
// errors and logs.
func TestCVE_2018_19786(t *testing.T) {
	key := newKey()
	for name, spoil := range map[string]func([]byte) []byte{
		"another key": func(secret []byte) []byte { return bytes.Repeat([]byte{secret[0]}, len(secret)) },
		"cut short":   func(secret []byte) []byte { return secret[:len(secret)-1] },
		"too long":    func(secret []byte) []byte { return append(bytes.Clone(secret), 1) },
		"nothing":     func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			raw := memory(t)
			w := static(t, "one", key)
			closed(t, raw, w)
			f := over(t, raw, w)
			_, err := f.UnsealAuto(f.ctx)
			must(t, err)
			root := bytes.Clone(f.root)
			must(t, f.Close(f.ctx))

			var log bytes.Buffer
			f = over(t, raw, spoiler{w, spoil})
			f.Keeper.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			_, err = f.UnsealAuto(f.ctx)
			if err == nil || f.Current() != nil {
				t.Fatal("the seal opened")
			}
			log.WriteString(err.Error())
			for _, secret := range [][]byte{root, spoil(bytes.Clone(root)), key} {
				if len(secret) < 16 {
					continue
				}
				for _, text := range []string{string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret)} {
					if bytes.Contains(log.Bytes(), []byte(text)) {
						t.Fatalf("a key is shown: %s", log.String())
					}
				}
			}
		})
	}
	// Every record of the seal, damaged at every byte: refused, or as it was; never a panic.
	raw := memory(t)
	w := static(t, "one", key)
	closed(t, raw, w)
	for _, at := range [][]byte{configKey, rootKeyKey, keyringKey, recoveryKey, countsKey} {
		var good []byte
		must(t, raw.View(t.Context(), func(r store.Reader) (err error) {
			good, err = r.Get(at)
			return err
		}))
		for i := 0; i < len(good); i += 3 {
			bad := bytes.Clone(good)
			bad[i] ^= 0x5a
			must(t, raw.Update(t.Context(), func(tx store.Tx) error { return tx.Put(at, bad) }))
			f := over(t, raw, w)
			if u, err := f.UnsealAuto(f.ctx); err == nil {
				wantValue(t, u.Store, "a", "1")
			} else if bytes.Contains([]byte(err.Error()), []byte(hex.EncodeToString(key))) {
				t.Fatal(err)
			}
			must(t, f.Close(f.ctx))
		}
		must(t, raw.Update(t.Context(), func(tx store.Tx) error { return tx.Put(at, good) }))
	}
}
