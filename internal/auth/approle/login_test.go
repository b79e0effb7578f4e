package approle_test

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
	"jeton/internal/store"
)

const invalid = "invalid role or secret ID"

func generate(t *testing.T, b *authtest.Bench, role string, data object) (id, accessor string) {
	t.Helper()
	s := b.Must(t, backend.Update, "role/"+role+"/secret-id", data)
	return s["secret_id"].(string), s["secret_id_accessor"].(string)
}

func login(t *testing.T, b *authtest.Bench, roleID, secretID string) (*backend.Login, error) {
	t.Helper()
	return b.Login(t.Context(), "login", object{"role_id": roleID, "secret_id": secretID})
}

func mustLogin(t *testing.T, b *authtest.Bench, roleID, secretID string) *backend.Login {
	t.Helper()
	l, err := login(t, b, roleID, secretID)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func refused(t *testing.T, b *authtest.Bench, roleID, secretID, text string) {
	t.Helper()
	_, err := login(t, b, roleID, secretID)
	authtest.Is(t, err, backend.Invalid, text)
}

// Contract: auth-methods §2.4 step 9.
func TestLogin(t *testing.T) {
	b := roleWith(t, object{
		"token_policies": "p", "token_ttl": "1h", "token_max_ttl": "2h", "token_num_uses": 3,
		"token_bound_cidrs": "10.0.0.0/8", "token_no_default_policy": true, "token_type": "service",
	})
	id := roleID(t, b, "r")
	secret, _ := generate(t, b, "r", object{"metadata": `{"env":"prod"}`})
	l := mustLogin(t, b, " "+id+"\n", secret+"\n")
	metadata := map[string]string{"env": "prod", "role_name": "r"}
	if !reflect.DeepEqual(l.Metadata, metadata) || !reflect.DeepEqual(l.Alias, &backend.Alias{Name: id, Metadata: metadata}) || l.DisplayName != "" {
		t.Errorf("metadata %v, alias %v, display name %q", l.Metadata, l.Alias, l.DisplayName)
	}
	if !slices.Equal(l.Policies, []string{"p"}) || !l.NoDefaultPolicy || l.NumUses != 3 || l.Type != backend.ServiceType {
		t.Errorf("%+v", l)
	}
	if terms := (backend.Terms{TTL: time.Hour, MaxTTL: 2 * time.Hour, Renewable: true}); l.Terms != terms {
		t.Errorf("terms %+v", l.Terms)
	}
	// AppRole does not check token_bound_cidrs at login; the token has them.
	if !slices.Equal(l.BoundCIDRs, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}) {
		t.Errorf("bound to %v", l.BoundCIDRs)
	}
}

// Contract: auth-methods §2.4 steps 1 to 3: the texts, and one text for all that is wrong.
func TestRefusals(t *testing.T) {
	b := roleWith(t, nil)
	b.Must(t, backend.Update, "role/other", nil)
	id, otherID := roleID(t, b, "r"), roleID(t, b, "other")
	secret, accessor := generate(t, b, "r", nil)
	rows := []struct{ name, role, secret, text string }{
		{"empty role_id", "", secret, "missing role_id"},
		{"blank role_id", " \n", secret, "missing role_id"},
		{"unknown role_id", "nobody", secret, invalid},
		{"the role's name as role_id", "r", secret, invalid},
		{"empty secret_id", id, "", "missing secret_id"},
		{"unknown secret_id", id, "wrong", invalid},
		{"another role's secret_id", otherID, secret, invalid},
		{"accessor used as secret_id → fails", id, accessor, invalid},
		{"overlong secret_id", id, string(make([]byte, 5000)), invalid},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { refused(t, b, row.role, row.secret, row.text) })
	}
	// Contract §8 [!]: strangers cannot lock a role; a hundred failures change nothing.
	for range 100 {
		refused(t, b, id, "wrong", invalid)
	}
	mustLogin(t, b, id, secret)
}

// CVE-2026-115362; contract: auth-methods §2.4 step 8 [!], `secret_id_ttl=1s; login after 2 s → 400`.
func TestExpiredSecretIDCVE2026115362(t *testing.T) {
	b := roleWith(t, object{"secret_id_ttl": "1s"})
	id := roleID(t, b, "r")
	secret, accessor := generate(t, b, "r", nil)
	b.Clock.Add(time.Second - time.Nanosecond)
	mustLogin(t, b, id, secret)
	b.Clock.Add(time.Nanosecond)
	refused(t, b, id, secret, invalid)
	if got := b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": secret}); got != nil {
		t.Errorf("an expired secret id can be looked up: %v", got)
	}
	b.Refused(t, backend.Update, "role/r/secret-id-accessor/lookup", object{"secret_id_accessor": accessor},
		backend.NotFound, "failed to find accessor entry for secret_id_accessor")
	if keys := b.Keys(t, "role/r/secret-id"); keys != nil {
		t.Errorf("an expired secret id is listed: %v", keys)
	}
}

