package jwt

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"jeton/internal/backend"
)

// mostToken bounds the text of a JWT, in bytes.
const mostToken = 64 << 10

// trust is the configuration ready for use: whose signature is believed. It is shared by
// logins and must not be changed; what it fetches guards itself.
type trust struct {
	config *configRecord
	// stored is the record's bytes.
	stored []byte
	// issuer is what tokens must name; "" is anyone.
	issuer string
	algs   []jose.SignatureAlgorithm
	static []staticKey
	// lately is which of static vouched last: where keys are being replaced, most tokens are
	// signed by one of them, and they do not say which.
	lately atomic.Uint32
	remote []*remoteKeys
	// provider is nil without OIDC discovery.
	provider *fetched[*provider]
}

// provider is what discovery found.
type provider struct {
	*oidc.Provider
	oauth   oauth2.Config
	keys    *remoteKeys
	clients *clients
}

// newTrust makes a configuration ready. It contacts nobody.
func newTrust(config *configRecord, f fetching) (*trust, error) {
	t := &trust{config: config, issuer: config.BoundIssuer}
	var err error
	if t.algs, err = parseAlgorithms(config.Algorithms); err != nil {
		return nil, backend.Invalidf("invalid jwt_supported_algs: %s", err)
	}
	if t.static, err = parsePublicKeys(config.PublicKeys); err != nil {
		return nil, backend.Invalidf("error parsing public key: %s", err)
	}
	pairs := config.Pairs
	if config.JWKSURL != "" {
		pairs = []jwksPair{{URL: config.JWKSURL, CA: config.JWKSCA}}
	}
	for _, pair := range pairs {
		if _, err := checkAddress(pair.URL); err != nil {
			return nil, backend.Invalidf("error checking jwks URL: %s", err)
		}
		c, err := newClients(pair.CA)
		if err != nil {
			return nil, backend.Invalidf("error checking jwks_ca_pem: %s", err)
		}
		t.remote = append(t.remote, newRemoteKeys(f, c, pair.URL))
	}
	if config.DiscoveryURL != "" {
		err = t.discoverFrom(f)
	}
	return t, err
}

func (t *trust) discoverFrom(f fetching) error {
	if _, err := checkAddress(t.config.DiscoveryURL); err != nil {
		return backend.Invalidf("error checking oidc discovery URL: %s", err)
	}
	c, err := newClients(t.config.DiscoveryCA)
	if err != nil {
		return backend.Invalidf("error checking oidc discovery URL: oidc_discovery_ca_pem: %s", err)
	}
	if t.issuer == "" {
		t.issuer = t.config.DiscoveryURL
	}
	var known *remoteKeys
	var at string
	t.provider = newFetched(f, func(ctx context.Context) (*provider, error) {
		// One question at a time is asked, so that known and at need no lock: the keys that are
		// known stay for as long as they are published at the same address.
		document, err := discover(ctx, c, t.config.DiscoveryURL)
		if err != nil {
			return nil, err
		}
		if known == nil || at != document.JWKSURL {
			known, at = newRemoteKeys(f, c, document.JWKSURL), document.JWKSURL
			known.mark = mark("oidc", t.config.DiscoveryURL)
		}
		p := document.NewProvider(within(ctx, c.documents))
		endpoint := p.Endpoint()
		// The libraries would find out by trying both ways, and lose the code by it.
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
		if in := document.AuthMethods; slices.Contains(in, "client_secret_post") && !slices.Contains(in, "client_secret_basic") {
			endpoint.AuthStyle = oauth2.AuthStyleInParams
		}
		return &provider{Provider: p, keys: known, clients: c, oauth: oauth2.Config{
			ClientID: t.config.ClientID, ClientSecret: t.config.ClientSecret, Endpoint: endpoint,
		}}, nil
	})
	return nil
}

// description is what a provider publishes of itself.
type description struct {
	oidc.ProviderConfig
	// AuthMethods are the ways in which it takes the client's secret.
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
}

