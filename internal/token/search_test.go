package token

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jeton/internal/backend"
)

// soul is a token in the model of search: what a client could know of it, and no index.
type soul struct {
	issued  *Issued
	parent  *soul
	ended   bool
	expires int64
	used    int64
	uses    uint64
	// moved counts what gave it another place in an order.
	moved int
}

func (m *soul) living(now int64) bool {
	return !m.ended && (m.expires == 0 || now < m.expires) && (m.parent == nil || m.parent.living(now))
}

// selected is the filter in plain words, one token at a time.
func (m *soul) selected(f *Filter, now int64) bool {
	t := m.issued.Token
	last := max(t.Life.Created, m.used)
	ok := m.living(now)
	ok = ok && (f.Policy == "" || slices.Contains(t.Policies, f.Policy))
	ok = ok && (f.Role == "" || t.Origin.Role == f.Role)
	ok = ok && (f.EntityID == "" || t.EntityID == f.EntityID)
	ok = ok && (f.Path == "" || t.Origin.Path == f.Path || strings.HasSuffix(f.Path, "/") && strings.HasPrefix(t.Origin.Path, f.Path))
	ok = ok && strings.HasPrefix(t.Origin.DisplayName, f.DisplayName)
	ok = ok && (f.MetaKey == "" || t.Meta[f.MetaKey] == f.MetaValue && t.Meta[f.MetaKey] != "")
	ok = ok && (f.Orphan == nil || *f.Orphan == (m.parent == nil))
	ok = ok && (f.Parent == ID{} || m.parent != nil && m.parent.issued.Token.ID == f.Parent)
	ok = ok && f.Type != "batch"
	ok = ok && (f.CreatedBefore == 0 || t.Life.Created < f.CreatedBefore)
	ok = ok && (f.CreatedAfter == 0 || t.Life.Created > f.CreatedAfter)
	ok = ok && (f.ExpiringBefore == 0 || m.expires != 0 && m.expires < f.ExpiringBefore)
	ok = ok && (f.ExpiringAfter == 0 || m.expires == 0 || m.expires > f.ExpiringAfter)
	return ok && (f.UnusedSince == 0 || last <= f.UnusedSince)
}

// place is the soul's place in an order.
func (m *soul) place(by Sort) int64 {
	switch {
	case by == ByLastUsed:
		return max(m.issued.Token.Life.Created, m.used)
	case by == ByCreated:
		return m.issued.Token.Life.Created
	case m.expires == 0:
		return 1<<63 - 1
	}
	return m.expires
}

// census runs the model beside the room.
type census struct {
	w     *world
	souls []*soul
}

func newCensus(w *world) *census {
	return &census{w: w, souls: []*soul{{issued: w.root}}}
}

func (c *census) now() int64 { return c.w.clock.Now().UnixNano() }

func (c *census) living() []*soul {
	return slices.DeleteFunc(slices.Clone(c.souls), func(m *soul) bool { return !m.living(c.now()) })
}

// pick draws a living soul that is not root, nil when there is none.
func (c *census) pick(t *rapid.T) *soul {
	all := slices.DeleteFunc(c.living(), func(m *soul) bool { return m == c.souls[0] })
	if len(all) == 0 {
		return nil
	}
	return rapid.SampledFrom(all).Draw(t, "token")
}

var (
	somePolicies = []string{"web", "db", "ci"}
	someNames    = []string{"", "ci", "ci-runner-1", "ci-runner-2", "ci-runner-of-a-team"}
	someUsers    = []string{"alice", "bob"}
)

func (c *census) create(t *rapid.T) {
	c.w.clock.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "tick")))
	parent := rapid.SampledFrom(c.living()).Draw(t, "parent")
	ttl := life(t)
	m := &soul{parent: parent}
	if rapid.IntRange(0, 3).Draw(t, "login") == 0 {
		user := rapid.SampledFrom(someUsers).Draw(t, "user")
		login := &backend.Login{DisplayName: user, Policies: []string{"web"}, Terms: backend.Terms{TTL: ttl, Renewable: true}}
		issued, err := c.w.IssueLogin(c.w.ctx, login, loginMount, "auth/userpass/login/"+user, "entity-"+user)
		c.w.ok(err)
		m.issued, m.parent = issued, nil
	} else {
		m.issued = c.w.create(parent.issued, func(a *Ask) {
			a.Caller.Root, a.Caller.Sudo = true, true
			a.Policies = []string{rapid.SampledFrom(somePolicies).Draw(t, "policy"), rapid.SampledFrom(somePolicies).Draw(t, "policy too")}
			a.TTL, a.DisplayName = ttl.String(), rapid.SampledFrom(someNames).Draw(t, "name")
			if rapid.Bool().Draw(t, "meta") {
				a.Meta = map[string]string{"team": rapid.SampledFrom([]string{"a", "b"}).Draw(t, "team")}
			}
			if a.Orphan = rapid.IntRange(0, 3).Draw(t, "orphan") == 0; a.Orphan {
				m.parent = nil
			}
			if rapid.IntRange(0, 3).Draw(t, "role") == 0 {
				a.Role, a.Path, a.Orphan, m.parent = "batchless", "auth/token/create/batchless", false, parent
			}
		})
	}
	m.expires = m.issued.Token.Life.Expires
	c.souls = append(c.souls, m)
}

