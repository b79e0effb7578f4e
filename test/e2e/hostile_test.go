package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hostile is how many connections strangers hold at the same time.
const hostile = 10_000

// most is the memory that the server may ever have had, its store and caches included. At rest
// it has some 60 MB.
const most = 600 << 20

// TestTenThousandHostileConnections: while strangers hold ten thousand connections on which they
// say nothing, begin and never end a TLS handshake, talk nonsense, or dribble headers and bodies,
// every request of others is answered, on connections old and new, and memory stays bounded.
func TestTenThousandHostileConnections(t *testing.T) {
	n := strangersAllowed(t)
	s := startProduction(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	served := s.serveMeanwhile(ctx)
	host := strings.TrimPrefix(s.addr, "https://")
	var held sync.WaitGroup
	conns := make(chan net.Conn, n)
	var handshaken atomic.Int64
	for worker := range 16 {
		held.Go(func() {
			for i := worker; i < n && ctx.Err() == nil; i += 16 {
				if conn := s.stranger(ctx, host, i); conn != nil {
					conns <- conn
					if _, ok := conn.(*tls.Conn); ok {
						handshaken.Add(1)
					}
				}
			}
		})
	}
	held.Wait()
	close(conns)
	t.Logf("%d strangers are connected, %d of them by TLS", len(conns), handshaken.Load())
	if len(conns) < n*9/10 {
		t.Errorf("only %d of %d strangers came to connect", len(conns), n)
	}
	s.await(served, 200) // with all of them there
	s.boundedMemory(ctx)
	for conn := range conns {
		_ = conn.Close() // the server has cut off many
	}
	served.stop(t)
}

// strangersAllowed is how many connections this process may open.
func strangersAllowed(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("reads the server's memory from /proc")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if room := int(limit.Max) - 2000; room < hostile {
		if os.Getenv("JETON_REQUIRE_ALL") == "1" {
			t.Fatalf("the limit of open files is %d: ten thousand connections do not fit", limit.Max)
		}
		t.Logf("the limit of open files leaves room for %d connections only", room)
		return max(room, 1)
	}
	return hostile
}

// stranger is the i-th hostile connection; nil where the server or the system refused it.
func (s *server) stranger(ctx context.Context, host string, i int) net.Conn {
	dialer := net.Dialer{Timeout: 30 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil
	}
	say := func(w io.Writer, text string) { _, _ = io.WriteString(w, text) } // who is cut off says no more
	switch i % 10 {
	case 0, 1, 2:
	case 3, 4:
		say(conn, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	case 5, 6:
		say(conn, "GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n")
	case 7:
		say(conn, strings.Repeat("\x00\xff", 512))
	default:
		secure := tls.Client(conn, &tls.Config{RootCAs: s.authority(), ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			return conn
		}
		if i%10 == 8 {
			say(secure, "GET /v1/auth/token/lookup-self HTTP/1.1\r\nHost: x\r\nX-Vault-Token: hvs.")
		} else {
			say(secure, "POST /v1/auth/token/create HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n{\"meta\":{\"a\":\"")
		}
		return secure
	}
	return conn
}

// authority is who vouches for the server.
func (s *server) authority() *x509.CertPool {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(s.ca)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		s.t.Error("no certificate authority", err)
	}
	return pool
}

// servings is somebody who is served all the time.
type servings struct {
	n, failed atomic.Int64
	first     atomic.Pointer[string]
	cancel    context.CancelFunc
	done      chan struct{}
}

// serveMeanwhile asks for the root token's own record again and again, in turn on one connection
// that stays and on a new one each. Every request has a minute, and none is tried again.
func (s *server) serveMeanwhile(ctx context.Context) *servings {
	s.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	v := &servings{cancel: cancel, done: make(chan struct{})}
	config := &tls.Config{RootCAs: s.authority()}
	lasting := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: config}}
	fresh := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	ask := func(client *http.Client) error {
		req, err := http.NewRequestWithContext(ctx, "GET", s.addr+"/v1/auth/token/lookup-self", nil)
		if err != nil {
			return err
		}
		req.Header.Set("X-Vault-Token", s.root)
		r, err := client.Do(req)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err == nil && r.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d: %s", r.StatusCode, body)
		}
		return err
	}
	go func() {
		defer close(v.done)
		defer lasting.CloseIdleConnections()
		for i := 0; ctx.Err() == nil; i++ {
			client := lasting
			if i%2 == 1 {
				client = fresh
			}
			if err := ask(client); err != nil && ctx.Err() == nil {
				text := err.Error()
				v.first.CompareAndSwap(nil, &text)
				v.failed.Add(1)
			} else {
				v.n.Add(1)
			}
		}
	}()
	return v
}

// await returns once n more requests have been answered.
func (s *server) await(v *servings, n int64) {
	s.t.Helper()
	until := v.n.Load() + n
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for range poll.C {
		if v.n.Load() >= until || v.failed.Load() > 0 {
			return
		}
		select {
		case <-v.done:
			s.t.Fatal("the time is over and the requests are not answered")
		default:
		}
	}
}

