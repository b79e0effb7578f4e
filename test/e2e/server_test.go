package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"jeton/internal/porttest"
)

// server is a server of our own, in a directory of its own, with a home of its own.
type server struct {
	t    *testing.T
	dir  string
	addr string
	// ca is the file that clients have to trust; "" for a development server.
	ca   string
	args []string
	// env is what the process gets besides.
	env []string
	// root is the root token, shares are the unseal keys (none for a development server).
	root   string
	shares []string

	proc *process
	// http is made by the first request.
	once sync.Once
	http *http.Client
}

// process is one life of a server.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it is gone and its output read
	err    error         // of Wait; read after exited
	ready  chan struct{} // closed at the line that says so

	mu  sync.Mutex // guards out
	out strings.Builder
}

// eachMode runs a test against a development server, and against a real one: data on disk,
// TLS, five shares of which three open it.
func eachMode(t *testing.T, test func(*testing.T, *server)) {
	t.Run("dev", func(t *testing.T) { t.Parallel(); test(t, startDev(t)) })
	t.Run("production", func(t *testing.T) { t.Parallel(); test(t, startProduction(t)) })
}

// startDev starts a server in memory, whose root token is "root".
func startDev(t *testing.T, more ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), root: "root"}
	host := porttest.Free(t)
	s.addr = "http://" + host
	s.args = append([]string{"server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token",
		"-dev-listen-address=" + host}, more...)
	s.start("Root Token:")
	t.Cleanup(s.stop)
	return s
}

// startProduction starts a server on disk with TLS, initialises it and opens it, all with
// the command line. secret/ is a versioned KV engine, as on a development server.
func startProduction(t *testing.T, more ...string) *server {
	t.Helper()
	s := newProduction(t, more...)
	s.begin()
	return s
}

// begin starts a server of newProduction, initialises it and opens it.
func (s *server) begin() {
	s.t.Helper()
	s.start("server started!")
	s.t.Cleanup(s.stop)
	var made struct {
		Keys []string `json:"unseal_keys_b64"`
		Root string   `json:"root_token"`
	}
	s.jsonOf(&made, "jeton", "operator", "init", "-key-shares=5", "-key-threshold=3", "-format=json")
	if len(made.Keys) != 5 || made.Root == "" {
		s.t.Fatalf("init gave %d keys and a root token of %d characters", len(made.Keys), len(made.Root))
	}
	s.shares, s.root = made.Keys, made.Root
	s.unseal()
	s.must("vault", "secrets", "enable", "-path=secret", "-version=2", "kv")
}

// newProduction writes the configuration of a server on disk and does not start it.
func newProduction(t *testing.T, more ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	host := porttest.Free(t)
	s.addr = "https://" + host
	certificate := writeCertificates(t, s.dir)
	s.ca = certificate.ca
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	s.args = append([]string{"server", "-config=" + writeConfig(t, s.dir, data, host, certificate)}, more...)
	return s
}

// writeConfig writes the configuration of a server on disk into dir.
func writeConfig(t *testing.T, dir, data, host string, c certificates) string {
	t.Helper()
	config := fmt.Sprintf(`
storage "raft" {
  path    = %q
  node_id = "one"
}
listener "tcp" {
  address       = %q
  tls_cert_file = %q
  tls_key_file  = %q
}
disable_mlock = true
`, data, host, c.cert, c.key)
	path := filepath.Join(dir, "server.hcl")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts the process and waits for the line that says it is ready.
func (s *server) start(ready string) {
	s.t.Helper()
	p, err := s.launch(ready)
	if err != nil {
		s.t.Fatal(err)
	}
	s.proc = p
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-p.ready:
	case <-p.exited:
		s.t.Fatalf("the server ended: %v\n%s", p.err, p.output())
	case <-ctx.Done():
		s.t.Fatalf("the server is not ready after %s\n%s", patience, p.output())
	}
}

// launch starts the process and does not wait for it.
func (s *server) launch(ready string) (*process, error) {
	home := filepath.Join(s.dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p := &process{cmd: exec.Command(filepath.Join(binDir, "jeton"), s.args...),
		exited: make(chan struct{}), ready: make(chan struct{})}
	p.cmd.Dir = s.dir
	p.cmd.Env = environ(append([]string{"HOME=" + home, "TMPDIR=" + s.dir}, s.env...)...)
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	go p.follow(r, ready)
	return p, nil
}

// follow keeps what the process prints, and its end.
func (p *process) follow(r io.ReadCloser, ready string) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.out.WriteString(line)
		p.mu.Unlock()
		if ready != "" && strings.Contains(line, ready) {
			ready = ""
			close(p.ready)
		}
		if err != nil {
			break
		}
	}
	r.Close()
	p.err = p.cmd.Wait()
	close(p.exited)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// stop ends the server in order; anything but a clean end fails the test.