func (c *census) renew(t *rapid.T) {
	if m := c.pick(t); m != nil {
		out, err := c.w.renew(m.issued, life(t))
		c.w.ok(err)
		m.expires, m.moved = out.Token.Life.Expires, m.moved+1
	}
}

func (c *census) revoke(t *rapid.T) {
	if m := c.pick(t); m != nil {
		c.w.revoke(m.issued)
		m.ended = true
	}
}

// free revokes a token alone. It sweeps: until then the children are orphans in all but the
// indexes.
func (c *census) free(t *rapid.T) {
	m := c.pick(t)
	if m == nil {
		return
	}
	_, err := c.w.RevokeOrphan(c.w.ctx, m.issued.Token.ID, "")
	c.w.ok(err)
	m.ended = true
	for _, child := range c.souls {
		if child.parent == m {
			child.parent = nil
		}
	}
	c.w.sweepAll()
}

func (c *census) use(t *rapid.T) {
	if m := c.pick(t); m != nil {
		found, err := c.w.Authenticate(c.w.ctx, m.issued.Text, anywhere)
		c.w.ok(err)
		c.w.Used(found, netip.MustParseAddr("192.0.2.7"))
		m.used, m.uses, m.moved = c.now(), m.uses+1, m.moved+1
	}
}

func (c *census) flush(*rapid.T) { c.w.ok(c.w.FlushUses(c.w.ctx)) }

func (c *census) wait(t *rapid.T) {
	c.w.clock.Add(time.Duration(rapid.IntRange(1, 200_000).Draw(t, "milliseconds")) * time.Millisecond)
}

func (c *census) sweep(*rapid.T) {
	_, err := c.w.Sweep(c.w.ctx)
	c.w.ok(err)
}

func (c *census) reopen(*rapid.T) {
	c.w.ok(c.w.FlushUses(c.w.ctx))
	c.w.reopen()
}

// steps are what may happen between two pages of a search.
func (c *census) steps() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"create": c.create, "create again": c.create, "renew": c.renew, "revoke": c.revoke, "free": c.free,
		"use": c.use, "flush": c.flush, "wait": c.wait, "sweep": c.sweep, "reopen": c.reopen,
	}
}

// filter draws one that has something to do with the tokens there are.
func (c *census) filter(t *rapid.T) (f Filter) {
	instant := func(name string) int64 {
		return c.now() + int64(rapid.IntRange(-600, 600).Draw(t, name))*int64(time.Second)
	}
	choose := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	for range rapid.IntRange(0, 3).Draw(t, "conditions") {
		switch rapid.IntRange(0, 12).Draw(t, "condition") {
		case 0:
			f.Policy = choose("policy", append(somePolicies, "nobody")...)
		case 1:
			f.Role = "batchless"
		case 2:
			f.EntityID = choose("entity", "entity-alice", "entity-nobody")
		case 3:
			f.Path = choose("path", "auth/token/create", "auth/userpass/", "auth/userpass/login/bob", "auth/userpass/login/", "auth/", "a/")
		case 4:
			f.DisplayName = choose("name", "token", "token-ci", "token-ci-runner-", "token-ci-runner-of", "userpass-a", "x")
		case 5:
			f.MetaKey, f.MetaValue = "team", choose("team", "a", "b", "c")
		case 6:
			orphan := rapid.Bool().Draw(t, "orphan")
			f.Orphan = &orphan
		case 7:
			f.Parent = rapid.SampledFrom(c.souls).Draw(t, "parent").issued.Token.ID
		case 8:
			f.CreatedBefore = instant("created before")
		case 9:
			f.CreatedAfter = instant("created after")
		case 10:
			f.ExpiringBefore = instant("expiring before")
		case 11:
			f.ExpiringAfter = instant("expiring after")
		case 12:
			f.UnusedSince = instant("unused since")
		}
	}
	return f
}

