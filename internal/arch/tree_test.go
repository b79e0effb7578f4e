package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// module is the name that our own imports begin with.
const module = "jeton"

// source is one Go file of the tree.
type source struct {
	// path is relative to the root, with slashes; dir is its folder.
	path, dir string
	syntax    *ast.File
	fset      *token.FileSet
	lines     int
}

// isTest tells whether the file is compiled into tests only: a _test.go file, a package
// that serves tests (storetest), or something under test/.
func (s source) isTest() bool {
	return strings.HasSuffix(s.path, "_test.go") || isTestPackage(s.dir)
}

func isTestPackage(dir string) bool {
	return strings.HasSuffix(path.Base(dir), "test") || strings.HasPrefix(dir+"/", "test/") || dir == "internal/arch"
}

// imports are the import paths of the file.
func (s source) imports() []string {
	var all []string
	for _, spec := range s.syntax.Imports {
		if name, err := strconv.Unquote(spec.Path.Value); err == nil {
			all = append(all, name)
		}
	}
	return all
}

// at is "file:line" of a node.
func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// span is how many lines a node takes.
func (s source) span(n ast.Node) int {
	return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
}

func parseSource(name string, text []byte) (source, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	return source{path: name, dir: path.Dir(name), syntax: syntax, fset: fset, lines: strings.Count(string(text), "\n")}, nil
}

// loadTree parses every Go file below root.
func loadTree(t *testing.T, root string) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			skip := name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "bin")
			if skip {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s, err := parseSource(filepath.ToSlash(rel), text)
		if err != nil {
			return err
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