func (s *server) stop() {
	p := s.proc
	if p == nil {
		return
	}
	s.check()
	s.proc = nil
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-p.exited:
		if p.err != nil {
			s.t.Errorf("the server ended with %v\n%s", p.err, tail(p.output()))
		}
	case <-ctx.Done():
		p.cmd.Process.Kill()
		<-p.exited
		s.t.Errorf("the server did not end within %s of SIGTERM\n%s", patience, tail(p.output()))
	}
	if strings.Contains(p.output(), "panic:") || strings.Contains(p.output(), "goroutine 1 [") {
		s.t.Errorf("the server panicked\n%s", tail(p.output()))
	}
}

// check proves that what the test left behind contradicts itself nowhere. A server that is sealed
// by now, or whose root token is gone, cannot be asked.
func (s *server) check() {
	if r := s.run(nil, "jeton", "operator", "check"); strings.Contains(r.errOut, "problems in") {
		s.t.Errorf("the data after the test: %s%s", r.out, r.errOut)
	}
}

// kill ends the server as a power cut does.
func (s *server) kill() {
	s.t.Helper()
	p := s.proc
	s.proc = nil
	if err := p.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-p.exited
}

// unseal opens the server with three of its five shares, by the command line.
func (s *server) unseal() {
	s.t.Helper()
	for i, share := range []string{s.shares[4], s.shares[0], s.shares[2]} {
		out := s.must("jeton", "operator", "unseal", share)
		if sealed := strings.Contains(out, "Sealed             true") || strings.Contains(out, "Sealed          true"); sealed != (i < 2) {
			s.t.Fatalf("after %d shares of 3:\n%s", i+1, out)
		}
	}
}

// environ is the environment of a child: ours without what would lead it to other servers.
func environ(more ...string) []string {
	env := []string{}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "VAULT_") && !strings.HasPrefix(pair, "BAO_") && !strings.Contains(strings.ToLower(pair), "_proxy=") {
			env = append(env, pair)
		}
	}
	return append(env, more...)
}

// environ is the environment of a client of this server, with every client's own way of
// naming the certificate authority.
func (s *server) environ(more ...string) []string {
	env := environ("PATH="+binDir+string(os.PathListSeparator)+os.Getenv("PATH"),
		"HOME="+filepath.Join(s.dir, "home"), "VAULT_ADDR="+s.addr, "VAULT_TOKEN="+s.root)
	if s.ca != "" {
		for _, name := range []string{"VAULT_CACERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
			env = append(env, name+"="+s.ca)
		}
	}
	return append(env, more...)
}

// result is what a program did.
type result struct {
	code        int
	out, errOut string
}

// command prepares a program of ours (found beside the server's) or of the system.
func (s *server) command(env []string, name string, args ...string) *exec.Cmd {
	if name == "jeton" || name == "vault" {
		name = filepath.Join(binDir, name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = s.environ(env...)
	return cmd
}

// run runs a program to its end.
func (s *server) run(env []string, name string, args ...string) result {
	s.t.Helper()
	cmd := s.command(env, name, args...)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("%s: %v", name, err)
	}
	return result{code: cmd.ProcessState.ExitCode(), out: out.String(), errOut: errOut.String()}
}

// must runs a program that has to succeed, and returns its standard output.
func (s *server) must(name string, args ...string) string {
	s.t.Helper()
	r := s.run(nil, name, args...)
	if r.code != 0 {
		s.t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), r.code, r.out, r.errOut)
	}
	return r.out
}

// jsonOf runs a program that prints JSON.
func (s *server) jsonOf(into any, name string, args ...string) {
	s.t.Helper()
	out := s.must(name, args...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// client is the official Go client with a token; no retries, so that a test sees every answer.
func (s *server) client(token string) *api.Client {
	s.t.Helper()
	config := api.DefaultConfig()
	if config.Error != nil {
		s.t.Fatal(config.Error)
	}
	config.Address = s.addr
	config.MaxRetries = 0
	if s.ca != "" {
		if err := config.ConfigureTLS(&api.TLSConfig{CACert: s.ca}); err != nil {
			s.t.Fatal(err)
		}
	}
	c, err := api.NewClient(config)
	if err != nil {
		s.t.Fatal(err)
	}
	c.ClearNamespace()
	c.SetToken(token)
	return c
}

// tail is the end of a log, which is what one wants to read.
func tail(log string) string {
	const most = 4000
	if len(log) <= most {
		return log
	}
	return "…" + log[len(log)-most:]
}