// search walks all pages of a search, and lets things happen in between.
func (c *census) search(t *rapid.T) {
	q := Query{Filter: c.filter(t), Sort: rapid.SampledFrom([]Sort{ByCreated, ByExpires, ByLastUsed}).Draw(t, "sort"),
		Reverse: rapid.Bool().Draw(t, "reverse"), Limit: rapid.SampledFrom([]int{1, 2, 3, 100}).Draw(t, "limit")}
	if q.Sort == ByLastUsed {
		c.flush(t) // the order is that of the last flush
	}
	// A soul that was selected before, throughout and after, and kept its place, is in the
	// pages exactly once.
	steady := map[ID]int{}
	for _, m := range c.souls {
		if m.selected(&q.Filter, c.now()) {
			steady[m.issued.Token.ID] = m.moved
		}
	}
	steps := c.steps()
	names := slices.Sorted(maps.Keys(steps))
	seen := map[ID]int{}
	var places []int64
	for {
		page, err := c.w.Search(c.w.ctx, q)
		c.w.ok(err)
		if len(page.Rows) > q.Limit {
			t.Fatalf("%d rows, limit %d", len(page.Rows), q.Limit)
		}
		for _, row := range page.Rows {
			m := c.byID(t, row.Token.ID)
			c.compare(t, m, &row)
			if !m.selected(&q.Filter, c.now()) {
				t.Fatalf("a row that the filter does not select")
			}
			seen[row.Token.ID]++
			if at, was := steady[row.Token.ID]; was && at == m.moved {
				places = append(places, m.place(q.Sort))
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
		if rapid.IntRange(0, 2).Draw(t, "meanwhile") == 0 {
			steps[rapid.SampledFrom(names).Draw(t, "step")](t)
		}
	}
	for _, m := range c.souls {
		id := m.issued.Token.ID
		at, was := steady[id]
		if was && at == m.moved && m.selected(&q.Filter, c.now()) && seen[id] != 1 {
			t.Fatalf("a token that was there throughout is in the pages %d times: %+v", seen[id], q)
		}
	}
	inOrder := func(a, b int64) int { return cmp.Compare(a, b) }
	if q.Reverse {
		inOrder = func(a, b int64) int { return cmp.Compare(b, a) }
	}
	if !slices.IsSortedFunc(places, inOrder) && q.Sort == ByCreated {
		t.Fatalf("rows out of order")
	}
}

func (c *census) byID(t *rapid.T, id ID) *soul {
	for _, m := range c.souls {
		if m.issued.Token.ID == id {
			return m
		}
	}
	t.Fatalf("a row of no token")
	return nil
}

// compare holds what a row says against the model.
func (c *census) compare(t *rapid.T, m *soul, row *Row) {
	parent := ""
	if m.parent != nil {
		parent = m.parent.issued.Token.Accessor
	}
	last := int64(0)
	if !row.LastUsed.IsZero() {
		last = row.LastUsed.UnixNano()
	}
	if row.ParentAccessor != parent || row.Uses != m.uses || last != m.used || (row.LastUsedFrom == "192.0.2.7") != (m.uses > 0) {
		t.Fatalf("row: parent %q, %d uses, last %d from %q; model: parent %q, %d uses, last %d",
			row.ParentAccessor, row.Uses, last, row.LastUsedFrom, parent, m.uses, m.used)
	}
}

// count compares all counts, and the numbers of children, with those of the model. Counts are
// of what is on record, so that what is due is swept first.
func (c *census) count(t *rapid.T) {
	c.w.sweepAll()
	want := map[CountBy]map[string]int64{CountByPolicy: {}, CountByRole: {}, CountByEntity: {}, CountByPath: {}, CountByType: {}}
	children := map[ID]int64{}
	for _, m := range c.living() {
		token := m.issued.Token
		for _, p := range token.Policies {
			want[CountByPolicy][p]++
		}
		if token.Origin.Role != "" {
			want[CountByRole][token.Origin.Role]++
		}
		if token.EntityID != "" {
			want[CountByEntity][token.EntityID]++
		}
		want[CountByPath][token.Origin.Path]++
		want[CountByType]["service"]++
		if m.parent != nil {
			children[m.parent.issued.Token.ID]++
		}
	}
	for by, counts := range want {
		got, total, err := c.w.Count(c.w.ctx, by)
		c.w.ok(err)
		have := map[string]int64{}
		for _, n := range got {
			have[n.Value] = n.Count
		}
		if !maps.Equal(have, counts) || total != int64(len(c.living())) {
			t.Fatalf("by %s: %v of %d, want %v of %d", by, have, total, counts, len(c.living()))
		}
	}
	page, err := c.w.Search(c.w.ctx, Query{Sort: ByCreated, Limit: MaxPage})
	c.w.ok(err)
	for _, row := range page.Rows {
		if row.Children != children[row.Token.ID] {
			t.Fatalf("%d children, want %d", row.Children, children[row.Token.ID])
		}
	}
}

// What a search finds, in what order, on pages of any size, is what the model says, whatever
// happens between the pages; and counts are those of the model.
func TestSearchAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := memoryFor(t)
		defer s.Close()
		c := newCensus(worldOver(t, s))
		defer func() { c.w.Store.Close() }()
		c.w.ok(c.w.UpdateRole(c.w.ctx, "batchless", func(*Role) error { return nil }))
		for range 8 {
			c.create(t)
		}
		steps := c.steps()
		steps["search"], steps["search again"], steps["search more"], steps["count"] = c.search, c.search, c.search, c.count
		t.Repeat(steps)
		c.w.mustCheck()
	})
}

