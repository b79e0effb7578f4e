package token

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"jeton/internal/backend"
)

func (h *house) readRole(name string) map[string]any {
	h.t.Helper()
	a, err := h.call(backend.Read, "roles/"+name, h.root, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return a.data
}

// Contract: tokens §11: what a new role reads back as, and that an update changes what it names.
func TestRole(t *testing.T) {
	h := newHouse(t)
	if got := h.readRole("nomad"); got != nil {
		t.Errorf("an absent role reads %v", got)
	}
	if a := h.write("roles/nomad", h.root, body{"allowed_policies": "dev"}); a.status != 204 {
		t.Errorf("write: %d", a.status)
	}
	same(t, h.readRole("nomad"), `{"allowed_entity_aliases":null,"allowed_policies":["dev"],"allowed_policies_glob":[],
		"disallowed_policies":[],"disallowed_policies_glob":[],"explicit_max_ttl":0,"name":"nomad","orphan":false,
		"path_suffix":"","period":0,"renewable":true,"token_explicit_max_ttl":0,"token_no_default_policy":false,
		"token_period":0,"token_type":"default-service"}`)
	h.write("roles/nomad", h.root, body{"orphan": "true", "token_period": "1h", "path_suffix": "team-a", "token_num_uses": json.Number("3"),
		"token_bound_cidrs": []any{"10.0.0.1", "10.1.0.0/16"}, "allowed_policies_glob": []any{"Dev*", " dev* "}, "allowed_entity_aliases": "CI-*"})
	same(t, h.readRole("nomad"), `{"allowed_entity_aliases":["ci-*"],"allowed_policies":["dev"],"allowed_policies_glob":["dev*"],
		"disallowed_policies":[],"disallowed_policies_glob":[],"explicit_max_ttl":0,"name":"nomad","orphan":true,
		"path_suffix":"team-a","period":0,"renewable":true,"token_bound_cidrs":["10.0.0.1","10.1.0.0/16"],"token_explicit_max_ttl":0,
		"token_no_default_policy":false,"token_num_uses":3,"token_period":3600,"token_type":"default-service"}`)

	h.write("roles/a", h.root, nil)
	list, err := h.call(backend.List, "roles", h.root, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, list.data, `{"keys":["a","nomad"]}`)
	for range 2 {
		a, err := h.call(backend.Delete, "roles/nomad", h.root, nil)
		if err != nil || a.status != 204 {
			t.Errorf("delete: %d, %v", a.status, err)
		}
	}
	if h.readRole("nomad") != nil {
		t.Error("the role is still there")
	}
}

// Contract: tokens §11: the old names.
func TestRoleOldNames(t *testing.T) {
	h := newHouse(t)
	h.write("roles/old", h.root, body{"period": "60", "explicit_max_ttl": "2m", "bound_cidrs": "10.0.0.0/8"})
	got := h.readRole("old")
	if got["period"] != 60.0 || got["token_period"] != 60.0 || got["explicit_max_ttl"] != 120.0 || got["token_explicit_max_ttl"] != 120.0 ||
		got["bound_cidrs"] == nil || got["token_bound_cidrs"] == nil {
		t.Errorf("old names: %v", got)
	}
	a := h.write("roles/both", h.root, body{"period": "1", "token_period": "60", "explicit_max_ttl": "1", "token_explicit_max_ttl": "120",
		"bound_cidrs": "10.0.0.0/8", "token_bound_cidrs": "192.168.0.0/16"})
	var want []string
	for _, name := range []string{"period", "explicit_max_ttl", "bound_cidrs"} {
		want = append(want, "Both 'token_"+name+"' and deprecated '"+name+"' value supplied, ignoring the deprecated value")
	}
	if a.status != 200 || !slices.Equal(a.warnings, want) {
		t.Errorf("both: %d, %q", a.status, a.warnings)
	}
	got = h.readRole("both")
	if got["period"] != 0.0 || got["token_period"] != 60.0 || got["bound_cidrs"] != nil || got["token_bound_cidrs"].([]any)[0] != "192.168.0.0/16" {
		t.Errorf("both: %v", got)
	}
}

// Contract: tokens §11: what is refused, and that nothing is kept of it.
func TestRoleRefused(t *testing.T) {
	h := newHouse(t)
	h.write("roles/r", h.root, body{"orphan": true})
	before := h.readRole("r")
	batch := func(more body) body {
		b := body{"token_type": "batch", "orphan": true, "renewable": false}
		for k, v := range more {
			b[k] = v
		}
		return b
	}
	const refusal = "'token_type' cannot be 'batch' when role is set to generate "
	for _, tt := range []struct {
		line string
		data body
		text string
	}{
		{"path_suffix", body{"path_suffix": "a"}, `given role path suffix contains invalid characters; must match \w[\w-.]+\w`},
		{"path_suffix ..", body{"path_suffix": "abc/../def"}, "error registering path suffix: path cannot contain parent references"},
		{"uses", body{"token_num_uses": json.Number("-1")}, "error parsing role fields: 'token_num_uses' cannot be negative"},
		{"type", body{"token_type": "x"}, `invalid 'token_type' value "x"`},
		{"type null", body{"token_type": nil}, "Invalid 'token_type' value: null"},
		{"batch, not orphan", batch(body{"orphan": false}), refusal + "non-orphan tokens"},
		{"batch, periodic", batch(body{"token_period": "1h"}), refusal + "periodic tokens"},
		{"batch, renewable", batch(body{"renewable": true}), refusal + "renewable tokens"},
		{"batch, explicit max", batch(body{"token_explicit_max_ttl": "1h"}), refusal + "tokens with an explicit max TTL"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			sub := *h
			sub.t = t
			sub.refused("roles/r", h.root, tt.data, backend.Invalid, tt.text)
		})
	}
	var e *backend.Error
	for _, cidr := range []string{"300.1.2.3/8", "x", "10.0.0.0/33"} {
		if _, err := h.call(backend.Update, "roles/r", h.root, body{"token_bound_cidrs": cidr}); !errors.As(err, &e) || !strings.HasPrefix(e.Text, "error parsing role fields: ") || strings.Contains(e.Text, cidr) {
			t.Errorf("%s: %v", cidr, err)
		}
	}
	after, _ := json.Marshal(h.readRole("r"))
	if was, _ := json.Marshal(before); string(after) != string(was) {
		t.Errorf("a refused write changed the role to %s", after)
	}
	h.write("roles/b", h.root, batch(nil))
	if a := h.write("roles/long", h.root, body{"token_explicit_max_ttl": "1000h"}); len(a.warnings) != 1 ||
		!strings.HasPrefix(a.warnings[0], "Given explicit max TTL of 3600000 is greater than system/mount allowed value of 2764800 seconds;") {
		t.Errorf("warnings %q", a.warnings)
	}
}

// Contract: tokens §4.1, §13.20, §13.25-26: tokens by a role, as clients see them.
func TestCreateByRole(t *testing.T) {
	h := newHouse(t)
	h.write("roles/r", h.root, body{"token_period": "1h", "token_explicit_max_ttl": "5h", "allowed_policies": "web", "path_suffix": "ci-x"})
	a := h.write("create/r", h.root, body{"role_name": "other"})
	if !slices.Contains(a.warnings, "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [role_name]") {
		t.Errorf("warnings %q", a.warnings)
	}
	holder := h.holder(a)
	got := h.write("lookup", h.root, body{"token": holder.Token}).data
	if _, shown := got["period"]; shown || got["explicit_max_ttl"] != 0.0 || got["role"] != "r" || got["path"] != "auth/token/create/r/ci-x" || got["ttl"] != 3600.0 {
		t.Errorf("lookup: %v", got)
	}
	h.refused("create/x", h.root, nil, backend.Invalid, "unknown role x")
	if _, err := h.call(backend.Delete, "roles/r", h.root, nil); err != nil {
		t.Fatal(err)
	}
	h.refused("renew", h.root, body{"token": holder.Token}, backend.Failed,
		`failed to renew entry: original token role "r" could not be found, not renewing`)
}
