package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// user makes a user of userpass at the mount and returns a function that logs it in.
func (h *house) user(mount, name string) func() *answer {
	h.t.Helper()
	if h.do("GET", "sys/auth/"+mount, h.root, nil).status != 200 {
		h.do("POST", "sys/auth/"+mount, h.root, m{"type": "userpass"}).empty()
	}
	h.do("POST", "auth/"+mount+"/users/"+name, h.root, m{"password": "pw", "token_policies": "own"}).empty()
	return func() *answer {
		h.t.Helper()
		return h.do("POST", "auth/"+mount+"/login/"+name, "", m{"password": "pw"})
	}
}

// accessorOf is the accessor of a login method's mount.
func (h *house) accessorOf(mount string) string {
	h.t.Helper()
	return h.do("GET", "sys/auth", h.root, nil).is(200).text("data", mount+"/", "accessor")
}

// entity makes an entity and returns its id.
func (h *house) entity(body m) string {
	h.t.Helper()
	return h.do("POST", "identity/entity", h.root, body).is(200).text("data", "id")
}

// reader writes a policy that lets read one path of kv.
func (h *house) reader(policy, path string) {
	h.t.Helper()
	h.policy(policy, fmt.Sprintf("path %q { capabilities = [\"read\", \"create\", \"update\"] }", path))
}

// Contract: identity §7.1, §7.2, §7.13 to §7.17, and §2.1.
func TestEntity(t *testing.T) {
	h := open(t)
	h.do("LIST", "identity/entity/id", h.root, nil).fails(404)
	h.do("LIST", "identity/entity/name", h.root, nil).fails(404)

	made := h.do("POST", "identity/entity", h.root, m{"name": "Alice", "policies": "b, A ,b", "metadata": m{"team": "x"}}).is(200)
	id := made.text("data", "id")
	made.has(m{"id": id, "name": "Alice", "aliases": nil}, "data")
	t.Run("1 the same name in another case", func(t *testing.T) {
		h.do("POST", "identity/entity", h.root, m{"name": "aLICE", "metadata": m{"k": "v"}}).empty()
		h.do("POST", "identity/entity/name/ALICE", h.root, m{"disabled": false}).empty()
		h.do("GET", "identity/entity/name/alice", h.root, nil).is(200).has(id, "data", "id").has(m{"k": "v"}, "data", "metadata").
			has([]string{"a", "b"}, "data", "policies").has("Alice", "data", "name")
	})
	t.Run("2 a rename to a name that is taken", func(t *testing.T) {
		other := h.entity(m{"name": "bob"})
		h.do("POST", "identity/entity/id/"+other, h.root, m{"name": "ALICE"}).fails(400, "entity name is already in use")
		h.do("POST", "identity/entity", h.root, m{"id": other, "name": "alice"}).fails(400, "entity name is already in use")
		h.do("POST", "identity/entity/id/"+other, h.root, m{"name": "carol"}).empty()
		h.do("GET", "identity/entity/name/bob", h.root, nil).fails(404)
		h.do("GET", "identity/entity/name/carol", h.root, nil).is(200).has(other, "data", "id")
	})
	t.Run("2.1 unknown ids", func(t *testing.T) {
		h.do("POST", "identity/entity/id/nobody", h.root, m{}).fails(400, "entity not found from id")
		h.do("POST", "identity/entity", h.root, m{"id": "nobody", "name": "x"}).fails(400, "entity not found from id")
	})
	t.Run("2.1 read", func(t *testing.T) {
		a := h.do("GET", "identity/entity/id/"+id, h.root, nil).is(200)
		defaults := m{"aliases": []any{}, "direct_group_ids": []any{}, "inherited_group_ids": []any{}, "group_ids": []any{},
			"disabled": false, "merged_entity_ids": nil, "namespace_id": "root"}
		for name, want := range defaults {
			a.has(want, "data", name)
		}
		a.text("data", "creation_time")
		a.text("data", "last_update_time")
		h.entity(m{"name": "plain"})
		h.do("GET", "identity/entity/name/plain", h.root, nil).is(200).has(nil, "data", "metadata").has([]any{}, "data", "policies")
	})
	t.Run("2.1 a made up name", func(t *testing.T) {
		name := h.do("POST", "identity/entity", h.root, m{}).is(200).text("data", "name")
		if hex, ok := strings.CutPrefix(name, "entity_"); !ok || len(hex) != 8 {
			t.Errorf("made up %q", name)
		}
	})
	t.Run("13 nothing found", func(t *testing.T) {
		h.do("GET", "identity/entity/id/nobody", h.root, nil).fails(404)
		h.do("DELETE", "identity/entity/id/nobody", h.root, nil).empty()
	})
	t.Run("15 metadata", func(t *testing.T) {
		h.do("POST", "identity/entity", h.root, m{"name": "m", "metadata": m{"k": strings.Repeat("v", 512)}}).is(200)
		many := m{}
		for i := range 65 {
			many[fmt.Sprint(i)] = "v"
		}
		for _, bad := range []any{m{"k": strings.Repeat("v", 513)}, m{strings.Repeat("k", 129): "v"}, many} {
			h.do("POST", "identity/entity", h.root, m{"name": "m2", "metadata": bad}).failsLike(400, "invalid entity metadata: ")
		}
		h.do("GET", "identity/entity/name/m2", h.root, nil).fails(404)
		h.do("POST", "identity/entity", h.root, m{"name": "list", "metadata": []string{"a=1", "b=2"}}).is(200)
		h.do("GET", "identity/entity/name/list", h.root, nil).is(200).has(m{"a": "1", "b": "2"}, "data", "metadata")
	})
	t.Run("list and batch-delete", func(t *testing.T) {
		list := h.do("LIST", "identity/entity/name", h.root, nil).is(200)
		names := listed(t, list, "data", "keys")
		if !slices.IsSorted(names) || !slices.Contains(names, "Alice") {
			t.Errorf("names: %v", names)
		}
		ids := listed(t, h.do("LIST", "identity/entity/id", h.root, nil).is(200).has("Alice", "data", "key_info", id, "name"), "data", "keys")
		h.do("POST", "identity/entity/batch-delete", h.root, m{}).fails(400, "missing entity ids to delete")
		h.do("POST", "identity/entity/batch-delete", h.root, m{"entity_ids": append(ids, "nobody")}).empty()
		h.do("LIST", "identity/entity/id", h.root, nil).fails(404)
	})
}

