package audit

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What goes ahead is, byte for byte, what is waited for, and so is the answer's line after it.
func TestLinesThatGoAheadAreTheSame(t *testing.T) {
	b, devices := shelves(t, formats...)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		e, clear := anyEntry(r), picks(r)
		e.Error = ""
		response := anyResponse(r)
		exchange := func(kept *Kept, log func(context.Context, *Entry, []string, []string) error) (lines []string) {
			e.Kept, e.Response = kept, nil
			if err := log(t.Context(), e, clear, nil); err != nil {
				t.Fatal(err)
			}
			e.Response = response
			if err := errors.Join(b.LogResponse(t.Context(), e, clear, nil), b.RequestWritten(kept)); err != nil {
				t.Fatal(err)
			}
			for _, d := range devices {
				lines = append(lines, d.lines[len(d.lines)-2:]...)
			}
			return lines
		}
		kept := new(Kept)
		ahead, waited := exchange(kept, b.BeginRequest), exchange(nil, b.LogRequest)
		if !slices.Equal(ahead, waited) {
			t.Fatalf("seed %d:\n%q went ahead,\n%q was waited for", seed, ahead, waited)
		}
		if !kept.Empty() {
			t.Fatalf("seed %d: still kept", seed)
		}
	}
}

// The line is on its way at once, and its outcome is told to who asks for it, once.
func TestOutcomeOfWhatWentAhead(t *testing.T) {
	refused := errors.New("refused")
	for _, c := range []struct {
		name   string
		errs   []error
		change func(t *testing.T, b *Broker)
		want   error
		// lines are how many the devices of the beginning have in the end.
		lines int
	}{
		{"all take it", []error{nil, nil}, nil, nil, 2},
		{"one takes it", []error{refused, nil}, nil, nil, 1},
		{"none takes it", []error{refused, refused}, nil, ErrNoDevice, 0},
		{"none took it, and there is none any more", []error{refused}, func(_ *testing.T, b *Broker) { clone(b, func(s *state) { s.devices = nil }) }, nil, 0},
		{"none took it, and another does", []error{refused}, func(t *testing.T, b *Broker) {
			clone(b, func(s *state) { s.devices = []*enabled{shelved(t, "new/", formats[0], &shelf{})} })
		}, nil, 0},
		{"none took it, nor does another", []error{refused}, func(t *testing.T, b *Broker) {
			clone(b, func(s *state) { s.devices = []*enabled{shelved(t, "new/", formats[0], &shelf{err: refused})} })
		}, ErrNoDevice, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, devices := shelves(t, formats[:len(c.errs)]...)
			for i, err := range c.errs {
				devices[i].err = err
			}
			e := &Entry{Request: &RequestPart{Path: "a"}, Kept: new(Kept)}
			if err := b.BeginRequest(t.Context(), e, nil, nil); err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(t, b)
			}
			if err := b.RequestWritten(e.Kept); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			lines := 0
			for _, d := range devices {
				lines += len(d.lines)
			}
			if lines != c.lines || !e.Kept.Empty() {
				t.Errorf("%d lines, kept: %v", lines, !e.Kept.Empty())
			}
			if c.name == "none took it, and another does" {
				if got := b.state.Load().devices[0].outlet.device.(*shelf); len(got.lines) != 1 || !strings.Contains(got.last(), `"path":"a"`) {
					t.Errorf("the other has %q", got.lines)
				}
			}
			if err := b.RequestWritten(e.Kept); err != nil {
				t.Errorf("asked again: %v", err)
			}
		})
	}
}

// Where no device takes lines, that is known at once: what only reads is not even begun.
func TestNothingGoesAheadOfNoDevice(t *testing.T) {
	b, _ := shelves(t, formats[0])
	b.state.Load().devices[0].outlet.close()
	e := &Entry{Request: &RequestPart{Path: "a"}, Kept: new(Kept)}
	if err := b.BeginRequest(t.Context(), e, nil, nil); !errors.Is(err, ErrNoDevice) {
		t.Errorf("%v", err)
	}
}

