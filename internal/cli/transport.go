package cli

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
)

// minimumTLS is the client's floor: nothing below TLS 1.2.
func minimumTLS() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

// proxy sends everything through VAULT_PROXY_ADDR or VAULT_HTTP_PROXY when one
// is set; otherwise the usual HTTP_PROXY rules hold.
func proxy(transport *http.Transport, env Env) error {
	text, from := env.variable("PROXY_ADDR")
	if text == "" {
		text, from = env.variable("HTTP_PROXY")
	}
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		// The URL may hold a password: name the variable only.
		return fmt.Errorf("could not parse %s", from)
	}
	transport.Proxy = http.ProxyURL(u)
	return nil
}
