// Package kubetest owns a stand-in of a Kubernetes API server for tests: real HTTPS on loopback, with
// service accounts, signed JWTs, TokenReview, namespaces and their labels, permissions, and faults.
package kubetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// Audience is the one that the API server itself is; tokens without another are for it.
const Audience = "https://kubernetes.default.svc"

// Issuer is the one that the cluster's tokens name.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// Cluster is a stand-in. All methods are safe for concurrent use.
type Cluster struct {
	// URL is the API server's, CA its authority in PEM.
	URL, CA string

	t      testing.TB
	server *httptest.Server
	key    *ecdsa.PrivateKey
	now    func() time.Time

	mu         sync.Mutex // guards what follows
	accounts   map[string]*Account
	namespaces map[string]map[string]string
	// revoked are tokens whose pod is gone.
	revoked map[string]bool
	// readers may read service accounts and namespaces.
	readers map[string]bool
	fault   func(w http.ResponseWriter, r *http.Request)
	change  func(*Review)
	asked   []string
	bearers []string
}

// Account is a service account.
type Account struct {
	Namespace, Name, UID string
	Annotations          map[string]string
}

// User is the account's name as a user.
func (a *Account) User() string { return "system:serviceaccount:" + a.Namespace + ":" + a.Name }

// Review is a TokenReview.
type Review struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Token     string   `json:"token,omitempty"`
		Audiences []string `json:"audiences,omitempty"`
	} `json:"spec"`
	Status struct {
		Authenticated bool     `json:"authenticated"`
		Audiences     []string `json:"audiences,omitempty"`
		Error         string   `json:"error,omitempty"`
		User          struct {
			Username string   `json:"username,omitempty"`
			UID      string   `json:"uid,omitempty"`
			Groups   []string `json:"groups,omitempty"`
		} `json:"user"`
	} `json:"status"`
}

// Start starts a cluster whose time is now's; it stops with the test.
func Start(t testing.TB, now func() time.Time) *Cluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{
		t: t, key: key, now: now, accounts: map[string]*Account{}, namespaces: map[string]map[string]string{},
		revoked: map[string]bool{}, readers: map[string]bool{},
	}
	c.server = httptest.NewUnstartedServer(c)
	c.server.EnableHTTP2 = true
	c.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	c.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.server.StartTLS()
	t.Cleanup(c.server.Close)
	c.URL = c.server.URL
	c.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw}))
	return c
}

// Stop ends the server before the test does: from now on nobody answers.
func (c *Cluster) Stop() { c.server.Close() }

// PublicKey is the key that tokens are signed with, in PEM.
func (c *Cluster) PublicKey() string {
	der, err := x509.MarshalPKIXPublicKey(&c.key.PublicKey)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// AddAccount makes a service account, or makes it anew with another UID.
func (c *Cluster) AddAccount(namespace, name string) *Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &Account{Namespace: namespace, Name: name, UID: uuid.NewString(), Annotations: map[string]string{}}
	c.accounts[namespace+"/"+name] = a
	if c.namespaces[namespace] == nil {
		c.namespaces[namespace] = map[string]string{}
	}
	return a
}

// DeleteAccount removes a service account; its tokens prove nothing any more.
func (c *Cluster) DeleteAccount(a *Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.accounts, a.Namespace+"/"+a.Name)
}

// Label sets the labels of a namespace.
func (c *Cluster) Label(namespace string, labels map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.namespaces[namespace] = labels
}

// Annotate sets an annotation of an account.
func (c *Cluster) Annotate(a *Account, key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.Annotations[key] = value
}

// LetRead lets an account read service accounts and namespaces. Every account may review tokens.
func (c *Cluster) LetRead(a *Account, may bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readers[a.Namespace+"/"+a.Name] = may
}

// Members changes a token's members before it is signed.
type Members func(map[string]any)

// Token signs a token of the account for an hour, bound to a pod.
func (c *Cluster) Token(a *Account, change ...Members) string {
	now := c.now()
	members := map[string]any{
		"iss": Issuer, "sub": a.User(), "aud": []string{Audience},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": uuid.NewString(),
		"kubernetes.io": map[string]any{
			"namespace": a.Namespace, "pod": map[string]any{"name": "pod-1", "uid": uuid.NewString()},
			"serviceaccount": map[string]any{"name": a.Name, "uid": a.UID},
		},
	}
	for _, fn := range change {
		fn(members)
	}
	return Sign(c.t, jose.ES256, c.key, members)
}

// OldToken signs a token as Kubernetes kept them in Secrets before 1.24: without times and audience.
func (c *Cluster) OldToken(a *Account) string {
	const prefix = "kubernetes.io/serviceaccount/"
	return Sign(c.t, jose.ES256, c.key, map[string]any{
		"iss": "kubernetes/serviceaccount", "sub": a.User(), prefix + "namespace": a.Namespace,
		prefix + "service-account.name": a.Name, prefix + "service-account.uid": a.UID, prefix + "secret.name": a.Name + "-token-x1",
	})
}

