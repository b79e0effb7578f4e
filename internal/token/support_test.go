package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// month is the limit of the token method's mount: 768 hours.
const month = 768 * time.Hour

var (
	tokenMount = backend.Mount{Path: "auth/token/", Type: "token", Accessor: "auth_token_1", DefaultTTL: month, MaxTTL: month}
	loginMount = backend.Mount{Path: "auth/userpass/", Type: "userpass", Accessor: "auth_userpass_1", DefaultTTL: month, MaxTTL: month}
	anywhere   = netip.MustParseAddr("192.0.2.1")
)

// in is the same world for a subtest.
func (w *world) in(t fatal) *world {
	sub := *w
	sub.t = t
	return &sub
}

// fatal is what *testing.T, *testing.B and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a token room over a store in memory, and what surrounds it.
type world struct {
	*Store
	t     fatal
	ctx   context.Context
	clock *clock.Manual
	raw   store.Store
	boxes *boxes
	heard *listener
	vouch *voucher
	// root is a root token without end.
	root *Issued
}

// boxes is a room that keeps things for tokens, below "box/" in the whole store.
type boxes struct{ area *store.Area }

func (b *boxes) Release(tx store.Tx, id ID, limit int) (more bool, err error) {
	area := b.area.Within(tx)
	all := store.PrefixRange(id[:])
	all.Limit, all.KeysOnly = limit+1, true
	var keys [][]byte
	err = area.Scan(all, func(k, _ []byte) (bool, error) {
		keys = append(keys, slices.Clone(k))
		return true, nil
	})
	if more = len(keys) > limit; more {
		keys = keys[:limit]
	}
	for _, k := range keys {
		if err == nil {
			err = area.Delete(k)
		}
	}
	return more, err
}

func (b *boxes) put(tx store.Tx, id ID, name string) error {
	return b.area.Within(tx).Put(append(slices.Clone(id[:]), name...), []byte(name))
}

// listener is a Witness that remembers.
type listener struct {
	mu      sync.Mutex
	endings []Ending // guarded by mu
}

func (l *listener) Ended(_ context.Context, endings []Ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endings = append(l.endings, endings...)
}

// voucher is a login method with fixed terms.
type voucher struct {
	terms backend.Terms
	mount backend.Mount
	err   error
}

func (v *voucher) Stands(string) bool { return true }

func (v *voucher) Vouch(context.Context, *Token, *backend.Call) (backend.Terms, backend.Mount, error) {
	return v.terms, v.mount, v.err
}

func derive(purpose string) [32]byte { return sha256.Sum256([]byte("a key for " + purpose)) }

func memory(t testing.TB) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// newWorld opens a room with a root token; at the end of the test everything is swept and checked.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := worldOver(t, memory(t))
	t.Cleanup(func() {
		w.mustCheck()
		w.sweepAll()
		w.mustCheck()
		w.Store.Close()
	})
	return w
}

func worldOver(t fatal, s store.Store) *world {
	w := &world{t: t, ctx: context.Background(), clock: clock.NewManual(epoch), raw: s,
		heard: &listener{}, vouch: &voucher{mount: loginMount}}
	w.boxes = &boxes{area: store.NewArea(s, []byte("box/"))}
	w.Store = w.open(s)
	root, err := w.IssueRoot(w.ctx, "", nil)
	w.ok(err)
	w.root = root
	return w
}

func (w *world) open(s store.Store) *Store {
	w.t.Helper()
	opened, err := New(Config{Store: s, Prefix: []byte("token/"), Derive: derive, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
		Owned: []Owned{w.boxes}, Voucher: w.vouch, Witness: w.heard})
	w.ok(err)
	return opened
}

// reopen is what a restart does: nothing is left but the store.
func (w *world) reopen() {
	w.t.Helper()
	w.Store.Close()
	w.Store = w.open(w.raw)
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("unexpected error: %v", err)
	}
}

// caller is the holder of an issued token, with or without sudo on the path.
func caller(i *Issued, sudo bool) *backend.Caller {
	return &backend.Caller{Token: i.Text, ID: i.Token.ID, Accessor: i.Token.Accessor, Batch: i.Token.Batch, Root: i.Token.Root,
		Sudo: sudo || i.Token.Root, Policies: i.Token.Policies, EntityID: i.Token.EntityID}
}

// ask is what parent's holder asks for, unless change says otherwise.
func ask(parent *Issued, change func(*Ask)) Ask {
	a := Ask{Request: Request{Renewable: true}, Caller: caller(parent, false), Mount: tokenMount, Path: "auth/token/create"}
	if change != nil {
		change(&a)
	}
	return a
}

// create makes a token that must come out.
func (w *world) create(parent *Issued, change func(*Ask)) *Issued {
	w.t.Helper()
	out, err := w.Create(w.ctx, ask(parent, change))
	w.ok(err)
	return out
}

