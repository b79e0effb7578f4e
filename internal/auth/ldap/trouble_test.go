package ldap_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"jeton/internal/auth"
	"jeton/internal/auth/authtest"
	"jeton/internal/auth/ldap"
	"jeton/internal/auth/ldap/ldaptest"
	"jeton/internal/backend"
)

// The requests that tests listen for, by their tags (RFC 4511 §4).
const (
	searchRequest   = ber.Tag(3)
	bindRequest     = ber.Tag(0)
	extendedRequest = ber.Tag(23)
)

// brief is a configured time, in seconds, that a test waits for to be over; what the directory is to
// answer within it, it answers on a busy machine too.
const brief = 5

// Contract: auth-methods §4.3 step 3: all URLs fail → 400 that names each; nothing counts as a guess.
func TestDirectoryGoesAwayAndComesBack(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, bySearch(s))
	for range 2 {
		l := mustLogin(t, b, "alice")
		s.Stop()
		_, err := login(t, b, "alice", ldaptest.Password("alice"))
		says(t, err, `error connecting to host "`+s.URL()+`": dial: connect: connection refused`)
		if backend.KindOf(err) != backend.InvalidAggregate {
			t.Errorf("kind %d", backend.KindOf(err))
		}
		if _, err := b.Renew(t.Context(), l); err == nil {
			t.Error("renewed without asking")
		}
		notLocked(t, b)
		s.Resume()
		mustLogin(t, b, "alice")
		if _, err := b.Renew(t.Context(), l); err != nil {
			t.Errorf("renewal after the directory came back: %v", err)
		}
	}
}

// Connections that broke while they were kept are replaced; nobody sees an error.
func TestBrokenConnectionsAreReplaced(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	b := mounted(t, with(bySearch(s), object{"url": relay.URL()}))
	for range 3 {
		mustLogin(t, b, "alice")
		relay.Cut()
		mustLogin(t, b, "bob")
	}
	// What was kept for long is not trusted.
	mustLogin(t, b, "alice")
	before := relay.Opened()
	b.Clock.Add(2 * time.Minute)
	mustLogin(t, b, "alice")
	if made := relay.Opened() - before; made != 2 {
		t.Errorf("%d connections were made, want a new one to search and one for the user", made)
	}
}

// Several URLs are tried in order; one that is down or silent is passed over, and tried last
// for a while; when it is back it is the first again.
func TestFailOver(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	first, second := ldaptest.NewRelay(t, s.Address()), ldaptest.NewRelay(t, s.Address())
	for name, bad := range map[string]string{"down": ldaptest.Nobody(t), "silent": ldaptest.Silent(t)} {
		t.Run(name, func(t *testing.T) {
			b := mounted(t, with(bySearch(s), object{"url": bad + ", " + s.URL(), "connection_timeout": brief}))
			mustLogin(t, b, "alice")
			mustLogin(t, b, "bob")
		})
	}
	b := mounted(t, with(bySearch(s), object{"url": first.URL() + "," + second.URL()}))
	mustLogin(t, b, "alice")
	if first.Opened() != 2 || second.Opened() != 0 {
		t.Fatalf("%d and %d connections, want them to the first", first.Opened(), second.Opened())
	}
	// The first hears requests, and no answer comes back.
	first.Mute(func(ber.Tag) bool { return true })
	b.Must(t, backend.Update, "config", object{"connection_timeout": brief})
	mustLogin(t, b, "alice")
	heard := first.Opened()
	mustLogin(t, b, "bob")
	if first.Opened() != heard {
		t.Error("an address that had not answered was asked first again")
	}
	first.Mute(nil)
	b.Clock.Add(time.Minute)
	mustLogin(t, b, "bob")
	if first.Opened() == heard {
		t.Error("an address that came back is not used")
	}
}

