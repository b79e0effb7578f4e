package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"jeton/internal/porttest"
)

// canaryOfSecrets is in every value of the source: the state file and the reports must not have it.
const canaryOfSecrets = "s3cr3t-"

// importReport is what -format=json prints.
type importReport struct {
	Counts []struct {
		Kind    string
		Moved   int
		Same    int `json:"already_there"`
		Earlier int `json:"moved_earlier"`
	}
	Rows []importRow `json:"not_moved"`
}

type importRow struct{ Reason, Kind, Name, Why, Next string }

func (r *importReport) has(reason, kind, name string) bool {
	return slices.ContainsFunc(r.Rows, func(row importRow) bool { return row.Reason == reason && row.Kind == kind && row.Name == name })
}

// of are the moved, same and earlier things of a kind.
func (r *importReport) of(kind string) (moved, same, earlier int) {
	for _, c := range r.Counts {
		if c.Kind == kind {
			return c.Moved, c.Same, c.Earlier
		}
	}
	return 0, 0, 0
}

// importFrom runs an import from a source with a token of its.
func (s *server) importFrom(source *server, token string, more ...string) (result, *importReport) {
	s.t.Helper()
	r := s.run([]string{"JETON_SOURCE_TOKEN=" + token, "JETON_SOURCE_ADDR=" + source.addr, "JETON_SOURCE_CACERT=" + source.ca},
		"jeton", append([]string{"operator", "import", "-format=json"}, more...)...)
	report := new(importReport)
	if r.out != "" {
		if err := json.Unmarshal([]byte(r.out), report); err != nil {
			s.t.Fatalf("the report: %v\n%s%s", err, r.out, r.errOut)
		}
	}
	return r, report
}

// killedImport starts an import and kills it when its state file has so many lines.
func (s *server) killedImport(source *server, lines int) {
	s.t.Helper()
	state := filepath.Join(s.dir, "jeton-import.state")
	cmd := s.command([]string{"JETON_SOURCE_TOKEN=" + source.root, "JETON_SOURCE_ADDR=" + source.addr, "JETON_SOURCE_CACERT=" + source.ca},
		"jeton", "operator", "import", "-parallel=8")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, 2*patience, "secrets are moved\n"+errOut.String(), func() bool {
		text, _ := os.ReadFile(state)
		return bytes.Count(text, []byte("\n")) > lines
	})
	if err := cmd.Process.Kill(); err != nil {
		s.t.Fatalf("the import was over before it could be killed: %v\n%s", err, errOut.String())
	}
	cmd.Wait()
	text, err := os.ReadFile(state)
	if err != nil {
		s.t.Fatal(err)
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o600 {
		s.t.Errorf("the state file: %v, %v", info.Mode(), err)
	}
	if bytes.Contains(text, []byte(canaryOfSecrets)) || bytes.Contains(text, []byte(source.root+"\"")) {
		s.t.Error("the state file holds a secret")
	}
}

