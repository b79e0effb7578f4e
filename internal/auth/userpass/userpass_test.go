package userpass_test

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"jeton/internal/auth"
	"jeton/internal/auth/authtest"
	"jeton/internal/auth/userpass"
	"jeton/internal/backend"
	"jeton/internal/store"
)

type object = map[string]any

// quick is the method with hashes so cheap that tests are fast.
var quick = userpass.AtCost(5)

// cheap is a hash of password at the lowest cost that can be imported, so that tests are fast.
func cheap(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 5)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func login(t *testing.T, b *authtest.Bench, name, password string) (*backend.Login, error) {
	t.Helper()
	return b.Login(t.Context(), "login/"+name, object{"password": password})
}

func mustLogin(t *testing.T, b *authtest.Bench, name, password string) *backend.Login {
	t.Helper()
	l, err := login(t, b, name, password)
	if err != nil {
		t.Fatalf("login of %s: %v", name, err)
	}
	return l
}

func refused(t *testing.T, b *authtest.Bench, name, password string) {
	t.Helper()
	_, err := login(t, b, name, password)
	authtest.Is(t, err, backend.Invalid, "invalid username or password")
}

func locked(t *testing.T, b *authtest.Bench, name, password string) {
	t.Helper()
	_, err := login(t, b, name, password)
	authtest.Is(t, err, backend.Denied, "permission denied")
}

// Contract: auth-methods §3, "create Bob/login bob OK", metadata, alias, display name.
func TestCreateBobLoginBob(t *testing.T) {
	b := authtest.New(t, quick)
	b.Must(t, backend.Update, "users/Bob", object{"password": "correct horse", "token_policies": "a,b", "token_ttl": "1h"})
	l := mustLogin(t, b, "bob", "correct horse")
	if l.DisplayName != "bob" || l.Alias.Name != "bob" || l.Metadata["username"] != "bob" || len(l.Metadata) != 1 {
		t.Errorf("display %q, alias %v, metadata %v", l.DisplayName, l.Alias, l.Metadata)
	}
	if !slices.Equal(l.Policies, []string{"a", "b"}) || l.Terms.TTL != time.Hour || !l.Terms.Renewable {
		t.Errorf("policies %v, terms %+v", l.Policies, l.Terms)
	}
	mustLogin(t, b, "BOB", "correct horse")
	refused(t, b, "bob", "Correct horse")
	refused(t, b, "mallory", "correct horse")
	if keys := b.Keys(t, "users"); !slices.Equal(keys, []string{"bob"}) {
		t.Errorf("users %v", keys)
	}
}

