package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

type configRequest struct {
	DiscoveryURL     string             `json:"oidc_discovery_url" doc:"The provider's issuer URL, without /.well-known/openid-configuration."`
	DiscoveryCA      string             `json:"oidc_discovery_ca_pem" doc:"CA certificates of the provider; the system's by default."`
	ClientID         string             `json:"oidc_client_id" doc:"Jeton's client id at the provider, for logins in the browser."`
	ClientSecret     string             `json:"oidc_client_secret" doc:"Its secret. It cannot be read back."`
	ResponseMode     string             `json:"oidc_response_mode" doc:"How the provider answers: query or form_post."`
	ResponseTypes    *backend.CommaList `json:"oidc_response_types" doc:"What it answers with: code (the default) or id_token."`
	JWKSURL          string             `json:"jwks_url" doc:"Address of a key set."`
	JWKSCA           string             `json:"jwks_ca_pem" doc:"CA certificates of its server; the system's by default."`
	JWKSPairs        any                `json:"jwks_pairs" doc:"Several key sets: a list of objects with jwks_url and jwks_ca_pem."`
	PublicKeys       *backend.CommaList `json:"jwt_validation_pubkeys" doc:"Public keys in PEM; each is tried."`
	BoundIssuer      string             `json:"bound_issuer" doc:"What a token's iss must be."`
	Algorithms       *backend.CommaList `json:"jwt_supported_algs" doc:"Algorithms of signatures; all that have key pairs by default."`
	DefaultRole      string             `json:"default_role" doc:"The role of logins that name none."`
	ProviderConfig   any                `json:"provider_config" doc:"What is special to one provider: an object with provider, which is azure or gsuite, and its settings. A key in it cannot be read back."`
	NamespaceInState bool               `json:"namespace_in_state" default:"true" doc:"Kept for clients; there are no namespaces."`
}

// record judges what the request says by itself. Contract: auth-methods §5.1.
func (req *configRequest) record() (*configRecord, error) {
	c := &configRecord{
		DiscoveryURL: req.DiscoveryURL, DiscoveryCA: req.DiscoveryCA, ClientID: req.ClientID, ClientSecret: req.ClientSecret,
		ResponseMode: req.ResponseMode, ResponseTypes: listed(req.ResponseTypes), JWKSURL: req.JWKSURL, JWKSCA: req.JWKSCA,
		PublicKeys: listed(req.PublicKeys), BoundIssuer: req.BoundIssuer, Algorithms: listed(req.Algorithms),
		DefaultRole: strings.ToLower(strings.TrimSpace(req.DefaultRole)), NamespaceInState: req.NamespaceInState,
	}
	var err error
	if c.Special, err = parseProvider(req.ProviderConfig); err == nil {
		err = c.Special.judge(c)
	}
	if err != nil {
		return nil, backend.Invalidf("invalid provider_config: %s", err)
	}
	if c.Pairs, err = parsePairs(req.JWKSPairs); err != nil {
		return nil, backend.Invalidf("error checking jwks_pairs: %s", err)
	}
	sources := 0
	for _, set := range []bool{len(c.PublicKeys) > 0, c.JWKSURL != "", len(c.Pairs) > 0, c.DiscoveryURL != ""} {
		if set {
			sources++
		}
	}
	switch {
	case sources != 1:
		return nil, backend.Invalidf("exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', 'oidc_discovery_url', or 'provider_config' must be set")
	case c.ClientID != "" && c.DiscoveryURL == "":
		return nil, backend.Invalidf("'oidc_discovery_url' must be set for OIDC")
	case (c.ClientSecret != "") != (c.ClientID != ""):
		return nil, backend.Invalidf("both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC")
	case strings.Contains(c.DiscoveryURL, ".well-known"):
		return nil, backend.Invalidf("'oidc_discovery_url' contains '.well-known' component: leave away what begins with it")
	case c.DiscoveryCA != "" && c.DiscoveryURL == "", c.JWKSCA != "" && c.JWKSURL == "":
		return nil, backend.Invalidf("CA certificates are set without the URL that they are for")
	}
	return c, c.checkFlow()
}

// checkFlow judges how the provider is to answer.
func (c *configRecord) checkFlow() error {
	for _, kind := range c.ResponseTypes {
		if kind != "code" && kind != "id_token" {
			return backend.Invalidf("invalid response_types %q. 'code' and 'id_token' are allowed", c.ResponseTypes)
		}
	}
	switch c.ResponseMode {
	case "", "query":
		if slices.Contains(c.ResponseTypes, "id_token") {
			return backend.Invalidf("query response_mode may not be used with an id_token response_type")
		}
	case "form_post":
	default:
		return backend.Invalidf("invalid response_mode: %q", c.ResponseMode)
	}
	return nil
}

