package policy

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, name, text string) *Policy {
	t.Helper()
	p, err := Parse(name, text)
	if err != nil {
		t.Fatalf("parse %s:\n%s\n%v", name, text, err)
	}
	return p
}

// aclOf compiles texts as policies p0, p1, … for a token without an entity.
func aclOf(t testing.TB, texts ...string) *ACL {
	t.Helper()
	return aclFor(t, nil, texts...)
}

func aclFor(t testing.TB, subject *Subject, texts ...string) *ACL {
	t.Helper()
	var policies []*Policy
	for i, text := range texts {
		policies = append(policies, mustParse(t, "p"+string(rune('0'+i)), text))
	}
	return Compile(policies, subject)
}

// TestParseErrors: the texts clients see, each as a whole.
func TestParseErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"§1.1 unknown top-level key", "path \"a\" {\n}\nroles \"x\" {\n}\n",
			"failed to parse policy: 1 error occurred:\n\t* invalid key \"roles\" on line 3\n\n"},
		{"§1.1 two unknown keys", "a = 1\nb = 2\n",
			"failed to parse policy: 2 errors occurred:\n\t* invalid key \"a\" on line 1\n\t* invalid key \"b\" on line 2\n\n"},
		{"§1.2, §13.17 unknown key in a path", "path \"x\" {\n  capabilities = [\"read\"]\n  y = 1\n}",
			"failed to parse policy: 1 error occurred:\n\t* path \"x\": invalid key \"y\" on line 3\n\n"},
		{"§13.17 unknown key in JSON", "{\"path\": {\n \"x\": {\n  \"y\": 1}}}",
			"failed to parse policy: 1 error occurred:\n\t* path \"x\": invalid key \"y\" on line 3\n\n"},
		{"§1.2 keys that only OpenBao knows are not silently unenforced", `path "x" { expiration = "2030-01-01" }`,
			"failed to parse policy: 1 error occurred:\n\t* path \"x\": invalid key \"expiration\" on line 1\n\n"},
		{"§1.3 unknown capability", `path "x" { capabilities = ["y"] }`,
			`failed to parse policy: path "x": invalid capability "y"`},
		{"§1.3 capabilities are lower case", `path "x" { capabilities = ["Read"] }`,
			`failed to parse policy: path "x": invalid capability "Read"`},
		{"§1.3 root is no capability", `path "x" { capabilities = ["root"] }`,
			`failed to parse policy: path "x": invalid capability "root"`},
		{"§1.5 unknown legacy policy", `path "x" { policy = "admin" }`,
			`failed to parse policy: path "x": invalid policy "admin"`},
		{"§2, §13.14 +*", `path "a/+*" { capabilities = ["read"] }`,
			`failed to parse policy: path "a/+*": invalid use of wildcards ('+*' is forbidden)`},
		{"§7 max below min", `path "x" { min_wrapping_ttl = "2h" max_wrapping_ttl = "1h" }`,
			"failed to parse policy: max_wrapping_ttl cannot be less than min_wrapping_ttl"},
		{"§7 bad min", `path "x" { min_wrapping_ttl = "soon" }`,
			"failed to parse policy: error parsing min_wrapping_ttl: not a duration"},
		{"§7 negative max", `path "x" { max_wrapping_ttl = -5 }`,
			"failed to parse policy: error parsing max_wrapping_ttl: duration cannot be negative"},
		{"§8, §13.16 unbalanced braces", `path "x/{{identity.entity.id" { }`,
			"failed to parse policy: failed to validate policy templating: unbalanced templating characters"},
		{"§8 closing braces only", `path "x/}}" { }`,
			"failed to parse policy: failed to validate policy templating: unbalanced templating characters"},
		{"observed §1 truncated JSON", `{"path":{`, "failed to parse policy: invalid JSON: unexpected end of policy"},
		{"text after the JSON", `{"path":{}} x`, "failed to parse policy: invalid JSON: text after the policy"},
		{"text that is not UTF-8", "path \"a\xff\" {}", "failed to parse policy: policy is not valid UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse("dev", tt.text)
			if err == nil {
				t.Fatalf("accepted as %+v", p)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %q\nwant %q", err, tt.want)
			}
		})
	}
}