// A directory that takes connections and never answers: an error within the configured time, no
// token, and nobody else waits; what hung is gone afterwards.
func TestDirectoryHangs(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	t.Run("from the first", func(t *testing.T) {
		silent := ldaptest.Silent(t)
		for name, config := range map[string]object{
			"ldap": {"url": silent}, "ldaps": {"url": strings.Replace(silent, "ldap:", "ldaps:", 1)}, "StartTLS": {"url": silent, "starttls": true},
			"composed": without(object{"url": silent}),
		} {
			b := mounted(t, with(with(bySearch(s), object{"connection_timeout": 1, "request_timeout": 1}), config))
			_, err := login(t, b, "alice", "x")
			says(t, err, `error connecting to host "`+strings.Split(config["url"].(string), ",")[0]+`": no answer in time`)
			if name == "ldap" {
				notLocked(t, b)
			}
		}
	})
	hangs := map[string]struct {
		at   ber.Tag
		skip int
		text string
	}{
		"at the search":           {searchRequest, 0, "ldap operation failed: failed to search for the user: the directory did not answer in time, or ended the connection"},
		"at the search of groups": {searchRequest, 1, "ldap operation failed: failed to search for groups: the directory did not answer in time, or ended the connection"},
	}
	for name, hang := range hangs {
		t.Run(name, func(t *testing.T) {
			relay := ldaptest.NewRelay(t, s.Address())
			b := mounted(t, with(bySearch(s), object{"url": relay.URL(), "request_timeout": brief}))
			left := hang.skip
			relay.Mute(func(op ber.Tag) bool {
				if op == hang.at {
					left--
				}
				return op == hang.at && left < 0
			})
			_, err := login(t, b, "alice", ldaptest.Password("alice"))
			says(t, err, hang.text)
			if open := relay.WaitOpen(0); open != 0 {
				t.Errorf("%d connections are left", open)
			}
		})
	}
	t.Run("others go on, and who gives up is let go", func(t *testing.T) {
		b := mounted(t, with(bySearch(s), object{"url": ldaptest.Silent(t), "connection_timeout": "1h", "request_timeout": "1h"}))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		errs := make([]error, 200)
		for i := range errs {
			wg.Go(func() { _, errs[i] = b.Login(ctx, "login/"+ldaptest.Odd()[i%20], object{"password": "x"}) })
		}
		b.Must(t, backend.Update, "groups/g", object{"policies": "p"})
		if keys := b.Keys(t, "groups"); !slices.Equal(keys, []string{"g"}) {
			t.Errorf("groups %v", keys)
		}
		cancel()
		wg.Wait()
		for _, err := range errs {
			if err == nil {
				t.Error("a token without an answer")
			}
		}
	})
}

// The service account's own trouble is nobody's guess. Contract: auth-methods §4.3 step 5 [!].
func TestServiceAccountRefused(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, with(bySearch(s), object{"bindpass": "wrong"}))
	_, err := login(t, b, "alice", ldaptest.Password("alice"))
	says(t, err, "ldap operation failed: failed to bind with the BindDN user: Invalid Credentials")
	notLocked(t, b)
	b = mounted(t, with(bySearch(s), object{"userdn": "ou=nowhere," + ldaptest.Base}))
	_, err = login(t, b, "alice", ldaptest.Password("alice"))
	says(t, err, "ldap operation failed: failed to search for the user: No Such Object")
	notLocked(t, b)
}