// A cursor is good for the question that it was given for, from this server, and nothing else.
func TestCursorsAreNotTransferableCVE202633504(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.plain()
	}
	q := Query{Filter: Filter{Policy: "web"}, Sort: ByCreated, Limit: 2}
	page, err := w.Search(w.ctx, q)
	w.ok(err)
	tree, err := w.Tree(w.ctx, w.root.Token.ID, 0, 2, "")
	w.ok(err)
	if page.Next == "" || tree.Next == "" {
		t.Fatal("one page had it all")
	}
	raw, err := base64.RawURLEncoding.DecodeString(page.Next)
	w.ok(err)
	raw[len(raw)-1] ^= 1
	forged := base64.RawURLEncoding.EncodeToString(raw)
	for name, change := range map[string]func(q *Query){
		"another filter":     func(q *Query) { q.Filter.Policy = "default" },
		"another order":      func(q *Query) { q.Sort = ByExpires },
		"the other way":      func(q *Query) { q.Reverse = true },
		"one more condition": func(q *Query) { q.Filter.CreatedAfter = 1 },
		"forged":             func(q *Query) { q.Cursor = forged },
		"a tree's":           func(q *Query) { q.Cursor = tree.Next },
		"cut":                func(q *Query) { q.Cursor = q.Cursor[:20] },
		"no base64":          func(q *Query) { q.Cursor = "?" },
	} {
		other := q
		other.Cursor = page.Next
		change(&other)
		_, err := w.Search(w.ctx, other)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		w.fails(err, backend.Invalid, errCursor.Text)
	}
	for name, cursor := range map[string]string{"a search's": page.Next, "forged": forged} {
		if _, err := w.Tree(w.ctx, w.root.Token.ID, 0, 2, cursor); err == nil {
			t.Errorf("tree: %s accepted", name)
		}
	}
	if _, err := w.Tree(w.ctx, page.Rows[0].Token.ID, 0, 2, tree.Next); err == nil {
		t.Error("the cursor of another token's tree accepted")
	}
	q.Cursor = page.Next
	if _, err := w.Search(w.ctx, q); err != nil {
		t.Errorf("its own: %v", err)
	}
}

// "24h ago" is a moment of the first page: the next pages keep it.
func TestCursorKeepsTimes(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		w.clock.Add(time.Hour)
		w.plain()
	}
	q := Query{Filter: Filter{Policy: "web", CreatedBefore: w.clock.Now().Add(-90 * time.Minute).UnixNano()}, Sort: ByCreated, Limit: 1}
	page, err := w.Search(w.ctx, q)
	w.ok(err)
	q.Cursor, q.Filter.CreatedBefore = page.Next, w.clock.Now().Add(time.Hour).UnixNano()
	q.Limit = 100
	page, err = w.Search(w.ctx, q)
	w.ok(err)
	if len(page.Rows) != 1 || page.Next != "" {
		t.Fatalf("%d rows after the first, want 1", len(page.Rows))
	}
}

// A search stays in the index that it began in, though another is the smallest by now.
func TestCursorKeepsItsIndex(t *testing.T) {
	w := newWorld(t)
	w.ok(w.UpdateRole(w.ctx, "ci", func(r *Role) error {
		r.AllowedPolicies = []string{"web", "db"}
		return nil
	}))
	byRole := func(policy string) *Issued {
		w.clock.Add(time.Second)
		return w.create(w.root, func(a *Ask) { a.Role, a.Policies = "ci", []string{policy} })
	}
	want := map[ID]bool{}
	for range 4 {
		want[byRole("web").Token.ID] = true
	}
	byRole("db")
	q := Query{Filter: Filter{Policy: "web", Role: "ci"}, Sort: ByCreated, Limit: 2}
	for first := true; first || q.Cursor != ""; first = false {
		page, err := w.Search(w.ctx, q)
		w.ok(err)
		for _, row := range page.Rows {
			if !want[row.Token.ID] {
				t.Fatal("a token twice")
			}
			delete(want, row.Token.ID)
		}
		q.Cursor = page.Next
		for range 5 {
			w.plain() // web is more than ci from now on
		}
	}
	if len(want) != 0 {
		t.Fatalf("%d tokens are on no page", len(want))
	}
}
