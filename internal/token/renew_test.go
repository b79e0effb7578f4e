package token

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jeton/internal/backend"
)

// Contract: tokens §7.1-2, §13.32: what cannot be renewed, and why.
func TestRenewRefuses(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		line string
		i    *Issued
		kind backend.Kind
		text string
	}{
		{"unknown", &Issued{Token: &Token{ID: ID{7}}}, backend.Invalid, "token not found"},
		{"init root", w.root, backend.Invalid, "invalid lease ID"},
		{"created root", w.create(w.root, nil), backend.Invalid, "lease is not renewable"},
		{"development root", w.must(w.IssueRoot(w.ctx, "dev", nil)), backend.Invalid, "lease is not renewable"},
		{"not renewable", w.create(w.root, func(a *Ask) { a.Policies, a.Renewable = []string{"web"}, false }), backend.Invalid, "lease is not renewable"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			_, err := w.renew(tt.i, time.Hour)
			w.in(t).fails(err, tt.kind, tt.text)
		})
	}
}

// renewal is one step of a token's later life: at a time after its issue, an increment, and
// what the renewal gives.
type renewal struct {
	at, increment, want time.Duration
	text                string
	warnings            []string
}

// Contract: tokens §7.4-6, §5, §13.13, §13.25, §13.31.
func TestRenewals(t *testing.T) {
	const past = "past the max TTL, cannot renew"
	web := []string{"web"}
	for _, tt := range []struct {
		line   string
		change func(*Ask)
		steps  []renewal
	}{
		{"§7.4 from now", func(a *Ask) { a.TTL = "1h" }, []renewal{{30 * time.Minute, 2 * time.Hour, 2 * time.Hour, "", nil}}},
		{"§7.4 a smaller increment shortens", func(a *Ask) { a.TTL = "1h" }, []renewal{{time.Minute, 5 * time.Second, 5 * time.Second, "", nil}}},
		{"§7.5, §13.31 the last ttl again", func(a *Ask) { a.TTL = "1h" }, []renewal{
			{time.Minute, time.Minute, time.Minute, "", nil}, {90 * time.Second, 0, time.Minute, "", nil}}},
		{"capped by the explicit max", func(a *Ask) { a.TTL, a.ExplicitMaxTTL = "30m", "1h" }, []renewal{
			{29 * time.Minute, 2 * time.Hour, 31 * time.Minute, "", []string{`TTL of "2h" exceeded the effective max_ttl of "31m"; TTL value is capped accordingly`}}}},
		{"capped by the mount", func(a *Ask) { a.TTL = "700h" }, []renewal{
			{600 * time.Hour, 700 * time.Hour, 168 * time.Hour, "", []string{`TTL of "700h" exceeded the effective max_ttl of "168h"; TTL value is capped accordingly`}}}},
		{"periodic: the increment is ignored", func(a *Ask) { a.Period = "1h" }, []renewal{
			{30 * time.Minute, 5 * time.Hour, time.Hour, "", nil}, {80 * time.Minute, 0, time.Hour, "", nil}}},
		{"periodic, beyond the mount's max", func(a *Ask) { a.Period = "767h" }, []renewal{
			{760 * time.Hour, 0, 767 * time.Hour, "", nil}, {1500 * time.Hour, 0, 767 * time.Hour, "", nil}}},
		{"§13.13 periodic with an explicit max", func(a *Ask) { a.Period, a.ExplicitMaxTTL = "30m", "1h" }, []renewal{
			{25 * time.Minute, 0, 30 * time.Minute, "", nil},
			{45 * time.Minute, 0, 15 * time.Minute, "", []string{`TTL of "30m" exceeded the effective max_ttl of "15m"; TTL value is capped accordingly`}}}},
		{"CVE-2021-32923 at max-1s", func(a *Ask) { a.TTL, a.ExplicitMaxTTL = "1h", "1h" }, []renewal{
			{time.Hour - time.Second, 0, time.Second, "", []string{`TTL of "1h" exceeded the effective max_ttl of "1s"; TTL value is capped accordingly`}}}},
		{"CVE-2021-32923 at max-1ms", func(a *Ask) { a.TTL, a.ExplicitMaxTTL = "1h", "1h" }, []renewal{{time.Hour - time.Millisecond, 0, 0, past, nil}}},
		{"CVE-2021-32923 at max", func(a *Ask) { a.TTL, a.ExplicitMaxTTL = "1h", "1h" }, []renewal{{time.Hour, 0, 0, "token not found", nil}}},
		{"CVE-2021-32923 at max+1ns", func(a *Ask) { a.TTL, a.ExplicitMaxTTL = "1h", "1h" }, []renewal{{time.Hour + 1, 0, 0, "token not found", nil}}},
		{"CVE-2021-32923 a part of a second", func(a *Ask) { a.TTL = "1h" }, []renewal{{time.Minute, time.Nanosecond, time.Second, "", nil}}},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := newWorld(t)
			i := w.create(w.root, func(a *Ask) { tt.change(a); a.Policies = web })
			for _, step := range tt.steps {
				w.clock.Add(epoch.Add(step.at).Sub(w.clock.Now()))
				out, err := w.renew(i, step.increment)
				if step.text != "" {
					var e *backend.Error
					if !errors.As(err, &e) || e.Text != step.text {
						t.Fatalf("at %s: %v, want %q", step.at, err, step.text)
					}
					continue
				}
				w.ok(err)
				if out.TTL != step.want || out.Token.TTL(w.clock.Now()) != step.want || !slices.Equal(out.Warnings, step.warnings) {
					t.Errorf("at %s: ttl %s (%s), warnings %q; want %s, %q", step.at, out.TTL, out.Token.TTL(w.clock.Now()), out.Warnings, step.want, step.warnings)
				}
				if out.Token.Life.Renewed != w.clock.Now().UnixNano() {
					t.Error("the time of the renewal is not kept")
				}
			}
		})
	}
}

