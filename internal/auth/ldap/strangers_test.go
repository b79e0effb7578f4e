package ldap_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth"
	"jeton/internal/auth/authtest"
	"jeton/internal/auth/ldap"
	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// lockUp guesses until name is locked, and returns what the guesser was told.
func lockUp(t *testing.T, b *authtest.Bench, name string) (told []string) {
	t.Helper()
	for range 7 {
		_, err := login(t, b, name, "wrong")
		told = append(told, fmt.Sprint(backend.KindOf(err), " ", err))
	}
	if last := told[len(told)-1]; !strings.HasSuffix(last, "permission denied") {
		t.Fatalf("%s is not locked: %q", name, told)
	}
	return told
}

func lockedNames(t *testing.T, b *authtest.Bench) []string {
	t.Helper()
	names, err := b.Backend.(auth.Lockable).Locked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Names that a stranger makes up cost no storage; those of users are locked in the store, so that a
// restart frees nobody. By what is answered nobody tells the one from the other, nor by the
// number of commits. Contract: auth-methods §8; decision 0023.
func TestMadeUpNamesAreNotStored(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	ways := map[string]object{"search": bySearch(s), "discoverdn": with(bySearch(s), without(object{"discoverdn": true})), "composed": with(bySearch(s), without(nil))}
	for way, config := range ways {
		t.Run(way, func(t *testing.T) {
			b := mounted(t, config)
			mustLogin(t, b, "alice")
			before := b.Stored(t, "")
			var made []string
			var told []string
			for i := range 20 {
				name := fmt.Sprintf("made up %02d", i)
				told = lockUp(t, b, name)
				made = append(made, name)
			}
			if grown := b.Stored(t, "") - before; grown != 0 {
				t.Errorf("made-up names left %d records", grown)
			}
			if real := lockUp(t, b, "alice"); !slices.Equal(real, told) {
				t.Errorf("a user's guesser is told %q, a stranger's %q", real, told)
			}
			if names, want := lockedNames(t, b), append([]string{"alice"}, made...); !slices.Equal(names, want) {
				t.Errorf("locked %q, want %q", names, want)
			}
			if err := b.Backend.(auth.Lockable).Unlock(t.Context(), made[0]); err != nil {
				t.Fatal(err)
			}
			refused(t, b, made[0], "wrong")
			b.Remount(t)
			_, err := login(t, b, "ALICE ", ldaptest.Password("alice"))
			authtest.Is(t, err, backend.Denied, "permission denied")
			if names := lockedNames(t, b); !slices.Equal(names, []string{"alice"}) {
				t.Errorf("after a restart %q are locked, want alice", names)
			}
		})
	}
}

// Where the directory does not say who is there, a user is known who has logged in before, or who has
// policies or groups here. Contract: auth-methods §8; decision 0023.
func TestWhoIsKnownWithoutASearch(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	for name, config := range map[string]object{
		"composed":  with(bySearch(s), without(nil)),
		"principal": with(bySearch(s), without(object{"upndomain": "example.org"})),
	} {
		t.Run(name, func(t *testing.T) {
			b := mounted(t, config)
			b.Must(t, backend.Update, "users/bob", object{"policies": "his"})
			lockUp(t, b, "bob")
			lockUp(t, b, "carol")
			b.Remount(t)
			if names := lockedNames(t, b); !slices.Equal(names, []string{"bob"}) {
				t.Errorf("locked %q, want bob, who has policies", names)
			}
		})
	}
	t.Run("logged in before", func(t *testing.T) {
		b := mounted(t, with(bySearch(s), without(nil)))
		for _, name := range []string{"alice", "Alice", " alice"} {
			if _, err := login(t, b, name, ldaptest.Password("alice")); err != nil {
				t.Fatal(err)
			}
		}
		if n := b.Stored(t, "known/"); n != 1 {
			t.Errorf("%d records of who has logged in, want 1", n)
		}
		lockUp(t, b, " ALICE")
		b.Remount(t)
		if names := lockedNames(t, b); !slices.Equal(names, []string{"alice"}) {
			t.Errorf("locked %q, want alice, who logged in before", names)
		}
		b.CheckBites(t)
	})
	t.Run("with a search, the directory knows: nothing is kept", func(t *testing.T) {
		b := mounted(t, bySearch(s))
		mustLogin(t, b, "alice")
		if n := b.Stored(t, "known/"); n != 0 {
			t.Errorf("%d records of who has logged in", n)
		}
	})
}

// A failing store tells a user from a made-up name no more than a sound one.
func TestFaultyLocksTellNobodyApart(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	told := map[string][]string{}
	for _, name := range []string{"alice", "nobody"} {
		inner, err := embedded.OpenMemory()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { inner.Close() })
		faulty := storetest.Faulty(inner)
		b := authtest.On(t, faulty, ldap.Refusing(0))
		t.Cleanup(func() { b.Backend.(backend.Closer).Close() })
		b.Must(t, backend.Update, "config", bySearch(s))
		faulty.InjectAt(1, storetest.Failed)
		told[name] = lockUp(t, b, name)
	}
	if !slices.Equal(told["alice"], told["nobody"]) || !strings.HasSuffix(told["nobody"][4], storetest.ErrInjected.Error()) {
		t.Errorf("a user's guesser is told %q, a stranger's %q", told["alice"], told["nobody"])
	}
}

// Every refused login is answered late: whether the name is unknown, the password wrong, or the name none
// that a directory has. The bound is a lower one, which no machine is too slow for.
func TestRefusedLoginsAreHeld(t *testing.T) {
	const after = 100 * time.Millisecond
	s := ldaptest.Start(t, ldaptest.Options{})
	b := authtest.New(t, ldap.Refusing(after))
	t.Cleanup(func() { _ = b.Backend.(backend.Closer).Close() })
	b.Must(t, backend.Update, "config", bySearch(s))
	for _, name := range []string{"alice", "nobody", "twin", "no\x00name"} {
		begun := time.Now()
		refused(t, b, name, "wrong")
		if took := time.Since(begun); took < after {
			t.Errorf("%q is refused after %s", name, took)
		}
	}
	// Nobody waits longer for the lockout because others are held back: these have their slots in turn.
	mustLogin(t, b, "alice")
}
