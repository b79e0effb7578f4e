package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jeton/internal/porttest"
)

// keyServer is a server whose transit engine has a key for others' seals, and a token for it.
func keyServer(t *testing.T) (s *server, token string) {
	t.Helper()
	s = startProduction(t)
	s.must("vault", "secrets", "enable", "transit")
	s.must("vault", "write", "-f", "transit/keys/unseal")
	policy := filepath.Join(s.dir, "seal.hcl")
	writeFile(t, policy, `
path "transit/encrypt/unseal" { capabilities = ["update"] }
path "transit/decrypt/unseal" { capabilities = ["update"] }
`)
	s.must("vault", "policy", "write", "seal", policy)
	return s, s.must("vault", "token", "create", "-orphan", "-policy=seal", "-period=24h", "-field=token")
}

// writeFile writes a file and returns its path.
func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// transitStanza is the seal stanza for a key server.
func transitStanza(keys *server, token, more string) string {
	return fmt.Sprintf("seal \"transit\" {\n address = %q\n token = %q\n key_name = \"unseal\"\n mount_path = \"transit/\"\n tls_ca_cert = %q\n %s\n}\n",
		keys.addr, token, keys.ca, more)
}

// withSeal is a server that is not started yet, and whose configuration has these stanzas; reseal
// changes them.
func withSeal(t *testing.T, stanzas string) (s *server, reseal func(stanzas string)) {
	t.Helper()
	s = newProduction(t)
	path := strings.TrimPrefix(s.args[1], "-config=")
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reseal = func(stanzas string) { writeFile(t, path, string(plain)+stanzas) }
	reseal(stanzas)
	return s, reseal
}

// initAuto initialises a server whose seal opens by itself and returns its recovery keys.
func (s *server) initAuto() []string {
	s.t.Helper()
	var made struct {
		Keys     []string `json:"unseal_keys_b64"`
		Recovery []string `json:"recovery_keys_b64"`
		Root     string   `json:"root_token"`
	}
	s.jsonOf(&made, "jeton", "operator", "init", "-recovery-shares=3", "-recovery-threshold=2", "-format=json")
	if len(made.Keys) != 0 || len(made.Recovery) != 3 {
		s.t.Fatalf("%d unseal keys and %d recovery keys", len(made.Keys), len(made.Recovery))
	}
	s.root = made.Root
	return made.Recovery
}

// awaitUnsealed waits until the root token works.
func (s *server) awaitUnsealed() {
	s.t.Helper()
	await(s.t, patience, "the server opens by itself\n"+tail(s.proc.output()), func() bool {
		return s.raw("GET", "auth/token/lookup-self", s.root, nil).status == 200
	})
}

// awaitLog waits for a line of the server's log.
func (s *server) awaitLog(text string) {
	s.t.Helper()
	await(s.t, patience, "the log says "+text, func() bool { return strings.Contains(s.proc.output(), text) })
}

// TestTransitSeal: contract config §5: one server unseals another.
func TestTransitSeal(t *testing.T) {
	t.Parallel()
	keys, token := keyServer(t)
	s, _ := withSeal(t, transitStanza(keys, token, ""))
	s.start("server started!")
	t.Cleanup(s.stop)
	s.awaitLog("stored unseal keys are supported, but none were found")
	recovery := s.initAuto()
	s.awaitUnsealed()
	if out := s.must("jeton", "status"); !strings.Contains(out, "Seal Type                transit") || !strings.Contains(out, "Total Recovery Shares    3") {
		t.Errorf("status:\n%s", out)
	}
	t.Run("its token is renewed", func(t *testing.T) {
		await(t, patience, "the other server shows a renewal", func() bool {
			return keys.raw("POST", "auth/token/lookup", keys.root, map[string]any{"token": token}).Data["last_renewal_time"] != nil
		})
	})
	t.Run("after a crash", func(t *testing.T) {
		s.kill()
		s.start("server started!")
		s.awaitUnsealed()
	})
	t.Run("the root key follows a rotation", func(t *testing.T) {
		keys.must("vault", "write", "-f", "transit/keys/unseal/rotate")
		s.kill()
		s.start("server started!")
		s.awaitUnsealed()
		keys.must("vault", "write", "transit/keys/unseal/config", "min_decryption_version=2")
		s.kill()
		s.start("server started!")
		s.awaitUnsealed()
	})
	t.Run("recovery keys make a root token", func(t *testing.T) {
		otp := strings.Repeat("o", 28)
		var st struct {
			Nonce string `json:"nonce"`
			Token string `json:"encoded_token"`
		}
		s.jsonOf(&st, "jeton", "operator", "generate-root", "-init", "-otp="+otp, "-format=json")
		for _, key := range recovery[1:] {
			s.jsonOf(&st, "jeton", "operator", "generate-root", "-nonce="+st.Nonce, "-format=json", key)
		}
		made := s.must("jeton", "operator", "generate-root", "-decode="+st.Token, "-otp="+otp)
		if a := s.raw("GET", "auth/token/lookup-self", made, nil); a.status != 200 {
			t.Errorf("%d %s", a.status, a.text)
		}
	})
	t.Run("recovery keys are replaced", func(t *testing.T) {
		var st struct {
			Nonce string   `json:"nonce"`
			Keys  []string `json:"keys_base64"`
		}
		s.jsonOf(&st, "jeton", "operator", "rekey", "-target=recovery", "-init", "-key-shares=2", "-key-threshold=2", "-format=json")
		for _, key := range recovery[:2] {
			s.jsonOf(&st, "jeton", "operator", "rekey", "-target=recovery", "-nonce="+st.Nonce, "-format=json", key)
		}
		if len(st.Keys) != 2 {
			t.Fatalf("%d new keys", len(st.Keys))
		}
		s.kill()
		s.start("server started!")
		s.awaitUnsealed()
		recovery = st.Keys
	})
	t.Run("no share opens it", func(t *testing.T) {
		s.must("jeton", "operator", "seal")
		if r := s.run(nil, "jeton", "operator", "unseal", recovery[0]); r.code != 2 || !strings.Contains(r.errOut, "recovery keys do not unseal") {
			t.Errorf("%d %s", r.code, r.errOut)
		}
	})
}

