// Package porttest owns the ports that tests give to programs which have to be told one before
// they listen.
package porttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
)

// first and last bound the ports that are drawn, unless the system begins earlier to give out
// ports by itself.
const first, last = 10_000, 32_767

// Free is an address of this machine, "127.0.0.1:port", that is the test's own until it ends: it
// may listen there, stop, and listen again, and where it does not, nobody does.
//
// A port that is found by listening on ":0" and closing is nobody's: the system gives it to the
// next listener or, as its own end, to the next connection that anybody makes.
func Free(t testing.TB) string {
	t.Helper()
	address, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return address
}

// Reserve is Free for who has no testing.TB. The address is the caller's until release.
//
// The port lies below those that the system gives out by itself. Against other tests, in this
// process and in others, it is held by its twin: the UDP port of the same number, which the system
// frees when the process dies, however it dies.
func Reserve() (address string, release func(), err error) {
	end := min(systems(), last+1)
	if end <= first {
		end = last + 1
	}
	for range 1000 {
		address = fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(end-first))
		twin, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			return address, func() { _ = twin.Close() }, l.Close()
		}
		_ = twin.Close()
	}
	return "", nil, errors.New("no free port is found")
}

// systems is the lowest port that the system gives out by itself.
func systems() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	lowest := 0
	if err != nil {
		return last + 1 // other systems begin higher
	}
	if _, err := fmt.Sscan(strings.TrimSpace(string(text)), &lowest); err != nil {
		return last + 1
	}
	return lowest
}
