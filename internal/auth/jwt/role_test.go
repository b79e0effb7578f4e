package jwt_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/jwt"
	"jeton/internal/auth/jwt/oidctest"
	"jeton/internal/backend"
)

// Contract: auth-methods §5.2, the texts.
func TestRoleErrors(t *testing.T) {
	jwtRole := func(more object) object {
		role := object{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a"}
		for name, v := range more {
			if role[name] = v; v == nil {
				delete(role, name)
			}
		}
		return role
	}
	const noRedirect = "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified."
	rows := []struct {
		name string
		data object
		text string
	}{
		{"role_type", jwtRole(object{"role_type": "saml"}), "invalid 'role_type': saml"},
		{"callback_mode", jwtRole(object{"callback_mode": "<script>"}), "invalid 'callback_mode': want client, direct or device"},
		{"poll_interval", jwtRole(object{"poll_interval": 61}), "'poll_interval' is greater than 1m"},
		{"poll_interval below 0", jwtRole(object{"poll_interval": -1}), "Field validation failed: error converting input for field \"poll_interval\": cannot provide negative value '-1'"},
		{"bound_claims_type", jwtRole(object{"bound_claims_type": "regexp"}), "invalid 'bound_claims_type': regexp"},
		{"glob and a number", jwtRole(object{"bound_claims_type": "glob", "bound_claims": object{"c": 5}}), `claim is not a string or list: claim "c" of a glob role`},
		{"glob and a number in a list", jwtRole(object{"bound_claims_type": "glob", "bound_claims": object{"c": []any{"a", 5}}}), `claim is not a string: claim "c" of a glob role`},
		{"bound to an object", jwtRole(object{"bound_claims": object{"c": object{}}}), `bound_claims: claim "c" has a value that is no string, number or boolean`},
		{"bound to nothing", jwtRole(object{"bound_claims": object{"c": []any{}}}), `bound_claims: claim "c" has no value that it could match`},
		{"bound to null", jwtRole(object{"bound_claims": object{"c": nil}}), `bound_claims: claim "c" has a value that is no string, number or boolean`},
		{"bound_claims is a list", jwtRole(object{"bound_claims": []any{"a"}}), "bound_claims: want an object, or its JSON text"},
		{"bound_claims is broken JSON", jwtRole(object{"bound_claims": `{"a":`}), "bound_claims: want an object, or its JSON text"},
		{"mapping to role", jwtRole(object{"claim_mappings": object{"c": "role"}}), `metadata key "role" is reserved and may not be a mapping destination`},
		{"mapping twice", jwtRole(object{"claim_mappings": object{"c": "k", "d": "k"}}), `multiple keys are mapped to metadata key "k"`},
		{"mapping to a number", jwtRole(object{"claim_mappings": object{"c": 5}}), "claim_mappings: want the name of a metadata key for each claim"},
		{"no user claim", jwtRole(object{"user_claim": nil}), "a user claim must be defined on the role"},
		{"oidc by default, without redirect URIs", jwtRole(object{"role_type": nil}), noRedirect},
		{"oidc without redirect URIs", jwtRole(object{"role_type": "oidc"}), noRedirect},
		{"redirect URI that is none", jwtRole(object{"role_type": "oidc", "allowed_redirect_uris": "https://a/,nowhere"}),
			"allowed_redirect_uris: entry 2 is no whole URL, or has a fragment or a user"},
		{"role w/o constraint rejected", jwtRole(object{"bound_audiences": nil}), "must have at least one bound constraint when creating/updating a role"},
		{"ttl above max", jwtRole(object{"ttl": 20, "max_ttl": 10}), "'token_ttl' cannot be greater than 'token_max_ttl'"},
		{"period above the mount's maximum", jwtRole(object{"period": "769h"}), `'period' of '"769h"' is greater than the backend's maximum lease TTL of '"768h"'`},
	}
	b := authtest.New(t, jwt.New)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { b.Refused(t, backend.Update, "role/r", row.data, backend.Invalid, row.text) })
	}
	if keys := b.Keys(t, "role"); keys != nil {
		t.Errorf("a refused write left %v", keys)
	}
	for name, constraint := range map[string]object{
		"subject": {"bound_subject": "s"}, "claims": {"bound_claims": object{"c": 1}}, "networks": {"token_bound_cidrs": "10.0.0.0/8"},
	} {
		constraint["bound_audiences"] = nil
		b.Must(t, backend.Update, "role/"+name, jwtRole(constraint))
	}
	if keys := b.Keys(t, "role"); !slices.Equal(keys, []string{"claims", "networks", "subject"}) {
		t.Errorf("roles %v", keys)
	}
	b.Refused(t, backend.Update, "role/"+strings.Repeat("x", 5000), jwtRole(nil), backend.Invalid, "the role's name is longer than 4096 bytes")
}

