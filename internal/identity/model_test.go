package identity

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"jeton/internal/backend"
	"jeton/internal/store/embedded"
)

// model is what a plain reading of the contract says of a room: sets and maps, and nothing
// kept twice.
type model struct {
	*room
	entities map[string]*person
	groups   map[string]*set
	// merged and deleted are ids that were handed out: the former lead to an entity.
	merged  map[string]string
	deleted []string
}

// person is an entity.
type person struct {
	policies []string
	disabled bool
	// aliases are by mount.
	aliases map[string]string
	// external are the groups of the last login at a mount, with the name that led there.
	external map[string]map[string]string
}

// set is a group.
type set struct {
	external bool
	policies []string
	people   map[string]bool
	groups   map[string]bool
	// mount and alias are those of the group's alias, "" for none.
	mount, alias string
}

var (
	mountNames  = []string{"up", "ldap"}
	aliasNames  = []string{"ann", "bob", "cy"}
	groupNames  = []string{"red", "blue", "green"}
	policyNames = []string{"p1", "p2", "p3"}
)

// owner is who has an alias, "" for nobody.
func (m *model) owner(mount, alias string) string {
	for id, p := range m.entities {
		if p.aliases[mount] == alias {
			return id
		}
	}
	return ""
}

// holderOf is the group that has an alias, "" for none.
func (m *model) holderOf(mount, alias string) string {
	for id, g := range m.groups {
		if g.alias == alias && g.mount == mount {
			return id
		}
	}
	return ""
}

// contains says whether a group has a person, directly or through another.
func (m *model) contains(group, person string) bool {
	g := m.groups[group]
	if g == nil {
		return false
	}
	if g.external {
		via, ok := m.entities[person].external[g.mount][group]
		return ok && g.alias != "" && via == g.alias
	}
	if g.people[person] {
		return true
	}
	for member := range g.groups {
		if m.contains(member, person) {
			return true
		}
	}
	return false
}

// reaches says whether a group is below another, or is it.
func (m *model) reaches(from, to string) bool {
	if from == to {
		return true
	}
	for member := range m.groups[from].groups {
		if m.reaches(member, to) {
			return true
		}
	}
	return false
}

func pick(t *rapid.T, from []string, what string) string {
	return rapid.SampledFrom(from).Draw(t, what)
}

// some is a part of a list.
func some(t *rapid.T, from []string, what string) (out []string) {
	for _, v := range from {
		if rapid.Bool().Draw(t, what+" "+v) {
			out = append(out, v)
		}
	}
	return out
}

// anyone is the id of an entity; the second is "" where there is none.
func anyone[V any](t *rapid.T, from map[string]V, what string) string {
	ids := slices.Sorted(maps.Keys(from))
	if len(ids) == 0 {
		return ""
	}
	return ids[rapid.IntRange(0, len(ids)-1).Draw(t, what)]
}

func (m *model) logIn(t *rapid.T) {
	mount, alias := pick(t, mountNames, "mount"), pick(t, aliasNames, "alias")
	named := some(t, groupNames, "group")
	id := m.owner(mount, alias)
	known, err := m.login(mount, alias, named...)
	if id != "" && m.entities[id].disabled {
		m.refused(err, backend.Denied)
		return
	}
	m.ok(err)
	if id == "" {
		id = known.EntityID
		m.entities[id] = &person{aliases: map[string]string{mount: alias}, external: map[string]map[string]string{}}
	}
	if known.EntityID != id {
		t.Fatalf("the login is of %s, want %s", known.EntityID, id)
	}
	groups := map[string]string{}
	for _, n := range named {
		if g := m.holderOf(mount, n); g != "" {
			groups[g] = n
		}
	}
	m.entities[id].external[mount] = groups
}

