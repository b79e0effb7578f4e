package arch

import (
	"go/ast"
	"path"
	"strings"
)

// checkGlobals: a package-level variable is a constant that Go cannot write as one. So
// nothing may assign to it, to a field or an element of it, or take its address, in its own
// package or another; and its type must not be one that changes by being used. Sentinel
// errors, compiled patterns, tables, embedded files and interface guards all pass.
func checkGlobals(tree []source) []finding {
	globals := make(map[string]map[string]finding) // folder, name
	var found []finding
	for _, s := range tree {
		if s.isTest() {
			continue
		}
		for _, decl := range s.syntax.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok || gen.Tok.String() != "var" {
					continue
				}
				for _, name := range v.Names {
					f := finding{"global", s.path + " " + name.Name, s.at(v), "variable " + name.Name}
					if changing := changingType(v); changing != "" && name.Name != "_" {
						f.text += " is of a type that changes by being used: " + changing
						found = append(found, f)
						continue
					}
					if globals[s.dir] == nil {
						globals[s.dir] = make(map[string]finding)
					}
					globals[s.dir][name.Name] = f
				}
			}
		}
	}
	for _, s := range tree {
		if !s.isTest() {
			found = append(found, writes(s, globals)...)
		}
	}
	return found
}

// changingType names the type of v where it is one of those whose methods change it. Without
// type information it is what the declaration says that counts.
func changingType(v *ast.ValueSpec) string {
	exprs := append([]ast.Expr{v.Type}, v.Values...)
	changing := ""
	for _, e := range exprs {
		if e == nil {
			continue
		}
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ChanType:
				changing = "chan"
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok {
					switch name := pkg.Name + "." + n.Sel.Name; {
					case strings.HasPrefix(name, "sync."), strings.HasPrefix(name, "atomic."), strings.HasPrefix(name, "rand.New"),
						name == "bytes.Buffer", name == "strings.Builder", name == "http.Client", name == "http.DefaultClient":
						changing = name
					}
				}
			}
			return changing == ""
		})
	}
	return changing
}

// writes finds the places where s changes a package-level variable of its own package or of
// one it imports.
func writes(s source, globals map[string]map[string]finding) []finding {
	imported := make(map[string]string) // local name, folder
	for i, name := range s.imports() {
		if dir, ours := strings.CutPrefix(name, module+"/"); ours {
			local := path.Base(dir)
			if spec := s.syntax.Imports[i]; spec.Name != nil {
				local = spec.Name.Name
			}
			imported[local] = dir
		}
	}
	var found []finding
	for _, decl := range s.syntax.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		local := localNames(fn)
		ast.Inspect(fn, func(n ast.Node) bool {
			for _, id := range assignedRoots(n) {
				if local[id.Name] {
					continue
				}
				if f, ok := globals[s.dir][id.Name]; ok {
					f.text += " is changed at " + s.at(n)
					found = append(found, f)
				}
				if name := selected(n, id); name != "" {
					if f, ok := globals[imported[id.Name]][name]; ok {
						f.text += " is changed at " + s.at(n)
						found = append(found, f)
					}
				}
			}
			return true
		})
	}
	return found
}

// localNames are the names that fn declares anywhere: a write to such a name is taken to
// mean the local variable.
func localNames(fn *ast.FuncDecl) map[string]bool {
	names := make(map[string]bool)
	add := func(e ast.Expr) {
		if id, ok := e.(*ast.Ident); ok {
			names[id.Name] = true
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok.String() == ":=" {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.RangeStmt:
			if n.Tok.String() == ":=" {
				add(n.Key)
				add(n.Value)
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.Field:
			for _, id := range n.Names {
				add(id)
			}
		}
		return true
	})
	return names
}

// selected is Name in pkg.Name, where pkg is the root of what n changes.
func selected(n ast.Node, pkg *ast.Ident) string {
	name := ""
	ast.Inspect(n, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.X == ast.Expr(pkg) {
			name = sel.Sel.Name
		}
		return name == ""
	})
	return name
}
