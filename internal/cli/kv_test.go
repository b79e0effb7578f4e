package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	mountV2  = `{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}`
	mountV1  = `{"data":{"path":"old/","type":"kv","options":null}}`
	metaV1   = `{"created_time":"2026-01-02T03:04:05.678Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}`
	kvAnswer = `{"data":{"data":{"password":"s3cr3t"},"metadata":` + metaV1 + `}}`
)

func kvFake(t *testing.T) *fake {
	return newFake(t, map[string]answer{
		"GET sys/internal/ui/mounts/secret/app/db":      ok(mountV2),
		"GET sys/internal/ui/mounts/secret/app":         ok(mountV2),
		"GET sys/internal/ui/mounts/secret/data/app/db": ok(mountV2),
		"GET sys/internal/ui/mounts/secret":             ok(mountV2),
		"GET sys/internal/ui/mounts/secret/deleted":     ok(mountV2),
		"GET sys/internal/ui/mounts/secret/none":        ok(mountV2),
		"GET sys/internal/ui/mounts/old/x":              ok(mountV1),
		"GET sys/internal/ui/mounts/forbidden/x":        {403, `{"errors":["preflight capability check returned 403"]}`},
		"GET secret/data/app/db":                        ok(kvAnswer),
		"GET secret/data/deleted":                       {404, `{"data":{"data":null,"metadata":` + strings.Replace(metaV1, `"deletion_time":""`, `"deletion_time":"2026-01-03T00:00:00Z"`, 1) + `}}`},
		"PUT secret/data/app/db":                        ok(`{"data":` + metaV1 + `}`),
		"PATCH secret/data/app/db":                      ok(`{"data":` + metaV1 + `}`),
		"DELETE secret/data/app/db":                     {204, ""},
		"PUT secret/delete/app/db":                      {204, ""},
		"PUT secret/undelete/app/db":                    {204, ""},
		"PUT secret/destroy/app/db":                     {204, ""},
		"LIST secret/metadata/app":                      ok(`{"data":{"keys":["db"]}}`),
		"GET secret/metadata/app/db":                    ok(`{"data":{"max_versions":0,"versions":{"10":{"destroyed":false},"9":{"destroyed":true}}}}`),
		"PUT secret/metadata/app/db":                    {204, ""},
		"PATCH secret/metadata/app/db":                  {204, ""},
		"DELETE secret/metadata/app/db":                 {204, ""},
		"GET old/x":                                     ok(`{"data":{"a":"1"}}`),
		"PUT old/x":                                     {204, ""},
	})
}

const kvGetTable = `=== Secret Path ===
secret/data/app/db

======= Metadata =======
Key                Value
---                -----
created_time       2026-01-02T03:04:05.678Z
custom_metadata    <nil>
deletion_time      n/a
destroyed          false
version            1

====== Data ======
Key         Value
---         -----
password    s3cr3t
`

// contract: cli §6 "kv", §9.19
func TestKVGet(t *testing.T) {
	sh := newShell(t, kvFake(t))
	sh.run("kv", "get", "secret/app/db").want(t, 0, kvGetTable, "")
	sh.run("kv", "get", "-mount=secret", "app/db").want(t, 0, kvGetTable, "")
	sh.run("kv", "get", "-field=password", "secret/app/db").want(t, 0, "s3cr3t", "")
	sh.run("kv", "get", "-field=data", "secret/app/db").want(t, 0, "map[password:s3cr3t]", "")
	sh.run("kv", "get", "-field=nope", "secret/app/db").want(t, 1, "", "Field \"nope\" not present in secret\n")
	sh.run("kv", "get", "old/x").want(t, 0, "== Data ==\nKey    Value\n---    -----\na      1\n", "")
	sh.run("kv", "get", "secret/none").want(t, 2, "", "No value found at secret/data/none\n")
	sh.run("kv", "get", "secret/data/app/db").wantErr(t, 2, `Did you mean "jeton kv get secret/app/db"?`)
	sh.run("kv", "get", "forbidden/x").wantErr(t, 2, "preflight capability check returned 403")
	t.Run("a deleted version shows its metadata and exits 0", func(t *testing.T) {
		r := sh.run("kv", "get", "secret/deleted")
		r.wantCode(t, 0)
		if !strings.Contains(r.out, "deletion_time      2026-01-03T00:00:00Z") || strings.Contains(r.out, "= Data =") {
			t.Errorf("%s", r.out)
		}
		sh.run("kv", "get", "-field=password", "secret/deleted").want(t, 2, "", "No data found at secret/data/deleted\n")
	})
}

