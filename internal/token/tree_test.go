package token

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"jeton/internal/backend"
)

// branch is a token in the model of trees.
type branch struct {
	issued   *Issued
	parent   *branch
	children []*branch
	ended    bool
}

func (b *branch) living() bool { return !b.ended && (b.parent == nil || b.parent.living()) }

// drawn is what hangs below b, depth first and in the order of ids, no deeper than depth.
func (b *branch) drawn(depth int) (out []*branch) {
	children := slices.Clone(b.children)
	slices.SortFunc(children, func(x, y *branch) int { return bytes.Compare(x.issued.Token.ID[:], y.issued.Token.ID[:]) })
	for _, child := range children {
		if !child.living() {
			continue
		}
		out = append(out, child)
		if depth != 1 {
			out = append(out, child.drawn(depth-1)...)
		}
	}
	return out
}

func (b *branch) level() (n int) {
	for ; b.parent != nil; b = b.parent {
		n++
	}
	return n
}

// grow makes a random tree of n tokens below an orphan.
func grow(t *rapid.T, w *world, n int) (all []*branch) {
	all = []*branch{{issued: w.create(w.root, func(a *Ask) { a.Policies, a.Orphan = []string{"web"}, true })}}
	for range n {
		parent := rapid.SampledFrom(all).Draw(t, "parent")
		b := &branch{issued: w.child(parent.issued), parent: parent}
		parent.children = append(parent.children, b)
		all = append(all, b)
	}
	return all
}

// The tree that is drawn is that of the model, on pages of any size; and when tokens are
// revoked between the pages, every token that lives throughout is drawn once.
func TestTreeAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := memoryFor(t)
		defer s.Close()
		w := worldOver(t, s)
		defer w.Store.Close()
		all := grow(t, w, rapid.IntRange(1, 20).Draw(t, "size"))
		for range rapid.IntRange(0, 2).Draw(t, "dead") {
			m := rapid.SampledFrom(all[1:]).Draw(t, "revoked") // swept or not
			w.revoke(m.issued)
			m.ended = true
			if rapid.Bool().Draw(t, "sweep") {
				w.sweepAll()
			}
		}
		living := slices.DeleteFunc(slices.Clone(all), func(b *branch) bool { return !b.living() })
		root := rapid.SampledFrom(living).Draw(t, "root")
		depth, limit := rapid.IntRange(0, 3).Draw(t, "depth"), rapid.IntRange(1, 25).Draw(t, "limit")
		meanwhile := rapid.Bool().Draw(t, "meanwhile")
		want := root.drawn(depth)
		drawn := map[ID]int{}
		var order []ID
		for cursor := ""; ; {
			tree, err := w.Tree(w.ctx, root.issued.Token.ID, depth, limit, cursor)
			w.ok(err)
			checkAncestors(t, root, tree)
			if len(tree.Descendants) > limit {
				t.Fatalf("%d rows, limit %d", len(tree.Descendants), limit)
			}
			for _, row := range tree.Descendants {
				drawn[row.Token.ID]++
				order = append(order, row.Token.ID)
				i := slices.IndexFunc(all, func(b *branch) bool { return b.issued.Token.ID == row.Token.ID })
				if !all[i].living() || row.Level != all[i].level()-root.level() {
					t.Fatalf("a row at level %d, living %t", row.Level, all[i].living())
				}
			}
			if cursor = tree.Next; cursor == "" {
				break
			}
			if below := root.drawn(0); meanwhile && len(below) > 0 {
				m := rapid.SampledFrom(below).Draw(t, "revoked meanwhile")
				w.revoke(m.issued)
				m.ended = true
				if rapid.Bool().Draw(t, "sweep meanwhile") {
					w.sweepAll()
				}
			}
		}
		for _, b := range want {
			if n := drawn[b.issued.Token.ID]; n > 1 || n == 0 && b.living() {
				t.Fatalf("a token is drawn %d times", n)
			}
		}
		inOrder := slices.EqualFunc(order, want, func(id ID, b *branch) bool { return id == b.issued.Token.ID })
		if !meanwhile && !inOrder {
			t.Fatal("the tree is not drawn depth first")
		}
	})
}

func checkAncestors(t *rapid.T, root *branch, tree *Tree) {
	n := 0
	for b := root.parent; b != nil; b = b.parent {
		if n == len(tree.Ancestors) || tree.Ancestors[n].Token.ID != b.issued.Token.ID || tree.Ancestors[n].Level != -n-1 {
			t.Fatal("the ancestors are not those of the token")
		}
		n++
	}
	if len(tree.Ancestors) != n || tree.Root.Token.ID != root.issued.Token.ID {
		t.Fatalf("%d ancestors, want %d", len(tree.Ancestors), n)
	}
}

// The deepest hierarchy there can be is drawn, and paged.
func TestDeepTree(t *testing.T) {
	w := newWorld(t)
	top := w.create(w.root, func(a *Ask) { a.Policies, a.Orphan = []string{"web"}, true })
	w.chain(top, MaxDepth)
	seen, cursor := 0, ""
	for {
		tree, err := w.Tree(w.ctx, top.Token.ID, 0, 300, cursor)
		w.ok(err)
		seen += len(tree.Descendants)
		if cursor = tree.Next; cursor == "" {
			break
		}
	}
	if seen != MaxDepth {
		t.Errorf("%d descendants, want %d", seen, MaxDepth)
	}
}

// A dead token has no tree; one whose parent was revoked alone has no ancestors, swept or not.
func TestTreeOfTheDeadAndTheFreed(t *testing.T) {
	w := newWorld(t)
	parent := w.plain()
	child := w.create(parent, with("default"))
	grandchild := w.child(child)
	_, err := w.RevokeOrphan(w.ctx, parent.Token.ID, "")
	w.ok(err)
	for range 2 {
		_, err = w.Tree(w.ctx, parent.Token.ID, 0, 10, "")
		w.fails(err, backend.Denied, "bad token")
		for of, ancestors := range map[*Issued]int{child: 0, grandchild: 1} {
			tree, err := w.Tree(w.ctx, of.Token.ID, 0, 10, "")
			w.ok(err)
			if len(tree.Ancestors) != ancestors {
				t.Errorf("%d ancestors, want %d", len(tree.Ancestors), ancestors)
			}
		}
		w.sweepAll()
	}
}
