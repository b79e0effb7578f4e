package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jeton/internal/porttest"
)

// process is a server under measurement.
type process struct {
	cmd     *exec.Cmd
	address string
	dir     string
	// token is the root token, share the one unseal key.
	token, share string
	// stores says that it writes to a store, which goes on working after it has answered.
	stores bool
	// tls is how clients speak to it; nil is in the clear.
	tls *tls.Config
}

// connection is one that is not open yet.
func (p *process) connection() *connection { return &connection{address: p.address, tls: p.tls} }

// start runs a command and waits until its port answers.
func start(address string, cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, address: address}
	deadline := time.Now().Add(15 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return p, conn.Close()
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("%s does not answer: %w", address, err), p.stop())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// cpu is the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may have spaces; what follows it has not.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+2:]))
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	// The kernel counts in hundredths of a second.
	return time.Duration(user+system) * 10 * time.Millisecond, err
}

// quiet waits until the server has no more work of its own, such as a sweep or the merging of what
// was written: until it uses less than a twentieth of a processor for as long as look, or for two minutes.
func (p *process) quiet(look time.Duration) error {
	before, err := p.cpu()
	for begin := time.Now(); err == nil && time.Since(begin) < 2*time.Minute; {
		<-time.After(look)
		var after time.Duration
		if after, err = p.cpu(); after-before < look/20 {
			return err
		}
		before = after
	}
	return err
}

// resident is the process's resident memory in bytes.
func (p *process) resident() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// freeAddress is a loopback address that is this program's until it ends.
func freeAddress() (string, error) {
	address, _, err := porttest.Reserve()
	return address, err
}

// startBare runs this program as the server that answers and does nothing else. secure is nil for
// no TLS; more are further flags.
func startBare(size int, secure *certificate, more ...string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{"-bare", address, "-bare-size", strconv.Itoa(size)}, more...)
	if secure != nil {
		args = append(args, "-bare-cert", secure.certFile, "-bare-key", secure.keyFile)
	}
	p, err := start(address, exec.Command(self, args...))
	if err == nil && secure != nil {
		p.tls = secure.client
	}
	return p, err
}

// startJeton runs a durable server in dir, initialises it where it is new, and unseals it.
func startJeton(binary, dir string, secure *certificate) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	transport := "tls_disable = true"
	if secure != nil {
		transport = fmt.Sprintf("tls_cert_file = %q\n  tls_key_file = %q", secure.certFile, secure.keyFile)
	}
	config := fmt.Sprintf("storage \"embedded\" {\n  path = %q\n}\nlistener \"tcp\" {\n  address = %q\n  %s\n}\n",
		filepath.Join(dir, "data"), address, transport)
	path := filepath.Join(dir, "bench.hcl")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(binary, "server", "-config="+path)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := start(address, cmd)
	if err != nil {
		return nil, err
	}
	p.dir, p.stores = dir, true
	if secure != nil {
		p.tls = secure.client
	}
	return p, nil
}

// initialise makes keys for a new server and opens it.
func (p *process) initialise() error {
	var made struct {
		Keys  []string `json:"keys"`
		Token string   `json:"root_token"`
	}
	if err := p.call("PUT", "/v1/sys/init", `{"secret_shares":1,"secret_threshold":1}`, &made); err != nil {
		return err
	}
	p.token, p.share = made.Token, made.Keys[0]
	return p.unseal()
}

func (p *process) unseal() error {
	return p.call("PUT", "/v1/sys/unseal", fmt.Sprintf(`{"key":%q}`, p.share), nil)
}

// call is one request outside the measurement. Its answer goes into out.
func (p *process) call(method, path, body string, out any) error {
	c := p.connection()
	r, err := c.do(request{method: method, path: path, token: p.token, body: []byte(body)})
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if r.status >= 300 {
		return fmt.Errorf("%s %s: status %d: %s", method, path, r.status, r.body)
	}
	if out == nil || len(r.body) == 0 {
		return nil
	}
	return json.Unmarshal(r.body, out)
}
