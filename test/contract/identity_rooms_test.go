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
	t.Run("identity §7.1 the same name in another case", func(t *testing.T) {
		h.do("POST", "identity/entity", h.root, m{"name": "aLICE", "metadata": m{"k": "v"}}).empty()
		h.do("POST", "identity/entity/name/ALICE", h.root, m{"disabled": false}).empty()
		h.do("GET", "identity/entity/name/alice", h.root, nil).is(200).has(id, "data", "id").has(m{"k": "v"}, "data", "metadata").
			has([]string{"a", "b"}, "data", "policies").has("Alice", "data", "name")
	})
	t.Run("identity §7.2 a rename to a name that is taken", func(t *testing.T) {
		other := h.entity(m{"name": "bob"})
		h.do("POST", "identity/entity/id/"+other, h.root, m{"name": "ALICE"}).fails(400, "entity name is already in use")
		h.do("POST", "identity/entity", h.root, m{"id": other, "name": "alice"}).fails(400, "entity name is already in use")
		h.do("POST", "identity/entity/id/"+other, h.root, m{"name": "carol"}).empty()
		h.do("GET", "identity/entity/name/bob", h.root, nil).fails(404)
		h.do("GET", "identity/entity/name/carol", h.root, nil).is(200).has(other, "data", "id")
	})
	t.Run("identity §2.1 unknown ids", func(t *testing.T) {
		h.do("POST", "identity/entity/id/nobody", h.root, m{}).fails(400, "entity not found from id")
		h.do("POST", "identity/entity", h.root, m{"id": "nobody", "name": "x"}).fails(400, "entity not found from id")
	})
	t.Run("identity §2.1 read", func(t *testing.T) {
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
	t.Run("identity §2.1 a made up name", func(t *testing.T) {
		name := h.do("POST", "identity/entity", h.root, m{}).is(200).text("data", "name")
		if hex, ok := strings.CutPrefix(name, "entity_"); !ok || len(hex) != 8 {
			t.Errorf("made up %q", name)
		}
	})
	t.Run("identity §7.13 nothing found", func(t *testing.T) {
		h.do("GET", "identity/entity/id/nobody", h.root, nil).fails(404)
		h.do("DELETE", "identity/entity/id/nobody", h.root, nil).empty()
	})
	t.Run("identity §7.15 metadata", func(t *testing.T) {
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

// CVE-2026-115358: what was sent in the wrong type is not told to anybody.
func TestIdentityEchoCVE2026115358(t *testing.T) {
	h := open(t)
	h.do("POST", "sys/audit/rec", h.root, m{"type": "recorder"}).empty()
	for _, path := range []string{"identity/entity", "identity/group", "identity/entity-alias", "identity/entity/merge", "identity/lookup/entity"} {
		for _, name := range []string{"policies", "metadata", "member_entity_ids", "custom_metadata", "from_entity_ids", "id"} {
			for _, bad := range []any{m{"x": m{"y": "a-secret"}}, []any{m{"y": "a-secret"}}} {
				a := h.do("POST", path, h.root, m{name: bad})
				if a.status >= 500 || strings.Contains(a.body, "a-secret") {
					t.Errorf("%s with a bad %s: %d %s", path, name, a.status, a.body)
				}
			}
		}
	}
	if lines := asJSON(t, h.audit.all(t)); strings.Contains(lines, "a-secret") {
		t.Error("the audit log holds what was sent")
	}
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
	t.Run("identity §7.3 an alias made before", func(t *testing.T) {
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
	t.Run("identity §4 an edit counts on the next request", func(t *testing.T) {
		h.do("POST", "identity/entity/id/"+id, h.root, m{"policies": []string{}}).empty()
		h.do("GET", "kv/p1", token, nil).fails(403, denied)
		h.do("POST", "identity/entity/id/"+id, h.root, m{"policies": "p1"}).empty()
		h.do("GET", "kv/p1", token, nil).is(200)
	})
	t.Run("identity §7.8 disabled and enabled again", func(t *testing.T) {
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
	t.Run("identity §4 a child has its parent's entity", func(t *testing.T) {
		h.policy("own", `path "auth/token/create" { capabilities = ["update"] }`)
		child := h.do("POST", "auth/token/create", token, m{"ttl": "1m"}).is(200).has(id, "auth", "entity_id").has([]string{"p1"}, "auth", "identity_policies")
		h.do("GET", "kv/p1", child.text("auth", "client_token"), nil).is(200)
		// What an entity adds cannot be given away (tokens §4.3).
		h.do("POST", "auth/token/create", token, m{"policies": "p1"}).fails(400, "child policies must be subset of parent")
	})
	t.Run("identity §7.9 deleted", func(t *testing.T) {
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

// Contract: identity §2.3; CVE-2021-41802: an alias write joins no entities.
func TestEntityAliasCVE202141802(t *testing.T) {
	h := open(t)
	h.user("up", "x")
	h.user("up2", "x")
	up, up2 := h.accessorOf("up"), h.accessorOf("up2")
	a, b := h.entity(m{"name": "a", "policies": "pa"}), h.entity(m{"name": "b", "policies": "pb"})
	alias := func(body m) *answer { return h.do("POST", "identity/entity-alias", h.root, body) }
	alias(m{"name": "n"}).fails(400, "'id' or 'mount_accessor' and 'name' must be provided")
	alias(m{"mount_accessor": up}).fails(400, "'id' or 'mount_accessor' and 'name' must be provided")
	alias(m{"name": "n", "mount_accessor": "x"}).fails(400, `invalid mount accessor "x"`)
	alias(m{"name": "n", "mount_accessor": up, "canonical_id": "x"}).fails(400, "invalid canonical ID")
	alias(m{"id": "x", "name": "n"}).fails(400, "invalid alias ID provided")
	alias(m{"name": "n", "mount_accessor": up, "custom_metadata": m{"k": strings.Repeat("v", 513)}}).failsLike(400, "invalid alias custom metadata")

	made := alias(m{"name": "n", "mount_accessor": up, "entity_id": a, "custom_metadata": m{"k": "v"}}).is(200).has(a, "data", "canonical_id")
	id := made.text("data", "id")
	alias(m{"name": "N", "mount_accessor": up, "canonical_id": a}).empty()
	h.do("GET", "identity/entity-alias/id/"+id, h.root, nil).is(200).has(a, "data", "canonical_id").has(m{"k": "v"}, "data", "custom_metadata").
		has("auth/up/", "data", "mount_path").has("userpass", "data", "mount_type").has(nil, "data", "metadata").has(nil, "data", "merged_from_canonical_ids")
	alias(m{"name": "other", "mount_accessor": up, "canonical_id": a}).fails(400, "Alias already exists for requested entity and mount accessor")

	// It moves, and takes nothing along (CVE-2021-41802).
	alias(m{"name": "n", "mount_accessor": up, "canonical_id": b}).is(200).has(b, "data", "canonical_id").has(id, "data", "id")
	h.do("GET", "identity/entity/id/"+a, h.root, nil).is(200).has([]any{}, "data", "aliases").has([]string{"pa"}, "data", "policies")
	h.do("GET", "identity/entity/id/"+b, h.root, nil).is(200).has([]string{"pb"}, "data", "policies").has(nil, "data", "merged_entity_ids")
	alias(m{"name": "n2", "mount_accessor": up, "canonical_id": a}).is(200)
	alias(m{"name": "n", "mount_accessor": up, "canonical_id": a}).fails(400, "Alias cannot be updated as the given entity already has an alias for this mount ")
	alias(m{"id": id, "name": "n2", "mount_accessor": up}).fails(400, "alias with combination of mount accessor and name already exists")
	alias(m{"name": "n", "mount_accessor": up2, "canonical_id": b}).is(200)
	h.do("POST", "identity/entity-alias/id/"+id, h.root, m{"mount_accessor": up2, "name": "m"}).
		fails(400, "Alias cannot be updated as the entity already has an alias for the given 'mount_accessor' ")
	h.do("POST", "identity/entity-alias/id/"+id, h.root, m{"name": "renamed"}).is(200)
	h.do("POST", "identity/lookup/entity", h.root, m{"alias_name": "renamed", "alias_mount_accessor": up}).is(200).has(b, "data", "id")
	h.do("POST", "identity/lookup/entity", h.root, m{"alias_name": "n", "alias_mount_accessor": up}).empty()

	// Without an entity it makes one.
	fresh := alias(m{"name": "new", "mount_accessor": up}).is(200).text("data", "canonical_id")
	h.do("GET", "identity/entity/id/"+fresh, h.root, nil).is(200)
	h.do("DELETE", "identity/entity-alias/id/"+id, h.root, nil).empty()
	h.do("DELETE", "identity/entity-alias/id/"+id, h.root, nil).empty()
	h.do("GET", "identity/entity-alias/id/"+id, h.root, nil).fails(404)
	if keys := listed(t, h.do("LIST", "identity/entity-alias/id", h.root, nil).is(200), "data", "keys"); len(keys) != 3 {
		t.Errorf("aliases: %v", keys)
	}
}

// Contract: identity §4, last row: a mount that goes takes its aliases with it.
func TestAliasesOfRemovedMount(t *testing.T) {
	h := open(t)
	login := h.user("up", "x")
	id := login().is(200).text("auth", "entity_id")
	group := h.do("POST", "identity/group-alias", h.root, m{"name": "g", "mount_accessor": h.accessorOf("up")}).is(200).text("data", "canonical_id")
	h.do("DELETE", "sys/auth/up", h.root, nil).empty()
	h.do("GET", "identity/entity/id/"+id, h.root, nil).is(200).has([]any{}, "data", "aliases")
	h.do("GET", "identity/group/id/"+group, h.root, nil).is(200).has(m{}, "data", "alias")
	h.do("LIST", "identity/entity-alias/id", h.root, nil).fails(404)
}

// Contract: identity §2.4, §7.5, §7.6; CVE-2025-64761.
func TestGroup(t *testing.T) {
	h := open(t)
	login := h.user("up", "member")
	in := login().is(200)
	entity, token := in.text("auth", "entity_id"), in.text("auth", "client_token")
	group := func(body m) string {
		t.Helper()
		return h.do("POST", "identity/group", h.root, body).is(200).text("data", "id")
	}
	h.mount("kv")
	h.reader("p1", "kv/p1")
	h.do("PUT", "kv/p1", h.root, m{"a": "b"}).empty()
	h.do("LIST", "identity/group/id", h.root, nil).fails(404)
	g2 := group(m{"name": "G2", "member_entity_ids": entity})
	g1 := group(m{"name": "G1", "policies": "P1", "member_group_ids": []string{g2}})
	t.Run("identity §7.5 a policy of the outer group", func(t *testing.T) {
		h.do("GET", "kv/p1", token, nil).is(200)
		h.lookup(token).is(200).has([]string{"p1"}, "data", "identity_policies")
		login().is(200).has([]string{"p1"}, "auth", "identity_policies")
		h.do("GET", "identity/entity/id/"+entity, h.root, nil).is(200).has([]string{g2}, "data", "direct_group_ids").
			has([]string{g1}, "data", "inherited_group_ids").has([]string{g2, g1}, "data", "group_ids")
		h.do("GET", "identity/group/name/g2", h.root, nil).is(200).has([]string{g1}, "data", "parent_group_ids").
			has([]string{entity}, "data", "member_entity_ids").has(m{}, "data", "alias").has(nil, "data", "metadata").
			has(nil, "data", "member_group_ids").has(nil, "data", "policies").has("internal", "data", "type")
	})
	t.Run("identity §7.6 a cycle", func(t *testing.T) {
		h.do("POST", "identity/group/id/"+g2, h.root, m{"member_group_ids": []string{g1}}).
			fails(400, fmt.Sprintf("cyclic relationship detected for member group ID %q", g1))
		h.do("POST", "identity/group/id/"+g2, h.root, m{"member_group_ids": []string{g2}}).
			fails(400, fmt.Sprintf("member group ID %q is same as the ID of the group", g2))
		h.do("GET", "identity/group/id/"+g2, h.root, nil).is(200).has(nil, "data", "member_group_ids").has(1, "data", "modify_index")
	})
	t.Run("identity §2.4 what is refused", func(t *testing.T) {
		h.do("POST", "identity/group/id/nobody", h.root, m{}).fails(400, "invalid group ID")
		h.do("POST", "identity/group", h.root, m{"name": "n", "member_entity_ids": "q"}).fails(400, `invalid entity ID "q"`)
		h.do("POST", "identity/group", h.root, m{"name": "n", "member_group_ids": "q"}).fails(400, `invalid member group ID "q"`)
		h.do("POST", "identity/group", h.root, m{"name": "n", "type": "x"}).fails(400, `invalid group type "x"`)
		h.do("POST", "identity/group/id/"+g2, h.root, m{"type": "external"}).fails(400, "group type cannot be changed")
		h.do("POST", "identity/group/id/"+g2, h.root, m{"name": "g1"}).fails(400, "group name is already in use")
		h.do("POST", "identity/group", h.root, m{"name": "n", "type": "external", "member_entity_ids": entity}).
			fails(400, "member entities can't be set manually for external groups")
		h.do("POST", "identity/group", h.root, m{"name": "n", "type": "external", "member_group_ids": g1}).
			fails(400, "member groups can't be set for external groups")
		for _, name := range []string{"root", "ROOT", " root"} {
			h.do("POST", "identity/group", h.root, m{"name": "n", "policies": []string{name}}).fails(400, "policies cannot contain root")
		}
		h.do("GET", "identity/group/name/n", h.root, nil).fails(404)
	})
	t.Run("identity §7.5 the inner group is deleted", func(t *testing.T) {
		h.do("DELETE", "identity/group/id/"+g2, h.root, nil).empty()
		h.do("GET", "kv/p1", token, nil).fails(403, denied)
		h.do("GET", "identity/group/id/"+g1, h.root, nil).is(200).has(nil, "data", "member_group_ids")
	})
	t.Run("identity §2.4 members are replaced, emptied, left", func(t *testing.T) {
		h.do("POST", "identity/group", h.root, m{"name": "g1", "member_entity_ids": entity}).empty()
		h.do("GET", "kv/p1", token, nil).is(200)
		h.do("POST", "identity/group/name/g1", h.root, m{"metadata": m{"k": "v"}}).empty()
		h.do("GET", "kv/p1", token, nil).is(200)
		h.do("POST", "identity/group/name/g1", h.root, m{"member_entity_ids": []string{}}).empty()
		h.do("GET", "kv/p1", token, nil).fails(403, denied)
	})
	t.Run("a deleted entity leaves its groups", func(t *testing.T) {
		h.do("POST", "identity/group/name/g1", h.root, m{"member_entity_ids": entity}).empty()
		h.do("DELETE", "identity/entity/id/"+entity, h.root, nil).empty()
		h.do("GET", "identity/group/name/g1", h.root, nil).is(200).has(nil, "data", "member_entity_ids")
	})
}

// Contract: identity §2.5.
func TestGroupAlias(t *testing.T) {
	h := open(t)
	h.user("up", "x")
	up := h.accessorOf("up")
	alias := func(body m) *answer { return h.do("POST", "identity/group-alias", h.root, body) }
	internal := h.do("POST", "identity/group", h.root, m{"name": "in"}).is(200).text("data", "id")
	external := h.do("POST", "identity/group", h.root, m{"name": "ex", "type": "external"}).is(200).text("data", "id")
	alias(m{"mount_accessor": up}).fails(400, "missing alias name")
	alias(m{"name": "g"}).fails(400, "missing mount_accessor")
	alias(m{"name": "g", "mount_accessor": "x"}).fails(400, `invalid mount accessor "x"`)
	alias(m{"name": "g", "mount_accessor": up, "canonical_id": "x"}).fails(400, "invalid group ID given in 'canonical_id'")
	alias(m{"name": "g", "mount_accessor": up, "canonical_id": internal}).fails(400, "alias can't be set on an internal group")
	alias(m{"id": "x", "name": "g", "mount_accessor": up}).fails(400, "invalid group alias ID")
	id := alias(m{"name": "g", "mount_accessor": up, "canonical_id": external}).is(200).has(external, "data", "canonical_id").text("data", "id")
	h.do("GET", "identity/group-alias/id/"+id, h.root, nil).is(200).has("g", "data", "name").has(external, "data", "canonical_id")
	h.do("GET", "identity/group/id/"+external, h.root, nil).is(200).has(id, "data", "alias", "id")
	fresh := alias(m{"name": "h", "mount_accessor": up}).is(200)
	h.do("POST", "identity/group-alias/id/"+fresh.text("data", "id"), h.root, m{"name": "G", "mount_accessor": up}).
		fails(400, "combination of mount and group alias name is already in use")
	h.do("POST", "identity/lookup/group", h.root, m{"alias_name": "G", "alias_mount_accessor": up}).is(200).has(external, "data", "id")
	if keys := listed(t, h.do("LIST", "identity/group-alias/id", h.root, nil).is(200), "data", "keys"); len(keys) != 2 {
		t.Errorf("group aliases: %v", keys)
	}
	h.do("DELETE", "identity/group-alias/id/"+id, h.root, nil).empty()
	h.do("GET", "identity/group-alias/id/"+id, h.root, nil).fails(404)
	h.do("GET", "identity/group/id/"+external, h.root, nil).is(200).has(m{}, "data", "alias")
}

// Contract: identity §2.6, §7.13.
func TestIdentityLookup(t *testing.T) {
	h := open(t)
	id := h.entity(m{"name": "a"})
	for _, what := range []string{"entity", "group"} {
		path := "identity/lookup/" + what
		h.do("POST", path, h.root, m{}).fails(400, "query parameter not supplied")
		h.do("POST", path, h.root, m{"id": "", "name": "x"}).fails(400, "query parameter conflict; please supply distinct set of query parameters")
		h.do("POST", path, h.root, m{"alias_name": "x"}).fails(400, "both 'alias_name' and 'alias_mount_accessor' needs to be set")
		h.do("POST", path, h.root, m{"name": "nobody"}).empty()
		h.do("POST", path, h.root, m{"id": "nobody"}).empty()
	}
	h.do("POST", "identity/lookup/entity", h.root, m{"name": "A"}).is(200).has(id, "data", "id")
}

// Contract: identity §2.2, §7.10, §7.11; observed, identity §2.2.
func TestEntityMerge(t *testing.T) {
	h := open(t)
	one, two := h.user("up", "one"), h.user("up2", "two")
	h.mount("kv")
	h.reader("pm1", "kv/1")
	h.reader("pm2", "kv/2")
	h.do("PUT", "kv/1", h.root, m{"a": "b"}).empty()
	h.do("PUT", "kv/2", h.root, m{"a": "b"}).empty()
	to, from := one().is(200).text("auth", "entity_id"), two().is(200)
	old, token := from.text("auth", "entity_id"), from.text("auth", "client_token")
	h.do("POST", "identity/entity/id/"+to, h.root, m{"policies": "pm1"}).empty()
	h.do("POST", "identity/entity/id/"+old, h.root, m{"policies": "pm2"}).empty()
	group := h.do("POST", "identity/group", h.root, m{"name": "g", "member_entity_ids": old}).is(200).text("data", "id")
	merge := func(body m) *answer { return h.do("POST", "identity/entity/merge", h.root, body) }
	merge(m{}).fails(400, "missing entity id to merge to")
	merge(m{"to_entity_id": to}).fails(400, "missing entity ids to merge from")
	merge(m{"to_entity_id": "x", "from_entity_ids": old}).fails(400, "entity id to merge to is invalid")
	merge(m{"to_entity_id": to, "from_entity_ids": "x"}).fails(400, "entity id to merge from is invalid")
	merge(m{"to_entity_id": to, "from_entity_ids": []string{old, to}}).fails(400, "to_entity_id should not be present in from_entity_ids")

	third := h.entity(m{"name": "third", "policies": "p3"})
	clash := h.do("POST", "identity/entity-alias", h.root, m{"name": "t", "canonical_id": third, "mount_accessor": h.accessorOf("up2")}).is(200).text("data", "id")
	merge(m{"to_entity_id": to, "from_entity_ids": []string{old, third}}).failsLike(400, "found in multiple fromEntities, merge should be done with one fromEntity at a time")

	h.do("GET", "kv/2", token, nil).is(200)
	merge(m{"to_entity_id": to, "from_entity_ids": []string{old}}).empty()
	t.Run("identity §7.11 the token of a merged entity", func(t *testing.T) {
		h.do("GET", "kv/2", token, nil).fails(403, denied)
		h.do("GET", "kv/1", token, nil).is(200)
		h.lookup(token).is(200).has(old, "data", "entity_id").has([]string{"pm1"}, "data", "identity_policies")
		two().is(200).has(to, "auth", "entity_id")
	})
	h.do("GET", "identity/entity/id/"+old, h.root, nil).fails(404)
	h.do("GET", "identity/entity/id/"+to, h.root, nil).is(200).has([]string{old}, "data", "merged_entity_ids").
		has([]string{group}, "data", "direct_group_ids").has([]string{"pm1"}, "data", "policies")
	h.do("GET", "identity/group/id/"+group, h.root, nil).is(200).has([]string{to}, "data", "member_entity_ids")

	t.Run("identity §7.10 a conflict", func(t *testing.T) {
		h.do("POST", "identity/lookup/entity", h.root, m{"alias_name": "two", "alias_mount_accessor": h.accessorOf("up2")}).is(200).has(to, "data", "id")
		refused := merge(m{"to_entity_id": to, "from_entity_ids": third}).
			failsLike(400, "toEntity and at least one fromEntity have aliases with the same mount accessor, repeat the merge request specifying exactly one fromEntity, clashes:")
		mine := refused.object()["data"].([]any)[0].(m)["to_alias_id"].(string)
		merge(m{"to_entity_id": to, "from_entity_ids": third, "conflicting_alias_ids_to_keep": "x"}).
			fails(400, fmt.Sprintf("conflicting mount accessors in following alias IDs and neither were present in conflicting_alias_ids_to_keep: %s, %s", clash, mine))
		h.do("GET", "identity/entity/id/"+third, h.root, nil).is(200)
		merge(m{"to_entity_id": to, "from_entity_ids": third, "conflicting_alias_ids_to_keep": clash}).empty()
		h.do("GET", "identity/entity-alias/id/"+mine, h.root, nil).fails(404)
		h.do("GET", "identity/entity-alias/id/"+clash, h.root, nil).is(200).has(to, "data", "canonical_id").has([]string{third}, "data", "merged_from_canonical_ids")
	})
	t.Run("the entity of a merged one is deleted", func(t *testing.T) {
		h.do("DELETE", "identity/entity/id/"+to, h.root, nil).empty()
		h.do("GET", "kv/1", token, nil).fails(403, "permission denied")
	})
}

// Contract: identity §7.12, §5; policies §8: what a template takes from an entity widens nothing.
func TestTemplateOfEntity(t *testing.T) {
	h := open(t)
	h.mount("kv")
	login := h.user("up", "x")
	h.policy("own", `path "kv/{{identity.entity.metadata.team}}/*" { capabilities = ["create", "update", "read"] }
		path "kv/by-alias/{{identity.entity.aliases.`+h.accessorOf("up")+`.name}}" { capabilities = ["create", "update", "read"] }
		path "kv/by-group/{{identity.groups.names.crew.metadata.k}}" { capabilities = ["create", "update", "read"] }
		path "kv/plain" { capabilities = ["create", "update", "read"] }`)
	in := login().is(200)
	id, token := in.text("auth", "entity_id"), in.text("auth", "client_token")
	set := func(team string) {
		t.Helper()
		h.do("POST", "identity/entity/id/"+id, h.root, m{"metadata": m{"team": team}}).empty()
	}
	h.do("PUT", "kv/red/a", token, m{"a": "b"}).fails(403, denied)
	h.do("PUT", "kv/plain", token, m{"a": "b"}).empty()
	h.do("PUT", "kv/by-alias/x", token, m{"a": "b"}).empty()
	set("red")
	h.do("PUT", "kv/red/a", token, m{"a": "b"}).empty()
	h.do("PUT", "kv/blue/a", token, m{"a": "b"}).fails(403, denied)
	set("blue")
	h.do("PUT", "kv/red/a", token, m{"a": "b"}).fails(403, denied)
	for _, bad := range []string{"*", "+", "red/..", "..", "a/b", ""} {
		set(bad)
		h.do("PUT", "kv/red/a", token, m{"a": "b"}).fails(403, denied)
		h.do("PUT", "kv/plain", token, m{"a": "b"}).empty()
	}
	h.do("POST", "identity/group", h.root, m{"name": "crew", "metadata": m{"k": "v"}, "member_entity_ids": id}).is(200)
	h.do("PUT", "kv/by-group/v", token, m{"a": "b"}).empty()
	h.do("POST", "sys/capabilities-self", token, m{"paths": "kv/by-group/v"}).is(200).has([]string{"create", "read", "update"}, "data", "kv/by-group/v")
	// The default policy lets everybody read their own entity.
	h.do("GET", "identity/entity/id/"+id, token, nil).is(200)
	h.do("GET", "identity/entity/id/"+h.entity(m{"name": "other"}), token, nil).fails(403, denied)
}

// Contract: tokens §4.7.
func TestEntityAliasOfRole(t *testing.T) {
	h := open(t)
	h.do("POST", "auth/token/roles/ci", h.root, m{"allowed_entity_aliases": "ci-*"}).empty()
	create := func(body m) *answer { return h.do("POST", "auth/token/create/ci", h.root, body) }
	first := create(m{"entity_alias": "ci-1", "ttl": "1h"}).is(200)
	id := first.text("auth", "entity_id")
	h.do("POST", "identity/lookup/entity", h.root, m{"alias_name": "ci-1", "alias_mount_accessor": h.accessorOf("token")}).is(200).has(id, "data", "id")
	create(m{"entity_alias": "CI-1", "ttl": "1h"}).is(200).has(id, "auth", "entity_id")
	create(m{"entity_alias": "ci-1", "ttl": "1h", "type": "batch", "policies": "p"}).is(200).has(id, "auth", "entity_id")
	create(m{"entity_alias": "x", "ttl": "1h"}).fails(400, "invalid 'entity_alias' value")
	create(m{"ttl": "1h"}).is(200).has("", "auth", "entity_id")
	h.do("POST", "identity/entity/id/"+id, h.root, m{"disabled": true}).empty()
	create(m{"entity_alias": "ci-1", "ttl": "1h"}).fails(403, "entity from given entity alias is disabled")
	h.lookup(first.text("auth", "client_token")).fails(403, "permission denied")
}

// Contract: audit §5.1: whose token it was, what its entity added, and that it is new.
func TestAuditIdentity(t *testing.T) {
	h := open(t)
	login := h.user("up", "x")
	h.do("POST", "sys/audit/rec", h.root, m{"type": "recorder"}).empty()
	in := login().is(200)
	id, token := in.text("auth", "entity_id"), in.text("auth", "client_token")
	h.do("POST", "identity/entity/id/"+id, h.root, m{"policies": "extra"}).empty()
	h.lookup(token).is(200)
	login().is(200)
	created := 0
	for _, e := range h.audit.all(t) {
		auth, _ := e["auth"].(m)
		if r, ok := e["response"].(m); ok && r["auth"] != nil {
			got := r["auth"].(m)
			if got["entity_id"] != id {
				t.Errorf("a login without its entity: %v", got)
			}
			if got["entity_created"] == true {
				created++
			}
		}
		if req, _ := e["request"].(m); req["path"] == "auth/token/lookup-self" {
			if auth["entity_id"] != id || asJSON(t, auth["identity_policies"]) != `["extra"]` || asJSON(t, auth["policies"]) != `["default","extra","own"]` {
				t.Errorf("lookup: %v", auth)
			}
		}
	}
	if created != 1 {
		t.Errorf("%d logins made an entity, want 1", created)
	}
}