func TestKVWrites(t *testing.T) {
	f := kvFake(t)
	sh := newShell(t, f)
	meta := kvGetTable[:strings.Index(kvGetTable, "\n====== Data")]
	for _, c := range []struct {
		args              []string
		out, method, body string
	}{
		{[]string{"put", "secret/app/db", "a=1"}, meta, "PUT", `{"data":{"a":"1"},"options":{}}`},
		{[]string{"put", "-cas=0", "secret/app/db", "a=1"}, meta, "PUT", `{"data":{"a":"1"},"options":{"cas":0}}`},
		{[]string{"put", "old/x", "a=1"}, "Success! Data written to: old/x\n", "PUT", `{"a":"1"}`},
		{[]string{"patch", "-remove-data=b", "secret/app/db", "a=1"}, meta, "PATCH", `{"data":{"a":"1","b":null},"options":{}}`},
		{[]string{"patch", "-method=rw", "-remove-data=b", "secret/app/db", "a=1"}, meta, "PUT", `{"data":{"a":"1","password":"s3cr3t"},"options":{"cas":1}}`},
		{[]string{"rollback", "-version=1", "secret/app/db"}, meta, "PUT", `{"data":{"password":"s3cr3t"},"options":{"cas":1}}`},
		{[]string{"delete", "secret/app/db"}, "Success! Data deleted (if it existed) at: secret/data/app/db\n", "DELETE", ``},
		{[]string{"delete", "-versions=1,2", "secret/app/db"}, "Success! Data deleted (if it existed) at: secret/delete/app/db\n", "PUT", `{"versions":["1","2"]}`},
		{[]string{"undelete", "-versions=1", "secret/app/db"}, "Success! Data written to: secret/undelete/app/db\n", "PUT", `{"versions":["1"]}`},
		{[]string{"destroy", "-versions=1", "-versions=2", "secret/app/db"}, "Success! Data written to: secret/destroy/app/db\n", "PUT", `{"versions":["1","2"]}`},
		{[]string{"metadata", "put", "-max-versions=5", "-custom-metadata=o=ann", "secret/app/db"}, "Success! Data written to: secret/metadata/app/db\n", "PUT", `{"custom_metadata":{"o":"ann"},"max_versions":5}`},
		{[]string{"metadata", "patch", "-delete-version-after=90", "-remove-custom-metadata=o", "secret/app/db"}, "Success! Data written to: secret/metadata/app/db\n", "PATCH", `{"custom_metadata":{"o":null},"delete_version_after":"1m30s"}`},
		{[]string{"metadata", "delete", "secret/app/db"}, "Success! Data deleted (if it existed) at: secret/metadata/app/db\n", "DELETE", ``},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			sh.run(append([]string{"kv"}, c.args...)...).want(t, 0, c.out, "")
			if got := f.last(t); got.method != c.method || got.body != c.body {
				t.Errorf("sent %s %s, want %s %s", got.method, got.body, c.method, c.body)
			}
		})
	}
	sh.run("kv", "list", "secret/app").want(t, 0, "Keys\n----\ndb\n", "")
	sh.run("kv", "put", "secret/app/db").want(t, 1, "", "Must supply data\n")
	sh.run("kv", "undelete", "secret/app/db").wantErr(t, 1, "Say which versions to undelete with -versions")
	sh.run("kv", "rollback", "secret/app/db").want(t, 1, "", "Say which version to roll back to with -version\n")
	sh.run("kv", "metadata", "get", "old/x").want(t, 1, "", "Metadata needs a kv engine of version 2; this one has version 1\n")
	t.Run("patching falls back to reading and writing", func(t *testing.T) {
		f.answers["PATCH secret/data/app/db"] = answer{405, `{"errors":[]}`}
		sh.run("kv", "patch", "secret/app/db", "a=1").want(t, 0, meta, "")
		if got := f.last(t); got.body != `{"data":{"a":"1","password":"s3cr3t"},"options":{"cas":1}}` {
			t.Errorf("%s", got.body)
		}
		sh.run("kv", "patch", "-method=patch", "secret/app/db", "a=1").wantCode(t, 2)
	})
	t.Run("versions in order of number", func(t *testing.T) {
		r := sh.run("kv", "metadata", "get", "secret/app/db")
		nine, ten := strings.Index(r.out, "= Version 9 ="), strings.Index(r.out, "= Version 10 =")
		if !strings.HasPrefix(r.out, "==== Metadata Path ====\nsecret/metadata/app/db\n") || nine < 0 || nine > ten {
			t.Errorf("%s", r.out)
		}
	})
}

