package token

import (
	"testing"
	"time"

	"jeton/internal/backend"
)

// tuned is the token method's mount with limits of its own.
func tuned(max time.Duration) backend.Mount {
	m := tokenMount
	m.MaxTTL, m.SystemMaxTTL = max, month
	return m
}

// What limits a token and until when, for every kind of bound there is; and that renewals,
// each as late as may be and as long as may be, come to that end exactly, and not beyond.
func TestPlan(t *testing.T) {
	role := func(change func(*Role)) func(*world) {
		return func(w *world) {
			w.ok(w.UpdateRole(w.ctx, "r", func(r *Role) error {
				change(r)
				return nil
			}))
		}
	}
	byRole := func(a *Ask) { a.Role, a.Path, a.TTL = "r", "auth/token/create/r", "1h" }
	for name, c := range map[string]struct {
		prepare func(w *world)
		ask     func(a *Ask)
		mount   backend.Mount
		by      string
		after   time.Duration // 0 is without end
	}{
		"the system's greatest": {ask: func(a *Ask) { a.TTL = "1h" }, mount: tuned(month), by: "system", after: month},
		"the mount's greatest":  {ask: func(a *Ask) { a.TTL = "1h" }, mount: tuned(10 * time.Hour), by: "mount", after: 10 * time.Hour},
		"its explicit maximum":  {ask: func(a *Ask) { a.TTL, a.ExplicitMaxTTL = "1h", "5h" }, mount: tuned(month), by: "token", after: 5 * time.Hour},
		"an explicit maximum beyond the mount's": {
			ask: func(a *Ask) { a.TTL, a.ExplicitMaxTTL = "1h", "50h" }, mount: tuned(10 * time.Hour), by: "mount", after: 10 * time.Hour},
		"the role's explicit maximum": {prepare: role(func(r *Role) { r.ExplicitMaxTTL = 3 * time.Hour }), ask: byRole, mount: tuned(month),
			by: "role", after: 3 * time.Hour},
		"its own, which is less than the role's": {prepare: role(func(r *Role) { r.ExplicitMaxTTL = 3 * time.Hour }),
			ask: func(a *Ask) { byRole(a); a.ExplicitMaxTTL = "2h" }, mount: tuned(month), by: "token", after: 2 * time.Hour},
		"a period":             {ask: func(a *Ask) { a.Period, a.Caller.Sudo = "1h", true }, mount: tuned(month)},
		"a period of the role": {prepare: role(func(r *Role) { r.Period = time.Hour }), ask: byRole, mount: tuned(month)},
		"a period and an explicit maximum": {ask: func(a *Ask) { a.Period, a.ExplicitMaxTTL, a.Caller.Sudo = "1h", "5h", true },
			mount: tuned(month), by: "token", after: 5 * time.Hour},
		"it is not renewable": {ask: func(a *Ask) { a.TTL, a.Renewable = "1h", false }, mount: tuned(month), by: "token", after: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.prepare != nil {
				c.prepare(w)
			}
			i := w.create(w.root, func(a *Ask) {
				a.Policies, a.Mount = []string{"web"}, c.mount
				c.ask(a)
			})
			plan, err := w.PlanOf(w.ctx, i.Token, c.mount)
			w.ok(err)
			if plan.LimitedBy != c.by || plan.RenewableUntil.IsZero() != (c.after == 0) {
				t.Fatalf("limited by %q until %s", plan.LimitedBy, plan.RenewableUntil)
			}
			if c.after != 0 && !plan.RenewableUntil.Equal(epoch.Add(c.after)) {
				t.Fatalf("until %s, want %s", plan.RenewableUntil.Sub(epoch), c.after)
			}
			if plan.RenewAfter.IsZero() == i.Token.Life.Renewable {
				t.Fatalf("renew after %s, renewable %t", plan.RenewAfter, i.Token.Life.Renewable)
			}
			end := i.Token.Expires()
			for range 1000 {
				w.clock.Add(end.Add(-time.Nanosecond).Sub(w.clock.Now()))
				out, err := w.Renew(w.ctx, i.Token.ID, 20*month, &backend.Call{Mount: c.mount})
				if err != nil || !out.Token.Expires().After(end) {
					break
				}
				if end = out.Token.Expires(); c.after == 0 && end.After(epoch.Add(month+2*time.Hour)) {
					return // without end, as far as anyone can see
				}
			}
			if late := plan.RenewableUntil.Sub(end); late < 0 || late >= 2*time.Second {
				t.Errorf("renewals come to %s, planned %s", end.Sub(epoch), plan.RenewableUntil.Sub(epoch))
			}
		})
	}
}

