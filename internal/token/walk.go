package token

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
)

// How a search finds its tokens. There are three orders of all tokens (creation, expiry, last
// use), and sets that lead to the tokens of a facet, most of them in order of creation. A page is
//
//   - a walk over the smallest set that all results must be in, where the set has the order
//     asked for;
//   - or else, where a set is small, what it has, sorted in memory;
//   - or else a walk over all tokens in the order asked for.
//
// Each record on the way is judged. A page costs no more than looking at maxScanned records.

// gatherKey begins the cursor of a page that was sorted in memory: kind of the facet, time, id.
// No such key is stored.
const gatherKey = 'e'

// fill adds the rows after a cursor's key to page; done says that there are no more, last is
// the place to go on after.
func (s *Store) fill(c *counter, q *Query, after []byte, page *Page) (last []byte, done bool, err error) {
	if len(after) > 0 {
		// A search goes on as it began, whichever is the smallest set by now.
		switch prefix := len(after) - placeLen; {
		case prefix == 2 && after[0] == gatherKey:
			set, found := q.Filter.facetOf(facetKind(after[1]))
			if !found {
				return nil, false, errCursor
			}
			return s.gather(c, q, set, after, page)
		case prefix < 1:
			return nil, false, errCursor
		default:
			return s.walk(c, q, after[:prefix:prefix], after, page)
		}
	}
	set, _, err := c.driver(&q.Filter, facet.leads)
	if err != nil {
		return nil, false, err
	}
	if set.kind != anyFacet && (q.Sort != ByCreated || !set.ordered()) {
		worth, err := c.worthGathering(set, q.Limit)
		if err != nil {
			return nil, false, err
		}
		if worth {
			return s.gather(c, q, set, nil, page)
		}
	}
	prefix := []byte{expiryKey}
	switch q.Sort {
	case ByLastUsed:
		prefix = []byte{useOrder}
	case ByCreated:
		if set, _, err = c.driver(&q.Filter, func(f facet) bool { return f.leads() && f.ordered() }); err != nil {
			return nil, false, err
		}
		prefix = s.facetPrefix(createdOrder, set)
	}
	return s.walk(c, q, prefix, nil, page)
}

// walk fills page from an index in the order asked for, cut to the filter's times. It reads as
// many entries as it takes to fill the page, maxScanned at most.
func (s *Store) walk(c *counter, q *Query, prefix, after []byte, page *Page) (last []byte, done bool, err error) {
	from, to := q.Filter.CreatedAfter, q.Filter.CreatedBefore
	switch q.Sort {
	case ByLastUsed:
		if from, to = 0, q.Filter.UnusedSince; to != 0 {
			to++ // the bound itself is still unused
		}
	case ByExpires:
		from, to = q.Filter.ExpiringAfter, q.Filter.ExpiringBefore
	}
	in := keysBelow(prefix)
	in.Reverse = q.Reverse
	if from != 0 {
		in.From = binary.BigEndian.AppendUint64(bytes.Clone(prefix), uint64(from)+1)
	}
	if to != 0 {
		in.To = binary.BigEndian.AppendUint64(bytes.Clone(prefix), uint64(to))
	}
	resume(&in, after)
	now := s.clock.Now()
	scanned, done := 0, true
	err = c.r.Scan(in, func(k, _ []byte) (bool, error) {
		if len(page.Rows) == q.Limit || scanned == maxScanned {
			done = false
			return false, nil
		}
		scanned++
		last = append(last[:0], k...)
		row, err := s.row(c, lastID(k), &q.Filter, now)
		if row != nil {
			page.Rows = append(page.Rows, *row)
		}
		return true, err
	})
	return last, done, err
}

// resume narrows a range to what comes after a cursor's key.
func resume(in *store.Range, after []byte) {
	switch {
	case len(after) == 0:
	case in.Reverse:
		in.To = after
	default:
		in.From = store.After(after)
	}
}

// gathered is a token in its place in the order asked for: time and id.
type gathered struct {
	place []byte
	token *Token
}

// gather fills page from a set, sorted in memory.
func (s *Store) gather(c *counter, q *Query, set facet, after []byte, page *Page) (last []byte, done bool, err error) {
	var found []gathered
	whole := true
	inOrder := func(a, b gathered) int { return bytes.Compare(a.place, b.place) }
	if q.Reverse {
		inOrder = func(a, b gathered) int { return bytes.Compare(b.place, a.place) }
	}
	for _, in := range s.ranges(set) {
		err := c.r.Scan(in, func(k, _ []byte) (bool, error) {
			t, err := s.selected(c.r, lastID(k), &q.Filter)
			if t == nil || err != nil {
				return err == nil, err
			}
			next := gathered{token: t}
			if next.place, err = s.placeOf(c.r, q.Sort, t); err != nil {
				return false, err
			}
			if after != nil && inOrder(next, gathered{place: after[2:]}) <= 0 {
				return true, nil
			}
			if found = append(found, next); len(found) == 2*maxScanned {
				// The set has grown since the first page. The nearest are enough for this one.
				slices.SortFunc(found, inOrder)
				found, whole = found[:maxScanned], false
			}
			return true, nil
		})
		if err != nil {
			return nil, false, err
		}
	}
	slices.SortFunc(found, inOrder)
	now := s.clock.Now()
	for _, g := range found {
		if len(page.Rows) == q.Limit {
			return last, false, nil
		}
		last = append([]byte{gatherKey, byte(set.kind)}, g.place...)
		row, err := s.judge(c, g.token, &q.Filter, now)
		if err != nil {
			return nil, false, err
		}
		if row != nil {
			page.Rows = append(page.Rows, *row)
		}
	}
	return last, whole, nil
}

