package server

import (
	"jeton/internal/backend"
	"jeton/internal/config"
)

// limits bound what a request may make the server do before anyone knows who sent it.
type limits struct {
	// size of a body in bytes; below 0 is no bound.
	size int64
	// depth, text, members and items bound a JSON body: nesting, the bytes of one string, the
	// members of one object and the items of one list. 0 is the default.
	depth, text, members, items int64
	// values bounds the whole body's: a list of short lists costs thirty times its bytes once
	// it is decoded, however short each of them is. 0 is no bound.
	values int64
}

// The defaults are far above what programs send, so that only hostile bodies meet them.
const (
	defaultDepth   = 500
	defaultMembers = 100_000
	defaultItems   = 1_000_000
)

func newLimits(l config.Limits) limits {
	or := func(v, otherwise int64) int64 {
		if v == 0 {
			return otherwise
		}
		return v
	}
	size := or(l.MaxSize, config.DefaultMaxRequestSize)
	out := limits{
		size:    size,
		depth:   or(l.JSON.Depth, defaultDepth),
		text:    or(l.JSON.StringLength, size),
		members: or(l.JSON.ObjectEntries, defaultMembers),
		items:   or(l.JSON.ArrayElements, defaultItems),
	}
	// What one list or object may hold, the body may.
	out.values = max(defaultItems, out.members, out.items)
	return out
}

var errComplex = backend.Invalidf("refused JSON input: it is nested too deeply, or has too long a string, object or list, or too many values")

// check counts nesting, members, items and string lengths in one pass without decoding: a
// body that would be costly to decode is refused before anything is built from it. It does
// not judge syntax.
func (l limits) check(body []byte) error {
	type level struct {
		object bool
		count  int64
	}
	var stack []level
	values := int64(0)
	for i := 0; i < len(body); i++ {
		if l.values > 0 && values > l.values {
			return errComplex
		}
		switch body[i] {
		case '{', '[':
			if int64(len(stack)) >= l.depth {
				return errComplex
			}
			stack = append(stack, level{object: body[i] == '{'})
			values++
		case '}', ']':
			if len(stack) > 0 {
				stack = stack[:len(stack)-1]
			}
			if len(stack) == 0 {
				return nil
			}
		case ',':
			if len(stack) == 0 {
				continue
			}
			top := &stack[len(stack)-1]
			top.count++
			values++
			if most := l.items; (top.object && top.count >= l.members) || top.count >= most {
				return errComplex
			}
		case '"':
			start := i
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
			if l.text >= 0 && int64(i-start-1) > l.text {
				return errComplex
			}
		}
	}
	return nil
}
