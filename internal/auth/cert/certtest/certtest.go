// Package certtest owns what tests of certificates need: authorities that issue, revoke and sign
// lists, and an OCSP responder that can be made to lie.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Authority is a CA, a root or one below another.
type Authority struct {
	t    testing.TB
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// Time is what its certificates, lists and answers are dated by.
	Time time.Time

	mu      sync.Mutex // guards what follows
	serial  int64
	revoked []x509.RevocationListEntry
	lists   int64
}

// Leaf is a certificate with its key.
type Leaf struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
	// Chain are the authorities between it and the root, its issuer first; a client sends them along.
	Chain []*x509.Certificate
}

// Option changes a certificate before it is signed.
type Option func(*x509.Certificate)

// New makes a root that begins to hold a day before now.
func New(t testing.TB, name string, now time.Time, options ...Option) *Authority {
	t.Helper()
	key := newKey(t)
	template := authority(name, now)
	for _, o := range options {
		o(template)
	}
	return &Authority{t: t, key: key, Time: now, serial: 100, Cert: sign(t, template, template, &key.PublicKey, key)}
}

// Below makes an authority that a signed.
func (a *Authority) Below(name string) *Authority {
	a.t.Helper()
	key := newKey(a.t)
	template := authority(name, a.Time)
	template.SerialNumber = a.next()
	return &Authority{t: a.t, key: key, Time: a.Time, serial: 100, Cert: sign(a.t, template, a.Cert, &key.PublicKey, a.key)}
}

// Renewed makes an authority of the same name with another key.
func (a *Authority) Renewed() *Authority {
	a.t.Helper()
	return New(a.t, a.Cert.Subject.CommonName, a.Time)
}

func authority(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Jeton tests"}},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func (a *Authority) next() *big.Int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serial++
	return big.NewInt(a.serial)
}

// Issue signs a client certificate with that common name, good for a month.
func (a *Authority) Issue(name string, options ...Option) *Leaf {
	a.t.Helper()
	return a.IssueFor(newKey(a.t), name, options...)
}

