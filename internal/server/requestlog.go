package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// RequestLog is the level at which completed requests are logged. It can change while the server
// serves. Contract: config §2 log_requests_level.
type RequestLog struct {
	// level is nil for not at all.
	level atomic.Pointer[slog.Level]
}

// Set takes a level; nil switches the log off.
func (l *RequestLog) Set(level *slog.Level) { l.level.Store(level) }

// completed logs one line for a request. It shows the path without what could be a token in it,
// and never the query.
func (s *Server) completed(ctx context.Context, r *http.Request, status int, took time.Duration) {
	if s.about.RequestLog == nil {
		return
	}
	level := s.about.RequestLog.level.Load()
	if level == nil {
		return
	}
	s.log.Log(ctx, *level, "completed_request", "request_method", r.Method, "request_path", withoutTokens(r.URL.Path),
		"client_address", remoteOf(r.Context(), r.RemoteAddr).String(), "status_code", status, "duration", took)
}

// withoutTokens blanks the segments of a path that have the form of a token.
func withoutTokens(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		for _, prefix := range []string{"hvs.", "hvb.", "hvr.", "s.", "b.", "r."} {
			if len(segment) > 20 && strings.HasPrefix(segment, prefix) {
				segments[i] = "[token]"
			}
		}
	}
	return strings.Join(segments, "/")
}