// Contract: auth-methods §3, the error texts.
func TestCredentials(t *testing.T) {
	b := withBob(t)
	hash := cheap(t, "x")
	rows := []struct {
		name, path string
		data       object
		kind       backend.Kind
		text       string
	}{
		{"create without password", "users/new", object{"token_ttl": 5}, backend.Invalid, "must provide either password or password_hash"},
		{"both", "users/new", object{"password": "x", "password_hash": hash}, backend.Invalid, "only one of password or password_hash may be provided"},
		{"no hash", "users/new", object{"password_hash": "nonsense"}, backend.Invalid, "password_hash is not a valid bcrypt hash"},
		{"cut hash", "users/new", object{"password_hash": hash[:59]}, backend.Invalid, "password_hash is not a valid bcrypt hash"},
		{"hash with a stranger's alphabet", "users/new", object{"password_hash": hash[:50] + "!!!!!!!!!!"}, backend.Invalid, "password_hash is not a valid bcrypt hash"},
		{"cost 4", "users/new", object{"password_hash": strings.Replace(hash, "$05$", "$04$", 1)}, backend.Invalid, "bcrypt cost of 4 is too low, want 5 at minimum"},
		{"cost 13", "users/new", object{"password_hash": strings.Replace(hash, "$05$", "$13$", 1)}, backend.Invalid, "bcrypt cost of 13 exceeds maximum cost of 12"},
		{"73-byte password → 400", "users/new", object{"password": strings.Repeat("a", 73)}, backend.Invalid, "bcrypt: password length exceeds 72 bytes"},
		{"73-byte password by its own path", "users/bob/password", object{"password": strings.Repeat("a", 73)}, backend.Invalid, "bcrypt: password length exceeds 72 bytes"},
		{"password path without any", "users/bob/password", nil, backend.Invalid, "must provide either password or password_hash"},
		{"password of nobody", "users/nobody/password", object{"password_hash": hash}, backend.NotFound, "username does not exist"},
		{"policies of nobody", "users/nobody/policies", object{"policies": "a"}, backend.NotFound, "username does not exist"},
		{"policies path without any", "users/bob/policies", nil, backend.Invalid, "missing token_policies"},
		{"empty password at login", "login/bob", object{"password": ""}, backend.Invalid, "missing password"},
		{"no password at login", "login/bob", nil, backend.Invalid, "missing password"},
		{"ttl above max", "users/bob", object{"ttl": 20, "max_ttl": 10}, backend.Invalid, "'token_ttl' cannot be greater than 'token_max_ttl'"},
		{"leading - 404", "users/-bob", object{"password": "x"}, backend.UnsupportedPath, "unsupported path"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b.Refused(t, backend.Update, row.path, row.data, row.kind, row.text)
		})
	}
	if keys := b.Keys(t, "users"); !slices.Equal(keys, []string{"bob"}) {
		t.Errorf("a refused write left something behind: %v", keys)
	}
	b.Must(t, backend.Update, "users/a.b-c", object{"password_hash": hash})
	mustLogin(t, b, "a.b-c", "x")
}

// Contract: auth-methods §3 [!], `users/BOB/password`: new works, old fails, no ghost.
func TestPasswordAndPoliciesInMixedCase(t *testing.T) {
	b := authtest.New(t, quick)
	b.Must(t, backend.Update, "users/bob", object{"password_hash": cheap(t, "old"), "policies": "a"})
	b.Must(t, backend.Update, "users/BOB/password", object{"password_hash": cheap(t, "new")})
	mustLogin(t, b, "bob", "new")
	refused(t, b, "bob", "old")
	b.Must(t, backend.Update, "users/boB/policies", object{"token_policies": "b"})
	if l := mustLogin(t, b, "bob", "new"); !slices.Equal(l.Policies, []string{"b"}) {
		t.Errorf("policies %v", l.Policies)
	}
	if keys := b.Keys(t, "users"); !slices.Equal(keys, []string{"bob"}) {
		t.Errorf("users %v", keys)
	}
}

