package identity

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// A login that brings nothing new writes nothing; one that does writes one record. Pains 28.
func TestLoginWrites(t *testing.T) {
	r := newRoom(t)
	commits := 0
	cancel := r.raw.Subscribe(func(store.Commit) { commits++ })
	defer cancel()
	r.mustLogin("up", "a")
	if commits != 1 {
		t.Errorf("a first login: %d commits", commits)
	}
	for range 3 {
		known, err := r.login("up", "A")
		r.ok(err)
		if known.Changed || known.Created {
			t.Errorf("a login that changes nothing wants to write: %+v", known)
		}
	}
	if commits != 1 {
		t.Errorf("logins that change nothing: %d commits", commits-1)
	}
	var changed []string
	cancelKeys := r.raw.Subscribe(func(c store.Commit) {
		for _, k := range c.Keys {
			changed = append(changed, string(k))
		}
	})
	defer cancelKeys()
	_, err := r.loginWith("up", &backend.Alias{Name: "a", Metadata: map[string]string{"k": "v"}})
	r.ok(err)
	if len(changed) != 1 || !strings.HasPrefix(changed[0], "identity/e") {
		t.Errorf("a login with other metadata changed %q", changed)
	}
}

// Contract: identity §3.2: metadata is the last login's, custom metadata stays.
// CVE-2022-40186: of two mounts with one alias name, each has its own.
func TestAliasMetadataCVE202240186(t *testing.T) {
	r := newRoom(t)
	id := r.entity("e")
	for _, mount := range []string{"up", "ldap"} {
		_, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "a", Mount: mount, EntityID: id, Custom: &map[string]string{"of": mount}})
		r.ok(err)
	}
	_, err := r.loginWith("up", &backend.Alias{Name: "a", Metadata: map[string]string{"k": "up"}})
	r.ok(err)
	subject, _, err := r.Subject(r.ctx, id)
	r.ok(err)
	for _, a := range subject.Aliases {
		want := map[string]string{"up": "up"}[a.MountAccessor]
		if a.Metadata["k"] != want || a.CustomMetadata["of"] != a.MountAccessor {
			t.Errorf("alias on %s: %v, %v", a.MountAccessor, a.Metadata, a.CustomMetadata)
		}
	}
}

// CVE-2025-6013: one name in other cases and with blanks is one alias.
func TestAliasNamesCVE20256013(t *testing.T) {
	r := newRoom(t)
	id := r.mustLogin("ldap", "user")
	for _, name := range []string{"User", "user ", " USER"} {
		if got := r.mustLogin("ldap", name); got != id {
			t.Errorf("%q is somebody else", name)
		}
	}
	if other := r.mustLogin("up", "user"); other == id {
		t.Error("the alias of another mount is the same entity")
	}
	_, err := r.login("up", "  ")
	r.refused(err, backend.Failed)
}