// contract: cli §8
func TestShownInsteadOfSent(t *testing.T) {
	f := kvFake(t)
	f.answers["PUT p"] = answer{204, ""}
	sh := newShell(t, f)
	t.Run("curl", func(t *testing.T) {
		r := sh.run("write", "-output-curl-string", "p", "k=it's")
		r.wantCode(t, 0)
		for _, part := range []string{"curl -X PUT ", `-H "X-Vault-Token: $(jeton print token)"`, `-H "X-Vault-Request: true"`, `-d '{"k":"it'"'"'s"}' ` + f.URL + "/v1/p\n"} {
			if !strings.Contains(r.out, part) {
				t.Errorf("no %s in %s", part, r.out)
			}
		}
		if len(f.seen) != 0 {
			t.Error("a request was sent")
		}
		if r := sh.run("read", "p", "-output-curl-string"); strings.Contains(r.out, "-X") || r.code != 0 {
			t.Errorf("%s", r.out)
		}
	})
	t.Run("policy", func(t *testing.T) {
		sh.run("write", "-output-policy", "p", "k=v").want(t, 0, "path \"p\" {\n  capabilities = [\"create\", \"update\"]\n}\n", "")
		sh.run("list", "-output-policy", "p").want(t, 0, "path \"p\" {\n  capabilities = [\"list\"]\n}\n", "")
	})
	t.Run("kv asks for the mount first", func(t *testing.T) {
		r := sh.run("kv", "get", "-output-policy", "secret/app/db")
		r.want(t, 0, "path \"secret/data/app/db\" {\n  capabilities = [\"read\"]\n}\n", "")
	})
	t.Run("what must be asked first is asked", func(t *testing.T) {
		sh.run("kv", "rollback", "-version=1", "-output-policy", "secret/app/db").want(t, 0, "path \"secret/data/app/db\" {\n  capabilities = [\"create\", \"update\"]\n}\n", "")
		r := sh.run("kv", "patch", "-method=rw", "-output-curl-string", "secret/app/db", "a=1")
		r.wantCode(t, 0)
		if !strings.Contains(r.out, `-d '{"data":{"a":"1","password":"s3cr3t"},"options":{"cas":1}}'`) {
			t.Errorf("%s", r.out)
		}
	})
	t.Run("no request", func(t *testing.T) {
		sh.run("login", "-output-curl-string", "-no-print", "token=x", "lookup=false").wantErr(t, 1, "Unable to generate cURL string from command")
	})
}

// contract: cli §6 "policy", §9.12
func TestPolicy(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PUT sys/policies/acl/p": {204, ""}, "GET sys/policies/acl/p": ok(`{"data":{"name":"p","policy":"rules\n\n"}}`),
		"LIST sys/policies/acl": ok(`{"data":{"keys":["default","root"]}}`), "DELETE sys/policies/acl/p": {204, ""},
	})
	sh := newShell(t, f)
	sh.stdin = "rules"
	sh.run("policy", "write", "P", "-").want(t, 0, "Success! Uploaded policy: p\n", "Policy name was converted from \"P\" to \"p\"\n")
	if f.last(t).body != `{"policy":"rules"}` {
		t.Errorf("%s", f.last(t).body)
	}
	sh.run("policy", "write", "p", "missing.hcl").wantErr(t, 1, "Error opening policy file")
	sh.run("policy", "read", "p").want(t, 0, "rules\n", "")
	sh.run("policy", "read", "-format=json", "p").want(t, 0, "{\n  \"policy\": \"rules\\n\\n\"\n}\n", "")
	sh.run("policy", "read", "x").want(t, 2, "", "No policy named: x\n")
	sh.run("policy", "list").want(t, 0, "default\nroot\n", "")
	sh.run("policy", "delete", "p").want(t, 0, "Success! Deleted policy: p\n", "")
	file := filepath.Join(t.TempDir(), "p.hcl")
	if err := os.WriteFile(file, []byte(`path "a" { capabilities=["read"] }`), 0o640); err != nil {
		t.Fatal(err)
	}
	sh.run("policy", "fmt", file).want(t, 0, "Success! Formatted policy: "+file+"\n", "")
	if b, _ := os.ReadFile(file); string(b) != "path \"a\" {\n  capabilities = [\"read\"]\n}\n" {
		t.Errorf("%s", b)
	}
}

