package token

import (
	"bytes"
	"context"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// Tree is a token with its ancestors, and a page of its descendants in depth-first order.
type Tree struct {
	// Ancestors has the parent first.
	Ancestors   []Row
	Root        Row
	Descendants []Row
	// Next leads to the following descendants; "" after the last.
	Next string
}

// Tree draws what hangs together with the living token of id: at most limit descendants, no
// deeper than depth levels below it (0 is all).
func (s *Store) Tree(ctx context.Context, id ID, depth, limit int, after string) (*Tree, error) {
	at, err := s.readCursor(after)
	if err != nil {
		return nil, err
	}
	of := s.texts.keyed("tree", string(id[:]))
	if after != "" && (!bytes.Equal(at.Of, of[:]) || len(at.Path) == 0) {
		return nil, errCursor
	}
	var tree *Tree
	err = s.area.View(ctx, func(r store.Reader) error {
		tree = &Tree{}
		t, _, err := s.alive(r, id, s.clock.Now())
		if err != nil {
			return err
		}
		if t == nil {
			return backend.Errorf(backend.Denied, "bad token")
		}
		rows := &counter{s: s, r: r}
		root, err := s.describe(rows, t)
		if err != nil {
			return err
		}
		tree.Root = *root
		if err := s.ancestors(rows, t, tree); err != nil {
			return err
		}
		from, err := s.livingPart(r, at.from(id))
		if err != nil {
			return err
		}
		left, err := s.descend(rows, walkLimits{depth, limit}, from, tree)
		if left == nil || err != nil {
			return err
		}
		next := left.cursor()
		next.Of = of[:]
		tree.Next, err = s.writeCursor(next)
		return err
	})
	return tree, err
}

// ancestors adds the parents up to the orphan that all hang on.
func (s *Store) ancestors(rows *counter, t *Token, tree *Tree) error {
	for level := -1; !t.Orphan(); level-- {
		parent, err := load(rows.r, t.Parent)
		if err != nil || parent == nil || parent.End != nil {
			return err // revoked alone: t is an orphan, and is yet to be made one
		}
		row, err := s.describe(rows, parent)
		if err != nil {
			return err
		}
		row.Level = level
		tree.Ancestors = append(tree.Ancestors, *row)
		t = parent
	}
	return nil
}

type walkLimits struct{ depth, rows int }

// place is where a walk of a tree stands.
type place struct {
	// path has the ids from the tree's root down to the token whose children come next.
	path []ID
	// after is the child that was dealt with last, its own subtree included; nil for none.
	after *ID
}

// from is the place that a cursor names, or the beginning of the tree of root.
func (c *cursor) from(root ID) place {
	if len(c.Path) == 0 {
		return place{path: []ID{root}}
	}
	at := place{path: c.Path}
	if len(c.Key) == len(ID{}) {
		after := ID(c.Key)
		at.after = &after
	}
	return at
}

func (p place) cursor() cursor {
	c := cursor{Path: p.path}
	if p.after != nil {
		c.Key = p.after[:]
	}
	return c
}

// livingPart is the place to go on at when tokens on the way to it have died since: after the
// first of them, which takes what is below it along.
func (s *Store) livingPart(r store.Reader, at place) (place, error) {
	jobs, err := s.jobsIn(r)
	if err != nil {
		return at, err
	}
	for i, id := range at.path[1:] {
		t, err := s.livingChild(r, id, jobs, s.clock.Now().UnixNano())
		if err != nil {
			return at, err
		}
		if t == nil || t.Parent != at.path[i] {
			return place{path: at.path[:i+1], after: &id}, nil
		}
	}
	return at, nil
}

// descend walks the children depth first from a place on, and returns where it stopped; nil at
// the end. Its memory is one path, however large the tree.
func (s *Store) descend(rows *counter, limits walkLimits, at place, tree *Tree) (left *place, err error) {
	r := rows.r
	now := s.clock.Now().UnixNano()
	jobs, err := s.jobsIn(r)
	if err != nil {
		return nil, err
	}
	for len(at.path) > 0 {
		depth := len(at.path)
		var next *ID
		if limits.depth == 0 || depth <= limits.depth {
			if next, err = s.nextChild(r, at.path[depth-1], at.after); err != nil {
				return nil, err
			}
		}
		if next == nil {
			done := at.path[depth-1]
			at = place{path: at.path[:depth-1], after: &done}
			continue
		}
		child, err := s.livingChild(r, *next, jobs, now)
		if err != nil {
			return nil, err
		}
		if child == nil {
			at.after = next
			continue
		}
		if len(tree.Descendants) == limits.rows {
			return &at, nil
		}
		row, err := s.describe(rows, child)
		if err != nil {
			return nil, err
		}
		row.Level = depth
		tree.Descendants = append(tree.Descendants, *row)
		at = place{path: append(at.path, *next)}
	}
	return nil, nil
}

// livingChild is the token of id, whose parent lives; nil when it does not itself.
func (s *Store) livingChild(r store.Reader, id ID, jobs []Job, now int64) (*Token, error) {
	t, err := load(r, id)
	if unreadable(err) || (err == nil && (t == nil || t.endedItself(now))) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if j, err := s.condemning(r, jobs, t); j != nil || err != nil {
		return nil, err
	}
	return t, nil
}

// nextChild is the first child of parent, or the one after below; nil after the last.
func (s *Store) nextChild(r store.Reader, parent ID, below *ID) (next *ID, err error) {
	in := store.PrefixRange(idKey(childKey, parent))
	if below != nil {
		in.From = store.After(key(childKey, parent[:], below[:]))
	}
	in.Limit, in.KeysOnly = 1, true
	err = r.Scan(in, func(k, _ []byte) (bool, error) {
		id := lastID(k)
		next = &id
		return false, nil
	})
	return next, err
}
