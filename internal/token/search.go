package token

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// Row is one token of a search or a tree. It never carries the token's text.
type Row struct {
	Token *Token
	// ParentAccessor is "" for an orphan.
	ParentAccessor string
	Children       int64
	// LastUsed is the zero time for a token that was never used; LastUsedFrom is then "".
	LastUsed     time.Time
	LastUsedFrom string
	Uses         uint64
	// Level is the depth below the token that a tree was asked for.
	Level int
}

// Page is a part of a search's result. Next is "" after the last.
type Page struct {
	Rows []Row
	Next string
}

// Query is a search.
type Query struct {
	Filter  Filter
	Sort    Sort
	Reverse bool
	// Limit is the most rows of a page, 1 to MaxPage.
	Limit  int
	Cursor string
}

// MaxPage bounds a page of search results.
const MaxPage = 1000

// maxScanned bounds the records that one page looks at: a page may then have fewer rows than
// its limit, and still lead on to a next one.
const maxScanned = 5000

// cursor is where a search goes on. It is sealed by a MAC: a client can keep it, not make it.
type cursor struct {
	// Of says what was asked for: a cursor of another question is refused.
	Of []byte `cbor:"3,keyasint"`
	// Key is the last index entry that was looked at, or in a tree the child.
	Key []byte `cbor:"1,keyasint,omitempty"`
	// Path is a place in a tree.
	Path []ID `cbor:"2,keyasint,omitempty"`
	// Times are the filter's. "24h ago" must not be another time for each page.
	Times []int64 `cbor:"4,keyasint,omitempty"`
}

func (s *Store) writeCursor(c cursor) (string, error) {
	data, err := record.Encode(&c)
	if err != nil {
		return "", err
	}
	mac := s.texts.keyed("cursor", string(data))
	return base64.RawURLEncoding.EncodeToString(append(mac[:], data...)), nil
}

var errCursor = backend.Invalidf("the cursor is not one that this server gave out")

