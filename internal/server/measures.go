package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"jeton/internal/backend"
	"jeton/internal/logging"
	"jeton/internal/metrics"
	"jeton/internal/quota"
	"jeton/internal/sys"
)

// openMeasures are what this listener shows without a token, as its configuration says; the
// same paths need one elsewhere. sys/monitor is raw because its answer does not end. Contract:
// sys §0.1, §18, config §3.
func (s *Server) openMeasures() map[string]rawHandler {
	open := map[string]rawHandler{"sys/monitor": verbs(map[string]rawHandler{http.MethodGet: s.monitor})}
	show := verbs(map[string]rawHandler{http.MethodGet: s.withoutToken})
	e := s.listener.Exposure
	if e.UnauthenticatedMetrics {
		open["sys/metrics"] = show
	}
	if e.UnauthenticatedInFlight {
		open["sys/in-flight-req"] = show
	}
	if e.UnauthenticatedPprof {
		open["sys/pprof"], open["sys/pprof/"] = show, show
		for _, name := range sys.ProfileNames() {
			open["sys/pprof/"+name] = show
		}
	}
	return open
}

// withoutToken serves a path of the route tables to anyone. It is not audited. Contract: audit §1.
func (s *Server) withoutToken(ctx context.Context, r *http.Request) reply {
	house := s.node.Enter()
	if house == nil {
		return s.errorReply(errSealed)
	}
	defer house.Leave()
	req, err := s.read(r)
	if err != nil {
		return s.errorReply(err)
	}
	req.wrapTTL, req.help = 0, false
	if n := len(req.path); req.path[n-1] == '/' {
		req.path = req.path[:n-1]
	}
	x := &exchange{house: house, request: req, path: req.path}
	x.find()
	defer x.leave()
	if err := x.endpoint(); err != nil {
		return s.refuse(x, err)
	}
	if err := x.handle(ctx); err != nil {
		return s.refuse(x, err)
	}
	if err := x.finish(ctx); err != nil {
		return s.refuse(x, err)
	}
	return x.plain(false)
}

// countIssued counts a token that is about to leave.
func (s *Server) countIssued(x *exchange) {
	if x.response == nil || x.response.Auth == nil || !x.issues() {
		return
	}
	kind := issuedKind{x.mounted.Entry.Type, x.response.Auth.TokenType}
	counter, ok := s.issued.Load(kind)
	if !ok {
		counter = s.node.Metrics().Counter("token.creation", metrics.Labels{"auth_method": kind.method, "token_type": kind.token})
		s.issued.Store(kind, counter)
	}
	counter.(*metrics.Counter).Add()
}

// issuedKind is what tells counters of issued tokens apart.
type issuedKind struct{ method, token string }

// countRefused counts a lease that a quota has refused.
func (s *Server) countRefused(err error) {
	if full, ok := errors.AsType[*quota.Exceeded](err); ok {
		s.node.Metrics().Count("quota.lease_count.violation", metrics.Labels{"name": full.Quota})
	}
}

// monitorLooks is how often a stream looks whether the server was sealed.
const monitorLooks = time.Second

// monitor streams the server's log to a caller with read on sys/monitor. It has no end of its
// own; sealing ends it. Contract: sys §18.
func (s *Server) monitor(ctx context.Context, r *http.Request) reply {
	level, ok := logging.Parse(or(r.URL.Query().Get("log_level"), "info"))
	format := or(r.URL.Query().Get("log_format"), "standard")
	house := s.node.Enter()
	if house == nil {
		return s.errorReply(errSealed)
	}
	defer house.Leave()
	req, err := s.read(r)
	if err != nil {
		return s.errorReply(err)
	}
	x := &exchange{house: house, request: req, path: req.path}
	err = x.admitRaw(ctx)
	if auditErr := s.auditRequest(ctx, x, err); auditErr != nil {
		return s.refuse(x, auditErr)
	}
	levels := s.about.Levels
	switch {
	case err != nil:
	case !ok:
		err = backend.Invalidf("unknown log level")
	case format != "standard" && format != "json":
		err = backend.Invalidf("unknown log format")
	case levels == nil:
		err = backend.Invalidf("streaming not supported")
	}
	x.afterLastUse(ctx, s)
	x.response = &backend.Response{Raw: &backend.Raw{ContentType: "text/plain"}}
	if auditErr := s.auditResponse(ctx, x, err); auditErr != nil {
		return s.refuse(x, auditErr)
	}
	if err != nil {
		return s.refuse(x, err)
	}
	return reply{status: http.StatusOK, contentType: "text/plain", stream: s.follow(levels, level, format == "json")}
}

// follow streams what is logged from now on.
func (s *Server) follow(levels *logging.Levels, level slog.Level, asJSON bool) func(context.Context, http.ResponseWriter) {
	return func(ctx context.Context, w http.ResponseWriter) {
		control := http.NewResponseController(w)
		// A stream outlives the time that a usual answer may take.
		_ = control.SetWriteDeadline(time.Time{})
		lines := levels.Follow(level, asJSON)
		defer lines.Close()
		if control.Flush() != nil {
			return
		}
		look := time.NewTicker(monitorLooks)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.ending:
				return
			case <-look.C:
				if s.node.Sealed() {
					return
				}
			case line := <-lines.Lines:
				if _, err := w.Write(line); err != nil || control.Flush() != nil {
					return
				}
			}
		}
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
