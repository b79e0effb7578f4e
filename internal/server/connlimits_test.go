package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jeton/internal/clock"
	"jeton/internal/config"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store/embedded"
)

// serving is a server in this process, on a real listener.
func serving(t *testing.T, c config.Listener, b *Bounds, about About) (s *Server, at, root string) {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	n := node.New(raw, nil, clock.NewSteady(time.Now, time.Time{}), node.Settings{
		Limits: mount.Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour}, ClusterName: "named", Log: log,
	})
	dev, err := n.StartDev(context.Background(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Network, c.Address, c.TLS.Disable = "tcp", "127.0.0.1:0", true
	s = New(n, c, 30*time.Second, about, log)
	if b != nil {
		s.Within(b)
	}
	run, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = run.Stop(ctx) // connections that the test left open are cut
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + run.Address.String(), dev.RootToken
}

// send makes one request.
func send(t *testing.T, method, url string, body io.Reader, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header, string(text)
}

// TestTokenHeaderSize: 8 KiB and one byte of token is 431, before anything else (cves §5,
// max_token_header_size).
func TestTokenHeaderSize(t *testing.T) {
	_, at, _ := serving(t, config.Listener{}, nil, About{})
	for _, name := range []string{"X-Vault-Token", "Authorization"} {
		for size, want := range map[int]int{maxTokenHeader: http.StatusForbidden, maxTokenHeader + 1: http.StatusRequestHeaderFieldsTooLarge} {
			value := strings.Repeat("a", size)
			if name == "Authorization" {
				value = "Bearer " + value[7:]
			}
			if status, _, body := send(t, "GET", at+"/v1/secret/data/x", nil, name, value); status != want {
				t.Errorf("%s of %d bytes: %d %s, want %d", name, size, status, body, want)
			}
		}
	}
	if status, _, _ := send(t, "GET", at+"/v1/sys/health", nil, "X-Other", strings.Repeat("a", 80<<10)); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("headers of 80 KiB: %d", status)
	}
}

// TestRequireRequestHeaderCVE2026115364 is contract config §3 require_request_header.
func TestRequireRequestHeaderCVE2026115364(t *testing.T) {
	_, at, _ := serving(t, config.Listener{RequireRequestHeader: true}, nil, About{})
	for value, want := range map[string]int{"": 412, "false": 412, "1": 412, "true": 200} {
		if status, _, body := send(t, "GET", at+"/v1/sys/health", nil, "X-Vault-Request", value); status != want {
			t.Errorf("X-Vault-Request: %q: %d %s, want %d", value, status, body, want)
		}
	}
}

// TestRedact is contract config §3 redact_*, and sys §0.4 on the headers that name the machine.
func TestRedact(t *testing.T) {
	open, hidden := config.Listener{}, config.Listener{}
	hidden.Exposure.RedactVersion, hidden.Exposure.RedactClusterName = true, true
	for name, c := range map[string]config.Listener{"open": open, "hidden": hidden} {
		_, at, _ := serving(t, c, nil, About{Hostname: "host-1", NodeID: "node-1"})
		for _, path := range []string{"sys/health", "sys/seal-status"} {
			_, h, body := send(t, "GET", at+"/v1/"+path, nil)
			shows := strings.Contains(body, versionText()) || strings.Contains(body, `"cluster_name":"named"`)
			if shows == (name == "hidden") {
				t.Errorf("%s, %s: %s", name, path, body)
			}
			if h.Get("X-Vault-Hostname") != "host-1" || h.Get("X-Vault-Raft-Node-ID") != "node-1" {
				t.Errorf("%s: headers %v", path, h)
			}
		}
	}
}

// TestShed: beyond the bound on requests, clients are told to come back, and health still answers.
func TestShed(t *testing.T) {
	s, at, root := serving(t, config.Listener{}, newBounds(100, 1, 1<<20), About{})
	if !s.bounds.begin() {
		t.Fatal("the first request is refused")
	}
	status, h, body := send(t, "GET", at+"/v1/auth/token/lookup-self", nil, "X-Vault-Token", root)
	if status != http.StatusServiceUnavailable || h.Get("Retry-After") != retryAfter || !strings.Contains(body, errBusy.Text) {
		t.Errorf("beyond the bound: %d %v %s", status, h, body)
	}
	if status, _, body := send(t, "GET", at+"/v1/sys/health", nil); status != http.StatusOK {
		t.Errorf("health beyond the bound: %d %s", status, body)
	}
	s.bounds.end()
	if status, _, body := send(t, "GET", at+"/v1/auth/token/lookup-self", nil, "X-Vault-Token", root); status != http.StatusOK {
		t.Errorf("after the bound: %d %s", status, body)
	}
}