// A device that hangs holds up whoever waits for the outcome, no longer than its limit, and the
// line that it still has is nobody else's.
func TestWaitingForWhatWentAheadIsBounded(t *testing.T) {
	hang, release := hangs()
	d := &disk{room: 1 << 20}
	d.before = func(ctx context.Context, _ []byte) error { return hang(ctx) }
	joinBubble(t, d, func(t *testing.T, o *outlet) {
		b := &Broker{}
		b.state.Store(&state{headers: newHeaderTable(nil), devices: []*enabled{{path: "dev/", outlet: o}}})
		e := &Entry{Request: &RequestPart{Path: "first"}, Kept: new(Kept), Time: time.Unix(1767323045, 0)}
		if err := b.BeginRequest(t.Context(), e, nil, nil); err != nil {
			t.Fatal(err)
		}
		e.Response = &ResponsePart{Data: json.RawMessage(`{"a":"b"}`)}
		if err := b.LogResponse(t.Context(), e, nil, nil); !errors.Is(err, ErrNoDevice) {
			t.Errorf("the answer's line: %v", err)
		}
		if err := b.RequestWritten(e.Kept); !errors.Is(err, ErrNoDevice) {
			t.Errorf("the request's line: %v", err)
		}
		for range 10 {
			if o.take().line.buf != nil {
				t.Error("a line that is still being written is in the pool")
			}
		}
		release()
		synctest.Wait()
		if !strings.Contains(string(d.text), `"path":"first"`) {
			t.Errorf("%s", d.text)
		}
	})
}

// What is held while it is on its way holds no text that was hashed.
func TestLinesOnTheirWayHoldNoSecrets(t *testing.T) {
	b, _ := shelves(t, formats[0])
	e := &Entry{
		Auth:    &Auth{ClientToken: "hvs.canary", Accessor: "canary", Metadata: map[string]string{"name": "x"}},
		Request: &RequestPart{ClientToken: "hvs.canary2", Data: json.RawMessage(`{"a":"c\u0061nary"}`)}, Kept: new(Kept),
	}
	if err := b.BeginRequest(t.Context(), e, nil, nil); err != nil {
		t.Fatal(err)
	}
	l := e.Kept.tasks[0].line
	if held := string(l.text[:cap(l.text)]) + strings.Join(l.names[:cap(l.names)], ""); strings.Trim(held, "\x00") != "" || l.asker != nil {
		t.Errorf("%q is held, and whose it is: %v", held, l.asker)
	}
	if err := b.RequestWritten(e.Kept); err != nil {
		t.Fatal(err)
	}
}

// A line remembers hashes of what lines show in clear, of nothing else, and of so many at most.
func TestOnlyWhatIsShownIsRemembered(t *testing.T) {
	l, fresh := newLine(&formats[0]), func() *line { return newLine(&formats[0]) }
	for i := range 3 * keepShown {
		name := strings.Repeat("n", i%shownBytes) + string(rune('a'+i%26))
		e := &Entry{Auth: &Auth{ClientToken: "hvs.canary", Accessor: "canary", DisplayName: name, Policies: []string{"default"}, TokenType: "service"},
			Response: &ResponsePart{Data: json.RawMessage(`{"a":"canary2","b":"` + name + `","c":["default","service","canary3"]}`)}}
		c := &content{kind: Response, entry: e, time: time.Unix(1767323045, 0)}
		other := fresh()
		if err := errors.Join(l.entry(c, nil, nil), other.entry(c, nil, nil)); err != nil {
			t.Fatal(err)
		}
		if string(l.buf) != string(other.buf) {
			t.Fatalf("%s\nremembered; made:\n%s", l.buf, other.buf)
		}
		if l.shown["default"] == "" || l.shown["service"] == "" || l.shown[name] == "" && len(name) <= shownBytes || len(l.shown) > keepShown {
			t.Fatalf("%d: %d are remembered: %v", i, len(l.shown), l.shown)
		}
		for value := range l.shown {
			if strings.Contains(value, "canary") {
				t.Fatalf("%q is remembered", value)
			}
		}
	}
}
