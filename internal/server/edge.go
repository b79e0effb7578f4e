package server

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/edge"
	"jeton/internal/metrics"
	"jeton/internal/node"
)

// corsMethods are what a browser of another origin may ask for.
func corsMethods() []string {
	return []string{http.MethodDelete, http.MethodGet, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, "LIST"}
}

// origins is what holds on this listener: its own stanza, or what sys/config/cors says.
func (s *Server) origins() edge.CORS {
	if l := s.listener.CORS; l.Enabled {
		c, err := edge.NewCORS(l.AllowedOrigins, l.AllowedHeaders)
		if err != nil {
			// Nobody from elsewhere, rather than everybody.
			return edge.CORS{Enabled: true}
		}
		return c
	}
	house := s.node.Enter()
	if house == nil {
		return edge.CORS{}
	}
	defer house.Leave()
	return house.Edge.CORS()
}

// crossOrigin judges a request that a browser sends from another origin, before anyone looks
// at its token. done says that the answer is out. Contract: sys §11.
func (s *Server) crossOrigin(h http.Header, r *http.Request) (out reply, done bool) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return reply{}, false
	}
	cors := s.origins()
	if !cors.Enabled {
		return reply{}, false
	}
	if own, err := url.Parse(origin); err == nil && own.Host == r.Host {
		return reply{}, false
	}
	h.Add("Vary", "Origin")
	asked := r.Header.Get("Access-Control-Request-Method")
	preflight := r.Method == http.MethodOptions
	switch {
	case !cors.Allows(origin):
		return s.errorReply(backend.Errorf(backend.Denied, "origin not allowed")), true
	case preflight && !slices.Contains(corsMethods(), asked):
		return reply{status: http.StatusMethodNotAllowed}, true
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if !preflight {
		return reply{}, false
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(corsMethods(), ","))
	h.Set("Access-Control-Allow-Headers", strings.Join(cors.Headers, ","))
	h.Set("Access-Control-Max-Age", "300")
	return reply{status: http.StatusOK}, true
}

// limitRate counts a request against the rate limits, before its token or its body is looked
// at (CVE-2025-12044). Contract: sys §17.
func (s *Server) limitRate(ctx context.Context, h http.Header, r *http.Request, house *node.House, path string) (out reply, done bool) {
	if !house.Edge.Limited() {
		return reply{}, false
	}
	remote := remoteOf(r.Context(), r.RemoteAddr)
	v := house.Edge.Check(path, remote.Addr().String())
	if !v.Limited {
		return reply{}, false
	}
	config := house.Edge.QuotaConfig()
	if config.Headers {
		h.Set("X-Ratelimit-Limit", strconv.FormatInt(v.Limit, 10))
		h.Set("X-Ratelimit-Remaining", strconv.FormatInt(v.Remaining, 10))
		h.Set("X-Ratelimit-Reset", wholeSeconds(v.Reset.Seconds()))
	}
	if v.Allowed {
		return reply{}, false
	}
	s.node.Metrics().Count("quota.rate_limit.violation", metrics.Labels{"name": v.Quota})
	h.Set("Retry-After", wholeSeconds(v.RetryAfter.Seconds()))
	err := backend.Errorf(backend.TooMany, "request path %q: rate limit quota exceeded", path)
	if config.Audit {
		entry := &audit.Entry{Auth: &audit.Auth{}, Error: err.Error(), Request: &audit.RequestPart{
			Operation: strings.ToLower(r.Method), Path: path, Headers: r.Header, URI: r.RequestURI,
			Remote: remote,
		}}
		if auditErr := house.Audit.LogRequest(ctx, entry, nil, nil); auditErr != nil {
			return s.errorReply(auditErr), true
		}
	}
	return s.errorReply(err), true
}

// wholeSeconds rounds up: a client that comes back too early is refused again.
func wholeSeconds(s float64) string { return strconv.FormatInt(int64(math.Ceil(s)), 10) }
