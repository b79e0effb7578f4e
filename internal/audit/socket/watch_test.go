package socket

import (
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
	opened, err := Factory(t.Context(), audit.Opening{Options: map[string]string{"address": l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	d := opened.(*Device)
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
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
