// Package e2e owns the tests that run the built program as its users do: real servers on
// free ports of this machine, and the clients that people have (hvac, the official Go
// client, node-vault, curl, the command line under both of its names).
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// binDir holds the program as jeton and as vault. TestMain sets it before any test runs.
var binDir string

func TestMain(m *testing.M) {
	code, err := mainOf(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// mainOf runs the tests against $JETON_BIN, or against a build of the working tree.
func mainOf(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "jeton-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "jeton")
	if given := os.Getenv("JETON_BIN"); given != "" {
		if _, err := os.Stat(given); err != nil {
			return 1, fmt.Errorf("JETON_BIN: %w", err)
		}
		if err := os.Symlink(given, program); err != nil {
			return 1, err
		}
	} else if out, err := exec.Command("go", "build", "-o", program, "jeton/cmd/jeton").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building: %w\n%s", err, out)
	}
	if err := os.Symlink("jeton", filepath.Join(dir, "vault")); err != nil {
		return 1, err
	}
	binDir = dir
	return m.Run(), nil
}

// lacking leaves a test out for want of a tool, or fails where nothing may be left out.
func lacking(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("JETON_REQUIRE_ALL") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// need makes sure that the tools are there.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool+" is not installed")
		}
	}
}

// python is the interpreter that has hvac: Debian's own, whatever else is on the PATH.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("JETON_PYTHON")
	if path == "" {
		path = "/usr/bin/python3"
	}
	if out, err := exec.Command(path, "-c", "import hvac").CombinedOutput(); err != nil {
		lacking(t, fmt.Sprintf("%s has no hvac (Debian: python3-hvac): %v %s", path, err, out))
	}
	return path
}

// patience bounds what should be done at once, on a machine that is busy.
const patience = time.Minute

// await asks every 50 ms until the answer is yes. It is for what only time or another
// process brings about; where neither is at work, ask once.
func await(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}