func (m *model) writeEntity(t *rapid.T) {
	policies, disabled := some(t, policyNames, "policy"), rapid.IntRange(0, 3).Draw(t, "disabled") == 0
	c := EntityChange{Policies: &policies, Disabled: &disabled}
	if rapid.Bool().Draw(t, "an old one") {
		c.ID = anyone(t, m.entities, "entity")
	}
	e, created, err := m.WriteEntity(m.ctx, c)
	m.ok(err)
	if created != (c.ID == "") {
		t.Fatalf("created is %v", created)
	}
	if created {
		m.entities[e.ID] = &person{aliases: map[string]string{}, external: map[string]map[string]string{}}
	}
	m.entities[e.ID].policies, m.entities[e.ID].disabled = policies, disabled
}

// forgetPerson takes an entity out of everything.
func (m *model) forgetPerson(id, heir string) {
	delete(m.entities, id)
	for _, g := range m.groups {
		if g.people[id] {
			delete(g.people, id)
			if heir != "" {
				g.people[heir] = true
			}
		}
	}
}

func (m *model) deleteEntity(t *rapid.T) {
	id := anyone(t, m.entities, "entity")
	if id == "" {
		return
	}
	m.ok(m.DeleteEntities(m.ctx, []string{id, "nobody"}))
	m.forgetPerson(id, "")
	m.deleted = append(m.deleted, id)
	for old, to := range m.merged {
		if to == id {
			delete(m.merged, old)
			m.deleted = append(m.deleted, old)
		}
	}
}

func (m *model) writeAlias(t *rapid.T) {
	mount, alias := pick(t, mountNames, "mount"), pick(t, aliasNames, "alias")
	to := anyone(t, m.entities, "entity")
	from := m.owner(mount, alias)
	view, _, err := m.WriteAlias(m.ctx, AliasChange{Name: alias, Mount: mount, EntityID: to})
	if to != "" && from != to && m.entities[to].aliases[mount] != "" {
		m.refused(err, backend.Invalid)
		return
	}
	m.ok(err)
	if from != "" && from != to && to != "" {
		delete(m.entities[from].aliases, mount)
		delete(m.entities[from].external, mount)
	}
	if to == "" {
		m.entities[view.EntityID] = &person{aliases: map[string]string{}, external: map[string]map[string]string{}}
	}
	m.entities[view.EntityID].aliases[mount] = alias
}

func (m *model) deleteAlias(t *rapid.T) {
	mount, alias := pick(t, mountNames, "mount"), pick(t, aliasNames, "alias")
	id := m.owner(mount, alias)
	view, err := m.Entity(m.ctx, Selector{AliasName: alias, AliasMount: mount})
	m.ok(err)
	if (view == nil) != (id == "") || view != nil && view.ID != id {
		t.Fatalf("the alias is of %v, want %q", view, id)
	}
	if id == "" {
		return
	}
	m.ok(m.DeleteAlias(m.ctx, view.Aliases[view.aliasOn(mount)].ID))
	delete(m.entities[id].aliases, mount)
	delete(m.entities[id].external, mount)
}

func (m *model) mergeSome(t *rapid.T) {
	to, from := anyone(t, m.entities, "to"), anyone(t, m.entities, "from")
	if to == "" || to == from {
		return
	}
	clash := false
	for mount := range m.entities[from].aliases {
		clash = clash || m.entities[to].aliases[mount] != ""
	}
	err := m.MergeEntities(m.ctx, Merge{From: []string{from}, To: to})
	if clash {
		var refused *ClashError
		if !errors.As(err, &refused) {
			t.Fatalf("a merge that clashes: %v", err)
		}
		return
	}
	m.ok(err)
	source, target := m.entities[from], m.entities[to]
	for mount, alias := range source.aliases {
		target.aliases[mount] = alias
		target.external[mount] = source.external[mount]
	}
	m.forgetPerson(from, to)
	for old, at := range m.merged {
		if at == from {
			m.merged[old] = to
		}
	}
	m.merged[from] = to
}

