package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// isJSON tells the two languages apart: JSON where the first character that is not blank is
// a brace, which no HCL document begins with (contract: policies §1.1).
func isJSON(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
}

// jsonReader builds a tree from JSON tokens. The HCL library's own JSON parser is not used:
// it accepts truncated documents and drops booleans from lists.
type jsonReader struct {
	text string
	dec  *json.Decoder
	// line is that of offset; both only grow, so that counting lines costs one pass.
	line   int
	offset int
}

func parseJSON(text string) (node, error) {
	r := &jsonReader{text: text, dec: json.NewDecoder(strings.NewReader(text)), line: 1}
	r.dec.UseNumber()
	root, err := r.value(0)
	if err != nil {
		return node{}, r.explain(err)
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return node{}, errors.New("invalid JSON: text after the policy")
	}
	return root, nil
}

// explain gives the line where reading stopped; the cause's own text may quote the input
// and is not used.
func (r *jsonReader) explain(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("invalid JSON: unexpected end of policy")
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("invalid JSON on line %d", r.currentLine())
	}
	return err
}

// currentLine is the line of the token read last, counted from 1.
func (r *jsonReader) currentLine() int {
	end := min(int(r.dec.InputOffset()), len(r.text))
	r.line += strings.Count(r.text[r.offset:end], "\n")
	r.offset = end
	return r.line
}

func (r *jsonReader) value(depth int) (node, error) {
	t, err := r.dec.Token()
	if err != nil {
		return node{}, err
	}
	n := node{line: r.currentLine()}
	switch t := t.(type) {
	case json.Delim:
		if depth++; depth > maxDepth {
			return node{}, fmt.Errorf("nested too deeply on line %d", n.line)
		}
		if t == '{' {
			return r.object(n, depth)
		}
		return r.array(n, depth)
	case string:
		n.kind, n.text = stringKind, t
	case json.Number:
		n.kind, n.text = numberKind, t.String()
	case bool:
		n.kind, n.text = boolKind, fmt.Sprint(t)
	}
	return n, nil
}

func (r *jsonReader) object(n node, depth int) (node, error) {
	n.kind = objectKind
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return node{}, err
		}
		name, ok := t.(string)
		if !ok {
			return node{}, fmt.Errorf("invalid JSON on line %d", r.currentLine())
		}
		line := r.currentLine()
		value, err := r.value(depth)
		if err != nil {
			return node{}, err
		}
		n.fields = append(n.fields, field{name: name, line: line, value: value})
	}
	_, err := r.dec.Token()
	return n, err
}

func (r *jsonReader) array(n node, depth int) (node, error) {
	n.kind = listKind
	for r.dec.More() {
		value, err := r.value(depth)
		if err != nil {
			return node{}, err
		}
		n.list = append(n.list, value)
	}
	_, err := r.dec.Token()
	return n, err
}
