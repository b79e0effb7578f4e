package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/posener/complete"
)

// contract: cli §6, the commands that the other tables leave out
func TestSmallCommands(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PATCH p":                  {204, ""},
		"PUT sys/wrapping/unwrap":  ok(`{"data":{"a":"1"}}`),
		"GET auth/token":           ok(`{"help":"about tokens","openapi":{"openapi":"3.0.2"}}`),
		"LIST sys/version-history": ok(`{"data":{"keys":["1.1.0","1.0.0"],"key_info":{"1.0.0":{"timestamp_installed":"2026-01-01T00:00:00Z","build_date":"b"},"1.1.0":{"timestamp_installed":"2026-02-01T00:00:00Z"}}}}`),
		"GET sys/plugins/catalog":  ok(`{"data":{"auth":["userpass"],"secret":["kv"],"detailed":[]}}`),
		"PUT sys/leases/renew":     ok(`{"lease_id":"l/1","lease_duration":60,"renewable":true}`),
		"PUT sys/leases/lookup":    ok(`{"data":{"id":"l/1","ttl":60}}`),
		"PUT sys/step-down":        {204, ""},
		"POST sys/mounts/old/tune": {204, ""},
		"PUT auth/jwt/login":       ok(tokenAnswer),
		"PUT auth/github/login":    ok(tokenAnswer),
		"GET sys/ha-status":        ok(`{"Nodes":[{"hostname":"h","api_address":"a","cluster_address":"c","active_node":true,"version":"v"}]}`),
		"GET sys/audit":            ok(`{"data":{"file/":{"type":"file","description":"","options":{"file_path":"/x","mode":"0600"},"local":false}}}`),
		"GET sys/mounts":           ok(`{"data":{"app/":{"type":"kv","accessor":"kv_1","uuid":"u","local":true,"options":{"version":"2"},"config":{"default_lease_ttl":0,"max_lease_ttl":60}}}}`),
		"GET sys/auth":             ok(`{"data":{"token/":{"type":"token","accessor":"a","uuid":"u","config":{"token_type":"default-service"}}}}`),
		"PUT auth/token/renew":     ok(tokenAnswer),
		"POST auth/token/renew":    ok(tokenAnswer),
		"GET sys/rekey/backup":     ok(`{"nonce":"n","keys":{"fp":["00"]},"keys_base64":{"fp":["AA=="]}}`),
		"DELETE sys/rekey/init":    {204, ""},
		"DELETE sys/rekey/backup":  {204, ""},
		"GET sys/rekey/verify":     ok(`{"nonce":"v","started":true,"t":2,"n":3,"progress":1}`),
		"PUT sys/rekey/verify":     ok(`{"nonce":"v","complete":true}`),
	})
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"patch", "p", "a=1"}, 0, "Success! Data written to: p\n"},
		{[]string{"patch", "p"}, 1, ""},
		{[]string{"unwrap", "hvs.w"}, 0, "Key    Value\n---    -----\na      1\n"},
		{[]string{"path-help", "auth/token/"}, 0, "about tokens\n"},
		{[]string{"auth", "help", "token"}, 0, "about tokens\n"},
		{[]string{"path-help", "-format=json", "auth/token"}, 0, "{\n  \"openapi\": \"3.0.2\"\n}\n"},
		{[]string{"version-history"}, 0, "Version    Installation Time       Build Date\n-------    -----------------       ----------\n1.0.0      2026-01-01T00:00:00Z    b\n1.1.0      2026-02-01T00:00:00Z    n/a\n"},
		{[]string{"plugin", "list"}, 0, "Name        Type\n----        ----\nuserpass    auth\nkv          secret\n"},
		{[]string{"plugin", "list", "-format=json", "auth"}, 0, "{\n  \"auth\": [\n    \"userpass\"\n  ]\n}\n"},
		{[]string{"plugin", "list", "nope"}, 2, ""},
		{[]string{"lease", "renew", "-increment=60", "l/1"}, 0, "Key                Value\n---                -----\nlease_id           l/1\nlease_duration     1m\nlease_renewable    true\n"},
		{[]string{"lease", "lookup", "l/1"}, 0, "Key    Value\n---    -----\nid     l/1\nttl    1m\n"},
		{[]string{"operator", "step-down"}, 0, "Success! Stepped down: " + f.URL + "\n"},
		{[]string{"operator", "members"}, 0, "Host Name    API Address    Cluster Address    Active Node    Version    Last Echo\n---------    -----------    ---------------    -----------    -------    ---------\nh            a              c                  true           v          n/a\n"},
		{[]string{"operator", "rekey", "-backup-retrieve"}, 0, "Fingerprint    Key\n-----------    ---\nfp             AA==\n"},
		{[]string{"operator", "rekey", "-backup-delete"}, 0, "Success! Delete stored keys (if they existed)\n"},
		{[]string{"operator", "rekey", "-cancel"}, 0, "Success! Canceled rekeying (if it was started)\n"},
		{[]string{"operator", "rekey", "-verify", "-status"}, 0, "Key                      Value\n---                      -----\nNonce                    v\nStarted                  true\nNew Shares               3\nNew Threshold            2\nVerification Progress    1/2\n"},
		{[]string{"operator", "rekey", "-verify", "-nonce=v", "share"}, 0, "Success! Rekey verification operation complete. The new keys are valid, the old ones no longer.\n"},
		{[]string{"kv", "enable-versioning", "old"}, 0, "Success! Tuned the secrets engine at: old/\n"},
		{[]string{"login", "-method=jwt", "-token-only", "jwt=j", "role=r"}, 0, "hvs.abc"},
		{[]string{"login", "-method=github", "-token-only", "token=g"}, 0, "hvs.abc"},
		{[]string{"login", "-method=cert"}, 1, ""},
		{[]string{"audit", "list", "-detailed"}, 0, "Path     Type    Description    Replication    Options\n----     ----    -----------    -----------    -------\nfile/    file    n/a            replicated     file_path=/x mode=0600\n"},
		{[]string{"token", "renew", "-field=token_duration", "-i=60", "t"}, 0, "86400"},
		{[]string{"token", "renew", "-accessor"}, 1, ""},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			r := newShell(t, f).run(c.args...)
			if r.code != c.code || r.out != c.out {
				t.Errorf("exit %d\n%s%s\nwant exit %d\n%s", r.code, r.out, r.err, c.code, c.out)
			}
		})
	}
	t.Run("detailed mounts have 16 columns", func(t *testing.T) {
		for _, thing := range []string{"secrets", "auth"} {
			r := newShell(t, f).run(thing, "list", "-detailed")
			lines := strings.Split(strings.TrimSpace(r.out), "\n")
			for _, line := range lines {
				if n := len(splitColumns(line)); n != 16 {
					t.Errorf("%s: %d columns in %q", thing, n, line)
				}
			}
		}
		r := newShell(t, f).run("secrets", "list", "-detailed")
		for _, part := range []string{"system", "60", "local", "map[version:2]"} {
			if !strings.Contains(r.out, part) {
				t.Errorf("no %q in\n%s", part, r.out)
			}
		}
	})
}

