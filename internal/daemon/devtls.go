package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The files of a development server with TLS. Contract: observed, what real clients lean on, 3.
const (
	devCAFile   = "vault-ca.pem"
	devCertFile = "vault-cert.pem"
	devKeyFile  = "vault-key.pem"
)

// devTLS is a certificate for loopback and the authority that signed it.
type devTLS struct{ ca, cert, key string }

func (t devTLS) files() []string { return []string{t.ca, t.cert, t.key} }

// devTLSLife is longer than anyone develops without a restart.
const devTLSLife = 30 * 24 * time.Hour

// makeDevTLS writes a fresh authority and certificate into dir, or into a new folder.
func makeDevTLS(dir string) (devTLS, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "jeton-tls")
		if err != nil {
			return devTLS{}, err
		}
		dir = made
	}
	out := devTLS{ca: filepath.Join(dir, devCAFile), cert: filepath.Join(dir, devCertFile), key: filepath.Join(dir, devKeyFile)}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return out, err
	}
	// The wall clock, as clients read it: a certificate's dates are for them.
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Jeton development authority"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(devTLSLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return out, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return out, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(devTLSLife),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	if err != nil {
		return out, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return out, err
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{out.ca, "CERTIFICATE", authorityDER}, {out.cert, "CERTIFICATE", leafDER}, {out.key, "EC PRIVATE KEY", keyDER}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			return out, fmt.Errorf("-dev-tls: %w", err)
		}
	}
	return out, nil
}