// TestCVE_2023_6337: what large bodies hold is bounded; small ones go on; and all is given back.
func TestCVE_2023_6337(t *testing.T) {
	s, at, root := serving(t, config.Listener{}, newBounds(100, 100, 1<<20), About{})
	large := func() (int, http.Header) {
		status, h, _ := send(t, "POST", at+"/v1/secret/data/x", strings.NewReader(`{"data":{"a":"`+strings.Repeat("x", 2<<20)+`"}}`), "X-Vault-Token", root)
		return status, h
	}
	status, h := large()
	if status != http.StatusServiceUnavailable || h.Get("Retry-After") != retryAfter {
		t.Errorf("a body beyond what is left: %d", status)
	}
	if status, _, body := send(t, "POST", at+"/v1/auth/token/create", strings.NewReader(`{"ttl":"1m"}`), "X-Vault-Token", root); status != http.StatusOK {
		t.Errorf("a small body: %d %s", status, body)
	}
	if held := s.bounds.held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
}

// TestMeterBoundCVE202511374CVE202511375CVE20207219CVE202012758CVE202025201: however many bodies come in slowly, what is held stays below the bound.
func TestMeterBoundCVE202511374CVE202511375CVE20207219CVE202012758CVE202025201(t *testing.T) {
	b := newBounds(1, 1, 1<<20)
	var refused int
	var open []*meteredBody
	for range 64 {
		m := b.meter(io.NopCloser(bytes.NewReader(make([]byte, 64<<10))), nil)
		if _, err := io.ReadAll(m); errors.Is(err, errBusy) {
			refused++
			m.release()
			continue
		}
		open = append(open, m)
	}
	if refused == 0 || b.held.Load() > 1<<20 {
		t.Errorf("%d refused, %d bytes held", refused, b.held.Load())
	}
	for _, m := range open {
		m.release()
	}
	if b.held.Load() != 0 {
		t.Errorf("%d bytes are left", b.held.Load())
	}
}

// TestSlowStrangers: a thousand connections (JETON_STRANGERS of them) that say nothing, or dribble a header or a body, take
// neither the others' turn nor much memory. The run with 10,000 is in docs/operations.md.
func TestSlowStrangers(t *testing.T) {
	strangers := 1000
	if text := os.Getenv("JETON_STRANGERS"); text != "" {
		var err error
		if strangers, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	most := int64(strangers * 3 / 10)
	c := config.Listener{Timeouts: config.Timeouts{ReadHeader: 10 * time.Second, Read: 30 * time.Second}}
	s, at, root := serving(t, c, newBounds(most, 100, 8<<20), About{})
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	host := strings.TrimPrefix(at, "http://")
	openings := []string{
		"",
		"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nX-A: ",
		"POST /v1/auth/token/create HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n{\"a\":\"",
	}
	var wait sync.WaitGroup
	conns := make([]net.Conn, strangers)
	for i := range conns {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatalf("stranger %d: %v", i, err)
		}
		conns[i] = conn
		wait.Go(func() {
			// A stranger that is cut off says no more.
			_, _ = io.WriteString(conn, openings[i%len(openings)])
		})
		if i%50 == 0 {
			if status, _, body := send(t, "GET", at+"/v1/auth/token/lookup-self", nil, "X-Vault-Token", root); status != http.StatusOK {
				t.Fatalf("beside %d strangers: %d %s", i, status, body)
			}
		}
	}
	wait.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)
	t.Logf("%d strangers, of whom %d may stay: memory grew by %d KiB", strangers, most, grown>>10)
	// What the bound lets stay, the test's own ends, and room for the rest.
	if grown > most*32<<10+int64(strangers)*4<<10+16<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
	s.bounds.mu.Lock()
	open, waiting := s.bounds.open, s.bounds.waiting()
	s.bounds.mu.Unlock()
	if int64(waiting) > most {
		t.Errorf("%d connections wait, of %d open; the bound is %d", waiting, open, most)
	}
	for _, conn := range conns {
		_ = conn.Close() // many were cut off by the server
	}
}

// awaitWaiting returns once n connections wait.
func (b *Bounds) awaitWaiting(t *testing.T, n int) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-poll.C {
		b.mu.Lock()
		waiting := b.waiting()
		b.mu.Unlock()
		if waiting == n {
			return
		}
	}
	t.Fatalf("%d connections do not come to wait", n)
}