// Contract: identity §7.7; CVE-2020-10660: membership ends with the login, the alias or the
// group's alias that it rested on.
func TestExternalGroupsCVE202010660(t *testing.T) {
	r := newRoom(t)
	external := func(mount, alias, policy string) (group, id string) {
		group = r.group(GroupChange{ByName: mount + alias, Type: "external", Policies: &[]string{policy}})
		view, err := r.WriteGroupAlias(r.ctx, GroupAliasChange{Name: alias, Mount: mount, GroupID: group})
		r.ok(err)
		return group, view.ID
	}
	g1, a1 := external("ldap", "Admins", "p1")
	external("ldap", "devs", "p2")
	external("up", "admins", "p3")
	id := r.mustLogin("ldap", "u", "admins", "DEVS", "unknown")
	r.has(id, "p1", "p2")
	r.mustLogin("ldap", "u", "devs")
	r.has(id, "p2")
	_, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "u", Mount: "up", EntityID: id})
	r.ok(err)
	r.mustLogin("up", "u", "admins")
	r.has(id, "p2", "p3")
	r.mustLogin("ldap", "u", "admins")
	r.has(id, "p1", "p3")

	view, err := r.ReadGroup(r.ctx, Selector{ID: g1})
	r.ok(err)
	if len(view.Members) != 1 || view.Members[0] != id {
		t.Errorf("members: %v", view.Members)
	}
	t.Run("in a group", func(t *testing.T) {
		outer := r.group(GroupChange{ByName: "outer", Policies: &[]string{"p4"}, Groups: &[]string{g1}})
		r.has(id, "p1", "p3", "p4")
		r.ok(r.DeleteGroup(r.ctx, Selector{ID: outer}))
	})
	t.Run("the group's alias is renamed", func(t *testing.T) {
		_, err := r.WriteGroupAlias(r.ctx, GroupAliasChange{ID: a1, Name: "ops"})
		r.ok(err)
		r.has(id, "p3")
		r.mustLogin("ldap", "u", "ops")
		r.has(id, "p1", "p3")
	})
	t.Run("the alias is moved", func(t *testing.T) {
		other := r.entity("other")
		_, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "u", Mount: "ldap", EntityID: other})
		r.ok(err)
		r.has(id, "p3")
		r.has(other)
		r.mustLogin("ldap", "u", "ops")
		r.has(other, "p1")
	})
	t.Run("the mount is removed", func(t *testing.T) {
		delete(r.mounts, "up")
		r.ok(r.ForgetMount(r.ctx, "up"))
		r.has(id)
		_, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "u", Mount: "up"})
		r.refused(err, backend.Invalid)
	})
	t.Run("the group is deleted", func(t *testing.T) {
		r.ok(r.DeleteGroup(r.ctx, Selector{ID: g1}))
		other, err := r.Entity(r.ctx, Selector{Name: "other"})
		r.ok(err)
		r.has(other.ID)
		r.mustLogin("ldap", "u")
	})
}

// Contract: identity §7.4, and an alias that a login and a writer make at once.
func TestConcurrentFirstLogins(t *testing.T) {
	r := newRoom(t)
	var all sync.WaitGroup
	ids := make([]string, 20)
	failed := make([]error, 20)
	for i := range ids {
		all.Go(func() {
			if i%4 == 0 {
				view, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "x", Mount: "up"})
				ids[i], failed[i] = view.EntityID, err
				return
			}
			known, err := r.login("up", "x")
			if failed[i] = err; err == nil {
				ids[i] = known.EntityID
			}
		})
	}
	all.Wait()
	for i := range ids {
		if failed[i] != nil || ids[i] != ids[0] {
			t.Errorf("login %d: %q, %v; the first is %q", i, ids[i], failed[i], ids[0])
		}
	}
}

// What happens to the alias between looking and writing makes the login begin anew, and never
// writes over an entity.
func TestLoginRaces(t *testing.T) {
	for _, tt := range []struct {
		line      string
		meanwhile func(r *room, id, alias string)
	}{
		{"the alias is deleted", func(r *room, _, alias string) { r.ok(r.DeleteAlias(r.ctx, alias)) }},
		{"the alias is moved", func(r *room, _, _ string) {
			_, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "x", Mount: "up", EntityID: r.entity("other")})
			r.ok(err)
		}},
		{"the entity is deleted", func(r *room, id, _ string) { r.ok(r.DeleteEntity(r.ctx, Selector{ID: id})) }},
		{"the entity is merged away", func(r *room, id, _ string) {
			r.ok(r.MergeEntities(r.ctx, Merge{From: []string{id}, To: r.entity("other")}))
		}},
	} {
		// A login that has something to write, and one that has not.
		for _, metadata := range []map[string]string{{"k": "v"}, nil} {
			t.Run(fmt.Sprint(tt.line, metadata), func(t *testing.T) {
				r := newRoom(t)
				view, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "x", Mount: "up", EntityID: r.entity("e", "p")})
				r.ok(err)
				known, err := r.Recognise(r.ctx, "up", &backend.Alias{Name: "x", Metadata: metadata}, nil)
				r.ok(err)
				if known.Changed != (metadata != nil) {
					t.Errorf("the login changes something: %v", known.Changed)
				}
				tt.meanwhile(r, view.EntityID, view.ID)
				if err := r.raw.Update(r.ctx, known.Remember); err != ErrRaced {
					t.Errorf("the login ends with %v", err)
				}
				if e, err := r.Entity(r.ctx, Selector{ID: view.EntityID}); err != nil || e != nil && e.Name != "e" {
					t.Errorf("the entity is now %v, %v", e, err)
				}
			})
		}
	}
	for _, metadata := range []map[string]string{{"k": "v"}, nil} {
		r := newRoom(t)
		id := r.mustLogin("up", "x")
		known, err := r.Recognise(r.ctx, "up", &backend.Alias{Name: "x", Metadata: metadata}, nil)
		r.ok(err)
		_, _, err = r.WriteEntity(r.ctx, EntityChange{ID: id, Disabled: ptr(true)})
		r.ok(err)
		r.refused(r.raw.Update(r.ctx, known.Remember), backend.Denied)
		_, err = r.login("up", "x")
		r.refused(err, backend.Denied)
	}
}

