package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityNamesTests: docs/security.md may only name tests that exist.
func TestSecurityNamesTests(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 80 {
		t.Fatalf("it names %d tests only: has its form changed?", len(named))
	}
	exist := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			exist[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range named {
		if !exist[m[1]] {
			t.Errorf("docs/security.md names %s, which does not exist", m[1])
		}
	}
}

// TestFaultsHaveTestsInTheirName: each published fault of docs/security.md that could be here is in
// the name of a test or of one of its rows, so that who looks for the fault finds the test.
func TestFaultsHaveTestsInTheirName(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var names strings.Builder
	named := regexp.MustCompile(`(?m)^func (?:Test|Fuzz)\w+|"[^"\n]*(?:CVE|GHSA)[^"\n]*"`)
	err = filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		names.WriteString(strings.Join(named.FindAllString(string(source), -1), "\n"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
	}
	all, faults := plain(names.String()), 0
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*) \| [^|]* \| ([^|]*)`).FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(row[2], "n/a") || strings.HasPrefix(row[2], "no agent") {
			continue
		}
		for _, fault := range regexp.MustCompile(`CVE-\d+-\d+|GHSA(-\w{4}){3}`).FindAllString(row[1], -1) {
			faults++
			if !strings.Contains(all, plain(fault)) {
				t.Errorf("no test has %s in its name", fault)
			}
		}
	}
	if faults < 60 {
		t.Errorf("docs/security.md has %d faults only: has its form changed?", faults)
	}
}
