package contract_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"jeton/internal/backend"
	"jeton/internal/mount"
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
				if strings.HasSuffix(at, "/") && item.Get != nil && len(item.Operations()) == 1 {
					// The list of a path has the help of the path.
					continue
				}
				at = strings.TrimPrefix(parameter.ReplaceAllString(at, "x"), "/")
				h.do("GET", at+"?help=1", "", nil).fails(403, "permission denied")
				a := h.do("GET", at+"?help=1", h.root, nil).is(200)
				if a.text("help") == "" {
					t.Errorf("%s has no help", at)
				}
				document(t, asJSON(t, a.at("openapi")))
				asked++
			}
			if asked < 100 {
				t.Fatalf("only %d paths were asked", asked)
			}
		}},
		{"http §7 help of a mount as a whole, by its path", func(t *testing.T, h *house) {
			for _, at := range []string{"sys", "sys/", "secret", "secret/", "auth/token", "cubbyhole", "identity"} {
				a := h.do("GET", at+"?help=1", h.create(h.root, m{"policies": "default"}), nil).is(200)
				if !strings.Contains(a.text("help"), "Its paths") || len(document(t, asJSON(t, a.at("openapi"))).Paths.Map()) < 2 {
					t.Errorf("help of %s: %s", at, a.body)
				}
				h.do("GET", at+"?help=1", "", nil).fails(403, "permission denied")
			}
			h.do("HELP", "sys/seal", h.root, nil).is(200)
			h.do("HELP", "sys/storage/raft/snapshot", h.root, nil).is(200).has(nil, "see_also")
			h.lookup(h.root).is(200)
		}},
		{"sys §19 every route is in the document", func(t *testing.T, h *house) {
			for _, kind := range []string{"approle", "userpass"} {
				h.do("POST", "sys/auth/"+kind, h.root, m{"type": kind}).empty()
			}
			doc := document(t, h.do("GET", path, h.root, nil).is(200).body)
			parameter := regexp.MustCompile(`\{([A-Za-z0-9_]+)[^}]*\}`)
			house := h.node.Enter()
			mounts := append(house.Mounts.All(mount.SecretClass), house.Mounts.All(mount.AuthClass)...)
			house.Leave()
			for _, mounted := range mounts {
				for _, route := range mounted.Routes.Routes() {
					at := strings.TrimSuffix("/"+mounted.Entry.Path+parameter.ReplaceAllString(route.Pattern, "{$1}"), "/")
					item, list := doc.Paths.Value(at), doc.Paths.Value(at+"/")
					for verb, endpoint := range map[string]backend.Endpoint{"GET": route.Read, "POST": route.Write, "PATCH": route.Patch, "DELETE": route.Delete} {
						described := item != nil && item.GetOperation(verb) != nil
						if want := endpoint.Defined() && !route.Absent; want && !described {
							t.Errorf("%s %s is missing", verb, at)
						}
					}
					if route.List.Defined() && !route.Absent && (list == nil || list.Get == nil) {
						t.Errorf("LIST %s is missing", at)
					}
				}
			}
		}},
	})
}