// contract: cli §6 "secrets / auth", "audit", "lease"
func TestMountsAuditLeases(t *testing.T) {
	f := newFake(t, map[string]answer{
		"POST sys/mounts/kv":                 {204, ""},
		"POST sys/mounts/kv/":                {204, ""},
		"GET sys/mounts":                     ok(`{"data":{"cubbyhole/":{"type":"cubbyhole","accessor":"cubbyhole_1a2b3c4d","description":"per-token private secret storage","config":{}}}}`),
		"POST sys/mounts/kv/tune":            {204, ""},
		"DELETE sys/mounts/kv":               {204, ""},
		"POST sys/auth/userpass":             {204, ""},
		"GET sys/auth":                       ok(`{"data":{"token/":{"type":"token","accessor":"a","description":"d","plugin_version":""}}}`),
		"POST sys/mounts/auth/userpass/tune": {204, ""},
		"DELETE sys/auth/userpass":           {204, ""},
		"POST sys/remount":                   ok(`{"data":{"migration_id":"m"}}`),
		"GET sys/remount/status/m":           ok(`{"data":{"migration_id":"m","migration_info":{"status":"success"}}}`),
		"PUT sys/audit/file":                 {204, ""},
		"GET sys/audit":                      ok(`{"data":{}}`),
		"DELETE sys/audit/file":              {204, ""},
		"PUT sys/leases/revoke/l/1":          {204, ""},
		"PUT sys/leases/revoke-prefix/l":     {204, ""},
		"PUT sys/leases/revoke-force/l":      {204, ""},
	})
	sh := newShell(t, f)
	for _, c := range []struct {
		args []string
		code int
		out  string
		body string // of the last request; "" is not checked
	}{
		{[]string{"secrets", "enable", "kv"}, 0, "Success! Enabled the kv secrets engine at: kv/\n", ""},
		{[]string{"secrets", "list"}, 0, "Path          Type         Accessor              Description\n----          ----         --------              -----------\ncubbyhole/    cubbyhole    cubbyhole_1a2b3c4d    per-token private secret storage\n", ""},
		{[]string{"secrets", "tune", "-max-lease-ttl=72h", "-description=", "kv/"}, 0, "Success! Tuned the secrets engine at: kv/\n", `{"description":"","max_lease_ttl":"72h0m0s"}`},
		{[]string{"secrets", "disable", "kv"}, 0, "Success! Disabled the secrets engine (if it existed) at: kv/\n", ""},
		{[]string{"secrets", "move", "a", "b"}, 0, "Started moving secrets engine a/ to b/, with migration ID m\nSuccess! Finished moving secrets engine a/ to b/, with migration ID m\n", ""},
		{[]string{"auth", "enable", "userpass"}, 0, "Success! Enabled userpass auth method at: userpass/\n", ""},
		{[]string{"auth", "list"}, 0, "Path      Type     Accessor    Description    Version\n----      ----     --------    -----------    -------\ntoken/    token    a           d              n/a\n", ""},
		{[]string{"auth", "tune", "-token-type=batch", "-user-lockout-threshold=3", "userpass/"}, 0, "Success! Tuned the auth method at: userpass/\n", `{"token_type":"batch","user_lockout_config":{"lockout_threshold":"3"}}`},
		{[]string{"auth", "disable", "userpass/"}, 0, "Success! Disabled the auth method (if it existed) at: userpass/\n", ""},
		{[]string{"auth", "move", "auth/a/", "b/"}, 0, "Started moving auth method auth/a/ to auth/b/, with migration ID m\nSuccess! Finished moving auth method auth/a/ to auth/b/, with migration ID m\n", ""},
		{[]string{"audit", "enable", "file", "file_path=/x"}, 0, "Success! Enabled the file audit device at: file/\n", `{"type":"file","description":"","options":{"file_path":"/x"},"local":false}`},
		{[]string{"audit", "list"}, 2, "No audit devices are enabled.\n", ""},
		{[]string{"audit", "disable", "file"}, 0, "Success! Disabled audit device (if it was enabled) at: file/\n", ""},
		{[]string{"lease", "revoke", "l/1"}, 0, "All revocation operations queued successfully!\n", `{"sync":false}`},
		{[]string{"lease", "revoke", "-sync", "l/1"}, 0, "Success! Revoked lease: l/1\n", `{"sync":true}`},
		{[]string{"lease", "revoke", "-prefix", "-sync", "l/"}, 0, "Success! Revoked any leases with prefix: l\n", `{"sync":true}`},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			sh.run(c.args...).want(t, c.code, c.out, "")
			if got := f.last(t).body; c.body != "" && got != c.body {
				t.Errorf("sent %s, want %s", got, c.body)
			}
		})
	}
	sh.run("audit", "enable").want(t, 1, "", "Error enabling audit device: audit type missing. Valid types include 'file', 'socket' and 'syslog'.\n")
	sh.run("lease", "revoke", "-force", "l").want(t, 1, "", "-force needs -prefix\n")
	f.answers["GET sys/remount/status/m"] = ok(`{"data":{"migration_id":"m","migration_info":{"status":"failure"}}}`)
	sh.run("secrets", "move", "a", "b").wantErr(t, 2, "Failure! Error encountered moving secrets engine a/ to b/")
}
