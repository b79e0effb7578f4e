package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
)

// requestFlags change what is sent, or show it instead of sending it.
type requestFlags struct {
	namespace      string
	wrapTTL        string
	mfa            []string
	headers        map[string]string
	policyOverride bool
	unlockKey      string
	curl           bool
	policy         bool
	nonInteractive bool
}

func (f *requestFlags) register(fs *flagSet) {
	h := func(name, env, usage string) flagSpec {
		return flagSpec{name: name, env: env, usage: usage, section: sectionHTTP}
	}
	ns := h("namespace", "NAMESPACE", "Namespace to work in.")
	ns.aliases = []string{"ns"}
	fs.str(&f.namespace, ns)
	fs.add((*ttlFlag)(&f.wrapTTL), h("wrap-ttl", "WRAP_TTL", `Wrap the answer in a token that lives this long, such as "30s" or "5m".`))
	fs.list(&f.mfa, h("mfa", "MFA", "Credentials for multi-factor authentication. Repeatable."))
	fs.pairs(&f.headers, h("header", "", "Header to send, as key=value. Repeatable."))
	fs.truth(&f.policyOverride, h("policy-override", "", "Ask to override a soft-mandatory policy."))
	fs.str(&f.unlockKey, h("unlock-key", "", "Key to unlock a locked namespace with."))
	fs.truth(&f.curl, h("output-curl-string", "", "Print the request as a curl command instead of sending it."))
	fs.truth(&f.policy, h("output-policy", "", "Print the policy that the request needs instead of sending it."))
	fs.truth(&f.nonInteractive, h("non-interactive", "", "Never ask for input."))
}

// ttlFlag is a duration kept as text: a bare number becomes seconds.
type ttlFlag string

func (v *ttlFlag) String() string { return string(*v) }
func (v *ttlFlag) Set(s string) error {
	d, err := parseDuration(s)
	if err != nil {
		return err
	}
	*v = ttlFlag(strconv.Itoa(int(d.Seconds())) + "s")
	return nil
}

// wrapDefault is how long sys/wrapping/wrap wraps when nothing is said: without
// a TTL there would be nothing to do.
const wrapDefault = "5m"

// apply puts the flags into the client.
func (f *requestFlags) apply(c *api.Client, env Env) error {
	headers := http.Header{api.RequestHeaderName: []string{"true"}}
	extra, err := environmentHeaders(env)
	if err != nil {
		return err
	}
	for k, v := range f.headers {
		extra[k] = v
	}
	var forbidden []string
	for k, v := range extra {
		if strings.HasPrefix(http.CanonicalHeaderKey(k), "X-Vault-") {
			forbidden = append(forbidden, k)
			continue
		}
		headers.Add(k, v)
	}
	if len(forbidden) > 0 {
		return fmt.Errorf("failed to setup Headers[%s]: Header starting by 'X-Vault-' are for internal usage only", strings.Join(forbidden, ", "))
	}
	c.SetHeaders(headers)
	if ns := trimPath(f.namespace); ns != "" {
		c.SetNamespace(ns + "/")
	} else {
		c.ClearNamespace()
	}
	c.SetMFACreds(f.mfa)
	c.SetPolicyOverride(f.policyOverride)
	c.SetWrappingLookupFunc(func(operation, path string) string {
		if f.wrapTTL == "" && path == "sys/wrapping/wrap" && operation != http.MethodGet {
			return wrapDefault
		}
		return f.wrapTTL
	})
	return nil
}

func environmentHeaders(env Env) (map[string]string, error) {
	headers := make(map[string]string)
	text, from := env.variable("HEADERS")
	if text == "" {
		return headers, nil
	}
	if err := json.Unmarshal([]byte(text), &headers); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object of strings", from)
	}
	return headers, nil
}

// forReal lets requests through that a command must make to know what its own
// request is: they are sent even when that one is only shown, and their answers
// are not wrapped. The function it returns goes back to how it was.
func (s *session) forReal(c *api.Client) func() {
	wrapping := c.CurrentWrappingLookupFunc()
	c.SetOutputCurlString(false)
	c.SetOutputPolicy(false)
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	return func() {
		c.SetOutputCurlString(s.req.curl)
		c.SetOutputPolicy(s.req.policy)
		c.SetWrappingLookupFunc(wrapping)
	}
}

// shownInstead handles -output-curl-string and -output-policy: the client ends
// such a request with an error that holds what to show. contract: cli §8.
func (f *requestFlags) shownInstead(s *session, err error) error {
	if !f.curl && !f.policy {
		return err
	}
	var curl *api.OutputStringError
	var policy *api.OutputPolicyError
	switch {
	case errors.As(err, &curl):
		text, cerr := curl.CurlString()
		if cerr != nil {
			return local("Unable to generate cURL string from command: %s", cerr)
		}
		s.con.print(named(strings.ReplaceAll(text, "$(vault print token)", "$(jeton print token)"), s.program))
		return nil
	case errors.As(err, &policy):
		text, perr := policy.HCLString()
		if perr != nil {
			return local("Unable to generate policy from command: %s", perr)
		}
		s.con.print(text)
		return nil
	case err != nil:
		return err
	case f.curl:
		return local("Unable to generate cURL string from command")
	}
	return local("Unable to generate policy from command")
}
