package config

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// certificateHeaderKey and certificateDecodersKey are where a proxy's client certificates are configured.
const (
	certificateHeaderKey   = "x_forwarded_for_client_cert_header"
	certificateDecodersKey = certificateHeaderKey + "_decoders"
)

// maxDecoders is more than any proxy encodes.
const maxDecoders = 8

// checkCertificate judges how proxies name client certificates, and makes the names canonical. What is
// incomplete is refused and not ignored: one believes that it works, or that it protects.
func (l *Listener) checkCertificate() (key string, err error) {
	f, c := &l.Forwarded, &l.Forwarded.Certificate
	if c.Header == "" {
		if len(c.Decoders) > 0 {
			return certificateDecodersKey, fmt.Errorf("there is nothing to decode without %s", certificateHeaderKey)
		}
		return "", nil
	}
	switch {
	case l.Network == "unix":
		return certificateHeaderKey, fmt.Errorf("a unix socket's peer has no address, so that no proxy can be told from its users")
	case !headerName(c.Header):
		return certificateHeaderKey, fmt.Errorf("%q is not a header's name of letters, digits and dashes (proxies drop and confuse underscores)", c.Header)
	case headerTaken(c.Header):
		return certificateHeaderKey, fmt.Errorf("the header %q has another meaning", c.Header)
	case l.ProxyProtocol.Behavior == "use_always":
		return certificateHeaderKey, fmt.Errorf("proxy_protocol_behavior must not be use_always beside it: anybody could name a proxy's address, and the header would be a login without a key")
	case len(f.Authorized) == 0:
		return certificateHeaderKey, fmt.Errorf("x_forwarded_for_authorized_addrs must name the proxies: from anybody else the header would be a login without a key")
	}
	for _, one := range f.Authorized {
		if one.Bits() == 0 {
			return certificateHeaderKey, fmt.Errorf("x_forwarded_for_authorized_addrs must name the proxies, not everybody (%s): the header would be a login without a key", one)
		}
	}
	c.Header = textproto.CanonicalMIMEHeaderKey(c.Header)
	return c.checkDecoders()
}

func (c *ForwardedCertificate) checkDecoders() (key string, err error) {
	for i, name := range c.Decoders {
		c.Decoders[i] = strings.ToUpper(name)
		if !slices.Contains([]string{DecoderURL, DecoderBase64, DecoderDER}, c.Decoders[i]) {
			return certificateDecodersKey, fmt.Errorf("%q is not one of %s, %s (which makes DER of PEM), %s", name, DecoderBase64, DecoderDER, DecoderURL)
		}
	}
	n := len(c.Decoders)
	if n == 0 || n > maxDecoders || c.Decoders[n-1] == DecoderURL {
		return certificateDecodersKey, fmt.Errorf("all decoders are applied, in order, and the last must be %s or %s: \"URL,DER\" for nginx, \"BASE64\" for HAProxy and Traefik", DecoderBase64, DecoderDER)
	}
	return "", nil
}

// headerName says that a name is one that no proxy changes or drops.
func headerName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}

// headerTaken says that a header is read for something else.
func headerTaken(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "x-vault-") || slices.Contains([]string{
		"accept", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "host", "if-modified-since",
		"origin", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-forwarded-for",
	}, name)
}
