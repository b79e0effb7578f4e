package token

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"

	"jeton/internal/store"
)

// elder makes of i a token as older versions stored it: at a random place, with a random accessor
// that an entry leads from.
func (w *world) elder(tx store.Tx, i *Issued) {
	w.t.Helper()
	old := i.Token.clone()
	old.ID, old.Accessor = w.texts.unplacedID(i.Text), randomBase62(plainChars)
	w.ok(w.put(tx, i.Token, nil))
	w.ok(w.put(tx, nil, old))
	i.Token = old
}

// Every accessor names its id and no other; ids that lie together have accessors that do not.
func TestAccessorsNameIDs(t *testing.T) {
	w := newWorld(t)
	var id ID
	seen := map[string]bool{}
	for n := range 5000 {
		switch n {
		case 0: // zeros
		case 1:
			copy(id[:], bytes.Repeat([]byte{0xff}, len(id)))
		default:
			_, _ = rand.Read(id[:])
		}
		accessor := w.texts.accessor(id)
		if len(accessor) != plainChars || !isBase62(accessor) {
			t.Fatalf("accessor %q", accessor)
		}
		if got, ok := w.texts.named(accessor); !ok || got != id {
			t.Fatalf("%x has accessor %s, which names %x, %t", id, accessor, got, ok)
		}
		next := id
		next[len(next)-1] ^= 1
		for _, a := range []string{accessor, w.texts.accessor(next)} {
			if seen[a[plainChars-blockChars:]] {
				t.Fatal("two ids have the same accessor")
			}
			seen[a[plainChars-blockChars:]] = true
		}
	}
}

// Texts that name nothing: of another length or alphabet, or a number of more than 16 bytes.
func TestNoAccessors(t *testing.T) {
	w := newWorld(t)
	good := w.plain().Token.Accessor
	for name, text := range map[string]string{
		"none": "", "too short": good[:23], "too long": good + "0", "another alphabet": good[:23] + "-", "not ASCII": good[:22] + "é",
		"too great a number": good[:2] + strings.Repeat("z", blockChars), "all z": strings.Repeat("z", plainChars),
	} {
		if _, ok := w.texts.named(text); ok {
			t.Errorf("%s: names a token", name)
		}
		if found, known, err := w.FindAccessor(w.ctx, text); found != nil || known || err != nil {
			t.Errorf("%s: found %v, %t, %v", name, found != nil, known, err)
		}
	}
	// The random part is a part of it.
	other := []byte(good)
	other[0] = map[bool]byte{true: 'b', false: 'a'}[other[0] == 'a']
	if found, known, err := w.FindAccessor(w.ctx, string(other)); found != nil || known || err != nil {
		t.Errorf("with another beginning: found %v, %t, %v", found != nil, known, err)
	}
}

// The accessor of a token that is gone does not lead to another one that a client named alike.
func TestAccessorOfAReusedID(t *testing.T) {
	w := newWorld(t)
	again := func() *Issued {
		return w.create(w.root, func(a *Ask) { a.ID, a.Policies = "my-own-token", []string{"web"} })
	}
	first := again()
	w.child(first) // with it the record stays until the sweeper comes
	w.revoke(first)
	if found, known, err := w.FindAccessor(w.ctx, first.Token.Accessor); found != nil || !known || err != nil {
		t.Errorf("revoked: found %v, known %t, %v", found != nil, known, err)
	}
	w.sweepAll()
	if found, known, err := w.FindAccessor(w.ctx, first.Token.Accessor); found != nil || known || err != nil {
		t.Errorf("swept: found %v, known %t, %v", found != nil, known, err)
	}
	second := again()
	if first.Token.Accessor == second.Token.Accessor {
		t.Fatal("the same accessor again")
	}
	if found, known, err := w.FindAccessor(w.ctx, first.Token.Accessor); found != nil || known || err != nil {
		t.Errorf("of the first: found %v, known %t, %v", found != nil, known, err)
	}
	if found, _, err := w.FindAccessor(w.ctx, second.Token.Accessor); found == nil || err != nil {
		t.Errorf("of the second: %v", err)
	}
	w.mustCheck()
}

// Tokens that were made one after the other lie so in the store, whatever else there is.
func TestTokensLieInOrder(t *testing.T) {
	w := newWorld(t)
	var last ID
	for range 50 {
		i := w.plain()
		if bytes.Compare(i.Token.ID[:], last[:]) <= 0 {
			t.Fatalf("%x after %x", i.Token.ID, last)
		}
		last = i.Token.ID
	}
	for _, i := range []*Issued{w.root, w.create(w.root, func(a *Ask) { a.ID, a.Policies = "custom", []string{"web"} })} {
		if i.Token.ID != w.texts.unplacedID(i.Text) {
			t.Error("a text without a position has a place")
		}
	}
}

// Tokens from before ids had places are found, renewed, listed, swept and revoked like others.
func TestElderTokens(t *testing.T) {
	w := newWorld(t)
	old, doomed, new := w.plain(), w.plain(), w.plain()
	w.ok(w.area.Update(w.ctx, func(tx store.Tx) error {
		w.elder(tx, old)
		w.elder(tx, doomed)
		return nil
	}))
	w.reopen()
	w.mustCheck()
	w.mustLive(old, doomed, new)
	child := w.child(old)
	if _, err := w.renew(old, 0); err != nil {
		t.Errorf("renew: %v", err)
	}
	listed := map[string]bool{}
	if _, err := w.Accessors(w.ctx, "", 0, func(a string) { listed[a] = true }); err != nil {
		t.Error(err)
	}
	for _, i := range []*Issued{old, doomed, new, child, w.root} {
		found, known, err := w.FindAccessor(w.ctx, i.Token.Accessor)
		if found == nil || !known || err != nil || found.ID != i.Token.ID {
			t.Errorf("by accessor: %v, %t, %v", found, known, err)
		}
		if !listed[i.Token.Accessor] {
			t.Error("not listed")
		}
	}
	w.revoke(doomed)
	w.mustBeDead(doomed)
	w.revoke(old)
	w.mustBeDead(old, child)
	w.sweepAll()
	w.mustBeDead(old, child, doomed)
	w.mustLive(new)
	w.mustCheck()
}

// The accessor of a token whose record is damaged leads to an error: who revokes it must not be told
// that it is gone.
func TestAccessorOfADamagedToken(t *testing.T) {
	w := worldOver(t, memory(t))
	defer func() { w.Store.Close() }()
	i := w.plain()
	w.ok(w.area.Update(w.ctx, func(tx store.Tx) error { return tx.Put(idKey(recordKey, i.Token.ID), []byte("x")) }))
	w.reopen()
	if found, known, err := w.FindAccessor(w.ctx, i.Token.Accessor); found != nil || known || !unreadable(err) {
		t.Errorf("found %v, known %t, %v", found != nil, known, err)
	}
	if found, known, err := w.FindAccessor(w.ctx, w.plain().Token.Accessor); found == nil || !known || err != nil {
		t.Errorf("another: %t, %v", known, err)
	}
}
