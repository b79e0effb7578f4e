package quota

import (
	"context"
	"errors"
	"fmt"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// State is a quota and how many leases count against it.
type State struct {
	Quota
	Counter int64
}

// All are the quotas in one state, sorted by name.
func (s *Store) All(ctx context.Context) (states []State, err error) {
	err = s.area.View(ctx, func(r store.Reader) error {
		all, err := s.rulesIn(r)
		if err != nil {
			return err
		}
		states = make([]State, len(all))
		for i := range all {
			states[i].Quota = all[i].Quota
			if states[i].Counter, err = used(r, &all[i]); err != nil && !errors.Is(err, record.ErrMalformed) {
				return err
			}
		}
		return nil
	})
	return states, err
}

// Find is the quota of name; nil when there is none.
func (s *Store) Find(ctx context.Context, name string) (*State, error) {
	all, err := s.All(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, nil
}

// Put makes or replaces a quota. When it returns, what was there before is counted and the
// quota holds; no lease is ended by it, however many there are.
func (s *Store) Put(ctx context.Context, q Quota) error {
	if q.MaxLeases <= 0 {
		return backend.Invalidf("'max_leases' is invalid")
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	err := s.area.Update(ctx, func(tx store.Tx) error {
		next := q
		var old *Quota
		err := record.Each(tx, store.PrefixRange(rulePrefix), func(_ []byte, other *Quota, malformed error) error {
			switch {
			case malformed != nil:
			case other.Name == q.Name:
				old = other
			case other.scope() == q.scope():
				return backend.Invalidf("quota rule with similar properties exists under the name %q", other.Name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if old != nil && old.scope() == q.scope() {
			next.Counting, next.Begun = old.Counting, old.Begun
			return record.Put(tx, ruleKey(q.Name), &next)
		}
		next.Counting, next.Begun = true, tx.Position()
		if err := record.Put(tx, tallyKey(q.Name), &tally{}); err != nil {
			return err
		}
		return record.Put(tx, ruleKey(q.Name), &next)
	})
	if err != nil {
		return err
	}
	return s.count(ctx, q.Name)
}

// Delete removes a quota. An absent one is no error.
func (s *Store) Delete(ctx context.Context, name string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.area.Update(ctx, func(tx store.Tx) error {
		if err := tx.Delete(ruleKey(name)); err != nil {
			return err
		}
		return tx.Delete(tallyKey(name))
	})
}

// Resume finishes the countings that a crash has interrupted, whose quotas were never
// acknowledged and do not hold before, and counts anew where a tally cannot be read.
func (s *Store) Resume(ctx context.Context) error {
	if err := s.recount(ctx); err != nil {
		return err
	}
	all, err := s.All(ctx)
	if err != nil {
		return err
	}
	for _, q := range all {
		s.changing.Lock()
		err := s.count(ctx, q.Name)
		s.changing.Unlock()
		if err != nil {
			return fmt.Errorf("quota: count what there is: %w", err)
		}
	}
	return nil
}

// recount begins to count anew where a tally cannot be read.
func (s *Store) recount(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.area.Update(ctx, func(tx store.Tx) error {
		var lost []*Quota
		err := record.Each(tx, store.PrefixRange(rulePrefix), func(_ []byte, q *Quota, malformed error) error {
			if malformed == nil {
				if _, err := read(tx, q.Name); errors.Is(err, record.ErrMalformed) {
					lost = append(lost, q)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, q := range lost {
			s.log.Error("the count of a quota cannot be read: it is counted anew", "quota", q.Name)
			q.Counting, q.Begun = true, tx.Position()
			if err := record.Put(tx, tallyKey(q.Name), &tally{}); err != nil {
				return err
			}
			if err := record.Put(tx, ruleKey(q.Name), q); err != nil {
				return err
			}
		}
		return nil
	})
}

// count adds to a quota's tally what was there before the quota, without holding up those who
// write: in any state of the store that follows the quota's making, what is there less what
// the tally says is what was there before. REQUIRES: changing is held.
func (s *Store) count(ctx context.Context, name string) error {
	var before int64
	var begun uint64
	counting := false
	err := s.whole.View(ctx, func(r store.Reader) error {
		area := s.area.Reading(r)
		q, err := record.Get[Quota](area, ruleKey(name))
		if q == nil || err != nil || !q.Counting {
			return err
		}
		counting, begun = true, q.Begun
		there, err := s.there(r, q)
		if err != nil {
			return err
		}
		since, err := read(area, name)
		before = there - since
		return err
	})
	if err != nil || !counting {
		return err
	}
	return s.area.Update(ctx, func(tx store.Tx) error {
		q, err := record.Get[Quota](tx, ruleKey(name))
		if q == nil || err != nil || !q.Counting || q.Begun != begun {
			return err
		}
		since, err := read(tx, name)
		if err != nil {
			return err
		}
		q.Counting = false
		if err := record.Put(tx, tallyKey(name), &tally{Count: before + since}); err != nil {
			return err
		}
		return record.Put(tx, ruleKey(name), q)
	})
}

// there counts the leases in the scope of q, in r, a state of the whole store.
func (s *Store) there(r store.Reader, q *Quota) (sum int64, err error) {
	for _, c := range s.census {
		n, err := c.CountIn(r, q.scope())
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Check compares every tally with what it counts, in one state, and reports those that differ.
// It changes nothing. Its error is one of reading the store.
func (s *Store) Check(ctx context.Context, report func(what string)) error {
	return s.whole.View(ctx, func(r store.Reader) error {
		area := s.area.Reading(r)
		all, err := s.rulesIn(area)
		if err != nil {
			return err
		}
		for i := range all {
			q := &all[i].Quota
			if q.Counting {
				continue
			}
			there, err := s.there(r, q)
			if err != nil {
				return err
			}
			n, err := read(area, q.Name)
			if errors.Is(err, record.ErrMalformed) {
				report("a count that cannot be read")
				continue
			}
			if err != nil {
				return err
			}
			if n != there {
				report(fmt.Sprintf("a quota that counts %d leases where there are %d", n, there))
			}
		}
		return nil
	})
}
