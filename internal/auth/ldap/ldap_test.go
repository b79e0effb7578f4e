package ldap_test

import (
	"slices"
	"testing"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/ldap"
	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
)

type object = map[string]any

// bySearch is a configuration with an account that searches.
func bySearch(s *ldaptest.Server) object {
	return object{
		"url": s.URL(), "binddn": ldaptest.Reader, "bindpass": ldaptest.ReaderPassword,
		"userdn": ldaptest.People, "userattr": "uid", "groupdn": ldaptest.Groups, "groupattr": "cn",
		"request_timeout": 10, "connection_timeout": 5,
	}
}

// with is config with other values; a nil one is left out.
func with(config object, more object) object {
	out := object{}
	for _, part := range []object{config, more} {
		for key, value := range part {
			if out[key] = value; value == nil {
				delete(out, key)
			}
		}
	}
	return out
}

// mounted is a bench with the method configured.
func mounted(t *testing.T, config object) *authtest.Bench {
	t.Helper()
	b := authtest.New(t, ldap.New)
	t.Cleanup(func() {
		if err := b.Backend.(backend.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	b.Must(t, backend.Update, "config", config)
	return b
}

const wrong = "ldap operation failed: failed to bind as user"

func login(t *testing.T, b *authtest.Bench, name, password string) (*backend.Login, error) {
	t.Helper()
	return b.Login(t.Context(), "login/"+name, object{"password": password})
}

func mustLogin(t *testing.T, b *authtest.Bench, name string) *backend.Login {
	t.Helper()
	l, err := login(t, b, name, ldaptest.Password(name))
	if err != nil {
		t.Fatalf("login of %s: %v", name, err)
	}
	return l
}

func refused(t *testing.T, b *authtest.Bench, name, password string) {
	t.Helper()
	_, err := login(t, b, name, password)
	authtest.Is(t, err, backend.Invalid, wrong)
}

func TestSmoke(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, bySearch(s))
	l := mustLogin(t, b, "alice")
	t.Logf("%+v %v %v", l, l.GroupAliases, l.Alias)
	refused(t, b, "alice", "x")
	refused(t, b, "nobody", "x")
	if !slices.Contains(l.GroupAliases, "engineers") {
		t.Error("x")
	}
}
