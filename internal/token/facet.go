package token

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"jeton/internal/record"
	"jeton/internal/store"
)

// A facet is one thing by which tokens can be found and counted. For every facet that a token
// has, its own transaction keeps two index entries, one in order of creation and one in order
// of expiry, and a count. A page of a search is therefore a short range scan however many
// tokens there are, and a count is one read.
//
//	s <kind> <hash of value> <created> <id>    tokens of a facet in order of creation
//	e <kind> <hash of value> <expires> <id>    the same in order of expiry; never is last
//	n <kind> <hash of value>                   facetCount
//
// Values appear in keys as keyed hashes of eight bytes. Two values that share a hash share an
// index; who reads it compares the record, so that the cost is a wasted read and never a wrong row.
const (
	createdOrder = 's'
	expiryOrder  = 'e'
	countKey     = 'n'
)

// facetKind is what a facet is about. The numbers are stored.
type facetKind byte

const (
	anyFacet facetKind = iota + 1
	policyFacet
	roleFacet
	entityFacet
	pathFacet
	orphanFacet
	parentFacet
	metaFacet
	// nameFacet is the beginning of a display name, of the lengths in nameLengths.
	nameFacet
	// mountFacet is the first two parts of a path, with a slash at the end: "auth/userpass/".
	mountFacet
)

// nameLengths are the bytes of a display name's beginning by which it can be found quickly. A
// shorter prefix selects too much for an index to be of use, and the default, "token", has none.
var nameLengths = [...]int{8, 12, 16}

// facet is one kind and one value.
type facet struct {
	kind  facetKind
	value string
}

// facetCount is how many tokens have a facet. Value is for listing counts by name.
type facetCount struct {
	Value []byte `cbor:"1,keyasint"`
	Count int64  `cbor:"2,keyasint"`
}

// facets are what a token can be found by.
func (t *Token) facets() []facet {
	out := make([]facet, 0, 6+len(t.Policies)+len(t.Meta))
	out = append(out, facet{anyFacet, ""}, facet{pathFacet, t.Origin.Path})
	for _, p := range t.Policies {
		out = append(out, facet{policyFacet, p})
	}
	if t.Origin.Role != "" {
		out = append(out, facet{roleFacet, t.Origin.Role})
	}
	if t.EntityID != "" {
		out = append(out, facet{entityFacet, t.EntityID})
	}
	if t.Orphan() {
		out = append(out, facet{orphanFacet, ""})
	} else {
		out = append(out, facet{parentFacet, parentValue(t.Parent)})
	}
	for k, v := range t.Meta {
		out = append(out, facet{metaFacet, k + "\x00" + v})
	}
	if mount := mountPart(t.Origin.Path); mount != "" {
		out = append(out, facet{mountFacet, mount})
	}
	for _, n := range nameLengths {
		if len(t.Origin.DisplayName) >= n {
			out = append(out, facet{nameFacet, t.Origin.DisplayName[:n]})
		}
	}
	return out
}

// mountPart is the first two parts of a path, "" for a path that has not as many.
func mountPart(path string) string {
	first, rest, _ := strings.Cut(path, "/")
	second, _, found := strings.Cut(rest, "/")
	if !found {
		return ""
	}
	return path[:len(first)+len(second)+2]
}

// parentValue is a parent's id as a facet's value: values are stored as text, which must be UTF-8.
func parentValue(id ID) string { return hex.EncodeToString(id[:]) }

// counted says whether a facet's tokens are counted: not those with as many values as tokens,
// nor those that nobody asks the number of.
func (f facet) counted() bool { return f.kind < metaFacet }

// facetHash is a facet's value as keys have it.
type facetHash [8]byte

func (s *Store) facetHash(f facet) (h facetHash) {
	id := s.texts.keyed("facet", string([]byte{byte(f.kind)})+f.value)
	copy(h[:], id[:])
	return h
}

// facetPrefixLen is the length of what a facet's entries in an order begin with.
const facetPrefixLen = 1 + 1 + len(facetHash{})

// prefix is what a facet's entries in an order begin with; there is room behind for the rest.
func (h facetHash) prefix(order byte, f facet) []byte {
	k := make([]byte, 0, facetPrefixLen+8+len(ID{}))
	return append(append(k, order, byte(f.kind)), h[:]...)
}

func (s *Store) facetPrefix(order byte, f facet) []byte { return s.facetHash(f).prefix(order, f) }

