package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/config"
)

// maxCertificateHeader bounds the header that carries a client certificate, in bytes. Escaped PEM
// of a certificate with a large key and many names is half of that.
const maxCertificateHeader = 16 << 10

// certifierKey is the context key of the proxy that vouches for the request's client certificate.
type certifierKey struct{}

// certifiedBy is the proxy that vouches for the request's client certificate; invalid where the TLS
// connection showed it itself, or there is none.
func certifiedBy(ctx context.Context) netip.Addr {
	by, _ := ctx.Value(certifierKey{}).(netip.Addr)
	return by
}

// certify puts the client certificate that a trusted proxy names in the place of what the connection
// showed: that is the proxy's own, which would let in everybody as the proxy. From anybody else
// the header is nothing. Either way nobody behind this sees it. Contract: config §3
// x_forwarded_for_client_cert_header, auth-methods §7.
//
// A certificate is public: whoever is believed here can be anybody, without a key.
func certify(rules config.Forwarded, r *http.Request) (*http.Request, error) {
	name := rules.Certificate.Header
	if name == "" {
		return r, nil
	}
	values, ambiguous := r.Header[name], lookalike(r.Header, name)
	if len(values) > 0 {
		// The caller's request is not ours to change.
		headers := r.Header.Clone()
		headers.Del(name)
		r = r.WithContext(r.Context())
		r.Header = headers
	}
	proxy, ok := authorized(rules, r.RemoteAddr)
	if !ok {
		return r, nil
	}
	if len(values) > 1 || ambiguous {
		// One is the proxy's and one is not, and who knows which.
		return r, backend.Invalidf("more than one client certificate header")
	}
	var shown tls.ConnectionState
	if r.TLS != nil {
		shown = *r.TLS
	}
	shown.PeerCertificates, shown.VerifiedChains = nil, nil
	// Proxies send an empty value, or none, for clients without a certificate.
	if len(values) == 1 && values[0] != "" {
		if len(values[0]) > maxCertificateHeader {
			return r, errLargeCertificate
		}
		cert, err := decodeCertificate(values[0], rules.Certificate.Decoders)
		if err != nil {
			return r, backend.Invalidf("malformed client certificate header: %s", err)
		}
		shown.PeerCertificates = []*x509.Certificate{cert}
		r = r.WithContext(context.WithValue(r.Context(), certifierKey{}, proxy.Addr().Unmap()))
	} else {
		r = r.WithContext(r.Context())
	}
	r.TLS = &shown
	return r, nil
}

var errLargeCertificate = errors.New("the client certificate header is too large")

// lookalike says that there is a header which some proxies and gateways take for the one of that name:
// they make underscores of dashes, and pass on what the client sent beside what they set.
func lookalike(headers http.Header, name string) bool {
	for other := range headers {
		if other != name && len(other) == len(name) && strings.EqualFold(strings.ReplaceAll(other, "_", "-"), name) {
			return true
		}
	}
	return false
}

// decodeCertificate undoes what the proxy did to put one certificate into a header, decoder by
// decoder. Errors never repeat what was sent.
func decodeCertificate(value string, decoders []string) (*x509.Certificate, error) {
	data := []byte(value)
	for _, decoder := range decoders {
		var err error
		if data, err = decodeStep(data, decoder); err != nil {
			return nil, err
		}
	}
	cert, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, errors.New("it is not one X.509 certificate")
	}
	return cert, nil
}

func decodeStep(data []byte, decoder string) ([]byte, error) {
	switch decoder {
	case config.DecoderURL:
		// A plus is a plus: nginx escapes it, AWS's load balancers do not, and neither makes one of a space.
		text, err := url.PathUnescape(string(data))
		if err != nil {
			return nil, errors.New("it is not URL-encoded")
		}
		return []byte(text), nil
	case config.DecoderBase64:
		plain, err := base64.StdEncoding.Strict().DecodeString(string(data))
		if err != nil {
			return nil, errors.New("it is not one value in base64")
		}
		return plain, nil
	case config.DecoderDER:
		block, rest := pem.Decode(data)
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 ||
			!strings.HasPrefix(string(data), "-----BEGIN") || strings.TrimSpace(string(rest)) != "" {
			return nil, errors.New("it is not one certificate in PEM")
		}
		return block.Bytes, nil
	}
	return nil, errors.New("no such decoder")
}
