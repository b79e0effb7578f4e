package config

import (
	"fmt"
	"strings"
)

// The two languages, HCL 1 and JSON, are read into one tree first, so that every rule below
// exists once: `listener "tcp" {}` and {"listener":{"tcp":{}}} are the same tree.

// maxFileSize bounds one configuration file, in bytes. Real ones are a few kilobytes.
const maxFileSize = 1 << 20

// maxDepth bounds how deep blocks and lists may nest, and with it the parsers' stacks. The
// deepest thing that means anything is five levels down.
const maxDepth = 32

// position is where something was written. line and column count from 1.
type position struct {
	file         string
	line, column int
}

func (p position) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

// kind says what a value is.
type kind int

const (
	kindNull kind = iota
	kindString
	kindNumber
	kindBool
	kindList
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a string", "a number", "a boolean", "a list", "a block"}[k]
}

// value is one value as it was written. Scalars keep their text ("0600" stays octal for
// whoever reads file modes).
type value struct {
	pos  position
	kind kind
	text string
	list []value
	obj  *object
}

// entry is one `key = value` or one block.
type entry struct {
	key string
	pos position
	val value
}

// object is what stands between two braces, in the order written.
type object struct {
	pos     position
	entries []entry
}

// blockLike tells whether v is a block, or the list of blocks that JSON writes for several.
func (v value) blockLike() bool {
	if v.kind == kindObject {
		return true
	}
	if v.kind != kindList || len(v.list) == 0 {
		return false
	}
	for _, e := range v.list {
		if e.kind != kindObject {
			return false
		}
	}
	return true
}

// checkDuplicates refuses an attribute that is set twice in one block: which of the two the
// writer meant cannot be known. Blocks may repeat; whether they should is for their owner.
func (o *object) checkDuplicates() error {
	first := make(map[string]entry, len(o.entries))
	for _, e := range o.entries {
		key := strings.ToLower(e.key)
		if before, ok := first[key]; ok && !(before.val.blockLike() && e.val.blockLike()) {
			return &Error{
				File: e.pos.file, Line: e.pos.line, Column: e.pos.column, Key: e.key,
				Reason: fmt.Sprintf("The argument %q at %s was already set, at %s. Each argument can only be defined once", e.key, e.pos, before.pos),
			}
		}
		first[key] = e
	}
	return nil
}

// block is one stanza with the labels that stood before its brace.
type block struct {
	labels []string
	pos    position
	body   *object
}

// blocks lists the stanzas that v holds, with up to labels labels each. In HCL labels stand
// before the brace, in JSON they are the keys of enclosing objects; a stanza whose body
// holds a scalar is a body already, whatever number of labels it lacks.
func (v value) blocks(labels int) ([]block, error) {
	switch v.kind {
	case kindNull:
		return nil, nil
	case kindList:
		var all []block
		for _, e := range v.list {
			some, err := e.blocks(labels)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case kindObject:
		return v.obj.unlabel(v.pos, labels)
	}
	return nil, fmt.Errorf("must be a block, not %s", v.kind)
}

func (o *object) unlabel(pos position, labels int) ([]block, error) {
	if labels == 0 || len(o.entries) == 0 || !o.onlyBlocks() {
		return []block{{pos: pos, body: o}}, nil
	}
	var all []block
	for _, e := range o.entries {
		inner, err := e.val.blocks(labels - 1)
		if err != nil {
			return nil, err
		}
		for _, b := range inner {
			b.labels = append([]string{e.key}, b.labels...)
			if len(b.labels) == 1 {
				b.pos = e.pos
			}
			all = append(all, b)
		}
	}
	return all, nil
}

func (o *object) onlyBlocks() bool {
	for _, e := range o.entries {
		if e.val.kind != kindNull && !e.val.blockLike() {
			return false
		}
	}
	return true
}

// find is the entry of a key, if it is there.
func (o *object) find(key string) (entry, bool) {
	for _, e := range o.entries {
		if strings.EqualFold(e.key, key) {
			return e, true
		}
	}
	return entry{}, false
}
