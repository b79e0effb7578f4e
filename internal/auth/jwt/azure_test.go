package jwt_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
)

// overage is how Entra says that there are too many groups for the token. The address in it leads
// where nobody is to be sent.
func overage() object {
	return object{
		"_claim_names":   object{"groups": "src1"},
		"_claim_sources": object{"src1": object{"endpoint": "https://evil.example/getMemberObjects"}},
	}
}

func newAzure(t testing.TB, role object) *browser {
	t.Helper()
	b := newBrowser(t, nil, role)
	b.Must(t, backend.Update, "config", object{
		"oidc_discovery_url": b.provider.URL, "oidc_discovery_ca_pem": b.provider.CA, "oidc_client_id": oidctest.ClientID, "oidc_client_secret": oidctest.ClientSecret,
		"default_role": "r", "provider_config": fmt.Sprintf(`{"provider": "azure", "graph_url": "%s/graph/"}`, b.provider.URL),
	})
	b.provider.Person("ann", overage())
	return b
}

// Contract: auth-methods §5.1, provider_config of Entra: groups that the token leaves out are asked
// of Graph, for roles that look at them, whatever the way back.
func TestAzureGroups(t *testing.T) {
	many := make([]string, 500)
	for i := range many {
		many[i] = fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
	}
	b := newAzure(t, object{"groups_claim": "groups", "bound_claims": object{"groups": many[499]}})
	b.provider.Memberships(object{"value": many})
	l, err := b.finish(t, b.back(t, "ann"))
	if err != nil || !reflect.DeepEqual(l.GroupAliases, many) {
		t.Fatalf("%d groups, %v", len(l.GroupAliases), err)
	}
	if _, err := b.Renew(t.Context(), l); err != nil {
		t.Error(err)
	}
	for mode, redirects := range map[string]string{"device": "", "direct": serverRedirect} {
		b.Must(t, backend.Update, "role/r", object{"callback_mode": mode, "allowed_redirect_uris": redirects})
		p := b.begin(t, nil)
		if mode == "device" {
			b.provider.Decide(t, p.address, p.code, "ann")
		} else {
			_, confirmation := p.arrives(t, "ann")
			b.confirm(t, confirmation)
		}
		if l := p.collects(t); len(l.GroupAliases) != len(many) {
			t.Errorf("%s: %d groups", mode, len(l.GroupAliases))
		}
	}
	// Nobody is asked for what is in the token, or for what the role does not look at.
	asked := b.provider.Count("/graph/me/getMemberObjects")
	b.Must(t, backend.Update, "role/r", object{"callback_mode": "client", "allowed_redirect_uris": redirect, "bound_claims": ""})
	b.provider.Person("ann", object{"groups": []string{"g"}})
	if l, err := b.finish(t, b.back(t, "ann")); err != nil || !reflect.DeepEqual(l.GroupAliases, []string{"g"}) {
		t.Errorf("%+v, %v", l, err)
	}
	b.provider.Person("ann", overage())
	b.Must(t, backend.Update, "role/r", object{"groups_claim": ""})
	if _, err := b.finish(t, b.back(t, "ann")); err != nil {
		t.Error(err)
	}
	if n := b.provider.Count("/graph/me/getMemberObjects") - asked; n != 0 {
		t.Errorf("Graph was asked %d times", n)
	}
	if got := b.Must(t, backend.Read, "config", nil)["provider_config"]; !reflect.DeepEqual(got, object{"provider": "azure", "graph_url": b.provider.URL + "/graph"}) {
		t.Errorf("read %v", got)
	}
}

// Without all of the groups there is no login, and no answer of Graph's is repeated.
func TestAzureGroupsThatCannotBeHad(t *testing.T) {
	away := "the person's groups cannot be had of the identity provider: "
	for name, row := range map[string]struct {
		answer any
		kind   backend.Kind
		text   string
	}{
		"no permission":  {403, backend.Invalid, "The person's groups cannot be had: it answered with status 403. Has the application the permission GroupMember.Read.All?"},
		"down":           {503, backend.Upstream, away + "it answered with status 503"},
		"elsewhere":      {302, backend.Invalid, "The person's groups cannot be had: it answered with status 302. Has the application the permission GroupMember.Read.All?"},
		"no list":        {object{"values": []string{"x"}}, backend.Upstream, away + "its answer is not what the standard says"},
		"other values":   {object{"value": []any{1}}, backend.Upstream, away + "its answer is not what the standard says"},
		"not all":        {object{"value": []string{"x"}, "@odata.nextLink": "https://evil.example/"}, backend.Upstream, away + "its answer is not what the standard says"},
		"without bounds": {object{"value": []string{strings.Repeat("x", 2<<20)}}, backend.Upstream, away + "its answer is larger than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newAzure(t, object{"groups_claim": "groups"})
			b.provider.Memberships(row.answer)
			_, err := b.finish(t, b.back(t, "ann"))
			if err == nil || backend.KindOf(err) != row.kind || err.Error() != failed+row.text {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("no access token", func(t *testing.T) {
		b := newAzure(t, object{"groups_claim": "groups"})
		b.Must(t, backend.Update, "config", object{
			"oidc_discovery_url": b.provider.URL, "oidc_discovery_ca_pem": b.provider.CA, "oidc_client_id": oidctest.ClientID, "oidc_client_secret": oidctest.ClientSecret,
			"oidc_response_mode": "form_post", "oidc_response_types": "id_token", "provider_config": object{"provider": "azure"},
		})
		b.provider.Person("ann", object{"hasgroups": true})
		b.refusedBack(t, b.back(t, "ann"), failed+"The person is in more groups than an ID token holds, and the provider sent no access token to ask for them with.")
	})
	t.Run("without provider_config", func(t *testing.T) {
		b := newBrowser(t, nil, object{"groups_claim": "groups"})
		b.provider.Person("ann", overage())
		b.refusedBack(t, b.back(t, "ann"), failed+`"groups" claim not found in token`)
	})
}
