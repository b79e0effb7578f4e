package contract_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

var merged = header("Content-Type", "application/merge-patch+json")

func TestKVVersion1(t *testing.T) {
	rows(t, []row{
		{"secrets §1 ttl and lease are advice on the wire", func(t *testing.T, h *house) {
			h.mount("kv1")
			for value, want := range map[string]int{`{"ttl":"30m"}`: 1800, `{"lease":"1h"}`: 3600, `{"ttl":"soon"}`: 2764800, `{"ttl":90}`: 90} {
				h.do("PUT", "kv1/a", h.root, value).empty()
				a := h.do("GET", "kv1/a", h.root, nil).is(200).has(want, "lease_duration").has("", "lease_id").has(false, "renewable")
				if asJSON(t, a.at("data")) != value {
					t.Errorf("%s came back as %s", value, a.body)
				}
			}
		}},
		{"secrets §1 whole numbers of twenty digits", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/n", h.root, `{"n":12345678901234567890}`).empty()
			if a := h.do("GET", "kv1/n", h.root, nil); !strings.Contains(a.body, `"n":12345678901234567890`) {
				t.Errorf("body %s", a.body)
			}
		}},
		{"secrets §1 lists, leaves and folders of one name", func(t *testing.T, h *house) {
			h.mount("kv1")
			for _, path := range []string{"a", "a/b", "A", "z/y/x"} {
				h.do("PUT", "kv1/"+path, h.root, m{"k": path}).empty()
			}
			h.do("LIST", "kv1", h.root, nil).has([]string{"A", "a", "a/", "z/"}, "data", "keys")
			h.do("LIST", "kv1/z", h.root, nil).has([]string{"y/"}, "data", "keys")
			h.do("LIST", "kv1/A", h.root, nil).fails(404)
			h.do("GET", "kv1/A", h.root, nil).has("A", "data", "k")
			h.do("GET", "kv1/a", h.root, nil).has("a", "data", "k")
		}},
		{"secrets §1 what is refused", func(t *testing.T, h *house) {
			h.mount("kv1")
			h.do("PUT", "kv1/a", h.root, m{}).fails(400, "missing data fields")
			h.do("PUT", "kv1/a", h.root, nil).fails(400, "missing data fields")
			h.do("PUT", "kv1", h.root, m{"a": 1}).fails(400, "missing path")
			h.do("PUT", "kv1/a/", h.root, m{"a": 1}).fails(400, "cannot write to a path ending in '/'")
			h.do("PATCH", "kv1/a", h.root, m{"a": 1}, header("Content-Type", "application/json")).is(415)
			h.do("PATCH", "kv1/a", h.root, m{"a": 1}, merged).fails(405, wrap1("unsupported operation"))
			h.do("DELETE", "kv1/nothing", h.root, nil).empty()
			h.do("GET", "kv1/nothing", h.root, nil).fails(404)
			h.do("PUT", "kv1/a", h.root, m{"options": m{"cas": 9}}).empty()
			h.do("GET", "kv1/a", h.root, nil).has(m{"options": m{"cas": 9}}, "data")
		}},
		{"secrets §1 generic is version 1 by its own name", func(t *testing.T, h *house) {
			h.do("POST", "sys/mounts/old", h.root, m{"type": "generic"}).empty()
			h.do("GET", "sys/mounts/old", h.root, nil).has("generic", "data", "type").has(m{}, "data", "options")
			h.do("PUT", "old/a", h.root, m{"k": "v"}).empty()
			h.do("GET", "old/a", h.root, nil).has("v", "data", "k")
			h.do("POST", "sys/mounts/older", h.root, m{"type": "generic", "options": m{"version": 2}}).fails(400, `secrets engine "generic" does not allow setting a version`)
		}},
	})
}

// version writes one and returns the answer.
func (h *house) version(path string, body m) *answer {
	h.t.Helper()
	return h.do("POST", "secret/data/"+path, h.root, body)
}

