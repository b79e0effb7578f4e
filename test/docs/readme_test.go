// Package docs_test owns the proof that the documents are true: the README's examples run as
// they are printed, its configuration loads, its links lead somewhere.
package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"jeton/internal/config"
	"jeton/internal/porttest"
)

const (
	root = "../.."
	// printed is the address that the documents use; the test's server has one of its own.
	printed = "127.0.0.1:8200"
	// patience bounds how long the server may take to start, and one example to run.
	patience = 60 * time.Second
)

// fence is one fenced block of a document.
type fence struct {
	language, mark string
	text           string
	line           int
}

func fences(t *testing.T, name string) []fence {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	var all []fence
	var open *fence
	for i, line := range strings.Split(string(data), "\n") {
		info, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &fence{line: i + 1}
			open.language, open.mark, _ = strings.Cut(info, " ")
		case isFence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block does not end", name, open.line)
	}
	return all
}

// TestReadmeRuns runs every block marked "run", in order, against one dev server, and looks
// for the lines of the "output" block that follows it.
func TestReadmeRuns(t *testing.T) {
	address := startServer(t)
	home := t.TempDir()
	blocks := fences(t, "README.md")
	ran := 0
	for i, b := range blocks {
		if b.mark != "run" {
			continue
		}
		ran++
		script := strings.ReplaceAll(b.text, printed, address)
		got := run(t, b, script, home)
		if i+1 == len(blocks) || blocks[i+1].mark != "output" {
			t.Errorf("README.md:%d: no output block follows", b.line)
			continue
		}
		rest := got
		for want := range strings.SplitSeq(strings.TrimSpace(blocks[i+1].text), "\n") {
			_, after, ok := strings.Cut(rest, want+"\n")
			if !ok {
				t.Errorf("README.md:%d: the output lacks %q in its place:\n%s", b.line, want, got)
				break
			}
			rest = after
		}
	}
	if ran == 0 {
		t.Error("README.md has no block marked run")
	}
}

// run executes one example as a reader would, from the root of the source.
func run(t *testing.T, b fence, script, home string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var cmd *exec.Cmd
	switch b.language {
	case "sh":
		need(t, "curl")
		need(t, "jq")
		cmd = exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	case "python":
		python := os.Getenv("JETON_PYTHON")
		if python == "" {
			python = "/usr/bin/python3" // Debian's own, which sees Debian's hvac.
		}
		if err := exec.CommandContext(ctx, python, "-c", "import hvac").Run(); err != nil {
			lack(t, "hvac for "+python)
		}
		cmd = exec.CommandContext(ctx, python, "-c", script)
	default:
		t.Fatalf("README.md:%d: cannot run %q", b.line, b.language)
	}
	cmd.Dir = root
	cmd.Env = append(cleanEnvironment(), "HOME="+home)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("README.md:%d: %v\n%s", b.line, err, out)
	}
	return string(out)
}

// cleanEnvironment is the test's own without what steers a client elsewhere.
func cleanEnvironment() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "VAULT_") && !strings.HasPrefix(pair, "JETON_") && !strings.HasPrefix(strings.ToLower(pair), "http_proxy=") {
			env = append(env, pair)
		}
	}
	return env
}

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		lack(t, program)
	}
}

// lack ends a test whose tool is missing: it fails where nothing may be left out.
func lack(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("JETON_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is missing, and nothing may be left out", what)
	}
	t.Skipf("%s is missing; `make set-up` installs it where it may", what)
}

// makeRun is what `make run` starts, after bin/jeton, but on another address.
func makeRun(t *testing.T, address string) []string {
	t.Helper()
	need(t, "make")
	show := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-n", "run")
	show.Dir = root
	out, err := show.Output()
	if err != nil {
		t.Fatalf("make -n run: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := strings.Fields(strings.ReplaceAll(lines[len(lines)-1], printed, address))
	if len(last) < 2 || last[0] != "bin/jeton" || !strings.Contains(lines[len(lines)-1], printed) {
		t.Fatalf("make run ends with %q, which is no server on %s", lines[len(lines)-1], printed)
	}
	return last[1:]
}

// startServer starts the dev server of `make run` on a free port and waits for it to answer.
func startServer(t *testing.T) (address string) {
	t.Helper()
	address = launchServer(t)
	resp, err := http.Get("http://" + address + "/v1/sys/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("health: %s", resp.Status)
	}
	return address
}

// launchServer starts the dev server of `make run`, with more flags, on a free port, and waits for
// it to say that it is there.
func launchServer(t *testing.T, more ...string) (address string) {
	t.Helper()
	// Read by name and not from JETON_BIN: the README says bin/jeton.
	bin := filepath.Join(root, "bin", "jeton")
	if _, err := os.Stat(bin); err != nil {
		lack(t, "bin/jeton (`make build`)")
	}
	address = porttest.Free(t)
	cmd := exec.Command(bin, append(append(makeRun(t, address), "-dev-no-store-token"), more...)...)
	cmd.Env = append(cleanEnvironment(), "HOME="+t.TempDir())
	var logged bytes.Buffer
	cmd.Stderr = &logged
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			// The last thing but one that a dev server says, once it is unsealed.
			if strings.HasPrefix(lines.Text(), "Root Token:") {
				started <- true
			}
		}
		close(started)
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Logf("stopping the server: %v", err)
		}
		for range started { // Until its output ends.
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("server: %v\n%s", err, logged.String())
		}
	})
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case ok := <-started:
		if !ok {
			t.Fatal("the server ended instead of starting")
		}
	case <-timeout.C:
		t.Fatal("the server did not say that it started")
	}
	return address
}

// TestReadmeConfiguration: the blocks marked "config" load without an error or a warning.
func TestReadmeConfiguration(t *testing.T) {
	found := 0
	for _, b := range fences(t, "README.md") {
		if b.mark != "config" {
			continue
		}
		found++
		c, err := config.Parse("README.md", []byte(b.text), config.Options{})
		if err != nil {
			t.Errorf("README.md:%d: %v", b.line, err)
		} else if len(c.Warnings) > 0 {
			t.Errorf("README.md:%d: %v", b.line, c.Warnings)
		}
	}
	if found == 0 {
		t.Error("README.md has no block marked config")
	}
}

// TestLinks: links between the documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
	documents := []string{"README.md", "CONTRIBUTING.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range more {
			rel, err := filepath.Rel(root, name)
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, rel)
		}
	}
	for _, name := range documents {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			target := filepath.Join(root, filepath.Dir(name), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	}
}
