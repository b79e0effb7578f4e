package approle_test

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"slices"
	"testing"
	"time"

	"jeton/internal/auth/approle"
	"jeton/internal/auth/authtest"
	"jeton/internal/backend"
	"jeton/internal/store"
)

// Contract: auth-methods §2.3, generate and its limits.
func TestGenerateWithinTheRole(t *testing.T) {
	b := roleWith(t, object{
		"secret_id_num_uses": 3, "secret_id_ttl": "1h", "secret_id_bound_cidrs": "10.0.0.0/8", "token_bound_cidrs": "10.1.0.0/16",
	})
	const (
		tooMany = "num_uses cannot be higher than the role's secret_id_num_uses"
		tooLong = "ttl cannot be longer than the role's secret_id_ttl"
	)
	rows := []struct {
		name string
		data object
		text string
	}{
		{"num_uses=0 under a limit", object{"num_uses": 0}, tooMany},
		{"num_uses=4 of 3", object{"num_uses": 4}, tooMany},
		{"num_uses<0", object{"num_uses": -1}, "num_uses cannot be negative"},
		{"ttl=0 under a limit", object{"ttl": 0}, tooLong},
		{"ttl above", object{"ttl": "61m"}, tooLong},
		{"ttl<0 is the mount's maximum, above too", object{"ttl": -1}, tooLong},
		{"cidr_list outside", object{"cidr_list": "10.1.1.1,11.0.0.0/8"}, `failed to verify subset relationship between CIDR blocks on the role ["10.0.0.0/8"] and CIDR blocks on the secret ID ["10.1.1.1" "11.0.0.0/8"]`},
		{"token_bound_cidrs outside", object{"token_bound_cidrs": "10.2.0.1"}, `failed to verify subset relationship between token CIDR blocks on the role ["10.1.0.0/16"] and token CIDR blocks on the secret ID ["10.2.0.1"]`},
		{"bad CIDR", object{"cidr_list": "x"}, "failed to validate CIDR blocks: entry 1 is neither an IP address nor a CIDR block"},
		{"overlong id", object{"secret_id": string(make([]byte, 4097))}, "value is longer than maximum of 4096 bytes"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path := "role/r/secret-id"
			if row.data["secret_id"] != nil {
				path = "role/r/custom-secret-id"
			}
			b.Refused(t, backend.Update, path, row.data, backend.Invalid, row.text)
		})
	}
	got := b.Must(t, backend.Update, "role/r/secret-id", object{"num_uses": 2, "ttl": "10m"})
	if got["secret_id_num_uses"] != 2.0 || got["secret_id_ttl"] != 600.0 {
		t.Errorf("within the limits: %v", got)
	}
	got = b.Must(t, backend.Update, "role/r/secret-id", nil)
	if got["secret_id_num_uses"] != 3.0 || got["secret_id_ttl"] != 3600.0 || len(got["secret_id"].(string)) != 36 {
		t.Errorf("omit → 3: %v", got)
	}
}

// Contract: auth-methods §2.3, "TTL: negative or > mount max → mount max; 0 → never expires".
func TestTTLOfSecretIDs(t *testing.T) {
	b := roleWith(t, object{"secret_id_ttl": -5})
	b.Must(t, backend.Update, "role/free", nil)
	const most = 768 * 3600.0
	rows := []struct {
		role string
		data object
		want float64
	}{
		{"r", nil, most}, {"free", nil, 0}, {"free", object{"ttl": -1}, most}, {"free", object{"ttl": "1000h"}, most}, {"free", object{"ttl": 0}, 0},
	}
	for _, row := range rows {
		if got := b.Must(t, backend.Update, "role/"+row.role+"/secret-id", row.data)["secret_id_ttl"]; got != row.want {
			t.Errorf("%s %v: %v, want %v", row.role, row.data, got, row.want)
		}
	}
}

