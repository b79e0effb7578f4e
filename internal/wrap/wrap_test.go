package wrap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
	"jeton/internal/token"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// boxes keeps objects below "box/" in the whole store.
type boxes struct{}

func boxKey(id backend.TokenID, name string) []byte {
	return append(append([]byte("box/"), id[:]...), name...)
}

func (boxes) Put(tx store.Tx, id backend.TokenID, name string, object json.RawMessage) error {
	return tx.Put(boxKey(id, name), object)
}

func (boxes) Get(r store.Reader, id backend.TokenID, name string) (json.RawMessage, error) {
	object, err := r.Get(boxKey(id, name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return object, err
}

func (boxes) Release(tx store.Tx, id token.ID, _ int) (bool, error) {
	all := store.PrefixRange(boxKey(id, ""))
	return false, tx.DeleteRange(all.From, all.To)
}

// parcel is a wrapping room over a token room over a store.
type parcel struct {
	*Store
	t      *testing.T
	ctx    context.Context
	clock  *clock.Manual
	store  store.Store
	tokens *token.Store
}

func newParcel(t *testing.T) *parcel {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return parcelOver(t, s)
}

func parcelOver(t *testing.T, s store.Store) *parcel {
	t.Helper()
	p := &parcel{t: t, ctx: context.Background(), clock: clock.NewManual(epoch)}
	p.open(s)
	t.Cleanup(func() { p.check(); p.tokens.Close() })
	return p
}

// open is a start over s.
func (p *parcel) open(s store.Store) {
	p.t.Helper()
	tokens, err := token.New(token.Config{Store: s, Prefix: []byte("token/"), Clock: p.clock, Log: slog.New(slog.DiscardHandler),
		Derive: func(purpose string) [32]byte { return sha256.Sum256([]byte(purpose)) }, Owned: []token.Owned{boxes{}}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.store, p.tokens, p.Store = s, tokens, New(s, tokens, boxes{}, p.clock)
}

// check: the token room is sound, and there is a box for every wrapping token that lives, and no other.
func (p *parcel) check() {
	p.t.Helper()
	if err := p.tokens.Check(p.ctx, func(problem token.Problem) { p.t.Errorf("check: %s", problem) }); err != nil {
		p.t.Error(err)
	}
	for {
		if n, err := p.tokens.Sweep(p.ctx); err != nil {
			p.t.Fatal(err)
		} else if n == 0 {
			break
		}
	}
	if tokens, boxes := p.count("token/r"), p.count("box/"); boxes != 2*tokens {
		p.t.Errorf("%d tokens, %d objects in boxes", tokens, boxes)
	}
}

func (p *parcel) count(prefix string) (n int) {
	p.t.Helper()
	all := store.PrefixRange([]byte(prefix))
	all.KeysOnly = true
	err := p.store.View(p.ctx, func(r store.Reader) error {
		n = 0
		return r.Scan(all, func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

var answer = Answer{Status: 404, Body: []byte(`{"data":{"a":"b\u0000"}}`)}

func (p *parcel) wrapped(ttl time.Duration) *backend.WrapInfo {
	p.t.Helper()
	info, err := p.Wrap(p.ctx, ttl, "secret/data/a", answer, "an-accessor")
	if err != nil {
		p.t.Fatal(err)
	}
	return info
}

func (p *parcel) opens(text string) {
	p.t.Helper()
	got, err := p.Open(p.ctx, text)
	if err != nil || got.Status != answer.Status || string(got.Body) != string(answer.Body) || got.ContentType != answer.ContentType {
		p.t.Fatalf("opened %+v, %v", got, err)
	}
}

func (p *parcel) invalid(err error) {
	p.t.Helper()
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != backend.Invalid || e.Text != "wrapping token is not valid or does not exist" {
		p.t.Fatalf("error %v", err)
	}
}

// Contract: wrapping §2, §4.2, §4.3, §8.1, §8.2, §8.4, §8.19.
func TestWrapAndOpen(t *testing.T) {
	p := newParcel(t)
	info := p.wrapped(90 * time.Second)
	if info.TTL != backend.Seconds(90*time.Second) || info.CreationPath != "secret/data/a" || info.WrappedAccessor != "an-accessor" ||
		info.CreationTime != epoch.Format(time.RFC3339Nano) || info.Accessor == "" {
		t.Errorf("info %+v", info)
	}
	p.clock.Add(30 * time.Second)
	p.open(p.store) // a restart in between
	for range 2 {
		got, err := p.Lookup(p.ctx, info.Token)
		want := Info{CreationPath: "secret/data/a", CreationTime: info.CreationTime, CreationTTL: info.TTL}
		if err != nil || *got != want {
			t.Fatalf("lookup: %+v, %v; want %+v", got, err, want)
		}
	}
	p.opens(info.Token)
	_, err := p.Open(p.ctx, info.Token)
	p.invalid(err)
	_, err = p.Lookup(p.ctx, info.Token)
	p.invalid(err)
	_, err = p.Rewrap(p.ctx, info.Token, 0)
	p.invalid(err)
}

// Contract: wrapping §4, §8.3, §8.10, §8.20: what is no wrapping token, or no more.
func TestInvalid(t *testing.T) {
	p := newParcel(t)
	root, err := p.tokens.IssueRoot(p.ctx, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	late, revoked := p.wrapped(time.Second), p.wrapped(time.Hour)
	found, err := p.tokens.Find(p.ctx, revoked.Token)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.tokens.Revoke(p.ctx, found.ID, token.Revoked, ""); err != nil {
		t.Fatal(err)
	}
	p.clock.Add(time.Second)
	for _, text := range []string{root.Text, "", "hvs.x", late.Token, revoked.Token} {
		_, err := p.Open(p.ctx, text)
		p.invalid(err)
		_, err = p.Lookup(p.ctx, text)
		p.invalid(err)
		_, err = p.Rewrap(p.ctx, text, 0)
		p.invalid(err)
	}
	if err := p.tokens.Revoke(p.ctx, root.Token.ID, token.Revoked, ""); err != nil {
		t.Fatal(err)
	}
}

// Contract: wrapping §4.4, §8.12.
func TestRewrap(t *testing.T) {
	p := newParcel(t)
	first := p.wrapped(time.Hour)
	p.clock.Add(10 * time.Minute)
	for _, tt := range []struct{ asked, want time.Duration }{{0, time.Hour}, {2 * time.Hour, time.Hour}, {time.Minute, time.Minute}} {
		next, err := p.Rewrap(p.ctx, first.Token, tt.asked)
		if err != nil {
			t.Fatal(err)
		}
		if next.TTL != backend.Seconds(tt.want) || next.CreationPath != "secret/data/a" || next.WrappedAccessor != "an-accessor" || next.Token == first.Token {
			t.Errorf("rewrapped for %s: %+v", tt.asked, next)
		}
		_, err = p.Open(p.ctx, first.Token)
		p.invalid(err)
		first = next
	}
	p.opens(first.Token)
}

// The promise; contract: wrapping §4.2.3, §8.17: of 1,000 who open, one does, and a
// rewrap among them takes the answer along whole or not at all.
func TestRaceToOpen(t *testing.T) {
	p := newParcel(t)
	info := p.wrapped(time.Hour)
	var won atomic.Int64
	var rewrapped atomic.Pointer[backend.WrapInfo]
	start := make(chan struct{})
	var all sync.WaitGroup
	for n := range 1000 {
		all.Go(func() {
			<-start
			if n%50 == 0 {
				if next, err := p.Rewrap(p.ctx, info.Token, 0); err == nil {
					won.Add(1)
					rewrapped.Store(next)
				}
				return
			}
			if got, err := p.Open(p.ctx, info.Token); err == nil && got != nil {
				won.Add(1)
			} else if backend.KindOf(err) != backend.Invalid {
				t.Errorf("a loser got %v", err)
			}
		})
	}
	close(start)
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 1,000 won", won.Load())
	}
	if next := rewrapped.Load(); next != nil {
		p.opens(next.Token)
	}
}

// At every durable step and every way in which it can fail: an answer is never there twice,
// never without its token, and lost only when taking it was written down.
func TestFaults(t *testing.T) {
	for name, act := range map[string]func(p *parcel, text string) (string, error){
		"wrap": func(p *parcel, _ string) (string, error) {
			info, err := p.Wrap(p.ctx, time.Minute, "a", answer, "")
			if err != nil {
				return "", err
			}
			return info.Token, nil
		},
		"open": func(p *parcel, text string) (string, error) { _, err := p.Open(p.ctx, text); return "", err },
		"rewrap": func(p *parcel, text string) (string, error) {
			info, err := p.Rewrap(p.ctx, text, 0)
			if err != nil {
				return "", err
			}
			return info.Token, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
				inner, err := embedded.OpenMemory()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = inner.Close() })
				faulty := storetest.Faulty(inner)
				p := parcelOver(t, faulty)
				first := p.wrapped(time.Hour).Token
				inject(faulty)
				next, err := act(p, first)
				p.tokens.Close()
				p.open(inner)
				p.check()
				if next != "" {
					p.opens(next)
				}
				_, again := p.Open(p.ctx, first)
				if err == nil && name != "wrap" && again == nil {
					t.Error("opened twice")
				}
				if name == "wrap" && again != nil {
					t.Errorf("another answer is lost: %v", again)
				}
				p.check()
			})
		})
	}
}

// A body that is no text (a certificate in DER, say) comes back byte for byte.
func TestBodyThatIsNoText(t *testing.T) {
	p := newParcel(t)
	body := []byte{0x30, 0xff, 0xfe, 0x00, 0x80}
	info, err := p.Wrap(p.ctx, time.Minute, "pki/ca", Answer{Status: 200, ContentType: "application/pkix-cert", Body: body}, "")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := p.Open(p.ctx, info.Token)
	if err != nil || !bytes.Equal(answer.Body, body) || answer.ContentType != "application/pkix-cert" {
		t.Errorf("got %x, %v", answer, err)
	}
}
