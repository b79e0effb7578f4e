package kubernetes

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"strings"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

const (
	// defaultIssuer is who issues service account JWTs where nobody says otherwise.
	defaultIssuer = "kubernetes/serviceaccount"
	// usualTimeout bounds what one login or renewal may wait for the API server.
	usualTimeout = 10 * time.Second
	mostTimeout  = 60 * time.Second
)

// configRecord is the settings as they are stored.
type configRecord struct {
	Host        string   `cbor:"1,keyasint"`
	CACert      string   `cbor:"2,keyasint,omitempty"`
	ReviewerJWT string   `cbor:"3,keyasint,omitempty"`
	PEMKeys     []string `cbor:"4,keyasint,omitempty"`
	Issuer      string   `cbor:"5,keyasint,omitempty"`
	// CheckIssuer is the opposite of what clients send.
	CheckIssuer     bool          `cbor:"6,keyasint,omitempty"`
	DisableLocalCA  bool          `cbor:"7,keyasint,omitempty"`
	Annotations     bool          `cbor:"8,keyasint,omitempty"`
	UnprovedRenewal bool          `cbor:"9,keyasint,omitempty"`
	Timeout         time.Duration `cbor:"10,keyasint,omitempty"`
}

type configRequest struct {
	KubernetesHost       string             `json:"kubernetes_host" doc:"Address of the API server, such as https://10.0.0.1:443."`
	KubernetesCACert     string             `json:"kubernetes_ca_cert" doc:"Authorities of the API server's certificate, in PEM; by default the pod's own, or the system's."`
	TokenReviewerJWT     string             `json:"token_reviewer_jwt" doc:"JWT that may review tokens; by default the pod's own, or the one that logs in."`
	PEMKeys              *backend.CommaList `json:"pem_keys" doc:"Public keys or certificates, one of which must have signed a JWT, besides the API server's word."`
	Issuer               string             `json:"issuer" doc:"The issuer that JWTs must name; by default kubernetes/serviceaccount."`
	DisableISSValidation bool               `json:"disable_iss_validation" default:"true" doc:"Accept any issuer: the API server judges it."`
	DisableLocalCAJWT    bool               `json:"disable_local_ca_jwt" doc:"Use neither the CA nor the JWT of the pod that the server runs in."`
	UseAnnotations       bool               `json:"use_annotations_as_alias_metadata" doc:"Keep annotations of the service account as metadata of the entity's alias."`
	AllowUnprovedRenewal bool               `json:"allow_unproved_renewal" doc:"Renew when the login's JWT has expired and the API server lets nobody read service accounts."`
	APITimeout           *backend.Seconds   `json:"api_timeout" doc:"How long a login waits for the API server; 10 seconds by default."`
}

type configView struct {
	KubernetesHost       string          `json:"kubernetes_host"`
	KubernetesCACert     string          `json:"kubernetes_ca_cert"`
	TokenReviewerJWTSet  bool            `json:"token_reviewer_jwt_set"`
	PEMKeys              []string        `json:"pem_keys"`
	Issuer               string          `json:"issuer"`
	DisableISSValidation bool            `json:"disable_iss_validation"`
	DisableLocalCAJWT    bool            `json:"disable_local_ca_jwt"`
	UseAnnotations       bool            `json:"use_annotations_as_alias_metadata"`
	AllowUnprovedRenewal bool            `json:"allow_unproved_renewal"`
	APITimeout           backend.Seconds `json:"api_timeout"`
}

// config reads the settings; nil when there are none.
func (m *Method) config(ctx context.Context) (*configRecord, error) {
	var found *configRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		found, err = record.Get[configRecord](r, configKey)
		return err
	})
	return found, err
}

func (m *Method) configExists(ctx context.Context, _ *backend.Call) (bool, error) {
	c, err := m.config(ctx)
	return c != nil, err
}