// TestOldestWaiterGoes: a connection too many pushes out the one that has waited longest.
func TestOldestWaiterGoes(t *testing.T) {
	bounds := newBounds(2, 10, 1<<20)
	_, at, _ := serving(t, config.Listener{}, bounds, About{})
	host := strings.TrimPrefix(at, "http://")
	var conns []*bufio.ReadWriter
	for i := range 3 {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		rw := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
		conns = append(conns, rw)
		// One request each, so that the server has seen the connection before the next comes.
		fmt.Fprintf(rw, "GET /v1/sys/health HTTP/1.1\r\nHost: %d\r\n\r\n", i)
		if err := rw.Flush(); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(rw.Reader, nil)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatal(err)
		}
		// The client has its answer a moment before the server knows the connection as waiting.
		bounds.awaitWaiting(t, min(i+1, 2))
	}
	if _, err := conns[0].ReadByte(); err != io.EOF && !strings.Contains(fmt.Sprint(err), "reset") {
		t.Errorf("the first connection is still open: %v", err)
	}
	for _, rw := range conns[1:] {
		fmt.Fprint(rw, "GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := rw.Flush(); err != nil {
			t.Fatal(err)
		}
		if r, err := http.ReadResponse(rw.Reader, nil); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("a later connection is gone: %v", err)
		}
	}
}

// TestRequestLog is contract config §2 log_requests_level.
func TestRequestLog(t *testing.T) {
	var requests RequestLog
	s, _, _ := serving(t, config.Listener{}, nil, About{RequestLog: &requests})
	var out bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&out, nil))
	ask := func() string {
		out.Reset()
		r, err := http.NewRequest("GET", "/v1/auth/token/lookup/hvs.CAESIJthisIsAToken0123456789?secret=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = "192.0.2.1:77"
		s.completed(context.Background(), r, 403, 12*time.Millisecond)
		return out.String()
	}
	if got := ask(); got != "" {
		t.Errorf("off, and logged: %s", got)
	}
	level := slog.LevelInfo
	requests.Set(&level)
	got := ask()
	for _, want := range []string{"completed_request", "request_path=/v1/auth/token/lookup/[token]", "status_code=403", "duration=12ms", "client_address=192.0.2.1:77"} {
		if !strings.Contains(got, want) {
			t.Errorf("the line lacks %s: %s", want, got)
		}
	}
	if strings.Contains(got, "thisIsAToken") || strings.Contains(got, "secret=1") {
		t.Errorf("the line shows what was sent: %s", got)
	}
}

// Twice as many requests as the server works on: exactly those beyond its bound are turned away,
// each with 503 and Retry-After, none of them does anything, and the moment that there is room
// all are served again.
func TestOverloadIsShedAndOver(t *testing.T) {
	const most = 8
	s, at, root := serving(t, config.Listener{}, newBounds(100, most, 1<<20), About{})
	tokens := func() string {
		status, _, body := send(t, "GET", at+"/v1/auth/token/count?by=type", nil, "X-Vault-Token", root)
		if status != http.StatusOK {
			t.Fatalf("count: %d %s", status, body)
		}
		return body[strings.Index(body, `"data"`):]
	}
	create := func() (int, http.Header) {
		status, h, _ := send(t, "POST", at+"/v1/auth/token/create", strings.NewReader(`{"ttl":"1h"}`), "X-Vault-Token", root)
		return status, h
	}
	before := tokens()
	for range most {
		if !s.bounds.begin() {
			t.Fatal("turned away below the bound")
		}
	}
	for range most {
		status, h := create()
		if status != http.StatusServiceUnavailable || h.Get("Retry-After") != retryAfter {
			t.Errorf("beyond the bound: %d, Retry-After %q", status, h.Get("Retry-After"))
		}
	}
	if status, _, body := send(t, "GET", at+"/v1/sys/health", nil); status != http.StatusOK {
		t.Errorf("health while the server is busy: %d %s", status, body)
	}
	s.bounds.end()
	if status, _ := create(); status != http.StatusOK {
		t.Errorf("with room for one: %d", status)
	}
	for range most - 1 {
		s.bounds.end()
	}
	if after := tokens(); after == before || !strings.Contains(after, `"total":2`) {
		t.Errorf("tokens before %s, after %s", before, after)
	}
	var served atomic.Int64
	var clients sync.WaitGroup
	for range most {
		clients.Go(func() {
			if status, _ := create(); status == http.StatusOK {
				served.Add(1)
			}
		})
	}
	clients.Wait()
	if served.Load() != most || s.bounds.working.Load() != 0 {
		t.Errorf("afterwards %d of %d are served, %d seem to be worked on", served.Load(), most, s.bounds.working.Load())
	}
}

// waiting is how many connections nobody works for. REQUIRES: mu is held.
func (b *Bounds) waiting() (n int) {
	for at := b.order.Front(); at != b.border; at = at.Next() {
		n++
	}
	return n
}