func (m *model) writeGroup(t *rapid.T) {
	policies := some(t, policyNames, "policy")
	people := some(t, slices.Sorted(maps.Keys(m.entities)), "member")
	groups := some(t, slices.Sorted(maps.Keys(m.groups)), "member group")
	c := GroupChange{Policies: &policies, Entities: &people, Groups: &groups}
	if rapid.Bool().Draw(t, "an old one") {
		c.ID = anyone(t, m.groups, "group")
	}
	if c.ID != "" && m.groups[c.ID].external {
		c.Entities, c.Groups = nil, nil
		people, groups = nil, nil
	}
	g, _, err := m.WriteGroup(m.ctx, c)
	for _, member := range groups {
		if c.ID != "" && m.reaches(member, c.ID) {
			m.refused(err, backend.Invalid)
			return
		}
	}
	m.ok(err)
	written := m.groups[g.ID]
	if written == nil {
		written = &set{}
		m.groups[g.ID] = written
	}
	written.policies, written.people, written.groups = policies, map[string]bool{}, map[string]bool{}
	for _, id := range people {
		written.people[id] = true
	}
	for _, id := range groups {
		written.groups[id] = true
	}
}

func (m *model) writeGroupAlias(t *rapid.T) {
	mount, alias := pick(t, mountNames, "mount"), pick(t, groupNames, "group")
	old := m.holderOf(mount, alias)
	view, err := m.WriteGroupAlias(m.ctx, GroupAliasChange{Name: alias, Mount: mount})
	m.ok(err)
	if old != "" && view.GroupID != old {
		t.Fatalf("the alias is of %s, want %s", view.GroupID, old)
	}
	if old == "" {
		m.groups[view.GroupID] = &set{external: true, mount: mount, alias: alias}
	}
	if rapid.Bool().Draw(t, "rename") {
		to := pick(t, groupNames, "to")
		taken := m.holderOf(mount, to)
		_, err := m.WriteGroupAlias(m.ctx, GroupAliasChange{ID: view.ID, Name: to})
		if taken != "" && taken != view.GroupID {
			m.refused(err, backend.Invalid)
			return
		}
		m.ok(err)
		m.groups[view.GroupID].alias = to
	}
}

func (m *model) deleteGroup(t *rapid.T) {
	id := anyone(t, m.groups, "group")
	if id == "" {
		return
	}
	m.ok(m.DeleteGroup(m.ctx, Selector{ID: id}))
	delete(m.groups, id)
	for _, g := range m.groups {
		delete(g.groups, id)
	}
}

func (m *model) forgetMount(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "rarely") != 0 {
		return
	}
	mount := pick(t, mountNames, "mount")
	m.ok(m.ForgetMount(m.ctx, mount))
	for _, p := range m.entities {
		delete(p.aliases, mount)
		delete(p.external, mount)
	}
	for _, g := range m.groups {
		if g.mount == mount {
			g.mount, g.alias = "", ""
		}
	}
}

// compare asks the room about everybody who ever was.
func (m *model) compare(t *rapid.T) {
	m.checked()
	for _, id := range m.deleted {
		m.gone(id)
	}
	ask := maps.Clone(m.merged)
	for id := range m.entities {
		ask[id] = id
	}
	for asked, id := range ask {
		p := m.entities[id]
		if p.disabled {
			m.gone(asked)
			continue
		}
		want := slices.Clone(p.policies)
		for group, g := range m.groups {
			if m.contains(group, id) {
				want = append(want, g.policies...)
			}
		}
		slices.Sort(want)
		m.has(asked, slices.Compact(want)...)
	}
}

// TestModel does what writers and logins do, in any order, and asks after every step what
// every id is worth: through the cache that has seen all of it, and after a restart.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := embedded.OpenMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		m := &model{room: roomOver(t, raw), entities: map[string]*person{}, groups: map[string]*set{}, merged: map[string]string{}}
		defer func() { m.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"log in":            m.logIn,
			"write entity":      m.writeEntity,
			"delete entity":     m.deleteEntity,
			"write alias":       m.writeAlias,
			"delete alias":      m.deleteAlias,
			"merge":             m.mergeSome,
			"write group":       m.writeGroup,
			"write group alias": m.writeGroupAlias,
			"delete group":      m.deleteGroup,
			"forget mount":      m.forgetMount,
			"restart": func(*rapid.T) {
				m.Close()
				m.open(raw)
			},
			"": m.compare,
		})
	})
}
