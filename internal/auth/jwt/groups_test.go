package jwt_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/jwt"
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
		"no permission":  {403, backend.Invalid, "The person's groups cannot be had: it answered with status 403. Does the provider let this application list them?"},
		"down":           {503, backend.Upstream, away + "it answered with status 503"},
		"elsewhere":      {302, backend.Invalid, "The person's groups cannot be had: it answered with status 302. Does the provider let this application list them?"},
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

// newWorkspace mounts a provider that is Google's, with the directory's groups.
func newWorkspace(t testing.TB, groups map[string][]string, settings, role object) *browser {
	t.Helper()
	b := newBrowser(t, nil, role)
	whole := object{
		"provider": "gsuite", "gsuite_service_account": b.provider.Workspace(t, groups), "gsuite_admin_impersonate": oidctest.Admin,
		"fetch_groups": true, "directory_url": b.provider.URL + "/directory/",
	}
	for name, v := range settings {
		whole[name] = v
	}
	b.Must(t, backend.Update, "config", object{
		"oidc_discovery_url": b.provider.URL, "oidc_discovery_ca_pem": b.provider.CA, "oidc_client_id": oidctest.ClientID, "oidc_client_secret": oidctest.ClientSecret,
		"default_role": "r", "provider_config": whole,
	})
	b.provider.Person("ann", object{"hd": "example.com"})
	return b
}

// Contract: auth-methods §5.1, provider_config of Workspace: a person's groups page by page, and
// the groups that these are in, as deep as the configuration says, in circles too.
func TestWorkspaceGroups(t *testing.T) {
	directory := map[string][]string{
		"ann": {"a@x", "b@x", "c@x", "d@x", "e@x"}, "a@x": {"f@x"}, "f@x": {"g@x", "a@x"}, "g@x": {"h@x"},
	}
	for depth, want := range map[int][]string{
		0: {"a@x", "b@x", "c@x", "d@x", "e@x"}, 1: {"a@x", "b@x", "c@x", "d@x", "e@x", "f@x"},
		10: {"a@x", "b@x", "c@x", "d@x", "e@x", "f@x", "g@x", "h@x"},
	} {
		b := newWorkspace(t, directory, object{"groups_recurse_max_depth": depth}, object{"groups_claim": "groups", "bound_claims": object{"groups": "e@x"}})
		l, err := b.finish(t, b.back(t, "ann"))
		if err != nil || !reflect.DeepEqual(l.GroupAliases, want) {
			t.Fatalf("depth %d: %+v, %v", depth, l, err)
		}
		if _, err := b.Renew(t.Context(), l); err != nil {
			t.Error(err)
		}
		// Nobody is asked about people of whom the role wants no groups.
		asked := b.provider.Count("/google/token")
		b.Must(t, backend.Update, "role/r", object{"groups_claim": "", "bound_claims": ""})
		if _, err := b.finish(t, b.back(t, "ann")); err != nil || b.provider.Count("/google/token") != asked {
			t.Errorf("%v; asked %d times", err, b.provider.Count("/google/token")-asked)
		}
		got := b.Must(t, backend.Read, "config", nil)["provider_config"]
		if !reflect.DeepEqual(got, object{
			"provider": "gsuite", "gsuite_admin_impersonate": oidctest.Admin, "fetch_groups": true, "groups_recurse_max_depth": float64(depth), "directory_url": b.provider.URL + "/directory",
		}) {
			t.Errorf("read %v", got)
		}
	}
	b := newWorkspace(t, nil, nil, object{"groups_claim": "groups"})
	if l, err := b.finish(t, b.back(t, "ann")); err != nil || len(l.GroupAliases) != 0 {
		t.Errorf("nobody's groups: %+v, %v", l, err)
	}
}

