package approle_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
)

type object = map[string]any

// roleWith mounts AppRole with a role r made of data.
func roleWith(t *testing.T, data object) *authtest.Bench {
	t.Helper()
	b := authtest.New(t, approle.New)
	b.Must(t, backend.Update, "role/r", data)
	return b
}

func roleID(t *testing.T, b *authtest.Bench, name string) string {
	t.Helper()
	return b.Must(t, backend.Read, "role/"+name+"/role-id", nil)["role_id"].(string)
}

// Contract: auth-methods §2.1, the errors.
func TestRoleErrors(t *testing.T) {
	b := roleWith(t, object{"role_id": "taken", "token_ttl": 10, "token_max_ttl": 20})
	b.Must(t, backend.Update, "role/bound", object{"bind_secret_id": false, "secret_id_bound_cidrs": "10.0.0.0/8"})
	const noConstraint = "at least one constraint should be enabled on the role"
	rows := []struct {
		name, path string
		data       object
		text       string
	}{
		{"long name", "role/" + strings.Repeat("a", 4097), nil, "role_name is longer than maximum of 4096 bytes"},
		{"local_secret_ids later", "role/r", object{"local_secret_ids": true}, "local_secret_ids can only be modified during role creation"},
		{"empty role_id", "role/new", object{"role_id": " "}, "invalid role_id supplied, or failed to generate a role_id"},
		{"duplicate role_id", "role/new", object{"role_id": "taken"}, "role_id already in use"},
		{"duplicate role_id on update", "role/bound", object{"role_id": " taken\n"}, "role_id already in use"},
		{"duplicate role_id by its own path", "role/bound/role-id", object{"role_id": "taken"}, "role_id already in use"},
		{"bad CIDR", "role/new", object{"secret_id_bound_cidrs": "300.0.0.1"}, "failed to validate CIDR blocks: entry 1 is neither an IP address nor a CIDR block"},
		{"bad CIDR under the old name", "role/new", object{"bound_cidr_list": "x"}, "failed to validate CIDR blocks: entry 1 is neither an IP address nor a CIDR block"},
		{"negative uses", "role/new", object{"secret_id_num_uses": -1}, "secret_id_num_uses cannot be negative"},
		{"no constraint", "role/new", object{"bind_secret_id": false}, noConstraint},
		{"the last constraint goes by its own path", "role/bound/secret-id-bound-cidrs", nil, noConstraint},
		{"legacy period", "role/new", object{"period": "769h"}, `period of "769h" is greater than the backend's maximum lease TTL of "768h"`},
		{"partial update", "role/r", object{"token_max_ttl": 5}, "'token_ttl' cannot be greater than 'token_max_ttl'"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			op := backend.Update
			if row.data == nil && strings.Contains(row.path, "cidrs") {
				op = backend.Delete
			}
			b.Refused(t, op, row.path, row.data, backend.Invalid, row.text)
		})
	}
	// Contract: "create with role_id of another role → rejected, role not stored".
	if keys := b.Keys(t, "role"); !slices.Equal(keys, []string{"bound", "r"}) {
		t.Errorf("roles %v", keys)
	}
	if n := b.Stored(t, "id/"); n != 2 {
		t.Errorf("%d role ids are stored, want 2", n)
	}
}

// Contract: auth-methods §2.4 edge tests, `role "Foo" then read "foo" → same role; list shows foo`.
// CVE-2026-89322: the path that the policies judge is canonical, see backend.Table.
func TestRoleNamesAreLowerCase(t *testing.T) {
	b := authtest.New(t, approle.New)
	b.Must(t, backend.Update, "role/Foo", object{"token_policies": "a"})
	if got := b.Must(t, backend.Read, "role/foo", nil); got["token_policies"].([]any)[0] != "a" {
		t.Errorf("read %v", got)
	}
	if keys := b.Keys(t, "role/"); !slices.Equal(keys, []string{"foo"}) {
		t.Errorf("roles %v", keys)
	}
	for _, route := range b.Backend.Routes() {
		if strings.Contains(route.Pattern, "{role_name}") {
			t.Errorf("%s takes a name as it is written", route.Pattern)
		}
	}
}

