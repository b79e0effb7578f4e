package server

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/mount"
)

// quiet collects what the server logs as an error.
type quiet struct {
	slog.Handler
	panicked *bool
}

func (q quiet) Handle(_ context.Context, r slog.Record) error {
	*q.panicked = *q.panicked || strings.Contains(r.Message, "panicked")
	return nil
}

func (q quiet) Enabled(context.Context, slog.Level) bool { return true }
func (q quiet) WithAttrs([]slog.Attr) slog.Handler       { return q }
func (q quiet) WithGroup(string) slog.Handler            { return q }

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// FuzzRequest sends any verb, path and body with a root token: whatever it is, nothing panics,
// and no answer is an internal error.
func FuzzRequest(f *testing.F) {
	s, root := running(f)
	for _, mounted := range allMounts(s) {
		for _, route := range mounted.Routes.Routes() {
			path := mounted.Entry.Path + placeholder.ReplaceAllString(route.Pattern, "x")
			var body bytes.Buffer
			body.WriteString(`{`)
			for i, field := range route.Endpoint(backend.Update).Fields() {
				if i > 0 {
					body.WriteString(`,`)
				}
				body.WriteString(`"` + field.Name + `":` + map[string]string{"string": `"1"`, "boolean": "true", "integer": "1", "number": "1", "array": `["a"]`, "object": `{"a":"b"}`}[field.Kind])
			}
			body.WriteString(`}`)
			for _, verb := range []string{"GET", "PUT", "LIST", "DELETE"} {
				f.Add(verb, path, body.String(), "", "application/json")
			}
		}
	}
	f.Add("PATCH", "secret/data/x", `{"data":{"a":null}}`, "", mergePatch)
	f.Add("PUT", "auth/token/create", `policies=default&ttl=1h`, "60", "application/x-www-form-urlencoded")
	f.Add("GET", "auth/token/lookup-self?list=true&help=1", ``, "1h", "")
	panicked := false
	s.log = slog.New(quiet{panicked: &panicked})
	f.Fuzz(func(t *testing.T, verb, path, body, ttl, contentType string) {
		u, err := url.ParseRequestURI(apiPrefix + path)
		if err != nil || dangerous(u.Path) {
			return
		}
		r := (&http.Request{Method: verb, URL: u, RequestURI: apiPrefix + path, RemoteAddr: "192.0.2.1:1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"X-Vault-Token": {root}, "X-Vault-Wrap-Ttl": {ttl}, "Content-Type": {contentType}},
			Body:   http.NoBody}).WithContext(context.Background())
		if body != "" {
			r = r.Clone(context.Background())
			r.Body = readerBody{strings.NewReader(body)}
			r.ContentLength = int64(len(body))
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if panicked {
			t.Fatalf("%s %q panicked", verb, path)
		}
		if w.Code == http.StatusInternalServerError && strings.Contains(w.Body.String(), "internal error") {
			t.Fatalf("%s %q with %q: %s", verb, path, body, w.Body)
		}
	})
}

type readerBody struct{ *strings.Reader }

func (readerBody) Close() error { return nil }

// dangerous names what would end the server under test or its root token.
func dangerous(path string) bool {
	for _, part := range []string{"seal", "revoke", "init", "rekey", "step-down", "quotas", "sys/audit"} {
		if strings.Contains(path, part) {
			return true
		}
	}
	return false
}

func allMounts(s *Server) []*mount.Mounted {
	house := s.node.Enter()
	defer house.Leave()
	return append(house.Mounts.All(mount.SecretClass), house.Mounts.All(mount.AuthClass)...)
}
