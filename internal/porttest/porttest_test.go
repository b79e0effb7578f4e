package porttest

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// An address is one test's alone, lies outside what the system gives out, and nobody listens there.
func TestFree(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		address := Free(t)
		if seen[address] {
			t.Fatalf("%s is given out twice", address)
		}
		seen[address] = true
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if port, err := strconv.Atoi(text); err != nil || port < first || port >= systems() {
			t.Errorf("port %s, and the system gives out %d and above", text, systems())
		}
		if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("somebody is at %s: %v", address, err)
		}
	}
}

// What was released may be given out again; what is held is not, whether or not it is listened on.
func TestReserve(t *testing.T) {
	address, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.ListenPacket("udp", address); err == nil {
		t.Error("the twin is not held")
	}
	for range 2 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	release()
	twin, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatalf("released, and still held: %v", err)
	}
	_ = twin.Close()
}