// A parent's end is everybody's below it.
func TestPlanOfAChild(t *testing.T) {
	w := newWorld(t)
	parent := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "2h" })
	for name, i := range map[string]*Issued{
		"child":      w.create(parent, func(a *Ask) { a.Policies, a.TTL = []string{"default"}, "1h" }),
		"grandchild": w.child(w.child(parent)),
		"periodic":   w.create(parent, func(a *Ask) { a.Policies, a.Period, a.Caller.Sudo = []string{"default"}, "1h", true }),
		"longer":     w.create(parent, func(a *Ask) { a.Policies, a.TTL = []string{"default"}, "5h" }),
	} {
		plan, err := w.PlanOf(w.ctx, i.Token, tuned(month))
		w.ok(err)
		if plan.LimitedBy != "parent" || !plan.RenewableUntil.Equal(epoch.Add(2*time.Hour)) {
			t.Errorf("%s: limited by %q until %s", name, plan.LimitedBy, plan.RenewableUntil)
		}
	}
	_, err := w.renew(parent, 4*time.Hour)
	w.ok(err)
	short := w.create(parent, func(a *Ask) { a.Policies, a.TTL, a.ExplicitMaxTTL = []string{"default"}, "1h", "3h" })
	plan, err := w.PlanOf(w.ctx, short.Token, tuned(month))
	w.ok(err)
	if plan.LimitedBy != "token" || !plan.RenewableUntil.Equal(epoch.Add(3*time.Hour)) {
		t.Errorf("with its parent renewed: limited by %q until %s", plan.LimitedBy, plan.RenewableUntil)
	}
}

// A login's bound, a batch token's only one, a root's none, and a role that is gone.
func TestPlanOfOthers(t *testing.T) {
	w := newWorld(t)
	login := &backend.Login{Policies: []string{"web"}, Terms: backend.Terms{TTL: time.Hour, MaxTTL: 4 * time.Hour, Renewable: true}}
	in, err := w.IssueLogin(w.ctx, login, loginMount, "auth/userpass/login/a", "")
	w.ok(err)
	batch := w.create(w.root, func(a *Ask) { a.Policies, a.Type, a.TTL = []string{"web"}, "batch", "1h" })
	w.ok(w.UpdateRole(w.ctx, "r", func(*Role) error { return nil }))
	roled := w.create(w.root, func(a *Ask) { a.Role, a.Path, a.TTL = "r", "auth/token/create/r", "1h" })
	w.ok(w.DeleteRole(w.ctx, "r"))
	for name, c := range map[string]struct {
		of        *Issued
		by        string
		after     time.Duration
		renewable bool
	}{
		"login": {in, "role", 4 * time.Hour, true}, "batch": {batch, "token", time.Hour, false},
		"root": {w.root, "", 0, false}, "role gone": {roled, "role", time.Hour, false},
	} {
		plan, err := w.PlanOf(w.ctx, c.of.Token, tuned(month))
		w.ok(err)
		var until time.Time
		if c.after != 0 {
			until = epoch.Add(c.after)
		}
		if plan.LimitedBy != c.by || !plan.RenewableUntil.Equal(until) || plan.RenewAfter.IsZero() == c.renewable {
			t.Errorf("%s: limited by %q until %s, renew after %s", name, plan.LimitedBy, plan.RenewableUntil, plan.RenewAfter)
		}
		answer := plan.Answer()
		if (answer.LimitedBy == nil) != (c.by == "") || (answer.RenewableUntil == nil) != (c.after == 0) || (answer.RenewAfter == nil) == c.renewable {
			t.Errorf("%s: the answer is %+v", name, answer)
		}
	}
}

// Clients that were all given a token at once do not all come back at once, and all in time.
func TestRenewAfterIsSpread(t *testing.T) {
	w := newWorld(t)
	i := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "100h" })
	least, most := 1000*time.Hour, time.Duration(0)
	for range 1000 {
		plan, err := w.PlanOf(w.ctx, i.Token, tuned(month))
		w.ok(err)
		after := plan.RenewAfter.Sub(epoch)
		least, most = min(least, after), max(most, after)
	}
	third := 100 * time.Hour * 2 / 3
	if least < third*94/100 || most > third*106/100 || most-least < third*8/100 {
		t.Errorf("from %s to %s", least, most)
	}
}
