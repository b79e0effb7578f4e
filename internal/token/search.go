package token

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
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
	// Key is the last index entry that was looked at, or in a tree the child.
	Key []byte `cbor:"1,keyasint"`
	// Path is a place in a tree.
	Path []ID `cbor:"2,keyasint,omitempty"`
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
	var page *Page
	err = s.area.View(ctx, func(r store.Reader) error {
		page = &Page{}
		in, err := s.plan(r, q)
		if err != nil {
			return err
		}
		resume(&in, at.Key)
		last, done, err := s.collect(r, q, in, page)
		if err != nil || done {
			return err
		}
		page.Next, err = s.writeCursor(cursor{Key: last})
		return err
	})
	return page, err
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

// collect fills page from the entries of a range; done says that the range came to its end.
func (s *Store) collect(r store.Reader, q Query, in store.Range, page *Page) (last []byte, done bool, err error) {
	now := s.clock.Now()
	in.KeysOnly = true
	scanned := 0
	var ids []ID
	var keys [][]byte
	in.Limit = maxScanned + 1
	err = r.Scan(in, func(k, _ []byte) (bool, error) {
		ids = append(ids, lastID(k))
		keys = append(keys, append([]byte(nil), k...))
		return len(ids) <= maxScanned, nil
	})
	if err != nil {
		return nil, false, err
	}
	for i, id := range ids {
		if len(page.Rows) == q.Limit || scanned == maxScanned {
			return last, false, nil
		}
		scanned++
		last = keys[i]
		row, err := s.row(r, id, &q.Filter, now)
		if err != nil {
			return nil, false, err
		}
		if row != nil {
			page.Rows = append(page.Rows, *row)
		}
	}
	return last, true, nil
}

// plan picks the index to walk: the smallest of those that all selected tokens are in, cut to
// the filter's times.
func (s *Store) plan(r store.Reader, q Query) (store.Range, error) {
	if q.Sort == ByLastUsed {
		in := store.PrefixRange([]byte{useOrder})
		in.Reverse = q.Reverse
		if q.Filter.UnusedSince != 0 {
			in.To = binary.BigEndian.AppendUint64([]byte{useOrder}, uint64(q.Filter.UnusedSince)+1)
		}
		return in, nil
	}
	best, least := facet{anyFacet, ""}, int64(math.MaxInt64)
	for _, f := range q.Filter.facets() {
		n := int64(0)
		if f.counted() {
			var err error
			if n, err = s.readCount(r, f); err != nil {
				return store.Range{}, err
			}
		}
		if n < least {
			best, least = f, n
		}
	}
	order, from, to := byte(createdOrder), q.Filter.CreatedAfter, q.Filter.CreatedBefore
	if q.Sort == ByExpires {
		order, from, to = expiryOrder, q.Filter.ExpiringAfter, q.Filter.ExpiringBefore
	}
	prefix := s.facetPrefix(order, best)
	in := store.PrefixRange(prefix)
	in.Reverse = q.Reverse
	if from != 0 {
		in.From = binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), uint64(from)+1)
	}
	if to != 0 {
		in.To = binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), uint64(to))
	}
	return in, nil
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
	living, err := s.livesIn(r, id, now)
	if !living || err != nil {
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

// livesIn says whether the token of id lives in r, by the cache where that knows.
func (s *Store) livesIn(r store.Reader, id ID, now time.Time) (bool, error) {
	t, _, err := s.alive(r, id, now)
	return t != nil, err
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
		return r.Scan(store.PrefixRange([]byte{countKey, byte(kind)}), func(_, v []byte) (bool, error) {
			var c facetCount
			if err := record.Decode(v, &c); err != nil {
				return false, err
			}
			counts = append(counts, Count{string(c.Value), c.Count})
			return true, nil
		})
	})
	return counts, total, err
}