// Contract: auth-methods §3, read-back: token_* and old names, never the hash.
func TestRead(t *testing.T) {
	b := authtest.New(t, quick)
	if b.Must(t, backend.Read, "users/bob", nil) != nil {
		t.Error("a user who is not there can be read")
	}
	b.Must(t, backend.Update, "users/bob", object{
		"password_hash": cheap(t, "pw"), "policies": "p", "ttl": "1m", "max_ttl": "1h", "bound_cidrs": "10.0.0.1/32",
	})
	got := b.Must(t, backend.Read, "users/bob", nil)
	want := []string{
		"bound_cidrs", "max_ttl", "policies", "token_bound_cidrs", "token_explicit_max_ttl", "token_max_ttl",
		"token_no_default_policy", "token_num_uses", "token_period", "token_policies", "token_ttl", "token_type", "ttl",
	}
	var keys []string
	for key := range got {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if !slices.Equal(keys, want) {
		t.Errorf("keys %v, want %v", keys, want)
	}
	if got["ttl"] != 60.0 || got["token_max_ttl"] != 3600.0 {
		t.Errorf("read %v", got)
	}
}

// Contract: auth-methods §3, `password "" on update → unchanged`, "Update without password keeps the old".
func TestUpdateKeepsPassword(t *testing.T) {
	b := withBob(t)
	b.Must(t, backend.Update, "users/bob", object{"password": "", "token_num_uses": 3})
	if l := mustLogin(t, b, "bob", "pw"); l.NumUses != 3 {
		t.Errorf("uses %d", l.NumUses)
	}
}

// Contract: auth-methods §3, token_bound_cidrs are checked after the password.
func TestBoundCIDRs(t *testing.T) {
	b := authtest.New(t, quick)
	b.Must(t, backend.Update, "users/bob", object{"password_hash": cheap(t, "pw"), "token_bound_cidrs": "10.0.0.0/8"})
	refused(t, b, "bob", "wrong")
	_, err := login(t, b, "bob", "pw")
	authtest.Is(t, err, backend.Denied, "permission denied")
	b.Must(t, backend.Update, "users/bob", object{"token_bound_cidrs": "127.0.0.0/8"})
	if l := mustLogin(t, b, "bob", "pw"); len(l.BoundCIDRs) != 1 {
		t.Errorf("the token is bound to %v", l.BoundCIDRs)
	}
}

// Contract: auth-methods §1.3 and §3, the rows about renewal.
func TestRenewal(t *testing.T) {
	b := authtest.New(t, quick)
	create := func() {
		b.Must(t, backend.Update, "users/bob", object{"password_hash": cheap(t, "pw"), "token_policies": "b,A", "token_ttl": 60})
	}
	create()
	l := mustLogin(t, b, "bob", "pw")
	l.Policies = []string{"a", "b", "default"}

	b.Must(t, backend.Update, "users/bob", object{"token_policies": "a,b,default", "token_ttl": 120, "token_max_ttl": 300})
	renewed, err := b.Renew(t.Context(), l)
	if err != nil {
		t.Fatalf("add only `default` → renew OK: %v", err)
	}
	if renewed.Terms.TTL != 2*time.Minute || renewed.Terms.MaxTTL != 5*time.Minute {
		t.Errorf("not the current limits: %+v", renewed.Terms)
	}
	b.Must(t, backend.Update, "users/bob/policies", object{"policies": "a"})
	_, err = b.Renew(t.Context(), l)
	authtest.Is(t, err, backend.Invalid, "failed to renew entry: policies have changed, not renewing")

	b.Must(t, backend.Delete, "users/bob", nil)
	b.Must(t, backend.Delete, "users/bob", nil)
	refused(t, b, "bob", "pw")
	const gone = `failed to renew entry: user "bob" does not exist during renewal`
	_, err = b.Renew(t.Context(), l)
	authtest.Is(t, err, backend.Invalid, gone)
	create()
	_, err = b.Renew(t.Context(), l)
	authtest.Is(t, err, backend.Invalid, gone)
}

// A user deleted, or given another password, between the proof and the token gets no token.
func TestChangedDuringLogin(t *testing.T) {
	for _, change := range []struct {
		name string
		op   backend.Operation
		path string
		data object
	}{
		{"deleted", backend.Delete, "users/bob", nil},
		{"new password", backend.Update, "users/bob/password", object{"password_hash": cheap(t, "other")}},
	} {
		t.Run(change.name, func(t *testing.T) {
			b := authtest.New(t, quick)
			b.Must(t, backend.Update, "users/bob", object{"password_hash": cheap(t, "pw")})
			response, err := b.Do(t.Context(), backend.Update, "login/bob", object{"password": "pw"})
			if err != nil {
				t.Fatal(err)
			}
			b.Must(t, change.op, change.path, change.data)
			err = b.Store.Update(t.Context(), response.Login.Consume)
			authtest.Is(t, err, backend.Invalid, "invalid username or password")
		})
	}
}

// CVE-2026-89322: no route takes a name as it is written, so that the policies judge the
// very name that is looked up.
func TestRoutesFoldNames(t *testing.T) {
	b := authtest.New(t, quick)
	for _, route := range b.Backend.Routes() {
		if strings.Contains(route.Pattern, "{username}") {
			t.Errorf("%s takes a name as it is written", route.Pattern)
		}
	}
	match, ok := backend.NewTable(b.Backend.Routes()).Find(backend.Update, "users/BOB/password")
	if !ok || match.Path != "users/bob/password" {
		t.Errorf("the canonical path is %q", match.Path)
	}
}

// CVE-2025-4166: no error repeats what may be a secret.
func TestErrorsRepeatNoSecret(t *testing.T) {
	const canary = "canary-4711"
	b := withBob(t)
	rows := []struct {
		path string
		data object
	}{
		{"login/bob", object{"password": canary}},
		{"login/bob", object{"password": object{"a": canary}}},
		{"login/bob", object{"password": []string{canary, canary}}},
		{"login/nobody", object{"password": canary}},
		{"users/new", object{"password_hash": canary}},
		{"users/new", object{"password": canary, "password_hash": canary}},
		{"users/new", object{"password": canary + strings.Repeat("x", 72)}},
		{"users/nobody/password", object{"password": canary}},
	}
	for _, row := range rows {
		_, err := b.Do(t.Context(), backend.Update, row.path, row.data)
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", row.path, err)
		}
	}
}