func TestKVVersion2(t *testing.T) {
	rows(t, []row{
		{"secrets §2 test 1 ten versions are kept, the oldest go", func(t *testing.T, h *house) {
			for i := range 12 {
				h.version("a", m{"data": m{"i": i}}).is(200).has(i+1, "data", "version")
			}
			a := h.do("GET", "secret/metadata/a", h.root, nil).has(12, "data", "current_version").has(3, "data", "oldest_version")
			if versions := a.at("data", "versions").(m); len(versions) != 10 || versions["3"] == nil || versions["2"] != nil {
				t.Errorf("versions %v", versions)
			}
			h.do("GET", "secret/data/a?version=2", h.root, nil).fails(404)
			h.do("GET", "secret/data/a?version=3", h.root, nil).is(200).has(2, "data", "data", "i")
		}},
		{"secrets §2 test 3 delete, undelete, destroy", func(t *testing.T, h *house) {
			h.version("a", m{"data": m{"k": "v"}}).is(200).has("", "data", "deletion_time").has(nil, "data", "custom_metadata")
			h.do("DELETE", "secret/data/a", h.root, nil).empty()
			gone := h.do("GET", "secret/data/a", h.root, nil).is(404).has(nil, "data", "data").has(false, "data", "metadata", "destroyed").lacks("errors")
			if gone.text("data", "metadata", "deletion_time") == "" {
				t.Errorf("body %s", gone.body)
			}
			h.do("POST", "secret/undelete/a", h.root, m{"versions": []int{1}}).empty()
			h.do("GET", "secret/data/a", h.root, nil).is(200).has("v", "data", "data", "k")
			h.do("PUT", "secret/destroy/a", h.root, m{"versions": []int{1}}).empty()
			h.do("POST", "secret/undelete/a", h.root, m{"versions": []int{1}}).empty()
			h.do("GET", "secret/data/a", h.root, nil).is(404).has(true, "data", "metadata", "destroyed").lacks("errors")
			h.do("DELETE", "secret/data/a", h.root, nil).empty()
		}},
		{"secrets §2 test 4 of twenty writers of the first version one wins", func(t *testing.T, h *house) {
			var writers sync.WaitGroup
			results := make(chan int, 20)
			for range 20 {
				writers.Go(func() { results <- h.version("a", m{"data": m{}, "options": m{"cas": 0}}).status })
			}
			writers.Wait()
			close(results)
			counts := map[int]int{}
			for status := range results {
				counts[status]++
			}
			if counts[200] != 1 || counts[400] != 19 {
				t.Errorf("%v", counts)
			}
		}},
		{"secrets §2 check-and-set", func(t *testing.T, h *house) {
			h.version("a", m{"data": m{}, "options": m{"cas": "x"}}).fails(400, "error parsing check-and-set parameter")
			h.version("a", m{"data": m{}, "options": m{"cas": -1}}).fails(400, "check-and-set parameter did not match the current version")
			h.version("a", m{"data": m{}, "options": m{"cas": "0"}}).is(200)
			h.do("DELETE", "secret/data/a", h.root, nil).empty()
			h.version("a", m{"data": m{}, "options": m{"cas": 0}}).fails(400, "check-and-set parameter did not match the current version")
			h.version("a", m{"data": m{}, "options": m{"cas": 1}}).is(200)
			h.do("POST", "secret/config", h.root, m{"cas_required": true}).empty()
			h.version("a", m{"data": m{}}).fails(400, "check-and-set parameter required for this call")
			h.do("POST", "secret/metadata/a", h.root, m{"cas_required": false}).is(200).warns(`"cas_required" set to false, but is mandated by backend config. This value will be ignored.`)
			h.version("a", m{"data": m{}}).fails(400, "check-and-set parameter required for this call")
			h.do("DELETE", "secret/metadata/a", h.root, nil).empty()
			h.version("a", m{"data": m{}, "options": m{"cas": 0}}).is(200).has(1, "data", "version")
		}},
		{"secrets §2 test 5 delete_version_after, the shorter of mount and key", func(t *testing.T, h *house) {
			h.do("POST", "secret/config", h.root, m{"delete_version_after": "2s"}).empty()
			h.do("GET", "secret/config", h.root, nil).is(200).has(m{"cas_required": false, "delete_version_after": "2s", "max_versions": 0}, "data")
			h.do("POST", "secret/metadata/a", h.root, m{"delete_version_after": "5s"}).empty()
			h.version("a", m{"data": m{"k": "v"}}).is(200).has("2026-03-01T12:00:02.123456789Z", "data", "deletion_time")
			h.do("GET", "secret/data/a", h.root, nil).is(200).has("v", "data", "data", "k")
			h.wall.advance(3 * time.Second)
			h.do("GET", "secret/data/a", h.root, nil).is(404).has(nil, "data", "data")
			h.do("LIST", "secret/metadata", h.root, nil).has([]string{"a"}, "data", "keys")
			h.do("POST", "secret/config", h.root, m{"delete_version_after": "-1s"}).empty()
			h.do("GET", "secret/config", h.root, nil).has("-1s", "data", "delete_version_after")
			h.version("a", m{"data": m{}}).is(200).has("", "data", "deletion_time")
		}},
		{"secrets §2 test 6 patch", func(t *testing.T, h *house) {
			patch := func(path string, body m) *answer { return h.do("PATCH", "secret/data/"+path, h.root, body, merged) }
			h.version("a", m{"data": m{"a": 1, "b": m{"d": 2}}}).is(200)
			patch("a", m{"data": m{"a": nil, "b": m{"c": 1}}}).is(200).has(2, "data", "version")
			h.do("GET", "secret/data/a", h.root, nil).has(m{"b": m{"c": 1, "d": 2}}, "data", "data")
			patch("a", m{"data": m{}, "options": m{"cas": 1}}).fails(400, "check-and-set parameter did not match the current version")
			patch("a", m{}).fails(400, "no data provided")
			patch("nothing", m{"data": m{"a": 1}}).fails(404)
			h.do("DELETE", "secret/data/a", h.root, nil).empty()
			patch("a", m{"data": m{"a": 1}}).is(404).has(2, "data", "version").lacks("errors")
			who := h.holder("w", `path "secret/data/a" { capabilities = ["create", "update", "read"] }`)
			h.do("PATCH", "secret/data/a", who, m{"data": m{}}, merged).fails(403, denied)
		}},
		{"secrets §2 tests 8 and 10 everything goes; the forms of versions", func(t *testing.T, h *house) {
			for range 3 {
				h.version("a", m{"data": m{}}).is(200)
			}
			for _, versions := range []any{"1,2", []int{1, 2}, []string{"1", "2"}} {
				h.do("POST", "secret/delete/a", h.root, m{"versions": versions}).empty()
				for v, want := range map[int]int{1: 404, 2: 404, 3: 200} {
					h.do("GET", fmt.Sprintf("secret/data/a?version=%d", v), h.root, nil).is(want)
				}
				h.do("POST", "secret/undelete/a", h.root, m{"versions": versions}).empty()
			}
			for path, text := range map[string]string{"delete": "No version number provided", "undelete": "No version number provided", "destroy": "no version number provided"} {
				h.do("POST", "secret/"+path+"/a", h.root, m{}).fails(400, text)
				h.do("POST", "secret/"+path+"/nothing", h.root, m{"versions": []int{1}}).empty()
				h.do("POST", "secret/"+path+"/a", h.root, m{"versions": []int{99}}).empty()
			}
			h.do("DELETE", "secret/metadata/a", h.root, nil).empty()
			h.do("GET", "secret/metadata/a", h.root, nil).fails(404)
			h.version("a", m{"data": m{}}).is(200).has(1, "data", "version")
		}},
		{"secrets §2 test 9 custom metadata", func(t *testing.T, h *house) {
			many := m{}
			for i := range 65 {
				many[fmt.Sprint("k", i)] = "v"
			}
			write := func(custom any) *answer {
				return h.do("POST", "secret/metadata/a", h.root, m{"custom_metadata": custom})
			}
			write(many).failsLike(400, "custom_metadata validation failed: payload must contain at most 64 keys, provided 65")
			write(m{"k": ""}).failsLike(400, `custom_metadata validation failed: length of value for key "k" is 0 but must be 0 < len(value) <= 512`)
			write(m{"k": strings.Repeat("v", 513)}).failsLike(400, "is 513 but must be")
			write(m{strings.Repeat("k", 129): "v"}).failsLike(400, "is 129 but must be 0 < len(key) <= 128")
			write(m{"k": "a\x01"}).failsLike(400, "contains unprintable characters")
			h.do("GET", "secret/metadata/a", h.root, nil).fails(404)
			write(m{"a": "1", "b": "2"}).empty()
			h.do("PATCH", "secret/metadata/a", h.root, m{"custom_metadata": m{"a": nil, "c": "3"}}, merged).empty()
			h.do("GET", "secret/metadata/a", h.root, nil).has(m{"b": "2", "c": "3"}, "data", "custom_metadata").has(0, "data", "current_version").has(m{}, "data", "versions")
			h.do("GET", "secret/data/a", h.root, nil).fails(404)
			h.do("PATCH", "secret/metadata/nothing", h.root, m{"max_versions": 1}, merged).fails(404)
			h.do("POST", "secret/metadata/new", h.root, m{}).empty()
			h.do("GET", "secret/metadata/new", h.root, nil).fails(404)
		}},
		{"secrets §2 test 11 whole numbers keep their digits", func(t *testing.T, h *house) {
			h.do("POST", "secret/data/n", h.root, `{"data":{"n":1234567890123456789,"f":1.50}}`).is(200)
			h.do("PATCH", "secret/data/n", h.root, `{"data":{"m":98765432109876543210}}`, merged).is(200)
			for _, want := range []string{`"n":1234567890123456789`, `"f":1.50`, `"m":98765432109876543210`} {
				if a := h.do("GET", "secret/data/n", h.root, nil); !strings.Contains(a.body, want) {
					t.Errorf("%s is not in %s", want, a.body)
				}
			}
		}},
		{"secrets §2 test 12 paths of version 1", func(t *testing.T, h *house) {
			const text = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the Vault CLI, use 'vault kv %s' for this operation."
			for verb, command := range map[string]string{"GET": "get", "PUT": "put", "DELETE": "delete", "LIST": "list"} {
				h.do(verb, "secret/foo", h.root, m{"a": 1}).is(404).warns(fmt.Sprintf(text, command)).lacks("errors")
			}
			h.do("GET", "secret/data/a/", h.root, nil).is(404)
			h.do("GET", "secret/data", h.root, nil).is(404).warns("Non-listing operations on the root of a K/V v2 mount are not supported.")
		}},
		{"secrets §2 tests 13 and 14 wrapped reads", func(t *testing.T, h *house) {
			h.version("a", m{"data": m{"k": "v"}}).is(200)
			token := h.do("GET", "secret/data/a", h.root, nil, wrapped("60")).is(200).text("wrap_info", "token")
			h.do("POST", "sys/wrapping/unwrap", token, nil).is(200).has("v", "data", "data", "k").has(1, "data", "metadata", "version")
			h.do("DELETE", "secret/data/a", h.root, nil).empty()
			h.do("GET", "secret/data/a", h.root, nil, wrapped("60")).is(404).has(nil, "wrap_info").has(nil, "data", "data")
		}},
		{"secrets §2 bodies that are none", func(t *testing.T, h *house) {
			h.version("a", m{}).fails(400, "no data provided")
			h.version("a", m{"data": nil}).fails(400, "no data provided")
			h.version("a", m{"data": "x"}).failsLike(400, "'' expected type 'map[string]interface {}', got unconvertible type 'string'")
			h.version("a", m{"data": m{}, "nope": 1}).is(200).warns("Endpoint ignored these unrecognized parameters: [nope]")
			h.do("POST", "secret/metadata/a", h.root, m{"delete_version_after": "-1s"}).is(400)
		}},
		{"secrets §2 subkeys", func(t *testing.T, h *house) {
			h.version("a", m{"data": m{"a": m{"b": m{"c": 1}, "d": []int{1}}, "e": m{}}}).is(200)
			h.do("GET", "secret/subkeys/a", h.root, nil).is(200).has(m{"a": m{"b": m{"c": nil}, "d": nil}, "e": nil}, "data", "subkeys").has(1, "data", "metadata", "version")
			h.do("GET", "secret/subkeys/a?depth=1", h.root, nil).has(m{"a": nil, "e": nil}, "data", "subkeys")
			h.do("DELETE", "secret/data/a", h.root, nil).empty()
			h.do("GET", "secret/subkeys/a", h.root, nil).is(404).has(nil, "data", "subkeys").lacks("errors")
		}},
		{"secrets §2.3 upgrade, and no way back", func(t *testing.T, h *house) {
			h.mount("up")
			h.do("PUT", "up/a/b", h.root, `{"n":1234567890123456789}`).empty()
			h.do("POST", "sys/mounts/up/tune", h.root, m{"options": m{"version": "3"}}).is(400)
			if a := h.do("POST", "sys/mounts/up/tune", h.root, m{"options": m{"version": "2"}}).is(200); a.at("warnings") == nil {
				t.Errorf("no warning: %s", a.body)
			}
			if a := h.do("GET", "up/data/a/b", h.root, nil).is(200).has(1, "data", "metadata", "version"); !strings.Contains(a.body, `"n":1234567890123456789`) {
				t.Errorf("body %s", a.body)
			}
			h.do("GET", "sys/mounts/up", h.root, nil).has(m{"version": "2"}, "data", "options")
			h.do("POST", "sys/mounts/up/tune", h.root, m{"options": m{"version": 1}}).fails(400, "cannot downgrade mount from version 2")
		}},
		{"secrets §2 test 7, §2.4 preflight", func(t *testing.T, h *house) {
			who := h.holder("p", `path "secret/data/app/*" { capabilities = ["read"] }`)
			for _, path := range []string{"secret/data/app/x", "secret/app", "secret"} {
				h.do("GET", "sys/internal/ui/mounts/"+path, who, nil).is(200).has("secret/", "data", "path").has(m{"version": "2"}, "data", "options")
			}
			h.mount("other")
			for _, path := range []string{"other/x", "nothing/x"} {
				h.do("GET", "sys/internal/ui/mounts/"+path, who, nil).fails(403, fmt.Sprintf("preflight capability check returned 403, please ensure client's policies grant access to path %q", path+"/"))
			}
		}},
	})
}

