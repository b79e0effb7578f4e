package edge

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

func loaded(t *testing.T, s store.Store) (*Settings, *clock.Manual) {
	t.Helper()
	c := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	settings, err := Load(context.Background(), s, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return settings, c
}

func memory(t *testing.T) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Whatever is set is there again after the next unseal.
func TestSettingsAreKept(t *testing.T) {
	ctx, s := context.Background(), memory(t)
	before, _ := loaded(t, s)
	cors, err := NewCORS([]string{"https://a.example"}, []string{"X-Mine"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		before.PutQuota(ctx, Quota{Name: "q", Path: "kv/a", Mount: "kv/", Rate: 2.5, Interval: time.Minute, BlockInterval: time.Hour, Inheritable: true}),
		before.SetQuotaConfig(ctx, QuotaConfig{Audit: true, Exempt: []string{"sys/health"}}),
		before.SetCORS(ctx, cors),
		before.SetHeader(ctx, "x-frame-options", []string{"DENY"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	after, _ := loaded(t, s)
	for _, pair := range [][2]any{
		{before.Quotas(), after.Quotas()}, {before.QuotaConfig(), after.QuotaConfig()}, {before.CORS(), after.CORS()},
		{before.Header("X-Frame-Options"), after.Header("X-FRAME-options")}, {before.HeaderNames(), after.HeaderNames()},
	} {
		if fmt.Sprintf("%+v", pair[0]) != fmt.Sprintf("%+v", pair[1]) {
			t.Errorf("was %+v, is %+v", pair[0], pair[1])
		}
	}
	if err := after.DeleteQuota(ctx, "q"); err != nil {
		t.Fatal(err)
	}
	if again, _ := loaded(t, s); again.Limited() {
		t.Error("the deleted quota is back")
	}
}

// A store that fails in any way: what was answered as done is there after it, and what holds in
// memory is never more than what was done.
func TestFailedChange(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		ctx := context.Background()
		faulty := storetest.Faulty(memory(t))
		s, _ := loaded(t, faulty)
		inject(faulty)
		err := s.PutQuota(ctx, Quota{Name: "q", Rate: 1, Interval: time.Second})
		if s.Limited() != (err == nil) {
			t.Fatalf("limited %t after %v", s.Limited(), err)
		}
		after, _ := loaded(t, faulty.Inner())
		if err == nil && !after.Limited() {
			t.Fatal("a quota that was set is gone")
		}
		if err := after.PutQuota(ctx, Quota{Name: "q", Rate: 1, Interval: time.Second}); err != nil {
			t.Fatalf("setting it again: %v", err)
		}
	})
}

// In no interval does a client have more requests than the quota gives, and never fewer while
// it asks for no more.
func TestWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 5).Draw(t, "most")
		l := newLimiter(Quota{Rate: float64(most), Interval: 10 * time.Second})
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		var begins time.Time
		allowed := 0
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "pause")) * time.Millisecond)
			if now.Sub(begins) >= 10*time.Second {
				begins, allowed = now, 0
			}
			v := l.take("client", now)
			if want := allowed < most; v.Allowed != want {
				t.Fatalf("allowed %t after %d of %d", v.Allowed, allowed, most)
			}
			if v.Allowed {
				allowed++
			}
			if v.Remaining != int64(most-allowed) || v.Reset <= 0 || v.Reset > 10*time.Second {
				t.Fatalf("verdict %+v after %d of %d", v, allowed, most)
			}
		}
	})
}

// Very many addresses do not fill the memory, and do not take the limit from those who came
// first.
func TestManyClients(t *testing.T) {
	l := newLimiter(Quota{Rate: 1, Interval: time.Hour})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l.take("first", now)
	refused := 0
	for i := range maxClients + 1000 {
		if !l.take(fmt.Sprint(i), now).Allowed {
			refused++
		}
	}
	if len(l.windows) > maxClients || refused == 0 {
		t.Fatalf("%d windows, %d refused", len(l.windows), refused)
	}
	if l.take("first", now).Allowed {
		t.Fatal("the first client has a new window")
	}
	l.take("late", now.Add(2*time.Hour))
	if len(l.windows) > 2 {
		t.Fatalf("%d windows after their interval", len(l.windows))
	}
}