// Contract: auth-methods §2.4 edge tests, "50 parallel logins num_uses=10 → 10 successes, 40
// refused; list accessors → 404 after".
func TestParallelLoginsSpendEachUseOnce(t *testing.T) {
	b := roleWith(t, object{"secret_id_num_uses": 10})
	id := roleID(t, b, "r")
	secret, _ := generate(t, b, "r", object{"ttl": "1h"})
	results := make([]error, 50)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { _, results[i] = login(t, b, id, secret) })
	}
	wg.Wait()
	in := 0
	for _, err := range results {
		if err == nil {
			in++
			continue
		}
		authtest.Is(t, err, backend.Invalid, invalid)
	}
	if in != 10 {
		t.Errorf("%d logins with 10 uses", in)
	}
	if keys := b.Keys(t, "role/r/secret-id"); keys != nil {
		t.Errorf("accessors %v", keys)
	}
	if n := b.Stored(t, "of/"); n != 0 {
		t.Errorf("%d keys are left of a spent secret id", n)
	}
}

// Contract: auth-methods §2.4 [!]: a use is spent with the token or not at all.
func TestUseIsSpentInConsumeOnly(t *testing.T) {
	b := roleWith(t, object{"secret_id_num_uses": 3})
	id := roleID(t, b, "r")
	secret, _ := generate(t, b, "r", nil)
	left := func() any {
		return b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": secret})["secret_id_num_uses"]
	}
	for range 5 {
		if _, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": id, "secret_id": secret}); err != nil {
			t.Fatal(err)
		}
	}
	if left() != 3.0 {
		t.Errorf("%v uses left although no token was made", left())
	}
	mustLogin(t, b, id, secret)
	if left() != 2.0 {
		t.Errorf("%v uses left after one login", left())
	}
}

// A login with an unlimited secret id writes when that was, once a minute, and nothing else.
func TestUnlimitedLoginWritesItsTimeAlone(t *testing.T) {
	b := roleWith(t, nil)
	id := roleID(t, b, "r")
	secret, _ := generate(t, b, "r", object{"ttl": "1h"})
	var changed []string
	cancel := b.Area.Subscribe(func(c store.Commit) {
		for _, key := range c.Keys {
			changed = append(changed, string(key))
		}
	})
	defer cancel()
	for minute := range 2 {
		for range 3 {
			mustLogin(t, b, id, secret)
		}
		if len(changed) != minute+1 || !strings.Contains(changed[minute], "/used/") {
			t.Errorf("changed %q", changed)
		}
		b.Clock.Add(time.Minute)
	}
}

// CVE-2025-4166: no error repeats what may be a secret.
func TestErrorsRepeatNoSecret(t *testing.T) {
	const canary = "s.canary-4711"
	b := roleWith(t, object{"secret_id_bound_cidrs": "10.0.0.0/8"})
	id := roleID(t, b, "r")
	generate(t, b, "r", nil)
	b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": canary})
	rows := []struct {
		path string
		data object
	}{
		{"login", object{"role_id": id, "secret_id": canary}},
		{"login", object{"role_id": id, "secret_id": canary + "x"}},
		{"login", object{"role_id": canary, "secret_id": canary}},
		{"login", object{"role_id": id, "secret_id": object{"a": canary}}},
		{"role/r/custom-secret-id", object{"secret_id": canary}},
		{"role/r/custom-secret-id", object{"secret_id": canary, "metadata": canary}},
		{"role/r/custom-secret-id", object{"secret_id": canary, "num_uses": canary}},
		{"role/r/custom-secret-id", object{"secret_id": canary, "ttl": canary}},
		{"role/r/custom-secret-id", object{"secret_id": canary, "cidr_list": canary}},
		{"role/r/secret-id-accessor/lookup", object{"secret_id_accessor": canary}},
		{"role/r/secret-id-accessor/destroy", object{"secret_id_accessor": canary}},
		{"role/r", object{"token_ttl": canary}},
		{"role/r", object{"token_bound_cidrs": canary}},
		{"role/r", object{"token_policies": canary + "/../x"}},
	}
	for _, row := range rows {
		_, err := b.Do(t.Context(), backend.Update, row.path, row.data)
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", row.path, err)
		}
	}
}

