package policy

import (
	"fmt"
	"slices"
	"testing"
)

var ada = &Subject{
	ID: "e-1", Name: "ada",
	Metadata: map[string]string{
		"team": "core", "dotted.key": "d", "empty": "", "star": "a*", "plus": "+", "slash": "a/b",
		"dots": "..", "newline": "a\nb", "braces": "{{identity.entity.id}}",
	},
	Aliases: []Alias{
		{MountAccessor: "ldap_1", ID: "al-1", Name: "ada@ldap", Metadata: map[string]string{"ou": "eng"}, CustomMetadata: map[string]string{"cost": "42"}},
		{MountAccessor: "oidc_2", ID: "al-2", Name: "first"},
		{MountAccessor: "oidc_2", ID: "al-3", Name: "second"},
	},
	Groups: []Group{
		{ID: "g-1", Name: "ops", Metadata: map[string]string{"region": "eu"}},
		{ID: "g-2", Name: "dev.web", Metadata: map[string]string{"region": "us"}},
	},
}

// contract: policies §8, identity §5
func TestTemplatesCVE202143998(t *testing.T) {
	tests := []struct{ variable, want string }{
		{"identity.entity.id", "e-1"},
		{"identity.entity.name", "ada"},
		{"  identity.entity.name\t", "ada"},
		{"identity.entity.metadata.team", "core"},
		{"identity.entity.metadata.dotted.key", "d"},
		{"identity.entity.aliases.ldap_1.id", "al-1"},
		{"identity.entity.aliases.ldap_1.name", "ada@ldap"},
		{"identity.entity.aliases.ldap_1.metadata.ou", "eng"},
		{"identity.entity.aliases.ldap_1.custom_metadata.cost", "42"},
		{"identity.groups.ids.g-1.id", "g-1"},
		{"identity.groups.ids.g-1.name", "ops"},
		{"identity.groups.ids.g-1.metadata.region", "eu"},
		{"identity.groups.names.ops.id", "g-1"},
		{"identity.groups.names.ops.name", "ops"},
		{"identity.groups.names.ops.metadata.region", "eu"},
		{"identity.groups.names.dev.web.metadata.region", "us"},
		// Whatever has no usable value leaves its stanza out.
		{"identity.entity.metadata.missing", ""},
		{"identity.entity.metadata.empty", ""},
		{"identity.entity.aliases.none.name", ""},
		{"identity.entity.aliases.oidc_2.name", ""}, // CVE-2021-43998: two aliases of one mount
		{"identity.groups.names.admins.id", ""},
		{"identity.groups.ids.g-9.name", ""},
		{"identity.groups.ids", ""},
		{"identity.groups.names", ""},
		{"identity.entity", ""},
		{"identity.entity.nmae", ""},
		{"", ""},
		// CVE-2021-42135, GHSA-59w7-v8rr-pr4p: values that would widen the path.
		{"identity.entity.metadata.star", ""},
		{"identity.entity.metadata.plus", ""},
		{"identity.entity.metadata.slash", ""},
		{"identity.entity.metadata.dots", ""},
		{"identity.entity.metadata.newline", ""},
		// A value is text, never a template.
		{"identity.entity.metadata.braces", "{{identity.entity.id}}"},
	}
	for _, tt := range tests {
		acl := aclFor(t, ada, rules("secret/{{"+tt.variable+"}}/x: read", "other: read"))
		if tt.want == "" {
			if len(acl.Rules()) != 1 {
				t.Errorf("{{%s}} gives %v", tt.variable, acl.Rules())
			}
		} else if !may(acl, Read, "secret/"+tt.want+"/x") {
			t.Errorf("{{%s}}: got %v, want %s", tt.variable, acl.Rules(), tt.want)
		}
		if !may(acl, Read, "other") {
			t.Errorf("{{%s}} takes the other stanza with it", tt.variable)
		}
		if got := aclOf(t, rules("secret/{{"+tt.variable+"}}/x: read", "other: read")).Rules(); len(got) != 1 {
			t.Errorf("{{%s}} without an entity gives %v", tt.variable, got)
		}
	}
}

