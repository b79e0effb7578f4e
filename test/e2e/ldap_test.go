package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"jeton/internal/auth/ldap/ldaptest"
)

// hvac's client.auth.ldap, whole, against the built program and a real directory.
func TestHvacLDAP(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	script, err := filepath.Abs("python/directory.py")
	if err != nil {
		t.Fatal(err)
	}
	directory := ldaptest.Start(t, ldaptest.Options{OnlyTLS: true})
	s := startDev(t)
	env := []string{"PYTHONDONTWRITEBYTECODE=1", "VAULT_TOKEN=" + s.root, "LDAP_URL=" + directory.URL(), "LDAP_BASE=" + ldaptest.Base,
		"LDAP_BINDDN=" + ldaptest.Reader, "LDAP_BINDPASS=" + ldaptest.ReaderPassword, "LDAP_CA=" + directory.CA()}
	if r := s.run(env, interpreter, script); r.code != 0 || r.out != "as promised\n" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

// The command line: auth enable, the configuration with a CA from a file, logins by argument and
// by environment; and the directory going away and coming back under a running server.
func TestCommandLineLDAP(t *testing.T) {
	t.Parallel()
	directory := ldaptest.Start(t, ldaptest.Options{})
	s := startDev(t)
	s.must("jeton", "auth", "enable", "ldap")
	s.must("jeton", "write", "auth/ldap/config", "url="+directory.SecureURL(), "certificate=@"+directory.CAFile(),
		"binddn="+ldaptest.Reader, "bindpass="+ldaptest.ReaderPassword, "userdn="+ldaptest.People, "userattr=uid", "groupdn="+ldaptest.Groups)
	s.must("jeton", "write", "auth/ldap/groups/engineers", "policies=build")
	login := func(env []string, more ...string) result {
		return s.run(env, "jeton", append([]string{"login", "-method=ldap", "-no-store"}, more...)...)
	}
	if r := login(nil, "username=alice", "password="+ldaptest.Password("alice")); r.code != 0 || !strings.Contains(r.out, `"build"`) {
		t.Errorf("%d\n%s%s", r.code, r.out, r.errOut)
	}
	if r := login([]string{"VAULT_LDAP_USERNAME=bob"}, "password="+ldaptest.Password("bob")); r.code != 0 || !strings.Contains(r.out, "token_meta_username") {
		t.Errorf("%d\n%s%s", r.code, r.out, r.errOut)
	}
	for _, name := range []string{"#hash", "star*", "percent%41", "two words", "slash/name", "comma, name"} {
		if r := login(nil, "username="+name, "password="+ldaptest.Password(name)); r.code != 0 {
			t.Errorf("%q: %d\n%s%s", name, r.code, r.out, r.errOut)
		}
	}
	if r := login(nil, "username=alice", "password=wrong"); r.code != 2 || !strings.Contains(r.errOut, "ldap operation failed: failed to bind as user") {
		t.Errorf("%d\n%s%s", r.code, r.out, r.errOut)
	}
	s.must("jeton", "write", "auth/ldap/config", "certificate=", "bindpass="+ldaptest.ReaderPassword)
	if r := login(nil, "username=alice", "password=x"); !strings.Contains(r.errOut, "certificate signed by unknown authority") || strings.Contains(r.errOut, "VAULT_CACERT") {
		t.Errorf("advice about another certificate:\n%s", r.errOut)
	}
	s.must("jeton", "write", "auth/ldap/config", "certificate=@"+directory.CAFile(), "bindpass="+ldaptest.ReaderPassword)
	directory.Stop()
	if r := login(nil, "username=alice", "password="+ldaptest.Password("alice")); r.code != 2 || !strings.Contains(r.errOut, "error connecting to host") {
		t.Errorf("%d\n%s%s", r.code, r.out, r.errOut)
	}
	directory.Resume()
	if r := login(nil, "username=alice", "password="+ldaptest.Password("alice")); r.code != 0 {
		t.Errorf("after the directory came back: %d\n%s%s", r.code, r.out, r.errOut)
	}
}
