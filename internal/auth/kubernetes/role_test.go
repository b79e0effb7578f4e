package kubernetes_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"testing"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/cert/certtest"
	"jeton/internal/auth/kubernetes/kubetest"
	"jeton/internal/backend"
)

func publicPEM(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// otherCA is an authority that vouches for nobody here.
func otherCA(t *testing.T) string {
	t.Helper()
	return certtest.New(t, "other", authtest.Start).PEM()
}

// Contract: auth-methods §6, errors of role/:name.
func TestRoleErrors(t *testing.T) {
	b := bench(t)
	named := func(more object) object {
		data := object{"bound_service_account_names": "a", "bound_service_account_namespaces": "b"}
		maps.Copy(data, more)
		return data
	}
	const selector = `invalid "bound_service_account_namespace_selector" configured: `
	rows := []struct {
		name string
		data object
		text string
	}{
		{"nothing", object{}, `"bound_service_account_names" can not be empty`},
		{"empty names", named(object{"bound_service_account_names": ""}), `"bound_service_account_names" can not be empty`},
		{"names that are empty", named(object{"bound_service_account_names": []string{""}}), `"bound_service_account_names" can not be empty`},
		{"no namespaces", named(object{"bound_service_account_namespaces": ""}), `"bound_service_account_namespaces" can not be empty if "bound_service_account_namespace_selector" is not set`},
		{"* and a name", named(object{"bound_service_account_names": "*,a"}), `can not mix "*" with values`},
		{"* and a namespace", named(object{"bound_service_account_namespaces": "a,*"}), `can not mix "*" with values`},
		{"selector of nonsense", named(object{"bound_service_account_namespace_selector": "{"}), selector + "it is no label selector in JSON or YAML"},
		{"selector of text", named(object{"bound_service_account_namespace_selector": "env=prod"}), selector + "it is no label selector in JSON or YAML"},
		{"selector with another member", named(object{"bound_service_account_namespace_selector": `{"matchLabels":{"a":"b"},"matchlabel":{}}`}), selector + "it is no label selector in JSON or YAML"},
		{"selector of nothing", named(object{"bound_service_account_namespace_selector": "{}"}), selector + "it selects by nothing"},
		{"selector without key", named(object{"bound_service_account_namespace_selector": `{"matchExpressions":[{"operator":"Exists"}]}`}), selector + "an expression has no key"},
		{"selector of another operator", named(object{"bound_service_account_namespace_selector": `{"matchExpressions":[{"key":"a","operator":"in","values":["b"]}]}`}), selector + "an operator is none of In, NotIn, Exists and DoesNotExist"},
		{"In without values", named(object{"bound_service_account_namespace_selector": `{"matchExpressions":[{"key":"a","operator":"In"}]}`}), selector + "In and NotIn need values"},
		{"Exists with values", named(object{"bound_service_account_namespace_selector": `{"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]}`}), selector + "Exists and DoesNotExist take no values"},
		{"a long selector", named(object{"bound_service_account_namespace_selector": strings.Repeat(" ", 17<<10)}), selector + "it is too long"},
		{"alias source", named(object{"alias_name_source": "uid"}), "invalid alias_name_source, must be one of: serviceaccount_uid, serviceaccount_name"},
		{"ttl above max", named(object{"ttl": 20, "max_ttl": 10}), "token ttl should not be greater than token max ttl"},
		{"token_ttl above max", named(object{"token_ttl": 20, "token_max_ttl": 10}), "'token_ttl' cannot be greater than 'token_max_ttl'"},
		{"period above the mount's", named(object{"period": "800h"}), `token period of '"800h"' is greater than the backend's maximum lease TTL of '"768h"'`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b.Refused(t, backend.Update, "role/r", row.data, backend.Invalid, row.text)
		})
	}
	if keys := b.Keys(t, "role"); keys != nil {
		t.Errorf("a refused write left %v", keys)
	}
}

