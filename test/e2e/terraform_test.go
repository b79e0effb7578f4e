package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// workspace is a run of Terraform: every call is made with the child token that the provider
// makes for itself, and what was written is read back at once.
type workspace struct {
	t     *testing.T
	s     *server
	token string
}

// call makes one call and checks its status.
func (w *workspace) call(status int, verb, path string, body any) answer {
	w.t.Helper()
	more := []string{"X-Vault-Request", "true", "User-Agent", "Terraform/1.9 (+https://www.terraform.io) Terraform Plugin SDK/2 terraform-provider-vault/5.0"}
	a := w.s.raw(verb, path, w.token, body, more...)
	if a.status != status {
		w.t.Fatalf("%s %s: want %d, got %d %s", verb, path, status, a.status, a.text)
	}
	return a
}

// says checks members of the data.
func (w *workspace) says(a answer, members object) {
	w.t.Helper()
	for name, want := range members {
		got := fmt.Sprint(a.Data[name])
		if n, ok := a.Data[name].(float64); ok {
			got = strconv.FormatFloat(n, 'f', -1, 64)
		}
		if got != fmt.Sprint(want) {
			w.t.Errorf("%s is %s, want %v: %s", name, got, want, a.text)
		}
	}
}

// What the Terraform provider calls, from its own token on: create, read back, change, read back,
// read what is not there, destroy, read that it is gone, and all of it twice.
func TestTerraformSequence(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		for range 2 {
			w := &workspace{t: t, s: s, token: s.root}
			w.says(w.call(200, "GET", "auth/token/lookup-self", nil), object{"display_name": lookedUp(s), "num_uses": 0})
			if a := w.call(200, "GET", "sys/health", nil); !strings.Contains(a.text, `"version":"1.`) {
				t.Errorf("no version to switch features by: %s", a.text)
			}
			child := w.call(200, "POST", "auth/token/create", object{"display_name": "terraform", "ttl": "1200s", "explicit_max_ttl": "1200s", "renewable": false, "num_uses": 0})
			if child.Auth.LeaseDuration != 1200 || child.Auth.Renewable || child.Auth.Orphan {
				t.Errorf("the child token: %+v", child.Auth)
			}
			w.token = child.Auth.ClientToken
			for _, part := range []func(*workspace){terraformMount, terraformKV, terraformPolicy, terraformAppRole, terraformTokens, terraformRest} {
				part(w)
			}
			w.call(204, "POST", "auth/token/revoke-self", nil)
			w.call(403, "GET", "auth/token/lookup-self", nil)
		}
	})
}

// lookedUp is the display name of the root token, which differs by how the server began.
func lookedUp(s *server) string {
	if s.ca == "" {
		return "token"
	}
	return "root"
}

func terraformMount(w *workspace) {
	w.call(400, "GET", "sys/mounts/tf/kv", nil)
	w.call(204, "POST", "sys/mounts/tf/kv", object{"type": "kv", "description": "made", "options": object{"version": "2"},
		"config": object{"default_lease_ttl": "3600s", "max_lease_ttl": "7200s"}, "local": false, "seal_wrap": false, "external_entropy_access": false})
	a := w.call(200, "GET", "sys/mounts/tf/kv", nil)
	w.says(a, object{"type": "kv", "description": "made", "options": "map[version:2]", "local": false})
	accessor := a.Data["accessor"]
	w.call(204, "POST", "sys/mounts/tf/kv/tune", object{"default_lease_ttl": "60s", "max_lease_ttl": "7200s", "description": "changed", "options": object{"version": "2"}})
	w.says(w.call(200, "GET", "sys/mounts/tf/kv/tune", nil), object{"default_lease_ttl": 60, "description": "changed"})
	if all := w.call(200, "GET", "sys/mounts", nil); all.Data["tf/kv/"] == nil || all.Data["sys/"] == nil {
		w.t.Errorf("mounts: %s", all.text)
	}
	moved := w.call(200, "POST", "sys/remount", object{"from": "tf/kv", "to": "tf/moved"})
	status := w.call(200, "GET", "sys/remount/status/"+fmt.Sprint(moved.Data["migration_id"]), nil)
	if info, _ := status.Data["migration_info"].(map[string]any); info["status"] != "success" {
		w.t.Errorf("move: %s", status.text)
	}
	w.says(w.call(200, "GET", "sys/mounts/tf/moved", nil), object{"accessor": accessor})
}

