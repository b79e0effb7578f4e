package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// notices are what a server tells its service manager.
type notices struct {
	t    *testing.T
	conn *net.UnixConn
}

// managed starts a server on disk under a service manager: a datagram socket that
// NOTIFY_SOCKET names.
func managed(t *testing.T) (*server, *notices) {
	t.Helper()
	// The path of a socket has room for about a hundred bytes.
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := newProduction(t)
	s.env = []string{"NOTIFY_SOCKET=" + path}
	return s, &notices{t, conn}
}

// next is the next message, as assignments.
func (n *notices) next() map[string]string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := n.conn.SetReadDeadline(deadline); err != nil {
		n.t.Fatal(err)
	}
	message := make([]byte, 4096)
	size, err := n.conn.Read(message)
	if err != nil {
		n.t.Fatalf("the server tells nothing: %v", err)
	}
	said := map[string]string{}
	for line := range strings.SplitSeq(string(message[:size]), "\n") {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			n.t.Errorf("%q is no assignment", line)
		}
		said[name] = value
	}
	return said
}

// TestServiceManager is sd_notify(3) as deploy/jeton.service relies on it: ready once it
// listens, sealed or not; reloading, with the time, and ready again; stopping.
func TestServiceManager(t *testing.T) {
	s, told := managed(t)
	s.start("server started!")
	t.Cleanup(s.stop)
	host := strings.TrimPrefix(s.addr, "https://")
	if said := told.next(); said["READY"] != "1" || !strings.Contains(said["STATUS"], host) {
		t.Fatalf("at the start: %v", said)
	}
	if out := s.run(nil, "jeton", "status"); out.code == 1 {
		t.Errorf("ready, and not to be asked: %s", out.errOut)
	}
	last := int64(0)
	for range 2 {
		if err := s.proc.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		said := told.next()
		at, err := strconv.ParseInt(said["MONOTONIC_USEC"], 10, 64)
		if said["RELOADING"] != "1" || err != nil || at <= last {
			t.Errorf("at a reload: %v", said)
		}
		last = at
		if said := told.next(); said["READY"] != "1" || strings.Contains(said["STATUS"], "failed") {
			t.Errorf("after a reload: %v", said)
		}
	}
	// A reload that fails has ended too, and says so.
	if err := os.WriteFile(filepath.Join(s.dir, "server.hcl"), []byte("storage {"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.proc.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if said := told.next(); said["RELOADING"] != "1" {
		t.Errorf("at a reload: %v", said)
	}
	if said := told.next(); said["READY"] != "1" || !strings.Contains(said["STATUS"], "reload failed") {
		t.Errorf("after a reload that failed: %v", said)
	}
	s.stop()
	if said := told.next(); said["STOPPING"] != "1" {
		t.Errorf("at the end: %v", said)
	}
	if more := told.waiting(); more != "" {
		t.Errorf("it told %q as well", more)
	}
}

// waiting is a message that has come and was not taken, "" for none. It waits for none: whoever sent
// has ended.
func (n *notices) waiting() string {
	n.t.Helper()
	raw, err := n.conn.SyscallConn()
	if err != nil {
		n.t.Fatal(err)
	}
	message, size := make([]byte, 4096), 0
	var took error
	if err := raw.Control(func(fd uintptr) {
		size, _, took = syscall.Recvfrom(int(fd), message, syscall.MSG_DONTWAIT)
	}); err != nil {
		n.t.Fatal(err)
	}
	if took == syscall.EAGAIN {
		return ""
	}
	if took != nil {
		n.t.Fatal(took)
	}
	return string(message[:size])
}

// TestServiceManagerThatIsGone: a manager that does not listen keeps nothing from serving.
func TestServiceManagerThatIsGone(t *testing.T) {
	s := newProduction(t)
	s.env = []string{"NOTIFY_SOCKET=" + filepath.Join(s.dir, "nobody")}
	s.start("could not be told")
	t.Cleanup(s.stop)
	if out := s.run(nil, "jeton", "status"); out.code == 1 {
		t.Errorf("%s", out.errOut)
	}
}
