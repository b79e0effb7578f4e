// Package metrics owns what the server measures of itself while it serves: how many requests
// there were and how long they took, what went wrong, and which requests are being served now.
// What others own (tokens, leases, the seal) is asked of them when somebody looks.
package metrics

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jeton/internal/clock"
)

// Settings are the telemetry stanza's. Contract: config §6.
type Settings struct {
	// Prometheus says that the text form may be read.
	Prometheus bool
	// Prefix begins every name ("vault").
	Prefix string
	// MaxGaugeCardinality bounds the values of one label of a gauge.
	MaxGaugeCardinality int
	// ShowByDefault holds for names that no filter matches; a filter begins with + or - and
	// is a prefix of names, the prefix included. The longest one that matches wins.
	ShowByDefault bool
	Filters       []string
}

// Labels tell series of one name apart. They hold no secret and few values.
type Labels map[string]string

// Set is what one server measures. All methods are safe for concurrent use, and for a nil Set,
// which measures nothing.
type Set struct {
	settings Settings
	clock    clock.Clock
	began    time.Time
	flights  flights
	// answers counts answers by their status, without a lock: there is one for every request.
	answers [600]atomic.Int64

	mu       sync.Mutex // guards what follows
	counters map[string]*series
	samples  map[string]*series
}

// series is one name with one set of labels.
type series struct {
	name   string
	labels Labels
	count  int64
	// sum, squares, least and most are of the observations, in milliseconds.
	sum, squares, least, most float64
	// buckets count the observations up to each bound.
	buckets []uint64
}

// bounds are the upper ends of the buckets, in milliseconds.
func bounds() []float64 {
	return []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000}
}

// New begins to measure.
func New(settings Settings, c clock.Clock) *Set {
	s := &Set{settings: settings, clock: c, began: c.Now(), flights: newFlights(), counters: map[string]*series{}, samples: map[string]*series{}}
	// What should never happen begins at nothing: an alarm on its rate needs a first value.
	for _, name := range []string{"audit.log_request_failure", "audit.log_response_failure"} {
		find(s.counters, name, nil)
	}
	return s
}

// Answered counts an answer with a status of HTTP.
func (s *Set) Answered(status int) {
	if s != nil && status > 0 && status < len(s.answers) {
		s.answers[status].Add(1)
	}
}

// answered are the counts of Answered.
func (s *Set) answered() map[string]*series {
	all := map[string]*series{}
	for status := range s.answers {
		if n := s.answers[status].Load(); n > 0 {
			code := strconv.Itoa(status)
			find(all, "core.response_status_code", Labels{"code": code, "type": code[:1] + "xx"}).count = n
		}
	}
	return all
}

// Settings are what New was given; a nil Set shows nothing.
func (s *Set) Settings() Settings {
	if s == nil {
		return Settings{Prefix: "vault", ShowByDefault: true}
	}
	return s.settings
}

// Count adds one to a counter. Names have dots and no prefix ("token.creation").
func (s *Set) Count(name string, labels Labels) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	find(s.counters, name, labels).count++
}

// Counter is one counter, for who counts often: the series is found once.
type Counter struct {
	set    *Set
	series *series
}

// Counter is the counter of Count with these labels; nil of a nil Set.
func (s *Set) Counter(name string, labels Labels) *Counter {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Counter{s, find(s.counters, name, labels)}
}

// Add adds one; a nil Counter counts nothing.
func (c *Counter) Add() {
	if c == nil {
		return
	}
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.series.count++
}

// Observe adds one to a sample and says how long it took.
func (s *Set) Observe(name string, labels Labels, took time.Duration) {
	if s == nil {
		return
	}
	ms := float64(took) / float64(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := find(s.samples, name, labels)
	if x.buckets == nil {
		x.buckets = make([]uint64, len(bounds()))
		x.least = math.Inf(1)
	}
	x.count++
	x.sum += ms
	x.squares += ms * ms
	x.least, x.most = min(x.least, ms), max(x.most, ms)
	for i, bound := range bounds() {
		if ms <= bound {
			x.buckets[i]++
			break
		}
	}
}

// find is the series, made if need be. REQUIRES: Set.mu held.
func find(in map[string]*series, name string, labels Labels) *series {
	key := name
	if len(labels) > 0 {
		key = keyOf(name, labels)
	}
	x := in[key]
	if x == nil {
		x = &series{name: name, labels: maps.Clone(labels)}
		in[key] = x
	}
	return x
}

// keyOf tells series apart.
func keyOf(name string, labels Labels) string {
	var b strings.Builder
	b.WriteString(name)
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString("\x00" + label + "\x00" + labels[label])
	}
	return b.String()
}

// all copies the series of one kind that are to be shown, sorted.
func (s *Set) all(of func(*Set) map[string]*series) []series {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []series
	for _, x := range of(s) {
		if s.settings.shows(x.name) {
			c := *x
			c.buckets = slices.Clone(x.buckets)
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b series) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(keyOf("", a.labels), keyOf("", b.labels)))
	})
	return list
}

// shows says whether the filters let a name through.
func (s Settings) shows(name string) bool {
	full := s.Prefix + "." + name
	show, longest := s.ShowByDefault, -1
	for _, f := range s.Filters {
		if prefix := f[min(1, len(f)):]; len(prefix) > longest && strings.HasPrefix(full, prefix) {
			show, longest = strings.HasPrefix(f, "+"), len(prefix)
		}
	}
	return show
}