// Contract: auth-methods §6, read-back of a role, partial update, LIST, DELETE.
func TestRole(t *testing.T) {
	b := bench(t)
	if b.Must(t, backend.Read, "role/r", nil) != nil {
		t.Error("a role that is not there can be read")
	}
	b.Must(t, backend.Update, "role/R", object{"bound_service_account_names": "a,b", "bound_service_account_namespaces": "n", "policies": "p", "ttl": 60, "num_uses": 2})
	b.Must(t, backend.Update, "role/q", object{"bound_service_account_names": "*", "bound_service_account_namespace_selector": "matchLabels: {a: b}"})
	b.Must(t, backend.Update, "role/r", object{"audience": "x"})
	got := b.Must(t, backend.Read, "role/r", nil)
	for key, want := range map[string]any{
		"audience": "x", "alias_name_source": "serviceaccount_uid", "token_ttl": 60.0, "ttl": 60.0, "num_uses": 2.0,
		"bound_service_account_namespace_selector": "", "token_type": "default",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if names := got["bound_service_account_names"].([]any); len(names) != 2 {
		t.Errorf("names %v", names)
	}
	if other := b.Must(t, backend.Read, "role/q", nil); other["bound_service_account_namespace_selector"] != "matchLabels: {a: b}" || len(other["bound_service_account_namespaces"].([]any)) != 0 {
		t.Errorf("%v", other)
	}
	if keys := b.Keys(t, "role"); !slices.Equal(keys, []string{"q", "r"}) {
		t.Errorf("listed %v", keys)
	}
	b.Must(t, backend.Delete, "role/r", nil)
	b.Must(t, backend.Delete, "role/r", nil)
	b.Must(t, backend.Update, "role/any", object{"bound_service_account_names": "*", "bound_service_account_namespaces": "*"})
}

// Contract: auth-methods §6, config: errors, read-back without the JWT, replaced whole.
func TestConfig(t *testing.T) {
	b := bench(t)
	cluster := kubetest.Start(t, b.Clock.Now)
	if b.Must(t, backend.Read, "config", nil) != nil {
		t.Error("settings that are not there can be read")
	}
	const address = "kubernetes_host must be the address of an API server, such as https://10.0.0.1:443"
	for name, row := range map[string]struct {
		data object
		text string
	}{
		"no host":                {object{}, "no host provided"},
		"another scheme":         {object{"kubernetes_host": "ftp://x"}, address},
		"a password":             {object{"kubernetes_host": "https://a:b@x"}, address},
		"a query":                {object{"kubernetes_host": "https://x/?a"}, address},
		"no local CA, and no CA": {object{"kubernetes_host": "https://x", "disable_local_ca_jwt": true}, "kubernetes_ca_cert must be given when disable_local_ca_jwt is true"},
		"a CA of nonsense":       {object{"kubernetes_host": "https://x", "kubernetes_ca_cert": "nonsense"}, "kubernetes_ca_cert holds no certificate in PEM"},
		"a key of nonsense":      {object{"kubernetes_host": "https://x", "pem_keys": []string{cluster.PublicKey(), "nonsense"}}, "pem_keys: entry 2 is neither a public key nor a certificate in PEM"},
		"a timeout too long":     {object{"kubernetes_host": "https://x", "api_timeout": 61}, "api_timeout must be from 1 to 60 seconds, or 0 for the usual 10"},
		"a JWT too long":         {object{"kubernetes_host": "https://x", "token_reviewer_jwt": strings.Repeat("a", 33<<10)}, "token_reviewer_jwt is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Refused(t, backend.Update, "config", row.data, backend.Invalid, row.text)
		})
	}
	b.Must(t, backend.Update, "config", object{
		"kubernetes_host": cluster.URL + "/", "kubernetes_ca_cert": cluster.CA, "token_reviewer_jwt": "secret-jwt", "pem_keys": []string{cluster.PublicKey(), cluster.CA},
		"issuer": "i", "disable_iss_validation": false, "disable_local_ca_jwt": true, "use_annotations_as_alias_metadata": true, "allow_unproved_renewal": true, "api_timeout": 3,
	})
	got := b.Must(t, backend.Read, "config", nil)
	for key, want := range map[string]any{
		"kubernetes_host": cluster.URL, "kubernetes_ca_cert": cluster.CA, "token_reviewer_jwt_set": true, "issuer": "i", "disable_iss_validation": false,
		"disable_local_ca_jwt": true, "use_annotations_as_alias_metadata": true, "allow_unproved_renewal": true, "api_timeout": 3.0,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if len(got["pem_keys"].([]any)) != 2 || got["token_reviewer_jwt"] != nil {
		t.Errorf("%v", got)
	}
	// A host without a scheme is meant with TLS, and the rest is as if never set.
	response, err := b.Do(t.Context(), backend.Update, "config", object{"kubernetes_host": "k8s:6443"})
	if err != nil || response != nil {
		t.Errorf("%+v, %v", response, err)
	}
	got = b.Must(t, backend.Read, "config", nil)
	if got["kubernetes_host"] != "https://k8s:6443" || got["token_reviewer_jwt_set"] != false || got["disable_iss_validation"] != true || got["issuer"] != "" || got["api_timeout"] != 10.0 {
		t.Errorf("%v", got)
	}
	response, err = b.Do(t.Context(), backend.Update, "config", object{"kubernetes_host": "http://k8s"})
	if err != nil || len(response.Warnings) != 1 {
		t.Errorf("plain HTTP does not warn: %+v, %v", response, err)
	}
}

// CVE-2026-89322: no route takes a name as it is written.
func TestRoutesFoldNames(t *testing.T) {
	for _, route := range bench(t).Backend.Routes() {
		if strings.Contains(route.Pattern, "{name}") {
			t.Errorf("%s takes a name as it is written", route.Pattern)
		}
	}
}

// CVE-2025-4166: no error repeats what was sent, and no login leaks a JWT.
func TestErrorsRepeatNothing(t *testing.T) {
	const canary = "canary-4711"
	h := open(t)
	token := h.cluster.Token(h.app, func(m map[string]any) { m["iss"] = canary })
	for path, data := range map[string][]object{
		"config": {{"kubernetes_host": "x://" + canary}, {"kubernetes_host": h.cluster.URL, "pem_keys": canary}, {"kubernetes_host": h.cluster.URL, "kubernetes_ca_cert": canary}},
		"role/r": {{"bound_service_account_namespace_selector": canary}, {"alias_name_source": canary}, {"token_bound_cidrs": canary}},
		"login":  {{"role": "r", "jwt": canary}, {"role": "r", "jwt": object{"a": canary}}, {"role": canary + "/", "jwt": token}},
	} {
		for _, d := range data {
			if _, err := h.Do(t.Context(), backend.Update, path, d); err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	h.cluster.Stop()
	_, err := h.login(t, h.token)
	if err == nil || strings.Contains(err.Error(), h.token) || strings.Contains(err.Error(), strings.Split(h.token, ".")[2]) {
		t.Errorf("%v", err)
	}
}
