package identity

import (
	"testing"

	"jeton/internal/store/storetest"
)

// TestFaults has every durable step of every piece of work fail, fail though it was written,
// or end the process. Whatever happened, a new process finds records and entries that agree,
// and the same work can be asked for again.
func TestFaults(t *testing.T) {
	works := []struct {
		name string
		work func(r *room, s *scene) error
		// done checks what the caller was told when work succeeded; nil for nothing.
		done func(r *room, s *scene)
	}{
		{"first login", func(r *room, s *scene) error {
			known, err := r.login("up", "new")
			if err == nil {
				s.made = known.EntityID
			}
			return err
		}, func(r *room, s *scene) { r.has(s.made) }},
		{"login into a group", func(r *room, s *scene) error {
			_, err := r.login("ldap", "a", "ext")
			return err
		}, func(r *room, s *scene) { r.has(s.a, "pa", "pe", "pg") }},
		{"write an entity", func(r *room, s *scene) error {
			_, _, err := r.WriteEntity(r.ctx, EntityChange{ID: s.a, Name: "renamed", Policies: ptr([]string{"new"})})
			return err
		}, func(r *room, s *scene) { r.has(s.a, "new", "pg") }},
		{"delete entities", func(r *room, s *scene) error { return r.DeleteEntities(r.ctx, append(s.many, s.a, s.b)) },
			func(r *room, s *scene) { r.gone(s.a); r.gone(s.many[0]); r.gone(s.many[len(s.many)-1]) }},
		{"merge", func(r *room, s *scene) error { return r.MergeEntities(r.ctx, Merge{From: []string{s.a}, To: s.b}) },
			func(r *room, s *scene) { r.has(s.a, "pb", "pg") }},
		{"move an alias", func(r *room, s *scene) error {
			_, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "a", Mount: "ldap", EntityID: s.b})
			return err
		}, func(r *room, s *scene) {
			if got := r.mustLogin("ldap", "a"); got != s.b {
				r.t.Fatalf("the alias is of %s", got)
			}
		}},
		{"write a group", func(r *room, s *scene) error {
			_, _, err := r.WriteGroup(r.ctx, GroupChange{ID: s.group, Entities: &[]string{s.b}})
			return err
		}, func(r *room, s *scene) { r.has(s.a, "pa"); r.has(s.b, "pb", "pg") }},
		{"delete a group", func(r *room, s *scene) error { return r.DeleteGroup(r.ctx, Selector{ID: s.group}) },
			func(r *room, s *scene) { r.has(s.a, "pa") }},
		{"write a group's alias", func(r *room, s *scene) error {
			_, err := r.WriteGroupAlias(r.ctx, GroupAliasChange{Name: "more", Mount: "up"})
			return err
		}, nil},
		{"forget a mount", func(r *room, s *scene) error { return r.ForgetMount(r.ctx, "token") },
			func(r *room, s *scene) {
				e, err := r.Entity(r.ctx, Selector{ID: s.many[0]})
				r.ok(err)
				if len(e.Aliases) != 0 {
					r.t.Fatalf("aliases of a mount that is gone: %v", e.Aliases)
				}
			}},
	}
	for _, w := range works {
		t.Run(w.name, func(t *testing.T) {
			storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
				f := storetest.Faulty(memory(t))
				r := roomOver(t, f)
				s := newScene(r)
				inject(f)
				err := w.work(r, s)
				r.Close()
				after := roomOver(t, f.Inner())
				defer after.Close()
				after.checked()
				if err == nil && w.done != nil {
					w.done(after, s)
				}
				if err != nil {
					// What did not come about can be asked for again; what did may be refused.
					if again := w.work(after, s); again == nil && w.done != nil {
						w.done(after, s)
					}
				}
				after.checked()
			})
		})
	}
}

// scene is what a piece of work finds.
type scene struct {
	a, b, group, made string
	// many are more than one transaction deals with, each with an alias of the token method's.
	many []string
}

func newScene(r *room) *scene {
	s := &scene{a: r.entity("a", "pa"), b: r.entity("b", "pb")}
	_, _, err := r.WriteAlias(r.ctx, AliasChange{Name: "a", Mount: "ldap", EntityID: s.a})
	r.ok(err)
	s.group = r.group(GroupChange{ByName: "g", Policies: &[]string{"pg"}, Entities: &[]string{s.a}})
	ext := r.group(GroupChange{ByName: "ext", Type: "external", Policies: &[]string{"pe"}})
	_, err = r.WriteGroupAlias(r.ctx, GroupAliasChange{Name: "ext", Mount: "ldap", GroupID: ext})
	r.ok(err)
	for i := range max(removeAtOnce, forgetAtOnce) + 3 {
		s.many = append(s.many, r.mustLogin("token", name("m", i)))
	}
	return s
}