// Contract: auth-methods §5.2 [!]: an update without role_type and bound_claims_type keeps what
// is stored, whatever else the role has.
func TestPartialUpdateKeepsTypes(t *testing.T) {
	b, key := withRole(t, object{"bound_claims": object{"c": "x-*"}, "bound_claims_type": "glob"})
	token := key.Sign(t, of(b, object{"c": "x-1"}))
	updates := []object{
		{"token_ttl": 60}, {"allowed_redirect_uris": redirect}, {"token_policies": "p"}, {"role_type": ""}, {"bound_claims_type": ""},
	}
	for _, update := range updates {
		b.Must(t, backend.Update, "role/r", update)
		mustLogin(t, b, token)
	}
	got := b.Must(t, backend.Read, "role/r", nil)
	if got["role_type"] != "jwt" || got["bound_claims_type"] != "glob" || got["user_claim"] != "sub" {
		t.Errorf("%v", got)
	}
	b.Refused(t, backend.Update, "role/r", object{"bound_claims": object{"c": 5}}, backend.Invalid, `claim is not a string or list: claim "c" of a glob role`)
	b.Must(t, backend.Update, "role/r", object{"bound_claims_type": "string"})
	refused(t, b, token, `error validating claims: claim "c" does not match any associated bound claim values`)
}

// Contract: auth-methods §5.2, what is read back.
func TestReadRole(t *testing.T) {
	b := authtest.New(t, jwt.New)
	if b.Must(t, backend.Read, "role/r", nil) != nil {
		t.Error("a role that is not there can be read")
	}
	b.Must(t, backend.Update, "role/R", object{
		"user_claim": "sub", "allowed_redirect_uris": redirect, "bound_claims": `{"c":["x",5,true]}`, "claim_mappings": `{"e":"mail"}`,
		"expiration_leeway": -1, "not_before_leeway": "30s", "max_age": "1h", "oidc_scopes": "profile,email", "policies": "p", "ttl": "1m",
		"num_uses": 2, "bound_cidrs": "10.0.0.1/32",
	})
	want := object{
		"allowed_redirect_uris": []any{redirect}, "bound_audiences": []any{}, "bound_claims": object{"c": []any{"x", 5.0, true}},
		"bound_claims_type": "string", "bound_subject": "", "claim_mappings": object{"e": "mail"}, "clock_skew_leeway": 0.0,
		"expiration_leeway": -1.0, "groups_claim": "", "max_age": 3600.0, "not_before_leeway": 30.0, "oidc_scopes": []any{"profile", "email"},
		"role_type": "oidc", "user_claim": "sub", "user_claim_json_pointer": false, "verbose_oidc_logging": false,
		"callback_mode": "client", "poll_interval": 0.0, "oidc_disable_confirmation": false,
		"policies": []any{"p"}, "ttl": 60.0, "num_uses": 2.0, "bound_cidrs": []any{"10.0.0.1"},
		"token_bound_cidrs": []any{"10.0.0.1"}, "token_explicit_max_ttl": 0.0, "token_max_ttl": 0.0, "token_no_default_policy": false,
		"token_num_uses": 2.0, "token_period": 0.0, "token_policies": []any{"p"}, "token_ttl": 60.0, "token_type": "default",
	}
	if got := b.Must(t, backend.Read, "role/r", nil); !reflect.DeepEqual(got, want) {
		t.Errorf("read %v\nwant %v", got, want)
	}
	b.Must(t, backend.Update, "role/r", object{"bound_claims": object{}, "claim_mappings": ""})
	if got := b.Must(t, backend.Read, "role/r", nil); len(got["bound_claims"].(object)) != 0 || len(got["claim_mappings"].(object)) != 0 {
		t.Errorf("not emptied: %v", got)
	}
	if keys := b.Keys(t, "role"); !slices.Equal(keys, []string{"r"}) {
		t.Errorf("roles %v", keys)
	}
	b.Must(t, backend.Delete, "role/r", nil)
	b.Must(t, backend.Delete, "role/r", nil)
	if keys := b.Keys(t, "role"); keys != nil {
		t.Errorf("roles %v", keys)
	}
}

