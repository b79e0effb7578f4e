package socket

import (
	"errors"
	"io"
	"net"
	"testing"

	"jeton/internal/audit"
)

// A connection that the peer is known to have ended takes no line with it.
func TestEndedConnectionLosesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := newDevice(t, l)
	for _, text := range []string{"one", "two", "three"} {
		if err := d.Write(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept() // A connection of its own for each line.
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		<-d.conn.ended
		d.conn.Conn.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(conn); err != nil || string(got) != text {
			t.Errorf("%q %v", got, err)
		}
		conn.Close()
	}
}

// Contract: audit §4, "reconnect-and-retry once on error": the line that meets the error arrives, and
// so do those after it.
func TestReconnectsWhenThePeerEnded(t *testing.T) {
	for name, broken := range map[string]func(t *testing.T, d *Device, peer *net.TCPConn){
		"known to have ended": func(t *testing.T, d *Device, peer *net.TCPConn) {
			if err := errors.Join(peer.SetLinger(0), peer.Close()); err != nil {
				t.Fatal(err)
			}
			<-d.conn.ended
		},
		"the write fails": func(t *testing.T, d *Device, _ *net.TCPConn) {
			if err := d.conn.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			d := newDevice(t, l)
			accept := func(want string) *net.TCPConn {
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				got := make([]byte, len(want))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
					t.Errorf("%q %v", got, err)
				}
				return conn.(*net.TCPConn)
			}
			write := func(line string) {
				if err := d.Write(t.Context(), []byte(line)); err != nil {
					t.Fatal(err)
				}
			}
			write("one\n")
			broken(t, d, accept("one\n"))
			write("two\n")
			write("three\n")
			accept("two\nthree\n")
		})
	}
}

func newDevice(t *testing.T, l net.Listener) *Device {
	t.Helper()
	opened, err := Factory(t.Context(), audit.Opening{Options: map[string]string{"address": l.Addr().String(), "write_timeout": "1m"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	return opened.(*Device)
}