// discover reads the provider's description of itself (OpenID Connect Discovery §4). Where it
// leads must have https where it has itself.
func discover(ctx context.Context, c *clients, issuer string) (*description, error) {
	document := &description{}
	if err := c.document(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", document); err != nil {
		return nil, err
	}
	if document.IssuerURL != issuer {
		return nil, &oidc.IssuerMismatchError{Provided: issuer, Discovered: document.IssuerURL}
	}
	if document.JWKSURL == "" {
		return nil, errNoAddress
	}
	for _, address := range []string{document.JWKSURL, document.AuthURL, document.TokenURL, document.UserInfoURL, document.DeviceAuthURL} {
		if address == "" {
			continue
		}
		if u, err := url.Parse(address); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			return nil, errForm
		} else if strings.HasPrefix(issuer, "https:") && u.Scheme != "https" {
			return nil, errPlain
		}
	}
	return document, nil
}

// away is the error of a login that needs a provider who does not answer. It is no 400: the
// token may be good, and another try may succeed. The cause stays behind: it can quote what the
// provider answered.
func away(err error) error {
	if errors.Is(err, context.Canceled) || backend.KindOf(err) == backend.Overloaded {
		return err
	}
	return backend.Errorf(backend.Upstream, "the identity provider cannot be reached: %s", reason(err))
}

// verify checks a token's form and signature, and returns its claims and the mark of who
// vouched for it. No claim has been judged yet.
func (t *trust) verify(ctx context.Context, text string) (claims, []byte, error) {
	if len(text) > mostToken {
		return nil, nil, errors.New("the token is longer than 64 KiB")
	}
	jws, err := jose.ParseSignedCompact(text, t.algs)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &algorithm):
		return nil, nil, errors.New("error verifying token signature: its algorithm is not among those allowed")
	case err != nil:
		return nil, nil, errors.New("error verifying token signature: malformed token")
	}
	// A critical header changes what the rest means (RFC 7515 §4.1.11); none that this
	// library knows is for tokens (RFC 7797 §7).
	if _, critical := jws.Signatures[0].Protected.ExtraHeaders["crit"]; critical {
		return nil, nil, errors.New("error verifying token signature: it has a critical header that is not known")
	}
	payload, by, err := t.signed(ctx, jws)
	if errors.Is(err, errUnverified) {
		return nil, nil, errors.New("error verifying token signature: " + errUnverified.Error())
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := parseClaims(payload)
	return c, by, err
}

// signed finds the key that signed.
func (t *trust) signed(ctx context.Context, jws *jose.JSONWebSignature) (payload, by []byte, err error) {
	for i, first := 0, int(t.lately.Load()); i < len(t.static); i++ {
		at := (first + i) % len(t.static)
		if payload, err := jws.Verify(t.static[at].key); err == nil {
			if at != first {
				t.lately.Store(uint32(at))
			}
			return payload, t.static[at].mark, nil
		}
	}
	sets := t.remote
	if t.provider != nil {
		p, err := t.provider.get(ctx)
		if err != nil {
			return nil, nil, away(err)
		}
		sets = []*remoteKeys{p.keys}
	}
	// One set that is away does not stand in the way of another that knows the key.
	failed := errUnverified
	for _, set := range sets {
		payload, err := set.verify(ctx, jws)
		if err == nil {
			return payload, set.mark, nil
		}
		if !errors.Is(err, errUnverified) {
			failed = err
		}
	}
	return nil, nil, failed
}

// vouches says whether the key, or the key set, of a login is still believed.
func (t *trust) vouches(by []byte) bool {
	marks := [][]byte{}
	for _, k := range t.static {
		marks = append(marks, k.mark)
	}
	for _, k := range t.remote {
		marks = append(marks, k.mark)
	}
	if t.provider != nil {
		marks = append(marks, mark("oidc", t.config.DiscoveryURL))
	}
	for _, m := range marks {
		if string(m) == string(by) {
			return true
		}
	}
	return false
}

// probe contacts what is configured, as a write of the configuration does. It asks anew, and
// through nothing that is shared: its pace is the operator's.
func (t *trust) probe(ctx context.Context) error {
	if t.provider != nil {
		p, err := t.provider.get(ctx)
		if err == nil {
			_, err = p.keys.set.get(ctx)
		}
		if err != nil {
			return backend.Invalidf("error checking oidc discovery URL: %s", reason(err))
		}
	}
	for _, k := range t.remote {
		if _, err := k.set.get(ctx); err != nil {
			return backend.Invalidf("error checking jwks URL: %s", reason(err))
		}
	}
	return nil
}
