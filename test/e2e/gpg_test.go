package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gpgUser has a key of their own, in a home of their own, in the hands of the real gpg.
type gpgUser struct {
	s           *server
	home        string
	fingerprint string
	// public is a file with the public key.
	public string
}

// newGPGUser makes a key; armour says in which form its public part is exported.
func newGPGUser(t *testing.T, s *server, name string, armour bool) *gpgUser {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg") // the agent's socket must have a short name
	if err != nil {
		t.Fatal(err)
	}
	u := &gpgUser{s: s, home: home, public: filepath.Join(s.dir, name+".pub")}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	u.gpg(nil, "--quick-generate-key", "--passphrase", "", name+"@example.com", "future-default", "default", "1d")
	for _, line := range strings.Split(u.gpg(nil, "--with-colons", "--fingerprint"), "\n") {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" && u.fingerprint == "" {
			u.fingerprint = strings.ToLower(fields[9])
		}
	}
	form := "--no-armor"
	if armour {
		form = "--armor"
	}
	if err := os.WriteFile(u.public, []byte(u.gpg(nil, form, "--export")), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

// gpg runs gpg and returns what it prints.
func (u *gpgUser) gpg(stdin []byte, args ...string) string {
	u.s.t.Helper()
	cmd := exec.Command("gpg", append([]string{"--homedir", u.home, "--batch", "--quiet", "--pinentry-mode", "loopback"}, args...)...)
	cmd.Stdin = strings.NewReader(string(stdin))
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		u.s.t.Fatalf("gpg %s: %v\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return string(out)
}

// read decrypts what came in base64.
func (u *gpgUser) read(text string) string {
	u.s.t.Helper()
	message, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		u.s.t.Fatal(err)
	}
	return u.gpg(message, "--decrypt")
}

// Contract: sys §1, §15, §16, cli §6: shares and root tokens that only the real gpg can open.
func TestGPG(t *testing.T) {
	t.Parallel()
	need(t, "gpg", "gpgconf")
	s := newProduction(t)
	ada, ben := newGPGUser(t, s, "ada", true), newGPGUser(t, s, "ben", false)
	s.start("server started!")
	t.Cleanup(s.stop)
	var made struct {
		Keys []string `json:"unseal_keys_b64"`
		Hex  []string `json:"unseal_keys_hex"`
		Root string   `json:"root_token"`
	}
	s.jsonOf(&made, "jeton", "operator", "init", "-key-shares=2", "-key-threshold=2", "-pgp-keys="+ada.public+","+ben.public,
		"-root-token-pgp-key="+ben.public, "-format=json")
	s.root = ben.read(made.Root)
	if !strings.HasPrefix(s.root, "hvs.") {
		t.Fatal("the root token's envelope holds something else")
	}
	for _, share := range []string{ada.read(made.Keys[0]), ben.read(made.Keys[1])} {
		s.must("jeton", "operator", "unseal", share)
	}
	if a := s.raw("GET", "auth/token/lookup-self", s.root, nil); a.status != 200 {
		t.Fatalf("the root token out of its envelope: %d %s", a.status, a.text)
	}
	old := []string{ada.read(made.Keys[0]), ben.read(made.Keys[1])}

	t.Run("rekey with a backup", func(t *testing.T) { gpgRekey(t, s, ada, ben, old) })
	t.Run("generate-root", func(t *testing.T) { gpgRoot(t, s, ada) })
	t.Run("wrong keys", func(t *testing.T) {
		for args, want := range map[string]string{
			"-pgp-keys=keybase:ada":                      "are not fetched from keybase",
			"-pgp-keys=/does/not/exist":                  "Error reading PGP key",
			"-pgp-keys=" + s.args[1][len("-config="):]:   "it is not a PGP public key",
			"-pgp-keys=" + ada.public + "," + ben.public: "incorrect number of PGP keys for rekey",
			"-backup": "cannot request a backup of the new keys without providing PGP keys",
		} {
			r := s.run(nil, "jeton", "operator", "rekey", "-init", "-key-shares=1", "-key-threshold=1", args)
			if r.code == 0 || !strings.Contains(strings.Join(strings.Fields(r.errOut), " "), want) {
				t.Errorf("%s: exit code %d, %s", args, r.code, r.errOut)
			}
		}
	})
}

// The same by hvac.
func TestHvacGPG(t *testing.T) {
	t.Parallel()
	need(t, "gpg", "gpgconf")
	interpreter := python(t)
	script, err := filepath.Abs("python/pgp.py")
	if err != nil {
		t.Fatal(err)
	}
	s := newProduction(t)
	ada := newGPGUser(t, s, "ada", false)
	s.start("server started!")
	t.Cleanup(s.stop)
	r := s.run([]string{"PYTHONDONTWRITEBYTECODE=1", "VAULT_TOKEN=", "GNUPGHOME=" + ada.home, "HOLDER=ada@example.com", "FINGERPRINT=" + ada.fingerprint}, interpreter, script)
	if r.code != 0 || r.out != "as promised\n" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

// gpgRekey hands out new shares, one to each, and finds them in the backup again.
func gpgRekey(t *testing.T, s *server, ada, ben *gpgUser, old []string) {
	var begun, done struct {
		Nonce        string   `json:"nonce"`
		Fingerprints []string `json:"pgp_fingerprints"`
		Keys         []string `json:"keys_base64"`
	}
	s.jsonOf(&begun, "jeton", "operator", "rekey", "-init", "-key-shares=2", "-key-threshold=2", "-backup",
		"-pgp-keys="+ben.public, "-pgp-keys="+ada.public, "-format=json")
	if len(begun.Fingerprints) != 2 || begun.Fingerprints[0] != ben.fingerprint || begun.Fingerprints[1] != ada.fingerprint {
		t.Fatalf("fingerprints %v, want %s %s as gpg shows them", begun.Fingerprints, ben.fingerprint, ada.fingerprint)
	}
	s.must("jeton", "operator", "rekey", "-nonce="+begun.Nonce, old[0])
	s.jsonOf(&done, "jeton", "operator", "rekey", "-format=json", "-nonce="+begun.Nonce, old[1])
	fresh := map[*gpgUser]string{ben: ben.read(done.Keys[0]), ada: ada.read(done.Keys[1])}

	table := s.must("jeton", "operator", "rekey", "-backup-retrieve")
	var kept struct {
		Keys map[string][]string `json:"keys_base64"`
	}
	if err := json.Unmarshal([]byte(s.must("jeton", "operator", "rekey", "-backup-retrieve", "-format=json")), &kept); err != nil {
		t.Fatal(err)
	}
	for u, share := range fresh {
		if got := u.read(kept.Keys[u.fingerprint][0]); got != share || !strings.Contains(table, u.fingerprint) {
			t.Errorf("the backup has another share for %s, or none:\n%s", u.fingerprint, table)
		}
	}
	s.must("jeton", "operator", "rekey", "-backup-delete")
	if r := s.run(nil, "jeton", "operator", "rekey", "-backup-retrieve"); r.code != 2 || !strings.Contains(r.errOut, "no backed-up keys found") {
		t.Errorf("after deletion: %d %s", r.code, r.errOut)
	}
	s.must("jeton", "operator", "seal")
	for _, share := range fresh {
		s.must("jeton", "operator", "unseal", share)
	}
	if a := s.raw("GET", "auth/token/lookup-self", s.root, nil); a.status != 200 {
		t.Fatalf("the new shares do not open the seal: %d %s", a.status, a.text)
	}
	s.shares = []string{fresh[ada], fresh[ben]}
}

func gpgRoot(t *testing.T, s *server, ada *gpgUser) {
	var st struct {
		Nonce       string `json:"nonce"`
		Fingerprint string `json:"pgp_fingerprint"`
		Token       string `json:"encoded_token"`
	}
	s.jsonOf(&st, "jeton", "operator", "generate-root", "-init", "-pgp-key="+ada.public, "-format=json")
	if st.Fingerprint != ada.fingerprint {
		t.Errorf("fingerprint %q, want %q", st.Fingerprint, ada.fingerprint)
	}
	for _, share := range s.shares {
		s.jsonOf(&st, "jeton", "operator", "generate-root", "-nonce="+st.Nonce, "-format=json", share)
	}
	if a := s.raw("GET", "auth/token/lookup-self", ada.read(st.Token), nil); a.status != 200 || a.Data["display_name"] != "root" {
		t.Errorf("the token out of its envelope: %d %s", a.status, a.text)
	}
}
