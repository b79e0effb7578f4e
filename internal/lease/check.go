package lease

import (
	"bytes"
	"context"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Problem is something among the stored leases that must not be there. It carries no secret.
type Problem struct {
	// What says it in words that do not depend on the data.
	What string
	// ID is the lease's, "" when it belongs to none.
	ID string
}

// String is one line for a person.
func (p Problem) String() string {
	if p.ID == "" {
		return p.What
	}
	return p.What + ": lease " + p.ID
}

// overdue is how long a lease may wait for the sweeper before it is a problem. A server that has
// not been open for as long has no sweeper that could have come.
const overdue = time.Hour

// Check walks everything that the room stores, in one state and with memory bounded by the
// number of mounts, and reports each place where records and entries disagree. It changes
// nothing. Its error is one of reading the store.
func (s *Store) Check(ctx context.Context, report func(Problem)) error {
	return s.area.View(ctx, func(r store.Reader) error {
		c := &checker{s: s, r: r, stuck: map[string]int64{}, report: report}
		if late := s.clock.Now().Add(-overdue); !late.Before(s.opened) {
			c.late = late.UnixNano()
		}
		// Values are read one by one: one that cannot be read must not end the walk.
		err := r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			return true, c.key(k)
		})
		for range c.stuck {
			c.problem("", "irrevocable leases that no tally counts")
		}
		return err
	})
}

// checker is one walk.
type checker struct {
	s *Store
	r store.Reader
	// late is the Unix nanosecond before which the sweeper should have come; 0 for none.
	late int64
	// stuck counts irrevocable leases by mount, until the mount's tally is come to: the keys of
	// the leases lie before it.
	stuck  map[string]int64
	report func(Problem)
}

func (c *checker) problem(id, what string) { c.report(Problem{What: what, ID: id}) }

// key checks what is kept at k.
func (c *checker) key(k []byte) error {
	if len(k) == 0 {
		c.problem("", "an empty key")
		return nil
	}
	switch k[0] {
	case recordKey:
		return c.record(idFrom(k, recordHead))
	case dueKey:
		end := bytes.IndexByte(k, 0)
		if end < 0 || len(k) <= end+9 {
			c.problem("", "an entry of the queue that is none")
			return nil
		}
		return c.entry(k, idFrom(k, end+9))
	case holderKey:
		if len(k) > holderHead {
			return c.entry(k, idFrom(k, holderHead))
		}
	case irrevocableKey:
		if len(k) > irrevocableHead {
			return c.entry(k, idFrom(k, irrevocableHead))
		}
	case tallyKey:
		return c.tally(k)
	case quarantineKey:
		c.problem(idFrom(k, 1), "a lease that was set aside because it could not be read")
		return nil
	}
	c.problem("", "a key of no known kind")
	return nil
}

// record checks a lease and that every entry it must have is there.
func (c *checker) record(id string) error {
	l, err := load(c.r, id)
	switch {
	case c.s.cannotRead(err):
		c.problem(id, "a lease that cannot be read")
		return nil
	case err != nil:
		return err
	}
	switch {
	case l.Expires == 0:
		c.problem(id, "a lease without end")
	case l.Mount == "":
		c.problem(id, "a lease of no engine")
	case l.Holder == (backend.TokenID{}) && l.Bound == 0:
		c.problem(id, "a lease that nobody holds")
	case l.Bound != 0 && l.Expires > l.Bound:
		c.problem(id, "a lease that outlives its batch token")
	case l.due() < c.late:
		c.problem(id, "a lease that the sweeper has forgotten")
	}
	for _, k := range l.entries() {
		if _, err := c.r.Get(k); err == store.ErrNotFound {
			c.problem(id, "a lease without one of its entries")
		} else if err != nil {
			return err
		}
	}
	return nil
}

// entry checks that an entry's lease is there and points back to it.
func (c *checker) entry(k []byte, id string) error {
	l, err := load(c.r, id)
	switch {
	case c.s.cannotRead(err):
		return nil // reported with its record
	case err != nil:
		return err
	case l == nil:
		c.problem(id, "an entry without a lease")
	case !store.HasKey(l.entries(), k):
		c.problem(id, "an entry that its lease does not have")
	case k[0] == irrevocableKey:
		c.stuck[l.Mount]++
	}
	return nil
}

// tally checks a mount's number of irrevocable leases.
func (c *checker) tally(k []byte) error {
	mount := idFrom(k, 1)
	t, err := record.Get[tally](c.r, k)
	switch {
	case c.s.cannotRead(err):
		c.problem("", "a tally that cannot be read")
	case err != nil:
		return err
	case t.Count != c.stuck[mount]:
		c.problem("", "a tally that is wrong")
	}
	delete(c.stuck, mount)
	return nil
}
