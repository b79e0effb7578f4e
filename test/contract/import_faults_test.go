package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"jeton/internal/cli/transfer"
)

// wire hands requests to a house without a network, and breaks where a test wants it to.
type wire struct {
	handler http.Handler
	// breakAt is the write that is lost, 0 for none. delivered says that the server still got it, dead
	// that nothing gets through from then on.
	breakAt         int64
	delivered, dead bool
	writes          atomic.Int64
}

var errWire = errors.New("the wire is cut")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	n := w.writes.Load()
	// Looking things up by name is a write to the API, and changes nothing.
	if r.Method != http.MethodGet && r.Method != "LIST" {
		n = w.writes.Add(1)
		if n == w.breakAt && w.delivered {
			w.handler.ServeHTTP(httptest.NewRecorder(), r)
		}
		if n == w.breakAt {
			return nil, errWire
		}
	}
	if w.dead && w.breakAt > 0 && n >= w.breakAt {
		return nil, errWire
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	resp := answer.Result()
	resp.Request = r
	return resp, nil
}

// over is the official client on a wire.
func (h *house) over(w *wire, retries int) *api.Client {
	h.t.Helper()
	w.handler = h.handler
	c, err := api.NewClient(&api.Config{Address: "http://house", HttpClient: &http.Client{Transport: w}, MaxRetries: retries,
		MinRetryWait: time.Microsecond, MaxRetryWait: time.Microsecond})
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetToken(h.root)
	return c
}

type unwatched struct{}

func (unwatched) Phase(string)  {}
func (unwatched) Step(int, int) {}

// importInto runs one import with the state of dir.
func (h *house) importInto(source *house, w *wire, retries int, dir string) (*transfer.Report, error) {
	h.t.Helper()
	return transfer.Run(context.Background(), source.over(new(wire), 0), h.over(w, retries),
		transfer.Options{Parallel: 1, State: filepath.Join(dir, "state"), Watch: unwatched{}})
}

// fillForImport makes one of each thing that an import writes in more than one step.
func fillForImport(h *house) {
	put := func(path string, body any) *answer { return h.do("POST", path, h.root, body) }
	put("sys/mounts/old", map[string]any{"type": "kv", "config": map[string]any{"max_lease_ttl": "1h"}}).is(204)
	put("old/a", map[string]any{"n": json.Number("12345678901234567890123")}).is(204)
	put("sys/auth/approle", map[string]any{"type": "approle"}).is(204)
	put("auth/approle/role/r", map[string]any{"token_policies": "p"}).is(204)
	put("sys/policies/acl/p", map[string]any{"policy": `path "x" { capabilities = ["read"] }`}).is(204)
	accessor := h.do("GET", "sys/auth", h.root, nil).is(200).at("data", "approle/", "accessor")
	entity := put("identity/entity", map[string]any{"name": "e"}).is(200).at("data", "id")
	put("identity/entity-alias", map[string]any{"name": "e", "canonical_id": entity, "mount_accessor": accessor}).is(200)
	inner := put("identity/group", map[string]any{"name": "inner", "member_entity_ids": []any{entity}}).is(200).at("data", "id")
	put("identity/group", map[string]any{"name": "outer", "member_group_ids": []any{inner}}).is(200)
	put("secret/config", map[string]any{"max_versions": 4}).is(204)
	put("secret/metadata/k", map[string]any{"cas_required": true, "custom_metadata": map[string]any{"a": "b"}}).is(204)
	for v := range 6 {
		put("secret/data/k", map[string]any{"data": map[string]any{"v": v}, "options": map[string]any{"cas": v}}).is(200)
	}
	put("secret/delete/k", map[string]any{"versions": []int{4}}).is(204)
	put("secret/destroy/k", map[string]any{"versions": []int{5}}).is(204)
}

// imported is what an import of fillForImport comes to, without ids and times.
func imported(h *house) string {
	var all []any
	read := func(path string, fields ...string) {
		a := h.do("GET", path, h.root, nil)
		data, _ := a.at("data").(map[string]any)
		for _, f := range fields {
			all = append(all, path+" "+f, data[f])
		}
	}
	read("old/a", "n")
	read("sys/mounts/old/tune", "max_lease_ttl")
	read("auth/approle/role/r", "token_policies")
	read("sys/policies/acl/p", "policy")
	read("secret/config", "max_versions")
	read("secret/metadata/k", "cas_required", "custom_metadata", "current_version", "oldest_version")
	versions, _ := h.do("GET", "secret/metadata/k", h.root, nil).at("data", "versions").(map[string]any)
	for v := 1; v <= 7; v++ {
		about, _ := versions[fmt.Sprint(v)].(map[string]any)
		all = append(all, v, about["destroyed"], about["deletion_time"] != nil && about["deletion_time"] != "")
		all = append(all, h.do("GET", fmt.Sprintf("secret/data/k?version=%d", v), h.root, nil).at("data", "data"))
	}
	role := h.do("GET", "auth/approle/role/r/role-id", h.root, nil).at("data", "role_id")
	group := func(name string) (id any, members [2]int) {
		data, _ := h.do("GET", "identity/group/name/"+name, h.root, nil).at("data").(map[string]any)
		entities, _ := data["member_entity_ids"].([]any)
		groups, _ := data["member_group_ids"].([]any)
		return data["id"], [2]int{len(entities), len(groups)}
	}
	_, inner := group("inner")
	_, outer := group("outer")
	aliases, _ := h.do("GET", "identity/entity/name/e", h.root, nil).at("data", "aliases").([]any)
	all = append(all, role, inner, outer, len(aliases))
	text, err := json.Marshal(all)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// TestImportDiesAtEveryWrite cuts the wire to the destination at each write in turn: before the server
// has it, and after. The import that follows must bring it all, once and the same. A client that sends
// a lost write again must come to the same in one run.
func TestImportDiesAtEveryWrite(t *testing.T) {
	source := open(t)
	fillForImport(source)
	want := imported(source)
	whole := new(wire)
	h := open(t)
	if report, err := h.importInto(source, whole, 0, t.TempDir()); err != nil || !report.Complete() {
		t.Fatalf("%v, %+v", err, report)
	}
	if got := imported(h); got != want {
		t.Fatalf("imported\n%s\nwant\n%s", got, want)
	}
	writes := whole.writes.Load()
	if writes < 20 {
		t.Fatalf("%d writes", writes)
	}
	step := int64(1)
	if testing.Short() {
		step = 5
	}
	for n := int64(1); n <= writes; n += step {
		for _, c := range []struct {
			name            string
			delivered, dead bool
			retries         int
		}{
			{"the write is lost and the import dies", false, true, 0},
			{"the answer is lost and the import dies", true, true, 0},
			{"the answer is lost and the write is sent again", true, false, 2},
		} {
			t.Run(fmt.Sprintf("%d %s", n, c.name), func(t *testing.T) {
				h, dir := open(t), t.TempDir()
				cut := &wire{breakAt: n, delivered: c.delivered, dead: c.dead}
				report, err := h.importInto(source, cut, c.retries, dir)
				if (err != nil) != c.dead {
					t.Fatalf("the broken run: %v", err)
				}
				if err != nil {
					if report, err = h.importInto(source, new(wire), 0, dir); err != nil {
						t.Fatal(err)
					}
				}
				if !report.Complete() {
					t.Errorf("left behind: %+v", report.Rows)
				}
				if got := imported(h); got != want {
					t.Errorf("imported\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}