func (m *Method) readConfig(ctx context.Context, _ *backend.Call, _ *backend.None) (*configView, error) {
	c, err := m.config(ctx)
	if c == nil || err != nil {
		return nil, err
	}
	return &configView{
		KubernetesHost: c.Host, KubernetesCACert: c.CACert, TokenReviewerJWTSet: c.ReviewerJWT != "",
		PEMKeys: auth.NotNull(c.PEMKeys), Issuer: c.Issuer, DisableISSValidation: !c.CheckIssuer,
		DisableLocalCAJWT: c.DisableLocalCA, UseAnnotations: c.Annotations,
		AllowUnprovedRenewal: c.UnprovedRenewal, APITimeout: backend.Seconds(c.timeout()),
	}, nil
}

// writeConfig replaces all settings. Contract: auth-methods §6.
func (m *Method) writeConfig(ctx context.Context, c *backend.Call, req *configRequest) (*backend.None, error) {
	next := &configRecord{
		Host: strings.TrimRight(strings.TrimSpace(req.KubernetesHost), "/"), CACert: req.KubernetesCACert,
		ReviewerJWT: strings.TrimSpace(req.TokenReviewerJWT),
		Issuer:      req.Issuer, CheckIssuer: !req.DisableISSValidation, DisableLocalCA: req.DisableLocalCAJWT,
		Annotations: req.UseAnnotations, UnprovedRenewal: req.AllowUnprovedRenewal,
	}
	if req.PEMKeys != nil {
		next.PEMKeys = *req.PEMKeys
	}
	if req.APITimeout != nil {
		next.Timeout = req.APITimeout.Duration().Truncate(time.Second)
	}
	if err := next.check(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(next.Host, "http://") {
		c.Warn("kubernetes_host is plain HTTP: the JWTs of service accounts can be read on the way")
	}
	return nil, m.area.Update(ctx, func(tx store.Tx) error { return record.Put(tx, configKey, next) })
}

// check judges settings as a whole, and completes the host. Errors repeat nothing.
func (c *configRecord) check() error {
	if c.Host == "" {
		return backend.Invalidf("no host provided")
	}
	if !strings.Contains(c.Host, "://") {
		c.Host = "https://" + c.Host // hvac documents a host or host:port as well.
	}
	u, err := url.Parse(c.Host)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return backend.Invalidf("kubernetes_host must be the address of an API server, such as https://10.0.0.1:443")
	}
	if c.DisableLocalCA && c.CACert == "" {
		return backend.Invalidf("kubernetes_ca_cert must be given when disable_local_ca_jwt is true")
	}
	if c.CACert != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(c.CACert)) {
		return backend.Invalidf("kubernetes_ca_cert holds no certificate in PEM")
	}
	if len(c.ReviewerJWT) > longestJWT {
		return backend.Invalidf("token_reviewer_jwt is too long")
	}
	if c.Timeout < 0 || c.Timeout > mostTimeout {
		return backend.Invalidf("api_timeout must be from 1 to %d seconds, or 0 for the usual %d", int(mostTimeout.Seconds()), int(usualTimeout.Seconds()))
	}
	_, err = c.keys()
	return err
}

func (c *configRecord) timeout() time.Duration {
	if c.Timeout == 0 {
		return usualTimeout
	}
	return c.Timeout
}

func (c *configRecord) issuer() string {
	if c.Issuer == "" {
		return defaultIssuer
	}
	return c.Issuer
}

// keys are the pem_keys.
func (c *configRecord) keys() ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for i, text := range c.PEMKeys {
		block, rest := pem.Decode([]byte(strings.TrimSpace(text)))
		if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
			return nil, badKey(i)
		}
		key := publicKey(block)
		switch key.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		default:
			return nil, badKey(i)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func publicKey(block *pem.Block) crypto.PublicKey {
	if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
		return certificate.PublicKey
	}
	if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return key
	}
	return nil
}

func badKey(i int) error {
	return backend.Invalidf("pem_keys: entry %d is neither a public key nor a certificate in PEM", i+1)
}
