package policy

import (
	"fmt"
	"strings"
)

// node is a value of a document, the same for both languages.
type node struct {
	kind kind
	line int
	// text is the value of a scalar: a string's characters, a number's decimal digits,
	// "true" or "false".
	text string
	list []node
	// fields keep their order and their repetitions: a path may be given twice.
	fields []field
}

type field struct {
	name  string
	line  int
	value node
}

type kind uint8

const (
	nullKind kind = iota
	stringKind
	numberKind
	boolKind
	listKind
	objectKind
)

// number is a numeric value as its text, so that none loses digits.
type number string

// value is the node as parameter rules compare it: nil, string, number, bool, []any or
// map[string]any.
func (n node) value() any {
	switch n.kind {
	case stringKind:
		return n.text
	case numberKind:
		return number(n.text)
	case boolKind:
		return n.text == "true"
	case listKind:
		values := make([]any, len(n.list))
		for i, item := range n.list {
			values[i] = item.value()
		}
		return values
	case objectKind:
		values := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			values[f.name] = f.value.value()
		}
		return values
	}
	return nil
}

// items are the elements of a list; any other value counts as a list of itself, as HCL has it.
func (n node) items() []node {
	if n.kind == listKind {
		return n.list
	}
	return []node{n}
}

// objects are the objects in n: itself, or all of a list (the shape JSON gives to repeated
// blocks). ok is false where anything else is among them.
func (n node) objects() (objects []node, ok bool) {
	for _, item := range n.items() {
		if item.kind != objectKind {
			return nil, false
		}
		objects = append(objects, item)
	}
	return objects, true
}

// strings are the elements of a list of strings, or a lone string.
func (n node) strings() ([]string, bool) {
	var all []string
	for _, item := range n.items() {
		if item.kind != stringKind {
			return nil, false
		}
		all = append(all, item.text)
	}
	return all, true
}

// problems collects what is wrong with a set of keys, and prints as clients know it:
// "1 error occurred:\n\t* …\n\n".
type problems []string

func (p problems) Error() string {
	var b strings.Builder
	if len(p) == 1 {
		b.WriteString("1 error occurred:\n")
	} else {
		fmt.Fprintf(&b, "%d errors occurred:\n", len(p))
	}
	for _, line := range p {
		b.WriteString("\t* " + line + "\n")
	}
	b.WriteString("\n")
	return b.String()
}

// checkKeys refuses every field of n that is not among valid.
func checkKeys(n node, prefix string, valid map[string]bool) error {
	var found problems
	for _, f := range n.fields {
		if !valid[f.name] {
			found = append(found, fmt.Sprintf("%sinvalid key %q on line %d", prefix, f.name, f.line))
		}
	}
	if found != nil {
		return found
	}
	return nil
}
