package arch

import (
	"go/ast"
	"slices"
	"strings"
	"testing"

	"jeton/internal/config"
)

// TestSettingsAreRead: a setting that the configuration accepts must be read by somebody,
// or be listed in config.UnservedSettings, which warns or refuses: a setting that is taken
// and not acted on is a promise that nobody keeps. A field counts as read when its name and
// those of the groups it lies in are selected anywhere outside internal/config; names are not
// types, so a common name proves little, but most are not common.
func TestSettingsAreRead(t *testing.T) {
	read := make(map[string]bool)
	types := make(map[string][]setting)
	for _, s := range loadTree(t, "../..") {
		if s.isTest() {
			continue
		}
		if s.dir == "internal/config" {
			collectTypes(s, types)
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				read[sel.Sel.Name] = true
			}
			return true
		})
	}
	served := make(map[string]bool) // "Type.Field" of every leaf
	walkSettings(types, read, "Config", true, served)
	if len(served) < 50 {
		t.Fatalf("found %d settings only: has internal/config changed its form?", len(served))
	}
	needed := make(map[string]bool)
	for leaf, isServed := range served {
		group := leaf[:strings.Index(leaf, ".")] + ".*"
		listed := ""
		for _, u := range config.UnservedSettings() {
			if u.Field == leaf || u.Field == group {
				listed = u.Field
			}
		}
		switch {
		case slices.Contains(shownOnly(), leaf):
		case !isServed && listed == "":
			t.Errorf("config.%s is read by nobody: serve it, or list its key in config.UnservedSettings", leaf)
		case !isServed:
			needed[listed] = true
		}
	}
	for _, u := range config.UnservedSettings() {
		if !needed[u.Field] {
			t.Errorf("config.%s is read by now: take its row out of config.UnservedSettings", u.Field)
		}
	}
}

// shownOnly are fields that nobody has to act on: they say where something stood, or are
// true of any server that is one node.
func shownOnly() []string {
	return []string{
		"Config.Files", "Log.FileLevel", "Storage.Source", "Storage.NodeID", "Features.DisableMlock",
		"Addresses.DisableClustering", "Addresses.Cluster", "Listener.ClusterAddress", "Listener.Source", "Seal.Source", "AuditDevice.Source",
		"Exposure.RedactAddresses", // no answer shows an address of this server
	}
}

// setting is one field; group is its type where that is one of the package's own.
type setting struct{ name, group string }

// walkSettings marks the leaves below a type as read or not.
func walkSettings(types map[string][]setting, read map[string]bool, in string, reached bool, served map[string]bool) {
	for _, s := range types[in] {
		// Lockouts are reached through a method.
		isRead := reached && (read[s.name] || in == "Lockouts" && read["For"])
		if _, isGroup := types[s.group]; isGroup {
			walkSettings(types, read, s.group, isRead, served)
			continue
		}
		leaf := in + "." + s.name
		served[leaf] = served[leaf] || isRead
	}
}

// collectTypes finds the exported structs of the package.
func collectTypes(s source, types map[string][]setting) {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		name := spec.Name.Name
		shape, ok := spec.Type.(*ast.StructType)
		if !ok || !spec.Name.IsExported() || name == "Secret" || name == "Warning" {
			return true
		}
		for _, field := range shape.Fields.List {
			for _, id := range field.Names {
				types[name] = append(types[name], setting{id.Name, groupOf(field.Type)})
			}
		}
		return true
	})
}

// groupOf is the name of a field's own type, behind pointers and slices; "" for any other.
func groupOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return groupOf(e.X)
	case *ast.ArrayType:
		return groupOf(e.Elt)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
