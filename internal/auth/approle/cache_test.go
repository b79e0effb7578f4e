package approle

import (
	"fmt"
	"testing"

	"jeton/internal/store"
)

func cached(name string) *role {
	return &role{roleRecord: roleRecord{Name: name, RoleID: "id-" + name}}
}

func commit(position uint64, keys ...string) store.Commit {
	c := store.Commit{Position: position}
	for _, key := range keys {
		c.Keys = append(c.Keys, []byte(key))
	}
	return c
}

// A role read before a change must not enter the cache after it.
func TestCacheRefusesWhatWasReadTooEarly(t *testing.T) {
	c := newRoleCache()
	c.changed(commit(7, "role/a"))
	c.put(cached("a"), 6)
	if c.get("id-a") != nil {
		t.Error("a stale role entered the cache")
	}
	c.put(cached("a"), 7)
	if c.get("id-a") == nil {
		t.Error("a current role did not enter the cache")
	}
}

func TestCacheDropsWhatChanged(t *testing.T) {
	fill := func() *roleCache {
		c := newRoleCache()
		c.put(cached("a"), 1)
		c.put(cached("b"), 1)
		return c
	}
	rows := []struct {
		name   string
		commit store.Commit
		a, b   bool
	}{
		{"the role", commit(2, "role/a"), false, true},
		{"a secret id", commit(2, "of/x/secret/y"), true, true},
		{"what a deleted role owned", store.Commit{Position: 2, Keys: [][]byte{[]byte("role/a")}, Ranges: []store.Range{{From: []byte("of/x"), To: []byte("of/y")}}}, false, true},
		{"the whole area", store.Commit{Position: 2, Ranges: []store.Range{{}}}, false, false},
	}
	for _, row := range rows {
		c := fill()
		c.changed(row.commit)
		if (c.get("id-a") != nil) != row.a || (c.get("id-b") != nil) != row.b {
			t.Errorf("%s: a %v, b %v", row.name, c.get("id-a") != nil, c.get("id-b") != nil)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newRoleCache()
	for i := range cachedRoles + 100 {
		c.put(cached(fmt.Sprint(i)), 1)
	}
	if len(c.mu.byID) != cachedRoles || len(c.mu.ids) != cachedRoles {
		t.Errorf("%d roles, %d names", len(c.mu.byID), len(c.mu.ids))
	}
}
