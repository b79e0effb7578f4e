package token

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
)

// damage is a store that something went over which was not this room.
type damage struct {
	name string
	do   func(w *world, tx store.Tx, parent, child *Issued) error
	// finds is the first thing that Check must say; "" for nothing.
	finds string
}

func damages() []damage {
	rewrite := func(change func(*Token)) func(*world, store.Tx, *Issued, *Issued) error {
		return func(_ *world, tx store.Tx, _, child *Issued) error {
			t := child.Token.clone()
			change(t)
			return record.Put(tx, idKey(recordKey, t.ID), t)
		}
	}
	return []damage{
		{"none", func(*world, store.Tx, *Issued, *Issued) error { return nil }, ""},
		{"a record deleted", func(_ *world, tx store.Tx, _, child *Issued) error {
			return tx.Delete(idKey(recordKey, child.Token.ID))
		}, "an index entry without a record"},
		{"an older record deleted", func(w *world, tx store.Tx, _, child *Issued) error {
			w.elder(tx, child)
			return tx.Delete(idKey(recordKey, child.Token.ID))
		}, "an accessor without a record"},
		{"an older token", func(w *world, tx store.Tx, _, child *Issued) error {
			w.elder(tx, child)
			return nil
		}, ""},
		{"an accessor with an entry that it needs not", func(w *world, tx store.Tx, _, child *Issued) error {
			entry := accessorEntry{ID: child.Token.ID, Accessor: child.Token.Accessor}
			return record.Put(tx, idKey(accessorKey, w.texts.accessorID(child.Token.Accessor)), &entry)
		}, ""},
		{"a record that is no record", func(_ *world, tx store.Tx, _, child *Issued) error {
			return tx.Put(idKey(recordKey, child.Token.ID), []byte("x"))
		}, "a record that cannot be read"},
		{"an accessor deleted", func(w *world, tx store.Tx, _, child *Issued) error {
			w.elder(tx, child)
			return tx.Delete(idKey(accessorKey, w.texts.accessorID(child.Token.Accessor)))
		}, `a record without its entry of kind "a"`},
		{"an accessor of another", func(w *world, tx store.Tx, parent, child *Issued) error {
			w.elder(tx, child)
			entry := accessorEntry{ID: parent.Token.ID, Accessor: child.Token.Accessor}
			return record.Put(tx, idKey(accessorKey, w.texts.accessorID(child.Token.Accessor)), &entry)
		}, "an accessor that its record does not have"},
		{"a child entry deleted", func(_ *world, tx store.Tx, parent, child *Issued) error {
			return tx.Delete(key(childKey, parent.Token.ID[:], child.Token.ID[:]))
		}, `a record without its entry of kind "c"`},
		{"a child entry too many", func(w *world, tx store.Tx, parent, _ *Issued) error {
			return tx.Put(key(childKey, parent.Token.ID[:], w.root.Token.ID[:]), nil)
		}, "an index entry that its record does not ask for"},
		{"an entry of nobody", func(_ *world, tx store.Tx, _, _ *Issued) error {
			return tx.Put(idKey(queueKey, ID{3}), nil)
		}, "an index entry without a record"},
		{"an expiry of another time", func(_ *world, tx store.Tx, _, child *Issued) error {
			return tx.Put(append(expiryPrefix(1), child.Token.ID[:]...), nil)
		}, "an index entry that its record does not ask for"},
		{"an expiry moved", rewrite(func(t *Token) { t.Life.Expires++ }), "an index entry that its record does not ask for"},
		{"a token without end", rewrite(func(t *Token) { t.Life.Expires = 0 }), "a token without end that is no root"},
		{"a batch token", rewrite(func(t *Token) { t.Batch = true }), "a batch token in the store"},
		{"uses", rewrite(func(t *Token) { t.Uses = -2 }), "a count of uses below none"},
		{"a parent that is gone", func(w *world, tx store.Tx, parent, _ *Issued) error {
			return w.put(tx, parent.Token, nil)
		}, "a child of a token that is gone"},
		{"a cycle", func(w *world, tx store.Tx, parent, child *Issued) error {
			t := parent.Token.clone()
			t.Parent = child.Token.ID
			return w.put(tx, parent.Token, t)
		}, "a token below itself, or too deep"},
		{"a key of no kind", func(_ *world, tx store.Tx, _, _ *Issued) error { return tx.Put([]byte("?"), nil) }, "a key of no known kind"},
		{"a key cut short", func(_ *world, tx store.Tx, _, child *Issued) error {
			return tx.Put(idKey(recordKey, child.Token.ID)[:9], nil)
		}, "a key of no known kind"},
		{"a role of another name", func(_ *world, tx store.Tx, _, _ *Issued) error {
			return record.Put(tx, roleRecord("a"), &Role{Name: "b"})
		}, "a role that cannot be used"},
		{"a role that is no record", func(_ *world, tx store.Tx, _, _ *Issued) error { return tx.Put(roleRecord("a"), []byte("x")) }, "a role that cannot be read"},
		{"quarantine", func(_ *world, tx store.Tx, _, _ *Issued) error { return tx.Put(idKey(quarantineKey, ID{1}), nil) },
			"a record that the sweeper could not read or find"},
		{"a count", func(w *world, tx store.Tx, _, _ *Issued) error {
			return record.Put(tx, w.facetPrefix(countKey, facet{policyFacet, "web"}), &facetCount{Value: []byte("web"), Count: 77})
		}, "a count that is not that of its index"},
		{"a last use of nobody", func(_ *world, tx store.Tx, _, _ *Issued) error {
			return record.Put(tx, idKey(useKey, ID{4}), &lastUse{At: 1})
		}, "a last use without a token"},
	}
}