func terraformKV(w *workspace) {
	preflight := w.call(200, "GET", "sys/internal/ui/mounts/tf/moved/app", nil)
	w.says(preflight, object{"path": "tf/moved/", "type": "kv", "options": "map[version:2]"})
	w.call(403, "GET", "sys/internal/ui/mounts/tf/nowhere", nil)
	w.call(204, "POST", "tf/moved/config", object{"max_versions": 5, "cas_required": false, "delete_version_after": "3h30m25s"})
	w.says(w.call(200, "GET", "tf/moved/config", nil), object{"max_versions": 5, "delete_version_after": "3h30m25s"})

	w.call(404, "GET", "tf/moved/data/app", nil)
	w.says(w.call(200, "PUT", "tf/moved/data/app", object{"data": object{"zip": "zap", "n": 1}, "options": object{"cas": 0}}), object{"version": 1})
	w.call(400, "PUT", "tf/moved/data/app", object{"data": object{}, "options": object{"cas": 0}})
	w.says(w.call(200, "GET", "tf/moved/data/app", nil), object{"data": "map[n:1 zip:zap]"})
	w.call(204, "POST", "tf/moved/metadata/app", object{"max_versions": 3, "custom_metadata": object{"foo": "vault@example.com"}})
	w.says(w.call(200, "GET", "tf/moved/metadata/app", nil), object{"max_versions": 3, "current_version": 1, "custom_metadata": "map[foo:vault@example.com]"})
	w.says(w.call(200, "LIST", "tf/moved/metadata/", nil), object{"keys": "[app]"})
	w.says(w.call(200, "GET", "tf/moved/subkeys/app", nil), object{"subkeys": "map[n:<nil> zip:<nil>]"})
	w.call(204, "DELETE", "tf/moved/data/app", nil)
	gone := w.call(404, "GET", "tf/moved/data/app", nil)
	if meta, _ := gone.Data["metadata"].(map[string]any); meta["deletion_time"] == "" || gone.Errors != nil {
		w.t.Errorf("a deleted version: %s", gone.text)
	}
	w.call(204, "DELETE", "tf/moved/metadata/app", nil)
	w.call(404, "GET", "tf/moved/metadata/app", nil)
	w.call(404, "LIST", "tf/moved/metadata/", nil)
	w.call(204, "DELETE", "sys/mounts/tf/moved", nil)
	w.call(400, "GET", "sys/mounts/tf/moved", nil)
	w.call(404, "GET", "tf/moved/data/app", nil)
}

func terraformPolicy(w *workspace) {
	const rules = `path "secret/data/tf" { capabilities = ["read"] }`
	w.call(404, "GET", "sys/policies/acl/tf", nil)
	for _, text := range []string{rules, strings.Replace(rules, "read", "update", 1)} {
		w.call(204, "PUT", "sys/policies/acl/tf", object{"policy": text})
		w.says(w.call(200, "GET", "sys/policies/acl/tf", nil), object{"name": "tf", "policy": text})
	}
	w.call(204, "DELETE", "sys/policies/acl/tf", nil)
	w.call(404, "GET", "sys/policies/acl/tf", nil)
	w.call(204, "DELETE", "sys/policies/acl/tf", nil)
}

func terraformAppRole(w *workspace) {
	w.call(204, "POST", "sys/auth/tf-apps", object{"type": "approle", "description": "", "config": object{"listing_visibility": "", "default_lease_ttl": "", "max_lease_ttl": "", "token_type": "default-service"}})
	w.says(w.call(200, "GET", "sys/mounts/auth/tf-apps", nil), object{"type": "approle"})
	w.says(w.call(200, "GET", "sys/auth/tf-apps/tune", nil), object{"default_lease_ttl": 2764800, "token_type": "default-service"})
	const role = "auth/tf-apps/role/deploy"
	w.call(404, "GET", role, nil)
	w.call(204, "PUT", role, object{"bind_secret_id": true, "token_policies": []string{"default"}, "token_ttl": 600, "token_bound_cidrs": []string{}, "secret_id_ttl": 900})
	w.says(w.call(200, "GET", role, nil), object{"token_ttl": 600, "token_policies": "[default]", "secret_id_ttl": 900, "bind_secret_id": true})
	w.call(204, "PUT", role+"/role-id", object{"role_id": "tf-deploy"})
	w.says(w.call(200, "GET", role+"/role-id", nil), object{"role_id": "tf-deploy"})
	made := w.call(200, "PUT", role+"/secret-id", object{"metadata": `{"by":"terraform"}`})
	accessor := object{"secret_id_accessor": made.Data["secret_id_accessor"]}
	w.says(w.call(200, "PUT", role+"/secret-id-accessor/lookup", accessor), object{"metadata": "map[by:terraform]", "secret_id_ttl": 900})
	login := w.call(200, "PUT", "auth/tf-apps/login", object{"role_id": "tf-deploy", "secret_id": made.Data["secret_id"]})
	if login.Auth.LeaseDuration != 600 {
		w.t.Errorf("login: %+v", login.Auth)
	}
	w.call(204, "PUT", role+"/secret-id-accessor/destroy", accessor)
	w.call(404, "PUT", role+"/secret-id-accessor/lookup", accessor)
	w.call(204, "DELETE", role, nil)
	w.call(404, "GET", role, nil)
	w.call(204, "DELETE", "sys/auth/tf-apps", nil)
	w.call(400, "GET", "sys/mounts/auth/tf-apps", nil)
	if all := w.call(200, "GET", "sys/auth", nil); all.Data["tf-apps/"] != nil || all.Data["token/"] == nil {
		w.t.Errorf("auth methods: %s", all.text)
	}
}

