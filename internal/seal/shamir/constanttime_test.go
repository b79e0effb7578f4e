package shamir

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// TestCVE_2023_25000_NoTablesNoBranches: arithmetic on secret bytes neither indexes memory nor
// branches by them. The only condition allowed is that of a loop over a counter.
func TestCVE_2023_25000_NoTablesNoBranches(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "field.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name == "evaluate" { // evaluate indexes by its counter alone
			continue
		}
		checked++
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.IndexExpr, *ast.IfStmt, *ast.SwitchStmt, *ast.SliceExpr:
				t.Errorf("%s has a %T", fn.Name.Name, n)
			case *ast.ForStmt:
				condition, ok := n.Cond.(*ast.BinaryExpr)
				if !ok {
					t.Errorf("%s has a loop without a plain bound", fn.Name.Name)
					return true
				}
				counter, _ := condition.X.(*ast.Ident)
				_, literal := condition.Y.(*ast.BasicLit)
				if counter == nil || counter.Name != "i" || !literal {
					t.Errorf("%s has a loop that is not over a fixed count", fn.Name.Name)
				}
			case *ast.BinaryExpr:
				if n.Op == token.LAND || n.Op == token.LOR || n.Op == token.QUO || n.Op == token.REM {
					t.Errorf("%s uses %s, whose time depends on its operands", fn.Name.Name, n.Op)
				}
			}
			return true
		})
	}
	if checked != 2 {
		t.Fatalf("%d functions checked, want multiply and inverse", checked)
	}
}
