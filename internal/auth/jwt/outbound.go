package jwt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"jeton/internal/outbound"
)

// What another server may answer with.
const (
	mostBody    = 1 << 20
	mostForward = 3
)

var (
	errForward   = errors.New("it redirects to another host, or away from https")
	errForm      = errors.New("its answer is not what the standard says")
	errPlain     = errors.New("it names an address without https, although its own has it")
	errNoAddress = errors.New("it does not say where")
	errTooMany   = errors.New("it would take more than 50 questions")
	errNoDevice  = errors.New("it names no device authorization endpoint: it has no device mode, or not for this address")
)

// statusError is an answer that is no success.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("it answered with status %d", int(e)) }

// refusedError is an OAuth error code that another server answered with (RFC 6749 §5.2).
type refusedError string

func (e refusedError) Error() string { return "it refuses: " + oauthError(string(e)) }

// refusalIn reads the error out of an answer; what is no JSON names none.
func refusalIn(body []byte) refusedError {
	var refusal struct {
		Code string `json:"error"`
	}
	if json.Unmarshal(body, &refusal) != nil {
		return ""
	}
	return refusedError(refusal.Code)
}

// okOnly is a transport that makes an error of every answer but 200 and redirects, so that nobody
// takes an error page for a document.
type okOnly struct{ http.RoundTripper }

func (o okOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK && response.StatusCode/100 != 3 {
		_ = response.Body.Close()
		return nil, statusError(response.StatusCode)
	}
	return response, nil
}

// clients are the two ways to talk to one server.
type clients struct {
	// documents reads what is published; questions sends what must reach no other host.
	documents, questions *http.Client
}

// newClients makes the clients that trust the CAs in pem, or the system's when it is empty.
func newClients(pem string) (*clients, error) {
	transport := outbound.Transport(nil)
	bounded := outbound.Bound(transport, mostBody)
	if pem != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(pem)) {
			return nil, errors.New("no certificate in it can be read")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &clients{
		documents: &http.Client{Transport: okOnly{bounded}, CheckRedirect: follow},
		questions: &http.Client{Transport: bounded, CheckRedirect: func(*http.Request, []*http.Request) error { return errForward }},
	}, nil
}

// follow lets a document move on its own host only: where a configured address leads is the
// operator's decision, not that of whoever answers there.
func follow(next *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	if len(via) > mostForward || next.URL.Host != last.Host || next.URL.Scheme != last.Scheme {
		return errForward
	}
	return nil
}

// within has the OAuth and OIDC libraries use client.
func within(ctx context.Context, client *http.Client) context.Context {
	return oidc.ClientContext(ctx, client)
}

// document reads a JSON document.
func (c *clients) document(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.documents.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errForm
	}
	return nil
}

// checkAddress accepts what an operator may configure. Contract: auth-methods §5.1.
func checkAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return nil, errors.New("want a URL that begins with https:// (or http://)")
	case u.User != nil:
		return nil, errors.New("a URL with a name or a password in it is not taken")
	case u.Fragment != "":
		return nil, errors.New("a URL with a fragment is not taken")
	}
	return u, nil
}

// reason is what went wrong with another server, in words that repeat nothing of its answer
// and nothing that was configured.
func reason(err error) string {
	var (
		status   statusError
		refused  refusedError
		mismatch *oidc.IssuerMismatchError
		refusal  *oauth2.RetrieveError
		dns      *net.DNSError
		cert     *tls.CertificateVerificationError
		timeout  net.Error
	)
	for _, known := range []error{errForward, errForm, errPlain, errNoAddress, errNoDevice, errTooMany} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	switch {
	case errors.Is(err, outbound.ErrTooLarge):
		return "its answer is larger than 1 MiB"
	case errors.As(err, &mismatch):
		return "it names another issuer than the configured URL (they must be the same to the last slash)"
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &refused):
		return refused.Error()
	case errors.As(err, &refusal) && refusal.Response != nil && refusal.Response.StatusCode/100 == 5:
		return statusError(refusal.Response.StatusCode).Error()
	case errors.As(err, &refusal):
		return "it refuses: " + oauthError(refusal.ErrorCode)
	case errors.As(err, &cert):
		return "its certificate is not trusted (check its CA certificates, and the host name in the URL)"
	case errors.As(err, &dns):
		return "its name cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection is refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer in time"
	case errors.Is(err, context.Canceled):
		return "the request was given up"
	case errors.Is(err, errPaced):
		return errPaced.Error() + " and did not answer"
	}
	return "the conversation with it failed"
}

// oauthError passes on a code that a standard knows (RFC 6749 §4.1.2.1, §5.2; RFC 8628 §3.5;
// OpenID Connect Core §3.1.2.6), and nothing else: it comes from outside.
func oauthError(code string) string {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
		"invalid_scope", "access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
		"interaction_required", "login_required", "account_selection_required", "consent_required",
		"expired_token":
		return code
	}
	return "an error that no standard names"
}