// What is remembered of who logged in before follows every change.
func TestLoginsSeeChanges(t *testing.T) {
	r := newRoom(t)
	id := r.mustLogin("up", "x")
	warm := func(mount, name string, groups ...string) string {
		for range 2 {
			r.mustLogin(mount, name, groups...)
		}
		return r.mustLogin(mount, name, groups...)
	}
	warm("up", "x")
	t.Run("the entity is disabled, and enabled", func(t *testing.T) {
		_, _, err := r.WriteEntity(r.ctx, EntityChange{ID: id, Disabled: ptr(true)})
		r.ok(err)
		_, err = r.login("up", "x")
		r.refused(err, backend.Denied)
		_, _, err = r.WriteEntity(r.ctx, EntityChange{ID: id, Disabled: ptr(false)})
		r.ok(err)
		if warm("up", "x") != id {
			t.Error("it is somebody else")
		}
	})
	t.Run("a group's alias comes, is renamed and goes", func(t *testing.T) {
		warm("up", "x", "ops")
		g := r.group(GroupChange{ByName: "g", Type: "external", Policies: &[]string{"p"}})
		made, err := r.WriteGroupAlias(r.ctx, GroupAliasChange{Name: "ops", Mount: "up", GroupID: g})
		r.ok(err)
		warm("up", "x", "ops")
		r.has(id, "p")
		_, err = r.WriteGroupAlias(r.ctx, GroupAliasChange{ID: made.ID, Name: "dev"})
		r.ok(err)
		warm("up", "x", "ops")
		r.has(id)
		warm("up", "x", "dev")
		r.has(id, "p")
		r.ok(r.DeleteGroup(r.ctx, Selector{ID: g}))
		warm("up", "x", "dev")
		r.has(id)
	})
	t.Run("the alias is moved", func(t *testing.T) {
		other := r.entity("other")
		_, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "x", Mount: "up", EntityID: other})
		r.ok(err)
		if warm("up", "x") != other {
			t.Error("the login finds the entity that had the alias")
		}
	})
	t.Run("the entity is merged away", func(t *testing.T) {
		other, into := r.mustLogin("up", "x"), r.entity("into")
		r.ok(r.MergeEntities(r.ctx, Merge{From: []string{other}, To: into}))
		if warm("up", "x") != into {
			t.Error("the login finds the entity that is gone")
		}
	})
	t.Run("the entity is deleted", func(t *testing.T) {
		into := r.mustLogin("up", "x")
		r.ok(r.DeleteEntity(r.ctx, Selector{ID: into}))
		if warm("up", "x") == into {
			t.Error("the login finds the entity that is gone")
		}
	})
	t.Run("the mount is forgotten", func(t *testing.T) {
		was := r.mustLogin("up", "x")
		r.ok(r.ForgetMount(r.ctx, "up"))
		if warm("up", "x") == was {
			t.Error("the login finds an alias of the mount that was")
		}
	})
}

// A directory that answers with more groups than anybody is in gets nobody in, and none are left out
// silently: half of the groups are not the groups.
func TestGroupsOfALoginAreBounded(t *testing.T) {
	r := newRoom(t)
	id := r.mustLogin("ldap", "u")
	names := make([]string, mostGroups+1)
	for i := range names {
		names[i] = fmt.Sprint("g", i)
	}
	_, err := r.login("ldap", "u", names...)
	r.refused(err, backend.Invalid)
	r.refused(r.Regroup(r.ctx, id, "ldap", names), backend.Invalid)
	r.mustLogin("ldap", "u", names[1:]...)
}

