package token

import (
	"context"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// interrupted is a store where something else happens before an Update gets its turn.
type interrupted struct {
	store.Store
	before func()
}

func (i *interrupted) Update(ctx context.Context, fn func(store.Tx) error) error {
	if before := i.before; before != nil {
		i.before = nil
		before()
	}
	return i.Store.Update(ctx, fn)
}

// Contract: tokens §8.1, §8.5, §13.27; CVE-2020-25816: a tree dies at once, whatever was cached.
func TestRevokeTakesTheTree(t *testing.T) {
	w := newWorld(t)
	parent := w.plain()
	sibling := w.plain()
	child := w.child(parent)
	grandchild := w.child(child)
	orphan := w.create(child, func(a *Ask) { a.Orphan = true })
	batch := w.create(child, func(a *Ask) { a.Type = "batch" })
	w.mustLive(parent, child, grandchild, orphan, batch, sibling)
	w.revoke(parent)
	w.mustBeDead(parent, child, grandchild, batch)
	w.mustLive(orphan, sibling)
	w.sweepAll()
	w.mustBeDead(parent, child, grandchild, batch)
	w.mustLive(orphan, sibling)
	if n := w.records(); n != 3 {
		t.Errorf("%d records are left, want those of root, orphan and sibling", n)
	}
	// §8.3: again, and of what never was, is no error.
	w.revoke(parent)
	w.ok(w.Revoke(w.ctx, ID{1}, Revoked, ""))

	causes := map[Cause]int{}
	for _, e := range w.heard.endings {
		causes[e.End.Cause]++
	}
	if causes[Cascaded] != 2 || len(w.heard.endings) != 2 {
		t.Errorf("heard of %v, want two that went with their parent", causes)
	}
}

// Contract: tokens §8.2, §13.28.
func TestRevokeOrphan(t *testing.T) {
	w := newWorld(t)
	parent := w.plain()
	middle := w.child(parent)
	leaves := []*Issued{w.child(middle), w.child(middle)}
	below := w.child(leaves[0])
	w.mustLive(parent, middle, below)
	found, err := w.RevokeOrphan(w.ctx, middle.Token.ID, "")
	w.ok(err)
	if !found {
		t.Fatal("not found")
	}
	swept := false
	for range 2 {
		w.mustBeDead(middle)
		w.mustLive(parent, leaves[0], leaves[1], below)
		got, err := w.Find(w.ctx, leaves[0].Text)
		w.ok(err)
		if !got.Orphan() {
			t.Errorf("a child of a token that was revoked alone is no orphan (swept: %t)", swept)
		}
		if kept, err := w.Find(w.ctx, below.Text); err != nil || kept.Parent != leaves[0].Token.ID {
			t.Errorf("a grandchild lost its parent (swept: %t): %v", swept, err)
		}
		if !swept {
			renewed, err := w.renew(leaves[0], time.Hour)
			w.ok(err)
			if !renewed.Token.Orphan() {
				t.Error("the renewal of a freed token shows a parent")
			}
		}
		w.sweepAll()
		swept = true
	}
	w.revoke(parent)
	w.mustLive(leaves[0], leaves[1], below)
	w.revoke(leaves[0])
	w.mustBeDead(below)

	found, err = w.RevokeOrphan(w.ctx, middle.Token.ID, "")
	w.ok(err)
	if found {
		t.Error("an unknown token was found")
	}
}

// Revoking alone frees nobody whose parent was dead already: not by its own end, not by one
// above it, even when that end comes between the look and the deed.
func TestRevokeOrphanOfTheDead(t *testing.T) {
	for name, kill := range map[string]func(w *world, above, parent *Issued){
		"revoked":       func(w *world, _, parent *Issued) { w.revoke(parent) },
		"above revoked": func(w *world, above, _ *Issued) { w.revoke(above) },
		"above expired": func(w *world, _, _ *Issued) { w.clock.Add(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &interrupted{Store: memory(t)}
			w := worldOver(t, s)
			above := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1h" })
			parent := w.child(above)
			child := w.child(parent)
			w.mustLive(child)
			s.before = func() { kill(w, above, parent) }
			found, err := w.RevokeOrphan(w.ctx, parent.Token.ID, "")
			w.ok(err)
			if found {
				t.Error("a dead token was found")
			}
			w.mustBeDead(parent, child)
			w.sweepAll()
			w.mustBeDead(parent, child)
			w.mustCheck()
		})
	}
}

// The promise, and contract leases §4.6: a parent's end by time takes its subtree with
// it at that second, not when the sweeper comes.
func TestExpiryTakesTheTree(t *testing.T) {
	w := newWorld(t)
	parent := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1h" })
	child := w.create(parent, func(a *Ask) { a.TTL = "10h" })
	leaf := w.create(child, func(a *Ask) { a.TTL = "10h" })
	batch := w.create(child, func(a *Ask) { a.Type, a.TTL = "batch", "10h" })
	w.clock.Add(time.Hour - 1)
	w.mustLive(parent, child, leaf, batch)
	w.clock.Add(1)
	w.mustBeDead(parent, child, leaf, batch)
	w.refused(ask(leaf, nil), "parent token lookup failed: no parent found")
	if _, err := w.renew(leaf, 0); err == nil {
		t.Error("a child of an expired token was renewed")
	}
	if _, err := w.renew(parent, 0); err == nil {
		t.Error("an expired token was renewed")
	}
	w.reopen()
	w.mustBeDead(parent, child, leaf, batch)
	w.sweepAll()
	if n := w.records(); n != 1 {
		t.Errorf("%d records are left, want the root's", n)
	}
}

// The promise: a renewed token's old end must not kill it or its children, a shortened
// one's must; also where the ancestry was proved before.
func TestRenewalMovesTheEnd(t *testing.T) {
	w := newWorld(t)
	parent := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1h" })
	child := w.create(parent, func(a *Ask) { a.TTL = "20h" })
	w.mustLive(parent, child)
	w.clock.Add(30 * time.Minute)
	if _, err := w.renew(parent, 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(time.Hour)
	w.sweepAll()
	w.mustLive(parent, child)
	if _, err := w.renew(parent, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.mustLive(parent, child)
	w.clock.Add(time.Minute - 1)
	w.mustLive(parent, child)
	w.clock.Add(1)
	w.mustBeDead(parent, child)
}

// A custom id that comes again is another token: no child, box or accessor of the first is its.
func TestAnIDThatComesAgain(t *testing.T) {
	w := newWorld(t)
	named := func(a *Ask) { a.ID, a.Policies = "again", []string{"web"} }
	first := w.create(w.root, named)
	child := w.child(first)
	w.ok(w.raw.Update(w.ctx, func(tx store.Tx) error { return w.boxes.put(tx, first.Token.ID, "secret") }))
	w.revoke(first)
	w.sweepAll()
	second := w.create(w.root, named)
	w.mustLive(second)
	w.mustBeDead(child)
	for _, k := range w.keys() {
		if k[:4] == "box/" {
			t.Error("the first token's box is still there")
		}
	}

	limited := w.create(w.root, func(a *Ask) { a.ID, a.NumUses, a.Policies = "twice", 2, []string{"web"} })
	w.revoke(limited)
	unlimited := w.create(w.root, func(a *Ask) { a.ID, a.Policies = "twice", []string{"web"} })
	if _, err := w.Spend(w.ctx, limited.Token); err != nil {
		t.Fatal(err)
	}
	w.mustLive(unlimited)
}

// What hangs on a token elsewhere goes with it, however much it is.
func TestOwnedThingsGoWithTheToken(t *testing.T) {
	w := newWorld(t)
	parent := w.plain()
	child := w.child(parent)
	for _, i := range []*Issued{parent, child} {
		w.ok(w.raw.Update(w.ctx, func(tx store.Tx) error {
			for n := range 3 * releaseAtOnce {
				if err := w.boxes.put(tx, i.Token.ID, string(rune('a'+n))); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	w.revoke(parent)
	w.mustBeDead(parent, child)
	w.mustCheck()
	w.sweepAll()
	for _, k := range w.keys() {
		if k[:4] == "box/" {
			t.Fatal("something is left in a box")
		}
	}
}

// Contract: leases §3.5: by path, with all that is below.
func TestRevokePath(t *testing.T) {
	w := newWorld(t)
	login := func(path string) *Issued {
		return w.must(w.IssueLogin(w.ctx, &backend.Login{Policies: []string{"web"}}, loginMount, path, ""))
	}
	var theirs []*Issued
	for range 2*sweepBatch + 3 {
		theirs = append(theirs, login("auth/userpass/login/alice"))
	}
	other := login("auth/userpass2/login/alice")
	below := w.child(theirs[0])
	created, orphan := w.plain(), w.create(w.root, func(a *Ask) { a.Path, a.Policies, a.Orphan = "auth/token/create-orphan", []string{"web"}, true })
	w.mustLive(theirs...)
	w.mustLive(below, created)
	w.ok(w.RevokePath(w.ctx, "auth/userpass/", "admin"))
	w.mustBeDead(theirs...)
	w.mustBeDead(below)
	w.mustLive(other, created, orphan)
	w.ok(w.RevokePath(w.ctx, "auth/token/create\x00", "admin"))
	w.mustBeDead(created)
	w.mustLive(orphan, w.root)
}

// Contract: leases §4.1: the sweeper ends what is past, and says so.
func TestSweepTellsWhatEnded(t *testing.T) {
	w := newWorld(t)
	for range sweepBatch + 5 {
		w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1m" })
	}
	limited := w.create(w.root, func(a *Ask) { a.Policies, a.NumUses, a.TTL = []string{"web"}, 1, "1h" })
	if _, err := w.Spend(w.ctx, limited.Token); err != nil {
		t.Fatal(err)
	}
	if at, err := w.NextExpiry(w.ctx); err != nil || at != epoch.Add(time.Minute).UnixNano() {
		t.Errorf("next expiry %d, %v", at, err)
	}
	w.clock.Add(time.Minute - 1)
	if n := w.sweepAll(); n != 0 {
		t.Errorf("%d swept before their time", n)
	}
	w.clock.Add(1)
	w.sweepAll()
	w.clock.Add(spentGrace)
	w.sweepAll()
	causes := map[Cause]int{}
	for _, e := range w.heard.endings {
		causes[e.End.Cause]++
	}
	if causes[Expired] != sweepBatch+5 || causes[UsedUp] != 1 {
		t.Errorf("heard of %v", causes)
	}
	if n := w.records(); n != 1 {
		t.Errorf("%d records are left", n)
	}
}
