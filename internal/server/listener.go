package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"

	"jeton/internal/config"
)

// open opens a listener stanza's socket, with TLS where it asks for it.
func open(c config.Listener) (net.Listener, *certificates, error) {
	if c.Network == "unix" {
		l, err := openSocket(c)
		return l, nil, err
	}
	l, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("Error initializing listener of type tcp: %w", err)
	}
	l = withProxyProtocol(l, c)
	if c.TLS.Disable {
		return l, nil, nil
	}
	certs := &certificates{cert: c.TLS.CertFile, key: c.TLS.KeyFile}
	settings, err := tlsConfig(c.TLS, certs)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("Error initializing listener of type tcp: %w", err), l.Close())
	}
	return tls.NewListener(l, settings), certs, nil
}

// openSocket binds a unix socket; a stale one, which nobody answers on, is removed first.
func openSocket(c config.Listener) (net.Listener, error) {
	if conn, err := net.Dial("unix", c.Address); err == nil {
		return nil, errors.Join(fmt.Errorf("Error initializing listener of type unix: %s is in use", c.Address), conn.Close())
	}
	if err := os.Remove(c.Address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("Error initializing listener of type unix: %w", err)
	}
	l, err := bindSocket(c)
	if err != nil {
		return nil, fmt.Errorf("Error initializing listener of type unix: %w", err)
	}
	return l, nil
}

// certificates serves the certificate that was read last.
type certificates struct {
	cert, key string
	current   atomic.Pointer[tls.Certificate]
}

func (c *certificates) reload() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("error loading TLS cert: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

func tlsConfig(c config.TLS, certs *certificates) (*tls.Config, error) {
	if err := certs.reload(); err != nil {
		return nil, err
	}
	settings := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certs.current.Load(), nil },
		MinVersion:     c.MinVersion,
		MaxVersion:     c.MaxVersion,
		CipherSuites:   c.CipherSuites,
		NextProtos:     []string{"h2", "http/1.1"},
		// A certificate is asked for and not judged: the cert login method does that.
		ClientAuth: tls.RequestClientCert,
	}
	switch {
	case c.DisableClientCerts:
		settings.ClientAuth = tls.NoClientCert
	case c.RequireClientCert:
		settings.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if c.ClientCAFile != "" {
		pem, err := os.ReadFile(c.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("failed to read tls_client_ca_file: %w", err)
		}
		settings.ClientCAs = x509.NewCertPool()
		if !settings.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("failed to parse CA certificate in tls_client_ca_file")
		}
	}
	return settings, nil
}

// equalHeader compares header names as HTTP does.
func equalHeader(a, b string) bool {
	return http.CanonicalHeaderKey(a) == http.CanonicalHeaderKey(b)
}

// carriesToken says whether a header could hand the caller's token to a backend (CVE-2026-4525).
func carriesToken(name string) bool {
	return equalHeader(name, "X-Vault-Token") || equalHeader(name, "Authorization")
}

// faultOf is where a panic came from: functions and lines, none of their arguments.
func faultOf() string {
	var pcs [16]uintptr
	n := runtime.Callers(4, pcs[:])
	frames := runtime.CallersFrames(pcs[:n])
	var b strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&b, "%s:%d ", frame.Function, frame.Line)
		if !more {
			return b.String()
		}
	}
}