// Sign signs members with any key.
func Sign(t testing.TB, algorithm jose.SignatureAlgorithm, key any, members map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(members).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// EndPod makes a token prove nothing, as the end of its pod does.
func (c *Cluster) EndPod(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revoked[token] = true
}

// Change has every answer to a TokenReview changed before it is sent; nil for honest answers.
func (c *Cluster) Change(change func(*Review)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change = change
}

// Fault has fn answer everything; nil ends it.
func (c *Cluster) Fault(fn func(w http.ResponseWriter, r *http.Request)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fn
}

// Status is a fault: every answer is an error of that status.
func Status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// Text is a fault: every answer is that text.
func Text(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// HangUp is a fault: every connection breaks.
func HangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Huge is a fault: an answer without an end.
func Huge(w http.ResponseWriter, _ *http.Request) {
	for range 1 << 10 {
		if _, err := io.WriteString(w, strings.Repeat(" ", 64<<10)); err != nil {
			return
		}
	}
}

// Slow is a fault: no answer until the client gives up. Each question is told on entered first.
func Slow(entered chan<- struct{}) func(http.ResponseWriter, *http.Request) {
	return func(_ http.ResponseWriter, r *http.Request) {
		// A server notices that a client has gone only once it has read the body.
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case entered <- struct{}{}:
		case <-r.Context().Done():
		}
		<-r.Context().Done()
	}
}

// Asked are the questions so far, as verb and path.
func (c *Cluster) Asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

// Bearers are the tokens that the questions came with.
func (c *Cluster) Bearers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bearers)
}

// ServeHTTP is the API server.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	c.mu.Lock()
	c.asked = append(c.asked, r.Method+" "+r.URL.Path)
	c.bearers = append(c.bearers, bearer)
	fault := c.fault
	c.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	caller, _ := c.holder(bearer, []string{Audience})
	if caller == nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/apis/authentication.k8s.io/v1/tokenreviews":
		c.review(w, r)
	case r.Method != http.MethodGet || len(parts) < 4 || parts[2] != "namespaces":
		w.WriteHeader(http.StatusNotFound)
	case !c.reads(caller):
		w.WriteHeader(http.StatusForbidden)
	case len(parts) == 4:
		c.namespace(w, parts[3])
	case len(parts) == 6 && parts[4] == "serviceaccounts":
		c.account(w, parts[3]+"/"+parts[5])
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// holder finds whose token it is; nil for one that proves nothing. shared are the audiences that it is for.
func (c *Cluster) holder(token string, audiences []string) (holder *Account, shared []string) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, nil
	}
	var claims struct {
		jwt.Claims
		Kubernetes struct {
			Account struct {
				UID string `json:"uid"`
			} `json:"serviceaccount"`
		} `json:"kubernetes.io"`
		OldUID string `json:"kubernetes.io/serviceaccount/service-account.uid"`
	}
	if err := parsed.Claims(crypto.PublicKey(&c.key.PublicKey), &claims); err != nil {
		return nil, nil
	}
	if claims.Expiry != nil && !c.now().Before(claims.Expiry.Time()) {
		return nil, nil
	}
	own := []string(claims.Audience)
	if len(own) == 0 {
		own = []string{Audience}
	}
	if len(audiences) == 0 {
		audiences = []string{Audience}
	}
	for _, a := range own {
		if slices.Contains(audiences, a) {
			shared = append(shared, a)
		}
	}
	if len(shared) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	namespace, name, _ := strings.Cut(strings.TrimPrefix(claims.Subject, "system:serviceaccount:"), ":")
	holder = c.accounts[namespace+"/"+name]
	if holder == nil || c.revoked[token] || holder.UID != claims.Kubernetes.Account.UID+claims.OldUID {
		return nil, nil
	}
	return holder, shared
}

func (c *Cluster) reads(a *Account) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readers[a.Namespace+"/"+a.Name]
}

func (c *Cluster) review(w http.ResponseWriter, r *http.Request) {
	var review Review
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Kind != "TokenReview" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if holder, shared := c.holder(review.Spec.Token, review.Spec.Audiences); holder != nil {
		review.Status.Authenticated, review.Status.Audiences = true, shared
		review.Status.User.Username, review.Status.User.UID = holder.User(), holder.UID
		review.Status.User.Groups = []string{"system:serviceaccounts"}
	} else {
		review.Status.Error = "invalid bearer token"
	}
	c.mu.Lock()
	change := c.change
	c.mu.Unlock()
	if change != nil {
		change(&review)
	}
	answer(w, http.StatusCreated, &review)
}

func (c *Cluster) namespace(w http.ResponseWriter, name string) {
	c.mu.Lock()
	labels, ok := c.namespaces[name]
	c.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, map[string]any{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": name, "labels": labels}})
}

func (c *Cluster) account(w http.ResponseWriter, key string) {
	c.mu.Lock()
	a := c.accounts[key]
	var annotations map[string]string
	if a != nil {
		annotations = maps.Clone(a.Annotations)
	}
	c.mu.Unlock()
	if a == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, map[string]any{"kind": "ServiceAccount", "apiVersion": "v1", "metadata": map[string]any{
		"name": a.Name, "namespace": a.Namespace, "uid": a.UID, "annotations": annotations,
	}})
}

func answer(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
