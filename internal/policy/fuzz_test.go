package policy

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", DefaultText, WrappingText,
		`path "a/+/b*" { capabilities = ["read", "deny"] }`,
		`{"path":{"secret/*":{"capabilities":["read"],"allowed_parameters":{"a":["x",1,null,true,{"k":[]}]}}}}`,
		"path \"x\" {\n allowed_parameters {\n a = [1, 0x10, 1.5e3, \"b\"]\n }\n min_wrapping_ttl = \"1d\"\n}",
		"path \"x\" {\n comment = <<EOF\nwords\nEOF\n}", "path \"x\" {\n comment = <<-EOF\n  words\n  EOF\n}",
		`path "{{identity.entity.id}}/{{ identity.groups.names.a.b.id }}" { policy = "write" }`,
		`{"path":{`, `path "\x" {}`, `path "${x}" {}`, "path \"a\" {}\n\"path\" \"b\" = {}", "a = [[[{", "/*", "\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("p", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "failed to parse policy: ") {
				t.Fatalf("error %q", err)
			}
			return
		}
		again, err := Parse("p", p.Text)
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("accepted text reads differently: %v", err)
		}
		// Whatever was accepted can be compiled, asked and shown.
		subject := &Subject{ID: "e", Name: "n"}
		acl := Compile([]*Policy{p, again}, subject)
		for _, s := range p.stanzas {
			got := acl.Check(Request{Capability: Read, Path: s.pattern})
			if got.Allowed && len(got.Granting) == 0 {
				t.Fatalf("%q is allowed by nobody", s.pattern)
			}
		}
		acl.Touches("secret/")
		acl.Rules()
	})
}

func FuzzCheck(f *testing.F) {
	f.Add("secret/+/a*", "secret/x/ab", "read list", "secret/*", "deny")
	f.Add("+", "", "list", "*", "read")
	f.Add("a//+", "a//", "list", "a/", "deny sudo")
	f.Fuzz(func(t *testing.T, pattern, path, caps, other, otherCaps string) {
		usable := func(p string) bool {
			return utf8.ValidString(p) && !strings.Contains(p, "+*") && !strings.ContainsAny(p, "{}") && !strings.HasPrefix(p, "/")
		}
		if !usable(pattern) || !usable(other) || !utf8.ValidString(path) || len(pattern)+len(other)+len(path) > 200 {
			return
		}
		policies := []refPolicy{{Name: "p"}}
		for _, r := range []refRule{{pattern, strings.Fields(caps)}, {other, strings.Fields(otherCaps)}} {
			for _, c := range r.Caps {
				if _, ok := capabilityOf(c); !ok {
					return
				}
			}
			policies[0].Rules = append(policies[0].Rules, r)
		}
		p := &Policy{Name: "p", names: []string{"p"}}
		for _, r := range policies[0].Rules {
			s := stanza{pattern: r.Pattern}
			for _, name := range r.Caps {
				c, _ := capabilityOf(name)
				s.caps |= c
			}
			if s.caps&Deny != 0 {
				s.caps = Deny
			}
			p.stanzas = append(p.stanzas, s)
		}
		acl := Compile([]*Policy{p}, nil)
		for _, op := range operations {
			asked := path
			if op == List && !strings.HasSuffix(asked, "/") {
				asked += "/"
			}
			want := refLookup(policies, asked, op == List)
			if got := acl.Check(Request{Capability: op, Path: asked}).Allowed; got != (want[op.String()] && !want["deny"]) {
				t.Fatalf("%s %q: allowed = %v, reference %v", op, asked, got, want)
			}
		}
	})
}
