package cli

import (
	"context"
	"strings"
	"testing"
)

const unsealedStatus = `{"type":"shamir","initialized":true,"sealed":false,"t":3,"n":5,"progress":0,"nonce":"","version":"1.20.0","build_date":"2026-01-02T03:04:05Z","migration":false,"cluster_name":"c","cluster_id":"id","recovery_seal":false,"storage_type":"inmem"}`

const sealedStatus = `{"type":"shamir","initialized":true,"sealed":true,"t":3,"n":5,"progress":1,"nonce":"","version":"1.20.0","build_date":"","migration":false,"recovery_seal":false,"storage_type":"file"}`

// contract: cli §6 "status", §9.10
func TestStatus(t *testing.T) {
	up := newFake(t, map[string]answer{"GET sys/seal-status": ok(unsealedStatus), "GET sys/leader": ok(`{"ha_enabled":false}`)})
	newShell(t, up).run("status").want(t, 0, `Key             Value
---             -----
Seal Type       shamir
Initialized     true
Sealed          false
Total Shares    5
Threshold       3
Version         1.20.0
Build Date      2026-01-02T03:04:05Z
Storage Type    inmem
Cluster Name    c
Cluster ID      id
HA Enabled      false
`, "")
	if tok := up.last(t).header.Get("X-Vault-Token"); tok != "" {
		t.Error("status sent a token")
	}
	down := newFake(t, map[string]answer{"GET sys/seal-status": ok(sealedStatus), "GET sys/leader": {503, `{"errors":["Vault is sealed"]}`}})
	newShell(t, down).run("status").want(t, 2, `Key                Value
---                -----
Seal Type          shamir
Initialized        true
Sealed             true
Total Shares       5
Threshold          3
Unseal Progress    1/3
Unseal Nonce       n/a
Version            1.20.0
Build Date         n/a
Storage Type       file
HA Enabled         false
`, "")
	r := newShell(t, down).run("status", "-format=json")
	r.wantCode(t, 2)
	if !strings.Contains(r.out, `"ha_enabled": false`) || !strings.Contains(r.out, `"sealed": true`) {
		t.Errorf("%s", r.out)
	}
	sh := newShell(t, nil)
	sh.vars["VAULT_ADDR"] = "http://127.0.0.1:1"
	sh.run("status").wantErr(t, 1, "Error checking seal status: Get \"http://127.0.0.1:1/v1/sys/seal-status\": dial tcp 127.0.0.1:1: connect: connection refused")
	sh.run("status").wantErr(t, 1, "Is the server running?")
	sh.vars["VAULT_ADDR"] = strings.Replace(up.URL, "http:", "https:", 1)
	sh.run("status").wantErr(t, 1, "http: server gave HTTP response to HTTPS client")
	sh.run("status").wantErr(t, 1, "VAULT_ADDR=http://<address> jeton <command>")
}

func TestStatusOfCluster(t *testing.T) {
	f := newFake(t, map[string]answer{
		"GET sys/seal-status": ok(`{"type":"static","recovery_seal":true,"recovery_seal_type":"shamir","initialized":true,"sealed":false,"t":3,"n":5,"version":"1.20.0","storage_type":"raft"}`),
		"GET sys/leader":      ok(`{"ha_enabled":true,"is_self":false,"leader_address":"http://a","leader_cluster_address":"https://b"}`),
	})
	newShell(t, f).run("status").want(t, 0, `Key                      Value
---                      -----
Seal Type                static
Recovery Seal Type       shamir
Initialized              true
Sealed                   false
Total Recovery Shares    5
Threshold                3
Version                  1.20.0
Build Date               n/a
Storage Type             raft
HA Enabled               true
HA Cluster               https://b
HA Mode                  standby
Active Node Address      http://a
`, "")
}

