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

// Microsoft Entra leaves the groups of a person who is in more than 200 of them out of the token,
// and says so in it ("groups overage"). They are then asked of Microsoft Graph, with the access
// token that came along.

// groupsClaim is the only claim that Entra leaves out.
const groupsClaim = "groups"

// usualGraph is Graph's address outside of national clouds. The address in the token is passed
// over: it names a service that is no more, and an access token goes only where the operator says.
const usualGraph = "https://graph.microsoft.com/v1.0"

// azureRecord is provider_config with the provider azure.
type azureRecord struct {
	GraphURL string `cbor:"1,keyasint,omitempty"`
}

// parseProvider reads provider_config, an object or its JSON text; nil for an empty one.
// Contract: auth-methods §5.1, "invalid provider_config: …".
func parseProvider(v any) (*azureRecord, error) {
	if v == nil {
		return nil, nil
	}
	object, err := asObject(v)
	if err != nil || len(object) == 0 {
		return nil, err
	}
	if object["provider"] != "azure" {
		return nil, errors.New("the only provider that something is special to here is azure; leave it out for others")
	}
	azure := &azureRecord{}
	for name, value := range object {
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
			return nil, errors.New("it has a member besides provider and graph_url, or one that is no text")
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
	switch {
	case a == nil:
		return map[string]any{}
	case a.GraphURL == "":
		return map[string]any{"provider": "azure"}
	}
	return map[string]any{"provider": "azure", "graph_url": a.GraphURL}
}

// leftOut says whether a token has no groups because there are too many.
func (c claims) leftOut() bool {
	if _, there := c.find(groupsClaim); there {
		return false
	}
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
// about policies, and the person is known to have some: without them there is no login.
func (m *Method) addGroups(ctx context.Context, t *trust, r *role, p *provider, access *oauth2.Token, said claims) error {
	if t.config.Azure == nil || !said.leftOut() || !r.wantsGroups() {
		return nil
	}
	if access == nil {
		return errors.New("The person is in more groups than an ID token holds, and the provider sent no access token to ask for them with.")
	}
	groups, err := m.memberships(ctx, p, t.config.Azure.graph()+"/me/getMemberObjects", access)
	var status statusError
	switch {
	case errors.As(err, &status) && status < 500:
		return fmt.Errorf("The person's groups cannot be had: %s. Has the application the permission GroupMember.Read.All?", status)
	case err != nil:
		return backend.Errorf(backend.Upstream, "the person's groups cannot be had of the identity provider: %s", reason(err))
	}
	said[groupsClaim] = groups
	return nil
}

// memberships asks Graph for the ids of a person's groups.
func (m *Method) memberships(ctx context.Context, p *provider, address string, access *oauth2.Token) ([]any, error) {
	ctx, cancel := context.WithTimeout(ctx, m.fetch.patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader([]byte(`{"securityEnabledOnly":false}`)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+access.AccessToken)
	response, err := p.clients.questions.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, statusError(response.StatusCode)
	}
	var answer struct {
		Value []string `json:"value"`
		// More is there when this is not all. Part of the groups would be part of the policies.
		More string `json:"@odata.nextLink"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Value == nil || answer.More != "" {
		return nil, errForm
	}
	groups := make([]any, len(answer.Value))
	for i, id := range answer.Value {
		groups[i] = id
	}
	return groups, nil
}
