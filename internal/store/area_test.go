package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

func openMemory(t *testing.T) store.Store {
	t.Helper()
	s, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ownArea is an area that is closed with its store, so that the suite can prove its Close.
type ownArea struct {
	*store.Area
	whole  store.Store
	beside func() // checks what is beside the area
}

func (a ownArea) Close() error {
	a.beside()
	return errors.Join(a.Area.Close(), a.whole.Close())
}

// putAll writes keys into s, each with itself as value.
func putAll(t *testing.T, s store.Store, keys ...string) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, k := range keys {
			if err := tx.Put([]byte(k), []byte(k)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func keysOf(t *testing.T, s store.Store) []string {
	t.Helper()
	var keys []string
	err := s.View(context.Background(), func(r store.Reader) error {
		keys = nil
		return r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
			keys = append(keys, string(k))
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// An area is a store: it keeps every promise of one, whatever lies beside it, and leaves that alone.
func TestAreaConforms(t *testing.T) {
	for _, prefix := range []string{"m", "m/\x00", "m\xff", "\x00", "\xff\xff", ""} {
		t.Run(fmt.Sprintf("%q", prefix), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store {
				whole := openMemory(t)
				beside := slices.DeleteFunc([]string{"", "a", "l\xff", "m", "m.", "m/", "m0", "n", "\xfe", "\xff"}, func(k string) bool {
					return bytes.HasPrefix([]byte(k), []byte(prefix))
				})
				putAll(t, whole, beside...)
				check := sync.OnceFunc(func() {
					left := slices.DeleteFunc(keysOf(t, whole), func(k string) bool { return bytes.HasPrefix([]byte(k), []byte(prefix)) })
					if !slices.Equal(left, beside) {
						t.Errorf("beside the area is %q, want %q", left, beside)
					}
				})
				return ownArea{store.NewArea(whole, []byte(prefix)), whole, check}
			})
		})
	}
}

func TestAreaKeepsToItself(t *testing.T) {
	whole := openMemory(t)
	defer whole.Close()
	beside := []string{"", "a", "l\xff", "m", "m.", "m.\xff", "m0", "n", "\xff"}
	putAll(t, whole, beside...)
	area := store.NewArea(whole, []byte("m/"))
	putAll(t, area, "", "x", "\xff")
	if got := keysOf(t, area); !slices.Equal(got, []string{"", "x", "\xff"}) {
		t.Errorf("area holds %q", got)
	}
	writes := map[string]func(tx store.Tx) error{
		"DeleteRange of everything":     func(tx store.Tx) error { return tx.DeleteRange(nil, nil) },
		"DeleteRange to the end":        func(tx store.Tx) error { return tx.DeleteRange([]byte("x"), nil) },
		"DeleteRange to the largest":    func(tx store.Tx) error { return tx.DeleteRange(nil, []byte("\xff\xff\xff")) },
		"Delete of a neighbour's key":   func(tx store.Tx) error { return tx.Delete([]byte("m0")) },
		"Withdraw of a neighbour's key": func(tx store.Tx) error { return tx.Withdraw([]byte("m0")) },
		"Delete of the area's own name": func(tx store.Tx) error { return tx.Delete(nil) },
	}
	for name, write := range writes {
		if err := area.Update(t.Context(), write); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got := slices.DeleteFunc(keysOf(t, whole), func(k string) bool { return bytes.HasPrefix([]byte(k), []byte("m/")) })
		if !slices.Equal(got, beside) {
			t.Errorf("%s: beside the area is %q, want %q", name, got, beside)
		}
	}
	if got := keysOf(t, area); len(got) != 0 {
		t.Errorf("area holds %q after it was emptied", got)
	}
}

// Two areas commit together, or not at all.
func TestAreasCommitTogether(t *testing.T) {
	whole := openMemory(t)
	defer whole.Close()
	a, b := store.NewArea(whole, []byte("a/")), store.NewArea(whole, []byte("b/"))
	both := func(fail error) error {
		return whole.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(a.Within(tx).Put([]byte("k"), []byte("1")), b.Within(tx).Put([]byte("k"), []byte("2")), fail)
		})
	}
	boom := errors.New("boom")
	if err := both(boom); !errors.Is(err, boom) {
		t.Errorf("Update = %v", err)
	}
	if got := keysOf(t, whole); len(got) != 0 {
		t.Errorf("store holds %q after an error", got)
	}
	if err := both(nil); err != nil {
		t.Fatal(err)
	}
	err := whole.View(t.Context(), func(r store.Reader) error {
		for area, want := range map[*store.Area]string{a: "1", b: "2"} {
			if v, err := area.Reading(r).Get([]byte("k")); err != nil || string(v) != want {
				t.Errorf("Get = %q, %v, want %q", v, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAreaSubscription(t *testing.T) {
	rng := func(from, to string) store.Range { return store.Range{From: []byte(from), To: []byte(to)} }
	tests := []struct {
		name   string
		write  func(tx store.Tx) error // in the whole store
		keys   []string
		ranges []store.Range
	}{
		{"a key inside", func(tx store.Tx) error { return tx.Put([]byte("m/k"), nil) }, []string{"k"}, nil},
		{"the area's name", func(tx store.Tx) error { return tx.Delete([]byte("m/")) }, []string{""}, nil},
		{"keys inside and outside", func(tx store.Tx) error {
			return errors.Join(tx.Put([]byte("m"), nil), tx.Put([]byte("m/k"), nil), tx.Put([]byte("m0"), nil))
		}, []string{"k"}, nil},
		{"outside only", func(tx store.Tx) error { return tx.Put([]byte("n"), nil) }, nil, nil},
		{"two keys inside", func(tx store.Tx) error { return errors.Join(tx.Put([]byte("m/ka"), nil), tx.Put([]byte("m/kb"), nil)) }, []string{"ka", "kb"}, nil},
		{"the area's name and a key inside", func(tx store.Tx) error { return errors.Join(tx.Put([]byte("m/"), nil), tx.Put([]byte("m/k"), nil)) }, []string{"", "k"}, nil},
		{"keys that begin alike", func(tx store.Tx) error { return errors.Join(tx.Put([]byte("m"), nil), tx.Put([]byte("mm/k"), nil)) }, nil, nil},
		{"a key outside and a range inside", func(tx store.Tx) error {
			return errors.Join(tx.Put([]byte("n"), nil), tx.DeleteRange([]byte("m/a"), []byte("m/b")))
		}, nil, []store.Range{rng("a", "b")}},
		{"a range inside", func(tx store.Tx) error { return tx.DeleteRange([]byte("m/a"), []byte("m/b")) }, nil, []store.Range{rng("a", "b")}},
		{"everything", func(tx store.Tx) error { return tx.DeleteRange(nil, nil) }, nil, []store.Range{rng("", "")}},
		{"a range over the start", func(tx store.Tx) error { return tx.DeleteRange([]byte("a"), []byte("m/b")) }, nil, []store.Range{rng("", "b")}},
		{"a range over the end", func(tx store.Tx) error { return tx.DeleteRange([]byte("m/b"), []byte("z")) }, nil, []store.Range{rng("b", "")}},
		{"a range up to the area", func(tx store.Tx) error { return tx.DeleteRange([]byte("a"), []byte("m/")) }, nil, nil},
		{"a range from its end", func(tx store.Tx) error { return tx.DeleteRange([]byte("m0"), nil) }, nil, nil},
		{"a range before", func(tx store.Tx) error { return tx.DeleteRange(nil, []byte("b")) }, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			whole := openMemory(t)
			defer whole.Close()
			var keys []string
			var ranges []store.Range
			told := 0
			cancel := store.NewArea(whole, []byte("m/")).Subscribe(func(c store.Commit) {
				told++
				for _, k := range c.Keys {
					if !bytes.HasPrefix(k, c.Common) {
						t.Errorf("%q does not begin with the common %q", k, c.Common)
					}
					keys = append(keys, string(k))
				}
				for _, r := range c.Ranges {
					ranges = append(ranges, store.Range{From: bytes.Clone(r.From), To: bytes.Clone(r.To)})
				}
			})
			if err := whole.Update(t.Context(), tt.write); err != nil {
				t.Fatal(err)
			}
			same := func(a, b store.Range) bool { return bytes.Equal(a.From, b.From) && bytes.Equal(a.To, b.To) }
			if !slices.Equal(keys, tt.keys) || !slices.EqualFunc(ranges, tt.ranges, same) {
				t.Errorf("told of %q and %v, want %q and %v", keys, ranges, tt.keys, tt.ranges)
			}
			if wanted := len(tt.keys)+len(tt.ranges) > 0; (told > 0) != wanted {
				t.Errorf("told %d times", told)
			}
			cancel()
			told = 0
			if err := whole.Update(t.Context(), tt.write); err != nil || told != 0 {
				t.Errorf("told %d times after cancel, %v", told, err)
			}
		})
	}
}

func TestPrefixRangeAndAfter(t *testing.T) {
	for prefix, end := range map[string]string{"": "", "a": "b", "a/": "a0", "a\xff": "b", "a\xff\xff": "b", "\xff": "", "\xff\xff": "", "\x00": "\x01"} {
		r := store.PrefixRange([]byte(prefix))
		if string(r.From) != prefix || string(r.To) != end {
			t.Errorf("PrefixRange(%q) = [%q, %q), want its end %q", prefix, r.From, r.To, end)
		}
	}
	key := make([]byte, 1, 8)
	key[0] = 'k'
	if got := store.After(key); string(got) != "k\x00" {
		t.Errorf("After(k) = %q", got)
	}
	if got := store.After(nil); string(got) != "\x00" {
		t.Errorf("After(empty) = %q", got)
	}
	if string(key[:2]) != "k\x00" {
		t.Errorf("After wrote into its argument: %q", key[:2])
	}
}
