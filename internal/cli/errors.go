package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"github.com/hashicorp/vault/api"
)

// exitError ends a command: text goes to standard error unless it is empty,
// code is the exit code. cause is kept for errors.As.
type exitError struct {
	code  int
	text  string
	cause error
}

func (e *exitError) Error() string { return e.text }
func (e *exitError) Unwrap() error { return e.cause }

// local is a mistake on this side: exit 1.
func local(format string, args ...any) error {
	return &exitError{code: exitLocal, text: fmt.Sprintf(format, args...)}
}

// nothing is a remote answer that has nothing in it: exit 2.
func nothing(format string, args ...any) error {
	return &exitError{code: exitRemote, text: fmt.Sprintf(format, args...)}
}

// quietly ends with a code and says nothing.
func quietly(code int) error { return &exitError{code: code} }

// remote reports a failed request as "Error <doing>: <why>", exit 2, and says
// what to do next where that is known.
func (s *session) remote(doing string, err error) error {
	var done *exitError
	if errors.As(err, &done) {
		return err // already reported: a client that could not be built, say
	}
	return &exitError{
		code:  exitRemote,
		text:  fmt.Sprintf("Error %s: %s%s", doing, describe(err), s.advice(err)),
		cause: err,
	}
}

// describe is err's text. Several errors from one answer go on a line each:
// the client library runs them together (contract: cli §9.22).
func describe(err error) string {
	var re *api.ResponseError
	if !errors.As(err, &re) || re.RawError || len(re.Errors) < 2 {
		return err.Error()
	}
	one := *re
	one.Errors = []string{strings.Join(re.Errors, "\n* ")}
	return one.Error()
}

// advice is the next step for the mistakes everybody makes, or "".
func (s *session) advice(err error) string {
	var re *api.ResponseError
	text := err.Error()
	switch {
	case errors.As(err, &re) && re.StatusCode == http.StatusForbidden:
		return "\n\n" + s.tokenAdvice()
	case errors.As(err, &re) && re.StatusCode == http.StatusNotFound && s.req.namespace != "":
		return s.namespaceAdvice()
	case errors.As(err, &re) && re.StatusCode == http.StatusServiceUnavailable && strings.Contains(text, "sealed"):
		return "\n\n" + named(`The server is sealed. Give it unseal keys with "jeton operator unseal".`, s.program)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("\n\nNothing listens there. Is the server running? The address is %s; "+
			"set it with -address or VAULT_ADDR.", s.conn.shown())
	case strings.Contains(text, "server gave HTTP response to HTTPS client"),
		strings.Contains(text, "first record does not look like a TLS handshake"):
		return "\n\n" + strings.ReplaceAll(api.TLSErrorString, "vault <command>", s.program+" <command>")
	case strings.Contains(text, "Client sent an HTTP request to an HTTPS server"):
		return "\n\nThe server speaks TLS: use an address that begins with https:// (-address or VAULT_ADDR)."
	case errors.As(err, &re):
		return "" // a certificate that the answer speaks of is one that the server met
	case strings.Contains(text, "certificate signed by unknown authority"):
		return "\n\nGive the authority that signed the server's certificate with -ca-cert or VAULT_CACERT."
	}
	return ""
}

// namespaceAdvice is for answers of "not found" to requests that name a namespace, which a server
// without namespaces gives to all of them.
func (s *session) namespaceAdvice() string {
	if trimPath(s.req.namespace) == "" {
		return ""
	}
	return "\n\nThe request went to a namespace, and Jeton servers have none: leave out -namespace, or unset VAULT_NAMESPACE."
}

func (s *session) tokenAdvice() string {
	switch {
	case s.tokenFrom == "":
		return named(`No token was sent. Run "jeton login", or set VAULT_TOKEN.`, s.program)
	default:
		return named(fmt.Sprintf(`The token used came from %s; "jeton token lookup" shows what it may do.`, s.tokenFrom), s.program)
	}
}