// Contract: auth-methods §5.2 [B], how a login comes back: read as written, kept by an update that
// does not name it, and warned of where a direct one would not come back to this mount.
func TestRoleCallbackModes(t *testing.T) {
	b := newBrowser(t, nil, nil)
	reads := func(mode string, interval float64, unconfirmed bool) {
		t.Helper()
		got := b.Must(t, backend.Read, "role/r", nil)
		if got["callback_mode"] != mode || got["poll_interval"] != interval || got["oidc_disable_confirmation"] != unconfirmed || got["role_type"] != "oidc" {
			t.Errorf("read %v", got)
		}
	}
	b.Must(t, backend.Update, "role/r", object{"callback_mode": "device", "poll_interval": "20s", "allowed_redirect_uris": ""})
	reads("device", 20, false)
	b.Must(t, backend.Update, "role/r", object{"token_ttl": "1m"})
	b.Must(t, backend.Update, "role/r", object{"callback_mode": ""})
	reads("device", 20, false)
	for redirects, warned := range map[string]bool{serverRedirect: false, redirect: true, serverRedirect + "," + redirect: true} {
		response, err := b.Do(t.Context(), backend.Update, "role/r", object{"callback_mode": "direct", "oidc_disable_confirmation": true, "allowed_redirect_uris": redirects})
		if err != nil || (response != nil) != warned {
			t.Errorf("%s: %+v, %v", redirects, response, err)
		}
	}
	reads("direct", 20, true)
	b.Must(t, backend.Update, "role/r", object{"callback_mode": "client", "oidc_disable_confirmation": false, "poll_interval": 0})
	reads("client", 0, false)
}

// Two requests that create the same role: the second was not allowed to change one.
func TestWritesThatLostARace(t *testing.T) {
	b, _ := withRole(t, nil)
	write := func(op backend.Operation, name string) error {
		match, _ := backend.NewTable(b.Backend.Routes()).Find(op, "role/"+name)
		_, err := match.Route.Write.Serve(t.Context(), &backend.Call{
			Operation: op, Path: match.Path, Captures: match.Captures, Mount: b.Mount, Data: object{"user_claim": "x"},
		})
		return err
	}
	authtest.Is(t, write(backend.Create, "r"), backend.Conflict, `role "r" was created by another request`)
	authtest.Is(t, write(backend.Update, "none"), backend.NotFound, `role "none" does not exist`)
}

// The check of all that a mount keeps.
func TestCheck(t *testing.T) {
	b := newBrowser(t, nil, object{"bound_claims": object{"department": "IT"}})
	b.provider.Person("ann", object{"department": "IT"})
	if _, err := b.finish(t, b.back(t, "ann")); err != nil {
		t.Fatal(err)
	}
	b.CheckBites(t)
}