// Contract: auth-methods §2.3, metadata; [!] an object is accepted too.
func TestMetadata(t *testing.T) {
	b := roleWith(t, nil)
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	const failed = "failed to parse metadata: want a JSON object of strings, or key=value pairs with commas between"
	rows := []struct {
		sent any
		want map[string]any
	}{
		{nil, map[string]any{}},
		{"", map[string]any{}},
		{`{"a":"b"}`, map[string]any{"a": "b"}},
		{"a=b,c=d", map[string]any{"a": "b", "c": "d"}},
		{encode(`{"a":"b"}`), map[string]any{"a": "b"}},
		{encode("a=b"), map[string]any{"a": "b"}},
		{encode("a=bc,d=e"), map[string]any{"a": "bc", "d": "e"}},
		{object{"a": "b"}, map[string]any{"a": "b"}},
		{"abcd=", map[string]any{"abcd": ""}},
		{`{"a":1}`, nil},
		{object{"a": 1}, nil},
		{"plain", nil},
		{"=b", nil},
		{[]string{"a=b"}, nil},
	}
	for _, row := range rows {
		data := object{"metadata": row.sent}
		if row.want == nil {
			b.Refused(t, backend.Update, "role/r/secret-id", data, backend.Invalid, failed)
			continue
		}
		secret, _ := generate(t, b, "r", data)
		got := b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": secret})["metadata"]
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%v reads %v", row.sent, got)
		}
	}
}

// Contract: auth-methods §2.3, custom-secret-id, and the edge test of §2.4.
func TestCustomSecretID(t *testing.T) {
	b := roleWith(t, nil)
	b.Must(t, backend.Update, "role/other", nil)
	b.Refused(t, backend.Update, "role/r/custom-secret-id", nil, backend.Invalid, "missing secret_id")
	got := b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "mine", "ttl": "1m"})
	if got["secret_id"] != "mine" || got["secret_id_ttl"] != 60.0 {
		t.Errorf("%v", got)
	}
	b.Refused(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "mine"}, backend.Invalid,
		"failed to store secret_id: SecretID is already registered")
	b.Must(t, backend.Update, "role/other/custom-secret-id", object{"secret_id": "mine"})
	mustLogin(t, b, roleID(t, b, "r"), "mine")
	mustLogin(t, b, roleID(t, b, "other"), "mine")
	b.Clock.Add(time.Minute)
	b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "mine"})
	mustLogin(t, b, roleID(t, b, "r"), "mine")
	if keys := b.Keys(t, "role/r/secret-id"); len(keys) != 1 {
		t.Errorf("accessors %v", keys)
	}
}

// Contract: auth-methods §2.3, lookup.
func TestLookup(t *testing.T) {
	b := roleWith(t, object{"secret_id_bound_cidrs": "127.0.0.0/8"})
	secret, accessor := generate(t, b, "r", object{"ttl": "1h", "num_uses": 2, "cidr_list": "127.0.0.1/32", "metadata": "a=b"})
	b.Clock.Add(time.Minute)
	mustLogin(t, b, roleID(t, b, "r"), secret)
	want := object{
		"secret_id_accessor": accessor, "secret_id_num_uses": 1.0, "secret_id_ttl": 3600.0,
		"creation_time": "2026-03-01T12:00:00Z", "expiration_time": "2026-03-01T13:00:00Z", "last_updated_time": "2026-03-01T12:01:00Z", "last_used_time": "2026-03-01T12:01:00Z",
		"metadata": object{"a": "b"}, "cidr_list": []any{"127.0.0.1/32"}, "token_bound_cidrs": []any{},
	}
	if got := b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": secret}); !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	if got := b.Must(t, backend.Update, "role/r/secret-id-accessor/lookup", object{"secret_id_accessor": accessor}); !reflect.DeepEqual(got, want) {
		t.Errorf("by accessor %v\nwant %v", got, want)
	}
	eternal, _ := generate(t, b, "r", nil)
	got := b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": eternal})
	if got["expiration_time"] != "0001-01-01T00:00:00Z" {
		t.Errorf("never-expiring: %v", got)
	}
	if got := b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": "nothing"}); got != nil {
		t.Errorf("not found → 204, not %v", got)
	}
}

