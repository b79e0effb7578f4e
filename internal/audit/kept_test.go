package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"jeton/internal/clock"
)

// shelf is a device that keeps its lines.
type shelf struct {
	lines []string
	err   error
}

func (s *shelf) Write(_ context.Context, line []byte) error {
	if s.err == nil {
		s.lines = append(s.lines, string(line))
	}
	return s.err
}

func (*shelf) Reopen() error { return nil }
func (*shelf) Close() error  { return nil }

// shelves is a broker over one shelf per format, without a store.
func shelves(t *testing.T, formats ...format) (*Broker, []*shelf) {
	t.Helper()
	b := &Broker{clock: clock.NewManual(time.Unix(1767323045, 0)), log: slog.New(slog.DiscardHandler)}
	s := &state{headers: newHeaderTable(map[string]bool{"x-hashed": true, "x-clear": false})}
	var all []*shelf
	for i, f := range formats {
		d := &shelf{}
		all = append(all, d)
		s.devices = append(s.devices, shelved(t, fmt.Sprintf("%d/", i), f, d))
	}
	b.state.Store(s)
	return b, all
}

func shelved(t *testing.T, path string, f format, d *shelf) *enabled {
	t.Helper()
	o := newOutlet(path, &f, d, time.Minute, slog.New(slog.DiscardHandler))
	t.Cleanup(o.close)
	return &enabled{path: path, outlet: o}
}

var formats = []format{
	{salt: testSalt, hashAccessors: true}, {salt: "other", elideLists: true}, {salt: testSalt, raw: true},
	{salt: "prefixed", hashAccessors: true, prefix: "@cee: "},
}

func (s *shelf) last() string { return s.lines[len(s.lines)-1] }

func clone(b *Broker, change func(s *state)) {
	next := *b.state.Load()
	next.devices = slices.Clone(next.devices)
	change(&next)
	b.state.Store(&next)
}

// texts are what a random entry is made of: secrets, things that need escaping, nothing.
var texts = []string{"", "", "hvs.token", "accessor", "plain", "é\u2028", "\"quoted\"\n", "\xff", "2026-01-02T03:04:05Z", strings.Repeat("long", 200)}

func pick(r *rand.Rand) string { return texts[r.IntN(len(texts))] }

func picks(r *rand.Rand) (out []string) {
	for range r.IntN(4) {
		out = append(out, pick(r))
	}
	return out
}

func anyRemote(r *rand.Rand) netip.AddrPort {
	return []netip.AddrPort{{}, netip.MustParseAddrPort("192.0.2.1:0"), netip.MustParseAddrPort("[fe80::1%\"\n]:443")}[r.IntN(3)]
}

func anyMount(r *rand.Rand) Mount {
	return Mount{Point: pick(r), Type: pick(r), Accessor: pick(r), Class: pick(r), Version: pick(r)}
}

func anyAuth(r *rand.Rand) *Auth {
	if r.IntN(5) == 0 {
		return nil
	}
	a := &Auth{
		ClientToken: pick(r), Accessor: pick(r), DisplayName: pick(r), Policies: picks(r), TokenPolicies: picks(r), IdentityPolicies: picks(r),
		NoDefaultPolicy: r.IntN(2) == 0, NumUses: r.IntN(3), RemainingUses: r.IntN(3), Entity: Entity{ID: pick(r), Created: r.IntN(2) == 0},
		TokenType: pick(r), TokenTTL: time.Duration(r.IntN(3)) * time.Hour, IssueTime: time.Unix(int64(r.IntN(2))*1e9, 0),
	}
	if r.IntN(2) == 0 {
		a.PolicyResults = &PolicyResults{Allowed: r.IntN(2) == 0, Granting: picks(r)}
	}
	if r.IntN(2) == 0 {
		a.Metadata = map[string]string{pick(r): pick(r), pick(r): pick(r)}
	}
	if r.IntN(2) == 0 {
		a.Lineage = &Lineage{Parent: pick(r), Root: pick(r), Role: pick(r)}
	}
	return a
}

func anyData(r *rand.Rand) json.RawMessage {
	if r.IntN(4) == 0 {
		return nil
	}
	data, err := json.Marshal(map[string]any{"keys": picks(r), "key_info": map[string]any{pick(r): pick(r)}, pick(r): picks(r), "id": "hvs.token", "n": r.IntN(9), "open": picks(r)})
	if err != nil {
		panic(err)
	}
	return data
}

