// Package outbound owns the bounds on what other servers may answer over HTTP: how much, and where
// they may lead a request that carries a credential. How long is the caller's to say, by a context.
package outbound

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"
)

var (
	// ErrTooLarge is an answer of more bytes than were asked for. It is met while the body is read.
	ErrTooLarge = errors.New("the answer of the other server is too large")
	// ErrElsewhere is a redirect to another host, or from https to http.
	ErrElsewhere = errors.New("the other server redirects to another host, or away from https")
)

// mostHeader bounds the header of an answer, in bytes.
const mostHeader = 64 << 10

// Transport makes connections as settings say; nil is the system's authorities. The way goes through
// the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name, as everywhere; no other variable of
// the environment has a say.
func Transport(settings *tls.Config) *http.Transport {
	if settings == nil {
		settings = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: settings, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: mostHeader, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
	}
}

// Bound lets no answer of next have more than most bytes, after decompression.
func Bound(next http.RoundTripper, most int64) http.RoundTripper {
	return &judge{next, func(_ *http.Request, response *http.Response) error {
		response.Body = &boundedBody{ReadCloser: response.Body, left: most}
		return nil
	}}
}

// Stay makes an error of a redirect that leaves the host, for clients that would follow it with
// their credential.
func Stay(next http.RoundTripper) http.RoundTripper {
	return &judge{next, func(r *http.Request, response *http.Response) error {
		to, err := response.Location()
		if err == nil && response.StatusCode/100 == 3 && (to.Host != r.URL.Host || to.Scheme != r.URL.Scheme) {
			return ErrElsewhere
		}
		return nil
	}}
}

// judge is a transport that looks at what came back.
type judge struct {
	next http.RoundTripper
	look func(*http.Request, *http.Response) error
}

func (j *judge) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := j.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := j.look(r, response); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

// CloseIdleConnections is what http.Client looks for.
func (j *judge) CloseIdleConnections() {
	if closer, ok := j.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// boundedBody is read by one caller at a time.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// An answer that ends here is as long as it may be.
		n, err := b.ReadCloser.Read(make([]byte, 1))
		if n > 0 {
			err = ErrTooLarge
		}
		return 0, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