// contract: cli §6 "operator", §9.16
func TestOperatorInit(t *testing.T) {
	f := newFake(t, map[string]answer{
		"GET sys/seal-status": ok(sealedStatus),
		"PUT sys/init":        ok(`{"keys":["00","01"],"keys_base64":["AA==","AQ=="],"root_token":"hvs.r"}`),
		"GET sys/init":        ok(`{"initialized":false}`),
	})
	sh := newShell(t, f)
	sh.run("operator", "init", "-n=2", "-t", "2").want(t, 0, `Unseal Key 1: AA==
Unseal Key 2: AQ==

Initial Root Token: hvs.r

Vault initialized with 2 key shares and a key threshold of 2. Please securely
distribute the key shares printed above. When the Vault is re-sealed,
restarted, or stopped, you must supply at least 2 of these keys to unseal it
before it can start servicing requests.

Vault does not store the generated root key. Without at least 2 keys to
reconstruct the root key, Vault will remain permanently sealed!

It is possible to generate new unseal keys, provided you have a quorum of
existing unseal keys shares. See "jeton operator rekey" for more information.
`, "")
	if got := f.last(t).body; !strings.Contains(got, `"secret_shares":2,"secret_threshold":2`) {
		t.Errorf("%s", got)
	}
	sh.run("operator", "init", "-format=json").want(t, 0, `{
  "unseal_keys_b64": [
    "AA==",
    "AQ=="
  ],
  "unseal_keys_hex": [
    "00",
    "01"
  ],
  "unseal_shares": 5,
  "unseal_threshold": 3,
  "recovery_keys_b64": [],
  "recovery_keys_hex": [],
  "recovery_keys_shares": 0,
  "recovery_keys_threshold": 0,
  "root_token": "hvs.r"
}
`, "")
	sh.run("operator", "init", "-status").want(t, 2, "Vault is not initialized\n", "")
	f.answers["PUT sys/init"] = answer{400, `{"errors":["Vault is already initialized"]}`}
	sh.run("operator", "init").wantErr(t, 2, "Error initializing: Error making API request.")
	sh.run("operator", "init").wantErr(t, 2, "Vault is already initialized")
}

func TestOperatorUnsealAndSeal(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PUT sys/unseal": ok(unsealedStatus), "GET sys/leader": ok(`{}`), "PUT sys/seal": {204, ""},
		"POST sys/rotate": {204, ""}, "GET sys/key-status": ok(`{"data":{"term":2,"install_time":"2026-01-02T03:04:05.6Z","encryptions":7}}`),
	})
	sh := newShell(t, f)
	sh.stdin = "share\n"
	r := sh.run("operator", "unseal", "-")
	r.wantCode(t, 0)
	if !strings.Contains(r.out, "Sealed          false\n") || !strings.Contains(f.seen[0].body, `"key":"share"`) {
		t.Errorf("%s %s", r.out, f.seen[0].body)
	}
	sh.run("operator", "unseal").wantErr(t, 1, "give the key on standard input")
	sh.run("operator", "unseal", "-reset").wantCode(t, 0)
	sh.run("operator", "seal").want(t, 0, "Success! Vault is sealed.\n", "")
	sh.run("operator", "rotate").want(t, 0, "Success! Rotated key\n\nKey Term            2\nInstall Time        02 Jan 26 03:04 UTC\nEncryption Count    7\n", "")
}

// contract: cli §6 "operator", sys §16
func TestGenerateRoot(t *testing.T) {
	sh := newShell(t, nil)
	r := sh.run("operator", "generate-root", "-generate-otp")
	r.wantCode(t, 0)
	if len(r.out) != 28 {
		t.Errorf("OTP %q has %d characters", r.out, len(r.out))
	}
	t.Run("decoding needs no server and no token", func(t *testing.T) {
		// base64("abcd" xor "1234") without padding
		sh.run("operator", "generate-root", "-address=http://127.0.0.1:1", "-tls-skip-verify", "-decode=UFBQUA", "-otp=1234").want(t, 0, "abcd"[:0]+string([]byte{'P' ^ '1', 'P' ^ '2', 'P' ^ '3', 'P' ^ '4'}), "")
		sh.run("operator", "generate-root", "-decode=UFBQUA==", "-otp=123").wantErr(t, 1, "has 4 bytes and the otp 3")
		sh.run("operator", "generate-root", "-decode=UFBQUA").wantErr(t, 1, "Missing otp")
	})
	f := newFake(t, map[string]answer{
		"PUT sys/generate-root/attempt":    ok(`{"nonce":"n","started":true,"progress":0,"required":3,"complete":false,"otp":"` + strings.Repeat("o", 28) + `","otp_length":28}`),
		"GET sys/generate-root/attempt":    ok(`{"nonce":"n","started":true,"progress":0,"required":3,"otp_length":28}`),
		"PUT sys/generate-root/update":     ok(`{"nonce":"n","started":true,"progress":3,"required":3,"complete":true,"encoded_token":"e","encoded_root_token":"e"}`),
		"DELETE sys/generate-root/attempt": {204, ""},
	})
	sh = newShell(t, f)
	sh.run("operator", "generate-root", "-init").want(t, 0, "Nonce         n\nStarted       true\nProgress      0/3\nComplete      false\nOTP           "+strings.Repeat("o", 28)+"\nOTP Length    28\n",
		"The one-time password (OTP) below is shown now and never again. Keep it:\nwithout it nobody can decode the root token.\n")
	sh.stdin = "share"
	sh.run("operator", "generate-root", "-nonce=n", "-").want(t, 0, "Nonce            n\nStarted          true\nProgress         3/3\nComplete         true\nEncoded Token    e\n", "")
	if got := f.last(t).body; !strings.Contains(got, `"key":"share"`) || !strings.Contains(got, `"nonce":"n"`) {
		t.Errorf("%s", got)
	}
	sh.run("operator", "generate-root", "share").wantErr(t, 1, "Missing nonce value")
	sh.run("operator", "generate-root", "-cancel").want(t, 0, "Success! Root token generation canceled (if it was started)\n", "")
}

