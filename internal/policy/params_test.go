package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// body decodes JSON as the request pipeline does.
func body(t testing.TB, text string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var data map[string]any
	if err := dec.Decode(&data); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return data
}

// contract: policies §6, §13.10 to 13.13; observed, row §6.1. An empty body is none.
func TestParameters(t *testing.T) {
	tests := []struct {
		name, rule, body string
		want             bool
	}{
		{"6.1 required is there", `required_parameters = ["a"]`, `{"a":1}`, true},
		{"6.1 required is missing", `required_parameters = ["a"]`, `{"b":1}`, false},
		{"6.1 required with no body", `required_parameters = ["a"]`, ``, false},
		{"6.1 required may be null", `required_parameters = ["a"]`, `{"a":null}`, true},
		{"6.1, 13.13 required in another case in the rule", `required_parameters = ["A"]`, `{"a":1}`, true},
		{"observed 6.1 required in another case in the body", `required_parameters = ["a"]`, `{"A":1}`, true},
		{"6.2, 13.10 allowed with no body", `allowed_parameters = { a = [] }`, ``, true},
		{"6.2 denied * with no body", `denied_parameters = { "*" = [] }`, ``, true},
		{"6.2 denied * with an empty object", `denied_parameters = { "*" = [] }`, `{}`, true},
		{"6.3, 13.11 denied *", `denied_parameters = { "*" = [] }`, `{"a":1}`, false},
		{"6.3 denied key with an empty list", `denied_parameters = { a = [] }`, `{"a":1}`, false},
		{"6.3 denied key elsewhere", `denied_parameters = { a = [] }`, `{"b":1}`, true},
		{"6.3 denied value", `denied_parameters = { a = ["x"] }`, `{"a":"x"}`, false},
		{"6.3 other value", `denied_parameters = { a = ["x"] }`, `{"a":"y"}`, true},
		{"6.4 allowed key", `allowed_parameters = { a = [] }`, `{"a":1}`, true},
		{"6.4 key that is not listed", `allowed_parameters = { a = [] }`, `{"a":1,"b":1}`, false},
		{"6.4 allowed value", `allowed_parameters = { a = ["x", "y"] }`, `{"a":"y"}`, true},
		{"6.4 value that is not listed", `allowed_parameters = { a = ["x", "y"] }`, `{"a":"z"}`, false},
		{"6.4 * admits other keys", `allowed_parameters = { "*" = [], a = ["x"] }`, `{"b":1}`, true},
		{"6.4 listed keys stay constrained", `allowed_parameters = { "*" = [], a = ["x"] }`, `{"a":"y"}`, false},
		{"6.5 denied beats allowed", "allowed_parameters = { a = [] }\n denied_parameters = { a = [\"x\"] }", `{"a":"x"}`, false},
		{"6.5 rule keys in another case", `allowed_parameters = { Aa = ["x"] }`, `{"aA":"x"}`, true},
		{"6.5 denied key in another case", `denied_parameters = { a = [] }`, `{"A":1}`, false},
		{"6.5 denied key as the Kelvin sign", `denied_parameters = { key = [] }`, `{"\u212aey":1}`, false},
		{"6.5 denied key with the long s", `denied_parameters = { policies = [] }`, `{"policie\u017f":1}`, false},
		{"6.6, 13.12 glob at the end", `allowed_parameters = { a = ["ab*"] }`, `{"a":"abc"}`, true},
		{"6.6 glob at the start", `allowed_parameters = { a = ["*bc"] }`, `{"a":"abc"}`, true},
		{"6.6 globs at both", `allowed_parameters = { a = ["*b*"] }`, `{"a":"abc"}`, true},
		{"6.6 glob that misses", `allowed_parameters = { a = ["*b"] }`, `{"a":"abc"}`, false},
		{"6.6 a star within is literal", `allowed_parameters = { a = ["a*c"] }`, `{"a":"abc"}`, false},
		{"6.6, 13.12 a lone star is literal", `allowed_parameters = { a = ["*"] }`, `{"a":"abc"}`, false},
		{"6.6 a lone star matches itself", `allowed_parameters = { a = ["*"] }`, `{"a":"*"}`, true},
		{"6.6 number", `allowed_parameters = { a = [5] }`, `{"a":5}`, true},
		{"6.6 number as a fraction", `allowed_parameters = { a = [5] }`, `{"a":5.0}`, true},
		{"6.6 number with an exponent", `allowed_parameters = { a = [50] }`, `{"a":5e1}`, true},
		{"6.6 another number", `allowed_parameters = { a = [5] }`, `{"a":6}`, false},
		{"6.6 large numbers keep their digits", `allowed_parameters = { a = [9007199254740993] }`, `{"a":9007199254740992}`, false},
		{"6.6 fractions", `allowed_parameters = { a = [1.5] }`, `{"a":15e-1}`, true},
		{"6.6 another fraction", `allowed_parameters = { a = [1.5] }`, `{"a":1.25}`, false},
		{"6.6 a number too large for any type", `allowed_parameters = { a = [5] }`, `{"a":1e999999999}`, false},
		{"6.6 an object with another key", `allowed_parameters = { a = [{ k = "v" }] }`, `{"a":{"l":"v"}}`, false},
		{"6.6 an object for a string", `allowed_parameters = { a = ["v"] }`, `{"a":{"v":1}}`, false},
		{"6.6 a denied list and a number", `denied_parameters = { a = [["x"]] }`, `{"a":1}`, true},
		{"6.6 a denied list of objects", `denied_parameters = { a = [[{ k = "v" }]] }`, `{"a":[{"k":"v"}]}`, false},
		{"6.6 a denied object", `denied_parameters = { a = [{ k = "v" }] }`, `{"a":[{"k":"v"}]}`, false},
		{"6.6 allowed is strict about kinds", `allowed_parameters = { a = [5] }`, `{"a":"5"}`, false},
		{"6.6 boolean", `allowed_parameters = { a = [true] }`, `{"a":true}`, true},
		{"6.6 other boolean", `allowed_parameters = { a = [true] }`, `{"a":false}`, false},
		{"6.6 list", `allowed_parameters = { a = [["x", "y"]] }`, `{"a":["x","y"]}`, true},
		{"6.6 longer list", `allowed_parameters = { a = [["x"]] }`, `{"a":["x","root"]}`, false},
		{"6.6 object", `allowed_parameters = { a = [{ k = "v" }] }`, `{"a":{"k":"v"}}`, true},
		{"6.6 other object", `allowed_parameters = { a = [{ k = "v" }] }`, `{"a":{"k":"w"}}`, false},
		{"6.6 null is no string", `allowed_parameters = { a = [""] }`, `{"a":null}`, false},
		{"6.7 nested keys are not seen", `denied_parameters = { secret = [] }`, `{"data":{"secret":1}}`, true},
		{"a lone value for a list", `allowed_parameters = { a = "x" }`, `{"a":"x"}`, true},
	}
	for _, tt := range tests {
		acl := aclOf(t, "path \"x\" {\n capabilities = [\"create\", \"read\", \"update\", \"patch\", \"delete\", \"list\"]\n "+tt.rule+"\n}")
		for _, op := range []Capability{Create, Read, Update, Patch} {
			req := Request{Capability: op, Path: "x"}
			if tt.body != "" {
				req.HasBody, req.Data = true, body(t, tt.body)
			}
			if got := acl.Check(req).Allowed; got != tt.want {
				t.Errorf("%s: %s allowed = %v", tt.name, op, got)
			}
		}
		// contract: policies §6: not delete and list.
		if !acl.Check(Request{Capability: Delete, Path: "x", HasBody: true, Data: map[string]any{"zz": "zz"}}).Allowed {
			t.Errorf("%s: delete is constrained", tt.name)
		}
	}
}