// TestImportIsKilledAndGoesOn moves tens of mounts with thousands of secrets, is killed twice, and in
// the end both servers have the same.
func TestImportIsKilledAndGoesOn(t *testing.T) {
	t.Parallel()
	source, destination := startDev(t), startProduction(t)
	from, to := source.client(source.root), destination.client(destination.root)
	mounts := fillSource(t, from)

	if r, dry := destination.importFrom(source, source.root, "-dry-run"); r.code != 0 {
		t.Fatalf("dry run: exit code %d\n%s%s", r.code, r.out, r.errOut)
	} else if moved, _, _ := dry.of("secret"); moved < 2000 {
		t.Errorf("a dry run would move %d secrets", moved)
	}
	if list, err := to.Sys().ListMounts(); err != nil || len(list) > 5 {
		t.Fatalf("a dry run made mounts: %d, %v", len(list), err)
	}

	destination.killedImport(source, 300)
	destination.killedImport(source, 900)
	r, report := destination.importFrom(source, source.root)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
	if _, _, earlier := report.of("secret"); earlier < 900 {
		t.Errorf("%d secrets were taken as done", earlier)
	}
	if strings.Contains(r.out+r.errOut, canaryOfSecrets) {
		t.Error("the report holds a secret")
	}
	if _, err := os.Stat(filepath.Join(destination.dir, "jeton-import.state")); !os.IsNotExist(err) {
		t.Errorf("the state file stays behind: %v", err)
	}
	for _, want := range [][3]string{
		{"unreadable", "secret ids", "machines/app"}, {"unreadable", "password", "people/ann"}, {"by hand", "policy", "default"}, {"by hand", "auth method", "jwt/"},
		{"by hand", "audit device", "file/"}, {"by hand", "tokens, leases and cubbyholes", "all"},
		{"unreadable", "version of a secret", "secret/scars version 2"},
	} {
		if !report.has(want[0], want[1], want[2]) {
			t.Errorf("the report lacks %v:\n%s", want, r.out)
		}
	}
	for _, m := range mounts {
		sameSecrets(t, from, to, m)
	}
	sameRooms(t, source, destination)
	goesOn(t, source, destination)
}

// fillSource makes 24 kv mounts and what else there is to move, and returns the mounts.
func fillSource(t *testing.T, c *api.Client) []string {
	t.Helper()
	write := func(path string, data map[string]any) *api.Secret {
		t.Helper()
		sec, err := c.Logical().Write(path, data)
		if err != nil {
			t.Fatal(err)
		}
		return sec
	}
	mounts := []string{"secret/"}
	for i := range 24 {
		at := fmt.Sprintf("team-%02d/kv", i)
		in := &api.MountInput{Type: "kv", Description: "of team " + at, Options: map[string]string{"version": fmt.Sprint(1 + i%2)},
			Config: api.MountConfigInput{MaxLeaseTTL: "72h", ListingVisibility: "unauth", AuditNonHMACRequestKeys: []string{"name"}}}
		none(t, at, c.Sys().Mount(at, in))
		mounts = append(mounts, at+"/")
		for n := range 90 {
			path, value := fmt.Sprintf("%s/app-%d/%s", at, n%7, fmt.Sprintf("s%03d", n)), map[string]any{"value": canaryOfSecrets + fmt.Sprint(i, n)}
			if i%2 == 1 {
				path, value = fmt.Sprintf("%s/data/app-%d/s%03d", at, n%7, n), map[string]any{"data": value}
			}
			write(path, value)
		}
	}
	big := json.RawMessage(`{"data":{"id":123456789012345678901234567890,"small":1.10,"e":1e400,"text":"` + canaryOfSecrets + `<&>","deep":{"list":[1,18446744073709551617]}}}`)
	for _, name := range []string{"odd name/ü ö", "percent%2Fslash", "what?#", "a+b&c=d", "both", "both/below", "colon:semi;", `quote"back\slash`, "emoji 🔑"} {
		if _, err := c.Logical().WriteBytes("secret/data/"+name, big); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Logical().WriteBytes("team-00/kv/"+name, big[len(`{"data":`):len(big)-1]); err != nil {
			t.Fatal(err)
		}
	}
	for v := 1; v <= 6; v++ {
		write("secret/data/scars", map[string]any{"data": map[string]any{"v": canaryOfSecrets + fmt.Sprint(v)}})
		write("secret/data/last-deleted", map[string]any{"data": map[string]any{"v": v}})
	}
	write("secret/delete/scars", map[string]any{"versions": []int{2}})
	write("secret/destroy/scars", map[string]any{"versions": []int{1, 4}})
	write("secret/delete/last-deleted", map[string]any{"versions": []int{6}})
	write("secret/metadata/pruned", map[string]any{"max_versions": 2, "cas_required": true, "custom_metadata": map[string]any{"owner": "ann"}})
	for v := range 7 {
		write("secret/data/pruned", map[string]any{"data": map[string]any{"v": v}, "options": map[string]any{"cas": v}})
	}
	write("secret/metadata/empty", map[string]any{"custom_metadata": map[string]any{"planned": "yes"}})
	write("secret/metadata/mortal", map[string]any{"delete_version_after": "24h"})
	write("secret/data/mortal", map[string]any{"data": map[string]any{"v": 1}})
	write("team-01/kv/config", map[string]any{"max_versions": 7})
	fillRooms(t, c, write)
	return mounts
}