// TestTransitSealKeysAway: the other server is away, sealed or refuses, at start and meanwhile.
func TestTransitSealKeysAway(t *testing.T) {
	t.Parallel()
	keys, token := keyServer(t)
	s, reseal := withSeal(t, transitStanza(keys, token, "disable_renewal = true"))
	s.start("server started!")
	t.Cleanup(s.stop)
	s.initAuto()
	s.awaitUnsealed()

	keys.kill()
	if a := s.raw("GET", "auth/token/lookup-self", s.root, nil); a.status != 200 {
		t.Errorf("an open server needs the other: %d %s", a.status, a.text)
	}
	s.stop()
	s.start("server started!")
	s.awaitLog("failed to unseal core")
	s.awaitLog("cannot be reached to decrypt")
	if r := s.run(nil, "jeton", "status"); r.code != 2 {
		t.Errorf("status exits with %d: %s", r.code, r.out)
	}
	keys.start("server started!")
	s.awaitLog("is sealed itself (503")
	keys.unseal()
	s.awaitUnsealed() // within the next five seconds

	keys.must("vault", "token", "revoke", token)
	s.stop()
	s.start("server started!")
	s.awaitLog("refuses the token of the seal stanza to decrypt with key")
	if out := s.proc.output(); strings.Contains(out, token) {
		t.Errorf("the log shows the token:\n%s", tail(out))
	}
	s.stop()
	reseal(transitStanza(keys, keys.must("vault", "token", "create", "-policy=seal", "-field=token"), ""))
	s.start("server started!")
	s.awaitUnsealed()
	s.awaitLog("unsealed")
}

// A server that was never initialised says what is missing to do so, and nothing is made by halves.
func TestTransitSealInitWhileAway(t *testing.T) {
	t.Parallel()
	s, _ := withSeal(t, "seal \"transit\" {\n address = \"http://"+porttest.Free(t)+"\"\n token = \"hvs.canary\"\n key_name = \"k\"\n mount_path = \"transit\"\n}\n")
	s.start("server started!")
	t.Cleanup(s.stop)
	r := s.run(nil, "jeton", "operator", "init")
	if r.code != 2 || !strings.Contains(r.errOut, "Code: 502") || !strings.Contains(r.errOut, "cannot be reached to encrypt") || strings.Contains(r.errOut, "canary") {
		t.Errorf("%d %s", r.code, r.errOut)
	}
	if r := s.run(nil, "jeton", "operator", "init", "-status"); r.code != 2 {
		t.Errorf("init -status: %d %s", r.code, r.out)
	}
}

