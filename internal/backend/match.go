package backend

import (
	"fmt"
	"strings"
)

// Table finds the route that a path below a mount belongs to. It is immutable.
type Table struct {
	routes []compiled
	// first holds the indexes into routes by literal first segment; those that begin with
	// a capture are under "".
	first map[string][]int
}

type compiled struct {
	route    *Route
	segments []segment
}

type segment struct {
	literal string
	// name is the capture's, "" for a literal.
	name  string
	lower bool
	rest  bool
}

// Match is a path that was found in a table.
type Match struct {
	Route    *Route
	Captures map[string]string
	// Path is the canonical form of the path below the mount: captures marked lower are.
	Path string
}

// NewTable compiles a backend's routes. Rows are tried in order, so that the first of two
// that match a path wins.
func NewTable(routes []Route) *Table {
	t := &Table{first: map[string][]int{}}
	for i := range routes {
		c := compiled{route: &routes[i], segments: parsePattern(routes[i].Pattern)}
		key := ""
		if len(c.segments) > 0 {
			key = c.segments[0].literal
		}
		t.routes = append(t.routes, c)
		t.first[key] = append(t.first[key], i)
	}
	return t
}

// Routes are all rows, in order.
func (t *Table) Routes() []*Route {
	routes := make([]*Route, len(t.routes))
	for i := range t.routes {
		routes[i] = t.routes[i].route
	}
	return routes
}

// Find returns the route of path. For a list the path may end in a slash; the pattern does not.
func (t *Table) Find(op Operation, path string) (Match, bool) {
	trimmed := path
	if op == List {
		trimmed = strings.TrimSuffix(path, "/")
	}
	head, _, _ := strings.Cut(trimmed, "/")
	literal, captured := t.first[head], t.first[""]
	if head == "" {
		literal = nil
	}
	for len(literal) > 0 || len(captured) > 0 {
		var i int
		if len(captured) == 0 || (len(literal) > 0 && literal[0] < captured[0]) {
			i, literal = literal[0], literal[1:]
		} else {
			i, captured = captured[0], captured[1:]
		}
		if m, ok := t.routes[i].match(op, trimmed); ok {
			if strings.HasSuffix(path, "/") && op == List {
				m.Path += "/"
			}
			return m, true
		}
	}
	return Match{}, false
}

// match walks the pattern's segments along path.
func (c *compiled) match(op Operation, path string) (Match, bool) {
	m := Match{Route: c.route, Path: path}
	rest, more := path, path != ""
	folded, folds := false, c.route.AsWritten == nil || !c.route.AsWritten()
	for _, s := range c.segments {
		if s.rest {
			if rest == "" && op != List {
				return Match{}, false
			}
			if s.lower && folds {
				lower := strings.ToLower(rest)
				folded = folded || lower != rest
				rest = lower
			}
			m.capture(s.name, rest)
			if folded {
				m.Path = c.rebuild(m.Captures)
			}
			return m, true
		}
		if !more {
			return Match{}, false
		}
		var word string
		word, rest, more = strings.Cut(rest, "/")
		if s.name == "" {
			if word != s.literal {
				return Match{}, false
			}
			continue
		}
		if !isName(word) {
			return Match{}, false
		}
		if s.lower && folds {
			lower := strings.ToLower(word)
			folded = folded || lower != word
			word = lower
		}
		m.capture(s.name, word)
	}
	if more {
		return Match{}, false
	}
	if folded {
		m.Path = c.rebuild(m.Captures)
	}
	return m, true
}

func (m *Match) capture(name, value string) {
	if m.Captures == nil {
		m.Captures = make(map[string]string, 2)
	}
	m.Captures[name] = value
}

// rebuild writes the path of a pattern from its captures.
func (c *compiled) rebuild(captures map[string]string) string {
	words := make([]string, len(c.segments))
	for i, s := range c.segments {
		if words[i] = s.literal; s.name != "" {
			words[i] = captures[s.name]
		}
	}
	return strings.Join(words, "/")
}

// isName accepts what a {name} stands for: letters, digits and underscores, with dashes and
// dots inside. Contract: auth-methods §0.
func isName(word string) bool {
	for i := 0; i < len(word); i++ {
		b := word[i]
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '_':
		case (b == '-' || b == '.') && i > 0 && i < len(word)-1:
		default:
			return false
		}
	}
	return word != ""
}

// parsePattern reads a Route.Pattern; a malformed one is a programmer's mistake.
func parsePattern(pattern string) []segment {
	if pattern == "" {
		return nil
	}
	words := strings.Split(pattern, "/")
	segments := make([]segment, len(words))
	for i, word := range words {
		name, isCapture := strings.CutPrefix(word, "{")
		if !isCapture {
			segments[i] = segment{literal: word}
			continue
		}
		name = strings.TrimSuffix(name, "}")
		s := segment{name: name}
		s.name, s.rest = strings.CutSuffix(s.name, "...")
		s.name, s.lower = strings.CutSuffix(s.name, "|lower")
		if s.name == "" || (s.rest && i != len(words)-1) {
			panic(fmt.Sprintf("backend: malformed pattern %q", pattern))
		}
		segments[i] = s
	}
	return segments
}