// Contract: auth-methods §2.3, missing parameters and missing roles.
func TestSecretIDErrors(t *testing.T) {
	b := roleWith(t, nil)
	rows := []struct {
		path string
		data object
		kind backend.Kind
		text string
	}{
		{"r/secret-id/lookup", nil, backend.Invalid, "missing secret_id"},
		{"r/secret-id/destroy", nil, backend.Invalid, "missing secret_id"},
		{"r/secret-id-accessor/lookup", nil, backend.Invalid, "missing secret_id_accessor"},
		{"r/secret-id-accessor/destroy", nil, backend.Invalid, "missing secret_id_accessor"},
		{"x/secret-id", nil, backend.NotFound, `role "x" does not exist`},
		{"x/custom-secret-id", object{"secret_id": "s"}, backend.NotFound, `role "x" does not exist`},
		{"x/secret-id/lookup", object{"secret_id": "s"}, backend.NotFound, `role "x" does not exist`},
		{"x/secret-id/destroy", object{"secret_id": "s"}, backend.NotFound, `role "x" does not exist`},
		{"x/secret-id-accessor/lookup", object{"secret_id_accessor": "s"}, backend.NotFound, `role "x" does not exist`},
		{"x/secret-id-accessor/destroy", object{"secret_id_accessor": "s"}, backend.NotFound, `role "x" does not exist`},
	}
	for _, row := range rows {
		b.Refused(t, backend.Update, "role/"+row.path, row.data, row.kind, row.text)
	}
	b.Refused(t, backend.List, "role/x/secret-id", nil, backend.Invalid, `role "x" does not exist`)
	if keys := b.Keys(t, "role/r/secret-id/"); keys != nil {
		t.Errorf("accessors %v", keys)
	}
}

// Contract: auth-methods §2.3, destroy by either, by POST and DELETE.
// CVE-2023-24999: another role's secret id or accessor is not found, and stays.
func TestDestroyCVE202324999(t *testing.T) {
	b := roleWith(t, nil)
	b.Must(t, backend.Update, "role/other", nil)
	const unknown = "failed to find accessor entry for secret_id_accessor"
	for _, op := range []backend.Operation{backend.Update, backend.Delete} {
		secret, accessor := generate(t, b, "r", nil)
		bySecret, byAccessor := object{"secret_id": secret}, object{"secret_id_accessor": accessor}
		b.Must(t, op, "role/other/secret-id/destroy", bySecret)
		b.Refused(t, op, "role/other/secret-id-accessor/destroy", byAccessor, backend.NotFound, unknown)
		b.Refused(t, backend.Update, "role/other/secret-id-accessor/lookup", byAccessor, backend.NotFound, unknown)
		if keys := b.Keys(t, "role/r/secret-id"); !slices.Equal(keys, []string{accessor}) {
			t.Fatalf("accessors %v", keys)
		}
		b.Must(t, op, "role/r/secret-id/destroy", bySecret)
		b.Must(t, op, "role/r/secret-id/destroy", bySecret)
		refused(t, b, roleID(t, b, "r"), secret, invalid)

		secret, accessor = generate(t, b, "r", object{"ttl": "1h"})
		byAccessor = object{"secret_id_accessor": accessor}
		b.Must(t, op, "role/r/secret-id-accessor/destroy", byAccessor)
		b.Refused(t, op, "role/r/secret-id-accessor/destroy", byAccessor, backend.NotFound, unknown)
		refused(t, b, roleID(t, b, "r"), secret, invalid)
		if n := b.Stored(t, "of/"); n != 0 {
			t.Errorf("%d keys are left of destroyed secret ids", n)
		}
	}
}

// Contract: auth-methods §2.3, unknown accessor: data.error besides the errors; wrapped_accessor.
func TestShapesBesidesData(t *testing.T) {
	b := roleWith(t, nil)
	_, err := b.Do(t.Context(), backend.Update, "role/r/secret-id-accessor/lookup", object{"secret_id_accessor": "canary"})
	e, ok := err.(*backend.Error)
	if !ok || !reflect.DeepEqual(authtest.Data(t, &backend.Response{Data: e.Data}), object{"error": e.Text}) {
		t.Errorf("%+v", err)
	}
	response, err := b.Do(t.Context(), backend.Update, "role/r/secret-id", nil)
	if err != nil || response.WrappedAccessor != authtest.Data(t, response)["secret_id_accessor"] {
		t.Errorf("wrapped accessor %q, %v", response.WrappedAccessor, err)
	}
}