// Contract: identity §3.5: renewals of methods that ask for the groups again.
func TestRegroup(t *testing.T) {
	r := newRoom(t)
	g := r.group(GroupChange{ByName: "g", Type: "external", Policies: &[]string{"p"}})
	_, err := r.WriteGroupAlias(r.ctx, GroupAliasChange{Name: "ops", Mount: "ldap", GroupID: g})
	r.ok(err)
	id := r.mustLogin("ldap", "u")
	commits := 0
	defer r.raw.Subscribe(func(store.Commit) { commits++ })()
	r.ok(r.Regroup(r.ctx, id, "ldap", []string{"OPS"}))
	r.has(id, "p")
	r.ok(r.Regroup(r.ctx, id, "ldap", []string{"ops"}))
	r.ok(r.Regroup(r.ctx, id, "up", []string{"ops"}))
	r.ok(r.Regroup(r.ctx, "nobody", "ldap", []string{"ops"}))
	if commits != 1 {
		t.Errorf("%d commits for one change", commits)
	}
	r.ok(r.Regroup(r.ctx, id, "ldap", []string{}))
	r.has(id)
}

// CVE-2025-5999, CVE-2025-64761: what old data holds of root counts for nothing.
func TestStoredRootCVE202564761(t *testing.T) {
	r := newRoom(t)
	id := r.entity("e", "ok")
	group := r.group(GroupChange{ByName: "g", Entities: &[]string{id}})
	r.ok(r.area.Update(r.ctx, func(tx store.Tx) error {
		e, err := load(tx, id)
		if err != nil {
			return err
		}
		e.Policies = []string{"ROOT", "a/../root", "ok", "response-wrapping", "root"}
		if err := record.Put(tx, key(entityKey, id), e); err != nil {
			return err
		}
		g, err := loadGroup(tx, group)
		if err != nil {
			return err
		}
		g.Policies = []string{"root", "okg"}
		return record.Put(tx, key(groupKey, group), g)
	}))
	r.has(id, "ok", "okg")
	found := 0
	r.ok(r.Check(r.ctx, func(Problem) { found++ }))
	if found != 2 {
		t.Errorf("Check finds %d problems, want 2", found)
	}
	r.ok(r.DeleteGroup(r.ctx, Selector{ID: group}))
	r.ok(r.DeleteEntity(r.ctx, Selector{ID: id}))
}

// Names are in no key, and a token without an entity asks nothing of the store.
func TestKeysAndNobody(t *testing.T) {
	r := newRoom(t)
	r.mustLogin("up", "a-secret-person")
	r.entity("another-secret-person")
	r.group(GroupChange{ByName: "a-secret-group"})
	for _, k := range r.keys() {
		if strings.Contains(k, "secret") {
			t.Errorf("a name in a key: %q", k)
		}
	}
	rights, err := r.Rights(r.ctx, "", []string{"p"})
	r.ok(err)
	if rights.Subject != nil || rights.Identity != nil || len(rights.Policies) != 1 {
		t.Errorf("the rights of nobody: %+v", rights)
	}
	if n := testing.AllocsPerRun(100, func() { rights, err = r.Rights(r.ctx, "", rights.Policies) }); n != 0 || err != nil {
		t.Errorf("a token without an entity costs %v allocations, %v", n, err)
	}
	r.gone("nobody")
}

// Contract: identity §7.19, §2.2: what a merge leads to, through another merge and a restart.
func TestMergeOfMerged(t *testing.T) {
	r := newRoom(t)
	a, b, c := r.entity("a", "pa"), r.entity("b", "pb"), r.entity("c", "pc")
	r.has(a, "pa")
	r.ok(r.MergeEntities(r.ctx, Merge{From: []string{a}, To: b}))
	r.has(a, "pb")
	r.ok(r.MergeEntities(r.ctx, Merge{From: []string{b}, To: c}))
	for range 2 {
		r.has(a, "pc")
		r.has(b, "pc")
		r.Close()
		r.open(r.raw)
	}
	e, _, err := r.WriteEntity(r.ctx, EntityChange{ID: c, Policies: ptr([]string{"new"})})
	r.ok(err)
	r.has(a, e.Policies...)
	r.ok(r.DeleteEntity(r.ctx, Selector{ID: c}))
	r.gone(a)
	r.gone(b)
}
