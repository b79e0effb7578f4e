package contract_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// elsewhere are the numbered lines that are not to be seen over HTTP, and the test that has them.
var elsewhere = map[string]struct{ file, text string }{
	"leases §7.18": {"../../internal/token/faults_test.go", "leases §7.18"},
	"audit §10.2":  {"../../internal/audit/contract_test.go", "func TestRow2EnableFileByEitherName("},
	"audit §10.3":  {"../../internal/audit/contract_test.go", "func TestRow3UnwritableIsRefused("},
	"audit §10.11": {"../../internal/audit/contract_test.go", "func TestRow11Reload("},
	"audit §10.12": {"../../internal/audit/contract_test.go", "func TestRow12FiftyWriters("},
}

// Every line of the contract's numbered lists has a row whose name, or the comment of whose test, has
// its number. A list that grows has its number here raised.
func TestEveryLineHasItsRow(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		if name == "lines_test.go" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	source := strings.Split(all.String(), "\n")
	// several is how a name may have several numbers: "tests 1 and 2".
	const several = `(?:\d+(?:, | and ))*`
	for list, l := range map[string]struct {
		lines  int
		before string
	}{
		"http §10.":             {24, `http §10\.`},
		"tokens §13.":           {40, `tokens §13\.`},
		"leases §7.":            {22, `leases §7\.`},
		"wrapping §8.":          {20, `wrapping §8\.`},
		"policies §13.":         {25, `policies §13\.`},
		"audit §10.":            {17, `audit §10\.`},
		"identity §7.":          {19, `identity §7\.`},
		"secrets §2 test ":      {14, `secrets §2 tests? ` + several},
		"auth-methods §1 test ": {8, `auth-methods §1 tests? ` + several},
		"sys §0 test ":          {7, `sys §0 tests? ` + several},
		"sys tests (tail) ":     {10, `sys.* \(tail\) ` + several},
	} {
		of := regexp.MustCompile(`(?:"|// )[^"]*` + l.before + `\d`)
		named := strings.Join(slices.DeleteFunc(slices.Clone(source), func(line string) bool { return !of.MatchString(line) }), "\n")
		for n := 1; n <= l.lines; n++ {
			line := fmt.Sprint(list, n)
			if other, ok := elsewhere[line]; ok {
				if text, err := os.ReadFile(other.file); err != nil || !strings.Contains(string(text), other.text) {
					t.Errorf("%s should be in %s: %v", line, other.file, err)
				}
				continue
			}
			if !regexp.MustCompile(fmt.Sprintf(`%s%d\b`, l.before, n)).MatchString(named) {
				t.Errorf("%s has no row", line)
			}
		}
	}
}
