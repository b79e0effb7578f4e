package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// want fails the test on an error, and passes the value on.
func want[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refusal checks that an error is the server's, with this status and text.
func refusal(t *testing.T, err error, status int, text string) {
	t.Helper()
	var re *api.ResponseError
	if !errors.As(err, &re) || re.StatusCode != status || !strings.Contains(strings.Join(re.Errors, "\n"), text) {
		t.Errorf("want %d %q, got %v", status, text, err)
	}
}

// Every method of Auth().Token() of the official Go client.
func TestGoClientToken(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		root := s.client(s.root)
		tokens, secret := root.Auth().Token(), want[*api.Secret](t)
		if err := root.Sys().PutPolicy("app", `path "auth/token/create" { capabilities = ["update"] }`); err != nil {
			t.Fatal(err)
		}
		made := secret(tokens.Create(&api.TokenCreateRequest{Policies: []string{"app"}, TTL: "1h", DisplayName: "app", Metadata: map[string]string{"team": "a"}}))
		id, accessor := made.Auth.ClientToken, made.Auth.Accessor
		if made.Auth.LeaseDuration != 3600 || !made.Auth.Renewable || made.Auth.Orphan || made.Auth.Metadata["team"] != "a" {
			t.Errorf("create: %+v", made.Auth)
		}
		self := s.client(id)
		for name, found := range map[string]*api.Secret{
			"Lookup":         secret(tokens.Lookup(id)),
			"LookupAccessor": secret(tokens.LookupAccessor(accessor)),
			"LookupSelf":     secret(self.Auth().Token().LookupSelf()),
		} {
			if got := want[string](t)(found.TokenAccessor()); got != accessor || found.Data["display_name"] != "token-app" {
				t.Errorf("%s: %v", name, found.Data)
			}
			if ttl := want[time.Duration](t)(found.TokenTTL()); ttl <= 59*time.Minute || ttl > time.Hour {
				t.Errorf("%s: ttl %s", name, ttl)
			}
		}
		for name, renewed := range map[string]*api.Secret{
			"Renew":            secret(tokens.Renew(id, 120)),
			"RenewAccessor":    secret(tokens.RenewAccessor(accessor, 120)),
			"RenewSelf":        secret(self.Auth().Token().RenewSelf(120)),
			"RenewTokenAsSelf": secret(tokens.RenewTokenAsSelf(id, 120)),
		} {
			if renewed.Auth == nil || renewed.Auth.LeaseDuration != 120 {
				t.Errorf("%s: %+v", name, renewed.Auth)
			}
		}
		if orphan := secret(tokens.CreateOrphan(&api.TokenCreateRequest{TTL: "1m", Policies: []string{"app"}})); !orphan.Auth.Orphan {
			t.Error("CreateOrphan made no orphan")
		}
		secret(root.Logical().Write("auth/token/roles/r", map[string]any{"allowed_policies": "app", "token_period": "5m"}))
		if byRole := secret(tokens.CreateWithRole(&api.TokenCreateRequest{}, "r")); byRole.Auth.LeaseDuration != 300 || !slices.Equal(byRole.Auth.Policies, []string{"app", "default"}) {
			t.Errorf("CreateWithRole: %+v", byRole.Auth)
		}

		parent := secret(tokens.Create(&api.TokenCreateRequest{Policies: []string{"app"}})).Auth.ClientToken
		child := secret(s.client(parent).Auth().Token().Create(&api.TokenCreateRequest{})).Auth.ClientToken
		for _, revoke := range []struct {
			name string
			call func() error
			dead []string
		}{
			{"RevokeOrphan", func() error { return tokens.RevokeOrphan(parent) }, []string{parent}},
			{"RevokeAccessor", func() error { return tokens.RevokeAccessor(accessor) }, []string{id}},
			{"RevokeTree", func() error { return tokens.RevokeTree(child) }, []string{child}},
		} {
			if err := revoke.call(); err != nil {
				t.Errorf("%s: %v", revoke.name, err)
			}
			for _, dead := range revoke.dead {
				_, err := s.client(dead).Auth().Token().LookupSelf()
				refusal(t, err, 403, "invalid token")
			}
			if revoke.name == "RevokeOrphan" && !alive(t, s, child) {
				t.Error("RevokeOrphan killed the child")
			}
		}
		last := secret(tokens.Create(&api.TokenCreateRequest{Policies: []string{"app"}})).Auth.ClientToken
		if err := s.client(last).Auth().Token().RevokeSelf(""); err != nil || alive(t, s, last) {
			t.Errorf("RevokeSelf: %v", err)
		}
		_, err := tokens.Lookup(last)
		refusal(t, err, 403, "bad token")
		_, err = tokens.LookupAccessor(accessor)
		refusal(t, err, 400, "invalid accessor")
	})
}