// Contract: identity §7.16; CVE-2025-5999, CVE-2024-9180: no spelling of root gets in.
func TestEntityPoliciesCVE20255999(t *testing.T) {
	h := open(t)
	for _, name := range []string{"root", "Root", " root", "root\t", "ROOT "} {
		h.do("POST", "identity/entity", h.root, m{"name": "x", "policies": []string{"ok", name}}).fails(400, "policies cannot contain root")
		h.do("POST", "identity/entity", h.root, m{"name": "x", "policies": "ok," + name}).fails(400, "policies cannot contain root")
	}
	for _, name := range []string{"ｒoot", "rооt", "a/../root", "./root", "r%6fot"} {
		h.do("POST", "identity/entity", h.root, m{"name": "x", "policies": []string{name}}).fails(400, "invalid policy name")
	}
	h.do("POST", "identity/entity", h.root, m{"name": "x", "policies": "response-wrapping"}).fails(400, `cannot assign policy "response-wrapping"`)
	h.do("GET", "identity/entity/name/x", h.root, nil).fails(404)
}

// The update of entity/name/X accepted an id of another entity and changed that one.
func TestEntityRetarget(t *testing.T) {
	h := open(t)
	a, b := h.entity(m{"name": "a"}), h.entity(m{"name": "b"})
	h.do("POST", "identity/entity/name/a", h.root, m{"id": b, "policies": "p"}).is(400)
	h.do("POST", "identity/entity/name/new", h.root, m{"id": b, "policies": "p"}).is(400)
	h.do("POST", "identity/entity/name/a", h.root, m{"id": a, "policies": "p"}).empty()
	h.do("GET", "identity/entity/id/"+b, h.root, nil).is(200).has([]any{}, "data", "policies").has("b", "data", "name")
}

