package metrics

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"jeton/internal/clock"
)

func measured(t *testing.T, s Settings) *Set {
	t.Helper()
	set := New(s, clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
	set.Count("token.creation", Labels{"token_type": "service"})
	set.Counter("token.creation", Labels{"token_type": "service"}).Add()
	set.Count("token.creation", Labels{"token_type": `odd "\` + "\n"})
	set.Observe("core.handle_request", nil, 2*time.Millisecond)
	set.Observe("core.handle_request", nil, 4*time.Millisecond)
	set.Observe("core.handle_request", nil, time.Minute)
	return set
}

// Prometheus's own reader understands the text, and finds in it what was measured.
func TestText(t *testing.T) {
	set := measured(t, Settings{Prefix: "vault", ShowByDefault: true})
	parser := expfmt.TextParser{}
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(set.Text([]Gauge{{Name: "core.unsealed", Value: 1}}))))
	if err != nil {
		t.Fatal(err)
	}
	if got := families["vault_core_unsealed"].GetMetric()[0].GetGauge().GetValue(); got != 1 {
		t.Errorf("vault_core_unsealed is %v", got)
	}
	made := families["vault_token_creation"].GetMetric()
	if len(made) != 2 || made[0].GetCounter().GetValue()+made[1].GetCounter().GetValue() != 3 {
		t.Errorf("vault_token_creation is %v", made)
	}
	requests := families["vault_core_handle_request"].GetMetric()[0].GetHistogram()
	if requests.GetSampleCount() != 3 || requests.GetSampleSum() != 60006 || len(requests.GetBucket()) != len(bounds())+1 {
		t.Errorf("vault_core_handle_request is %v", requests)
	}
	for _, b := range requests.GetBucket() {
		if b.GetUpperBound() == 2.5 && b.GetCumulativeCount() != 1 || b.GetUpperBound() == 10000 && b.GetCumulativeCount() != 2 {
			t.Errorf("bucket %v", b)
		}
	}
	if families["vault_runtime_num_goroutines"] == nil {
		t.Error("the runtime is missing")
	}
}

func TestSummary(t *testing.T) {
	set := measured(t, Settings{Prefix: "vault", ShowByDefault: true})
	sum := set.Summary(nil, time.Date(2026, 3, 1, 12, 0, 10, 0, time.UTC))
	if sum.Timestamp != "2026-03-01 12:00:10 +0000 UTC" {
		t.Errorf("timestamp %q", sum.Timestamp)
	}
	if len(sum.Samples) != 1 {
		t.Fatalf("samples %v", sum.Samples)
	}
	s := sum.Samples[0]
	if s.Name != "vault.core.handle_request" || s.Count != 3 || s.Min != 2 || s.Max != 60000 || s.Mean != 20002 || s.Rate != 6000.6 {
		t.Errorf("sample %+v", s)
	}
}

// Contract: config §6 prefix_filter: the longest filter that matches wins.
func TestFilters(t *testing.T) {
	for _, row := range []struct {
		name    string
		show    bool
		filters []string
		want    bool
	}{
		{"shown by default", true, nil, true},
		{"hidden by default", false, nil, false},
		{"hidden by a filter", true, []string{"-vault.token"}, false},
		{"shown by a longer filter", true, []string{"-vault.token", "+vault.token.creation"}, true},
		{"hidden by a longer filter", false, []string{"-vault.token.creation", "+vault.token"}, false},
		{"another name's filter", true, []string{"-vault.expire"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			set := measured(t, Settings{Prefix: "vault", ShowByDefault: row.show, Filters: row.filters})
			if got := strings.Contains(string(set.Text(nil)), "vault_token_creation"); got != row.want {
				t.Fatalf("shown: %t", got)
			}
		})
	}
}

func TestInFlight(t *testing.T) {
	set := measured(t, Settings{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			id := time.Now().String()
			set.Begin(id, Flight{Path: "x"})
			set.InFlight()
			set.End(id)
		})
	}
	all.Wait()
	set.Begin("a", Flight{Path: "sys/mounts"})
	if f := set.InFlight(); len(f) != 1 || f["a"].Path != "sys/mounts" {
		t.Fatalf("in flight: %v", f)
	}
	set.End("a")
	if f := set.InFlight(); len(f) != 0 {
		t.Fatalf("in flight: %v", f)
	}
}

// A nil Set measures nothing.
func TestNothing(t *testing.T) {
	var none *Set
	none.Count("a", nil)
	none.Counter("a", nil).Add()
	none.Observe("a", nil, time.Second)
	none.Begin("a", Flight{})
	none.End("a")
	if len(none.InFlight()) != 0 || none.Settings().Prometheus {
		t.Fatal("a nil set measures")
	}
}
