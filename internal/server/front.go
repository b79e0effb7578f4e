package server

import (
	"context"
	"net"
	"net/http"

	"jeton/internal/backend"
)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.node.Clock().Now()
	switch {
	case streamsBody(r):
		r = r.WithContext(context.WithValue(r.Context(), controlKey{}, http.NewResponseController(w)))
	case r.Body != nil && r.Body != http.NoBody:
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		if r.ProtoMajor != 1 {
			conn = nil
		}
		metered := s.bounds.meter(r.Body, conn)
		defer metered.release()
		r.Body = metered
	}
	r, refused := s.admitPeer(r)
	status := 0
	if refused != nil {
		status = refused.status
		s.write(w, r, *refused)
	} else {
		status = s.respond(w, r)
	}
	s.completed(r.Context(), r, status, s.node.Clock().Now().Sub(began))
}

// Within has the server share bounds with the process's other listeners. It must be called
// before the first request.
func (s *Server) Within(b *Bounds) { s.bounds = b }

// identify adds the headers that say which machine answers, where the configuration wants them.
// Contract: sys §0.4.
func (s *Server) identify(h http.Header) {
	if s.about.Hostname != "" {
		h.Set("X-Vault-Hostname", s.about.Hostname)
	}
	if s.about.NodeID != "" {
		h.Set("X-Vault-Raft-Node-ID", s.about.NodeID)
	}
}

// shown is text, or nothing where this listener keeps it to itself. Contract: config §3 redact_*.
func shown(text string, redact bool) string {
	if redact {
		return ""
	}
	return text
}

// busy says that an error is that of the bounds.
func busy(err error) bool {
	e, ok := err.(*backend.Error)
	return ok && e == errBusy
}
