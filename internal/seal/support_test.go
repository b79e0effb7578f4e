package seal

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// here and elsewhere are two origins.
const (
	here      = "192.0.2.1"
	elsewhere = "198.51.100.7"
)

func memory(t testing.TB) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func wantText(t testing.TB, err error, kind backend.Kind, text string) {
	t.Helper()
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Text != text {
		t.Fatalf("error %v, want kind %d, text %q", err, kind, text)
	}
}

// fixture is a keeper over a store in memory.
type fixture struct {
	*Keeper
	t     testing.TB
	ctx   context.Context
	clock *clock.Manual
	store store.Store
}

func over(t testing.TB, raw store.Store, w Wrapper) *fixture {
	t.Helper()
	c := clock.NewManual(epoch)
	k := NewKeeper(raw, c, w, slog.New(slog.DiscardHandler))
	return &fixture{Keeper: k, t: t, ctx: context.Background(), clock: c, store: raw}
}

// initialised is a fixture with keys of so many shares; it is sealed.
func initialised(t testing.TB, shares, threshold int) (*fixture, [][]byte) {
	t.Helper()
	f := over(t, memory(t), nil)
	parts, err := f.Init(f.ctx, InitRequest{Secret: Config{shares, threshold}}, nil)
	must(t, err)
	return f, parts
}

// unseal gives shares from here; the last one must open the seal.
func (f *fixture) unseal(shares ...[]byte) *Unlocked {
	f.t.Helper()
	var opened *Unlocked
	for _, share := range shares {
		_, u, err := f.SubmitShare(f.ctx, here, share)
		must(f.t, err)
		opened = u
	}
	if opened == nil {
		f.t.Fatal("the shares did not open the seal")
	}
	return opened
}

func (f *fixture) status() Status {
	f.t.Helper()
	s, err := f.Status(f.ctx)
	must(f.t, err)
	return s
}

func (f *fixture) submit(origin string, share []byte) Status {
	f.t.Helper()
	s, _, err := f.SubmitShare(f.ctx, origin, share)
	must(f.t, err)
	return s
}

func put(t testing.TB, s store.Store, key, value string) {
	t.Helper()
	must(t, s.Update(context.Background(), func(tx store.Tx) error { return tx.Put([]byte(key), []byte(value)) }))
}

func get(s store.Store, key string) (string, error) {
	var value []byte
	err := s.View(context.Background(), func(r store.Reader) (err error) {
		value, err = r.Get([]byte(key))
		return err
	})
	return string(value), err
}

func wantValue(t testing.TB, s store.Store, key, want string) {
	t.Helper()
	if got, err := get(s, key); err != nil || got != want {
		t.Fatalf("%q is %q, %v; want %q", key, got, err, want)
	}
}
