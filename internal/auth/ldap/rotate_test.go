package ldap_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/ldap"
	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// taken says whether the directory takes a password of the account that searches.
func taken(t *testing.T, s *ldaptest.Server, password string) bool {
	t.Helper()
	conn, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.Bind(ldaptest.Reader, password) == nil
}

// pending says whether a rotation has stored its next password.
func pending(t *testing.T, b *authtest.Bench) bool {
	t.Helper()
	var stored []byte
	err := b.Area.View(t.Context(), func(r store.Reader) (err error) {
		stored, err = r.Get([]byte("config"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(stored, []byte("-a1Z"))
}

func rotate(t *testing.T, b *authtest.Bench) error {
	t.Helper()
	_, err := b.Do(t.Context(), backend.Update, "config/rotate-root", nil)
	return err
}

// The account gets a password that nobody knows; logins go on.
func TestRotation(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, bySearch(s))
	mustLogin(t, b, "alice")
	for range 2 {
		if err := rotate(t, b); err != nil {
			t.Fatal(err)
		}
		if taken(t, s, ldaptest.ReaderPassword) {
			t.Fatal("the old password is good still")
		}
		mustLogin(t, b, "alice")
		b.Remount(t)
		mustLogin(t, b, "alice")
	}
	t.Run("a tool that writes the old password again loses nothing", func(t *testing.T) {
		for range 2 {
			b.Must(t, backend.Update, "config", bySearch(s))
			mustLogin(t, b, "alice")
			b.Remount(t)
			mustLogin(t, b, "alice")
			if err := rotate(t, b); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a password that somebody sets in both places is the password", func(t *testing.T) {
		s.SetPassword(ldaptest.Reader, "by hand")
		b.Must(t, backend.Update, "config", object{"bindpass": "by hand"})
		mustLogin(t, b, "alice")
		b.Remount(t)
		mustLogin(t, b, "alice")
		if !taken(t, s, "by hand") {
			t.Error("a login changed the password")
		}
	})
	t.Run("another account starts afresh", func(t *testing.T) {
		if err := rotate(t, b); err != nil {
			t.Fatal(err)
		}
		b.Must(t, backend.Update, "config", object{"binddn": ldaptest.DN("bob"), "bindpass": "wrong"})
		_, err := login(t, b, "alice", ldaptest.Password("alice"))
		says(t, err, "ldap operation failed: failed to bind with the BindDN user: Invalid Credentials")
	})
}

// Active Directory binds an account by other names than its DN.
func TestRotationByLogonName(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	relay.Rename(func(name string) string {
		if strings.Contains(name, "bob") {
			return ldaptest.DN("bob")
		}
		return name
	})
	for _, name := range []string{`EXAMPLE\bob`, "bob@example.org", "bob@elsewhere.example"} {
		s.SetPassword(ldaptest.DN("bob"), ldaptest.Password("bob"))
		b := mounted(t, with(bySearch(s), object{"url": relay.URL(), "binddn": name, "bindpass": ldaptest.Password("bob")}))
		if err := rotate(t, b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mustLogin(t, b, "alice")
	}
	b := mounted(t, with(bySearch(s), object{"url": relay.URL(), "binddn": "bobby@example.org", "bindpass": ldaptest.Password("bob")}))
	s.SetPassword(ldaptest.DN("bob"), ldaptest.Password("bob"))
	says(t, rotate(t, b), "ldap operation failed: binddn is no DN, and the directory has not exactly one entry with it as its logon name")
	mustLogin(t, b, "alice")
}

func TestRotationErrors(t *testing.T) {
	const nothing = "auth is not using authenticated search, no root to rotate"
	b := authtest.New(t, ldap.Refusing(0))
	says(t, rotate(t, b), nothing)
	b.Must(t, backend.Update, "config", object{"discoverdn": true})
	says(t, rotate(t, b), nothing)

	frozen := ldaptest.Start(t, ldaptest.Options{Frozen: true})
	b = mounted(t, bySearch(frozen))
	for range 2 {
		says(t, rotate(t, b), "ldap operation failed: failed to change the password of the BindDN user: Insufficient Access Rights")
		mustLogin(t, b, "alice")
	}
	t.Run("two at once", func(t *testing.T) {
		silent := mounted(t, with(bySearch(frozen), object{"url": ldaptest.Silent(t), "connection_timeout": "1h"}))
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := silent.Do(ctx, backend.Update, "config/rotate-root", nil)
			first <- err
		}()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for !pending(t, silent) {
			<-tick.C
		}
		authtest.Is(t, rotate(t, silent), backend.Conflict, "another rotation is under way")
		// The configuration can be changed meanwhile.
		silent.Must(t, backend.Update, "config", object{"token_ttl": 5})
		cancel()
		if err := <-first; err == nil {
			t.Error("it rotated")
		}
	})
	frozen.Stop()
	says(t, rotate(t, b), `error connecting to host "`+frozen.URL()+`": dial: connect: connection refused`)
	frozen.Resume()
	mustLogin(t, b, "alice")
}

// The directory has changed the password and its answer is lost: the next login finds out, and the
// next rotation goes on.
func TestRotationAnswerLost(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	for _, again := range []string{"login", "rotation", "restart"} {
		t.Run(again, func(t *testing.T) {
			s.SetPassword(ldaptest.Reader, ldaptest.ReaderPassword)
			relay := ldaptest.NewRelay(t, s.Address())
			b := mounted(t, with(bySearch(s), object{"url": relay.URL()}))
			relay.Lose(func(op ber.Tag) bool { return op == extendedRequest })
			says(t, rotate(t, b), "ldap operation failed: failed to change the password of the BindDN user: the directory did not answer in time, or ended the connection")
			relay.Mute(nil)
			if taken(t, s, ldaptest.ReaderPassword) {
				t.Fatal("the directory has not changed the password: the test tests nothing")
			}
			switch again {
			case "rotation":
				if err := rotate(t, b); err != nil {
					t.Fatal(err)
				}
			case "restart":
				b.Remount(t)
			}
			mustLogin(t, b, "alice")
			b.Remount(t)
			mustLogin(t, b, "alice")
			if err := rotate(t, b); err != nil {
				t.Errorf("the next rotation: %v", err)
			}
			mustLogin(t, b, "alice")
		})
	}
}

// rotatedOverFault is the method after a rotation in which the store failed, and a restart.
func rotatedOverFault(t *testing.T, config object, inject func(*storetest.FaultyStore)) *authtest.Bench {
	t.Helper()
	inner, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	faulty := storetest.Faulty(inner)
	b := authtest.On(t, faulty, ldap.Refusing(0))
	b.Must(t, backend.Update, "config", config)
	inject(faulty)
	_ = rotate(t, b)
	if err := b.Backend.(backend.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	after := authtest.On(t, inner, ldap.Refusing(0))
	t.Cleanup(func() { _ = after.Backend.(backend.Closer).Close() })
	return after
}

// Every durable step of a rotation fails, fails but is persisted, or is the last thing the process
// does: the password that the directory has is one of those that are stored.
func TestRotationFaults(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		s.SetPassword(ldaptest.Reader, ldaptest.ReaderPassword)
		after := rotatedOverFault(t, bySearch(s), inject)
		mustLogin(t, after, "alice")
		if err := rotate(t, after); err != nil {
			t.Errorf("the next rotation: %v", err)
		}
		if taken(t, s, ldaptest.ReaderPassword) {
			t.Error("it did not rotate")
		}
		mustLogin(t, after, "alice")
	})
}
