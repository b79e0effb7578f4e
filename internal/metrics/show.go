package metrics

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Gauge is a value as it is now, from who owns what it counts.
type Gauge struct {
	Name   string
	Labels Labels
	Value  float64
}

// process are the gauges of the Go runtime.
func process() []Gauge {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return []Gauge{
		{Name: "runtime.alloc_bytes", Value: float64(m.Alloc)},
		{Name: "runtime.free_count", Value: float64(m.Frees)},
		{Name: "runtime.heap_objects", Value: float64(m.HeapObjects)},
		{Name: "runtime.malloc_count", Value: float64(m.Mallocs)},
		{Name: "runtime.num_goroutines", Value: float64(runtime.NumGoroutine())},
		{Name: "runtime.sys_bytes", Value: float64(m.Sys)},
		{Name: "runtime.total_gc_pause_ns", Value: float64(m.PauseTotalNs)},
		{Name: "runtime.total_gc_runs", Value: float64(m.NumGC)},
	}
}

// gauges are those given and the runtime's, as far as they are to be shown, sorted.
func (s *Set) gauges(given []Gauge) []Gauge {
	all := append(process(), given...)
	all = append(all, Gauge{Name: "core.in_flight_requests", Value: float64(len(s.InFlight()))})
	all = slices.DeleteFunc(all, func(g Gauge) bool { return !s.Settings().shows(g.Name) })
	slices.SortStableFunc(all, func(a, b Gauge) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(keyOf("", a.Labels), keyOf("", b.Labels)))
	})
	return all
}

func counters(s *Set) map[string]*series {
	all := s.answered()
	maps.Copy(all, s.counters)
	return all
}

func samples(s *Set) map[string]*series { return s.samples }

// Summary is the JSON form. Contract: sys §18 metrics.
type Summary struct {
	Timestamp string
	Gauges    []ShownGauge
	Points    []struct{}
	Counters  []ShownSample
	Samples   []ShownSample
}

// ShownGauge is a gauge in JSON.
type ShownGauge struct {
	Name   string
	Value  float64
	Labels Labels
}

// ShownSample is a counter or a sample in JSON, over the life of the process.
type ShownSample struct {
	Name   string
	Count  int64
	Rate   float64
	Sum    float64
	Min    float64
	Max    float64
	Mean   float64
	Stddev float64
	Labels Labels
}

// Summary shows everything in the JSON form.
func (s *Set) Summary(given []Gauge, now time.Time) *Summary {
	prefix := s.Settings().Prefix + "."
	out := &Summary{Timestamp: now.UTC().Format("2006-01-02 15:04:05 -0700 MST"), Gauges: []ShownGauge{}, Points: []struct{}{}, Counters: []ShownSample{}, Samples: []ShownSample{}}
	for _, g := range s.gauges(given) {
		out.Gauges = append(out.Gauges, ShownGauge{prefix + g.Name, g.Value, shownLabels(g.Labels)})
	}
	for _, x := range s.all(counters) {
		c := float64(x.count)
		out.Counters = append(out.Counters, ShownSample{Name: prefix + x.name, Count: x.count, Rate: c / s.age(now), Sum: c, Min: 1, Max: 1, Mean: 1, Labels: shownLabels(x.labels)})
	}
	for _, x := range s.all(samples) {
		n := float64(x.count)
		mean := x.sum / n
		out.Samples = append(out.Samples, ShownSample{Name: prefix + x.name, Count: x.count, Rate: x.sum / s.age(now), Sum: x.sum, Min: x.least, Max: x.most,
			Mean: mean, Stddev: math.Sqrt(max(0, x.squares/n-mean*mean)), Labels: shownLabels(x.labels)})
	}
	return out
}

// age is how long the set has measured, in seconds, and never 0.
func (s *Set) age(now time.Time) float64 { return max(now.Sub(s.began).Seconds(), 1) }

func shownLabels(l Labels) Labels {
	if l == nil {
		return Labels{}
	}
	return l
}

// Text shows everything in Prometheus's text form, version 0.0.4.
func (s *Set) Text(given []Gauge) []byte {
	var b bytes.Buffer
	last := ""
	head := func(name, kind string) {
		if name != last {
			fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, name, name, kind)
			last = name
		}
	}
	prefix := s.Settings().Prefix
	for _, g := range s.gauges(given) {
		name := exported(prefix, g.Name)
		head(name, "gauge")
		b.WriteString(name + written(g.Labels, "", "") + " " + number(g.Value) + "\n")
	}
	for _, x := range s.all(counters) {
		name := exported(prefix, x.name)
		head(name, "counter")
		b.WriteString(name + written(x.labels, "", "") + " " + strconv.FormatInt(x.count, 10) + "\n")
	}
	for _, x := range s.all(samples) {
		name := exported(prefix, x.name)
		head(name, "histogram")
		sum := uint64(0)
		for i, bound := range bounds() {
			sum += x.buckets[i]
			b.WriteString(name + "_bucket" + written(x.labels, "le", number(bound)) + " " + strconv.FormatUint(sum, 10) + "\n")
		}
		b.WriteString(name + "_bucket" + written(x.labels, "le", "+Inf") + " " + strconv.FormatInt(x.count, 10) + "\n")
		b.WriteString(name + "_sum" + written(x.labels, "", "") + " " + number(x.sum) + "\n")
		b.WriteString(name + "_count" + written(x.labels, "", "") + " " + strconv.FormatInt(x.count, 10) + "\n")
	}
	return b.Bytes()
}

// exported is a name as Prometheus allows it.
func exported(prefix, name string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, prefix+"_"+name)
}

// written is a set of labels and one more, if it has a name.
func written(labels Labels, name, value string) string {
	if len(labels) == 0 && name == "" {
		return ""
	}
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, label+`="`+escaped(labels[label])+`"`)
	}
	if name != "" {
		parts = append(parts, name+`="`+value+`"`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// escaped is a label's value between quotes.
func escaped(value string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