// The factory that the node mounts makes hashes at bcrypt's usual cost.
func TestDefaultCost(t *testing.T) {
	b := authtest.New(t, userpass.New)
	b.Must(t, backend.Update, "users/bob", object{"password": "pw"})
	mustLogin(t, b, "bob", "pw")
	err := b.Area.View(t.Context(), func(r store.Reader) error {
		value, err := r.Get([]byte("user/bob"))
		if !bytes.Contains(value, []byte("$2a$10$")) {
			t.Error("the hash is not of cost 10")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A password that is too long for bcrypt is a wrong one at login, for whomever.
func TestOverlongPasswordAtLogin(t *testing.T) {
	b := withBob(t)
	long := strings.Repeat("x", 200)
	refused(t, b, "bob", long)
	refused(t, b, "nobody", long)
}

// Imported hashes work at their own cost; a dear one makes every login of the mount dearer,
// so that its owner does not stand out (CVE-2025-6010).
func TestDearHash(t *testing.T) {
	b := withBob(t)
	if n := b.Stored(t, "work"); n != 0 {
		t.Error("a cheap hash raised the work")
	}
	dear, err := bcrypt.GenerateFromPassword([]byte("pw"), 6)
	if err != nil {
		t.Fatal(err)
	}
	b.Must(t, backend.Update, "users/alice", object{"password_hash": string(dear)})
	if n := b.Stored(t, "work"); n != 1 {
		t.Error("a dear hash did not raise the work")
	}
	mustLogin(t, b, "alice", "pw")
	mustLogin(t, b, "bob", "pw")
	refused(t, b, "nobody", "pw")
}

// Two requests that create the same user: the second was not allowed to change one.
func TestWritesThatLostARace(t *testing.T) {
	b := withBob(t)
	hash := cheap(t, "other")
	write := func(op backend.Operation, name string) error {
		match, _ := backend.NewTable(b.Backend.Routes()).Find(op, "users/"+name)
		_, err := match.Route.Write.Serve(t.Context(), &backend.Call{
			Operation: op, Path: match.Path, Captures: match.Captures, Mount: b.Mount, Data: object{"password_hash": hash},
		})
		return err
	}
	authtest.Is(t, write(backend.Create, "bob"), backend.Conflict, "username was created by another request")
	authtest.Is(t, write(backend.Update, "eve"), backend.NotFound, "username does not exist")
	mustLogin(t, b, "bob", "pw")
}

// withBob mounts userpass with a user bob, whose password is pw.
func withBob(t *testing.T) *authtest.Bench {
	t.Helper()
	b := authtest.New(t, quick)
	b.Must(t, backend.Update, "users/bob", object{"password_hash": cheap(t, "pw")})
	return b
}

// fail logs bob in with a wrong password that is compared.
func fail(t *testing.T, b *authtest.Bench, times int) {
	t.Helper()
	for range times {
		refused(t, b, "bob", "wrong")
	}
}

// Contract: auth-methods §8, the tests of the lockout.
func TestLockout(t *testing.T) {
	t.Run("5 wrong → 6th correct 403; wait → 200", func(t *testing.T) {
		b := withBob(t)
		fail(t, b, 5)
		locked(t, b, "bob", "pw")
		b.Clock.Add(15*time.Minute - time.Second)
		locked(t, b, "bob", "wrong")
		b.Clock.Add(time.Second)
		mustLogin(t, b, "bob", "pw")
	})
	t.Run("5 wrong → unlock → 200", func(t *testing.T) {
		b := withBob(t)
		fail(t, b, 5)
		lockable := b.Backend.(auth.Lockable)
		if names, err := lockable.Locked(t.Context()); err != nil || !slices.Equal(names, []string{"bob"}) {
			t.Fatalf("locked %v, %v", names, err)
		}
		for range 2 {
			if err := lockable.Unlock(t.Context(), "Bob "); err != nil {
				t.Fatal(err)
			}
		}
		if names, err := lockable.Locked(t.Context()); err != nil || len(names) != 0 {
			t.Fatalf("locked %v, %v", names, err)
		}
		mustLogin(t, b, "bob", "pw")
	})
	t.Run("4 wrong + 1 right resets", func(t *testing.T) {
		b := withBob(t)
		for range 3 {
			fail(t, b, 4)
			mustLogin(t, b, "bob", "pw")
		}
	})
	t.Run("a failure older than the reset is forgotten", func(t *testing.T) {
		b := withBob(t)
		fail(t, b, 4)
		b.Clock.Add(15 * time.Minute)
		fail(t, b, 4)
		mustLogin(t, b, "bob", "pw")
	})
	t.Run("unknown user never locks", func(t *testing.T) {
		b := authtest.New(t, quick)
		for range 7 {
			refused(t, b, "bob", "wrong")
		}
	})
	t.Run("CVE-2025-6004: another spelling has no attempts of its own", func(t *testing.T) {
		b := withBob(t)
		for _, name := range []string{"bob", "Bob", "BOB", "bOb", "boB"} {
			refused(t, b, name, "wrong")
		}
		locked(t, b, "bob", "pw")
		locked(t, b, "BoB", "pw")
	})
	t.Run("the lock survives a restart, counts below it do not", func(t *testing.T) {
		b := withBob(t)
		fail(t, b, 4)
		b.Remount(t)
		fail(t, b, 5)
		b.Remount(t)
		locked(t, b, "bob", "pw")
	})
	t.Run("disabling frees the user", func(t *testing.T) {
		b := withBob(t)
		fail(t, b, 5)
		b.Backend.(backend.Locker).ConfigureLockout(backend.Lockout{Disabled: true})
		mustLogin(t, b, "bob", "pw")
		fail(t, b, 7)
	})
	t.Run("a new user of the same name is not locked", func(t *testing.T) {
		b := withBob(t)
		fail(t, b, 5)
		b.Must(t, backend.Delete, "users/bob", nil)
		b.Must(t, backend.Update, "users/bob", object{"password_hash": cheap(t, "pw")})
		mustLogin(t, b, "bob", "pw")
	})
}

// Contract: auth-methods §8 [!], 20 parallel wrong attempts; and the honest crowd.
func TestParallelLogins(t *testing.T) {
	t.Run("20 parallel wrong attempts: five are compared, the others find the lock", func(t *testing.T) {
		b := withBob(t)
		results := make([]error, 20)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { _, results[i] = login(t, b, "bob", "wrong") })
		}
		wg.Wait()
		compared := 0
		for _, err := range results {
			switch backend.KindOf(err) {
			case backend.Invalid:
				compared++
			case backend.Denied:
			default:
				t.Errorf("unexpected: %v", err)
			}
		}
		if compared != 5 {
			t.Errorf("%d passwords were compared, want 5", compared)
		}
		locked(t, b, "bob", "pw")
	})
	t.Run("20 parallel right attempts all get in", func(t *testing.T) {
		b := withBob(t)
		results := make([]error, 20)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { _, results[i] = login(t, b, "bob", "pw") })
		}
		wg.Wait()
		for _, err := range results {
			if err != nil {
				t.Error(err)
			}
		}
	})
}