// Contract: auth-methods §8 for ldap.
func TestLockout(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	locked := func(t *testing.T, b *authtest.Bench, name string) {
		t.Helper()
		_, err := login(t, b, name, ldaptest.Password("alice"))
		authtest.Is(t, err, backend.Denied, "permission denied")
	}
	t.Run("5 wrong → 6th correct 403, without asking; wait → 200", func(t *testing.T) {
		relay := ldaptest.NewRelay(t, s.Address())
		b := mounted(t, with(bySearch(s), object{"url": relay.URL()}))
		for range 5 {
			refused(t, b, "alice", "wrong")
		}
		said := len(relay.Operations())
		locked(t, b, "alice")
		if len(relay.Operations()) != said {
			t.Error("the directory was asked for a locked user")
		}
		b.Remount(t)
		locked(t, b, "ALICE")
		b.Clock.Add(15 * time.Minute)
		mustLogin(t, b, "alice")
	})
	t.Run("CVE-2025-6004: spellings have no guesses of their own", func(t *testing.T) {
		b := mounted(t, bySearch(s))
		for _, name := range []string{"alice", "Alice", " alice ", "ａｌｉｃｅ", "ALICE"} {
			refused(t, b, name, "wrong")
		}
		locked(t, b, "alice")
		if names, err := b.Backend.(auth.Lockable).Locked(t.Context()); err != nil || !slices.Equal(names, []string{"alice"}) {
			t.Errorf("locked: %v, %v", names, err)
		}
		if err := b.Backend.(auth.Lockable).Unlock(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		mustLogin(t, b, "alice")
	})
	t.Run("nor have the other names that a filter finds a user by", func(t *testing.T) {
		b := mounted(t, with(bySearch(s), object{"userfilter": "(|({{.UserAttr}}={{.Username}})(mail={{.Username}})(cn={{.Username}}))"}))
		for _, name := range []string{"alice", "al@example.org", "alice liddell", "AL@example.org", "alice"} {
			refused(t, b, name, "wrong")
		}
		locked(t, b, "al@example.org")
		locked(t, b, "alice")
		if _, err := login(t, b, "bob@example.org", ldaptest.Password("bob")); err != nil {
			t.Errorf("bob: %v", err)
		}
	})
	t.Run("who is not there is locked alike, so that locks tell nothing", func(t *testing.T) {
		b := mounted(t, bySearch(s))
		for range 5 {
			refused(t, b, "nobody", "wrong")
		}
		_, err := login(t, b, "nobody", "wrong")
		authtest.Is(t, err, backend.Denied, "permission denied")
	})
	t.Run("4 wrong + 1 right resets", func(t *testing.T) {
		b := mounted(t, bySearch(s))
		for range 3 {
			for range 4 {
				refused(t, b, "alice", "wrong")
			}
			mustLogin(t, b, "alice")
		}
	})
	t.Run("20 at once: five are asked for", func(t *testing.T) {
		relay := ldaptest.NewRelay(t, s.Address())
		b := mounted(t, with(bySearch(s), object{"url": relay.URL()}))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _, _ = login(t, b, "alice", "wrong") })
		}
		wg.Wait()
		asked := 0
		for _, name := range relay.Binds() {
			if name == ldaptest.DN("alice") {
				asked++
			}
		}
		if asked != 5 {
			t.Errorf("%d passwords reached the directory, want 5", asked)
		}
	})
	t.Run("a renewal is no guess", func(t *testing.T) {
		b := mounted(t, bySearch(s))
		l := mustLogin(t, b, "u0002")
		s.SetPassword(ldaptest.DN("u0002"), "another")
		for range 8 {
			_, err := b.Renew(t.Context(), l)
			says(t, err, wrong)
		}
		if _, err := login(t, b, "u0002", "another"); err != nil {
			t.Error(err)
		}
	})
}

// Contract: auth-methods §1.3 and §4.3: a renewal proves all again. CVE-2026-115356.
func TestRenewalCVE2026115356(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, with(bySearch(s), object{"token_ttl": 60}))
	b.Must(t, backend.Update, "groups/engineers", object{"policies": "build"})
	b.Must(t, backend.Update, "users/u0003", object{"policies": "own"})
	s.Join("u0003", "engineers")
	l := mustLogin(t, b, "u0003")
	l.Policies = append(l.Policies, "default")

	b.Must(t, backend.Update, "config", object{"token_ttl": 120, "token_max_ttl": 300})
	s.Join("u0003", "Admins")
	renewed, err := b.Renew(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if renewed.Terms.TTL != 2*time.Minute || renewed.Terms.MaxTTL != 5*time.Minute {
		t.Errorf("not the current limits: %+v", renewed.Terms)
	}
	if !slices.Equal(renewed.GroupAliases, []string{"Admins", "engineers"}) {
		t.Errorf("groups %q", renewed.GroupAliases)
	}
	s.Leave("u0003", "Admins")
	s.Leave("u0003", "engineers")
	const changed = "failed to renew entry: policies have changed, not renewing"
	_, err = b.Renew(t.Context(), l)
	says(t, err, changed)
	s.Join("u0003", "engineers")
	if _, err = b.Renew(t.Context(), l); err != nil {
		t.Errorf("back in the group: %v", err)
	}
	b.Must(t, backend.Update, "users/u0003", object{"policies": "own,more"})
	_, err = b.Renew(t.Context(), l)
	says(t, err, changed)
	b.Must(t, backend.Update, "users/u0003", object{"policies": "own"})

	s.SetPassword(ldaptest.DN("u0003"), "another")
	_, err = b.Renew(t.Context(), l)
	says(t, err, wrong)
	s.SetPassword(ldaptest.DN("u0003"), ldaptest.Password("u0003"))
	if _, err = b.Renew(t.Context(), l); err != nil {
		t.Errorf("with the password again: %v", err)
	}
	s.Remove("u0003")
	_, err = b.Renew(t.Context(), l)
	says(t, err, wrong)

	// Of no groups at all the identity store has to hear, too.
	alone := mustLogin(t, b, "u0004")
	if renewed, err := b.Renew(t.Context(), alone); err != nil || renewed.GroupAliases == nil {
		t.Errorf("groups %#v, %v", renewed, err)
	}
	// The configuration decides anew.
	b.Must(t, backend.Update, "config", object{"userfilter": "(&(uid={{.Username}})(mail=*))"})
	_, err = b.Renew(t.Context(), alone)
	says(t, err, wrong)
}