// facetEntry is a token's place in an order of a facet.
func facetEntry(order byte, f facet, hash facetHash, t *Token) []byte {
	k := binary.BigEndian.AppendUint64(hash.prefix(order, f), orderTime(order, t))
	return append(k, t.ID[:]...)
}

// never is the place of a token without expiry in the order of expiry: after all others.
const never = ^uint64(0)

// orderTime is a token's place in an order.
func orderTime(order byte, t *Token) uint64 {
	if order == createdOrder {
		return uint64(t.Life.Created)
	}
	if t.Life.Expires == 0 {
		return never
	}
	return uint64(t.Life.Expires)
}

// facetEntries are a living token's entries in both orders. An ended token has none: from its
// revocation on it is in no search.
func (s *Store) facetEntries(t *Token) (keys [][]byte) {
	for _, f := range livingFacets(t) {
		hash := s.facetHash(f)
		for _, order := range orders {
			keys = append(keys, facetEntry(order, f, hash, t))
		}
	}
	return keys
}

// index brings the facets' entries and counts from what old had to what new has. It runs under
// the commit lock: what both have is left alone, and only what moved is written.
func (s *Store) index(tx store.Tx, old, new *Token) error {
	before, after := livingFacets(old), livingFacets(new)
	for _, f := range before {
		if slices.Contains(after, f) {
			continue
		}
		if err := s.leave(tx, f, old); err != nil {
			return err
		}
	}
	for _, f := range after {
		var err error
		if slices.Contains(before, f) {
			err = s.move(tx, f, old, new)
		} else {
			err = s.enter(tx, f, new)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// livingFacets are those of a token that is in searches.
func livingFacets(t *Token) []facet {
	if t == nil || t.End != nil {
		return nil
	}
	return t.facets()
}

// orders are the indexes that a facet has.
var orders = [...]byte{createdOrder, expiryOrder}

func (s *Store) enter(tx store.Tx, f facet, t *Token) error {
	hash := s.facetHash(f)
	for _, order := range orders {
		if err := tx.Put(facetEntry(order, f, hash, t), nil); err != nil {
			return err
		}
	}
	return s.addCount(tx, f, hash, 1)
}

func (s *Store) leave(tx store.Tx, f facet, t *Token) error {
	hash := s.facetHash(f)
	for _, order := range orders {
		if err := tx.Delete(facetEntry(order, f, hash, t)); err != nil {
			return err
		}
	}
	return s.addCount(tx, f, hash, -1)
}

func (s *Store) move(tx store.Tx, f facet, old, new *Token) error {
	for _, order := range orders {
		if orderTime(order, old) == orderTime(order, new) {
			continue
		}
		hash := s.facetHash(f)
		if err := tx.Delete(facetEntry(order, f, hash, old)); err != nil {
			return err
		}
		if err := tx.Put(facetEntry(order, f, hash, new), nil); err != nil {
			return err
		}
	}
	return nil
}

// addCount moves a count. A count of nothing is removed.
func (s *Store) addCount(tx store.Tx, f facet, hash facetHash, by int64) error {
	if !f.counted() {
		return nil
	}
	k := hash.prefix(countKey, f)
	n, known := s.tally.known(k, tx.Position())
	if !known {
		c, err := record.Get[facetCount](tx, k)
		switch {
		case unreadable(err):
			// It must not keep tokens from being made: its index, changed already, is counted.
			n, err = s.recount(tx, f, hash)
			by = 0
		case c != nil:
			n = c.Count
		}
		if err != nil {
			return err
		}
	}
	n += by
	s.tally.stage(k, n, tx.Position())
	if n == 0 {
		return tx.Delete(k)
	}
	return record.Put(tx, k, &facetCount{Value: []byte(f.value), Count: n})
}

// recount counts a facet's index.
func (s *Store) recount(r store.Reader, f facet, hash facetHash) (n int64, err error) {
	in := store.PrefixRange(hash.prefix(createdOrder, f))
	in.KeysOnly = true
	err = r.Scan(in, func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

// readCount is how many tokens have a facet.
func (s *Store) readCount(r store.Reader, f facet) (int64, error) {
	c, err := record.Get[facetCount](r, s.facetPrefix(countKey, f))
	if c == nil || err != nil {
		return 0, err
	}
	return c.Count, nil
}
