package jwt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"jeton/internal/backend"
)

// Some providers leave groups out of tokens, and list them elsewhere (provider_config).
//
// Microsoft Entra leaves out those of a person who is in more than 200 of them, and says so in the
// token ("groups overage"). They are then asked of Microsoft Graph, with the access token that came
// along. Google: see google.go.

// groupsClaim is the claim that they leave out, and that is filled in.
const groupsClaim = "groups"

// usualGraph is Graph's address outside of national clouds. The address in the token is passed
// over: it names a service that is no more, and an access token goes only where the operator says.
const usualGraph = "https://graph.microsoft.com/v1.0"

// azureRecord is provider_config with the provider azure.
type azureRecord struct {
	GraphURL string `cbor:"1,keyasint,omitempty"`
}

// special is what provider_config says; at most one is not nil.
type special struct {
	// Azure is for Microsoft Entra, Google for Workspace.
	Azure  *azureRecord  `cbor:"1,keyasint,omitempty"`
	Google *googleRecord `cbor:"2,keyasint,omitempty"`
}

// parseProvider reads provider_config, an object or its JSON text.
// Contract: auth-methods §5.1, "invalid provider_config: …".
func parseProvider(v any) (s special, err error) {
	if v == nil {
		return s, nil
	}
	settings, err := asObject(v)
	switch {
	case err != nil || len(settings) == 0:
	case settings["provider"] == "azure":
		s.Azure, err = parseAzure(settings)
	case settings["provider"] == "gsuite":
		s.Google, err = parseGoogle(settings)
	default:
		err = errors.New("the providers that something is special to here are azure and gsuite; leave it out for others")
	}
	return s, err
}

// judge compares it with the rest of the configuration.
func (s special) judge(c *configRecord) error {
	var addresses []string
	switch {
	case s.Azure != nil:
		addresses = []string{s.Azure.graph()}
	case s.Google != nil:
		addresses = []string{s.Google.TokenURL, s.Google.directory()}
	default:
		return nil
	}
	if c.ClientID == "" {
		return errors.New("it is for OIDC: 'oidc_client_id' is not set")
	}
	for _, address := range addresses {
		if strings.HasPrefix(c.DiscoveryURL, "https:") && !strings.HasPrefix(address, "https:") {
			return errors.New("an address in it has no https, although the provider has it")
		}
	}
	return nil
}

func (s special) view() map[string]any {
	switch {
	case s.Azure != nil:
		return s.Azure.view()
	case s.Google != nil:
		return s.Google.view()
	}
	return map[string]any{}
}

func parseAzure(settings map[string]any) (*azureRecord, error) {
	azure := &azureRecord{}
	for name, value := range settings {
		text, ok := value.(string)
		switch {
		case name == "provider":
		case name == "graph_url" && ok:
			u, err := checkAddress(text)
			if err != nil || u.RawQuery != "" {
				return nil, errors.New("graph_url: want a URL that begins with https://, and has no query")
			}
			azure.GraphURL = strings.TrimSuffix(text, "/")
		default:
			return nil, errors.New("of azure only graph_url is taken")
		}
	}
	return azure, nil
}

func (a *azureRecord) graph() string {
	if a.GraphURL == "" {
		return usualGraph
	}
	return a.GraphURL
}

func (a *azureRecord) view() map[string]any {
	if a.GraphURL == "" {
		return map[string]any{"provider": "azure"}
	}
	return map[string]any{"provider": "azure", "graph_url": a.GraphURL}
}

// leftOut says whether a token has no groups because there are too many.
func (c claims) leftOut() bool {
	names, _ := c["_claim_names"].(map[string]any)
	_, named := names[groupsClaim]
	return named || c["hasgroups"] == true || c["hasgroups"] == "true"
}

// wantsGroups says whether a login under the role looks at the claim.
func (r *role) wantsGroups() bool {
	for _, name := range slices.Concat([]string{r.GroupsClaim}, r.mapped, r.judged) {
		if name == groupsClaim || name == "/"+groupsClaim || strings.HasPrefix(name, "/"+groupsClaim+"/") {
			return true
		}
	}
	return false
}

// addGroups asks for the groups that the token leaves out. Unlike what userinfo adds they decide
// about policies: where they cannot be had, all of them, there is no login.
func (m *Method) addGroups(ctx context.Context, t *trust, r *role, p *provider, access *oauth2.Token, said claims) error {
	special := t.config.Special
	if _, there := said.find(groupsClaim); there || !r.wantsGroups() {
		return nil
	}
	var groups []any
	var err error
	switch person, _ := said["sub"].(string); {
	case special.Azure != nil && said.leftOut():
		if access == nil {
			return errors.New("The person is in more groups than an ID token holds, and the provider sent no access token to ask for them with.")
		}
		groups, err = m.memberships(ctx, p, special.Azure.graph()+"/me/getMemberObjects", access.AccessToken)
	case special.Google != nil && person != "":
		groups, err = m.workspaceGroups(ctx, p, special.Google, person)
	default:
		return nil
	}
	var status statusError
	var refused refusedError
	switch {
	case errors.As(err, &status) && status < 500, errors.Is(err, errTooMany), errors.As(err, &refused):
		return fmt.Errorf("The person's groups cannot be had: %s. Does the provider let this application list them?", reason(err))
	case err != nil:
		return backend.Errorf(backend.Upstream, "the person's groups cannot be had of the identity provider: %s", reason(err))
	}
	said[groupsClaim] = groups
	return nil
}

// memberships asks Graph for the ids of a person's groups.
func (m *Method) memberships(ctx context.Context, p *provider, address, access string) ([]any, error) {
	var answer struct {
		Value []string `json:"value"`
		// More is there when this is not all. Part of the groups would be part of the policies.
		More string `json:"@odata.nextLink"`
	}
	if err := m.bearing(ctx, p, access, http.MethodPost, address, []byte(`{"securityEnabledOnly":false}`), &answer); err != nil {
		return nil, err
	}
	if answer.Value == nil || answer.More != "" {
		return nil, errForm
	}
	groups := make([]any, len(answer.Value))
	for i, id := range answer.Value {
		groups[i] = id
	}
	return groups, nil
}

// bearing asks with an access token, which goes to that address and no other. A body is JSON.
func (m *Method) bearing(ctx context.Context, p *provider, access, verb, address string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, m.fetch.patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, verb, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+access)
	response, err := p.clients.questions.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return statusError(response.StatusCode)
	case json.Unmarshal(text, into) != nil:
		return errForm
	}
	return nil
}
