package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"testing"
)

// secretName says what a secret is called. What is compared with == byte by byte stops at the
// first difference, so that time tells how much of a guess was right (GHSA-34fc-gh42-pj53).
var secretName = regexp.MustCompile(`(?i)(password|passphrase|secret|secretid|mac|hmac|otp|share|clienttoken|privatekey|signature|verifier|clientnonce)$`)

// kindName is a kind of key and no key.
var kindName = regexp.MustCompile(`^(type|kind)[A-Z]`)

// checkSecrets finds == and != between a secret and anything that is not a constant.
func checkSecrets(tree []source) []finding {
	var found []finding
	for _, s := range tree {
		if s.isTest() {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			b, ok := n.(*ast.BinaryExpr)
			if !ok || b.Op != token.EQL && b.Op != token.NEQ || constant(b.X) || constant(b.Y) {
				return true
			}
			for _, operand := range []ast.Expr{b.X, b.Y} {
				if name := lastName(operand); secretName.MatchString(name) && !kindName.MatchString(name) {
					found = append(found, finding{"secret", s.path + " " + name, s.at(b), fmt.Sprintf("%s is compared with %s; use crypto/subtle", name, b.Op)})
				}
			}
			return true
		})
	}
	return found
}

// constant says whether an operand is known to everybody: a literal, nil, true, false.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false"
	case *ast.ParenExpr:
		return constant(e.X)
	}
	return false
}

// lastName is the name of a variable, field or pointed-to value; "" for a call and the like.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.StarExpr:
		return lastName(e.X)
	case *ast.ParenExpr:
		return lastName(e.X)
	case *ast.SliceExpr:
		return lastName(e.X)
	case *ast.CallExpr:
		// string(secret), []byte(secret): a conversion is the same bytes, a length is not.
		_, bytes := e.Fun.(*ast.ArrayType)
		if name, ok := e.Fun.(*ast.Ident); len(e.Args) == 1 && (bytes || ok && name.Name == "string") {
			return lastName(e.Args[0])
		}
	}
	return ""
}

// TestGHSA34fcgh42pj53SecretsAreNotComparedByteByByte: the rule finds what it is for.
func TestGHSA34fcgh42pj53SecretsAreNotComparedByteByByte(t *testing.T) {
	for text, want := range map[string]int{
		`a.Password == b`:                            1,
		`got != want.secretID`:                       1,
		`string(mac) == expected`:                    1,
		`password == ""`:                             0,
		`secret != nil`:                              0,
		`len(password) == n`:                         0,
		`subtle.ConstantTimeCompare(mac, want) == 1`: 0,
		`passwords == n`:                             0,
	} {
		s, err := parseSource("internal/x/a.go", []byte("package x\nfunc f() bool { return "+text+" }"))
		if err != nil {
			t.Fatal(err)
		}
		if got := checkSecrets([]source{s}); len(got) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