func TestRekey(t *testing.T) {
	f := newFake(t, map[string]answer{
		"PUT sys/rekey/init":   ok(`{"nonce":"n","started":true,"t":2,"n":3,"progress":0,"required":1}`),
		"GET sys/rekey/init":   ok(`{"nonce":"n","started":true,"t":2,"n":3,"progress":0,"required":1}`),
		"PUT sys/rekey/update": ok(`{"nonce":"n","complete":true,"keys":["00"],"keys_base64":["AA=="]}`),
	})
	sh := newShell(t, f)
	r := sh.run("operator", "rekey", "-init", "-key-shares=3", "-key-threshold=2")
	r.wantCode(t, 0)
	for _, part := range []string{"New Shares               3\n", "Rekey Progress           0/1\n"} {
		if !strings.Contains(r.out, part) {
			t.Errorf("no %q in %s", part, r.out)
		}
	}
	sh.stdin = "old"
	r = sh.run("operator", "rekey", "-nonce=n", "-")
	r.wantCode(t, 0)
	if !strings.HasPrefix(r.out, "Key 1: AA==\n\nOperation nonce: n\n\nThe unseal key now has 3 shares, and 2 of them unseal.") {
		t.Errorf("%s", r.out)
	}
	sh.run("operator", "rekey", "-target=x", "-status").want(t, 1, "", "Unknown target: x\n")
}

// contract: config §8
func TestServerFlags(t *testing.T) {
	sh := newShell(t, nil)
	var got *ServerOptions
	sh.server = func(_ context.Context, o ServerOptions, _ Env) int { got = &o; return 7 }
	for _, c := range []struct {
		name string
		vars map[string]string
		args []string
		code int
		want func(o *ServerOptions) bool
	}{
		{"dev", nil, []string{"-dev", "-dev-root-token-id", "x"}, 7, func(o *ServerOptions) bool { return o.Dev != nil && o.Dev.RootTokenID == "x" }},
		{"tls implies dev", nil, []string{"-dev-tls", "-dev-tls-cert-dir=d"}, 7, func(o *ServerOptions) bool { return o.Dev != nil && o.Dev.TLS && o.Dev.TLSCertDir == "d" }},
		{"config", nil, []string{"-config=a", "-config", "b", "-log-level=debug"}, 7, func(o *ServerOptions) bool {
			return o.Dev == nil && len(o.Configs) == 2 && o.LogLevel == "debug"
		}},
		{"environment", map[string]string{"VAULT_DEV_ROOT_TOKEN_ID": "e", "VAULT_DEV_LISTEN_ADDRESS": "127.0.0.1:1"}, []string{"-dev"}, 7, func(o *ServerOptions) bool {
			return o.Dev.RootTokenID == "e" && o.Dev.ListenAddress == "127.0.0.1:1"
		}},
		{"a root token id alone is no dev server", nil, []string{"-config=a", "-dev-root-token-id=x"}, 7, func(o *ServerOptions) bool { return o.Dev == nil }},
		{"nothing", nil, nil, 1, nil},
		{"argument", nil, []string{"-dev", "x"}, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, sh.vars = nil, c.vars
			r := sh.run(append([]string{"server"}, c.args...)...)
			r.wantCode(t, c.code)
			if (c.want == nil) != (got == nil) || c.want != nil && !c.want(got) {
				t.Errorf("%+v\n%s", got, r.err)
			}
		})
	}
}
