package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"unicode/utf8"

	"github.com/hashicorp/hcl/hcl/ast"
	hclparser "github.com/hashicorp/hcl/hcl/parser"
	hclscanner "github.com/hashicorp/hcl/hcl/scanner"
	hcltoken "github.com/hashicorp/hcl/hcl/token"
)

// parse reads one file. The content says which language it is, not the name: JSON begins
// with a brace, which HCL cannot.
func parse(file string, data []byte) (*object, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(data) > maxFileSize {
		return nil, &Error{File: file, Reason: fmt.Sprintf("larger than %d bytes", maxFileSize)}
	}
	if !utf8.Valid(data) {
		return nil, &Error{File: file, Reason: "not UTF-8 text"}
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		return parseJSON(file, data)
	}
	return parseHCL(file, data)
}

// parseHCL leaves the language to its library. Duplicates are checked here rather than by
// its refusing parser, which knows neither the file nor that "x" and x are one key.
func parseHCL(file string, data []byte) (*object, error) {
	// As the parser does: its positions count "\n" only.
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	if err := checkHCLDepth(file, data); err != nil {
		return nil, err
	}
	tree, err := hclparser.ParseDontErrorOnDuplicateKeys(data)
	if err != nil {
		var at *hclparser.PosError
		if errors.As(err, &at) {
			return nil, &Error{File: file, Line: at.Pos.Line, Column: at.Pos.Column, Reason: at.Err.Error()}
		}
		return nil, &Error{File: file, Reason: err.Error()}
	}
	root, ok := tree.Node.(*ast.ObjectList)
	if !ok {
		return nil, &Error{File: file, Reason: "must be a list of settings"}
	}
	return hclObject(file, position{file: file, line: 1, column: 1}, root)
}

// checkHCLDepth runs before the parser, which recurses as deep as its input says.
func checkHCLDepth(file string, data []byte) error {
	s := hclscanner.New(data)
	var bad error
	s.Error = func(pos hcltoken.Pos, msg string) {
		if bad == nil {
			bad = &Error{File: file, Line: pos.Line, Column: pos.Column, Reason: msg}
		}
	}
	for depth := 0; ; {
		tok := s.Scan()
		if bad != nil {
			return bad
		}
		switch tok.Type {
		case hcltoken.EOF, hcltoken.ILLEGAL:
			return nil
		case hcltoken.LBRACE, hcltoken.LBRACK:
			if depth++; depth > maxDepth {
				return &Error{File: file, Line: tok.Pos.Line, Column: tok.Pos.Column, Reason: "nested too deeply"}
			}
		case hcltoken.RBRACE, hcltoken.RBRACK:
			depth--
		}
	}
}

func hclPosition(file string, p hcltoken.Pos) position {
	return position{file: file, line: p.Line, column: p.Column}
}

func hclObject(file string, pos position, list *ast.ObjectList) (*object, error) {
	o := &object{pos: pos}
	for _, item := range list.Items {
		if len(item.Keys) > maxDepth {
			return nil, &Error{File: file, Line: item.Pos().Line, Column: item.Pos().Column, Reason: "too many labels"}
		}
		val, err := hclValue(file, item.Val)
		if err != nil {
			return nil, err
		}
		// Every label but the first becomes an object around the body, as JSON has it.
		for i := len(item.Keys) - 1; i >= 0; i-- {
			key := item.Keys[i]
			text, err := hclText(file, key.Token)
			if err != nil {
				return nil, err
			}
			e := entry{key: text, pos: hclPosition(file, key.Pos()), val: val}
			if i == 0 {
				o.entries = append(o.entries, e)
				break
			}
			val = value{pos: e.pos, kind: kindObject, obj: &object{pos: e.pos, entries: []entry{e}}}
		}
	}
	return o, o.checkDuplicates()
}

func hclValue(file string, node ast.Node) (value, error) {
	switch n := node.(type) {
	case *ast.LiteralType:
		text, err := hclText(file, n.Token)
		v := value{pos: hclPosition(file, n.Pos()), text: text, kind: kindString}
		switch n.Token.Type {
		case hcltoken.BOOL:
			v.kind = kindBool
		case hcltoken.NUMBER, hcltoken.FLOAT:
			v.kind = kindNumber
		}
		return v, err
	case *ast.ListType:
		v := value{pos: hclPosition(file, n.Pos()), kind: kindList}
		for _, e := range n.List {
			inner, err := hclValue(file, e)
			if err != nil {
				return v, err
			}
			v.list = append(v.list, inner)
		}
		return v, nil
	case *ast.ObjectType:
		pos := hclPosition(file, n.Pos())
		obj, err := hclObject(file, pos, n.List)
		return value{pos: pos, kind: kindObject, obj: obj}, err
	}
	return value{}, &Error{File: file, Reason: "holds something that is no value"}
}