// Contract: auth-methods §2.1, GET data.
func TestReadRole(t *testing.T) {
	b := roleWith(t, nil)
	want := object{
		"bind_secret_id": true, "local_secret_ids": false, "secret_id_bound_cidrs": nil, "secret_id_num_uses": 0.0,
		"secret_id_ttl": 0.0, "token_bound_cidrs": []any{}, "token_explicit_max_ttl": 0.0, "token_max_ttl": 0.0,
		"token_no_default_policy": false, "token_num_uses": 0.0, "token_period": 0.0, "token_policies": []any{},
		"token_ttl": 0.0, "token_type": "default",
	}
	if got := b.Must(t, backend.Read, "role/r", nil); !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	b.Must(t, backend.Update, "role/r", object{"policies": "p", "period": 60, "secret_id_bound_cidrs": []string{"127.0.0.1/32"}, "secret_id_ttl": "1h"})
	got := b.Must(t, backend.Read, "role/r", nil)
	for key, want := range (object{
		"policies": []any{"p"}, "token_policies": []any{"p"}, "period": 60.0, "token_period": 60.0,
		"secret_id_bound_cidrs": []any{"127.0.0.1/32"}, "secret_id_ttl": 3600.0,
	}) {
		if !reflect.DeepEqual(got[key], want) {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if got := b.Must(t, backend.Read, "role/nobody", nil); got != nil {
		t.Errorf("a role that is not there reads %v", got)
	}
	if keys := authtest.New(t, approle.New).Keys(t, "role"); keys != nil {
		t.Errorf("an empty list is %v", keys)
	}
}

// Contract: auth-methods §2.1 and §1, the warnings.
func TestRoleWarnings(t *testing.T) {
	b := authtest.New(t, approle.New)
	rows := []struct {
		data    object
		warning string
	}{
		{object{"token_max_ttl": "1000h"}, "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be truncated"},
		{object{"token_type": "default-service"}, "default-service has no useful meaning; adjusting to service"},
		{object{"token_type": "default-batch"}, "default-batch has no useful meaning; adjusting to batch"},
		{object{"rubbish": 1}, "Endpoint ignored these unrecognized parameters: [rubbish]"},
	}
	for _, row := range rows {
		b.Must(t, backend.Delete, "role/r", nil)
		response, err := b.Do(t.Context(), backend.Update, "role/r", row.data)
		if err != nil || response == nil || !slices.Equal(response.Warnings, []string{row.warning}) {
			t.Errorf("%v: %+v, %v", row.data, response, err)
		}
	}
	b.Must(t, backend.Update, "role/batch", object{"token_type": "default-batch"})
	if got := b.Must(t, backend.Read, "role/batch", nil)["token_type"]; got != "batch" {
		t.Errorf("default-batch is stored as %v", got)
	}
	if response, err := b.Do(t.Context(), backend.Update, "role/r", object{"token_type": "default"}); response != nil || err != nil {
		t.Errorf("a plain write answers %v, %v", response, err)
	}
}

// Contract: auth-methods §2.2: each field reads, writes, resets; what is missing says so.
func TestFields(t *testing.T) {
	rows := []struct {
		path, field string
		send        object
		want, reset any
		missing     string
	}{
		{"policies", "token_policies", object{"token_policies": "a,b"}, []any{"a", "b"}, []any{}, "missing token_policies"},
		{"policies", "policies", object{"policies": "a"}, []any{"a"}, nil, "missing token_policies"},
		{"secret-id-num-uses", "secret_id_num_uses", object{"secret_id_num_uses": 5}, 5.0, 0.0, "missing secret_id_num_uses"},
		{"secret-id-ttl", "secret_id_ttl", object{"secret_id_ttl": "1m"}, 60.0, 0.0, "missing secret_id_ttl"},
		{"token-ttl", "token_ttl", object{"token_ttl": 7}, 7.0, 0.0, "missing token_ttl"},
		{"token-max-ttl", "token_max_ttl", object{"token_max_ttl": 7}, 7.0, 0.0, "missing token_max_ttl"},
		{"token-num-uses", "token_num_uses", object{"token_num_uses": 7}, 7.0, 0.0, "missing token_num_uses"},
		{"secret-id-bound-cidrs", "secret_id_bound_cidrs", object{"secret_id_bound_cidrs": "10.0.0.0/8"}, []any{"10.0.0.0/8"}, []any{}, "missing secret_id_bound_cidrs"},
		{"bound-cidr-list", "bound_cidr_list", object{"bound_cidr_list": "10.0.0.0/8"}, []any{"10.0.0.0/8"}, []any{}, "missing bound_cidr_list"},
		{"token-bound-cidrs", "token_bound_cidrs", object{"token_bound_cidrs": "10.0.0.1/32"}, []any{"10.0.0.1"}, []any{}, "missing token_bound_cidrs"},
		{"period", "token_period", object{"token_period": 9}, 9.0, 0.0, "missing period"},
		{"period", "period", object{"period": 9}, 9.0, nil, "missing period"},
		{"bind-secret-id", "bind_secret_id", object{"bind_secret_id": false}, false, true, "missing bind_secret_id"},
	}
	for _, row := range rows {
		t.Run(row.path+" "+row.field, func(t *testing.T) {
			b := authtest.New(t, approle.New)
			path := "role/r/" + row.path
			// A missing role: GET 404, POST 404 (`unsupported path`), DELETE 204.
			if got := b.Must(t, backend.Read, path, nil); got != nil {
				t.Errorf("read of a missing role: %v", got)
			}
			b.Refused(t, backend.Update, path, row.send, backend.UnsupportedPath, "unsupported path")
			b.Must(t, backend.Delete, path, nil)

			made := object{}
			if row.path == "bind-secret-id" {
				made["token_bound_cidrs"] = "10.0.0.0/8"
			}
			b.Must(t, backend.Update, "role/r", made)
			b.Refused(t, backend.Update, path, nil, backend.Invalid, row.missing)
			b.Must(t, backend.Update, path, row.send)
			if got := b.Must(t, backend.Read, path, nil)[row.field]; !reflect.DeepEqual(got, row.want) {
				t.Errorf("reads %v, want %v", got, row.want)
			}
			b.Must(t, backend.Delete, path, nil)
			if got := b.Must(t, backend.Read, path, nil)[row.field]; !reflect.DeepEqual(got, row.reset) {
				t.Errorf("reads %v after the reset, want %v", got, row.reset)
			}
		})
	}
}

// Contract: auth-methods §2.2, the notes of the table.
func TestFieldErrorsCVE202552893(t *testing.T) {
	b := roleWith(t, object{"token_ttl": 10, "token_max_ttl": 20})
	rows := []struct {
		path string
		data object
		text string
	}{
		{"token-ttl", object{"token_ttl": 21}, "token_ttl should not be greater than token_max_ttl"},
		{"token-max-ttl", object{"token_max_ttl": 9}, "token_max_ttl should be greater than or equal to token_ttl"},
		{"token-bound-cidrs", object{"token_bound_cidrs": "x"}, "failed to parse token_bound_cidrs: entry 1 is neither an IP address nor a CIDR block"},
		{"bound-cidr-list", object{"bound_cidr_list": "x"}, "failed to validate CIDR blocks: entry 1 is neither an IP address nor a CIDR block"},
		{"bound-cidr-list", object{"bound_cidr_list": ""}, "missing bound_cidr_list"},
		{"bind-secret-id", object{"bind_secret_id": false}, "at least one constraint should be enabled on the role"},
		{"secret-id-num-uses", object{"secret_id_num_uses": -1}, "secret_id_num_uses cannot be negative"},
		{"role-id", object{"role_id": ""}, "missing role_id"},
	}
	for _, row := range rows {
		b.Refused(t, backend.Update, "role/r/"+row.path, row.data, backend.Invalid, row.text)
	}
	b.Refused(t, backend.Delete, "role/r/role-id", nil, backend.UnsupportedOperation, "unsupported operation")
	b.Refused(t, backend.Update, "role/r/local-secret-ids", nil, backend.UnsupportedOperation, "unsupported operation")
	if got := b.Must(t, backend.Read, "role/r/local-secret-ids", nil)["local_secret_ids"]; got != false {
		t.Errorf("local_secret_ids reads %v", got)
	}
}

// Contract: auth-methods §2.1, DELETE removes all secret ids, the role id index, the role.
func TestDeleteRoleLeavesNothing(t *testing.T) {
	b := roleWith(t, nil)
	b.Must(t, backend.Update, "role/other", nil)
	b.Must(t, backend.Update, "role/other/secret-id", nil)
	before := b.Stored(t, "")
	b.Must(t, backend.Update, "role/gone", nil)
	for range 20 {
		b.Must(t, backend.Update, "role/gone/secret-id", object{"ttl": "1h"})
	}
	b.Must(t, backend.Delete, "role/gone", nil)
	b.Must(t, backend.Delete, "role/gone", nil)
	if after := b.Stored(t, ""); after != before {
		t.Errorf("%d keys before, %d after", before, after)
	}
	if keys := b.Keys(t, "role/other/secret-id"); len(keys) != 1 {
		t.Errorf("another role has %d secret ids left, want 1", len(keys))
	}
}

// A create that loses the race, and an update of what was deleted meanwhile.
// Contract: auth-methods §2.1, `role name "x" doesn't exist`.
func TestWritesThatLostARace(t *testing.T) {
	b := roleWith(t, nil)
	write := func(op backend.Operation, name string) error {
		table := backend.NewTable(b.Backend.Routes())
		match, _ := table.Find(op, "role/"+name)
		_, err := match.Route.Write.Serve(t.Context(), &backend.Call{
			Operation: op, Path: match.Path, Captures: match.Captures, Mount: b.Mount,
		})
		return err
	}
	authtest.Is(t, write(backend.Update, "x"), backend.NotFound, `role name "x" doesn't exist`)
	authtest.Is(t, write(backend.Create, "r"), backend.Conflict, `role name "r" was created by another request`)
}

// Contract: auth-methods §1.3, and CVE-2026-115356.
func TestRenewal(t *testing.T) {
	b := roleWith(t, object{"token_ttl": 60})
	s := b.Must(t, backend.Update, "role/r/secret-id", nil)
	l, err := b.Login(t.Context(), "login", object{"role_id": roleID(t, b, "r"), "secret_id": s["secret_id"]})
	if err != nil {
		t.Fatal(err)
	}
	b.Must(t, backend.Update, "role/r/secret-id/destroy", object{"secret_id": s["secret_id"]})
	b.Must(t, backend.Update, "role/r", object{"token_ttl": 120, "token_max_ttl": 300, "token_period": 30})
	renewed, err := b.Renew(t.Context(), l)
	if err != nil {
		t.Fatalf("the secret id may be gone: %v", err)
	}
	if terms := renewed.Terms; terms.TTL != 2*time.Minute || terms.MaxTTL != 5*time.Minute || terms.Period != 30*time.Second {
		t.Errorf("not the current limits: %+v", terms)
	}
	const gone = `failed to renew entry: role "r" does not exist during renewal`
	b.Must(t, backend.Delete, "role/r", nil)
	_, err = b.Renew(t.Context(), l)
	authtest.Is(t, err, backend.Invalid, gone)
	b.Must(t, backend.Update, "role/r", nil)
	_, err = b.Renew(t.Context(), l)
	authtest.Is(t, err, backend.Invalid, gone)
}
