package token

import (
	"bytes"
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
		c := &checker{s: s, r: r, late: s.clock.Now().Add(-overdue).UnixNano(), report: report, walked: map[facet]int64{}, moved: map[facet]int64{}}
		// Values are read one by one: one that cannot be read must not end the walk.
		err := r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			return true, c.key(k)
		})
		if err != nil {
			return err
		}
		return c.unwritten()
	})
}

// checker is one walk.
type checker struct {
	s *Store
	r store.Reader
	// late is the Unix nanosecond before which the sweeper should have come.
	late   int64
	report func(Problem)
	// walked counts the records of facets that no index counts: there are two.
	walked map[facet]int64
	// moved is what waits to be added to the counts that were not come by yet.
	moved map[facet]int64
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
	return c.searchKey(k)
}

// searchKey checks what search, last use and jobs keep.
func (c *checker) searchKey(k []byte) error {
	switch kind := k[0]; {
	case kind == createdOrder && len(k) == facetPrefixLen+placeLen:
		return c.entry(k)
	case kind == countKey && len(k) == facetPrefixLen:
		return c.count(k)
	case kind == movedKey && len(k) == 1+8+8:
		return c.waiting(k)
	case kind == formKey && len(k) == 1:
		return c.readable(k, &form{}, "a form that cannot be read")
	case kind == useOrder && len(k) == 1+8+len(ID{}), kind == useKey && len(k) == 1+len(ID{}):
		return c.use(k)
	case kind == jobKey, kind == finishedJobKey:
		return c.readable(k, &Job{}, "a job that cannot be read")
	case kind == sweptKey && len(k) == 1:
		return c.readable(k, &swept{}, "a batch of the sweeper that cannot be read")
	case kind == progressKey:
		return c.readable(k, &jobProgress{}, "a job's progress that cannot be read")
	}
	return c.problem(ID{}, "a key of no known kind")
}

// readable checks that the record at k decodes into v.
func (c *checker) readable(k []byte, v any, what string) error {
	data, err := c.r.Get(k)
	if err == nil {
		err = record.Decode(data, v)
	}
	if unreadable(err) {
		return c.problem(ID{}, what)
	}
	return err
}

// waiting notes a change of counts; its key comes before those of the counts.
func (c *checker) waiting(k []byte) error {
	m, err := record.Get[moved](c.r, k)
	if unreadable(err) {
		return c.problem(ID{}, "a change of counts that cannot be read")
	}
	if err != nil {
		return err
	}
	for _, one := range m.Moves {
		c.moved[one.facet()] += one.By
	}
	return nil
}

// count checks a facet's count, and what waits to be added to it, against its tokens.
func (c *checker) count(k []byte) error {
	have, err := record.Get[facetCount](c.r, k)
	if unreadable(err) {
		return c.problem(ID{}, "a count that cannot be read")
	}
	if err != nil {
		return err
	}
	f := facet{facetKind(k[1]), string(have.Value)}
	if !bytes.Equal(k, c.s.facetPrefix(countKey, f)) {
		return c.problem(ID{}, "a count of another value")
	}
	n := have.Count + c.moved[f]
	delete(c.moved, f)
	return c.compare(f, n)
}

// compare holds a count against the facet's tokens. Those that no index leads to were counted
// at their records, which come later in the walk than counts do: what is left must be none.
func (c *checker) compare(f facet, n int64) error {
	if !f.leads() && f.kind != anyFacet {
		c.walked[f] -= n
		return nil
	}
	err := scanAll(c.r, c.s.ranges(f), func([]byte) (bool, error) {
		n--
		return true, nil
	})
	if err == nil && n != 0 {
		return c.problem(ID{}, wrongCount)
	}
	return err
}

const wrongCount = "a count that is not that of its index"

// unwritten checks, at the end, the counts that no record has yet, and those without an index.
func (c *checker) unwritten() error {
	for f, n := range c.moved {
		if err := c.compare(f, n); err != nil {
			return err
		}
	}
	for _, n := range c.walked {
		if n != 0 {
			return c.problem(ID{}, wrongCount)
		}
	}
	return nil
}

// use checks a token's last use, or its place in the order of last use.
func (c *checker) use(k []byte) error {
	id := lastID(k)
	t, err := load(c.r, id)
	if unreadable(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if t == nil || t.End != nil {
		return c.problem(id, "a last use without a token")
	}
	u, err := record.Get[lastUse](c.r, idKey(useKey, id))
	if unreadable(err) {
		return c.problem(id, "a last use that cannot be read")
	}
	if err == nil && k[0] == useOrder && !bytes.Equal(k, useEntry(t, u)) {
		return c.problem(id, "a place in the order of last use that is not the token's")
	}
	return err
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
	case !store.HasKey(append(t.entries(), c.s.facetEntries(t)...), k):
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
	case t.Accessor != entry.Accessor || c.s.texts.accessorID(t.Accessor) != lastID(k):
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
	for _, f := range livingFacets(t) {
		if f.counted() && !f.leads() && f.kind != anyFacet {
			c.walked[f]++
		}
	}
	wanted := append(t.entries(), c.s.facetEntries(t)...)
	if k, ok := c.s.texts.accessorEntry(t); ok {
		wanted = append(wanted, k)
	}
	for _, k := range wanted {
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
