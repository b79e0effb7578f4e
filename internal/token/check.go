package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
)

// Problem is something among the stored tokens that must not be there. It carries no secret:
// an ID is a keyed hash.
type Problem struct {
	// What says it in words that do not depend on the data.
	What string
	// ID is the token's, zero when it belongs to none.
	ID ID
}

// String is one line for a person.
func (p Problem) String() string {
	if p.ID == (ID{}) {
		return p.What
	}
	return fmt.Sprintf("%s: token %x", p.What, p.ID)
}

// overdue is how long something may wait for the sweeper before it is a problem. A sweep of
// ten million tokens takes minutes.
const overdue = time.Hour

// What waits for the sweeper. It is harmless in itself: such a token is refused.
const (
	notEnded   = "an expired token that the sweeper has not ended"
	notRemoved = "an ended token that the sweeper has not removed"
)

// Check walks everything that the room stores, in one state and with bounded memory, and
// reports each place where records and entries disagree. It changes nothing. Its error is one
// of reading the store.
func (s *Store) Check(ctx context.Context, report func(Problem)) error {
	return s.area.View(ctx, func(r store.Reader) error {
		c := &checker{r: r, texts: s.texts, late: s.clock.Now().Add(-overdue).UnixNano(), report: report}
		// Values are read one by one: one that cannot be read must not end the walk.
		return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			return true, c.key(k)
		})
	})
}

// checker is one walk.
type checker struct {
	r     store.Reader
	texts *texts
	// late is the Unix nanosecond before which the sweeper should have come.
	late   int64
	report func(Problem)
}

func (c *checker) problem(id ID, what string) error {
	c.report(Problem{What: what, ID: id})
	return nil
}

// key checks what is kept at k.
func (c *checker) key(k []byte) error {
	whole := len(k) == 1+len(ID{})
	switch {
	case len(k) == 0:
		return c.problem(ID{}, "an empty key")
	case k[0] == markKey && len(k) == 1:
		return nil
	case k[0] == roleKey:
		return c.role(k)
	case k[0] == recordKey && whole:
		return c.record(lastID(k))
	case k[0] == accessorKey && whole:
		return c.accessor(k)
	case k[0] == quarantineKey && whole:
		return c.problem(lastID(k), "a record that the sweeper could not read or find")
	case k[0] == queueKey && whole,
		k[0] == childKey && len(k) == 1+2*len(ID{}),
		k[0] == expiryKey && len(k) == 1+8+len(ID{}),
		k[0] == pathKey && len(k) >= 2+len(ID{}):
		return c.entry(k)
	}
	return c.problem(ID{}, "a key of no known kind")
}

// entry checks that an index entry has a record which asks for it.
func (c *checker) entry(k []byte) error {
	id := lastID(k)
	t, err := load(c.r, id)
	switch {
	case unreadable(err):
		return nil // said at the record itself
	case err != nil:
		return err
	case t == nil:
		return c.problem(id, "an index entry without a record")
	case !contains(t.entries(), k):
		return c.problem(id, "an index entry that its record does not ask for")
	}
	return nil
}

// accessor checks that an accessor leads to the token that has it.
func (c *checker) accessor(k []byte) error {
	entry, err := record.Get[accessorEntry](c.r, k)
	switch {
	case unreadable(err):
		return c.problem(ID{}, "an accessor entry that cannot be read")
	case err != nil:
		return err
	}
	t, err := load(c.r, entry.ID)
	switch {
	case unreadable(err):
		return nil
	case err != nil:
		return err
	case t == nil:
		return c.problem(entry.ID, "an accessor without a record")
	case t.Accessor != entry.Accessor || c.texts.accessorID(t.Accessor) != lastID(k):
		return c.problem(entry.ID, "an accessor that its record does not have")
	}
	return nil
}

// record checks a token against all that must point to it.
func (c *checker) record(id ID) error {
	t, err := load(c.r, id)
	switch {
	case unreadable(err):
		return c.problem(id, "a record that cannot be read")
	case err != nil:
		return err
	case t.Batch:
		return c.problem(id, "a batch token in the store")
	case t.Uses < spent:
		return c.problem(id, "a count of uses below none")
	case t.End == nil && t.Life.Expires == 0 && !t.Root:
		return c.problem(id, "a token without end that is no root")
	}
	for _, k := range append(t.entries(), idKey(accessorKey, c.texts.accessorID(t.Accessor))) {
		if _, err := c.r.Get(k); errors.Is(err, store.ErrNotFound) {
			c.report(Problem{What: fmt.Sprintf("a record without its entry of kind %q", k[:1]), ID: id})
		} else if err != nil && !unreadable(err) {
			return err
		}
	}
	if t.End != nil {
		if t.End.At < c.late {
			return c.problem(id, notRemoved)
		}
		return nil
	}
	if at := t.sweepTime(); at != 0 && at < c.late {
		c.report(Problem{What: notEnded, ID: id})
	}
	return c.parent(t)
}

// parent checks that a token's parent is there, and that going up comes to an end.
func (c *checker) parent(t *Token) error {
	child := t
	for range MaxDepth + 1 {
		if child.Orphan() {
			return nil
		}
		parent, err := load(c.r, child.Parent)
		switch {
		case unreadable(err):
			return nil
		case err != nil:
			return err
		case parent == nil && child == t:
			return c.problem(t.ID, "a child of a token that is gone")
		case parent == nil || parent.End != nil:
			return nil // an end above: said, or done, there
		}
		child = parent
	}
	return c.problem(t.ID, "a token below itself, or too deep")
}

// role checks that a role can be used.
func (c *checker) role(k []byte) error {
	r, err := record.Get[Role](c.r, k)
	switch {
	case unreadable(err):
		return c.problem(ID{}, "a role that cannot be read")
	case err != nil:
		return err
	case r.Name != string(k[1:]) || r.Validate() != nil:
		return c.problem(ID{}, "a role that cannot be used")
	}
	return nil
}