// TestParseRefuses: whatever else is not a policy; only the beginning of the text is fixed.
func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text string }{
		{"§1.6 a key twice in a stanza", `path "x" { capabilities = ["read"] capabilities = ["list"] }`},
		{"§1.6 a key twice, spelled differently", "path \"x\" {\n capabilities = [\"read\"]\n \"capabilities\" = [\"list\"]\n}"},
		{"§1.6 a key twice in JSON", `{"path":{"x":{"capabilities":["read"],"capabilities":["list"]}}}`},
		{"open brace", `path "x" {`},
		{"path without a block", `path = "x"`},
		{"a path that is no block", `{"path":{"x":["read"]}}`},
		{"two labels", `path "x" "y" { }`},
		{"capabilities of numbers", `path "x" { capabilities = [1] }`},
		{"parameters that are no map", `path "x" { allowed_parameters = ["a"] }`},
		{"required parameters of numbers", `path "x" { required_parameters = [1] }`},
		{"deep HCL", `path "x" { allowed_parameters = { a = ` + strings.Repeat("[", 100_000)},
		{"deep HCL blocks", strings.Repeat("a {\n", 100_000)},
		{"deep JSON", `{"path":` + strings.Repeat("[", 100_000)},
		{"a number beyond 64 bits", `path "x" { max_wrapping_ttl = 99999999999999999999 }`},
		{"a duration beyond 64 bits", `path "x" { max_wrapping_ttl = 9223372036854775807 }`},
		{"too long", strings.Repeat(" ", MaxText+1)},
		{"JSON that ends in a key", `{"path"`},
		{"JSON with a number for a key", `{1:2}`},
		{"JSON with a stray comma", `{"path":{},,}`},
		{"an octal number that is none", `path "x" { max_wrapping_ttl = 09 }`},
		{"a duration that is a list", `path "x" { max_wrapping_ttl = [1] }`},
		{"a string with a bad escape", `path "\q" { }`},
		{"a value without a key", `= 1`},
		{"a NUL", "path \"x\x00\" { }"},
		{"a long error", strings.Repeat("a ", 100_000) + "{}"},
		{"many errors", strings.Repeat("a {}\n", 10_000)},
		{"plain words", "let me in"},
		{"a JSON list", `["path"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("dev", tt.text)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.HasPrefix(err.Error(), "failed to parse policy: ") {
				t.Errorf("error %q", err)
			}
			if len(err.Error()) > 1100 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

// TestParseAccepts: forms of documents, and what each grants on path x.
func TestParseAccepts(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"§1.1 JSON object", `{"path":{"x":{"capabilities":["read","list"]}}}`, []string{"list", "read"}},
		{"§1.1 JSON list of objects", `{"path":[{"y":{"capabilities":["list"]}},{"x":[{"capabilities":["read"]}]}]}`, []string{"read"}},
		{"§1.1 JSON after blanks", "\n\t {\"path\":{\"x\":{\"capabilities\":[\"read\"]}}}", []string{"read"}},
		{"§1.1 name is ignored", "name = \"root\"\npath \"x\" { capabilities = [\"read\"] }", []string{"read"}},
		{"§1.2 all other keys", `path "x" {
			comment = "why"
			capabilities = ["read"]
			mfa_methods = ["m"]
			subscribe_event_types = ["*"]
			control_group = { factor "a" { identity { group_names = ["g"] } } }
		}`, []string{"read"}},
		{"§1.3 every capability", `path "x" { capabilities = ["update","create","sudo","list","patch","read","delete","subscribe","recover"] }`,
			[]string{"create", "delete", "list", "patch", "read", "recover", "subscribe", "sudo", "update"}},
		{"§1.3 no capabilities", `path "x" { capabilities = [] }`, []string{"deny"}},
		{"§1.3 a stanza with nothing", `path "x" { }`, []string{"deny"}},
		{"§1.3 one capability without a list", `path "x" { capabilities = "read" }`, []string{"read"}},
		{"§1.4 deny cancels the rest", `path "x" { capabilities = ["read","deny"] }`, []string{"deny"}},
		{"§1.5 legacy deny", `path "x" { policy = "deny" }`, []string{"deny"}},
		{"§1.5 legacy read", `path "x" { policy = "read" }`, []string{"list", "read"}},
		{"§1.5 legacy write", `path "x" { policy = "write" }`, []string{"create", "delete", "list", "read", "update"}},
		{"§1.5 legacy sudo", `path "x" { policy = "sudo" }`, []string{"create", "delete", "list", "read", "sudo", "update"}},
		{"§1.5 legacy adds to capabilities", "path \"x\" {\n policy = \"read\"\n capabilities = [\"patch\"]\n}", []string{"list", "patch", "read"}},
		{"§1.6 leading slash", `path "/x" { capabilities = ["read"] }`, []string{"read"}},
		{"§1.6 the same path twice", "path \"x\" { capabilities = [\"read\"] }\npath \"/x\" { capabilities = [\"list\"] }", []string{"list", "read"}},
		{"§1.6 twice, one a deny", "path \"x\" { capabilities = [\"read\"] }\npath \"x\" { capabilities = [\"deny\"] }", []string{"deny"}},
		{"§1.9 empty", ``, []string{"deny"}},
		{"§1.9 comments only", "# nothing\n// here\n/* yet */", []string{"deny"}},
		{"§1.9 empty JSON", `{}`, []string{"deny"}},
		{"Windows line ends", "path \"x\" {\r\n  capabilities = [\"read\"]\r\n}\r\n", []string{"read"}},
		{"heredoc", "path \"x\" {\n comment = <<-END\n  why\n  END\n capabilities = [\"read\"]\n}", []string{"read"}},
		{"escapes in the pattern", `path "\u0078" { capabilities = ["read"] }`, []string{"read"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := aclOf(t, tt.text).Capabilities("x"); !slices.Equal(got, tt.want) {
				t.Errorf("capabilities %v, want %v", got, tt.want)
			}
		})
	}
}

// contract: policies §1.7, §13.17
func TestDecode(t *testing.T) {
	hcl := `path "x" { capabilities = ["read"] }`
	encoded := base64.StdEncoding.EncodeToString([]byte(hcl))
	tests := []struct{ name, text, want string }{
		{"base64", encoded, hcl},
		{"plain", hcl, hcl},
		{"base64 of bytes that are no text", base64.StdEncoding.EncodeToString([]byte{0xff, 0xfe}), "//4="},
		{"half base64", encoded + "!", encoded + "!"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		if got := Decode(tt.text); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestParseKeepsText(t *testing.T) {
	text := "# a comment\npath \"x\" { capabilities = [\"read\"] }\n\n"
	p := mustParse(t, "dev", text)
	if p.Name != "dev" || p.Text != text || p.Templated {
		t.Errorf("got %q %q %v", p.Name, p.Text, p.Templated)
	}
	if !mustParse(t, "dev", `path "{{identity.entity.id}}" {}`).Templated {
		t.Error("a template is not noticed")
	}
}

func TestWarnings(t *testing.T) {
	p := mustParse(t, "dev", `
path "a" { mfa_methods = ["m"] }
path "b" { control_group = {} }
path "c/{{identity.entity.nmae}}" { }
path "d/{{identity.groups.names.ops.id}}" { }
path "e" { capabilities = ["read"] }`)
	want := []string{
		`path "a": mfa_methods is accepted but not enforced`,
		`path "b": control_group is accepted but not enforced`,
		`path "c/{{identity.entity.nmae}}": its template is unknown and never applies`,
	}
	if got := p.Warnings(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// contract: policies §7; every way to write a duration.
func TestWrappingTTLForms(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`90`: 90 * time.Second, `"90"`: 90 * time.Second, `"90s"`: 90 * time.Second,
		`"2h"`: 2 * time.Hour, `"1d"`: 24 * time.Hour, `""`: 0, `0`: 0, `0x10`: 16 * time.Second,
	} {
		p := mustParse(t, "dev", `path "x" { max_wrapping_ttl = `+text+` }`)
		if got := p.stanzas[0].maxWrap; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestCapabilityNames(t *testing.T) {
	all := Create | Read | Update | Delete | List | Patch | Sudo | Deny | Subscribe | Recover
	names := all.Names()
	if len(names) != 10 || !slices.IsSorted(names) {
		t.Errorf("names %v", names)
	}
	for _, name := range names {
		c, ok := capabilityOf(name)
		if !ok || c.String() != name {
			t.Errorf("%s reads as %v", name, c)
		}
	}
	if got := (Read | List).String(); got != "list,read" {
		t.Errorf("got %s", got)
	}
}

// The built-in texts parse, and grant what contract policies §9 and wrapping §3 list.
func TestBuiltins(t *testing.T) {
	subject := &Subject{ID: "e1", Name: "web"}
	tests := []struct {
		text, path string
		want       string
	}{
		{DefaultText, "auth/token/lookup-self", "read"},
		{DefaultText, "auth/token/renew-self", "update"},
		{DefaultText, "auth/token/revoke-self", "update"},
		{DefaultText, "sys/capabilities-self", "update"},
		{DefaultText, "identity/entity/id/e1", "read"},
		{DefaultText, "identity/entity/name/web", "read"},
		{DefaultText, "identity/entity/id/e2", "deny"},
		{DefaultText, "sys/internal/ui/resultant-acl", "read"},
		{DefaultText, "sys/renew", "update"},
		{DefaultText, "sys/leases/renew", "update"},
		{DefaultText, "sys/leases/lookup", "update"},
		{DefaultText, "cubbyhole/", "create,delete,list,read,update"},
		{DefaultText, "cubbyhole/a/b", "create,delete,list,read,update"},
		{DefaultText, "sys/wrapping/wrap", "update"},
		{DefaultText, "sys/wrapping/lookup", "update"},
		{DefaultText, "sys/wrapping/unwrap", "update"},
		{DefaultText, "sys/wrapping/rewrap", "deny"},
		{DefaultText, "sys/tools/hash", "update"},
		{DefaultText, "sys/tools/hash/sha2-256", "update"},
		{DefaultText, "sys/control-group/request", "update"},
		{DefaultText, "identity/oidc/provider/default/authorize", "read,update"},
		{DefaultText, "auth/token/create", "deny"},
		{DefaultText, "auth/token/lookup", "deny"},
		{WrappingText, "cubbyhole/response", "create,read"},
		{WrappingText, "sys/wrapping/unwrap", "update"},
		{WrappingText, "sys/wrapping/rewrap", "deny"},
		{WrappingText, "auth/token/lookup-self", "deny"},
	}
	for _, tt := range tests {
		if got := strings.Join(aclFor(t, subject, tt.text).Capabilities(tt.path), ","); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.path, got, tt.want)
		}
	}
}

// Texts that were slow to read or to compile: each must be linear in its length. The bound
// is generous; what it catches took seconds. The race detector makes the same work many times
// slower, so that with it (-short) the texts are an eighth as long, and the bound still is far.
func TestHostileTexts(t *testing.T) {
	shorter := 0
	if testing.Short() {
		shorter = 3
	}
	for name, text := range map[string]string{
		"a parameter in many blocks": `path "x" {` + strings.Repeat("allowed_parameters { a=1 }\n", 1<<15>>shorter) + "}",
		"a path many times":          strings.Repeat("path \"x\" { denied_parameters { a=1 } }\n", 1<<14>>shorter),
		"a path of many segments":    `path "+` + strings.Repeat("/+", 1<<18>>shorter) + `" { policy = "read" }`,
		"many templates":             strings.Repeat("path \"{{identity.entity.metadata.k}}\" { policy = \"read\" }\n", 1<<14>>shorter),
	} {
		start := time.Now()
		p := mustParse(t, "p", text)
		acl := Compile([]*Policy{p, p}, ada)
		acl.Check(Request{Capability: Update, Path: "x", Data: map[string]any{"a": "b"}})
		acl.Check(Request{Capability: List, Path: strings.Repeat("a/", 4096)})
		acl.Touches("x/")
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}