// fillRooms makes everything but secrets.
func fillRooms(t *testing.T, c *api.Client, write func(string, map[string]any) *api.Secret) {
	t.Helper()
	none(t, "approle", c.Sys().EnableAuthWithOptions("machines", &api.EnableAuthOptions{Type: "approle", Config: api.AuthConfigInput{DefaultLeaseTTL: "2h"}}))
	none(t, "userpass", c.Sys().EnableAuthWithOptions("people", &api.EnableAuthOptions{Type: "userpass", Description: "our people"}))
	threshold, span := "7", "10m"
	none(t, "lockout", c.Sys().TuneMountAllowNil("auth/machines", api.TuneMountConfigInput{
		UserLockoutConfig: &api.TuneUserLockoutConfigInput{LockoutThreshold: &threshold, LockoutDuration: &span}}))
	none(t, "audit", c.Sys().EnableAuditWithOptions("file", &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": "discard"}}))
	accessor := func() string {
		list, err := c.Sys().ListAuth()
		if err != nil {
			t.Fatal(err)
		}
		return list["people/"].Accessor
	}()
	none(t, "policy", c.Sys().PutPolicy("default", `path "auth/token/lookup-self" { capabilities = ["read"] }`))
	for i := range 40 {
		none(t, "policy", c.Sys().PutPolicy(fmt.Sprintf("p%02d", i), fmt.Sprintf(`path "secret/data/p%02d/*" { capabilities = ["read"] }`, i)))
	}
	none(t, "policy", c.Sys().PutPolicy("templated", fmt.Sprintf(`path "secret/data/{{identity.entity.aliases.%s.name}}" { capabilities = ["read"] }`, accessor)))
	for _, kind := range []string{"ldap", "jwt", "kubernetes", "cert"} {
		none(t, kind, c.Sys().EnableAuthWithOptions(kind, &api.EnableAuthOptions{Type: kind}))
	}
	write("auth/ldap/groups/eng", map[string]any{"policies": "p08,p09"})
	write("auth/ldap/users/ann", map[string]any{"policies": "p10", "groups": "eng"})
	write("auth/jwt/role/ci", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "jeton", "bound_claims": map[string]any{"project": []string{"a", "b"}},
		"claim_mappings": map[string]string{"project": "project"}, "token_policies": "p11", "token_ttl": "15m"})
	write("auth/kubernetes/role/web", map[string]any{"bound_service_account_names": "web", "bound_service_account_namespaces": "prod,test", "audience": "jeton", "token_policies": "p12"})
	authority, err := os.ReadFile(writeCertificates(t, t.TempDir()).ca)
	none(t, "certificate", err)
	write("auth/cert/certs/hosts", map[string]any{"certificate": string(authority), "allowed_dns_sans": "*.example.com", "token_policies": "p13"})
	write("auth/machines/role/app", map[string]any{"token_policies": "p01,p02", "token_ttl": "20m", "secret_id_ttl": "10m", "token_bound_cidrs": "127.0.0.0/8", "role_id": "role-of-the-app"})
	write("auth/machines/role/app/secret-id", nil)
	write("auth/people/users/ann", map[string]any{"password": canaryOfSecrets + "ann", "token_policies": "p03", "token_num_uses": 7})
	write("auth/token/roles/job", map[string]any{"allowed_policies": "p04", "orphan": true, "token_period": "1h"})
	write("sys/policies/password/long", map[string]any{"policy": `length = 24 rule "charset" { charset = "abcdef0123" }`})
	write("sys/quotas/rate-limit/gentle", map[string]any{"path": "team-00/kv", "rate": 5000, "interval": "10s"})
	entity := write("identity/entity", map[string]any{"name": "Ann", "policies": []string{"p05"}, "metadata": map[string]string{"team": "db"}}).Data["id"]
	write("identity/entity-alias", map[string]any{"name": "ann", "canonical_id": entity, "mount_accessor": accessor, "custom_metadata": map[string]string{"badge": "7"}})
	// Listed in no order that suits: the outer group may come before its member.
	inner := write("identity/group", map[string]any{"name": "inner", "member_entity_ids": []any{entity}, "policies": []string{"p06"}}).Data["id"]
	write("identity/group", map[string]any{"name": "outer", "member_group_ids": []any{inner}, "policies": []string{"p07"}})
	external := write("identity/group", map[string]any{"name": "directory", "type": "external"}).Data["id"]
	write("identity/group-alias", map[string]any{"name": "cn=all", "canonical_id": external, "mount_accessor": accessor})
	none(t, "policy of a group id", c.Sys().PutPolicy("by-group", fmt.Sprintf(`path "secret/data/{{identity.groups.ids.%s.name}}" { capabilities = ["read"] }`, inner)))
}

// keysBelow are all secrets of a mount.
func keysBelow(t *testing.T, c *api.Client, list, folder string) []string {
	t.Helper()
	sec, err := c.Logical().List(list + folder)
	if err != nil {
		t.Fatal(err)
	}
	if sec == nil {
		return nil
	}
	var all []string
	for _, k := range sec.Data["keys"].([]any) {
		if name := k.(string); strings.HasSuffix(name, "/") {
			all = append(all, keysBelow(t, c, list, folder+name)...)
		} else {
			all = append(all, folder+name)
		}
	}
	return all
}

// dataAt is the data at a path as JSON, with numbers digit by digit, "null" for nothing.
func dataAt(t *testing.T, c *api.Client, path string, version int) string {
	t.Helper()
	var query map[string][]string
	if version > 0 {
		query = map[string][]string{"version": {fmt.Sprint(version)}}
	}
	sec, err := c.Logical().ReadWithData(path, query)
	if err != nil {
		t.Fatal(err)
	}
	var data any
	if sec != nil {
		if data = sec.Data; version > 0 {
			data = sec.Data["data"]
		}
	}
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sameSecrets compares a mount at both servers: every key, every version, every setting.
func sameSecrets(t *testing.T, from, to *api.Client, mount string) {
	t.Helper()
	list, err := from.Sys().ListMounts()
	if err != nil {
		t.Fatal(err)
	}
	if list[mount].Options["version"] != "2" {
		keys := keysBelow(t, from, mount, "")
		if got := keysBelow(t, to, mount, ""); !slices.Equal(keys, got) {
			t.Errorf("%s: %d keys, want %d", mount, len(got), len(keys))
		}
		for _, k := range keys {
			if want, got := dataAt(t, from, mount+k, 0), dataAt(t, to, mount+k, 0); want != got {
				t.Errorf("%s%s: %s, want %s", mount, k, got, want)
			}
		}
		return
	}
	if want, got := dataAt(t, from, mount+"config", 0), dataAt(t, to, mount+"config", 0); want != got {
		t.Errorf("%sconfig: %s, want %s", mount, got, want)
	}
	keys := keysBelow(t, from, mount+"metadata/", "")
	if got := keysBelow(t, to, mount+"metadata/", ""); !slices.Equal(keys, got) {
		t.Errorf("%s: %d keys, want %d", mount, len(got), len(keys))
	}
	for _, k := range keys {
		sameVersions(t, from, to, mount, k)
	}
}

func sameVersions(t *testing.T, from, to *api.Client, mount, key string) {
	t.Helper()
	metadata := func(c *api.Client) map[string]any {
		sec, err := c.Logical().Read(mount + "metadata/" + key)
		if err != nil || sec == nil {
			t.Fatalf("%s%s: %v, %v", mount, key, sec, err)
		}
		return sec.Data
	}
	want, got := metadata(from), metadata(to)
	for _, field := range []string{"current_version", "oldest_version", "max_versions", "cas_required", "delete_version_after", "custom_metadata"} {
		if fmt.Sprint(want[field]) != fmt.Sprint(got[field]) {
			t.Errorf("%s%s: %s is %v, want %v", mount, key, field, got[field], want[field])
		}
	}
	there, here := want["versions"].(map[string]any), got["versions"].(map[string]any)
	if len(there) != len(here) {
		t.Errorf("%s%s: %d versions, want %d", mount, key, len(here), len(there))
	}
	for n, v := range there {
		w, g := v.(map[string]any), here[n].(map[string]any)
		if (w["deletion_time"] == "") != (g["deletion_time"] == "") || w["destroyed"] != g["destroyed"] {
			t.Errorf("%s%s version %s: %v, want %v", mount, key, n, g, w)
		}
		var number int
		fmt.Sscan(n, &number)
		if w, g := dataAt(t, from, mount+"data/"+key, number), dataAt(t, to, mount+"data/"+key, number); w != g {
			t.Errorf("%s%s version %s: %s, want %s", mount, key, n, g, w)
		}
	}
}

// sameRooms compares what is no secret.
func sameRooms(t *testing.T, source, destination *server) {
	t.Helper()
	from, to := source.client(source.root), destination.client(destination.root)
	for _, path := range []string{"sys/policies/acl/p39", "auth/ldap/groups/eng", "auth/ldap/users/ann", "auth/jwt/role/ci",
		"auth/kubernetes/role/web", "auth/cert/certs/hosts", "auth/machines/role/app", "auth/machines/role/app/role-id", "auth/people/users/ann",
		"auth/token/roles/job", "sys/policies/password/long", "sys/quotas/rate-limit/gentle", "sys/mounts/team-05/kv/tune", "sys/auth/machines/tune"} {
		if want, got := dataAt(t, from, path, 0), dataAt(t, to, path, 0); want != got || want == "null" {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	// A login with the old role id and a new secret id.
	id, err := to.Logical().Write("auth/machines/role/app/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	login, err := to.Logical().Write("auth/machines/login", map[string]any{"role_id": "role-of-the-app", "secret_id": id.Data["secret_id"]})
	if err != nil || !slices.Equal(login.Auth.TokenPolicies, []string{"default", "p01", "p02"}) {
		t.Errorf("login with the role id of the source: %v, %v", login, err)
	}
	// Ann, as the operator lets her in again, is in her groups.
	if _, err := to.Logical().Write("auth/people/login/ann", map[string]any{"password": canaryOfSecrets + "ann"}); err == nil {
		t.Error("a password that could not be read logs in")
	}
	destination.must("jeton", "write", "auth/people/users/ann/password", "password=anew-anew")
	ann, err := to.Logical().Write("auth/people/login/ann", map[string]any{"password": "anew-anew"})
	if err != nil || !slices.Equal(ann.Auth.IdentityPolicies, []string{"p05", "p06", "p07"}) {
		t.Errorf("ann's login: %+v, %v", ann, err)
	}
	// Policies name the accessors and ids of the server they are on.
	list, err := to.Sys().ListAuth()
	if err != nil {
		t.Fatal(err)
	}
	if rules, err := to.Sys().GetPolicy("templated"); err != nil || !strings.Contains(rules, "aliases."+list["people/"].Accessor+".name") {
		t.Errorf("templated: %s, %v", rules, err)
	}
	inner, err := to.Logical().Read("identity/group/name/inner")
	if err != nil {
		t.Fatal(err)
	}
	if rules, err := to.Sys().GetPolicy("by-group"); err != nil || !strings.Contains(rules, fmt.Sprint("ids.", inner.Data["id"], ".name")) {
		t.Errorf("by-group: %s, %v", rules, err)
	}
	if group := dataAt(t, to, "identity/group/name/directory", 0); !strings.Contains(group, `"name":"cn=all"`) {
		t.Errorf("the external group has no alias: %s", group)
	}
}

// goesOn imports again behind a finished import: what is new at the source comes over, what is newer at
// the destination stays until it is asked otherwise.
func goesOn(t *testing.T, source, destination *server) {
	t.Helper()
	source.must("jeton", "kv", "put", "secret/both", "moved=on")
	source.must("jeton", "kv", "put", "secret/new", "a=1")
	source.must("jeton", "kv", "put", "secret/scars", "at=the-source")
	destination.must("jeton", "kv", "put", "secret/scars", "at=the-destination")
	destination.must("jeton", "write", "team-00/kv/both", "at=the-destination")
	r, report := destination.importFrom(source, source.root)
	if r.code != 2 || !report.has("conflict", "secret", "secret/scars") || !report.has("conflict", "secret", "team-00/kv/both") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
	if moved, _, _ := report.of("secret"); moved != 2 {
		t.Errorf("%d secrets moved, want 2\n%s", moved, r.out)
	}
	if got := destination.must("jeton", "kv", "get", "-field=moved", "-version=2", "secret/both"); got != "on" {
		t.Errorf("the new version: %q", got)
	}
	for path, version := range map[string]int{"secret/scars": 7, "team-00/kv/both": 0} {
		if got := destination.must("jeton", "kv", "get", "-field=at", path); got != "the-destination" {
			t.Errorf("%s version %d was overwritten: %q", path, version, got)
		}
	}
	if r, _ := destination.importFrom(source, source.root, "-overwrite"); r.code != 0 {
		t.Errorf("-overwrite: exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
	if got := destination.must("jeton", "kv", "get", "-field=at", "-version=8", "secret/scars"); got != "the-source" {
		t.Errorf("-overwrite wrote %q", got)
	}
	if got := destination.must("jeton", "kv", "get", "-field=at", "-version=7", "secret/scars"); got != "the-destination" {
		t.Errorf("-overwrite lost the destination's version: %q", got)
	}
	if r, report := destination.importFrom(source, source.root); r.code != 0 {
		t.Errorf("after -overwrite: exit code %d\n%s%s", r.code, r.out, r.errOut)
	} else if moved, _, _ := report.of("secret"); moved != 0 {
		t.Errorf("after -overwrite %d secrets moved again", moved)
	}
}

// TestImportWithFewRights: what a token may not read is reported, and the rest is moved.
func TestImportWithFewRights(t *testing.T) {
	t.Parallel()
	source, destination := startDev(t), startDev(t)
	source.must("jeton", "kv", "put", "secret/open/a", "a=1")
	source.must("jeton", "kv", "put", "secret/closed/b", "b=1")
	source.must("jeton", "kv", "put", "secret/open/barred", "b=1")
	source.must("jeton", "auth", "enable", "approle")
	none(t, "policy", source.client(source.root).Sys().PutPolicy("few", `
path "secret/metadata/*" { capabilities = ["read", "list"] }
path "secret/metadata/closed/*" { capabilities = ["deny"] }
path "secret/data/*" { capabilities = ["read"] }
path "secret/data/open/barred" { capabilities = ["deny"] }
path "sys/policies/acl" { capabilities = ["list"] }
path "sys/policies/acl/few" { capabilities = ["read"] }`))
	token := source.must("jeton", "token", "create", "-policy=few", "-field=token")
	r, report := destination.importFrom(source, token)
	if r.code != 2 {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
	for kind, name := range map[string]string{"folder of secrets": "secret/metadata/closed/", "secret": "secret/open/barred", "policy": "default",
		"token role": "auth/token/roles", "audit device": "sys/audit", "secrets engine": "sys/mounts"} {
		if !report.has("forbidden", kind, name) {
			t.Errorf("the report lacks %s %s:\n%s", kind, name, r.out)
		}
	}
	if got := destination.must("jeton", "kv", "get", "-field=a", "secret/open/a"); got != "1" {
		t.Errorf("secret/open/a: %q", got)
	}
	destination.must("jeton", "policy", "read", "few")

	// A token that ends in the middle ends the import, which goes on with another.
	source.must("jeton", "token", "revoke", token)
	if r, _ := destination.importFrom(source, token); r.code != 2 || !strings.Contains(r.errOut, "the source does not take the token") || strings.Contains(r.errOut, token) {
		t.Errorf("a dead token: exit code %d\n%s", r.code, r.errOut)
	}
}

// TestImportWaitsForABusySource: a source that answers 429 is waited for, and nothing is lost.
func TestImportWaitsForABusySource(t *testing.T) {
	t.Parallel()
	source, destination := startDev(t), startDev(t)
	c := source.client(source.root)
	for n := range 120 {
		if _, err := c.KVv2("secret").Put(t.Context(), fmt.Sprintf("s%03d", n), map[string]any{"n": n}); err != nil {
			t.Fatal(err)
		}
	}
	source.must("jeton", "write", "sys/quotas/rate-limit/slow", "path=secret", "rate=60")
	r, report := destination.importFrom(source, source.root, "-parallel=8")
	if r.code != 0 || !strings.Contains(r.errOut, "the source is busy or away: waiting") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
	if moved, _, _ := report.of("secret"); moved != 120 {
		t.Errorf("%d secrets moved\n%s", moved, r.out)
	}
}

// TestImportRefusals: what is wrong is said before anything is written.
func TestImportRefusals(t *testing.T) {
	t.Parallel()
	source, destination := startDev(t), startDev(t)
	other := filepath.Join(destination.dir, "other.state")
	none(t, "state", os.WriteFile(other, []byte(`{"servers":"a -> b"}`+"\n"), 0o600))
	notOurs := filepath.Join(destination.dir, "notes.txt")
	none(t, "notes", os.WriteFile(notOurs, []byte("buy milk\n"), 0o600))
	env := []string{"JETON_SOURCE_TOKEN=root"}
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		text string
	}{
		{"no source", env, nil, 1, "Say where to import from"},
		{"no token", nil, []string{"-source-address=" + source.addr}, 1, "set JETON_SOURCE_TOKEN, or name a file with -source-token-file"},
		{"the token as an argument", nil, []string{"-source-address=" + source.addr, "-source-token=root"}, 1, "Set JETON_SOURCE_TOKEN, or name a file with -source-token-file"},
		{"itself", env, []string{"-source-address=" + destination.addr}, 2, "source and destination are the same server"},
		{"a wrong token", []string{"VAULT_SOURCE_TOKEN=wrong"}, []string{"-source-address=" + source.addr}, 2, "the source does not take the token"},
		{"nobody there", env, []string{"-source-address=http://" + porttest.Free(t)}, 2, "the source does not answer"},
		{"another's state", env, []string{"-source-address=" + source.addr, "-state=" + other}, 2, "is the state of an import between other servers"},
		{"no state at all", env, []string{"-source-address=" + source.addr, "-state=" + notOurs}, 2, "is not the state of an import"},
		{"too many at a time", env, []string{"-source-address=" + source.addr, "-parallel=1000"}, 1, "-parallel must be between 1 and 64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := destination.run(c.env, "jeton", append([]string{"operator", "import"}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.errOut, c.text) {
				t.Errorf("exit code %d, want %d with %q\n%s%s", r.code, c.code, c.text, r.out, r.errOut)
			}
		})
	}
	if text, err := os.ReadFile(notOurs); err != nil || string(text) != "buy milk\n" {
		t.Errorf("somebody's file was changed: %q, %v", text, err)
	}
	// A token from a file, and a server that comes back while the import waits for it.
	none(t, "token", os.WriteFile(filepath.Join(destination.dir, "token"), []byte("root\n"), 0o600))
	destination.must("jeton", "operator", "import", "-source-address="+source.addr, "-source-token-file=token")
}
