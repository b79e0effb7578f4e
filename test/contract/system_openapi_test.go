package contract_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"jeton/internal/openapi"
)

// document reads and validates an OpenAPI document.
func document(t *testing.T, body string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSystemOpenAPI(t *testing.T) {
	const path = "sys/internal/specs/openapi"
	rows(t, []row{
		{"sys §19 the document of all mounts is valid", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
			h.do("POST", "sys/auth/team/people", h.root, m{"type": "userpass"}).empty()
			h.mount("kv1")
			h.do("POST", "sys/mounts/transit", h.root, m{"type": "transit"}).empty()
			doc := document(t, h.do("GET", path, h.root, nil).is(200).body)
			for _, want := range []string{"/sys/mounts/{path}", "/sys/mounts", "/sys/health", "/sys/rekey/init", "/auth/token/create", "/auth/token/roles/",
				"/secret/data/{path}", "/kv1/{path}", "/cubbyhole/{path}", "/auth/approle/role/{role_name}", "/auth/team/people/login/{username}",
				"/transit/keys/{name}/rotate", "/transit/sign/{name}/{urlalgorithm}", "/transit/random/{source}/{urlbytes}"} {
				if doc.Paths.Value(want) == nil {
					t.Errorf("%s is missing", want)
				}
			}
			create := doc.Paths.Value("/auth/token/create").Post
			if create == nil || create.RequestBody == nil || create.RequestBody.Value.Content["application/json"].Schema.Value.Properties["policies"] == nil {
				t.Error("auth/token/create has no policies")
			}
			for path, fields := range map[string][]string{
				"/sys/init": {"pgp_keys", "recovery_pgp_keys", "root_token_pgp_key"}, "/sys/rekey/init": {"pgp_keys", "backup"},
				"/sys/rekey-recovery-key/init": {"pgp_keys", "backup"}, "/sys/generate-root/attempt": {"pgp_key"},
				"/transit/encrypt/{name}": {"plaintext", "context", "batch_input", "partial_failure_response_code"},
			} {
				for _, field := range fields {
					if doc.Paths.Value(path).Post.RequestBody.Value.Content["application/json"].Schema.Value.Properties[field] == nil {
						t.Errorf("%s does not tell of %s", path, field)
					}
				}
			}
			if doc.Paths.Value("/sys/namespaces") != nil {
				t.Error("what is not here is in the document")
			}
			if item := doc.Paths.Value("/auth/approle/login"); item == nil || item.Post.Security == nil || len(*item.Post.Security) != 0 {
				t.Error("a login needs a token")
			}
			ids := map[string]bool{}
			for at, item := range doc.Paths.Map() {
				for verb, op := range item.Operations() {
					if op.OperationID == "" || ids[op.OperationID] {
						t.Errorf("%s %s: operation id %q", verb, at, op.OperationID)
					}
					ids[op.OperationID] = true
				}
			}
		}},
		{"sys §19 with generic mount paths", func(t *testing.T, h *house) {
			h.do("POST", "sys/auth/approle", h.root, m{"type": "approle"}).empty()
			h.mount("kv1")
			doc := document(t, h.do("GET", path+"?generic_mount_paths=true", h.root, nil).is(200).body)
			for _, want := range []string{"/{kv_mount_path}/data/{path}", "/auth/{approle_mount_path}/login", "/auth/token/create", "/sys/mounts"} {
				if doc.Paths.Value(want) == nil {
					t.Errorf("%s is missing", want)
				}
			}
			document(t, h.do("POST", path, h.root, m{"generic_mount_paths": true}).is(200).body)
		}},
		{"sys §19 only what the caller can see", func(t *testing.T, h *house) {
			h.mount("kv1")
			who := h.holder("p", `path "kv1/a/*" { capabilities = ["read"] }`)
			doc := document(t, h.do("GET", path, who, nil).is(200).body)
			if doc.Paths.Value("/kv1/{path}") == nil || doc.Paths.Value("/secret/data/{path}") != nil || doc.Paths.Value("/sys/mounts") != nil {
				t.Error("the document has the wrong mounts")
			}
			nobody := document(t, h.do("GET", path, "", nil).is(200).body)
			if nobody.Paths.Value("/secret/data/{path}") != nil || nobody.Paths.Value("/sys/mounts") != nil || nobody.Paths.Value("/sys/health") == nil {
				t.Error("the document for nobody has the wrong paths")
			}
			h.do("GET", path, "junk", nil).is(403)
		}},
		{"http §7 every path of the document has help", func(t *testing.T, h *house) {
			doc := document(t, h.do("GET", path, h.root, nil).is(200).body)
			parameter := regexp.MustCompile(`\{[^}]*\}`)
			asked := 0
			for at, item := range doc.Paths.Map() {
				if item.Extensions["x-vault-unauthenticated"] == true && !strings.HasPrefix(at, "/auth/") || strings.HasSuffix(at, "/") {
					continue
				}
				at = strings.TrimPrefix(parameter.ReplaceAllString(at, "x"), "/")
				if isRaw(at) {
					continue
				}
				a := h.do("GET", at+"?help=1", h.root, nil).is(200)
				if a.text("help") == "" {
					t.Errorf("%s has no help", at)
				}
				document(t, asJSON(t, a.at("openapi")))
				asked++
			}
			if asked < 80 {
				t.Fatalf("only %d paths were asked", asked)
			}
		}},
	})
}

// isRaw says that a path has no help: no table has it.
func isRaw(path string) bool {
	return slices.ContainsFunc(openapi.RawPaths(), func(p openapi.RawPath) bool { return p.Path == path })
}