func splitColumns(line string) []string {
	return slices.DeleteFunc(strings.Split(line, "    "), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// contract: cli §1, slices from the environment
func TestListFromEnvironment(t *testing.T) {
	f := newFake(t, map[string]answer{"GET x": ok(oneField)})
	sh := newShell(t, f)
	sh.vars["VAULT_MFA"] = "a:1,b:2"
	sh.run("read", "x").wantCode(t, 0)
	if got := f.last(t).header.Values("X-Vault-Mfa"); !slices.Equal(got, []string{"a:1", "b:2"}) {
		t.Errorf("sent %v", got)
	}
	sh.run("read", "-mfa=c:3", "x").wantCode(t, 0)
	if got := f.last(t).header.Values("X-Vault-Mfa"); !slices.Equal(got, []string{"c:3"}) {
		t.Errorf("sent %v", got)
	}
}

func TestPGPFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte{0x99, 0x01}, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := pgpFiles([]string{file + ",@" + file})
	if err != nil || !slices.Equal(keys, []string{"mQE=", "mQE="}) {
		t.Errorf("%v, %v", keys, err)
	}
	// However a key is stored, the server gets base64 of its binary form.
	for name, content := range map[string]string{
		"armoured":       "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: of a test\n\nmQE=\n-----END PGP PUBLIC KEY BLOCK-----\n",
		"base64":         "mQE=\n",
		"broken base64":  "mQ\nE=\n",
		"windows base64": "mQE=\r\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if keys, err := pgpFiles([]string{file}); err != nil || !slices.Equal(keys, []string{"mQE="}) {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
	}
	if err := os.WriteFile(file, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"keybase:ann", file + ".missing", file} {
		if _, err := pgpFiles([]string{bad}); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestSuggestions(t *testing.T) {
	f := newFake(t, map[string]answer{
		"LIST sys/policies/acl":                  ok(`{"data":{"keys":["default","app"]}}`),
		"GET sys/internal/ui/mounts":             ok(`{"data":{"secret":{"kv/":{},"app/":{}},"auth":{"token/":{}}}}`),
		"GET sys/internal/ui/mounts/secret/team": ok(mountV2),
		"LIST secret/metadata/team":              ok(`{"data":{"keys":["b","a/"]}}`),
		"LIST auth/token/roles":                  ok(`{"data":{"keys":["r"]}}`),
	})
	sh := newShell(t, f)
	env := Env{Stderr: os.Stderr, Getenv: func(k string) string { return sh.vars[k] }}
	for _, c := range []struct {
		command, typed string
		want           []string
	}{
		{"policy read", "", []string{"default", "app"}},
		{"secrets tune", "", []string{"app/", "kv/"}},
		{"auth tune", "", []string{"token/"}},
		{"read", "", []string{"app/", "kv/", "auth/"}},
		{"read", "auth/", []string{"auth/token/"}},
		{"list", "auth/token/roles/", []string{"auth/token/roles/r"}},
		{"kv get", "secret/team/", []string{"secret/team/a/", "secret/team/b"}},
		{"kv get", "unknown/x", nil},
	} {
		t.Run(c.command+" "+c.typed, func(t *testing.T) {
			for _, row := range commandTable(env) {
				if row.name != c.command {
					continue
				}
				i := &invocation{row: row, program: "jeton", env: env}
				if got := i.AutocompleteArgs().Predict(complete.Args{Last: c.typed}); !slices.Equal(got, c.want) {
					t.Errorf("%q, want %q", got, c.want)
				}
				if _, ok := i.AutocompleteFlags()["-address"]; ok != (row.surface&takesHTTP != 0) {
					t.Errorf("-address offered: %v", ok)
				}
			}
		})
	}
}
