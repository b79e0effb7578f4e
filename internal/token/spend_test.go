package token

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

func (w *world) limited(uses int) *Issued {
	w.t.Helper()
	return w.create(w.root, func(a *Ask) { a.NumUses, a.Policies, a.TTL = uses, []string{"web"}, "1h" })
}

// request is what the pipeline does with a token: find it, then spend a use.
func (w *world) request(i *Issued) (*Token, error) {
	t, err := w.Authenticate(w.ctx, i.Text, anywhere)
	if err != nil {
		return nil, err
	}
	return w.Spend(w.ctx, t)
}

// Contract: tokens §9.1, §13.17, §3: N uses are N requests, and the one after is a bad token.
func TestUsesCountDown(t *testing.T) {
	w := newWorld(t)
	i := w.limited(3)
	for left := 2; left >= 0; left-- {
		after, err := w.request(i)
		w.ok(err)
		want := left
		if left == 0 {
			want = spent
		}
		if after.Uses != want || after.LastUse() != (left == 0) {
			t.Fatalf("uses %d after a request, want %d", after.Uses, want)
		}
	}
	_, err := w.request(i)
	w.fails(err, backend.BadToken, "invalid token")
	w.mustBeDead(i)
	// §9: the request of the last use still acts for it.
	if last, err := w.FindSpent(w.ctx, i.Token.ID); err != nil || last == nil || last.Uses != spent {
		t.Errorf("the last request finds %v, %v", last, err)
	}
	// §9.4: and may end it.
	w.revoke(i)
	if last, err := w.FindSpent(w.ctx, i.Token.ID); err != nil || last != nil {
		t.Errorf("after its revocation the token is found: %v, %v", last, err)
	}
	if n := w.records(); n != 1 {
		t.Errorf("%d records are left", n)
	}
}

// A token without limit costs no write, and neither does a batch token.
func TestNothingToSpend(t *testing.T) {
	s := &storetest.Counting{Store: memory(t)}
	w := worldOver(t, s)
	batch := w.create(w.root, func(a *Ask) { a.Type, a.Policies = "batch", []string{"web"} })
	s.Reset()
	for _, i := range []*Issued{w.root, batch} {
		if _, err := w.request(i); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Updates.Load(); n != 0 {
		t.Errorf("%d updates", n)
	}
}

// A use-limited token dies like any other, between the look and the deed too.
func TestSpendOfTheDead(t *testing.T) {
	for name, kill := range map[string]func(w *world, parent, i *Issued){
		"revoked":        func(w *world, _, i *Issued) { w.revoke(i) },
		"parent revoked": func(w *world, parent, _ *Issued) { w.revoke(parent) },
		"expired":        func(w *world, _, _ *Issued) { w.clock.Add(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			parent := w.plain()
			i := w.create(parent, func(a *Ask) { a.NumUses, a.TTL = 5, "1h" })
			found, err := w.Authenticate(w.ctx, i.Text, anywhere)
			w.ok(err)
			kill(w, parent, i)
			_, err = w.Spend(w.ctx, found)
			w.fails(err, backend.BadToken, "invalid token")
		})
	}
}

// Contract: tokens §3, §13.37.
func TestAuthenticateFromWhere(t *testing.T) {
	w := newWorld(t)
	cidrs := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("192.0.2.7/32")}
	i := w.must(w.IssueLogin(w.ctx, &backend.Login{BoundCIDRs: cidrs}, loginMount, "auth/userpass/login/a", ""))
	child := w.child(i)
	w.ok(w.UpdateRole(w.ctx, "bound", func(r *Role) error { r.BoundCIDRs = cidrs; return nil }))
	root := w.create(w.root, func(a *Ask) { a.Role = "bound" })
	expiringRoot := w.create(w.root, func(a *Ask) { a.Role, a.TTL = "bound", "1h" })
	for _, tt := range []struct {
		addr string
		good bool
	}{
		{"10.1.2.3", true}, {"::ffff:10.1.2.3", true}, {"2001:db8::1", true}, {"192.0.2.7", true},
		{"192.0.2.8", false}, {"11.0.0.1", false}, {"2001:db9::1", false},
	} {
		addr := netip.MustParseAddr(tt.addr)
		for _, bound := range []*Issued{i, child, expiringRoot} {
			_, err := w.Authenticate(w.ctx, bound.Text, addr)
			if tt.good {
				w.ok(err)
			} else {
				w.fails(err, backend.Denied, "permission denied")
			}
		}
		if _, err := w.Authenticate(w.ctx, root.Text, addr); err != nil {
			t.Errorf("a root without end is bound: %v", err)
		}
	}
	if _, err := w.Authenticate(w.ctx, i.Text, netip.Addr{}); err == nil {
		t.Error("a bound token is good from nowhere")
	}
}

// Contract: wrapping §3, §4.2.3.
func TestWrappingToken(t *testing.T) {
	w := newWorld(t)
	fill := func(tx store.Tx, id ID) error { return w.boxes.put(tx, id, "response") }
	i := w.must(w.IssueWrapping(w.ctx, 90*time.Second, "secret/data/a", fill))
	got := i.Token
	if !got.Wrapping() || got.Uses != 1 || got.Life.Renewable || !got.Orphan() || got.Origin.DisplayName != "" ||
		got.Life.CreationTTL != 90 || got.Life.ExplicitMax != 90 || i.TTL != 90*time.Second || got.Origin.Path != "secret/data/a" {
		t.Errorf("wrapping token %+v, ttl %s", got, i.TTL)
	}
	useUp := func(id ID) (found bool) {
		w.ok(w.raw.Update(w.ctx, func(tx store.Tx) (err error) {
			found, err = w.UseUp(tx, id)
			return err
		}))
		return found
	}
	plain := w.limited(1)
	if useUp(plain.Token.ID) || useUp(w.root.Token.ID) || useUp(ID{9}) {
		t.Error("something was used up that stands for nothing")
	}
	if !useUp(got.ID) || useUp(got.ID) {
		t.Error("not used up exactly once")
	}
	w.mustBeDead(i)
	for _, k := range w.keys() {
		if k[:4] == "box/" {
			t.Error("the answer is still there")
		}
	}
	// Renewal is refused, and time ends it.
	late := w.must(w.IssueWrapping(w.ctx, time.Millisecond, "a", fill))
	if _, err := w.renew(late, time.Hour); err == nil {
		t.Error("renewed")
	}
	w.clock.Add(time.Second)
	if useUp(late.Token.ID) {
		t.Error("used up after its end")
	}
	// What is refused while it is filled leaves nothing.
	failure := errors.New("full")
	out, err := w.IssueWrapping(w.ctx, time.Minute, "a", func(store.Tx, ID) error { return failure })
	if !errors.Is(err, failure) || out != nil {
		t.Errorf("got %v, %v", out, err)
	}
	// A life that no clock can hold is as long as one can.
	long := w.must(w.IssueWrapping(w.ctx, 290*365*24*time.Hour, "a", fill))
	w.mustLive(long)
	w.clock.Add(time.Hour)
	w.mustLive(long)
}