// Contract: auth-methods §2.3, tidy: 202 with the warning. Pain 27: nothing expired is kept.
func TestTidy(t *testing.T) {
	b := roleWith(t, object{"secret_id_ttl": "1m"})
	b.Must(t, backend.Update, "role/eternal", nil)
	generate(t, b, "eternal", nil)
	before := b.Stored(t, "")
	for range 300 {
		generate(t, b, "r", nil)
	}
	b.Clock.Add(2 * time.Minute)
	response, err := b.Do(t.Context(), backend.Update, "tidy/secret-id", nil)
	if err != nil || response.Status != 202 || len(response.Warnings) != 1 {
		t.Fatalf("%+v, %v", response, err)
	}
	if after := b.Stored(t, ""); after != before {
		t.Errorf("%d keys before, %d after", before, after)
	}
}

// The order of time is kept for ends at any fraction of a second: records blur microseconds.
func TestFractionsOfSeconds(t *testing.T) {
	b := roleWith(t, object{"secret_id_ttl": "1m"})
	before := b.Stored(t, "")
	for range 2 {
		for _, step := range []time.Duration{1, 123_456_789, 876_543_209, 999_999_999, 999_999_500, 501} {
			b.Clock.Add(step)
			secret, accessor := generate(t, b, "r", nil)
			got := b.Must(t, backend.Update, "role/r/secret-id/lookup", object{"secret_id": secret})
			for _, field := range []string{"creation_time", "expiration_time"} {
				if at := got[field].(string); len(at) > len("2026-03-01T12:00:00.123Z") {
					t.Errorf("%s is %s", field, at)
				}
			}
			b.Must(t, backend.Update, "role/r/secret-id-accessor/destroy", object{"secret_id_accessor": accessor})
		}
	}
	if after := b.Stored(t, ""); after != before {
		t.Errorf("%d keys before, %d after", before, after)
	}
}

// Contract: auth-methods §0, LIST takes after and limit.
func TestListInPages(t *testing.T) {
	b := roleWith(t, nil)
	for _, name := range []string{"c", "a", "b"} {
		b.Must(t, backend.Update, "role/"+name, nil)
	}
	rows := []struct {
		data object
		want []string
	}{
		{nil, []string{"a", "b", "c", "r"}},
		{object{"limit": "2"}, []string{"a", "b"}},
		{object{"after": "aa", "limit": 2}, []string{"b", "c"}},
		{object{"after": "b", "limit": -1}, []string{"c", "r"}},
		{object{"after": "r"}, nil},
	}
	for _, row := range rows {
		response, err := b.Do(t.Context(), backend.List, "role", row.data)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if response != nil {
			got = response.Data.(*backend.Keys).Keys
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%v: %v, want %v", row.data, got, row.want)
		}
	}
}

// Pain 27: records do not pile up where nobody tidies.
func TestMakingSecretIDsSweeps(t *testing.T) {
	b := roleWith(t, object{"secret_id_ttl": "1m"})
	most := 0
	for range 100 {
		generate(t, b, "r", nil)
		b.Clock.Add(30 * time.Second)
		most = max(most, b.Stored(t, "of/"))
	}
	if most > 5*3 {
		t.Errorf("up to %d keys for secret ids of which two or three are alive", most)
	}
}

// Keys, which are not encrypted, hold no id and no accessor; nothing at all holds a secret id.
func TestWhatIsStoredTellsNothing(t *testing.T) {
	b := authtest.New(t, approle.New)
	b.Must(t, backend.Update, "role/r", object{"role_id": "ROLE-CANARY"})
	b.Must(t, backend.Update, "role/r/custom-secret-id", object{"secret_id": "SECRET-CANARY", "ttl": "1h"})
	made, accessor := generate(t, b, "r", nil)
	mustLogin(t, b, "ROLE-CANARY", made)
	err := b.Area.View(t.Context(), func(r store.Reader) error {
		return r.Scan(store.Range{}, func(key, value []byte) (bool, error) {
			for _, canary := range []string{"ROLE-CANARY", "SECRET-CANARY", made, accessor} {
				if bytes.Contains(key, []byte(canary)) {
					t.Errorf("the key %q holds %s", key, canary)
				}
			}
			for _, canary := range []string{"SECRET-CANARY", made} {
				if bytes.Contains(value, []byte(canary)) {
					t.Errorf("the value of %q holds %s", key, canary)
				}
			}
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
