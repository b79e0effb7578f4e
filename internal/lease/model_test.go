package lease

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jeton/internal/backend"
	"jeton/internal/engine/leasetest"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// model is what a plain reading of the contract says of a room: one value for each lease that
// somebody holds.
type model struct {
	*room
	live    map[string]*held
	tokens  []backend.TokenID
	dead    map[backend.TokenID]bool
	secrets []string
	away    bool
}

// held is what is known of a living lease.
type held struct {
	name    string
	issued  time.Time
	expires time.Time
	// bound is what no renewal may pass: a batch token's end; the zero time for none.
	bound  time.Time
	holder backend.TokenID
	maxTTL time.Duration
}

var durations = []time.Duration{0, 1, time.Millisecond, 999 * time.Millisecond, time.Second, 1500 * time.Millisecond, time.Minute, time.Hour, 5 * time.Hour, month}

func (m *model) duration(t *rapid.T, name string) time.Duration {
	return rapid.SampledFrom(durations).Draw(t, name)
}

// limit is the greatest life of a lease under the present tuning.
func (m *model) limit(maxTTL time.Duration) time.Duration {
	limit := m.engines.mount("leasing_1").MaxTTL
	if maxTTL > 0 && maxTTL < limit {
		// A bound of less than a second is a second.
		limit = max(maxTTL.Truncate(time.Second), time.Second)
	}
	return limit
}

// forget drops what time has ended.
func (m *model) forget() {
	now := m.clock.Now()
	maps.DeleteFunc(m.live, func(_ string, h *held) bool { return !now.Before(h.expires) })
}

func (m *model) pick(t *rapid.T) string {
	ids := slices.Sorted(maps.Keys(m.live))
	if len(ids) == 0 {
		t.Skip("no lease")
	}
	return rapid.SampledFrom(ids).Draw(t, "lease")
}

func (m *model) issue(t *rapid.T) {
	role := leasetest.Role{TTL: m.duration(t, "ttl"), MaxTTL: m.duration(t, "max"), RenewTTL: m.duration(t, "renew ttl")}
	m.outside.SetRole("r", role)
	h := &held{issued: m.clock.Now(), maxTTL: role.MaxTTL}
	f, name := m.fresh("r", backend.TokenID{})
	m.secrets = append(m.secrets, name)
	h.name = name
	dead := false
	if rapid.Bool().Draw(t, "batch") {
		h.bound = m.clock.Now().Add(m.duration(t, "batch ttl"))
		f.Bound = h.bound
		dead = h.bound.Sub(m.clock.Now()) < time.Second
	}
	if f.Bound.IsZero() || rapid.Bool().Draw(t, "with parent") {
		h.holder = rapid.SampledFrom(m.tokens).Draw(t, "holder")
		f.Holder = h.holder
		dead = dead || m.dead[h.holder]
	}
	out, err := m.Register(m.ctx, f)
	if err != nil {
		if !dead {
			t.Fatalf("register: %v", err)
		}
		return
	}
	if dead {
		t.Fatalf("a dead token got a secret")
	}
	h.expires = m.clock.Now().Add(out.TTL)
	m.live[out.ID] = h
	m.within(t, out, h, m.limit(h.maxTTL))
}

// within checks what was answered and stored against the bounds.
func (m *model) within(t *rapid.T, out *Issued, h *held, limit time.Duration) {
	l := m.lookup(out.ID)
	switch {
	case l == nil:
		t.Fatalf("a lease that was answered is not there")
	case out.TTL < time.Second || out.TTL%time.Second != 0:
		t.Fatalf("a life of %s", out.TTL)
	case !l.ExpireTime().Equal(h.expires):
		t.Fatalf("answered %s, stored %s", h.expires, l.ExpireTime())
	case h.expires.After(h.issued.Add(limit)):
		t.Fatalf("a life of %s, bound by %s", h.expires.Sub(h.issued), limit)
	case !h.bound.IsZero() && h.expires.After(h.bound):
		t.Fatalf("the lease outlives its batch token by %s", h.expires.Sub(h.bound))
	}
}

func (m *model) renew(t *rapid.T) {
	m.forget()
	id := m.pick(t)
	h := m.live[id]
	role := leasetest.Role{MaxTTL: m.duration(t, "max"), RenewTTL: m.duration(t, "renew ttl"), RenewsNothing: rapid.Bool().Draw(t, "nothing")}
	m.outside.SetRole("r", role)
	out, err := m.Renew(m.ctx, id, m.duration(t, "increment"))
	if err != nil {
		// A refusal leaves the lease as it was.
		if l := m.lookup(id); l == nil || !l.ExpireTime().Equal(h.expires) {
			t.Fatalf("a refused renewal changed the lease")
		}
		return
	}
	if !role.RenewsNothing && role.MaxTTL > 0 {
		h.maxTTL = role.MaxTTL
	}
	h.expires = m.clock.Now().Add(out.TTL)
	m.within(t, out, h, m.limit(h.maxTTL))
}

