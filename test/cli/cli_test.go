// Package cli_test owns the scripts that run the built program, as people and
// their shell scripts do, against real servers. Each script in testdata has a
// home directory, a free port and a server of its own.
package cli_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"jeton/internal/porttest"
)

// patience bounds how long a server may take to start or stop.
const patience = time.Minute

// build compiles the program into dir, under both of its names.
func build(dir string) error {
	program := filepath.Join(dir, "jeton")
	out, err := exec.Command("go", "build", "-o", program, "jeton/cmd/jeton").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building: %w\n%s", err, out)
	}
	return os.Symlink(program, filepath.Join(dir, "vault"))
}

func TestScripts(t *testing.T) {
	bin := t.TempDir()
	if err := build(bin); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			address, release, err := porttest.Reserve()
			if err != nil {
				return err
			}
			e.Defer(release)
			home := filepath.Join(e.WorkDir, "home")
			if err := os.Mkdir(home, 0o700); err != nil {
				return err
			}
			e.Setenv("HOME", home)
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			_, port, _ := strings.Cut(address, ":")
			e.Setenv("PORT", port)
			e.Setenv("VAULT_ADDR", "http://"+address)
			e.Values[serverKey{}] = &server{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server":  cmdServer,
			"stop":    cmdStop,
			"code":    cmdCode,
			"capture": cmdCapture,
			"expand":  cmdExpand,
			"answers": cmdAnswers,
		},
	})
}

// contract: cli §9: every numbered row has a script that names it.
func TestEveryRowOfSection9HasAScript(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "section9.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 22; n++ {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^# contract: cli §9\.%d\b`, n)).Match(text) {
			t.Errorf("no row for §9.%d", n)
		}
	}
}

type serverKey struct{}

// server is the one running server of a script.
type server struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone and its output read
	err    error         // of Wait; read after exited

	mu  sync.Mutex // guards out
	out strings.Builder
}

// cmdServer starts a server and waits until it says that it is ready:
//
//	server              a dev server with the root token "root"
//	server -config=...  a server with these arguments
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! server")
	}
	s := ts.Value(serverKey{}).(*server)
	if s.cmd != nil {
		ts.Fatalf("a server is running")
	}
	ready := "server started!"
	if len(args) == 0 || !strings.HasPrefix(args[0], "-config") {
		args = append([]string{"-dev", "-dev-root-token-id=root", "-dev-no-store-token",
			"-dev-listen-address=127.0.0.1:" + ts.Getenv("PORT")}, args...)
		ready = "Root Token:"
	}
	program, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "jeton"))
	ts.Check(err)
	s.cmd = exec.Command(program, append([]string{"server"}, args...)...)
	s.cmd.Dir = ts.MkAbs(".")
	s.cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	r, w, err := os.Pipe()
	ts.Check(err)
	s.cmd.Stdout, s.cmd.Stderr = w, w
	ts.Check(s.cmd.Start())
	w.Close()
	s.exited = make(chan struct{})
	seen := make(chan struct{})
	go s.follow(r, ready, seen)
	ts.Defer(func() {
		if err := s.stop(); err != nil {
			ts.Logf("%s", s.output())
			ts.Fatalf("stopping the server: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-seen:
	case <-s.exited:
		ts.Fatalf("the server ended: %v\n%s", s.err, s.output())
	case <-ctx.Done():
		ts.Fatalf("the server is not ready after %s\n%s", patience, s.output())
	}
}

// follow collects what the server prints and closes seen at the line that says
// it is ready.
func (s *server) follow(r *os.File, ready string, seen chan struct{}) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.mu.Lock()
		s.out.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if ready != "" && strings.Contains(lines.Text(), ready) {
			ready = ""
			close(seen)
		}
	}
	r.Close()
	s.err = s.cmd.Wait()
	close(s.exited)
}

func (s *server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// stop ends the server by its process id and reports how it ended.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	defer func() { s.cmd = nil }()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-s.exited:
		return s.err
	case <-ctx.Done():
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("it did not end within %s of SIGTERM", patience)
	}
}

// cmdStop stops the server and leaves its output for stdout patterns.
func cmdStop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: stop")
	}
	s := ts.Value(serverKey{}).(*server)
	ts.Check(s.stop())
	ts.Check(os.WriteFile(ts.MkAbs("server.log"), []byte(s.output()), 0o600))
}

// cmdCode runs a program and wants one exit code:
//
//	code 2 jeton status
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cmdCapture keeps the last standard output in a variable:
//
//	capture NAME
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: capture NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// cmdAnswers makes VAULT_ADDR a server that answers every request with one status and the text of
// one file, for answers that a real server does not give:
//
//	answers 400 FILE
func cmdAnswers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: answers STATUS FILE")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	body := ts.ReadFile(args[1])
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	ts.Defer(s.Close)
	ts.Setenv("VAULT_ADDR", s.URL)
}

// cmdExpand replaces $NAME in a file by the variable's value.
func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expand FILE")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}