// TestWrongSeals: contract config §5: a wrong configuration is an exit with 1 that names it.
func TestWrongSeals(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	static := fmt.Sprintf("seal \"static\" {\n current_key_id = \"a\"\n current_key = %q\n", key)
	transit := "seal \"transit\" {\n address = \"http://127.0.0.1:1\"\n token = \"hvs.canary\"\n key_name = \"k\"\n mount_path = \"transit\"\n"
	for name, c := range map[string]struct{ stanza, want string }{
		"no key":                {`seal "transit" { address = "http://127.0.0.1:1" }`, `'key_name' must be set`},
		"no token":              {strings.Replace(transit, ` token = "hvs.canary"`+"\n", "", 1) + "}", `Error configuring seal "transit": 'token' must be set`},
		"no URL":                {strings.Replace(transit, "http://127.0.0.1:1", "127.0.0.1:1", 1) + "}", `Error configuring seal "transit": 'address' must be a URL`},
		"no CA file":            {transit + " tls_ca_cert = \"/does/not/exist\"\n}", `Error configuring seal "transit": the TLS settings`},
		"half a pair":           {transit + " tls_client_cert = \"/does/not/exist\"\n}", `Error configuring seal "transit": the TLS settings: both client cert and client key must be provided`},
		"another type":          {`seal "awskms" {}`, `Error configuring seal "awskms"`},
		"two of one type":       {static + "}\n" + static + " disabled = true\n}", `between two seals of one type`},
		"two, none disabled":    {static + "}\n" + transit + "}", "two seals provided but neither is disabled"},
		"a wrong disabled seal": {static + "}\n" + strings.Replace(transit, "http://127.0.0.1:1", "x", 1) + " disabled = true\n}", `Error configuring seal "transit": 'address' must be a URL`},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := withSeal(t, c.stanza)
			r := s.run(nil, "jeton", s.args...)
			if r.code != 1 || !strings.Contains(r.errOut, c.want) || strings.Contains(r.errOut, "canary") {
				t.Errorf("exit code %d\n%s%s\nwant 1 and %s", r.code, r.out, r.errOut, c.want)
			}
		})
	}
}

// TestSealMigration: contract config §5, cli §6 unseal -migrate: from shares to a static key, to
// another server's key, and back to shares.
func TestSealMigration(t *testing.T) {
	t.Parallel()
	keys, token := keyServer(t)
	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	static := func(more string) string {
		return fmt.Sprintf("seal \"static\" {\n current_key_id = \"a\"\n current_key = %q\n %s\n}\n", key, more)
	}
	s, reseal := withSeal(t, "")
	s.start("server started!")
	t.Cleanup(s.stop)
	var made struct {
		Keys []string `json:"unseal_keys_b64"`
		Root string   `json:"root_token"`
	}
	s.jsonOf(&made, "jeton", "operator", "init", "-key-shares=3", "-key-threshold=2", "-format=json")
	s.root = made.Root
	for _, share := range made.Keys[:2] {
		s.must("jeton", "operator", "unseal", share)
	}
	migrate := func(stanzas, kind string) {
		t.Helper()
		s.stop()
		reseal(stanzas)
		s.start("server started!")
		if r := s.run(nil, "jeton", "status", "-format=json"); r.code != 2 || !strings.Contains(r.out, `"migration": true`) {
			t.Fatalf("status: %d\n%s", r.code, r.out)
		}
		if r := s.run(nil, "jeton", "operator", "unseal", made.Keys[0]); r.code != 2 || !strings.Contains(r.errOut, "migrate option not provided and seal migration is pending") {
			t.Fatalf("without -migrate: %d %s", r.code, r.errOut)
		}
		s.must("jeton", "operator", "unseal", "-migrate", made.Keys[2])
		s.kill() // shares that were given are lost, nothing else
		s.start("server started!")
		s.must("jeton", "operator", "unseal", "-migrate", made.Keys[2])
		s.must("jeton", "operator", "unseal", "-migrate", made.Keys[1])
		if out := s.must("jeton", "status"); !strings.Contains(out, kind) || !strings.Contains(out, "false") {
			t.Fatalf("status after the migration:\n%s", out)
		}
		s.kill()
		s.start("server started!")
	}
	snapshot := filepath.Join(s.dir, "before.snap")
	s.must("jeton", "operator", "snapshot", "save", snapshot)
	migrate(static(""), "static")
	s.awaitUnsealed()
	// A backup of the time before is of the old seal: it is restored, and migrated again.
	s.must("jeton", "operator", "snapshot", "restore", "-force", snapshot)
	s.must("jeton", "operator", "unseal", "-migrate", made.Keys[0])
	s.must("jeton", "operator", "unseal", "-migrate", made.Keys[1])
	s.awaitUnsealed()
	migrate(static("disabled = true")+transitStanza(keys, token, ""), "transit")
	s.awaitUnsealed()
	migrate(transitStanza(keys, token, "disabled = true"), "shamir")
	for _, share := range made.Keys[:2] {
		s.must("jeton", "operator", "unseal", share)
	}
	s.awaitUnsealed()
	s.stop()
	reseal("")
	s.start("server started!")
	if r := s.run(nil, "jeton", "operator", "unseal", "-migrate", made.Keys[0]); r.code != 2 || !strings.Contains(r.errOut, "no migration seal found") {
		t.Errorf("%d %s", r.code, r.errOut)
	}
}