// Contract: tokens §7.6, §13.25-26: the role as it is now.
func TestRenewByRole(t *testing.T) {
	w := newWorld(t)
	set := func(period, explicit time.Duration) {
		w.ok(w.UpdateRole(w.ctx, "r", func(r *Role) error {
			r.Period, r.ExplicitMaxTTL = period, explicit
			return nil
		}))
	}
	renews := func(i *Issued, want time.Duration) {
		t.Helper()
		out, err := w.renew(i, 0)
		w.ok(err)
		if out.TTL != want {
			t.Errorf("renewed for %s, want %s", out.TTL, want)
		}
	}
	set(time.Hour, 0)
	i := w.create(w.root, func(a *Ask) { a.Role, a.Policies = "r", []string{"web"} })
	own := w.create(w.root, func(a *Ask) { a.Role, a.Policies, a.Period = "r", []string{"web"}, "10m" })
	if i.TTL != time.Hour || i.Token.Life.Period != 0 || own.TTL != 10*time.Minute || own.Token.Life.Period != 600 {
		t.Errorf("made for %s and %s, periods %d and %d", i.TTL, own.TTL, i.Token.Life.Period, own.Token.Life.Period)
	}
	set(2*time.Hour, 0)
	renews(i, 2*time.Hour)
	renews(own, 10*time.Minute)
	set(2*time.Hour, 3*time.Hour)
	w.clock.Add(5 * time.Minute)
	renews(own, 10*time.Minute)
	w.clock.Add(110 * time.Minute)
	renews(i, 65*time.Minute)
	w.ok(w.DeleteRole(w.ctx, "r"))
	_, err := w.renew(i, 0)
	w.fails(err, backend.Failed, `failed to renew entry: original token role "r" could not be found, not renewing`)
	w.mustLive(i)
}

// Contract: tokens §7.7: the login method has the last word.
func TestRenewOfALogin(t *testing.T) {
	w := newWorld(t)
	i := w.must(w.IssueLogin(w.ctx, &backend.Login{Terms: backend.Terms{TTL: time.Hour, Renewable: true}}, loginMount, "auth/userpass/login/a", ""))
	gone := backend.Invalidf("user is gone")
	w.vouch.err = gone
	before, err := w.FindID(w.ctx, i.Token.ID)
	w.ok(err)
	if _, err := w.renew(i, 0); !errors.Is(err, gone) {
		t.Errorf("renewed against the method's will: %v", err)
	}
	after, err := w.FindID(w.ctx, i.Token.ID)
	w.ok(err)
	if after.Life != before.Life {
		t.Error("a refused renewal changed the token")
	}
	w.vouch.err = nil
	for _, tt := range []struct {
		terms           backend.Terms
		increment, want time.Duration
	}{
		{backend.Terms{TTL: 10 * time.Minute}, 0, 10 * time.Minute},
		{backend.Terms{}, 0, 10 * time.Minute},
		{backend.Terms{TTL: 10 * time.Minute}, time.Hour, time.Hour},
		{backend.Terms{TTL: 10 * time.Minute, MaxTTL: 30 * time.Minute}, time.Hour, 30 * time.Minute},
		{backend.Terms{Period: 20 * time.Minute, MaxTTL: 10 * time.Minute}, time.Hour, 10 * time.Minute},
	} {
		w.vouch.terms = tt.terms
		out, err := w.renew(i, tt.increment)
		w.ok(err)
		if out.TTL != tt.want {
			t.Errorf("terms %+v, increment %s: %s, want %s", tt.terms, tt.increment, out.TTL, tt.want)
		}
	}
}

