package policy

import (
	"cmp"
	"slices"
	"strings"
)

// rule is everything the compiled policies say about one pattern.
type rule struct {
	pattern
	grant
	// from are the policies that have a stanza for the pattern, and names their names, in
	// the order in which they were compiled.
	from  []contribution
	names []string
	// rank orders the rules with wildcards, see pattern.compare; exact rules have none.
	rank int
	// merged says that the maps and lists of grant are the rule's own.
	merged bool
}

// contribution is what one policy grants through a rule.
type contribution struct {
	policy *Policy
	caps   Capability
}

// pattern is a path pattern taken apart (contract: policies §2).
type pattern struct {
	// text is the pattern as written, without its leading slash, templates filled in.
	text string
	// fixed is text without its trailing "*".
	fixed string
	// glob says that text ends in "*", which matches any rest, even an empty one.
	glob bool
	// plus is the number of whole segments that are "+", each of which matches one
	// segment, even an empty one. A "+" anywhere else stands for itself.
	plus int
	// first is where the first wildcard stands in text, or its length when there is none.
	first int
}

func newPattern(text string) pattern {
	p := pattern{text: text}
	p.fixed, p.glob = strings.CutSuffix(text, "*")
	p.first = len(p.fixed)
	rest, start := text, 0
	for more := true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if segment == "+" {
			p.first = min(p.first, start)
			p.plus++
		}
		start += len(segment) + 1
	}
	return p
}

// exact says that the pattern has no wildcard.
func (p *pattern) exact() bool { return !p.glob && p.plus == 0 }

// compare orders patterns by how specific they are, the least first (contract: policies §3.5).
// It is total: only equal patterns compare as equal.
func (p *pattern) compare(q *pattern) int {
	return cmp.Or(
		cmp.Compare(p.first, q.first),
		byBool(q.glob, p.glob),
		cmp.Compare(q.plus, p.plus),
		cmp.Compare(len(p.text), len(q.text)),
		cmp.Compare(p.text, q.text),
	)
}

// byBool orders false before true.
func byBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// prefixSet finds the longest of its prefixes that a path begins with.
type prefixSet struct {
	// entries are sorted by prefix.
	entries []prefixEntry
}

type prefixEntry struct {
	prefix string
	rule   *rule
	// parent is the longest other prefix in the set that this one begins with; -1 if none.
	parent int
}

// add must be followed by seal before find is used.
func (s *prefixSet) add(prefix string, r *rule) {
	s.entries = append(s.entries, prefixEntry{prefix: prefix, rule: r, parent: -1})
}

// seal sorts the set and joins each prefix to the one that contains it.
func (s *prefixSet) seal() {
	slices.SortFunc(s.entries, func(a, b prefixEntry) int { return strings.Compare(a.prefix, b.prefix) })
	for i := 1; i < len(s.entries); i++ {
		// Whatever contains entry i contains its predecessor too, or is it.
		up := i - 1
		for up >= 0 && !strings.HasPrefix(s.entries[i].prefix, s.entries[up].prefix) {
			up = s.entries[up].parent
		}
		s.entries[i].parent = up
	}
}

// find returns the rule of the longest prefix of path. Of all strings sorted at or before
// path, the greatest begins with every prefix of path in the set, so the answer is it or one
// of its parents.
func (s *prefixSet) find(path string) *rule {
	low, high := 0, len(s.entries)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if s.entries[mid].prefix <= path {
			low = mid + 1
		} else {
			high = mid
		}
	}
	for i := low - 1; i >= 0; i = s.entries[i].parent {
		if strings.HasPrefix(path, s.entries[i].prefix) {
			return s.entries[i].rule
		}
	}
	return nil
}

// segmentTree holds the rules with "+" segments, a level for each segment.
type segmentTree struct {
	named map[string]*segmentTree
	any   *segmentTree
	// end is the rule that ends here.
	end *rule
	// tails are the rules that end in the next segment with a "*".
	tails prefixSet
}

func (t *segmentTree) add(r *rule) {
	rest := r.fixed
	for {
		segment, after, more := strings.Cut(rest, "/")
		if !more && r.glob {
			t.tails.add(segment, r)
			return
		}
		t = t.child(segment)
		if !more {
			t.end = r
			return
		}
		rest = after
	}
}

func (t *segmentTree) child(segment string) *segmentTree {
	if segment == "+" {
		if t.any == nil {
			t.any = &segmentTree{}
		}
		return t.any
	}
	if t.named == nil {
		t.named = make(map[string]*segmentTree)
	}
	if t.named[segment] == nil {
		t.named[segment] = &segmentTree{}
	}
	return t.named[segment]
}

// seal makes the tree ready for find. It walks with a list of its own: a pattern may have
// more segments than a stack likes.
func (t *segmentTree) seal() {
	waiting := []*segmentTree{t}
	for len(waiting) > 0 {
		last := len(waiting) - 1
		node := waiting[last]
		waiting = waiting[:last]
		node.tails.seal()
		if node.any != nil {
			waiting = append(waiting, node.any)
		}
		for _, child := range node.named {
			waiting = append(waiting, child)
		}
	}
}

// find returns the matching rule of the highest rank, or best when none ranks higher. It
// visits no node twice, so its cost is bounded by the size of the policies.
func (t *segmentTree) find(rest string, best *rule) *rule {
	if r := t.tails.find(rest); r != nil {
		// Of the tails that match, the longest has the highest rank: they differ in nothing else.
		best = higher(best, r)
	}
	segment, after, more := strings.Cut(rest, "/")
	if child := t.named[segment]; child != nil {
		best = child.follow(after, more, best)
	}
	if t.any != nil {
		best = t.any.follow(after, more, best)
	}
	return best
}

func (t *segmentTree) follow(rest string, more bool, best *rule) *rule {
	if more {
		return t.find(rest, best)
	}
	if t.end != nil {
		return higher(best, t.end)
	}
	return best
}

func higher(a, b *rule) *rule {
	if a == nil || b.rank > a.rank {
		return b
	}
	return a
}
