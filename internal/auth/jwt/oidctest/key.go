package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"html"
	"io"
	"net/url"
	"regexp"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Key is a key pair that signs tokens.
type Key struct {
	// ID is the kid that its tokens name; "" for none.
	ID        string
	Algorithm jose.SignatureAlgorithm
	private   crypto.Signer
}

// NewKey makes a key pair for the algorithm.
func NewKey(t testing.TB, algorithm jose.SignatureAlgorithm, id string) Key {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return Key{ID: id, Algorithm: algorithm, private: private}
}

// Sign makes a token of exactly these claims.
func (k Key) Sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	text, err := k.sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// SignText makes a token of any payload.
func (k Key) SignText(t testing.TB, payload string) string {
	t.Helper()
	text, err := k.signText([]byte(payload), nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// SignWith makes a token with more headers.
func (k Key) SignWith(t testing.TB, claims, headers map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.signText(payload, headers)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (k Key) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return k.signText(payload, nil)
}

func (k Key) signText(payload []byte, headers map[string]any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if k.ID != "" {
		options = options.WithHeader("kid", k.ID)
	}
	for name, v := range headers {
		options = options.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.Algorithm, Key: k.private}, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// PEM is the public key.
func (k Key) PEM(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (k Key) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.private.Public(), KeyID: k.ID, Algorithm: string(k.Algorithm), Use: "sig"}
}

var (
	formAction = regexp.MustCompile(`action="([^"]*)"`)
	formField  = regexp.MustCompile(`name="([^"]*)" value="([^"]*)"`)
)

// formPost reads a form that sends itself.
func formPost(t testing.TB, page io.Reader) (*url.URL, url.Values) {
	t.Helper()
	text, err := io.ReadAll(page)
	if err != nil {
		t.Fatal(err)
	}
	action := formAction.FindStringSubmatch(string(text))
	if action == nil {
		t.Fatalf("no form in %s", text)
	}
	target, err := url.Parse(html.UnescapeString(action[1]))
	if err != nil {
		t.Fatal(err)
	}
	fields := url.Values{}
	for _, field := range formField.FindAllStringSubmatch(string(text), -1) {
		fields.Set(field[1], html.UnescapeString(field[2]))
	}
	return target, fields
}