// placeOf is a token's place in an order.
func (s *Store) placeOf(r store.Reader, by Sort, t *Token) ([]byte, error) {
	at := t.Life.Created
	switch by {
	case ByExpires:
		if at = t.Life.Expires; at == 0 {
			at = never
		}
	case ByLastUsed:
		u, err := record.Get[lastUse](r, idKey(useKey, t.ID))
		if err != nil {
			return nil, err
		}
		if u != nil {
			at = u.At
		}
	}
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, placeLen), uint64(at)), t.ID[:]...), nil
}

// worthGathering says whether to look at all of a set costs less than to walk all tokens until a
// page of rows was met. A set that is larger than a page may cost is not gathered.
func (c *counter) worthGathering(set facet, rows int) (bool, error) {
	n, err := c.sizeOf(set)
	if err != nil {
		return false, err
	}
	all, err := c.of(facet{anyFacet, ""})
	return n <= maxScanned && n*n <= int64(rows)*all, err
}

// sizeOf is how many tokens a set leads to, maxScanned and one for any more; a bound where that
// is not counted, and the set has no order to be told by.
func (c *counter) sizeOf(set facet) (int64, error) {
	switch {
	case set.counted():
		return c.of(set)
	case set.kind == belowFacet:
		return c.of(set.within())
	}
	n := int64(0)
	err := scanAll(c.r, c.s.ranges(set), func([]byte) (bool, error) {
		n++
		return n <= maxScanned, nil
	})
	return n, err
}

// within is the counted facet that a path's beginning lies in.
func (f facet) within() facet {
	if mount := mountPart(f.value); mount != "" {
		return facet{belowFacet, mount}
	}
	return facet{anyFacet, ""}
}

// driver is the smallest set among those of may that all selected tokens are in, all tokens if
// there is no other, and a bound on how many the filter selects. A set whose tokens are not
// counted is taken for as good as its kind is selective.
func (c *counter) driver(f *Filter, may func(facet) bool) (best facet, bound int64, err error) {
	var least int64
	for i, candidate := range f.facets() {
		var n int64
		switch {
		case candidate.counted():
			if n, err = c.of(candidate); err != nil {
				return best, 0, err
			}
			if i == 0 || n < bound {
				bound = n
			}
		case candidate.kind == belowFacet:
			if n, err = c.of(candidate.within()); err != nil {
				return best, 0, err
			}
		}
		if i == 0 || may(candidate) && n < least {
			best, least = candidate, n
		}
	}
	return best, bound, nil
}

// facetOf is the filter's condition of a kind.
func (f *Filter) facetOf(kind facetKind) (facet, bool) {
	for _, candidate := range f.facets() {
		if candidate.kind == kind {
			return candidate, true
		}
	}
	return facet{}, false
}

// selected is the token of id if the filter selects it by all but its last use; nil if not.
func (s *Store) selected(r store.Reader, id ID, f *Filter) (*Token, error) {
	t, err := load(r, id)
	if unreadable(err) {
		return nil, nil
	}
	if t == nil || err != nil || !f.matches(t) {
		return nil, err
	}
	return t, nil
}

// row describes the token of id if the filter selects it and it lives; nil if not.
func (s *Store) row(c *counter, id ID, f *Filter, now time.Time) (*Row, error) {
	t, err := s.selected(c.r, id, f)
	if t == nil || err != nil {
		return nil, err
	}
	return s.judge(c, t, f, now)
}

// judge describes a token that the filter selects by all but its last use, if it does by that
// too, and lives; nil if not.
func (s *Store) judge(c *counter, t *Token, f *Filter, now time.Time) (*Row, error) {
	if living, _, err := s.living(c.r, t, now); living == nil || err != nil {
		return nil, err
	}
	row, err := s.describe(c, t)
	if err != nil {
		return nil, err
	}
	if since := f.UnusedSince; since != 0 && (t.Life.Created > since || row.LastUsed.UnixNano() > since && !row.LastUsed.IsZero()) {
		return nil, nil
	}
	return row, nil
}
