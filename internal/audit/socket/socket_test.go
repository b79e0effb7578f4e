package socket_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jeton/internal/audit"
	"jeton/internal/audit/socket"
	"jeton/internal/backend"
	"jeton/internal/porttest"
)

// open is a device that is as patient as its options say, and else has a minute.
func open(t *testing.T, options map[string]string) audit.Device {
	t.Helper()
	if options["write_timeout"] == "" {
		options["write_timeout"] = "1m"
	}
	d, err := socket.Factory(t.Context(), audit.Opening{Options: options})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestOptions(t *testing.T) {
	for name, c := range map[string]struct {
		options map[string]string
		want    string
	}{
		"address is required": {map[string]string{}, "address is required"},
		"unknown network":     {map[string]string{"address": "a:1", "socket_type": "ip4:icmp"}, `unknown socket_type "ip4:icmp"`},
		"bad timeout":         {map[string]string{"address": "a:1", "write_timeout": "soon"}, "write_timeout is not a duration"},
		"negative timeout":    {map[string]string{"address": "a:1", "write_timeout": "-1s"}, "write_timeout is not a duration"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := socket.Factory(t.Context(), audit.Opening{Options: c.options})
			if err == nil || err.Error() != c.want || backend.KindOf(err) != backend.Invalid {
				t.Errorf("%v", err)
			}
		})
	}
}

// collector accepts one connection after another and hands over the lines of each.
type collector struct {
	net.Listener
	lines chan string
}

func collect(t *testing.T, network, address string) *collector {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{l, make(chan string, 16)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				for s := bufio.NewScanner(conn); s.Scan(); {
					c.lines <- s.Text()
				}
			}()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return c
}

func TestLinesArriveOnEachNetwork(t *testing.T) {
	for network, address := range map[string]string{
		"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s"),
	} {
		t.Run(network, func(t *testing.T) {
			c := collect(t, network, address)
			d := open(t, map[string]string{"address": c.Addr().String(), "socket_type": network})
			for _, line := range []string{"one", "two"} {
				if err := d.Write(t.Context(), []byte(line+"\n")); err != nil {
					t.Fatal(err)
				}
				if got := <-c.lines; got != line {
					t.Errorf("%q arrived", got)
				}
			}
		})
	}
}

func TestClosedPortFailsAndReturns(t *testing.T) {
	address := porttest.Free(t)
	d := open(t, map[string]string{"address": address})
	if err := d.Write(t.Context(), []byte("x\n")); err == nil {
		t.Fatal("a write to a closed port succeeded")
	}
	c := collect(t, "tcp", address)
	if err := d.Write(t.Context(), []byte("back\n")); err != nil {
		t.Fatal(err)
	}
	if got := <-c.lines; got != "back" {
		t.Errorf("%q arrived", got)
	}
}

// A peer that takes nothing any more must not hold a line longer than write_timeout.
func TestPeerThatDoesNotReadTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := open(t, map[string]string{"address": l.Addr().String(), "write_timeout": "50ms"})
	// The connection is there before; a machine that is busy takes longer to make one, now and then.
	for d.Write(t.Context(), []byte("x\n")) != nil {
		if t.Context().Err() != nil {
			t.Fatal("no connection")
		}
	}
	line := []byte(strings.Repeat("x", 64<<20))
	if err := d.Write(t.Context(), line); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// Disabling the device ends a write that hangs, without any write_timeout.
func TestDisablingEndsAWrite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := open(t, map[string]string{"address": l.Addr().String(), "write_timeout": "0"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Write(ctx, []byte(strings.Repeat("x", 64<<20))) }()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	cancel()
	if err := <-done; err == nil {
		t.Error("the write succeeded")
	}
}
