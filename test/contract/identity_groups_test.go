package contract_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store/embedded"
)

// directory is a login method that believes everybody, and puts them into the groups that the
// test says; it asks again at every renewal.
type directory struct {
	mu sync.Mutex
	// groups of every user are guarded by mu.
	groups []string
}

func (d *directory) set(groups ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups = append([]string{}, groups...)
}

func (d *directory) now() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.groups
}

type directoryLogin struct {
	Name string `json:"name"`
}

func (d *directory) Routes() []backend.Route {
	return []backend.Route{{Pattern: "login/{name|lower}", Open: true,
		Write: backend.Handle(func(_ context.Context, _ *backend.Call, req *directoryLogin) (*backend.Response, error) {
			return &backend.Response{Login: &backend.Login{DisplayName: req.Name, Terms: backend.Terms{TTL: time.Hour, Renewable: true},
				Alias: &backend.Alias{Name: req.Name}, GroupAliases: d.now()}}, nil
		})}}
}

func (d *directory) RenewLogin(context.Context, backend.Renewal) (*backend.Login, error) {
	return &backend.Login{Terms: backend.Terms{TTL: time.Hour}, GroupAliases: d.now()}, nil
}

// Contract: identity §7.7, §3.5, §7.19; CVE-2020-10660: groups of a directory, at logins, at
// renewals and after a restart.
func TestGroupsOfDirectory(t *testing.T) {
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	d := &directory{}
	h := &house{t: t, wall: &wall{}, store: raw, log: &lockedBuffer{}, audit: &recorder{}, kinds: []mount.Kind{{Name: "directory", Class: mount.AuthClass,
		New: func(context.Context, backend.Env) (backend.Backend, error) { return d, nil }}}}
	h.wall.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	h.start(raw)
	dev, err := h.node.StartDev(context.Background(), node.DevOptions{NoKV: true})
	if err != nil {
		t.Fatal(err)
	}
	h.unseal, h.root = dev.UnsealKey, dev.RootToken
	h.mount("kv")
	h.reader("pd", "kv/d")
	h.reader("po", "kv/o")
	h.do("PUT", "kv/d", h.root, m{"a": "b"}).empty()
	h.do("PUT", "kv/o", h.root, m{"a": "b"}).empty()
	for _, mount := range []string{"dir", "other"} {
		h.do("POST", "sys/auth/"+mount, h.root, m{"type": "directory"}).empty()
		group := h.do("POST", "identity/group", h.root, m{"name": mount, "type": "external", "policies": "p" + mount[:1]}).is(200).text("data", "id")
		h.do("POST", "identity/group-alias", h.root, m{"name": "Ops", "mount_accessor": h.accessorOf(mount), "canonical_id": group}).is(200)
	}
	login := func(mount string) *answer { return h.do("POST", "auth/"+mount+"/login/ann", "", nil).is(200) }

	d.set("ops", "unmapped")
	in := login("dir").has([]string{"pd"}, "auth", "identity_policies")
	id, token := in.text("auth", "entity_id"), in.text("auth", "client_token")
	h.do("POST", "identity/entity-alias", h.root, m{"name": "ann", "mount_accessor": h.accessorOf("other"), "canonical_id": id}).is(200)
	login("other").has(id, "auth", "entity_id").has([]string{"pd", "po"}, "auth", "identity_policies")
	h.do("GET", "kv/o", token, nil).is(200)
	h.do("GET", "identity/group/name/dir", h.root, nil).is(200).has([]string{id}, "data", "member_entity_ids")

	d.set()
	login("dir").has([]string{"po"}, "auth", "identity_policies")
	h.do("GET", "kv/d", token, nil).fails(403, denied)
	h.do("GET", "kv/o", token, nil).is(200)

	d.set("OPS")
	h.do("POST", "auth/token/renew-self", token, nil).is(200).has([]string{"pd", "po"}, "auth", "identity_policies")
	h.do("GET", "kv/d", token, nil).is(200)
	d.set("unmapped")
	h.do("POST", "auth/token/renew-self", token, nil).is(200).has([]string{"po"}, "auth", "identity_policies")
	h.do("GET", "kv/d", token, nil).fails(403, denied)

	if err := h.node.Seal(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.SubmitShare(context.Background(), "test", h.unseal); err != nil {
		t.Fatal(err)
	}
	h.do("GET", "kv/o", token, nil).is(200)
	h.do("GET", "kv/d", token, nil).fails(403, denied)
	if log := h.log.String(); strings.Contains(log, token) {
		t.Error("the log holds a token")
	}
}