// Without all of the groups there is no login; a directory without end is not asked for ever.
func TestWorkspaceGroupsThatCannotBeHad(t *testing.T) {
	const ask = " Does the provider let this application list them?"
	refused := func(t *testing.T, b *browser, kind backend.Kind, text string) {
		t.Helper()
		_, err := b.finish(t, b.back(t, "ann"))
		if err == nil || backend.KindOf(err) != kind || err.Error() != failed+text {
			t.Errorf("%v", err)
		}
	}
	role := object{"groups_claim": "groups"}
	t.Run("not for this administrator", func(t *testing.T) {
		refused(t, newWorkspace(t, nil, object{"gsuite_admin_impersonate": "eve@example.com"}, role), backend.Invalid, "The person's groups cannot be had: it refuses: unauthorized_client."+ask)
	})
	t.Run("another key", func(t *testing.T) {
		b := newWorkspace(t, nil, nil, role)
		b.provider.Workspace(t, nil)
		refused(t, b, backend.Invalid, "The person's groups cannot be had: it refuses: invalid_grant."+ask)
	})
	for status, row := range map[int]struct {
		kind backend.Kind
		text string
	}{
		403: {backend.Invalid, "The person's groups cannot be had: it answered with status 403." + ask},
		503: {backend.Upstream, "the person's groups cannot be had of the identity provider: it answered with status 503"},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			b := newWorkspace(t, nil, nil, role)
			b.provider.RefuseDirectory(status)
			refused(t, b, row.kind, row.text)
		})
	}
	t.Run("no end", func(t *testing.T) {
		many := make([]string, 101)
		for i := range many {
			many[i] = fmt.Sprintf("g%d@x", i)
		}
		b := newWorkspace(t, map[string][]string{"ann": many}, nil, role)
		refused(t, b, backend.Invalid, "The person's groups cannot be had: it would take more than 50 questions."+ask)
		if n := b.provider.Count("/directory/groups"); n != 50 {
			t.Errorf("%d questions", n)
		}
	})
}

// What is wrong with a service account is said without saying what is in it.
func TestWorkspaceSettings(t *testing.T) {
	p := oidctest.NewTLS(t)
	good := p.Workspace(t, nil)
	file := func(name, value string) string {
		var members map[string]string
		if err := json.Unmarshal([]byte(good), &members); err != nil {
			t.Fatal(err)
		}
		members[name] = value
		text, _ := json.Marshal(members)
		return string(text)
	}
	b := authtest.New(t, jwt.New)
	for name, row := range map[string]struct {
		settings object
		text     string
	}{
		"no account":       {object{"gsuite_service_account": ""}, "gsuite_service_account: want the content of the key file (@FILE on the command line): the server reads no files for it"},
		"a path":           {object{"gsuite_service_account": "/etc/canary.json"}, "gsuite_service_account: want the content of the key file (@FILE on the command line): the server reads no files for it"},
		"no key file":      {object{"gsuite_service_account": `{"canary": 1}`}, "gsuite_service_account: it is no key file of a service account"},
		"no key":           {object{"gsuite_service_account": file("private_key", "canary")}, "gsuite_service_account: its private_key is no key in PEM"},
		"a broken key":     {object{"gsuite_service_account": file("private_key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}, "gsuite_service_account: its private_key cannot be read"},
		"no address":       {object{"gsuite_service_account": file("token_uri", "canary")}, "gsuite_service_account: its token_uri is no address"},
		"without TLS":      {object{"gsuite_service_account": file("token_uri", "http://canary/")}, "an address in it has no https, although the provider has it"},
		"no administrator": {object{"gsuite_admin_impersonate": ""}, "gsuite needs gsuite_service_account and gsuite_admin_impersonate"},
		"nothing to fetch": {object{"fetch_groups": false}, "fetch_groups is not true, and gsuite is for nothing else here"},
		"user info":        {object{"fetch_user_info": true}, "of gsuite only gsuite_service_account, gsuite_admin_impersonate, fetch_groups, groups_recurse_max_depth and directory_url are taken"},
		"too deep":         {object{"groups_recurse_max_depth": 11}, "groups_recurse_max_depth: want a number from 0 to 10"},
		"another address":  {object{"directory_url": "ftp://canary/"}, "directory_url: want a URL that begins with https://, and has no query"},
	} {
		t.Run(name, func(t *testing.T) {
			whole := object{"provider": "gsuite", "gsuite_service_account": good, "gsuite_admin_impersonate": oidctest.Admin, "fetch_groups": "true", "fetch_user_info": false}
			for name, v := range row.settings {
				whole[name] = v
			}
			b.Refused(t, backend.Update, "config", object{
				"oidc_discovery_url": p.URL, "oidc_discovery_ca_pem": p.CA, "oidc_client_id": "x", "oidc_client_secret": "x", "provider_config": whole,
			}, backend.Invalid, "invalid provider_config: "+row.text)
		})
	}
}
