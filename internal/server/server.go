// Package server owns the HTTP edge: listeners, limits, the pipeline that every request
// walks, the envelope of answers, and the one table from error to status.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"jeton/internal/backend"
	"jeton/internal/config"
	"jeton/internal/gate"
	"jeton/internal/logging"
	"jeton/internal/metrics"
	"jeton/internal/node"
	"jeton/internal/version"
)

// Server serves one node on one listener.
type Server struct {
	node     *node.Node
	listener config.Listener
	limits   limits
	log      *slog.Logger
	about    About
	raw      map[string]rawHandler
	// maxDuration bounds a request; the context of its handler ends then.
	maxDuration time.Duration
	bounds      *Bounds
	always      always
	// issued are the counters of tokens, *metrics.Counter by issuedKind.
	issued sync.Map
	// entries holds *audited that are empty and in nobody's hands.
	entries sync.Pool
	// ending is closed when the listener takes no more connections: answers without an end of
	// their own end then.
	ending chan struct{}
}

// always are the values of the headers that every answer has.
type always struct{ cache, transport, json []string }

func newAlways() always {
	return always{
		cache:     []string{"no-store"},
		transport: []string{"max-age=31536000; includeSubDomains"},
		json:      []string{"application/json"},
	}
}

// About is what the server says of itself without being asked for a token.
type About struct {
	APIAddress string
	// Dev shows the development server's raw endpoints.
	Dev bool
	// Hostname and NodeID are put into every answer; "" leaves them out.
	Hostname, NodeID string
	// Levels are the rooms' log levels, whose lines sys/monitor streams; nil for no such thing.
	Levels *logging.Levels
	// RequestLog may be nil.
	RequestLog *RequestLog
}

// New makes the server of one listener stanza.
func New(n *node.Node, l config.Listener, maxDuration time.Duration, about About, log *slog.Logger) *Server {
	s := &Server{node: n, listener: l, limits: newLimits(l.Limits), log: log, about: about, maxDuration: maxDuration, bounds: NewBounds(), always: newAlways(),
		ending: make(chan struct{})}
	if l.Limits.MaxDuration > 0 {
		s.maxDuration = l.Limits.MaxDuration
	}
	s.raw = s.rawHandlers()
	return s
}

// respond answers a request that may come in, and says with which status.
func (s *Server) respond(w http.ResponseWriter, r *http.Request) (status int) {
	ctx := gate.For(r.Context(), s.maxDuration)
	defer ctx.Release()
	defer func() {
		// One request's panic must not take the others with it, nor print what it was about.
		if v := recover(); v != nil {
			s.log.Error("a request panicked", "method", r.Method, "fault", fmt.Sprintf("%T", v), "at", faultOf())
			status = http.StatusInternalServerError
			s.write(w, r, s.errorReply(&backend.Error{Kind: backend.Internal}))
		}
	}()
	out, done := s.atTheDoor(ctx, w.Header(), r)
	if !done {
		out = s.route(ctx, r)
	}
	s.node.Metrics().Answered(out.status)
	s.write(w, r, out)
	return out.status
}

// atTheDoor answers what is refused, or said to a browser, before anyone asks for a token. It
// may add headers to h whatever comes after.
func (s *Server) atTheDoor(ctx context.Context, h http.Header, r *http.Request) (out reply, done bool) {
	path, ok := strings.CutPrefix(r.URL.Path, apiPrefix)
	if !ok {
		return reply{}, false
	}
	if out, done := s.crossOrigin(h, r); done {
		return out, true
	}
	house := s.node.Enter()
	if house == nil {
		return reply{}, false
	}
	defer house.Leave()
	return s.limitRate(ctx, h, r, house, path)
}

// route finds who answers: a raw handler, the pipeline, or nobody.
func (s *Server) route(ctx context.Context, r *http.Request) reply {
	path, ok := strings.CutPrefix(r.URL.Path, apiPrefix)
	if !ok {
		return reply{status: http.StatusNotFound, body: failure{}.body()}
	}
	h, raw := s.raw[path]
	if raw && (s.node.Sealed() || !asksHelp(r)) {
		return h(ctx, r)
	}
	if s.node.Sealed() {
		return s.errorReply(errSealed)
	}
	// Before anything is read of it: what is turned away must cost next to nothing.
	if s.bounds.full() || s.bounds.crowded(r.Method, s.node.Queued()) {
		return s.errorReply(errBusy)
	}
	req, err := s.read(r)
	if err != nil {
		return s.errorReply(err)
	}
	req.ofRaw = raw
	if !s.bounds.begin() {
		return s.errorReply(errBusy)
	}
	defer s.bounds.end()
	house := s.node.Enter()
	if house == nil {
		return s.errorReply(errSealed)
	}
	defer house.Leave()
	began := s.node.Clock().Now()
	s.node.Metrics().Begin(req.id, metrics.Flight{Start: began, Remote: req.remote, Path: "/" + req.path, Method: r.Method})
	defer s.node.Metrics().End(req.id)
	out := s.serve(ctx, house, req)
	s.node.Metrics().Observe("core.handle_request", nil, s.node.Clock().Now().Sub(began))
	return out
}

