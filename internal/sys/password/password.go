// Package password owns password policies: the language they are written in and the passwords
// that are made by them. Contract: sys §20.
package password

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"unicode"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/token"
)

// The lengths that a password may have, in characters.
const (
	minLength = 4
	maxLength = 100
	// maxText bounds a policy, in bytes.
	maxText = 64 << 10
)

// Policy makes passwords.
type Policy struct {
	length int
	rules  []rule
	// all are the characters of all rules, each once.
	all []rune
}

// rule wants some characters of a set.
type rule struct {
	charset []rune
	least   int
}

// The refusals of Parse. Their texts are the contract's.
var (
	// ErrLength says that the length is out of bounds.
	ErrLength = errors.New("passwords must be between 4 and 100 characters")
	// ErrImpossible says that the rules want more characters than there are.
	ErrImpossible = errors.New("unable to construct test password from provided policy: are the rules impossible?")
)

// Decode is the text of a policy that may have come in base64.
func Decode(text string) string {
	if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
		return string(plain)
	}
	return text
}

// Parse reads a policy in HCL or JSON. Its errors name keys and never repeat values.
func Parse(text string) (*Policy, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("longer than %d bytes", maxText)
	}
	file, err := hcl.Parse(text)
	if err != nil {
		return nil, errors.New("it is not HCL")
	}
	top, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, errors.New("it is not an object")
	}
	p := &Policy{}
	for _, item := range top.Items {
		switch key := keyOf(item); key {
		case "length":
			if p.length, err = number(item); err != nil {
				return nil, err
			}
		case "rule":
			if err := p.readRules(item); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("unknown key %q", key)
		}
	}
	return p, p.judge()
}

// judge checks the policy as a whole.
func (p *Policy) judge() error {
	if p.length < minLength || p.length > maxLength {
		return ErrLength
	}
	if len(p.rules) == 0 {
		return errors.New("no rule with a charset")
	}
	least := 0
	for _, r := range p.rules {
		least += r.least
		p.all = append(p.all, r.charset...)
	}
	slices.Sort(p.all)
	p.all = slices.Compact(p.all)
	if least > p.length {
		return ErrImpossible
	}
	return nil
}

func (p *Policy) readRules(item *ast.ObjectItem) error {
	// In JSON the kind of rule is a key of its own: {"rule":[{"charset":[{…}]}]}.
	object, ok := item.Val.(*ast.ObjectType)
	if !ok {
		return errors.New("rule is not a block")
	}
	if len(item.Keys) >= 2 {
		kind, err := text(item.Keys[1].Token)
		if err != nil || kind != "charset" {
			return errors.New("the only kind of rule is charset")
		}
		return p.readCharset(object)
	}
	for _, inner := range object.List.Items {
		body, ok := inner.Val.(*ast.ObjectType)
		if keyOf(inner) != "charset" || !ok {
			return errors.New("the only kind of rule is charset")
		}
		if err := p.readCharset(body); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) readCharset(object *ast.ObjectType) error {
	var r rule
	for _, item := range object.List.Items {
		var err error
		switch key := keyOf(item); key {
		case "charset":
			r.charset, err = charset(item)
		case "min-chars":
			r.least, err = number(item)
		default:
			err = fmt.Errorf("unknown key %q in a rule", key)
		}
		if err != nil {
			return err
		}
	}
	if len(r.charset) == 0 {
		return errors.New("a rule has no charset")
	}
	p.rules = append(p.rules, r)
	return nil
}

func charset(item *ast.ObjectItem) ([]rune, error) {
	literal, ok := item.Val.(*ast.LiteralType)
	if !ok {
		return nil, errors.New("charset is not a string")
	}
	s, err := text(literal.Token)
	if err != nil {
		return nil, errors.New("charset is not a string")
	}
	runes := []rune(s)
	for _, c := range runes {
		if !unicode.IsPrint(c) {
			return nil, errors.New("charset has characters that cannot be printed")
		}
	}
	slices.Sort(runes)
	return slices.Compact(runes), nil
}

// keyOf is the first key of an item.
func keyOf(item *ast.ObjectItem) string {
	if len(item.Keys) == 0 {
		return ""
	}
	s, err := text(item.Keys[0].Token)
	if err != nil {
		return ""
	}
	return s
}

// text is a token's string; HCL panics on what is none.
func text(t token.Token) (string, error) {
	switch t.Type {
	case token.STRING, token.IDENT, token.HEREDOC:
		s, ok := t.Value().(string)
		if ok {
			return s, nil
		}
	}
	return "", errors.New("not a string")
}

func number(item *ast.ObjectItem) (int, error) {
	literal, ok := item.Val.(*ast.LiteralType)
	if ok && literal.Token.Type == token.NUMBER {
		if n, ok := literal.Token.Value().(int64); ok && n >= 0 && n <= 1<<20 {
			return int(n), nil
		}
	}
	return 0, fmt.Errorf("%s is not a whole number", keyOf(item))
}

// Generate makes a password: what the rules ask for first, then any of their characters, in
// random order.
func (p *Policy) Generate() string {
	made := make([]rune, 0, p.length)
	for _, r := range p.rules {
		for range r.least {
			made = append(made, r.charset[below(len(r.charset))])
		}
	}
	for len(made) < p.length {
		made = append(made, p.all[below(len(p.all))])
	}
	for i := len(made) - 1; i > 0; i-- {
		j := below(i + 1)
		made[i], made[j] = made[j], made[i]
	}
	return string(made)
}

// below draws a number in [0, n), all alike.
func below(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		// crypto/rand ends the process itself rather than fail.
		panic("password: no randomness")
	}
	return int(v.Int64())
}
