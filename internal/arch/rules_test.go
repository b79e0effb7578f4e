package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// finding is one broken rule.
type finding struct {
	rule string
	// subject is what an exception names: the importing folder and the imported one for
	// arrows, a folder or file, or "file name" for a declaration.
	subject string
	// at is where to look.
	at, text string
}

func (f finding) String() string {
	return fmt.Sprintf("%s: %s: %s (exception: %q)", f.at, f.rule, f.text, f.subject)
}

// rule judges the whole tree.
type rule func(tree []source) []finding

func rules() []rule {
	return []rule{
		checkArrows, checkForbiddenImports, checkNames, checkInit, checkGlobals,
		checkPackageComments, checkFileSize, checkDeclarationSize, checkClock, checkSecrets,
	}
}

// floors are the rooms from the ground up. A room may import what lies on a lower floor; what
// lies on its own floor or higher only where the exceptions say so.
func floors() [][]string {
	return [][]string{
		{"internal/clock", "internal/version", "internal/store", "internal/policy", "internal/config", "internal/seal/shamir", "internal/logging", "internal/gate", "internal/mac", "internal/outbound",
			"internal/cli/transfer"}, // it knows servers by their API alone, and nothing of this one
		{"internal/record", "internal/backend"},
		{"internal/seal", "internal/lease", "internal/quota", "internal/acl", "internal/audit", "internal/edge", "internal/openapi", "internal/metrics", "internal/tool"},
		{"internal/token", "internal/identity", "internal/idtoken", "internal/wrap", "internal/mount"},
		{"internal/auth", "internal/engine", "internal/sys"},
		{"internal/node"},
		{"internal/server"},
		{"internal/cli"},
		{"internal/daemon"},
		{"cmd"},
	}
}

// roomOf is the room that a folder belongs to and its floor; the longest match wins.
func roomOf(dir string) (room string, floor int) {
	floor = -1
	for i, rooms := range floors() {
		for _, r := range rooms {
			if (dir == r || strings.HasPrefix(dir, r+"/")) && len(r) > len(room) {
				room, floor = r, i
			}
		}
	}
	return room, floor
}

// isolated are the rooms whose folders must not know each other, and what else they must
// not know although it lies below: a login method returns an Auth, it mints no token.
func isolated() map[string][]string {
	return map[string][]string{
		"internal/auth":   {"internal/token", "internal/seal", "internal/wrap", "internal/mount"},
		"internal/engine": {"internal/token", "internal/seal", "internal/wrap", "internal/mount"},
	}
}

// checkArrows: imports point downwards.
func checkArrows(tree []source) []finding {
	var found []finding
	for _, s := range tree {
		if s.isTest() {
			continue
		}
		from, fromFloor := roomOf(s.dir)
		if fromFloor < 0 {
			found = append(found, finding{"arrow", s.dir, s.path, "lies in no room: add it to floors()"})
			continue
		}
		for _, imported := range s.imports() {
			to, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if reason := wrongArrow(from, fromFloor, to); reason != "" {
				found = append(found, finding{"arrow", s.dir + " -> " + to, s.path, reason})
			}
		}
	}
	return found
}

func wrongArrow(from string, fromFloor int, to string) string {
	room, floor := roomOf(to)
	switch {
	case isTestPackage(to):
		return "imports " + to + ", which serves tests only"
	case floor < 0:
		return "imports " + to + ", which lies in no room"
	case slices.Contains(isolated()[from], room):
		return "must not import " + to
	case room == from:
		_, separate := isolated()[from]
		// Within a room, a folder may use the room's own package.
		if separate && to != from {
			return "must not import its neighbour " + to
		}
		return ""
	case floor >= fromFloor:
		return "imports " + to + ", which is not below it"
	case strings.HasPrefix(to, "internal/store/") && from != "internal/daemon":
		return "imports " + to + ": which store there is, the daemon decides"
	}
	return ""
}

// checkForbiddenImports: what stays at the edge.
func checkForbiddenImports(tree []source) []finding {
	// only says which folders may import a package; nobody else may.
	only := []struct {
		prefix  string
		allowed []string
		instead string
	}{
		{"net/http", []string{"internal/server", "internal/cli", "internal/outbound"}, "HTTP belongs to the edge, to clients and to devices"},
		{"database/sql", []string{"internal/store/postgres", "internal/engine/database"}, "SQL belongs to store/postgres and engine/database"},
		{"github.com/jackc/pgx", []string{"internal/store/postgres", "internal/engine/database"}, "SQL belongs to store/postgres and engine/database"},
		{module + "/internal/cli/transfer", []string{"internal/cli"}, "moving between servers is a command's business"},
		{"testing", nil, "only tests and *test packages import testing"},
		{"log", nil, "log with log/slog"},
		{"math/rand", nil, "randomness is crypto/rand"},
		{"unsafe", nil, "nothing here is worth it"},
		{"io/ioutil", nil, "use io and os"},
	}
	var found []finding
	for _, s := range tree {
		if s.isTest() {
			continue
		}
		for _, imported := range s.imports() {
			for _, o := range only {
				exact := imported == o.prefix || strings.HasPrefix(imported, o.prefix+"/") && o.prefix != "log" && o.prefix != "testing"
				within := slices.ContainsFunc(o.allowed, func(dir string) bool { return s.dir == dir || strings.HasPrefix(s.dir, dir+"/") })
				if exact && !within {
					found = append(found, finding{"import", s.dir + " -> " + imported, s.path, "imports " + imported + ": " + o.instead})
				}
			}
		}
	}
	return found
}

