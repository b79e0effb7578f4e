package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/audit"
	"jeton/internal/audit/file"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/config"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// benched is a server over a store on disk, without the network: what a request costs here is
// what the house adds to net/http.
type benched struct {
	server *Server
	token  string
}

func newBenched(b *testing.B) *benched {
	b.Helper()
	raw, err := embedded.Open(b.Context(), embedded.Options{Path: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	return benchedOver(b, raw)
}

// benchedOver is newBenched over any store.
func benchedOver(b testing.TB, raw store.Store) *benched {
	b.Helper()
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	n := node.New(raw, nil, clock.NewSteady(time.Now, time.Time{}), node.Settings{
		Limits: mount.Limits{DefaultTTL: time.Hour, MaxTTL: 24 * time.Hour}, Log: log,
		AuditTypes: map[string]audit.Factory{"file": file.Factory(nil)},
	})
	dev, err := n.StartDev(ctx, node.DevOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := n.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	s := &benched{server: New(n, config.Listener{}, time.Minute, About{}, log), token: dev.RootToken}
	s.must(b, "PUT", "/v1/sys/policies/acl/bench", s.token, `{"policy":"path \"secret/data/*\" { capabilities = [\"create\",\"read\",\"update\"] }"}`)
	s.must(b, "POST", "/v1/sys/auth/approle", s.token, `{"type":"approle"}`)
	s.must(b, "POST", "/v1/auth/approle/role/bench", s.token, `{"token_policies":"bench","token_ttl":"1h"}`)
	s.must(b, "POST", "/v1/secret/data/read", s.token, kvBody)
	return s
}

const kvBody = `{"data":{"username":"app","password":"correct-horse-battery-staple"}}`

// kept is a ResponseWriter that keeps what it is given.
type kept struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }

// send serves one request as net/http would have parsed it.
func (s *benched) send(k *kept, method, path, token, body string) error {
	r, err := http.NewRequest(method, path, nil)
	if err != nil {
		return err
	}
	r.RequestURI, r.RemoteAddr = path, "127.0.0.1:1234"
	r.Header = http.Header{"X-Vault-Token": {token}, "Host": {"localhost"}}
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Header["Content-Type"] = []string{"application/json"}
	}
	clear(k.header)
	k.body.Reset()
	s.server.ServeHTTP(k, r)
	if k.status >= 300 {
		return fmt.Errorf("%s %s: status %d: %s", method, path, k.status, k.body.Bytes())
	}
	return nil
}

func (s *benched) must(b testing.TB, method, path, token, body string) []byte {
	b.Helper()
	k := &kept{header: http.Header{}}
	if err := s.send(k, method, path, token, body); err != nil {
		b.Fatal(err)
	}
	return k.body.Bytes()
}

func (s *benched) newToken(b *testing.B) string {
	b.Helper()
	var out struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	if err := json.Unmarshal(s.must(b, "POST", "/v1/auth/token/create", s.token, `{"policies":["bench"],"ttl":"1h"}`), &out); err != nil {
		b.Fatal(err)
	}
	return out.Auth.Token
}

// BenchmarkServe measures the whole way of a request, from the parsed request to the answer's
// bytes, by many clients at once.
func BenchmarkServe(b *testing.B) {
	s := newBenched(b)
	holder := s.newToken(b)
	var role, secret struct {
		Data struct {
			RoleID   string `json:"role_id"`
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	for path, out := range map[string]any{"role-id": &role, "secret-id": &secret} {
		method := map[string]string{"role-id": "GET", "secret-id": "POST"}[path]
		if err := json.Unmarshal(s.must(b, method, "/v1/auth/approle/role/bench/"+path, s.token, ""), out); err != nil {
			b.Fatal(err)
		}
	}
	login := fmt.Sprintf(`{"role_id":%q,"secret_id":%q}`, role.Data.RoleID, secret.Data.SecretID)
	key := oidctest.NewKey(b, jose.RS256, "")
	s.must(b, "POST", "/v1/sys/auth/jwt", s.token, `{"type":"jwt"}`)
	s.must(b, "POST", "/v1/auth/jwt/config", s.token, fmt.Sprintf(`{"jwt_validation_pubkeys":%q}`, key.PEM(b)))
	s.must(b, "POST", "/v1/auth/jwt/role/bench", s.token, `{"role_type":"jwt","user_claim":"sub","bound_audiences":"a","token_policies":"bench"}`)
	signed := fmt.Sprintf(`{"role":"bench","jwt":%q}`, key.Sign(b, map[string]any{"sub": "bench", "aud": "a", "exp": 4102444800}))
	for _, op := range []struct{ name, method, path, token, body string }{
		{"lookup-self", "GET", "/v1/auth/token/lookup-self", holder, ""},
		{"kv-read", "GET", "/v1/secret/data/read", holder, ""},
		{"create", "POST", "/v1/auth/token/create", s.token, `{"policies":["bench"],"ttl":"1h","display_name":"bench"}`},
		{"create-batch", "POST", "/v1/auth/token/create", s.token, `{"policies":["bench"],"ttl":"1h","type":"batch"}`},
		{"renew-self", "POST", "/v1/auth/token/renew-self", "", ""},
		{"approle-login", "POST", "/v1/auth/approle/login", "", login},
		{"jwt-login", "POST", "/v1/auth/jwt/login", "", signed},
		{"kv-write", "POST", "/v1/secret/data/", holder, kvBody},
	} {
		b.Run(op.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(16)
			var worker atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				k := &kept{header: http.Header{}}
				path, token := op.path, op.token
				switch op.name {
				case "renew-self":
					token = s.newToken(b)
				case "kv-write":
					path += fmt.Sprint(worker.Add(1))
				}
				for pb.Next() {
					if err := s.send(k, op.method, path, token, op.body); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkAudited is the whole way of a request with a file audit device.
func BenchmarkAudited(b *testing.B) {
	s := newBenched(b)
	holder := s.newToken(b)
	s.must(b, "POST", "/v1/sys/audit/file", s.token, fmt.Sprintf(`{"type":"file","options":{"file_path":%q}}`, filepath.Join(b.TempDir(), "audit.log")))
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		k := &kept{header: http.Header{}}
		for pb.Next() {
			if err := s.send(k, "GET", "/v1/auth/token/lookup-self", holder, ""); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkEnvelope is the encoding of an answer that carries data, and of one with a new token.
func BenchmarkEnvelope(b *testing.B) {
	data, err := encodeData(map[string]any{"username": "app", "password": "correct-horse-battery-staple"})
	if err != nil {
		b.Fatal(err)
	}
	auth := &backend.Auth{ClientToken: strings.Repeat("t", 95), Accessor: strings.Repeat("a", 24), Policies: []string{"default", "web"},
		TokenPolicies: []string{"default", "web"}, TokenType: "service", Renewable: true, LeaseDuration: backend.Seconds(time.Hour)}
	for name, e := range map[string]envelope{
		"data": {requestID: "r", data: data, response: &backend.Response{}, mount: "kv"},
		"auth": {requestID: "r", response: &backend.Response{Auth: auth}, mount: "token"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