// Contract: identity §7.3, §7.8, §7.9 and §4.
func TestLoginEntity(t *testing.T) {
	h := open(t)
	login := h.user("up", "al2")
	accessor := h.accessorOf("up")
	h.mount("kv")
	h.reader("p1", "kv/p1")
	id := h.entity(m{"name": "pre", "policies": "p1"})
	made := h.do("POST", "identity/entity-alias", h.root, m{"name": "AL2", "canonical_id": id, "mount_accessor": accessor}).is(200).has(id, "data", "canonical_id")
	alias := made.text("data", "id")

	in := login().is(200)
	token := in.text("auth", "client_token")
	t.Run("3 an alias made before", func(t *testing.T) {
		in.has(id, "auth", "entity_id").has([]string{"p1"}, "auth", "identity_policies").
			has([]string{"default", "own", "p1"}, "auth", "policies").has([]string{"default", "own"}, "auth", "token_policies")
		h.lookup(token).is(200).has(id, "data", "entity_id").has([]string{"p1"}, "data", "identity_policies").has([]string{"default", "own"}, "data", "policies")
		h.do("POST", "auth/token/renew-self", token, m{}).is(200).has([]string{"p1"}, "auth", "identity_policies").has([]string{"default", "own", "p1"}, "auth", "policies")
		h.do("PUT", "kv/p1", token, m{"a": "b"}).empty()
		h.do("POST", "sys/capabilities-self", token, m{"paths": "kv/p1"}).is(200).has([]string{"create", "read", "update"}, "data", "kv/p1")
		h.do("POST", "sys/capabilities", h.root, m{"token": token, "paths": "kv/p1"}).is(200).has([]string{"create", "read", "update"}, "data", "kv/p1")
		h.do("GET", "identity/entity/id/"+id, token, nil).is(200)
		h.do("GET", "identity/entity-alias/id/"+alias, h.root, nil).is(200).has(id, "data", "canonical_id").has("AL2", "data", "name")
	})
	t.Run("4 an edit counts on the next request", func(t *testing.T) {
		h.do("POST", "identity/entity/id/"+id, h.root, m{"policies": []string{}}).empty()
		h.do("GET", "kv/p1", token, nil).fails(403, denied)
		h.do("POST", "identity/entity/id/"+id, h.root, m{"policies": "p1"}).empty()
		h.do("GET", "kv/p1", token, nil).is(200)
	})
	t.Run("8 disabled and enabled again", func(t *testing.T) {
		h.do("POST", "identity/entity/id/"+id, h.root, m{"disabled": true}).empty()
		for _, path := range []string{"kv/p1", "auth/token/lookup-self"} {
			h.do("GET", path, token, nil).fails(403, "permission denied")
		}
		h.do("POST", "auth/token/revoke-self", token, nil).fails(403, "permission denied")
		h.do("GET", "sys/internal/ui/mounts/kv", token, nil).is(403)
		h.do("POST", "auth/token/renew", h.root, m{"token": token}).fails(403, "permission denied")
		login().fails(403, "permission denied")
		h.do("POST", "identity/entity/id/"+id, h.root, m{"disabled": false}).empty()
		h.do("GET", "kv/p1", token, nil).is(200)
	})
	t.Run("4 a child has its parent's entity", func(t *testing.T) {
		h.policy("own", `path "auth/token/create" { capabilities = ["update"] }`)
		child := h.do("POST", "auth/token/create", token, m{"ttl": "1m"}).is(200).has(id, "auth", "entity_id").has([]string{"p1"}, "auth", "identity_policies")
		h.do("GET", "kv/p1", child.text("auth", "client_token"), nil).is(200)
		// What an entity adds cannot be given away (tokens §4.3).
		h.do("POST", "auth/token/create", token, m{"policies": "p1"}).fails(400, "child policies must be subset of parent")
	})
	t.Run("9 deleted", func(t *testing.T) {
		h.do("DELETE", "identity/entity/id/"+id, h.root, nil).empty()
		h.do("GET", "kv/p1", token, nil).fails(403, "permission denied")
		h.do("POST", "auth/token/renew-self", token, nil).fails(403, "permission denied")
		h.do("POST", "auth/token/revoke-accessor", h.root, m{"accessor": in.text("auth", "accessor")}).empty()
		again := login().is(200).lacks("auth", "identity_policies")
		if fresh := again.text("auth", "entity_id"); fresh == id || fresh == "" {
			t.Errorf("the entity of the next login: %q", fresh)
		}
	})
}

// Contract: identity §7.4: as many first logins as there are at once make one entity.
func TestFirstLogins(t *testing.T) {
	h := open(t)
	login := h.user("up", "crowd")
	ids := make([]string, 30)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			if a := login(); a.status == 200 {
				ids[i] = a.text("auth", "entity_id")
			}
		})
	}
	all.Wait()
	slices.Sort(ids)
	if got := slices.Compact(ids); len(got) != 1 || got[0] == "" {
		t.Errorf("entities of one user: %v", got)
	}
	if keys := listed(t, h.do("LIST", "identity/entity/id", h.root, nil).is(200), "data", "keys"); len(keys) != 1 {
		t.Errorf("entities: %v", keys)
	}
	if keys := listed(t, h.do("LIST", "identity/entity-alias/id", h.root, nil).is(200), "data", "keys"); len(keys) != 1 {
		t.Errorf("aliases: %v", keys)
	}
}
