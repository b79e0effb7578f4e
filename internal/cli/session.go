package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/time/rate"
)

// session is one running command: its streams, the shared flags after parsing,
// and the client, which is built when it is first needed.
type session struct {
	ctx     context.Context
	program string
	env     Env
	con     *console
	conn    connFlags
	req     requestFlags
	out     outputFlags
	// tokenFrom says where the token in use came from, "" when none is sent.
	// It never holds the token.
	tokenFrom string
	made      *api.Client
}

// client returns the client for this command's server, flags and token.
func (s *session) client() (*api.Client, error) {
	if s.made != nil {
		return s.made, nil
	}
	c, err := s.bareClient()
	if err != nil {
		return nil, err
	}
	token, err := s.token()
	if err != nil {
		return nil, &exitError{code: exitRemote, text: err.Error(), cause: err}
	}
	c.SetToken(token)
	s.made = c
	return c, nil
}

// bareClient is a client without a token.
func (s *session) bareClient() (*api.Client, error) {
	cfg, err := s.conn.config(s.env)
	if err != nil {
		return nil, &exitError{code: exitRemote, text: err.Error(), cause: err}
	}
	cfg.OutputCurlString = s.req.curl
	cfg.OutputPolicy = s.req.policy
	c, err := api.NewClient(cfg)
	if err != nil {
		return nil, &exitError{code: exitRemote, text: "Error initializing the client: " + err.Error(), cause: err}
	}
	// NewClient looks into the process environment by itself; what counts here
	// is what the flags and env resolved to.
	c.ClearToken()
	if err := s.req.apply(c, s.env); err != nil {
		return nil, &exitError{code: exitRemote, text: err.Error(), cause: err}
	}
	return c, nil
}

// token finds the token to send: the environment beats the stored one.
func (s *session) token() (string, error) {
	if t, from := s.env.variable("TOKEN"); t != "" {
		s.tokenFrom = "the environment variable " + from
		return t, nil
	}
	store, err := openTokenStore(s.env)
	if err != nil {
		return "", err
	}
	t, err := store.load()
	if err != nil {
		return "", fmt.Errorf("error reading the stored token: %w", err)
	}
	if t != "" {
		s.tokenFrom = store.where()
	}
	return t, nil
}

// connFlags say how to reach the server.
type connFlags struct {
	address, agentAddress string
	caCert, caPath        string
	clientCert, clientKey string
	serverName            string
	skipVerify            bool
	noRedirects           bool
	// envPrefix comes before the names of settings: "SOURCE_" for the server that an import reads.
	envPrefix string
}

func (f *connFlags) register(fs *flagSet) {
	f.address = api.DefaultAddress
	fs.str(&f.agentAddress, flagSpec{name: "agent-address", env: "AGENT_ADDR", section: sectionHTTP, usage: "Address of an agent; used instead of -address."})
	f.registerAs(fs, "", "", sectionHTTP)
}

// registerAs registers the flags with a prefix, and their settings with another.
func (f *connFlags) registerAs(fs *flagSet, prefix, envPrefix, section string) {
	f.envPrefix = envPrefix
	h := func(name, env, usage string) flagSpec {
		return flagSpec{name: prefix + name, env: envPrefix + env, usage: usage, section: section}
	}
	fs.str(&f.address, h("address", "ADDR", "Address of the server"+defaultAddress(f.address)+"; unix:///path works too."))
	fs.str(&f.caCert, h("ca-cert", "CACERT", "File with the PEM certificate of the authority that signed the server's certificate."))
	fs.str(&f.caPath, h("ca-path", "CAPATH", "Directory of such files. -"+prefix+"ca-cert beats it."))
	fs.str(&f.clientCert, h("client-cert", "CLIENT_CERT", "File with a PEM client certificate; needs -"+prefix+"client-key."))
	fs.str(&f.clientKey, h("client-key", "CLIENT_KEY", "File with the client certificate's private key."))
	fs.str(&f.serverName, h("tls-server-name", "TLS_SERVER_NAME", "Name to expect in the server's certificate."))
	fs.truth(&f.skipVerify, h("tls-skip-verify", "SKIP_VERIFY", "Do not verify the server's certificate. Anyone in between can then read your secrets."))
	fs.truth(&f.noRedirects, h("disable-redirects", "DISABLE_REDIRECTS", "Do not follow redirects."))
}

func defaultAddress(address string) string {
	if address == "" {
		return ""
	}
	return ". The default is " + address
}

// shown is the address in use.
func (f *connFlags) shown() string {
	if f.agentAddress != "" {
		return f.agentAddress
	}
	return f.address
}

// config builds the client's configuration. It does not use the library's
// DefaultConfig: that reads the process environment, which knows no JETON_ names.
func (f *connFlags) config(env Env) (*api.Config, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSHandshakeTimeout = 10 * time.Second
	cfg := &api.Config{
		Address:          f.shown(),
		DisableRedirects: f.noRedirects,
		Timeout:          60 * time.Second,
		MaxRetries:       0, // contract: cli §2, unlike the library's 2
		MinRetryWait:     time.Second,
		MaxRetryWait:     1500 * time.Millisecond,
		HttpClient: &http.Client{
			Transport: transport,
			// The client follows the one redirect that is allowed by itself.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if err := limits(cfg, env); err != nil {
		return nil, err
	}
	if err := proxy(transport, env); err != nil {
		return nil, err
	}
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = minimumTLS()
	}
	err := cfg.ConfigureTLS(&api.TLSConfig{
		CACert:        f.caCert,
		CACertBytes:   []byte(env.value(f.envPrefix + "CACERT_BYTES")),
		CAPath:        f.caPath,
		ClientCert:    f.clientCert,
		ClientKey:     f.clientKey,
		TLSServerName: f.serverName,
		Insecure:      f.skipVerify,
	})
	if err != nil {
		return nil, fmt.Errorf("failed to set up TLS: %w", err)
	}
	return cfg, nil
}

// limits reads timeout, retries, rate and SRV look-up, which have no flags.
func limits(cfg *api.Config, env Env) error {
	if text, from := env.variable("CLIENT_TIMEOUT"); text != "" {
		d, err := parseDuration(text)
		if err != nil {
			return fmt.Errorf("could not parse %q", from)
		}
		cfg.Timeout = d
	}
	if text, from := env.variable("MAX_RETRIES"); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fmt.Errorf("could not parse %q", from)
		}
		cfg.MaxRetries = int(n)
	}
	if text, from := env.variable("RATE_LIMIT"); text != "" {
		per, burst, err := parseRate(text)
		if err != nil {
			return fmt.Errorf("%s was provided but incorrectly formatted", from)
		}
		cfg.Limiter = rate.NewLimiter(per, burst)
	}
	srv, err := env.boolean("SRV_LOOKUP")
	cfg.SRVLookup = srv
	return err
}

// parseRate reads "rate[:burst]", requests a second.
func parseRate(text string) (rate.Limit, int, error) {
	perText, burstText, hasBurst := strings.Cut(text, ":")
	per, err := strconv.ParseFloat(perText, 64)
	if err != nil || per <= 0 {
		return 0, 0, errors.New("bad rate")
	}
	burst := max(int(per), 1)
	if hasBurst {
		if burst, err = strconv.Atoi(burstText); err != nil || burst < 1 {
			return 0, 0, errors.New("bad burst")
		}
	}
	return rate.Limit(per), burst, nil
}