// IssueFor is Issue for a key that is there already.
func (a *Authority) IssueFor(key *ecdsa.PrivateKey, name string, options ...Option) *Leaf {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: a.next(), Subject: pkix.Name{CommonName: name},
		NotBefore: a.Time.Add(-time.Hour), NotAfter: a.Time.Add(30 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, o := range options {
		o(template)
	}
	leaf := &Leaf{Key: key, Cert: sign(a.t, template, a.Cert, &key.PublicKey, a.key)}
	if string(a.Cert.RawIssuer) != string(a.Cert.RawSubject) {
		leaf.Chain = []*x509.Certificate{a.Cert}
	}
	return leaf
}

// SelfSigned makes a client certificate that nobody vouches for.
func SelfSigned(t testing.TB, name string, now time.Time, options ...Option) *Leaf {
	t.Helper()
	key := newKey(t)
	a := &Authority{t: t, key: key, Time: now, serial: 1000}
	a.Cert = &x509.Certificate{Subject: pkix.Name{CommonName: name}, PublicKey: &key.PublicKey}
	return a.IssueFor(key, name, options...)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// PEM is the certificate as clients send it.
func (a *Authority) PEM() string { return PEM(a.Cert) }

// PEM writes certificates.
func PEM(certificates ...*x509.Certificate) string {
	var text []byte
	for _, c := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return string(text)
}

// PEM is the leaf's certificate without its chain.
func (l *Leaf) PEM() string { return PEM(l.Cert) }

// ChainPEM is the leaf's certificate, and those that lead to the root.
func (l *Leaf) ChainPEM() string { return PEM(append([]*x509.Certificate{l.Cert}, l.Chain...)...) }

// KeyPEM is the leaf's private key.
func (l *Leaf) KeyPEM(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(l.Key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Connection is what a server sees of a client that shows the certificate.
func (l *Leaf) Connection() *tls.ConnectionState {
	return &tls.ConnectionState{PeerCertificates: append([]*x509.Certificate{l.Cert}, l.Chain...)}
}

// Revoke puts a certificate onto the authority's lists and into its answers.
func (a *Authority) Revoke(l *Leaf) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = append(a.revoked, x509.RevocationListEntry{SerialNumber: l.Cert.SerialNumber, RevocationTime: a.Time})
}

// Unrevoke forgets all revocations.
func (a *Authority) Unrevoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = nil
}

func (a *Authority) isRevoked(serial *big.Int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.revoked {
		if e.SerialNumber.Cmp(serial) == 0 {
			return true
		}
	}
	return false
}

// CRL signs a list of what is revoked, good for a day; options change it before it is signed.
func (a *Authority) CRL(options ...func(*x509.RevocationList)) []byte {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists++
	list := &x509.RevocationList{
		Number: big.NewInt(a.lists), ThisUpdate: a.Time.Add(time.Duration(a.lists) * time.Second), NextUpdate: a.Time.Add(24 * time.Hour),
		RevokedCertificateEntries: a.revoked,
	}
	for _, o := range options {
		o(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// CRLPEM is CRL in PEM.
func (a *Authority) CRLPEM(options ...func(*x509.RevocationList)) string {
	return CRLToPEM(a.CRL(options...))
}

// CRLToPEM writes a list.
func CRLToPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// Extension makes an extension of text, or of other bytes.
func Extension(t testing.TB, oid asn1.ObjectIdentifier, value any) pkix.Extension {
	t.Helper()
	der, ok := value.([]byte)
	if !ok {
		var err error
		if der, err = asn1.Marshal(value); err != nil {
			t.Fatal(err)
		}
	}
	return pkix.Extension{Id: oid, Value: der}
}

// Responder is an OCSP responder on loopback.
type Responder struct {
	URL string

	issuer *Authority
	mu     sync.Mutex // guards what follows
	asked  int
	// change, signer, raw and block make it lie.
	change func(*ocsp.Response)
	signer *Leaf
	raw    func(w http.ResponseWriter)
}

// Respond starts a responder for what a issued; it stops with the test.
func (a *Authority) Respond() *Responder {
	r := &Responder{issuer: a}
	s := httptest.NewServer(r)
	a.t.Cleanup(s.Close)
	r.URL = s.URL
	return r
}

// Asked is how many questions there were.
func (r *Responder) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// Change has answers changed before they are signed.
func (r *Responder) Change(change func(*ocsp.Response)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.change = change
}

// SignBy has answers signed with the key of another, whose certificate comes along.
func (r *Responder) SignBy(l *Leaf) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signer = l
}

// Raw has fn answer in its place; nil for an honest responder.
func (r *Responder) Raw(fn func(http.ResponseWriter)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = fn
}

// ServeHTTP answers a question.
func (r *Responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked++
	change, signer, raw := r.change, r.signer, r.raw
	r.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if raw != nil {
		raw(w)
		return
	}
	question, err := ocsp.ParseRequest(body)
	if err != nil {
		http.Error(w, "malformed", http.StatusBadRequest)
		return
	}
	a := r.issuer
	answer := ocsp.Response{
		Status: ocsp.Good, SerialNumber: question.SerialNumber, IssuerHash: question.HashAlgorithm,
		ThisUpdate: a.Time.Add(-time.Minute), NextUpdate: a.Time.Add(5 * time.Minute),
	}
	if a.isRevoked(question.SerialNumber) {
		answer.Status, answer.RevokedAt = ocsp.Revoked, a.Time
	}
	if change != nil {
		change(&answer)
	}
	key, by := a.key, a.Cert
	if signer != nil {
		key, by, answer.Certificate = signer.Key, signer.Cert, signer.Cert
	}
	der, err := ocsp.CreateResponse(a.Cert, by, answer, key)
	if err != nil {
		http.Error(w, "cannot sign", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/ocsp-response")
	_, _ = w.Write(der)
}