// Contract: auth-methods §5.1, the texts.
func TestConfigErrors(t *testing.T) {
	p := oidctest.NewTLS(t)
	key := oidctest.NewKey(t, jose.ES256, "")
	const exactly = "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', 'oidc_discovery_url', or 'provider_config' must be set"
	good := object{"oidc_discovery_url": p.URL, "oidc_discovery_ca_pem": p.CA}
	with := func(more object) object {
		all := object{}
		for _, from := range []object{good, more} {
			for name, v := range from {
				all[name] = v
			}
		}
		return all
	}
	rows := []struct {
		name string
		data object
		text string
	}{
		{"nothing", object{}, exactly},
		{"two sources", with(object{"jwks_url": p.URL}), exactly},
		{"provider_config of another", object{"provider_config": object{"provider": "okta"}}, "invalid provider_config: the providers that something is special to here are azure and gsuite; leave it out for others"},
		{"provider_config without provider", object{"provider_config": `{"graph_url": "https://x/"}`}, "invalid provider_config: the providers that something is special to here are azure and gsuite; leave it out for others"},
		{"provider_config that is no object", object{"provider_config": "azure"}, "invalid provider_config: want an object, or its JSON text"},
		{"provider_config of more", object{"provider_config": object{"provider": "azure", "x": "y"}}, "invalid provider_config: of azure only graph_url is taken"},
		{"provider_config with a password", object{"provider_config": object{"provider": "azure", "graph_url": "https://u:canary@x/"}}, "invalid provider_config: graph_url: want a URL that begins with https://, and has no query"},
		{"provider_config without OIDC", object{"provider_config": object{"provider": "azure"}, "oidc_discovery_url": p.URL}, "invalid provider_config: it is for OIDC: 'oidc_client_id' is not set"},
		{"provider_config without TLS", object{"provider_config": object{"provider": "azure", "graph_url": "http://x/"}, "oidc_discovery_url": p.URL, "oidc_client_id": "x", "oidc_client_secret": "x"}, "invalid provider_config: an address in it has no https, although the provider has it"},
		{"client id without secret", with(object{"oidc_client_id": "x"}), "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC"},
		{"secret without client id", with(object{"oidc_client_secret": "x"}), "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC"},
		{"client id without discovery", object{"jwks_url": p.URL, "oidc_client_id": "x", "oidc_client_secret": "y"}, "'oidc_discovery_url' must be set for OIDC"},
		{".well-known", object{"oidc_discovery_url": p.URL + "/.well-known/openid-configuration"}, "'oidc_discovery_url' contains '.well-known' component: leave away what begins with it"},
		{"response type", with(object{"oidc_response_types": "token"}), `invalid response_types ["token"]. 'code' and 'id_token' are allowed`},
		{"id_token by query", with(object{"oidc_response_types": "id_token"}), "query response_mode may not be used with an id_token response_type"},
		{"response mode", with(object{"oidc_response_mode": "fragment"}), `invalid response_mode: "fragment"`},
		{"none as algorithm", object{"jwt_validation_pubkeys": key.PEM(t), "jwt_supported_algs": "none"}, "invalid jwt_supported_algs: want some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"},
		{"HS256 as algorithm", object{"jwt_validation_pubkeys": key.PEM(t), "jwt_supported_algs": "ES256,HS256"}, "invalid jwt_supported_algs: want some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"},
		{"no PEM", object{"jwt_validation_pubkeys": "x"}, "error parsing public key: no PEM block is in it"},
		{"no key in the PEM", object{"jwt_validation_pubkeys": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}, "error parsing public key: the PEM block holds no such key"},
		{"private key", object{"jwt_validation_pubkeys": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}, "error parsing public key: want a PUBLIC KEY, an RSA PUBLIC KEY or a CERTIFICATE"},
		{"pairs that are none", object{"jwks_pairs": "x"}, "error checking jwks_pairs: want a list of objects with jwks_url and jwks_ca_pem"},
		{"pair without a URL", object{"jwks_pairs": []any{object{"jwks_ca_pem": "x"}}}, "error checking jwks_pairs: entry 1 has no jwks_url"},
		{"CA that is none", object{"jwks_url": p.URL, "jwks_ca_pem": "x"}, "error checking jwks_ca_pem: no certificate in it can be read"},
		{"CA for nothing", with(object{"jwks_ca_pem": p.CA}), "CA certificates are set without the URL that they are for"},
		{"URL of another kind", object{"jwks_url": "file:///etc/passwd"}, "error checking jwks URL: want a URL that begins with https:// (or http://)"},
		{"URL with a password", object{"jwks_url": "https://a:b@c/"}, "error checking jwks URL: a URL with a name or a password in it is not taken"},
		{"stranger's certificate", object{"oidc_discovery_url": p.URL}, ""},
	}
	b := authtest.New(t, jwt.New)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := b.Do(t.Context(), backend.Update, "config", row.data)
			if row.text == "" {
				begins(t, err, backend.Invalid, "error checking oidc discovery URL: its certificate is not trusted (check its CA certificates, and the host name in the URL)")
				return
			}
			authtest.Is(t, err, backend.Invalid, row.text)
		})
	}
	if n := b.Stored(t, "config"); n != 0 {
		t.Error("a refused write left a configuration")
	}
	b.Must(t, backend.Update, "config", good)
}

// Contract: auth-methods §5.1: the secret is hidden; a write replaces everything.
func TestReadConfig(t *testing.T) {
	b := newBrowser(t, object{"oidc_response_mode": "form_post", "oidc_response_types": "code,id_token", "bound_issuer": "x", "jwt_supported_algs": "ES256"}, nil)
	got := b.Must(t, backend.Read, "config", nil)
	want := object{
		"bound_issuer": "x", "default_role": "r", "jwks_ca_pem": "", "jwks_pairs": []any{}, "jwks_url": "", "jwt_supported_algs": []any{"ES256"},
		"jwt_validation_pubkeys": []any{}, "namespace_in_state": true, "oidc_client_id": oidctest.ClientID, "oidc_discovery_ca_pem": b.provider.CA,
		"oidc_discovery_url": b.provider.URL, "oidc_response_mode": "form_post", "oidc_response_types": []any{"code", "id_token"}, "provider_config": object{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %v\nwant %v", got, want)
	}
	b.Must(t, backend.Update, "config", object{"jwks_url": b.provider.URL + "/keys", "jwks_ca_pem": b.provider.CA})
	got = b.Must(t, backend.Read, "config", nil)
	if got["oidc_client_id"] != "" || got["oidc_discovery_url"] != "" || got["bound_issuer"] != "" || got["default_role"] != "" {
		t.Errorf("something is left of the old configuration: %v", got)
	}
}

// Keys fetched without TLS are worth a warning.
func TestConfigWithoutTLSWarns(t *testing.T) {
	p := oidctest.New(t)
	b := authtest.New(t, jwt.New)
	response, err := b.Do(t.Context(), backend.Update, "config", object{"jwks_url": p.URL + "/keys"})
	if err != nil || response == nil || len(response.Warnings) != 1 || !strings.Contains(response.Warnings[0], "without TLS") {
		t.Errorf("%+v, %v", response, err)
	}
}
