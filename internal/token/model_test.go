package token

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// node is a token in the model of the hierarchy: what is promised, in the fewest words.
type node struct {
	issued  *Issued
	parent  *node
	ended   bool
	expires time.Time
	uses    int // 0 is without limit, -1 used up
}

func (n *node) living(now time.Time) bool {
	return !n.ended && n.uses >= 0 && (n.expires.IsZero() || now.Before(n.expires)) && (n.parent == nil || n.parent.living(now))
}

// hierarchy runs the model beside the room. Its methods are the steps.
type hierarchy struct {
	w     *world
	nodes []*node
}

func (h *hierarchy) pick(t *rapid.T) *node {
	return h.nodes[rapid.IntRange(0, len(h.nodes)-1).Draw(t, "token")]
}

// life is short, so that tokens die often, and never capped by the mount.
func life(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second
}

func (h *hierarchy) create(t *rapid.T) {
	parent := h.pick(t)
	if parent.issued.Token.Batch {
		return
	}
	kind := rapid.SampledFrom([]string{"child", "child", "child", "orphan", "batch", "limited", "batch orphan"}).Draw(t, "kind")
	ttl := life(t)
	n := &node{parent: parent, expires: h.w.clock.Now().Add(ttl)}
	issued, err := h.w.Create(h.w.ctx, ask(parent.issued, func(a *Ask) {
		a.Policies, a.TTL = []string{"web"}, ttl.String()
		switch kind {
		case "orphan":
			a.Orphan, n.parent = true, nil
		case "batch":
			a.Type = "batch"
		case "batch orphan":
			a.Type, a.Orphan, n.parent = "batch", true, nil
		case "limited":
			a.NumUses, n.uses = 2, 2
		}
	}))
	switch {
	case err == nil && parent.living(h.w.clock.Now()) && parent.uses == 0:
		n.issued = issued
		h.nodes = append(h.nodes, n)
	case err == nil:
		t.Fatalf("a token that cannot be a parent became one")
	case parent.living(h.w.clock.Now()) && parent.uses == 0:
		t.Fatalf("create: %v", err)
	}
}

func (h *hierarchy) revoke(t *rapid.T) {
	n := h.pick(t)
	if n.issued.Token.Batch {
		return
	}
	h.w.revoke(n.issued)
	n.ended = true
}

func (h *hierarchy) revokeAlone(t *rapid.T) {
	n := h.pick(t)
	if n.issued.Token.Batch {
		return
	}
	living := n.living(h.w.clock.Now())
	found, err := h.w.RevokeOrphan(h.w.ctx, n.issued.Token.ID, "")
	h.w.ok(err)
	if found != living {
		t.Fatalf("revoke alone: found %t, living %t", found, living)
	}
	if !living {
		return
	}
	n.ended = true
	for _, child := range h.nodes {
		// A batch token has no record that could be changed: it dies with its parent.
		if child.parent == n && !child.issued.Token.Batch {
			child.parent = nil
		}
	}
}

func (h *hierarchy) renew(t *rapid.T) {
	n := h.pick(t)
	if n.issued.Token.Batch {
		return
	}
	ttl := life(t)
	_, err := h.w.renew(n.issued, ttl)
	if living := n.living(h.w.clock.Now()); (err == nil) != living {
		t.Fatalf("renew: %v, living %t", err, living)
	}
	if err == nil {
		n.expires = h.w.clock.Now().Add(ttl)
	}
}

func (h *hierarchy) spend(t *rapid.T) {
	n := h.pick(t)
	_, err := h.w.request(n.issued)
	if living := n.living(h.w.clock.Now()); (err == nil) != living {
		t.Fatalf("request: %v, living %t", err, living)
	}
	if err == nil && n.uses > 0 {
		if n.uses--; n.uses == 0 {
			n.uses = -1
		}
	}
}

func (h *hierarchy) wait(t *rapid.T) {
	h.w.clock.Add(time.Duration(rapid.IntRange(1, 400_000).Draw(t, "milliseconds")) * time.Millisecond)
}

func (h *hierarchy) sweep(*rapid.T) {
	_, err := h.w.Sweep(h.w.ctx)
	h.w.ok(err)
}

func (h *hierarchy) reopen(*rapid.T) { h.w.reopen() }

// check compares every token, found in every way, with the model. A token that was not asked
// for since long is asked for too, so that what is cached varies from step to step.
func (h *hierarchy) check(t *rapid.T) {
	now := h.w.clock.Now()
	for i, n := range h.nodes {
		if rapid.IntRange(0, 3).Draw(t, "skip") == 0 {
			continue
		}
		if got, want := h.w.lives(n.issued), n.living(now); got != want {
			t.Fatalf("token %d lives: %t, in the model %t", i, got, want)
		}
	}
	h.w.mustCheck()
}

// The hierarchy, by any sequence of steps, is that of the model: living is the same for every
// token after every step, cached or not, swept or not; and what is dead leaves nothing behind.
func TestHierarchy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := memoryFor(t)
		defer s.Close()
		h := &hierarchy{w: worldOver(t, s)}
		defer func() { h.w.Store.Close() }() // the last one: a step may have opened another
		for range 3 {
			h.nodes = append(h.nodes, &node{issued: h.w.plain(), expires: epoch.Add(month)})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":             h.check,
			"create":       h.create,
			"create again": h.create,
			"create more":  h.create,
			"revoke":       h.revoke,
			"revoke alone": h.revokeAlone,
			"renew":        h.renew,
			"spend":        h.spend,
			"wait":         h.wait,
			"sweep":        h.sweep,
			"sweep again":  h.sweep,
			"reopen":       h.reopen,
		})
		h.w.sweepAll()
		h.check(t)
		h.leavesNothing(t)
	})
}

// leavesNothing checks that the store holds records of living tokens alone, and, once all are
// revoked and swept, no key but the mark.
func (h *hierarchy) leavesNothing(t *rapid.T) {
	h.w.clock.Add(spentGrace)
	h.w.sweepAll()
	living := 1 // root
	for _, n := range h.nodes {
		if n.living(h.w.clock.Now()) && !n.issued.Token.Batch {
			living++
		}
	}
	if got := h.w.records(); got != living {
		t.Fatalf("%d records, %d living tokens", got, living)
	}
	for _, n := range append(h.nodes, &node{issued: h.w.root}) {
		if !n.issued.Token.Batch {
			h.w.revoke(n.issued)
		}
	}
	h.w.sweepAll()
	h.w.ok(h.w.FlushUses(h.w.ctx)) // as sealing does
	for _, k := range h.w.keys() {
		if k != "token/"+string([]byte{markKey}) {
			t.Fatalf("%q is left", k)
		}
	}
}

// memoryFor opens a store that its user closes.
func memoryFor(t fatal) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s
}