// What was changed while the directory was asked gives no token.
func TestConfigurationChangedDuringLogin(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, bySearch(s))
	response, err := b.Do(t.Context(), backend.Update, "login/alice", object{"password": ldaptest.Password("alice")})
	if err != nil {
		t.Fatal(err)
	}
	b.Must(t, backend.Update, "config", object{"token_policies": "other"})
	err = b.Store.Update(t.Context(), response.Login.Consume)
	authtest.Is(t, err, backend.Conflict, "the configuration was changed during the login")
}

// A mapping that is taken away between the directory's word and the token gives nothing any more;
// one of somebody else changes nothing.
func TestMappingsChangedDuringLogin(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, bySearch(s))
	for name, row := range map[string]struct {
		change func()
		holds  bool
	}{
		"group":    {func() { b.Must(t, backend.Delete, "groups/engineers", nil) }, false},
		"user":     {func() { b.Must(t, backend.Update, "users/alice", object{"policies": ""}) }, false},
		"stranger": {func() { b.Must(t, backend.Update, "users/bob", object{"policies": "x"}) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			b.Must(t, backend.Update, "groups/engineers", object{"policies": "build"})
			b.Must(t, backend.Update, "users/alice", object{"policies": "hers"})
			response, err := b.Do(t.Context(), backend.Update, "login/alice", object{"password": ldaptest.Password("alice")})
			if err != nil {
				t.Fatal(err)
			}
			row.change()
			err = b.Store.Update(t.Context(), response.Login.Consume)
			switch {
			case row.holds && err != nil:
				t.Error(err)
			case !row.holds:
				authtest.Is(t, err, backend.Conflict, "the policies were changed during the login: try again")
			}
		})
	}
}

// Another configuration is another directory: nothing of the old one is used.
func TestConfigurationIsFollowed(t *testing.T) {
	one, two := ldaptest.Start(t, ldaptest.Options{}), ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, one.Address())
	b := mounted(t, with(bySearch(one), object{"url": relay.URL()}))
	mustLogin(t, b, "alice")
	two.SetPassword(ldaptest.DN("alice"), "of the second")
	b.Must(t, backend.Update, "config", object{"url": two.URL(), "bindpass": ldaptest.ReaderPassword})
	if open := relay.WaitOpen(0); open != 0 {
		t.Errorf("%d connections to the old directory are kept", open)
	}
	if _, err := login(t, b, "alice", "of the second"); err != nil {
		t.Fatal(err)
	}
	refused(t, b, "alice", ldaptest.Password("alice"))
}

// No error repeats a password (CVE-2025-4166).
func TestErrorsRepeatNoSecret(t *testing.T) {
	const canary = "canary-4711"
	s := ldaptest.Start(t, ldaptest.Options{})
	b := mounted(t, with(bySearch(s), object{"bindpass": canary}))
	calls := []struct {
		path string
		data object
	}{
		{"login/alice", object{"password": canary}},
		{"login/alice", object{"password": object{"a": canary}}},
		{"login/" + canary + "\x00", object{"password": "x"}},
		{"config", object{"bindpass": object{"a": canary}}},
		{"config", object{"client_tls_key": canary}},
		{"config/rotate-root", nil},
		{"groups/" + canary + "  x", object{"policies": "a"}},
	}
	for _, call := range calls {
		_, err := b.Do(t.Context(), backend.Update, call.path, call.data)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", call.path, err)
		}
	}
}

// A method that was closed serves nobody any more, and keeps nothing.
func TestClosed(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	relay := ldaptest.NewRelay(t, s.Address())
	b := authtest.New(t, ldap.Refusing(0))
	b.Must(t, backend.Update, "config", with(bySearch(s), object{"url": relay.URL()}))
	mustLogin(t, b, "alice")
	closer := b.Backend.(backend.Closer)
	if err := errors.Join(closer.Close(), closer.Close()); err != nil {
		t.Fatal(err)
	}
	mustLogin(t, b, "alice")
	if open := relay.WaitOpen(0); open != 0 {
		t.Errorf("%d connections are kept after the end", open)
	}
}
