package e2e

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// clientTypes are the parts of the official Go client of which these tests call every method.
var clientTypes = map[string]reflect.Type{
	"TokenAuth":       reflect.TypeFor[*api.TokenAuth](),
	"Sys":             reflect.TypeFor[*api.Sys](),
	"Logical":         reflect.TypeFor[*api.Logical](),
	"KVv1":            reflect.TypeFor[*api.KVv1](),
	"KVv2":            reflect.TypeFor[*api.KVv2](),
	"LifetimeWatcher": reflect.TypeFor[*api.LifetimeWatcher](),
}

// notCalled are the methods that no test calls, with the reason.
var notCalled = map[string]string{
	"LifetimeWatcher.Renew":      "the old name of Start, which is one call of it",
	"Sys.RekeyRecoveryKeyCancel": "the library sends it to sys/rekey/init; RekeyRecoveryKeyCancelWithNonce goes where it should",
}

// Every method of the official Go client's parts is called by a test of this package, or is in
// notCalled with a reason: a new version of the library with a new method fails here. A method
// X counts as called when XWithContext is, and the other way round: one is a line over the other.
func TestGoClientEveryMethod(t *testing.T) {
	called := calledMethods(t)
	for name, part := range clientTypes {
		if part.NumMethod() == 0 {
			t.Errorf("%s has no methods", name)
		}
		for i := range part.NumMethod() {
			method := name + "." + withoutContext(part.Method(i).Name)
			isCalled := called[method]
			reason, excused := notCalled[method]
			switch {
			case !isCalled && !excused:
				t.Errorf("no test calls %s: exercise it, or say why not in notCalled", method)
			case isCalled && excused:
				t.Errorf("%s is called, and excused with %q", method, reason)
			}
		}
	}
}

// withoutContext is the name of a method without what tells its two forms apart.
func withoutContext(name string) string { return strings.Replace(name, "WithContext", "", 1) }

// calledMethods are those of clientTypes that the tests of this package call, as the compiler
// resolves them.
func calledMethods(t *testing.T) map[string]bool {
	t.Helper()
	out, err := exec.Command("go", "list", "-export", "-deps", "-test", "-f", "{{if .Export}}{{.ImportPath}}={{.Export}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := map[string]string{}
	for line := range bytes.Lines(out) {
		path, file, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		exports[path] = file
	}
	files := gotoken.NewFileSet()
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	info := types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}
	checker := types.Config{Importer: importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	if _, err := checker.Check("e2e", files, parsed, &info); err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	for _, selection := range info.Selections {
		receiver := selection.Recv()
		if p, ok := receiver.(*types.Pointer); ok {
			receiver = p.Elem()
		}
		named, ok := receiver.(*types.Named)
		if ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == "github.com/hashicorp/vault/api" {
			called[named.Obj().Name()+"."+withoutContext(selection.Obj().Name())] = true
		}
	}
	return called
}
