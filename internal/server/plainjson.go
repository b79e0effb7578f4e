package server

import "encoding/json"

// plainJSON reads objects as programs write them: strings of printable ASCII without escapes, whole
// numbers, a few levels deep. It is a third of what encoding/json costs, which passes over a body
// twice and sets up a decoder for it; for the making of a batch token that was a tenth of everything.
//
// It judges nothing. What is not plain, or not JSON, is left to encoding/json as a whole, so that
// there is one reader that refuses; FuzzPlainJSON holds that what this one takes, that one reads alike.
type plainJSON struct {
	src []byte
	at  int
}

// plainDepth is how deep plain objects are nested.
const plainDepth = 8

// readPlain reads the object that body begins with, and returns what follows it. ok is false
// where the object is not plain.
func readPlain(body []byte) (object map[string]any, end int, ok bool) {
	p := plainJSON{src: body}
	object, ok = p.object(plainDepth)
	return object, p.at, ok
}

// next is the next byte that is no white space, which is passed over; 0 at the end.
func (p *plainJSON) next() byte {
	for p.at < len(p.src) {
		c := p.src[p.at]
		p.at++
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

func (p *plainJSON) object(depth int) (map[string]any, bool) {
	if p.next() != '{' || depth == 0 {
		return nil, false
	}
	object := make(map[string]any)
	c := p.next()
	if c == '}' {
		return object, true
	}
	for ; ; c = p.next() {
		if c != '"' {
			return nil, false
		}
		name, ok := p.text()
		if !ok || p.next() != ':' {
			return nil, false
		}
		// Of a name that comes twice the last counts, as for encoding/json.
		if object[name], ok = p.value(depth - 1); !ok {
			return nil, false
		}
		switch p.next() {
		case '}':
			return object, true
		case ',':
		default:
			return nil, false
		}
	}
}

func (p *plainJSON) value(depth int) (any, bool) {
	switch c := p.next(); c {
	case '"':
		text, ok := p.text()
		return text, ok
	case '{':
		p.at--
		return p.object(depth)
	case '[':
		return p.list(depth)
	case 't':
		return true, p.word("rue")
	case 'f':
		return false, p.word("alse")
	case 'n':
		return nil, p.word("ull")
	case 0:
		return nil, false
	}
	p.at--
	return p.number()
}

func (p *plainJSON) list(depth int) (any, bool) {
	if depth == 0 {
		return nil, false
	}
	list := []any{}
	if p.next() == ']' {
		return list, true
	}
	p.at--
	for {
		v, ok := p.value(depth - 1)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		switch p.next() {
		case ']':
			return list, true
		case ',':
		default:
			return nil, false
		}
	}
}

// text is the string whose opening quote was passed over.
func (p *plainJSON) text() (string, bool) {
	for from := p.at; p.at < len(p.src); p.at++ {
		switch c := p.src[p.at]; {
		case c == '"':
			p.at++
			return string(p.src[from : p.at-1]), true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

func (p *plainJSON) word(rest string) bool {
	if len(p.src)-p.at < len(rest) || string(p.src[p.at:p.at+len(rest)]) != rest {
		return false
	}
	p.at += len(rest)
	return true
}

// number is a whole number.
func (p *plainJSON) number() (any, bool) {
	from := p.at
	if p.src[p.at] == '-' {
		p.at++
	}
	digits := p.at
	for p.at < len(p.src) && p.src[p.at] >= '0' && p.src[p.at] <= '9' {
		p.at++
	}
	if p.at == digits || p.src[digits] == '0' && p.at > digits+1 {
		return nil, false
	}
	// A fraction or an exponent is the caller's next byte, which it does not take.
	return json.Number(p.src[from:p.at]), true
}