// Check finds every kind of damage, and changes nothing; the sweeper comes to an end over it,
// and a token that was not damaged lives.
func TestCheckFindsDamage(t *testing.T) {
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) {
			w := worldOver(t, memory(t))
			defer func() { w.Store.Close() }()
			parent := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "2h" })
			child := w.create(parent, func(a *Ask) { a.TTL = "1h" })
			other := w.plain()
			w.ok(w.area.Update(w.ctx, func(tx store.Tx) error { return d.do(w, tx, parent, child) }))
			w.reopen()
			before := w.keys()
			var said []string
			for _, p := range w.problems() {
				if p.String() == "" || bytes.Contains([]byte(p.String()), []byte(child.Token.Accessor)) {
					t.Errorf("said %q", p)
				}
				said = append(said, p.What)
			}
			if d.finds == "" && len(said) > 0 || d.finds != "" && !slices.Contains(said, d.finds) {
				t.Errorf("said %q, want %q", said, d.finds)
			}
			if after := w.keys(); !slices.Equal(before, after) {
				t.Error("Check changed something")
			}
			w.mustLive(other, w.root)
			w.sweepAll()
			if d.name == "an expiry of another time" {
				w.mustLive(child)
			}
			w.clock.Add(3 * time.Hour)
			for n := 0; ; n++ {
				dealt, err := w.Sweep(w.ctx)
				w.ok(err)
				if dealt == 0 {
					break
				}
				if n > 100 {
					t.Fatal("the sweeper never ends")
				}
			}
			w.mustLive(other, w.root)
			if _, err := w.Accessors(w.ctx, "", 0, func(string) {}); err != nil {
				t.Errorf("accessors: %v", err)
			}
		})
	}
}

// What waits for the sweeper for long is said.
func TestCheckFindsASweeperThatDoesNotCome(t *testing.T) {
	w := newWorld(t)
	w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1m" })
	parent := w.plain()
	w.child(parent)
	w.revoke(parent)
	w.clock.Add(overdue)
	if found := w.problems(); len(found) != 0 {
		t.Errorf("too early: %v", found)
	}
	w.clock.Add(2 * time.Minute)
	var said []string
	for _, p := range w.problems() {
		said = append(said, p.What)
	}
	slices.Sort(said)
	if !slices.Equal(said, []string{notRemoved, notEnded}) {
		t.Errorf("said %q", said)
	}
}
