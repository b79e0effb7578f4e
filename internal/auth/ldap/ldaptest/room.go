package ldaptest

import (
	"net"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// room is a network of its own (network_namespaces(7)): a loopback interface and nothing else, so that
// a server whose ports cannot be chosen is in nobody's way. One thread of the test lives in it; what that
// thread starts and dials is in the room too. It takes root.
type room struct {
	work chan func()
	done sync.WaitGroup
}

func newRoom(t testing.TB) *room {
	t.Helper()
	r := &room{work: make(chan func())}
	entered := make(chan error)
	r.done.Go(func() {
		// Never unlocked: the thread ends with the goroutine, and the network with the thread.
		runtime.LockOSThread()
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		if err == nil {
			err = exec.Command("ip", "link", "set", "lo", "up").Run()
		}
		entered <- err
		for fn := range r.work {
			fn()
		}
	})
	t.Cleanup(func() {
		close(r.work)
		r.done.Wait()
	})
	if err := <-entered; err != nil {
		t.Fatalf("a network of the test's own: %v", err)
	}
	return r
}

// do runs fn in the room.
func (r *room) do(fn func()) {
	done := make(chan struct{})
	r.work <- func() {
		defer close(done)
		fn()
	}
	<-done
}

// dial connects to a port in the room.
func (r *room) dial(port string) (conn net.Conn, err error) {
	r.do(func() { conn, err = net.Dial("tcp", "127.0.0.1:"+port) })
	return conn, err
}

// door is a listener outside that leads to a port in the room.
type door struct {
	listener net.Listener
	done     sync.WaitGroup

	mu struct {
		sync.Mutex
		open   map[net.Conn]bool
		closed bool
	}
}

// door opens one on a free port of this machine until the test ends.
func (r *room) door(t testing.TB, port string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{listener: l}
	d.mu.open = map[net.Conn]bool{}
	d.done.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			inside, err := r.dial(port)
			if err != nil || !d.keep(outside, inside) {
				_ = outside.Close()
				continue
			}
			d.done.Go(func() { d.pass(outside, inside) })
			d.done.Go(func() { d.pass(inside, outside) })
		}
	})
	t.Cleanup(d.close)
	return d
}

func (d *door) address() string { return d.listener.Addr().String() }

// keep remembers connections, to break them when the door closes; false when it has.
func (d *door) keep(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range conns {
		if d.mu.closed {
			_ = c.Close()
			continue
		}
		d.mu.open[c] = true
	}
	return !d.mu.closed
}

// pass copies one way until either end closes, and closes both.
func (d *door) pass(from, to net.Conn) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range []net.Conn{from, to} {
		_ = c.Close()
		delete(d.mu.open, c)
	}
}

func (d *door) close() {
	_ = d.listener.Close()
	d.mu.Lock()
	d.mu.closed = true
	for c := range d.mu.open {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.done.Wait()
}