// contract: policies §6.6: null matches null only; HCL has none, JSON has.
func TestNullParameter(t *testing.T) {
	for _, key := range []string{"allowed_parameters", "denied_parameters"} {
		acl := aclOf(t, `{"path":{"x":{"capabilities":["update"],"`+key+`":{"a":[null]}}}}`)
		for value, matches := range map[string]bool{"null": true, `""`: false, "0": false, "false": false, `"null"`: false} {
			want := matches == (key == "allowed_parameters")
			req := Request{Capability: Update, Path: "x", HasBody: true, Data: body(t, `{"a":`+value+`}`)}
			if got := acl.Check(req).Allowed; got != want {
				t.Errorf("%s of null with %s: %v", key, value, got)
			}
		}
	}
}

// A body that is no object cannot be judged by rules about its parameters.
func TestOpaqueBody(t *testing.T) {
	for rule, want := range map[string]bool{
		``:                                 true,
		`allowed_parameters = { a = [] }`:  false,
		`denied_parameters = { a = [] }`:   false,
		`required_parameters = ["a"]`:      false,
		`denied_parameters = { "*" = [] }`: false,
	} {
		acl := aclOf(t, "path \"x\" {\n capabilities = [\"update\"]\n "+rule+"\n}")
		if got := acl.Check(Request{Capability: Update, Path: "x", HasBody: true}).Allowed; got != want {
			t.Errorf("%q: allowed = %v", rule, got)
		}
	}
}