// A watcher keeps a token alive beyond its time, reports each renewal, and says when a token that
// cannot be renewed is at its end. A third of the time is left to a machine that is busy.
func TestGoClientLifetimeWatcher(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		root := s.client(s.root)
		const ttl = 9
		text, no := fmt.Sprintf("%ds", ttl), false
		watched := want[*api.Secret](t)(root.Auth().Token().Create(&api.TokenCreateRequest{TTL: text, Policies: []string{"default"}}))
		fixed := want[*api.Secret](t)(root.Auth().Token().Create(&api.TokenCreateRequest{TTL: text, Policies: []string{"default"}, Renewable: &no}))
		watch := func(secret *api.Secret) *api.LifetimeWatcher {
			w := want[*api.LifetimeWatcher](t)(s.client(secret.Auth.ClientToken).NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: secret}))
			go w.Start()
			t.Cleanup(w.Stop)
			return w
		}
		renewing, ending := watch(watched), watch(fixed)
		begin := time.Now()
		end := time.NewTimer(2 * patience)
		defer end.Stop()
		for renewals, ended := 0, false; renewals < 3 || !ended; {
			select {
			case r := <-renewing.RenewCh():
				renewals++
				if r.Secret.Auth.LeaseDuration != ttl {
					t.Errorf("renewed for %d s", r.Secret.Auth.LeaseDuration)
				}
			case err := <-renewing.DoneCh():
				t.Fatalf("the watcher gave up after %s: %v", time.Since(begin), err)
			case err := <-ending.DoneCh():
				ended = true
				if err != nil {
					t.Errorf("the end of a token that cannot be renewed: %v", err)
				}
			case <-end.C:
				t.Fatalf("%d renewals, and it is %v that the token that cannot be renewed is said to end", renewals, ended)
			}
		}
		if lived := time.Since(begin); lived < ttl*time.Second || !alive(t, s, watched.Auth.ClientToken) {
			t.Errorf("after three renewals and %s the token is at its end", lived)
		}
		await(t, patience, "the end of the token that cannot be renewed", func() bool { return !alive(t, s, fixed.Auth.ClientToken) })
	})
}

func TestGoClientKV(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		c := s.client(s.root)
		t.Run("v1", func(t *testing.T) { kvV1(t, c) })
		t.Run("v2", func(t *testing.T) { kvV2(t, c) })
		t.Run("logical", func(t *testing.T) { logical(t, c) })
	})
}

func kvV1(t *testing.T, c *api.Client) {
	ctx := t.Context()
	if err := c.Sys().Mount("plain", &api.MountInput{Type: "kv", Options: map[string]string{"version": "1"}}); err != nil {
		t.Fatal(err)
	}
	kv := c.KVv1("plain")
	if err := kv.Put(ctx, "a/b", map[string]any{"n": 1, "s": "x"}); err != nil {
		t.Fatal(err)
	}
	if got := want[*api.KVSecret](t)(kv.Get(ctx, "a/b")); fmt.Sprint(got.Data) != "map[n:1 s:x]" {
		t.Errorf("get: %v", got.Data)
	}
	if err := kv.Delete(ctx, "a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(ctx, "a/b"); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("get after delete: %v", err)
	}
}