func (m *model) tune(t *rapid.T) {
	m.engines.set(backend.Mount{Path: "db/", Accessor: "leasing_1",
		DefaultTTL: max(time.Second, m.duration(t, "default")), MaxTTL: max(time.Second, m.duration(t, "mount max"))})
}

func (m *model) kill(t *rapid.T) {
	id := rapid.SampledFrom(m.tokens).Draw(t, "token")
	if m.dead[id] {
		t.Skip("dead already")
	}
	m.dies(id)
	m.dead[id] = true
	for lease, h := range m.live {
		if h.holder == id {
			if _, err := m.Renew(m.ctx, lease, 0); err == nil {
				t.Fatalf("a dead token's lease was renewed")
			}
			delete(m.live, lease)
		}
	}
}

func (m *model) revoke(t *rapid.T) {
	m.forget()
	id := m.pick(t)
	h := m.live[id]
	delete(m.live, id)
	var err error
	if rapid.Bool().Draw(t, "prefix") {
		err = m.RevokePrefix(m.ctx, "db/creds/r/")
		clear(m.live)
	} else {
		err = m.Revoke(m.ctx, id)
	}
	if (err != nil) != m.away && m.outside.Revoked(h.name) == 0 {
		t.Fatalf("engine away %t, error %v", m.away, err)
	}
}

func (m *model) breakdown(t *rapid.T) {
	if m.away = !m.away; m.away {
		m.outside.FailRevoke(away)
	} else {
		m.outside.FailRevoke(nil)
	}
}

// check is run after every step: who holds a lease still does, nobody else does, and the room
// is in order.
func (m *model) check(t *rapid.T) {
	m.forget()
	for id, h := range m.live {
		if l := m.lookup(id); l == nil || l.End != nil || m.outside.Revoked(h.name) != 0 {
			t.Fatalf("a living lease was ended: %+v", l)
		}
	}
	for _, p := range m.problems() {
		t.Fatalf("check: %s", p)
	}
}

// No sequence of issues, renewals, tunings, deaths, failures and restarts gives a lease that
// outlives its bound or never ends; and every secret is taken back exactly once.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := embedded.OpenMemory()
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer func() { _ = s.Close() }()
		m := &model{room: roomOver(t, s), live: map[string]*held{}, dead: map[backend.TokenID]bool{}}
		defer func() { m.Store.Close() }()
		for range 3 {
			m.tokens = append(m.tokens, m.token())
		}
		t.Repeat(map[string]func(*rapid.T){
			"":          m.check,
			"issue":     m.issue,
			"renew":     m.renew,
			"tune":      m.tune,
			"kill":      m.kill,
			"revoke":    m.revoke,
			"breakdown": m.breakdown,
			"wait":      func(t *rapid.T) { m.clock.Add(min(m.duration(t, "wait"), time.Hour)); m.sweepAll() },
			"sweep":     func(*rapid.T) { m.sweepAll() },
			"restart":   func(*rapid.T) { m.reopen(s) },
		})
		m.outside.FailRevoke(nil)
		m.clock.Add(2 * month)
		m.sweepAll()
		m.empty()
		for _, name := range m.secrets {
			if n := m.outside.Revoked(name); n != 1 {
				t.Fatalf("the secret %s was taken back %d times", name, n)
			}
		}
	})
}

// Lists agree with what is there, at every depth.
func TestListModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := embedded.OpenMemory()
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer func() { _ = s.Close() }()
		r := roomOver(t, s)
		ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab](/[ab-]){0,3}/[a-c0]{1,2}`), 0, 20, rapid.ID).Draw(t, "ids")
		r.ok(s.Update(r.ctx, func(tx store.Tx) error {
			for _, id := range ids {
				l := &Lease{ID: id, Holder: backend.TokenID{1}, Mount: "m", Issued: 1, Expires: 2}
				if err := put(r.area.Within(tx), nil, l); err != nil {
					return err
				}
			}
			return nil
		}))
		prefix := rapid.SampledFrom([]string{"", "a/", "b/", "a/b/", "a/-/", "a/a/a/"}).Draw(t, "prefix")
		want := map[string]bool{}
		for _, id := range ids {
			if len(id) > len(prefix) && id[:len(prefix)] == prefix {
				rest := id[len(prefix):]
				for i, c := range rest {
					if c == '/' {
						rest = rest[:i+1]
						break
					}
				}
				want[rest] = true
			}
		}
		got, err := r.List(r.ctx, prefix)
		r.ok(err)
		if fmt.Sprint(got) != fmt.Sprint(slices.Sorted(maps.Keys(want))) {
			t.Fatalf("list of %q below %q: %v", ids, prefix, got)
		}
	})
}
