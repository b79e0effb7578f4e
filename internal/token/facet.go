package token

import (
	"encoding/binary"
	"encoding/hex"
	"slices"

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
	nameFacet
)

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
	if t.Origin.DisplayName != "" {
		out = append(out, facet{nameFacet, t.Origin.DisplayName})
	}
	return out
}

// parentValue is a parent's id as a facet's value: values are stored as text, which must be UTF-8.
func parentValue(id ID) string { return hex.EncodeToString(id[:]) }

// counted says whether a facet's tokens are counted: not those with as many values as tokens.
func (f facet) counted() bool { return f.kind != metaFacet && f.kind != nameFacet }

// prefix is what a facet's entries in an order begin with.
func (s *Store) facetPrefix(order byte, f facet) []byte {
	id := s.texts.keyed("facet", string([]byte{byte(f.kind)})+f.value)
	return append([]byte{order, byte(f.kind)}, id[:8]...)
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
func (s *Store) facetEntries(t *Token) [][]byte {
	if t == nil || t.End != nil {
		return nil
	}
	facets := t.facets()
	keys := make([][]byte, 0, 2*len(facets))
	for _, f := range facets {
		for _, order := range []byte{createdOrder, expiryOrder} {
			k := binary.BigEndian.AppendUint64(s.facetPrefix(order, f), orderTime(order, t))
			keys = append(keys, append(k, t.ID[:]...))
		}
	}
	return keys
}

// index brings the facets' entries and counts from what old had to what new has.
func (s *Store) index(tx store.Tx, old, new *Token) error {
	before, after := s.facetEntries(old), s.facetEntries(new)
	for _, k := range before {
		if !contains(after, k) {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
	}
	for _, k := range after {
		if !contains(before, k) {
			if err := tx.Put(k, nil); err != nil {
				return err
			}
		}
	}
	return s.count(tx, countedFacets(old), countedFacets(new))
}

func countedFacets(t *Token) []facet {
	if t == nil || t.End != nil {
		return nil
	}
	return slices.DeleteFunc(t.facets(), func(f facet) bool { return !f.counted() })
}

// count moves the counts. A count of nothing is removed.
func (s *Store) count(tx store.Tx, before, after []facet) error {
	for _, f := range before {
		if !slices.Contains(after, f) {
			if err := s.addCount(tx, f, -1); err != nil {
				return err
			}
		}
	}
	for _, f := range after {
		if !slices.Contains(before, f) {
			if err := s.addCount(tx, f, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) addCount(tx store.Tx, f facet, by int64) error {
	k := s.facetPrefix(countKey, f)
	c, err := record.Get[facetCount](tx, k)
	if err != nil {
		return err
	}
	if c == nil {
		c = &facetCount{Value: []byte(f.value)}
	}
	if c.Count += by; c.Count == 0 {
		return tx.Delete(k)
	}
	return record.Put(tx, k, c)
}

// readCount is how many tokens have a facet.
func (s *Store) readCount(r store.Reader, f facet) (int64, error) {
	c, err := record.Get[facetCount](r, s.facetPrefix(countKey, f))
	if c == nil || err != nil {
		return 0, err
	}
	return c.Count, nil
}