// hclText is what a token says. The library panics where a string or heredoc cannot be
// unquoted (it means those for its own mistakes, but odd input reaches them too).
func hclText(file string, tok hcltoken.Token) (text string, err error) {
	switch tok.Type {
	case hcltoken.STRING, hcltoken.HEREDOC:
	default:
		return tok.Text, nil
	}
	defer func() {
		if recover() != nil {
			err = &Error{File: file, Line: tok.Pos.Line, Column: tok.Pos.Column, Reason: "malformed string"}
		}
	}()
	text, _ = tok.Value().(string)
	return text, nil
}

// jsonReader turns JSON into the tree. The HCL library's own JSON parser is not used: it
// takes input that is not JSON and drops booleans out of lists.
type jsonReader struct {
	file string
	dec  *json.Decoder
	// lines holds the offset at which each line begins.
	lines []int64
	data  []byte
}

func parseJSON(file string, data []byte) (*object, error) {
	r := &jsonReader{file: file, dec: json.NewDecoder(bytes.NewReader(data)), lines: []int64{0}, data: data}
	r.dec.UseNumber()
	for i, b := range data {
		if b == '\n' {
			r.lines = append(r.lines, int64(i)+1)
		}
	}
	v, err := r.value(0)
	if err != nil {
		return nil, r.explain(err)
	}
	if at := r.position(); int(r.dec.InputOffset()) < len(data) {
		if _, err := r.dec.Token(); err != io.EOF {
			return nil, &Error{File: file, Line: at.line, Column: at.column, Reason: "text after the closing brace"}
		}
	}
	return v.obj, nil
}

// position is where the next token begins.
func (r *jsonReader) position() position {
	at := r.dec.InputOffset()
	for at < int64(len(r.data)) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[at]) >= 0 {
		at++
	}
	return r.at(at)
}

func (r *jsonReader) at(offset int64) position {
	line := sort.Search(len(r.lines), func(i int) bool { return r.lines[i] > offset })
	return position{file: r.file, line: line, column: int(offset-r.lines[line-1]) + 1}
}

func (r *jsonReader) fail(reason string) error {
	p := r.position()
	return &Error{File: p.file, Line: p.line, Column: p.column, Reason: reason}
}

func (r *jsonReader) explain(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	at := r.position()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset > 0 && syntax.Offset <= int64(len(r.data)) {
		at = r.at(syntax.Offset - 1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("object expected closing RBRACE got: EOF")
	}
	return &Error{File: at.file, Line: at.line, Column: at.column, Reason: err.Error()}
}

func (r *jsonReader) value(depth int) (value, error) {
	v := value{pos: r.position()}
	if depth > maxDepth {
		return v, r.fail("nested too deeply")
	}
	tok, err := r.dec.Token()
	if err != nil {
		return v, err
	}
	switch t := tok.(type) {
	case nil:
		v.kind = kindNull
	case string:
		v.kind, v.text = kindString, t
	case json.Number:
		v.kind, v.text = kindNumber, t.String()
	case bool:
		v.kind, v.text = kindBool, fmt.Sprint(t)
	case json.Delim:
		if t == '[' {
			v.kind = kindList
			for r.dec.More() {
				inner, err := r.value(depth + 1)
				if err != nil {
					return v, err
				}
				v.list = append(v.list, inner)
			}
		} else {
			v.kind, v.obj = kindObject, &object{pos: v.pos}
			if err := r.entries(v.obj, depth); err != nil {
				return v, err
			}
		}
		_, err = r.dec.Token()
	}
	return v, err
}

func (r *jsonReader) entries(o *object, depth int) error {
	for r.dec.More() {
		e := entry{pos: r.position()}
		tok, err := r.dec.Token()
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok {
			return r.fail("a key must be a string")
		}
		e.key = key
		if e.val, err = r.value(depth + 1); err != nil {
			return err
		}
		o.entries = append(o.entries, e)
	}
	return o.checkDuplicates()
}
