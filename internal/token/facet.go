package token

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"jeton/internal/store"
)

// A facet is one thing by which tokens can be found and counted. What it costs is paid by every
// token that is made, so that a facet has an index of its own only where nothing else leads to
// its tokens: see decision 0017. Its own index is in order of creation:
//
//	s <kind> <hash of value> <created> <id>
//
// Those of a path and of a parent are found by the entries l and c, which are there anyway. How
// many tokens have a facet is told by counts.go.
//
// Values appear in keys as keyed hashes of eight bytes. Two values that share a hash share an
// index; who reads it compares the record, so that the cost is a wasted read and never a wrong row.
const createdOrder = 's'

// facetKind is what a facet is about. The numbers are stored.
type facetKind byte

const (
	anyFacet facetKind = iota + 1
	policyFacet
	roleFacet
	entityFacet
	// pathFacet has an index for tokens without a lease alone, which no entry l leads to.
	pathFacet
	orphanFacet
	parentFacet
	metaFacet
	// nameFacet is the beginning of a display name, of the lengths in nameLengths.
	nameFacet
	// belowFacet is the beginning of a path, with a slash at the end. A token has that of its
	// mount, the first two parts: "auth/userpass/".
	belowFacet
)

// nameLengths are the bytes of a display name's beginning by which it can be found quickly. A
// shorter prefix selects too much for an index to be of use, and the default, "token", has none.
var nameLengths = [...]int{8, 12, 16}

// facet is one kind and one value.
type facet struct {
	kind  facetKind
	value string
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
		out = append(out, parentOf(t.Parent))
	}
	for k, v := range t.Meta {
		out = append(out, facet{metaFacet, k + "\x00" + v})
	}
	if mount := mountPart(t.Origin.Path); mount != "" {
		out = append(out, facet{belowFacet, mount})
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

// parentOf is the facet of a token's children.
func parentOf(id ID) facet { return facet{parentFacet, string(id[:])} }

// counted says whether a facet's tokens are counted: not those with as many values as tokens,
// nor those that nobody asks the number of.
func (f facet) counted() bool {
	return f.kind < metaFacet || f.kind == belowFacet && f.value == mountPart(f.value)
}

// indexes says whether t stands in an index of the facet's own. Nearly every token is an orphan
// or has the default policy, or nearly none: the index of all tokens is as good.
func (t *Token) indexes(f facet) bool {
	switch f.kind {
	case pathFacet:
		return !t.Life.Leased
	case policyFacet:
		return f.value != defaultPolicy
	case orphanFacet, parentFacet, belowFacet:
		return false
	}
	return true
}

// facetHash is a facet's value as keys have it.
type facetHash [8]byte

// facetHashes remembers hashes: a token has half a dozen facets, most of them like the last one's.
type facetHashes struct {
	mu    sync.RWMutex
	known map[facet]facetHash // guarded by mu
}

// knownHashes bounds what is remembered.
const knownHashes = 4096

func (s *Store) facetHash(f facet) (h facetHash) {
	s.hashes.mu.RLock()
	h, ok := s.hashes.known[f]
	s.hashes.mu.RUnlock()
	if ok {
		return h
	}
	id := s.texts.keyed("facet", string([]byte{byte(f.kind)})+f.value)
	copy(h[:], id[:])
	s.hashes.mu.Lock()
	defer s.hashes.mu.Unlock()
	if s.hashes.known == nil || len(s.hashes.known) >= knownHashes {
		s.hashes.known = make(map[facet]facetHash)
	}
	// The value is a copy: it may be a part of a request's body.
	s.hashes.known[facet{f.kind, strings.Clone(f.value)}] = h
	return h
}

// facetPrefixLen is the length of what a facet's index begins with; placeLen that of what ends
// every entry of an index that has an order, a time and an id.
const (
	facetPrefixLen = 1 + 1 + len(facetHash{})
	placeLen       = 8 + len(ID{})
)

// facetPrefix is what a facet's index or count begins with; there is room behind for the rest.
func (s *Store) facetPrefix(kind byte, f facet) []byte {
	return s.appendFacet(make([]byte, 0, facetPrefixLen+placeLen), kind, f)
}

func (s *Store) appendFacet(k []byte, kind byte, f facet) []byte {
	h := s.facetHash(f)
	return append(append(k, kind, byte(f.kind)), h[:]...)
}

// facetEntry is a token's place in a facet's index.
func (s *Store) facetEntry(f facet, t *Token) []byte {
	return s.appendFacetEntry(make([]byte, 0, facetPrefixLen+placeLen), f, t)
}

func (s *Store) appendFacetEntry(k []byte, f facet, t *Token) []byte {
	k = binary.BigEndian.AppendUint64(s.appendFacet(k, createdOrder, f), uint64(t.Life.Created))
	return append(k, t.ID[:]...)
}

// facetEntries are a living token's entries. An ended token has none: from its revocation on it
// is in no search.
func (s *Store) facetEntries(t *Token) (keys [][]byte) {
	for _, f := range livingFacets(t) {
		if t.indexes(f) {
			keys = append(keys, s.facetEntry(f, t))
		}
	}
	return keys
}

// index brings the facets' entries and counts from what old had to what new has. It runs under
// the commit lock: what both have is left alone, and only what moved is written.
func (s *Store) index(tx store.Tx, old, new *Token) error {
	before, after := livingFacets(old), livingFacets(new)
	moves := make([]move, 0, max(len(before), len(after)))
	k := make([]byte, 0, facetPrefixLen+placeLen) // of one entry after the other: none is kept
	for _, f := range before {
		if slices.Contains(after, f) {
			continue
		}
		if old.indexes(f) {
			if err := tx.Delete(s.appendFacetEntry(k, f, old)); err != nil {
				return err
			}
		}
		moves = f.moved(moves, -1)
	}
	for _, f := range after {
		if slices.Contains(before, f) {
			continue
		}
		if new.indexes(f) {
			if err := tx.Put(s.appendFacetEntry(k, f, new), nil); err != nil {
				return err
			}
		}
		moves = f.moved(moves, 1)
	}
	return s.moveCounts(tx, moves)
}

// livingFacets are those of a token that is in searches.
func livingFacets(t *Token) []facet {
	if t == nil || t.End != nil {
		return nil
	}
	return t.facets()
}

// leads says whether some index leads to the facet's tokens and to few others.
func (f facet) leads() bool {
	return f.kind != anyFacet && f.kind != orphanFacet && f != facet{policyFacet, defaultPolicy}
}

// ranges are where the tokens of a facet are found, in the order of their keys.
func (s *Store) ranges(f facet) []store.Range {
	switch f.kind {
	case parentFacet:
		return []store.Range{keysBelow(key(childKey, []byte(f.value)))}
	case pathFacet, belowFacet:
		in := pathEntry(f.value, ID{})
		in = in[:len(in)-len(ID{})]
		matches := f.value == rootPath
		if f.kind == belowFacet {
			in, matches = pathPrefix(f.value), strings.HasPrefix(rootPath, f.value)
		}
		out := []store.Range{keysBelow(in)}
		if matches {
			out = append(out, keysBelow(s.facetPrefix(createdOrder, facet{pathFacet, rootPath})))
		}
		return out
	}
	return []store.Range{keysBelow(s.facetPrefix(createdOrder, f))}
}

// ordered says whether the one range of a facet is in order of creation.
func (f facet) ordered() bool {
	return f.kind != parentFacet && f.kind != pathFacet && f.kind != belowFacet
}

func keysBelow(prefix []byte) store.Range {
	in := store.PrefixRange(prefix)
	in.KeysOnly = true
	return in
}
