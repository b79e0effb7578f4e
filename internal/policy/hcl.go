package policy

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/scanner"
	hclstrconv "github.com/hashicorp/hcl/hcl/strconv"
	"github.com/hashicorp/hcl/hcl/token"
)

// parseHCL reads text as HCL 1.
func parseHCL(text string) (root node, err error) {
	// The library panics on a few malformed literals. What it was reading is only text, so
	// nothing is left half done and the panic is as good as its error.
	defer func() {
		if recover() != nil {
			root, err = node{}, errors.New("malformed literal")
		}
	}()
	if err := checkDepth(text); err != nil {
		return node{}, err
	}
	file, err := parser.Parse([]byte(text))
	if err != nil {
		return node{}, err
	}
	list, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return node{}, errors.New("policy is not a list of blocks")
	}
	return objectNode(list, 1)
}

// checkDepth refuses text that nests deeper than maxDepth before the recursive parser sees it.
func checkDepth(text string) error {
	s := scanner.New([]byte(text))
	var broken bool
	s.Error = func(token.Pos, string) { broken = true }
	depth := 0
	// The parser stops at the first broken token, and so does this.
	for !broken {
		switch t := s.Scan(); t.Type {
		case token.EOF:
			return nil
		case token.LBRACE, token.LBRACK:
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested too deeply on line %d", t.Pos.Line)
			}
		case token.RBRACE, token.RBRACK:
			depth--
		}
	}
	return nil
}

// objectNode converts the items of an object. An item with labels (path "x" {…}) is an
// object within an object, as it is in JSON.
func objectNode(list *ast.ObjectList, line int) (node, error) {
	object := node{kind: objectKind, line: line}
	assigned := make(map[string]bool)
	for _, item := range list.Items {
		value, err := valueNode(item.Val)
		if err != nil {
			return node{}, err
		}
		var f field
		for i := len(item.Keys) - 1; i >= 0; i-- {
			key := item.Keys[i]
			name, err := literalText(key.Token)
			if err != nil {
				return node{}, err
			}
			f = field{name: name, line: key.Pos().Line, value: value}
			value = node{kind: objectKind, line: f.line, fields: []field{f}}
		}
		if len(item.Keys) == 0 {
			return node{}, errors.New("value without a key")
		}
		// The library compares keys as they are spelled: "a" and a pass it as two.
		if item.Assign.IsValid() {
			if assigned[f.name] {
				return node{}, fmt.Errorf("argument %q on line %d was already set", f.name, f.line)
			}
			assigned[f.name] = true
		}
		object.fields = append(object.fields, f)
	}
	return object, nil
}

func valueNode(v ast.Node) (node, error) {
	line := v.Pos().Line
	switch v := v.(type) {
	case *ast.ObjectType:
		return objectNode(v.List, line)
	case *ast.ListType:
		list := node{kind: listKind, line: line}
		for _, item := range v.List {
			n, err := valueNode(item)
			if err != nil {
				return node{}, err
			}
			list.list = append(list.list, n)
		}
		return list, nil
	case *ast.LiteralType:
		text, err := literalText(v.Token)
		if err != nil {
			return node{}, err
		}
		return node{kind: literalKind(v.Token.Type), line: line, text: text}, nil
	}
	return node{}, fmt.Errorf("unexpected value on line %d", line)
}

func literalKind(t token.Type) kind {
	switch t {
	case token.NUMBER, token.FLOAT:
		return numberKind
	case token.BOOL:
		return boolKind
	}
	return stringKind
}

// literalText is the value of a literal as node keeps it.
func literalText(t token.Token) (string, error) {
	switch t.Type {
	case token.STRING:
		if t.Text == "" {
			return "", nil
		}
		s, err := hclstrconv.Unquote(t.Text)
		if err != nil {
			return "", fmt.Errorf("invalid string on line %d", t.Pos.Line)
		}
		return s, nil
	case token.NUMBER:
		// Hexadecimal and octal forms become decimal here, once.
		v, err := strconv.ParseInt(t.Text, 0, 64)
		if err != nil {
			return "", fmt.Errorf("invalid number on line %d", t.Pos.Line)
		}
		return strconv.FormatInt(v, 10), nil
	case token.FLOAT:
		if _, err := strconv.ParseFloat(t.Text, 64); err != nil {
			return "", fmt.Errorf("invalid number on line %d", t.Pos.Line)
		}
		return t.Text, nil
	case token.HEREDOC:
		s, ok := t.Value().(string)
		if !ok {
			return "", fmt.Errorf("invalid string on line %d", t.Pos.Line)
		}
		return s, nil
	case token.BOOL, token.IDENT:
		return t.Text, nil
	}
	return "", fmt.Errorf("unexpected value on line %d", t.Pos.Line)
}