// cves §2, Vault 2.0.4: denied values evaded by another way to write them.
func TestDeniedValuesInEveryForm(t *testing.T) {
	acl := aclOf(t, `path "x" {
		capabilities = ["update"]
		denied_parameters = {
			policies = ["super-admin", "ops-*"]
			ttl = [5]
			flag = [true]
			pair = [["a", "b"]]
			text = ["5"]
		}
	}`)
	evasions := []string{
		`{"policies":"super-admin"}`,
		`{"policies":"Super-Admin"}`,
		`{"policies":" super-admin "}`,
		`{"policies":"\tSUPER-ADMIN\n"}`,
		`{"policies":["super-admin"]}`,
		`{"policies":["dev","Super-Admin"]}`,
		`{"policies":[["super-admin"]]}`,
		`{"policies":["dev, super-admin"]}`,
		`{"policies":"dev,super-admin"}`,
		`{"policies":"dev, Super-Admin ,x"}`,
		`{"Policies":"super-admin"}`,
		`{"policies":"\u017fuper-admin"}`,
		`{"policies":"dev,OPS-eu"}`,
		`{"ttl":5}`, `{"ttl":5.0}`, `{"ttl":"5"}`, `{"ttl":" 5"}`, `{"ttl":"5.0"}`, `{"ttl":0.5e1}`, `{"ttl":[5]}`,
		`{"flag":true}`, `{"flag":"true"}`, `{"flag":"True"}`,
		`{"pair":["a","b"]}`, `{"pair":["A"," b"]}`, `{"pair":"a,b"}`, `{"pair":"a, B"}`,
		`{"text":5}`, `{"text":"5"}`,
	}
	for _, text := range evasions {
		if acl.Check(Request{Capability: Update, Path: "x", HasBody: true, Data: body(t, text)}).Allowed {
			t.Errorf("%s is allowed", text)
		}
	}
	for _, text := range []string{
		`{"policies":"super-administrator"}`, `{"policies":["dev"]}`, `{"policies":"dev,op"}`, `{"ttl":6}`,
		`{"ttl":"5s"}`, `{"flag":false}`, `{"pair":["b","a"]}`, `{"pair":["a"]}`, `{"policies":null}`, `{"policies":{}}`,
	} {
		if !acl.Check(Request{Capability: Update, Path: "x", HasBody: true, Data: body(t, text)}).Allowed {
			t.Errorf("%s is refused", text)
		}
	}
}

// TestDenyIgnoresCase: no change of case, blanks or list form of a denied value or of its
// parameter's name gets past.
func TestDenyIgnoresCase(t *testing.T) {
	mixCase := func(t *rapid.T, s string) string {
		var b strings.Builder
		for _, r := range s {
			if rapid.Bool().Draw(t, "upper") {
				b.WriteString(strings.ToUpper(string(r)))
			} else {
				b.WriteRune(r)
			}
		}
		return b.String()
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z_]{1,8}`).Draw(t, "name")
		value := rapid.StringMatching(`[a-z0-9][a-z0-9./-]{0,8}`).Draw(t, "value")
		p, err := Parse("p", fmt.Sprintf("path \"x\" {\n capabilities = [\"update\"]\n denied_parameters = { %q = [%q] }\n}", name, value))
		if err != nil {
			t.Fatal(err)
		}
		written := rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "blank") + mixCase(t, value)
		form := rapid.SampledFrom([]any{written, []any{written}, []any{"other", written}, "other," + written, written + " ,other"}).Draw(t, "form")
		req := Request{Capability: Update, Path: "x", HasBody: true, Data: map[string]any{mixCase(t, name): form}}
		if Compile([]*Policy{p}, nil).Check(req).Allowed {
			t.Fatalf("%v is allowed", req.Data)
		}
	})
}
