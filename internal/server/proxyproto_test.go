package server

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"jeton/internal/config"
)

func v2(command, family byte, body ...byte) string {
	head := append([]byte(proxyV2), 0x20|command, family)
	return string(append(binary.BigEndian.AppendUint16(head, uint16(len(body))), body...))
}

// TestProxyHeader is the PROXY protocol's own table: what a header says, and which are refused.
func TestProxyHeader(t *testing.T) {
	four := []byte{192, 0, 2, 7, 198, 51, 100, 1, 0x10, 0x92, 0x1f, 0x90}
	six := append(append(netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice()...), 0x10, 0x92, 0x1f, 0x90)
	tests := []struct {
		name, sent string
		client     string // "" for the peer
		bad        bool
	}{
		{"none", "GET / HTTP/1.1\r\n\r\n", "", false},
		{"a verb that begins alike", "PROPFIND / HTTP/1.1\r\n\r\n", "", false},
		{"v1 over IPv4", "PROXY TCP4 192.0.2.7 198.51.100.1 4242 8200\r\nrest", "192.0.2.7:4242", false},
		{"v1 over IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4242 8200\r\nrest", "[2001:db8::7]:4242", false},
		{"v1 unknown", "PROXY UNKNOWN\r\nrest", "", false},
		{"v1 unknown with addresses", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nrest", "", false},
		{"v1 of the wrong family", "PROXY TCP4 2001:db8::7 2001:db8::1 4242 8200\r\n", "", true},
		{"v1 with a name", "PROXY TCP4 example.com 198.51.100.1 4242 8200\r\n", "", true},
		{"v1 with a port too large", "PROXY TCP4 192.0.2.7 198.51.100.1 70000 8200\r\n", "", true},
		{"v1 with a field too few", "PROXY TCP4 192.0.2.7 198.51.100.1 4242\r\n", "", true},
		{"v1 without end", "PROXY " + strings.Repeat("x", 200), "", true},
		{"v1 cut short", "PROXY TCP4 192.0", "", true},
		{"v2 over IPv4", v2(1, 0x11, four...) + "rest", "192.0.2.7:4242", false},
		{"v2 over IPv6", v2(1, 0x21, six...) + "rest", "[2001:db8::7]:4242", false},
		{"v2 with further fields", v2(1, 0x11, append(four[:12:12], 1, 0, 1, 'x')...) + "rest", "192.0.2.7:4242", false},
		{"v2 local", v2(0, 0) + "rest", "", false},
		{"v2 of a unix socket", v2(1, 0x31, make([]byte, 216)...) + "rest", "", false},
		{"v2 of an unknown command", v2(7, 0x11, four...), "", true},
		{"v2 of another version", strings.Replace(v2(1, 0x11, four...), "\x21\x11", "\x31\x11", 1), "", true},
		{"v2 too short for its family", v2(1, 0x11, 1, 2, 3), "", true},
		{"v2 too long", v2(1, 0x11, make([]byte, maxProxyHeader+1)...), "", true},
		{"v2 cut short", v2(1, 0x11, four...)[:20], "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := bufio.NewReader(strings.NewReader(tt.sent))
			got, err := readProxyHeader(in)
			if (err != nil) != tt.bad {
				t.Fatalf("err = %v, want one: %t", err, tt.bad)
			}
			if tt.bad {
				return
			}
			if (got == nil) != (tt.client == "") || got != nil && got.String() != tt.client {
				t.Errorf("client %v, want %q", got, tt.client)
			}
			rest, err := io.ReadAll(in)
			if err != nil || tt.client != "" && string(rest) != "rest" {
				t.Errorf("the connection goes on with %q, %v", rest, err)
			}
		})
	}
}

// proxied serves the caller's address behind the PROXY protocol.
func proxied(t *testing.T, rules config.ProxyProtocol) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Listener{ProxyProtocol: rules, Timeouts: config.Timeouts{ReadHeader: patience}}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, remoteOf(r.Context(), r.RemoteAddr).Addr().String())
	})}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(withProxyProtocol(l, c)) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr()
}

// ask sends preface and a request, and returns the body, or "" when the connection was closed.
func ask(t *testing.T, at net.Addr, preface string) string {
	t.Helper()
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A peer that is refused may be gone before it has said everything.
	_, _ = io.WriteString(conn, preface+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// TestProxyBehaviour is contract config §3, proxy_protocol_behavior.
func TestProxyBehaviour(t *testing.T) {
	here, elsewhere := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 4242 8200\r\n"
	tests := []struct {
		name          string
		rules         config.ProxyProtocol
		with, without string
	}{
		{"off", config.ProxyProtocol{}, "", "127.0.0.1"},
		{"use_always", config.ProxyProtocol{Behavior: "use_always"}, "192.0.2.7", "127.0.0.1"},
		{"allow_authorized, authorized", config.ProxyProtocol{Behavior: "allow_authorized", Authorized: here}, "192.0.2.7", "127.0.0.1"},
		{"allow_authorized, not authorized", config.ProxyProtocol{Behavior: "allow_authorized", Authorized: elsewhere}, "", "127.0.0.1"},
		{"deny_unauthorized, authorized", config.ProxyProtocol{Behavior: "deny_unauthorized", Authorized: here}, "192.0.2.7", "127.0.0.1"},
		{"deny_unauthorized, not authorized", config.ProxyProtocol{Behavior: "deny_unauthorized", Authorized: elsewhere}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := proxied(t, tt.rules)
			if got := ask(t, at, header); got != tt.with {
				t.Errorf("with a header the client is %q, want %q", got, tt.with)
			}
			if got := ask(t, at, ""); got != tt.without {
				t.Errorf("without one it is %q, want %q", got, tt.without)
			}
		})
	}
}

// TestCVE_2024_6468: a connection that is refused, or whose header is bad, ends alone; the
// listener goes on.
func TestCVE_2024_6468(t *testing.T) {
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	at := proxied(t, config.ProxyProtocol{Behavior: "deny_unauthorized", Authorized: here})
	for range 1000 {
		if got := ask(t, at, "PROXY TCP4 nonsense\r\n"); got != "" {
			t.Fatalf("a bad header was answered: %q", got)
		}
	}
	if got := ask(t, at, "PROXY TCP4 192.0.2.7 198.51.100.1 4242 8200\r\n"); got != "192.0.2.7" {
		t.Errorf("after a thousand bad headers the listener answers %q", got)
	}
	nobody := proxied(t, config.ProxyProtocol{Behavior: "deny_unauthorized", Authorized: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for range 1000 {
		if got := ask(t, nobody, ""); got != "" {
			t.Fatalf("an unauthorised peer was answered: %q", got)
		}
	}
	if conn, err := net.Dial("tcp", nobody.String()); err != nil {
		t.Errorf("after a thousand refused peers the listener is gone: %v", err)
	} else if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// TestProxySilence: a peer that sends nothing holds up nobody else.
func TestProxySilence(t *testing.T) {
	at := proxied(t, config.ProxyProtocol{Behavior: "use_always"})
	silent, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if got := ask(t, at, "PROXY TCP4 192.0.2.7 198.51.100.1 4242 8200\r\n"); got != "192.0.2.7" {
		t.Errorf("behind a silent peer the answer is %q", got)
	}
}