var errSealed = &backend.Error{Kind: backend.Sealed}

func (s *Server) errorReply(err error) reply {
	f := fail(err)
	if f.status == http.StatusInternalServerError {
		s.log.Error("a request failed", "error", err)
	}
	return reply{status: f.status, body: f.body(), again: busy(err)}
}

// write puts an answer onto the wire. Contract: http §1.2, sys §0.4.
func (s *Server) write(w http.ResponseWriter, r *http.Request, out reply) {
	h := w.Header()
	// The names are in canonical form and the values shared: net/http only reads them.
	h["Cache-Control"], h["Strict-Transport-Security"], h["Content-Type"] = s.always.cache, s.always.transport, s.always.json
	if out.contentType != "" {
		h.Set("Content-Type", out.contentType)
	}
	if out.contentType == backend.PageType {
		pageHeaders(h)
	}
	if ns := r.Header.Get("X-Vault-Namespace"); ns != "" {
		h.Set("X-Vault-Namespace", ns)
	}
	if out.again {
		h.Set("Retry-After", retryAfter)
	}
	if out.warning != "" {
		h.Set("Warning", warningHeader(out.warning))
	}
	s.identify(h)
	s.operatorHeaders(h, out.status)
	w.WriteHeader(out.status)
	if out.stream != nil {
		out.stream(r.Context(), w)
		return
	}
	if r.Method != http.MethodHead && len(out.body) > 0 {
		// The client may be gone; there is nobody left to tell.
		_, _ = w.Write(out.body)
	}
}

// pageHeaders confine a page to the text and the forms that it is made of. Its address can hold a
// code that is good for a login, which no other page is to hear of.
func pageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// operatorHeaders adds those that the configuration names for a status, the most specific
// last. Contract: config §3 custom_response_headers.
func (s *Server) operatorHeaders(h http.Header, status int) {
	if len(s.listener.Headers) == 0 {
		return
	}
	for _, scope := range []string{"default", fmt.Sprintf("%dxx", status/100), fmt.Sprintf("%d", status)} {
		for name, values := range s.listener.Headers[scope] {
			h.Set(name, strings.Join(values, "; "))
		}
	}
}

// Running is a server that accepts connections.
type Running struct {
	// Address is where it listens; the port is known even if the configuration left it open.
	Address net.Addr
	http    *http.Server
	tls     *certificates
	served  sync.WaitGroup
	failed  chan error
}

// Listen opens the listener and serves until Stop.
func (s *Server) Listen() (*Running, error) {
	l, certs, err := open(s.listener)
	if err != nil {
		return nil, err
	}
	t := s.listener.Timeouts
	run := &Running{Address: l.Addr(), tls: certs, failed: make(chan error, 1), http: &http.Server{
		Handler:           s,
		ReadHeaderTimeout: t.ReadHeader,
		ReadTimeout:       t.Read,
		WriteTimeout:      t.Write,
		IdleTimeout:       t.Idle,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Protocols:         protocols(),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streamsPerConnection},
		ConnState:         s.bounds.connState,
		ConnContext:       connContext,
	}}
	run.http.RegisterOnShutdown(func() { close(s.ending) })
	run.served.Go(func() {
		if err := run.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			run.failed <- err
		}
	})
	return run, nil
}

// streamsPerConnection bounds the requests that one connection of HTTP/2 may have in flight.
const streamsPerConnection = 128

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	return p
}

// Failed delivers the error of a listener that stopped by itself.
func (r *Running) Failed() <-chan error { return r.failed }

// Reload reads the certificate again. On an error the old one goes on serving.
func (r *Running) Reload() error {
	if r.tls == nil {
		return nil
	}
	return r.tls.reload()
}

// Stop takes no more connections and waits, as long as ctx allows, for the requests in flight.
func (r *Running) Stop(ctx context.Context) error {
	err := r.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, r.http.Close())
	}
	r.served.Wait()
	return err
}

// versionText is what health and seal-status report.
func versionText() string { return version.API }

// buildDate is what seal-status reports.
func buildDate() string { return version.BuildDate() }
