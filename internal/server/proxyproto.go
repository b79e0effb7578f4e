package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"jeton/internal/config"
)

// The behaviours of the PROXY protocol. Contract: config §3 proxy_protocol_behavior.
const (
	proxyAllowAuthorized  = "allow_authorized"
	proxyDenyUnauthorized = "deny_unauthorized"
)

// proxyListener believes proxies that put the client's address before the connection's own
// bytes. The header is read by whoever first uses the connection, never by Accept: one slow or
// hostile peer holds up itself alone, and a bad header ends its own connection and nothing else
// (CVE-2024-6468).
type proxyListener struct {
	net.Listener
	rules config.ProxyProtocol
	// within is how long a peer may take to send its header.
	within time.Duration
}

// withProxyProtocol wraps l where the configuration asks for it.
func withProxyProtocol(l net.Listener, c config.Listener) net.Listener {
	if c.ProxyProtocol.Behavior == "" {
		return l
	}
	within := c.Timeouts.ReadHeader
	if within <= 0 {
		within = 10 * time.Second
	}
	return &proxyListener{Listener: l, rules: c.ProxyProtocol, within: within}
}

// Accept returns the next connection of a peer that may connect.
func (l *proxyListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		authorized := containsAddr(l.rules.Authorized, conn.RemoteAddr())
		switch {
		case l.rules.Behavior == proxyDenyUnauthorized && !authorized:
			// The peer is gone either way.
			_ = conn.Close()
		case l.rules.Behavior == proxyAllowAuthorized && !authorized:
			return conn, nil
		default:
			return &proxiedConn{Conn: conn, within: l.within, in: bufio.NewReaderSize(conn, maxProxyHeader)}, nil
		}
	}
}

// containsAddr says whether the peer at a lies in one of the networks.
func containsAddr(networks []netip.Prefix, a net.Addr) bool {
	peer, err := netip.ParseAddrPort(a.String())
	return err == nil && containsIP(networks, peer.Addr())
}

func containsIP(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// proxiedConn is a connection that may begin with a PROXY header.
type proxiedConn struct {
	net.Conn
	in     *bufio.Reader
	within time.Duration

	// header guards the two below: they are set once, by the first Read or RemoteAddr.
	header sync.Once
	client net.Addr // nil where the peer is the client
	bad    error
}

// RemoteAddr is the client that the proxy named, or the peer.
func (c *proxiedConn) RemoteAddr() net.Addr {
	c.header.Do(c.readHeader)
	if c.client != nil {
		return c.client
	}
	return c.Conn.RemoteAddr()
}

// Read reads what follows the header.
func (c *proxiedConn) Read(p []byte) (int, error) {
	c.header.Do(c.readHeader)
	if c.bad != nil {
		return 0, c.bad
	}
	return c.in.Read(p)
}

func (c *proxiedConn) readHeader() {
	// net/http sets deadlines of its own only after it has asked for the address.
	timer := time.AfterFunc(c.within, func() { _ = c.Conn.Close() })
	defer timer.Stop()
	c.client, c.bad = readProxyHeader(c.in)
	if c.bad != nil {
		_ = c.Conn.Close()
	}
}

// The two forms of the header. maxProxyHeader is the longest that is taken, in bytes: a header
// of version 1 has up to 107, one of version 2 in use is well below a kilobyte.
const (
	proxyV1        = "PROXY "
	proxyV2        = "\r\n\r\n\x00\r\nQUIT\n"
	maxProxyV1     = 107
	maxProxyHeader = 4096
)

var errProxyHeader = errors.New("server: malformed PROXY protocol header")

// readProxyHeader reads a header if there is one. addr is nil where the peer is the client: no
// header, or one that says so (a proxy's own health check).
func readProxyHeader(in *bufio.Reader) (addr net.Addr, err error) {
	switch {
	case begins(in, proxyV1):
		return readProxyV1(in)
	case begins(in, proxyV2):
		return readProxyV2(in)
	}
	return nil, nil
}

// begins says whether the next bytes are text; it waits for no byte more than it takes to know.
func begins(in *bufio.Reader, text string) bool {
	for n := 1; n <= len(text); n++ {
		got, err := in.Peek(n)
		if err != nil || got[n-1] != text[n-1] {
			return false
		}
	}
	return true
}

func readProxyV1(in *bufio.Reader) (net.Addr, error) {
	var line []byte
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		b, err := in.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errProxyHeader, err)
		}
		if line = append(line, b); len(line) > maxProxyV1 {
			return nil, errProxyHeader
		}
	}
	fields := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	if len(fields) >= 2 && fields[1] == "UNKNOWN" {
		return nil, nil
	}
	if len(fields) != 6 || (fields[1] != "TCP4" && fields[1] != "TCP6") {
		return nil, errProxyHeader
	}
	ip, err := netip.ParseAddr(fields[2])
	if err != nil || ip.Is4() != (fields[1] == "TCP4") {
		return nil, errProxyHeader
	}
	port, err := strconv.ParseUint(fields[4], 10, 16)
	if err != nil {
		return nil, errProxyHeader
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port))), nil
}

// readProxyV2 reads the binary form: signature, version and command, family, length, addresses.
func readProxyV2(in *bufio.Reader) (net.Addr, error) {
	head := make([]byte, len(proxyV2)+4)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	head = head[len(proxyV2):]
	length := int(binary.BigEndian.Uint16(head[2:]))
	if head[0]>>4 != 2 || length > maxProxyHeader {
		return nil, errProxyHeader
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	const local, proxied = 0, 1
	switch head[0] & 0x0f {
	case local:
		return nil, nil
	case proxied:
	default:
		return nil, errProxyHeader
	}
	const tcp4, tcp6 = 0x11, 0x21
	var size int
	switch head[1] {
	case tcp4:
		size = 4
	case tcp6:
		size = 16
	default:
		return nil, nil // a family that names no IP address
	}
	if length < 2*size+4 {
		return nil, errProxyHeader
	}
	ip, _ := netip.AddrFromSlice(body[:size])
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, binary.BigEndian.Uint16(body[2*size:]))), nil
}