func TestTemplateInSeveralPlacesGHSA59w7v8rrpr4pCVE202142135(t *testing.T) {
	acl := aclFor(t, ada, rules("{{identity.entity.name}}-{{identity.entity.metadata.team}}/+/{{identity.entity.id}}*: read"))
	if !may(acl, Read, "ada-core/x/e-1/y") || may(acl, Read, "ada-core/x/y/e-1") {
		t.Errorf("rules %v", acl.Rules())
	}
	half := aclFor(t, ada, rules("{{identity.entity.name}}/{{identity.entity.metadata.missing}}: read"))
	if len(half.Rules()) != 0 {
		t.Errorf("rules %v", half.Rules())
	}
}

// contract: identity §5: a deny that cannot be resolved does not vanish; it denies from its
// literal beginning on.
func TestUnresolvedDenyStays(t *testing.T) {
	for _, subject := range []*Subject{nil, {Metadata: map[string]string{"team": "*"}}} {
		acl := aclFor(t, subject, rules(
			"secret/*: read", "secret/team-{{identity.entity.metadata.team}}/*: deny",
			"kv/+/{{identity.entity.metadata.team}}: deny", "kv/*: read", "kv/a/own: read"))
		for path, want := range map[string]bool{
			"secret/x": true, "secret/team-a/x": false, "secret/team-": false,
			"kv/a": true, "kv/a/b": true, "kv/a/own": true,
		} {
			// kv/*, with its wildcard later than that of kv/+/*, is the more specific one.
			if got := may(acl, Read, path); got != want {
				t.Errorf("%s: allowed = %v", path, got)
			}
		}
	}
	resolved := aclFor(t, &Subject{Metadata: map[string]string{"team": "b"}}, rules("secret/*: read", "secret/team-{{identity.entity.metadata.team}}/*: deny"))
	if !may(resolved, Read, "secret/team-a/x") || may(resolved, Read, "secret/team-b/x") {
		t.Errorf("rules %v", resolved.Rules())
	}
}

// A rule from a template merges with the rule that is written out for the same pattern, and
// with no other subject's.
func TestTemplateMerges(t *testing.T) {
	set := Prepare([]*Policy{
		mustParse(t, "a", rules("secret/ada: read", "secret/bob: read")),
		mustParse(t, "b", rules("secret/{{identity.entity.name}}: update")),
	})
	one, two := set.For(ada), set.For(&Subject{Name: "bob"})
	for _, tt := range []struct {
		acl  *ACL
		path string
		want string
	}{
		{one, "secret/ada", "[read update]"}, {one, "secret/bob", "[read]"},
		{two, "secret/ada", "[read]"}, {two, "secret/bob", "[read update]"},
		{set.For(nil), "secret/ada", "[read]"},
	} {
		if got := fmt.Sprint(tt.acl.Capabilities(tt.path)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.path, got, tt.want)
		}
	}
	if got := one.Check(Request{Capability: Read, Path: "secret/ada"}).Granting; !slices.Equal(got, []string{"a"}) {
		t.Errorf("granted by %v", got)
	}
}

func TestSetValues(t *testing.T) {
	set := Prepare([]*Policy{
		mustParse(t, "a", rules("a/{{identity.entity.name}}: read", "b/{{identity.entity.metadata.star}}/{{ identity.entity.name }}: read")),
		nil,
		mustParse(t, "b", rules("c: read")),
	})
	if got := set.Values(ada); !slices.Equal(got, []string{"ada", ""}) || !set.Templated() {
		t.Errorf("values %q", got)
	}
	if got := set.Values(nil); !slices.Equal(got, []string{"", ""}) {
		t.Errorf("values %q", got)
	}
	if shared, own := set.Size(); shared != 1 || own != 2 {
		t.Errorf("size %d, %d", shared, own)
	}
	plain := Prepare([]*Policy{mustParse(t, "b", rules("c: read"))})
	if plain.Templated() || plain.Values(ada) != nil {
		t.Error("a policy without templates wants values")
	}
}