// checkNames: a name that says nothing is a place where everything ends up.
func checkNames(tree []source) []finding {
	banned := []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base"}
	var found []finding
	for _, s := range tree {
		file := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.path), ".go"), "_test")
		for _, name := range append(strings.Split(s.dir, "/"), s.syntax.Name.Name, file) {
			if slices.Contains(banned, name) {
				found = append(found, finding{"name", s.path, s.path, "is called " + name})
			}
		}
	}
	return found
}

// checkInit: nothing happens because a package was imported.
func checkInit(tree []source) []finding {
	var found []finding
	for _, s := range tree {
		for _, decl := range s.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, finding{"init", s.path, s.at(fn), "has an init function"})
			}
		}
	}
	return found
}

// checkPackageComments: each package says what it owns, in one place.
func checkPackageComments(tree []source) []finding {
	type seen struct {
		at    string
		count int
	}
	packages := make(map[string]*seen)
	var found []finding
	for _, s := range tree {
		if strings.HasSuffix(s.path, "_test.go") || s.syntax.Name.Name == "main" {
			continue
		}
		p := packages[s.dir]
		if p == nil {
			p = &seen{at: s.path}
			packages[s.dir] = p
		}
		if s.syntax.Doc == nil {
			continue
		}
		p.count++
		if want := "Package " + s.syntax.Name.Name + " owns "; !strings.HasPrefix(strings.Join(strings.Fields(s.syntax.Doc.Text()), " "), want) {
			found = append(found, finding{"comment", s.dir, s.path, "the package comment does not begin with " + want})
		}
	}
	for dir, p := range packages {
		if p.count != 1 {
			found = append(found, finding{"comment", dir, p.at, fmt.Sprintf("%d files of the package carry a package comment, not one", p.count)})
		}
	}
	return found
}

// The budgets that well-kept Go servers keep.
const (
	maxFileLines        = 700
	maxFunctionLines    = 80
	maxStructFields     = 16
	maxInterfaceMethods = 6
)

func checkFileSize(tree []source) []finding {
	var found []finding
	for _, s := range tree {
		if s.lines > maxFileLines {
			found = append(found, finding{"file size", s.path, s.path, fmt.Sprintf("%d lines, more than %d", s.lines, maxFileLines)})
		}
	}
	return found
}

// checkDeclarationSize counts in code that is shipped: a table of a hundred test cases is
// easier to read in one piece.
func checkDeclarationSize(tree []source) []finding {
	var found []finding
	for _, s := range tree {
		if s.isTest() {
			continue
		}
		over := func(n ast.Node, name, what string, got, most int) {
			if got > most {
				found = append(found, finding{"size", s.path + " " + name, s.at(n), fmt.Sprintf("%s has %d %s, more than %d", name, got, what, most)})
			}
		}
		name := ""
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				name = n.Name.Name
				over(n, name, "lines", s.span(n), maxFunctionLines)
			case *ast.TypeSpec:
				name = n.Name.Name
			case *ast.StructType:
				if isWireShape(n) {
					return true
				}
				over(n, name, "fields", n.Fields.NumFields(), maxStructFields)
			case *ast.InterfaceType:
				over(n, name, "methods", n.Methods.NumFields(), maxInterfaceMethods)
			}
			return true
		})
	}
	return found
}

// isWireShape tells whether every field has a JSON name, or is embedded: such a struct is as
// wide as the contract's object is.
func isWireShape(s *ast.StructType) bool {
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 {
			continue
		}
		if f.Tag == nil || !strings.Contains(f.Tag.Value, `json:"`) {
			return false
		}
	}
	return true
}

// checkClock: one seam for the time. Tickers and timers that pace a loop are its owner's.
func checkClock(tree []source) []finding {
	forbidden := map[string]string{
		"Now":   "ask the clock.Clock that was handed down",
		"Since": "ask the clock.Clock that was handed down",
		"Until": "ask the clock.Clock that was handed down",
		"Sleep": "wait for an event or a context",
		"After": "use a timer that is stopped, or a context",
		"Tick":  "use time.NewTicker, which can be stopped",
	}
	var found []finding
	for _, s := range tree {
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok || pkg.Name != "time" || forbidden[sel.Sel.Name] == "" {
				return true
			}
			// Tests may ask for the time and wait for events under synctest; nobody sleeps.
			if sel.Sel.Name == "Sleep" || !s.isTest() {
				found = append(found, finding{"clock", s.path, s.at(sel), "time." + sel.Sel.Name + ": " + forbidden[sel.Sel.Name]})
			}
			return true
		})
	}
	return found
}

// isBlank tells whether an expression is the blank identifier.
func isBlank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "_"
}

// assignedRoots are the identifiers whose value, element or field the statement changes.
func assignedRoots(n ast.Node) []*ast.Ident {
	var targets []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			targets = n.Lhs
		}
	case *ast.IncDecStmt:
		targets = []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			targets = []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear" || fn.Name == "close") && len(n.Args) > 0 {
			targets = n.Args[:1]
		}
	}
	var roots []*ast.Ident
	for _, target := range targets {
		if id := root(target); id != nil && !isBlank(id) {
			roots = append(roots, id)
		}
	}
	return roots
}

// root is x in x, x.f, x[i], *x and (x); nil when there is none.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}
