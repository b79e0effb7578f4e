package record

import (
	"errors"
	"fmt"
	"testing"

	"jeton/internal/store"
)

// state is a state of a store: texts by key, read at a position.
type state struct {
	values   map[string]string
	position uint64
	gets     int
}

func (s *state) Get(key []byte) ([]byte, error) {
	s.gets++
	if v, ok := s.values[string(key)]; ok {
		return []byte(v), nil
	}
	return nil, store.ErrNotFound
}

func (s *state) Scan(store.Range, func(k, v []byte) (bool, error)) error { return errors.New("unused") }
func (s *state) Position() uint64                                        { return s.position }

// writing is a state in a transaction.
type writing struct{ *state }

func (writing) Put(_, _ []byte) error         { return nil }
func (writing) Delete([]byte) error           { return nil }
func (writing) Withdraw([]byte) error         { return nil }
func (writing) DeleteRange(_, _ []byte) error { return nil }

func asText(value []byte) (*string, error) {
	text := string(value)
	if text == "bad" {
		return nil, ErrMalformed
	}
	return &text, nil
}

// read is what the memo says of a key: "" for nothing.
func read(t *testing.T, m *Memo[string], r store.Reader, key string) string {
	t.Helper()
	v, err := m.Read(r, []byte(key), asText)
	if err != nil {
		t.Fatal(err)
	}
	if v == nil {
		return ""
	}
	return *v
}

func told(position uint64, keys ...string) store.Commit {
	c := store.Commit{Position: position}
	for _, k := range keys {
		c.Keys = append(c.Keys, []byte(k))
	}
	return c
}

func TestMemoReadsOnce(t *testing.T) {
	m := NewMemo[string](100, nil)
	r := &state{values: map[string]string{"a": "1"}, position: 1}
	for range 3 {
		if got := read(t, m, r, "a"); got != "1" {
			t.Errorf("got %q", got)
		}
	}
	if r.gets != 1 {
		t.Errorf("%d reads", r.gets)
	}
	if got := read(t, m, Unread{}, "a"); got != "1" {
		t.Errorf("without a state %q", got)
	}
	if _, err := m.Read(Unread{}, []byte("b"), asText); !errors.Is(err, ErrUnread) {
		t.Errorf("what is not known: %v", err)
	}
}

// Whoever comes second to what two read at once gets what the first made: it may cost more than a
// look at the store, and be told apart by its address. What is out of date is nobody's.
func TestMemoGivesTheFirst(t *testing.T) {
	m := NewMemo[string](100, nil)
	at := func(position uint64) *state { return &state{values: map[string]string{"a": "1"}, position: position} }
	var inner *string
	outer, err := m.Read(at(1), []byte("a"), func(value []byte) (*string, error) {
		var err error
		inner, err = m.Read(at(2), []byte("a"), asText)
		if err != nil {
			return nil, err
		}
		return asText(value)
	})
	if err != nil || outer != inner || m.Get([]byte("a")) != inner {
		t.Errorf("%p and %p, %v", outer, inner, err)
	}
	m.Changed(told(3, "a"))
	if late := read(t, m, at(2), "a"); late != "1" || m.Get([]byte("a")) != nil {
		t.Errorf("from before the change %q, kept %v", late, m.Get([]byte("a")) != nil)
	}
}

// What the feed tells is never answered from before it, in whatever order the two come. Two
// readers, one of them behind, stand for two nodes of which one lags.
func TestMemoIsNeverStale(t *testing.T) {
	before := func() *state { return &state{values: map[string]string{"a": "old"}, position: 6} }
	after := func() *state { return &state{values: map[string]string{"a": "new"}, position: 7} }
	deleted := store.Commit{Position: 7, Ranges: []store.Range{{From: []byte("a"), To: []byte("b")}}}
	rows := []struct {
		name string
		// steps are read before (b), read after (a), told of the change (t).
		steps  string
		commit store.Commit
		kept   bool
	}{
		{"told, then read from before", "tb", told(7, "a"), false},
		{"read from before, then told", "bt", told(7, "a"), false},
		{"read from after, then told", "at", told(7, "a"), false},
		{"told, then read from after", "ta", told(7, "a"), true},
		{"read from before and after, told between", "bta", told(7, "a"), true},
		{"told, read from after, then from before", "tab", told(7, "a"), true},
		{"told late of another's", "tat", told(7, "b"), true},
		{"a range that has it, then read from before", "tb", deleted, false},
		{"read from before, then a range that has it", "bt", deleted, false},
		{"all of the area", "bt", store.Commit{Position: 7, Ranges: []store.Range{{}}}, false},
	}
	for _, row := range rows {
		m := NewMemo[string](100, nil)
		for _, step := range row.steps {
			switch step {
			case 'b':
				read(t, m, before(), "a")
			case 'a':
				read(t, m, after(), "a")
			case 't':
				m.Changed(row.commit)
			}
		}
		v := m.Get([]byte("a"))
		if (v != nil) != row.kept || v != nil && *v != "new" {
			t.Errorf("%s: kept %v", row.name, v != nil)
		}
	}
}

// A range takes what lies in it and nothing else.
func TestMemoForgetsRanges(t *testing.T) {
	m := NewMemo[string](1000, nil)
	r := &state{values: map[string]string{}, position: 1}
	for i := range 20 {
		r.values[fmt.Sprintf("k%02d", i)] = "v"
	}
	for k := range r.values {
		read(t, m, r, k)
	}
	m.Changed(store.Commit{Position: 2, Ranges: []store.Range{{From: []byte("k05"), To: []byte("k10")}, {From: []byte("k15")}}})
	for i := range 20 {
		gone := i >= 5 && i < 10 || i >= 15
		if got := m.Get(fmt.Appendf(nil, "k%02d", i)); (got == nil) != gone {
			t.Errorf("k%02d: kept %v", i, got != nil)
		}
	}
}

// A transaction may have written what it reads, and may fail.
func TestMemoKeepsNothingOfATransaction(t *testing.T) {
	m := NewMemo[string](100, nil)
	r := &state{values: map[string]string{"a": "1"}, position: 9}
	if got := read(t, m, writing{r}, "a"); got != "1" {
		t.Errorf("got %q", got)
	}
	if m.Get([]byte("a")) != nil {
		t.Error("it is kept")
	}
	read(t, m, r, "a")
	r.gets = 0
	if got := read(t, m, writing{r}, "a"); got != "1" || r.gets != 0 {
		t.Errorf("in a transaction %q with %d reads", got, r.gets)
	}
}

func TestMemoOfWhatIsAbsentOrUnreadable(t *testing.T) {
	r := &state{values: map[string]string{"bad": "bad"}, position: 1}
	without, with := NewMemo[string](100, nil), NewMemo(100, new(string))
	for range 2 {
		read(t, without, r, "a")
		read(t, with, r, "a")
		if _, err := with.Read(r, []byte("bad"), asText); !errors.Is(err, ErrMalformed) {
			t.Errorf("unreadable: %v", err)
		}
	}
	if r.gets != 5 {
		t.Errorf("%d reads, want that of an absent key remembered where it is asked for, and no failure", r.gets)
	}
	with.Changed(told(2, "a"))
	if with.Get([]byte("a")) != nil {
		t.Error("an absent key is absent for ever")
	}
}

func TestMemoIsBounded(t *testing.T) {
	m := NewMemo[string](64, new(string))
	for i := range 1000 {
		read(t, m, &state{position: 1}, fmt.Sprint(i))
	}
	n := 0
	for i := range m.shards {
		n += len(m.shards[i].entries)
	}
	if n > 64 {
		t.Errorf("%d entries", n)
	}
}
