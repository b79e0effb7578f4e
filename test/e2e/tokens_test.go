package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
)

// tokenAuth is a token that was made for a test.
type tokenAuth struct {
	ClientToken   string   `json:"client_token"`
	Accessor      string   `json:"accessor"`
	Policies      []string `json:"policies"`
	LeaseDuration int      `json:"lease_duration"`
	Renewable     bool     `json:"renewable"`
	Orphan        bool     `json:"orphan"`
	TokenType     string   `json:"token_type"`
}

// answer is what the raw API said.
type answer struct {
	status int
	header http.Header
	text   string
	Errors []string       `json:"errors"`
	Data   map[string]any `json:"data"`
	Auth   *tokenAuth     `json:"auth"`
}

// web is an HTTP client that trusts the server's authority and follows nothing.
func (s *server) web() *http.Client {
	s.once.Do(func() {
		s.http = &http.Client{Transport: s.transport(), Timeout: patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	})
	return s.http
}

func (s *server) transport() *http.Transport {
	s.t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			s.t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	s.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// raw sends one request with a JSON body (nil: none) and reads the answer. more are names
// and values of headers.
func (s *server) raw(verb, path, token string, body any, more ...string) answer {
	s.t.Helper()
	var send io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		send = bytes.NewReader([]byte(b))
	case []byte:
		send = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		send = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), verb, s.addr+"/v1/"+path, send)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	for i := 0; i < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	return s.do(req)
}

func (s *server) do(req *http.Request) answer {
	s.t.Helper()
	resp, err := s.web().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if len(text) > 0 {
		// A body that is no JSON leaves the fields empty; tests that mind look at text.
		_ = json.Unmarshal(text, &a)
	}
	return a
}

// auth makes a token by the root token.
func auth(t *testing.T, s *server, params map[string]any) *tokenAuth {
	t.Helper()
	a := s.raw("POST", "auth/token/create", s.root, params)
	if a.status != 200 || a.Auth == nil {
		t.Fatalf("create: %d %s", a.status, a.text)
	}
	return a.Auth
}

func token(t *testing.T, s *server, params map[string]any) string {
	t.Helper()
	return auth(t, s, params).ClientToken
}

// childOf makes a child of a token, whose first policy is made to allow that.
func childOf(t *testing.T, s *server, parent *tokenAuth) string {
	t.Helper()
	if a := s.raw("PUT", "sys/policies/acl/"+parent.Policies[0], s.root, map[string]any{"policy": `path "auth/token/create" { capabilities = ["update"] }`}); a.status != 204 {
		t.Fatalf("policy: %d %s", a.status, a.text)
	}
	a := s.raw("POST", "auth/token/create", parent.ClientToken, map[string]any{"policies": []string{"default"}})
	if a.status != 200 || a.Auth == nil {
		t.Fatalf("create by a child: %d %s", a.status, a.text)
	}
	return a.Auth.ClientToken
}

// alive tells whether a token is accepted; anything but yes or a refusal fails the test.
func alive(t *testing.T, s *server, token string) bool {
	t.Helper()
	a := s.raw("GET", "auth/token/lookup-self", token, nil)
	switch a.status {
	case 200:
		return true
	case 403:
		return false
	}
	t.Fatalf("lookup-self: %d %s", a.status, a.text)
	return false
}
