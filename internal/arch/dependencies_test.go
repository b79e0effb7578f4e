package arch

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxDependencies is how many modules the server may use directly: each is somebody else's code
// in the same process as the keys. Those of tests and tools are not.
const maxDependencies = 21

// TestDependencies: every module that the source imports, or that go.mod names as a tool,
// has its row in docs/dependencies.md, and every row its module.
func TestDependencies(t *testing.T) {
	used := directModules(t)
	listed := listedModules(t)
	for module, by := range used {
		if !slices.Contains(listed, module) {
			t.Errorf("%s (imported by %s) has no row in docs/dependencies.md", module, by)
		}
	}
	for _, module := range listed {
		if used[module] == "" {
			t.Errorf("docs/dependencies.md has a row for %s, which nothing imports", module)
		}
	}
	served := 0
	for _, module := range listed {
		if !slices.Contains(ofTests(t), module) {
			served++
		} else if by := used[module]; !isTestPath(by) {
			t.Errorf("docs/dependencies.md has %s among those of tests and tools, but %s imports it", module, by)
		}
	}
	if served > maxDependencies {
		t.Errorf("the server has %d direct dependencies, more than %d", served, maxDependencies)
	}
}

// isTestPath says whether what a file imports is not in the server.
func isTestPath(file string) bool {
	return strings.HasSuffix(file, "_test.go") || isTestPackage(path.Dir(file)) || file == asTool
}

// asTool stands for the file of a module that go.mod names as a tool.
const asTool = "go.mod, as a tool"

// directModules maps each module that is used directly to one file that uses it.
func directModules(t *testing.T) map[string]string {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var required []string
	used := make(map[string]string)
	tools := regexp.MustCompile(`(?m)^tool (\S+)|^\t(\S+)$`).FindAllStringSubmatch(string(text), -1)
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\t?([a-z0-9.-]+\.[a-z]+/\S+|[a-z]+\.[a-z]+/\S+) v\S+`).FindAllStringSubmatch(string(text), -1) {
		required = append(required, m[1])
	}
	if len(required) == 0 {
		t.Fatal("go.mod names no module: has its form changed?")
	}
	take := func(imported, by string) {
		best := ""
		for _, m := range required {
			if (imported == m || strings.HasPrefix(imported, m+"/")) && len(m) > len(best) {
				best = m
			}
		}
		// A file of the server is worth more than one of a test.
		if best != "" && (used[best] == "" || isTestPath(used[best])) {
			used[best] = by
		}
	}
	for _, m := range tools {
		take(m[1]+m[2], asTool)
	}
	for _, s := range loadTree(t, "../..") {
		for _, imported := range s.imports() {
			take(imported, s.path)
		}
	}
	return used
}

// listedModules are the first cells of the tables in docs/dependencies.md.
func listedModules(t *testing.T) []string { return modulesIn(t, dependenciesText(t)) }

// ofTests are those of the second table.
func ofTests(t *testing.T) []string {
	_, second, found := strings.Cut(dependenciesText(t), "\n## In tests and tools only\n")
	if !found {
		t.Fatal("docs/dependencies.md has no second part: has its form changed?")
	}
	return modulesIn(t, second)
}

func dependenciesText(t *testing.T) string {
	text, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func modulesIn(t *testing.T, text string) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(.*)\\|$").FindAllStringSubmatch(text, -1) {
		if len(strings.TrimSpace(m[2])) < 20 {
			t.Errorf("docs/dependencies.md: %s has no reason", m[1])
		}
		all = append(all, m[1])
	}
	return all
}