// What changes between the proof and the token is seen in the transaction.
func TestChangedDuringLogin(t *testing.T) {
	b := roleWith(t, object{"secret_id_bound_cidrs": "127.0.0.0/8", "secret_id_ttl": "1h"})
	rows := []struct {
		name   string
		change func(secret string)
	}{
		{"destroyed", func(secret string) {
			b.Must(t, backend.Update, "role/r/secret-id/destroy", object{"secret_id": secret})
		}},
		{"destroyed and registered again", func(secret string) {
			b.Must(t, backend.Update, "role/r/secret-id/destroy", object{"secret_id": secret})
			b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": secret})
		}},
		{"expired", func(string) { b.Clock.Add(time.Hour) }},
		{"role id rotated", func(string) { b.Must(t, backend.Update, "role/r/role-id", object{"role_id": "other"}) }},
		{"role deleted", func(string) { b.Must(t, backend.Delete, "role/r", nil) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			secret, _ := generate(t, b, "r", nil)
			id := roleID(t, b, "r")
			response, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": id, "secret_id": secret})
			if err != nil {
				t.Fatal(err)
			}
			row.change(secret)
			authtest.Is(t, b.Store.Update(t.Context(), response.Login.Consume), backend.Invalid, invalid)
		})
	}
	t.Run("role changed", func(t *testing.T) {
		b := roleWith(t, object{"token_policies": "a,b"})
		id := roleID(t, b, "r")
		secret, accessor := generate(t, b, "r", nil)
		begun := func() *backend.Login {
			response, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": id, "secret_id": secret})
			if err != nil {
				t.Fatal(err)
			}
			return response.Login
		}
		login := begun()
		b.Must(t, backend.Update, "role/r", object{"token_policies": "a"})
		authtest.Is(t, b.Store.Update(t.Context(), login.Consume), backend.Conflict, "the role was changed during the login: try again")
		if got := lastUsed(t, b, accessor); got != never {
			t.Errorf("the refused login counts as a use at %s", got)
		}
		login = begun()
		if err := b.Store.Update(t.Context(), login.Consume); err != nil || !slices.Equal(login.Policies, []string{"a"}) {
			t.Errorf("another try: %v, policies %v", err, login.Policies)
		}
	})
	t.Run("spent by another", func(t *testing.T) {
		b := roleWith(t, object{"secret_id_num_uses": 1})
		id := roleID(t, b, "r")
		secret, _ := generate(t, b, "r", nil)
		response, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": id, "secret_id": secret})
		if err != nil {
			t.Fatal(err)
		}
		mustLogin(t, b, id, secret)
		authtest.Is(t, b.Store.Update(t.Context(), response.Login.Consume), backend.Invalid, invalid)
	})
	t.Run("role without secret ids deleted", func(t *testing.T) {
		b.Must(t, backend.Update, "role/open", object{"bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.1"})
		response, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": roleID(t, b, "open")})
		if err != nil {
			t.Fatal(err)
		}
		b.Must(t, backend.Delete, "role/open", nil)
		b.Must(t, backend.Update, "role/open", object{"bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.1"})
		authtest.Is(t, b.Store.Update(t.Context(), response.Login.Consume), backend.Invalid, invalid)
	})
}

// Contract: auth-methods §2.4 edge tests, "rotate role_id: old fails, new works with the old secret-id".
// The role is in the cache when it changes.
func TestRotatedRoleID(t *testing.T) {
	b := roleWith(t, nil)
	old := roleID(t, b, "r")
	secret, _ := generate(t, b, "r", nil)
	mustLogin(t, b, old, secret)
	b.Must(t, backend.Update, "role/r/role-id", object{"role_id": "custom"})
	refused(t, b, old, secret, invalid)
	if l := mustLogin(t, b, "custom", secret); l.Alias.Name != "custom" {
		t.Errorf("alias %v", l.Alias)
	}
	b.Must(t, backend.Update, "role/next", object{"role_id": old})
	if l := mustLogin(t, b, old, first(generate(t, b, "next", nil))); l.Metadata["role_name"] != "next" {
		t.Errorf("the freed role id leads to %v", l.Metadata)
	}
}

func first(a, _ string) string { return a }