func TestCubbyhole(t *testing.T) {
	rows(t, []row{
		{"secrets §3 each token has its own", func(t *testing.T, h *house) {
			h.policy("parent", `path "auth/token/create" { capabilities = ["update"] }`)
			one, other := h.create(h.root, m{"policies": "parent"}), h.create(h.root, m{"policies": "default"})
			h.do("PUT", "cubbyhole/a/b", one, m{"k": 1}).empty()
			h.do("GET", "cubbyhole/a/b", one, nil).is(200).has(m{"k": 1}, "data").has(0, "lease_duration").has("", "lease_id")
			h.do("LIST", "cubbyhole/a", one, nil).has([]string{"b"}, "data", "keys")
			for _, stranger := range []string{other, h.root, h.create(one, nil)} {
				h.do("GET", "cubbyhole/a/b", stranger, nil).fails(404)
				h.do("LIST", "cubbyhole", stranger, nil).fails(404)
			}
			h.do("DELETE", "cubbyhole/a/b", one, nil).empty()
			h.do("DELETE", "cubbyhole/a/b", one, nil).empty()
			h.do("GET", "cubbyhole/a/b", one, nil).fails(404)
		}},
		{"secrets §3 what is refused", func(t *testing.T, h *house) {
			h.do("PUT", "cubbyhole/a", h.root, m{}).fails(400, "missing data fields")
			h.do("PUT", "cubbyhole", h.root, m{"a": 1}).fails(400, "missing path")
			h.do("GET", "cubbyhole", h.root, nil).fails(404)
			batch := h.create(h.root, m{"policies": "default", "type": "batch"})
			h.do("PUT", "cubbyhole/a", batch, m{"a": 1}).failsLike(400, "cubbyhole operations are only supported by 'service' type tokens")
			h.do("DELETE", "sys/mounts/cubbyhole", h.root, nil).fails(400, `cannot unmount "cubbyhole/"`)
			h.do("POST", "sys/remount", h.root, m{"from": "cubbyhole", "to": "c"}).fails(400, `cannot remount "cubbyhole/"`)
			h.do("POST", "sys/mounts/cubbyhole/tune", h.root, m{"description": "x"}).fails(400, `cannot tune "cubbyhole/"`)
		}},
		{"secrets §3 a custom id that comes back sees nothing of its forerunner", func(t *testing.T, h *house) {
			h.create(h.root, m{"policies": "default", "id": "chosen"})
			h.do("PUT", "cubbyhole/a", "chosen", m{"k": 1}).empty()
			h.do("POST", "auth/token/revoke", h.root, m{"token": "chosen"}).empty()
			h.create(h.root, m{"policies": "default", "id": "chosen"})
			h.do("GET", "cubbyhole/a", "chosen", nil).fails(404)
		}},
	})
}