// stop ends the requests: all must have been answered.
func (v *servings) stop(t *testing.T) {
	t.Helper()
	v.cancel()
	<-v.done
	if first := v.first.Load(); first != nil {
		t.Errorf("%d requests of somebody else failed, %d were answered; the first: %s", v.failed.Load(), v.n.Load(), *first)
	}
	t.Logf("%d requests of somebody else were answered meanwhile", v.n.Load())
}

// boundedMemory checks the most memory that the server has had so far.
func (s *server) boundedMemory(ctx context.Context) {
	s.t.Helper()
	status, err := os.Open(filepath.Join("/proc", strconv.Itoa(s.proc.cmd.Process.Pid), "status"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan() && ctx.Err() == nil; {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			s.t.Logf("the most memory that the server had: %d MiB", kib>>10)
			if err != nil || kib<<10 > most {
				s.t.Errorf("the server had %d KiB of memory; %v", kib, err)
			}
			return
		}
	}
	s.t.Error("the system does not say how much memory the server had")
}

// Frames of HTTP/2 (RFC 9113 §6).
const (
	headersFrame      = 0x1
	resetFrame        = 0x3
	settingsFrame     = 0x4
	continuationFrame = 0x9
	endStream         = 0x1
	endHeaders        = 0x4
)

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	f := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(f, stream), payload...)
}

// requestHeaders are those of GET path in HPACK (RFC 7541): the static table and literals alone.
func requestHeaders(path string) []byte {
	block := []byte{0x82, 0x87, 0x04, byte(len(path))}
	return append(append(block, path...), 0x01, 1, 'x')
}

// speakHTTP2 opens a connection and says the preface.
func (s *server) speakHTTP2(ctx context.Context) *tls.Conn {
	s.t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: s.authority(), NextProtos: []string{"h2"}}}
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(s.addr, "https://"))
	if err != nil {
		s.t.Fatal(err)
	}
	secure := conn.(*tls.Conn)
	if got := secure.ConnectionState().NegotiatedProtocol; got != "h2" {
		s.t.Fatalf("the server speaks %q", got)
	}
	if _, err := secure.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(settingsFrame, 0, 0, nil)...)); err != nil {
		s.t.Fatal(err)
	}
	return secure
}

// TestCVE_2023_44487_RapidReset: streams that are opened and reset at once, as fast as can be, on
// several connections, neither keep others from being served nor fill the memory; the server
// ends such connections itself.
func TestCVE_2023_44487_RapidReset(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads the server's memory from /proc")
	}
	s := startProduction(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	served := s.serveMeanwhile(ctx)
	s.await(served, 10)
	var abuse sync.WaitGroup
	var sent, ended atomic.Int64
	for range 8 {
		conn := s.speakHTTP2(ctx)
		abuse.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		abuse.Go(func() {
			defer conn.Close()
			headers := requestHeaders("/v1/auth/token/lookup-self")
			for stream := uint32(1); stream < 200_000; stream += 2 {
				both := append(frame(headersFrame, endStream|endHeaders, stream, headers), frame(resetFrame, 0, stream, []byte{0, 0, 0, 8})...)
				if _, err := conn.Write(both); err != nil {
					ended.Add(1)
					return
				}
				sent.Add(1)
			}
		})
	}
	abuse.Wait()
	t.Logf("%d streams were opened and reset; the server ended %d of 8 connections", sent.Load(), ended.Load())
	s.await(served, 50)
	s.boundedMemory(ctx)
	served.stop(t)
}

// TestCVE_2023_45288_ContinuationFlood: headers that do not end are cut off after little more
// than headers may have.
func TestCVE_2023_45288_ContinuationFlood(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads the server's memory from /proc")
	}
	s := startProduction(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	served := s.serveMeanwhile(ctx)
	conn := s.speakHTTP2(ctx)
	defer conn.Close()
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		_, _ = io.Copy(io.Discard, conn)
	}()
	// One literal field of ten bytes, again and again.
	field := append([]byte{0x00, 3}, "x-ay123456"...)
	field[5] = 6
	block := bytes.Repeat(field, 1300)
	written := 0
	_, err := conn.Write(frame(headersFrame, endStream, 1, requestHeaders("/v1/sys/health")))
	for err == nil && written < 256<<20 {
		var n int
		n, err = conn.Write(frame(continuationFrame, 0, 1, block))
		written += n
	}
	if err == nil {
		t.Fatalf("%d MiB of headers were taken", written>>20)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection hangs: %v", err)
	}
	<-cut
	t.Logf("cut off after %d KiB, some of them in the system's buffers", written>>10)
	if written > 32<<20 {
		t.Errorf("cut off after %d KiB", written>>10)
	}
	s.await(served, 50)
	s.boundedMemory(ctx)
	served.stop(t)
}