func (s *Store) readCursor(text string) (c cursor, err error) {
	if text == "" {
		return c, nil
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(data) < len(ID{}) {
		return c, errCursor
	}
	mac, body := data[:len(ID{})], data[len(ID{}):]
	if want := s.texts.keyed("cursor", string(body)); !equalMAC(mac, want[:]) {
		return c, errCursor
	}
	if record.Decode(body, &c) != nil {
		return c, errCursor
	}
	return c, nil
}

// Search returns a page of the living tokens that the query's filter selects. It walks the
// smallest index that every such token must be in, in the order asked for.
func (s *Store) Search(ctx context.Context, q Query) (*Page, error) {
	at, err := s.readCursor(q.Cursor)
	if err != nil {
		return nil, err
	}
	of, err := s.question(&q)
	if err != nil {
		return nil, err
	}
	if q.Cursor != "" {
		if !bytes.Equal(at.Of, of) || len(at.Key) == 0 || len(at.Times) != len(q.Filter.times()) {
			return nil, errCursor
		}
		for i, t := range q.Filter.times() {
			*t = at.Times[i]
		}
	}
	var page *Page
	err = s.area.View(ctx, func(r store.Reader) error {
		page = &Page{}
		in, err := s.plan(r, q, at.Key)
		if err != nil {
			return err
		}
		last, done, err := s.collect(r, q, in, page)
		if err != nil || done {
			return err
		}
		next := cursor{Of: of, Key: last}
		for _, t := range q.Filter.times() {
			next.Times = append(next.Times, *t)
		}
		page.Next, err = s.writeCursor(next)
		return err
	})
	return page, err
}

// question is a digest of what a query asks for: all of it but the page, and of its times
// whether they are given.
func (s *Store) question(q *Query) ([]byte, error) {
	asked := q.Filter
	for _, t := range asked.times() {
		*t = min(*t, 1)
	}
	data, err := record.Encode(&asked)
	if err != nil {
		return nil, err
	}
	of := s.texts.keyed("search", fmt.Sprintf("%s %t %s", q.Sort, q.Reverse, data))
	return of[:8], nil
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

// collect fills page from the entries of a range; done says that the range came to its end. It
// reads as many entries as it takes to fill the page, maxScanned at most.
func (s *Store) collect(r store.Reader, q Query, in store.Range, page *Page) (last []byte, done bool, err error) {
	now := s.clock.Now()
	in.KeysOnly = true
	scanned, done := 0, true
	err = r.Scan(in, func(k, _ []byte) (bool, error) {
		if len(page.Rows) == q.Limit || scanned == maxScanned {
			done = false
			return false, nil
		}
		scanned++
		last = append(last[:0], k...)
		row, err := s.row(r, lastID(k), &q.Filter, now)
		if row != nil {
			page.Rows = append(page.Rows, *row)
		}
		return true, err
	})
	return last, done, err
}

// plan picks the range to walk, cut to the filter's times. A search that goes on after a
// cursor's key stays in the index that it began in, whichever is the smallest by now.
func (s *Store) plan(r store.Reader, q Query, after []byte) (in store.Range, err error) {
	var prefix []byte
	order, from, to := byte(createdOrder), q.Filter.CreatedAfter, q.Filter.CreatedBefore
	switch {
	case q.Sort == ByLastUsed:
		prefix, from, to = []byte{useOrder}, 0, q.Filter.UnusedSince
		if to != 0 {
			to++ // the bound itself is still unused
		}
	case q.Sort == ByExpires:
		order, from, to = expiryOrder, q.Filter.ExpiringAfter, q.Filter.ExpiringBefore
	}
	if prefix == nil {
		if prefix, err = s.indexOf(r, &q.Filter, order, after); err != nil {
			return in, err
		}
	}
	in = store.PrefixRange(prefix)
	in.Reverse = q.Reverse
	if from != 0 {
		in.From = binary.BigEndian.AppendUint64(bytes.Clone(prefix), uint64(from)+1)
	}
	if to != 0 {
		in.To = binary.BigEndian.AppendUint64(bytes.Clone(prefix), uint64(to))
	}
	if !bytes.HasPrefix(after, prefix) && len(after) > 0 {
		return in, errCursor
	}
	resume(&in, after)
	return in, nil
}

// indexOf is the index to walk for a filter: that of the key to go on after, or the smallest.
func (s *Store) indexOf(r store.Reader, f *Filter, order byte, after []byte) ([]byte, error) {
	if len(after) >= facetPrefixLen {
		return after[:facetPrefixLen:facetPrefixLen], nil
	}
	best, _, err := s.driver(r, f)
	return s.facetPrefix(order, best), err
}

// driver is the smallest index that all selected tokens are in, and a bound on its size. One
// whose tokens are not counted is taken for as good as its kind is selective.
func (s *Store) driver(r store.Reader, f *Filter) (best facet, size int64, err error) {
	var least int64
	for i, candidate := range f.facets() {
		var n int64
		switch {
		case candidate.counted():
			if n, err = s.readCount(r, candidate); err != nil {
				return best, 0, err
			}
		case candidate.kind == mountFacet:
			n = size / 2
		}
		if i == 0 {
			size = n // of all tokens
		}
		if i == 0 || n < least {
			best, least = candidate, n
		}
	}
	if best.counted() {
		size = least
	}
	return best, size, nil
}

// row describes the token of id if the filter selects it and it lives; nil if not.
func (s *Store) row(r store.Reader, id ID, f *Filter, now time.Time) (*Row, error) {
	t, err := load(r, id)
	if unreadable(err) {
		return nil, nil
	}
	if t == nil || err != nil || !f.matches(t) {
		return nil, err
	}
	if living, _, err := s.living(r, t, now); living == nil || err != nil {
		return nil, err
	}
	row, err := s.describe(r, t)
	if err != nil {
		return nil, err
	}
	if since := f.UnusedSince; since != 0 && (t.Life.Created > since || row.LastUsed.UnixNano() > since && !row.LastUsed.IsZero()) {
		return nil, nil
	}
	return row, nil
}

// describe adds to a record what other records say of it.
func (s *Store) describe(r store.Reader, t *Token) (*Row, error) {
	row := &Row{Token: t}
	var err error
	if row.Children, err = s.readCount(r, facet{parentFacet, parentValue(t.ID)}); err != nil {
		return nil, err
	}
	if !t.Orphan() {
		parent, err := load(r, t.Parent)
		if err != nil && !unreadable(err) {
			return nil, err
		}
		if parent != nil {
			row.ParentAccessor = parent.Accessor
		}
	}
	u, err := s.use(r, t.ID)
	if err != nil {
		return nil, err
	}
	if u != nil {
		row.LastUsed, row.Uses = time.Unix(0, u.At).UTC(), u.Count
		if u.From.IsValid() {
			row.LastUsedFrom = u.From.String()
		}
	}
	return row, nil
}

// Count is how many tokens have one value of what was counted by.
type Count struct {
	Value string
	Count int64
}

// CountBy names what tokens are counted by.
type CountBy string

// The things to count by.
const (
	CountByPolicy CountBy = "policy"
	CountByRole   CountBy = "role"
	CountByEntity CountBy = "entity"
	CountByPath   CountBy = "path"
	CountByType   CountBy = "type"
)

// Count returns how many tokens are on record for each value of by, without a walk over
// tokens, and how many there are in all. Tokens that were revoked a moment ago with their
// parent count until they are swept.
func (s *Store) Count(ctx context.Context, by CountBy) (counts []Count, total int64, err error) {
	kinds := map[CountBy]facetKind{CountByPolicy: policyFacet, CountByRole: roleFacet, CountByEntity: entityFacet, CountByPath: pathFacet}
	kind, known := kinds[by]
	if !known && by != CountByType {
		return nil, 0, backend.Invalidf("unknown count: want policy, role, entity, path or type")
	}
	err = s.area.View(ctx, func(r store.Reader) error {
		counts = nil
		if total, err = s.readCount(r, facet{anyFacet, ""}); err != nil {
			return err
		}
		if by == CountByType {
			if total > 0 {
				counts = []Count{{"service", total}}
			}
			return nil
		}
		return record.Each(r, store.PrefixRange([]byte{countKey, byte(kind)}), func(_ []byte, c *facetCount, malformed error) error {
			if malformed == nil {
				counts = append(counts, Count{string(c.Value), c.Count})
			}
			return nil
		})
	})
	return counts, total, err
}
