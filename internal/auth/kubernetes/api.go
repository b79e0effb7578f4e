package kubernetes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"jeton/internal/outbound"
)

// mostAnswer bounds an answer of the API server, in bytes.
const mostAnswer = 1 << 20

// What can be wrong with the API server. The texts are for the log alone.
var (
	errForbidden    = errors.New("the API server does not let this server ask that (403)")
	errUnauthorized = errors.New("the API server does not know this server's own token (401)")
	errMissing      = errors.New("the API server has no such object (404)")
	errNoJSON       = errors.New("the API server did not answer in JSON")
	errHuge         = errors.New("the API server's answer is too large")
	errNoCA         = errors.New("the CA certificate of the API server cannot be read")
)

// clients keeps one HTTP client, with its connections, as long as the server and its CA stay the same.
type clients struct {
	mu      sync.Mutex
	id      [32]byte     // guarded by mu
	current *http.Client // guarded by mu
}

// get returns the client for an API server whose certificate one of ca vouches for; "" is the
// system's authorities.
func (c *clients) get(host, ca string) (*http.Client, error) {
	id := sha256.Sum256([]byte(host + "\x00" + ca))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && c.id == id {
		return c.current, nil
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errNoCA
		}
	}
	if c.current != nil {
		c.current.CloseIdleConnections()
	}
	c.id = id
	transport := outbound.Transport(settings)
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = 64, 16
	c.current = &http.Client{
		Transport: outbound.Bound(transport, mostAnswer),
		// A redirect would carry the JWT elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c.current, nil
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.CloseIdleConnections()
		c.current = nil
	}
}

// apiServer is the API server, asked with one bearer.
type apiServer struct {
	client *http.Client
	host   string
	// bearer must not be printed.
	bearer string
	// own says that the bearer is the token of who logged in: nobody was configured to review.
	own bool
}

// server is the configured API server. own is the JWT that is used where no other may review.
func (m *Method) server(c *configRecord, own string) (*apiServer, error) {
	ca, bearer := c.CACert, c.ReviewerJWT
	if !c.DisableLocalCA {
		token, certificate := m.pod.read()
		if ca == "" {
			ca = certificate
		}
		if bearer == "" && token != "" && certificate != "" && strings.HasPrefix(c.Host, "https://") {
			// The pod's JWT was given for the pod's cluster. Whoever writes the settings may name
			// another server, with a CA of their own (decision 0027).
			bearer, ca = token, certificate
		}
	}
	none := bearer == ""
	if none {
		bearer = own
	}
	client, err := m.api.get(c.Host, ca)
	if err != nil {
		return nil, err
	}
	return &apiServer{client: client, host: c.Host, bearer: bearer, own: none}, nil
}

// objectMeta is what is needed of an object's metadata.
type objectMeta struct {
	Name        string            `json:"name"`
	UID         string            `json:"uid"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Deleted is set while an object waits for its end.
	Deleted *string `json:"deletionTimestamp"`
}

type object struct {
	Kind     string     `json:"kind"`
	Metadata objectMeta `json:"metadata"`
}

// tokenReview is authentication.k8s.io/v1 TokenReview.
type tokenReview struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Spec       reviewSpec   `json:"spec"`
	Status     reviewStatus `json:"status"`
}

type reviewSpec struct {
	Token     string   `json:"token"`
	Audiences []string `json:"audiences,omitempty"`
}

type reviewStatus struct {
	Authenticated bool       `json:"authenticated"`
	User          reviewUser `json:"user"`
	Audiences     []string   `json:"audiences"`
	Error         string     `json:"error"`
}

type reviewUser struct {
	Username string `json:"username"`
	UID      string `json:"uid"`
}

// review asks the API server whose token is, and whether it is for one of the audiences; it must be the very
// account of who. An error refuses; its text is for the log.
func (s *apiServer) review(ctx context.Context, token string, audiences []string, who account) error {
	body, err := json.Marshal(&tokenReview{
		APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview", Spec: reviewSpec{Token: token, Audiences: audiences},
	})
	if err != nil {
		return err
	}
	var answer tokenReview
	if err := s.ask(ctx, http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", body, &answer); err != nil {
		return err
	}
	status := answer.Status
	switch {
	case answer.Kind != "TokenReview":
		return errNoJSON
	case status.Error != "" || !status.Authenticated:
		return errUnknownToken
	case len(audiences) > 0 && !slices.ContainsFunc(status.Audiences, func(a string) bool { return slices.Contains(audiences, a) }):
		return errors.New("the API server does not confirm the audience")
	case status.User.Username != who.user() || status.User.UID != who.uid:
		return errors.New("the API server says that the token is another's than it says itself")
	}
	return nil
}

// errUnknownToken is the API server's no.
var errUnknownToken = errors.New("the API server does not know the token")

// namespace reads a namespace.
func (s *apiServer) namespace(ctx context.Context, name string) (*objectMeta, error) {
	return s.object(ctx, "Namespace", "/api/v1/namespaces/"+name, name)
}

// serviceAccount reads a service account.
func (s *apiServer) serviceAccount(ctx context.Context, a account) (*objectMeta, error) {
	return s.object(ctx, "ServiceAccount", "/api/v1/namespaces/"+a.namespace+"/serviceaccounts/"+a.name, a.name)
}

func (s *apiServer) object(ctx context.Context, kind, path, name string) (*objectMeta, error) {
	var o object
	if err := s.ask(ctx, http.MethodGet, path, nil, &o); err != nil {
		return nil, err
	}
	if o.Kind != kind || o.Metadata.Name != name {
		return nil, errNoJSON
	}
	return &o.Metadata, nil
}

// ask makes a request and reads its answer. Errors carry neither the bearer nor the answer.
func (s *apiServer) ask(ctx context.Context, method, path string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.host+path, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address of the API server cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+s.bearer)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("the API server cannot be asked: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated:
	case http.StatusUnauthorized:
		return errUnauthorized
	case http.StatusForbidden:
		return errForbidden
	case http.StatusNotFound:
		return errMissing
	default:
		return fmt.Errorf("the API server answered with status %d", resp.StatusCode)
	}
	data, err := io.ReadAll(resp.Body)
	switch {
	case errors.Is(err, outbound.ErrTooLarge):
		return errHuge
	case err != nil:
		return fmt.Errorf("the API server's answer broke off: %w", err)
	case json.Unmarshal(data, answer) != nil:
		return errNoJSON
	}
	return nil
}