// responseTypes are what the provider is asked for.
func (c *configRecord) responseTypes() []string {
	if len(c.ResponseTypes) == 0 {
		return []string{"code"}
	}
	return c.ResponseTypes
}

func listed(list *backend.CommaList) []string {
	if list == nil {
		return nil
	}
	return slices.Clone([]string(*list))
}

// parsePairs reads jwks_pairs: a list of objects, which the command line sends as JSON text.
func parsePairs(v any) ([]jwksPair, error) {
	if v == nil {
		return nil, nil
	}
	text, err := json.Marshal(v)
	if s, ok := v.(string); ok {
		text = []byte(s)
	}
	var pairs []struct {
		URL string `json:"jwks_url"`
		CA  string `json:"jwks_ca_pem"`
	}
	if err == nil {
		err = json.Unmarshal(text, &pairs)
	}
	if err != nil {
		return nil, errors.New("want a list of objects with jwks_url and jwks_ca_pem")
	}
	out := make([]jwksPair, len(pairs))
	for i, p := range pairs {
		if out[i] = jwksPair(p); p.URL == "" {
			return nil, fmt.Errorf("entry %d has no jwks_url", i+1)
		}
	}
	return out, nil
}

// writeConfig replaces the configuration, once those whom it names have answered.
func (m *Method) writeConfig(ctx context.Context, c *backend.Call, req *configRequest) (*backend.None, error) {
	config, err := req.record()
	if err != nil {
		return nil, err
	}
	t, err := newTrust(config, m.fetch)
	if err != nil {
		return nil, err
	}
	if err := t.probe(ctx); err != nil {
		return nil, err
	}
	addresses := []string{config.DiscoveryURL, config.JWKSURL}
	for _, pair := range config.Pairs {
		addresses = append(addresses, pair.URL)
	}
	for _, address := range addresses {
		if strings.HasPrefix(address, "http:") {
			c.Warn("keys are fetched without TLS: whoever is on the way can replace them, and forge logins")
			break
		}
	}
	return nil, m.area.Update(ctx, func(tx store.Tx) error { return record.Put(tx, configKey, config) })
}

type configView struct {
	BoundIssuer      string         `json:"bound_issuer"`
	DefaultRole      string         `json:"default_role"`
	JWKSCA           string         `json:"jwks_ca_pem"`
	JWKSPairs        []pairView     `json:"jwks_pairs"`
	JWKSURL          string         `json:"jwks_url"`
	Algorithms       []string       `json:"jwt_supported_algs"`
	PublicKeys       []string       `json:"jwt_validation_pubkeys"`
	NamespaceInState bool           `json:"namespace_in_state"`
	ClientID         string         `json:"oidc_client_id"`
	DiscoveryCA      string         `json:"oidc_discovery_ca_pem"`
	DiscoveryURL     string         `json:"oidc_discovery_url"`
	ResponseMode     string         `json:"oidc_response_mode"`
	ResponseTypes    []string       `json:"oidc_response_types"`
	ProviderConfig   map[string]any `json:"provider_config"`
}

type pairView struct {
	URL string `json:"jwks_url"`
	CA  string `json:"jwks_ca_pem"`
}

// readConfig shows everything but the client secret.
func (m *Method) readConfig(ctx context.Context, _ *backend.Call, _ *backend.None) (*configView, error) {
	var c *configRecord
	err := m.area.View(ctx, func(r store.Reader) (err error) {
		c, err = record.Get[configRecord](r, configKey)
		return err
	})
	if c == nil || err != nil {
		return nil, err
	}
	view := &configView{
		BoundIssuer: c.BoundIssuer, DefaultRole: c.DefaultRole, JWKSCA: c.JWKSCA, JWKSPairs: []pairView{}, JWKSURL: c.JWKSURL,
		Algorithms: auth.NotNull(c.Algorithms), PublicKeys: auth.NotNull(c.PublicKeys), NamespaceInState: c.NamespaceInState,
		ClientID: c.ClientID, DiscoveryCA: c.DiscoveryCA, DiscoveryURL: c.DiscoveryURL, ResponseMode: c.ResponseMode,
		ResponseTypes: auth.NotNull(c.ResponseTypes), ProviderConfig: c.Special.view(),
	}
	for _, p := range c.Pairs {
		view.JWKSPairs = append(view.JWKSPairs, pairView(p))
	}
	return view, nil
}