// The cache of roles follows every change.
func TestCachedRoleIsNeverStale(t *testing.T) {
	b := roleWith(t, object{"token_policies": "a"})
	id := roleID(t, b, "r")
	secret, _ := generate(t, b, "r", nil)
	for _, policy := range []string{"b", "c", "d"} {
		mustLogin(t, b, id, secret)
		b.Must(t, backend.Update, "role/r/policies", object{"token_policies": policy})
		if l := mustLogin(t, b, id, secret); !slices.Equal(l.Policies, []string{policy}) {
			t.Errorf("policies %v, want %s", l.Policies, policy)
		}
	}
	b.Must(t, backend.Delete, "role/r", nil)
	refused(t, b, id, secret, invalid)
	b.Must(t, backend.Update, "role/r", object{"role_id": id})
	refused(t, b, id, secret, invalid)
	mustLogin(t, b, id, first(generate(t, b, "r", nil)))
}

// Ids work across a restart: the mount's key is stored.
// Logins and changes of their role, at once: every token has the policies that the role had in the
// state that the token was stored in. None is younger than a change and does not know of it.
func TestTokensAgreeWithTheOrderOfCommits(t *testing.T) {
	b := roleWith(t, object{"role_id": "r-1", "token_policies": "p0"})
	b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "s-1"})
	const changes = 100
	// changed are the commits that wrote the role, in order. The feed tells them one by one.
	var changed []uint64
	defer b.Area.Subscribe(func(c store.Commit) {
		if slices.ContainsFunc(c.Keys, func(k []byte) bool { return string(k) == "role/r" }) {
			changed = append(changed, c.Position)
		}
	})()
	type token struct {
		position uint64
		policy   string
	}
	running, stop := context.WithCancel(t.Context())
	some := make(chan struct{})
	tokens := make([][]token, 4)
	var all sync.WaitGroup
	for i := range tokens {
		all.Go(func() {
			defer stop() // Nobody waits for who has failed.
			for running.Err() == nil {
				response, err := b.Do(t.Context(), backend.Update, "login", object{"role_id": "r-1", "secret_id": "s-1"})
				if err != nil {
					t.Error(err)
					return
				}
				at := uint64(0)
				err = b.Store.Update(t.Context(), func(tx store.Tx) error {
					at = tx.Position()
					if err := response.Login.Consume(tx); err != nil {
						return err
					}
					return tx.Put(fmt.Appendf(nil, "token/%d", i), nil)
				})
				switch {
				case err == nil:
					tokens[i] = append(tokens[i], token{at, response.Login.Policies[0]})
					select {
					case some <- struct{}{}:
					default:
					}
				case backend.KindOf(err) != backend.Conflict:
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range changes {
		b.Must(t, backend.Update, "role/r", object{"token_policies": fmt.Sprint("p", i+1)})
		if i%4 == 0 {
			select {
			case <-some:
			case <-running.Done():
			}
		}
	}
	stop()
	all.Wait()
	for _, of := range tokens {
		for _, one := range of {
			before, _ := slices.BinarySearch(changed, one.position)
			if want := fmt.Sprint("p", before); one.policy != want {
				t.Errorf("the token of commit %d has %s, the role then had %s", one.position, one.policy, want)
			}
		}
	}
	if len(changed) != changes {
		t.Errorf("%d changes were told", len(changed))
	}
}

// What is remembered of secret ids follows every change, as those who log in with them see at once.
func TestRememberedSecretIDIsNeverStale(t *testing.T) {
	rows := []struct {
		name string
		end  func(b *authtest.Bench, accessor string)
	}{
		{"destroyed", func(b *authtest.Bench, _ string) {
			b.Must(t, backend.Update, "role/r/secret-id/destroy", object{"secret_id": "s-1"})
		}},
		{"destroyed by its accessor", func(b *authtest.Bench, accessor string) {
			b.Must(t, backend.Update, "role/r/secret-id-accessor/destroy", object{"secret_id_accessor": accessor})
		}},
		{"expired", func(b *authtest.Bench, _ string) { b.Clock.Add(time.Hour) }},
		{"expired and tidied", func(b *authtest.Bench, _ string) {
			b.Clock.Add(time.Hour)
			b.Must(t, backend.Update, "tidy/secret-id", nil)
		}},
		{"its role deleted, and made again", func(b *authtest.Bench, _ string) {
			b.Must(t, backend.Delete, "role/r", nil)
			b.Must(t, backend.Update, "role/r", object{"role_id": "r-1"})
		}},
		{"all of the mount removed", func(b *authtest.Bench, _ string) {
			err := b.Area.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteRange(nil, nil) })
			if err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := roleWith(t, object{"role_id": "r-1"})
			made := b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "s-1", "ttl": "1h", "metadata": object{"k": "old"}})
			for range 2 {
				if l := mustLogin(t, b, "r-1", "s-1"); l.Metadata["k"] != "old" || l.Metadata["role_name"] != "r" {
					t.Errorf("metadata %v", l.Metadata)
				}
			}
			row.end(b, made["secret_id_accessor"].(string))
			refused(t, b, "r-1", "s-1", invalid)
			if _, err := b.Do(t.Context(), backend.Update, "role/r", object{"role_id": "r-1"}); err != nil {
				t.Fatal(err)
			}
			b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "s-1", "metadata": object{"k": "new"}})
			if l := mustLogin(t, b, "r-1", "s-1"); l.Metadata["k"] != "new" {
				t.Errorf("metadata of the next of that name %v", l.Metadata)
			}
		})
	}
}

