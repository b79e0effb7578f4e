package identity

import (
	"sync"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/store"
)

// Contract: identity §1: an edit counts at the very next request, whoever fills the cache
// meanwhile.
func TestEditsCountAtOnce(t *testing.T) {
	r := newRoom(t)
	id := r.mustLogin("up", "x")
	inner := r.group(GroupChange{ByName: "inner", Entities: &[]string{id}})
	outer := r.group(GroupChange{ByName: "outer", Groups: &[]string{inner}})
	old := r.entity("old")
	r.ok(r.MergeEntities(r.ctx, Merge{From: []string{old}, To: id}))

	stop := make(chan struct{})
	var readers sync.WaitGroup
	for _, asked := range []string{id, old, id, old} {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := r.Subject(r.ctx, asked); err != nil && backend.KindOf(err) != backend.Denied {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		p := name("p", i)
		switch i % 4 {
		case 0:
			_, _, err := r.WriteEntity(r.ctx, EntityChange{ID: id, Policies: &[]string{p}})
			r.ok(err)
			_, _, err = r.WriteGroup(r.ctx, GroupChange{ID: outer, Policies: &[]string{}})
			r.ok(err)
			r.has(id, p)
			r.has(old, p)
		case 1:
			_, _, err := r.WriteEntity(r.ctx, EntityChange{ID: id, Policies: &[]string{}})
			r.ok(err)
			_, _, err = r.WriteGroup(r.ctx, GroupChange{ID: outer, Policies: &[]string{p}})
			r.ok(err)
			r.has(old, p)
			r.has(id, p)
		case 2:
			_, _, err := r.WriteGroup(r.ctx, GroupChange{ID: inner, Entities: &[]string{}})
			r.ok(err)
			r.has(id)
			_, _, err = r.WriteGroup(r.ctx, GroupChange{ID: inner, Entities: &[]string{id}})
			r.ok(err)
		case 3:
			_, _, err := r.WriteEntity(r.ctx, EntityChange{ID: id, Disabled: ptr(true)})
			r.ok(err)
			r.gone(id)
			r.gone(old)
			_, _, err = r.WriteEntity(r.ctx, EntityChange{ID: id, Disabled: ptr(false)})
			r.ok(err)
		}
	}
	close(stop)
	readers.Wait()
}

// One record that cannot be read hides no other, and Check names it.
func TestUnreadableRecord(t *testing.T) {
	r := newRoom(t)
	bad, good := r.entity("bad"), r.entity("good", "p")
	badGroup, goodGroup := r.group(GroupChange{ByName: "bad"}), r.group(GroupChange{ByName: "good"})
	garble := func(value func(k []byte) []byte) {
		r.ok(r.area.Update(r.ctx, func(tx store.Tx) error {
			for _, k := range [][]byte{key(entityKey, bad), key(groupKey, badGroup)} {
				if err := tx.Put(k, value(k)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	was := map[string][]byte{}
	r.ok(r.area.View(r.ctx, func(view store.Reader) error {
		for _, k := range [][]byte{key(entityKey, bad), key(groupKey, badGroup)} {
			v, err := view.Get(k)
			if err != nil {
				return err
			}
			was[string(k)] = v
		}
		return nil
	}))
	garble(func([]byte) []byte { return []byte("x") })
	var listed []string
	r.ok(r.Entities(r.ctx, "", func(e *Entity) bool { listed = append(listed, e.ID); return true }))
	r.ok(r.Groups(r.ctx, "", func(g *Group, _ []string) bool { listed = append(listed, g.ID); return true }))
	if len(listed) != 2 || listed[0] != good || listed[1] != goodGroup {
		t.Errorf("listed %v", listed)
	}
	r.has(good, "p")
	if _, _, err := r.Subject(r.ctx, bad); err == nil {
		t.Error("an entity that cannot be read is worth something")
	}
	named := map[string]bool{}
	r.ok(r.Check(r.ctx, func(p Problem) { named[p.ID] = true }))
	if !named[bad] || !named[badGroup] || named[good] || named[goodGroup] {
		t.Errorf("Check names %v", named)
	}
	garble(func(k []byte) []byte { return was[string(k)] })
}

// BenchmarkRights is what a request pays for its entity.
func BenchmarkRights(b *testing.B) {
	r := roomOver(b, memory(b))
	defer r.Close()
	id := r.entity("e", "p1", "p2")
	own := []string{"default", "own"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Rights(r.ctx, id, own); err != nil {
			b.Fatal(err)
		}
	}
}
