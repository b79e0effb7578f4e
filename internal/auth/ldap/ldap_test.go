package ldap_test

import (
	"errors"
	"maps"
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

// without is a change to a configuration that takes the account away, and more.
func without(more object) object {
	out := object{"binddn": nil, "bindpass": nil}
	maps.Copy(out, more)
	return out
}

// mounted is a bench with the method configured.
func mounted(t *testing.T, config object) *authtest.Bench {
	t.Helper()
	b := authtest.New(t, ldap.Refusing(0))
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

// says checks that an error is the client's fault, and its text as clients see it.
func says(t *testing.T, err error, text string) {
	t.Helper()
	var e *backend.Error
	if !errors.As(err, &e) || (e.Kind != backend.Invalid && e.Kind != backend.InvalidAggregate) || e.Text != text {
		t.Fatalf("%v, want %s", err, text)
	}
}
