// Package policy owns what a policy means: the language it is written in, the rules it
// compiles to, and the answer to "may this request go on?". It is pure: no I/O, no clock,
// nothing of ours imported. Stored policies and the cache of compiled ones are package acl's.
//
// A document is parsed once into a Policy; the policies a token holds are compiled, for the
// entity behind it, into an ACL; an ACL answers Check. All three are immutable and safe for
// concurrent use.
package policy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits on a document. They are far above what people write and low enough that no text
// can make the parser, which recurses, or a compiled ACL grow without bound.
const (
	// MaxText is the greatest length of a policy text, in bytes.
	MaxText = 1 << 20
	// maxDepth is the greatest nesting of braces and brackets.
	maxDepth = 32
	// maxError is the greatest length of an error's text, in bytes.
	maxError = 1000
)

// Policy is a parsed document.
type Policy struct {
	// Name is the name it was parsed under; it shows as the granting policy.
	Name string
	// Text is the document as given.
	Text string
	// Templated says that some path holds a template, so that what the policy grants
	// depends on the entity.
	Templated bool

	stanzas  []stanza
	warnings []string
	// names is {Name}: what Decision.Granting shares when this policy alone grants.
	names []string
}

// stanza is one path block of a document.
type stanza struct {
	// pattern is the path as written but for its leading slash.
	pattern string
	// template is pattern cut at its braces; nil when it has none.
	template []piece
	grant
}

// grant is what a stanza, or several of the same pattern merged, allows.
type grant struct {
	caps Capability
	// minWrap and maxWrap bound the TTL of response wrapping; 0 is no bound.
	minWrap, maxWrap time.Duration
	// allowed and denied map folded parameter names to the values that match; an empty
	// list matches every value. required holds folded names.
	allowed, denied map[string][]any
	required        []string
}

// Parse reads a document in HCL or JSON. Its errors begin with "failed to parse policy: "
// and tell the line where there is one (contract: policies §1). Text that is base64 must
// have gone through Decode.
func Parse(name, text string) (*Policy, error) {
	p := &Policy{Name: name, Text: text, names: []string{name}}
	root, err := parseDocument(text)
	if err == nil {
		err = p.read(root)
	}
	if err != nil {
		return nil, errors.New("failed to parse policy: " + clipped(err.Error()))
	}
	return p, nil
}

// clipped bounds an error that repeats parts of a document, for people and logs.
func clipped(text string) string {
	if len(text) <= maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError], "") + "…"
}

// Decode returns the document in text: where the whole of it is standard base64 of UTF-8
// text, what that encodes, else text itself (contract: policies §1.7).
func Decode(text string) string {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 || !utf8.Valid(raw) {
		return text
	}
	return string(raw)
}

// Warnings tells what the document asks for and this server does not enforce, and which
// rules can never apply. It is for whoever writes the policy.
func (p *Policy) Warnings() []string { return p.warnings }

// parseDocument turns text into a tree, whichever of the two languages it is in.
func parseDocument(text string) (node, error) {
	if len(text) > MaxText {
		return node{}, fmt.Errorf("policy is longer than %d bytes", MaxText)
	}
	if !utf8.ValidString(text) {
		return node{}, errors.New("policy is not valid UTF-8")
	}
	if isJSON(text) {
		return parseJSON(text)
	}
	return parseHCL(text)
}