func TestRestart(t *testing.T) {
	b := roleWith(t, nil)
	id := roleID(t, b, "r")
	secret, _ := generate(t, b, "r", nil)
	b.Remount(t)
	mustLogin(t, b, id, secret)
}

// Contract: auth-methods §2.4 steps 5 to 7.
func TestSources(t *testing.T) {
	b := roleWith(t, object{"secret_id_bound_cidrs": "127.0.0.0/8,10.0.0.0/8", "token_bound_cidrs": "10.0.0.0/8"})
	id := roleID(t, b, "r")
	plain, _ := generate(t, b, "r", nil)
	narrow, _ := generate(t, b, "r", object{"cidr_list": "127.0.0.1/32", "token_bound_cidrs": "10.1.0.0/16"})
	limited, _ := generate(t, b, "r", object{"cidr_list": "127.0.0.1", "num_uses": 1})

	b.Remote = netip.MustParseAddrPort("10.2.3.4:1")
	if l := mustLogin(t, b, id, plain); l.BoundCIDRs[0].String() != "10.0.0.0/8" {
		t.Errorf("bound to %v", l.BoundCIDRs)
	}
	refused(t, b, id, narrow, `source address "10.2.3.4" unauthorized through CIDR restrictions on the secret ID`)
	refused(t, b, id, limited, `source address "10.2.3.4" unauthorized by CIDR restrictions on the secret ID`)
	b.Remote = netip.MustParseAddrPort("192.0.2.1:1")
	refused(t, b, id, plain, `source address "192.0.2.1" unauthorized by CIDR restrictions on the role`)
	b.Remote = netip.MustParseAddrPort("[::ffff:127.0.0.1]:1")
	if l := mustLogin(t, b, id, narrow); l.BoundCIDRs[0].String() != "10.1.0.0/16" {
		t.Errorf("bound to %v", l.BoundCIDRs)
	}
	// The refusal above did not burn the only use.
	mustLogin(t, b, id, limited)
	refused(t, b, id, limited, invalid)

	// Step 6: a role that was narrowed since.
	b.Must(t, backend.Update, "role/r", object{"secret_id_bound_cidrs": "10.0.0.0/8"})
	refused(t, b, id, narrow, `failed to verify subset relationship between CIDR blocks on the role ["10.0.0.0/8"] and CIDR blocks on the secret ID ["127.0.0.1"]`)
}

// Contract: auth-methods §2.4, bind_secret_id=false: secret_id ignored entirely; and the last edge test.
func TestWithoutSecretID(t *testing.T) {
	b := roleWith(t, object{"bind_secret_id": false, "token_bound_cidrs": "10.0.0.0/8"})
	id := roleID(t, b, "r")
	if l := mustLogin(t, b, id, "whatever"); l.BoundCIDRs[0].String() != "10.0.0.0/8" || l.Metadata["role_name"] != "r" {
		t.Errorf("%+v", l)
	}
	b.Refused(t, backend.Update, "role/r/secret-id", nil, backend.Invalid, "bind_secret_id is not set on the role")
	b.Must(t, backend.Update, "role/r", object{"secret_id_bound_cidrs": "10.0.0.0/8"})
	refused(t, b, id, "", `source address "127.0.0.1" unauthorized by CIDR restrictions on the role`)
}

func BenchmarkLogin(b *testing.B) {
	bench := authtest.New(b, approle.New)
	bench.Must(b, backend.Update, "role/r", object{"token_policies": "p"})
	id := bench.Must(b, backend.Read, "role/r/role-id", nil)["role_id"]
	secret := bench.Must(b, backend.Update, "role/r/secret-id", nil)["secret_id"]
	data := object{"role_id": id, "secret_id": secret}
	for b.Loop() {
		if _, err := bench.Do(b.Context(), backend.Update, "login", data); err != nil {
			b.Fatal(err)
		}
	}
}