// child makes a child with its parent's policies.
func (w *world) child(parent *Issued) *Issued { w.t.Helper(); return w.create(parent, nil) }

// with sets policies.
func with(policies ...string) func(*Ask) { return func(a *Ask) { a.Policies = policies } }

// plain makes an ordinary token: a child of root with policies default and web.
func (w *world) plain() *Issued { w.t.Helper(); return w.create(w.root, with("web")) }

// fails makes sure that err is the contract's text of that kind.
func (w *world) fails(err error, kind backend.Kind, text string) {
	w.t.Helper()
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Text != text {
		w.t.Fatalf("error %#v, want kind %d, text %q", err, kind, text)
	}
}

func (w *world) refused(a Ask, text string) {
	w.t.Helper()
	out, err := w.Create(w.ctx, a)
	w.fails(err, backend.Invalid, text)
	if out != nil {
		w.t.Fatalf("a refused request got a token too")
	}
}

// lives says whether the token is found by its text, its id and its accessor, which must agree.
func (w *world) lives(i *Issued) bool {
	w.t.Helper()
	byText, err := w.Find(w.ctx, i.Text)
	w.ok(err)
	if i.Token.Batch {
		return byText != nil
	}
	byID, err := w.FindID(w.ctx, i.Token.ID)
	w.ok(err)
	byAccessor, _, err := w.FindAccessor(w.ctx, i.Token.Accessor)
	w.ok(err)
	if (byText == nil) != (byID == nil) || (byText == nil) != (byAccessor == nil) {
		w.t.Fatalf("found by text %t, by id %t, by accessor %t", byText != nil, byID != nil, byAccessor != nil)
	}
	return byText != nil
}

func (w *world) mustLive(is ...*Issued) {
	w.t.Helper()
	for n, i := range is {
		if !w.lives(i) {
			w.t.Fatalf("token %d is dead and should live", n)
		}
	}
}

func (w *world) mustBeDead(is ...*Issued) {
	w.t.Helper()
	for n, i := range is {
		if w.lives(i) {
			w.t.Fatalf("token %d lives and should be dead", n)
		}
	}
}

func (w *world) revoke(i *Issued) {
	w.t.Helper()
	w.ok(w.Revoke(w.ctx, i.Token.ID, Revoked, "someone"))
}

func (w *world) renew(i *Issued, increment time.Duration) (*Renewed, error) {
	return w.Renew(w.ctx, i.Token.ID, increment, &backend.Call{Mount: tokenMount})
}

// chain puts n generations below parent, in one transaction, and returns the last.
func (w *world) chain(parent *Issued, n int) *Issued {
	w.t.Helper()
	last := parent
	w.ok(w.whole.Update(w.ctx, func(tx store.Tx) error {
		last = parent
		for range n {
			next := &Issued{Token: last.Token.clone()}
			next.Token.Parent, next.Token.Depth = last.Token.ID, last.Token.Depth+1
			next.Token.Accessor, next.Token.Life.Leased = randomBase62(plainChars), true
			if err := w.insert(tx, next, "", newRandomness()); err != nil {
				return err
			}
			last = next
		}
		return nil
	}))
	return last
}

// sweepAll sweeps until nothing is due.
func (w *world) sweepAll() (dealt int) {
	w.t.Helper()
	for range 1_000_000 {
		n, err := w.Sweep(w.ctx)
		w.ok(err)
		if n == 0 {
			return dealt
		}
		dealt += n
	}
	w.t.Fatalf("the sweeper never ends")
	return 0
}

// mustCheck runs the checker on what is stored.
func (w *world) mustCheck() {
	w.t.Helper()
	for _, p := range w.problems() {
		// The clock of a test jumps farther than the sweeper of a server sleeps.
		if p.What != notEnded && p.What != notRemoved {
			w.t.Fatalf("check: %s", p)
		}
	}
}

func (w *world) problems() (found []Problem) {
	w.t.Helper()
	w.ok(w.Check(w.ctx, func(p Problem) { found = append(found, p) }))
	return found
}

// keys are all keys of the room and of the boxes.
func (w *world) keys() (keys []string) {
	w.t.Helper()
	w.ok(w.raw.View(w.ctx, func(r store.Reader) error {
		keys = nil
		return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			keys = append(keys, string(k))
			return true, nil
		})
	}))
	return keys
}

// records counts the stored tokens.
func (w *world) records() (n int) {
	for _, k := range w.keys() {
		if k[:7] == "token/r" {
			n++
		}
	}
	return n
}

// loginOf is a login that earned policies.
func loginOf(policies ...string) *backend.Login { return &backend.Login{Policies: policies} }