func anyEntry(r *rand.Rand) *Entry {
	e := &Entry{Auth: anyAuth(r), Error: pick(r)}
	if r.IntN(10) > 0 {
		e.Request = &RequestPart{
			ID: pick(r), ClientID: pick(r), Operation: []string{"list", "read"}[r.IntN(2)], Mount: anyMount(r), ClientToken: pick(r), ClientTokenAccessor: pick(r),
			Path: pick(r), Data: anyData(r), PolicyOverride: r.IntN(2) == 0, Remote: anyRemote(r), WrapTTL: time.Duration(r.IntN(3)) * time.Minute,
			Headers: map[string][]string{"X-Hashed": picks(r), "X-Clear": picks(r), "X-Other": picks(r)}, CertificateSerial: pick(r), URI: pick(r) + "?secret",
		}
	}
	return e
}

func anyResponse(r *rand.Rand) *ResponsePart {
	if r.IntN(10) == 0 {
		return nil
	}
	p := &ResponsePart{Auth: anyAuth(r), Mount: anyMount(r), LeaseID: pick(r), Data: anyData(r), Warnings: picks(r), Redirect: pick(r)}
	if r.IntN(4) == 0 {
		p.Raw = &RawBody{Status: 200, ContentType: pick(r), Body: []byte(pick(r))}
	}
	if r.IntN(4) == 0 {
		p.WrapInfo = &WrapInfo{Token: pick(r), Accessor: pick(r), TTL: time.Minute, CreationTime: time.Unix(1, 0), CreationPath: pick(r), WrappedAccessor: pick(r)}
	}
	return p
}

// An answer's line that repeats the request's is, byte for byte, the line that is made without it.
func TestRepeatedLineIsTheLineThatWouldBeMade(t *testing.T) {
	b, devices := shelves(t, formats...)
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		e := anyEntry(r)
		e.Kept = new(Kept)
		clear := picks(r)
		if err := b.LogRequest(t.Context(), e, clear, nil); err != nil {
			t.Fatal(err)
		}
		for i := range devices {
			if e.Kept.line(b.state.Load(), &content{kind: Response, entry: e, keys: clearKeys{request: clear}}, i) == nil {
				t.Fatalf("seed %d: nothing is repeated on device %d", seed, i)
			}
		}
		e.Response, e.Error = anyResponse(r), pick(r)
		if err := b.LogResponse(t.Context(), e, clear, []string{"open"}); err != nil {
			t.Fatal(err)
		}
		var repeated []string
		for _, d := range devices {
			repeated = append(repeated, d.last())
		}
		e.Kept = nil
		if err := b.LogResponse(t.Context(), e, clear, []string{"open"}); err != nil {
			t.Fatal(err)
		}
		for i, d := range devices {
			if d.last() != repeated[i] {
				t.Fatalf("seed %d, device %d:\n%s is repeated,\n%s is made", seed, i, repeated[i], d.last())
			}
		}
	}
}

// Whatever changes between request and answer shows in the answer's line.
func TestWhatChangedIsNotRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, b *Broker, devices []*shelf, e *Entry)
		clear  []string
	}{
		"nothing": {func(*testing.T, *Broker, []*shelf, *Entry) {}, nil},
		"a device is enabled": {func(t *testing.T, b *Broker, _ []*shelf, _ *Entry) {
			clone(b, func(s *state) {
				s.devices = slices.Insert(s.devices, 0, shelved(t, "new/", format{salt: "new"}, &shelf{}))
			})
		}, nil},
		"a device is disabled": {func(_ *testing.T, b *Broker, _ []*shelf, _ *Entry) {
			clone(b, func(s *state) { s.devices = s.devices[1:] })
		}, nil},
		"a device is replaced": {func(t *testing.T, b *Broker, _ []*shelf, _ *Entry) {
			clone(b, func(s *state) { s.devices[2] = shelved(t, "2/", formats[0], &shelf{}) })
		}, nil},
		"a header is listed": {func(_ *testing.T, b *Broker, _ []*shelf, _ *Entry) {
			clone(b, func(s *state) { s.headers = newHeaderTable(map[string]bool{"x-other": false}) })
		}, nil},
		"another identity": {func(_ *testing.T, _ *Broker, _ []*shelf, e *Entry) {
			e.Auth = &Auth{ClientToken: "hvs.other", IdentityPolicies: []string{"more"}}
		}, nil},
		"another operation": {func(_ *testing.T, _ *Broker, _ []*shelf, e *Entry) {
			e.Request = &RequestPart{Path: e.Request.Path, Operation: "create"}
		}, nil},
		"the mount's keys": {func(*testing.T, *Broker, []*shelf, *Entry) {}, []string{"id"}},
		"a device that failed": {func(_ *testing.T, _ *Broker, devices []*shelf, _ *Entry) {
			devices[1].err = nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b, devices := shelves(t, formats...)
			e := anyEntry(rand.New(rand.NewPCG(7, 7)))
			e.Request = &RequestPart{Path: "a", Data: json.RawMessage(`{"id":"x"}`), Headers: map[string][]string{"X-Other": {"y"}}}
			e.Kept = new(Kept)
			if strings.HasSuffix(name, "failed") {
				devices[1].err = errors.New("refused")
			}
			if err := b.LogRequest(t.Context(), e, nil, nil); err != nil {
				t.Fatal(err)
			}
			c.change(t, b, devices, e)
			e.Response = &ResponsePart{Data: json.RawMessage(`{"a":"b"}`)}
			// The same once more, with nothing kept.
			lines := func() (out []string) {
				if err := b.LogResponse(t.Context(), e, c.clear, nil); err != nil {
					t.Fatal(err)
				}
				for _, d := range b.state.Load().devices {
					out = append(out, d.outlet.device.(*shelf).last())
				}
				return out
			}
			first := lines()
			e.Kept = nil
			if second := lines(); !slices.Equal(first, second) {
				t.Errorf("%q\nwith nothing kept\n%q", first, second)
			}
		})
	}
}