func kvV2(t *testing.T, c *api.Client) {
	ctx, kv, secret := t.Context(), c.KVv2("secret"), want[*api.KVSecret](t)
	for i := 1; i <= 3; i++ {
		if put := secret(kv.Put(ctx, "app", map[string]any{"n": i}, api.WithCheckAndSet(i-1))); put.VersionMetadata.Version != i {
			t.Errorf("put %d: %+v", i, put.VersionMetadata)
		}
	}
	_, err := kv.Put(ctx, "app", map[string]any{}, api.WithCheckAndSet(1))
	refusal(t, err, 400, "check-and-set parameter did not match the current version")
	if got := secret(kv.GetVersion(ctx, "app", 2)); fmt.Sprint(got.Data) != "map[n:2]" {
		t.Errorf("version 2: %v", got.Data)
	}
	if got := secret(kv.Patch(ctx, "app", map[string]any{"m": "new"})); got.VersionMetadata.Version != 4 {
		t.Errorf("patch: %+v", got.VersionMetadata)
	}
	if got := secret(kv.Get(ctx, "app")); fmt.Sprint(got.Data) != "map[m:new n:3]" {
		t.Errorf("after the patch: %v", got.Data)
	}
	if err := kv.DeleteVersions(ctx, "app", []int{1}); err != nil {
		t.Fatal(err)
	}
	if got := secret(kv.GetVersion(ctx, "app", 1)); got.Data != nil || got.VersionMetadata.DeletionTime.IsZero() {
		t.Errorf("deleted: %v %+v", got.Data, got.VersionMetadata)
	}
	if err := kv.Undelete(ctx, "app", []int{1}); err != nil {
		t.Fatal(err)
	}
	if got := secret(kv.Rollback(ctx, "app", 1)); got.VersionMetadata.Version != 5 {
		t.Errorf("rollback: %+v", got.VersionMetadata)
	}
	if err := kv.Destroy(ctx, "app", []int{2}); err != nil {
		t.Fatal(err)
	}
	versions, err := kv.GetVersionsAsList(ctx, "app")
	if err != nil || len(versions) != 5 || !versions[1].Destroyed {
		t.Errorf("versions: %+v %v", versions, err)
	}
	if err := kv.PutMetadata(ctx, "app", api.KVMetadataPutInput{MaxVersions: 7, CustomMetadata: map[string]any{"owner": "a"}}); err != nil {
		t.Fatal(err)
	}
	cas := true
	if err := kv.PatchMetadata(ctx, "app", api.KVMetadataPatchInput{CASRequired: &cas}); err != nil {
		t.Fatal(err)
	}
	if m := want[*api.KVMetadata](t)(kv.GetMetadata(ctx, "app")); m.MaxVersions != 7 || !m.CASRequired || m.CustomMetadata["owner"] != "a" || m.CurrentVersion != 5 {
		t.Errorf("metadata: %+v", m)
	}
	if err := kv.Delete(ctx, "app"); err != nil {
		t.Fatal(err)
	}
	if err := kv.DeleteMetadata(ctx, "app"); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(ctx, "app"); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("get after everything is deleted: %v", err)
	}
}

func logical(t *testing.T, c *api.Client) {
	l, secret := c.Logical(), want[*api.Secret](t)
	secret(l.Write("cubbyhole/mine", map[string]any{"a": "b"}))
	secret(l.WriteBytes("cubbyhole/bytes", []byte(`{"big":9007199254740993}`)))
	if got := secret(l.Read("cubbyhole/bytes")); fmt.Sprint(got.Data["big"]) != "9007199254740993" {
		t.Errorf("a large number came back as %v", got.Data["big"])
	}
	if got := secret(l.List("cubbyhole")); fmt.Sprint(got.Data["keys"]) != "[bytes mine]" {
		t.Errorf("list: %v", got.Data)
	}
	secret(l.Delete("cubbyhole/mine"))
	if got := secret(l.Read("cubbyhole/mine")); got != nil {
		t.Errorf("read after delete: %+v", got)
	}
	secret(l.Write("secret/data/l", map[string]any{"data": map[string]any{"a": 1, "b": 2}}))
	secret(l.JSONMergePatch(t.Context(), "secret/data/l", map[string]any{"data": map[string]any{"a": nil}}))
	if got := secret(l.ReadWithData("secret/data/l", map[string][]string{"version": {"2"}})); fmt.Sprint(got.Data["data"]) != "map[b:2]" {
		t.Errorf("after the patch: %v", got.Data)
	}
	raw := want[*api.Response](t)(l.ReadRaw("secret/data/l"))
	raw.Body.Close()
	if raw.StatusCode != 200 {
		t.Errorf("raw: %d", raw.StatusCode)
	}

	// A wrapped answer is taken once.
	wrapping := want[*api.Client](t)(c.Clone())
	wrapping.SetToken(c.Token())
	wrapping.SetWrappingLookupFunc(func(string, string) string { return "1m" })
	wrapped := secret(wrapping.Logical().Read("secret/data/l"))
	if wrapped.WrapInfo == nil || wrapped.WrapInfo.TTL != 60 || wrapped.Data != nil {
		t.Fatalf("wrapped: %+v", wrapped)
	}
	if got := secret(l.Unwrap(wrapped.WrapInfo.Token)); fmt.Sprint(got.Data["data"]) != "map[b:2]" {
		t.Errorf("unwrapped: %v", got.Data)
	}
	_, err := l.Unwrap(wrapped.WrapInfo.Token)
	refusal(t, err, 400, "wrapping token is not valid or does not exist")
}