// The property behind CVE-2021-32923: whatever is asked for and whenever, a token that is no
// root without end ends, by its bound at the latest, and a renewal never says otherwise.
func TestNoLifeBeyondItsBound(t *testing.T) {
	store := memory(t)
	rapid.Check(t, func(t *rapid.T) {
		w := worldOver(t, store)
		defer w.Store.Close()
		mount := tokenMount
		mount.MaxTTL = rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, month}).Draw(t, "mount max")
		mount.DefaultTTL = rapid.SampledFrom([]time.Duration{time.Second, mount.MaxTTL}).Draw(t, "mount default")
		duration := rapid.SampledFrom([]string{"", "", "1ns", "999ms", "1s", "1500ms", "59s", "1m", "2h", "2000h", "0"})
		a := ask(w.root, func(a *Ask) {
			a.Mount, a.Policies = mount, []string{"web"}
			a.TTL, a.ExplicitMaxTTL, a.Period = duration.Draw(t, "ttl"), duration.Draw(t, "explicit max"), duration.Draw(t, "period")
		})
		role := rapid.Bool().Draw(t, "role")
		roleBound := rapid.SampledFrom([]time.Duration{0, time.Second, 61 * time.Second, 5 * time.Hour})
		setRole := func() (explicit, period time.Duration) {
			explicit, period = roleBound.Draw(t, "role's explicit max"), roleBound.Draw(t, "role's period")
			w.ok(w.UpdateRole(w.ctx, "r", func(r *Role) error {
				r.ExplicitMaxTTL, r.Period = explicit, period
				return nil
			}))
			return explicit, period
		}
		var roleExplicit, rolePeriod time.Duration
		if role {
			a.Role = "r"
			roleExplicit, rolePeriod = setRole()
		}
		i, err := w.Create(w.ctx, a)
		w.ok(err)
		issued := w.clock.Now()
		asked := func(text string) time.Duration {
			d, err := backend.ParseDuration(text)
			w.ok(err)
			return d
		}
		check := func(token *Token, ttl time.Duration) {
			now := w.clock.Now()
			bound := now.Add(mount.MaxTTL)
			if asked(a.Period) == 0 && rolePeriod == 0 {
				bound = issued.Add(mount.MaxTTL)
			}
			for _, explicit := range []time.Duration{asked(a.ExplicitMaxTTL), roleExplicit} {
				if explicit = max(explicit, min(explicit*1e9, time.Second)); explicit > 0 && issued.Add(explicit).Before(bound) {
					bound = issued.Add(explicit)
				}
			}
			if ttl < time.Second || ttl%time.Second != 0 || token.Expires().IsZero() || token.Expires().After(bound) {
				t.Fatalf("a life of %s that ends at %v; bound %v", ttl, token.Expires(), bound)
			}
		}
		check(i.Token, i.TTL)
		for range rapid.IntRange(0, 6).Draw(t, "renewals") {
			found, err := w.FindID(w.ctx, i.Token.ID)
			w.ok(err)
			if found == nil {
				return
			}
			left := found.Expires().Sub(w.clock.Now())
			w.clock.Add(max(0, rapid.SampledFrom([]time.Duration{0, left / 2, left - time.Second, left - time.Millisecond, left - 1, left, left + 1}).Draw(t, "wait")))
			if role {
				roleExplicit, rolePeriod = setRole()
			}
			increment := asked(duration.Draw(t, "increment"))
			out, err := w.Renew(w.ctx, i.Token.ID, increment, &backend.Call{Mount: mount})
			after, findErr := w.FindID(w.ctx, i.Token.ID)
			w.ok(findErr)
			if err != nil {
				if after != nil && after.Life != found.Life {
					t.Fatal("a refused renewal changed the token")
				}
				continue
			}
			check(out.Token, out.TTL)
			if after == nil || after.Life != out.Token.Life {
				t.Fatalf("the renewal says %+v, the store has %+v", out.Token, after)
			}
		}
	})
}

// The arithmetic alone: whatever goes in, a life is whole seconds, at least one, and within its bounds.
func TestSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.Int64Range(0, int64(3*month))
		s := span{now: epoch.Add(time.Duration(d.Draw(t, "age"))), issued: epoch, asked: time.Duration(d.Draw(t, "asked")),
			period: time.Duration(d.Draw(t, "period")), explicitMax: time.Duration(d.Draw(t, "explicit")), maxTTL: time.Duration(d.Draw(t, "max")),
			mount: backend.Mount{DefaultTTL: time.Duration(d.Draw(t, "default")), MaxTTL: time.Duration(d.Draw(t, "mount max"))}}
		ttl, _, err := s.resolve()
		if err != nil {
			return
		}
		if ttl < time.Second || ttl%time.Second != 0 {
			t.Fatalf("ttl %s", ttl)
		}
		end := s.now.Add(ttl)
		if s.explicitMax > 0 && end.After(s.issued.Add(s.explicitMax)) {
			t.Fatalf("ends %s after the explicit max", end.Sub(s.issued.Add(s.explicitMax)))
		}
		for _, most := range []time.Duration{s.mount.MaxTTL, s.maxTTL, s.explicitMax} {
			if s.period == 0 && (most > 0 || most == s.mount.MaxTTL) && end.After(s.issued.Add(most)) {
				t.Fatalf("ends after a max of %s", most)
			}
		}
	})
}