// What is held between the two lines holds no text that was hashed, and it is let go of.
func TestKeptLinesHoldNoSecrets(t *testing.T) {
	b, _ := shelves(t, formats[0])
	e := &Entry{
		Auth:    &Auth{ClientToken: "hvs.canary", Accessor: "canary", Metadata: map[string]string{"name": "x"}},
		Request: &RequestPart{ClientToken: "hvs.canary2", Data: json.RawMessage(`{"a":"c\u0061nary"}`)}, Kept: new(Kept),
	}
	if err := b.LogRequest(t.Context(), e, nil, nil); err != nil {
		t.Fatal(err)
	}
	l := e.Kept.tasks[0].line
	for what, held := range map[string]string{
		"line": string(l.buf[:cap(l.buf)]), "scratch": string(l.text[:cap(l.text)]), "names": strings.Join(l.names[:cap(l.names)], ""),
	} {
		if strings.Contains(held, "canary") || what != "line" && strings.Trim(held, "\x00") != "" {
			t.Errorf("the %s holds %q", what, held)
		}
	}
	if l.asker != nil {
		t.Error("the line knows whose it is")
	}
	if err := b.LogResponse(t.Context(), e, nil, nil); err != nil {
		t.Fatal(err)
	}
	if e.Kept.tasks != nil || e.Kept.state != nil || e.Kept.auth != nil || e.Kept.few != [2]*task{} {
		t.Errorf("still kept: %+v", e.Kept)
	}
}

// A large request is not held a second time while it is served.
func TestLargeLinesAreNotKept(t *testing.T) {
	b, devices := shelves(t, formats[0])
	e := &Entry{Request: &RequestPart{Path: strings.Repeat("x", keepLine)}, Kept: new(Kept)}
	if err := b.LogRequest(t.Context(), e, nil, nil); err != nil {
		t.Fatal(err)
	}
	if e.Kept.tasks[0] != nil {
		t.Error("a large line is kept")
	}
	if err := b.LogResponse(t.Context(), e, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(devices[0].last(), "x"); got != keepLine {
		t.Errorf("the answer's line has %d of the path's bytes", got)
	}
}

// A line that is kept is nobody else's until the answer's line is made.
func TestKeptLinesAreNotReused(t *testing.T) {
	b, devices := shelves(t, formats[0])
	entry := func(path string) *Entry { return &Entry{Request: &RequestPart{Path: path}, Kept: new(Kept)} }
	first := entry("first")
	if err := b.LogRequest(t.Context(), first, nil, nil); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		other := entry("other")
		if err := errors.Join(b.LogRequest(t.Context(), other, nil, nil), b.LogResponse(t.Context(), other, nil, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.LogResponse(t.Context(), first, nil, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(devices[0].last(), `"path":"first"`) {
		t.Errorf("%s", devices[0].last())
	}
}

func BenchmarkCompose(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 7))
	e := anyEntry(r)
	e.Auth = &Auth{ClientToken: "hvs.token", Accessor: "accessor", DisplayName: "token", Policies: []string{"default", "dev"}, TokenPolicies: []string{"default", "dev"}, TokenType: "service"}
	e.Response = &ResponsePart{Data: json.RawMessage(`{"accessor":"accessor","display_name":"token","entity_id":"","expire_time":"2026-01-02T04:04:05Z","id":"hvs.token","meta":{"team":"blue"},"policies":["default","dev"],"ttl":3600,"type":"service"}`)}
	for name, like := range map[string]bool{"new": false, "repeated": true} {
		b.Run(name, func(b *testing.B) {
			first, l := newLine(&formats[0]), newLine(&formats[0])
			c := &content{kind: Response, entry: e, time: time.Unix(1767323045, 0)}
			if err := first.entry(c, nil, nil); err != nil {
				b.Fatal(err)
			}
			if !like {
				first = nil
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := l.entry(c, nil, first); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