func terraformTokens(w *workspace) {
	const role = "auth/token/roles/tf"
	w.call(404, "GET", role, nil)
	w.call(204, "POST", role, object{"allowed_policies": []string{"default"}, "disallowed_policies": []string{}, "orphan": true, "token_period": 3600, "renewable": true, "path_suffix": "", "token_type": "default-service"})
	w.says(w.call(200, "GET", role, nil), object{"allowed_policies": "[default]", "token_period": 3600, "orphan": true})
	made := w.call(200, "POST", "auth/token/create/tf", object{"policies": []string{"default"}, "metadata": object{"a": "b"}})
	accessor := object{"accessor": made.Auth.Accessor}
	w.says(w.call(200, "POST", "auth/token/lookup-accessor", accessor), object{"role": "tf", "orphan": true})
	w.call(200, "POST", "auth/token/renew-accessor", object{"accessor": made.Auth.Accessor, "increment": 3600})
	w.call(204, "POST", "auth/token/revoke-accessor", accessor)
	// The provider reads "gone" out of this text.
	if a := w.call(400, "POST", "auth/token/lookup-accessor", accessor); len(a.Errors) != 1 || !strings.Contains(a.Errors[0], "invalid accessor") {
		w.t.Errorf("a revoked accessor: %s", a.text)
	}
	w.call(204, "DELETE", role, nil)
	w.call(404, "GET", role, nil)
}

// terraformRest are audit devices, identities and quotas.
func terraformRest(w *workspace) {
	w.call(204, "PUT", "sys/audit/tf", object{"type": "file", "description": "", "local": false, "options": object{"file_path": filepath.Join(w.s.dir, "tf-audit.log")}})
	if a := w.call(200, "GET", "sys/audit", nil); a.Data["tf/"] == nil {
		w.t.Errorf("devices: %s", a.text)
	}
	w.call(204, "DELETE", "sys/audit/tf", nil)

	entity := w.call(200, "POST", "identity/entity", object{"name": "tf", "metadata": object{"a": "b"}, "policies": []string{"default"}})
	id := fmt.Sprint(entity.Data["id"])
	w.says(w.call(200, "GET", "identity/entity/id/"+id, nil), object{"name": "tf", "metadata": "map[a:b]", "policies": "[default]"})
	group := w.call(200, "POST", "identity/group", object{"name": "tf", "type": "internal", "member_entity_ids": []string{id}})
	groupID := fmt.Sprint(group.Data["id"])
	w.says(w.call(200, "GET", "identity/group/id/"+groupID, nil), object{"member_entity_ids": "[" + id + "]"})
	w.call(204, "DELETE", "identity/group/id/"+groupID, nil)
	w.call(404, "GET", "identity/group/id/"+groupID, nil)
	w.call(204, "DELETE", "identity/entity/id/"+id, nil)
	w.call(404, "GET", "identity/entity/id/"+id, nil)

	w.call(204, "POST", "sys/quotas/rate-limit/tf", object{"path": "", "rate": 100000, "interval": 60, "block_interval": 0})
	w.says(w.call(200, "GET", "sys/quotas/rate-limit/tf", nil), object{"name": "tf", "rate": 100000, "interval": 60, "type": "rate-limit"})
	if a := w.call(200, "LIST", "sys/quotas/rate-limit", nil); !slices.Contains(a.Data["keys"].([]any), any("tf")) {
		w.t.Errorf("quotas: %s", a.text)
	}
	w.call(204, "DELETE", "sys/quotas/rate-limit/tf", nil)
	w.call(404, "GET", "sys/quotas/rate-limit/tf", nil)
}
