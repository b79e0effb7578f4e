package identity

import (
	"testing"

	"jeton/internal/backend"
	"jeton/internal/store/storetest"
)

// Who logged in before is recognised, and proved again in the token's transaction, without a look at
// the store: nothing is read, so that nothing is decoded. Only what changed is written.
func TestCostOfLogin(t *testing.T) {
	counted := &storetest.Counting{Store: memory(t)}
	r := roomOver(t, counted)
	defer r.Close()
	g := r.group(GroupChange{ByName: "g", Type: "external", Policies: &[]string{"p"}})
	_, err := r.WriteGroupAlias(r.ctx, GroupAliasChange{Name: "ops", Mount: "ldap", GroupID: g})
	r.ok(err)
	login := func(mount, name, value string, groups ...string) func() {
		return func() {
			known, err := r.Recognise(r.ctx, mount, &backend.Alias{Name: name, Metadata: map[string]string{"k": value}}, groups)
			r.ok(err)
			r.ok(r.raw.Update(r.ctx, known.Remember))
		}
	}
	const records, entries = 1, 4 // the entity, and what its name, alias, the alias's id and its mount lead to
	rows := []struct {
		name  string
		login func()
		want  storetest.Cost
	}{
		{"the first", login("up", "a", "v"), storetest.Cost{Views: 1, Updates: 1, Gets: 3, Writes: records + entries}},
		{"the second", login("up", "a", "v"), storetest.Cost{Views: 1, Updates: 1, Gets: 2}},
		{"the third", login("up", "A ", "v"), storetest.Cost{Updates: 1}},
		{"with other metadata", login("up", "a", "w"), storetest.Cost{Updates: 1, Writes: records}},
		{"after it", login("up", "a", "w"), storetest.Cost{Views: 1, Updates: 1, Gets: 1}},
		{"after that", login("up", "a", "w"), storetest.Cost{Updates: 1}},
		{"with groups, the first", login("ldap", "a", "v", "ops", "none"), storetest.Cost{Views: 1, Updates: 1, Gets: 5, Writes: records + entries + 1}},
		{"with groups, the second", login("ldap", "a", "v", "ops", "none"), storetest.Cost{Views: 1, Updates: 1, Gets: 2}},
		{"with groups, one of which is nobody's", login("ldap", "a", "v", "none", "OPS"), storetest.Cost{Updates: 1}},
		{"of the one beside the other", login("up", "a", "w"), storetest.Cost{Updates: 1}},
	}
	for _, row := range rows {
		if got := counted.Of(row.login); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}

// BenchmarkRecognise is what a login pays for its entity.
func BenchmarkRecognise(b *testing.B) {
	r := roomOver(b, memory(b))
	defer r.Close()
	alias := &backend.Alias{Name: "a", Metadata: map[string]string{"k": "v"}}
	_, err := r.loginWith("up", alias)
	r.ok(err)
	b.ReportAllocs()
	for b.Loop() {
		if known, err := r.Recognise(r.ctx, "up", alias, nil); err != nil || known.Changed {
			b.Fatal(known, err)
		}
	}
}
